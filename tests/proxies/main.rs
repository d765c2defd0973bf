//! Calls through nginx (`grpc_pass`) and haproxy (`proto h2`): what passes, and what calls come to where a proxy ends them.
//!
//! `tests/peers/run.sh proxies` installs both and runs this; `cargo test` alone leaves it out.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/service.rs"]
mod service;

mod behind;

use std::time::Duration;

use behind::{Behind, HAPROXY, NGINX};
use bytes::Bytes;
use grpc_threads::{Code, Metadata, Status};
use service::{BIDI, COUNT, ECHO, FAIL, SUM};
use support::{LONG, within};

/// Longer than the proxies' own patience with a silent server.
const SILENT: Duration = Duration::from_secs(10);

fn x(len: usize) -> Bytes {
    Bytes::from(vec![b'x'; len])
}

fn code_of(behind: &Behind, path: &str, request: &Bytes) -> Status {
    let method = behind.channel.raw_unary_unary(path).unwrap().timeout(LONG);
    method.call(request).unwrap_err()
}

/// All four kinds, in order and whole.
fn four_kinds(behind: &Behind) {
    let echo = behind.channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    for len in [0, 1, 16_384, 300_000] {
        assert_eq!(echo.call(&x(len)).unwrap(), x(len));
    }
    let count = behind.channel.raw_unary_stream(COUNT).unwrap().timeout(LONG);
    let (all, _) = count.call(&Bytes::from_static(b"200 1000")).unwrap().collect_all().unwrap();
    assert_eq!((all.len(), all.iter().map(Bytes::len).sum::<usize>()), (200, 200_000));
    let sum = behind.channel.raw_stream_unary(SUM).unwrap().timeout(LONG);
    assert_eq!(sum.call((0..200).map(|_| x(1000))).unwrap(), "200 200000");
    let bidi = behind.channel.raw_stream_stream(BIDI).unwrap().timeout(LONG);
    let mut chat = bidi.open();
    for n in 0..100 {
        chat.send(&x(n)).unwrap();
        assert_eq!(chat.recv().unwrap().unwrap(), x(n), "ping-pong is not held back");
    }
    chat.done_writing().unwrap();
    assert!(chat.recv().unwrap().is_none());
}

/// What the server says of an error arrives as it was said.
fn errors(behind: &Behind) {
    for (code, text) in [(Code::NotFound, "no such thing"), (Code::Aborted, "größer %41")] {
        let request = Bytes::from(format!("{} {text}", code as i32));
        let status = code_of(behind, FAIL, &request);
        assert_eq!((status.code(), status.message()), (code, text));
    }
    assert_eq!(code_of(behind, "/test.Test/None", &x(0)).code(), Code::Unimplemented);
}

/// A call that waits is over at its deadline, and by a cancel; and the server hears of both.
fn ends(behind: &Behind) {
    let wait = behind.channel.raw_unary_unary(behind::WAIT).unwrap();
    let late = wait.clone().timeout(Duration::from_millis(300)).call(&x(0)).unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    behind.began();
    behind.heard();
    let mut call = wait.timeout(LONG).future(&x(0));
    behind.began();
    assert!(call.cancel());
    assert_eq!(Status::from(call.result(Some(LONG)).unwrap_err()).code(), Code::Cancelled);
    behind.heard();
}

/// A connection that the proxy ends after so many requests costs no call.
fn many(behind: &Behind) {
    let echo = behind.channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let all = std::thread::scope(|scope| {
        let calls = || (0..500).filter(|_| echo.call(&x(10)).is_ok()).count();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(calls)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(all, 4_000);
}

/// With its server gone, calls are UNAVAILABLE and say what the proxy said.
fn no_server(behind: &mut Behind, http: &str) {
    behind.stop_server();
    let status = code_of(behind, ECHO, &x(0));
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains(http), "{status}");
}

/// A new configuration while a stream is open: the stream goes on to its end, and no call is lost.
fn reload(behind: &Behind) {
    let mut chat = behind.channel.raw_stream_stream(BIDI).unwrap().timeout(LONG).open();
    chat.send(&x(1)).unwrap();
    assert_eq!(chat.recv().unwrap().unwrap(), x(1));
    behind.reload();
    let echo = behind.channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    for n in 0..30 {
        (0..100).for_each(|_| assert!(echo.call(&x(10)).is_ok(), "a reload costs no call"));
        chat.send(&x(n)).unwrap();
        assert_eq!(chat.recv().unwrap().unwrap(), x(n));
    }
    chat.done_writing().unwrap();
    assert!(chat.recv().unwrap().is_none());
}

#[test]
fn nginx() {
    within(LONG * 6, || {
        let mut behind = Behind::new(&NGINX);
        four_kinds(&behind);
        errors(&behind);
        ends(&behind);
        many(&behind);
        reload(&behind);

        // More than `client_max_body_size`, 1 MiB by default: 413 is no status of gRPC's.
        let status = code_of(&behind, ECHO, &x(1_100_000));
        assert_eq!(status.code(), Code::Unknown, "{status}");
        assert!(status.message().contains("413"), "{status}");

        // A server that says nothing for `grpc_read_timeout`: 504 before its headers, a reset behind them.
        let wait = behind.channel.raw_unary_unary(behind::WAIT).unwrap().timeout(SILENT);
        let status = wait.call(&x(0)).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains("504"), "{status}");
        let mut silent = behind.channel.raw_stream_stream(BIDI).unwrap().timeout(SILENT).open();
        silent.send(&x(1)).unwrap();
        assert!(silent.recv().unwrap().is_some());
        let status = silent.recv().unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{status}");

        // A field of 10 KiB: the whole connection goes, with ENHANCE_YOUR_CALM.
        let mut metadata = Metadata::new();
        metadata.insert("long", &"v".repeat(10_240)).unwrap();
        let echo = behind.channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
        let status = echo.clone().metadata(&metadata).call(&x(0)).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains("ENHANCE_YOUR_CALM"), "{status}");
        echo.wait_for_ready(true).call(&x(0)).expect("the next one has a connection of its own");

        // Headers of an answer above `grpc_buffer_size`: 502.
        let status = code_of(&behind, behind::HEADERS, &Bytes::from_static(b"8000"));
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains("502"), "{status}");
        no_server(&mut behind, "502");
    });
}

#[test]
fn haproxy() {
    within(LONG * 6, || {
        let mut behind = Behind::new(&HAPROXY);
        four_kinds(&behind);
        errors(&behind);
        ends(&behind);
        many(&behind);

        let echo = behind.channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
        assert_eq!(echo.call(&x(2_000_000)).unwrap().len(), 2_000_000, "it has no such limit");
        let mut metadata = Metadata::new();
        metadata.insert("long", &"v".repeat(10_240)).unwrap();
        echo.metadata(&metadata).call(&x(0)).expect("nor that one");

        // A server that says nothing for `timeout server`: 504 before its headers, an end without a status behind them.
        let wait = behind.channel.raw_unary_unary(behind::WAIT).unwrap().timeout(SILENT);
        let status = wait.call(&x(0)).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains("504"), "{status}");
        let mut silent = behind.channel.raw_stream_stream(BIDI).unwrap().timeout(SILENT).open();
        silent.send(&x(1)).unwrap();
        assert!(silent.recv().unwrap().is_some());
        let status = silent.recv().unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{status}");
        assert!(status.message().contains("without trailers"), "{status}");
        no_server(&mut behind, "503");
    });
}
