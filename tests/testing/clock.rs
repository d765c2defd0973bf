//! The clock that tests advance. In a process of its own: the clock is the process's, and every test here takes it.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod service;
#[path = "../support/mod.rs"]
mod support;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use grpc_threads::testing::{self, Clock, Pair};
use grpc_threads::{
    CallFuture, CallOptions, Cardinality, Channel, Code, Connectivity, Raw, ResultError, Server,
    ServerOptions, ServerStream, ServicerContext, Status, ThreadPool, insecure_channel,
    stream_rpc_method_handler_with,
};
use service::{BIDI, ECHO, pair, service, unary};
use support::{LONG, eventually, within};

const HOUR: Duration = Duration::from_secs(3_600);

/// Runs a test that would wait for hours if the clock did not leap.
fn with_the_clock(test: impl FnOnce(Clock) + Send + 'static) {
    within(LONG * 3, || test(Clock::take()));
}

/// How it fails.
fn ended(future: &mut CallFuture<Bytes>) -> Code {
    Status::from(future.result(None).unwrap_err()).code()
}

/// A method that says what time it has, and then waits until its call is over.
fn patient() -> (grpc_threads::Service, mpsc::Receiver<Option<Duration>>) {
    let (tell, told) = mpsc::channel();
    let wait = unary(move |_, context| {
        let _ = tell.send(context.time_remaining());
        eventually(LONG, "the call is over", || !context.is_active());
        let _ = tell.send(context.time_remaining());
        Ok(Bytes::new())
    });
    (service().method("Wait", wait), told)
}

/// Deadlines of an hour on `channel`, by every way to wait for one.
fn hours_pass(clock: &Clock, channel: &Channel, told: &mpsc::Receiver<Option<Duration>>) {
    let began = Instant::now();
    let wait = channel.raw_unary_unary("/test.Test/Wait").unwrap().timeout(HOUR);
    // One leads, the others park; one is nobody's.
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let wait = wait.clone();
            thread::spawn(move || wait.call(&Bytes::new()).unwrap_err().code())
        })
        .collect();
    let mut future = wait.future(&Bytes::new());
    for _ in 0..4 {
        let left = told.recv_timeout(LONG).unwrap().unwrap();
        assert!(left > HOUR / 2 && left <= HOUR, "{left:?}");
    }
    clock.advance(HOUR / 2);
    assert!(!future.done(), "half of it is left");
    clock.advance(HOUR / 2);
    assert_eq!(ended(&mut future), Code::DeadlineExceeded);
    for caller in callers {
        assert_eq!(caller.join().unwrap(), Code::DeadlineExceeded);
    }
    for _ in 0..4 {
        assert_eq!(told.recv_timeout(LONG).unwrap(), Some(Duration::ZERO), "the handler knows");
    }
    assert!(began.elapsed() < LONG);
}

#[test]
fn an_hours_deadline_passes_in_memory() {
    with_the_clock(|clock| {
        let (service, told) = patient();
        let pair = testing::pair(service).unwrap();
        hours_pass(&clock, pair.channel(), &told);
        // And the channel is as good as ever.
        let echo = pair.channel().raw_unary_unary(ECHO).unwrap();
        assert_eq!(echo.timeout(HOUR).call(&Bytes::from_static(b"x")).unwrap(), "x");
    });
}

#[test]
fn an_hours_deadline_passes_over_a_socket() {
    with_the_clock(|clock| {
        let (service, told) = patient();
        let server = grpc_threads::server(ThreadPool::new(4));
        server.add_service(service).unwrap();
        let port = server.add_insecure_port("127.0.0.1:0").unwrap();
        server.start().unwrap();
        hours_pass(&clock, &insecure_channel(&format!("127.0.0.1:{port}")).unwrap(), &told);
    });
}

#[test]
fn a_deadline_by_an_instant_is_of_this_clock() {
    with_the_clock(|clock| {
        clock.advance(HOUR);
        let pair = pair();
        let echo = pair.channel().raw_unary_unary(ECHO).unwrap();
        let until = |at| echo.clone().options(&CallOptions::new().deadline(at));
        assert!(until(clock.now() + HOUR).call(&Bytes::new()).is_ok());
        let past = until(Instant::now()).call(&Bytes::new()).unwrap_err();
        assert_eq!(past.code(), Code::DeadlineExceeded);
    });
}

#[test]
fn streams_on_both_sides_end_at_their_deadline() {
    with_the_clock(|clock| {
        let pair = pair();
        let mut talk = pair.channel().raw_stream_stream(BIDI).unwrap().timeout(HOUR).open();
        talk.send(&Bytes::from_static(b"x")).unwrap();
        assert_eq!(talk.recv().unwrap().unwrap(), "x");
        let reader = thread::spawn(move || talk.recv().unwrap_err().code());
        clock.advance(HOUR);
        assert_eq!(reader.join().unwrap(), Code::DeadlineExceeded);
    });
}

