//! What a thread may do while it ends: the destructor of a value that a user keeps in a `thread_local` may call, drop a
//! handle or close a channel, though what the library keeps for that thread may be gone by then.
//!
//! A panic there ends the process: a fault is the death of this whole program.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::{Executor, Job, Rejected};
use service::*;
use std::cell::Cell;
use std::sync::mpsc;
use std::thread;
use support::{LONG, within};

type Act = Box<dyn FnOnce() + Send>;
/// What is done, in words, and how.
type Kind = (&'static str, fn(&Channel));

/// Acts when it is dropped.
#[derive(Default)]
struct AtEnd(Cell<Option<Act>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

thread_local! {
    static EARLY: AtEnd = AtEnd::default();
    static LATE: AtEnd = AtEnd::default();
}

/// Runs `before` in a thread and `at_end` in destructors of that thread: once in one that was there before the library
/// came to the thread, which runs after the library's own, and once in one that came after it.
fn at_end(before: impl Fn() + Send + 'static, at_end: impl Fn() + Send + Sync + Clone + 'static) {
    let (early, late) = (at_end.clone(), at_end);
    let (ended, end) = mpsc::channel();
    let (ended_early, ended_late) = (ended.clone(), ended);
    let thread = thread::spawn(move || {
        EARLY.with(|own| {
            own.0.set(Some(Box::new(move || {
                early();
                ended_early.send(()).unwrap();
            })));
        });
        before();
        LATE.with(|own| {
            own.0.set(Some(Box::new(move || {
                late();
                ended_late.send(()).unwrap();
            })));
        });
    });
    thread.join().unwrap();
    assert_eq!(end.iter().count(), 2, "both destructors came to their end");
}

fn greet(channel: &Channel) {
    let call = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    assert_eq!(call.call(&Bytes::from_static(b"hi")).unwrap(), b"hi"[..]);
}

/// Every kind of call, and every way to end one early.
fn kinds() -> Vec<Kind> {
    fn some(n: usize) -> Vec<Bytes> {
        vec![Bytes::from_static(b"item"); n]
    }
    vec![
        ("unary-unary", greet),
        ("unary-stream", |channel| {
            let count = channel.raw_unary_stream(COUNT).unwrap().timeout(LONG);
            let got = count.call(&Bytes::from_static(b"9 9")).unwrap();
            assert_eq!(got.collect_all().unwrap().0.len(), 9);
        }),
        ("stream-unary", |channel| {
            let sum = channel.raw_stream_unary(SUM).unwrap().timeout(LONG);
            assert_eq!(sum.call(some(3)).unwrap(), b"3 12"[..]);
        }),
        ("stream-stream", |channel| {
            let bidi = channel.raw_stream_stream(BIDI).unwrap().timeout(LONG);
            assert_eq!(bidi.call(some(3)).map(Result::unwrap).count(), 3);
            let mut duplex = bidi.open();
            duplex.send(&Bytes::from_static(b"ping")).unwrap();
            assert_eq!(duplex.recv().unwrap().unwrap(), b"ping"[..]);
            duplex.done_writing().unwrap();
            assert!(duplex.recv().unwrap().is_none());
        }),
        ("futures", |channel| {
            let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
            let hi = Bytes::from_static(b"hi");
            assert_eq!(echo.future(&hi).result(Some(LONG)).unwrap(), hi);
            assert_eq!(echo.future(&hi).detach().code(), Code::Ok);
            let (told, result) = mpsc::channel();
            echo.future(&hi).on_result(move |result| told.send(result).unwrap());
            assert_eq!(result.recv().unwrap().unwrap(), hi);
            let bidi = channel.raw_stream_stream(BIDI).unwrap().timeout(LONG);
            assert_eq!(bidi.spawn(some(2)).collect_all().unwrap().0.len(), 2);
        }),
        ("dropped handles", |channel| {
            let hi = Bytes::from_static(b"9 9");
            drop(channel.raw_unary_unary(ECHO).unwrap().future(&hi));
            drop(channel.raw_unary_stream(COUNT).unwrap().call(&hi).unwrap());
            drop(channel.raw_stream_unary(SUM).unwrap().open());
            let bidi = channel.raw_stream_stream(BIDI).unwrap();
            drop(bidi.open());
            drop(bidi.call(some(2)));
            let call = bidi.open().handle();
            call.cancel();
        }),
        ("a new channel", |channel| {
            let new = service::channel(channel.target());
            new.wait_ready(Some(LONG)).unwrap();
            greet(&new);
            new.close();
            greet_in_vain(&new);
            greet(&service::channel(channel.target()));
        }),
    ]
}

fn greet_in_vain(channel: &Channel) {
    let call = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    assert_eq!(call.call(&Bytes::new()).unwrap_err().code(), Code::Cancelled);
}

#[test]
fn every_call_and_drop_works_in_the_destructor_of_a_thread_local() {
    let served = Served::new();
    let target = served.target();
    within(LONG, move || {
        let channel = channel(&target);
        for (name, act) in kinds() {
            println!("{name}");
            let (first, then) = (channel.clone(), channel.clone());
            at_end(move || greet(&first), move || act(&then));
        }
    });
}

#[test]
fn handles_of_an_ended_thread_are_dropped_in_its_destructors() {
    let served = Served::new();
    let target = served.target();
    within(LONG, move || {
        for wait in [false, true] {
            let channel = channel(&target);
            let hi = Bytes::from_static(b"9 9");
            let thread = thread::spawn(move || {
                EARLY.with(|_| ());
                greet(&channel);
                let responses = channel.raw_unary_stream(COUNT).unwrap().call(&hi).unwrap();
                let future = channel.raw_unary_unary(ECHO).unwrap().future(&hi);
                let (mut sender, reply) = channel.raw_stream_unary(SUM).unwrap().open();
                sender.send(&hi).unwrap();
                if wait {
                    let _ = responses.handle().status();
                    let _ = future.handle().status();
                }
                // The last handle of the channel is among them.
                EARLY.with(|own| {
                    own.0.set(Some(Box::new(move || {
                        drop((responses, future, sender, reply, channel));
                    })));
                });
            });
            thread.join().unwrap();
        }
    });
}

/// A thread for each job, with an end of its own.
struct ThreadEach {
    channel: Channel,
    /// Dropped by the last thread after its end.
    ended: mpsc::Sender<()>,
}

impl Executor for ThreadEach {
    fn execute(&self, job: Job) -> Result<(), Rejected> {
        let (channel, ended) = (self.channel.clone(), self.ended.clone());
        let run = move || {
            let at_end = move || {
                greet(&channel);
                drop(ended);
            };
            EARLY.with(|own| own.0.set(Some(Box::new(at_end))));
            job.run();
        };
        thread::Builder::new().spawn(run).map(drop).map_err(|_| Rejected)
    }
}

#[test]
fn a_thread_of_an_own_executor_calls_in_its_destructors() {
    let other = Served::new();
    let (ended, end) = mpsc::channel();
    let executor = ThreadEach { channel: other.channel(), ended };
    let server = Server::builder().executor(executor).build().unwrap();
    let served = Served::start(server, "127.0.0.1:0", []);
    let target = served.target();
    within(LONG, move || {
        let channel = channel(&target);
        kinds().into_iter().for_each(|(_, act)| act(&channel));
    });
    drop(served);
    assert_eq!(end.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
}
