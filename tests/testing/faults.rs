//! What happens between a channel and a server in memory. With the clock: in a process of its own, where every test takes it.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod service;
#[path = "../support/mod.rs"]
mod support;

use std::thread;
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::testing::{Clock, Faults, Pair, Way};
use grpc_threads::{Channel, Code, Connectivity, Server, ServerOptions, Status};
use service::{BIDI, ECHO, asked, service};
use support::{LONG, eventually, pattern, within};

const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);

fn with_faults(test: impl FnOnce(&Clock, &Faults, Pair) + Send + 'static) {
    with(Channel::builder("faulty"), ServerOptions::default(), test);
}

/// Runs a test that would wait for hours if the clock did not leap.
fn with(
    channel: grpc_threads::ChannelBuilder,
    options: ServerOptions,
    test: impl FnOnce(&Clock, &Faults, Pair) + Send + 'static,
) {
    within(LONG * 3, || {
        let (clock, faults) = (Clock::take(), Faults::new());
        let server = Server::builder().options(options);
        let pair = Pair::builder().service(service()).channel(channel).server(server);
        test(&clock, &faults, pair.faults(&faults).start().unwrap());
    });
}

fn both(faults: &Faults) -> [Way; 2] {
    [faults.to_server(), faults.to_client()]
}

fn echo(pair: &Pair) -> grpc_threads::UnaryUnary<Bytes, Bytes> {
    pair.channel().raw_unary_unary(ECHO).unwrap()
}

#[test]
fn octets_that_come_one_by_one_are_the_same_octets() {
    with_faults(|_, faults, pair| {
        for most in [1, 3, 9, 1_000] {
            for way in both(faults) {
                way.reads_of(most);
                way.writes_of(most + 1);
            }
            for size in [0, 1, 200, 5_000] {
                let text = Bytes::from(pattern(size));
                assert_eq!(echo(&pair).call(&text).unwrap(), text);
                // With nobody who waits on the connection, too.
                assert_eq!(echo(&pair).future(&text).result(None).unwrap(), text);
            }
        }
        let mut talk = pair.channel().raw_stream_stream(BIDI).unwrap().open();
        for n in 0..50u8 {
            talk.send(&Bytes::from(vec![n; 100])).unwrap();
            assert_eq!(talk.recv().unwrap().unwrap(), vec![n; 100]);
        }
        both(faults).iter().for_each(|way| {
            way.reads_of(None);
            way.writes_of(None);
        });
        let text = Bytes::from(pattern(1 << 20));
        assert_eq!(echo(&pair).call(&text).unwrap(), text);
    });
}

/// Waits until what the server's handlers have answered is out.
fn drained(pair: &Pair) {
    let handlers = || format!("{:?}", pair.server()).contains("active: 0");
    eventually(LONG, "the handlers have returned", handlers);
}

#[test]
fn a_delay_is_waited_for_by_the_clock() {
    with_faults(|clock, faults, pair| {
        pair.channel().wait_ready(None).unwrap();
        faults.to_client().delay(HOUR);
        let before = asked();
        let mut future = echo(&pair).future(&Bytes::from_static(b"x"));
        let caller = {
            let echo = echo(&pair);
            thread::spawn(move || echo.call(&Bytes::from_static(b"y")).unwrap())
        };
        // The server has answered before the clock is advanced.
        eventually(LONG, "both are asked", || asked() == before + 2);
        drained(&pair);
        assert!(!future.done());
        clock.advance(HOUR / 2);
        assert!(!future.done() && !caller.is_finished());
        clock.advance(HOUR / 2);
        assert_eq!(future.result(None).unwrap(), "x");
        assert_eq!(caller.join().unwrap(), "y");
        faults.to_client().delay(Duration::ZERO);
        assert_eq!(echo(&pair).call(&Bytes::new()).unwrap(), "");
    });
}