#[test]
fn a_handlers_own_wait_ends() {
    with_the_clock(|clock| {
        let (tell, told) = mpsc::channel();
        let waits = stream_rpc_method_handler_with(
            Cardinality::StreamStream,
            move |stream: &mut ServerStream<Bytes, Bytes>, _: &ServicerContext| {
                let _ = tell.send(());
                let error = stream.recv_timeout(HOUR).unwrap_err();
                assert!(matches!(error, ResultError::TimedOut), "{error}");
                stream.send(&Bytes::from_static(b"late"))
            },
            Raw,
            Raw,
        );
        let pair = service::pair_with("Waits", waits);
        let mut talk = pair.channel().raw_stream_stream("/test.Test/Waits").unwrap().open();
        talk.flush();
        told.recv_timeout(LONG).unwrap();
        let reader = thread::spawn(move || talk.recv().unwrap().unwrap());
        // It may have begun to wait after the first stroke.
        while !reader.is_finished() {
            clock.advance(HOUR);
            thread::yield_now();
        }
        assert_eq!(reader.join().unwrap(), "late");
    });
}

#[test]
fn a_servers_grace_ends() {
    with_the_clock(|clock| {
        let (service, told) = patient();
        let pair = testing::pair(service).unwrap();
        let wait = pair.channel().raw_unary_unary("/test.Test/Wait").unwrap();
        let mut future = wait.future(&Bytes::new());
        told.recv_timeout(LONG).unwrap();
        let stopped = pair.server().stop(HOUR);
        clock.advance(HOUR / 2);
        assert!(!stopped.is_done() && !future.done());
        clock.advance(HOUR / 2);
        assert_eq!(ended(&mut future), Code::Unavailable);
        stopped.wait(LONG).unwrap();
    });
}

#[test]
fn a_channels_grace_ends() {
    with_the_clock(|clock| {
        let (service, told) = patient();
        let pair = testing::pair(service).unwrap();
        let mut future =
            pair.channel().raw_unary_unary("/test.Test/Wait").unwrap().future(&Bytes::new());
        told.recv_timeout(LONG).unwrap();
        let channel = pair.channel().clone();
        let closing = thread::spawn(move || channel.close_within(HOUR));
        eventually(LONG, "it closes", || pair.channel().state(false) == Connectivity::Shutdown);
        clock.advance(HOUR / 2);
        assert!(!future.done() && !closing.is_finished());
        clock.advance(HOUR / 2);
        closing.join().unwrap();
        assert_eq!(ended(&mut future), Code::Cancelled);
    });
}

#[test]
fn the_pause_between_attempts_passes() {
    with_the_clock(|clock| {
        let server = grpc_threads::server(ThreadPool::new(2));
        server.add_service(service()).unwrap();
        let builder = Channel::builder("late").reconnect_backoff(HOUR, HOUR);
        let channel = testing::connect(&server, builder).unwrap();
        let echo = channel.raw_unary_unary(ECHO).unwrap().wait_for_ready(true);
        let mut future = echo.future(&Bytes::from_static(b"x"));
        eventually(LONG, "it fails", || channel.state(false) == Connectivity::TransientFailure);
        testing::start(&server).unwrap();
        assert!(!future.done());
        // The pause is drawn at random, up to a fifth longer.
        clock.advance(HOUR * 2);
        assert_eq!(future.result(None).unwrap(), "x");
    });
}

#[test]
fn an_idle_channel_lets_go_of_its_connection() {
    with_the_clock(|clock| {
        let builder = Channel::builder("idle").idle_timeout(HOUR);
        let pair = Pair::builder().service(service()).channel(builder).start().unwrap();
        let echo = pair.channel().raw_unary_unary(ECHO).unwrap();
        echo.call(&Bytes::new()).unwrap();
        assert_eq!(pair.channel().state(false), Connectivity::Ready);
        clock.advance(HOUR / 2);
        echo.call(&Bytes::new()).unwrap();
        clock.advance(HOUR * 3);
        clock.advance(HOUR * 3);
        eventually(LONG, "it is idle", || pair.channel().state(false) == Connectivity::Idle);
        echo.call(&Bytes::new()).unwrap();
    });
}

#[test]
fn an_old_connection_is_replaced() {
    with_the_clock(|clock| {
        let options = ServerOptions::default().max_connection_age(HOUR, HOUR);
        let builder = Pair::builder().service(service()).server(Server::builder().options(options));
        let pair = builder.start().unwrap();
        let echo = pair.channel().raw_unary_unary(ECHO).unwrap();
        echo.call(&Bytes::new()).unwrap();
        clock.advance(HOUR * 2);
        let left = pair.channel().wait_for_state_change(Connectivity::Ready, Some(LONG));
        assert!(left, "the server has said that it goes");
        assert!(echo.call(&Bytes::new()).is_ok(), "on another one");
    });
}

#[test]
fn there_is_one_clock_at_a_time_and_it_never_goes_back() {
    with_the_clock(|clock| {
        let before = clock.now();
        clock.advance(HOUR);
        assert!(clock.now() >= before + HOUR);
        let other = thread::spawn(|| Clock::take().now());
        assert!(!other.is_finished());
        drop(clock);
        assert!(within(LONG, || other.join().unwrap()) >= before + HOUR);
    });
}
