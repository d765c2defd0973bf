//! Flow control: the programs that deadlock lesser designs, the bound on memory, and the queue for a free stream.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use support::frames::{
    DATA, INITIAL_WINDOW_SIZE, Listener, MAX_CONCURRENT_STREAMS, Peer, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};
use support::leaks::resident;
use support::{LONG, alone, eventually, pattern, within};

#[test]
fn a_call_for_each_message_of_a_flooding_stream() {
    let served = Served::new();
    let channel = served.channel();
    within(LONG * 2, move || {
        let count = channel.raw_unary_stream(COUNT).unwrap();
        let echo = channel.raw_unary_unary(ECHO).unwrap();
        let mut calls = 0;
        for message in count.call(&Bytes::from_static(b"500 100000")).unwrap() {
            let message = message.unwrap();
            assert!(echo.call(&message).unwrap() == message);
            calls += 1;
        }
        assert_eq!(calls, 500);
    });
    drop(served);
}

#[test]
fn a_large_reply_that_nobody_looks_at_yet() {
    let served = Served::new();
    let channel = served.channel();
    within(LONG * 2, move || {
        let sized = channel.raw_unary_unary(SIZED).unwrap();
        let echo = channel.raw_unary_unary(ECHO).unwrap();
        let mut future = sized.future(&Bytes::from((4 << 20).to_string()));
        // Comes without anybody's waiting for it.
        eventually(LONG, "the reply is there", || future.done());
        assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), b"x"[..]);
        assert!(future.result(None).unwrap() == pattern(4 << 20));
    });
    drop(served);
}

#[test]
fn a_hundred_large_replies_taken_last_first() {
    let _alone = alone();
    let served = Served::new();
    let channel = served.channel();
    within(LONG * 2, move || {
        let sized = channel.raw_unary_unary(SIZED).unwrap();
        let futures: Vec<_> =
            (0..100).map(|_| sized.future(&Bytes::from((4 << 20).to_string()))).collect();
        for (n, mut future) in futures.into_iter().enumerate().rev() {
            assert!(future.result(None).unwrap().len() == 4 << 20, "reply {n}");
        }
    });
    drop(served);
}

#[test]
fn all_handlers_blocked_and_the_rest_goes_on() {
    let (seen, cancels) = mpsc::channel();
    let blocked = by_hand(move |stream, _| {
        stream.send(&Bytes::from_static(b"here"))?;
        let outcome = stream.recv().map(drop);
        let _ = seen.send(outcome.is_err());
        outcome
    });
    // Without spares, which would run the calls that wait here.
    let pool = ThreadPool::builder(3).spares(0).build();
    let served = Served::start(grpc_threads::server(pool), "127.0.0.1:0", [("Blocked", blocked)]);
    let channel = served.channel();
    let call = channel.raw_stream_stream("/test.Test/Blocked").unwrap();
    let mut holding: Vec<_> = (0..3).map(|_| call.open()).collect();
    for duplex in &mut holding {
        assert_eq!(duplex.recv().unwrap().unwrap(), b"here"[..]);
    }
    // Every worker is blocked in `recv`. A new connection is accepted, greeted, and its pings are answered.
    let mut peer = Peer::connect(served.address());
    peer.assert_alive();
    // A deadline holds for a call that cannot begin.
    let stream = peer.open(ECHO, &[("grpc-timeout", "50m")]);
    peer.message(stream, b"x", true);
    assert_ne!(peer.wait_end(stream).status(), Some(0));
    // A cancel reaches its handler, and frees a worker for the next call.
    let first = holding.remove(0);
    first.cancel();
    assert!(cancels.recv_timeout(LONG).unwrap());
    let stream = peer.request(ECHO, b"free");
    assert_eq!(peer.wait_end(stream).messages(), [b"free"]);
    for duplex in &mut holding {
        duplex.done_writing().unwrap();
        assert!(duplex.recv().unwrap().is_none());
    }
}

/// A method that takes its stream and reads nothing until it is let go; then it counts what came.
fn unread() -> (RpcMethodHandler, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let handler = by_hand(move |stream, _| {
        let mut stream = stream.detach();
        let wait = wait.clone();
        thread::spawn(move || {
            let _ = wait.lock().unwrap().recv_timeout(LONG);
            let mut size = 0;
            while let Ok(Some(message)) = stream.recv() {
                size += message.len();
            }
            let _ = stream.send(&Bytes::from(size.to_string()));
            stream.finish(Ok(()));
        });
        Ok(())
    });
    (handler, go)
}

#[test]
fn a_stream_that_nobody_reads_gets_its_window_and_no_more() {
    let (handler, go) = unread();
    let served = Served::with(2, [("Unread", handler)]);
    let mut peer = Peer::connect(served.address());
    let stream = peer.open("/test.Test/Unread", &[]);
    // In messages of 1000 bytes, as much as the first window takes.
    let message = support::frames::message(&pattern(995));
    for _ in 0..65 {
        peer.data(stream, &message, false);
    }
    peer.assert_alive();
    // Whatever was credited: never more than the connection's own and nothing for the stream.
    let mut credit = 0;
    while let Some(frame) = peer.next_ready() {
        if frame.kind == WINDOW_UPDATE && frame.stream == stream {
            credit += u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
        }
    }
    assert!(credit <= 65_535, "{credit} bytes of credit for a stream that nobody reads");
    go.send(()).unwrap();
    peer.data(stream, b"", true);
    let end = peer.wait_end(stream);
    assert_eq!(end.messages(), [b"64675"]);
}

