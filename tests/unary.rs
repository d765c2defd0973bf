//! One request, one response.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::{BufMut, Bytes};
use grpc_threads::{Codec, MethodPath, ServerOptions};
use service::*;
use std::thread;
use support::frames::{Listener, RST_STREAM};
use support::{LONG, pattern, within};

#[test]
fn a_call_gets_its_answer() {
    let served = Served::new();
    let echo = served.channel().raw_unary_unary(ECHO).unwrap();
    assert_eq!(echo.timeout(LONG).call(&Bytes::from_static(b"hello")).unwrap(), b"hello"[..]);
}

#[test]
fn messages_of_every_size_come_back_whole() {
    let served = Served::new();
    let echo = served.channel().raw_unary_unary(ECHO).unwrap().timeout(LONG);
    for size in [0, 1, 5, 16_379, 16_384, 65_535, 65_536, 1 << 20, 4 << 20] {
        let body = Bytes::from(pattern(size));
        assert!(echo.call(&body).unwrap() == body, "a message of {size} bytes came back otherwise");
    }
}

#[test]
fn w38_the_receive_limit_is_4_mib_and_exact() {
    let served = Served::new();
    let channel = served.channel();
    let sized = channel.raw_unary_unary(SIZED).unwrap().timeout(LONG);
    assert_eq!(sized.call(&Bytes::from((4 << 20).to_string())).unwrap().len(), 4 << 20);
    let status = sized.call(&Bytes::from(((4 << 20) + 1).to_string())).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");

    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let status = echo.call(&Bytes::from(pattern((4 << 20) + 1))).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    // Neither end has lost its connection over it.
    assert_eq!(echo.call(&Bytes::from_static(b"still here")).unwrap(), b"still here"[..]);
}

#[test]
fn a_call_with_its_handle_tells_how_it_ended() {
    let served = Served::new();
    let echo = served.channel().raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let (reply, call) = echo.with_call(&Bytes::from_static(b"x")).unwrap();
    assert_eq!(reply, b"x"[..]);
    assert_eq!(call.code(), Code::Ok);
    assert!(!call.is_active());
    assert!(!call.cancel(), "what is over cannot be cancelled");
    assert_eq!(call.peer().as_deref(), Some(format!("ipv4:127.0.0.1:{}", served.port).as_str()));
}

#[test]
fn a_thousand_calls_at_once() {
    let served = Served::new();
    let channel = served.channel();
    within(LONG, move || {
        thread::scope(|scope| {
            for caller in 0..50 {
                let echo = channel.raw_unary_unary(ECHO).unwrap();
                scope.spawn(move || {
                    for n in 0..20 {
                        let body = Bytes::from(format!("{caller} {n}"));
                        assert_eq!(echo.call(&body).unwrap(), body);
                    }
                });
            }
        });
        let echo = channel.raw_unary_unary(ECHO).unwrap();
        let mut futures: Vec<_> =
            (0..1000).map(|n| echo.future(&Bytes::from(n.to_string()))).collect();
        for (n, future) in futures.iter_mut().enumerate() {
            assert_eq!(future.result(Some(LONG)).unwrap(), n.to_string());
        }
    });
    drop(served);
}

#[test]
fn a_path_checked_by_the_compiler_cannot_fail() {
    const PATH: MethodPath = MethodPath::from_static("/test.Test/Echo");
    let served = Served::new();
    let echo = served.channel().unary_unary_at::<Bytes, Bytes, _>(PATH, Raw).timeout(LONG);
    assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), b"x"[..]);
}

/// Turns bytes around; refuses what begins with `!`.
struct Backwards;

impl Codec<Vec<u8>> for Backwards {
    fn encode(&self, message: &Vec<u8>, into: &mut dyn BufMut) -> Result<(), Status> {
        if message.starts_with(b"!") {
            return Err(Status::internal("not this one"));
        }
        message.iter().rev().for_each(|byte| into.put_u8(*byte));
        Ok(())
    }

    fn decode(&self, bytes: Bytes) -> Result<Vec<u8>, Status> {
        if bytes.ends_with(b"?") {
            return Err(Status::internal("not that one"));
        }
        Ok(bytes.iter().rev().copied().collect())
    }
}

