//! One input, one answer: what a server's last frames come to does not depend on the kind of call, on whether the
//! channel was connected before, or on how the frames were cut into reads.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::collections::VecDeque;
use std::thread;
use support::LONG;
use support::frames::{
    self, CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, INTERNAL_ERROR, Listener, NO_ERROR, PING,
    Peer, REFUSED_STREAM,
};
use support::hpack;

/// Frames of an answer, made for a stream.
type Answer = fn(u32) -> Vec<Vec<u8>>;

/// A way to make a call.
type Kind = (&'static str, fn(&Channel) -> Status);

fn head(stream: u32, more: &[(&str, &str)], end: bool) -> Vec<u8> {
    let mut fields = vec![(":status", "200"), ("content-type", "application/grpc")];
    fields.extend(more);
    block(stream, &fields, end)
}

fn block(stream: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let flags = END_HEADERS | if end { END_STREAM } else { 0 };
    frames::frame(HEADERS, flags, stream, &hpack::encode(fields))
}

fn data(stream: u32, payload: &[u8], end: bool) -> Vec<u8> {
    frames::frame(DATA, if end { END_STREAM } else { 0 }, stream, payload)
}

const WHY: [(&str, &str); 4] = [
    ("grpc-status", "8"),
    ("grpc-message", "full"),
    ("grpc-status-details-bin", "b3Vycw"),
    ("x-why", "because"),
];

/// The ways to make a call, by name; each gives the status.
const KINDS: [Kind; 6] = [
    ("unary", |channel| status(channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).call(&x()))),
    ("future", |channel| {
        let mut future = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).future(&x());
        let _ = future.result(None);
        future.status()
    }),
    ("unary-stream", |channel| {
        let call = channel.raw_unary_stream(ECHO).unwrap().timeout(LONG).call(&x());
        call.map_or_else(|status| status, last)
    }),
    ("stream-unary", |channel| {
        status(channel.raw_stream_unary(ECHO).unwrap().timeout(LONG).call([x()]))
    }),
    ("stream-stream", |channel| {
        let mut duplex = channel.raw_stream_stream(ECHO).unwrap().timeout(LONG).open();
        let _ = duplex.send(&x());
        let _ = duplex.done_writing();
        last(std::iter::from_fn(|| duplex.recv().transpose()))
    }),
    ("unary with its call", |channel| {
        status(channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).with_call(&x()))
    }),
];

fn x() -> Bytes {
    Bytes::from_static(b"x")
}

fn status<T>(outcome: Result<T, Status>) -> Status {
    outcome.err().unwrap_or_default()
}

fn last(responses: impl Iterator<Item = Result<Bytes, Status>>) -> Status {
    responses.filter_map(Result::err).next().unwrap_or_default()
}

/// Makes the call against the answer in every way: on a channel's first call and on a later one, all frames in one write
/// and each in a read of its own. `kinds` chooses from [`KINDS`].
fn in_every_way(answer: Answer, kinds: impl Fn(&str) -> bool, check: impl Fn(&str, &Status)) {
    for (kind, call) in KINDS.iter().filter(|(kind, _)| kinds(kind)) {
        for apart in [false, true] {
            let listener = Listener::new();
            let channel = channel(&listener.target());
            let server = thread::spawn(move || serve(&mut listener.accept(), answer, apart));
            for round in ["first", "later"] {
                let got = call(&channel);
                check(&format!("{kind}, {round} call, frames apart: {apart}: {got:?}"), &got);
            }
            channel.close();
            server.join().unwrap();
        }
    }
}

/// Answers every request, and reads until the client closes.
fn serve(peer: &mut Peer, answer: Answer, apart: bool) {
    let mut asked = VecDeque::new();
    loop {
        let Some(stream) = asked.pop_front() else {
            match peer.next() {
                Some(frame) if frame.kind == HEADERS => asked.push_back(frame.stream),
                Some(_) => {}
                None => return,
            }
            continue;
        };
        let frames = answer(stream);
        if !apart {
            peer.send(&frames.concat());
            continue;
        }
        for frame in frames {
            peer.send(&frame);
            // The answer to it says that what went before was read.
            peer.ping(*b"was read");
            loop {
                match peer.next() {
                    Some(frame) if frame.kind == HEADERS => asked.push_back(frame.stream),
                    Some(frame) if frame.kind == PING => break,
                    Some(_) => {}
                    None => return,
                }
            }
        }
    }
}

