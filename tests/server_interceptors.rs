//! Server interceptors, over a real client: order, what they see and change, answers of their own, and ends.
//!
//! Answers to grpc-python's `tests/unit/_interceptor_test.py` and `tests_aio/unit/server_interceptor_test.py`, and to what its
//! users miss in it: messages, context and outcome.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/around.rs"]
mod around;
#[path = "support/service.rs"]
mod service;
mod support;

use around::{Record, bytes, with_suffix};
use bytes::Bytes;
use grpc_threads::{
    InterceptedCall, Payload, ServerBuilder, ServerInterceptor, ServerNext, StreamHooks,
};
use service::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use support::{LONG, logged};

fn builder(workers: usize) -> ServerBuilder {
    Server::builder().thread_pool(ThreadPool::new(workers))
}

fn served(builder: ServerBuilder, more: impl IntoIterator<Item = Method>) -> Served {
    Served::start(builder.build().unwrap(), "127.0.0.1:0", more)
}

/// Typed as what the builder takes, for closures.
fn interceptor<F>(f: F) -> F
where
    F: Fn(&mut InterceptedCall<'_>, ServerNext<'_>) -> Result<(), Status> + Send + Sync + 'static,
{
    f
}

impl Record {
    fn passer(&self, name: &'static str) -> impl ServerInterceptor + use<> {
        let record = self.clone();
        interceptor(move |call, next| {
            record.note(format!("{name} in {}", call.context().method()));
            let outcome = next.run(call);
            let code = outcome.as_ref().map_or_else(Status::code, |()| Code::Ok);
            record.note(format!("{name} out {code:?}"));
            outcome
        })
    }
}

#[test]
fn the_first_is_outermost_and_all_see_the_outcome() {
    let record = Record::default();
    let set = unary(|request, context| {
        context.set_code(Code::Aborted);
        context.set_details("as it was told");
        Ok(request)
    });
    let panics = unary(|_, _| panic!("as it was told"));
    let server = builder(2).interceptor(record.passer("a")).interceptor(record.passer("b"));
    let served = served(server, [("Set", set), ("Panics", panics)]);
    let channel = served.channel();
    for (path, code) in [
        (ECHO, Code::Ok),
        ("/test.Test/Set", Code::Aborted),
        ("/test.Test/Panics", Code::Unknown),
        ("/test.Test/Nobody", Code::Unimplemented),
        ("/no.Service/At", Code::Unimplemented),
    ] {
        let method = channel.raw_unary_unary(path).unwrap();
        let told = method.call(&bytes("x")).map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(told, code, "{path}");
        let expected = [
            format!("a in {path}"),
            format!("b in {path}"),
            format!("b out {code:?}"),
            format!("a out {code:?}"),
        ];
        assert_eq!(record.take(), expected);
    }
}

#[test]
fn the_client_is_told_no_sooner_than_the_interceptor_has_returned() {
    let (let_go, gate) = mpsc::channel::<()>();
    let (ran, has_run) = mpsc::channel();
    let gate = Mutex::new(gate);
    let server =
        builder(2).interceptor(move |call: &mut InterceptedCall<'_>, next: ServerNext<'_>| {
            let outcome = next.run(call);
            if call.context().method() == ECHO {
                ran.send(()).unwrap();
                let _ = gate.lock().unwrap().recv_timeout(LONG);
            }
            outcome
        });
    let served = served(server, []);
    let channel = served.channel();
    let mut future = channel.raw_unary_unary(ECHO).unwrap().future(&bytes("x"));
    has_run.recv_timeout(LONG).unwrap();
    // It waits on its own worker, in nobody else's way.
    assert_eq!(channel.raw_unary_unary(SIZED).unwrap().call(&bytes("3")).unwrap().len(), 3);
    assert!(!future.done());
    let_go.send(()).unwrap();
    assert_eq!(future.result(Some(LONG)).unwrap(), "x");
}

