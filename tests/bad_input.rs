//! Bad input of peers and of users: a clear error, and nothing else is lost.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use support::frames::{
    self, ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR, GOAWAY, HEADERS, Listener, MAX_HEADER_LIST_SIZE, PADDED, PING, PRIORITY,
    PROTOCOL_ERROR, PUSH_PROMISE, Peer, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, frame,
};
use support::{LONG, hpack, pattern, timed, within};

/// The block of a good request.
fn good_block() -> Vec<u8> {
    hpack::encode(&frames::request_fields(ECHO))
}

/// The server answers on this connection. (Many pings would be an attack.)
fn assert_serves(peer: &mut Peer) {
    let stream = peer.request(ECHO, b"x");
    assert_eq!(peer.wait_end(stream).messages(), [b"x"]);
}

/// HEADERS of a request on stream 1, left open.
fn open_stream() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &good_block())
}

/// What is wrong, the bytes after the greeting, and the codes that the answer may have.
fn connection_errors() -> Vec<(&'static str, Vec<u8>, &'static [u32])> {
    let window = |n: u32| n.to_be_bytes().to_vec();
    let setting = |id: u16, value: u32| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    vec![
        ("DATA on stream 0", frame(DATA, 0, 0, b"x"), &[PROTOCOL_ERROR]),
        ("HEADERS on stream 0", frame(HEADERS, END_HEADERS, 0, &good_block()), &[PROTOCOL_ERROR]),
        (
            "HEADERS on an even stream",
            frame(HEADERS, END_HEADERS, 2, &good_block()),
            &[PROTOCOL_ERROR],
        ),
        ("DATA on an idle stream", frame(DATA, 0, 5, b"x"), &[PROTOCOL_ERROR, STREAM_CLOSED]),
        ("RST_STREAM on an idle stream", frame(RST_STREAM, 0, 5, &window(8)), &[PROTOCOL_ERROR]),
        (
            "RST_STREAM of 3 bytes",
            [open_stream(), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            &[FRAME_SIZE_ERROR],
        ),
        ("WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), &[FRAME_SIZE_ERROR]),
        ("WINDOW_UPDATE by 0", frame(WINDOW_UPDATE, 0, 0, &window(0)), &[PROTOCOL_ERROR]),
        (
            "too large a window",
            frame(WINDOW_UPDATE, 0, 0, &window(0x7fff_ffff)),
            &[FLOW_CONTROL_ERROR],
        ),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), &[PROTOCOL_ERROR]),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5]), &[FRAME_SIZE_ERROR]),
        (
            "SETTINGS ACK with a payload",
            frame(SETTINGS, ACK, 0, &setting(3, 1)),
            &[FRAME_SIZE_ERROR],
        ),
        ("ENABLE_PUSH of 2", frame(SETTINGS, 0, 0, &setting(2, 2)), &[PROTOCOL_ERROR]),
        (
            "INITIAL_WINDOW_SIZE of 2^31",
            frame(SETTINGS, 0, 0, &setting(4, 1 << 31)),
            &[FLOW_CONTROL_ERROR],
        ),
        ("MAX_FRAME_SIZE of 16383", frame(SETTINGS, 0, 0, &setting(5, 16_383)), &[PROTOCOL_ERROR]),
        ("PING of 7 bytes", frame(PING, 0, 0, &[0; 7]), &[FRAME_SIZE_ERROR]),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), &[PROTOCOL_ERROR]),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), &[PROTOCOL_ERROR]),
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, &[]), &[PROTOCOL_ERROR]),
        (
            "a frame between HEADERS and CONTINUATION",
            [frame(HEADERS, 0, 1, &good_block()), frame(PING, 0, 0, &[0; 8])].concat(),
            &[PROTOCOL_ERROR],
        ),
        ("PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0; 5]), &[PROTOCOL_ERROR]),
        ("a frame over the limit", frame(DATA, 0, 1, &vec![0; 16_385]), &[FRAME_SIZE_ERROR]),
        (
            "padding longer than the frame",
            [open_stream(), frame(DATA, PADDED, 1, &[9, 0])].concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "a header field of index 0",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]),
            &[COMPRESSION_ERROR],
        ),
        (
            "an index beyond the table",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0x50]),
            &[COMPRESSION_ERROR],
        ),
        (
            "a string longer than its block",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 9, b'x']),
            &[COMPRESSION_ERROR],
        ),
        (
            "an integer without an end",
            frame(HEADERS, END_HEADERS, 1, &[0xff; 20]),
            &[COMPRESSION_ERROR],
        ),
        ("one byte of a block", frame(HEADERS, END_HEADERS, 1, &[0x40]), &[COMPRESSION_ERROR]),
        (
            "bad Huffman code",
            frame(HEADERS, END_HEADERS, 1, &[0, 0x84, 0xff, 0xff, 0xff, 0xff, 0]),
            &[COMPRESSION_ERROR],
        ),
        (
            "a table larger than allowed",
            frame(HEADERS, END_HEADERS, 1, &[0x3f, 0xff, 0xff, 0x7f]),
            &[COMPRESSION_ERROR],
        ),
    ]
}

