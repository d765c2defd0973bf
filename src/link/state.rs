//! What the link's lock guards, and what has to happen once it is released.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::http2::hpack::Fields;
use crate::http2::types::{Key, Reason};
use crate::http2::{Connection, Sink};
use crate::reactor::Alarms;
use crate::status::Status;
use crate::wire::headers::{self, Refusal, RequestHead};
use crate::wire::outcome::Ending;

use super::baton::Baton;
use super::cell::{Cell, Cells, Listener, Pending, Waiting};
use super::credit;
use super::face::{Acceptor, Admit, End, Entry, LinkEvents, Notify, Outgoing, Want, When};
use super::lead::Lead;
use super::wait::Me;

/// A sender waits while more than this is queued on its stream, and is woken at half.
pub(crate) const SEND_QUOTA: usize = 64 * 1024;

/// Everything about one connection that changes.
pub(super) struct State {
    pub(super) conn: Connection,
    pub(super) cells: Cells,
    pub(super) lead: Lead<Me>,
    pub(super) baton: Baton,
    /// Octets taken from the connection that the full socket did not take.
    pub(super) tail: Vec<u8>,
    pub(super) reading: Reading,
    /// Reading rests until our answers have gone out (A9).
    pub(super) paused: bool,
    /// The peer's end has been reported: reading goes on to it, after a short read, too.
    pub(super) hung_up: bool,
    /// The poller's one-shot interest is set (client).
    pub(super) armed: bool,
    /// A timer is set that looks whether the link has become quiet.
    pub(super) lazy: bool,
    /// The link's count of reads when the take-back timer last looked.
    pub(super) reads_at_timer: u32,
    /// The timers that are set for the connection's own deadlines.
    pub(super) alarms: Alarms,
    /// Streams that have a listener.
    listeners: usize,
    pub(super) phase: Phase,
    /// A timer is set that closes the socket when the last octets cannot be sent.
    pub(super) leaving: bool,
    /// What the peer's GOAWAY said: why the connection ends, if it then does (W57).
    farewell: Option<Box<str>>,
    pub(super) effects: Effects,
}

/// Who may read a server's link: an edge that comes while one thread reads makes that thread read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Idle,
    Busy,
    Again,
}

/// What a link had to send at some time.
#[derive(Clone, Copy)]
pub(super) struct Unsent {
    any: bool,
    control: usize,
}

/// How far the connection's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Frames may come and go.
    Open,
    /// Everything is written and our half of the socket is shut; what the peer
    /// still sends is read and dropped, so that no TCP reset destroys our last octets (W67).
    Lingering,
    /// The socket is closed.
    Closed,
}

/// What to do after the lock is released.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) wakes: Vec<Me>,
    pub(super) notify: Vec<Arc<Listener>>,
    pub(super) incoming: Vec<(Key, Pending)>,
    /// The leader's own wait is over, or its interest has changed.
    pub(super) kick: bool,
    pub(super) up: bool,
    pub(super) draining: bool,
    pub(super) room: bool,
    pub(super) lost: Option<String>,
}

impl Effects {
    pub(super) fn is_empty(&self) -> bool {
        self.wakes.is_empty()
            && self.notify.is_empty()
            && self.incoming.is_empty()
            && !(self.kick || self.up || self.draining || self.room)
            && self.lost.is_none()
    }

    /// Wakes whoever waits on `cell` for something that is there now.
    fn tell(&mut self, lead: &mut Lead<Me>, cell: &mut Cell) {
        let ended = cell.ending.is_some();
        if cell.receiver.as_ref().is_some_and(|w| cell.has(w.want)) {
            self.wake(lead, cell.receiver.take());
        }
        if ended {
            self.wake(lead, cell.sender.take());
        }
        if cell.has(Want::Head) {
            self.tell_listener(cell);
        }
    }

