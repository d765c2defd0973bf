//! Connections that nobody uses: a channel gives them up, and makes another when it is asked.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::Connectivity;
use service::*;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::{LONG, eventually};

const IDLE: Duration = Duration::from_secs(1);

#[test]
fn a_channel_that_nobody_uses_is_idle_and_connects_again_for_the_next_call() {
    let served = Served::new();
    let channel = Channel::builder(&served.target()).idle_timeout(IDLE).connect_lazily().unwrap();
    let (tell, told) = mpsc::channel();
    let _subscription = channel.subscribe(move |state| tell.send(state).unwrap(), false);
    let next = || told.recv_timeout(LONG).expect("a change is told");
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    assert_eq!(next(), Connectivity::Idle);
    for _ in 0..2 {
        echo.call(&Bytes::from_static(b"x")).unwrap();
        let began = Instant::now();
        let (mut state, mut seen) = (next(), Vec::new());
        while state != Connectivity::Idle {
            seen.push(state);
            state = next();
        }
        assert!(seen.ends_with(&[Connectivity::Ready]), "{seen:?}");
        assert!(began.elapsed() >= IDLE - Duration::from_millis(100), "{:?}", began.elapsed());
    }
}

#[test]
fn a_call_that_runs_keeps_its_connection_and_so_do_calls_now_and_then() {
    let served = Served::new();
    let channel = Channel::builder(&served.target()).idle_timeout(IDLE).connect_lazily().unwrap();
    let mut call = channel.raw_stream_stream(BIDI).unwrap().open();
    let x = Bytes::from_static(b"x");
    call.send(&x).unwrap();
    call.recv_timeout(LONG).unwrap();
    // For longer than the connection is looked at twice, nothing is said on it.
    assert!(!channel.wait_for_state_change(Connectivity::Ready, Some(IDLE * 2 + IDLE / 4)));
    call.send(&x).unwrap();
    assert!(call.recv_timeout(LONG).unwrap().is_some(), "the same call goes on");
    call.done_writing().unwrap();
    assert_eq!(call.recv().unwrap(), None);
    let peer = call.peer();
    eventually(LONG, "it is given up", || channel.state(false) == Connectivity::Idle);
    assert!(peer.is_some());
}

#[test]
fn calls_that_meet_the_end_of_an_idle_connection_do_not_fail() {
    let served = Served::new();
    let channel = Channel::builder(&served.target()).idle_timeout(IDLE).connect_lazily().unwrap();
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let x = Bytes::from_static(b"x");
    let mut again = 0;
    while again < 3 {
        // As close to the moment as one can come: as soon as the state changes, and in the middle of it.
        echo.call(&x).unwrap();
        while !channel.wait_for_state_change(Connectivity::Ready, Some(IDLE / 3)) {
            assert!(channel.state(false) == Connectivity::Ready);
        }
        for _ in 0..20 {
            echo.call(&x).unwrap();
        }
        again += 1;
    }
}
