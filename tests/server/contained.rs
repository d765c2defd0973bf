use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut, Bytes};
use grpc_threads::{
    Codec, Raw, RequestIterator, ServicerContext, Status, stream_unary_rpc_method_handler_with,
    unary_stream_rpc_method_handler_with, unary_unary_rpc_method_handler_with,
};

use crate::common::{OK, Pair, UNKNOWN, echo, service, unary};
use crate::support::LONG;

#[test]
fn l17_a_panic_ends_its_call_without_its_text_and_the_worker_goes_on() {
    let panics = unary(|_, _| panic!("secret"));
    let mut pair = Pair::of(1, service().method("Panics", panics).method("Echo", echo()));
    for _ in 0..3 {
        let ended = pair.call("Panics", b"");
        assert_eq!(ended.status(), UNKNOWN);
        assert_eq!(ended.trailer("grpc-message").as_deref(), Some("handler panicked"));
        assert_eq!(pair.call("Echo", b"").status(), OK);
    }
}

#[test]
fn l17_a_panic_in_an_iterator_comes_after_its_messages() {
    let panics = unary_stream_rpc_method_handler_with(
        |_: Bytes, _: &ServicerContext| {
            Ok((0..3).map(|n| if n < 2 { Ok(Bytes::from(vec![n])) } else { panic!("secret") }))
        },
        Raw,
        Raw,
    );
    let mut pair = Pair::of(1, service().method("Panics", panics).method("Echo", echo()));
    let ended = pair.call("Panics", b"");
    assert_eq!((ended.messages(), ended.status()), (vec![vec![0], vec![1]], UNKNOWN));
    assert_eq!(pair.call("Echo", b"").status(), OK);
}

/// Gives a few messages; its drop panics.
struct Armed(Bomb, u8);

impl Iterator for Armed {
    type Item = Result<Bytes, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        self.1 = self.1.checked_sub(1)?;
        Some(Ok(Bytes::from_static(b"x")))
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("secret");
    }
}

#[test]
fn l17_a_panic_while_dropping_is_contained() {
    let iterator = unary_stream_rpc_method_handler_with(
        |_: Bytes, _: &ServicerContext| Ok(Armed(Bomb, 1)),
        Raw,
        Raw,
    );
    let value = unary(|request, _| {
        let _bomb = Bomb;
        Ok(request)
    });
    let thrown = unary(|_, _| std::panic::panic_any(Bomb));
    let service = service()
        .method("Iterator", iterator)
        .method("Value", value)
        .method("Thrown", thrown)
        .method("Echo", echo());
    let mut pair = Pair::of(1, service);
    let ended = pair.call("Iterator", b"");
    assert_eq!(ended.messages(), [b"x".to_vec()]);
    assert!(ended.status().is_some());
    assert_eq!(pair.call("Value", b"").status(), UNKNOWN);
    assert_eq!(pair.call("Thrown", b"").status(), UNKNOWN);
    assert_eq!(pair.call("Echo", b"").status(), OK);
}

/// A codec that panics.
struct Panics;

impl Codec<Bytes> for Panics {
    fn encode(&self, _: &Bytes, _: &mut dyn BufMut) -> Result<(), Status> {
        panic!("secret")
    }

    fn decode(&self, _: Bytes) -> Result<Bytes, Status> {
        panic!("secret")
    }
}

#[test]
fn l20_a_panic_in_a_codec_is_contained() {
    let service = service()
        .method(
            "Request",
            unary_unary_rpc_method_handler_with(|r: Bytes, _: &ServicerContext| Ok(r), Panics, Raw),
        )
        .method(
            "Requests",
            stream_unary_rpc_method_handler_with(
                |mut requests: RequestIterator<Bytes>, _: &ServicerContext| {
                    requests.next().unwrap_or_else(|| Ok(Bytes::new()))
                },
                Panics,
                Raw,
            ),
        )
        .method(
            "Response",
            unary_unary_rpc_method_handler_with(|r: Bytes, _: &ServicerContext| Ok(r), Raw, Panics),
        )
        .method(
            "Stream",
            unary_stream_rpc_method_handler_with(
                |r: Bytes, _: &ServicerContext| Ok([Ok(r)]),
                Raw,
                Panics,
            ),
        )
        .method("Echo", echo());
    let mut pair = Pair::of(1, service);
    for (method, at) in [
        ("Request", "a request"),
        ("Requests", "a request"),
        ("Response", "a response"),
        ("Stream", "a response"),
    ] {
        let ended = pair.call(method, b"");
        assert_eq!(ended.status(), UNKNOWN, "{method}");
        let told = ended.trailer("grpc-message").unwrap_or_default();
        assert_eq!(told, format!("the codec panicked at {at}"), "{method}: no handler's fault");
    }
    assert_eq!(pair.call("Echo", b"").status(), OK);
}

#[test]
fn l17_a_panic_in_a_callback_does_not_stop_the_next() {
    let (told, calls) = std::sync::mpsc::sync_channel(1);
    let handler = unary(move |request, context| {
        let told = told.clone();
        assert!(context.add_callback(|| panic!("secret")));
        assert!(context.add_callback(move || told.send(()).unwrap()));
        Ok(request)
    });
    let mut pair = Pair::of(1, service().method("Call", handler));
    for _ in 0..2 {
        assert_eq!(pair.call("Call", b"").status(), OK);
        calls.recv_timeout(LONG).expect("the second callback ran");
    }
}

#[test]
fn an_iterator_is_not_pulled_once_the_client_has_cancelled() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let (dropped, drops) = std::sync::mpsc::sync_channel::<()>(0);
    let endless = unary_stream_rpc_method_handler_with(
        move |_: Bytes, _: &ServicerContext| {
            let (count, dropped) = (count.clone(), dropped.clone());
            Ok(std::iter::repeat_with(move || {
                let _held = &dropped;
                count.fetch_add(1, Ordering::Relaxed);
                Ok(Bytes::from(vec![0; 1000]))
            }))
        },
        Raw,
        Raw,
    );
    let mut pair = Pair::of(1, service().method("Endless", endless).method("Echo", echo()));
    let stream = pair.peer.request("/test.Test/Endless", b"");
    pair.peer.wait_for(|frame| frame.stream == stream && frame.kind == 0);
    pair.peer.reset(stream, 8);
    // The only worker comes back.
    assert_eq!(pair.call("Echo", b"").status(), OK);
    drop(drops);
    assert!(pulled.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_handler_that_reads_learns_of_the_clients_cancel() {
    let (told, told_of) = std::sync::mpsc::sync_channel(1);
    let (started, start) = std::sync::mpsc::sync_channel(1);
    let reads = stream_unary_rpc_method_handler_with(
        move |mut requests: RequestIterator<Bytes>, context: &ServicerContext| {
            started.send(requests.next().is_some()).unwrap();
            let error = requests.next().unwrap().unwrap_err();
            assert!(requests.next().is_none());
            told.send((error.code(), context.is_active(), context.cancelled())).unwrap();
            Err(error)
        },
        Raw,
        Raw,
    );
    let mut pair = Pair::of(1, service().method("Reads", reads));
    let stream = pair.peer.open("/test.Test/Reads", &[]);
    pair.peer.message(stream, b"", false);
    assert_eq!(start.recv_timeout(LONG), Ok(true));
    pair.peer.reset(stream, 8);
    let seen = told_of.recv_timeout(LONG).unwrap();
    assert_eq!(seen, (grpc_threads::Code::Cancelled, false, true));
}
