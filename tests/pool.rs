//! The pool of a server when it is full: who waits, who does not, who is refused, and when there is one worker more.

#[path = "support/service.rs"]
mod service;
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::{
    Channel, Code, Raw, RequestIterator, RpcMethodHandler, ServicerContext, Status, ThreadPool,
    stream_unary_rpc_method_handler_with,
};
use service::{ECHO, SUM, Served, echo, unary};
use support::{LONG, eventually, logged, within};

const HELD: &str = "/test.Test/Held";
const NEST: &str = "/test.Test/Nest";
const STATUS: &str = "/test.Test/Status";

/// Calls that stay in their handlers until they are let go, by means that the library does not see.
struct Gate {
    inside: mpsc::Receiver<()>,
    open: mpsc::Sender<()>,
}

fn gate() -> (RpcMethodHandler, Gate) {
    let (arrived, inside) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    let (arrived, opened) = (Mutex::new(arrived), Mutex::new(opened));
    let handler = unary(move |request, _| {
        arrived.lock().unwrap().send(()).unwrap();
        // One at a time waits at the lock, the others for it: nobody passes without leave.
        let _ = opened.lock().unwrap().recv_timeout(LONG);
        Ok(request)
    });
    (handler, Gate { inside, open })
}

impl Gate {
    fn wait(&self, calls: usize) {
        for _ in 0..calls {
            self.inside.recv_timeout(LONG).expect("one more is inside");
        }
    }

    fn open(&self, calls: usize) {
        for _ in 0..calls {
            self.open.send(()).unwrap();
        }
    }
}

fn served(pool: &ThreadPool, more: impl IntoIterator<Item = service::Method>) -> Served {
    Served::start(grpc_threads::server(pool.clone()), "127.0.0.1:0", more)
}

fn call(channel: &Channel, path: &str) -> grpc_threads::CallFuture<Bytes> {
    channel.raw_unary_unary(path).unwrap().timeout(LONG).future(&Bytes::from_static(b"x"))
}

/// A method that calls itself over the wire as often as it is asked to.
fn nest() -> (RpcMethodHandler, Arc<OnceLock<Channel>>) {
    let channel: Arc<OnceLock<Channel>> = Arc::default();
    let own = channel.clone();
    let handler = unary(move |request, _| match request.first() {
        None => Ok(Bytes::from_static(b"bottom")),
        Some(_) => own.get().unwrap().raw_unary_unary(NEST)?.call(&request.slice(1..)),
    });
    (handler, channel)
}

#[test]
fn a_handler_that_calls_its_own_server_is_answered_however_few_workers_there_are() {
    for workers in [1, 2] {
        within(LONG, move || {
            let (handler, own) = nest();
            let pool = ThreadPool::new(workers);
            let served = served(&pool, [("Nest", handler)]);
            let channel = served.channel();
            own.set(channel.clone()).unwrap();
            let nested = channel.raw_unary_unary(NEST).unwrap();
            assert_eq!(nested.call(&Bytes::from_static(b"123")).unwrap(), "bottom");
            // Each worker has one of these at least.
            let calls: Vec<_> =
                (0..4).map(|_| nested.future(&Bytes::from_static(b"123"))).collect();
            for mut call in calls {
                assert_eq!(call.result(None).unwrap(), "bottom");
            }
            assert!(pool.alive() > workers);
        });
    }
}

#[test]
fn without_spares_such_a_handler_waits_for_itself() {
    let (handler, own) = nest();
    let served = served(&ThreadPool::builder(1).spares(0).build(), [("Nest", handler)]);
    let channel = served.channel();
    own.set(channel.clone()).unwrap();
    let nested = channel.raw_unary_unary(NEST).unwrap().timeout(Duration::from_millis(300));
    let status = nested.call(&Bytes::from_static(b"1")).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    // And is free again: the call that it made went with the server's.
    drop(served);
}