#[test]
fn w39_the_peers_status_wins_over_an_end_inside_a_message() {
    let cuts: [Answer; 3] = [
        |stream| {
            vec![
                head(stream, &[], false),
                data(stream, b"\0\0\0\0\x64tententen!", false),
                block(stream, &WHY, true),
            ]
        },
        |stream| {
            vec![
                head(stream, &[], false),
                data(stream, b"\0\0\0\0\x01x\0\0\0\0\x64tententen!", false),
                block(stream, &WHY, true),
            ]
        },
        |stream| {
            vec![head(stream, &[], false), data(stream, b"\0\0", false), block(stream, &WHY, true)]
        },
    ];
    for answer in cuts {
        in_every_way(
            answer,
            |_| true,
            |way, status| {
                assert_eq!(status.code(), Code::ResourceExhausted, "{way}");
                assert_eq!((status.message(), status.details()), ("full", &b"ours"[..]), "{way}");
                assert_eq!(status.trailing_metadata().get("x-why"), Some("because"), "{way}");
            },
        );
    }
}

#[test]
fn w39_an_end_inside_a_message_is_internal_though_the_status_is_ok() {
    in_every_way(
        |stream| {
            vec![
                head(stream, &[], false),
                data(stream, b"\0\0\0\0\x01x\0\0\0\0\x64tententen!", false),
                block(stream, &[("grpc-status", "0")], true),
            ]
        },
        |_| true,
        |way, status| assert_eq!(status.code(), Code::Internal, "{way}"),
    );
}

#[test]
fn w35_w38_what_we_end_a_call_for_stands_whatever_comes_after() {
    in_every_way(
        |stream| {
            vec![
                head(stream, &[], false),
                data(stream, b"\x01\0\0\0\x01x", false),
                block(stream, &WHY, true),
            ]
        },
        |_| true,
        |way, status| assert_eq!(status.code(), Code::Internal, "{way}"),
    );
    in_every_way(
        |stream| {
            vec![
                head(stream, &[], false),
                data(stream, b"\0\x7f\0\0\0x", false),
                block(stream, &[("grpc-status", "5")], true),
            ]
        },
        |_| true,
        |way, status| {
            assert_eq!(status.code(), Code::ResourceExhausted, "{way}");
            assert!(status.message().contains("max_receive_message_size"), "{way}");
        },
    );
}

#[test]
fn w41_a_message_too_many_is_one_answer_whatever_the_status() {
    for answer in [
        (|stream| {
            vec![
                head(stream, &[], false),
                data(stream, b"\0\0\0\0\x01x", false),
                data(stream, b"\0\0\0\0\x01y", false),
                block(stream, &WHY, true),
            ]
        }) as Answer,
        |stream| {
            vec![
                head(stream, &[], false),
                data(stream, b"\0\0\0\0\x01x\0\0\0\0\x01y", false),
                block(stream, &[("grpc-status", "0")], true),
            ]
        },
        // No status at all: nobody waits for it.
        |stream| vec![head(stream, &[], false), data(stream, b"\0\0\0\0\x01x\0\0\0\0\x01y", false)],
    ] {
        in_every_way(
            answer,
            |kind| !kind.ends_with("-stream"),
            |way, status| assert_eq!(status.code(), Code::Unimplemented, "{way}"),
        );
    }
}

#[test]
fn w41_a_status_wins_over_a_missing_message() {
    in_every_way(
        |stream| vec![head(stream, &[], false), block(stream, &WHY, true)],
        |_| true,
        |way, status| assert_eq!(status.code(), Code::ResourceExhausted, "{way}"),
    );
    in_every_way(
        |stream| vec![head(stream, &[], false), block(stream, &[("grpc-status", "0")], true)],
        |kind| !kind.ends_with("-stream"),
        |way, status| assert_eq!(status.code(), Code::Unimplemented, "{way}"),
    );
}

