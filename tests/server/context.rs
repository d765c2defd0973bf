use std::sync::mpsc;
use std::time::Duration;

use grpc_threads::{Code, Metadata, ServicerContext, Status};

use crate::common::{
    CANCEL, CANCELLED, DEADLINE_EXCEEDED, NO_ERROR, NOT_FOUND, OK, Pair, RESOURCE_EXHAUSTED,
    UNKNOWN, echo, gate, service, unary,
};
use crate::support::frames::{INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE, Peer, RST_STREAM};
use crate::support::{LONG, eventually};

#[test]
fn a_context_tells_of_its_call() {
    let (told, seen) = mpsc::sync_channel(1);
    let handler = unary(move |request, context| {
        told.send(context.clone()).unwrap();
        Ok(request)
    });
    let mut pair = Pair::of(1, service().method("Call", handler));
    let stream = pair.peer.open("/test.Test/Call", &[("key", "value"), ("grpc-timeout", "30S")]);
    pair.peer.message(stream, b"", true);
    assert_eq!(pair.peer.wait_end(stream).status(), OK);
    let context: ServicerContext = seen.recv_timeout(LONG).unwrap();
    assert_eq!(context.method(), "/test.Test/Call");
    assert_eq!(context.authority(), "test");
    assert_eq!(context.invocation_metadata().get("key"), Some("value"));
    let local = pair.peer.socket().local_addr().unwrap();
    assert_eq!(context.peer(), format!("ipv4:{local}"));
    let left = context.time_remaining().unwrap();
    assert!(left > Duration::ZERO && left <= Duration::from_secs(30));
    eventually(LONG, "the call is over", || !context.is_active());
    assert!(!context.cancelled());
    assert!(!context.add_callback(|| ()), "it is over");
    assert!(!context.cancel());
    assert!(context.send_initial_metadata(&Metadata::new()).is_err());
    // No deadline, none told.
    pair.call("Call", b"");
    assert_eq!(seen.recv_timeout(LONG).unwrap().time_remaining(), None);
}

#[test]
fn a_status_reaches_the_client_with_all_its_parts() {
    let handler = unary(|_, context| {
        context.set_trailing_metadata(Metadata::new().with("one", "1")?);
        let more = Metadata::new().with("two", "2")?;
        Err(Status::not_found("näh\n").with_metadata(more).with_details(&b"\x01\x02"[..]))
    });
    let mut pair = Pair::of(1, service().method("Call", handler));
    let ended = pair.call("Call", b"");
    assert_eq!((ended.headers.len(), ended.status()), (1, NOT_FOUND));
    assert_eq!(ended.trailer("grpc-message").as_deref(), Some("n%C3%A4h%0A"));
    assert_eq!(ended.trailer("one").as_deref(), Some("1"));
    assert_eq!(ended.trailer("two").as_deref(), Some("2"));
    assert_eq!(ended.trailer("grpc-status-details-bin").as_deref(), Some("AQI"));
}

#[test]
fn a_code_that_was_set_discards_the_response() {
    let set = unary(|request, context| {
        context.set_code(Code::NotFound);
        context.set_details("gone");
        assert_eq!(context.code(), Some(Code::NotFound));
        assert_eq!(context.details().as_deref(), Some("gone"));
        Ok(request)
    });
    let lost = unary(|request, context| {
        let _ = context.abort(Code::NotFound, "swallowed");
        Ok(request)
    });
    let ok = unary(|_, context| Err(context.abort(Code::Ok, "no")));
    let panics = unary(|_, context| {
        context.set_code(Code::NotFound);
        panic!("secret")
    });
    let service =
        service().method("Set", set).method("Lost", lost).method("Ok", ok).method("Panics", panics);
    let mut pair = Pair::of(1, service);
    for (method, status, details) in [
        ("Set", NOT_FOUND, Some("gone")),
        ("Lost", NOT_FOUND, Some("swallowed")),
        ("Ok", UNKNOWN, None),
        ("Panics", NOT_FOUND, Some("handler panicked")),
    ] {
        let ended = pair.call(method, b"");
        assert_eq!((ended.messages().len(), ended.status()), (0, status), "{method}");
        let message = ended.trailer("grpc-message");
        assert_eq!(message.as_deref().filter(|text| !text.is_empty()), details, "{method}");
    }
}

