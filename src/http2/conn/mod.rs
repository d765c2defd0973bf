//! One HTTP/2 connection as a function of bytes and time.
//!
//! Owns everything that RFC 9113 says of a connection, for both roles, behind one face: bytes
//! and `now` in, bytes and [`Sink`] calls out. Errors are answered inside; nothing panics
//! on any input. Deliberately ignores sockets, threads, gRPC, server push (refused), priorities
//! (validated and dropped). No lock of its own: the link's guards it.
//!
//! The files: `input` cuts bytes into frames, `frames` and `headers` judge them, `output` makes
//! frames, `account` counts what waits to be sent, `credit` gives windows back, `ends` clears up, `lapse` ends what is late, `foreign`
//! knows peers of other protocols, `timers` holds the deadlines, `validate`
//! the rules on header lists (§8).
//!
//! Who uses it keeps two rules. After any call, flush while [`Connection::wants_output`]. A slot
//! lives until [`Connection::forget`], which has to be called exactly once for every key.

mod account;
mod credit;
mod ends;
mod foreign;
mod frames;
mod headers;
mod input;
mod lapse;
mod options;
mod output;
mod recent;
mod sink;
#[cfg(test)]
pub(crate) mod tests;
mod timers;
mod validate;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::age::Age;
use super::flow::{ConnWindow, SendWindow};
use super::frame::{self, MAX_31, Ping, Settings, WindowUpdate};
use super::goaway::{Phase, Shutdown};
use super::grant::{Intake, Ledger, Patience};
use super::guard::Bucket;
use super::hpack::Decoder;
use super::ping::{Keepalive, Probe, RoundTrip, Strikes};
use super::settings::{Exchange, Peer};
use super::stream::{Closed, Receiving, Sending, Streams};
use super::types::{Key, Reason, Role};
use input::Input;
use lapse::Lapses;
use output::Output;
use recent::Recent;

pub(crate) use options::Options;
pub(crate) use sink::Sink;

/// May a stream be opened?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes.
    Yes,
    /// The peer's limit is reached, or it takes nothing: [`Sink::room`] tells when that is over.
    Full,
    /// Not any more on this connection; what runs may end.
    Draining,
    /// The connection is over.
    Closed,
}

/// Counters, for people and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Streams that were opened, by either side.
    pub(crate) opened: u64,
    /// Final heads of responses (client).
    pub(crate) answered: u64,
    /// Streams that are over, and whose responding side has ended its half: with a status, as a rule.
    pub(crate) completed: u64,
    /// PINGs that asked whether the peer lives.
    pub(crate) keepalives: u64,
    /// Streams not over on the wire.
    pub(crate) active: usize,
    /// Streams their owners have not let go of.
    pub(crate) held: usize,
    /// Streams the peer reset.
    pub(crate) peer_resets: u64,
    /// Streams refused above the limit.
    pub(crate) refused: u64,
    /// Errors we had to reset a stream for, and empty frames.
    pub(crate) glitches: u64,
    /// The smoothed round-trip time.
    pub(crate) round_trip: Option<Duration>,
    /// Octets that grown windows and granted messages hold of the budget.
    pub(crate) window_held: u64,
    /// Octets that wait to be sent, whoever queued them.
    pub(crate) unsent: usize,
    /// Octets of DATA that may be sent on the connection now.
    pub(crate) send_window: usize,
    /// Octets of DATA that the peer may send on the connection now.
    pub(crate) receive_window: i64,
}

/// One end of an HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Connection {
    role: Role,
    options: Arc<Options>,
    /// The latest `now` that came in with a call.
    now: Instant,
    streams: Streams,
    /// A client's next id.
    next_id: u32,
    /// The highest id a server has met.
    last_peer: u32,
    input: Input,
    out: Output,
    decoder: Decoder,
    /// Made with the first block.
    recent: Option<Box<Recent>>,
    window: ConnWindow,
    peer: Peer,
    exchange: Exchange,
    shutdown: Shutdown,
    keepalive: Keepalive,
    round_trip: RoundTrip,
    strikes: Strikes,
    /// Where it does not live for ever.
    age: Option<Box<Age>>,
    resets: Bucket,
    glitches: Bucket,
    lapses: Lapses,
    /// The window that the last stream needed, if that was more than the first one.
    learnt: Option<i64>,
    /// Streams in which long messages have begun with the input at hand.
    begun: Vec<Key>,
    notices: Notices,
    stats: Stats,
}

