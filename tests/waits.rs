//! Every call of the public face that blocks, with everything that has to end its wait: the call's deadline, a cancel from
//! another thread, the close of its channel, the stop of the server; and those with a time of their own, by that.
//! The names are those of the crate's tables of what waits: one that stands there and not here fails.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/around.rs"]
mod around;
#[path = "waits/handlers.rs"]
mod handlers;
#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::{
    Call, CallOptions, Connectivity, ReturnWhen, Termination, as_completed, channel_ready_future,
    wait,
};
use handlers::{HandlersWait, each_handler, end_of, waiting};
use service::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use support::frames::Listener;
use support::{LONG, eventually, timed};

const SHORT: Duration = Duration::from_millis(40);

/// A server whose methods read nothing, say nothing, and return when their calls are over.
struct Bed {
    served: Served,
    channel: Channel,
    running: Arc<AtomicUsize>,
}

impl Bed {
    fn new() -> Self {
        let running = Arc::new(AtomicUsize::new(0));
        let stuck = |cardinality| {
            let running = running.clone();
            let silent = move |_: &mut ServerStream<Bytes, Bytes>, context: &ServicerContext| {
                let (done, ended) = mpsc::channel::<()>();
                if context.add_callback(move || drop(done)) {
                    running.fetch_add(1, Ordering::SeqCst);
                    let _ = ended.recv_timeout(LONG);
                }
                Err(Status::cancelled("over"))
            };
            grpc_threads::stream_rpc_method_handler_with(cardinality, silent, Raw, Raw)
        };
        let served = Served::with(
            4,
            [
                ("One", stuck(Cardinality::UnaryUnary)),
                ("Out", stuck(Cardinality::UnaryStream)),
                ("In", stuck(Cardinality::StreamUnary)),
                ("Both", stuck(Cardinality::StreamStream)),
            ],
        );
        let channel = served.channel();
        Self { served, channel, running }
    }
}

/// A call that has begun, and how to wait for it.
type Waiting = (Option<Call>, Box<dyn FnOnce() -> Option<Code> + Send>);

fn code<T>(result: Result<T, impl Into<Status>>) -> Option<Code> {
    Some(result.map_or_else(|error| error.into().code(), |_| Code::Ok))
}

fn x() -> Bytes {
    Bytes::from_static(b"x")
}

/// So much of a request that no window takes two.
fn large() -> Bytes {
    Bytes::from(vec![7; 1 << 20])
}

