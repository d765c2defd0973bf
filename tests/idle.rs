//! Connections that nobody uses, or that have grown old: either side gives them up, and the next call makes another. By a clock
//! that the tests advance, which is the process's: every test here takes it.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::testing::Clock;
use grpc_threads::{Connectivity, ServerOptions};
use service::*;
use std::collections::HashSet;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use support::{LONG, eventually, within};

/// The shortest that a channel takes.
const IDLE: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const PEER: &str = "/test.Test/Peer";

/// Runs a test that would wait for hours if the clock did not leap.
fn with_the_clock(test: impl FnOnce(&Clock) + Send + 'static) {
    within(LONG * 3, || test(&Clock::take()));
}

fn idle_after(served: &Served, time: Duration) -> Channel {
    Channel::builder(&served.target()).idle_timeout(time).connect_lazily().unwrap()
}

#[test]
fn a_channel_that_nobody_uses_is_idle_and_connects_again_for_the_next_call() {
    with_the_clock(|clock| {
        let served = Served::new();
        let channel = idle_after(&served, HOUR);
        let (tell, told) = mpsc::channel();
        let _subscription = channel.subscribe(move |state| tell.send(state).unwrap(), false);
        let next = || told.recv_timeout(LONG).expect("a change is told");
        let echo = channel.raw_unary_unary(ECHO).unwrap();
        assert_eq!(next(), Connectivity::Idle);
        for _ in 0..2 {
            echo.call(&Bytes::from_static(b"x")).unwrap();
            clock.advance(HOUR - IDLE);
            assert_eq!(channel.state(false), Connectivity::Ready, "it is not over");
            clock.advance(HOUR);
            clock.advance(HOUR);
            assert_eq!(channel.state(false), Connectivity::Idle);
            let (mut state, mut seen) = (next(), Vec::new());
            while state != Connectivity::Idle {
                seen.push(state);
                state = next();
            }
            assert!(seen.ends_with(&[Connectivity::Ready]), "{seen:?}");
        }
    });
}

#[test]
fn a_call_that_runs_keeps_its_connection() {
    with_the_clock(|clock| {
        let served = Served::new();
        let channel = idle_after(&served, HOUR);
        let mut call = channel.raw_stream_stream(BIDI).unwrap().open();
        let x = Bytes::from_static(b"x");
        call.send(&x).unwrap();
        call.recv().unwrap();
        // For longer than the connection is looked at twice, nothing is said on it.
        for _ in 0..5 {
            clock.advance(HOUR);
            assert_eq!(channel.state(false), Connectivity::Ready);
        }
        call.send(&x).unwrap();
        assert!(call.recv().unwrap().is_some(), "the same call goes on");
        call.done_writing().unwrap();
        assert_eq!(call.recv().unwrap(), None);
        assert!(call.peer().is_some());
        clock.advance(HOUR);
        clock.advance(HOUR);
        assert_eq!(channel.state(false), Connectivity::Idle, "it is given up");
    });
}

#[test]
fn calls_that_meet_the_end_of_an_idle_connection_do_not_fail() {
    with_the_clock(|clock| {
        let served = served(ServerOptions::default());
        let channel = idle_after(&served, IDLE);
        let peer = channel.raw_unary_unary(PEER).unwrap();
        // The time is over while calls begin: as close to the moment as one can come.
        let (go, gone) = mpsc::channel::<()>();
        let (tell, done) = mpsc::channel();
        let caller = thread::spawn(move || {
            for () in gone {
                for _ in 0..5 {
                    tell.send(peer.call(&Bytes::new()).unwrap()).unwrap();
                }
            }
        });
        let mut peers = HashSet::new();
        // A hundred times, and on until one has met the end.
        for round in 0.. {
            if round >= 100 && peers.len() > 1 {
                break;
            }
            assert!(round < 5_000, "none has ever met the end");
            clock.advance(IDLE);
            go.send(()).unwrap();
            clock.advance(IDLE);
            peers.extend((0..5).map(|_| done.recv().unwrap()));
        }
        drop(go);
        caller.join().unwrap();
    });
}

/// A server with a method that tells the connection.
fn served(options: ServerOptions) -> Served {
    let server = grpc_threads::Server::builder().options(options).build().unwrap();
    Served::start(server, "127.0.0.1:0", [("Peer", unary(|_, context| Ok(context.peer().into())))])
}

fn ask(channel: &Channel) -> Bytes {
    channel.raw_unary_unary(PEER).unwrap().call(&Bytes::new()).unwrap()
}

#[test]
fn a9_an_idle_connection_ends_and_its_client_comes_again_unseen() {
    with_the_clock(|clock| {
        let served = served(ServerOptions::default().max_connection_idle(HOUR));
        let channel = Channel::builder(&served.target()).idle_timeout(None);
        let channel = channel.connect_lazily().unwrap();
        let first = ask(&channel);
        clock.advance(HOUR / 2);
        assert_eq!(ask(&channel), first, "half of it is left");
        clock.advance(HOUR);
        eventually(LONG, "it ends", || channel.state(false) != Connectivity::Ready);
        let second = ask(&channel);
        assert_ne!(second, first, "another connection");

        // One with a call is not idle, however long that says nothing.
        let mut held = channel.raw_stream_stream(BIDI).unwrap().open();
        held.send(&Bytes::from_static(b"x")).unwrap();
        assert_eq!(held.recv().unwrap().unwrap(), "x");
        for _ in 0..3 {
            clock.advance(HOUR);
            assert_eq!(ask(&channel), second, "it is still there");
        }
        held.done_writing().unwrap();
        assert!(held.recv().unwrap().is_none());
        clock.advance(HOUR);
        eventually(LONG, "and ends then", || channel.state(false) != Connectivity::Ready);
    });
}

#[test]
fn a9_what_an_old_connection_still_has_is_cut_after_its_grace() {
    with_the_clock(|clock| {
        let served = served(ServerOptions::default().max_connection_age(HOUR, HOUR));
        let channel = served.channel();
        let mut held = channel.raw_stream_stream(BIDI).unwrap().open();
        let x = Bytes::from_static(b"x");
        held.send(&x).unwrap();
        assert_eq!(held.recv().unwrap().unwrap(), x);
        // An age is drawn, up to a tenth longer.
        clock.advance(HOUR + HOUR / 10);
        eventually(LONG, "it is old", || channel.state(false) != Connectivity::Ready);
        held.send(&x).unwrap();
        assert_eq!(held.recv().unwrap().unwrap(), x, "what runs goes on");
        clock.advance(HOUR + HOUR / 10);
        let status = held.recv().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        ask(&channel);
    });
}
