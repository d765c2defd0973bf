//! Credit that long messages get: a link's state and, by bytes, a peer that keeps its windows.

use std::collections::HashMap;

use super::*;
use crate::http2::types::Key;
use crate::reactor::spares;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A peer that sends no more than its windows allow, and learns that a body has ended only while
/// it could send more of it: nghttp2's way.
struct Strict {
    state: State,
    side: Side,
    now: Instant,
    /// What may be sent on each stream beyond the initial window, and on the connection.
    credit: HashMap<u32, i64>,
    connection: i64,
    initial: i64,
}

impl Strict {
    /// The peer of a client's link.
    fn server() -> Self {
        Self::meet(Role::Client, Side::Client(Arc::new(Channel::default())), b"")
    }

    /// The peer of a server's link.
    fn client() -> Self {
        let acceptor = Arc::new(Echo { ended: Mutex::new(Vec::new()) });
        Self::meet(Role::Server, Side::Server(acceptor), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    }

    fn meet(role: Role, side: Side, preface: &[u8]) -> Self {
        let now = clock::now();
        let state = State::new(
            Connection::new(role, &Options::new(role), now),
            role == Role::Client,
            &Options::new(role),
        );
        let credit = HashMap::new();
        let mut peer = Self { state, side, now, credit, connection: 65_535, initial: 65_535 };
        peer.says(preface);
        peer.frame(SETTINGS, 0, 0, b"");
        peer.frame(SETTINGS, ACK, 0, b"");
        peer
    }

    fn says(&mut self, octets: &[u8]) {
        self.state.input(octets, self.now, &self.side);
        self.hear();
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        octets.extend([kind, flags]);
        octets.extend(stream.to_be_bytes());
        octets.extend(payload);
        self.says(&octets);
    }

    /// Reads the link's frames for what they say of windows.
    fn hear(&mut self) {
        let mut out = Vec::new();
        while self.state.conn.wants_output() {
            self.state.output(&mut out, usize::MAX, self.now);
        }
        let mut rest = out.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap_or(&out);
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
            let (payload, after) = after.split_at((number(0) >> 8) as usize);
            let value = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match (head[3], number(5)) {
                (SETTINGS, _) => {
                    for at in (0..payload.len()).step_by(6).filter(|at| payload[at + 1] == 4) {
                        self.initial = value(at + 2).into();
                    }
                }
                (WINDOW_UPDATE, 0) => self.connection += i64::from(value(0)),
                (WINDOW_UPDATE, id) => *self.credit.entry(id).or_default() += i64::from(value(0)),
                _ => {}
            }
            rest = after;
        }
    }

    fn window(&self, stream: u32) -> i64 {
        let window = self.initial + self.credit.get(&stream).copied().unwrap_or(0);
        window.min(self.connection)
    }

    /// Sends as much of `body` as goes; what is left.
    fn pour<'a>(&mut self, stream: u32, mut body: &'a [u8]) -> &'a [u8] {
        while !body.is_empty() && self.window(stream) > 0 {
            let n = body.len().min(16_384).min(self.window(stream) as usize);
            let (part, rest) = body.split_at(n);
            *self.credit.entry(stream).or_default() -= n as i64;
            self.connection -= n as i64;
            self.frame(DATA, 0, stream, part);
            body = rest;
        }
        body
    }

    fn block(&mut self, stream: u32, flags: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let mut block = Vec::new();
        write(&mut block);
        self.frame(HEADERS, END_HEADERS | flags, stream, &block);
    }

    /// A stream that a client's link has opened, with the head of its answer.
    fn answers(&mut self, replies: Replies) -> Key {
        let key = self.state.conn.open(&block("/echo/Unary"), true).unwrap();
        let mut cell = Cell::new(key, 64 << 20);
        cell.single = replies == Replies::One;
        self.state.cells.insert(cell);
        self.hear();
        self.block(key.id, 0, |out| headers::response_head(out, &Metadata::new()));
        key
    }

    /// A request of a server's link.
    fn asks(&mut self, stream: u32, path: &str) {
        self.block(stream, 0, |out| out.extend(block(path)));
    }

    fn trailers(&mut self, stream: u32) {
        let ok = Status::new(crate::Code::Ok, "");
        self.block(stream, END_STREAM, |out| headers::trailers(out, &ok, &Metadata::new()));
    }

    /// Its reader takes what is there: so many messages.
    fn take(&mut self, key: Key, messages: &mut Messages) -> usize {
        let consumed = messages.consumed();
        self.state.take(key, consumed, messages);
        self.hear();
        std::iter::from_fn(|| messages.next()).count()
    }

    fn held(&self) -> usize {
        self.state.conn.stats().window_held as usize
    }

    fn code(&self, key: Key) -> crate::Code {
        let ending = self.state.cells.get(key).unwrap().ending.clone();
        ending.unwrap().to_status(false).code()
    }
}

