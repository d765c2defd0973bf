//! What interceptors of a client may count on: that a hook for the end is told, once, and that a future they wait for is run.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/around.rs"]
mod around;
#[path = "support/service.rs"]
mod service;
mod support;

use around::{Record, around, bytes, hooked};
use grpc_threads::{
    Channel, ClientInterceptor, Code, Flow, Metadata, RecvInitialMetadata, RecvTrailingMetadata,
    ReturnWhen, SendRequest, Status, StreamHooks, intercept_channel, wait,
};
use service::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use support::{LONG, eventually};

/// A call of a kind, to its end.
type Whole = (&'static str, fn(&Channel));

const CALLS: [Whole; 7] = [
    ("call", |channel| drop(channel.raw_unary_unary(ECHO).unwrap().call(&bytes("x")))),
    ("future", |channel| {
        drop(channel.raw_unary_unary(ECHO).unwrap().future(&bytes("x")).result(None));
    }),
    ("unary_stream", |channel| {
        if let Ok(responses) = channel.raw_unary_stream(COUNT).unwrap().call(&bytes("3")) {
            responses.for_each(drop);
        }
    }),
    ("stream_unary", |channel| {
        drop(channel.raw_stream_unary(SUM).unwrap().call([bytes("1"), bytes("2")]));
    }),
    ("stream_unary future", |channel| {
        drop(channel.raw_stream_unary(SUM).unwrap().future([bytes("1")]).result(None));
    }),
    ("stream_stream", |channel| {
        channel.raw_stream_stream(BIDI).unwrap().call([bytes("1"), bytes("2")]).for_each(drop);
    }),
    ("spawn", |channel| {
        channel.raw_stream_stream(BIDI).unwrap().spawn([bytes("1"), bytes("2")]).for_each(drop);
    }),
];

/// Notes each end that it is told of.
fn counting(ends: &Record) -> Arc<dyn ClientInterceptor> {
    let ends = ends.clone();
    hooked(move |_| {
        let ends = ends.clone();
        Ok(StreamHooks::new().on_end(move |status| ends.note(format!("{:?}", status.code()))))
    })
}

/// How calls of all kinds end for the outer of two interceptors.
fn ends_beside(what: &str, inner: &Channel) {
    let ends = Record::default();
    let channel = intercept_channel(inner, [counting(&ends)]);
    for (kind, call) in CALLS {
        // Where the panic is its caller's, too.
        let _ = catch_unwind(AssertUnwindSafe(|| call(&channel)));
        eventually(LONG, &format!("{what}: the one end of {kind}"), || ends.count() == 1);
        ends.take();
    }
}

#[test]
fn the_end_is_told_once_whatever_becomes_of_the_interceptors_within() {
    let served = Served::new();
    let within = |hooks: fn() -> Result<StreamHooks, Status>| {
        intercept_channel(&served.channel(), [hooked(move |_| hooks())])
    };
    let plain = served.channel();
    ends_beside("nothing", &plain);
    ends_beside("one refuses", &within(|| Err(Status::aborted("no"))));
    ends_beside("one panics", &within(|| panic!("as it should")));
    ends_beside(
        "its end panics",
        &within(|| Ok(StreamHooks::new().on_end(|_| panic!("as it should")))),
    );
    ends_beside(
        "its request panics",
        &within(|| Ok(StreamHooks::new().map_request(|_| panic!("as it should")))),
    );
    ends_beside(
        "its response panics",
        &within(|| Ok(StreamHooks::new().map_response(|_| panic!("as it should")))),
    );
}

#[test]
fn the_end_is_told_once_whatever_becomes_of_those_who_listen() {
    let served = Served::new();
    let channel = served.channel();
    channel.listen(|_: &mut SendRequest| Err::<Flow, _>(Status::aborted("no")));
    ends_beside("a listener refuses", &channel);
    let channel = served.channel();
    channel.listen(|_: &mut SendRequest| -> Result<Flow, Status> { panic!("as it should") });
    ends_beside("a listener panics at the begin", &channel);
    let channel = served.channel();
    channel
        .listen(|_: &mut RecvInitialMetadata| -> Result<Flow, Status> { panic!("as it should") });
    ends_beside("a listener panics at the head", &channel);
    let channel = served.channel();
    channel
        .listen(|_: &mut RecvTrailingMetadata| -> Result<Flow, Status> { panic!("as it should") });
    ends_beside("a listener panics at the end", &channel);
}

#[test]
fn an_interceptor_may_wait_for_futures_of_its_own_channel() {
    let served = Served::new();
    let own = Arc::new(OnceLock::<Channel>::new());
    let tokens = own.clone();
    let interceptor = around(move |details, request, next| {
        if details.metadata().get("token").is_none() {
            let asked = tokens.get().unwrap().raw_unary_unary(ECHO).unwrap();
            let mut mark = Metadata::new();
            mark.append("token", "is asked for").unwrap();
            asked.metadata(&mark).future(&bytes("token")).result(None).unwrap();
        }
        next.call(details, request)
    });
    let channel = intercept_channel(&served.channel(), [interceptor]);
    own.set(channel.clone()).unwrap();
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let futures: Vec<_> = (0..100).map(|_| echo.future(&bytes("x"))).collect();
    let waited = wait(futures, Some(LONG), ReturnWhen::AllCompleted);
    assert_eq!((waited.done.len(), waited.not_done.len()), (100, 0));
    assert!(waited.done.iter().all(|future| future.handle().code() == Code::Ok));
}
