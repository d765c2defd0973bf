//! One request, one response: against a peer that does exactly what the test says.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod support;

use bytes::Bytes;
use grpc_threads::{
    CallFuture, CallOptions, Channel, Code, Metadata, ResultError, Status, UnaryUnary,
    insecure_channel,
};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use support::frames::{self, Listener, MAX_CONCURRENT_STREAMS, Peer, RST_STREAM, Vacant};
use support::{LONG, timed, within};

const OK_HEAD: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/grpc")];

fn method(channel: &Channel) -> UnaryUnary<Bytes, Bytes> {
    channel.raw_unary_unary("/test.S/Unary").unwrap()
}

/// Time enough to send a request on a busy machine.
const AMPLE: Duration = Duration::from_millis(200);

/// A channel to a peer that runs `script`.
fn against(
    script: impl FnOnce(Listener) + Send + 'static,
) -> (UnaryUnary<Bytes, Bytes>, JoinHandle<()>) {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    (method(&channel), thread::spawn(move || script(listener)))
}

/// The same, connected: for calls with so little time that a busy machine might not connect within it.
fn connected(
    script: impl FnOnce(Listener) + Send + 'static,
) -> (UnaryUnary<Bytes, Bytes>, JoinHandle<()>) {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let peer = thread::spawn(move || script(listener));
    channel.wait_ready(Some(LONG)).unwrap();
    (method(&channel), peer)
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Reads until the client closes.
fn until_closed(mut peer: Peer) {
    peer.drain();
}

#[test]
fn a_call_brings_its_response() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        for _ in 0..3 {
            let request = peer.wait_request();
            assert_eq!(request.field(":path").as_deref(), Some("/test.S/Unary"));
            assert_eq!(request.field("te").as_deref(), Some("trailers"));
            assert_eq!(request.field("grpc-timeout"), None);
            let body = peer.wait_end(request.stream);
            assert_eq!(body.messages(), [b"ping"]);
            peer.respond(request.stream, b"pong");
        }
        until_closed(peer);
    });
    within(LONG, move || {
        for _ in 0..3 {
            assert_eq!(unary.call(&bytes("ping")).unwrap(), "pong");
        }
    });
    peer.join().unwrap();
}

#[test]
fn metadata_goes_both_ways() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        assert_eq!(request.field("k").as_deref(), Some("v"));
        assert_eq!(request.field("b-bin").as_deref(), Some("AQI"));
        let head = [OK_HEAD.as_slice(), &[("initial", "1")]].concat();
        peer.headers(request.stream, &head, false);
        peer.message(request.stream, b"", false);
        peer.headers(request.stream, &[("grpc-status", "0"), ("trailing", "2")], true);
        until_closed(peer);
    });
    within(LONG, move || {
        let unary = unary.header("k", "v").unwrap().header_bin("b-bin", [1, 2]).unwrap();
        let (response, call) = unary.with_call(&Bytes::new()).unwrap();
        assert_eq!(response, "");
        assert_eq!(call.code(), Code::Ok);
        assert_eq!(call.initial_metadata().get("initial"), Some("1"));
        assert_eq!(call.trailing_metadata().get("trailing"), Some("2"));
        assert!(!call.is_active());
        assert!(!call.cancel());
        assert!(!call.add_callback(|_| unreachable!("the call has ended")));
        assert!(call.peer().unwrap().starts_with("ipv4:127.0.0.1:"));
    });
    peer.join().unwrap();
}

#[test]
fn a_failure_brings_everything_the_server_said() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        let only =
            [OK_HEAD.as_slice(), &[("grpc-status", "5"), ("grpc-message", "n%C3%B6"), ("t", "1")]];
        peer.headers(request.stream, &only.concat(), true);
        let request = peer.wait_request();
        peer.headers(request.stream, &[OK_HEAD.as_slice(), &[("i", "2")]].concat(), false);
        peer.headers(request.stream, &[("grpc-status", "9"), ("t", "3")], true);
        until_closed(peer);
    });
    within(LONG, move || {
        let only = unary.call(&Bytes::new()).unwrap_err();
        assert_eq!((only.code(), only.message()), (Code::NotFound, "nö"));
        assert_eq!(only.trailing_metadata().get("t"), Some("1"));
        let later = unary.call(&Bytes::new()).unwrap_err();
        assert_eq!(later.code(), Code::FailedPrecondition);
        assert_eq!(later.initial_metadata().get("i"), Some("2"));
        assert_eq!(later.trailing_metadata().get("t"), Some("3"));
    });
    peer.join().unwrap();
}