#[test]
fn where_the_spares_are_spent_the_log_says_so_and_what_helps() {
    logged::listen(log::LevelFilter::Debug);
    let (handler, own) = nest();
    let served = served(&ThreadPool::builder(1).spares(1).build(), [("Nest", handler)]);
    let channel = served.channel();
    own.set(channel.clone()).unwrap();
    let call = channel.raw_unary_unary(NEST).unwrap().future(&Bytes::from_static(b"123"));
    assert!(logged::logged(&[
        "WARN",
        "all 2 workers of a pool have been busy for a second, 2 of them waiting",
        "no spare is left (of 1)",
        "raise `spares`",
    ]));
    assert!(call.cancel());
    drop(served);
}

/// So many calls whose client sends nothing: their handlers wait for it.
fn stand_still(channel: &Channel, calls: usize) -> impl Sized + use<> {
    let sums = channel.raw_stream_unary(SUM).unwrap();
    (0..calls).map(|_| sums.open()).collect::<Vec<_>>()
}

#[test]
fn a_client_whose_calls_all_stand_still_leaves_threads_to_others() {
    within(4 * LONG, || {
        logged::listen(log::LevelFilter::Debug);
        let pool = ThreadPool::new(2);
        let served = served(&pool, []);
        let (one, other, honest) = (served.channel(), served.channel(), served.channel());
        let echo = honest.raw_unary_unary(ECHO).unwrap().timeout(LONG);
        let first = stand_still(&one, 60);
        eventually(LONG, "it has more than are left", || pool.running() == 18);
        assert_eq!(echo.call(&Bytes::from_static(b"1")).unwrap(), "1");
        let second = stand_still(&other, 60);
        eventually(LONG, "so has the next, of these", || pool.running() >= 18 + 9);
        for _ in 0..20 {
            assert_eq!(echo.call(&Bytes::from_static(b"2")).unwrap(), "2");
        }
        // A worker is busy a moment longer than its client waits.
        eventually(LONG, "the rest waits", || pool.queued() == 42 + 51 && pool.running() == 18 + 9);
        assert!(logged::logged(&["WARN", "wait for calls of their own connection"]));
        // What one lets go of is taken by those of its own that wait.
        drop(first);
        eventually(LONG, "all of it has gone", || pool.running() <= 18 && pool.queued() <= 51);
        drop(second);
        eventually(LONG, "and all of the other", || pool.running() + pool.queued() == 0);
        assert_eq!(echo.call(&Bytes::from_static(b"3")).unwrap(), "3");
    });
}

#[test]
fn a_pool_that_grows_has_as_many_workers_as_there_is_to_do_and_gives_them_back() {
    let (handler, gate) = gate();
    let pool = ThreadPool::builder(1).at_most(3).spares(0).idle(Duration::from_millis(20)).build();
    let served = served(&pool, [("Held", handler)]);
    let channel = served.channel();
    assert_eq!(pool.alive(), 1);
    let mut calls: Vec<_> = (0..4).map(|_| call(&channel, HELD)).collect();
    gate.wait(3);
    eventually(LONG, "the fourth waits", || pool.queued() == 1);
    assert_eq!((pool.alive(), pool.running()), (3, 3));
    gate.open(4);
    for call in &mut calls {
        call.result(Some(LONG)).unwrap();
    }
    eventually(LONG, "those that are not needed go", || pool.alive() == 1);
    assert_eq!(
        call(&channel, ECHO).result(Some(LONG)).unwrap(),
        "x",
        "and the one that is left serves"
    );
    // Again.
    let mut calls: Vec<_> = (0..2).map(|_| call(&channel, HELD)).collect();
    gate.wait(2);
    gate.open(2);
    calls.iter_mut().for_each(|call| drop(call.result(Some(LONG)).unwrap()));
}