#[test]
fn a_call_may_be_refused_before_its_handler_runs() {
    let server = builder(2).interceptor(interceptor(|call, next| {
        match call.context().invocation_metadata().get("token").is_some() {
            true => next.run(call),
            false => Err(Status::unauthenticated("who are you?")),
        }
    }));
    let never = unary(|_, _| unreachable!("it is refused before"));
    let served = served(server, [("Never", never)]);
    let channel = served.channel();
    let told = |status: Status| assert_eq!(status.message(), "who are you?");
    told(channel.raw_unary_unary("/test.Test/Never").unwrap().call(&bytes("")).unwrap_err());
    told(channel.raw_unary_stream(COUNT).unwrap().call(&bytes("1 1")).unwrap().recv().unwrap_err());
    told(channel.raw_stream_unary(SUM).unwrap().call([]).unwrap_err());
    told(channel.raw_stream_stream(BIDI).unwrap().call([]).recv().unwrap_err());
    let echo = channel.raw_unary_unary(ECHO).unwrap().header("token", "1").unwrap();
    assert_eq!(echo.call(&bytes("x")).unwrap(), "x");
}

#[test]
fn it_may_answer_by_itself_and_change_the_outcome() {
    let server = builder(2).interceptor(interceptor(|call, next| {
        let want = call.context().invocation_metadata().get("want").map(|want| want.to_owned());
        match want.as_deref() {
            Some("cache") => {
                call.context().set_trailing_metadata(Metadata::new().with("cached", "yes")?);
                call.respond(Payload::new(&b"one"[..]))?;
                if call.cardinality() == Some(Cardinality::UnaryStream) {
                    call.respond(Payload::new(&b"two"[..]))?;
                }
                Ok(())
            }
            Some("nothing") => call.respond_all([]),
            Some("failure") => next.run(call).and(Err(Status::data_loss("not good enough"))),
            Some("fallback") => {
                let failed = next.run(call).unwrap_err();
                call.respond(Payload::new(failed.message().to_owned()))
            }
            Some("pardon") => next.run(call).or(Ok(())),
            _ => next.run(call),
        }
    }));
    let served = served(server, []);
    let channel = served.channel();
    let unary = |path: &str, want: &str| {
        channel.raw_unary_unary(path).unwrap().header("want", want).unwrap()
    };
    let (answer, call) = unary(ECHO, "cache").with_call(&bytes("x")).unwrap();
    assert_eq!(answer, "one");
    assert_eq!(call.trailing_metadata().get("cached"), Some("yes"));
    let count = channel.raw_unary_stream(COUNT).unwrap().header("want", "cache").unwrap();
    let answers: Vec<_> = count.call(&bytes("1 1")).unwrap().map(Result::unwrap).collect();
    assert_eq!(answers, ["one", "two"]);

    let count = channel.raw_unary_stream(COUNT).unwrap().header("want", "nothing").unwrap();
    assert_eq!(count.call(&bytes("1 1")).unwrap().count(), 0, "OK without a message");

    let failed = unary(ECHO, "failure").call(&bytes("x")).unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::DataLoss, "not good enough"));
    assert_eq!(unary(FAIL, "fallback").call(&bytes("5 gone")).unwrap(), "gone");
    let pardoned = unary(FAIL, "pardon").call(&bytes("5 gone")).unwrap_err();
    assert_eq!(pardoned.code(), Code::Internal, "there is no response to give");
    assert_eq!(unary(ECHO, "pardon").call(&bytes("x")).unwrap(), "x");
}

/// Marks requests on their way in and responses on their way out.
fn marker(name: &'static str) -> impl ServerInterceptor {
    interceptor(move |call, next| {
        let hooks = StreamHooks::new()
            .map_request(move |request| Ok(with_suffix(&request, name)))
            .map_response(move |response| Ok(with_suffix(&response, name)));
        call.add_hooks(hooks);
        next.run(call)
    })
}

#[test]
fn messages_go_through_hooks_in_all_kinds_of_calls() {
    let by_hand = by_hand(|stream, _| {
        while let Some(message) = stream.recv()? {
            stream.send(&message)?;
            stream.try_send(&message)?;
        }
        Ok(())
    });
    let server = builder(2).interceptor(marker("a")).interceptor(marker("b"));
    let served = served(server, [("Hand", by_hand)]);
    let channel = served.channel();
    assert_eq!(channel.raw_unary_unary(ECHO).unwrap().call(&bytes("x")).unwrap(), "xabba");
    assert_eq!(channel.raw_stream_unary(SUM).unwrap().call([bytes("x")]).unwrap(), "1 3ba");
    let bidi = channel.raw_stream_stream(BIDI).unwrap();
    let answers: Vec<_> = bidi.call([bytes("x"), bytes("y")]).map(Result::unwrap).collect();
    assert_eq!(answers, ["xabba", "yabba"]);
    let hand = channel.raw_stream_stream("/test.Test/Hand").unwrap();
    let answers: Vec<_> = hand.call([bytes("x")]).map(Result::unwrap).collect();
    assert_eq!(answers, ["xabba", "xabba"]);
}