const MIB: usize = 1 << 20;

fn long(len: usize) -> Bytes {
    framed(&vec![1; len])
}

/// Lengths beyond the first window, and those that fill it, or nearly.
const LENGTHS: [usize; 5] =
    [300 << 10, 1 << 20, 128 * 1024 - 5, 128 * 1024 - 6, 128 * 1024 - 1024 - 5];

#[test]
fn a_reply_leaves_a_window_in_which_nghttp2_sends_its_trailers() {
    for len in LENGTHS {
        let mut peer = Strict::server();
        let key = peer.answers(Replies::One);
        assert!(peer.pour(key.id, &long(len)).is_empty(), "{len} octets do not fit");
        assert!(peer.window(key.id) > 0, "no trailers after {len} octets");
        peer.trailers(key.id);
        assert_eq!(peer.code(key), crate::Code::Ok);
    }
}

#[test]
fn a_request_leaves_a_window_in_which_nghttp2_ends_it() {
    for len in LENGTHS {
        let mut peer = Strict::client();
        peer.asks(1, "/echo/Unary");
        assert!(peer.pour(1, &long(len)).is_empty(), "{len} octets do not fit");
        assert!(peer.window(1) > 0, "no END_STREAM after {len} octets");
        peer.frame(DATA, END_STREAM, 1, b"");
        assert_eq!(peer.state.effects.incoming.len(), 1);
    }
}

#[test]
fn a_stream_is_granted_one_message_ahead_of_its_reader() {
    let mut peer = Strict::server();
    let key = peer.answers(Replies::Many);
    let (message, mut messages) = (long(MIB), Messages::default());
    assert!(peer.pour(key.id, &message).is_empty());
    for _ in 0..5 {
        let rest = peer.pour(key.id, &message);
        assert!((MIB - 256 * 1024..MIB).contains(&rest.len()), "{} are left", rest.len());
        assert_eq!(peer.take(key, &mut messages), 1);
        assert!(peer.pour(key.id, rest).is_empty());
    }
    // The same with frames that end one message and begin the next.
    let body = [message.clone(), message.clone()].concat();
    let rest = peer.pour(key.id, &body);
    assert!((2 * MIB - 256 * 1024..2 * MIB).contains(&rest.len()), "{} are left", rest.len());
    assert_eq!(peer.take(key, &mut messages), 1);
    let rest = peer.pour(key.id, rest);
    assert!((MIB - 256 * 1024..MIB).contains(&rest.len()), "{} are left", rest.len());
    assert_eq!(peer.take(key, &mut messages), 1);
    assert!(peer.pour(key.id, rest).is_empty());
}

#[test]
fn a_reply_completes_beside_streams_that_nobody_reads() {
    let mut peer = Strict::server();
    for _ in 0..20 {
        let key = peer.answers(Replies::Many);
        peer.pour(key.id, &[long(MIB), long(MIB)].concat());
    }
    assert!((10 * MIB..=12 * MIB).contains(&peer.held()), "{} octets", peer.held());
    // One that fits what is left, and one that does not.
    for len in [4 * MIB, 32 * MIB] {
        let key = peer.answers(Replies::One);
        assert!(peer.pour(key.id, &long(len)).is_empty(), "{len} octets do not come");
        peer.trailers(key.id);
        assert_eq!(peer.code(key), crate::Code::Ok);
        drop(peer.state.forget(key));
    }
}

