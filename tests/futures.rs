//! Futures: several at once, awaited without an executor, and what a callback of theirs may do.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod support;

use bytes::Bytes;
use grpc_threads::{
    CallFuture, Channel, Code, ResultError, ReturnWhen, UnaryUnary, as_completed, insecure_channel,
    wait,
};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use support::frames::{Listener, RST_STREAM};
use support::{LONG, eventually, logged, within};

const SHORT: Duration = Duration::from_millis(30);

/// What the peer is told to do: answer the request of this number, or fail it with this status.
enum Order {
    Answer(usize),
    Fail(usize, u32),
}

/// So many calls that have begun at a peer, which answers as it is told.
struct Rig {
    channel: Channel,
    orders: Sender<Order>,
    resets: Receiver<usize>,
    peer: JoinHandle<()>,
}

fn method(channel: &Channel) -> UnaryUnary<Bytes, Bytes> {
    channel.raw_unary_unary("/test.S/Unary").unwrap()
}

fn begun(count: usize) -> (Rig, Vec<CallFuture<Bytes>>) {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let (orders, ordered) = mpsc::channel();
    let (reset, resets) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let peer = thread::spawn(move || {
        let mut peer = listener.accept();
        let streams: Vec<u32> = (0..count).map(|_| peer.wait_request().stream).collect();
        tell.send(()).unwrap();
        for order in ordered {
            match order {
                Order::Answer(number) => {
                    peer.respond(streams[number], number.to_string().as_bytes());
                }
                Order::Fail(number, status) => {
                    peer.respond_head(streams[number]);
                    peer.respond_trailers(streams[number], status);
                }
            }
        }
        for frame in peer.drain().iter().filter(|frame| frame.kind == RST_STREAM) {
            // Others may have come later.
            if let Some(number) = streams.iter().position(|stream| *stream == frame.stream) {
                reset.send(number).unwrap();
            }
        }
    });
    let unary = method(&channel);
    let futures = (0..count).map(|number| unary.future(&Bytes::from(number.to_string()))).collect();
    told.recv_timeout(LONG).unwrap();
    (Rig { channel, orders, resets, peer }, futures)
}

impl Rig {
    fn answer(&self, number: usize) {
        self.orders.send(Order::Answer(number)).unwrap();
    }

    fn fail(&self, number: usize, status: u32) {
        self.orders.send(Order::Fail(number, status)).unwrap();
    }

    /// The peer is done with its orders, and with everything once the channel closes: which calls were reset.
    fn end(self) -> Vec<usize> {
        let Self { channel, orders, resets, peer } = self;
        drop(orders);
        channel.close();
        peer.join().unwrap();
        let mut reset: Vec<usize> = resets.try_iter().collect();
        reset.sort_unstable();
        reset
    }
}

/// The number that a call was answered with.
fn number(future: &mut CallFuture<Bytes>) -> usize {
    let answer = future.result(Some(Duration::ZERO)).expect("it has ended well");
    std::str::from_utf8(&answer).unwrap().parse().unwrap()
}

fn ended(futures: &[CallFuture<Bytes>], numbers: &[usize]) {
    eventually(LONG, "the calls end", || numbers.iter().all(|number| futures[*number].done()));
}

#[test]
fn futures_come_back_in_the_order_in_which_their_calls_end() {
    within(LONG, || {
        let (rig, futures) = begun(4);
        let mut completed = as_completed(futures);
        assert_eq!((completed.len(), completed.size_hint()), (4, (4, Some(4))));
        assert!(matches!(completed.try_next(), Err(ResultError::TimedOut)));
        for order in [2, 0, 3, 1] {
            rig.answer(order);
            let mut future = completed.next().unwrap();
            assert!(future.done());
            assert_eq!(number(&mut future), order);
        }
        assert!(completed.is_empty() && completed.next().is_none() && completed.next().is_none());
        assert!(completed.try_next().unwrap().is_none());
        rig.end();
    });
}