#[test]
fn what_is_sent_from_elsewhere_goes_through_hooks_and_finds_what_was_left_for_it() {
    struct Who(&'static str);

    let later = grpc_threads::unary_stream_rpc_method_handler_with(
        |request: Bytes, context: &ServicerContext| {
            let (mut sender, responses) = context.response_channel()?;
            let who = context.extensions().get::<Who>().map_or("nobody", |who| who.0);
            sender.send(&request)?;
            sender.try_send(&bytes(who))?;
            // Before the interceptors are done with it.
            sender.finish(Ok(()));
            Ok(responses)
        },
        grpc_threads::Raw,
        grpc_threads::Raw,
    );
    let names = interceptor(|call, next| {
        call.context().extensions().insert(Who("ada"));
        next.run(call)
    });
    let server = builder(2).interceptor(names).interceptor(marker("a"));
    let served = Served::start(server.build().unwrap(), "127.0.0.1:0", [("Later", later)]);
    let later = served.channel().raw_unary_stream("/test.Test/Later").unwrap();
    let (answers, _) = later.timeout(LONG).call(&bytes("x")).unwrap().collect_all().unwrap();
    assert_eq!(answers, ["xaa", "adaa"]);
}

#[test]
fn hooks_may_drop_multiply_hold_back_and_fail() {
    let server = builder(2).interceptor(interceptor(|call, next| {
        let mut held: Option<Payload> = None;
        call.add_hooks(
            StreamHooks::new()
                .on_request(|request, emit| {
                    match request {
                        Some(request) if request.bytes() == "skip" => {}
                        Some(request) if request.bytes() == "bad" => {
                            return Err(Status::data_loss("not this"));
                        }
                        Some(request) => (0..2).for_each(|_| emit.emit(request.clone())),
                        None => emit.emit(Payload::new(&b"last"[..])),
                    }
                    Ok(())
                })
                .on_response(move |response, emit| {
                    if let Some(before) = std::mem::replace(&mut held, response) {
                        emit.emit(with_suffix(&before, "."));
                    }
                    Ok(())
                }),
        );
        next.run(call)
    }));
    let served = served(server, []);
    let bidi = served.channel().raw_stream_stream(BIDI).unwrap();
    let requests = ["a", "skip", "b"].map(bytes);
    let answers: Vec<_> = bidi.call(requests).map(Result::unwrap).collect();
    assert_eq!(answers, ["a.", "a.", "b.", "b.", "last."]);
    let mut call = bidi.open();
    call.send(&bytes("bad")).unwrap();
    let status = Status::from(call.recv_timeout(LONG).unwrap_err());
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "not this"));
    let two = served.channel().raw_unary_unary(ECHO).unwrap().call(&bytes("x")).unwrap_err();
    assert_eq!(two.code(), Code::Internal);
    assert!(two.message().contains("gave 3 messages for the one request"), "{two}");
}

#[test]
fn a_panic_of_an_interceptor_or_a_hook_ends_its_call_and_no_other() {
    let server = builder(1).interceptor(interceptor(|call, next| {
        let panics = call.context().invocation_metadata().get("panics").is_some();
        assert!(!panics, "as it was told");
        call.add_hooks(StreamHooks::new().map_request(|request| {
            assert!(request.bytes() != "bad", "as it was told");
            Ok(request)
        }));
        next.run(call)
    }));
    let served = served(server, []);
    let channel = served.channel();
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    for status in [
        echo.header("panics", "1").unwrap().call(&bytes("x")).unwrap_err(),
        echo.call(&bytes("bad")).unwrap_err(),
        channel.raw_stream_unary(SUM).unwrap().call([bytes("bad")]).unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unknown, "{status}");
        assert!(!status.message().contains("as it was told"), "the text stays here");
    }
    assert_eq!(echo.call(&bytes("x")).unwrap(), "x");
}

