//! Client interceptors, over a real server: order, what they see and change, calls they make themselves, and their ends.
//!
//! Answers to grpc-python's `tests/unit/_interceptor_test.py` and `tests_aio/unit/client_*_interceptor_test.py`.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/around.rs"]
mod around;
#[path = "support/service.rs"]
mod service;
mod support;

use around::{Record, around, bytes, hooked, with_suffix};
use bytes::Bytes;
use grpc_threads::{
    CallDetails, ClientInterceptor, MethodPath, Next, Payload, Reply, StreamHooks,
    intercept_channel,
};
use service::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use support::{LONG, eventually, within};

impl Record {
    /// Notes when a call passes it, on the way in and out.
    fn passer(&self, name: &'static str) -> Arc<dyn ClientInterceptor> {
        let record = self.clone();
        around(move |details, request, next| {
            record.note(format!("{name} in"));
            let reply = next.call(details, request);
            record.note(format!("{name} out"));
            reply
        })
    }

    /// The same by hooks.
    fn hooks(&self, name: &'static str) -> Arc<dyn ClientInterceptor> {
        let record = self.clone();
        hooked(move |_| {
            let [first, second, third] = [record.clone(), record.clone(), record.clone()];
            Ok(StreamHooks::new()
                .map_request(move |request| {
                    first.note(format!("{name} request"));
                    Ok(with_suffix(&request, name))
                })
                .map_response(move |response| {
                    second.note(format!("{name} response"));
                    Ok(with_suffix(&response, name))
                })
                .on_end(move |_| third.note(format!("{name} end"))))
        })
    }
}

#[test]
fn the_first_is_outermost_and_a_later_call_goes_around() {
    let served = Served::new();
    let record = Record::default();
    let channel = intercept_channel(&served.channel(), [record.passer("a"), record.passer("b")]);
    let channel = intercept_channel(&channel, [record.passer("c")]);
    channel.raw_unary_unary(ECHO).unwrap().call(&bytes("x")).unwrap();
    assert_eq!(record.take(), ["c in", "a in", "b in", "b out", "a out", "c out"]);
}

#[test]
fn hooks_see_requests_from_outside_in_and_responses_from_inside_out() {
    let served = Served::new();
    let record = Record::default();
    let channel = intercept_channel(&served.channel(), [record.hooks("a"), record.hooks("b")]);
    let seen = ["a request", "b request", "b response", "a response", "b end", "a end"];
    let all = |mut notes: Vec<String>| {
        // The end is told on another thread, between or behind the responses.
        notes.sort();
        notes
    };
    let expected = all(seen.iter().map(ToString::to_string).collect());
    let whole = || {
        within(LONG, {
            let record = record.clone();
            move || {
                eventually(LONG, "the end is told", || record.count() >= 6);
                record.take()
            }
        })
    };

    let echo = channel.raw_unary_unary(ECHO).unwrap();
    assert_eq!(echo.call(&bytes("x")).unwrap(), "xabba");
    assert_eq!(whole(), ["a request", "b request", "b response", "b end", "a response", "a end"]);
    assert_eq!(echo.with_call(&bytes("x")).unwrap().0, "xabba");
    assert_eq!(all(whole()), expected);
    assert_eq!(echo.future(&bytes("x")).result(Some(LONG)).unwrap(), "xabba");
    assert_eq!(all(whole()), expected);

    let count = channel.raw_unary_stream(COUNT).unwrap();
    let refused = count.call(&bytes("1 1")).unwrap().recv().unwrap_err();
    assert_eq!(refused.message(), "a number is needed", "the server got \"1 1ab\"");
    eventually(LONG, "the end is told", || record.count() >= 4);
    assert_eq!(all(record.take()), ["a end", "a request", "b end", "b request"]);

    let sum = channel.raw_stream_unary(SUM).unwrap();
    assert_eq!(sum.call([bytes("x")]).unwrap(), "1 3ba");
    assert_eq!(all(whole()), expected);
    let mut future = sum.future(vec![bytes("x")]);
    assert_eq!(future.result(Some(LONG)).unwrap(), "1 3ba");
    assert_eq!(all(whole()), expected);

    let bidi = channel.raw_stream_stream(BIDI).unwrap();
    let answers: Vec<_> = bidi.call([bytes("x")]).map(Result::unwrap).collect();
    assert_eq!(answers, ["xabba"]);
    assert_eq!(all(whole()), expected);
    let answers: Vec<_> = bidi.spawn(vec![bytes("x")]).map(Result::unwrap).collect();
    assert_eq!(answers, ["xabba"]);
    assert_eq!(all(whole()), expected);
}