#[test]
fn what_is_reserved_is_answered_though_the_pool_is_full_and_refuses_others() {
    let (handler, gate) = gate();
    let pool = ThreadPool::with_queue(1, 0);
    let served = served(&pool, [("Held", handler), ("Status", echo().reserved())]);
    let channel = served.channel();
    let mut held = call(&channel, HELD);
    gate.wait(1);
    let refused = call(&channel, ECHO).result(Some(LONG)).unwrap_err();
    assert_eq!(Status::from(refused).code(), Code::ResourceExhausted);
    assert_eq!(pool.refused(), 1);
    for _ in 0..20 {
        assert_eq!(call(&channel, STATUS).result(Some(LONG)).unwrap(), "x");
    }
    assert_eq!((pool.refused(), pool.running()), (1, 1));
    gate.open(1);
    held.result(Some(LONG)).unwrap();
    assert_eq!(
        call(&channel, STATUS).result(Some(LONG)).unwrap(),
        "x",
        "and as usual when it is not"
    );
}

#[test]
fn what_is_reserved_needs_no_place_among_the_concurrent_calls() {
    let (handler, gate) = gate();
    let options = grpc_threads::ServerOptions::default().maximum_concurrent_rpcs(1);
    let server = grpc_threads::Server::builder().options(options).build().unwrap();
    let methods = [("Held", handler), ("Status", echo().reserved())];
    let served = Served::start(server, "127.0.0.1:0", methods);
    let channel = served.channel();
    let mut held = call(&channel, HELD);
    gate.wait(1);
    let refused = call(&channel, ECHO).result(Some(LONG)).unwrap_err();
    assert_eq!(Status::from(refused).code(), Code::ResourceExhausted);
    assert_eq!(call(&channel, STATUS).result(Some(LONG)).unwrap(), "x");
    gate.open(1);
    held.result(Some(LONG)).unwrap();
    assert_eq!(call(&channel, ECHO).result(Some(LONG)).unwrap(), "x");
}

#[test]
fn a_method_with_a_pool_of_its_own_is_in_nobody_elses_way() {
    let (handler, gate) = gate();
    let (pool, own) = (ThreadPool::new(1), ThreadPool::new(2));
    let served = served(&pool, [("Held", handler.thread_pool(own.clone()))]);
    assert_eq!(own.alive(), 2, "it starts with the server");
    let channel = served.channel();
    let mut calls: Vec<_> = (0..3).map(|_| call(&channel, HELD)).collect();
    gate.wait(2);
    assert_eq!(call(&channel, ECHO).result(Some(LONG)).unwrap(), "x");
    eventually(LONG, "the third waits", || own.queued() == 1);
    assert_eq!((pool.queued(), own.running()), (0, 2));
    gate.open(3);
    calls.iter_mut().for_each(|call| drop(call.result(Some(LONG)).unwrap()));
}

#[test]
fn a_call_whose_time_is_over_when_its_turn_comes_does_not_run() {
    let (handler, gate) = gate();
    let ran = Arc::new(AtomicUsize::new(0));
    let (one, other) = (ran.clone(), ran.clone());
    let taken = unary(move |request, _| {
        one.fetch_add(1, Ordering::Relaxed);
        Ok(request)
    });
    let streaming = stream_unary_rpc_method_handler_with(
        move |_: RequestIterator<Bytes>, _: &ServicerContext| {
            other.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::new())
        },
        Raw,
        Raw,
    );
    let pool = ThreadPool::new(1);
    let methods = [("Held", handler), ("Taken", taken), ("Streaming", streaming)];
    let served = served(&pool, methods);
    let channel = served.channel();
    let mut held = call(&channel, HELD);
    gate.wait(1);
    let soon = Duration::from_millis(50);
    let mut late =
        channel.raw_unary_unary("/test.Test/Taken").unwrap().timeout(soon).future(&Bytes::new());
    let (_sender, mut stream) =
        channel.raw_stream_unary("/test.Test/Streaming").unwrap().timeout(soon).open();
    for call in [&mut late, &mut stream] {
        let status = Status::from(call.result(Some(LONG)).unwrap_err());
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    }
    assert_eq!((pool.expired(), pool.queued()), (0, 2));
    gate.open(1);
    held.result(Some(LONG)).unwrap();
    eventually(LONG, "both were looked at", || pool.expired() == 2);
    assert_eq!(ran.load(Ordering::Relaxed), 0);
}
