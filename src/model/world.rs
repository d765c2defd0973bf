//! One execution: what there is in it, how it goes, and what has to be left of it: nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::callers::{self, Desk};
use super::explorer::Dice;
use super::pipes::InMemory;
use crate::channel::Channel;
use crate::codec::{Codec, Raw};
use crate::credentials::local_channel_credentials;
use crate::link::{self, model::Limits};
use crate::reactor::{self, ThreadPool};
use crate::server::{
    RequestIterator, Server, ServerOptions, Service, ServicerContext,
    stream_stream_rpc_method_handler_with, stream_unary_rpc_method_handler_with,
    unary_stream_rpc_method_handler_with, unary_unary_rpc_method_handler_with,
};
use crate::status::Status;
use crate::sync::{model, thread};

/// From so many on, Count is answered from elsewhere.
pub(super) const ELSEWHERE: u8 = 3;
/// So many, and the sender is dropped without an end.
pub(super) const DROPPED: u8 = 4;

/// How an execution ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// When all callers are done.
    Quietly,
    /// The channel is closed while they are at it.
    Close,
    /// The server is stopped while they are at it, with so many milliseconds of grace.
    Stop(u64),
}

/// What is drawn before an execution begins.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) callers: u64,
    pub(super) calls: u64,
    pub(super) cancellers: u64,
    pub(super) finish: Finish,
    pub(super) limits: Limits,
    pub(super) max_streams: u32,
    /// What a pipe holds.
    pub(super) capacity: usize,
    pub(super) slow: usize,
    pub(super) local: bool,
    /// Not all kinds of calls, but these.
    pub(super) kinds: u64,
    /// Connections are TLS's.
    #[cfg(feature = "_tls")]
    pub(super) sealed: bool,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5eed);
        Self {
            seed,
            callers: 4,
            calls: 1 + dice.below(4),
            cancellers: dice.below(3),
            finish: dice.one_of(&[
                Finish::Quietly,
                Finish::Quietly,
                Finish::Quietly,
                Finish::Close,
                Finish::Stop(0),
                Finish::Stop(50),
            ]),
            // An answer to a control frame has 13 octets or so.
            limits: Limits {
                max_provoked: dice.one_of(&[Some(0), Some(13), Some(26), None]),
                max_unsent: dice.one_of(&[Some(64), None, None]),
            },
            max_streams: dice.one_of(&[2, 4, 100, 100]),
            capacity: dice.one_of(&[64, 1024, 256 * 1024, 256 * 1024]),
            slow: dice.below(4) as usize,
            local: dice.once_in(4),
            kinds: dice.next(),
            #[cfg(feature = "_tls")]
            sealed: dice.once_in(3),
        }
    }
}

/// What went wrong by the library's own account, and where the callers are: told when an execution fails.
static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static PLACES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn hold<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What to tell of the execution that begins, if it fails.
pub(super) fn begin(text: String) {
    hold(&PLACES).clear();
    *hold(&ERRORS) = vec![text];
}

/// What caller `n` does now.
pub(super) fn at(n: u64, what: String) {
    log::trace!("caller {n}: {what}");
    let mut places = hold(&PLACES);
    let n = n as usize;
    if places.len() <= n {
        places.resize(n + 1, String::new());
    }
    places[n] = what;
}

pub(super) fn account() -> String {
    let (errors, places) = (hold(&ERRORS), hold(&PLACES));
    let numbered = places.iter().enumerate().map(|(n, what)| format!("thread {n}: {what}"));
    errors.iter().cloned().chain(numbered).collect::<Vec<_>>().join("\n")
}

pub(super) fn listen_to_logs(trace: bool) {
    static TRACES: AtomicBool = AtomicBool::new(false);
    struct Ear;
    impl log::Log for Ear {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            // The checker logs within its own locks.
            if !record.target().starts_with(env!("CARGO_CRATE_NAME")) {
                return;
            }
            if record.level() == log::Level::Error {
                hold(&ERRORS).push(record.args().to_string());
            }
            if TRACES.load(Ordering::Relaxed) {
                let who = shuttle::thread::current();
                let who = who.name().unwrap_or("?");
                eprintln!("{:?} {who:16} {}", model::time(), record.args());
            }
        }

        fn flush(&self) {}
    }
    TRACES.store(trace, Ordering::Relaxed);
    if log::set_logger(&Ear).is_ok() {
        log::set_max_level(if trace { log::LevelFilter::Trace } else { log::LevelFilter::Error });
    }
}

/// One execution.
pub(super) fn run(plan: &Plan) {
    model::set_calm(false);
    let clock = thread::Builder::new().name("clock".into()).spawn(clock).expect("a thread");
    link::model::limit(plan.limits);
    let (ours, theirs) = (Arc::new(()), Arc::new(()));
    let (channel_left, server_left) = (Arc::downgrade(&ours), Arc::downgrade(&theirs));
    play(plan, ours, theirs);
    await_end("the channel's inside", &channel_left);
    await_end("the server's inside", &server_left);
    await_that("links to end", || link::model::alive().is_empty());
    reactor::end();
    await_that("threads to end", || reactor::thread_count() == 0);
    assert!(hold(&ERRORS).len() == 1, "errors were logged");
    model::stop_clock();
    clock.join().expect("the clock does not panic");
}

