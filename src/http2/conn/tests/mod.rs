//! Byte-level tests of every rule, and two connections joined in virtual time.
//!
//! Frames and header blocks are written and read here with a few lines of their own, so that
//! the code under test cannot be wrong together with its peer.

mod attacks;
mod client;
mod growth;
mod life;
mod pair;
mod server;
mod windows;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::http2::hpack::Fields;
use crate::http2::{Batch, Claim, Heard, Taker};

/// Some instant, always the same: tests move on from it.
#[allow(clippy::disallowed_methods, reason = "a starting point; from there time is virtual")]
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const UPDATE: u8 = 8;
pub(super) const CONT: u8 = 9;

/// END_STREAM, and ACK.
pub(super) const END: u8 = 1;
pub(super) const ACK: u8 = 1;
/// END_HEADERS.
pub(super) const EH: u8 = 4;
pub(super) const PADDED: u8 = 8;

/// One frame's bytes.
pub(super) fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u32;
    let mut out = len.to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(id.to_be_bytes());
    out.extend(payload);
    out
}

pub(super) fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend(value.to_be_bytes());
    out
}

pub(super) fn update(id: u32, n: u32) -> Vec<u8> {
    frame(UPDATE, 0, id, &n.to_be_bytes())
}

pub(super) fn rst(id: u32, reason: Reason) -> Vec<u8> {
    frame(RST, 0, id, &reason.0.to_be_bytes())
}

/// A header block: literals without indexing, no Huffman.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            out.push(text.len() as u8);
            out.extend(text.as_bytes());
        }
    }
    out
}

pub(super) const GET: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), (":authority", "x")];

pub(super) fn request(id: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, EH | flags, id, &block(GET))
}

pub(super) fn response(id: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, EH | flags, id, &block(&[(":status", "200")]))
}

/// A frame as it was read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) id: u32,
    pub(super) payload: Vec<u8>,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.payload[..self.payload.len().min(40)]);
        write!(f, "{}/{:x}#{}({}){text:?}", self.kind, self.flags, self.id, self.payload.len())
    }
}

impl Raw {
    pub(super) fn code(&self) -> Reason {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        Reason(u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap()))
    }

    pub(super) fn number(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

/// All frames in `bytes`, which must be whole.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<Raw> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let len = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let id = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
        let payload = bytes[9..9 + len].to_vec();
        out.push(Raw { kind: bytes[3], flags: bytes[4], id, payload });
        bytes = &bytes[9 + len..];
    }
    out
}

/// What a sink was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Headers(u32, bool),
    Overflowed(u32),
    Trailers(u32),
    Informational(u32),
    Data(u32, usize, bool),
    Reset(u32, Reason, bool),
    Unprocessed(u32),
    Writable(u32),
    Room,
    Ready,
    GoAway(Reason, Vec<u8>),
    Lost(Reason, String),
}

#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) events: Vec<Event>,
    pub(super) keys: Vec<Key>,
    pub(super) body: Vec<u8>,
}

impl Sink for Recorder {
    fn headers(&mut self, key: Key, fields: &Fields, end: bool) -> Taker {
        self.keys.push(key);
        if fields.overflowed() {
            self.events.push(Event::Overflowed(key.id));
        }
        self.events.push(Event::Headers(key.id, end));
        Taker::Reader
    }
    fn trailers(&mut self, key: Key, _fields: &Fields) {
        self.events.push(Event::Trailers(key.id));
    }
    fn informational(&mut self, key: Key) {
        self.events.push(Event::Informational(key.id));
    }
    fn data(&mut self, key: Key, payload: &[u8], end: bool) -> Heard {
        assert!(end || !payload.is_empty(), "empty data without an end");
        self.body.extend(payload);
        self.events.push(Event::Data(key.id, payload.len(), end));
        Heard::default()
    }
    fn reset(&mut self, key: Key, reason: Reason, by_peer: bool, _cause: &'static str) {
        self.events.push(Event::Reset(key.id, reason, by_peer));
    }
    fn unprocessed(&mut self, key: Key, _refused: bool) {
        self.events.push(Event::Unprocessed(key.id));
    }
    fn writable(&mut self, key: Key) {
        self.events.push(Event::Writable(key.id));
    }
    fn room(&mut self) {
        self.events.push(Event::Room);
    }
    fn ready(&mut self) {
        self.events.push(Event::Ready);
    }
    fn goaway(&mut self, reason: Reason, debug: &[u8]) {
        self.events.push(Event::GoAway(reason, debug.to_vec()));
    }
    fn lost(&mut self, reason: Reason, cause: &str) {
        self.events.push(Event::Lost(reason, cause.to_owned()));
    }
}

