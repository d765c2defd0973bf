//! Calls that a handler makes on behalf of the one that it answers: they have its deadline, and end with it.

#[path = "support/service.rs"]
mod service;
mod support;

use std::sync::Arc;
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::{Channel, Code, RpcMethodHandler, Status};
use service::{Served, unary};
use support::{LONG, eventually};

const OUTER: &str = "/test.Test/Outer";
const INNER: &str = "/test.Test/Inner";

/// What the inner handler is told of its call: what time was left, and its end.
struct Inner {
    began: mpsc::Receiver<Option<Duration>>,
    over: mpsc::Receiver<()>,
}

/// Waits until its call is over.
fn inner() -> (RpcMethodHandler, Inner) {
    let ((begins, began), (ends, over)) = (mpsc::channel(), mpsc::channel());
    let tell = Mutex::new((begins, ends));
    let handler = unary(move |request, context| {
        let (begins, ends) = tell.lock().unwrap().clone();
        let (told, end) = mpsc::channel();
        assert!(context.add_callback(move || {
            let _ = told.send(());
        }));
        begins.send(context.time_remaining()).unwrap();
        // Longer than the test waits for it.
        let _ = end.recv_timeout(LONG * 2);
        ends.send(()).unwrap();
        Ok(request)
    });
    (handler, Inner { began, over })
}

/// Two servers, of which the first calls the second for its clients.
fn pair(
    call: impl Fn(&Channel, &grpc_threads::ServicerContext) -> Result<Bytes, Status>
    + Send
    + Sync
    + 'static,
) -> (Served, Served, Inner) {
    let (handler, told) = inner();
    let second = Served::with(2, [("Inner", handler)]);
    let channel = second.channel();
    let first = Served::with(2, [("Outer", unary(move |_, context| call(&channel, context)))]);
    (first, second, told)
}

fn nested(channel: &Channel, context: &grpc_threads::ServicerContext) -> Result<Bytes, Status> {
    let inner = channel.raw_unary_unary(INNER)?.options(&context.child_options());
    inner.call(&Bytes::new())
}

#[test]
fn the_deadline_is_handed_on_and_an_earlier_one_counts() {
    let (first, _second, inner) = pair(nested);
    let outer = first.channel().raw_unary_unary(OUTER).unwrap();
    let status = outer.timeout(Duration::from_millis(200)).call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let left = inner.began.recv_timeout(LONG).unwrap().expect("it has a deadline");
    assert!(left <= Duration::from_millis(200), "{left:?}");
    inner.over.recv_timeout(LONG).unwrap();

    let (first, _second, inner) = pair(|channel, context| {
        let options = context.child_options();
        let inner = channel.raw_unary_unary(INNER)?.options(&options).no_timeout();
        inner.timeout(Duration::from_millis(50)).call(&Bytes::new())
    });
    let outer = first.channel().raw_unary_unary(OUTER).unwrap();
    let status = outer.timeout(LONG).call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    let left = inner.began.recv_timeout(LONG).unwrap().expect("it has a deadline");
    assert!(left <= Duration::from_millis(50), "{left:?}");
}

#[test]
fn a_client_that_gives_up_ends_the_calls_made_for_it() {
    let (first, _second, inner) = pair(nested);
    let outer = first.channel().raw_unary_unary(OUTER).unwrap().future(&Bytes::new());
    assert_eq!(inner.began.recv_timeout(LONG).unwrap(), None, "neither has a deadline");
    assert!(outer.cancel());
    inner.over.recv_timeout(LONG).unwrap();
}

#[test]
fn every_kind_of_call_ends_with_the_one_that_it_was_made_for() {
    let kept: Arc<OnceLock<grpc_threads::CallFuture<Bytes>>> = Arc::default();
    let keep = kept.clone();
    let (first, _second, inner) = pair(move |channel, context| {
        let inner = channel.raw_unary_unary(INNER)?.options(&context.child_options());
        let _ = keep.set(inner.future(&Bytes::new()));
        // Another that ends first is no matter.
        let echo = channel.raw_unary_unary(service::ECHO)?.options(&context.child_options());
        echo.call(&Bytes::new())
    });
    let outer = first.channel().raw_unary_unary(OUTER).unwrap().timeout(LONG);
    outer.call(&Bytes::new()).unwrap();
    // The answer has ended the outer call, and so the inner one.
    eventually(LONG, "it ends", || !kept.get().unwrap().is_active());
    let status = kept.get().unwrap().status();
    assert_eq!(status.code(), Code::Cancelled);
    assert!(status.message().contains("on whose behalf"), "{status}");
    if inner.began.recv_timeout(Duration::from_millis(1)).is_ok() {
        inner.over.recv_timeout(LONG).unwrap();
    }
}

#[test]
fn what_is_made_too_late_does_not_begin() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let served = Served::with(
        1,
        [(
            "Outer",
            unary(move |_, context| {
                context.cancel();
                let options = context.child_options();
                let closed = grpc_threads::insecure_channel("127.0.0.1:1").map_err(Status::from)?;
                let inner = closed.raw_unary_unary(INNER)?.options(&options).wait_for_ready(true);
                tell.lock().unwrap().send(inner.call(&Bytes::new()).unwrap_err()).unwrap();
                Ok(Bytes::new())
            }),
        )],
    );
    let outer = served.channel().raw_unary_unary(OUTER).unwrap().timeout(LONG);
    assert_eq!(outer.call(&Bytes::new()).unwrap_err().code(), Code::Cancelled);
    assert_eq!(told.recv_timeout(LONG).unwrap().code(), Code::Cancelled);
}
