//! What a user is told when something went wrong: which side, which call, and why.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/around.rs"]
mod around;
#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::{Channel, Code, ResultError, Status, channel_ready_future, insecure_channel};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::frames::{Listener, Vacant};
use support::{LONG, eventually, within};

fn both(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

fn rpc<T: std::fmt::Debug>(result: Result<T, ResultError>) -> Status {
    match result.unwrap_err() {
        ResultError::Rpc(status) => status,
        other => panic!("{other:?}"),
    }
}

/// A channel to a peer that takes connections and says nothing.
fn silent() -> (Channel, Listener) {
    let listener = Listener::new();
    (insecure_channel(&listener.target()).unwrap(), listener)
}

#[test]
fn a_future_of_a_closed_channel_says_so_whenever_it_was_closed() {
    let (channel, _listener) = silent();
    within(LONG, move || {
        let unary = channel.raw_unary_unary("/t.S/M").unwrap();
        let mut before = unary.future(&Bytes::new());
        channel.close();
        let mut after = unary.future(&Bytes::new());
        for future in [&mut before, &mut after] {
            let status = rpc(future.result(None));
            assert_eq!(both(&status), (Code::Cancelled, "Channel closed!"));
            assert!(!future.cancelled());
            assert_eq!(future.exception(None).unwrap().unwrap().code(), Code::Cancelled);
        }
    });
}

#[test]
fn an_iterator_of_requests_that_panics_is_named() {
    let told = (Code::Cancelled, "the iterator of requests panicked");
    let served = service::Served::new();
    let channel = served.channel();
    within(LONG, move || {
        let bad = || (0..3).map(|n| if n < 2 { Bytes::new() } else { panic!("on purpose") });
        let sum = channel.raw_stream_unary(service::SUM).unwrap();
        let mut future = sum.future(bad());
        assert_eq!(both(&rpc(future.result(None))), told);
        assert_eq!(
            (future.code(), &*future.details(), future.cancelled()),
            (told.0, told.1, false)
        );
        let (tell, result) = mpsc::channel();
        let call = sum.future(bad()).on_result(move |result| tell.send(result).unwrap());
        assert_eq!(both(&result.recv().unwrap().unwrap_err()), told);
        assert_eq!(both(&call.status()), told);
        let mut responses = channel.raw_stream_stream(service::BIDI).unwrap().spawn(bad());
        let end = loop {
            if let Err(status) = responses.recv() {
                break status;
            }
        };
        assert_eq!(both(&end), told);
    });
}

#[test]
fn a_future_whose_sender_was_dropped_says_so() {
    let (channel, _listener) = silent();
    within(LONG, move || {
        let (sender, mut future) = channel.raw_stream_unary("/t.S/M").unwrap().open();
        drop(sender);
        let text = "the sender of the requests was dropped without done_writing";
        assert_eq!(both(&rpc(future.result(None))), (Code::Cancelled, text));
        assert!(!future.cancelled());
        // One's own cancel is another thing, and needs no text.
        let (_sender, mut future) = channel.raw_stream_unary("/t.S/M").unwrap().open();
        assert!(future.cancel() && future.cancelled());
        assert!(matches!(future.result(None), Err(ResultError::Cancelled)));
    });
}

#[test]
fn a_wait_for_a_connection_in_vain_says_what_was_wrong() {
    let vacant = Vacant::new();
    let target = vacant.target();
    within(LONG, move || {
        let channel = insecure_channel(&target).unwrap();
        let refused = channel.raw_unary_unary("/t.S/M").unwrap().call(&Bytes::new());
        assert_eq!(refused.unwrap_err().code(), Code::Unavailable, "what is wrong is known by now");
        let ready = channel_ready_future(&channel);
        let short = Some(Duration::from_millis(300));
        for error in [channel.wait_ready(short).unwrap_err(), ready.result(short).unwrap_err()] {
            assert!(matches!(&error, ResultError::NotReady(_)), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(&target) && text.contains("onnection refused"), "{text}");
            assert!(text.contains("TRANSIENT_FAILURE") || text.contains("CONNECTING"), "{text}");
            assert!(!text.contains("the call"), "{text}");
            assert_eq!(Status::from(error).code(), Code::Unavailable);
        }
    });
}

#[test]
fn the_limit_on_metadata_is_the_channels_and_a_status_beyond_it_keeps_its_code() {
    let wordy = service::unary(|_, _| {
        let text = format!("no such place; {}", "x".repeat(20_000));
        Err(Status::not_found(text).with_details(Bytes::from(vec![7; 3_000])))
    });
    let laden = service::unary(|request, context| {
        let metadata = grpc_threads::Metadata::new().with("k", &"v".repeat(20_000))?;
        context.set_trailing_metadata(metadata);
        Ok(request)
    });
    let served = service::Served::with(1, [("Wordy", wordy), ("Laden", laden)]);
    within(LONG, move || {
        let channel = served.channel();
        let lost = channel.raw_unary_unary("/test.Test/Laden").unwrap().call(&Bytes::new());
        let lost = lost.unwrap_err();
        assert_eq!(lost.code(), Code::ResourceExhausted, "{lost}");
        let words = "the client takes 16384, which its max_metadata_size raises";
        assert!(lost.message().contains(words), "{lost}");
        let told = |limit: Option<usize>| {
            let builder = Channel::builder(&served.target());
            let builder = match limit {
                Some(limit) => builder.max_metadata_size(limit),
                None => builder,
            };
            let channel = builder.connect_lazily().unwrap();
            channel.raw_unary_unary("/test.Test/Wordy").unwrap().call(&Bytes::new()).unwrap_err()
        };
        let cut = told(None);
        assert_eq!(cut.code(), Code::NotFound);
        assert!(cut.message().starts_with("no such place; xx"), "{cut}");
        assert!(cut.message().ends_with("x...") && cut.message().len() > 15_000, "{cut}");
        assert!(cut.details().is_empty());
        let whole = told(Some(64 << 10));
        assert_eq!((whole.code(), whole.message().len()), (Code::NotFound, 20_015));
        assert_eq!(whole.details().len(), 3_000);
    });
}

#[derive(Clone, PartialEq, prost::Message)]
struct Name {
    #[prost(string, tag = "1")]
    text: String,
}

#[test]
fn w39_what_cannot_be_decoded_is_told_with_its_side_and_method() {
    let named =
        grpc_threads::unary_unary_rpc_method_handler(|name: Name, _: &service::ServicerContext| {
            Ok(name)
        });
    let served = service::Served::with(1, [("Name", named)]);
    let channel = served.channel();
    let path = "/test.Test/Name";
    within(LONG, move || {
        let bad = Bytes::from_static(b"\x0a\xff");
        let words = |status: Status, words: [&str; 2]| {
            assert_eq!(status.code(), Code::Internal);
            assert!(words.iter().all(|words| status.message().contains(words)), "{status}");
        };
        let server = ["the request of /test.Test/Name, at the server: ", "decoded as Name: "];
        words(channel.raw_unary_unary(path).unwrap().call(&bad).unwrap_err(), server);
        let client = ["the response of /test.Test/Bad, at the client: ", "decoded as Name: "];
        let served =
            service::Served::with(1, [("Bad", service::unary(move |_, _| Ok(bad.clone())))]);
        let bad = served.channel().unary_unary::<Name, Name>("/test.Test/Bad").unwrap();
        let name = Name { text: "x".into() };
        words(bad.call(&name).unwrap_err(), client);
        words(rpc(bad.future(&name).result(None)), client);
    });
}

#[test]
fn w56_a_deadline_that_the_peer_found_says_how_long_the_call_took() {
    let late = service::unary(|_, _| Err(Status::deadline_exceeded("of an inner call")));
    let served = service::Served::with(1, [("Late", late)]);
    let channel = served.channel();
    within(LONG, move || {
        let late = channel.raw_unary_unary("/test.Test/Late").unwrap();
        let told = |status: Status, words: &str| {
            let debug = status.debug_error_string();
            assert!(debug.contains("the peer said so, by its trailers"), "{debug}");
            assert_eq!(debug.contains("after the call began, which had"), !words.is_empty());
            assert!(debug.contains(words), "{debug}");
        };
        let timed = late.timeout(Duration::from_secs(20));
        told(timed.call(&Bytes::new()).unwrap_err(), "which had 20.0s");
        told(rpc(timed.future(&Bytes::new()).result(None)), "which had 20.0s");
        told(late.call(&Bytes::new()).unwrap_err(), "");
    });
}

#[test]
fn an_address_that_refuses_is_named_once() {
    let vacant = Vacant::new();
    let target = vacant.target();
    within(LONG, move || {
        let channel = insecure_channel(&target).unwrap();
        let call = channel.raw_unary_unary("/t.S/M").unwrap();
        let status = call.call(&Bytes::new()).unwrap_err();
        assert_eq!(status.message().matches(&target).count(), 1, "{status}");
        assert!(status.message().contains("onnection refused"), "{status}");
    });
}

#[test]
fn a_peer_that_closes_without_a_word_may_be_no_http2_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    within(LONG, move || {
        let call = insecure_channel(&target).unwrap().raw_unary_unary("/t.S/M").unwrap();
        let waiting = std::thread::spawn(move || call.call(&Bytes::new()).unwrap_err());
        let (mut socket, _) = listener.accept().unwrap();
        let mut preface = [0; 24];
        std::io::Read::read_exact(&mut socket, &mut preface).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let status = waiting.join().unwrap();
        let words = "(not an HTTP/2 server, or one with TLS)";
        assert!(
            status.message().contains("closed by") && status.message().contains(words),
            "{status}"
        );
    });
}

