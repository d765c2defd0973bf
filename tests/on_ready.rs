//! Callbacks that tell that a stream of responses has something to take.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/fed.rs"]
mod fed;
mod support;

use bytes::Bytes;
use fed::Fed;
use grpc_threads::{Channel, Code, ResultError};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use support::{LONG, logged, within};

/// A callback that tells of itself.
fn ready() -> (impl FnMut() + Send + 'static, Receiver<thread::ThreadId>) {
    let (tell, told) = mpsc::channel();
    (move || tell.send(thread::current().id()).unwrap(), told)
}

/// Takes one response, once it was told.
fn take(
    responses: &mut grpc_threads::Responses<Bytes>,
    told: &Receiver<thread::ThreadId>,
) -> Option<Result<Bytes, ResultError>> {
    loop {
        match responses.try_recv() {
            Err(ResultError::TimedOut) => {
                let on = told.recv_timeout(LONG).expect("it is told");
                assert_ne!(on, thread::current().id());
            }
            item => return item.transpose(),
        }
    }
}

/// The callback goes, perhaps after it was told once more.
fn assert_let_go_of(told: &Receiver<thread::ThreadId>) {
    loop {
        match told.recv_timeout(LONG) {
            Ok(_) => {}
            Err(error) => return assert_eq!(error, mpsc::RecvTimeoutError::Disconnected),
        }
    }
}

#[test]
fn each_response_and_the_end_are_told_on_the_notifier() {
    let rig = Fed::new();
    let mut responses = rig.responses();
    let (callback, told) = ready();
    responses.on_ready(callback);
    for _ in 0..20 {
        assert!(matches!(responses.try_recv(), Err(ResultError::TimedOut)));
        rig.message();
        assert_eq!(take(&mut responses, &told).unwrap().unwrap(), "x");
    }
    rig.status(5);
    let last = take(&mut responses, &told);
    let Some(Err(ResultError::Rpc(status))) = last else { panic!("the end: {last:?}") };
    assert_eq!(status.code(), Code::NotFound);
    assert_let_go_of(&told);
    rig.end();
}

#[test]
fn what_is_there_before_the_callback_is_told_too() {
    let rig = Fed::new();
    let mut responses = rig.responses();
    rig.message();
    rig.message();
    assert_eq!(responses.recv().unwrap().unwrap(), "x");
    let (callback, told) = ready();
    // The other may be in the library's hands already, or on its way.
    responses.on_ready(callback);
    told.recv_timeout(LONG).unwrap();
    assert_eq!(take(&mut responses, &told).unwrap().unwrap(), "x");
    rig.status(0);
    assert_eq!(responses.code(), Code::Ok);
    // In place of the one before.
    let (callback, told) = ready();
    responses.on_ready(callback);
    told.recv_timeout(LONG).expect("the end is there already");
    assert!(take(&mut responses, &told).is_none());
    rig.end();
}

