//! Answers that come from elsewhere: a sender that any thread keeps, and a handler that has returned long ago.

#[path = "support/service.rs"]
mod service;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::{
    Code, Raw, ResponseSender, ResultError, RpcMethodHandler, SentElsewhere, ServicerContext,
    Status,
};
use service::{ECHO, Served};
use support::leaks::Holdings;
use support::{LONG, alone, eventually, logged, within};

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

/// A handler that returns a list.
fn listing(
    behaviour: impl Fn(&ServicerContext) -> Result<Vec<Result<Bytes, Status>>, Status>
    + Send
    + Sync
    + 'static,
) -> RpcMethodHandler {
    let behaviour = move |_: Bytes, context: &ServicerContext| behaviour(context);
    grpc_threads::unary_stream_rpc_method_handler_with(behaviour, Raw, Raw)
}

/// What a call of the method comes to.
fn told(served: &Served) -> (Vec<Bytes>, Status) {
    all(served.channel().raw_unary_stream(WATCH).unwrap().call(&Bytes::new()).unwrap())
}

fn all(mut responses: grpc_threads::Responses<Bytes>) -> (Vec<Bytes>, Status) {
    let mut messages = Vec::new();
    loop {
        match responses.recv_timeout(LONG) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, Status::ok()),
            Err(error) => return (messages, Status::from(error)),
        }
    }
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
    let fails = answering(|_, context| {
        let (mut sender, _responses) = context.response_channel()?;
        sender.send(&Bytes::from_static(b"first"))?;
        Err(Status::not_found("no such thing"))
    });
    let (messages, status) = told(&Served::with(1, [("Watch", fails)]));
    assert_eq!((messages.len(), status.code()), (1, Code::NotFound));

    // A wait of its own that was in vain is no deadline of its client's.
    let full = answering(|_, context| {
        let (mut sender, responses) = context.response_channel()?;
        for _ in 0..10_000 {
            sender.try_send(&Bytes::from(vec![7; 8 << 10]))?;
        }
        Ok(responses)
    });
    let (messages, status) = told(&Served::with(1, [("Watch", full)]));
    assert!(!messages.is_empty(), "what was sent has come");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");

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

    // Another answer than the one from elsewhere, which the sender's owner has let go of.
    let other = listing(|context| {
        let (sender, _): (Sender, _) = context.response_channel()?;
        drop(sender);
        Ok(vec![Ok(Bytes::from_static(b"other"))])
    });
    let (messages, status) = told(&Served::with(1, [("Watch", other)]));
    assert_eq!((messages.len(), status.code()), (1, Code::Ok));

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
    let by_hand = service::by_hand(|_, context| context.response_channel::<Bytes>().map(drop));
    for (handler, words) in [
        (unary, "no stream of responses"),
        (typed, "of another type"),
        (twice, "was asked before"),
        (by_hand, "written over a ServerStream: detach() that"),
    ] {
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
    // The handler has given its sender away, and has yet to return: until then the call is its own.
    let left = || !stopped.still_running().elsewhere().is_empty();
    eventually(LONG, "the call is left to the sender", left);
    let running = stopped.wait(Duration::ZERO).unwrap_err();
    assert_eq!(running.methods(), [(WATCH.to_owned(), 1)]);
    assert_eq!(running.elsewhere(), [(WATCH.to_owned(), 1)]);
    let text = running.to_string();
    assert_eq!(Status::from(running).code(), Code::ResourceExhausted, "no deadline has passed");
    assert_eq!(text, "not over: /test.Test/Watch: 1 answered from elsewhere (not finished there)");
    sender.finish(Ok(()));
    stopped.wait(LONG).unwrap();
    assert!(responses.recv().unwrap().is_none());

    // A stream that was detached, and then once more: counted once, and for as long as it lives.
    let (streams, given) = mpsc::channel();
    let streams = Mutex::new(streams);
    let by_hand = service::by_hand(move |stream, _| {
        streams.lock().unwrap().send(stream.detach()).unwrap();
        Ok(())
    });
    let served = Served::with(1, [("Watch", by_hand)]);
    let _open = served.channel().raw_stream_stream(WATCH).unwrap().open();
    let mut stream = given.recv_timeout(LONG).unwrap();
    let again = stream.detach();
    let stopped = served.server.stop(LONG);
    assert_eq!(stopped.still_running().elsewhere(), [(WATCH.to_owned(), 1)]);
    again.finish(Ok(()));
    stopped.wait(LONG).unwrap();
    assert!(stopped.still_running().elsewhere().is_empty());
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

    // One that panics goes on, too.
    let (told, again) = mpsc::channel();
    sender.on_ready(move || {
        told.send(()).unwrap();
        panic!("told of room");
    });
    for _ in 0..2 {
        let mut sent = 0;
        while sender.send_timeout(&message, Duration::from_millis(100)).is_ok() {
            sent += 1;
        }
        while again.try_recv().is_ok() {}
        let _ = sender.try_send(&message).map(|()| sent += 1);
        for _ in 0..sent {
            assert_eq!(responses.recv().unwrap().unwrap().len(), message.len());
        }
        again.recv_timeout(LONG).expect("it is told of room");
    }
    sender.send(&message).unwrap();
    sender.finish(Ok(()));
    assert_eq!(responses.recv().unwrap().unwrap().len(), message.len());
    assert!(responses.recv().unwrap().is_none());
    assert!(room.try_recv().is_err(), "once for each time that there was none");
}

