//! Credit that long messages get: a link's state and, by bytes, a peer that keeps its windows.

use std::collections::HashMap;

use super::*;
use crate::http2::types::Key;
use crate::http2::xorshift::XorShift;
use crate::http2::{Batch, DRAINED, Taker};
use crate::reactor::spares;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const ACK: u8 = 1;

/// A peer that sends no more than its windows allow, and learns that a body has ended only while
/// it could send more of it: nghttp2's way.
struct Strict {
    state: State,
    side: Side,
    now: Instant,
    /// What may be sent on each stream beyond the initial window, and on the connection.
    credit: HashMap<u32, i64>,
    /// Frames but those of windows and settings: kind, stream, payload.
    heard: Vec<(u8, u32, Vec<u8>)>,
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
            Connection::new(role, &Arc::new(Options::new(role)), now),
            role == Role::Client,
            &Options::new(role),
            &Arc::default(),
        );
        let credit = HashMap::new();
        let heard = Vec::new();
        let mut peer =
            Self { state, side, now, credit, heard, connection: 65_535, initial: 65_535 };
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
        let mut out = Batch::default();
        while self.state.conn.wants_output() {
            self.state.output(&mut out, usize::MAX, self.now);
        }
        let out = out.gather();
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
                (kind, id) => self.heard.push((kind, id, payload.to_vec())),
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
        if cell.single {
            self.state.conn.takes(key, Taker::Caller);
        }
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

    /// A request that is no gRPC.
    fn asks_plainly(&mut self, stream: u32, method: &str, content_type: &str) {
        let fields = [
            (":method", method),
            (":scheme", "http"),
            (":path", "/a/b"),
            (":authority", "test"),
            ("content-type", content_type),
        ];
        self.block(stream, 0, |out| {
            for (name, value) in fields {
                out.push(0); // a literal without indexing (RFC 7541 §6.2.2)
                for text in [name, value] {
                    out.push(text.len() as u8);
                    out.extend(text.as_bytes());
                }
            }
        });
    }

    /// The answer and the end of a stream, as far as they have come: header block, body, reset.
    fn answer(&mut self, stream: u32) -> (Vec<u8>, Vec<u8>, Option<u32>) {
        let mut answer = (Vec::new(), Vec::new(), None);
        for (kind, _, payload) in self.heard.iter().filter(|(_, id, _)| *id == stream) {
            match *kind {
                HEADERS => answer.0.extend(payload),
                DATA => answer.1.extend(payload),
                _ => answer.2 = Some(u32::from_be_bytes(payload[..4].try_into().unwrap())),
            }
        }
        answer
    }

    fn later(&mut self, by: Duration) {
        self.now += by;
        self.state.timeout(self.now, &self.side);
        self.hear();
    }

    /// Octets that lie in buffers, and what is reserved for them.
    fn buffered(&mut self) -> (usize, usize) {
        let inboxes = self.state.cells.iter_mut().map(|cell| &cell.inbox);
        let sums = inboxes.map(|inbox| (inbox.buffered(), inbox.reserved()));
        sums.fold((0, 0), |sum, (len, room)| (sum.0 + len, sum.1 + room))
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
    let _keeps_buffers = client_poller().unwrap();
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

/// Requests that are no gRPC, and the status of their answer, three digits.
const PLAIN: [(&str, &str, &[u8]); 3] = [
    ("POST", "text/html", b"415"),
    ("POST", "application/json", b"415"),
    ("PUT", "application/grpc", b"405"),
];

#[test]
fn w10_a_refused_body_is_read_to_its_end_before_the_answer() {
    for (n, (method, content_type, status)) in PLAIN.into_iter().enumerate() {
        let mut peer = Strict::client();
        let stream = n as u32 * 2 + 1;
        peer.asks_plainly(stream, method, content_type);
        let body = vec![b'x'; 3 * MIB];
        assert!(peer.pour(stream, &body).is_empty(), "no credit for a refused body");
        assert_eq!(peer.answer(stream).0, b"", "an answer before the end");
        peer.frame(DATA, END_STREAM, stream, b"");
        let (head, _, reset) = peer.answer(stream);
        assert!(head.windows(3).any(|part| part == status), "no {status:?}");
        assert_eq!(reset, None);
        assert_eq!((peer.state.cells.live(), peer.state.conn.stats().held), (0, 0));
    }
}

#[test]
fn w10_an_endless_refused_body_is_answered_early_and_stopped_without_an_error() {
    for (method, content_type, status) in PLAIN {
        let mut peer = Strict::client();
        peer.asks_plainly(1, method, content_type);
        peer.pour(1, &vec![b'x'; DRAINED]);
        let (head, _, reset) = peer.answer(1);
        assert!(head.windows(3).any(|part| part == status), "no {status:?}");
        assert_eq!(reset, None, "it would overtake the answer");
        peer.later(Duration::from_millis(200));
        assert_eq!(peer.answer(1).2, Some(0), "NO_ERROR");
        assert_eq!((peer.state.cells.live(), peer.state.conn.stats().held), (0, 0));
    }
}

#[test]
fn data_after_a_refusal_leaves_the_connections_window_as_it_was() {
    let mut peer = Strict::client();
    let mut stream = 1;
    // More than the connection's window, for methods that do not exist and for what is no gRPC.
    for n in 0..400 {
        match n % 2 {
            0 => peer.asks(stream, "/no/method"),
            _ => peer.asks_plainly(stream, "POST", "text/html"),
        }
        assert!(peer.connection > 8 << 20, "{} after {n}", peer.connection);
        peer.pour(stream, &[0; 100_000]);
        peer.frame(DATA, END_STREAM, stream, b"");
        stream += 2;
    }
    assert_eq!((peer.state.cells.live(), peer.state.conn.stats().held), (0, 0));
}

#[test]
fn a_call_passes_requests_that_stall() {
    let mut peer = Strict::client();
    // Of two budgets' length, none of them complete: two octets are missing, or no more than the end.
    for n in 0..32 {
        peer.asks(n * 2 + 1, "/echo/Unary");
        let message = long(MIB - 100);
        peer.pour(n * 2 + 1, &message[..message.len() - 2 * (n as usize % 2)]);
    }
    peer.asks(101, "/echo/Unary");
    let message = long(MIB - 100);
    let mut rest = peer.pour(101, &message);
    let mut seconds = 0;
    while !rest.is_empty() {
        peer.later(Duration::from_secs(1));
        rest = peer.pour(101, rest);
        seconds += 1;
        assert!(seconds <= 5, "{} octets wait", rest.len());
    }
    peer.frame(DATA, END_STREAM, 101, b"");
    assert_eq!(peer.state.effects.incoming.len(), 1);
    // In the end they are given up, and everything is back but what the one request holds.
    for _ in 0..60 {
        peer.later(Duration::from_secs(1));
    }
    assert_eq!(peer.state.cells.live(), 1);
    let (key, _) = peer.state.effects.incoming[0];
    assert_eq!(peer.take(key, &mut Messages::default()), 1);
    drop(peer.state.forget(key));
    assert_eq!((peer.held(), peer.state.conn.stats().held), (0, 0));
}

/// ARCHITECTURE, "The bound": what one connection's peer can make a link hold of what it has sent.
#[test]
fn a_hostile_peer_cannot_make_the_link_hold_more_than_its_bound() {
    const STREAMS: usize = 100;
    const WINDOW: usize = 128 * 1024;
    const BUDGET: usize = 16 * MIB;
    for seed in 1..=4 {
        let mut random = XorShift::new(seed);
        let mut peer = Strict::client();
        let mut most = (0, 0);
        for n in 0..STREAMS as u32 * 3 {
            let stream = n * 2 + 1;
            peer.asks(stream, ["/echo/Unary", "/echo/Stream"][random.below(2)]);
            let whole = long(MIB);
            match random.below(6) {
                // A whole message without an end, and half of one.
                0 => drop(peer.pour(stream, &whole)),
                1 => drop(peer.pour(stream, &whole[..MIB / 2 + random.below(MIB / 2)])),
                // As much as the first window takes, of a message that is announced to be long.
                2 => drop(peer.pour(stream, &whole[..WINDOW.min(peer.window(stream) as usize)])),
                // Messages of all lengths that nobody reads.
                3 => drop(peer.pour(stream, &framed(&[7; 9]).repeat(20_000))),
                4 => drop(peer.pour(stream, &framed(&[7; 5000]).repeat(400))),
                // One octet at a time, and padding.
                _ => {
                    peer.pour(stream, &whole[..5]);
                    while peer.window(stream) >= 257 && random.below(2000) > 0 {
                        *peer.credit.entry(stream).or_default() -= 257;
                        peer.connection -= 257;
                        peer.frame(DATA, PADDED, stream, &[&[255][..], &[0; 256]].concat());
                    }
                }
            }
            peer.later(Duration::from_millis(random.below(500) as u64));
            let (len, room) = peer.buffered();
            most = (most.0.max(len), most.1.max(room));
        }
        // Its workers are busy, or all handlers leave everything unread.
        let lent = 2 * BUDGET + 3 * (MIB + 1024);
        let bound = STREAMS * WINDOW + lent;
        assert!(most.0 <= bound, "seed {seed}: {} octets of {bound}", most.0);
        // What is reserved beyond that has not been touched.
        let room = STREAMS * WINDOW * 5 + 2 * lent;
        assert!(most.1 <= room, "seed {seed}: room for {} octets of {room}", most.1);
        assert!(most.0 > 2 * BUDGET / 3, "seed {seed}: it held only {}", most.0);
        assert!(!peer.state.conn.finished());
    }
}