#[test]
fn another_handler_may_run_in_its_place() {
    let server = builder(2).interceptor(interceptor(|call, next| match call.context().method() {
        ECHO => next.run(call),
        _ => {
            next.run_with(call, unary(|request, _| Ok(Bytes::from([&request[..], b"!"].concat()))))
        }
    }));
    let served = served(server, []);
    let channel = served.channel();
    assert_eq!(channel.raw_unary_unary(SIZED).unwrap().call(&bytes("x")).unwrap(), "x!");
    assert_eq!(channel.raw_unary_unary("/no.Such/One").unwrap().call(&bytes("y")).unwrap(), "y!");
    assert_eq!(channel.raw_unary_unary(ECHO).unwrap().call(&bytes("z")).unwrap(), "z");
}

#[test]
fn a_detached_stream_that_ends_before_the_interceptor_returns_ends_as_it_says() {
    let (streams, kept) = mpsc::channel();
    let (streams, kept) = (Mutex::new(streams), Mutex::new(kept));
    let later = by_hand(move |stream, _| {
        streams.lock().unwrap().send(stream.detach()).unwrap();
        Ok(())
    });
    let server =
        builder(2).interceptor(move |call: &mut InterceptedCall<'_>, next: ServerNext<'_>| {
            let outcome = next.run(call);
            let stream: ServerStream<Bytes, Bytes> =
                kept.lock().unwrap().recv_timeout(LONG).unwrap();
            stream.finish(Err(Status::out_of_range("enough")));
            assert!(call.is_detached());
            outcome
        });
    let served = served(server, [("Later", later)]);
    let method = served.channel().raw_stream_stream("/test.Test/Later").unwrap();
    assert_eq!(method.call([]).recv().unwrap_err().code(), Code::OutOfRange);
}

#[test]
fn the_end_is_told_once_however_it_comes_and_of_a_detached_stream_too() {
    let (told, ends) = mpsc::channel();
    let (detached, seen) = mpsc::channel();
    let server = builder(4).interceptor(interceptor(move |call, next| {
        let told = told.clone();
        let path = call.context().method().to_owned();
        call.add_hooks(StreamHooks::new().on_end(move |status| {
            told.send((path, status.code())).unwrap();
        }));
        let outcome = next.run(call);
        if call.is_detached() {
            assert!(outcome.is_ok());
            detached.send(()).unwrap();
        }
        outcome
    }));
    let stuck = unary(|_, context| {
        let (done, ended) = mpsc::channel::<()>();
        if context.add_callback(move || drop(done)) {
            let _ = ended.recv_timeout(LONG);
        }
        Ok(Bytes::new())
    });
    let (streams, kept) = mpsc::channel();
    let streams = Mutex::new(streams);
    let later = by_hand(move |stream, _| {
        streams.lock().unwrap().send(stream.detach()).unwrap();
        Ok(())
    });
    let served = served(server, [("Stuck", stuck), ("Later", later)]);
    let channel = served.channel();
    let end = |method: &str, code: Code| {
        let expected = (format!("/test.Test/{method}"), code);
        assert_eq!(ends.recv_timeout(LONG).expect("the end is told"), expected);
    };
    channel.raw_unary_unary(ECHO).unwrap().call(&bytes("x")).unwrap();
    end("Echo", Code::Ok);
    channel.raw_unary_unary(FAIL).unwrap().call(&bytes("9 no")).unwrap_err();
    end("Fail", Code::FailedPrecondition);
    let stuck = channel.raw_unary_unary("/test.Test/Stuck").unwrap();
    stuck.timeout(Duration::from_millis(50)).call(&bytes("")).unwrap_err();
    end("Stuck", Code::DeadlineExceeded);
    let bidi = channel.raw_stream_stream(BIDI).unwrap();
    let mut call = bidi.open();
    call.send(&bytes("x")).unwrap();
    call.recv_timeout(LONG).unwrap();
    drop(call);
    end("Bidi", Code::Cancelled);

    let mut call = channel.raw_stream_stream("/test.Test/Later").unwrap().open();
    call.flush();
    call.send(&bytes("x")).unwrap();
    let mut stream = kept.recv_timeout(LONG).unwrap();
    seen.recv_timeout(LONG).expect("the interceptor knows that it goes on elsewhere");
    assert!(ends.try_recv().is_err(), "it has not ended");
    stream.send(&bytes("y")).unwrap();
    stream.finish(Err(Status::out_of_range("enough")));
    assert_eq!(call.recv().unwrap().unwrap(), "y");
    assert_eq!(call.recv().unwrap_err().code(), Code::OutOfRange);
    end("Later", Code::OutOfRange);

    let mut call = bidi.open();
    call.send(&bytes("x")).unwrap();
    call.recv_timeout(LONG).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| drop(call.status()));
        served.server.stop(None);
    });
    assert!(matches!(ends.recv_timeout(LONG), Ok((path, _)) if path == BIDI));
    assert!(ends.try_recv().is_err(), "once each");
}

