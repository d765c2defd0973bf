//! Responses as a `Stream`, and calls as futures, on an executor that many programs have.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/fed.rs"]
mod fed;
#[path = "support/service.rs"]
mod service;
mod support;

use async_executor::Executor;
use bytes::Bytes;
use fed::Fed;
use futures_core::stream::{FusedStream, Stream};
use grpc_threads::{
    CallDetails, Channel, ClientInterceptor, Code, Payload, ResponseStream, Status, StreamHooks,
};
use service::{BIDI, COUNT, ECHO, Served};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use support::{LONG, eventually, pattern, within};

/// The next item.
async fn next(responses: &mut ResponseStream<Bytes>) -> Option<Result<Bytes, Status>> {
    poll_fn(|context| Pin::new(&mut *responses).poll_next(context)).await
}

/// Unparks the thread that made it.
struct Unpark(thread::Thread, AtomicUsize);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

fn unpark() -> (Arc<Unpark>, Waker) {
    let unpark = Arc::new(Unpark(thread::current(), AtomicUsize::new(0)));
    (unpark.clone(), Waker::from(unpark))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let (unpark, waker) = unpark();
    let mut future = pin!(future);
    loop {
        let before = unpark.1.load(Ordering::SeqCst);
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        // Another's park may have used up the token.
        while unpark.1.load(Ordering::SeqCst) == before {
            thread::park();
        }
    }
}

#[test]
fn responses_may_be_awaited_without_an_executor_of_a_kind_and_are_fused() {
    within(LONG, || {
        let rig = Fed::new();
        let mut responses = rig.responses().into_stream();
        rig.message();
        assert_eq!(block_on(next(&mut responses)).unwrap().unwrap(), "x");
        rig.status(5);
        let status = block_on(next(&mut responses)).unwrap().unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert!(responses.is_terminated());
        assert!(block_on(next(&mut responses)).is_none(), "the failure is the last item");
        assert_eq!(responses.code(), Code::NotFound);
        rig.end();
    });
}

#[test]
fn a_task_is_woken_by_each_response_and_by_the_end_and_not_in_between() {
    let rig = Fed::new();
    let mut responses = rig.responses().into_stream();
    let (woken, waker) = unpark();
    let mut poll = || Pin::new(&mut responses).poll_next(&mut Context::from_waker(&waker));
    assert!(poll().is_pending());
    for times in 1..=3 {
        rig.message();
        eventually(LONG, "it is woken", || woken.1.load(Ordering::SeqCst) == times);
        assert!(matches!(poll(), Poll::Ready(Some(Ok(_)))));
        assert!(poll().is_pending());
    }
    rig.status(0);
    eventually(LONG, "it is woken", || woken.1.load(Ordering::SeqCst) == 4);
    assert!(matches!(poll(), Poll::Ready(None)));
    drop(responses);
    eventually(LONG, "nobody keeps its waker", || Arc::strong_count(&woken) == 2);
    rig.end();
}

#[test]
fn a_stream_that_is_dropped_cancels_its_call_and_one_taken_back_goes_on() {
    within(LONG, || {
        let rig = Fed::new();
        let mut stream = rig.responses().into_stream();
        rig.message();
        assert!(block_on(next(&mut stream)).unwrap().is_ok());
        let (woken, waker) = unpark();
        assert!(Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker)).is_pending());
        let mut responses = stream.into_inner();
        rig.message();
        assert_eq!(responses.recv().unwrap().unwrap(), "x");
        let call = responses.handle();
        drop((responses.into_stream(), waker));
        assert!(call.cancelled());
        eventually(LONG, "the waker goes", || Arc::strong_count(&woken) == 1);
        rig.end();
    });
}