/// By name: begins a call, and waits for it. What tells no status gives `None`.
type Wait = (&'static str, fn(&Bed, &CallOptions) -> Waiting);

fn one(bed: &Bed, options: &CallOptions) -> grpc_threads::UnaryUnary<Bytes, Bytes> {
    bed.channel.raw_unary_unary("/test.Test/One").unwrap().options(options)
}
fn both(bed: &Bed, options: &CallOptions) -> grpc_threads::Duplex<Bytes, Bytes> {
    bed.channel.raw_stream_stream("/test.Test/Both").unwrap().options(options).open()
}
fn out(bed: &Bed, options: &CallOptions) -> grpc_threads::Responses<Bytes> {
    let method = bed.channel.raw_unary_stream("/test.Test/Out").unwrap().options(options);
    method.call(&x()).unwrap()
}
fn inward(bed: &Bed, options: &CallOptions) -> grpc_threads::StreamUnary<Bytes, Bytes> {
    bed.channel.raw_stream_unary("/test.Test/In").unwrap().options(options)
}

fn behind(bed: &Bed, options: &CallOptions) -> grpc_threads::UnaryUnary<Bytes, Bytes> {
    let channel = grpc_threads::intercept_channel(&bed.channel, [around::passing()]);
    channel.raw_unary_unary("/test.Test/One").unwrap().options(options)
}

/// What blocks on calls with one request.
fn waits_for_one() -> Vec<Wait> {
    vec![
        ("UnaryUnary::call", |bed, options| {
            let method = one(bed, options);
            (None, Box::new(move || code(method.call(&x()))))
        }),
        ("UnaryUnary::with_call", |bed, options| {
            let method = one(bed, options);
            (None, Box::new(move || code(method.with_call(&x()))))
        }),
        ("CallFuture::result", |bed, options| {
            let mut future = one(bed, options).future(&x());
            (Some(future.handle()), Box::new(move || code(future.result(None))))
        }),
        ("CallFuture::exception", |bed, options| {
            let mut future = one(bed, options).future(&x());
            let told = move || match future.exception(None) {
                Ok(status) => status.map(|status| status.code()),
                Err(error) => Some(Status::from(error).code()),
            };
            (None, Box::new(told))
        }),
        ("Call::status", |bed, options| {
            let future = one(bed, options).future(&x());
            let call = future.handle();
            (Some(call), Box::new(move || Some(future.status().code())))
        }),
        ("Call::code", |bed, options| {
            let future = one(bed, options).future(&x());
            let call = future.handle();
            (Some(call), Box::new(move || Some(future.code())))
        }),
        ("Call::details", |bed, options| {
            let future = one(bed, options).future(&x());
            let call = future.handle();
            let told = move || {
                drop(future.details());
                future.handle().try_status().map(|status| status.code())
            };
            (Some(call), Box::new(told))
        }),
        ("Next::call", |bed, options| {
            let method = behind(bed, options);
            (None, Box::new(move || code(method.call(&x()))))
        }),
        ("Next::call of a future", |bed, options| {
            let mut future = behind(bed, options).future(&x());
            (Some(future.handle()), Box::new(move || code(future.result(None))))
        }),
        ("Call::initial_metadata", |bed, options| {
            let responses = out(bed, options);
            let call = responses.handle();
            let told = move || {
                drop(responses.initial_metadata());
                None
            };
            (Some(call), Box::new(told))
        }),
        ("Call::trailing_metadata", |bed, options| {
            let responses = out(bed, options);
            let call = responses.handle();
            let told = move || {
                drop(responses.trailing_metadata());
                None
            };
            (Some(call), Box::new(told))
        }),
        ("Responses::recv", |bed, options| {
            let mut responses = out(bed, options);
            (Some(responses.handle()), Box::new(move || code(responses.recv())))
        }),
        ("Responses::next", |bed, options| {
            let mut responses = out(bed, options);
            let call = responses.handle();
            (Some(call), Box::new(move || responses.next().and_then(code)))
        }),
        ("Responses::collect_all", |bed, options| {
            let responses = out(bed, options);
            (Some(responses.handle()), Box::new(move || code(responses.collect_all())))
        }),
    ]
}

/// What blocks on calls with many requests, and on many calls.
fn waits_for_many() -> Vec<Wait> {
    vec![
        ("StreamUnary::call", |bed, options| {
            let method = inward(bed, options);
            (None, Box::new(move || code(method.call([x()]))))
        }),
        ("StreamUnary::call without room", |bed, options| {
            let method = inward(bed, options);
            (None, Box::new(move || code(method.call(std::iter::repeat_with(large)))))
        }),
        ("StreamUnary::with_call", |bed, options| {
            let method = inward(bed, options);
            (None, Box::new(move || code(method.with_call([x()]))))
        }),
        ("StreamUnary::try_call", |bed, options| {
            let method = inward(bed, options);
            (None, Box::new(move || code(method.try_call([Ok::<_, Status>(x())]))))
        }),
        ("RequestSender::send", |bed, options| {
            let (mut sender, future) = inward(bed, options).open();
            let call = future.handle();
            let told = move || {
                let _future = future;
                loop {
                    if let Err(status) = sender.send(&large()) {
                        return Some(status.code());
                    }
                }
            };
            (Some(call), Box::new(told))
        }),
        ("Duplex::recv", |bed, options| {
            let mut duplex = both(bed, options);
            (Some(duplex.handle()), Box::new(move || code(duplex.recv())))
        }),
        ("Duplex::send", |bed, options| {
            let mut duplex = both(bed, options);
            let call = duplex.handle();
            let told = move || loop {
                if let Err(status) = duplex.send(&large()) {
                    return Some(status.code());
                }
            };
            (Some(call), Box::new(told))
        }),
        ("Exchange::next", |bed, options| {
            let method = bed.channel.raw_stream_stream("/test.Test/Both").unwrap();
            let method = method.options(options);
            (None, Box::new(move || method.call([x()]).next().and_then(code)))
        }),
        ("Exchange::recv", |bed, options| {
            let method = bed.channel.raw_stream_stream("/test.Test/Both").unwrap();
            let method = method.options(options);
            (None, Box::new(move || code(method.call([x()]).recv())))
        }),
        ("Exchange::next without room", |bed, options| {
            let method = bed.channel.raw_stream_stream("/test.Test/Both").unwrap();
            let method = method.options(options);
            let told = move || method.call(std::iter::repeat_with(large)).next().and_then(code);
            (None, Box::new(told))
        }),
        ("Responses of StreamStream::spawn", |bed, options| {
            let method = bed.channel.raw_stream_stream("/test.Test/Both").unwrap();
            let mut responses = method.options(options).spawn(std::iter::repeat_with(large));
            (Some(responses.handle()), Box::new(move || code(responses.recv())))
        }),
        ("AsCompleted::next", |bed, options| {
            let future = one(bed, options).future(&x());
            let call = future.handle();
            let told = move || {
                let mut done = as_completed([future]);
                done.next().and_then(|mut future| code(future.result(None)))
            };
            (Some(call), Box::new(told))
        }),
        ("wait", |bed, options| {
            let future = one(bed, options).future(&x());
            let call = future.handle();
            let told = move || {
                let mut waited = wait([future], None, ReturnWhen::AllCompleted);
                waited.done.pop().and_then(|mut future| code(future.result(None)))
            };
            (Some(call), Box::new(told))
        }),
    ]
}

/// Begins each wait, has `end` end it once its handler runs, and looks how it ended.
fn each(
    options: &CallOptions,
    expected: Code,
    only_with_handle: bool,
    end: fn(&Bed, Option<Call>),
) {
    for (name, begin) in waits_for_one().into_iter().chain(waits_for_many()) {
        let bed = Bed::new();
        let (call, wait) = begin(&bed, options);
        if only_with_handle && call.is_none() {
            continue;
        }
        let (told, outcome) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                // Moved in, so that what the wait owned goes before it is told.
                let code = wait();
                told.send(code).unwrap();
            });
            eventually(LONG, "its handler runs", || bed.running.load(Ordering::SeqCst) == 1);
            end(&bed, call);
            let code = outcome.recv_timeout(LONG);
            // A scope would wait for ever for a thread that does.
            let Ok(code) = code else {
                eprintln!("{name} does not end by {expected:?}");
                std::process::abort();
            };
            assert!(code.is_none_or(|code| code == expected), "{name}: {code:?}, not {expected:?}");
        });
    }
}

