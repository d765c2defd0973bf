//! Deadlines: kept by the client whatever the network does, told to the server, kept there too.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use support::frames::{CANCEL, HEADERS, Listener, Peer, RST_STREAM};
use support::proxy::{Harm, Plan, Proxy};
use support::{LONG, eventually, pattern, timed, within};

/// The deadline in these tests, and how late the news of it may be on a busy machine.
const SHORT: Duration = Duration::from_millis(60);
const LATE: Duration = Duration::from_secs(5);
/// Time enough for a request to get to its handler.
const AMPLE: Duration = Duration::from_millis(500);

fn assert_expired<T>(took: Duration, outcome: Result<T, Status>) {
    assert_expired_after(SHORT, took, outcome);
}

fn assert_expired_after<T>(limit: Duration, took: Duration, outcome: Result<T, Status>) {
    let status = outcome.map(drop).expect_err("the deadline has passed");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(took >= limit, "after {took:?} only");
    assert!(took < limit + LATE, "after {took:?}");
}

/// A method that waits until its call is over, and says so.
fn patient(over: mpsc::Sender<bool>) -> RpcMethodHandler {
    unary(move |_, context| {
        eventually(LONG, "the call ends", || !context.is_active());
        let _ = over.send(context.cancelled());
        Ok(Bytes::new())
    })
}

#[test]
fn a_unary_call_ends_at_its_deadline_and_so_does_its_handler() {
    let (over, ended) = mpsc::channel();
    let served = Served::with(2, [("Patient", patient(over))]);
    let patient = served.channel().raw_unary_unary("/test.Test/Patient").unwrap();
    let (took, outcome) = timed(|| patient.timeout(AMPLE).call(&Bytes::new()));
    assert_expired_after(AMPLE, took, outcome);
    assert!(ended.recv_timeout(LONG).unwrap());
}

#[test]
fn every_way_to_wait_ends_at_the_deadline() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.credits = false;
        peer.drain()
    });
    let body = Bytes::from(pattern(100_000));

    let unary = channel.raw_unary_unary(ECHO).unwrap().timeout(SHORT);
    let (took, outcome) = timed(|| unary.call(&body));
    assert_expired(took, outcome);
    let (took, outcome) = timed(|| unary.future(&body).result(None).map_err(Status::from));
    assert_expired(took, outcome);

    let count = channel.raw_unary_stream(COUNT).unwrap().timeout(SHORT);
    let (took, outcome) = timed(|| count.call(&body).and_then(|mut responses| responses.recv()));
    assert_expired(took, outcome);

    // The peer gives no credit: `send` waits, and the iterator is endless.
    let sum = channel.raw_stream_unary(SUM).unwrap().timeout(SHORT);
    let (took, outcome) = timed(|| sum.call(std::iter::repeat(body.clone())));
    assert_expired(took, outcome);
    let bidi = channel.raw_stream_stream(BIDI).unwrap().timeout(SHORT);
    let (took, outcome) = timed(|| {
        let mut duplex = bidi.open();
        loop {
            duplex.send(&body)?;
        }
        #[allow(unreachable_code, reason = "tells the closure's type")]
        Ok(())
    });
    assert_expired(took, outcome);
    let (took, outcome) = timed(|| bidi.call(std::iter::repeat(body.clone())).recv());
    assert_expired(took, outcome);

    channel.close();
    server.join().unwrap();
}

#[test]
fn a_deadline_holds_while_the_peer_says_nothing_at_all() {
    // Accepted by the kernel, served by nobody: no SETTINGS ever come.
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(SHORT);
    let (took, outcome) = timed(|| echo.call(&Bytes::new()));
    assert_expired(took, outcome);
    let (took, outcome) = timed(|| echo.wait_for_ready(true).call(&Bytes::new()));
    let told = outcome.as_ref().unwrap_err().to_string();
    let target = listener.target();
    assert!(
        told.contains(&format!("first word of {target}, which is CONNECTING: it takes")),
        "{told}"
    );
    assert_expired(took, outcome);
}

#[test]
fn l5_a_deadline_holds_while_the_socket_is_full() {
    let served = Served::new();
    let proxy = Proxy::new(served.address());
    proxy.next(Plan::up(100_000, Harm::Stall));
    let channel = channel(&proxy.target());
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    assert_eq!(echo.timeout(LONG).call(&Bytes::from_static(b"up")).unwrap(), b"up"[..]);
    let body = Bytes::from(pattern(4 << 20));
    let (took, outcome) = timed(|| echo.timeout(SHORT).call(&body));
    assert_expired(took, outcome);
    // And again, now that everything before it is stuck.
    let (took, outcome) = timed(|| echo.timeout(SHORT).call(&body));
    assert_expired(took, outcome);
}