#[test]
fn a_service_that_comes_after_the_end_is_told_so() {
    let server = grpc_threads::server(grpc_threads::ThreadPool::new(1));
    server.start().unwrap();
    server.stop(None);
    let error = server.add_service(grpc_threads::Service::new("a.B")).unwrap_err();
    assert!(error.to_string().contains("the server was stopped"), "{error}");
}

#[test]
fn requests_that_are_kept_beyond_their_handler_say_that_the_call_has_ended() {
    let (keep, kept) = mpsc::sync_channel(1);
    let keeps = grpc_threads::stream_unary_rpc_method_handler_with(
        move |requests: service::RequestIterator<Bytes>, _: &service::ServicerContext| {
            keep.send(requests).unwrap();
            Ok(Bytes::new())
        },
        service::Raw,
        service::Raw,
    );
    let served = service::Served::with(1, [("Keeps", keeps)]);
    within(LONG, move || {
        let method = served.channel().raw_stream_unary("/test.Test/Keeps").unwrap();
        let (sender, mut future) = method.open();
        future.result(None).unwrap();
        let status = kept.recv().unwrap().next().unwrap().unwrap_err();
        assert!(status.message().contains("the call has ended"), "{status}");
        drop(sender);
    });
}

#[test]
fn a_call_of_a_closed_channel_says_whether_it_was_sent() {
    let (running, runs) = mpsc::channel();
    let stuck = service::by_hand(move |stream, _| {
        running.send(()).unwrap();
        stream.recv().map(drop)
    });
    let served = service::Served::with(1, [("Stuck", stuck)]);
    within(LONG, move || {
        let told = |status: Status, words: &str| {
            assert_eq!(both(&status), (Code::Cancelled, "Channel closed!"));
            assert!(status.debug_error_string().contains(words), "{status}");
        };
        let unsent = "no server has acted on the call";
        let channel = served.channel();
        let call = channel.raw_stream_stream("/test.Test/Stuck").unwrap().open();
        runs.recv().unwrap();
        channel.close();
        told(call.status(), "its server may have acted on it");
        told(channel.raw_unary_unary("/t.S/M").unwrap().call(&Bytes::new()).unwrap_err(), unsent);
        let (channel, _listener) = silent();
        let waiting = channel.raw_unary_unary("/t.S/M").unwrap().future(&Bytes::new());
        channel.close();
        told(waiting.status(), unsent);
    });
}

