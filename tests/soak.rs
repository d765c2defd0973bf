//! Everything at once, by chance: all kinds of calls, deadlines, cancels, calls let go, servers that restart and channels
//! that close. Every call ends, and afterwards the process holds what it held before.
//!
//! Two seconds of it by default; `SOAK_SECONDS=1800 cargo test --release --test soak` is half an hour.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use support::dice::Dice;
use support::leaks::{Holdings, resident};
use support::{LONG, alone, eventually};

/// Threads that call.
const CALLERS: u64 = 12;

#[derive(Default)]
struct Tally {
    begun: AtomicU64,
    /// Ends that were told: of each call one.
    ended: AtomicU64,
    codes: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    fn end<T>(&self, outcome: &Result<T, Status>) {
        let code = outcome.as_ref().err().map_or(Code::Ok, Status::code);
        let expected = [
            Code::Ok,
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Unavailable,
            Code::FailedPrecondition,
        ];
        if let Err(status) = outcome {
            assert!(expected.contains(&code), "{status:?}");
        }
        *self.codes.lock().unwrap().entry(format!("{code:?}")).or_default() += 1;
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// One call of any kind, begun, perhaps cut short, and seen to its end.
fn one_call(channel: &Channel, dice: &mut Dice, tally: &Arc<Tally>) {
    let timeout = match dice.below(4) {
        0 => dice.millis(5),
        1 => dice.millis(50),
        _ => LONG,
    };
    tally.begin();
    match dice.below(10) {
        0 | 1 => {
            let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(timeout);
            tally.end(&echo.call(&Bytes::from(vec![1; dice.below(70_000) as usize])));
        }
        2 => {
            let slow = channel.raw_unary_unary("/test.Test/Slow").unwrap().timeout(timeout);
            tally.end(&slow.call(&Bytes::new()));
        }
        3 => let_go(channel, dice, tally, timeout),
        4 => {
            let slow = channel.raw_unary_unary("/test.Test/Slow").unwrap().timeout(timeout);
            let mut future = slow.future(&Bytes::new());
            let handle = future.handle();
            let cancel = dice.below(2) == 0;
            let outcome = thread::scope(|scope| {
                scope.spawn(move || cancel && handle.cancel());
                future.result(None)
            });
            tally.end(&outcome.map_err(Status::from));
        }
        5 | 6 => {
            let count = channel.raw_unary_stream(COUNT).unwrap().timeout(timeout);
            let text = format!("{} {}", dice.below(40), dice.below(40_000));
            let most = dice.below(60) as usize;
            let taken = count.call(&text.into()).map(|mut responses| {
                responses.by_ref().take(most).find_map(Result::err).map_or(Ok(()), Err)
            });
            tally.end(&taken.and_then(|result| result));
        }
        7 => {
            let bidi = channel.raw_stream_stream("/test.Test/Bidi").unwrap().timeout(timeout);
            let mut duplex = bidi.open();
            let rounds = dice.below(5);
            let mut talk = || {
                for _ in 0..rounds {
                    duplex.send(&Bytes::from_static(b"again"))?;
                    duplex.recv()?;
                }
                duplex.done_writing()
            };
            tally.end(&talk());
        }
        8 => {
            let sum = channel.raw_stream_unary(SUM).unwrap().timeout(timeout);
            let (n, size) = (dice.below(30), dice.below(9_000) as usize);
            let requests = (0..n).map(move |_| Bytes::from(vec![2; size]));
            match dice.below(2) {
                0 => tally.end(&sum.call(requests)),
                _ => tally.end(&sum.future(requests).result(None).map_err(Status::from)),
            }
        }
        _ => {
            let bidi = channel.raw_stream_stream("/test.Test/Bidi").unwrap().timeout(timeout);
            let requests = (0..dice.below(20)).map(|n| Bytes::from(vec![3; n as usize * 1000]));
            let last = bidi.call(requests).find_map(Result::err);
            tally.end(&last.map_or(Ok(()), Err));
        }
    }
}

/// A call that nobody holds any more.
fn let_go(channel: &Channel, dice: &mut Dice, tally: &Arc<Tally>, timeout: Duration) {
    let slow = channel.raw_unary_unary("/test.Test/Slow").unwrap().timeout(timeout);
    let future = slow.future(&Bytes::new());
    let told = tally.clone();
    match dice.below(3) {
        0 => drop(future.on_result(move |result| told.end(&result))),
        1 => {
            future.add_done_callback(move |call| told.end::<()>(&Err(call.status())));
            drop(future.detach());
        }
        _ => {
            future.add_done_callback(move |call| told.end::<()>(&Err(call.status())));
            drop(future);
        }
    }
}

fn slow() -> Method {
    let slow = unary(|request, context| {
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let _ = context.add_callback(move || drop(done));
        let _ = ended.recv_timeout(Duration::from_millis(3));
        Ok(request)
    });
    ("Slow", slow)
}

fn call_until(over: &AtomicBool, target: &str, seed: u64, tally: &Arc<Tally>) {
    let mut dice = Dice::of(seed);
    let connect = || {
        Channel::builder(target)
            .reconnect_backoff(Duration::from_millis(1), Duration::from_millis(20))
            .connect_lazily()
            .unwrap()
    };
    let mut channel = connect();
    while !over.load(Ordering::SeqCst) {
        one_call(&channel, &mut dice, tally);
        match dice.below(300) {
            0 => channel.close(),
            1 => channel.close_within(dice.millis(20)),
            2..5 => {}
            _ => continue,
        }
        channel = connect();
    }
}

#[test]
fn every_call_ends_and_nothing_is_left_whatever_happens() {
    let _alone = alone();
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(2));
    // The library's own threads are born before they are counted.
    let (told, hears) = std::sync::mpsc::channel();
    let served = Served::new();
    served.channel().raw_unary_unary(ECHO).unwrap().call(&Bytes::new()).unwrap();
    // A callback of a call that is over already would run here.
    let subscription = served.channel().subscribe(move |_| told.send(()).unwrap_or(()), false);
    hears.recv_timeout(LONG).unwrap();
    drop((subscription, served));
    let (before, memory) = (Holdings::now(), resident());
    let tally = Arc::new(Tally::default());
    let over = AtomicBool::new(false);
    let mut served = Served::with(4, [slow()]);
    let (address, target) = (served.address().to_string(), served.target());
    thread::scope(|scope| {
        for seed in 1..=CALLERS {
            let (over, target, tally) = (&over, &target, &tally);
            scope.spawn(move || call_until(over, target, seed, tally));
        }
        let (until, mut dice) = (Instant::now() + length, Dice::new(77));
        let mut ended = 0;
        while Instant::now() < until {
            thread::park_timeout(Duration::from_millis(200 + dice.below(800)));
            let grace = match dice.below(3) {
                0 => None,
                _ => Some(dice.millis(100)),
            };
            let _ = served.server.stop(grace).wait(LONG);
            served = Served::on(&address, 4, [slow()]);
            let now = tally.ended.load(Ordering::SeqCst);
            assert!(now > ended, "no call has ended since the last restart");
            ended = now;
        }
        over.store(true, Ordering::SeqCst);
    });
    let begun = tally.begun.load(Ordering::SeqCst);
    eventually(LONG, "every end was told", || tally.ended.load(Ordering::SeqCst) == begun);
    served.server.stop(None).wait(LONG).unwrap();
    drop(served);
    before.assert_no_more();
    // What the allocator keeps for many threads; ten octets a call would be more than that in half an hour.
    eventually(LONG, "memory comes back", || resident() < memory + (64 << 20));
    println!("memory: {} KiB, then {} KiB", memory >> 10, resident() >> 10);
    println!("{begun} calls: {:?}", tally.codes.lock().unwrap());
}