/// What the sink has still to be told, since it was met in a call without one.
#[derive(Clone, Copy, Debug, Default)]
struct Notices {
    room: bool,
    ids_used_up: bool,
    /// `lost` was called.
    lost: bool,
}

/// What a connection's output begins with, whatever comes.
#[cfg(feature = "_tls")]
pub(crate) fn greeting(role: Role, options: &Options, now: Instant) -> Vec<u8> {
    Connection::new(role, &Arc::new(options.clone()), now).out.control
}

impl Connection {
    /// A connection whose transport is just up. Its output begins with the preface (client) and SETTINGS.
    pub(crate) fn new(role: Role, options: &Arc<Options>, now: Instant) -> Self {
        // A client asked for what comes, and has deadlines.
        let patience = Patience { limit: options.message_timeout, strict: role == Role::Server };
        let mut conn = Self {
            role,
            now,
            streams: Streams::new(Ledger::new(options.window_budget, patience)),
            next_id: 1,
            last_peer: 0,
            input: Input::new(role),
            out: Output::new(),
            decoder: Decoder::new(options.max_header_list, options.max_fields()),
            recent: None,
            window: ConnWindow::new(i64::from(options.connection_window)),
            peer: Peer::new(),
            exchange: Exchange::new(now),
            shutdown: Shutdown::new(),
            keepalive: Keepalive::new(options.keepalive, now),
            round_trip: RoundTrip::new(),
            strikes: Strikes::new(options.enforcement),
            age: options.age.as_deref().and_then(|age| Age::new(*age, now)),
            resets: Bucket::new(options.peer_resets, now),
            glitches: Bucket::new(options.glitches, now),
            lapses: Lapses::default(),
            learnt: None,
            begun: Vec::new(),
            notices: Notices::default(),
            stats: Stats::default(),
            options: options.clone(),
        };
        conn.greet();
        conn
    }

    fn greet(&mut self) {
        let server = self.role == Role::Server;
        if !server {
            self.out.control.extend_from_slice(frame::PREFACE);
        }
        let list = u32::try_from(self.options.max_header_list).unwrap_or(u32::MAX);
        let window = self.options.initial_window.min(MAX_31);
        Settings {
            enable_push: (!server).then_some(false), // W8
            max_concurrent_streams: server.then_some(self.options.max_concurrent_streams),
            initial_window_size: (i64::from(window) != super::flow::DEFAULT_WINDOW)
                .then_some(window),
            max_header_list_size: Some(list),
            ..Settings::default()
        }
        .encode(&mut self.out.control);
        if let Some(increment) = self.window.flush() {
            WindowUpdate { stream: 0, increment }.encode(&mut self.out.control);
        }
    }

    /// May a stream be opened?
    pub(crate) fn room(&self) -> Room {
        if self.shutdown.is_dead() {
            Room::Closed
        } else if !self.shutdown.is_running() || self.next_id > self.options.max_stream_id {
            Room::Draining
        } else if self.streams.active >= self.peer.max_streams
            || !self.out.account.opens(self.out.control.len())
        {
            Room::Full
        } else {
            Room::Yes
        }
    }

    /// A client's new stream; HEADERS are appended at once.
    pub(crate) fn open(&mut self, block: &[u8], end: bool) -> Result<Key, Room> {
        match self.room() {
            Room::Yes if self.role == Role::Client => {}
            Room::Yes => return Err(Room::Closed),
            other => return Err(other),
        }
        let id = self.next_id;
        self.next_id += 2;
        // W70: long before the ids run out, the channel is told to connect anew.
        self.notices.ids_used_up |= self.next_id > self.options.max_stream_id;
        let key = self.insert(id);
        self.out.block(id, block, end, &self.peer);
        self.begin_wide(key);
        self.strikes.on_sent();
        if end {
            self.sent_end(key);
        }
        Ok(key)
    }

