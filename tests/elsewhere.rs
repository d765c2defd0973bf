//! Answers that come from elsewhere: a sender that any thread keeps, and a handler that has returned long ago.

#[path = "support/service.rs"]
mod service;
mod support;

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::{
    Code, Raw, ResponseSender, ResultError, RpcMethodHandler, SentElsewhere, ServicerContext,
    Status,
};
use service::{ECHO, Served};
use support::leaks::Holdings;
use support::{LONG, alone, eventually, within};

const WATCH: &str = "/test.Test/Watch";

type Sender = ResponseSender<Bytes>;

/// A method whose handler gives its sender away, and what it gave.
fn watch() -> (RpcMethodHandler, mpsc::Receiver<(Bytes, Sender)>) {
    let (senders, given) = mpsc::channel();
    let senders = Mutex::new(senders);
    let handler = answering(move |request, context| {
        let (sender, responses) = context.response_channel()?;
        senders.lock().unwrap().send((request, sender)).unwrap();
        Ok(responses)
    });
    (handler, given)
}

fn answering(
    behaviour: impl Fn(Bytes, &ServicerContext) -> Result<SentElsewhere<Bytes>, Status>
    + Send
    + Sync
    + 'static,
) -> RpcMethodHandler {
    grpc_threads::unary_stream_rpc_method_handler_with(behaviour, Raw, Raw)
}

/// A server with this method, a call of it, and its sender.
fn one() -> (Served, grpc_threads::Channel, grpc_threads::Responses<Bytes>, Sender) {
    let (handler, given) = watch();
    let served = Served::with(1, [("Watch", handler)]);
    let channel = served.channel();
    let responses = channel.raw_unary_stream(WATCH).unwrap().call(&Bytes::new()).unwrap();
    let (_, sender) = given.recv_timeout(LONG).unwrap();
    (served, channel, responses, sender)
}

#[test]
fn two_hundred_watchers_hold_no_worker_and_leave_nothing() {
    let _alone = alone();
    // The process's own threads are there from now on.
    let warm = one();
    let (told, end) = mpsc::channel();
    assert!(warm.3.add_callback(move || told.send(()).unwrap()));
    drop(warm);
    end.recv_timeout(LONG).unwrap();
    let before = Holdings::now();
    within(LONG * 3, {
        let before = before.clone();
        move || {
            let (handler, given) = watch();
            let served = Served::with(4, [("Watch", handler)]);
            let channels: Vec<_> = (0..4).map(|_| served.channel()).collect();
            let open = |n: usize| {
                let watch = channels[n / 50].raw_unary_stream(WATCH).unwrap();
                watch.call(&Bytes::from(format!("{n:03}"))).unwrap()
            };
            let mut watchers: Vec<_> = (0..200).map(open).collect();
            let mut senders: Vec<_> = (0..200).map(|_| given.recv_timeout(LONG).unwrap()).collect();
            senders.sort_by(|a, b| a.0.cmp(&b.0));
            let mut senders: Vec<_> = senders.into_iter().map(|(_, sender)| sender).collect();
            let echo = channels[0].raw_unary_unary(ECHO).unwrap();
            for _ in 0..100 {
                assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), "x");
            }
            let news = Bytes::from_static(b"news");
            assert!(senders.iter_mut().all(|sender| sender.try_send(&news).is_ok()));
            for watcher in &mut watchers {
                assert_eq!(watcher.recv().unwrap().unwrap(), news);
            }
            // A third has an end, a third has a client that goes, a third a server that does.
            for sender in senders.drain(..66) {
                sender.finish(Ok(()));
            }
            let gone = watchers.split_off(134);
            drop(gone);
            for mut watcher in watchers.drain(..66) {
                assert!(watcher.recv().unwrap().is_none());
            }
            eventually(LONG, "who has gone is known", || {
                senders.iter_mut().filter(|sender| sender.is_active()).count() == 68
            });
            let stopped = served.server.stop(None);
            stopped.wait(LONG).expect("no handler is left, though senders are");
            assert!(senders.iter_mut().all(|sender| sender.try_send(&news).is_err()));
            drop((channels, watchers, served));
            // What is still kept holds no connection.
            before.assert_no_more();
            drop(senders);
        }
    });
    before.assert_no_more();
}

