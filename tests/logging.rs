//! What the log is told: of requests that never reach a handler, or not whole; of connections that come and go.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::{
    Cardinality, InterceptedCall, Prost, RecvRequest, SendInitialMetadata, SendTrailingMetadata,
    ServerNext, ServerStream, Status, StreamHooks,
};
use service::*;
use std::io::Write;
use std::net::TcpStream;
use support::LONG;
use support::logged::{self, logged};

/// From here on lines are kept.
fn listen() {
    logged::listen(log::LevelFilter::Debug);
}

#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(string, tag = "1")]
    key: String,
}

#[test]
fn a_request_that_no_handler_sees_is_told_with_its_method_and_peer() {
    listen();
    let put = grpc_threads::unary_unary_rpc_method_handler(|put: Put, _: &ServicerContext| Ok(put));
    let served = Served::with(2, [("Put", put)]);
    let channel = served.channel();
    let call = |path: &str| {
        channel.raw_unary_unary(path).unwrap().timeout(LONG).call(&Bytes::from_static(b"\xff"))
    };
    assert_eq!(call("/test.Test/Nobody").unwrap_err().code(), Code::Unimplemented);
    assert_eq!(call("/other.Service/Put").unwrap_err().code(), Code::Unimplemented);
    for path in ["/test.Test/Nobody", "/other.Service/Put"] {
        assert!(logged(&["DEBUG", path, "ipv4:127.0.0.1:"]), "{path}");
    }
    let status = call("/test.Test/Put").unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("decoded as Put"), "{status}");
    assert!(logged(&["DEBUG", "/test.Test/Put", "ipv4:127.0.0.1:", "decoded as Put"]));
}

#[test]
fn l9_a_client_that_speaks_something_else_is_named_with_what_it_seems_to_speak() {
    listen();
    let served = Served::new();
    for (said, words) in [
        (&b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"[..], "which is HTTP/1"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "which is TLS"),
    ] {
        let mut socket = TcpStream::connect(served.address()).unwrap();
        let own = socket.local_addr().unwrap();
        socket.write_all(said).unwrap();
        assert!(
            logged(&[
                "DEBUG grpc_threads::server",
                &format!("ipv4:{own}"),
                "not speak HTTP/2",
                words
            ]),
            "{words}"
        );
    }
}

#[test]
fn a_channel_tells_of_its_connections() {
    listen();
    let served = Served::new();
    let target = served.address().to_string();
    let channel = grpc_threads::insecure_channel(&format!("dns:///{target}")).unwrap();
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    echo.call(&Bytes::new()).unwrap();
    let of = format!("the channel to dns:///{target}");
    assert!(logged(&["DEBUG grpc_threads::channel", &of, "is CONNECTING"]));
    assert!(logged(&["DEBUG", &of, "is READY: connected to", &format!("ipv4:{target}")]));
    drop(served);
    assert!(logged(&["DEBUG", &of, &format!("the connection to ipv4:{target}"), "is over: "]));
    assert!(logged(&["DEBUG", &of, "is IDLE: "]));
    echo.call(&Bytes::new()).unwrap_err();
    let refused = "cannot connect to dns:///";
    assert!(logged(&["DEBUG", &of, "is TRANSIENT_FAILURE: ", refused, "refused"]));
    channel.close();
    assert!(logged(&["DEBUG", &of, "is SHUTDOWN"]));
}

#[test]
fn that_calls_wait_for_a_stream_is_told_but_not_for_each() {
    listen();
    let pool = grpc_threads::ThreadPool::new(2);
    let options = grpc_threads::ServerOptions::default().max_concurrent_streams(1);
    let server = Server::builder().thread_pool(pool).options(options).build().unwrap();
    let served = Served::start(server, "127.0.0.1:0", []);
    let channel = served.channel();
    let mut watch = channel.raw_stream_stream(BIDI).unwrap().timeout(LONG).open();
    watch.send(&Bytes::from_static(b"x")).unwrap();
    watch.recv().unwrap();
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let mut futures = [echo.future(&Bytes::new()), echo.future(&Bytes::new())];
    assert!(futures[0].waits_for().unwrap().contains("a free stream on the connection"));
    let of = format!("the channel to {}: calls wait for a free stream", served.address());
    assert!(logged(&["DEBUG grpc_threads::channel", &of, "as many as that takes"]));
    drop(watch);
    assert!(futures.iter_mut().all(|future| future.result(None).is_ok()));
    assert_eq!(logged::count(&[&of]), 1);
}

#[test]
fn a_detached_stream_that_is_dropped_is_a_warning_and_its_client_is_told_cancelled() {
    listen();
    let drops = grpc_threads::stream_rpc_method_handler(
        Cardinality::UnaryUnary,
        |stream: &mut ServerStream<Put, Put>, _: &ServicerContext| {
            drop(stream.detach());
            Ok(())
        },
    );
    let served = Served::with(1, [("Drops", drops)]);
    let drops = served.channel().raw_unary_unary("/test.Test/Drops").unwrap().timeout(LONG);
    assert_eq!(drops.call(&Bytes::new()).unwrap_err().code(), Code::Cancelled);
    assert!(logged(&[
        "WARN grpc_threads::server",
        "/test.Test/Drops",
        "without finish()",
        "ipv4:127.0.0.1:"
    ]));
}

#[test]
fn l17_a_panic_is_told_with_its_method_and_peer() {
    listen();
    let panics = grpc_threads::unary_unary_rpc_method_handler(
        |_: Put, _: &ServicerContext| -> Result<Put, Status> { panic!("its text") },
    );
    let served = Served::with(1, [("Panics", panics)]);
    let panics = served.channel().raw_unary_unary("/test.Test/Panics").unwrap().timeout(LONG);
    assert_eq!(panics.call(&Bytes::new()).unwrap_err().code(), Code::Unknown);
    assert!(logged(&[
        "ERROR grpc_threads::reactor",
        "/test.Test/Panics",
        "ipv4:127.0.0.1:",
        "panicked: its text"
    ]));
}

#[test]
fn a_callback_that_blocks_is_told_of_while_it_blocks() {
    listen();
    let served = Served::new();
    let channel = served.channel();
    let call = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).future(&Bytes::new());
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (began, begun) = std::sync::mpsc::channel();
    call.add_done_callback(move |_| {
        began.send(()).unwrap();
        let _ = released.recv();
    });
    begun.recv_timeout(LONG).unwrap();
    assert!(logged(&["WARN grpc_threads::reactor", "callback has kept the thread", "and goes on"]));
    drop(release);
    assert!(logged(&["WARN", "a callback kept the thread of all callbacks for"]));
}

