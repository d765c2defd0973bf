//! Mistakes of the user's code that a client's calls go through. An error with the code OK is no call that went well; a panic
//! is told as that of whoever panicked, and ends its call.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/around.rs"]
mod around;
#[path = "support/service.rs"]
mod service;
mod support;

use around::{around, bytes, hooked};
use bytes::{BufMut, Bytes};
use grpc_threads::{
    CallFuture, ClientInterceptor, Codec, RecvInitialMetadata, RecvMessage, RecvTrailingMetadata,
    SendMessage, SendRequest, StreamHooks, intercept_channel,
};
use service::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use support::{LONG, logged};

/// Of bytes; fails with OK where it is told to.
#[derive(Clone, Copy, Default)]
struct Fails {
    encode: bool,
    decode: bool,
}

impl Codec<Bytes> for Fails {
    fn encode(&self, message: &Bytes, out: &mut dyn BufMut) -> Result<(), Status> {
        if self.encode { Err(Status::ok()) } else { Raw.encode(message, out) }
    }

    fn decode(&self, bytes: Bytes) -> Result<Bytes, Status> {
        if self.decode { Err(Status::ok()) } else { Raw.decode(bytes) }
    }
}

type Outcome = (&'static str, Result<usize, Status>);

/// Calls of one request and one response: how each ended, for whoever asks in whatever way.
fn unary(channel: &Channel, codec: Fails) -> Vec<Outcome> {
    let echo = channel.unary_unary_with::<Bytes, Bytes, _>(ECHO, codec).unwrap().timeout(LONG);
    let x = bytes("x");
    let mut future = echo.future(&x);
    let result = future.result(None).map_err(Status::from);
    let (exception, status) = (future.exception(None).unwrap(), future.status());
    let (tell, told) = mpsc::channel();
    echo.future(&x).on_result(move |result| tell.send(result).unwrap());
    vec![
        ("call", echo.call(&x).map(|_| 1)),
        ("with_call", echo.with_call(&x).map(|_| 1)),
        ("result", result.map(|_| 1)),
        ("exception", exception.map_or(Ok(1), Err)),
        ("status", if status.is_ok() { Ok(1) } else { Err(status) }),
        ("on_result", told.recv_timeout(LONG).unwrap().map(|_| 1)),
    ]
}

/// The same of all others.
fn streams(channel: &Channel, codec: Fails) -> Vec<Outcome> {
    let count = channel.unary_stream_with::<Bytes, Bytes, _>(COUNT, codec).unwrap().timeout(LONG);
    let sum = channel.stream_unary_with::<Bytes, Bytes, _>(SUM, codec).unwrap().timeout(LONG);
    let bidi = channel.stream_stream_with::<Bytes, Bytes, _>(BIDI, codec).unwrap().timeout(LONG);
    let requests = || [bytes("x"), bytes("y")];
    let all = |responses: Result<Vec<Bytes>, Status>| responses.map(|all| all.len());
    let counted = count.call(&bytes("2 3"));
    let mut future = sum.future(requests());
    let result = future.result(None).map_err(Status::from);
    let status = future.status();
    let mut open = bidi.open();
    let sent = open.send(&bytes("x"));
    let (sender, mut responses) = open.split();
    let _ = sender.done_writing();
    let received = responses.by_ref().collect();
    vec![
        ("unary_stream", counted.and_then(|responses| all(responses.collect()))),
        ("stream_unary", sum.call(requests()).map(|_| 1)),
        ("its result", result.map(|_| 1)),
        ("its status", if status.is_ok() { Ok(1) } else { Err(status) }),
        ("exchange", all(bidi.call(requests()).collect())),
        ("spawn", all(bidi.spawn(requests()).collect())),
        ("open", sent.and(all(received))),
    ]
}

#[test]
fn ok_as_an_error_is_internal_whoever_gives_it_in_whatever_call() {
    logged::listen(log::LevelFilter::Warn);
    let served = Served::new();
    let hooks = |hooks: fn() -> StreamHooks| {
        intercept_channel(&served.channel(), [hooked(move |_| Ok(hooks()))])
    };
    let wide = |hooks: fn() -> StreamHooks| {
        let within = intercept_channel(&served.channel(), [hooked(move |_| Ok(hooks()))]);
        intercept_channel(&within, [around::passing()])
    };
    let request = || StreamHooks::new().map_request(|_| Err(Status::ok()));
    let response = || StreamHooks::new().map_response(|_| Err(Status::ok()));
    let heard = |listen: fn(&Channel)| {
        let channel = served.channel();
        listen(&channel);
        channel
    };
    let good = Fails::default();
    let sources = [
        ("the codec", served.channel(), Fails { encode: true, ..good }),
        ("the codec", served.channel(), Fails { decode: true, ..good }),
        ("the codec", wide(StreamHooks::new), Fails { encode: true, ..good }),
        ("the codec", wide(StreamHooks::new), Fails { decode: true, ..good }),
        ("an interceptor's hook", hooks(request), good),
        ("an interceptor's hook", hooks(response), good),
        ("an interceptor's hook", wide(request), good),
        ("an interceptor's hook", wide(response), good),
        (
            "an interceptor",
            intercept_channel(&served.channel(), [hooked(|_| Err(Status::ok()))]),
            good,
        ),
        ("an interceptor", served.channel().with_metadata(|_| Err(Status::ok())), good),
        ("a listener", heard(|it| it.listen::<SendRequest>(|_| Err(Status::ok()))), good),
        ("a listener", heard(|it| it.listen::<SendMessage>(|_| Err(Status::ok()))), good),
        ("a listener", heard(|it| it.listen::<RecvMessage>(|_| Err(Status::ok()))), good),
        ("a listener", heard(|it| it.listen::<RecvInitialMetadata>(|_| Err(Status::ok()))), good),
        ("a listener", heard(|it| it.listen::<RecvTrailingMetadata>(|_| Err(Status::ok()))), good),
    ];
    for (number, (who, channel, codec)) in sources.iter().enumerate() {
        for (kind, outcome) in
            [unary(channel, *codec), streams(channel, *codec)].into_iter().flatten()
        {
            hold(outcome, who, &format!("source {number}, {kind}"));
        }
    }
    // Goes around calls with one request and one response alone.
    let wide = intercept_channel(&served.channel(), [around(|_, _, _| Err(Status::ok()))]);
    for (kind, outcome) in unary(&wide, good) {
        hold(outcome, "an interceptor", kind);
    }
    let sum = served.channel().stream_unary_with::<Bytes, Bytes, _>(SUM, Raw).unwrap();
    let outcome = sum.timeout(LONG).try_call([Ok(bytes("x")), Err(Status::ok())]);
    hold(outcome.map(|_| 1), "the source of the requests", "try_call");
}

#[track_caller]
fn hold(outcome: Result<usize, Status>, who: &str, what: &str) {
    let status = outcome.expect_err(&format!("{who}: {what}"));
    let text = format!("{who} failed with the code OK");
    assert_eq!(status.code(), Code::Internal, "{what}: {status}");
    assert!(status.message().contains(&text), "{what}: {status}");
    assert!(logged::count(&["ERROR", &text]) > 0, "{what}: {:?}", logged::lines());
}

/// Of bytes; panics where it is told to.
#[derive(Clone, Copy, Default)]
struct Panics {
    encode: bool,
    decode: bool,
}

impl Codec<Bytes> for Panics {
    fn encode(&self, message: &Bytes, out: &mut dyn BufMut) -> Result<(), Status> {
        assert!(!self.encode, "as it was told");
        Raw.encode(message, out)
    }

    fn decode(&self, bytes: Bytes) -> Result<Bytes, Status> {
        assert!(!self.decode, "as it was told");
        Raw.decode(bytes)
    }
}

fn panics<T>() -> Result<T, Status> {
    panic!("as it was told")
}

/// A future's result, where no caller is there for the panic.
fn told(future: CallFuture<Bytes>) -> Status {
    let (tell, told) = mpsc::channel();
    future.on_result(move |result| tell.send(result).unwrap());
    told.recv_timeout(LONG).unwrap().unwrap_err()
}

/// A future's end, where the caller is told by the panic: for whoever asks next.
fn asked(mut future: CallFuture<Bytes>) -> Status {
    let first = catch_unwind(AssertUnwindSafe(|| future.result(Some(LONG))));
    assert!(first.is_err(), "the caller is told by the panic");
    let again = Status::from(future.result(Some(LONG)).unwrap_err());
    assert_eq!(again.to_string(), future.status().to_string());
    assert_eq!(future.exception(None).unwrap().unwrap().code(), Code::Internal);
    again
}

#[test]
fn a_panic_at_a_response_is_told_as_that_of_whoever_panicked_and_is_the_end_of_the_call() {
    logged::listen(log::LevelFilter::Warn);
    let served = Served::new();
    let heard = |listen: fn(&Channel)| {
        let channel = served.channel();
        listen(&channel);
        channel
    };
    let hooks = |interceptors: Vec<Arc<dyn ClientInterceptor>>| {
        intercept_channel(&served.channel(), interceptors)
    };
    let response = || hooked(|_| Ok(StreamHooks::new().map_response(|_| panics())));
    let good = Panics::default();
    let sources = [
        ("the codec", "the codec panicked at the response", served.channel(), true),
        ("an interceptor's hook", "an interceptor's hook panicked", hooks(vec![response()]), false),
        (
            "a listener",
            "a listener panicked",
            heard(|it| it.listen::<RecvMessage>(|_| panics())),
            false,
        ),
        (
            "a listener",
            "a listener panicked",
            heard(|it| it.listen::<RecvInitialMetadata>(|_| panics())),
            false,
        ),
        (
            "a listener",
            "a listener panicked",
            heard(|it| it.listen::<RecvTrailingMetadata>(|_| panics())),
            false,
        ),
    ];
    for (number, (who, text, channel, decode)) in sources.iter().enumerate() {
        let codec = Panics { decode: *decode, ..good };
        let echo = channel.unary_unary_with::<Bytes, Bytes, _>(ECHO, codec).unwrap().timeout(LONG);
        let sum = channel.stream_unary_with::<Bytes, Bytes, _>(SUM, codec).unwrap().timeout(LONG);
        let futures = || [echo.future(&bytes("x")), sum.future([bytes("x")])];
        for status in futures().map(told).into_iter().chain(futures().map(asked)) {
            assert_eq!((status.code(), status.message()), (Code::Internal, *text), "{number}");
        }
        let logged = format!("{who} panicked: as it was told");
        assert!(logged::logged(&["ERROR", &logged]), "{number}: {:?}", logged::lines());
        let bidi = channel.stream_stream_with::<Bytes, Bytes, _>(BIDI, codec).unwrap();
        let mut responses = bidi.timeout(LONG).spawn([bytes("x")]);
        let first = catch_unwind(AssertUnwindSafe(|| responses.by_ref().count()));
        assert!(first.is_err(), "{number}");
        let status = responses.status();
        assert_eq!((status.code(), status.message()), (Code::Internal, *text), "{number}");
    }
    // A future behind an interceptor that goes around: on a thread of the library, all of them.
    let channel = heard(|it| it.listen::<RecvMessage>(|_| panics()));
    let channel = intercept_channel(&channel, [around::passing()]);
    let status = told(channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).future(&bytes("x")));
    assert_eq!((status.code(), status.message()), (Code::Internal, "a listener panicked"));
    assert!(logged::logged(&["ERROR", "a listener of /test.Test/Echo panicked: as it was told"]));
    assert_eq!(logged::count(&["a codec panicked"]), 0, "{:?}", logged::lines());
}

