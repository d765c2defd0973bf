//! Streams on the client's side: against a peer that does exactly what the test says.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod support;

use bytes::Bytes;
use grpc_threads::{Channel, Code, ResultError, Status, insecure_channel};
use std::cell::Cell;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use support::frames::{self, Frame, INITIAL_WINDOW_SIZE, Listener, Peer};
use support::{LONG, within};

/// A channel to a peer that runs `script`.
fn against(script: impl FnOnce(Listener) + Send + 'static) -> (Channel, JoinHandle<()>) {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    (channel, thread::spawn(move || script(listener)))
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// The next whole message of a stream whose messages come one to a frame, or `None` at its end.
fn next_message(peer: &mut Peer, stream: u32) -> Option<Vec<u8>> {
    let data: Frame = peer.wait_for(|frame| frame.stream == stream && frame.kind == frames::DATA);
    (!data.payload.is_empty()).then(|| data.payload[5..].to_vec())
}

fn expect_cancel(peer: &mut Peer, stream: u32) {
    let reset = peer.wait_for(|frame| frame.kind == frames::RST_STREAM && frame.stream == stream);
    assert_eq!(reset.code(), frames::CANCEL);
}

#[test]
fn responses_are_a_fused_iterator() {
    let (channel, peer) = against(|listener| {
        let mut peer = listener.accept();
        for status in [0, 5] {
            let request = peer.wait_request();
            peer.respond_head(request.stream);
            for text in ["a", "b", "c"] {
                peer.message(request.stream, text.as_bytes(), false);
            }
            peer.respond_trailers(request.stream, status);
        }
        peer.drain();
    });
    within(LONG, move || {
        let method = channel.raw_unary_stream("/t.S/M").unwrap();
        let mut responses = method.call(&bytes("x")).unwrap();
        let two: Vec<_> = responses.by_ref().take(2).map(Result::unwrap).collect();
        assert_eq!(two, ["a", "b"]);
        let (rest, trailing) = responses.collect_all().unwrap();
        assert_eq!((rest, trailing.len()), (vec![bytes("c")], 0));

        let mut responses = method.call(&bytes("x")).unwrap();
        assert_eq!(responses.by_ref().filter_map(Result::ok).count(), 3);
        assert!(responses.next().is_none(), "fused");
        assert_eq!(responses.recv().unwrap_err().code(), Code::NotFound, "recv says it again");
        assert_eq!(responses.code(), Code::NotFound);
    });
    peer.join().unwrap();
}

#[test]
fn waits_for_a_response_can_be_bounded() {
    let (go, wait) = mpsc::channel::<()>();
    let (channel, peer) = against(move |listener| {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        peer.respond_head(request.stream);
        wait.recv().unwrap();
        peer.message(request.stream, b"now", false);
        peer.respond_trailers(request.stream, 0);
        peer.drain();
    });
    within(LONG, move || {
        let method = channel.raw_unary_stream("/t.S/M").unwrap();
        let mut responses = method.call(&bytes("x")).unwrap();
        assert!(matches!(responses.try_recv(), Err(ResultError::TimedOut)));
        let wait = responses.recv_timeout(Duration::from_millis(5));
        assert!(matches!(wait, Err(ResultError::TimedOut)));
        assert!(responses.initial_metadata().is_empty(), "the head is there before any message");
        go.send(()).unwrap();
        assert_eq!(responses.recv_timeout(LONG).unwrap().unwrap(), "now");
        assert!(responses.recv().unwrap().is_none());
        assert!(responses.try_recv().unwrap().is_none());
    });
    peer.join().unwrap();
}

#[test]
fn what_a_server_sent_before_it_ended_the_call_outlives_the_sender_of_the_requests() {
    let (channel, peer) = against(|listener| {
        let mut peer = listener.accept();
        for messages in [&["one"][..], &["one", "two", "three"]] {
            let stream = peer.wait_for(|frame| frame.kind == frames::HEADERS).stream;
            peer.respond_head(stream);
            for text in messages {
                peer.message(stream, text.as_bytes(), false);
            }
            peer.respond_trailers(stream, 0);
        }
        peer.drain();
    });
    within(LONG, move || {
        let (sender, mut future) = channel.raw_stream_unary("/t.S/M").unwrap().open();
        assert_eq!(future.code(), Code::Ok);
        drop(sender);
        assert_eq!(future.result(None).unwrap(), "one");

        let (sender, responses) = channel.raw_stream_stream("/t.S/M").unwrap().open().split();
        assert_eq!(responses.code(), Code::Ok);
        drop(sender);
        assert_eq!(responses.map(Result::unwrap).collect::<Vec<_>>(), ["one", "two", "three"]);
    });
    peer.join().unwrap();
}

#[test]
fn l22_letting_go_of_a_stream_resets_it() {
    let (channel, peer) = against(|listener| {
        let mut peer = listener.accept();
        for _ in 0..4 {
            let request = peer.wait_request();
            peer.respond_head(request.stream);
            peer.message(request.stream, b"first", false);
            expect_cancel(&mut peer, request.stream);
        }
        peer.drain();
    });
    within(LONG, move || {
        let method = channel.raw_unary_stream("/t.S/M").unwrap();
        let mut responses = method.call(&bytes("x")).unwrap();
        assert_eq!(responses.recv().unwrap().unwrap(), "first");
        drop(responses);

        let mut responses = method.call(&bytes("x")).unwrap();
        assert_eq!(responses.recv().unwrap().unwrap(), "first");
        assert!(responses.cancel());
        assert_eq!(responses.recv().unwrap_err().code(), Code::Cancelled);

        let duplex = channel.raw_stream_stream("/t.S/M").unwrap().open();
        let (mut sender, mut responses) = duplex.split();
        sender.send(&bytes("x")).unwrap();
        assert_eq!(responses.recv().unwrap().unwrap(), "first");
        drop(sender);
        assert_eq!(responses.recv().unwrap_err().code(), Code::Cancelled, "half a stream");

        let mut duplex = channel.raw_stream_stream("/t.S/M").unwrap().open();
        assert_eq!(duplex.recv().unwrap().unwrap(), "first");
        duplex.done_writing().unwrap();
        assert!(duplex.send(&bytes("late")).is_err());
        drop(duplex);
    });
    peer.join().unwrap();
}

#[test]
fn cancel_from_another_thread_ends_a_wait() {
    let (channel, peer) = against(|listener| {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        expect_cancel(&mut peer, request.stream);
        peer.drain();
    });
    within(LONG, move || {
        let method = channel.raw_unary_stream("/t.S/M").unwrap();
        let mut responses = method.call(&bytes("x")).unwrap();
        let call = responses.handle();
        let reader = thread::spawn(move || responses.recv().unwrap_err());
        call.wait_for_connection(None).unwrap();
        assert!(call.cancel());
        assert_eq!(reader.join().unwrap().code(), Code::Cancelled);
        assert_eq!(call.code(), Code::Cancelled);
    });
    peer.join().unwrap();
}

/// A peer that answers one call, each message with the same.
fn echo_each(listener: Listener) {
    let mut peer = listener.accept();
    let request = peer.wait_request();
    peer.respond_head(request.stream);
    while let Some(message) = next_message(&mut peer, request.stream) {
        peer.message(request.stream, &message, false);
    }
    peer.respond_trailers(request.stream, 0);
    peer.drain();
}

#[test]
fn an_exchange_prefers_responses_and_pulls_on_this_thread() {
    let (channel, peer) = against(echo_each);
    within(LONG, move || {
        let me = thread::current().id();
        let pulled = Cell::new(0);
        let requests = ["1", "2", "3"].into_iter().map(|text| {
            assert_eq!(thread::current().id(), me);
            pulled.set(pulled.get() + 1);
            bytes(text)
        });
        let method = channel.raw_stream_stream("/t.S/M").unwrap();
        let exchange = method.call(requests);
        let echoed: Vec<_> = exchange.map(Result::unwrap).collect();
        assert_eq!(echoed, ["1", "2", "3"]);
        assert_eq!(pulled.get(), 3);
    });
    peer.join().unwrap();
}

#[test]
fn an_exchange_neither_stalls_nor_pulls_without_room() {
    let (channel, peer) = against(|listener| {
        let mut peer = listener.accept_with(&[(INITIAL_WINDOW_SIZE, 0)]);
        peer.credits = false;
        let request = peer.wait_request();
        peer.respond_head(request.stream);
        // No credit: the client cannot send, and has to take this while it waits for room.
        peer.assert_alive();
        peer.message(request.stream, b"early", false);
        peer.window_update(0, 1 << 20);
        peer.window_update(request.stream, 1 << 20);
        peer.wait_for(Frame::ends_stream);
        peer.respond_trailers(request.stream, 0);
        peer.drain();
    });
    within(LONG, move || {
        let requests = (0..40).map(|_| Bytes::from(vec![0; 10_000]));
        let exchange = channel.raw_stream_stream("/t.S/M").unwrap().call(requests);
        let all: Vec<_> = exchange.map(Result::unwrap).collect();
        assert_eq!(all, ["early"]);
    });
    peer.join().unwrap();
}

#[test]
fn uploads_end_with_one_response() {
    let (channel, peer) = against(|listener| {
        let mut peer = listener.accept();
        for _ in 0..4 {
            let request = peer.wait_request();
            let body = peer.wait_end(request.stream);
            assert_eq!(body.messages(), [b"1", b"2"]);
            peer.respond(request.stream, b"sum");
        }
        peer.drain();
    });
    within(LONG, move || {
        let method = channel.raw_stream_unary("/t.S/M").unwrap();
        let requests = || ["1", "2"].map(bytes);
        assert_eq!(method.call(requests()).unwrap(), "sum");
        let fine = requests().map(Ok::<_, Status>);
        assert_eq!(method.try_call(fine).unwrap(), "sum");
        assert_eq!(method.future(requests()).result(None).unwrap(), "sum");
        let (mut sender, mut future) = method.open();
        requests().iter().for_each(|request| sender.send(request).unwrap());
        sender.done_writing().unwrap();
        assert_eq!(future.result(None).unwrap(), "sum");
    });
    peer.join().unwrap();
}

#[test]
fn a_failing_source_never_looks_whole() {
    let (channel, peer) = against(|listener| {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        let ended = peer.wait_end(request.stream);
        assert_eq!(ended.reset, Some(frames::CANCEL), "never half-closed");
        peer.drain();
    });
    within(LONG, move || {
        let requests = [Ok(bytes("1")), Err(Status::data_loss("the disk is gone"))];
        let method = channel.raw_stream_unary("/t.S/M").unwrap();
        let error = method.try_call(requests).unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::DataLoss, "the disk is gone"));
    });
    peer.join().unwrap();
}

