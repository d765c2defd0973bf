//! The server half of the greeter: a function for each of the four kinds of method.

use grpc_threads::{
    RequestIterator, Service, ServicerContext, Status, stream_stream_rpc_method_handler,
    stream_unary_rpc_method_handler, unary_stream_rpc_method_handler,
    unary_unary_rpc_method_handler,
};

use super::helloworld::{HelloReply, HelloRequest, SERVICE};

/// The whole service, for `Server::add_service`.
pub(crate) fn greeter() -> Service {
    Service::new(SERVICE)
        .method("SayHello", unary_unary_rpc_method_handler(say_hello))
        .method("SayHelloStreamReply", unary_stream_rpc_method_handler(say_hello_stream_reply))
        .method("SayHelloToAll", stream_unary_rpc_method_handler(say_hello_to_all))
        .method("SayHelloBidiStream", stream_stream_rpc_method_handler(say_hello_bidi_stream))
}

fn say_hello(request: HelloRequest, _: &ServicerContext) -> Result<HelloReply, Status> {
    if request.name.is_empty() {
        return Err(Status::invalid_argument("whom shall I greet? The name is empty"));
    }
    Ok(hello(&request.name))
}

/// What it returns is an iterator; a worker thread pulls it and sends each reply as it comes.
fn say_hello_stream_reply(
    request: HelloRequest,
    _: &ServicerContext,
) -> Result<impl Iterator<Item = Result<HelloReply, Status>> + use<>, Status> {
    let greetings = ["Good morning", "Good day", "Good night"];
    Ok(greetings
        .into_iter()
        .map(move |greeting| Ok(HelloReply { message: format!("{greeting}, {}!", request.name) })))
}

/// Requests come as an iterator, too: `next` waits for the client's next message.
fn say_hello_to_all(
    requests: RequestIterator<HelloRequest>,
    _: &ServicerContext,
) -> Result<HelloReply, Status> {
    let names = requests.map(|request| Ok(request?.name)).collect::<Result<Vec<_>, Status>>()?;
    Ok(hello(&names.join(" and ")))
}

/// Iterator in, iterator out: each request is answered when it comes.
fn say_hello_bidi_stream(
    requests: RequestIterator<HelloRequest>,
    _: &ServicerContext,
) -> Result<impl Iterator<Item = Result<HelloReply, Status>> + use<>, Status> {
    Ok(requests.map(|request| Ok(hello(&request?.name))))
}

fn hello(name: &str) -> HelloReply {
    HelloReply { message: format!("Hello, {name}!") }
}
