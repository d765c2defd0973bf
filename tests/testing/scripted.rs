//! A channel whose calls the test answers by hand.

use std::thread;
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::testing::Scripted;
use grpc_threads::{Code, Metadata, ResultError, Status};

use crate::support::LONG;

const ONE: &str = "/a.Service/One";
const MANY: &str = "/a.Service/Many";

#[test]
fn a_call_of_one_request_is_seen_and_answered() {
    let scripted = Scripted::new().unwrap();
    let one = scripted.channel().unary_unary::<String, String>(ONE).unwrap();
    let one = one.header("who", "me").unwrap().timeout(LONG);
    let caller = thread::spawn(move || one.with_call(&"hello".to_owned()));
    let mut call = scripted.take(ONE);
    assert_eq!((call.method(), call.metadata().get("who")), (ONE, Some("me")));
    assert!(call.context().time_remaining().is_some_and(|left| left <= LONG));
    assert_eq!(call.request::<String>().unwrap().as_deref(), Some("hello"));
    assert_eq!(call.request::<String>().unwrap(), None);
    call.send_initial_metadata(&Metadata::new().with("first", "1").unwrap()).unwrap();
    call.respond(&"hello yourself".to_owned()).unwrap();
    call.set_trailing_metadata(Metadata::new().with("last", "2").unwrap());
    call.finish(Ok(()));
    let (answer, call) = caller.join().unwrap().unwrap();
    assert_eq!(answer, "hello yourself");
    assert_eq!(call.initial_metadata().get("first"), Some("1"));
    assert_eq!(call.status().trailing_metadata().get("last"), Some("2"));
}

#[test]
fn a_call_ends_with_the_status_that_the_test_gives() {
    let scripted = Scripted::new().unwrap();
    let one = scripted.channel().raw_unary_unary(ONE).unwrap();
    let mut future = one.future(&Bytes::new());
    let trailing = Metadata::new().with("why", "gone").unwrap();
    let status = Status::not_found("no such thing").with_metadata(trailing);
    scripted.take(ONE).finish(Err(status));
    let status = Status::from(future.result(None).unwrap_err());
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no such thing"));
    assert_eq!(status.trailing_metadata().get("why"), Some("gone"));
}

#[test]
fn a_stream_goes_step_by_step() {
    let scripted = Scripted::new().unwrap();
    let mut talk = scripted.channel().stream_stream::<u32, String>(MANY).unwrap().open();
    talk.send(&1).unwrap();
    talk.flush();
    let mut call = scripted.take(MANY);
    for n in 1..4 {
        assert_eq!(call.request::<u32>().unwrap(), Some(n));
        call.respond(&format!("{n}")).unwrap();
        assert_eq!(talk.recv().unwrap(), Some(format!("{n}")));
        talk.send(&(n + 1)).unwrap();
        talk.flush();
    }
    talk.done_writing().unwrap();
    assert_eq!(call.request::<u32>().unwrap(), Some(4));
    assert_eq!(call.request::<u32>().unwrap(), None);
    call.finish(Ok(()));
    assert_eq!(talk.recv().unwrap(), None);
}

#[test]
fn calls_are_taken_by_method_in_the_order_in_which_they_came() {
    let scripted = Scripted::new().unwrap();
    let channel = scripted.channel();
    assert!(scripted.try_take(ONE).is_none());
    assert!(scripted.take_timeout(ONE, Duration::from_millis(1)).is_none());
    let (one, many) = (
        channel.raw_unary_unary(ONE).unwrap().timeout(LONG),
        channel.raw_unary_unary(MANY).unwrap().timeout(LONG),
    );
    let mut all = Vec::new();
    for (method, text) in [(&many, "0"), (&one, "1"), (&one, "2")] {
        all.push(method.future(&Bytes::from(text)));
    }
    for text in ["1", "2"] {
        let mut call = scripted.take_timeout(ONE, LONG).unwrap();
        assert_eq!(call.request_bytes().unwrap().unwrap(), text);
        call.respond_bytes(&Bytes::from(text)).unwrap();
        call.finish(Ok(()));
    }
    assert_eq!(all[1].result(None).unwrap(), "1");
    assert_eq!(all[2].result(None).unwrap(), "2");
    assert!(!all[0].done());
    drop(scripted);
    assert_eq!(Status::from(all[0].result(None).unwrap_err()).code(), Code::Unavailable);
}

#[test]
fn a_call_that_is_cancelled_is_seen() {
    let scripted = Scripted::new().unwrap();
    let one = scripted.channel().raw_unary_unary(ONE).unwrap();
    let mut future = one.future(&Bytes::new());
    let call = scripted.take(ONE);
    assert!(!call.is_cancelled());
    assert!(future.handle().cancel());
    call.wait_cancelled();
    assert!(call.is_cancelled());
    assert!(matches!(future.result(None), Err(ResultError::Cancelled)));
    call.wait_cancelled();
}

/// A server that does not keep to the method's kind: the client says so.
#[test]
fn too_few_and_too_many_responses_can_be_played() {
    let scripted = Scripted::new().unwrap();
    let one = scripted.channel().raw_unary_unary(ONE).unwrap();
    for responses in [0, 2] {
        let mut future = one.future(&Bytes::new());
        let mut call = scripted.take(ONE);
        // The second one may find the call over.
        let _ = (0..responses).try_for_each(|_| call.respond_bytes(&Bytes::new()));
        call.finish(Ok(()));
        let status = Status::from(future.result(None).unwrap_err());
        assert!(status.code() != Code::Ok, "{status}");
    }
}