#[test]
fn w55_an_upload_stops_when_the_server_has_answered() {
    let (channel, peer) = against(|listener| {
        let mut peer = listener.accept();
        for status in [0, 8] {
            let request = peer.wait_request();
            peer.respond_head(request.stream);
            peer.message(request.stream, b"enough", false);
            peer.respond_trailers(request.stream, status);
            peer.reset(request.stream, frames::NO_ERROR);
        }
        peer.drain();
    });
    within(LONG, move || {
        let method = channel.raw_stream_unary("/t.S/M").unwrap();
        let endless = || std::iter::repeat_with(|| Bytes::from(vec![0; 100_000]));
        assert_eq!(method.call(endless()).unwrap(), "enough");
        assert_eq!(method.call(endless()).unwrap_err().code(), Code::ResourceExhausted);
    });
    peer.join().unwrap();
}

#[test]
fn spawn_pulls_on_a_library_thread() {
    let (channel, peer) = against(echo_each);
    within(LONG, move || {
        // The next request depends on the response before: only another thread can pull it.
        let (tell, told) = mpsc::channel();
        tell.send(bytes("0")).unwrap();
        let responses = channel.raw_stream_stream("/t.S/M").unwrap().spawn(told);
        let mut tell = Some(tell);
        let mut count = 0;
        for response in responses {
            assert!(response.is_ok());
            count += 1;
            match count {
                3 => tell = None,
                _ => tell.iter().for_each(|tell| tell.send(bytes("n")).unwrap()),
            }
        }
        assert_eq!(count, 3);
    });
    peer.join().unwrap();
}

