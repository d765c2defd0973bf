//! A logger that panics at every line costs its lines, and nothing else.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use grpc_threads::{Connectivity, channel_ready_future};
use service::*;
use support::leaks::Holdings;
use support::{LONG, eventually, within};

/// Asked whether it listens it panics every other time, and else at the line itself. So does what it throws, when that is
/// dropped. It comes back into the library before.
struct Panics;

static ASKED: AtomicUsize = AtomicUsize::new(0);
static TOLD: AtomicUsize = AtomicUsize::new(0);

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("what the logger threw panics too, on purpose"));
    }
}

impl log::Log for Panics {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        if ASKED.fetch_add(1, Ordering::SeqCst) % 2 == 0 {
            resume_unwind(Box::new(Bomb));
        }
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let _ = (record.args().to_string(), grpc_threads::thread_count());
        TOLD.fetch_add(1, Ordering::SeqCst);
        resume_unwind(Box::new(Bomb));
    }

    fn flush(&self) {}
}

/// Several times over: every other line is told.
const ROUNDS: usize = 6;

#[test]
fn a_logger_that_panics_costs_no_connection_no_stop_and_no_close() {
    log::set_logger(&Panics).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    within(3 * LONG, || {
        round();
        // What the process keeps for itself is there now.
        let before = Holdings::now();
        for _ in 0..ROUNDS {
            round();
        }
        before.assert_no_more();
    });
    assert!(TOLD.load(Ordering::SeqCst) > 2 * ROUNDS);
}

fn round() {
    let drops = by_hand(|stream: &mut ServerStream<Bytes, Bytes>, _| {
        drop(stream.detach());
        Ok(())
    });
    let panics = unary(|_, _| resume_unwind(Box::new(Bomb)));
    let aborts = unary(|_, context| Err(context.abort(Code::Ok, "")));
    let fails_well = unary(|_, _| Err(Status::ok()));
    let served = Served::with(
        2,
        [("Drops", drops), ("Panics", panics), ("Aborts", aborts), ("Ok", fails_well)],
    );
    let channel = served.channel();
    let ready = channel_ready_future(&channel);
    ready.result(Some(LONG)).unwrap();
    // Lines of both sides of a call, and the connection goes on after each.
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let works = || assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), b"x"[..]);
    works();
    for (path, code) in [
        ("/test.Test/Nobody", Code::Unimplemented),
        ("/test.Test/Panics", Code::Unknown),
        ("/test.Test/Aborts", Code::Unknown),
        ("/test.Test/Ok", Code::Unknown),
    ] {
        let method = channel.raw_unary_unary(path).unwrap().timeout(LONG);
        assert_eq!(method.call(&Bytes::new()).unwrap_err().code(), code, "{path}");
        works();
    }
    let drops = channel.raw_stream_stream("/test.Test/Drops").unwrap().timeout(LONG);
    let end = drops.call([Bytes::new()]).last().unwrap();
    assert_eq!(end.unwrap_err().code(), Code::Cancelled);
    let count = channel.raw_unary_stream(COUNT).unwrap().timeout(LONG);
    assert_eq!(count.call(&Bytes::from_static(b"50 10")).unwrap().map(Result::unwrap).count(), 50);
    let bidi = channel.raw_stream_stream(BIDI).unwrap().timeout(LONG);
    let messages = (0..50).map(|_| Bytes::from_static(b"y"));
    assert_eq!(bidi.call(messages).map(Result::unwrap).count(), 50);
    // The connection is lost, and the server waits for its end.
    let (tell, told) = mpsc::channel();
    let subscription = channel.subscribe(
        move |state| {
            let _ = tell.send(state);
        },
        false,
    );
    served.server.stop(None).wait(LONG).unwrap();
    eventually(LONG, "the channel hears of the connection's end", || {
        told.try_iter().any(|state| state == Connectivity::Idle)
    });
    assert_eq!(echo.call(&Bytes::new()).unwrap_err().code(), Code::Unavailable);
    drop(subscription);
    channel.close();
    assert_eq!(echo.call(&Bytes::new()).unwrap_err().code(), Code::Cancelled);
}