#[test]
fn a_failed_call_a_cancelled_one_and_one_that_expired_come_back_as_they_ended() {
    within(LONG, || {
        let (rig, futures) = begun(3);
        let handles: Vec<_> = futures.iter().map(CallFuture::handle).collect();
        let late = method(&rig.channel).timeout(SHORT).future(&Bytes::new());
        let mut completed = as_completed(futures.into_iter().chain([late]));
        let mut next = || completed.next().unwrap().result(Some(Duration::ZERO));
        let Err(ResultError::Rpc(status)) = next() else { panic!("its deadline") };
        assert_eq!(status.code(), Code::DeadlineExceeded);
        rig.fail(1, 5);
        let Err(ResultError::Rpc(status)) = next() else { panic!("its server") };
        assert_eq!(status.code(), Code::NotFound);
        handles[0].cancel();
        assert!(matches!(next(), Err(ResultError::Cancelled)));
        rig.channel.close();
        let Err(ResultError::Rpc(status)) = next() else { panic!("its channel") };
        assert_eq!((status.code(), status.message()), (Code::Cancelled, "Channel closed!"));
        rig.end();
    });
}

#[test]
fn a_wait_for_the_next_future_may_time_out_and_loses_none() {
    within(LONG, || {
        let (rig, futures) = begun(2);
        let mut completed = as_completed(futures);
        assert!(matches!(completed.next_timeout(SHORT), Err(ResultError::TimedOut)));
        rig.answer(1);
        assert_eq!(number(&mut completed.next_timeout(LONG).unwrap().unwrap()), 1);
        assert!(matches!(completed.next_timeout(SHORT), Err(ResultError::TimedOut)));
        let mut pending = completed.into_pending();
        assert_eq!(pending.len(), 1);
        rig.answer(0);
        assert!(pending[0].result(Some(LONG)).is_ok(), "given back, it goes on");
        rig.end();
    });
}

#[test]
fn a_future_may_join_those_that_are_waited_for() {
    within(LONG, || {
        let (rig, mut futures) = begun(3);
        let (last, second) = (futures.pop().unwrap(), futures.pop().unwrap());
        let mut completed = as_completed(futures);
        rig.answer(2);
        eventually(LONG, "it ends", || last.done());
        completed.push(last);
        assert_eq!(number(&mut completed.next().unwrap()), 2, "it had ended before it came");
        completed.push(second);
        rig.answer(1);
        assert_eq!(number(&mut completed.next().unwrap()), 1);
        rig.answer(0);
        assert_eq!(number(&mut completed.next().unwrap()), 0);
        assert!(completed.next().is_none());
        rig.end();
    });
}

#[test]
fn dropping_the_wait_for_many_cancels_those_that_were_not_given_back() {
    within(LONG, || {
        let (rig, futures) = begun(3);
        let handles: Vec<_> = futures.iter().map(CallFuture::handle).collect();
        let mut completed = as_completed(futures);
        rig.answer(1);
        assert_eq!(number(&mut completed.next().unwrap()), 1);
        drop(completed);
        assert!(handles[0].cancelled() && handles[2].cancelled() && !handles[1].cancelled());
        assert_eq!(rig.end(), [0, 2]);
    });
}

#[test]
fn a_wait_for_the_first_gives_all_that_have_ended_by_then() {
    within(LONG, || {
        let (rig, futures) = begun(4);
        rig.answer(3);
        rig.fail(1, 13);
        ended(&futures, &[1, 3]);
        let mut waited = wait(futures, None, ReturnWhen::FirstCompleted);
        assert_eq!((waited.done.len(), waited.not_done.len()), (2, 2));
        assert_eq!(number(&mut waited.done[1]), 3, "in the order in which they came");
        rig.answer(0);
        let mut waited = wait(waited.not_done, Some(LONG), ReturnWhen::FirstCompleted);
        assert_eq!(number(&mut waited.done[0]), 0);
        assert_eq!(waited.not_done.len(), 1);
        rig.end();
    });
}