#[test]
fn details_may_be_changed_and_the_server_sees_it() {
    let tell = unary(|_, context| {
        let value = context.invocation_metadata().get("added").unwrap_or("none").to_owned();
        let time = context.time_remaining().map_or(0, |time| time.as_secs());
        Ok(Bytes::from(format!("{value} {}", time / 10)))
    });
    let served = Served::with(2, [("Tell", tell)]);
    let channel = intercept_channel(
        &served.channel(),
        [around(|mut details, request, next| {
            assert_eq!(details.method().as_str(), ECHO);
            assert!(!details.request_streaming() && !details.response_streaming());
            assert_eq!(details.metadata().get("own"), Some("1"));
            details.append("added", "2")?;
            details.set_method(MethodPath::new("/test.Test/Tell")?);
            let limited = details.options().timeout(Duration::from_secs(25));
            details.set_options(limited);
            next.call(details, request)
        })],
    );
    let echo = channel.raw_unary_unary(ECHO).unwrap().header("own", "1").unwrap();
    assert_eq!(echo.call(&bytes("x")).unwrap(), "2 2");
    assert_eq!(echo.timeout(Duration::from_secs(15)).call(&bytes("x")).unwrap(), "2 1");
    let mut future = echo.timeout(Duration::from_secs(45)).future(&bytes("x"));
    assert_eq!(future.result(Some(LONG)).unwrap(), "2 2");
}

#[test]
fn with_metadata_reaches_all_kinds_of_calls() {
    let who = |context: &ServicerContext| -> Result<Bytes, Status> {
        let all = context.invocation_metadata().get_all("who");
        let all: Vec<_> = all.filter_map(|value| value.as_str().map(str::to_owned)).collect();
        Ok(bytes(&all.join(",")))
    };
    let unary = unary(move |_, context| who(context));
    let stream = by_hand(move |stream, context| stream.send(&who(context)?));
    let served = Served::with(2, [("Unary", unary), ("Stream", stream)]);
    let calls = Arc::new(AtomicUsize::new(0));
    let (counted, caller) = (calls.clone(), thread::current().id());
    let channel = served.channel().with_metadata(move |details| {
        counted.fetch_add(1, Ordering::SeqCst);
        assert_eq!(thread::current().id(), caller, "metadata needs no thread");
        Ok(Metadata::new().with("who", details.method().as_str())?)
    });
    let unary = channel.raw_unary_unary("/test.Test/Unary").unwrap().header("who", "me").unwrap();
    let expected = "me,/test.Test/Unary";
    assert_eq!(unary.call(&bytes("")).unwrap(), expected);
    let futures: Vec<_> = (0..100).map(|_| unary.future(&bytes(""))).collect();
    for mut future in futures {
        assert_eq!(future.result(Some(LONG)).unwrap(), expected);
    }
    let stream = channel.raw_stream_stream("/test.Test/Stream").unwrap();
    let answers: Vec<_> = stream.call([]).map(Result::unwrap).collect();
    assert_eq!(answers, ["/test.Test/Stream"]);
    assert_eq!(calls.load(Ordering::SeqCst), 102);

    let never = served.channel().with_metadata(|_| Err(Status::unauthenticated("who are you?")));
    let told = |status: Status| assert_eq!(status.message(), "who are you?");
    told(never.raw_unary_unary(ECHO).unwrap().call(&bytes("")).unwrap_err());
    let mut future = never.raw_unary_unary(ECHO).unwrap().future(&bytes(""));
    told(future.result(Some(LONG)).unwrap_err().into());
    told(never.raw_unary_stream(COUNT).unwrap().call(&bytes("1 1")).unwrap_err());
    told(never.raw_stream_unary(SUM).unwrap().call([]).unwrap_err());
    told(never.raw_stream_stream(BIDI).unwrap().call([]).recv().unwrap_err());
}