/// It is granted as to a thread that waits: what is ahead of its reader gets three quarters of the budget at most, and
/// does not queue for it.
#[test]
fn long_messages_of_many_streams_come_whole_though_no_thread_waits() {
    const LEN: usize = 4 << 20;
    const STREAMS: usize = 8;
    let server = Served::with(STREAMS, []);
    let channel =
        Channel::builder(&server.target()).max_receive_message_size(LEN).connect_lazily().unwrap();
    let count = channel.raw_unary_stream(COUNT).unwrap().timeout(LONG);
    let order = Bytes::from(format!("3 {LEN}"));
    let streams: Vec<_> = (0..STREAMS)
        .map(|_| {
            let mut stream = count.call(&order).unwrap().into_stream();
            // Asked for before there is a connection.
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut stream).poll_next(&mut context).is_pending());
            stream
        })
        .collect();
    within(LONG, move || {
        let threads: Vec<_> = streams
            .into_iter()
            .map(|mut stream| {
                thread::spawn(move || {
                    block_on(async {
                        for _ in 0..3 {
                            assert_eq!(next(&mut stream).await.unwrap().unwrap().len(), LEN);
                        }
                        assert!(next(&mut stream).await.is_none());
                    });
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Drops every second response, and says each other one twice.
struct Stutter;

impl ClientInterceptor for Stutter {
    fn stream(&self, _: &mut CallDetails) -> Result<StreamHooks, Status> {
        let mut count = 0;
        Ok(StreamHooks::new().on_response(move |response, emit| {
            let Some(response) = response else {
                emit.emit(Payload::new(Bytes::from("end")));
                return Ok(());
            };
            count += 1;
            if count % 2 == 1 {
                emit.emit(response.clone());
                emit.emit(response);
            }
            Ok(())
        }))
    }
}

#[test]
fn responses_that_interceptors_add_and_take_away_are_awaited_like_others() {
    let server = Served::new();
    let builder = Channel::builder(&server.target());
    let channel = builder.interceptor(Stutter).connect_lazily().unwrap();
    let count = channel.raw_unary_stream(COUNT).unwrap().timeout(LONG);
    within(LONG, move || {
        let mut stream = count.call(&Bytes::from("5 3")).unwrap().into_stream();
        for _ in 0..6 {
            assert_eq!(block_on(next(&mut stream)).unwrap().unwrap(), pattern(3));
        }
        assert_eq!(block_on(next(&mut stream)).unwrap().unwrap(), "end");
        assert!(block_on(next(&mut stream)).is_none());
    });
}

/// Ends the threads of an executor.
#[derive(Default)]
struct Stop(Mutex<(bool, Vec<Waker>)>);

impl Stop {
    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1.push(context.waker().clone());
        Poll::Pending
    }

    fn now(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        state.1.drain(..).for_each(Waker::wake);
    }
}

/// Many tasks on few threads of an executor: unary calls, downloads, and streams both ways.
#[test]
fn an_executor_awaits_calls_of_every_kind() {
    let server = Served::with(8, []);
    let channel = server.channel();
    let executor = Arc::new(Executor::new());
    let stop = Arc::<Stop>::default();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (executor, stop) = (executor.clone(), stop.clone());
            thread::spawn(move || block_on(executor.run(poll_fn(|context| stop.poll(context)))))
        })
        .collect();
    let tasks: Vec<_> = (0..60)
        .map(|number: usize| {
            let channel = channel.clone();
            executor.spawn(async move {
                match number % 3 {
                    0 => {
                        let echo = channel.raw_unary_unary(ECHO)?.timeout(LONG);
                        let (one, two) =
                            (echo.future(&Bytes::from("1")), echo.future(&Bytes::from("2")));
                        assert_eq!((two.await?, one.await?), (Bytes::from("2"), Bytes::from("1")));
                    }
                    1 => {
                        let count = channel.raw_unary_stream(COUNT)?.timeout(LONG);
                        let mut responses = count.call(&Bytes::from("50 3000"))?.into_stream();
                        for _ in 0..50 {
                            let response = next(&mut responses).await.unwrap()?;
                            assert_eq!(response, pattern(3000));
                        }
                        assert!(next(&mut responses).await.is_none());
                    }
                    _ => {
                        let bidi = channel.raw_stream_stream(BIDI)?.timeout(LONG);
                        let (mut sender, responses) = bidi.open().split();
                        let mut responses = responses.into_stream();
                        for round in 0..20_u32 {
                            let request = Bytes::from(round.to_string());
                            sender.send(&request)?;
                            assert_eq!(next(&mut responses).await.unwrap()?, request);
                        }
                        sender.done_writing()?;
                        assert!(next(&mut responses).await.is_none());
                    }
                }
                Ok::<(), Status>(())
            })
        })
        .collect();
    within(LONG, move || {
        for task in tasks {
            block_on(task).unwrap();
        }
        stop.now();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