#[test]
fn a_wait_for_the_first_failure_goes_on_past_a_cancel() {
    within(LONG, || {
        let (rig, futures) = begun(4);
        futures[0].cancel();
        rig.answer(1);
        ended(&futures, &[1]);
        let waited = wait(futures, Some(SHORT), ReturnWhen::FirstException);
        assert_eq!((waited.done.len(), waited.not_done.len()), (2, 2));
        rig.fail(2, 14);
        let mut futures = waited.done;
        futures.extend(waited.not_done);
        let waited = wait(futures, None, ReturnWhen::FirstException);
        assert_eq!((waited.done.len(), waited.not_done.len()), (3, 1));
        rig.answer(3);
        let waited = wait(waited.not_done, None, ReturnWhen::FirstException);
        assert_eq!(
            (waited.done.len(), waited.not_done.len()),
            (1, 0),
            "none failed, all have ended"
        );
        rig.end();
    });
}

#[test]
fn a_wait_for_all_ends_with_the_last_or_its_own_time_and_of_none_at_once() {
    within(LONG, || {
        let (rig, futures) = begun(3);
        rig.fail(0, 9);
        rig.answer(2);
        ended(&futures, &[0, 2]);
        let waited = wait(futures, Some(SHORT), ReturnWhen::AllCompleted);
        assert_eq!((waited.done.len(), waited.not_done.len()), (2, 1));
        assert!(waited.not_done[0].is_active(), "the time of the wait is not the call's");
        rig.answer(1);
        let mut waited = wait(waited.not_done, None, ReturnWhen::AllCompleted);
        assert_eq!(number(&mut waited.done[0]), 1);
        for when in
            [ReturnWhen::FirstCompleted, ReturnWhen::FirstException, ReturnWhen::AllCompleted]
        {
            let waited = wait(Vec::<CallFuture<Bytes>>::new(), None, when);
            assert!(waited.done.is_empty() && waited.not_done.is_empty());
        }
        rig.end();
    });
}

/// A callback may wait for calls that have not ended, in every way there is: nothing that ends them waits for the thread
/// of the callbacks.
#[test]
fn a_callback_may_wait_for_its_own_call_and_for_many_others_and_for_a_task() {
    within(LONG, || {
        let (rig, mut futures) = begun(5);
        let (tell, told) = mpsc::channel();
        let own = futures.remove(0);
        let others = Mutex::new(futures);
        let (inside, waits) = mpsc::channel();
        own.add_done_callback(move |call| {
            assert_eq!(call.status().code(), Code::Ok, "its own: done");
            assert_eq!(call.trailing_metadata().len(), 0);
            let mut futures = others.into_inner().unwrap();
            let by_hand = futures.pop().unwrap();
            let mut by_result = futures.pop().unwrap();
            inside.send(()).unwrap();
            assert_eq!(as_completed(futures).count(), 2);
            assert_eq!(block_on(by_hand).unwrap(), "4");
            assert_eq!(by_result.result(None).unwrap(), "3");
            tell.send(()).unwrap();
        });
        rig.answer(0);
        waits.recv_timeout(LONG).unwrap();
        for number in 1..5 {
            rig.answer(number);
        }
        told.recv_timeout(LONG).unwrap();
        drop(own);
        rig.end();
    });
}

#[test]
fn every_handle_runs_a_callback_later_on_the_notifier_or_inline_when_it_is_done() {
    let (tell, told) = mpsc::channel();
    let channel = insecure_channel("127.0.0.1:1").unwrap();
    let path = "/test.S/Many";
    let responses = channel.raw_unary_stream(path).unwrap();
    let duplex = channel.raw_stream_stream(path).unwrap();
    let upload = channel.raw_stream_unary(path).unwrap();
    channel.close();
    let me = thread::current().id();
    let done = |what: &'static str| {
        let tell = tell.clone();
        move |call: &grpc_threads::Call| {
            tell.send((what, call.code(), thread::current().id() == me)).unwrap();
        }
    };
    // Over already: here and now.
    let many = responses.call(&Bytes::new()).unwrap();
    many.add_done_callback(done("responses"));
    many.handle().add_done_callback(done("call"));
    assert!(!many.add_callback(|_| unreachable!("it was over")));
    assert!(many.done() && !many.is_active() && !many.cancelled());
    duplex.open().add_done_callback(done("duplex"));
    duplex.call([]).add_done_callback(done("exchange"));
    let (sender, future) = upload.open();
    sender.add_done_callback(done("sender"));
    future.add_done_callback(done("future"));
    for what in ["responses", "call", "duplex", "exchange", "sender", "future"] {
        assert_eq!(told.try_recv().unwrap(), (what, Code::Cancelled, true));
    }
    // Not over: on the notifier, and `cancelled` says by whom.
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let many = channel.raw_unary_stream(path).unwrap().call(&Bytes::new()).unwrap();
    many.add_done_callback(done("responses"));
    many.cancel();
    assert!(many.cancelled());
    assert_eq!(told.recv_timeout(LONG).unwrap(), ("responses", Code::Cancelled, false));
}