#[test]
fn a_call_behind_interceptors_is_not_said_to_be_unsent() {
    let (channel, _listener) = silent();
    within(LONG, move || {
        let (begun, begins) = mpsc::channel();
        let waits = around::around(move |details, request, next| {
            begun.send(()).unwrap();
            next.call(details, request)
        });
        let channel = grpc_threads::intercept_channel(&channel, [waits]);
        let waiting = channel.raw_unary_unary("/t.S/M").unwrap().future(&Bytes::new());
        begins.recv().unwrap();
        channel.close();
        let status = waiting.status();
        assert_eq!(both(&status), (Code::Cancelled, "Channel closed!"));
        assert!(status.debug_error_string().contains("interceptors"), "{status}");
    });
}

#[test]
fn a_ready_future_that_was_cancelled_does_not_speak_of_a_call() {
    let (channel, _listener) = silent();
    let mut ready = channel_ready_future(&channel);
    assert!(ready.cancel());
    let error = ready.result(None).unwrap_err();
    assert!(matches!(error, ResultError::Cancelled));
    assert_eq!(error.to_string(), "cancelled from this side");
}

#[test]
fn addresses_that_all_fail_are_told_in_a_sentence() {
    let (one, other) = (Vacant::new(), Vacant::new());
    let target = format!("ipv4:{},{}", one.target(), other.target());
    within(LONG, move || {
        let channel = insecure_channel(&target).unwrap();
        let error = channel.wait_ready(Some(Duration::from_millis(300))).unwrap_err();
        let text = error.to_string();
        let (_, why) =
            text.split_once(&format!("a connection to {target}, which is ")).expect(&text);
        let begins = ["TRANSIENT_FAILURE: ", "CONNECTING; last time: "]
            .iter()
            .any(|state| why.starts_with(&format!("{state}{}: ", one.target())));
        assert!(begins && why.contains(&format!("; {}: ", other.target())), "{text}");
    });
}