#[test]
fn memory_is_bounded_whatever_is_left_unread() {
    let _alone = alone();
    let (handler, go) = unread();
    let served = Served::with(2, [("Unread", handler)]);
    let channel = served.channel();
    let call = channel.raw_stream_stream("/test.Test/Unread").unwrap();
    let before = resident();
    // 20 streams of messages of 1 MiB each; each sends until it would wait.
    let body = Bytes::from(pattern(1 << 20));
    let mut streams = Vec::new();
    let mut sent = 0usize;
    for _ in 0..20 {
        let mut duplex = call.open();
        while duplex.send_timeout(&body, Duration::from_millis(50)).is_ok() {
            sent += 1;
            assert!(sent < 400, "{sent} MiB were taken from a sender by nobody");
        }
        streams.push(duplex);
    }
    // Both ends are in this process: what the server holds, and what waits in the client.
    let held = resident().saturating_sub(before);
    assert!(held < 150 << 20, "{} MiB are held for 20 unread streams", held >> 20);
    // The connection still serves others, though these hold all of the budget that they may.
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let large = Bytes::from(pattern(4 << 20));
    assert!(echo.call(&large).unwrap() == large);
    drop(go);
    drop(streams);
}

#[test]
fn a_large_reply_completes_beside_streams_that_nobody_reads() {
    let served = Served::with(24, []);
    let channel = served.channel();
    within(LONG, move || {
        let count = channel.raw_unary_stream(COUNT).unwrap();
        let mut unread: Vec<_> =
            (0..20).map(|_| count.call(&Bytes::from_static(b"10 1048576")).unwrap()).collect();
        // All are under way, and all but their first messages lie unread.
        for stream in &mut unread {
            assert!(stream.recv().unwrap().is_some());
        }
        let sized = channel.raw_unary_unary(SIZED).unwrap();
        let len = 4 << 20;
        let text = Bytes::from(len.to_string());
        assert!(sized.call(&text).unwrap().len() == len);
        assert!(sized.future(&text).result(None).unwrap().len() == len);
        let sum = channel.raw_stream_unary(SUM).unwrap();
        assert_eq!(sum.call(std::iter::once(Bytes::from(pattern(len)))).unwrap(), b"1 4194304"[..]);
    });
    drop(served);
}

#[test]
fn one_thread_reads_many_streams_of_large_messages_in_turns() {
    let served = Served::with(24, []);
    let channel = served.channel();
    within(LONG * 2, move || {
        let count = channel.raw_unary_stream(COUNT).unwrap();
        let mut streams: Vec<_> =
            (0..10).map(|_| count.call(&Bytes::from_static(b"5 4194304")).unwrap()).collect();
        for _ in 0..5 {
            for stream in &mut streams {
                assert!(stream.recv().unwrap().is_some());
            }
        }
    });
    drop(served);
}

#[test]
fn uploads_that_wait_for_a_worker_let_the_others_go_on() {
    let served = Served::with(2, []);
    let channel = served.channel();
    within(LONG * 2, move || {
        let sum = channel.raw_stream_unary(SUM).unwrap();
        let body = Bytes::from(pattern(1 << 20));
        let calls: Vec<_> =
            (0..40).map(|_| sum.future(std::iter::repeat_n(body.clone(), 5))).collect();
        for mut call in calls {
            assert_eq!(call.result(None).unwrap(), b"5 5242880"[..]);
        }
    });
    drop(served);
}

#[test]
fn requests_that_wait_for_a_worker_let_the_others_go_on() {
    let served = Served::with(1, []);
    let channel = served.channel();
    within(LONG * 2, move || {
        let body = Bytes::from(pattern(4 << 20));
        let sum = channel.raw_stream_unary(SUM).unwrap();
        let (mut sender, mut upload) = sum.open();
        sender.send(&Bytes::from_static(b"the worker is busy")).unwrap();
        let echo = channel.raw_unary_unary(ECHO).unwrap();
        let mut waiting: Vec<_> = (0..10).map(|_| echo.future(&body)).collect();
        for _ in 0..10 {
            sender.send(&body).unwrap();
        }
        sender.done_writing().unwrap();
        upload.result(None).unwrap();
        for call in &mut waiting {
            assert!(call.result(None).unwrap() == body);
        }
    });
    drop(served);
}