fn cardinality(peer: &mut Peer, responses: usize, status: u32) {
    let request = peer.wait_request();
    peer.respond_head(request.stream);
    for _ in 0..responses {
        peer.message(request.stream, b"x", false);
    }
    peer.respond_trailers(request.stream, status);
}

#[test]
fn w41_not_exactly_one_response_is_unimplemented_unless_the_status_is_worse() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        for _ in 0..2 {
            cardinality(&mut peer, 0, 0);
            cardinality(&mut peer, 2, 0);
            cardinality(&mut peer, 0, 7);
        }
        until_closed(peer);
    });
    within(LONG, move || {
        let none = Bytes::new();
        for call in [&(|| unary.call(&none).unwrap_err()) as &dyn Fn() -> Status, &|| {
            unary.future(&none).result(None).unwrap_err().into()
        }] {
            for sent in ["server sent no message", "server sent more than one message"] {
                let status = call();
                assert_eq!(status.code(), Code::Unimplemented, "{sent}");
                for words in [sent, "exactly one", "the response of /test.S/Unary"] {
                    assert!(status.message().contains(words), "{status}");
                }
            }
            assert_eq!(call().code(), Code::PermissionDenied, "a non-OK status wins");
        }
    });
    peer.join().unwrap();
}

#[test]
fn w41_a_future_does_not_wait_for_the_end_after_a_second_response() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        peer.respond_head(request.stream);
        peer.message(request.stream, b"x", false);
        peer.message(request.stream, b"y", false);
        peer.wait_kind(frames::RST_STREAM);
        until_closed(peer);
    });
    within(LONG, move || {
        let error = unary.future(&Bytes::new()).result(None).unwrap_err();
        assert!(matches!(error, ResultError::Rpc(status) if status.code() == Code::Unimplemented));
    });
    peer.join().unwrap();
}

#[test]
fn w56_a_deadline_ends_the_wait_and_resets_the_stream() {
    let (unary, peer) = connected(|listener| {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        let timeout = request.field("grpc-timeout").expect("W4: the timeout is sent");
        assert!(timeout.ends_with(['u', 'n', 'm']), "{timeout}");
        assert_eq!(peer.wait_end(request.stream).messages().len(), 1);
        let reset = peer.wait_kind(frames::RST_STREAM);
        assert_eq!((reset.stream, reset.code()), (request.stream, frames::CANCEL));
        until_closed(peer);
    });
    within(LONG, move || {
        let (took, error) = timed(|| unary.timeout(AMPLE).call(&Bytes::new()).unwrap_err());
        assert_eq!((error.code(), error.message()), (Code::DeadlineExceeded, "Deadline Exceeded"));
        for words in ["this side's clock", " after ", "waiting for ipv4:127.0.0.1:", "to answer"] {
            assert!(error.debug_error_string().contains(words), "{error:?}");
        }
        assert!(took >= AMPLE && took < Duration::from_secs(5), "{took:?}");
    });
    peer.join().unwrap();
}

#[test]
fn w29_metadata_that_the_server_does_not_take_fails_here_and_harms_no_other_call() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept_with(&[(frames::MAX_HEADER_LIST_SIZE, 4096)]);
        for size in [None, Some(3000), None] {
            let request = peer.wait_request();
            assert_eq!(request.field("much").map(|much| much.len()), size);
            peer.respond(request.stream, b"");
        }
        let rest = peer.drain();
        assert!(rest.iter().all(|frame| frame.kind != frames::HEADERS), "{rest:?}");
    });
    within(LONG, move || {
        unary.call(&Bytes::new()).unwrap();
        let much = |size| unary.header("much", &"m".repeat(size)).unwrap();
        much(3000).call(&Bytes::new()).unwrap();
        let error = much(4096).call(&Bytes::new()).unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.message().contains("4096"), "{error:?}");
        let mut future = much(4096).future(&Bytes::new());
        let error = Status::from(future.result(None).unwrap_err());
        assert_eq!(error.code(), Code::ResourceExhausted);
        unary.call(&Bytes::new()).unwrap();
    });
    peer.join().unwrap();
}

