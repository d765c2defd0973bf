//! Calls beside others that are cancelled or expire, while their handlers go on: nobody who is honest is refused.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::ServerOptions;
use service::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use support::frames::{
    CANCEL, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, Peer, RST_STREAM,
    frame, hpack_request, message,
};
use support::{LONG, eventually, within};

/// What a method of no manners waits for, whatever becomes of its call.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_timeout_while(open, LONG, |open| !*open).unwrap());
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }
}

/// `Stuck` waits at the gate, `Slow` goes on for 50 ms after its call has ended.
fn served(workers: usize) -> (Served, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let gate_of = gate.clone();
    let stuck = unary(move |request, _| {
        gate_of.pass();
        Ok(request)
    });
    // It takes no notice of its end for a while.
    let slow = unary(|request, context| {
        let (done, ended) = mpsc::channel::<()>();
        if context.add_callback(move || drop(done)) {
            let _ = ended.recv_timeout(LONG);
        }
        thread::sleep(Duration::from_millis(50));
        Ok(request)
    });
    (Served::with(workers, [("Stuck", stuck), ("Slow", slow)]), gate)
}

const STUCK: &str = "/test.Test/Stuck";
const SLOW: &str = "/test.Test/Slow";

#[test]
fn w20_the_next_stream_after_a_reset_is_never_refused() {
    let (served, gate) = served(220);
    let mut peer = Peer::connect(served.address());
    let streams: Vec<u32> = (0..100).map(|_| peer.request(STUCK, b"x")).collect();
    eventually(LONG, "100 handlers run", || gate.inside() == 100);
    // All are reset, and as many come, in one write for each.
    let next: Vec<u32> = (100..200).map(|n| n * 2 + 1).collect();
    for (old, new) in streams.iter().zip(&next) {
        let mut octets = frame(RST_STREAM, 0, *old, &CANCEL.to_be_bytes());
        octets.extend(frame(HEADERS, END_HEADERS, *new, &hpack_request(STUCK)));
        octets.extend(frame(DATA, END_STREAM, *new, &message(b"next")));
        peer.send(&octets);
    }
    peer.assert_alive();
    assert_eq!(gate.inside(), 100, "of one connection no more run than may be open");
    gate.open();
    for stream in next {
        assert_eq!(peer.wait_end(stream).body, message(b"next"), "stream {stream}");
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), 100);
}

#[test]
fn connections_take_turns_at_a_pool_that_is_busy() {
    let gate = Arc::new(Gate::default());
    let order = Arc::new(Mutex::new(Vec::new()));
    let (gate_of, order_of) = (gate.clone(), order.clone());
    let noted = unary(move |request: Bytes, _| {
        gate_of.pass();
        order_of.lock().unwrap().push(request.clone());
        Ok(request)
    });
    let pool = ThreadPool::new(1);
    let served =
        Served::start(grpc_threads::server(pool.clone()), "127.0.0.1:0", [("Stuck", noted)]);
    let (mut greedy, mut modest) =
        (Peer::connect(served.address()), Peer::connect(served.address()));
    for _ in 0..50 {
        greedy.request(STUCK, b"greedy");
    }
    // One runs, the others wait.
    eventually(LONG, "the pool is full", || pool.queued() == 49);
    modest.request(STUCK, b"modest");
    eventually(LONG, "the neighbour waits, too", || pool.queued() == 50);
    gate.open();
    eventually(LONG, "all have run", || order.lock().unwrap().len() == 51);
    let at = order.lock().unwrap().iter().position(|name| name == "modest");
    assert!(at.is_some_and(|at| at <= 2), "the neighbour was served after {at:?} of the others");
}

#[test]
fn calls_beside_ones_that_expire_are_never_refused() {
    let (served, gate) = served(110);
    let channel = served.channel();
    let stuck = channel.raw_unary_unary(STUCK).unwrap().timeout(LONG);
    let open: Vec<_> = (0..99).map(|_| stuck.future(&Bytes::new())).collect();
    eventually(LONG, "99 handlers run", || gate.inside() == 99);
    let slow = channel.raw_unary_unary(SLOW).unwrap().timeout(Duration::from_millis(50));
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    for n in 0..20 {
        assert_eq!(slow.call(&Bytes::new()).unwrap_err().code(), Code::DeadlineExceeded);
        let answer = echo.call(&Bytes::from_static(b"honest"));
        assert_eq!(answer.unwrap_or_else(|status| panic!("call {n}: {status:?}")), b"honest"[..]);
    }
    gate.open();
    for mut future in open {
        future.result(Some(LONG)).unwrap();
    }
}

