//! Many of everything at once, for a few seconds: cancels against every other ending, a thousand callers behind one
//! stream, connections that never stop sending.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::dice::Dice;
use support::frames::{HEADERS, Listener, MAX_CONCURRENT_STREAMS, RST_STREAM};
use support::leaks::resident;
use support::proxy::{Harm, Proxy};
use support::{LONG, alone, eventually, timed, within};

/// How long one race goes on, at most, once it has had enough calls to be one.
const RACE: Duration = Duration::from_secs(4);
const LEAST: usize = 1_000;
/// How many calls are enough.
const ENOUGH: usize = 100_000;

/// Counts of one race.
#[derive(Default)]
struct Tally {
    begun: AtomicUsize,
    told: AtomicUsize,
    answered: AtomicUsize,
    cancelled: AtomicUsize,
    late: AtomicUsize,
    lost: AtomicUsize,
}

impl Tally {
    fn note(&self, outcome: &Result<Bytes, ResultError>) {
        let place = match outcome {
            Ok(reply) => {
                assert_eq!(reply, &b"x"[..]);
                &self.answered
            }
            Err(ResultError::Cancelled) => &self.cancelled,
            Err(ResultError::Rpc(status)) => match status.code() {
                Code::DeadlineExceeded => &self.late,
                Code::Unavailable => &self.lost,
                _ => panic!("{status:?}"),
            },
            Err(other) => panic!("{other:?}"),
        };
        place.fetch_add(1, Ordering::Relaxed);
    }
}

/// One call whose end several parties want to decide. Its callback runs once.
fn one_of(channel: &Channel, dice: &mut Dice, tally: &Arc<Tally>) {
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let echo = match dice.below(3) {
        0 => echo.timeout(Duration::from_micros(dice.below(300))),
        _ => echo.timeout(LONG),
    };
    tally.begun.fetch_add(1, Ordering::Relaxed);
    let mut future = echo.future(&Bytes::from_static(b"x"));
    let told = tally.clone();
    future.add_done_callback(move |_| {
        told.told.fetch_add(1, Ordering::Relaxed);
    });
    match dice.below(4) {
        // Dropped at once.
        0 => return drop(future),
        // Cancelled at once.
        1 => drop(future.cancel()),
        // Cancelled while it is waited for.
        2 => {
            let handle = future.handle();
            let outcome = thread::scope(|scope| {
                scope.spawn(move || handle.cancel());
                future.result(Some(LONG))
            });
            return tally.note(&outcome);
        }
        _ => {}
    }
    tally.note(&future.result(Some(LONG)));
}

/// A call that ends well. A server closes connections whose streams are mostly reset (A1).
fn amends(channel: &Channel) {
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    if let Err(status) = echo.call(&Bytes::from_static(b"x")) {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
}

/// Runs four threads of calls until there were enough of them, or the time is over and they were not too few.
fn race(channel: &Channel, tally: &Arc<Tally>, between: impl Fn(usize)) {
    let until = Instant::now() + RACE;
    let going = AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 1..=4u64 {
            let going = &going;
            scope.spawn(move || {
                let mut dice = Dice::of(seed);
                while going.load(Ordering::Relaxed) {
                    one_of(channel, &mut dice, tally);
                    amends(channel);
                }
            });
        }
        loop {
            let begun = tally.begun.load(Ordering::Relaxed);
            if begun >= ENOUGH || begun > LEAST && Instant::now() >= until {
                break;
            }
            between(begun);
            thread::park_timeout(Duration::from_millis(5));
        }
        going.store(false, Ordering::Relaxed);
    });
    let begun = tally.begun.load(Ordering::Relaxed);
    eventually(LONG, "every call's end was told", || tally.told.load(Ordering::Relaxed) >= begun);
    assert_eq!(tally.told.load(Ordering::Relaxed), begun, "an end was told twice");
}