#[test]
fn w4_a_deadline_in_the_past_never_reaches_the_wire() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        let first = peer.wait_request();
        peer.respond(first.stream, b"");
        let rest = peer.drain();
        assert!(rest.iter().all(|frame| frame.kind != frames::HEADERS), "{rest:?}");
    });
    within(LONG, move || {
        unary.call(&Bytes::new()).unwrap();
        let late = unary.timeout(Duration::ZERO);
        assert_eq!(late.call(&Bytes::new()).unwrap_err().code(), Code::DeadlineExceeded);
        let mut future = late.future(&Bytes::new());
        assert!(future.done());
        assert_eq!(Status::from(future.result(None).unwrap_err()).code(), Code::DeadlineExceeded);
    });
    peer.join().unwrap();
}

#[test]
fn w69_what_the_peer_refused_is_sent_once_more() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        for respond in [true, false] {
            let first = peer.wait_request();
            peer.reset(first.stream, frames::REFUSED_STREAM);
            let second = peer.wait_request();
            assert_eq!(peer.wait_end(second.stream).messages(), [b"again"]);
            match respond {
                true => peer.respond(second.stream, b"yes"),
                false => peer.reset(second.stream, frames::REFUSED_STREAM),
            }
        }
        until_closed(peer);
    });
    within(LONG, move || {
        assert_eq!(unary.call(&bytes("again")).unwrap(), "yes");
        assert_eq!(unary.call(&bytes("again")).unwrap_err().code(), Code::Unavailable);
    });
    peer.join().unwrap();
}

#[test]
fn w68_calls_above_goaways_last_id_go_to_another_connection() {
    let (unary, peer) = against(|listener| {
        let mut old = listener.accept();
        let kept = old.wait_request();
        let moved = old.wait_request();
        old.goaway(kept.stream, frames::NO_ERROR);
        let mut new = listener.accept();
        let again = new.wait_request();
        new.respond(again.stream, b"new");
        old.respond(kept.stream, b"old");
        assert!(moved.stream > kept.stream);
        drop(old);
        until_closed(new);
    });
    within(LONG, move || {
        let mut kept = unary.future(&bytes("kept"));
        let mut moved = unary.future(&bytes("moved"));
        assert_eq!(moved.result(None).unwrap(), "new");
        assert_eq!(kept.result(None).unwrap(), "old");
    });
    peer.join().unwrap();
}

#[test]
fn w57_a_lost_connection_ends_calls_with_unavailable_and_the_next_call_connects_again() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        peer.wait_request();
        drop(peer);
        let mut peer = listener.accept();
        let request = peer.wait_request();
        peer.respond(request.stream, b"back");
        until_closed(peer);
    });
    within(LONG, move || {
        let error = unary.call(&Bytes::new()).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error:?}");
        assert_eq!(unary.call(&Bytes::new()).unwrap(), "back");
    });
    peer.join().unwrap();
}

#[test]
fn w66_calls_queue_for_a_free_stream_in_order_and_may_leave_the_queue() {
    let (go, wait) = mpsc::channel();
    let (unary, peer) = against(move |listener| {
        let mut peer = listener.accept_with(&[(MAX_CONCURRENT_STREAMS, 1)]);
        let mut bodies = Vec::new();
        for _ in 0..3 {
            let request = peer.wait_request();
            bodies.extend(peer.wait_end(request.stream).messages());
            wait.recv().unwrap();
            peer.assert_alive();
            while let Some(frame) = peer.next_ready() {
                assert_ne!(frame.kind, frames::HEADERS, "one stream at a time");
            }
            peer.respond(request.stream, b"");
        }
        assert_eq!(bodies, [b"0", b"1", b"3"]);
        until_closed(peer);
    });
    within(LONG, move || {
        let mut futures: Vec<CallFuture<Bytes>> =
            ["0", "1", "2", "3"].map(|text| unary.future(&bytes(text))).into();
        futures[0].handle().wait_for_connection(None).unwrap();
        let late = unary.timeout(Duration::from_millis(1)).call(&bytes("late")).unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "a deadline holds in the queue");
        assert!(late.debug_error_string().contains("a free stream"), "{late:?}");
        assert!(futures[2].cancel(), "a queued call can be cancelled");
        (0..3).for_each(|_| go.send(()).unwrap());
        for (n, future) in futures.iter_mut().enumerate() {
            match future.result(None) {
                Ok(_) => assert_ne!(n, 2),
                Err(error) => assert!(matches!(error, ResultError::Cancelled) && n == 2, "{error}"),
            }
        }
    });
    peer.join().unwrap();
}