    /// Tells the owner of the link. Generic, since `&dyn Acceptor` turns into `&dyn LinkEvents` from Rust 1.86 on only.
    fn tell_of<E: LinkEvents + ?Sized>(&mut self, events: &E) {
        if mem::take(&mut self.up) {
            events.up();
        }
        if mem::take(&mut self.draining) {
            events.draining();
        }
        if mem::take(&mut self.room) {
            events.room();
        }
    }

    /// What comes before the listener has looked is told once: the notifier may be slow.
    fn tell_listener(&mut self, cell: &Cell) {
        if let Some(listener) = cell.notify.as_ref().filter(|listener| listener.tell()) {
            self.notify.push(listener.clone());
        }
    }

    pub(super) fn wake(&mut self, lead: &mut Lead<Me>, waiting: Option<Waiting>) {
        let Some(Waiting { me, .. }) = waiting else { return };
        if lead.leads(&me) {
            self.kick = true;
        } else {
            lead.satisfied(&me);
            self.wakes.push(me);
        }
    }
}

/// What a frame asks of the connection, done when it has finished with its input.
pub(super) enum After {
    /// A long message has begun.
    Expect(Key),
    /// A long message that was awaited is whole.
    Complete(Key),
    Overlong(Key, Status),
    Refuse(Key, Status),
    Plain(Key, Refusal),
    Reset(Key),
    Forget(Key),
}

/// Where the connection's events go.
struct Receiver<'a> {
    cells: &'a mut Cells,
    lead: &'a mut Lead<Me>,
    effects: &'a mut Effects,
    farewell: &'a mut Option<Box<str>>,
    after: &'a mut Vec<After>,
    acceptor: Option<&'a Arc<dyn Acceptor>>,
    now: Instant,
}

impl State {
    pub(super) fn new(conn: Connection) -> Self {
        Self {
            conn,
            cells: Cells::default(),
            lead: Lead::new(),
            baton: Baton::Free,
            tail: Vec::new(),
            reading: Reading::Idle,
            paused: false,
            hung_up: false,
            armed: false,
            lazy: false,
            reads_at_timer: 0,
            alarms: Alarms::new(),
            listeners: 0,
            phase: Phase::Open,
            leaving: false,
            farewell: None,
            effects: Effects::default(),
        }
    }

    /// Feeds what was read from the socket.
    pub(super) fn input(&mut self, octets: &[u8], now: Instant, side: &Side) {
        self.with_receiver(now, side, |conn, sink| conn.handle_input(octets, now, sink));
    }

    pub(super) fn timeout(&mut self, now: Instant, side: &Side) {
        self.with_receiver(now, side, |conn, sink| conn.handle_timeout(now, sink));
    }

    /// Moves about `budget` octets of output to `out`. What is returned is not needed any more, and is
    /// long perhaps: it is for dropping once the lock is released.
    pub(super) fn output(&mut self, out: &mut Vec<u8>, budget: usize, now: Instant) -> Vec<Bytes> {
        self.with_receiver(now, &Side::None, |conn, sink| conn.poll_output(out, budget, sink));
        self.conn.take_sent()
    }

    /// What there is to send, for [`unsent_since`](Self::unsent_since).
    pub(super) fn unsent(&self) -> Unsent {
        Unsent { any: self.conn.wants_output(), control: self.conn.control_len() }
    }

    /// Whether there is something to send that was not there then.
    pub(super) fn unsent_since(&self, then: Unsent) -> bool {
        self.conn.control_len() > then.control || !then.any && self.conn.wants_output()
    }

    pub(super) fn abort(&mut self, reason: Reason, why: &str, now: Instant) {
        self.with_receiver(now, &Side::None, |conn, sink| conn.abort(reason, why, sink));
        self.lose(why);
    }

    /// Whether `want` is there for the stream; a stream that is gone wants nothing.
    pub(super) fn satisfied(&self, key: Key, want: Want) -> bool {
        let Some(cell) = self.cells.get(key) else { return true };
        cell.has(want)
            || (matches!(want, Want::Room | Want::Turn) && self.conn.queued(key) < SEND_QUOTA)
    }