#[test]
fn a_handler_that_fails_with_ok_is_told_with_its_method_and_peer() {
    listen();
    let fails = grpc_threads::unary_unary_rpc_method_handler(
        |_: Put, _: &ServicerContext| -> Result<Put, Status> { Err(Status::ok()) },
    );
    let served = Served::with(1, [("Fails", fails)]);
    let fails = served.channel().raw_unary_unary("/test.Test/Fails").unwrap().timeout(LONG);
    assert_eq!(fails.call(&Bytes::new()).unwrap_err().code(), Code::Unknown);
    assert!(logged(&[
        "ERROR grpc_threads::call",
        "/test.Test/Fails",
        "code OK",
        "ipv4:127.0.0.1:"
    ]));
}

/// Says OK where it fails.
struct Pardons;

impl grpc_threads::Codec<Put> for Pardons {
    fn encode(&self, _: &Put, _: &mut dyn bytes::BufMut) -> Result<(), Status> {
        Err(Status::ok())
    }

    fn decode(&self, _: Bytes) -> Result<Put, Status> {
        Ok(Put::default())
    }
}

#[test]
fn whoever_fails_with_ok_is_told_as_whose_it_was() {
    listen();
    let one = |codec: bool| {
        let answers = |_: Put, _: &ServicerContext| Ok(Put::default());
        match codec {
            true => grpc_threads::unary_unary_rpc_method_handler_with(answers, Prost, Pardons),
            false => grpc_threads::unary_unary_rpc_method_handler_with(answers, Prost, Prost),
        }
    };
    let many = grpc_threads::unary_stream_rpc_method_handler_with(
        |_: Put, _: &ServicerContext| Ok([Ok::<_, Status>(Put::default())]),
        Prost,
        Pardons,
    );
    let plain = Served::with(2, [("CodesOne", one(true)), ("CodesMany", many)]);
    let fails = grpc_threads::unary_unary_rpc_method_handler(
        |_: Put, _: &ServicerContext| -> Result<Put, Status> { Err(Status::ok()) },
    );
    let sums = grpc_threads::stream_unary_rpc_method_handler_with(
        |mut requests: RequestIterator<Put>, _: &ServicerContext| {
            requests.try_for_each(|put| put.map(drop)).map(|()| Put::default())
        },
        Prost,
        Prost,
    );
    let methods = ["Guarded", "Hooked", "Begun", "Sent", "Trailed"];
    let methods = methods
        .map(|name| (name, one(false)))
        .into_iter()
        .chain([("Itself", fails), ("Asked", sums)]);
    let around = |call: &mut InterceptedCall<'_>, next: ServerNext<'_>| {
        match call.context().method().rsplit('/').next() {
            Some("Guarded") => return Err(Status::ok()),
            Some("Hooked") => {
                call.add_hooks(StreamHooks::new().map_response(|_| Err(Status::ok())));
            }
            Some("Asked") => call.add_hooks(StreamHooks::new().map_request(|_| Err(Status::ok()))),
            _ => {}
        }
        next.run(call)
    };
    let server = Server::builder().thread_pool(ThreadPool::new(2)).interceptor(around).build();
    let heard = Served::start(server.unwrap(), "127.0.0.1:0", methods);
    let told_at = |path: &str, at: &str| match path.ends_with(at) {
        true => Err(Status::ok()),
        false => Ok(grpc_threads::Flow::Continue),
    };
    heard.server.listen::<RecvRequest>(move |event| told_at(event.method(), "/Begun"));
    heard.server.listen::<SendInitialMetadata>(move |event| told_at(event.method(), "/Sent"));
    heard.server.listen::<SendTrailingMetadata>(move |event| told_at(event.method(), "/Trailed"));
    for (served, name, whose) in [
        (&plain, "CodesOne", "the codec of the responses"),
        (&plain, "CodesMany", "the codec of the responses"),
        (&heard, "Guarded", "an interceptor"),
        (&heard, "Hooked", "an interceptor's hook"),
        (&heard, "Asked", "an interceptor's hook"),
        (&heard, "Itself", "the handler"),
        (&heard, "Begun", "a listener"),
        (&heard, "Sent", "a listener"),
        (&heard, "Trailed", "a listener"),
    ] {
        let path = format!("/test.Test/{name}");
        let call = served.channel().raw_unary_stream(&path).unwrap().timeout(LONG);
        let status = call.call(&Bytes::new()).unwrap().find_map(Result::err).unwrap();
        let words = format!("{whose} failed with the code OK");
        assert!(status.message().contains(&words), "{path}: {status}");
        // Hooks and listeners are the same on both sides, and know no call.
        let known = matches!(status.code(), Code::Unknown);
        let words = match known {
            true => format!("{path}: {words}; its client ipv4:127.0.0.1:"),
            false => words,
        };
        assert_eq!(known, !["hook", "listener"].iter().any(|one| whose.contains(one)), "{status}");
        assert!(logged(&["ERROR grpc_threads", &words]), "{path}: {status}");
        if known {
            assert_eq!(logged::count(&[&path, "code OK"]), 1, "{path}");
        }
    }
}

