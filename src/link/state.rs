//! What the link's lock guards.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::http2::types::{Key, Reason};
use crate::http2::{Batch, Connection, Options, Sink};
use crate::net::Interest;
use crate::reactor::{Alarm, clock};
use crate::status::Status;
use crate::wire::framing;
use crate::wire::headers::{self, Refusal, Subtype};
use crate::wire::outcome::{Ending, Farewell};

use super::admission::Admission;
use super::baton::Baton;
use super::cell::{Cell, Cells, Listener};
use super::effects::{Effects, Side};
use super::face::{End, Notify, Outgoing, Want};
use super::hold::Hold;
use super::lead::Lead;
use super::me::Me;
use super::receiver::{After, Receiver};
use super::tally::Tally;
use super::terms::Terms;
use super::watch::{Facts, Holder, Watch};

/// Everything about one connection that changes.
pub(super) struct State {
    pub(super) conn: Connection,
    terms: Arc<Terms>,
    pub(super) cells: Cells,
    pub(super) admission: Admission,
    pub(super) lead: Lead<Me>,
    pub(super) baton: Baton,
    /// Octets taken from the connection that the full socket did not take.
    pub(super) tail: Option<Box<Batch>>,
    pub(super) watch: Watch,
    /// The peer's end has been reported: reading goes on to it, after a short read, too.
    pub(super) hung_up: bool,
    /// The link's count of reads when the take-back timer last looked.
    pub(super) reads_at_timer: u32,
    /// For the connection's own deadlines.
    pub(super) alarm: Alarm,
    /// Streams that have a listener.
    listeners: usize,
    pub(super) phase: Phase,
    /// Looks whether the link is quiet.
    pub(super) quiet: Alarm,
    /// Closes the socket when the last octets cannot be sent, or the peer does not end.
    pub(super) leave: Alarm,
    /// What the peer's GOAWAY said: why the connection ends, if it then does (W57).
    farewell: Option<Arc<Farewell>>,
    pub(super) hold: Hold,
    pub(super) effects: Effects,
    pub(super) tally: Tally,
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

impl State {
    pub(super) fn new(
        conn: Connection,
        client: bool,
        options: &Options,
        terms: &Arc<Terms>,
    ) -> Self {
        Self {
            conn,
            terms: terms.clone(),
            cells: Cells::default(),
            admission: Admission::new(options),
            lead: Lead::new(),
            baton: Baton::Free,
            tail: None,
            watch: Watch::new(client),
            hung_up: false,
            reads_at_timer: 0,
            alarm: Alarm::new(),
            listeners: 0,
            phase: Phase::Open,
            quiet: Alarm::new(),
            leave: Alarm::new(),
            farewell: None,
            hold: Hold::default(),
            effects: Effects::default(),
            tally: Tally::default(),
        }
    }

    /// Feeds what was read from the socket.
    pub(super) fn input(&mut self, octets: &[u8], now: Instant, side: &Side) {
        self.with_receiver(now, side, |conn, sink| conn.handle_input(octets, now, sink));
        self.tally.reads(now);
        self.admit();
        self.watch_fresh();
    }

    pub(super) fn timeout(&mut self, now: Instant, side: &Side) {
        self.with_receiver(now, side, |conn, sink| conn.handle_timeout(now, sink));
        self.expire_requests(now);
    }