#[test]
fn every_wait_ends_at_the_deadline_of_its_call() {
    let options = CallOptions::new().timeout(Duration::from_millis(200));
    each(&options, Code::DeadlineExceeded, false, |_, _| ());
}

#[test]
fn every_wait_ends_by_a_cancel_from_another_thread() {
    each(&CallOptions::new(), Code::Cancelled, true, |_, call| {
        assert!(call.unwrap().cancel());
    });
}

#[test]
fn every_wait_ends_when_its_channel_is_closed() {
    each(&CallOptions::new(), Code::Cancelled, false, |bed, _| bed.channel.close());
}

#[test]
fn every_wait_ends_when_its_server_stops() {
    each(&CallOptions::new(), Code::Unavailable, false, |bed, _| {
        bed.served.server.stop(None);
    });
}

#[test]
fn every_wait_with_a_time_of_its_own_ends_by_that_and_the_call_goes_on() {
    let bed = Bed::new();
    let one = bed.channel.raw_unary_unary("/test.Test/One").unwrap();
    let mut future = one.future(&x());
    let timed_out = |wait: &str, error: ResultError| {
        assert!(matches!(error, ResultError::TimedOut), "{wait}: {error}");
    };
    timed_out("CallFuture::result", future.result(Some(SHORT)).unwrap_err());
    timed_out("CallFuture::exception", future.exception(Some(SHORT)).unwrap_err());
    let waited = wait([one.future(&x())], Some(SHORT), ReturnWhen::FirstCompleted);
    assert_eq!((waited.done.len(), waited.not_done.len()), (0, 1));
    let next = as_completed([one.future(&x())]).next_timeout(SHORT);
    timed_out("AsCompleted::next_timeout", next.map(drop).unwrap_err());
    assert!(future.is_active());
    drop((future, waited));

    let method = bed.channel.raw_unary_stream("/test.Test/Out").unwrap();
    let mut responses = method.call(&x()).unwrap();
    timed_out("Responses::recv_timeout", responses.recv_timeout(SHORT).unwrap_err());
    timed_out("Responses::try_recv", responses.try_recv().unwrap_err());
    assert!(responses.is_active());
    let mut duplex = bed.channel.raw_stream_stream("/test.Test/Both").unwrap().open();
    timed_out("Duplex::recv_timeout", duplex.recv_timeout(SHORT).unwrap_err());
    timed_out("Duplex::send_timeout", until_full(|| duplex.send_timeout(&large(), SHORT)));
    timed_out("Duplex::try_send", duplex.try_send(&large()).unwrap_err());
    assert!(duplex.is_active());
    let (mut sender, future) = bed.channel.raw_stream_unary("/test.Test/In").unwrap().open();
    timed_out("RequestSender::send_timeout", until_full(|| sender.send_timeout(&large(), SHORT)));
    assert!(future.is_active());

    // Nobody says a word of HTTP/2 there.
    let silent = Listener::new();
    let channel = channel(&silent.target());
    let waiting = channel.raw_unary_unary(ECHO).unwrap().wait_for_ready(true).future(&x());
    let unconnected = waiting.wait_for_connection(Some(SHORT)).unwrap_err();
    timed_out("Call::wait_for_connection", unconnected);
    assert!(matches!(channel.wait_ready(Some(SHORT)), Err(ResultError::NotReady(_))));
    let ready = channel_ready_future(&channel);
    assert!(ready.result(Some(SHORT)).is_err());
    assert!(!channel.wait_for_state_change(Connectivity::Connecting, Some(SHORT)));

    assert_eq!(bed.served.server.wait_for_termination(SHORT), Termination::TimedOut);
    for channel in [channel, bed.channel] {
        let (took, ()) = timed(|| channel.close_within(SHORT));
        assert!(took < LONG, "Channel::close_within took {took:?}");
    }
    let stopped = bed.served.server.stop(LONG);
    stopped.wait(LONG).expect("Stopped::wait");
}