#[test]
fn a_callback_that_panics_is_caught_and_logged_in_either_place() {
    logged::listen(log::LevelFilter::Error);
    let (rig, futures) = begun(1);
    futures[0].add_done_callback(|_| panic!("later, on purpose"));
    rig.answer(0);
    ended(&futures, &[0]);
    assert!(logged::logged(&["a callback panicked", "later, on purpose"]));
    futures[0].add_done_callback(|_| panic!("inline, on purpose"));
    assert!(logged::logged(&["a callback panicked", "inline, on purpose"]));
    let (tell, told) = mpsc::channel();
    futures[0].add_done_callback(move |_| tell.send(()).unwrap());
    told.try_recv().unwrap();
    drop(futures);
    rig.end();
}

/// An executor of one task, and how often it was woken.
#[derive(Default)]
struct Woken {
    times: AtomicUsize,
    thread: Mutex<Option<thread::Thread>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.times.fetch_add(1, Ordering::SeqCst);
        if let Some(thread) = &*self.thread.lock().unwrap() {
            thread.unpark();
        }
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.times.load(Ordering::SeqCst)
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let woken = Arc::new(Woken::default());
    *woken.thread.lock().unwrap() = Some(thread::current());
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    loop {
        let before = woken.times();
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while woken.times() == before {
            thread::park();
        }
    }
}

fn poll(future: &mut CallFuture<Bytes>, waker: &Waker) -> Poll<Result<Bytes, ResultError>> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn awaiting_a_future_needs_no_executor_of_a_kind() {
    within(LONG, || {
        let (rig, mut futures) = begun(2);
        rig.answer(0);
        let mut first = futures.remove(0);
        assert_eq!(block_on(&mut first).unwrap(), "0");
        assert!(matches!(block_on(&mut first), Err(ResultError::Taken)));
        let second = futures.remove(0);
        let later = thread::spawn(move || block_on(second));
        rig.answer(1);
        assert_eq!(later.join().unwrap().unwrap(), "1");
        rig.end();
    });
}

#[test]
fn an_awaited_call_tells_a_local_cancel_from_a_failed_call() {
    within(LONG, || {
        let (rig, mut futures) = begun(3);
        let handle = futures[0].handle();
        let cancelled = futures.remove(0);
        let waits = thread::spawn(move || block_on(cancelled));
        handle.cancel();
        assert!(matches!(waits.join().unwrap(), Err(ResultError::Cancelled)));
        rig.fail(1, 1);
        let Err(ResultError::Rpc(status)) = block_on(futures.remove(0)) else { panic!("failed") };
        assert_eq!(status.code(), Code::Cancelled, "the server's own");
        let late = method(&rig.channel).timeout(SHORT).future(&Bytes::new());
        let Err(ResultError::Rpc(status)) = block_on(late) else { panic!("expired") };
        assert_eq!(status.code(), Code::DeadlineExceeded);
        rig.channel.close();
        let Err(ResultError::Rpc(status)) = block_on(futures.remove(0)) else { panic!("closed") };
        assert_eq!(status.message(), "Channel closed!");
        rig.end();
    });
}

#[test]
fn the_waker_of_the_latest_poll_is_woken_and_no_other() {
    let (rig, mut futures) = begun(1);
    let (old, new) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let (first, second) = (Waker::from(old.clone()), Waker::from(new.clone()));
    assert!(poll(&mut futures[0], &first).is_pending());
    assert!(poll(&mut futures[0], &first).is_pending());
    assert_eq!(Arc::strong_count(&old), 3, "kept once, though given twice");
    assert!(poll(&mut futures[0], &second).is_pending());
    assert_eq!(Arc::strong_count(&old), 2, "let go of");
    rig.answer(0);
    eventually(LONG, "it is woken", || new.times() > 0);
    assert_eq!((old.times(), new.times()), (0, 1));
    assert!(poll(&mut futures[0], &first).is_ready());
    eventually(LONG, "both go", || (Arc::strong_count(&old), Arc::strong_count(&new)) == (2, 2));
    rig.end();
}