#[test]
fn w56_a_deadline_ends_the_call_while_its_handler_sleeps() {
    let (waiting, keeper) = gate();
    let (told, tell) = mpsc::sync_channel(2);
    let sleeps = unary(move |request, context| {
        let ended = told.clone();
        let _ = context.add_callback(move || ended.send(None).unwrap());
        waiting.pass();
        told.send(Some(context.clone())).unwrap();
        Ok(request)
    });
    let mut pair = Pair::of(1, service().method("Sleeps", sleeps).method("Echo", echo()));
    let stream = pair.peer.open("/test.Test/Sleeps", &[("grpc-timeout", "50m")]);
    pair.peer.message(stream, b"", true);
    let ended = pair.peer.wait_end(stream);
    assert_eq!(ended.status(), DEADLINE_EXCEEDED);
    assert!(tell.recv_timeout(LONG).unwrap().is_none(), "told while the handler still sleeps");
    keeper.open.send(()).unwrap();
    let context = tell.recv_timeout(LONG).unwrap().unwrap();
    assert!(!context.is_active());
    assert!(context.cancelled());
    assert_eq!(context.time_remaining(), Some(Duration::ZERO));
    assert_eq!(pair.call("Echo", b"").status(), OK);
}

#[test]
fn w56_a_deadline_in_the_middle_of_a_stream_is_told_in_trailers() {
    let stalls = grpc_threads::stream_stream_rpc_method_handler_with(
        |requests: grpc_threads::RequestIterator<bytes::Bytes>, _: &ServicerContext| Ok(requests),
        grpc_threads::Raw,
        grpc_threads::Raw,
    );
    let mut pair = Pair::of(1, service().method("Stalls", stalls).method("Echo", echo()));
    let stream = pair.peer.open("/test.Test/Stalls", &[("grpc-timeout", "50m")]);
    pair.peer.message(stream, b"x", false);
    // A reset would be CANCELLED to a client whose clock is behind.
    let ended = pair.peer.wait_end(stream);
    assert_eq!(ended.status(), DEADLINE_EXCEEDED, "{ended:?}");
    let reset = pair.peer.wait_for(|frame| frame.stream == stream && frame.kind == RST_STREAM);
    assert_eq!(reset.code(), NO_ERROR);
    assert_eq!(pair.call("Echo", b"").status(), OK);
}

#[test]
fn w56_a_deadline_resets_a_stream_whose_responses_nobody_takes() {
    let stuck = grpc_threads::unary_stream_rpc_method_handler_with(
        |_: bytes::Bytes, _: &ServicerContext| Ok(std::iter::repeat(Ok(bytes::Bytes::from("x")))),
        grpc_threads::Raw,
        grpc_threads::Raw,
    );
    let pair = Pair::of(1, service().method("Stuck", stuck));
    let mut peer = Peer::connect_with(("127.0.0.1", pair.port), &[(INITIAL_WINDOW_SIZE, 0)]);
    let stream = peer.open("/test.Test/Stuck", &[("grpc-timeout", "50m")]);
    peer.message(stream, b"", true);
    let ended = peer.wait_end(stream);
    assert_eq!(ended.reset, Some(CANCEL), "{ended:?}");
    peer.assert_alive();
}