/// Fails with UNAVAILABLE so many times, then echoes. Tells how often it ran.
fn flaky(failures: usize) -> (RpcMethodHandler, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let method = unary(move |request, _| match counted.fetch_add(1, Ordering::SeqCst) {
        run if run < failures => Err(Status::unavailable(format!("run {run}"))),
        _ => Ok(request),
    });
    (method, runs)
}

fn retry(times: usize) -> Arc<dyn ClientInterceptor> {
    around(move |details, request, next| {
        for _ in 0..times {
            match next.call(details.clone(), request.clone()) {
                Err(status) if status.code() == Code::Unavailable => {}
                outcome => return outcome,
            }
        }
        next.call(details, request)
    })
}

#[test]
fn a_retry_is_to_call_on_again_for_whoever_waits_and_for_futures() {
    let (method, runs) = flaky(2);
    let served = Served::with(2, [("Flaky", method)]);
    let channel = intercept_channel(&served.channel(), [retry(2)]);
    let flaky = channel.raw_unary_unary("/test.Test/Flaky").unwrap();
    assert_eq!(flaky.call(&bytes("x")).unwrap(), "x");
    assert_eq!(runs.swap(0, Ordering::SeqCst), 3);
    assert_eq!(flaky.future(&bytes("y")).result(Some(LONG)).unwrap(), "y");
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}

#[test]
fn attempts_share_the_deadline_of_their_call() {
    let stuck = by_hand_unary_stuck();
    let served = Served::with(4, [("Stuck", stuck)]);
    let again = around(|details, request, next| {
        let attempt = details.options().timeout(Duration::from_millis(100));
        let mut limited = details.clone();
        limited.set_options(attempt);
        let first = next.call(limited, request.clone()).unwrap_err();
        assert_eq!(first.code(), Code::DeadlineExceeded);
        next.call(details, request)
    });
    let channel = intercept_channel(&served.channel(), [again]);
    let stuck = channel.raw_unary_unary("/test.Test/Stuck").unwrap();
    let began = Instant::now();
    let status = stuck.timeout(Duration::from_millis(300)).call(&bytes("")).unwrap_err();
    let took = began.elapsed();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(took >= Duration::from_millis(290) && took < LONG, "{took:?}");
    let status = stuck.timeout(Duration::ZERO).call(&bytes("")).unwrap_err();
    assert!(
        status.debug_error_string().contains("timeout") || status.message().contains("timeout")
    );
}

/// Waits for the end of its call.
fn by_hand_unary_stuck() -> RpcMethodHandler {
    unary(|_, context| {
        let (done, ended) = mpsc::channel::<()>();
        if context.add_callback(move || drop(done)) {
            let _ = ended.recv_timeout(LONG);
        }
        Err(Status::cancelled("ended"))
    })
}

#[test]
fn an_answer_may_come_without_a_call() {
    // Nobody listens there.
    let channel = grpc_threads::insecure_channel("127.0.0.1:1").unwrap();
    let cached = around(|_, request, _| {
        let mut reply = Reply::new(with_suffix(&request, " from the cache"));
        reply.trailing_metadata_mut().append("cached", "yes")?;
        reply.initial_metadata_mut().append("head", "1")?;
        assert_eq!(reply.peer(), None);
        Ok(reply)
    });
    let channel = intercept_channel(&channel, [cached]);
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let (answer, call) = echo.with_call(&bytes("x")).unwrap();
    assert_eq!(answer, "x from the cache");
    assert_eq!(call.trailing_metadata().get("cached"), Some("yes"));
    assert_eq!(call.initial_metadata().get("head"), Some("1"));
    assert_eq!((call.code(), call.peer(), call.is_active()), (Code::Ok, None, false));
    let mut future = echo.future(&bytes("y"));
    assert_eq!(future.result(Some(LONG)).unwrap(), "y from the cache");
    assert_eq!(future.trailing_metadata().get("cached"), Some("yes"));
    assert_eq!(channel.state(false), grpc_threads::Connectivity::Idle);
}

#[test]
fn what_comes_back_may_be_changed_and_a_failure_answered() {
    let served = Served::new();
    let kind = around(|details, request, next| match next.call(details, request) {
        Ok(mut reply) => {
            assert!(reply.peer().is_some_and(|peer| peer.starts_with("ipv4:127.0.0.1")));
            *reply.payload_mut() = with_suffix(reply.payload(), "!");
            Ok(reply)
        }
        Err(status) => Ok(Reply::new(Payload::new(status.message().to_owned()))),
    });
    let channel = intercept_channel(&served.channel(), [kind]);
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    assert_eq!(echo.call(&bytes("x")).unwrap(), "x!");
    assert_eq!(channel.raw_unary_unary(FAIL).unwrap().call(&bytes("5 gone")).unwrap(), "gone");
}