#[test]
fn a_panic_at_a_request_that_is_spawned_is_not_told_as_the_iterators() {
    logged::listen(log::LevelFilter::Warn);
    let served = Served::new();
    let listened = served.channel();
    listened.listen::<SendMessage>(|_| panics());
    let request = hooked(|_| Ok(StreamHooks::new().map_request(|_| panics())));
    let last = hooked(|_| {
        Ok(StreamHooks::new().on_request(|request, emit| match request {
            Some(request) => {
                emit.emit(request);
                Ok(())
            }
            None => panics(),
        }))
    });
    let sources = [
        ("the codec", "the codec panicked at a message to send", served.channel(), true),
        (
            "an interceptor's hook",
            "an interceptor's hook panicked",
            intercept_channel(&served.channel(), [request]),
            false,
        ),
        (
            "an interceptor's hook",
            "an interceptor's hook panicked",
            intercept_channel(&served.channel(), [last]),
            false,
        ),
        ("a listener", "a listener panicked", listened, false),
    ];
    for (number, (who, text, channel, encode)) in sources.iter().enumerate() {
        let codec = Panics { encode: *encode, decode: false };
        let sum = channel.stream_unary_with::<Bytes, Bytes, _>(SUM, codec).unwrap();
        let status = told(sum.timeout(LONG).future([bytes("x")]));
        assert_eq!((status.code(), status.message()), (Code::Internal, *text), "{number}");
        let bidi = channel.stream_stream_with::<Bytes, Bytes, _>(BIDI, codec).unwrap();
        let all = bidi.timeout(LONG).spawn([bytes("x")]).collect::<Result<Vec<_>, _>>();
        let status = all.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Internal, *text), "{number}");
        let logged = format!("{who} panicked: as it was told");
        assert!(logged::logged(&["ERROR", &logged]), "{number}: {:?}", logged::lines());
    }
    assert_eq!(logged::count(&["an iterator of requests panicked"]), 0);
}

#[test]
fn interceptors_that_all_wait_are_told_of_although_no_other_call_comes() {
    logged::listen(log::LevelFilter::Warn);
    let served = Served::new();
    let (let_go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let waits = around(move |details, request, next| {
        let _ = gate.lock().unwrap().recv();
        next.call(details, request)
    });
    let echo = intercept_channel(&served.channel(), [waits]).raw_unary_unary(ECHO).unwrap();
    let futures: Vec<_> = (0..65).map(|_| echo.timeout(LONG).future(&bytes("x"))).collect();
    let words =
        "all 64 interceptor threads have been at the same work for 1s: the next has to wait";
    assert!(logged::logged(&["WARN", words]), "{:?}", logged::lines());
    drop(let_go);
    for mut future in futures {
        assert_eq!(future.result(None).unwrap(), "x");
    }
}