#[test]
fn a_broken_connection_is_told_why_and_no_other_is_touched() {
    let served = Served::new();
    let mut bystander = Peer::connect(served.address());
    for (what, bytes, codes) in connection_errors() {
        let mut peer = Peer::connect(served.address());
        peer.send(&bytes);
        let frames = peer.drain();
        let goaway = frames
            .iter()
            .find(|frame| frame.kind == GOAWAY)
            .unwrap_or_else(|| panic!("{what}: no GOAWAY: {frames:?}"));
        assert!(codes.contains(&goaway.code()), "{what}: code {}", goaway.code());
        assert_serves(&mut bystander);
    }
}

#[test]
fn the_same_from_a_server_ends_the_clients_call_clearly() {
    for (what, bytes, _) in connection_errors() {
        if what.contains("HEADERS on an even") || what.contains("PUSH_PROMISE") {
            continue; // told apart below: they mean something else from a server
        }
        let listener = Listener::new();
        let channel = channel(&listener.target());
        let server = thread::spawn(move || {
            let mut peer = listener.accept();
            peer.wait_request();
            peer.send(&bytes);
            peer.drain().iter().any(|frame| frame.kind == GOAWAY || frame.kind == RST_STREAM)
        });
        let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
        let (took, outcome) = timed(|| echo.call(&Bytes::new()));
        let status = outcome.unwrap_err();
        assert!(
            matches!(status.code(), Code::Unavailable | Code::Internal | Code::Unknown),
            "{what}: {status:?}"
        );
        assert!(took < LONG / 2, "{what}: {took:?}");
        channel.close();
        assert!(server.join().unwrap(), "{what}: the server was not told");
    }
}

#[test]
fn w8_a_push_is_a_connection_error() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let stream = peer.wait_request().stream;
        let payload = [&2u32.to_be_bytes()[..], &good_block()].concat();
        peer.frame(PUSH_PROMISE, END_HEADERS, stream, &payload);
        peer.wait_kind(GOAWAY).code()
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    assert!(echo.call(&Bytes::new()).is_err());
    assert_eq!(server.join().unwrap(), PROTOCOL_ERROR);
}

#[test]
fn w16_w19_a_malformed_request_loses_its_stream_only() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    let with = |name: &str, value: &str| -> Vec<(String, String)> {
        let mut fields = frames::request_fields(ECHO);
        fields.push((name.to_owned(), value.to_owned()));
        fields
    };
    let without = |name: &str| -> Vec<(String, String)> {
        frames::request_fields(ECHO).into_iter().filter(|(key, _)| key != name).collect()
    };
    let replaced = |name: &str, value: &str| -> Vec<(String, String)> {
        let fields = frames::request_fields(ECHO).into_iter();
        fields
            .map(|(key, old)| if key == name { (key, value.to_owned()) } else { (key, old) })
            .collect()
    };
    let cases = [
        ("an upper-case name", with("X-Upper", "v")),
        ("an unknown pseudo-header", with(":unknown", "v")),
        (":status in a request", with(":status", "200")),
        ("a pseudo-header after the others", with(":path", "/a/b")),
        ("connection", with("connection", "keep-alive")),
        ("transfer-encoding", with("transfer-encoding", "chunked")),
        ("te with something else", replaced("te", "gzip")),
        ("no :path", without(":path")),
        ("no :method", without(":method")),
        ("no :scheme", without(":scheme")),
        ("an empty :path", replaced(":path", "")),
        ("a content-length that is wrong", with("content-length", "3")),
        ("a line break in a value", with("key", "a\r\nb")),
        ("a NUL in a value", with("key", "a\0b")),
        ("an empty name", with("", "v")),
    ];
    for (what, fields) in cases {
        let stream = peer.open_with(&fields, false);
        peer.message(stream, b"x", true);
        let end = peer.wait_end(stream);
        assert!(
            end.reset == Some(PROTOCOL_ERROR)
                || end.head(":status").is_some_and(|s| s.starts_with('4')),
            "{what}: {end:?}"
        );
        assert_serves(&mut peer);
    }
}

