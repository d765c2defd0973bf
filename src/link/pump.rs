//! Moving octets from the socket to the connection, and what follows from a critical section.

use crate::sync::atomic::Ordering;
use std::io;
use std::mem;
use std::time::{Duration, Instant};

use crate::sync::{MutexGuard, thread_own};

use crate::http2::types::Key;
use crate::reactor::habit;
use crate::reactor::{Job, OnTimer, Readiness, Ready, clock};

use super::cell::Pending;
use super::face::Incoming;
use super::kept::Kept;
use super::me::Me;
use super::state::{Phase, State};
use super::turn::{READ_BUFFER, Turn};
use super::watch::{Read, Todo};
use super::{CROWD, Link, Stream};

/// How long a client's link may be quiet before the poller takes it back.
const TAKE_BACK: Duration = Duration::from_millis(8);
/// How long a server's link is quiet before it gives memory back.
const REST: Duration = Duration::from_secs(1);
/// Why a connection is lost that has nothing left to say, or cannot say it.
pub(super) const CLOSED: &str = "connection closed";

pub(super) const TIMER_CONNECTION: u64 = 1;
pub(super) const TIMER_QUIET: u64 = 2;
pub(super) const TIMER_LINGER: u64 = 3;
const TIMER_READ: u64 = 4;
const TIMER_HELD: u64 = 6;
const TIMER_ADMIT: u64 = 7;

/// What is read begins with a page: the kernel's buffers mostly do as well, and where ours lay a few octets further into a
/// page, its copy would be four times slower (`copy` says why).
const PAGE: usize = 4096;

thread_own! {
    static READ: Kept<{ READ_BUFFER + PAGE }> = Kept::new();
}

impl Link {
    /// It was closed before it could be attached, perhaps: then nobody else would detach it, and the registration
    /// would hold it, and its socket, for ever.
    pub(super) fn detach_if_closed(&self) {
        if self.state.lock().phase == Phase::Closed {
            self.pipe.detach();
        }
    }

    /// Reads until the socket is empty, or a few times: a client's link is asked again then. Returns whether anything
    /// was read. The caller has the exclusive right to read.
    pub(super) fn read(&self) -> bool {
        let before = self.reads.load(Ordering::Relaxed);
        self.read_rounds(None, &mut Turn::new());
        before != self.reads.load(Ordering::Relaxed)
    }

    /// Reads until the socket is empty, the turn is over or reading rests. On a server the requests that became
    /// complete are added to `jobs`.
    fn read_rounds(&self, mut jobs: Option<&mut Vec<Job>>, turn: &mut Turn) -> Read {
        let mut buffer = READ.reach(Kept::take).unwrap_or_default();
        if buffer.is_empty() {
            // Not `resize`, which would touch every page.
            buffer = vec![0; READ_BUFFER + PAGE];
        }
        let start = buffer.as_ptr().align_offset(PAGE).min(PAGE);
        let mut how = Read::Left;
        while turn.goes_on() {
            // What a peer sends may cost more than its length tells: such a one is read from less at a time.
            let stride = self.stride.load(Ordering::Relaxed).min(READ_BUFFER);
            let more =
                self.read_once(&mut buffer[start..start + stride], turn, jobs.as_deref_mut());
            if let Some(end) = more {
                how = end;
                break;
            }
        }
        READ.reach(|kept| kept.put(buffer));
        how
    }

    /// One read and what follows from it. `None`: there may be more to read, now.
    fn read_once(
        &self,
        buffer: &mut [u8],
        turn: &mut Turn,
        jobs: Option<&mut Vec<Job>>,
    ) -> Option<Read> {
        let read = match self.pipe.try_read(buffer) {
            Ok(0) => {
                self.end_of_input();
                return Some(Read::Emptied);
            }
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(Read::Emptied),
            Err(error) => {
                // Who lingers has the rest to drop.
                return if self.fail(&error) { None } else { Some(Read::Emptied) };
            }
        };
        self.reads.fetch_add(1, Ordering::Relaxed);
        let now = clock::now();
        turn.came(now);
        let mut state = self.state.lock();
        habit::heard(self.local && state.cells.live() < CROWD);
        if state.phase == Phase::Open {
            state.input(&buffer[..read], now, &self.side);
        }
        self.watch_for_rest(&mut state);
        if self.side.is_client() && mem::take(&mut state.effects.up) {
            // Calls that wait for a connection go with what the peer's SETTINGS make us say. Not on a server: while the
            // lock is free the effects are anybody's, and requests have no second taker.
            drop(state);
            self.side.up();
            state = self.state.lock();
        }
        let incoming = mem::take(&mut state.effects.incoming);
        // A short read has emptied the socket, and the next octet is the next edge. The peer's
        // end may have come with the octets' edge, or be in the pipe: there will be no other.
        let emptied = read < buffer.len() && !state.hung_up && !self.pipe.holds();
        self.flush_or_cork(state);
        if read == buffer.len() {
            self.stride.store(turn.full(read, now, clock::now()), Ordering::Relaxed);
        }
        if let Some(jobs) = jobs {
            self.hand_over(incoming, jobs);
        }
        // Asked after the flush: what the input made us say may be out already.
        let rests = !emptied && !self.state.lock().need().read;
        match (emptied, rests) {
            (true, _) => Some(Read::Emptied),
            (false, true) => Some(Read::Left),
            (false, false) => None,
        }
    }