    /// When to look again, though nothing comes.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match (self.conn.poll_timeout(), self.admission.due()) {
            (Some(conn), Some(due)) => Some(conn.min(due)),
            (conn, due) => conn.or(due),
        }
    }

    /// Moves about `budget` octets of output to `out`.
    pub(super) fn output(&mut self, out: &mut Batch, budget: usize, now: Instant) {
        self.conn.at(now);
        self.tally.writes(now);
        self.with_receiver(now, &Side::None, |conn, sink| conn.poll_output(out, budget, sink));
    }

    /// Gives back memory that an idle connection does not need.
    pub(super) fn rest(&mut self) {
        self.conn.rest();
        self.admission.rest();
    }

    /// The same at once after a connection's first call: many have one, and then nothing for long. What they give back serves
    /// the next ones; what is given back only once they are quiet a burst of them would all have at the same time.
    pub(super) fn rest_after_first(&mut self) {
        if self.conn.is_fresh() && self.cells.live() == 0 {
            self.rest();
        }
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
        cell.has(want) || (matches!(want, Want::Room | Want::Turn) && self.conn.has_room(key))
    }

    /// Appends to a stream that has not ended; the octets of it that are queued then.
    pub(super) fn append(&mut self, key: Key, out: Outgoing<'_>) -> Option<usize> {
        if matches!(out.end, End::Trailers(..)) {
            self.settle(key);
        }
        let cell = self.cells.get_mut(key).filter(|cell| cell.ending.is_none())?;
        let deadline = cell.deadline;
        if let Some(head) = out.head {
            self.conn.headers(key, head, false);
        }
        let half = matches!(out.end, End::Half);
        if out.data.is_some() || half {
            if let Some(data) = &out.data {
                self.tally.sends(framing::count(data));
            }
            self.conn.data(key, out.data.unwrap_or_default(), half);
        }
        if let End::Trailers(block, _) | End::Cut(block) = out.end {
            cell.answered = true;
            self.tally.well += u64::from(matches!(out.end, End::Trailers(_, true)));
            if !cell.peer_done || self.conn.ages() {
                // The client is told a while after this, or the connection rests from now on: the time has to be right.
                self.conn.at(clock::now());
            }
            self.conn.trailers(key, Bytes::copy_from_slice(block));
            if let Some(at) = deadline.filter(|_| self.conn.queued(key) > 0) {
                self.conn.lapse_at(key, at);
            }
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

    /// What the link has to hear of its socket.
    pub(super) fn need(&self) -> Interest {
        let read = match self.phase {
            Phase::Open => self.conn.wants_input(),
            // What comes is dropped, to the end (W67).
            Phase::Lingering => true,
            Phase::Closed => false,
        };
        Interest { read, write: self.baton == Baton::Stuck && self.phase == Phase::Open }
    }

    /// What decides who is to watch the socket. `eager`: the poller goes on.
    pub(super) fn facts(&self, eager: bool) -> Facts {
        let holder = match () {
            () if self.lead.is_free() => Holder::Nobody,
            () if self.lead.polls() => Holder::Poller,
            () => Holder::Waiter,
        };
        Facts {
            holder,
            need: self.need(),
            eager: eager || self.listeners > 0,
            told: self.effects.kick,
        }
    }

    /// Nobody is told of the stream any more. What was told is for dropping once the lock is released.
    #[must_use = "dropped under the lock it could come back for the lock"]
    pub(super) fn unlisten(&mut self, key: Key) -> Option<Arc<Listener>> {
        let listener = self.cells.get_mut(key)?.notify.take()?;
        self.listeners -= 1;
        Some(listener)
    }

    /// The stream's owner lets go. The cell is for dropping once the lock is released: its
    /// listener may be the last to hold a call, and the call the last to hold this link's channel.
    #[must_use = "dropped under the lock it could come back for the lock"]
    pub(super) fn forget(&mut self, key: Key) -> Option<Box<Cell>> {
        self.settle(key);
        let cell = self.cells.remove(key)?;
        self.listeners -= usize::from(cell.notify.is_some());
        self.conn.forget(key);
        Some(cell)
    }

    /// The connection is gone: every stream that has not ended ends here. Idempotent.
    pub(super) fn lose(&mut self, why: &str) {
        let why = Farewell::after(why.to_owned(), self.farewell.as_deref());
        for cell in self.cells.iter_mut() {
            if cell.end(Ending::Lost(why.clone())) {
                self.effects.tell(&mut self.lead, cell);
            }
        }
        self.effects.lost.get_or_insert(why);
        self.drop_requests();
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
            admission: &mut self.admission,
            lead: &mut self.lead,
            effects: &mut self.effects,
            tally: &mut self.tally,
            farewell: &mut self.farewell,
            after: &mut after,
            acceptor: side.acceptor(),
            terms: &self.terms,
            now,
        };
        work(&mut self.conn, &mut sink);
        // What follows from the peer's input counts as that itself does (A9).
        let before = self.conn.control_len();
        if !after.is_empty() {
            after.into_iter().for_each(|item| self.follow_up(item));
            self.conn.charge(before);
        }
        if self.effects.lost.is_some() {
            self.drop_requests();
        }
    }

    fn follow_up(&mut self, item: After) {
        match item {
            After::Refuse(key, status) => self.answer(key, &status),
            After::Plain(key, refusal) => self.answer_plainly(key, &refusal),
            After::Reset(key) => self.conn.reset(key, Reason::CANCEL),
            After::Forget(key) => self.conn.forget(key),
        }
    }

    /// Answers what is no gRPC request as ordinary clients expect it.
    pub(super) fn answer_plainly(&mut self, key: Key, refusal: &Refusal) {
        let mut block = Vec::new();
        headers::plain_response(&mut block, refusal);
        self.conn.headers(key, &block, false);
        self.conn.data(key, Bytes::from(refusal.body()), true);
        self.conn.forget(key);
    }

    /// Ends a request that nobody has taken with a status, trailers only.
    pub(super) fn answer(&mut self, key: Key, status: &Status) {
        let most = self.conn.peer_max_header_list();
        let block = headers::trailers_within(
            most,
            Some(Subtype::Plain),
            status,
            status.trailing_metadata(),
        );
        self.conn.headers(key, &block, true);
        self.conn.forget(key);
    }
}
