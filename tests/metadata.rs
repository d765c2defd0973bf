//! Metadata: both ways, in every kind of block, and exactly as it was.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::ServerOptions;
use grpc_threads::metadata::Value;
use service::*;
use std::thread;
use support::LONG;
use support::frames::{END_HEADERS, END_STREAM, HEADERS, Listener, Peer};

/// Gives back the metadata it got: what begins with `i-` first, what begins with `t-` at the end.
fn reflect() -> RpcMethodHandler {
    by_hand(|stream, context| {
        let (mut initial, mut trailing) = (Metadata::new(), Metadata::new());
        for (key, value) in context.invocation_metadata().iter() {
            let into = match key.get(..2) {
                Some("i-") => &mut initial,
                Some("t-") => &mut trailing,
                _ => continue,
            };
            let kept = match value {
                Value::Ascii(text) => into.append(key, text),
                Value::Bin(bytes) => into.append_bin(key, bytes),
            };
            kept.map_err(Status::from)?;
        }
        stream.send_initial_metadata(&initial)?;
        stream.set_trailing_metadata(trailing);
        while let Some(request) = stream.recv()? {
            stream.send(&request)?;
        }
        Ok(())
    })
}

fn sample(prefix: &str) -> Metadata {
    let key = |name: &str| format!("{prefix}{name}");
    Metadata::new()
        .with(&key("text"), "a value, with: signs ~!%")
        .and_then(|m| m.with(&key("empty"), ""))
        .and_then(|m| m.with(&key("twice"), "one"))
        .and_then(|m| m.with(&key("twice"), "two"))
        .and_then(|m| m.with_bin(&key("raw-bin"), (0..=255).collect::<Vec<u8>>()))
        .and_then(|m| m.with_bin(&key("raw-bin"), [0xff]))
        .and_then(|m| m.with_bin(&key("none-bin"), []))
        .unwrap()
}

#[test]
fn metadata_comes_back_as_it_was_both_ways() {
    let served = Served::with(2, [("Reflect", reflect())]);
    let call = served.channel().raw_stream_stream("/test.Test/Reflect").unwrap().timeout(LONG);
    let mut sent = sample("i-");
    sent.extend(&sample("t-"));
    let mut duplex = call.metadata(&sent).open();
    assert_eq!(duplex.initial_metadata(), sample("i-"));
    duplex.send(&Bytes::from_static(b"x")).unwrap();
    assert_eq!(duplex.recv().unwrap().unwrap(), b"x"[..]);
    duplex.done_writing().unwrap();
    assert!(duplex.recv().unwrap().is_none());
    assert_eq!(duplex.trailing_metadata(), sample("t-"));
}

#[test]
fn one_header_is_one_line() {
    let named = unary(|_, context| {
        let name = context.invocation_metadata().get("name").unwrap_or("nobody").to_owned();
        Ok(Bytes::from(name))
    });
    let served = Served::with(2, [("Named", named)]);
    let named = served.channel().raw_unary_unary("/test.Test/Named").unwrap().timeout(LONG);
    assert_eq!(named.header("name", "Ada").unwrap().call(&Bytes::new()).unwrap(), b"Ada"[..]);
    // Options are a copy: the original has not changed.
    assert_eq!(named.call(&Bytes::new()).unwrap(), b"nobody"[..]);
}

#[test]
fn an_error_carries_metadata_and_details() {
    let failing = unary(|_, _| {
        Err(Status::aborted("no")
            .with_metadata(sample("t-"))
            .with_details(Bytes::from_static(b"\x00details\xff")))
    });
    let served = Served::with(2, [("Failing", failing)]);
    let failing = served.channel().raw_unary_unary("/test.Test/Failing").unwrap().timeout(LONG);
    let status = failing.call(&Bytes::new()).unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "no"));
    assert_eq!(status.details(), b"\x00details\xff", "W48");
    for (key, value) in sample("t-").iter() {
        assert!(
            status.trailing_metadata().get_all(key).any(|got| got == value),
            "{key} is missing"
        );
    }
}

#[test]
fn w25_w26_what_cannot_be_sent_is_refused_at_once() {
    for key in [
        "",
        "Upper Case",
        "key:",
        "schlüssel",
        "te",
        "content-type",
        "grpc-timeout",
        "grpc-status",
        ":path",
        "connection",
    ] {
        assert!(Metadata::new().with(key, "v").is_err(), "{key:?}");
    }
    for value in ["line\nbreak", "carriage\rreturn", "nul\0", "ümlaut", "\x7f"] {
        assert!(Metadata::new().with("key", value).is_err(), "{value:?}");
    }
    assert!(Metadata::new().with("key-bin", "text").is_err(), "-bin values are bytes");
    assert!(Metadata::new().with_bin("key", [1]).is_err(), "bytes are for -bin keys");
}