#[test]
fn who_does_not_keep_up_is_let_go_in_a_loop_of_five_lines_and_told_so() {
    logged::listen(log::LevelFilter::Debug);
    let _alone = alone();
    let (handler, given) = watch();
    let served = Served::with(1, [("Loop", handler)]);
    let watch = served.channel().raw_unary_stream("/test.Test/Loop").unwrap();
    let open = |name: &'static str| {
        let responses = watch.call(&Bytes::from_static(name.as_bytes())).unwrap();
        let (request, sender) = given.recv_timeout(LONG).unwrap();
        assert_eq!(request, name);
        (responses, sender)
    };
    let ((slow, first), (mut quick, second)) = (open("slow"), open("quick"));
    let mut watchers = vec![first, second];
    let news = Bytes::from(vec![7; 8 << 10]);
    let mut rounds = 0;
    while watchers.len() == 2 {
        watchers.retain_mut(|watcher| watcher.try_send(&news).is_ok());
        assert_eq!(quick.recv_timeout(LONG).unwrap().unwrap(), news, "it is not in its way");
        rounds += 1;
    }
    // What was taken for it before comes first, and all of it.
    let (messages, status) = all(slow);
    assert_eq!((messages.len(), status.code()), (rounds - 1, Code::ResourceExhausted), "{status}");
    assert!(status.message().contains("did not keep up"), "{status}");
    assert!(logged::logged(&["DEBUG", "/test.Test/Loop", "did not keep up"]));

    // The same after a wait, and a status of one's own.
    let (slow, mut sender) = open("slow");
    while sender.send_timeout(&news, Duration::from_millis(20)).is_ok() {}
    drop(sender);
    assert_eq!(all(slow).1.code(), Code::ResourceExhausted);
    let (slow, mut sender) = open("slow");
    while sender.try_send(&news).is_ok() {}
    sender.finish(Err(Status::aborted("come again")));
    assert_eq!(all(slow).1.message(), "come again");
    assert_eq!(logged::count(&["WARN", "/test.Test/Loop"]), 0, "{:?}", logged::lines());

    // Room was found since: it is forgotten, not let go.
    let (mut slow, mut sender) = open("slow");
    while sender.try_send(&news).is_ok() {}
    while sender.try_send(&news).is_err() {
        slow.recv_timeout(LONG).unwrap();
    }
    drop(sender);
    assert_eq!(all(slow).1.code(), Code::Cancelled);
    assert!(logged::logged(&["WARN", "/test.Test/Loop", "dropped without finish()"]));
    for sender in watchers {
        sender.finish(Ok(()));
    }
    assert!(quick.recv_timeout(LONG).unwrap().is_none());
}

