//! What a server tells its log of requests that never reach a handler, or not whole.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::sync::{Condvar, Mutex};
use support::LONG;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static MORE: Condvar = Condvar::new();

/// Keeps what it is told.
struct Keep;

impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        MORE.notify_all();
    }

    fn flush(&self) {}
}

/// Whether a line with all these parts comes: the answer may be out before it.
fn logged(parts: &[&str]) -> bool {
    let has = |line: &String| parts.iter().all(|part| line.contains(part));
    let lines = LINES.lock().unwrap();
    let waited = MORE.wait_timeout_while(lines, LONG, |lines| !lines.iter().any(has)).unwrap();
    !waited.1.timed_out()
}

#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(string, tag = "1")]
    key: String,
}

#[test]
fn a_request_that_no_handler_sees_is_told_with_its_method_and_peer() {
    log::set_logger(&Keep).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
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
    assert!(logged(&["DEBUG", "/test.Test/Put", "decoded as Put"]));
}