#[test]
fn w27_binary_values_have_no_padding_on_the_wire_and_are_read_with_and_without() {
    let served = Served::with(2, [("Reflect", reflect())]);
    let mut peer = Peer::connect(served.address());
    // Padded, bare, and two joined by a comma.
    let sent = [("i-a-bin", "/w=="), ("i-b-bin", "/w"), ("i-c-bin", "AAE=,AgM"), ("i-d-bin", "")];
    let stream = peer.open("/test.Test/Reflect", &sent);
    peer.data(stream, b"", true);
    let head = peer.wait_for(|frame| frame.kind == HEADERS && frame.stream == stream).fields();
    let all = |name: &str| -> Vec<String> {
        let values = head.iter().filter(|(key, _)| key == name);
        values
            .flat_map(|(_, value)| {
                String::from_utf8_lossy(value).split(',').map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    };
    assert_eq!(all("i-a-bin"), ["/w"]);
    assert_eq!(all("i-b-bin"), ["/w"]);
    assert_eq!(all("i-c-bin"), ["AAE", "AgM"]);
    assert_eq!(all("i-d-bin"), [""]);
    peer.assert_alive();
}

#[test]
fn w28_what_a_peer_sends_can_always_be_given_back() {
    let give_back = by_hand(|stream, context| {
        let received = context.invocation_metadata();
        stream.send_initial_metadata(received)?;
        stream.set_trailing_metadata(received.clone());
        Ok(())
    });
    let served = Served::with(2, [("GiveBack", give_back)]);
    let mut peer = Peer::connect(served.address());
    let fields = support::frames::request_fields("/test.Test/GiveBack");
    let mut fields: Vec<_> = fields.into_iter().map(|(k, v)| (k, v.into_bytes())).collect();
    fields.push(("odd".into(), "grün".into()));
    fields.push(("odd".into(), b"\xff\x80 \t~".to_vec()));
    fields.push(("even".into(), b"plain".to_vec()));
    let stream = peer.open_with(&fields, true);
    let end = peer.wait_end(stream);
    assert_eq!(end.status(), Some(0), "{end:?}");
    assert_eq!(end.head("even").as_deref(), Some("plain"));
}

#[test]
fn w1_w2_the_fields_of_a_request_and_their_order() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let target = listener.target();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        assert_eq!(request.flags & (END_HEADERS | END_STREAM), END_HEADERS);
        peer.respond(request.stream, b"");
        request.fields()
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    echo.header("custom", "value").unwrap().call(&Bytes::new()).unwrap();
    let fields = server.join().unwrap();
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    let at = |name: &str| {
        names
            .iter()
            .position(|other| *other == name)
            .unwrap_or_else(|| panic!("no {name}: {names:?}"))
    };
    let value = |name: &str| String::from_utf8(fields[at(name)].1.clone()).unwrap();

    let mut pseudo: Vec<&str> =
        names.iter().copied().take_while(|name| name.starts_with(':')).collect();
    pseudo.sort_unstable();
    assert_eq!(pseudo, [":authority", ":method", ":path", ":scheme"]);
    assert!(!names[4..].iter().any(|name| name.starts_with(':')));
    assert_eq!(
        (value(":method"), value(":scheme"), value(":path")),
        ("POST".into(), "http".into(), ECHO.into())
    );
    assert_eq!(value(":authority"), target, "W5");
    assert_eq!(value("te"), "trailers");
    assert!(value("content-type").starts_with("application/grpc"));
    assert!(value("user-agent").contains("grpc-"), "W3: {}", value("user-agent"));
    for own in ["grpc-timeout", "te", "content-type", "user-agent"] {
        assert!(at(own) < at("custom"), "{own} comes before the user's");
    }
    assert_eq!(value("custom"), "value");
}

#[test]
fn the_handler_sees_the_callers_own_fields_only() {
    let names = unary(|_, context| {
        let names: Vec<&str> = context.invocation_metadata().iter().map(|(key, _)| key).collect();
        Ok(Bytes::from(names.join(" ")))
    });
    let served = Served::with(2, [("Names", names)]);
    let names = served.channel().raw_unary_unary("/test.Test/Names").unwrap().timeout(LONG);
    let seen = names.header("custom", "value").unwrap().call(&Bytes::new()).unwrap();
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    let mut seen: Vec<&str> = seen.split(' ').collect();
    seen.sort_unstable();
    assert_eq!(seen, ["custom", "user-agent"]);
}

#[test]
fn w30_as_much_metadata_comes_in_as_the_server_was_told_to_take() {
    let count = unary(|_, context| {
        let size: usize =
            context.invocation_metadata().iter().map(|(_, value)| value.as_bytes().len()).sum();
        Ok(Bytes::from(size.to_string()))
    });
    let options = ServerOptions::default().max_metadata_size(1 << 20);
    let server =
        Server::builder().thread_pool(ThreadPool::new(2)).options(options).build().unwrap();
    let served = Served::start(server, "127.0.0.1:0", [("Size", count)]);
    let channel = served.channel();
    for size in [15_000, 160_000, 900_000] {
        let method = channel.raw_unary_unary("/test.Test/Size").unwrap().timeout(LONG);
        let method = method.header("x-long", &"v".repeat(size)).unwrap();
        let reply = method.call(&Bytes::new()).unwrap();
        let told: usize = std::str::from_utf8(&reply).unwrap().parse().unwrap();
        assert!(told >= size, "{told}");
    }
}