    fn insert(&mut self, id: u32) -> Key {
        self.stats.opened += 1;
        if let Some(age) = &mut self.age {
            age.begin();
        }
        let send = SendWindow::new(self.peer.initial_window);
        let intake = Intake::new(self.local_initial_window());
        self.streams.insert(id, send, intake)
    }

    /// What a peer may take for the window of a new stream. Until our SETTINGS are acknowledged,
    /// that is the default, if ours is smaller (A18).
    fn local_initial_window(&self) -> i64 {
        let ours = i64::from(self.options.initial_window.min(MAX_31));
        if self.exchange.acknowledged { ours } else { ours.max(super::flow::DEFAULT_WINDOW) }
    }

    /// A server's response head, or a 1xx. Nothing happens when the stream is gone.
    pub(crate) fn headers(&mut self, key: Key, block: &[u8], end: bool) {
        if !self.streams.get(key).is_some_and(|slot| slot.sends()) {
            return;
        }
        self.out.block(key.id, block, end, &self.peer);
        self.strikes.on_sent();
        if end {
            self.sent_end(key);
        }
    }

    /// Octets of the body. Small ones are framed at once if windows and order allow.
    pub(crate) fn data(&mut self, key: Key, bytes: Bytes, end: bool) {
        let Some(slot) = self.streams.get(key).filter(|slot| slot.sends()) else { return };
        if self.out.data_now(key.id, slot, &bytes, end) {
            self.strikes.on_sent();
            if end {
                self.sent_end(key);
            }
            return;
        }
        if end {
            slot.sending = Sending::Ending;
        }
        if !bytes.is_empty() {
            slot.queued += bytes.len();
            self.out.account.queue(bytes.len());
            enqueue(&mut slot.queue, bytes);
            slot.above |= slot.queued > self.options.send_mark();
            self.out.enlist(key, slot);
        }
    }

    /// The trailers: they go after the queued data and end our half.
    pub(crate) fn trailers(&mut self, key: Key, block: Bytes) {
        let Some(slot) = self.streams.get(key).filter(|slot| slot.sends()) else { return };
        if slot.queued > 0 {
            slot.sending = Sending::Trailers(block);
            return;
        }
        self.out.block(key.id, &block, true, &self.peer);
        self.strikes.on_sent();
        self.sent_end(key);
    }

    /// The stream's handler is done. If the peer has reset the stream meanwhile, that has cost us no more than what it may
    /// ask for anyway, and costs it nothing (A2).
    pub(crate) fn settle(&mut self, key: Key) {
        let Some(slot) = self.streams.get(key) else { return };
        slot.settled = true;
        if std::mem::take(&mut slot.charged) {
            self.resets.earn();
        }
    }

    /// Octets of the stream not framed yet.
    pub(crate) fn queued(&self, key: Key) -> usize {
        self.streams.peek(key).map_or(0, |slot| slot.queued)
    }

    /// Whether the stream may have more queued.
    pub(crate) fn has_room(&self, key: Key) -> bool {
        self.queued(key) < self.options.send_quota
    }

    /// Ends a stream at once, both halves. Without an error, after its answer, that is no matter of haste.
    pub(crate) fn reset(&mut self, key: Key, reason: Reason) {
        if reason == Reason::NO_ERROR && self.answered_early(key) {
            self.part(key);
        } else if self.streams.peek(key).is_some_and(|slot| slot.closed.is_none()) {
            self.send_reset(key.id, reason);
            self.close(key, Closed::ByUs);
        }
    }

    /// The owner lets go: the key is dead. What is still open is reset; but a response whose end
    /// is queued goes out, and its slot stays taken until then.
    pub(crate) fn forget(&mut self, key: Key) {
        let Some(slot) = self.streams.get(key) else { return };
        if slot.closed.is_none() {
            let complete = slot.sending != Sending::Open;
            if self.role == Role::Server && complete {
                slot.orphan = true;
                if slot.sending == Sending::Done {
                    self.part(key);
                } else {
                    self.abandon(key);
                }
                return;
            }
            // W55: a client that has its answer stops sending without an error.
            let answered = self.role == Role::Client && slot.receiving == Receiving::Done;
            self.reset(key, if answered { Reason::NO_ERROR } else { Reason::CANCEL });
        }
        self.free(key);
    }