/// No stream was left behind, on either side: as many as the server allows are free at once.
fn all_free(channel: &Channel) {
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let mut all: Vec<_> = (0..100).map(|_| echo.future(&Bytes::from_static(b"y"))).collect();
    assert!(all.iter_mut().all(|future| future.result(Some(LONG)).unwrap() == b"y"[..]));
}

#[test]
fn l23_cancels_answers_and_deadlines_race() {
    let served = Served::new();
    let channel = served.channel();
    within(LONG * 3, move || {
        let tally = Arc::new(Tally::default());
        race(&channel, &tally, |_| {});
        for count in [&tally.answered, &tally.cancelled, &tally.late] {
            assert!(count.load(Ordering::Relaxed) > 0);
        }
        assert_eq!(tally.lost.load(Ordering::Relaxed), 0);
        all_free(&channel);
    });
    drop(served);
}

#[test]
fn l23_cancels_and_lost_connections_race() {
    let served = Served::new();
    let proxy = Proxy::new(served.address());
    let channel = grpc_threads::Channel::builder(&proxy.target())
        .reconnect_backoff(Duration::from_millis(1), Duration::from_millis(2))
        .connect_lazily()
        .unwrap();
    within(LONG * 3, move || {
        let tally = Arc::new(Tally::default());
        let mut harms = [Harm::Reset, Harm::Close].into_iter().cycle();
        let harms = std::sync::Mutex::new(&mut harms);
        race(&channel, &tally, |_| proxy.cut(harms.lock().unwrap().next().unwrap()));
        assert!(tally.lost.load(Ordering::Relaxed) > 0);
        assert!(tally.answered.load(Ordering::Relaxed) > 0);
        eventually(LONG, "it connects again", || {
            let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
            echo.call(&Bytes::new()).is_ok()
        });
        all_free(&channel);
    });
    drop(served);
}

#[test]
fn l25_after_many_cancelled_downloads_the_connection_is_as_fast_as_a_new_one() {
    let _alone = alone();
    let served = Served::new();
    let (used, fresh) = (served.channel(), served.channel());
    within(LONG * 3, move || {
        let until = Instant::now() + RACE;
        let cancelled = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let count = used.raw_unary_stream(COUNT).unwrap();
                    while Instant::now() < until
                        && cancelled.fetch_add(1, Ordering::Relaxed) < ENOUGH
                    {
                        let mut responses = count.call(&Bytes::from_static(b"100 60000")).unwrap();
                        responses.recv().unwrap();
                        drop(responses);
                        amends(&used);
                    }
                });
            }
        });
        assert!(cancelled.into_inner() > 500);
        let download = |channel: &Channel| {
            let count = channel.raw_unary_stream(COUNT).unwrap().timeout(LONG);
            let responses = count.call(&Bytes::from_static(b"1000 60000")).unwrap();
            assert_eq!(responses.filter(Result::is_ok).count(), 1000);
        };
        download(&fresh);
        let (new, ()) = timed(|| download(&fresh));
        // The best of a few: the machine has other things to do.
        let old = (0..5).map(|_| timed(|| download(&used)).0).min().unwrap();
        assert!(old < new * 3, "{old:?} against {new:?}");
    });
    drop(served);
}