    /// Appends to a stream that has not ended; the octets of it that are queued then.
    pub(super) fn append(&mut self, key: Key, out: Outgoing<'_>) -> Option<usize> {
        if matches!(out.end, End::Trailers(_)) {
            self.conn.settle(key);
        }
        if self.cells.get(key).is_none_or(|cell| cell.ending.is_some()) {
            return None;
        }
        if let Some(head) = out.head {
            self.conn.headers(key, head, false);
        }
        let half = matches!(out.end, End::Half);
        if out.data.is_some() || half {
            self.conn.data(key, out.data.unwrap_or_default(), half);
        }
        if let End::Trailers(block) | End::Cut(block) = out.end {
            self.conn.trailers(key, Bytes::copy_from_slice(block));
        }
        Some(self.conn.queued(key))
    }

    /// Ends the stream from our side. False when it had ended.
    pub(super) fn finish(&mut self, key: Key, ending: Ending) -> bool {
        let Some(cell) = self.cells.get_mut(key) else { return false };
        let first = cell.end(ending);
        if first {
            self.effects.tell(&mut self.lead, cell);
        }
        first
    }

    /// `listener` is told of what is there already, and of what comes.
    pub(super) fn listen(&mut self, key: Key, listener: Arc<dyn Notify>) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        self.listeners += usize::from(cell.notify.is_none());
        cell.notify = Some(Listener::new(listener));
        self.effects.tell(&mut self.lead, cell);
    }

    /// Whether something is expected that no thread waits for.
    pub(super) fn expects_events(&self) -> bool {
        self.listeners > 0
    }

    /// The stream's owner lets go. The cell is for dropping once the lock is released: its
    /// listener may be the last to hold a call, and the call the last to hold this link's channel.
    #[must_use = "dropped under the lock it could come back for the lock"]
    pub(super) fn forget(&mut self, key: Key) -> Option<Box<Cell>> {
        let cell = self.cells.remove(key)?;
        self.listeners -= usize::from(cell.notify.is_some());
        self.conn.forget(key);
        Some(cell)
    }

    /// The connection is gone: every stream that has not ended ends here. Idempotent.
    pub(super) fn lose(&mut self, why: &str) {
        let why = with_farewell(why, self.farewell.as_deref());
        for cell in self.cells.iter_mut() {
            if cell.end(Ending::Lost(why.clone())) {
                self.effects.tell(&mut self.lead, cell);
            }
        }
        self.effects.lost.get_or_insert(why);
    }

    fn with_receiver(
        &mut self,
        now: Instant,
        side: &Side,
        work: impl FnOnce(&mut Connection, &mut dyn Sink),
    ) {
        let mut after = Vec::new();
        let mut sink = Receiver {
            cells: &mut self.cells,
            lead: &mut self.lead,
            effects: &mut self.effects,
            farewell: &mut self.farewell,
            after: &mut after,
            acceptor: side.acceptor(),
            now,
        };
        work(&mut self.conn, &mut sink);
        for item in after {
            self.follow_up(item);
        }
    }

    fn follow_up(&mut self, item: After) {
        match item {
            // More of the message may have come with the same read.
            After::Expect(key) => self.expect(key),
            After::Complete(key) => self.conn.complete(key),
            After::Overlong(key, status) => self.overlong(key, status),
            After::Refuse(key, status) => self.answer(key, &status),
            After::Plain(key, refusal) => {
                let mut block = Vec::new();
                headers::plain_response(&mut block, &refusal);
                self.conn.headers(key, &block, false);
                self.conn.data(key, Bytes::from(refusal.body()), true);
                self.conn.forget(key);
            }
            After::Reset(key) => self.conn.reset(key, Reason::CANCEL),
            After::Forget(key) => self.conn.forget(key),
        }
    }

    /// A message longer than the limit (W38), or one too many (W41): the call ends, the rest is not read.
    fn overlong(&mut self, key: Key, status: Status) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        if cell.pending.is_some() {
            self.cells.remove(key);
            return self.answer(key, &status);
        }
        if cell.end(Ending::Local(status)) {
            self.effects.tell(&mut self.lead, cell);
        }
        self.conn.reset(key, Reason::CANCEL);
    }

    /// Ends a request that nobody has taken with a status, trailers only.
    fn answer(&mut self, key: Key, status: &Status) {
        let mut block = Vec::new();
        headers::trailers_only(&mut block, status, status.trailing_metadata());
        self.conn.headers(key, &block, true);
        self.conn.forget(key);
    }
}

