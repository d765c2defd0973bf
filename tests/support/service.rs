//! A server on a free port with the methods that a test gives it, all of raw bytes, and a channel to it.
//!
//! Not part of `support` itself, so that tests without a server do not build it: `mod service` with a path.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses its part")]

use super::support::pattern;
use bytes::Bytes;
pub use grpc_threads::{
    Cardinality, Channel, Code, Metadata, Raw, RequestIterator, ResultError, RpcMethodHandler,
    Server, ServerStream, ServicerContext, Status, ThreadPool,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub const ECHO: &str = "/test.Test/Echo";
pub const SIZED: &str = "/test.Test/Sized";
pub const COUNT: &str = "/test.Test/Count";
pub const SUM: &str = "/test.Test/Sum";
pub const BIDI: &str = "/test.Test/Bidi";
pub const FAIL: &str = "/test.Test/Fail";

/// A method's name within `test.Test`, and what it does.
pub type Method = (&'static str, RpcMethodHandler);

/// A running server. Dropping it stops it at once.
pub struct Served {
    pub server: Arc<Server>,
    pub port: u16,
}

impl Served {
    /// The methods below, on four workers.
    pub fn new() -> Self {
        Self::with(4, [])
    }

    /// The methods below and `more`, on so many workers.
    pub fn with(workers: usize, more: impl IntoIterator<Item = Method>) -> Self {
        Self::on("127.0.0.1:0", workers, more)
    }

    pub fn on(address: &str, workers: usize, more: impl IntoIterator<Item = Method>) -> Self {
        let server = grpc_threads::server(ThreadPool::new(workers));
        Self::start(server, address, more)
    }

    pub fn start(server: Server, address: &str, more: impl IntoIterator<Item = Method>) -> Self {
        let methods = methods().into_iter().chain(more);
        server
            .add_generic_rpc_handlers([grpc_threads::method_handlers_generic_handler(
                "test.Test",
                methods,
            )])
            .expect("the handlers are good");
        let port = server.add_insecure_port(address).expect("there is a free port");
        server.start().expect("the server starts");
        Self { server: Arc::new(server), port }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn target(&self) -> String {
        self.address().to_string()
    }

    pub fn channel(&self) -> Channel {
        channel(&self.target())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.stop(None);
    }
}

pub fn channel(target: &str) -> Channel {
    grpc_threads::insecure_channel(target).expect("the target is good")
}

/// A stopped server waits no longer than this for its handlers.
pub const GRACE: Duration = Duration::from_secs(10);

/// Gives back what it gets.
pub fn echo() -> RpcMethodHandler {
    unary(|request, _| Ok(request))
}

fn methods() -> Vec<Method> {
    vec![
        ("Echo", echo()),
        // A number of bytes, as text: so many come back.
        ("Sized", unary(|request, _| Ok(pattern(number(&request)? as usize).into()))),
        // "count size": so many messages of that size.
        (
            "Count",
            grpc_threads::unary_stream_rpc_method_handler_with(
                |request: Bytes, _: &ServicerContext| {
                    let (count, size) = two_numbers(&request)?;
                    let body = Bytes::from(pattern(size as usize));
                    Ok((0..count).map(move |_| Ok::<_, Status>(body.clone())))
                },
                Raw,
                Raw,
            ),
        ),
        // Messages and bytes received: "count bytes".
        (
            "Sum",
            grpc_threads::stream_unary_rpc_method_handler_with(
                |requests: RequestIterator<Bytes>, _: &ServicerContext| {
                    let (mut count, mut size) = (0, 0);
                    for request in requests {
                        count += 1;
                        size += request?.len();
                    }
                    Ok(Bytes::from(format!("{count} {size}")))
                },
                Raw,
                Raw,
            ),
        ),
        (
            "Bidi",
            grpc_threads::stream_stream_rpc_method_handler_with(
                |requests: RequestIterator<Bytes>, _: &ServicerContext| Ok(requests),
                Raw,
                Raw,
            ),
        ),
        // "code message": ends so.
        (
            "Fail",
            unary(|request, _| {
                let text =
                    std::str::from_utf8(&request).map_err(|_| Status::internal("no text"))?;
                let (code, message) = text.split_once(' ').unwrap_or((text, ""));
                Err(Status::new(Code::from_i32(code.parse().unwrap_or(2)), message))
            }),
        ),
    ]
}

pub fn unary(
    behaviour: impl Fn(Bytes, &ServicerContext) -> Result<Bytes, Status> + Send + Sync + 'static,
) -> RpcMethodHandler {
    grpc_threads::unary_unary_rpc_method_handler_with(behaviour, Raw, Raw)
}

/// A method with streams both ways, written by hand.
pub fn by_hand(
    behaviour: impl Fn(&mut ServerStream<Bytes, Bytes>, &ServicerContext) -> Result<(), Status>
    + Send
    + Sync
    + 'static,
) -> RpcMethodHandler {
    grpc_threads::stream_rpc_method_handler_with(Cardinality::StreamStream, behaviour, Raw, Raw)
}

fn number(request: &[u8]) -> Result<u64, Status> {
    let text = std::str::from_utf8(request).ok().and_then(|text| text.parse().ok());
    text.ok_or_else(|| Status::invalid_argument("a number is needed"))
}

fn two_numbers(request: &[u8]) -> Result<(u64, u64), Status> {
    let space = request.iter().position(|byte| *byte == b' ');
    let (a, b) =
        request.split_at(space.ok_or_else(|| Status::invalid_argument("two numbers are needed"))?);
    Ok((number(a)?, number(&b[1..])?))
}