#[test]
fn a_request_that_is_no_grpc_or_malformed_is_told_with_what_it_asked_for() {
    listen();
    let served = Served::new();
    let mut peer = support::frames::Peer::connect_with(served.address(), &[]);
    let head = |path: &'static str, kind: &'static str| {
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "x"),
            ("content-type", kind),
            ("te", "trailers"),
        ]
    };
    peer.open_with(&head("/page/of-html", "text/html"), true);
    let words = ["DEBUG grpc_threads::link", "POST", "/page/of-html", "text/html", "HTTP 415"];
    assert!(logged(&words));
    peer.open_with(&head("/mal//formed", "application/grpc"), true);
    assert!(logged(&["DEBUG grpc_threads::link", "/mal//formed", "malformed method path"]));
}

struct Panicking;

impl grpc_threads::Codec<Put> for Panicking {
    fn encode(&self, _: &Put, _: &mut dyn bytes::BufMut) -> Result<(), Status> {
        panic!("of encode")
    }

    fn decode(&self, _: Bytes) -> Result<Put, Status> {
        panic!("of decode")
    }
}

struct Generic;

impl grpc_threads::GenericRpcHandler for Generic {
    fn service(
        &self,
        _: &grpc_threads::HandlerCallDetails<'_>,
    ) -> Option<grpc_threads::RpcMethodHandler> {
        panic!("of a generic handler")
    }
}

#[test]
fn a_panic_is_told_as_whose_it_was() {
    listen();
    let answers = || |_: Put, _: &ServicerContext| Ok(Put::default());
    let reads = grpc_threads::unary_unary_rpc_method_handler_with(answers(), Panicking, Prost);
    let writes = grpc_threads::unary_unary_rpc_method_handler_with(answers(), Prost, Panicking);
    let heard = grpc_threads::unary_unary_rpc_method_handler_with(answers(), Prost, Prost);
    let methods = [("Reads", reads), ("Writes", writes), ("Heard", heard)];
    let served = Served::with(2, methods);
    served.server.add_generic_rpc_handlers([Generic]).unwrap();
    served.server.listen::<grpc_threads::SendMessage>(|event| {
        assert!(event.method() != "/test.Test/Heard", "of a listener");
        Ok(grpc_threads::Flow::Continue)
    });
    for (path, words) in [
        ("/test.Test/Heard", "a listener of /test.Test/Heard for ipv4:"),
        ("/test.Test/Reads", "the codec of the requests of /test.Test/Reads for ipv4:"),
        ("/test.Test/Writes", "the codec of the responses of /test.Test/Writes for ipv4:"),
        ("/any.Thing/Else", "a generic handler, asked for /any.Thing/Else of ipv4:"),
    ] {
        let call = served.channel().raw_unary_unary(path).unwrap().timeout(LONG);
        assert_eq!(call.call(&Bytes::new()).unwrap_err().code(), Code::Unknown);
        assert!(logged(&["ERROR grpc_threads::reactor", words, "panicked: of "]), "{path}");
    }
}