#[test]
fn a_peer_without_credit_makes_send_wait_and_credit_wakes_it() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let body = Bytes::from(pattern(300_000));
    let wanted = support::frames::message(&body);
    let server = thread::spawn(move || {
        let mut peer = listener.accept_with(&[(INITIAL_WINDOW_SIZE, 0)]);
        peer.credits = false;
        let stream = peer.wait_request().stream;
        peer.assert_alive();
        peer.window_update(0, 1 << 20);
        let mut got = Vec::new();
        // Byte by byte, then in odd pieces, then the rest.
        for credit in
            [1, 1, 1, 7, 16_384, 16_385, 65_535].into_iter().chain(std::iter::repeat(100_000))
        {
            peer.window_update(stream, credit);
            let mut end = false;
            let due = (got.len() + credit as usize).min(wanted.len());
            while got.len() < due {
                let frame = peer.wait_kind(DATA);
                got.extend_from_slice(&frame.payload);
                end = frame.ends_stream();
            }
            assert!(got.len() == due, "more came than was credited");
            if end || got.len() == wanted.len() {
                break;
            }
        }
        assert!(got == wanted);
        peer.respond(stream, b"all of it");
        peer.drain();
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    assert_eq!(echo.call(&body).unwrap(), b"all of it"[..]);
    channel.close();
    server.join().unwrap();
}

#[test]
fn a_window_may_become_negative() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let body = Bytes::from(pattern(100_000));
    let wanted = support::frames::message(&body);
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.credits = false;
        peer.window_update(0, 1 << 20);
        let stream = peer.wait_request().stream;
        let mut got = Vec::new();
        while got.len() < 65_535 {
            got.extend(peer.wait_kind(DATA).payload);
        }
        // RFC 9113 §6.9.2: down by 65 435, so that the window stands below zero.
        peer.settings(&[(INITIAL_WINDOW_SIZE, 100)]);
        peer.wait_for(|frame| frame.kind == SETTINGS && frame.flags != 0);
        peer.window_update(stream, 65_435);
        peer.assert_alive();
        assert_eq!(got.len(), 65_535, "data without credit");
        peer.window_update(stream, 100_000);
        while got.len() < wanted.len() {
            got.extend(peer.wait_kind(DATA).payload);
        }
        assert!(got == wanted);
        peer.respond(stream, b"fine");
        peer.drain();
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    assert_eq!(echo.call(&body).unwrap(), b"fine"[..]);
    channel.close();
    server.join().unwrap();
}

#[test]
fn one_big_upload_delays_nobody() {
    let served = Served::new();
    let channel = served.channel();
    let sum = channel.raw_stream_unary(SUM).unwrap();
    let body = Bytes::from(pattern(1 << 20));
    let uploading = thread::spawn(move || sum.call(std::iter::repeat_n(body, 200)));
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    for _ in 0..100 {
        assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), b"x"[..]);
    }
    assert_eq!(within(LONG * 2, move || uploading.join().unwrap()).unwrap(), b"200 209715200"[..]);
    drop(served);
}

#[test]
fn l26_a_thousand_callers_and_one_stream() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        let mut peer = listener.accept_with(&[(MAX_CONCURRENT_STREAMS, 1)]);
        let (mut open, mut served) = (None, 0);
        while let Some(frame) = peer.next() {
            match frame.kind {
                support::frames::HEADERS => {
                    let before = open.replace(frame.stream);
                    assert_eq!(before, None, "W66: more streams than were allowed");
                }
                // It may have crossed the answer.
                RST_STREAM if open == Some(frame.stream) => open = None,
                _ => {}
            }
            if frame.ends_stream() {
                peer.respond(frame.stream, b"");
                open = None;
                served += 1;
            }
        }
        served
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    // The first one makes sure that the limit is known.
    echo.timeout(LONG).call(&Bytes::new()).unwrap();
    let mut futures: Vec<_> = (0..1000).map(|_| echo.future(&Bytes::new())).collect();
    // Those who give up leave no hole.
    for future in futures.iter().skip(1).step_by(10) {
        future.cancel();
    }
    within(LONG * 2, move || {
        let mut done = 0;
        for future in &mut futures {
            match future.result(Some(LONG)) {
                Ok(_) => done += 1,
                Err(ResultError::Cancelled) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(done >= 900, "{done}");
    });
    channel.close();
    assert!(server.join().unwrap() >= 901);
}

#[test]
fn l26_a_limit_lowered_to_zero_and_back() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let (closed, wait) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        let mut peer = listener.accept_with(&[(MAX_CONCURRENT_STREAMS, 0)]);
        peer.assert_alive();
        wait.recv_timeout(LONG).unwrap();
        peer.assert_alive();
        peer.settings(&[(MAX_CONCURRENT_STREAMS, 5)]);
        for _ in 0..3 {
            let stream = peer.wait_request().stream;
            peer.respond(stream, b"");
        }
        peer.drain();
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let mut waiting: Vec<_> = (0..3).map(|_| echo.future(&Bytes::new())).collect();
    // Deadline and cancel work while queued.
    let status = echo.timeout(Duration::from_millis(50)).call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let mut cancelled = echo.future(&Bytes::new());
    cancelled.cancel();
    assert!(matches!(cancelled.result(None), Err(ResultError::Cancelled)));
    closed.send(()).unwrap();
    for future in &mut waiting {
        future.result(Some(LONG)).unwrap();
    }
    channel.close();
    server.join().unwrap();
}
