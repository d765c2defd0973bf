//! Ends of calls and code of the user's, over real sockets: what is left afterwards, and who is told what.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use grpc_threads::{
    Cardinality, Channel, Code, Codec, Connectivity, ServerStream, ServicerContext, Status,
    channel_ready_future, insecure_channel, stream_rpc_method_handler_with,
};
use service::Served;
use support::frames::{self, Listener};
use support::leaks::Holdings;
use support::{LONG, alone, within};

#[test]
fn channels_whose_detached_calls_have_expired_leave_no_socket() {
    let _alone = alone();
    within(LONG, || {
        let listener = Listener::new();
        let accepting = std::thread::spawn({
            let target = listener.target();
            move || {
                // The poller and the notifier stay.
                let channel = insecure_channel(&target).unwrap();
                let (tell, told) = mpsc::channel();
                let subscription = channel.subscribe(move |_| tell.send(()).unwrap(), false);
                told.recv().unwrap();
                drop((subscription, channel));
                let before = Holdings::now();
                let mut calls = Vec::new();
                for at in 0..20 {
                    let channel = insecure_channel(&target).unwrap();
                    let method = channel.raw_unary_unary("/a.B/c").unwrap();
                    let hasty = method.timeout(Duration::from_millis(200));
                    let call = hasty.future(&Bytes::new()).detach();
                    call.wait_for_connection(None).ok();
                    if at % 2 == 0 {
                        calls.push(call);
                    }
                }
                for call in &calls {
                    assert_eq!(call.code(), Code::DeadlineExceeded);
                }
                (before, calls)
            }
        });
        // Every peer sees the end of its connection, though some calls are still looked at.
        for _ in 0..20 {
            let mut peer = listener.accept();
            std::thread::spawn(move || while peer.next().is_some() {});
        }
        let (before, calls) = accepting.join().unwrap();
        before.assert_no_more();
        drop(calls);
    });
}

/// Panics at the message "panic", in the middle of it.
#[derive(Clone, Copy)]
struct Jumpy;

impl Codec<Bytes> for Jumpy {
    fn encode(&self, message: &Bytes, out: &mut dyn BufMut) -> Result<(), Status> {
        out.put_slice(message);
        assert!(message != "panic", "as it was asked to");
        Ok(())
    }

    fn decode(&self, bytes: Bytes) -> Result<Bytes, Status> {
        Ok(bytes)
    }
}

#[test]
fn a_servers_codec_that_panics_ends_its_call_and_sends_no_half_a_message() {
    let _alone = alone();
    let answers = |caught: bool| {
        stream_rpc_method_handler_with(
            Cardinality::UnaryStream,
            move |stream: &mut ServerStream<Bytes, Bytes>, _: &ServicerContext| {
                stream.recv()?;
                stream.send(&Bytes::from_static(b"one"))?;
                let mut panics = || stream.send(&Bytes::from_static(b"panic"));
                match caught {
                    true => drop(catch_unwind(AssertUnwindSafe(panics))),
                    false => panics()?,
                }
                // Its call is over: this goes nowhere.
                let _ = stream.send(&Bytes::from_static(b"two"));
                Ok(())
            },
            Jumpy,
            Jumpy,
        )
    };
    let methods = [("Panics", answers(false)), ("Catches", answers(true))];
    let served = Served::with(2, methods);
    let channel = served.channel();
    within(LONG, move || {
        for path in ["/test.Test/Panics", "/test.Test/Catches"] {
            let method = channel.raw_unary_stream(path).unwrap();
            let mut responses = method.call(&Bytes::new()).unwrap();
            assert_eq!(responses.recv().unwrap().unwrap(), "one");
            assert_eq!(responses.recv().unwrap_err().code(), Code::Unknown, "{path}");
        }
    });
}

#[test]
fn the_readiness_of_a_channel_may_be_waited_for_in_a_callback() {
    let _alone = alone();
    let listener = Listener::new();
    within(LONG, move || {
        let target = listener.target();
        let (tell, told) = mpsc::channel();
        let other = insecure_channel(&target).unwrap();
        let channel = insecure_channel(&target).unwrap();
        let subscription = channel.subscribe(
            move |state| {
                if state == Connectivity::Idle {
                    let ready = channel_ready_future(&other);
                    tell.send(ready.result(Some(LONG)).is_ok()).unwrap();
                }
            },
            false,
        );
        let _peer = listener.accept();
        assert!(told.recv().unwrap());
        drop(subscription);
    });
}

