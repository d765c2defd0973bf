//! How calls end: every code, and every ending that is no gRPC status.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::sync::mpsc;
use std::thread;
use support::LONG;
use support::frames::{self, Ended, Listener, Peer, Vacant};

fn fail(channel: &Channel, text: &str) -> Status {
    let fail = channel.raw_unary_unary(FAIL).unwrap().timeout(LONG);
    fail.call(&Bytes::copy_from_slice(text.as_bytes())).unwrap_err()
}

#[test]
fn every_code_comes_through() {
    let served = Served::new();
    let channel = served.channel();
    for code in 1..=16 {
        let status = fail(&channel, &format!("{code} because"));
        assert_eq!((status.code() as i32, status.message()), (code, "because"));
    }
}

#[test]
fn w47_any_text_is_a_message() {
    let served = Served::new();
    let channel = served.channel();
    for text in [
        "",
        "plain",
        "100 %",
        "%41",
        "\t\ntest\r\nwith \u{263a} and \u{1f608}\t\n",
        " blanks ",
        "\0",
        "~\u{7f}é",
    ] {
        let status = fail(&channel, &format!("9 {text}"));
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, text));
    }
}

#[test]
fn w46_an_error_before_any_message_is_trailers_only() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    let stream = peer.request(FAIL, b"5 none of these");
    let end = peer.wait_end(stream);
    assert_eq!(end.headers.len(), 1, "W45: {end:?}");
    assert_eq!(end.head(":status").as_deref(), Some("200"));
    assert!(end.head("content-type").unwrap().starts_with("application/grpc"));
    assert_eq!(
        (end.status(), end.trailer("grpc-message").as_deref()),
        (Some(5), Some("none of these"))
    );
}

#[test]
fn w45_an_answer_is_head_messages_and_trailers() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    let stream = peer.request(ECHO, b"x");
    let end = peer.wait_end(stream);
    assert_eq!(end.headers.len(), 2);
    assert_eq!(end.head(":status").as_deref(), Some("200"));
    assert_eq!(end.head("grpc-status"), None);
    assert_eq!(
        end.trailer("grpc-status").as_deref(),
        Some("0"),
        "the status is sent even when it is OK"
    );
    assert_eq!(end.trailer("content-type"), None);
    assert_eq!(end.messages(), [b"x"]);
}

#[test]
fn w14_what_is_not_there_is_unimplemented() {
    let served = Served::new();
    let channel = served.channel();
    for path in ["/test.Test/Nothing", "/other.Service/Echo", "/test.Test/echo"] {
        let status =
            channel.raw_unary_unary(path).unwrap().timeout(LONG).call(&Bytes::new()).unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
}

/// What a call comes to that a scripted server ends in this way.
fn ended_by(script: impl Fn(&mut Peer, u32) + Send + 'static) -> Result<Bytes, Status> {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let (over, done) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let stream = peer.wait_request().stream;
        script(&mut peer, stream);
        // The end of the connection must not be what ends the call.
        let _ = done.recv();
    });
    let outcome = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).call(&Bytes::new());
    drop(over);
    server.join().unwrap();
    outcome
}

#[test]
fn w51_an_http_status_without_a_grpc_status() {
    let table = [
        (400, Code::Internal),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
        (429, Code::Unavailable),
        (431, Code::Unknown),
        (500, Code::Unknown),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::Unavailable),
        (200, Code::Unknown),
    ];
    for (http, code) in table {
        for body in [true, false] {
            let status = ended_by(move |peer, stream| {
                let fields = [(":status", http.to_string()), ("content-type", "text/plain".into())];
                peer.headers(stream, &fields, !body);
                if body {
                    peer.data(stream, b"sorry", true);
                }
            });
            let status = status.unwrap_err();
            assert_eq!(status.code(), code, "HTTP {http}, body {body}: {status:?}");
            for words in [&format!("HTTP status {http}"), "\"text/plain\"", "ipv4:127.0.0.1:"] {
                assert!(status.to_string().contains(words), "{status}");
            }
        }
    }
}

#[test]
fn w56_a_deadline_that_the_peer_has_found_to_be_over_is_told_as_its_word() {
    let status = ended_by(|peer, stream| {
        peer.respond_head(stream);
        peer.respond_trailers(stream, 4);
    });
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.to_string().contains("the peer said so, by its trailers"), "{status}");
}