/// One connection under test, its ear and its clock.
pub(super) struct Side {
    pub(super) conn: Connection,
    pub(super) sink: Recorder,
    pub(super) now: Instant,
}

impl Side {
    pub(super) fn raw(role: Role, options: &Options) -> Self {
        let now = start();
        Self {
            conn: Connection::new(role, &Arc::new(options.clone()), now),
            sink: Recorder::default(),
            now,
        }
    }

    /// A server that has exchanged SETTINGS with its client.
    pub(super) fn server() -> Self {
        Self::server_with(&first_window(Options::new(Role::Server)))
    }

    pub(super) fn server_with(options: &Options) -> Self {
        let mut end = Self::raw(Role::Server, options);
        end.input(frame::PREFACE);
        end.greeted()
    }

    /// A client that has exchanged SETTINGS with its server.
    pub(super) fn client() -> Self {
        Self::client_with(&first_window(Options::new(Role::Client)))
    }

    pub(super) fn client_with(options: &Options) -> Self {
        Self::raw(Role::Client, options).greeted()
    }

    fn greeted(mut self) -> Self {
        self.input(&frame(SETTINGS, 0, 0, &[]));
        self.input(&frame(SETTINGS, ACK, 0, &[]));
        self.bytes();
        self.sink.events.clear();
        self
    }

    pub(super) fn input(&mut self, bytes: &[u8]) -> &mut Self {
        self.conn.handle_input(bytes, self.now, &mut self.sink);
        self
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        let mut out = Batch::default();
        while self.conn.wants_output() {
            self.conn.poll_output(&mut out, usize::MAX, &mut self.sink);
        }
        self.conn.sent(out.len(), None);
        out.gather()
    }

    /// The frames written since last time.
    pub(super) fn output(&mut self) -> Vec<Raw> {
        let bytes = self.bytes();
        frames(bytes.strip_prefix(&frame::PREFACE[..]).unwrap_or(&bytes))
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.sink.events)
    }

    pub(super) fn later(&mut self, by: Duration) -> &mut Self {
        self.now += by;
        self.conn.handle_timeout(self.now, &mut self.sink);
        self
    }

    /// The key of the request or response head seen last.
    pub(super) fn key(&self) -> Key {
        *self.sink.keys.last().expect("a head")
    }

    /// The only frames since last time are this GOAWAY, and the connection is over.
    #[track_caller]
    pub(super) fn expect_goaway(&mut self, reason: Reason) {
        let out = self.output();
        let last = out.last().unwrap_or_else(|| panic!("nothing written, not {reason}"));
        assert_eq!((last.kind, last.code()), (GOAWAY, reason), "{out:?}");
        assert!(self.conn.finished());
        let lost = self.events().iter().filter(|e| matches!(e, Event::Lost(..))).count();
        assert_eq!(lost, 1, "lost is told once");
    }

    #[track_caller]
    pub(super) fn expect_rst(&mut self, id: u32, reason: Reason) {
        let out = self.output();
        let found = out.iter().find(|f| f.kind == RST).unwrap_or_else(|| panic!("{out:?}"));
        assert_eq!((found.id, found.code()), (id, reason));
        assert!(!self.conn.finished());
    }

    #[track_caller]
    pub(super) fn expect_silence(&mut self) {
        assert_eq!(self.output(), []);
        assert!(!self.conn.finished());
    }
}

impl Connection {
    /// A long message has begun that has this claim. Whether it is granted.
    pub(crate) fn expect(&mut self, key: Key, len: usize, claim: Claim) -> bool {
        self.takes(key, if claim == Claim::Handed { Taker::Worker } else { Taker::Reader });
        self.on_heard(key, Heard { begun: Some(len), ..Heard::default() }, 0, 0);
        if claim == Claim::Awaited {
            self.awaits(key);
        }
        self.ask_for_begun(&mut Recorder::default());
        self.granted(key)
    }

    /// It is whole.
    pub(crate) fn complete(&mut self, key: Key) {
        self.on_heard(key, Heard { whole: true, ..Heard::default() }, 0, 0);
    }
}

pub(super) fn bytes(n: usize) -> Bytes {
    Bytes::from(vec![7; n])
}

/// Windows of 65 535, so that the numbers of the tests are those of RFC 9113 §6.9.2.
fn first_window(options: Options) -> Options {
    Options { initial_window: 65_535, ..options }
}