#[test]
fn w49_a_status_in_a_head_that_is_not_the_end_is_quoted() {
    for answer in [
        (|stream| vec![head(stream, &[("grpc-status", "8")], false), data(stream, b"", true)])
            as Answer,
        |stream| {
            vec![
                head(stream, &[("grpc-status", "8")], false),
                data(stream, b"\0\0\0\0\x01x", false),
                data(stream, b"", true),
            ]
        },
    ] {
        in_every_way(
            answer,
            |_| true,
            |way, status| {
                assert_eq!(status.code(), Code::Internal, "{way}");
                assert!(status.message().contains("grpc-status \"8\""), "{way}");
            },
        );
    }
    in_every_way(
        |stream| {
            vec![
                block(stream, &[(":status", "200"), ("grpc-status", "8")], false),
                data(stream, b"", true),
            ]
        },
        |_| true,
        |way, status| {
            assert_eq!(status.code(), Code::Unknown, "{way}");
            assert!(status.message().contains("grpc-status \"8\""), "{way}");
            assert!(!status.message().contains("no grpc-status"), "{way}");
        },
    );
}

#[test]
fn w52_an_end_without_trailers_hints_at_a_proxy() {
    in_every_way(
        |stream| vec![head(stream, &[], false), data(stream, b"", true)],
        |_| true,
        |way, status| {
            assert_eq!(status.code(), Code::Internal, "{way}");
            assert!(status.message().contains("proxy"), "{way}");
        },
    );
}

#[test]
fn w69_a_call_that_was_given_up_says_all_that_is_known() {
    in_every_way(
        |stream| vec![frames::frame(frames::RST_STREAM, 0, stream, &REFUSED_STREAM.to_be_bytes())],
        |_| true,
        |way, status| {
            assert_eq!(status.code(), Code::Unavailable, "{way}");
            // What was sent by hand by then is not there to be sent once more.
            let by_hand = way.starts_with("stream-");
            let known = if by_hand { "(REFUSED_STREAM" } else { "(REFUSED_STREAM, tried twice)" };
            assert!(status.message().contains(known), "{way}");
        },
    );
}

/// Calls against connections that each say GOAWAY and nothing else.
fn given_up(frames: fn(u32) -> Vec<u8>) -> Status {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        for _ in 0..2 {
            let mut peer = listener.accept();
            let stream = peer.wait_request().stream;
            peer.send(&frames(stream));
            peer.drain();
        }
    });
    let status =
        channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).call(&x()).expect_err("it failed");
    server.join().unwrap();
    status
}

fn goaway(last: u32, code: u32, debug: &[u8]) -> Vec<u8> {
    let payload = [&last.to_be_bytes()[..], &code.to_be_bytes(), debug].concat();
    frames::frame(frames::GOAWAY, 0, 0, &payload)
}

#[test]
fn w69_a_goaway_below_the_call_is_quoted_with_its_text() {
    let status = given_up(|_| goaway(0, INTERNAL_ERROR, b"too much of it"));
    assert_eq!(status.code(), Code::Unavailable);
    for part in ["GOAWAY, tried twice", "INTERNAL_ERROR", "\"too much of it\""] {
        assert!(status.message().contains(part), "{part}: {status}");
    }
}

#[test]
fn a_reset_without_an_error_after_a_goaway_with_one_is_the_connections_end() {
    let table = [
        (NO_ERROR, INTERNAL_ERROR, Code::Unavailable, true),
        (NO_ERROR, NO_ERROR, Code::Internal, false),
        (CANCEL, INTERNAL_ERROR, Code::Cancelled, true),
    ];
    for (reset, last, code, told) in table {
        let listener = Listener::new();
        let channel = channel(&listener.target());
        let server = thread::spawn(move || {
            let mut peer = listener.accept();
            let stream = peer.wait_request().stream;
            peer.send(&goaway(stream, last, b""));
            peer.reset(stream, reset);
            peer.drain();
        });
        let call = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).call(&x());
        let status = call.expect_err("it failed");
        assert_eq!(status.code(), code, "{status}");
        assert_eq!(status.message().contains("GOAWAY said INTERNAL_ERROR"), told, "{status}");
        server.join().unwrap();
    }
}

#[test]
fn a_cancelled_before_the_calls_deadline_is_one() {
    let answers: [Answer; 2] = [
        |stream| {
            vec![head(
                stream,
                &[("grpc-status", "1"), ("grpc-message", "late"), ("x-why", "because")],
                true,
            )]
        },
        |stream| vec![frames::frame(frames::RST_STREAM, 0, stream, &CANCEL.to_be_bytes())],
    ];
    for answer in answers {
        // In time it is what it is.
        in_every_way(
            answer,
            |_| true,
            |way, status| assert_eq!(status.code(), Code::Cancelled, "{way}"),
        );
    }
}
