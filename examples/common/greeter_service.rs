//! The server half of the greeter: a method for each of the four kinds.

use grpc_threads::{RequestIterator, ServicerContext, Status};

use super::helloworld::{Greeter, HelloReply, HelloRequest};

/// For `GreeterServer::new`.
pub(crate) struct PoliteGreeter;

impl Greeter for PoliteGreeter {
    fn say_hello(&self, request: HelloRequest, _: &ServicerContext) -> Result<HelloReply, Status> {
        if request.name.is_empty() {
            return Err(Status::invalid_argument("whom shall I greet? The name is empty"));
        }
        Ok(hello(&request.name))
    }

    /// What it returns is an iterator; a worker thread pulls it and sends each reply as it comes.
    fn say_hello_stream_reply(
        &self,
        request: HelloRequest,
        _: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<HelloReply, Status>>, Status> {
        let greetings = ["Good morning", "Good day", "Good night"];
        Ok(greetings.into_iter().map(move |greeting| {
            Ok(HelloReply { message: format!("{greeting}, {}!", request.name) })
        }))
    }

    /// Requests come as an iterator, too: `next` waits for the client's next message.
    fn say_hello_to_all(
        &self,
        requests: RequestIterator<HelloRequest>,
        _: &ServicerContext,
    ) -> Result<HelloReply, Status> {
        let names =
            requests.map(|request| Ok(request?.name)).collect::<Result<Vec<_>, Status>>()?;
        Ok(hello(&names.join(" and ")))
    }

    /// Iterator in, iterator out: each request is answered when it comes.
    fn say_hello_bidi_stream(
        &self,
        requests: RequestIterator<HelloRequest>,
        _: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<HelloReply, Status>>, Status> {
        Ok(requests.map(|request| Ok(hello(&request?.name))))
    }
}

fn hello(name: &str) -> HelloReply {
    HelloReply { message: format!("Hello, {name}!") }
}