#[test]
fn an_error_of_a_set_up_is_told_in_words_where_main_returns_it() {
    let error = insecure_channel("h:1").unwrap().raw_unary_unary("/a").map(drop).unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
    assert!(format!("{error:#?}").contains("kind: Method"), "{error:#?}");
    let empty = |builder: grpc_threads::ChannelBuilder, words: &str| {
        let text = builder.connect_lazily().unwrap_err().to_string();
        assert!(text.starts_with(words) && text.contains("empty"), "{text}");
    };
    empty(Channel::builder("h:1").user_agent(""), "user_agent");
    empty(Channel::builder("h:1").authority(""), "authority");
}

#[test]
fn a_wait_in_vain_may_be_told_with_what_the_call_waits_for() {
    let stuck = service::by_hand(|stream, _| stream.recv().map(drop));
    let served = service::Served::with(1, [("Stuck", stuck)]);
    let (silent, listener) = silent();
    within(LONG, move || {
        let short = Some(Duration::from_millis(20));
        let waiting = silent.raw_unary_unary("/t.S/M").unwrap().future(&Bytes::new());
        assert!(matches!(waiting.wait_for_connection(short), Err(ResultError::TimedOut)));
        let what = waiting.waits_for().unwrap();
        assert!(what.contains(&listener.target()), "{what}");
        let mut call = served.channel().raw_stream_stream("/test.Test/Stuck").unwrap().open();
        call.wait_for_connection(None).unwrap();
        assert!(call.recv_timeout(Duration::from_millis(20)).is_err());
        let what = call.handle().waits_for().unwrap();
        let unended = " to answer; this side has not ended its requests (by done_writing, ";
        assert!(what.contains(&format!("{}{unended}", served.target())), "{what}");
        call.cancel();
        assert_eq!(call.handle().waits_for(), None);
    });
}

#[test]
fn a_stream_tells_whether_it_waits_for_room_or_for_requests_of_its_own_that_have_no_end() {
    let (_let_go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let full = service::by_hand(move |stream, _| {
        stream.send(&Bytes::from_static(b"x"))?;
        let _ = gate.lock().unwrap().recv();
        Ok(())
    });
    let served = service::Served::with(2, [("Full", full)]);
    let target = served.target();
    let channel = served.channel();
    within(LONG, move || {
        let unended = "this side has not ended its requests";
        let bidi = channel.raw_stream_stream(service::BIDI).unwrap();
        let exchange = bidi.call([Bytes::new()]);
        exchange.wait_for_connection(None).unwrap();
        let what = exchange.waits_for().unwrap();
        assert!(what.contains("a `call` pulls only while responses are read"), "{what}");
        let sum = channel.raw_stream_unary(service::SUM).unwrap();
        let (mut sender, future) = sum.open();
        sender.send(&Bytes::from_static(b"x")).unwrap();
        assert!(future.waits_for().unwrap().contains(unended));

        let mut call = channel.raw_stream_stream("/test.Test/Full").unwrap().open();
        let body = Bytes::from(vec![0; 50_000]);
        let sent = |call: &mut grpc_threads::Duplex<Bytes, Bytes>| {
            call.send_timeout(&body, Duration::from_millis(100))
        };
        while sent(&mut call).is_ok() {}
        let (sender, mut responses) = call.split();
        let handle = responses.handle();
        eventually(LONG, "the response is there", || {
            handle.waits_for().unwrap().ends_with("; responses here are unread")
        });
        assert!(responses.recv().unwrap().is_some());
        let what = handle.waits_for().unwrap();
        let (octets, peer) = what
            .strip_prefix("room to send: ")
            .and_then(|rest| rest.split_once(" bytes are not taken by ipv4:"))
            .expect(&what);
        assert!(octets.parse::<usize>().unwrap() >= 50_000 && peer == target, "{what}");
        // No more requests: all that is waited for is the answer, once there is room.
        sender.done_writing().unwrap();
        assert!(!handle.waits_for().unwrap().contains(unended));
    });
}

#[test]
fn a_timeout_that_interceptors_have_used_up_says_so() {
    let served = service::Served::new();
    let channel = served.channel();
    let (tell, told) = mpsc::channel();
    channel.listen::<grpc_threads::SendRequest>(move |event| {
        while event.deadline().is_some_and(|at| Instant::now() < at) {
            std::thread::yield_now();
        }
        let _ = tell.send(());
        Ok(grpc_threads::Flow::Continue)
    });
    let echo = channel.raw_unary_unary(service::ECHO).unwrap().timeout(Duration::from_millis(10));
    let status = echo.call(&Bytes::new()).unwrap_err();
    told.recv_timeout(LONG).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let said = status.debug_error_string();
    assert!(
        said.contains("the option `timeout`, which counts from before the channel's interceptors"),
        "{said}"
    );
}