#[test]
fn w4_zero_and_the_past_never_reach_the_wire() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        assert_eq!(request.field(":path").as_deref(), Some("/test.Test/First"));
        peer.respond(request.stream, b"");
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let past = Instant::now();
    for (call, words) in [
        (echo.timeout(Duration::ZERO), "option `timeout` leaves no time"),
        (echo.deadline(past).timeout(LONG), "option `deadline`"),
    ] {
        let status = call.call(&Bytes::new()).unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        for status in [status, call.future(&Bytes::new()).result(None).unwrap_err().into()] {
            let told = status.to_string();
            assert!(told.contains(words) && told.contains("call began"), "{told}");
        }
    }
    // Longer than time itself is no deadline.
    let first = channel.raw_unary_unary("/test.Test/First").unwrap().timeout(Duration::MAX);
    first.call(&Bytes::new()).unwrap();
    server.join().unwrap();
}

#[test]
fn w56_the_server_is_told_and_the_stream_is_reset() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        let timeout = request.field("grpc-timeout").expect("the deadline is told");
        let (digits, unit) = timeout.split_at(timeout.len() - 1);
        assert!(digits.len() <= 8 && "HMSmun".contains(unit), "{timeout}");
        let reset = peer.wait_kind(RST_STREAM);
        assert_eq!((reset.stream, reset.code()), (request.stream, CANCEL));
        let free = peer.wait_request();
        assert_eq!(free.field("grpc-timeout"), None);
        peer.respond(free.stream, b"");
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    channel.wait_ready(Some(LONG)).unwrap();
    let (took, outcome) = timed(|| echo.timeout(AMPLE).call(&Bytes::new()));
    assert_expired_after(AMPLE, took, outcome);
    echo.call(&Bytes::new()).unwrap();
    server.join().unwrap();
}

#[test]
fn the_server_keeps_the_deadline_without_the_client() {
    let (over, ended) = mpsc::channel();
    let served = Served::with(2, [("Patient", patient(over))]);
    let mut peer = Peer::connect(served.address());
    let stream = peer.open("/test.Test/Patient", &[("grpc-timeout", "500m")]);
    peer.message(stream, b"", true);
    let end = peer.wait_end(stream);
    // The client may be told either way; both are what gRPC servers do.
    assert!(
        end.reset == Some(CANCEL) || end.status() == Some(Code::DeadlineExceeded as u32),
        "{end:?}"
    );
    assert!(ended.recv_timeout(LONG).unwrap());
    peer.assert_alive();
}

#[test]
fn w15_a_timeout_that_is_none_is_an_error_and_zero_runs_no_handler() {
    let served = Served::with(2, [("Never", unary(|_, _| panic!("the handler ran")))]);
    let mut peer = Peer::connect(served.address());
    for bad in ["", "1", "m", "1x", "123456789m", "-1m", "+1m", "1 m", " 1m", "0m", "0n"] {
        let stream = peer.open("/test.Test/Never", &[("grpc-timeout", bad)]);
        peer.message(stream, b"", true);
        let end = peer.wait_end(stream);
        assert!(end.status().unwrap_or(u32::MAX) != Code::Ok as u32, "{bad:?}: {end:?}");
        let expired =
            end.status() == Some(Code::DeadlineExceeded as u32) || end.reset == Some(CANCEL);
        assert_eq!(expired, bad.starts_with('0'), "{bad:?}: {end:?}");
    }
    let clamped = peer.open(ECHO, &[("grpc-timeout", "99999999H")]);
    peer.message(clamped, b"x", true);
    assert_eq!(peer.wait_end(clamped).messages(), [b"x"]);
}

#[test]
fn a_handler_sees_what_time_is_left() {
    let left = unary(|_, context| {
        Ok(Bytes::from(format!("{:?}", context.time_remaining().map(|left| left <= LONG))))
    });
    let served = Served::with(2, [("Left", left)]);
    let left = served.channel().raw_unary_unary("/test.Test/Left").unwrap();
    assert_eq!(left.timeout(LONG).call(&Bytes::new()).unwrap(), b"Some(true)"[..]);
    assert_eq!(left.call(&Bytes::new()).unwrap(), b"None"[..]);
}

#[test]
fn a_deadline_holds_while_every_worker_is_busy() {
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let (begun, begins) = mpsc::channel();
    let hold = unary(move |_, _| {
        begun.send(()).unwrap();
        let _ = held.lock().unwrap().recv_timeout(LONG);
        Ok(Bytes::new())
    });
    let served = Served::with(1, [("Hold", hold)]);
    let channel = served.channel();
    let mut holding = channel.raw_unary_unary("/test.Test/Hold").unwrap().future(&Bytes::new());
    begins.recv_timeout(LONG).unwrap();
    let mut peer = Peer::connect(served.address());
    let stream = peer.open(ECHO, &[("grpc-timeout", "50m")]);
    peer.message(stream, b"late", true);
    let end = peer.wait_end(stream);
    assert_ne!(end.status(), Some(0), "{end:?}");
    release.send(()).unwrap();
    within(LONG, move || holding.result(Some(LONG)).unwrap());
    let again = peer.request(ECHO, b"x");
    assert_eq!(
        peer.wait_for(|frame| frame.kind == HEADERS && frame.stream == again)
            .field(":status")
            .unwrap(),
        "200"
    );
    drop(served);
}