fn play(plan: &Plan, ours: Arc<()>, theirs: Arc<()>) {
    let server = Arc::new(serve(plan, theirs));
    let dial = InMemory { server: Arc::downgrade(&server), plan: plan.clone(), token: ours };
    let channel = Channel::builder("in.memory:1").credentials(&local_channel_credentials());
    let channel = channel.connect_by(Some(Box::new(dial)));
    let channel = channel.expect("a channel");
    let desk = Desk::new();
    let callers: Vec<_> = (0..plan.callers)
        .map(|n| {
            let (channel, desk, plan) = (channel.clone(), desk.clone(), plan.clone());
            let name = format!("caller-{n}");
            let body = move || callers::call(n, &channel, &desk, &plan);
            thread::Builder::new().name(name).spawn(body).expect("a thread")
        })
        .collect();
    let cancellers: Vec<_> = (0..plan.cancellers)
        .map(|n| {
            let desk = desk.clone();
            let name = format!("canceller-{n}");
            thread::Builder::new().name(name).spawn(move || desk.cancel()).expect("a thread")
        })
        .collect();
    match plan.finish {
        Finish::Quietly => {}
        Finish::Close => {
            model::sleep(Duration::from_millis(plan.seed % 40));
            channel.close();
        }
        Finish::Stop(grace) => {
            model::sleep(Duration::from_millis(plan.seed % 40));
            let _ = server.stop(Duration::from_millis(grace));
        }
    }
    for caller in callers {
        caller.join().expect("no caller panics");
    }
    // From here on something has gone wrong that only the clock mends.
    model::set_calm(true);
    desk.go_home();
    for canceller in cancellers {
        canceller.join().expect("no canceller panics");
    }
    desk.await_callbacks();
    if plan.finish == Finish::Quietly {
        await_that("streams and windows to come back", || {
            link::model::alive().iter().all(|link| link.rests())
        });
    }
    drop(channel);
    let stopped = server.stop(None);
    await_that("the server to stop", || stopped.is_done());
}

/// Moves the time line, until the execution is over.
fn clock() {
    while !model::clock_stopped() {
        let alone = model::alone();
        if !model::tick(alone) && alone {
            report();
            panic!("nothing can go on");
        }
        thread::yield_now();
    }
}

fn report() {
    let mut errors = hold(&ERRORS);
    errors.push(format!("at {:?}", model::time()));
    errors.extend(link::model::alive().iter().map(|link| link.describe()));
}

fn await_that(what: &str, done: impl Fn() -> bool) {
    log::trace!("waits for {what}");
    hold(&PLACES).push(format!("waits for {what}"));
    for _ in 0..25 {
        if done() {
            return;
        }
        model::sleep(Duration::from_millis(200));
    }
    report();
    panic!("waited in vain for {what}");
}

fn await_end(what: &str, left: &Weak<()>) {
    await_that(&format!("{what} to be dropped"), || left.strong_count() == 0);
}

fn serve(plan: &Plan, token: Arc<()>) -> Server {
    let options = ServerOptions::default().max_concurrent_streams(plan.max_streams);
    let pool = ThreadPool::new(2);
    let server = Server::builder().thread_pool(pool).options(options).build().expect("a server");
    let echo = move |request: Bytes, _: &ServicerContext| {
        let _lives = &token;
        model::assert_no_lock();
        Ok(request)
    };
    let slow = |request: Bytes, _: &ServicerContext| {
        model::sleep(Duration::from_millis(3));
        Ok(request)
    };
    let count = |request: Bytes, context: &ServicerContext| {
        let count = request.first().copied().unwrap_or_default();
        let all = (0..count).map(|n| Bytes::from(vec![n; 40]));
        if count < ELSEWHERE {
            let all = all.map(Ok::<_, Status>);
            return Ok(Box::new(all) as Box<dyn Iterator<Item = Result<Bytes, Status>>>);
        }
        let (mut sender, responses) = context.response_channel()?;
        // May be done before the handler has returned, or at that very moment.
        let body = move || {
            let sent = all.map(|one| sender.send(&one)).all(|sent| sent.is_ok());
            if sent && count != DROPPED {
                sender.finish(Ok(()));
            }
        };
        let sends = thread::Builder::new().name("elsewhere".into()).spawn(body);
        drop(sends.expect("a thread"));
        Ok(Box::new(responses))
    };
    let sum = |requests: RequestIterator<Bytes>, _: &ServicerContext| {
        let mut octets = 0;
        for request in requests {
            octets += request?.len() as u8;
        }
        Ok(Bytes::from(vec![octets]))
    };
    let bidi = |requests: RequestIterator<Bytes>, _: &ServicerContext| Ok(requests);
    let service = Service::new("m")
        .method("Echo", unary_unary_rpc_method_handler_with(echo, Watched, Watched))
        .method("Slow", unary_unary_rpc_method_handler_with(slow, Watched, Watched))
        .method("Count", unary_stream_rpc_method_handler_with(count, Watched, Watched))
        .method("Sum", stream_unary_rpc_method_handler_with(sum, Watched, Watched))
        .method("Bidi", stream_stream_rpc_method_handler_with(bidi, Watched, Watched));
    server.add_service(service).expect("good methods");
    server.start().expect("a server starts");
    server
}

/// Octets as they are, turned by code that stands for a user's: no lock of ours may be held over it.
#[derive(Clone, Copy)]
struct Watched;

impl Codec<Bytes> for Watched {
    fn encode(&self, message: &Bytes, out: &mut dyn bytes::BufMut) -> Result<(), Status> {
        model::assert_no_lock();
        Raw.encode(message, out)
    }

    fn decode(&self, bytes: Bytes) -> Result<Bytes, Status> {
        model::assert_no_lock();
        Raw.decode(bytes)
    }
}
