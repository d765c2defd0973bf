//! Credit that long messages get: a link's state and, by bytes, a peer that keeps its windows.

use std::collections::HashMap;

use super::*;
use crate::http2::types::Key;

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
        let state = State::new(Connection::new(role, &Options::new(role), now));
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

    /// Opens a stream of a client's link.
    fn asked(&mut self) -> Key {
        let key = self.state.conn.open(&block("/echo/Unary"), true).unwrap();
        self.state.cells.insert(Cell::new(key, 64 << 20));
        self.hear();
        self.block(key.id, 0, |out| headers::response_head(out, &Metadata::new()));
        key
    }
}

/// Lengths beyond the first window, and those that fill it, or nearly.
const LENGTHS: [usize; 5] =
    [300 << 10, 1 << 20, 128 * 1024 - 5, 128 * 1024 - 6, 128 * 1024 - 1024 - 5];

#[test]
fn a_reply_leaves_a_window_in_which_nghttp2_sends_its_trailers() {
    for len in LENGTHS {
        let mut peer = Strict::server();
        let key = peer.asked();
        assert!(peer.pour(key.id, &framed(&vec![1; len])).is_empty(), "{len} octets do not fit");
        assert!(peer.window(key.id) > 0, "no trailers after {len} octets");
        let ok = Status::new(crate::Code::Ok, "");
        peer.block(key.id, END_STREAM, |out| headers::trailers(out, &ok, &Metadata::new()));
        let ending = peer.state.cells.get(key).unwrap().ending.clone().unwrap();
        assert_eq!(ending.to_status(false).code(), crate::Code::Ok);
    }
}

#[test]
fn a_request_leaves_a_window_in_which_nghttp2_ends_it() {
    for len in LENGTHS {
        let mut peer = Strict::client();
        peer.block(1, 0, |out| out.extend(block("/echo/Unary")));
        assert!(peer.pour(1, &framed(&vec![1; len])).is_empty(), "{len} octets do not fit");
        assert!(peer.window(1) > 0, "no END_STREAM after {len} octets");
        peer.frame(DATA, END_STREAM, 1, b"");
        assert_eq!(peer.state.effects.incoming.len(), 1);
    }
}