#[test]
fn any_codec_does_and_its_errors_are_the_calls() {
    let served = Served::new();
    let channel = served.channel();
    let echo =
        channel.unary_unary_with::<Vec<u8>, Vec<u8>, _>(ECHO, Backwards).unwrap().timeout(LONG);
    assert_eq!(echo.call(&b"abc".to_vec()).unwrap(), b"abc");
    let status = echo.call(&b"!abc".to_vec()).unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, "not this one"));
    let status = echo.call(&b"?abc".to_vec()).unwrap_err();
    let told = "the response of /test.Test/Echo, at the client: not that one";
    assert_eq!((status.code(), status.message()), (Code::Internal, told));
}

#[test]
fn prost_messages_need_no_codec() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Pair {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(sint64, tag = "2")]
        value: i64,
    }
    let swap =
        grpc_threads::unary_unary_rpc_method_handler(|request: Pair, _: &ServicerContext| {
            Ok(Pair { key: request.key.to_uppercase(), value: -request.value })
        });
    let served = Served::with(2, [("Swap", swap)]);
    let swap = served.channel().unary_unary::<Pair, Pair>("/test.Test/Swap").unwrap().timeout(LONG);
    let reply = swap.call(&Pair { key: "key".into(), value: 7 }).unwrap();
    assert_eq!(reply, Pair { key: "KEY".into(), value: -7 });
}

#[test]
fn w41_a_response_is_exactly_one_message() {
    let listener = Listener::new();
    let echo = channel(&listener.target()).raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        for messages in [0, 2] {
            let stream = peer.wait_request().stream;
            peer.respond_head(stream);
            for _ in 0..messages {
                peer.message(stream, b"m", false);
            }
            peer.respond_trailers(stream, 0);
        }
        // A status other than OK wins over the missing message.
        let stream = peer.wait_request().stream;
        peer.respond_head(stream);
        peer.respond_trailers(stream, 5);
        peer.wait_request()
    });
    for _ in 0..2 {
        let status = echo.call(&Bytes::new()).unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
    }
    assert_eq!(echo.call(&Bytes::new()).unwrap_err().code(), Code::NotFound);
    drop(echo.future(&Bytes::new()));
    server.join().unwrap();
}

#[test]
fn w41_a_request_is_exactly_one_message() {
    let served = Served::new();
    let mut peer = support::frames::Peer::connect(served.address());
    let none = peer.open(ECHO, &[]);
    peer.data(none, b"", true);
    assert_eq!(peer.wait_end(none).status(), Some(Code::Unimplemented as u32));
    let two = peer.open(ECHO, &[]);
    peer.message(two, b"one", false);
    peer.message(two, b"two", true);
    assert_eq!(peer.wait_end(two).status(), Some(Code::Unimplemented as u32));
    peer.assert_alive();
}

#[test]
fn w55_a_server_that_is_done_first_is_believed() {
    let listener = Listener::new();
    let sum = channel(&listener.target()).raw_stream_unary(SUM).unwrap().timeout(LONG);
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let stream = peer.wait_request().stream;
        peer.respond(stream, b"enough");
        peer.wait_for(|frame| {
            frame.stream == stream && (frame.kind == RST_STREAM || frame.ends_stream())
        });
    });
    let reply =
        within(LONG, move || sum.call(std::iter::repeat_n(Bytes::from(pattern(1000)), 100_000)));
    assert_eq!(reply.unwrap(), b"enough"[..]);
    server.join().unwrap();
}

/// The place of a call is free when its client knows the answer.
#[test]
fn calls_one_after_the_other_need_one_place() {
    let options = ServerOptions::default().maximum_concurrent_rpcs(1);
    let server =
        Server::builder().thread_pool(ThreadPool::new(4)).options(options).build().unwrap();
    let served = Served::start(server, "127.0.0.1:0", []);
    let channel = served.channel();
    let (echo, count) =
        (channel.raw_unary_unary(ECHO).unwrap(), channel.raw_unary_stream(COUNT).unwrap());
    for _ in 0..1000 {
        echo.call(&Bytes::from_static(b"one")).unwrap();
        let responses = count.call(&Bytes::from_static(b"2 10")).unwrap();
        assert_eq!(responses.map(Result::unwrap).count(), 2);
    }
}