#[test]
fn streams_may_be_rewritten_dropped_multiplied_and_ended_with_more() {
    let served = Served::new();
    let triple = hooked(|details| {
        assert!(details.request_streaming());
        let mut held = None;
        Ok(StreamHooks::new()
            .on_request(|request, emit| {
                match request {
                    Some(request) => (0..3).for_each(|_| emit.emit(request.clone())),
                    None => emit.emit(Payload::new(&b"last"[..])),
                }
                Ok(())
            })
            // Every other response, and the last at the end.
            .on_response(move |response, emit| {
                match (held.take(), response) {
                    (None, response) => held = response,
                    (Some(before), None) => emit.emit(with_suffix(&before, ".")),
                    (Some(_), Some(second)) => emit.emit(second),
                }
                Ok(())
            }))
    });
    let channel = intercept_channel(&served.channel(), [triple]);
    let bidi = channel.raw_stream_stream(BIDI).unwrap();
    let requests = [bytes("a"), bytes("b")];
    let expected = ["a", "b", "b", "last."];
    let answers: Vec<_> = bidi.call(requests.clone()).map(Result::unwrap).collect();
    assert_eq!(answers, expected);
    let mut duplex = bidi.open();
    for request in &requests {
        duplex.send(request).unwrap();
    }
    assert_eq!(duplex.recv_timeout(LONG).unwrap().unwrap(), "a");
    duplex.done_writing().unwrap();
    let mut rest = Vec::new();
    while let Some(answer) = duplex.recv().unwrap() {
        rest.push(answer);
    }
    assert_eq!(rest, expected[1..]);
    assert_eq!(channel.raw_stream_unary(SUM).unwrap().call(requests).unwrap(), "7 10.");
}

#[test]
fn one_message_stays_one() {
    let served = Served::new();
    let none = hooked(|_| Ok(StreamHooks::new().on_request(|_, _| Ok(()))));
    let two = hooked(|_| {
        Ok(StreamHooks::new().on_response(|response, emit| {
            if let Some(response) = response {
                emit.emit(response.clone());
                emit.emit(response);
            }
            Ok(())
        }))
    });
    for (interceptor, words) in [
        (none, "gave 0 messages for the one request"),
        (two, "gave 2 messages for the one response"),
    ] {
        let channel = intercept_channel(&served.channel(), [interceptor]);
        let echo = channel.raw_unary_unary(ECHO).unwrap();
        let mut future = echo.future(&bytes("x"));
        for status in
            [echo.call(&bytes("x")).unwrap_err(), future.result(Some(LONG)).unwrap_err().into()]
        {
            assert_eq!(status.code(), Code::Internal);
            let told = status.message();
            assert!(told.contains(words) && told.starts_with(ECHO), "{status}");
        }
    }
}

#[test]
fn a_hook_that_fails_ends_the_call_on_both_sides() {
    let (told, ended) = mpsc::channel();
    let watch = by_hand(move |stream, context| {
        let told = told.clone();
        assert!(context.add_callback(move || {
            let _ = told.send(());
        }));
        while let Some(message) = stream.recv()? {
            stream.send(&message)?;
        }
        Ok(())
    });
    let served = Served::with(2, [("Watch", watch)]);
    let picky = |direction: &'static str| {
        hooked(move |_| {
            let judge = |payload: Payload| match &payload.bytes()[..] {
                b"bad" => Err(Status::data_loss("not this")),
                _ => Ok(payload),
            };
            Ok(match direction {
                "request" => StreamHooks::new().map_request(judge),
                _ => StreamHooks::new().map_response(judge),
            })
        })
    };
    for direction in ["request", "response"] {
        let channel = intercept_channel(&served.channel(), [picky(direction)]);
        let mut call = channel.raw_stream_stream("/test.Test/Watch").unwrap().open();
        call.send(&bytes("good")).unwrap();
        assert_eq!(call.recv_timeout(LONG).unwrap().unwrap(), "good");
        let sent = call.send(&bytes("bad"));
        let status = match direction {
            "request" => sent.unwrap_err(),
            _ => sent.and_then(|()| call.recv().map(drop)).unwrap_err(),
        };
        assert_eq!((status.code(), status.message()), (Code::DataLoss, "not this"));
        assert_eq!(call.code(), Code::DataLoss);
        ended.recv_timeout(LONG).expect("the server's call ends while the handles are there");
    }
}