#[test]
fn a_deadline_holds_for_a_sender_without_room_and_for_one_without_connection() {
    let (channel, peer) = against(|listener| {
        let mut peer = listener.accept_with(&[(INITIAL_WINDOW_SIZE, 0)]);
        peer.credits = false;
        let request = peer.wait_request();
        expect_cancel(&mut peer, request.stream);
        peer.drain();
    });
    within(LONG, move || {
        channel.wait_ready(None).unwrap();
        let method = channel.raw_stream_unary("/t.S/M").unwrap();
        let hasty = method.timeout(Duration::from_millis(200));
        let endless = std::iter::repeat_with(|| Bytes::from(vec![0; 10_000]));
        assert_eq!(hasty.call(endless).unwrap_err().code(), Code::DeadlineExceeded);

        let silent = Listener::new();
        let channel = insecure_channel(&silent.target()).unwrap();
        let method = channel.raw_stream_unary("/t.S/M").unwrap();
        let (mut sender, _future) = method.open();
        assert!(matches!(sender.try_send(&bytes("x")), Err(ResultError::TimedOut)));
        let (mut sender, _future) = method.timeout(Duration::from_millis(20)).open();
        let error = sender.send(&bytes("x")).unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(error.debug_error_string().contains("CONNECTING"), "{error:?}");
    });
    peer.join().unwrap();
}

#[test]
fn a_call_within_a_stream_of_the_same_channel_goes_through() {
    let (channel, peer) = against(|listener| {
        let mut peer = listener.accept();
        let stream = peer.wait_request().stream;
        peer.respond_head(stream);
        // Floods, far beyond what is read, and answers calls in between.
        for n in 0..50_u32 {
            peer.message(stream, &n.to_be_bytes(), false);
        }
        peer.respond_trailers(stream, 0);
        for _ in 0..50 {
            let request = peer.wait_for(|frame| frame.kind == frames::HEADERS).stream;
            peer.respond(request, b"");
        }
        peer.drain();
    });
    within(LONG, move || {
        let stream = channel.raw_unary_stream("/t.S/Stream").unwrap();
        let other = channel.raw_unary_unary("/t.S/Other").unwrap();
        let mut count = 0;
        for item in stream.call(&Bytes::new()).unwrap() {
            other.call(&item.unwrap()).unwrap();
            count += 1;
        }
        assert_eq!(count, 50);
    });
    peer.join().unwrap();
}