/// Which role a link plays, and whom it tells.
pub(super) enum Side {
    Client(Arc<dyn LinkEvents>),
    Server(Arc<dyn Acceptor>),
    /// While no stream can come in.
    None,
}

impl Side {
    fn acceptor(&self) -> Option<&Arc<dyn Acceptor>> {
        match self {
            Self::Server(acceptor) => Some(acceptor),
            _ => None,
        }
    }

    pub(super) fn is_client(&self) -> bool {
        matches!(self, Self::Client(_))
    }

    /// Tells the channel or the server what has happened. No lock may be held.
    pub(super) fn tell(&self, effects: &mut Effects) {
        match self {
            Self::Client(events) => effects.tell_of(&**events),
            Self::Server(acceptor) => effects.tell_of(&**acceptor),
            Self::None => {}
        }
    }

    pub(super) fn lost(&self, cause: &str) {
        match self {
            Self::Client(events) => events.lost(cause),
            Self::Server(acceptor) => acceptor.lost(cause),
            Self::None => {}
        }
    }
}

impl Receiver<'_> {
    fn request(&mut self, key: Key, fields: &Fields, end: bool) {
        let Some(acceptor) = self.acceptor else { return };
        let head = match headers::parse_request(fields) {
            Ok(head) => head,
            Err(refusal) => return self.refuse(key, refusal, end),
        };
        match acceptor.admit(&head) {
            Admit::Refuse(status) => self.after.push(After::Refuse(key, status)),
            Admit::Run { entry, when, limit } => {
                self.admitted(key, head, (entry, when, limit), end)
            }
        }
    }

    fn admitted(
        &mut self,
        key: Key,
        head: RequestHead,
        (entry, when, limit): (Arc<dyn Entry>, When, usize),
        end: bool,
    ) {
        let mut cell = Cell::new(key, limit);
        cell.peer_done = end;
        let pending = Pending { head, entry, arrived: self.now };
        if end || when == When::Headers {
            self.effects.incoming.push((key, pending));
        } else {
            cell.pending = Some(pending);
            cell.single = true;
        }
        self.cells.insert(cell);
    }

    /// No gRPC request. The plain answer waits for the end of the request: an early
    /// one would be followed by a reset, which ordinary HTTP clients take for a failure.
    fn refuse(&mut self, key: Key, refusal: Refusal, end: bool) {
        if let Some(status) = refusal.status() {
            return self.after.push(After::Refuse(key, status.clone()));
        }
        if end {
            return self.after.push(After::Plain(key, refusal));
        }
        let mut cell = Cell::new(key, usize::MAX);
        cell.refusal = Some(refusal);
        self.cells.insert(cell);
    }

    /// The peer's half has ended: complete requests are handed over.
    fn half_closed(&mut self, key: Key) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        cell.peer_done = true;
        cell.broken = cell.inbox.finish().err();
        if let Some(refusal) = cell.refusal.take() {
            self.cells.remove(key);
            return self.after.push(After::Plain(key, refusal));
        }
        if let Some(pending) = cell.pending.take() {
            self.effects.incoming.push((key, pending));
        }
        self.effects.tell(self.lead, cell);
    }

    fn ended(&mut self, key: Key, ending: Ending) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        if cell.pending.is_some() || cell.refusal.is_some() {
            self.cells.remove(key);
            return self.after.push(After::Forget(key));
        }
        if cell.end(ending) {
            self.effects.tell(self.lead, cell);
        }
    }
}