#[test]
fn w51_an_answer_without_grpc_names_the_peer_on_a_connection_that_serves_calls_too() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let stream = peer.wait_request().stream;
        peer.respond(stream, b"");
        let stream = peer.wait_request().stream;
        let fields = [(":status", "404"), ("content-type", "text/html")];
        peer.headers(stream, &fields, true);
        peer.drain();
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    echo.call(&Bytes::new()).unwrap();
    let status = echo.call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    for words in ["404", "text/html", "ipv4:127.0.0.1:", "answered so"] {
        assert!(status.to_string().contains(words), "{status}");
    }
    channel.close();
    server.join().unwrap();
}

#[test]
fn w51_a_grpc_status_wins_over_http() {
    let status = ended_by(|peer, stream| {
        let fields =
            [(":status", "503"), ("content-type", "application/grpc"), ("grpc-status", "5")];
        peer.headers(stream, &fields, true);
    });
    assert_eq!(status.unwrap_err().code(), Code::NotFound);
}

#[test]
fn w54_a_reset_is_a_status() {
    let table = [
        (0, Code::Internal),
        (1, Code::Internal),
        (2, Code::Internal),
        (3, Code::Internal),
        (4, Code::Internal),
        (6, Code::Internal),
        (8, Code::Cancelled),
        (9, Code::Internal),
        (10, Code::Internal),
        (11, Code::ResourceExhausted),
        (12, Code::PermissionDenied),
        (13, Code::Internal),
        (99, Code::Unknown),
    ];
    for (reason, code) in table {
        let status = ended_by(move |peer, stream| peer.reset(stream, reason)).unwrap_err();
        assert_eq!(status.code(), code, "code {reason}: {status:?}");
    }
}

