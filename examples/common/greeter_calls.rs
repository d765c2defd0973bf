//! The client half of the greeter: a call of each of the four kinds, and one that fails.

use std::time::Duration;

use grpc_threads::{Channel, Code, Status};

use super::helloworld::{GreeterStub, HelloRequest};

/// Makes the calls and prints what comes back.
pub(crate) fn greet(channel: &Channel, name: &str) -> Result<(), Status> {
    let greeter = GreeterStub::new(channel);

    println!("One request, one response:");
    let say_hello = greeter.say_hello.timeout(Duration::from_secs(5));
    let reply = say_hello.call(&request(name))?;
    println!("  {}", reply.message);

    println!("One request, a stream of responses:");
    for reply in greeter.say_hello_stream_reply.call(&request(name))? {
        println!("  {}", reply?.message);
    }

    println!("A stream of requests, one response:");
    let reply = greeter.say_hello_to_all.call([name, "Ada", "Grace"].map(request))?;
    println!("  {}", reply.message);

    println!("A stream each way, request and response in turn:");
    let mut conversation = greeter.say_hello_bidi_stream.open();
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