fn until_full(mut send: impl FnMut() -> Result<(), ResultError>) -> ResultError {
    loop {
        if let Err(error) = send() {
            return error;
        }
    }
}

#[test]
fn waits_for_a_channel_and_a_server_end_when_these_do() {
    let silent = Listener::new();
    let channel = channel(&silent.target());
    let served = Served::new();
    let servers = [2, 2].map(|workers| grpc_threads::server(ThreadPool::new(workers)));
    let [serves, serves_until] = &servers;
    let (stop, signal) = mpsc::channel::<()>();
    thread::scope(|scope| {
        type Wait<'a> = (&'a str, Box<dyn FnOnce() + Send + 'a>);
        let waits: Vec<Wait<'_>> = vec![
            ("Channel::wait_ready", Box::new(|| assert!(channel.wait_ready(None).is_err()))),
            (
                "ReadyFuture::result",
                Box::new(|| assert!(channel_ready_future(&channel).result(None).is_err())),
            ),
            (
                "Channel::wait_for_state_change",
                Box::new(|| {
                    let mut state = channel.state(true);
                    while state != Connectivity::Shutdown {
                        assert!(channel.wait_for_state_change(state, None));
                        state = channel.state(false);
                    }
                }),
            ),
            (
                "Call::wait_for_connection",
                Box::new(|| {
                    let method = channel.raw_unary_unary(ECHO).unwrap().wait_for_ready(true);
                    assert!(method.future(&x()).wait_for_connection(None).is_err());
                }),
            ),
            (
                "RequestSender::done_writing",
                Box::new(|| {
                    let method = channel.raw_stream_unary(SUM).unwrap().wait_for_ready(true);
                    let (sender, _future) = method.open();
                    assert_eq!(sender.done_writing().unwrap_err().code(), Code::Cancelled);
                }),
            ),
            (
                "Duplex::done_writing",
                Box::new(|| {
                    let method = channel.raw_stream_stream(BIDI).unwrap().wait_for_ready(true);
                    let ended = method.open().done_writing();
                    assert_eq!(ended.unwrap_err().code(), Code::Cancelled);
                }),
            ),
            ("Server::serve", Box::new(|| serves.serve("127.0.0.1:0").unwrap())),
            (
                "Server::serve_until",
                Box::new(move || {
                    let signal = || assert!(signal.recv().is_err());
                    drop(serves_until.serve_until("127.0.0.1:0", signal, LONG).unwrap());
                }),
            ),
            (
                "Server::wait_for_termination",
                Box::new(|| {
                    let ended = served.server.wait_for_termination(None);
                    assert_eq!(ended, Termination::Terminated);
                }),
            ),
        ];
        let (told, done) = mpsc::channel();
        let mut left = waits.len();
        for (name, wait) in waits {
            let told = told.clone();
            scope.spawn(move || {
                wait();
                told.send(name).unwrap();
            });
        }
        drop(silent.accept_raw());
        for server in &servers {
            let target = || server.local_addrs().first().map(ToString::to_string);
            eventually(LONG, "it listens", || target().is_some());
            // Only a server that has started answers.
            let there = grpc_threads::insecure_channel(&target().unwrap()).unwrap();
            assert!(there.wait_ready(Some(LONG)).is_ok());
        }
        channel.close();
        served.server.stop(None);
        serves.stop(None);
        drop(stop);
        while left > 0 {
            if done.recv_timeout(LONG).is_err() {
                eprintln!("{left} waits do not end");
                std::process::abort();
            }
            left -= 1;
        }
    });
}