#[test]
fn a_handler_that_returns_other_responses_than_those_of_its_sender_never_looks_whole() {
    logged::listen(log::LevelFilter::Debug);
    let _alone = alone();
    let list = || Ok(["one", "two"].map(|text| Ok(Bytes::from_static(text.as_bytes()))).to_vec());
    let told_of = |handler| told(&Served::with(1, [("Watch", handler)]));

    let finished = listing(move |context| {
        let (mut sender, _): (Sender, _) = context.response_channel()?;
        sender.send(&Bytes::from_static(b"zero"))?;
        sender.finish(Ok(()));
        list()
    });
    let (messages, status) = told_of(finished);
    assert_eq!(messages, ["zero", "one", "two"], "nothing is lost");
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("return the responses of its sender"), "{status}");
    assert!(status.message().contains(WATCH), "{status}");
    assert!(logged::logged(&["ERROR", WATCH, "return the responses of its sender"]));

    let half = listing(move |context| {
        let (mut sender, _): (Sender, _) = context.response_channel()?;
        sender.send(&Bytes::from_static(b"zero"))?;
        list()
    });
    let (messages, status) = told_of(half);
    assert_eq!(messages, ["zero", "one", "two"], "nothing is lost");
    assert_eq!(status.code(), Code::Internal, "{status}");

    let unused = listing(move |context| {
        let (_, _): (Sender, _) = context.response_channel()?;
        list()
    });
    let (messages, status) = told_of(unused);
    assert_eq!((messages.len(), status.code()), (2, Code::Ok), "these are the answer");
    assert!(logged::logged(&["WARN", WATCH, "what its handler has returned instead"]));

    let failed = listing(move |context| {
        let (sender, _): (Sender, _) = context.response_channel()?;
        sender.finish(Err(Status::data_loss("half of it")));
        list()
    });
    let (messages, status) = told_of(failed);
    assert_eq!((messages.len(), status.code()), (2, Code::DataLoss), "what was said counts");

    let (kept, keeper) = mpsc::channel();
    let kept = Mutex::new(kept);
    let used = listing(move |context| {
        let (sender, _): (Sender, _) = context.response_channel()?;
        kept.lock().unwrap().send(sender).unwrap();
        list()
    });
    let (messages, status) = told_of(used);
    assert_eq!((messages.len(), status.code()), (2, Code::Internal), "somebody waits to send");
    let mut sender = keeper.recv_timeout(LONG).unwrap();
    assert!(!sender.is_active() && sender.send(&Bytes::new()).is_err());
}

#[test]
fn who_finishes_while_the_worker_still_sends_cuts_nothing_off() {
    let _alone = alone();
    let (gate, gates) = mpsc::channel::<()>();
    let gates = Mutex::new(gates);
    let (given, senders) = mpsc::channel();
    let given = Mutex::new(given);
    let chained = grpc_threads::unary_stream_rpc_method_handler_with(
        move |_: Bytes, context: &ServicerContext| {
            let (sender, responses): (Sender, _) = context.response_channel()?;
            given.lock().unwrap().send(sender).unwrap();
            gates.lock().unwrap().recv_timeout(LONG).unwrap();
            Ok([Ok(Bytes::from_static(b"there already"))].into_iter().chain(responses))
        },
        Raw,
        Raw,
    );
    let served = Served::with(1, [("Watch", chained)]);
    let responses = served.channel().raw_unary_stream(WATCH).unwrap().call(&Bytes::new()).unwrap();
    senders.recv_timeout(LONG).unwrap().finish(Ok(()));
    gate.send(()).unwrap();
    let (messages, status) = all(responses);
    assert_eq!((messages.len(), status.code()), (1, Code::Ok));
}

#[test]
fn a_channel_is_asked_for_by_the_handler_once_and_before_it_returns() {
    let _alone = alone();
    let (contexts, given) = mpsc::channel();
    let contexts = Mutex::new(contexts);
    let (gate, gates) = mpsc::channel::<()>();
    let gates = std::sync::Arc::new(Mutex::new(gates));
    let handler = grpc_threads::unary_stream_rpc_method_handler_with(
        move |_: Bytes, context: &ServicerContext| {
            contexts.lock().unwrap().send(context.clone()).unwrap();
            let gates = gates.clone();
            Ok(std::iter::from_fn(move || {
                gates.lock().unwrap().recv_timeout(LONG).ok()?;
                Some(Ok(Bytes::from_static(b"x")))
            }))
        },
        Raw,
        Raw,
    );
    let served = Served::with(1, [("Watch", handler)]);
    let mut responses =
        served.channel().raw_unary_stream(WATCH).unwrap().call(&Bytes::new()).unwrap();
    let context = given.recv_timeout(LONG).unwrap();
    gate.send(()).unwrap();
    assert_eq!(responses.recv_timeout(LONG).unwrap().unwrap(), "x");
    let refused = |context: &ServicerContext| {
        let status = context.response_channel::<Bytes>().unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("has returned"), "{status}");
    };
    // The worker pulls what the handler has returned.
    refused(&context);
    drop(gate);
    assert!(responses.recv_timeout(LONG).unwrap().is_none());
    refused(&context);

    // Many threads of one handler: one of them has it.
    let handler = grpc_threads::unary_stream_rpc_method_handler_with(
        |_: Bytes, context: &ServicerContext| {
            let start = std::sync::Barrier::new(4);
            let ask = || {
                start.wait();
                context.response_channel::<Bytes>()
            };
            let mut all: Vec<_> = std::thread::scope(|scope| {
                let threads = [(); 4].map(|()| scope.spawn(ask));
                threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
            });
            let count = Bytes::from(all.len().to_string());
            let Some((mut sender, responses)) = all.pop() else {
                return Err(Status::internal("nobody has it"));
            };
            sender.send(&count)?;
            sender.finish(Ok(()));
            Ok(responses)
        },
        Raw,
        Raw,
    );
    let served = Served::with(1, [("Watch", handler)]);
    for _ in 0..200 {
        let (messages, status) = told(&served);
        assert_eq!((messages, status.code()), (vec![Bytes::from_static(b"1")], Code::Ok));
    }
}