#[test]
fn a_callers_deadline_needs_no_word_of_the_server() {
    with_faults(|clock, faults, pair| {
        pair.channel().wait_ready(None).unwrap();
        // The server answers, and the answers do not come.
        faults.to_client().stall();
        let before = asked();
        // One leads, the others park; one is nobody's.
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let echo = echo(&pair).timeout(HOUR);
                thread::spawn(move || echo.call(&Bytes::new()).unwrap_err().code())
            })
            .collect();
        let mut future = echo(&pair).timeout(HOUR).future(&Bytes::new());
        eventually(LONG, "all are asked", || asked() == before + 4);
        clock.advance(HOUR);
        for caller in callers {
            assert_eq!(caller.join().unwrap(), Code::DeadlineExceeded);
        }
        let status = Status::from(future.result(None).unwrap_err());
        assert_eq!(status.code(), Code::DeadlineExceeded);
    });
}

#[test]
fn what_was_stalled_comes_after_all() {
    with_faults(|_, faults, pair| {
        pair.channel().wait_ready(None).unwrap();
        for way in both(faults) {
            way.stall();
            let mut future = echo(&pair).future(&Bytes::from_static(b"x"));
            assert!(future.result(Some(SECOND / 50)).is_err());
            way.resume();
            assert_eq!(future.result(None).unwrap(), "x");
        }
    });
}

#[test]
fn keepalive_finds_a_dead_peer() {
    let channel = Channel::builder("dead").keepalive(60 * SECOND, 20 * SECOND, true);
    with(channel, ServerOptions::default(), |clock, faults, pair| {
        pair.channel().wait_ready(None).unwrap();
        let mut talk = pair.channel().raw_stream_stream(BIDI).unwrap().open();
        talk.send(&Bytes::from_static(b"x")).unwrap();
        talk.recv().unwrap();
        faults.to_client().stall();
        clock.advance(61 * SECOND);
        assert_eq!(pair.channel().state(false), Connectivity::Ready, "it is asked");
        clock.advance(21 * SECOND);
        let status = talk.recv().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("keepalive"), "{status}");
    });
}

#[test]
fn a_cut_loses_the_rest_of_an_answer_and_is_made_once() {
    with_faults(|_, faults, pair| {
        for way in both(faults) {
            for octets in [1, 9, 30] {
                echo(&pair).call(&Bytes::from_static(b"before")).unwrap();
                way.cut_after(octets);
                let answer = echo(&pair).call(&Bytes::from(pattern(10_000)));
                let status = answer.map(|answer| answer.len()).unwrap_err();
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                pair.channel().reset_connect_backoff();
                pair.channel().wait_ready(None).unwrap();
            }
        }
    });
}

#[test]
fn a_cut_with_no_connection_is_of_the_next_one() {
    with_faults(|_, faults, pair| {
        faults.to_server().cut_after(10);
        let status = echo(&pair).call(&Bytes::new()).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        pair.channel().reset_connect_backoff();
        pair.channel().wait_ready(None).unwrap();
        echo(&pair).call(&Bytes::new()).unwrap();
    });
}

#[test]
fn a_reset_ends_what_runs_and_the_next_call_connects_again() {
    with_faults(|_, faults, pair| {
        let mut talk = pair.channel().raw_stream_stream(BIDI).unwrap().open();
        talk.send(&Bytes::from_static(b"x")).unwrap();
        talk.recv().unwrap();
        faults.reset();
        let status = talk.recv().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("reset"), "{status}");
        assert_eq!(echo(&pair).wait_for_ready(true).call(&Bytes::new()).unwrap(), "");
    });
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let options = ServerOptions::default();
    let channel = Channel::builder("full").write_timeout(HOUR);
    with(channel, options.max_receive_message_size(8 << 20), |clock, faults, pair| {
        pair.channel().wait_ready(None).unwrap();
        faults.to_server().stall();
        let mut talk = pair.channel().raw_stream_stream(BIDI).unwrap().open();
        // More than the pipe and the first window hold.
        let sender = thread::spawn(move || {
            let text = Bytes::from(pattern(64 << 10));
            (0..100).find_map(|_| talk.send(&text).err().map(|status| status.code()))
        });
        while !sender.is_finished() {
            clock.advance(HOUR);
            thread::yield_now();
        }
        // By the time or by the windows: an hour is longer than both.
        assert_eq!(sender.join().unwrap(), Some(Code::Unavailable));
    });
}