#[test]
fn what_the_handler_says_itself_wins_over_a_sender_that_it_drops() {
    let _alone = alone();
    let told = |served: &Served| {
        let mut calls =
            served.channel().raw_unary_stream(WATCH).unwrap().call(&Bytes::new()).unwrap();
        let mut messages = Vec::new();
        loop {
            match calls.recv() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, Status::ok()),
                Err(status) => return (messages, status),
            }
        }
    };
    let fails = answering(|_, context| {
        let (mut sender, _responses) = context.response_channel()?;
        sender.send(&Bytes::from_static(b"first"))?;
        Err(Status::not_found("no such thing"))
    });
    let (messages, status) = told(&Served::with(1, [("Watch", fails)]));
    assert_eq!((messages.len(), status.code()), (1, Code::NotFound));

    let forgets = answering(|_, context| Ok(context.response_channel()?.1));
    let (_, status) = told(&Served::with(1, [("Watch", forgets)]));
    assert_eq!(status.code(), Code::Cancelled, "{status}");

    let finishes = answering(|_, context| {
        let (mut sender, responses) = context.response_channel()?;
        sender.send(&Bytes::from_static(b"all"))?;
        sender.finish(Ok(()));
        Ok(responses)
    });
    let (messages, status) = told(&Served::with(1, [("Watch", finishes)]));
    assert_eq!((messages.len(), status.code()), (1, Code::Ok));

    // Another answer than the one from elsewhere: the sender is nobody's.
    let (kept, keeper) = mpsc::channel();
    let kept = Mutex::new(kept);
    let other = grpc_threads::unary_stream_rpc_method_handler_with(
        move |_: Bytes, context: &ServicerContext| {
            let (sender, _): (Sender, _) = context.response_channel()?;
            kept.lock().unwrap().send(sender).unwrap();
            Ok([Ok(Bytes::from_static(b"other"))])
        },
        Raw,
        Raw,
    );
    let (messages, status) = told(&Served::with(1, [("Watch", other)]));
    assert_eq!((messages.len(), status.code()), (1, Code::Ok));
    let mut sender = keeper.recv_timeout(LONG).unwrap();
    assert!(!sender.is_active() && sender.send(&Bytes::new()).is_err());

    let chained = grpc_threads::unary_stream_rpc_method_handler_with(
        move |_: Bytes, context: &ServicerContext| {
            let (sender, responses): (Sender, _) = context.response_channel()?;
            sender.finish(Err(Status::aborted("after the first")));
            Ok(Box::new(responses.chain([])) as Box<dyn Iterator<Item = _>>)
        },
        Raw,
        Raw,
    );
    let (_, status) = told(&Served::with(1, [("Watch", chained)]));
    assert_eq!(status.code(), Code::Aborted);
}

#[test]
fn a_channel_that_cannot_be_is_refused_in_words() {
    let _alone = alone();
    let unary =
        service::unary(|_, context| context.response_channel::<Bytes>().map(|_| Bytes::new()));
    let typed = answering(|_, context| {
        let _typed = context.response_channel::<String>()?;
        Ok(context.response_channel()?.1)
    });
    let twice = answering(|_, context| {
        let _first = context.response_channel::<Bytes>()?;
        Ok(context.response_channel()?.1)
    });
    for (handler, words) in
        [(unary, "no stream of responses"), (typed, "of another type"), (twice, "was asked before")]
    {
        let served = Served::with(1, [("Watch", handler)]);
        let call = served.channel().raw_unary_stream(WATCH).unwrap().call(&Bytes::new()).unwrap();
        let status = call.collect_all().unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains(words), "{status}");
        assert!(status.message().contains(WATCH), "{status}");
    }
}

#[test]
fn whoever_ends_the_call_the_sender_hears_of_it_and_holds_nothing() {
    let _alone = alone();
    let (_served, channel, responses, mut sender) = one();
    let (told, end) = mpsc::channel();
    assert!(sender.add_callback(move || told.send(()).unwrap()));
    assert!(sender.is_active());
    drop(responses);
    end.recv_timeout(LONG).unwrap();
    eventually(LONG, "it is over", || !sender.is_active());
    assert_eq!(sender.send(&Bytes::new()).unwrap_err().code(), Code::Cancelled);
    assert!(!sender.add_callback(|| unreachable!("it was over")));
    drop(channel);

    let (handler, given) = watch();
    let served = Served::with(1, [("Watch", handler)]);
    let method = served.channel().raw_unary_stream(WATCH).unwrap();
    let mut late = method.timeout(Duration::from_millis(50)).call(&Bytes::new()).unwrap();
    let (_, mut sender) = given.recv_timeout(LONG).unwrap();
    assert_eq!(late.recv().unwrap_err().code(), Code::DeadlineExceeded);
    eventually(LONG, "the deadline is the server's, too", || !sender.is_active());
    let timeout = Duration::from_secs(1);
    let late = sender.send_timeout(&Bytes::new(), timeout);
    assert!(
        matches!(late, Err(ResultError::Rpc(status)) if status.code() == Code::DeadlineExceeded)
    );
}

#[test]
fn a_server_that_stops_names_the_calls_that_are_answered_elsewhere() {
    let _alone = alone();
    let (served, _channel, mut responses, sender) = one();
    let stopped = served.server.stop(LONG);
    let running = stopped.wait(Duration::ZERO).unwrap_err();
    assert_eq!(running.methods(), [(WATCH.to_owned(), 1)]);
    sender.finish(Ok(()));
    stopped.wait(LONG).unwrap();
    assert!(responses.recv().unwrap().is_none());
}

#[test]
fn what_the_client_does_not_take_is_refused_and_room_is_told_of() {
    let _alone = alone();
    let (_served, _channel, mut responses, mut sender) = one();
    let (told, room) = mpsc::channel();
    sender.on_ready(move || told.send(()).unwrap());
    let message = Bytes::from(vec![7; 8 << 10]);
    for round in 1..=3 {
        // Its window takes some though nobody reads.
        let mut sent = 0;
        let late = loop {
            match sender.send_timeout(&message, Duration::from_millis(100)) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(late, ResultError::TimedOut), "{late:?}");
        let refused = sender.try_send(&message);
        assert!(matches!(refused, Err(ResultError::TimedOut)), "{refused:?}");
        assert!(sent > 0, "round {round}");
        while room.try_recv().is_ok() {}
        for _ in 0..sent {
            assert_eq!(responses.recv().unwrap().unwrap().len(), message.len());
        }
        room.recv_timeout(LONG).expect("it is told of room");
    }
    while room.try_recv().is_ok() {}
    sender.send(&message).unwrap();
    sender.finish(Ok(()));
    assert_eq!(responses.recv().unwrap().unwrap().len(), message.len());
    assert!(responses.recv().unwrap().is_none());
    assert!(room.try_recv().is_err(), "once for each time that there was none");
}