#[test]
fn l26_a_thousand_threads_and_one_stream() {
    let _alone = alone();
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        let mut peer = listener.accept_with(&[(MAX_CONCURRENT_STREAMS, 1)]);
        let mut open: Option<u32> = None;
        while let Some(frame) = peer.next() {
            match frame.kind {
                HEADERS => {
                    assert_eq!(open, None, "W66: more streams than were allowed");
                    open = Some(frame.stream);
                }
                RST_STREAM if open == Some(frame.stream) => open = None,
                _ => {}
            }
            if frame.ends_stream() {
                peer.respond(frame.stream, b"");
                open = None;
            }
        }
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    echo.timeout(LONG).call(&Bytes::new()).unwrap();
    let before = resident();
    let most = within(LONG * 3, move || {
        let callers: Vec<_> = (0..1000)
            .map(|n| {
                let echo = echo.timeout(if n % 10 == 0 { Duration::from_millis(1) } else { LONG });
                thread::Builder::new()
                    .stack_size(128 * 1024)
                    .spawn(move || echo.call(&Bytes::new()).map_err(|status| status.code()))
                    .unwrap()
            })
            .collect();
        let most = resident();
        for (n, caller) in callers.into_iter().enumerate() {
            match caller.join().unwrap() {
                Ok(_) => {}
                // Those who give up leave no hole.
                Err(Code::DeadlineExceeded) if n % 10 == 0 => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        most.max(resident())
    });
    // A thread that reads once does not pay for the whole of its buffer.
    let grown = most.saturating_sub(before);
    assert!(grown < 200 << 20, "{} MiB", grown >> 20);
    channel.close();
    server.join().unwrap();
}

#[test]
fn connections_that_never_stop_sending_delay_nobody() {
    let _alone = alone();
    let served = Served::with(6, []);
    let floods: Vec<_> = (0..3).map(|_| served.channel()).collect();
    let other = served.channel();
    within(LONG * 3, move || {
        let going = Arc::new(AtomicBool::new(true));
        let uploads: Vec<_> = floods
            .iter()
            .map(|channel| {
                let sum = channel.raw_stream_unary(SUM).unwrap();
                let (going, body) = (going.clone(), Bytes::from(vec![7; 64 * 1024]));
                thread::spawn(move || {
                    let bodies = std::iter::repeat_with(move || body.clone());
                    sum.call(bodies.take_while(move |_| going.load(Ordering::Relaxed)))
                })
            })
            .collect();
        let until = Instant::now() + Duration::from_secs(2);
        let mut longest = Duration::ZERO;
        let mut calls = 0;
        while Instant::now() < until {
            // On a connection of its own, and on one that is full of upload.
            for channel in [&other, &floods[0]] {
                let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
                let (took, reply) = timed(|| echo.call(&Bytes::from_static(b"x")));
                assert_eq!(reply.unwrap(), b"x"[..]);
                longest = longest.max(took);
                calls += 1;
            }
        }
        going.store(false, Ordering::Relaxed);
        for upload in uploads {
            upload.join().unwrap().unwrap();
        }
        println!("{calls} calls, the longest took {longest:?}");
        assert!(longest < Duration::from_secs(1), "{longest:?} of {calls}");
    });
    drop(served);
}

#[test]
fn eight_floods_with_a_call_for_each_message() {
    let served = Served::with(12, []);
    let channel = served.channel();
    within(LONG * 3, move || {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let count = channel.raw_unary_stream(COUNT).unwrap();
                    let echo = channel.raw_unary_unary(ECHO).unwrap();
                    for message in count.call(&Bytes::from_static(b"100 100000")).unwrap() {
                        let message = message.unwrap();
                        assert!(echo.call(&message).unwrap() == message);
                    }
                });
            }
        });
    });
    drop(served);
}

/// Callers without deadlines beside threads that cancel: every answer reaches its caller, though readers rest while
/// somebody else writes a pile of resets.
#[test]
fn callers_beside_threads_that_cancel_all_get_their_answers() {
    let served = Served::new();
    within(LONG * 2, move || {
        let channel = served.channel();
        let until = Instant::now() + RACE;
        let answered = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let echo = channel.raw_unary_unary(ECHO).unwrap();
                    while Instant::now() < until {
                        match echo.call(&Bytes::from_static(b"x")) {
                            Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
                        }
                    }
                });
            }
            for _ in 0..4 {
                scope.spawn(|| {
                    let echo = channel.raw_unary_unary(ECHO).unwrap();
                    while Instant::now() < until {
                        let some = (0..40).map(|_| echo.future(&Bytes::from_static(b"y")));
                        drop(some.collect::<Vec<_>>());
                    }
                });
            }
        });
        assert!(answered.into_inner() > 100);
        drop(served);
    });
}