#[test]
fn w49_w50_w53_odd_endings() {
    let head = [(":status", "200"), ("content-type", "application/grpc")];
    // A grpc-status in headers that do not end the stream is none.
    let reply = ended_by(move |peer, stream| {
        peer.headers(
            stream,
            &[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5")],
            false,
        );
        peer.message(stream, b"m", false);
        peer.respond_trailers(stream, 0);
    });
    assert_eq!(reply.unwrap(), b"m"[..], "W49");
    // Numbers that are none, and numbers nobody knows.
    for (text, raw) in
        [("five", None), ("", None), ("17", Some(17)), ("1000", Some(1000)), ("-1", None)]
    {
        let status = ended_by(move |peer, stream| {
            peer.headers(
                stream,
                &[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", text)],
                true,
            );
        });
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::Unknown, "W50: {text:?}");
        assert!(
            raw.is_none_or(|raw| status.raw_code() == raw),
            "W50: {text:?}: {}",
            status.raw_code()
        );
    }
    // Interim responses are skipped.
    let reply = ended_by(move |peer, stream| {
        peer.headers(stream, &[(":status", "103"), ("link", "x")], false);
        peer.respond(stream, b"m");
    });
    assert_eq!(reply.unwrap(), b"m"[..], "W53");
    // DATA ends the stream: no status came.
    let status = ended_by(move |peer, stream| {
        peer.headers(stream, &head, false);
        peer.message(stream, b"m", true);
    });
    assert!(matches!(status.unwrap_err().code(), Code::Internal | Code::Unknown), "W52");
    // A message that is not whole.
    let status = ended_by(move |peer, stream| {
        peer.headers(stream, &head, false);
        peer.data(stream, &[0, 0, 0, 0, 9, 1, 2], false);
        peer.respond_trailers(stream, 0);
    });
    assert_eq!(status.unwrap_err().code(), Code::Internal, "W39");
    // A compressed message that nobody asked for.
    let status = ended_by(move |peer, stream| {
        peer.headers(stream, &head, false);
        peer.data(stream, &[1, 0, 0, 0, 1, 1], false);
        peer.respond_trailers(stream, 0);
    });
    assert_eq!(status.unwrap_err().code(), Code::Internal, "W35");
}

#[test]
fn l25_a_reset_after_the_end_changes_nothing() {
    let reply = ended_by(|peer, stream| {
        let mut bytes = frames::frame(
            frames::HEADERS,
            frames::END_HEADERS,
            stream,
            &support::hpack::encode(&[(":status", "200"), ("content-type", "application/grpc")]),
        );
        bytes.extend(frames::frame(frames::DATA, 0, stream, &frames::message(b"m")));
        let trailers = support::hpack::encode(&[("grpc-status", "0")]);
        bytes.extend(frames::frame(
            frames::HEADERS,
            frames::END_HEADERS | frames::END_STREAM,
            stream,
            &trailers,
        ));
        bytes.extend(frames::frame(
            frames::RST_STREAM,
            0,
            stream,
            &frames::INTERNAL_ERROR.to_be_bytes(),
        ));
        peer.send(&bytes);
    });
    assert_eq!(reply.unwrap(), b"m"[..]);
}

#[test]
fn a_status_tells_what_the_call_was_about() {
    let vacant = Vacant::new();
    let target = vacant.target();
    let echo = channel(&target).raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let status = echo.call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let text = format!("{status} {status:?} {}", status.debug_error_string());
    assert!(text.contains(&target), "the address is missing: {text}");
    assert!(text.to_lowercase().contains("refused"), "the reason is missing: {text}");
}

#[test]
fn w10_w12_what_is_no_grpc_is_told_so_in_http() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    type Fields = Vec<(String, String)>;
    let ask = |peer: &mut Peer, change: &dyn Fn(&mut Fields)| -> Ended {
        let mut fields = frames::request_fields(ECHO);
        change(&mut fields);
        let stream = peer.open_with(&fields, false);
        peer.message(stream, b"x", true);
        peer.wait_end(stream)
    };
    let set = |fields: &mut Vec<(String, String)>, name: &str, value: &str| {
        fields
            .iter_mut()
            .filter(|(key, _)| key == name)
            .for_each(|(_, old)| *old = value.to_owned());
    };
    for good in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
        let end = ask(&mut peer, &|fields| set(fields, "content-type", good));
        assert_eq!(
            (end.head(":status").as_deref(), end.status()),
            (Some("200"), Some(0)),
            "{good}"
        );
    }
    for bad in ["application/json", "application/grpcfoo", "application/grpc-web", "text/html"] {
        let end = ask(&mut peer, &|fields| set(fields, "content-type", bad));
        assert_eq!(end.head(":status").as_deref(), Some("415"), "{bad}");
    }
    let end = ask(&mut peer, &|fields| fields.retain(|(name, _)| name != "content-type"));
    assert_eq!(end.head(":status").as_deref(), Some("415"), "none");
    let end = ask(&mut peer, &|fields| set(fields, ":method", "PUT"));
    assert_eq!(end.head(":status").as_deref(), Some("405"), "PUT");
    // W17: a proxy has taken `te` away.
    let end = ask(&mut peer, &|fields| fields.retain(|(name, _)| name != "te"));
    assert_eq!(end.status(), Some(0));
    peer.assert_alive();
}

#[test]
fn w13_paths_that_are_none_reach_no_handler() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    for path in [
        "test.Test/Echo",
        "/test.Test",
        "/",
        "//test.Test/Echo",
        "/test.Test/Echo/",
        "/test.Test/Echo?x=1",
        "/test.Test%2FEcho",
        "*",
    ] {
        let stream = peer.open(path, &[]);
        peer.message(stream, b"x", true);
        let end = peer.wait_end(stream);
        assert!(end.body.is_empty(), "{path} reached a handler");
        assert!(
            end.status() == Some(Code::Unimplemented as u32)
                || end.reset.is_some()
                || end.head(":status").as_deref() != Some("200"),
            "{path}: {end:?}"
        );
    }
    peer.assert_alive();
}

#[test]
fn w18_an_encoding_that_is_not_there_is_unimplemented() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    let stream = peer.open(ECHO, &[("grpc-encoding", "snappy")]);
    peer.message(stream, b"x", true);
    let end = peer.wait_end(stream);
    assert_eq!(end.status(), Some(Code::Unimplemented as u32), "{end:?}");
    let stream = peer.open(ECHO, &[("grpc-encoding", "identity")]);
    peer.message(stream, b"x", true);
    assert_eq!(peer.wait_end(stream).status(), Some(0));
}