#[test]
fn nobody_listens_is_unavailable_and_says_where_and_why() {
    let vacant = Vacant::new();
    let closed = vacant.target();
    within(LONG, move || {
        let builder = Channel::builder(&closed).reconnect_backoff(LONG * 2, LONG * 2);
        let channel = builder.connect_lazily().unwrap();
        let error = method(&channel).call(&Bytes::new()).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().contains(&closed), "{error}");
        assert!(error.message().contains("Connection refused"), "{error}");
        // During the pause, which outlasts this test, calls fail at once, with the same words.
        let again = method(&channel).call(&Bytes::new()).unwrap_err();
        assert_eq!(again.message(), error.message());
        // A patient call waits, and its end says what for.
        let patient = method(&channel).wait_for_ready(true).timeout(Duration::from_millis(30));
        let error = patient.call(&Bytes::new()).unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(error.debug_error_string().contains(&closed), "{error:?}");
        assert!(error.debug_error_string().contains("TRANSIENT_FAILURE"), "{error:?}");
    });
}

#[test]
fn an_unresolvable_name_is_unavailable() {
    within(LONG, || {
        let channel = insecure_channel("no-such-host.invalid:1").unwrap();
        let error = method(&channel).call(&Bytes::new()).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().contains("no-such-host.invalid"), "{error}");
    });
}

#[test]
fn l9_another_protocol_is_a_clear_error_without_a_wait() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept_raw();
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        until_closed(peer);
    });
    within(LONG, move || {
        let (took, error) = timed(|| unary.call(&Bytes::new()).unwrap_err());
        assert_eq!(error.code(), Code::Unavailable, "{error:?}");
        assert!(error.message().contains("no HTTP/2 server at"), "{error}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
    peer.join().unwrap();
}

#[test]
fn close_ends_calls_with_cancelled() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.wait_request();
        peer.wait_request();
        until_closed(peer);
    });
    within(LONG, move || {
        let unary = method(&channel);
        let mut future = unary.future(&Bytes::new());
        let blocked = {
            let unary = unary.clone();
            thread::spawn(move || unary.call(&Bytes::new()).unwrap_err())
        };
        future.handle().wait_for_connection(None).unwrap();
        let (ended, told) = mpsc::channel();
        let third = channel.raw_unary_unary("/test.S/Third").unwrap().future(&Bytes::new());
        third.add_done_callback(move |call| ended.send(call.code()).unwrap());
        while unary.future(&Bytes::new()).handle().peer().is_none() {}
        channel.close();
        channel.close();
        for status in [future.result(None).unwrap_err().into(), blocked.join().unwrap()] {
            let status: Status = status;
            assert_eq!((status.code(), status.message()), (Code::Cancelled, "Channel closed!"));
        }
        assert_eq!(told.recv().unwrap(), Code::Cancelled);
        let after = unary.call(&Bytes::new()).unwrap_err();
        assert_eq!((after.code(), after.message()), (Code::Cancelled, "Channel closed!"));
    });
    server.join().unwrap();
}

#[test]
fn a_future_needs_no_thread_that_waits() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        for _ in 0..3 {
            let request = peer.wait_request();
            peer.wait_end(request.stream);
            peer.respond(request.stream, b"later");
        }
        until_closed(peer);
    });
    within(LONG, move || {
        let (tell, told) = mpsc::channel();
        let mut future = unary.future(&Bytes::new());
        let done = tell.clone();
        future.add_done_callback(move |call| {
            done.send((call.code(), thread::current().id())).unwrap();
        });
        let (code, thread) = told.recv().unwrap();
        assert_eq!(code, Code::Ok);
        assert_ne!(thread, thread::current().id(), "callbacks run on the notifier");
        assert!(future.done());
        assert_eq!(future.result(Some(Duration::ZERO)).unwrap(), "later");
        assert!(matches!(future.result(None), Err(ResultError::Taken)));
        let done = tell.clone();
        future.add_done_callback(move |call| {
            done.send((call.code(), thread::current().id())).unwrap();
        });
        assert_eq!(told.recv().unwrap().1, thread::current().id(), "done already: inline");

        let (given, response) = mpsc::channel();
        let call = unary.future(&Bytes::new()).on_result(move |result| given.send(result).unwrap());
        assert_eq!(response.recv().unwrap().unwrap(), "later");
        assert_eq!(call.code(), Code::Ok);

        let call = unary.future(&Bytes::new()).detach();
        assert_eq!(call.code(), Code::Ok, "a detached call goes on");
    });
    peer.join().unwrap();
}