#[test]
fn a_client_that_waits_is_told_at_once_that_its_quiet_watch_is_there() {
    let _alone = alone();
    let (_served, channel, responses, sender) = one();
    within(LONG, move || {
        assert!(responses.initial_metadata().is_empty());
        sender.finish(Ok(()));
        assert_eq!(all(responses).1.code(), Code::Ok);
    });
    // With what the handler has set itself.
    let (kept, _keeper) = mpsc::channel();
    let kept = Mutex::new(kept);
    let handler = answering(move |_, context| {
        context.send_initial_metadata(&grpc_threads::Metadata::new().with("since", "now")?)?;
        let (sender, responses) = context.response_channel()?;
        kept.lock().unwrap().send(sender).unwrap();
        Ok(responses)
    });
    drop(channel);
    let served = Served::with(1, [("Watch", handler)]);
    let responses = served.channel().raw_unary_stream(WATCH).unwrap().call(&Bytes::new()).unwrap();
    let metadata = within(LONG, move || responses.initial_metadata());
    assert_eq!(metadata.get("since"), Some("now"));
    // A call that ends with an error at once still has no head of its own: trailers-only.
    let refuses = answering(|_, context| {
        let (sender, responses) = context.response_channel()?;
        sender.finish(Err(Status::not_found("no such thing")));
        Ok(responses)
    });
    assert_eq!(told(&Served::with(1, [("Watch", refuses)])).1.code(), Code::NotFound);
}

#[test]
fn calls_whose_senders_go_before_their_handlers_return_leave_the_room_of_their_connection() {
    let _alone = alone();
    let kept = Mutex::new(Vec::new());
    let forgets = answering(move |_, context| {
        // What is kept of the call holds its stream.
        kept.lock().unwrap().push(context.clone());
        Ok(context.response_channel()?.1)
    });
    let options = grpc_threads::ServerOptions::default().max_concurrent_streams(1);
    let server = grpc_threads::Server::builder().options(options).build().unwrap();
    let served = Served::start(server, "127.0.0.1:0", [("Watch", forgets)]);
    let channel = served.channel();
    let watch = channel.raw_unary_stream(WATCH).unwrap().timeout(LONG);
    for _ in 0..3 {
        assert_eq!(all(watch.call(&Bytes::new()).unwrap()).1.code(), Code::Cancelled);
    }
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), "x");
}

#[test]
fn a_first_response_at_the_moment_of_the_handlers_return_comes_behind_one_head() {
    let _alone = alone();
    for heard in [false, true] {
        let (given, senders) = mpsc::channel::<(Sender, std::sync::Arc<AtomicBool>)>();
        let given = Mutex::new(given);
        let handler = answering(move |_, context| {
            let (sender, responses) = context.response_channel()?;
            let returns = std::sync::Arc::<AtomicBool>::default();
            given.lock().unwrap().send((sender, returns.clone())).unwrap();
            returns.store(true, Ordering::Release);
            Ok(responses)
        });
        let served = Served::with(1, [("Watch", handler)]);
        if heard {
            served.server.listen::<grpc_threads::SendInitialMetadata>(|event| {
                event.metadata_mut().append("heard", "once")?;
                Ok(grpc_threads::Flow::Continue)
            });
        }
        #[allow(clippy::disallowed_methods, reason = "the test's own thread")]
        let sends = std::thread::spawn(move || {
            for (mut sender, returns) in senders {
                while !returns.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                sender.send(&Bytes::from_static(b"x")).unwrap();
                sender.finish(Ok(()));
            }
        });
        let watch = served.channel().raw_unary_stream(WATCH).unwrap().timeout(LONG);
        for _ in 0..2_000 {
            let (messages, status) = all(watch.call(&Bytes::new()).unwrap());
            assert_eq!((messages.len(), status.code()), (1, Code::Ok), "{status}");
        }
        drop((watch, served));
        sends.join().unwrap();
    }
}