#[test]
fn a_callback_is_let_go_of_with_its_responses_and_by_the_next() {
    let rig = Fed::new();
    let mut responses = rig.responses();
    let (callback, first) = ready();
    responses.on_ready(callback);
    let (callback, second) = ready();
    responses.on_ready(callback);
    assert_eq!(first.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    rig.message();
    second.recv_timeout(LONG).unwrap();
    drop(responses);
    assert_let_go_of(&second);
    rig.end();
}

#[test]
fn a_cancel_a_deadline_and_a_close_are_told_as_ends() {
    for end in ["cancel", "deadline", "close"] {
        let rig = Fed::new();
        let method = rig.channel.raw_unary_stream("/test.S/Many").unwrap();
        let method = match end {
            "deadline" => method.timeout(std::time::Duration::from_millis(100)),
            _ => method,
        };
        let mut responses = method.call(&Bytes::new()).unwrap();
        let (callback, told) = ready();
        responses.on_ready(callback);
        let code = match end {
            "cancel" => {
                responses.cancel();
                Code::Cancelled
            }
            "close" => {
                rig.channel.close();
                Code::Cancelled
            }
            _ => Code::DeadlineExceeded,
        };
        told.recv_timeout(LONG).expect(end);
        let last = loop {
            match responses.try_recv() {
                Err(ResultError::TimedOut) => {
                    told.recv_timeout(LONG).expect(end);
                }
                last => break last,
            }
        };
        match last {
            Err(ResultError::Cancelled) => assert_eq!(end, "cancel"),
            Err(ResultError::Rpc(status)) if end != "cancel" => assert_eq!(status.code(), code),
            last => panic!("{end}: {last:?}"),
        }
        rig.channel.close();
        // With a deadline its connection may not have been made.
        drop(rig);
    }
}

#[test]
fn a_callback_that_panics_is_logged_and_told_again() {
    logged::listen(log::LevelFilter::Error);
    let rig = Fed::new();
    let mut responses = rig.responses();
    let (mut callback, told) = ready();
    responses.on_ready(move || {
        callback();
        panic!("ready, on purpose");
    });
    rig.message();
    assert!(logged::logged(&["an on_ready callback panicked", "ready, on purpose"]));
    assert_eq!(take(&mut responses, &told).unwrap().unwrap(), "x");
    rig.message();
    assert_eq!(take(&mut responses, &told).unwrap().unwrap(), "x");
    rig.end();
}

/// The callback takes responses itself, waiting for some: the calls go on all the same.
#[test]
fn a_callback_may_wait_for_its_own_stream_and_for_other_calls() {
    within(LONG, || {
        let rig = Fed::new();
        let (give, given) = mpsc::channel::<grpc_threads::Responses<Bytes>>();
        let (tell, told) = mpsc::channel();
        let mut responses = rig.responses();
        let mut once = Some((given, tell));
        responses.on_ready(move || {
            let Some((given, tell)) = once.take() else { return };
            let mut responses = given.recv().unwrap();
            let got: Vec<_> = responses.by_ref().collect();
            tell.send((got.len(), responses.code())).unwrap();
        });
        rig.message();
        give.send(responses).unwrap();
        rig.message();
        rig.message();
        rig.status(0);
        assert_eq!(told.recv().unwrap(), (3, Code::Ok));
        rig.end();
    });
}

#[test]
fn one_thread_waits_for_many_streams() {
    let server = service::Served::with(4, []);
    let channel = server.channel();
    let count = channel.raw_unary_stream(service::COUNT).unwrap().timeout(LONG);
    within(LONG, move || {
        let (send, ready) = mpsc::channel();
        let mut streams: Vec<_> = (0..16)
            .map(|place| {
                let mut responses = count.call(&Bytes::from("100 100")).unwrap();
                let send = send.clone();
                responses.on_ready(move || {
                    let _ = send.send(place);
                });
                (responses, 0)
            })
            .collect();
        let mut open = streams.len();
        while open > 0 {
            let (responses, got) = &mut streams[ready.recv().unwrap()];
            loop {
                match responses.try_recv() {
                    Ok(Some(_)) => *got += 1,
                    Ok(None) if *got == 100 => {
                        // The end is told once more, perhaps.
                        *got += 1;
                        open -= 1;
                        break;
                    }
                    Ok(None) | Err(ResultError::TimedOut) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(streams.iter().all(|(_, got)| *got == 101));
    });
}

/// They are granted as to a thread that waits, though nobody has looked: what is ahead of its reader gets three quarters of
/// the budget at most, and does not queue for it.
#[test]
fn long_messages_of_many_streams_come_whole_though_nobody_has_looked() {
    const LEN: usize = 4 << 20;
    const STREAMS: usize = 8;
    for connected in [true, false] {
        let server = service::Served::with(STREAMS, []);
        let builder = Channel::builder(&server.target()).max_receive_message_size(LEN);
        let channel = builder.connect_lazily().unwrap();
        if connected {
            channel.wait_ready(Some(LONG)).unwrap();
        }
        let count = channel.raw_unary_stream(service::COUNT).unwrap().timeout(LONG);
        let (send, ready) = mpsc::channel();
        let mut streams: Vec<_> = (0..STREAMS)
            .map(|place| {
                let mut responses = count.call(&Bytes::from(format!("1 {LEN}"))).unwrap();
                // Its progress is wanted already, or not.
                assert!(!connected || responses.add_callback(|_| ()));
                let send = send.clone();
                responses.on_ready(move || {
                    let _ = send.send(place);
                });
                responses
            })
            .collect();
        let mut got = 0;
        while got < STREAMS {
            let place = ready.recv_timeout(LONG).expect("each is told of");
            match streams[place].try_recv() {
                Ok(Some(message)) => {
                    assert_eq!(message.len(), LEN);
                    got += 1;
                }
                Ok(None) | Err(ResultError::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_duplex_tells_of_its_responses_and_both_halves_work_apart() {
    let server = service::Served::with(2, []);
    let channel = server.channel();
    within(LONG, move || {
        let mut duplex = channel.raw_stream_stream(service::BIDI).unwrap().timeout(LONG).open();
        let (callback, told) = ready();
        duplex.on_ready(callback);
        assert!(matches!(duplex.try_recv(), Err(ResultError::TimedOut)));
        duplex.send(&Bytes::from("1")).unwrap();
        while matches!(duplex.try_recv(), Err(ResultError::TimedOut)) {
            told.recv().unwrap();
        }
        let (mut sender, mut responses) = duplex.split();
        sender.send(&Bytes::from("2")).unwrap();
        assert_eq!(take(&mut responses, &told).unwrap().unwrap(), "2");
        sender.done_writing().unwrap();
        assert!(take(&mut responses, &told).is_none());
    });
}

#[path = "support/service.rs"]
mod service;