#[test]
fn the_end_is_told_once_however_it_comes() {
    let served = Served::with(4, [("Stuck", by_hand_unary_stuck())]);
    let (told, ends) = mpsc::channel();
    let noting = hooked(move |_| {
        let told = told.clone();
        Ok(StreamHooks::new().on_end(move |status: &Status| {
            told.send(status.code()).unwrap();
        }))
    });
    let channel = intercept_channel(&served.channel(), [noting]);
    let end = || ends.recv_timeout(LONG).expect("the end is told");
    let stuck = channel.raw_unary_unary("/test.Test/Stuck").unwrap();
    drop(channel.raw_unary_unary(FAIL).unwrap().call(&bytes("9 no")));
    assert_eq!(end(), Code::FailedPrecondition);
    drop(stuck.future(&bytes("")));
    assert_eq!(end(), Code::Cancelled);
    drop(stuck.timeout(Duration::from_millis(50)).call(&bytes("")));
    assert_eq!(end(), Code::DeadlineExceeded);
    let responses = channel.raw_unary_stream(COUNT).unwrap().call(&bytes("3 1")).unwrap();
    assert_eq!(responses.count(), 3);
    assert_eq!(end(), Code::Ok);
    drop(channel.raw_stream_stream(BIDI).unwrap().open());
    assert_eq!(end(), Code::Cancelled);
    let kept = channel.raw_stream_stream(BIDI).unwrap().open();
    channel.close();
    assert_eq!(end(), Code::Cancelled);
    drop(kept);
    assert!(ends.try_recv().is_err(), "once each");
}

#[test]
fn a_future_ends_at_its_cancel_its_deadline_and_the_close_whatever_its_interceptor_does() {
    let pool = ThreadPool::new(8);
    let server = grpc_threads::server(pool.clone());
    let served = Served::start(server, "127.0.0.1:0", [("Stuck", by_hand_unary_stuck())]);
    let (let_go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (outcome, outcomes) = mpsc::channel();
    let slow = around(move |details, request, next| {
        let reply = next.call(details, request);
        outcome.send(reply.as_ref().map(drop).map_err(Status::code)).unwrap();
        // Nobody can make it come back.
        let _ = gate.lock().unwrap().recv_timeout(LONG);
        reply
    });
    let channel = intercept_channel(&served.channel(), [slow]);
    let stuck = channel.raw_unary_unary("/test.Test/Stuck").unwrap();

    let mut future = stuck.future(&bytes(""));
    assert!(matches!(future.result(Some(Duration::from_millis(50))), Err(ResultError::TimedOut)));
    assert!(future.cancel() && future.cancelled());
    assert!(matches!(future.result(Some(LONG)), Err(ResultError::Cancelled)));
    assert_eq!(
        outcomes.recv_timeout(LONG).unwrap(),
        Err(Code::Cancelled),
        "the attempt ends with it"
    );

    let mut future = stuck.timeout(Duration::from_millis(50)).future(&bytes(""));
    let status = Status::from(future.result(Some(LONG)).unwrap_err());
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(outcomes.recv_timeout(LONG).unwrap(), Err(Code::DeadlineExceeded));

    eventually(LONG, "those have ended", || pool.running() == 0);
    let mut future = stuck.future(&bytes(""));
    eventually(LONG, "it is under way", || pool.running() > 0);
    channel.close();
    assert_eq!(Status::from(future.result(Some(LONG)).unwrap_err()).code(), Code::Cancelled);
    drop(let_go);
}

#[test]
fn a_panic_of_an_interceptor_ends_its_call_and_no_other() {
    let served = Served::new();
    let bad = around(|details, request, next| {
        assert!(request.bytes() != "bad", "as it was told");
        next.call(details, request)
    });
    let channel = intercept_channel(&served.channel(), [bad]);
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let mut future = echo.future(&bytes("bad"));
    let status = Status::from(future.result(Some(LONG)).unwrap_err());
    assert_eq!((status.code(), status.message()), (Code::Internal, "an interceptor panicked"));
    let thrown = thread::spawn({
        let echo = echo.clone();
        move || echo.call(&bytes("bad"))
    });
    assert!(thrown.join().is_err(), "who makes the call is told by the panic");
    assert_eq!(echo.call(&bytes("x")).unwrap(), "x");

    let hook = hooked(|_| Ok(StreamHooks::new().map_response(|_| panic!("as it was told"))));
    let channel = intercept_channel(&served.channel(), [hook]);
    let mut call = channel.raw_stream_stream(BIDI).unwrap().open();
    call.send(&bytes("x")).unwrap();
    let handle = call.handle();
    assert!(thread::spawn(move || call.recv()).join().is_err());
    assert_eq!(handle.code(), Code::Internal);
}

#[test]
fn more_futures_than_threads_for_them_wait_and_all_are_answered() {
    let served = Served::new();
    let most = Arc::new(AtomicUsize::new(0));
    let (now, seen) = (Arc::new(AtomicUsize::new(0)), most.clone());
    let counting = around(move |details, request, next| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let reply = next.call(details, request);
        now.fetch_sub(1, Ordering::SeqCst);
        reply
    });
    let channel = intercept_channel(&served.channel(), [counting]);
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let futures: Vec<_> = (0..500).map(|n| (n, echo.future(&bytes(&n.to_string())))).collect();
    for (n, mut future) in futures {
        assert_eq!(future.result(Some(LONG)).unwrap(), n.to_string());
    }
    assert!(most.load(Ordering::SeqCst) <= 64);
}

