//! Cancelling: from any thread, by dropping, and what the other side sees of it.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use support::frames::{CANCEL, Listener, Peer, RST_STREAM};
use support::{LONG, pattern, timed, within};

/// A peer that answers nothing until the client has reset `count` streams, then every call.
fn silent(listener: Listener, count: usize) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut peer = listener.accept();
        for _ in 0..count {
            let request = peer.wait_request();
            let reset =
                peer.wait_for(|frame| frame.kind == RST_STREAM && frame.stream == request.stream);
            assert_eq!(reset.code(), CANCEL);
        }
        // The connection has survived all of it.
        let request = peer.wait_request();
        peer.respond(request.stream, b"alive");
    })
}

#[test]
fn l22_dropping_any_handle_resets_its_stream_and_does_not_wait() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = silent(listener, 5);
    channel.wait_ready(Some(LONG)).unwrap();
    let nothing = Bytes::new();
    let quick = |took: Duration| assert!(took < Duration::from_secs(2), "a drop took {took:?}");

    let future = channel.raw_unary_unary(ECHO).unwrap().future(&nothing);
    quick(timed(|| drop(future)).0);
    let responses = channel.raw_unary_stream(COUNT).unwrap().call(&nothing).unwrap();
    quick(timed(|| drop(responses)).0);
    let (sender, reply) = channel.raw_stream_unary(SUM).unwrap().open();
    quick(timed(|| drop(reply)).0);
    drop(sender);
    let bidi = channel.raw_stream_stream(BIDI).unwrap();
    let duplex = bidi.open();
    quick(timed(|| drop(duplex)).0);
    let exchange = bidi.call(std::iter::once(nothing.clone()));
    quick(timed(|| drop(exchange)).0);

    assert_eq!(
        channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).call(&nothing).unwrap(),
        b"alive"[..]
    );
    server.join().unwrap();
}

#[test]
fn another_thread_may_cancel_a_wait() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = silent(listener, 2);
    channel.wait_ready(Some(LONG)).unwrap();
    let mut responses = channel.raw_unary_stream(COUNT).unwrap().call(&Bytes::new()).unwrap();
    let handle = responses.handle();
    let waiting = thread::spawn(move || responses.recv());
    // Whether it waits already or not yet: the wait ends.
    assert!(handle.cancel());
    assert!(!handle.cancel(), "it was over already");
    let status = within(LONG, move || waiting.join().unwrap().unwrap_err());
    assert_eq!(status.code(), Code::Cancelled);

    let mut future = channel.raw_unary_unary(ECHO).unwrap().future(&Bytes::new());
    let handle = future.handle();
    let waiting = thread::spawn(move || {
        (matches!(future.result(None), Err(ResultError::Cancelled)), future.cancelled())
    });
    handle.cancel();
    assert_eq!(within(LONG, move || waiting.join().unwrap()), (true, true));
    assert_eq!(
        channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).call(&Bytes::new()).unwrap(),
        b"alive"[..]
    );
    server.join().unwrap();
}

#[test]
fn a_leader_that_is_cancelled_hands_the_connection_on() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let (cancelled, go) = mpsc::channel::<()>();
    let (arrived, both) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let first = peer.wait_request();
        let second = peer.wait_request();
        arrived.send(()).unwrap();
        go.recv_timeout(LONG).unwrap();
        for request in [first, second] {
            peer.respond(request.stream, b"late");
        }
        peer.drain();
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let mut first = echo.future(&Bytes::new());
    let handle = first.handle();
    let leading = thread::spawn(move || drop(first.result(None)));
    let second = echo.timeout(LONG);
    let parked = thread::spawn(move || second.call(&Bytes::new()));
    both.recv_timeout(LONG).unwrap();
    handle.cancel();
    leading.join().unwrap();
    cancelled.send(()).unwrap();
    assert_eq!(within(LONG, move || parked.join().unwrap()).unwrap(), b"late"[..]);
    channel.close();
    server.join().unwrap();
}

#[test]
fn a_handler_sees_the_cancel_and_its_callback_runs() {
    let (seen, ended) = mpsc::channel();
    let watching = by_hand(move |stream, context| {
        let called = seen.clone();
        assert!(context.add_callback(move || called.send("callback").unwrap()));
        assert!(context.is_active());
        stream.send(&Bytes::new())?;
        let status = stream.recv().unwrap_err();
        assert_eq!(status.code(), Code::Cancelled);
        assert!(context.cancelled() && !context.is_active());
        assert!(stream.send(&Bytes::new()).is_err());
        seen.send("handler").unwrap();
        Err(status)
    });
    let served = Served::with(2, [("Watching", watching)]);
    let mut duplex = served.channel().raw_stream_stream("/test.Test/Watching").unwrap().open();
    duplex.recv().unwrap();
    duplex.cancel();
    let mut said = [ended.recv_timeout(LONG).unwrap(), ended.recv_timeout(LONG).unwrap()];
    said.sort_unstable();
    assert_eq!(said, ["callback", "handler"]);
}