    /// The end of a critical section: sets the connection's timer, shuts the socket
    /// down when the connection has finished, sees to it that what is needed is watched for, and
    /// tells everybody concerned.
    pub(super) fn settle(&self, state: MutexGuard<'_, State>) {
        self.settle_as(state, false);
    }

    /// [`settle`](Self::settle); `eager`: the poller watches at once, not when the link has been quiet for a while.
    pub(super) fn settle_as(&self, mut state: MutexGuard<'_, State>, eager: bool) {
        self.set_timer(&mut state);
        if state.admission.calls() {
            // Whose handler has ended is no poller: it has no jobs to give out.
            self.poller.timer(clock::now(), self.timer_target(), TIMER_ADMIT);
        }
        if state.phase == Phase::Open && state.conn.finished() {
            self.linger(&mut state);
        }
        let todo = self.adjust(&mut state, eager);
        let release = self.look_for_crowd(&state);
        if !todo.kick && !todo.read && !release && state.effects.is_empty() {
            return;
        }
        let mut effects = mem::take(&mut state.effects);
        // A leader that met its own event looks again by itself.
        let kick = todo.kick && !state.lead.leads(&Me::current());
        drop(state);
        if kick {
            self.pipe.kick();
        }
        if todo.read {
            self.poller.later(&self.timer_target(), TIMER_READ);
        }
        if release {
            self.poller.timer(clock::now(), self.timer_target(), TIMER_HELD);
        }
        for me in effects.wakes.drain(..) {
            me.unpark();
        }
        for listener in &effects.notify {
            listener.progress();
        }
        for listener in effects.notify.drain(..) {
            listener.all_told();
        }
        self.side.tell(&mut effects);
        if let Some(cause) = &effects.lost {
            self.announce_lost(cause);
        }
        effects.log_refused(|| self.peer());
    }

    /// Compares who watches the socket with what is needed. The poller's interest is set under the lock,
    /// or an older one could come after a newer.
    fn adjust(&self, state: &mut State, eager: bool) -> Todo {
        if state.phase == Phase::Closed {
            // Nothing is needed; but a leader has to learn of it.
            state.effects.kick = !state.lead.is_free();
        }
        let facts = state.facts(eager);
        // A leader that meets its own event has nobody to tell: mostly there is no other effect.
        state.effects.kick = false;
        let todo = state.watch.adjust(facts);
        if todo.arm.is_some_and(|interest| self.pipe.arm(interest).is_err()) {
            state.watch.disarmed();
            self.watch_for_quiet(state);
        }
        if todo.quiet {
            self.set_quiet_timer(state);
        }
        todo
    }

    /// Notes for handlers about to start whether too much waits. True: some that are held may go on.
    fn look_for_crowd(&self, state: &State) -> bool {
        let crowded = state.is_crowded();
        if crowded != self.crowded.load(Ordering::Relaxed) {
            self.crowded.store(crowded, Ordering::Relaxed);
        }
        state.releases()
    }

    /// The socket failed: the connection is over. True: its end is yet to be read.
    ///
    /// That the octets are invalid is what a TLS session says, and its alert, the last word, is out: a server leaves the
    /// peer the time to read it, or a reset because of unread octets would overtake it.
    pub(super) fn fail(&self, error: &io::Error) -> bool {
        let why = format!("connection to {} failed: {error}", self.peer());
        let mut state = self.state.lock();
        let said = error.kind() == io::ErrorKind::InvalidData && !self.side.is_client();
        let lingers = said && state.phase == Phase::Open;
        if lingers {
            self.await_end(&mut state, &why);
        } else {
            self.shut(&mut state, &why);
        }
        self.settle(state);
        lingers
    }

    fn end_of_input(&self) {
        let mut state = self.state.lock();
        self.shut(&mut state, &format!("connection closed by {}", self.peer()));
        self.settle(state);
    }

    fn hand_over(&self, incoming: Vec<(Key, Pending)>, jobs: &mut Vec<Job>) {
        let Some(this) = self.this.upgrade() else { return };
        for (key, pending) in incoming {
            let stream = Stream::new(&this, key);
            let incoming = Incoming { stream, head: pending.head, arrived: pending.arrived };
            jobs.push(pending.entry.job(incoming).of(self.lane));
        }
    }