#[test]
fn a_message_that_finds_no_room_is_not_seen_twice_by_the_hooks() {
    let hold = by_hand(|stream, context| {
        // Reads nothing until the client says so by its first byte's fate: the end of the call.
        let (done, ended) = mpsc::channel::<()>();
        if context.add_callback(move || drop(done)) {
            let _ = ended.recv_timeout(LONG);
        }
        drop(stream.recv());
        Ok(())
    });
    let served = Served::with(2, [("Hold", hold)]);
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let counting = hooked(move |_| {
        let counted = counted.clone();
        Ok(StreamHooks::new().map_request(move |request| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(request)
        }))
    });
    let channel = intercept_channel(&served.channel(), [counting]);
    let mut call = channel.raw_stream_stream("/test.Test/Hold").unwrap().open();
    call.wait_for_connection(Some(LONG)).unwrap();
    let body = Bytes::from(vec![0; 64 * 1024]);
    let mut taken = 0;
    let full = loop {
        match call.try_send(&body) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, ResultError::TimedOut));
    for _ in 0..3 {
        assert!(matches!(call.try_send(&body), Err(ResultError::TimedOut)));
        let timed = call.send_timeout(&body, Duration::from_millis(20));
        taken += usize::from(timed.is_ok());
    }
    assert_eq!(seen.load(Ordering::SeqCst), taken);
}

#[test]
fn one_that_says_it_has_hooks_alone_never_goes_around_in_any_form_of_call() {
    struct Both(AtomicUsize);

    impl ClientInterceptor for Both {
        fn unary(&self, _: CallDetails, _: Payload, _: Next<'_>) -> Result<Reply, Status> {
            Err(Status::internal("it has hooks alone"))
        }

        fn stream(&self, _: &mut CallDetails) -> Result<StreamHooks, Status> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(StreamHooks::new())
        }

        fn has_hooks_only(&self) -> bool {
            true
        }
    }

    let served = Served::new();
    let both = Arc::new(Both(AtomicUsize::new(0)));
    // Also beside one that goes around.
    let passing = around(|details, request, next| next.call(details, request));
    let channel = intercept_channel(&served.channel(), [both.clone() as _]);
    for channel in [intercept_channel(&channel, [passing]), channel] {
        let echo = channel.raw_unary_unary(ECHO).unwrap();
        assert_eq!(echo.call(&bytes("x")).unwrap(), "x");
        assert_eq!(echo.future(&bytes("y")).result(Some(LONG)).unwrap(), "y");
    }
    assert_eq!(both.0.load(Ordering::SeqCst), 4);
}