#[test]
fn every_wait_of_a_handler_ends_by_the_clients_cancel_and_its_drop() {
    each_handler(&CallOptions::new(), |_, call| assert!(call.cancel()));
    each_handler(&CallOptions::new(), |_, call| drop(call));
}

#[test]
fn every_wait_of_a_handler_ends_at_the_deadline() {
    let options = CallOptions::new().timeout(Duration::from_millis(200));
    each_handler(&options, |_, call| assert_eq!(call.code(), Code::DeadlineExceeded));
}

#[test]
fn every_wait_of_a_handler_ends_when_its_connection_or_its_server_does() {
    each_handler(&CallOptions::new(), |bed, call| {
        bed.channel.close();
        drop(call);
    });
    each_handler(&CallOptions::new(), |bed, call| {
        bed.served.server.stop(None);
        assert_eq!(call.code(), Code::Unavailable);
    });
}

#[test]
fn every_wait_of_a_handler_with_a_time_of_its_own_ends_by_that_and_the_call_goes_on() {
    use HandlersWait::{OnIterator, OnStream};
    let waits: [(&str, HandlersWait); 3] = [
        ("ServerStream::recv_timeout", OnStream(|stream| end_of(stream.recv_timeout(SHORT)))),
        (
            "RequestIterator::recv_timeout",
            OnIterator(|mut requests, _| end_of(requests.recv_timeout(SHORT))),
        ),
        (
            "ResponseSender::send_timeout",
            OnIterator(|_, context| {
                let (mut sender, _responses) = context.response_channel::<Bytes>()?;
                end_of(Err::<(), _>(until_full(|| sender.send_timeout(&large(), SHORT))))
            }),
        ),
    ];
    for (name, wait) in waits {
        let (served, ended) = waiting(wait);
        let call = served.channel().raw_stream_stream("/test.Test/Waits").unwrap().open();
        ended.recv_timeout(LONG).unwrap().expect("it begins");
        let outcome = ended.recv_timeout(LONG).unwrap();
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
        drop(call);
    }
}

/// What ends by the system's own clock alone.
const UNTESTABLE: [&str; 2] = ["Server::add_insecure_port", "Server::add_secure_port"];

#[test]
fn what_the_crate_says_of_waits_is_what_is_tested_here() {
    let own = [include_str!("waits.rs"), include_str!("waits/handlers.rs")].concat();
    let named = names_of_waits(include_str!("../src/lib.rs"));
    assert!(named.len() > 50, "{named:?}");
    for name in named.iter().filter(|name| !UNTESTABLE.contains(&name.as_str())) {
        let told = ["\"", " ", ": "].iter().any(|end| own.contains(&format!("\"{name}{end}")));
        assert!(told, "{name} waits, by src/lib.rs, and no test here has that name");
    }
}

/// Of the first cells of both tables: `Type::method`, and `Type` before the methods behind it.
fn names_of_waits(docs: &str) -> Vec<String> {
    let (_, tables) = docs.split_once("| waits for | ends also |").expect("a table of waits");
    let (tables, _) = tables.split_once("Where a call is awaited").expect("the end of the tables");
    let mut names = Vec::new();
    for cell in tables.lines().filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").next()) {
        let mut of = "";
        for word in cell.split('`').skip(1).step_by(2) {
            let (owner, method) = match word.rsplit_once("::") {
                Some((owner, method)) => (owner, method),
                None if word.starts_with(char::is_uppercase) => (word, ""),
                None => (of, word),
            };
            of = owner;
            match (owner, method) {
                (_, "") => {}
                ("", method) => names.push(method.to_owned()),
                (owner, method) => names.push(format!("{owner}::{method}")),
            }
        }
    }
    names
}