    /// Handlers have ended: the next requests that wait are handed over.
    fn admit_waiting(&self, jobs: &mut Vec<Job>) {
        let mut state = self.state.lock();
        state.admission.called = false;
        state.admit();
        let incoming = mem::take(&mut state.effects.incoming);
        self.settle(state);
        self.hand_over(incoming, jobs);
    }

    fn set_timer(&self, state: &mut State) {
        let Some(at) = state.next_timeout() else { return };
        if state.phase == Phase::Open {
            state.alarm.set(&self.poller, at, TIMER_CONNECTION, || Some(self.timer_target()));
        }
    }

    fn announce_lost(&self, cause: &str) {
        if !self.lost.swap(true, Ordering::AcqRel) {
            self.side.lost(cause);
        }
    }
}

impl Ready for Link {
    fn ready(&self, readiness: Readiness, jobs: &mut Vec<Job>) {
        if self.side.is_client() {
            self.take_over(readiness);
        } else {
            self.serve(readiness, false, jobs);
        }
    }
}

impl Link {
    /// A server's edge, or its turn to read `later`: resume what was stuck, read, and read again if another edge came
    /// meanwhile.
    fn serve(&self, readiness: Readiness, later: bool, jobs: &mut Vec<Job>) {
        if readiness.write {
            self.resume_writing();
        }
        if !(readiness.read || readiness.hangup) {
            return;
        }
        let mut state = self.state.lock();
        state.hung_up |= readiness.hangup;
        let rests = !state.need().read;
        let reads = if later { state.watch.later(rests) } else { state.watch.edge(rests) };
        if !reads {
            return self.settle(state);
        }
        let mut turn = Turn::new();
        loop {
            drop(state);
            let how = self.read_rounds(Some(jobs), &mut turn);
            state = self.state.lock();
            if !state.watch.read(how) {
                // After an emptied socket nothing is left that the last read has not settled.
                if how == Read::Left {
                    self.settle(state);
                }
                return;
            }
        }
    }

    /// A client's link while no caller leads. An event that finds a leader is dropped:
    /// the leader reads, and what it leaves unwatched is watched for when it leaves.
    fn take_over(&self, readiness: Readiness) {
        let mut state = self.state.lock();
        state.watch.disarmed();
        drop(state);
        if readiness.write {
            self.resume_writing();
        }
        state = self.state.lock();
        if !state.lead.poller_enter() {
            return self.settle(state);
        }
        if state.need().read {
            drop(state);
            self.read();
            state = self.state.lock();
        }
        let next = state.lead.poller_leave();
        self.settle_as(state, true);
        if let Some(next) = next {
            next.unpark();
        }
    }

    /// A timer looks whether anything was read since it was set. If not, a client's link is
    /// given to the poller, and memory that an idle connection does not need is freed.
    fn look_whether_quiet(&self, now: Instant) {
        let mut state = self.state.lock();
        state.quiet.fired(now);
        state.watch.quiet_looked();
        let reads = self.reads.load(Ordering::Relaxed);
        let quiet = mem::replace(&mut state.reads_at_timer, reads) == reads;
        if state.phase == Phase::Closed {
            return;
        }
        if !quiet {
            return self.watch_for_quiet(&mut state);
        }
        if state.cells.live() == 0 {
            state.rest();
        }
        self.settle_as(state, true);
    }

    /// Octets came to a server that has no call of this connection, now: what they left behind is given back once it is
    /// quiet. Requests that are answered at once have no stream whose end would see to it.
    fn watch_for_rest(&self, state: &mut State) {
        if state.cells.live() == 0 && !self.side.is_client() {
            self.watch_for_quiet(state);
        }
    }

    pub(super) fn watch_for_quiet(&self, state: &mut State) {
        if state.phase != Phase::Closed && state.watch.want_quiet() {
            self.set_quiet_timer(state);
        }
    }

    fn set_quiet_timer(&self, state: &mut State) {
        let now = clock::now();
        let client = self.side.is_client();
        let at = if client { now + TAKE_BACK } else { clock::coarse(now + REST) };
        state.quiet.set(&self.poller, at, TIMER_QUIET, || Some(self.timer_target()));
    }
}

impl OnTimer for Link {
    fn fire(&self, tag: u64, now: Instant, jobs: &mut Vec<Job>) {
        match tag {
            TIMER_CONNECTION => {
                let mut state = self.state.lock();
                state.alarm.fired(now);
                let busy = state.cells.live() > 0;
                if state.phase == Phase::Open {
                    state.timeout(now, &self.side);
                }
                if busy {
                    self.watch_for_rest(&mut state);
                }
                self.flush_now(state);
            }
            TIMER_QUIET => self.look_whether_quiet(now),
            TIMER_HELD => self.release_held(jobs),
            TIMER_ADMIT => self.admit_waiting(jobs),
            TIMER_READ => {
                self.serve(Readiness { read: true, ..Readiness::default() }, true, jobs);
            }
            _ => {
                let mut state = self.state.lock();
                self.shut(&mut state, CLOSED);
                self.settle(state);
            }
        }
    }
}
