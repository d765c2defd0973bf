//! The tests' own tools do what the other tests take for granted.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use support::frames::{self, Listener, Peer};
use support::leaks::Holdings;
use support::proxy::{Harm, Plan, Proxy};
use support::{alone, hpack, pattern};

#[test]
fn two_scripted_peers_understand_each_other() {
    let _alone = alone();
    let listener = Listener::new();
    let to = listener.address();
    let client = thread::spawn(move || {
        let mut client = Peer::connect(to);
        let stream = client.request("/a/b", &pattern(40_000));
        client.wait_end(stream)
    });
    let mut server = listener.accept();
    let request = server.wait_request();
    assert_eq!(request.field(":path").as_deref(), Some("/a/b"));
    let body = server.wait_end(request.stream);
    assert_eq!(body.messages(), [pattern(40_000)]);
    server.respond(request.stream, b"reply");
    let ended = client.join().unwrap();
    assert_eq!(ended.messages(), [b"reply"]);
    assert_eq!(ended.status(), Some(0));
}

#[test]
fn header_blocks_come_back_as_they_were() {
    let _alone = alone();
    let long = "v".repeat(300);
    let fields = [("a", "b"), ("name", long.as_str()), ("empty", "")];
    let read: Vec<_> = hpack::decode(&hpack::encode(&fields));
    let read: Vec<_> =
        read.iter().map(|(k, v)| (k.as_str(), std::str::from_utf8(v).unwrap())).collect();
    assert_eq!(read, fields);
    // :method POST indexed; :path by the name's index; a never-indexed new name.
    let block = [&[0x83, 0x04, 4][..], b"/a/b", &[0x10, 1, b'k', 1, b'v']].concat();
    let read: Vec<_> = hpack::decode(&block)
        .into_iter()
        .map(|(k, v)| (k, String::from_utf8(v).unwrap()))
        .collect();
    assert_eq!(
        read,
        [(":method", "POST"), (":path", "/a/b"), ("k", "v")].map(|(k, v)| (k.into(), v.into()))
    );
}

/// What each end of a connection through a proxy with this plan reads, when both send `pattern(1000)` and then half-close:
/// client, server. `Err` is a reset.
fn exchange(plan: Plan) -> (Result<usize, ()>, Result<usize, ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::new(listener.local_addr().unwrap());
    proxy.next(plan);
    let end = |mut socket: TcpStream| {
        // A reset is told once, to whoever asks first.
        let written =
            socket.write_all(&pattern(1000)).and_then(|()| socket.shutdown(Shutdown::Write));
        let mut read = Vec::new();
        let outcome = socket.read_to_end(&mut read).and_then(|count| written.map(|()| count));
        assert!(pattern(1000).starts_with(&read));
        outcome.map_err(drop)
    };
    let to = proxy.address();
    let client = thread::spawn(move || end(TcpStream::connect(to).unwrap()));
    let server = end(listener.accept().unwrap().0);
    (client.join().unwrap(), server)
}

#[test]
fn the_proxy_harms_at_the_byte_it_is_told() {
    let _alone = alone();
    assert_eq!(exchange(Plan::PASS), (Ok(1000), Ok(1000)));
    assert_eq!(exchange(Plan::byte_by_byte()), (Ok(1000), Ok(1000)));
    assert_eq!(exchange(Plan::up(10, Harm::HalfClose)), (Ok(1000), Ok(10)));
    assert_eq!(exchange(Plan::down(0, Harm::HalfClose)), (Ok(0), Ok(1000)));
    let (_, server) = exchange(Plan::up(17, Harm::Close));
    assert_eq!(server, Ok(17));
    // The client may have read all it was to get before that.
    let (client, server) = exchange(Plan::up(17, Harm::Reset));
    assert_eq!(server, Err(()));
    assert!(matches!(client, Err(()) | Ok(1000)), "{client:?}");
}

#[test]
fn a_leak_is_seen_and_its_end_too() {
    let _alone = alone();
    let before = Holdings::now();
    let file = std::fs::File::open(file!()).unwrap();
    let held = std::panic::catch_unwind(|| {
        before.clone().assert_no_more_within(std::time::Duration::ZERO)
    });
    assert!(held.is_err());
    drop(file);
    before.assert_no_more();
}

#[test]
fn a_message_has_its_prefix() {
    let _alone = alone();
    assert_eq!(frames::message(b"abc"), [0, 0, 0, 0, 3, b'a', b'b', b'c']);
}