#[test]
fn w35_prefixes_that_are_none() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    for (what, bytes, code) in [
        ("a flag of 2", vec![2, 0, 0, 0, 1, 0], Code::Internal),
        ("a flag of 255", vec![255, 0, 0, 0, 1, 0], Code::Internal),
        ("compressed without an encoding", vec![1, 0, 0, 0, 1, 0], Code::Internal),
        ("half a prefix", vec![0, 0], Code::Internal),
        ("half a message", vec![0, 0, 0, 0, 9, 1, 2], Code::Internal),
        ("4 GiB", vec![0, 255, 255, 255, 255, 0], Code::ResourceExhausted),
        (
            "a byte more than allowed",
            [&[0][..], &((4u32 << 20) + 1).to_be_bytes(), &[7]].concat(),
            Code::ResourceExhausted,
        ),
    ] {
        let stream = peer.open(ECHO, &[]);
        peer.data(stream, &bytes, true);
        let end = peer.wait_end(stream);
        assert_eq!(end.status(), Some(code as u32), "{what}: {end:?}");
        assert_serves(&mut peer);
    }
    // W38: decided from the prefix, while the body is still to come.
    let stream = peer.open(ECHO, &[]);
    peer.data(stream, &[0, 127, 255, 255, 255], false);
    assert_eq!(peer.wait_end(stream).status(), Some(Code::ResourceExhausted as u32));
    peer.assert_alive();
}

#[test]
fn w36_how_data_is_cut_makes_no_difference() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    let bytes =
        [frames::message(b"one"), frames::message(b""), frames::message(&pattern(300))].concat();
    let want = [b"one".to_vec(), Vec::new(), pattern(300)];
    for size in [1, 2, 3, 5, 7, 100, bytes.len()] {
        let stream = peer.open(BIDI, &[]);
        for part in bytes.chunks(size) {
            peer.data(stream, part, false);
        }
        peer.data(stream, b"", false);
        peer.data(stream, b"", true);
        assert_eq!(peer.wait_end(stream).messages(), want, "in pieces of {size}");
    }
    // Padded.
    let stream = peer.open(BIDI, &[]);
    let padded = [&[10][..], &bytes, &[0; 10]].concat();
    peer.frame(DATA, PADDED | END_STREAM, stream, &padded);
    assert_eq!(peer.wait_end(stream).messages(), want, "padded");
}

#[test]
fn w30_too_many_header_bytes_are_refused_and_the_connection_lives() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    let mut fields = frames::request_fields(ECHO);
    // Over 16 KiB as they are counted (with 32 for each), and in one frame all the same.
    for n in 0..120 {
        fields.push((format!("key-{n:03}"), "v".repeat(100)));
    }
    let stream = peer.open_with(&fields, true);
    let end = peer.wait_end(stream);
    let refused = end.status() == Some(Code::ResourceExhausted as u32)
        || end.head(":status").as_deref() == Some("431");
    assert!(refused || end.reset.is_some(), "{end:?}");
    let stream = peer.request(ECHO, b"x");
    assert_eq!(peer.wait_end(stream).messages(), [b"x"]);
}

#[test]
fn a_preface_that_is_none_ends_the_connection() {
    let served = Served::new();
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0; 64],
    ] {
        let mut peer = Peer::connect_raw(served.address());
        peer.send(bytes);
        within(LONG, move || drop(peer.drain()));
    }
    let mut peer = Peer::connect(served.address());
    peer.assert_alive();
}

#[test]
fn l9_a_server_that_speaks_something_else() {
    for greeting in [
        &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"220 mail ESMTP\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let channel = channel(&listener.local_addr().unwrap().to_string());
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.write_all(greeting);
            if greeting[0] == 0x15 {
                // An alert in answer to what is no handshake: nothing follows it.
                let _ = socket.shutdown(std::net::Shutdown::Write);
            }
            let mut peer = Vec::new();
            let _ = std::io::Read::read_to_end(&mut socket, &mut peer);
        });
        let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
        let (took, outcome) = timed(|| echo.call(&Bytes::new()));
        let status = outcome.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        channel.close();
        server.join().unwrap();
    }
}