/// Calls of one connection with room for two, in the order of their names; the first two are refused together.
fn refused_together(begin: impl Fn(&Channel, &str) + Send + 'static) -> Vec<String> {
    let listener = Listener::new();
    within(LONG, move || {
        let channel = insecure_channel(&listener.target()).unwrap();
        let names = ["/q.Q/a", "/q.Q/b", "/q.Q/c", "/q.Q/d"];
        channel.state(true);
        let mut peer = listener.accept_with(&[(frames::MAX_CONCURRENT_STREAMS, 2)]);
        channel.wait_ready(None).unwrap();
        for name in names {
            begin(&channel, name);
        }
        let (first, second) = (peer.wait_request(), peer.wait_request());
        let mut refusal = Vec::new();
        for request in [&first, &second] {
            let code = frames::REFUSED_STREAM.to_be_bytes();
            refusal.extend(frames::frame(frames::RST_STREAM, 0, request.stream, &code));
        }
        peer.send(&refusal);
        let mut order = Vec::new();
        for _ in names {
            let request = peer.wait_request();
            order.push(request.field(":path").unwrap());
            peer.respond(request.stream, b"");
        }
        order
    })
}

#[test]
fn w69_calls_that_were_refused_are_made_again_before_those_that_came_later() {
    let _alone = alone();
    let order = refused_together(|channel, path| {
        channel.raw_unary_unary(path).unwrap().future(&Bytes::new()).detach();
    });
    assert_eq!(order, ["/q.Q/a", "/q.Q/b", "/q.Q/c", "/q.Q/d"]);
}

/// The ways of making a call with one response, on a channel that is ready or not.
const WAYS: [&str; 4] = ["unary", "unary, queued", "future", "stream-unary"];

fn make(way: &str, channel: &Channel) -> Result<Bytes, Status> {
    match way {
        "future" => {
            let unary = channel.raw_unary_unary("/t.S/M").unwrap();
            unary.future(&Bytes::new()).result(None).map_err(Status::from)
        }
        "stream-unary" => channel.raw_stream_unary("/t.S/M").unwrap().call([Bytes::new()]),
        _ => channel.raw_unary_unary("/t.S/M").unwrap().call(&Bytes::new()),
    }
}

/// Makes a call in each way against a peer that does `answer` with its stream; how it ended, and how many streams the peer saw.
fn each_way(
    set: impl Fn(&str) -> Channel + Send + 'static,
    answer: impl Fn(&mut frames::Peer, u32) + Send + Clone + 'static,
) -> Vec<(Result<Bytes, Status>, usize)> {
    within(LONG, move || {
        let mut ends = Vec::new();
        for way in WAYS {
            let listener = Listener::new();
            let channel = set(&listener.target());
            let answer = answer.clone();
            let peer = std::thread::spawn(move || {
                let mut peer = listener.accept();
                let (mut streams, mut answered) = (0, 0);
                while let Some(frame) = peer.next() {
                    streams += usize::from(frame.kind == frames::HEADERS);
                    // With its message: a call whose head alone has come has sent nothing by hand yet.
                    if frame.kind == frames::DATA && frame.stream > answered {
                        answered = frame.stream;
                        answer(&mut peer, frame.stream);
                    }
                }
                streams
            });
            if way != "unary, queued" {
                channel.wait_ready(None).unwrap();
            }
            let end = make(way, &channel);
            drop(channel);
            ends.push((end, peer.join().unwrap()));
        }
        ends
    })
}

#[test]
fn w41_two_messages_and_a_status_are_judged_alike_on_every_way() {
    let _alone = alone();
    let ends = each_way(
        |target| insecure_channel(target).unwrap(),
        |peer, stream| {
            peer.respond_head(stream);
            peer.message(stream, b"one", false);
            peer.message(stream, b"two", false);
            peer.respond_trailers(stream, Code::ResourceExhausted as u32);
        },
    );
    for (way, (end, _)) in WAYS.iter().zip(ends) {
        assert_eq!(end.unwrap_err().code(), Code::Unimplemented, "{way}");
    }
}

#[test]
fn w69_a_refused_call_is_made_once_more_or_not_as_the_options_say() {
    let _alone = alone();
    for retry in [true, false] {
        let ends = each_way(
            move |target| Channel::builder(target).retry_refused(retry).connect_lazily().unwrap(),
            |peer, stream| peer.reset(stream, frames::REFUSED_STREAM),
        );
        for (way, (end, streams)) in WAYS.iter().zip(ends) {
            let status = end.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{way}");
            assert!(status.message().contains("REFUSED_STREAM"), "{way}: {status}");
            // What was sent by hand cannot be sent again.
            let again = retry && *way != "stream-unary";
            assert_eq!(streams, 1 + usize::from(again), "{way}");
            assert_eq!(status.message().contains("tried twice"), again, "{way}: {status}");
        }
    }
}

#[test]
fn w68_calls_that_a_goaway_gives_back_are_made_again_whatever_the_options_say() {
    let _alone = alone();
    let listener = Listener::new();
    within(LONG, move || {
        let channel = insecure_channel(&listener.target()).unwrap();
        let unary = channel.raw_unary_unary("/t.S/M").unwrap().retry_refused(false);
        let call = std::thread::spawn(move || unary.call(&Bytes::new()));
        let mut first = listener.accept();
        first.wait_request();
        first.goaway(0, frames::NO_ERROR);
        let mut second = listener.accept();
        let stream = second.wait_request().stream;
        second.respond(stream, b"there");
        assert_eq!(call.join().unwrap().unwrap(), "there");
    });
}