#[test]
fn many_threads_half_of_them_with_short_deadlines_fail_nobody_else() {
    let (served, _gate) = served(120);
    let channel = served.channel();
    let failed = within(LONG * 3, move || {
        let callers: Vec<_> = (0..300)
            .map(|n| {
                let path = if n % 2 == 0 { SLOW } else { ECHO };
                let timeout = if n % 2 == 0 { Duration::from_millis(50) } else { LONG };
                let method = channel.raw_unary_unary(path).unwrap().timeout(timeout);
                thread::spawn(move || {
                    let calls = (0..5).map(|_| method.call(&Bytes::new()));
                    calls.filter_map(Result::err).filter(|_| n % 2 == 1).collect::<Vec<_>>()
                })
            })
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "{} of 750, such as {:?}", failed.len(), failed[0]);
}

/// A2, L23: whatever rate the server serves is an honest one, and other calls of the connection notice nothing.
#[test]
fn a2_a_client_that_cancels_everything_keeps_its_connection() {
    let (served, _gate) = served(4);
    let mut peer = Peer::connect(served.address());
    within(LONG * 3, move || {
        let mut stream = 1;
        for _ in 0..1_000 {
            let mut octets = Vec::new();
            for _ in 0..50 {
                octets.extend(frame(HEADERS, END_HEADERS, stream, &hpack_request(ECHO)));
                octets.extend(frame(DATA, END_STREAM, stream, &message(b"x")));
                octets.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
                stream += 2;
            }
            octets.extend(frame(HEADERS, END_HEADERS, stream, &hpack_request(ECHO)));
            octets.extend(frame(DATA, END_STREAM, stream, &message(b"honest")));
            peer.send(&octets);
            assert_eq!(peer.wait_end(stream).body, message(b"honest"), "stream {stream}");
            while peer.next_ready().is_some() {}
            stream += 2;
        }
    });
}

/// L23: cancels that race with everything; innocent calls of the channel are answered, and the connection is the same.
#[test]
fn l23_threads_that_cancel_everything_fail_no_other_call_of_their_channel() {
    let peers = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let seen = peers.clone();
    let who = unary(move |request, context: &ServicerContext| {
        seen.lock().unwrap().insert(context.peer());
        Ok(request)
    });
    let served = Served::with(4, [("Who", who)]);
    let channel = served.channel();
    let who = channel.raw_unary_unary("/test.Test/Who").unwrap().timeout(LONG);
    who.call(&Bytes::new()).unwrap();
    within(LONG * 3, move || {
        let cancellers: Vec<_> = (0..4)
            .map(|_| {
                let who = who.clone();
                thread::spawn(move || (0..5_000).for_each(|_| drop(who.future(&Bytes::new()))))
            })
            .collect();
        let mut calls = 0;
        while calls < 100 || cancellers.iter().any(|canceller| !canceller.is_finished()) {
            who.call(&Bytes::new()).unwrap_or_else(|status| panic!("call {calls}: {status:?}"));
            calls += 1;
        }
        cancellers.into_iter().for_each(|canceller| canceller.join().unwrap());
    });
    assert_eq!(peers.lock().unwrap().len(), 1);
}

/// A1: what is asked for and taken back in one write, again and again, runs no more handlers than the limit, and ends by
/// rate; both numbers are options.
#[test]
fn a1_rapid_reset_runs_no_more_than_the_limit_and_ends_by_rate() {
    let gate = Arc::new(Gate::default());
    let inside = gate.clone();
    let stuck = unary(move |request, _| {
        inside.pass();
        Ok(request)
    });
    let options = ServerOptions::default().max_concurrent_streams(10).resets(500, 1);
    let server = grpc_threads::Server::builder().thread_pool(ThreadPool::new(50)).options(options);
    let served = Served::start(server.build().unwrap(), "127.0.0.1:0", [("Stuck", stuck)]);
    let mut peer = Peer::connect(served.address());
    // The first ten run, and go on when they are reset, so nothing of it is earned back.
    for _ in 0..10 {
        peer.request(STUCK, b"");
    }
    eventually(LONG, "ten handlers run", || gate.inside() == 10);
    (0..10).for_each(|n| peer.reset(n * 2 + 1, CANCEL));
    for n in 10..2_000 {
        let id = n * 2 + 1;
        let mut octets = frame(HEADERS, END_HEADERS, id, &hpack_request(STUCK));
        octets.extend(frame(DATA, END_STREAM, id, &message(b"")));
        octets.extend(frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()));
        peer.send(&octets);
    }
    let goaway = peer.wait_kind(GOAWAY);
    assert_eq!(goaway.code(), support::frames::ENHANCE_YOUR_CALM);
    // One token a second may have come back.
    assert!((1_001..1_050).contains(&goaway.last_stream()), "{}", goaway.last_stream());
    assert_eq!(gate.most.load(Ordering::SeqCst), 10);
    gate.open();
}

/// What a handler that has returned leaves unsent is gone at the deadline, and so is its slot.
#[test]
fn w56_answers_that_nobody_takes_are_reset_at_the_deadline() {
    let answer = Bytes::from(vec![7; 1 << 20]);
    let large = unary(move |_, _| Ok(answer.clone()));
    let served = Served::with(4, [("Large", large)]);
    let mut peer = Peer::connect_with(served.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    let timeout = [("grpc-timeout", "2S")];
    let streams: Vec<u32> = (0..100)
        .map(|_| {
            let stream = peer.open("/test.Test/Large", &timeout);
            peer.message(stream, b"", true);
            stream
        })
        .collect();
    let mut reset = 0;
    for stream in streams {
        // Handlers start for no more than the send budget allows: the others' calls are over before.
        let ended = peer.wait_end(stream);
        reset += usize::from(ended.reset == Some(CANCEL));
        assert!(ended.reset == Some(CANCEL) || ended.status() == Some(4), "{stream}: {ended:?}");
    }
    assert!(reset >= 16, "{reset} of 16 MiB");
    // All slots are free: 100 more come, and are answered when there is credit.
    for _ in 0..100 {
        let stream = peer.request(ECHO, b"x");
        peer.window_update(stream, 100);
        assert_eq!(peer.wait_end(stream).body, message(b"x"));
    }
}

#[test]
fn w56_half_a_request_ends_at_its_deadline_and_is_told() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    let stream = peer.open(ECHO, &[("grpc-timeout", "100m")]);
    peer.data(stream, &message(&[7; 1000])[..500], false);
    let head = peer.wait_for(|frame| frame.kind == HEADERS && frame.stream == stream);
    assert_eq!(head.field("grpc-status").as_deref(), Some("4"));
    let reset = peer.wait_for(|frame| frame.kind == RST_STREAM && frame.stream == stream);
    assert_eq!(reset.code(), support::frames::NO_ERROR);
    peer.assert_alive();
}