#[test]
fn a_lost_connection_cancels_its_handlers() {
    let (seen, ended) = mpsc::channel();
    let watching = by_hand(move |stream, context| {
        seen.send(false).unwrap();
        let outcome = stream.recv();
        seen.send(outcome.is_err() && context.cancelled()).unwrap();
        Ok(())
    });
    let served = Served::with(2, [("Watching", watching)]);
    let mut peer = Peer::connect(served.address());
    peer.open("/test.Test/Watching", &[]);
    assert!(!ended.recv_timeout(LONG).unwrap());
    peer.abort();
    assert!(ended.recv_timeout(LONG).unwrap(), "W57");
}

#[test]
fn a_handler_may_cancel_its_own_call() {
    let served = Served::with(
        2,
        [(
            "Own",
            unary(|_, context| {
                assert!(context.cancel());
                Ok(Bytes::new())
            }),
        )],
    );
    let own = served.channel().raw_unary_unary("/test.Test/Own").unwrap().timeout(LONG);
    assert_eq!(own.call(&Bytes::new()).unwrap_err().code(), Code::Cancelled);
}

#[test]
fn l23_cancel_against_answer_has_one_outcome_each_time() {
    let served = Served::new();
    let channel = served.channel();
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    within(LONG * 2, move || {
        let (mut answered, mut cancelled) = (0, 0);
        let (handles, cancel) = mpsc::channel::<grpc_threads::Call>();
        let canceller = thread::spawn(move || cancel.iter().filter(|call| call.cancel()).count());
        for n in 0..2000 {
            let mut future = echo.future(&Bytes::from_static(b"x"));
            handles.send(future.handle()).unwrap();
            match future.result(Some(LONG)) {
                Ok(reply) => {
                    assert_eq!(reply, b"x"[..]);
                    answered += 1;
                }
                Err(ResultError::Cancelled) => cancelled += 1,
                Err(other) => panic!("call {n} ended with {other:?}"),
            }
        }
        drop(handles);
        canceller.join().unwrap();
        assert_eq!(answered + cancelled, 2000);
        // No stream was left behind: as many as the server allows are free at once.
        let mut all: Vec<_> = (0..100).map(|_| echo.future(&Bytes::from_static(b"y"))).collect();
        assert!(all.iter_mut().all(|future| future.result(Some(LONG)).unwrap() == b"y"[..]));
    });
    drop(served);
}

#[test]
fn l25_cancelled_downloads_leave_the_connection_its_credit() {
    let served = Served::new();
    let channel = served.channel();
    let count = channel.raw_unary_stream(COUNT).unwrap();
    within(LONG * 2, move || {
        for _ in 0..300 {
            // A good deal is under way when it is cancelled.
            let mut responses = count.call(&Bytes::from_static(b"100 60000")).unwrap();
            responses.recv().unwrap();
        }
        let (all, _) = count
            .timeout(LONG)
            .call(&Bytes::from_static(b"100 60000"))
            .unwrap()
            .collect_all()
            .unwrap();
        assert!(all.len() == 100 && all.iter().all(|message| *message == pattern(60_000)));
    });
    drop(served);
}

#[test]
fn closing_the_channel_ends_its_calls() {
    let (seen, ended) = mpsc::channel();
    let waiting = by_hand(move |stream, _| {
        stream.send(&Bytes::new())?;
        let outcome = stream.recv().map(drop);
        seen.send(outcome.is_err()).unwrap();
        outcome
    });
    let served = Served::with(2, [("Waiting", waiting)]);
    let channel = served.channel();
    let mut duplex = channel.raw_stream_stream("/test.Test/Waiting").unwrap().open();
    duplex.recv().unwrap();
    let reading = thread::spawn(move || duplex.recv());
    channel.close();
    let status = within(LONG, move || reading.join().unwrap().unwrap_err());
    assert_eq!(status.code(), Code::Cancelled, "{status:?}");
    assert!(ended.recv_timeout(LONG).unwrap());
    channel.close();
    assert!(echo_of(&channel).is_err(), "a closed channel makes no calls");
}

fn echo_of(channel: &Channel) -> Result<Bytes, Status> {
    channel.raw_unary_unary(ECHO)?.timeout(LONG).call(&Bytes::new())
}
