//! GOAWAY and what comes after it: no call is lost that need not be, none is made twice.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::thread;
use std::time::Duration;
use support::LONG;
use support::frames::{
    ENHANCE_YOUR_CALM, Listener, MAX_CONCURRENT_STREAMS, NO_ERROR, REFUSED_STREAM,
};
use support::logged::{self, logged};

/// The answer to a call that a scripted server takes part in.
fn call_with(server: impl FnOnce(Listener) + Send + 'static) -> Result<Bytes, Status> {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || server(listener));
    let outcome =
        channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).call(&Bytes::from_static(b"x"));
    channel.close();
    server.join().unwrap();
    outcome
}

#[test]
fn w68_a_stream_below_the_last_one_finishes() {
    let reply = call_with(|listener| {
        let mut peer = listener.accept();
        let stream = peer.wait_request().stream;
        peer.goaway(0x7fff_ffff, NO_ERROR);
        peer.goaway(stream, NO_ERROR);
        peer.respond(stream, b"after");
        // The client closes when it has drained.
        peer.drain();
    });
    assert_eq!(reply.unwrap(), b"after"[..]);
}

#[test]
fn w69_a_stream_above_the_last_one_is_made_again_elsewhere() {
    let reply = call_with(|listener| {
        let mut peer = listener.accept();
        let first = peer.wait_request();
        peer.goaway(0, NO_ERROR);
        let mut other = listener.accept();
        let second = other.wait_request();
        assert_eq!(second.field(":path"), first.field(":path"));
        other.respond(second.stream, b"second");
        other.drain();
    });
    assert_eq!(reply.unwrap(), b"second"[..]);
}

#[test]
fn w69_a_refused_stream_is_made_again() {
    let reply = call_with(|listener| {
        let mut peer = listener.accept();
        let first = peer.wait_request().stream;
        peer.reset(first, REFUSED_STREAM);
        let second = peer.wait_request().stream;
        assert!(second > first);
        peer.respond(second, b"second");
        peer.drain();
    });
    assert_eq!(reply.unwrap(), b"second"[..]);
}

#[test]
fn w69_but_not_for_ever() {
    let reply = call_with(|listener| {
        let mut peer = listener.accept();
        while let Some(frame) = peer.next() {
            if frame.kind == support::frames::HEADERS {
                peer.reset(frame.stream, REFUSED_STREAM);
            }
        }
    });
    assert_eq!(reply.unwrap_err().code(), Code::Unavailable);
}

#[test]
fn w69_never_once_an_answer_has_begun() {
    let reply = call_with(|listener| {
        let mut peer = listener.accept();
        let stream = peer.wait_request().stream;
        peer.respond_head(stream);
        peer.reset(stream, REFUSED_STREAM);
        // No second try: the next thing is the end of the channel.
        assert!(peer.drain().iter().all(|frame| frame.kind != support::frames::HEADERS));
    });
    assert_eq!(reply.unwrap_err().code(), Code::Unavailable);
}

#[test]
fn a_goaway_before_the_first_call_costs_no_call() {
    let listener = Listener::new();
    let target = listener.target();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let first = peer.wait_request().stream;
        peer.respond(first, b"one");
        peer.goaway(first, NO_ERROR);
        peer.drain();
        let mut other = listener.accept();
        let second = other.wait_request().stream;
        other.respond(second, b"two");
        other.drain();
    });
    let channel = channel(&target);
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    assert_eq!(echo.call(&Bytes::new()).unwrap(), b"one"[..]);
    assert_eq!(echo.call(&Bytes::new()).unwrap(), b"two"[..]);
    channel.close();
    server.join().unwrap();
}

#[test]
fn w57_the_text_of_a_goaway_is_told() {
    let reply = call_with(|listener| {
        let mut peer = listener.accept();
        let stream = peer.wait_request().stream;
        let payload =
            [&stream.to_be_bytes()[..], &ENHANCE_YOUR_CALM.to_be_bytes(), b"too_many_pings"]
                .concat();
        peer.frame(support::frames::GOAWAY, 0, 0, &payload);
        peer.shutdown_write();
        peer.drain();
    });
    let status = reply.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let text = format!("{status:?} {}", status.debug_error_string());
    assert!(text.contains("too_many_pings"), "{text}");
}

#[test]
fn k2_too_many_pings_are_logged_and_fewer_are_sent_from_then_on() {
    logged::listen(log::LevelFilter::Warn);
    let listener = Listener::new();
    let target = listener.target();
    let second = Duration::from_secs(1);
    let channel = grpc_threads::Channel::builder(&target).keepalive(second, second, false);
    let channel = channel.reconnect_backoff(Duration::ZERO, Duration::ZERO).connect_lazily();
    let channel = channel.unwrap();
    assert_eq!(logged::count(&["keepalive after 1s", "10s"]), 1, "it is raised");
    for seconds in [20, 40] {
        channel.state(true);
        let mut peer = listener.accept();
        channel.wait_ready(Some(LONG)).unwrap();
        for _ in 0..2 {
            let payload =
                [&[0; 4], &ENHANCE_YOUR_CALM.to_be_bytes()[..], b"too_many_pings"].concat();
            peer.frame(support::frames::GOAWAY, 0, 0, &payload);
        }
        peer.shutdown_write();
        assert!(channel.wait_for_state_change(grpc_threads::Connectivity::Ready, Some(LONG)));
        let words = [target.as_str(), &format!("{seconds}s from now on")];
        assert!(logged(&words));
        assert_eq!(logged::count(&words), 1);
    }
    assert_eq!(logged::count(&["from now on"]), 2, "once for each connection");
}

#[test]
fn a_stream_that_never_left_waits_for_the_next_connection() {
    // W66: no stream is free; then the connection goes away.
    let reply = call_with(|listener| {
        let mut peer = listener.accept_with(&[(MAX_CONCURRENT_STREAMS, 0)]);
        peer.assert_alive();
        peer.goaway(0, NO_ERROR);
        let mut other = listener.accept();
        let request = other.wait_request();
        other.respond(request.stream, b"at last");
        other.drain();
    });
    assert_eq!(reply.unwrap(), b"at last"[..]);
}