#[test]
fn a_future_that_is_dropped_or_given_away_wakes_nobody() {
    let (rig, mut futures) = begun(3);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    for future in &mut futures {
        assert!(poll(future, &waker).is_pending());
    }
    drop(futures.remove(0));
    let call = futures.remove(0).detach();
    let mut completed = as_completed(futures);
    rig.answer(1);
    rig.answer(2);
    assert_eq!(call.code(), Code::Ok);
    assert_eq!(number(&mut completed.next().unwrap()), 2);
    assert_eq!(woken.times(), 0);
    assert_eq!(Arc::strong_count(&woken), 2, "nobody keeps it");
    rig.end();
}

#[test]
fn futures_behind_an_interceptor_are_awaited_like_others() {
    let server = service::Served::new();
    let builder = Channel::builder(&server.target());
    let channel = builder.interceptor(around::passing()).connect_lazily().unwrap();
    let echo = channel.raw_unary_unary(service::ECHO).unwrap().timeout(LONG);
    within(LONG, move || {
        let futures = (0..20).map(|number: usize| echo.future(&Bytes::from(number.to_string())));
        let mut numbers: Vec<usize> =
            as_completed(futures).map(|mut future| number(&mut future)).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..20));
        assert_eq!(block_on(echo.future(&Bytes::from("x"))).unwrap(), "x");
        let future = echo.future(&Bytes::from("y"));
        let cancelled = future.cancel();
        let outcome = block_on(future);
        assert_eq!(matches!(outcome, Err(ResultError::Cancelled)), cancelled, "or it was answered");
    });
}

/// Panics when it is woken.
struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("a waker, on purpose");
    }
}

#[test]
fn a_waker_that_panics_harms_no_other_call() {
    logged::listen(log::LevelFilter::Error);
    let (rig, mut futures) = begun(3);
    assert!(poll(&mut futures[0], &Waker::from(Arc::new(Bad))).is_pending());
    assert!(poll(&mut futures[1], &Waker::from(Arc::new(Bad))).is_pending());
    rig.answer(0);
    assert!(logged::logged(&["a waker panicked", "on purpose"]));
    // By this thread.
    assert!(futures[1].cancel());
    let third = futures.remove(2);
    rig.answer(2);
    assert_eq!(within(LONG, move || block_on(third)).unwrap(), "2", "the poller lives");
    rig.end();
}

/// A waker that asks the call that wakes it: under a lock of the library it would wait for ever.
struct Curious(grpc_threads::Call, Sender<(Code, usize)>);

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        let also = self.0.add_callback(|_| ());
        self.1.send((self.0.code(), usize::from(also))).unwrap();
        self.0.cancel();
    }
}

#[test]
fn a_waker_is_woken_with_no_lock_held() {
    within(LONG, || {
        let (rig, mut futures) = begun(2);
        let (tell, told) = mpsc::channel();
        for future in &mut futures {
            let curious = Curious(future.handle(), tell.clone());
            assert!(poll(future, &Waker::from(Arc::new(curious))).is_pending());
        }
        rig.answer(0);
        assert_eq!(told.recv().unwrap(), (Code::Ok, 0));
        futures[1].cancel();
        assert_eq!(told.recv().unwrap(), (Code::Cancelled, 0));
        rig.end();
    });
}

#[test]
fn no_wake_is_lost_between_a_poll_and_the_end() {
    let server = service::Served::new();
    let echo = server.channel().raw_unary_unary(service::ECHO).unwrap();
    within(LONG, move || {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let echo = echo.timeout(LONG);
                thread::spawn(move || {
                    for _ in 0..500 {
                        assert_eq!(block_on(echo.future(&Bytes::from_static(b"x"))).unwrap(), "x");
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[path = "support/around.rs"]
mod around;
#[path = "support/service.rs"]
mod service;