#[test]
fn who_is_slow_to_hear_of_ends_keeps_calls_waiting_and_no_memory_or_sockets() {
    let (let_go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let told = Arc::new(AtomicUsize::new(0));
    let counted = told.clone();
    let gate = Arc::new(gate);
    let server = builder(1).interceptor(interceptor(move |call, next| {
        let (gate, counted) = (gate.clone(), counted.clone());
        call.add_hooks(StreamHooks::new().on_end(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = gate.lock().unwrap().recv_timeout(LONG);
        }));
        next.run(call)
    }));
    let served = served(server, []);
    let channel = served.channel();
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    // Its client has its answer, and the hook is on the worker.
    assert_eq!(echo.call(&bytes("x")).unwrap(), "x");
    let mut next = echo.future(&bytes("y"));
    let in_vain = next.result(Some(Duration::from_millis(50)));
    assert!(matches!(in_vain, Err(ResultError::TimedOut)), "the worker is taken");
    assert_eq!(told.load(Ordering::SeqCst), 1);
    let_go.send(()).unwrap();
    assert_eq!(next.result(Some(LONG)).unwrap(), "y");
    drop(let_go);
}

/// What an interceptor does wrong is told to the client by a status, and to the log by one line with its name.
#[test]
fn mistakes_of_interceptors_are_told_to_the_client_and_to_the_log() {
    logged::listen(log::LevelFilter::Warn);
    let wrong = |call: &mut InterceptedCall<'_>, next: ServerNext<'_>| {
        let want = call.context().invocation_metadata().get("want").map(str::to_owned);
        let answer = Payload::new(&b"mine"[..]);
        match want.as_deref() {
            Some("forgets") => Ok(()),
            Some("pardons") => next.run(call).or(Ok(())),
            Some("answers and runs") => {
                call.respond(answer)?;
                next.run(call).or(Ok(()))
            }
            Some("answers twice") => {
                call.respond(answer.clone())?;
                assert!(call.respond(answer).is_err(), "it is told");
                Ok(())
            }
            Some("answers with two") => call.respond_all([answer.clone(), answer]),
            Some("adds late") => {
                let outcome = next.run(call);
                call.add_hooks(StreamHooks::new().map_response(Ok));
                outcome
            }
            _ => next.run(call),
        }
    };
    struct Named<F>(F);

    impl<F> ServerInterceptor for Named<F>
    where
        F: Fn(&mut InterceptedCall<'_>, ServerNext<'_>) -> Result<(), Status>
            + Send
            + Sync
            + 'static,
    {
        fn intercept(
            &self,
            call: &mut InterceptedCall<'_>,
            next: ServerNext<'_>,
        ) -> Result<(), Status> {
            (self.0)(call, next)
        }
    }

    let record = Record::default();
    let server = builder(2).interceptor(record.passer("outer")).interceptor(Named(wrong));
    // Methods of its own: other tests make lines, too.
    const ONE: &str = "/test.Test/One";
    const MANY: &str = "/test.Test/Many";
    const FAILS: &str = "/test.Test/Fails";
    let many = grpc_threads::unary_stream_rpc_method_handler_with(
        |one: Bytes, _: &ServicerContext| Ok([Ok(one)]),
        grpc_threads::Raw,
        grpc_threads::Raw,
    );
    let fails = unary(|_, _| Err(Status::not_found("gone")));
    let served = served(server, [("One", echo()), ("Many", many), ("Fails", fails)]);
    let channel = served.channel();
    for (path, want, client, lines) in [
        (ONE, "forgets", "returned OK without a response", "did not run `next`"),
        (MANY, "forgets", "returned OK without a response", "did not run `next`"),
        (FAILS, "pardons", "returned OK without a response", "OK of a call that failed"),
        (ONE, "answers and runs", "responded and ran the handler", "`respond`, then `next.run`"),
        (ONE, "answers twice", "gave two responses", "`respond` twice"),
        (ONE, "answers with two", "gave two responses", "`respond` twice"),
        (ONE, "adds late", "added hooks after the handler", "`add_hooks` after `next.run`"),
        (MANY, "adds late", "added hooks after the handler", "`add_hooks` after `next.run`"),
    ] {
        let before = logged::count(&["WARN", path, lines]);
        let status = match path {
            MANY => {
                let count = channel.raw_unary_stream(path).unwrap().header("want", want).unwrap();
                count.call(&bytes("x")).unwrap().collect_all().unwrap_err()
            }
            _ => {
                let method = channel.raw_unary_unary(path).unwrap().header("want", want).unwrap();
                method.timeout(LONG).call(&bytes("x")).unwrap_err()
            }
        };
        assert_eq!(status.code(), Code::Internal, "{want}: {status}");
        assert!(status.message().contains(client), "{want}: {status}");
        assert!(status.message().contains(path), "{want}: {status}");
        assert!(!status.message().contains("Named"), "its name stays here: {status}");
        assert!(record.take().contains(&"outer out Internal".to_owned()), "{want}");
        let told = logged::lines();
        assert_eq!(logged::count(&["WARN", path, lines]), before + 1, "{want}: {told:?}");
        let told =
            logged::count(&["WARN", path, lines, "Named<", "(2 of 2)", "its outcome is INTERNAL"]);
        assert_eq!(told, before + 1, "{want}");
    }
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    assert_eq!(echo.call(&bytes("x")).unwrap(), "x");
}