    /// Graceful end. A server says so twice (W67); a client opens nothing any more (W68).
    pub(crate) fn drain(&mut self, now: Instant) {
        self.now = now;
        if self.shutdown.phase != Phase::Running {
            return;
        }
        if self.role == Role::Server {
            self.send_goaway(MAX_31, Reason::NO_ERROR, "");
            Ping { ack: false, opaque: Probe::Drain.payload() }.encode(&mut self.out.control);
            let at = now.checked_add(self.options.drain_timeout).unwrap_or(now);
            self.shutdown.phase = Phase::Announced(at);
        } else {
            self.send_goaway(0, Reason::NO_ERROR, "");
            self.shutdown.phase = Phase::Draining;
        }
    }

    /// Whether it matters when its last stream ends: see [`Connection::at`].
    pub(crate) fn ages(&self) -> bool {
        self.age.is_some()
    }

    /// The end, now: GOAWAY, every stream is lost.
    pub(crate) fn abort(&mut self, reason: Reason, debug: &str, sink: &mut dyn Sink) {
        if !self.shutdown.is_dead() {
            self.send_goaway(self.last_peer, reason, debug);
            self.die(reason, debug, sink);
        }
    }

    /// Nothing will happen any more: flush, shut down the sending side, drain, close.
    pub(crate) fn finished(&self) -> bool {
        self.shutdown.is_dead()
    }

    /// Is there reason to read? False while the peer lets our answers pile up (A9): reading on
    /// would only make more of them.
    pub(crate) fn wants_input(&self) -> bool {
        self.out.account.all_provoked() <= self.options.max_provoked && !self.shutdown.is_dead()
    }

    /// What the peer accepts as a header list, in octets (W29).
    pub(crate) fn peer_max_header_list(&self) -> usize {
        self.peer.max_header_list as usize
    }

    /// Streams that were opened, by either side.
    pub(crate) fn opened(&self) -> u64 {
        self.stats.opened
    }

    /// Counters.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            active: self.streams.active as usize,
            held: self.streams.held(),
            round_trip: self.round_trip.smoothed(),
            window_held: u64::try_from(self.streams.ledger.held()).unwrap_or(0),
            unsent: self.unsent(),
            send_window: self.out.window.available(),
            receive_window: self.window.left(),
            ..self.stats
        }
    }

    /// For so many streams at once there is room.
    #[cfg(test)]
    pub(crate) fn reserved(&self) -> usize {
        self.streams.reserved()
    }

    /// Whether it has had one stream, or none.
    pub(crate) fn is_fresh(&self) -> bool {
        self.stats.opened <= 1
    }

    /// Gives back memory that an idle connection does not need. Call it when the connection
    /// has been quiet for a while, not after every call.
    pub(crate) fn rest(&mut self) {
        self.streams.rest();
        self.out.rest();
        self.input.rest();
        self.recent = None;
        self.begun = Vec::new();
    }
}

/// Short pieces are joined up to this length.
const JOINED: usize = 16 * 1024;

/// Queues a piece. A short one goes into the buffer of the last: what waits is counted in octets, and one that has a few of them, and
/// a buffer of its own for them, holds a thousand times what it counts for.
fn enqueue(queue: &mut VecDeque<Bytes>, piece: Bytes) {
    let Some(last) = queue.back_mut().filter(|last| last.len() + piece.len() <= JOINED) else {
        return queue.push_back(piece);
    };
    let mut whole = std::mem::take(last).try_into_mut().unwrap_or_else(|shared| {
        let mut own = BytesMut::with_capacity(2 * (shared.len() + piece.len()));
        own.extend_from_slice(&shared);
        own
    });
    whole.extend_from_slice(&piece);
    *last = whole.freeze();
}
