//! The client half of the greeter: a call of each of the four kinds, and one that fails.

use std::time::Duration;

use grpc_threads::{Channel, Code, Status};

use super::helloworld::{
    HelloReply, HelloRequest, SAY_HELLO, SAY_HELLO_BIDI_STREAM, SAY_HELLO_STREAM_REPLY,
    SAY_HELLO_TO_ALL,
};

/// Makes the calls and prints what comes back.
pub(crate) fn greet(channel: &Channel, name: &str) -> Result<(), Status> {
    println!("One request, one response:");
    let say_hello =
        channel.unary_unary::<HelloRequest, HelloReply>(SAY_HELLO)?.timeout(Duration::from_secs(5));
    let reply = say_hello.call(&request(name))?;
    println!("  {}", reply.message);

    println!("One request, a stream of responses:");
    let say_hello_stream_reply =
        channel.unary_stream::<HelloRequest, HelloReply>(SAY_HELLO_STREAM_REPLY)?;
    for reply in say_hello_stream_reply.call(&request(name))? {
        println!("  {}", reply?.message);
    }

    println!("A stream of requests, one response:");
    let say_hello_to_all = channel.stream_unary::<HelloRequest, HelloReply>(SAY_HELLO_TO_ALL)?;
    let reply = say_hello_to_all.call([name, "Ada", "Grace"].map(request))?;
    println!("  {}", reply.message);

    println!("A stream each way, request and response in turn:");
    let say_hello_bidi_stream =
        channel.stream_stream::<HelloRequest, HelloReply>(SAY_HELLO_BIDI_STREAM)?;
    let mut conversation = say_hello_bidi_stream.open();
    for name in [name, "Ada", "Grace"] {
        conversation.send(&request(name))?;
        if let Some(reply) = conversation.recv()? {
            println!("  {}", reply.message);
        }
    }
    conversation.done_writing()?;
    while let Some(reply) = conversation.recv()? {
        println!("  one more: {}", reply.message);
    }

    println!("A call that fails:");
    match say_hello.call(&request("")) {
        Err(status) if status.code() == Code::InvalidArgument => println!("  {status}"),
        Err(status) => return Err(status),
        Ok(reply) => println!("  it did not: {}", reply.message),
    }
    Ok(())
}

fn request(name: &str) -> HelloRequest {
    HelloRequest { name: name.to_owned() }
}