impl Sink for Receiver<'_> {
    fn headers(&mut self, key: Key, fields: &Fields, end: bool) {
        let Some(cell) = self.cells.get_mut(key) else { return self.request(key, fields, end) };
        let response = headers::parse_response(fields, end);
        cell.headed = true;
        if end {
            let ending = Ending::from_trailers_only(response, fields);
            return self.ended(key, ending);
        }
        if let Some(ending) = Ending::from_head(&response) {
            // No gRPC: what follows is no message.
            self.ended(key, ending);
            return self.after.push(After::Reset(key));
        }
        cell.head = Some(response);
        self.effects.tell(self.lead, cell);
    }

    fn trailers(&mut self, key: Key, fields: &Fields) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        if self.acceptor.is_some() {
            return self.half_closed(key);
        }
        let ending = match cell.inbox.finish() {
            Ok(()) => Ending::from_trailers(headers::parse_trailers(fields)),
            Err(status) => Ending::Local(status),
        };
        self.ended(key, ending);
    }

    fn data(&mut self, key: Key, payload: &[u8], end: bool) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        if cell.refusal.is_none() && cell.ending.is_none() && !payload.is_empty() {
            match cell.inbox.feed(payload) {
                // A handler has the call: it learns of it from its requests, and answers.
                Err(status) if self.acceptor.is_some() && cell.pending.is_none() => {
                    cell.peer_done = true;
                    cell.broken = Some(status);
                    return self.effects.tell(self.lead, cell);
                }
                Err(status) => return self.after.push(After::Overlong(key, status)),
                Ok(fed) => {
                    self.after.extend(credit::after_feed(cell, fed));
                    if fed.whole > 0 && !end {
                        self.effects.tell(self.lead, cell);
                    }
                }
            }
        }
        if !end {
            return;
        }
        if self.acceptor.is_some() {
            self.half_closed(key);
        } else {
            self.ended(key, Ending::NoTrailers);
        }
    }

    fn reset(&mut self, key: Key, reason: Reason, by_peer: bool, cause: &'static str) {
        self.ended(key, Ending::Reset { reason, by_peer, cause });
    }

    fn unprocessed(&mut self, key: Key) {
        self.ended(key, Ending::Unprocessed);
    }

    fn writable(&mut self, key: Key) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        let waiting = cell.sender.take();
        self.effects.wake(self.lead, waiting);
        if cell.receiver.as_ref().is_some_and(|waiting| waiting.want == Want::Turn) {
            let waiting = cell.receiver.take();
            self.effects.wake(self.lead, waiting);
        }
        self.effects.tell_listener(cell);
    }

    fn room(&mut self) {
        self.effects.room = true;
    }

    fn ready(&mut self) {
        self.effects.up = true;
    }

    fn goaway(&mut self, reason: Reason, debug: &[u8]) {
        self.effects.draining = true;
        // An end without an error needs no explanation, unless one is given.
        if reason != Reason::NO_ERROR || !debug.is_empty() {
            let text = String::from_utf8_lossy(&debug[..debug.len().min(FAREWELL)]);
            *self.farewell = Some(format!("{} {:?}", reason.name(), text).into());
        }
    }

    fn lost(&mut self, reason: Reason, cause: &str) {
        let why = with_farewell(&format!("{cause} ({})", reason.name()), self.farewell.as_deref());
        for cell in self.cells.iter_mut() {
            if cell.end(Ending::Lost(why.clone())) {
                self.effects.tell(self.lead, cell);
            }
        }
        self.effects.lost.get_or_insert(why);
    }
}

/// As much of a peer's GOAWAY text as is kept.
const FAREWELL: usize = 256;

/// The cause of a loss, with what the peer said before.
fn with_farewell(why: &str, farewell: Option<&str>) -> String {
    farewell.map_or_else(|| why.to_owned(), |said| format!("{why}; its GOAWAY said {said}"))
}