#[test]
fn w29_metadata_that_the_client_does_not_take_becomes_resource_exhausted() {
    let much = |bytes: usize| Metadata::new().with("much", &"m".repeat(bytes)).unwrap();
    let early = unary(move |request, context| {
        let refused = context.send_initial_metadata(&much(5000)).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        context.send_initial_metadata(&much(3000))?;
        Ok(request)
    });
    let late = unary(move |request, context| {
        context.set_trailing_metadata(much(5000));
        Ok(request)
    });
    let failing = unary(move |_, _| Err(Status::not_found("?").with_metadata(much(5000))));
    let methods = service().method("Early", early).method("Late", late).method("Failing", failing);
    let wordy = unary(|_, _| Err(Status::not_found(format!("where{}", "ü".repeat(3_000)))));
    let methods = methods.method("Wordy", wordy);
    let mut pair = Pair::of(1, methods);
    pair.peer = Peer::connect_with(("127.0.0.1", pair.port), &[(MAX_HEADER_LIST_SIZE, 4096)]);
    let ended = pair.call("Early", b"");
    assert_eq!((ended.status(), ended.head("much").map(|much| much.len())), (OK, Some(3000)));
    for (method, code) in [("Late", RESOURCE_EXHAUSTED), ("Failing", NOT_FOUND)] {
        let ended = pair.call(method, b"");
        assert_eq!((ended.status(), ended.trailer("much")), (code, None));
    }
    let ended = pair.call("Wordy", b"");
    let message = ended.trailer("grpc-message").unwrap();
    assert_eq!(ended.status(), NOT_FOUND);
    assert!(message.starts_with("where") && message.ends_with("%BC..."), "{message}");
    assert!((2_000..4_096).contains(&message.len()), "{}", message.len());
}

#[test]
fn w15_a_deadline_of_zero_runs_no_handler() {
    let (told, tell) = mpsc::sync_channel(1);
    let handler = unary(move |request, _| {
        told.send(()).unwrap();
        Ok(request)
    });
    let mut pair = Pair::of(1, service().method("Call", handler));
    let stream = pair.peer.open("/test.Test/Call", &[("grpc-timeout", "0m")]);
    pair.peer.message(stream, b"", true);
    let ended = pair.peer.wait_end(stream);
    assert_eq!(ended.status(), DEADLINE_EXCEEDED);
    assert!(tell.try_recv().is_err());
}

#[test]
fn a_call_that_was_cancelled_in_the_queue_runs_no_handler() {
    let (waiting, keeper) = gate();
    let (told, tell) = mpsc::sync_channel(1);
    let wait = unary(move |request, _| {
        waiting.pass();
        Ok(request)
    });
    let counted = unary(move |request, _| {
        told.send(()).unwrap();
        Ok(request)
    });
    let mut pair = Pair::of(
        1,
        service().method("Wait", wait).method("Counted", counted).method("Echo", echo()),
    );
    let first = pair.peer.request("/test.Test/Wait", b"");
    keeper.wait();
    let queued = pair.peer.request("/test.Test/Counted", b"");
    pair.peer.assert_alive();
    pair.peer.reset(queued, 8);
    pair.peer.assert_alive();
    keeper.open.send(()).unwrap();
    assert_eq!(pair.peer.wait_end(first).status(), OK);
    assert_eq!(pair.call("Echo", b"").status(), OK);
    assert!(tell.try_recv().is_err());
}

#[test]
fn a_handler_may_cancel_its_call_and_learns_of_the_clients_cancel() {
    let cancels = unary(|request, context| {
        assert!(context.cancel());
        assert!(!context.cancel());
        assert!(!context.is_active() && context.cancelled());
        Ok(request)
    });
    let (waiting, keeper) = gate();
    let (told, tell) = mpsc::sync_channel(2);
    let waits = unary(move |request, context| {
        let told = told.clone();
        let seen = context.clone();
        let _ = context.add_callback(move || told.send(seen.is_active()).unwrap());
        waiting.pass();
        Ok(request)
    });
    let mut pair = Pair::of(1, service().method("Cancels", cancels).method("Waits", waits));
    let ended = pair.call("Cancels", b"");
    assert!(ended.reset == Some(CANCEL) || ended.status() == CANCELLED, "{ended:?}");
    let stream = pair.peer.request("/test.Test/Waits", b"");
    keeper.wait();
    pair.peer.reset(stream, CANCEL);
    assert_eq!(tell.recv_timeout(LONG), Ok(false), "told while the handler still runs");
    keeper.open.send(()).unwrap();
    let next = pair.peer.request("/test.Test/Waits", b"");
    keeper.wait();
    keeper.open.send(()).unwrap();
    assert_eq!(pair.peer.wait_end(next).status(), OK);
}