#[test]
fn one_outside_may_answer_in_place_of_one_within_and_put_right_what_that_has_done() {
    let fallback = interceptor(|call, next| {
        let _ = next.run(call);
        call.respond(Payload::new(&b"outer"[..]))
    });
    let within = interceptor(|call, _| call.respond(Payload::new(&b"inner"[..])));
    let forgets = interceptor(|_, _| Ok(()));
    for server in [
        builder(2).interceptor(fallback).interceptor(within),
        builder(2).interceptor(fallback).interceptor(forgets),
    ] {
        let served = self::served(server, []);
        let echo = served.channel().raw_unary_unary(ECHO).unwrap();
        assert_eq!(echo.call(&bytes("x")).unwrap(), "outer");
    }
}

#[test]
fn hooks_that_make_no_one_message_of_one_are_told_with_their_method() {
    logged::listen(log::LevelFilter::Warn);
    let server = builder(2).interceptor(interceptor(|call, next| {
        let twice = |payload: Option<Payload>, emit: &mut grpc_threads::Emit<'_>| {
            if let Some(one) = payload {
                emit.emit(one.clone());
                emit.emit(one);
            }
            Ok(())
        };
        let hooks = match call.context().method() {
            ECHO => StreamHooks::new().on_request(twice),
            _ => StreamHooks::new().on_response(twice),
        };
        call.add_hooks(hooks);
        next.run(call)
    }));
    let served = served(server, []);
    for (path, what) in
        [(ECHO, "2 messages for the one request"), (SIZED, "2 messages for the one response")]
    {
        let method = served.channel().raw_unary_unary(path).unwrap();
        let status = method.call(&bytes("1")).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains(what) && status.message().contains(path), "{status}");
        assert_eq!(logged::count(&["WARN", path, what, "its outcome is INTERNAL"]), 1);
    }
}

#[test]
fn one_response_for_a_call_that_was_left_to_another_thread_is_refused() {
    let (streams, kept) = mpsc::channel();
    let streams = Mutex::new(streams);
    let later = grpc_threads::stream_rpc_method_handler_with(
        Cardinality::UnaryUnary,
        move |stream: &mut ServerStream<Bytes, Bytes>, _: &ServicerContext| {
            streams.lock().unwrap().send(stream.detach()).unwrap();
            Ok(())
        },
        grpc_threads::Raw,
        grpc_threads::Raw,
    );
    let server = builder(2).interceptor(interceptor(|call, next| {
        next.run(call)?;
        assert!(call.is_detached());
        call.respond(Payload::new(&b"mine"[..]))
    }));
    let served = served(server, [("Later", later)]);
    let method = served.channel().raw_unary_unary("/test.Test/Later").unwrap().timeout(LONG);
    let status = method.call(&bytes("x")).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("left to another thread"), "{status}");
    drop(kept.recv_timeout(LONG).unwrap());
}