#[test]
fn a_port_in_use_is_a_typed_error() {
    let served = Served::new();
    let other = grpc_threads::server(ThreadPool::new(1));
    let error = other.add_insecure_port(&served.target()).unwrap_err();
    assert_eq!(error.io_error().kind(), std::io::ErrorKind::AddrInUse);
    let text = error.to_string();
    assert!(text.contains(&served.target()), "the address is missing: {text}");
    assert!(text.contains("in use"), "the reason is missing: {text}");
    // What is no address at all.
    for bad in ["", "localhost", "1.2.3.4:99999", "300.1.1.1:1", "no such host:1"] {
        let error = other.add_insecure_port(bad).unwrap_err();
        assert!(error.to_string().contains(bad), "{error}");
    }
}

#[test]
fn a_name_that_does_not_resolve_is_unavailable_and_named() {
    let channel = channel("no-such-host.invalid:1");
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let status = echo.call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let text = format!("{status:?} {}", status.debug_error_string());
    assert!(text.contains("no-such-host.invalid"), "{text}");
}

#[test]
fn targets_that_are_none_are_refused_when_the_channel_is_made() {
    for bad in ["", "http://host:1", "host:99999", "host:port", "dns:///", "[::1", "ipv4:"] {
        let error = grpc_threads::insecure_channel(bad)
            .err()
            .unwrap_or_else(|| panic!("{bad:?} was taken"));
        assert!(
            error.to_string().contains(&format!("{bad:?}")) || error.to_string().contains(bad),
            "{error}"
        );
    }
    for path in ["", "Echo", "/Echo", "test.Test/Echo", "/test.Test/", "/test.Test/E cho"] {
        assert!(channel("127.0.0.1:1").raw_unary_unary(path).is_err(), "{path:?} was taken");
    }
}

#[test]
fn a_request_that_is_too_long_to_send_is_refused_here() {
    let served = Served::new();
    let echo =
        served.channel().raw_unary_unary(ECHO).unwrap().timeout(LONG).max_send_message_size(10);
    let ours = echo.call(&Bytes::from(pattern(11))).unwrap_err();
    assert_eq!(ours.code(), Code::ResourceExhausted);
    assert!(ours.to_string().contains("max_send_message_size"), "{ours}");
    assert_eq!(echo.call(&Bytes::from(pattern(10))).unwrap(), pattern(10));
    let short = echo.max_send_message_size(usize::MAX).max_receive_message_size(10);
    let ours = short.call(&Bytes::from(pattern(11))).unwrap_err();
    assert!(ours.to_string().contains("max_receive_message_size"), "{ours}");
    assert!(!ours.to_string().contains("the peer"), "{ours}");
}

#[test]
fn a_limit_of_the_servers_is_told_as_its_own() {
    let served = Served::new();
    let echo = served.channel().raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let theirs = echo.call(&Bytes::from(pattern((4 << 20) + 1))).unwrap_err();
    assert_eq!(theirs.code(), Code::ResourceExhausted);
    for words in ["the peer said so", "receiver's max_receive_message_size", "4194304 bytes"] {
        assert!(theirs.to_string().contains(words), "{theirs}");
    }
}

#[test]
fn bytes_that_are_no_message_are_internal() {
    let typed =
        grpc_threads::unary_unary_rpc_method_handler(|text: String, _: &ServicerContext| Ok(text));
    let served = Served::with(2, [("Typed", typed)]);
    let channel = served.channel();
    let raw = channel.raw_unary_unary("/test.Test/Typed").unwrap().timeout(LONG);
    let status = raw.call(&Bytes::from_static(b"\x0a\xff")).unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    let typed = channel.unary_unary::<String, String>(ECHO).unwrap().timeout(LONG);
    assert_eq!(typed.call(&"text".to_owned()).unwrap(), "text");
    let number = channel.unary_unary::<String, u64>(ECHO).unwrap().timeout(LONG);
    let status = number.call(&"text".to_owned()).unwrap_err();
    assert!(matches!(status.code(), Code::Internal), "{status:?}");
}

#[test]
fn garbage_never_takes_the_server_down() {
    let served = Served::new();
    // A small generator: the same garbage each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..300 {
        let mut peer = if round % 2 == 0 {
            Peer::connect(served.address())
        } else {
            Peer::connect_raw(served.address())
        };
        for _ in 0..20 {
            let len = (random() % 40) as usize;
            let payload: Vec<u8> = (0..len).map(|_| random() as u8).collect();
            peer.frame((random() % 12) as u8, random() as u8, (random() % 6) as u32, &payload);
        }
        peer.shutdown_write();
        within(LONG, move || drop(peer.drain()));
    }
    let _ = TcpStream::connect(served.address()).unwrap();
    let echo = served.channel().raw_unary_unary(ECHO).unwrap().timeout(LONG);
    assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), b"x"[..]);
}