#[test]
fn a_reader_gets_what_it_waits_for_whatever_others_leave() {
    let mut peer = Strict::server();
    let mut readers: Vec<_> =
        (0..20).map(|_| (peer.answers(Replies::Many), Messages::default())).collect();
    // Each looks, and does not come back when its message is there.
    for (key, messages) in &mut readers {
        assert_eq!(peer.take(*key, messages), 0);
        assert!(peer.pour(key.id, &long(4 * MIB)).is_empty());
        assert!(!peer.pour(key.id, &long(4 * MIB)).is_empty(), "it looked only once");
    }
    // One comes while its message is stuck.
    let key = peer.answers(Replies::Many);
    let message = long(4 * MIB);
    let rest = peer.pour(key.id, &message);
    assert!(!rest.is_empty());
    assert_eq!(peer.take(key, &mut Messages::default()), 0);
    assert!(peer.pour(key.id, rest).is_empty());
    // And one without having looked: its call had no stream yet.
    let key = peer.answers(Replies::Many);
    let rest = peer.pour(key.id, &message);
    assert!(!rest.is_empty());
    assert!(!peer.state.ask(key, Want::Room), "not for messages");
    assert!(peer.state.ask(key, Want::Message));
    assert!(!peer.state.ask(key, Want::Message), "once is enough");
    peer.hear();
    assert!(peer.pour(key.id, rest).is_empty());
}

#[test]
fn a_message_in_its_readers_hand_is_in_nobodys_way() {
    let mut peer = Strict::server();
    let mut hands = Vec::new();
    for _ in 0..10 {
        let (key, mut messages) = (peer.answers(Replies::Many), Messages::default());
        assert!(peer.pour(key.id, &long(4 * MIB)).is_empty());
        peer.state.take(key, 0, &mut messages);
        assert_eq!(peer.held(), 0);
        hands.push(messages);
    }
}

#[test]
fn requests_that_wait_for_workers_do_not_stop_those_that_are_read() {
    let mut peer = Strict::client();
    let message = long(MIB);
    let mut stuck = Vec::new();
    for stream in (1..41).step_by(2) {
        peer.asks(stream, "/echo/Unary");
        let rest = peer.pour(stream, &message);
        if rest.is_empty() {
            peer.frame(DATA, END_STREAM, stream, b"");
        } else {
            stuck.push((stream, rest));
        }
    }
    assert!((1..10).contains(&stuck.len()), "{} wait", stuck.len());
    // The handler of a stream gets its messages.
    peer.asks(41, "/echo/Stream");
    let (key, _) = *peer.state.effects.incoming.last().unwrap();
    let mut messages = Messages::default();
    for _ in 0..10 {
        assert_eq!(peer.take(key, &mut messages), 0);
        assert!(peer.pour(41, &message).is_empty());
        assert_eq!(peer.take(key, &mut messages), 1);
    }
    // For each request that a worker takes another comes in, first come first served.
    for (n, (stream, rest)) in stuck.into_iter().enumerate() {
        let (key, _) = peer.state.effects.incoming[n];
        assert_eq!(peer.take(key, &mut Messages::default()), 1);
        assert!(peer.pour(stream, rest).is_empty());
    }
}

#[test]
fn a_length_that_is_announced_and_not_granted_takes_no_spare_buffer() {
    const LEN: usize = 3_333_333;
    let capacity = |peer: &Strict, key| peer.state.cells.get(key).unwrap().inbox.capacity();
    let mut peer = Strict::server();
    let keys: Vec<_> = (0..20).map(|_| peer.answers(Replies::Many)).collect();
    let mut reserved = 0;
    for key in keys {
        spares::put(Bytes::from(vec![1; LEN + 100]));
        peer.pour(key.id, &long(LEN)[..10_000]);
        reserved += capacity(&peer, key);
    }
    assert!(reserved <= 16 * MIB, "{reserved} octets are reserved, {} granted", peer.held());
}

#[test]
fn w41_a_second_long_message_ends_the_call_at_once() {
    let mut peer = Strict::server();
    let key = peer.answers(Replies::One);
    peer.pour(key.id, &[long(20), long(MIB)].concat());
    assert_eq!(peer.code(key), crate::Code::Unimplemented);
    let mut peer = Strict::client();
    peer.asks(1, "/echo/Unary");
    peer.pour(1, &[long(MIB), long(MIB)].concat());
    assert!(peer.state.effects.incoming.is_empty());
    assert_eq!((peer.state.cells.live(), peer.held()), (0, 0));
}