#[test]
fn l22_dropping_or_cancelling_a_future_resets_the_stream() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        for _ in 0..2 {
            let request = peer.wait_request();
            let reset = peer.wait_for(|frame| frame.kind == frames::RST_STREAM);
            assert_eq!((reset.stream, reset.code()), (request.stream, frames::CANCEL));
        }
        until_closed(peer);
    });
    within(LONG, move || {
        let future = unary.future(&Bytes::new());
        future.wait_for_connection(None).unwrap();
        drop(future);
        let mut future = unary.future(&Bytes::new());
        future.wait_for_connection(None).unwrap();
        assert!(matches!(
            future.result(Some(Duration::from_millis(5))),
            Err(ResultError::TimedOut)
        ));
        assert!(future.cancel());
        assert!(!future.cancel(), "once");
        assert!(future.cancelled());
        assert!(matches!(future.result(None), Err(ResultError::Cancelled)));
        assert_eq!(future.code(), Code::Cancelled);
        assert_eq!(future.details(), "Locally cancelled by application!");
    });
    peer.join().unwrap();
}

#[test]
fn a_servers_cancelled_is_not_a_local_one() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        peer.headers(request.stream, &[OK_HEAD.as_slice(), &[("grpc-status", "1")]].concat(), true);
        until_closed(peer);
    });
    within(LONG, move || {
        let mut future = unary.future(&Bytes::new());
        let error = future.result(None).unwrap_err();
        assert!(matches!(error, ResultError::Rpc(status) if status.code() == Code::Cancelled));
        assert!(!future.cancelled());
    });
    peer.join().unwrap();
}

#[test]
fn a_future_that_nobody_looks_at_ends_at_its_deadline() {
    let (unary, peer) = connected(|listener| {
        let mut peer = listener.accept();
        peer.wait_request();
        peer.wait_kind(frames::RST_STREAM);
        until_closed(peer);
    });
    within(LONG, move || {
        let (tell, told) = mpsc::channel();
        let future = unary.timeout(AMPLE).future(&Bytes::new());
        future.add_done_callback(move |call| tell.send(call.code()).unwrap());
        assert_eq!(told.recv().unwrap(), Code::DeadlineExceeded);
    });
    peer.join().unwrap();
}

#[test]
fn one_call_without_a_timeout_outlives_the_default_of_its_stub() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        assert_eq!(request.field("grpc-timeout"), None);
        let bounded = peer.wait_request();
        assert!(bounded.field("grpc-timeout").is_some());
        // By then the other would have ended, too.
        assert_eq!(peer.wait_kind(RST_STREAM).stream, bounded.stream);
        peer.respond(request.stream, b"late");
        until_closed(peer);
    });
    within(LONG, move || {
        let stub = unary.options(&CallOptions::new().timeout(AMPLE).wait_for_ready(true));
        let mut patient = stub.no_timeout().future(&Bytes::new());
        patient.wait_for_connection(Some(LONG)).unwrap();
        let bounded = stub.call(&Bytes::new()).unwrap_err();
        assert_eq!(bounded.code(), Code::DeadlineExceeded);
        assert_eq!(patient.time_remaining(), None);
        assert_eq!(patient.result(None).unwrap(), "late");
    });
    peer.join().unwrap();
}

#[test]
fn limits_are_kept_in_both_directions() {
    let (unary, peer) = against(|listener| {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        peer.respond(request.stream, &[7; 100]);
        until_closed(peer);
    });
    within(LONG, move || {
        let short = unary.options(&CallOptions::new().max_send_message_size(3));
        assert_eq!(short.call(&bytes("four")).unwrap_err().code(), Code::ResourceExhausted);
        let error = short.future(&bytes("four")).result(None).unwrap_err();
        assert_eq!(Status::from(error).code(), Code::ResourceExhausted);
        let short = unary.max_receive_message_size(99);
        assert_eq!(short.call(&Bytes::new()).unwrap_err().code(), Code::ResourceExhausted);
    });
    peer.join().unwrap();
}

#[test]
fn setting_up_wrongly_is_told_at_once() {
    let channel = insecure_channel("localhost:1").unwrap();
    assert!(channel.raw_unary_unary("no-slash").is_err());
    assert!(method(&channel).header("te", "x").is_err());
    assert!(method(&channel).metadata(&Metadata::new()).header("a", "ä").is_err());
    assert!(insecure_channel("ftp://x").is_err());
}
