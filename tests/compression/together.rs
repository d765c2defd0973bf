//! Both sides of the library: all four kinds of methods, compressed either way.

use crate::service::*;
use crate::support::pattern;
use crate::text;
use bytes::Bytes;
use grpc_threads::{
    CallDetails, ClientInterceptor, Compression, InterceptedCall, Next, Payload, Reply, Server,
    ServerNext, ServerOptions, StreamHooks,
};

fn served(compression: Compression) -> Served {
    let options = ServerOptions::default().compression(compression);
    let server = Server::builder().options(options).build().unwrap();
    Served::start(server, "127.0.0.1:0", [])
}

fn all_kinds(channel: &Channel) {
    for message in [Bytes::new(), text().into(), pattern(200_000).into()] {
        assert_eq!(channel.raw_unary_unary(ECHO).unwrap().call(&message).unwrap(), message);
        let future = channel.raw_unary_unary(ECHO).unwrap().future(&message).result(None);
        assert_eq!(future.unwrap(), message);
        let bidi = channel.raw_stream_stream(BIDI).unwrap();
        let back: Result<Vec<_>, _> = bidi.call(vec![message.clone(); 3]).collect();
        assert_eq!(back.unwrap(), vec![message.clone(); 3]);
        let sum = channel.raw_stream_unary(SUM).unwrap().call(vec![message.clone(); 3]).unwrap();
        assert_eq!(sum, format!("3 {}", 3 * message.len()));
    }
    let count = channel.raw_unary_stream(COUNT).unwrap().call(&"3 70000".into()).unwrap();
    let all: Result<Vec<_>, _> = count.collect();
    assert_eq!(all.unwrap(), vec![Bytes::from(pattern(70_000)); 3]);
}

#[test]
fn all_kinds_of_methods_with_all_compressions_both_ways() {
    for there in [Compression::None, Compression::Gzip, Compression::Deflate] {
        for back in [Compression::None, Compression::Gzip, Compression::Deflate] {
            let served = served(back);
            let builder = Channel::builder(&served.target()).compression(there);
            all_kinds(&builder.connect_lazily().unwrap());
        }
    }
}

/// Goes around; gives hooks that do nothing.
struct Around;

impl ClientInterceptor for Around {
    fn unary(
        &self,
        details: CallDetails,
        request: Payload,
        next: Next<'_>,
    ) -> Result<Reply, Status> {
        next.call(details, request)
    }

    fn stream(&self, _: &mut CallDetails) -> Result<StreamHooks, Status> {
        Ok(StreamHooks::new().map_request(Ok).map_response(Ok))
    }
}

/// Has hooks alone.
struct Hooks;

impl ClientInterceptor for Hooks {
    fn stream(&self, _: &mut CallDetails) -> Result<StreamHooks, Status> {
        Ok(StreamHooks::new().map_request(Ok).map_response(Ok))
    }

    fn has_hooks_only(&self) -> bool {
        true
    }
}

#[test]
fn interceptors_see_messages_as_they_are() {
    let options = ServerOptions::default().compression(Compression::Gzip);
    let server = Server::builder().options(options).interceptor(
        |call: &mut InterceptedCall<'_>, next: ServerNext<'_>| {
            call.add_hooks(StreamHooks::new().map_request(Ok).map_response(Ok));
            next.run(call)
        },
    );
    let served = Served::start(server.build().unwrap(), "127.0.0.1:0", []);
    let builder = || Channel::builder(&served.target()).compression(Compression::Deflate);
    all_kinds(&builder().interceptor(Around).connect_lazily().unwrap());
    all_kinds(&builder().interceptor(Hooks).connect_lazily().unwrap());
}