/// Fields of any octets.
type Octets = Vec<(Vec<u8>, Vec<u8>)>;

/// Requests whose refusal might quote kilobytes of them.
fn quoted_requests() -> Vec<(&'static str, Octets)> {
    let request = |name: &[u8], value: &[u8]| -> Octets {
        let mut fields: Vec<_> = frames::request_fields(ECHO)
            .into_iter()
            .map(|(key, value)| (key.into_bytes(), value.into_bytes()))
            .filter(|(key, _)| key != name)
            .collect();
        let at = if name.starts_with(b":") { 0 } else { fields.len() };
        fields.insert(at, (name.to_vec(), value.to_vec()));
        fields
    };
    let mut requests = Vec::new();
    for (what, octet) in [("0xff", 0xff), ("letters", b'a'), ("percent", b'%'), ("quotes", b'"')] {
        let long = vec![octet; 3_900];
        requests.push((what, request(b":path", &long)));
        requests.push((what, request(b":path", &[b"/a/", &long[..]].concat())));
        requests.push((what, request(b"grpc-timeout", &long)));
        requests.push((what, request(b"grpc-encoding", &long)));
    }
    requests.push(("a name", request(&[&[b'n'; 3_900][..], b"-bin"].concat(), b"!")));
    requests
}

#[test]
fn no_answer_reflects_a_peers_text_at_length() {
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    for (what, fields) in quoted_requests() {
        let stream = peer.open_with(&fields, true);
        let answer = peer.wait_for(|frame| frame.stream == stream && frame.kind == HEADERS);
        let size = answer.payload.len();
        assert!(size < 600, "{what}: {size} octets");
        assert!(answer.field("grpc-status").is_some_and(|status| status != "0"), "{what}");
    }
}

#[test]
fn w29_a_refusal_is_no_larger_than_what_the_client_takes() {
    let served = Served::new();
    for most in [10, 250, 400] {
        let mut peer = Peer::connect_with(served.address(), &[(MAX_HEADER_LIST_SIZE, most)]);
        for (what, fields) in quoted_requests() {
            let stream = peer.open_with(&fields, true);
            let answer = peer.wait_for(|frame| frame.stream == stream && frame.kind == HEADERS);
            let list = answer.fields();
            let size: usize = list.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
            // What cannot be left out is three fields.
            assert!(size <= most as usize || list.len() == 3, "{what}: {size} of {most}");
        }
    }
}

#[test]
fn w14_an_unknown_method_is_named() {
    let served = Served::new();
    let unknown = served.channel().raw_unary_unary("/test.Test/Nobody").unwrap();
    let status = unknown.timeout(LONG).call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("Method not found!"), "{status}");
    assert!(status.message().contains("/test.Test/Nobody"), "{status}");
}

#[test]
fn w38_w41_a_body_that_is_refused_is_one_answer_however_it_comes() {
    let served = Served::new();
    let too_long = [0, 0x7f, 0, 0, 0, 1];
    let two = [frames::message(b"x"), frames::message(b"y")].concat();
    for (body, code) in [(&too_long[..], Code::ResourceExhausted), (&two, Code::Unimplemented)] {
        for (cut, apart) in [(false, false), (true, false), (true, true), (false, true)] {
            let mut peer = Peer::connect(served.address());
            let block = hpack::encode(&frames::request_fields(ECHO));
            let mut pieces = vec![frame(HEADERS, END_HEADERS, 1, &block)];
            match cut {
                true => pieces.extend(body.chunks(6).map(|part| frame(DATA, 0, 1, part))),
                false => pieces.push(frame(DATA, 0, 1, body)),
            }
            // The end of the request in a frame of its own, in the same read or in a later one.
            pieces.push(frame(DATA, END_STREAM, 1, &[]));
            if apart {
                for piece in &pieces {
                    peer.send(piece);
                    peer.assert_alive();
                }
            } else {
                peer.send(&pieces.concat());
            }
            let end = peer.wait_end(1);
            assert_eq!(end.status(), Some(code as u32), "cut {cut}, apart {apart}: {end:?}");
        }
    }
}
