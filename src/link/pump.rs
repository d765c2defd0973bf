//! Moving octets between the socket and the connection.

use crate::sync::atomic::Ordering;
use std::cell::RefCell;
use std::io;
use std::mem;
use std::time::Duration;

use crate::sync::MutexGuard;

use crate::http2::types::Key;
use crate::net::{Interest, Seal};
use crate::reactor::{Job, OnTimer, Readiness, Ready, clock, cork, courtesy, notify, pool, spares};

use super::baton::Baton;
use super::cell::Pending;
use super::face::Incoming;
use super::state::{Phase, Reading, State};
use super::wait::Me;
use super::{CROWD, Link, Stream};

/// What one write turn takes from the connection: a big message delays nobody by more. A message
/// of 64 KiB goes out whole, with its prefix and frame heads.
const TURN: usize = 72 * 1024;
/// The read buffer of each thread that reads. Untouched pages cost nothing.
const READ_BUFFER: usize = 256 * 1024;
/// So many reads at a stretch: then the thread looks what else there is. A peer that sends without
/// end must not hold a poller, nor the requests that were found with what it sent.
const ROUNDS: usize = 8;
/// How long a client's link may be quiet before the poller takes it back.
const TAKE_BACK: Duration = Duration::from_millis(8);
/// How long a server's link is quiet before it gives memory back.
const REST: Duration = Duration::from_secs(1);
/// How long we read and drop what the peer sends after our last octet (W67), and how long we wait
/// for a peer that does not take that octet.
const LINGER: Duration = Duration::from_secs(1);

const TIMER_CONNECTION: u64 = 1;
const TIMER_QUIET: u64 = 2;
const TIMER_LINGER: u64 = 3;
const TIMER_READ: u64 = 4;
const TIMER_SPARES: u64 = 5;

thread_local! {
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static WRITE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Link {
    /// Sends what is pending, unless somebody is at it or this thread may cork.
    pub(super) fn flush_or_cork<'a>(&'a self, state: MutexGuard<'a, State>) {
        if state.conn.wants_output() && cork::defer(|| self.this.upgrade()) {
            return self.settle(state);
        }
        self.flush_now(state);
    }

    /// Sends what is pending, unless somebody is at it or the socket is full.
    pub(super) fn flush_now<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        if state.conn.wants_output() && state.baton.take() {
            self.write(state);
        } else {
            self.settle(state);
        }
    }

    /// The socket is writable: goes on where a full socket stopped somebody.
    pub(super) fn resume_writing(&self) {
        let mut state = self.state.lock();
        if state.baton.resume() {
            self.write(state);
        }
    }

    /// Reads until the socket is empty, or a few times: a client's link is asked again then. Returns whether anything was read. The caller has the exclusive right to read.
    pub(super) fn read(&self) -> bool {
        let mut rounds = ROUNDS;
        self.read_rounds(None, &mut rounds)
    }

    /// Reads until the socket is empty or `rounds` is zero. On a server the requests that became
    /// complete are added to `jobs`.
    fn read_rounds(&self, mut jobs: Option<&mut Vec<Job>>, rounds: &mut usize) -> bool {
        // Taken out, not borrowed: telling the channel may come back to a link on this thread.
        let mut buffer = READ.take();
        if buffer.is_empty() {
            // Not `resize`, which would touch every page.
            buffer = vec![0; READ_BUFFER];
        }
        let mut any = false;
        while *rounds > 0 {
            *rounds -= 1;
            if !self.read_once(&mut buffer, jobs.as_deref_mut(), &mut any) {
                break;
            }
        }
        READ.set(buffer);
        any
    }

    /// One read and what follows from it. Whether there may be more to read.
    fn read_once(&self, buffer: &mut [u8], jobs: Option<&mut Vec<Job>>, any: &mut bool) -> bool {
        let read = match self.pipe.try_read(buffer) {
            Ok(0) => {
                self.end_of_input();
                return false;
            }
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                self.fail(&error);
                return false;
            }
        };
        *any = true;
        self.reads.fetch_add(1, Ordering::Relaxed);
        let plain = self.seal.open(&buffer[..read]);
        let now = clock::now();
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.input(&plain, now, &self.side);
        }
        let incoming = mem::take(&mut state.effects.incoming);
        // A short read has emptied the socket, and the next octet is the next edge. The peer's
        // end may have come with the octets' edge: there will be no other.
        let go_on = (read == buffer.len() || state.hung_up) && state.conn.wants_input();
        state.paused = !state.conn.wants_input();
        self.flush_or_cork(state);
        if let Some(jobs) = jobs {
            self.hand_over(incoming, jobs);
        }
        go_on
    }

    /// The end of a critical section: sets the connection's timer, shuts the socket
    /// down when the connection has finished, and tells everybody concerned.
    pub(super) fn settle(&self, mut state: MutexGuard<'_, State>) {
        self.set_timer(&mut state);
        if state.phase == Phase::Open && state.conn.finished() {
            self.linger(&mut state);
        }
        if state.effects.is_empty() {
            return;
        }
        let mut effects = mem::take(&mut state.effects);
        // A leader that met its own event looks again by itself.
        let kick = effects.kick && !state.lead.leads(&Me::current());
        drop(state);
        if kick {
            self.pipe.kick();
        }
        for me in effects.wakes.drain(..) {
            me.unpark();
        }
        for listener in effects.notify.drain(..) {
            notify(Box::new(move || listener.progress()));
        }
        self.side.tell(&mut effects);
        if let Some(cause) = &effects.lost {
            self.announce_lost(cause);
        }
    }

    /// The socket failed: the connection is over.
    pub(super) fn fail(&self, error: &io::Error) {
        let mut state = self.state.lock();
        state.lose(&format!("connection to {} failed: {error}", self.peer()));
        self.shut(&mut state);
        self.settle(state);
    }

    /// A waiter has left and nobody leads: the poller takes over, at once when something is
    /// expected that no thread waits for, else once the link has been quiet for a while.
    pub(super) fn hand_back(&self, mut state: MutexGuard<'_, State>) {
        // A server's socket is registered edge-triggered for good: arming it would end that.
        if self.side.is_client() && state.lead.is_free() && state.phase != Phase::Closed {
            if state.baton == Baton::Stuck || state.expects_events() && !state.armed {
                // For a stuck write also when it is armed: perhaps not for writing.
                self.arm(&mut state);
            } else if !state.armed {
                self.watch_for_quiet(&mut state);
            }
        }
        self.settle(state);
    }

    /// Writes until nothing is left or the socket is full. The caller holds the baton.
    fn write<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        // Taken out, not borrowed: telling the channel may come back to a link on this thread.
        let mut out = WRITE.take();
        out.clear();
        out.append(&mut state.tail);
        // A handler that has not blocked gives one answer: those are corked together, or are alone.
        let crowd = state.cells.live() >= CROWD;
        if crowd && (self.side.is_client() || pool::has_blocked()) {
            state = self.let_others_append(state);
        }
        loop {
            let fresh = out.is_empty();
            let framed =
                if fresh { state.output(&mut out, TURN, clock::now()) } else { Vec::new() };
            if out.is_empty() {
                state.baton.release();
                self.read_again(&mut state);
                WRITE.set(out);
                return self.settle(state);
            }
            drop(state);
            framed.into_iter().for_each(spares::put);
            if fresh {
                self.seal.seal(&mut out);
            }
            let sent = self.send(&out);
            state = self.state.lock();
            match sent {
                Ok(sent) if sent == out.len() => out.clear(),
                Ok(sent) if state.baton.stick() => {
                    state.tail.extend_from_slice(&out[sent..]);
                    WRITE.set(out);
                    return self.stuck(state);
                }
                Ok(sent) => {
                    out.drain(..sent);
                }
                // What the peer sent before it went may still be in the socket: the
                // reader finds the end. The baton stays held, nobody writes any more.
                Err(_) => return self.hand_back(state),
            }
        }
    }

    /// Lets callers that are ready to run append their requests, so that one system call takes them all.
    fn let_others_append<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let now = clock::now();
        if !courtesy::pays(now) {
            return state;
        }
        drop(state);
        courtesy::yield_cpu(now);
        self.state.lock()
    }

    /// Our answers are out: a server's link whose reading rested goes on. (A client's leader
    /// looks at `wants_input` each time around.)
    fn read_again(&self, state: &mut State) {
        if state.paused && state.conn.wants_input() {
            state.paused = false;
            self.poller.timer(clock::now(), self.timer_target(), TIMER_READ);
        }
    }

    fn send(&self, octets: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(rest) = octets.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.pipe.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// The socket is full: exactly one party waits for it to drain.
    fn stuck(&self, mut state: MutexGuard<'_, State>) {
        if self.side.is_client() {
            if state.lead.is_free() {
                self.arm(&mut state);
            } else {
                // Whoever leads waits for IN alone: it has to look again.
                state.effects.kick = true;
            }
        }
        // A server's socket is registered for both, edge-triggered: the edge will come.
        self.settle(state);
    }

    fn end_of_input(&self) {
        let mut state = self.state.lock();
        state.lose(&format!("connection closed by {}", self.peer()));
        self.shut(&mut state);
        self.settle(state);
    }

    fn hand_over(&self, incoming: Vec<(Key, Pending)>, jobs: &mut Vec<Job>) {
        let Some(this) = self.this.upgrade() else { return };
        for (key, pending) in incoming {
            let stream = Stream::new(&this, key);
            let incoming = Incoming { stream, head: pending.head, arrived: pending.arrived };
            jobs.push(pending.entry.job(incoming));
        }
    }

    fn arm(&self, state: &mut State) {
        let write = state.baton == Baton::Stuck;
        // While reading rests (A9) the next octet would bring us here again and again.
        let interest = Interest { read: state.conn.wants_input() || !write, write };
        state.armed = self.pipe.arm(interest).is_ok();
    }

    fn set_timer(&self, state: &mut State) {
        let Some(at) = state.conn.poll_timeout() else { return };
        if state.phase == Phase::Open && state.alarms.want(at) {
            self.poller.timer(at, self.timer_target(), TIMER_CONNECTION);
        }
    }

    /// All is said: our half of the socket is shut, and the peer's is read to its end.
    fn linger(&self, state: &mut State) {
        if state.baton != Baton::Free || state.conn.wants_output() {
            // A peer that never reads would keep the link, and its socket, for ever.
            if !mem::replace(&mut state.leaving, true) {
                self.poller.timer(clock::now() + LINGER, self.timer_target(), TIMER_LINGER);
            }
            return;
        }
        state.lose("connection closed");
        state.phase = Phase::Lingering;
        self.pipe.shutdown_write();
        if self.side.is_client() {
            return self.shut(state);
        }
        self.poller.timer(clock::now() + LINGER, self.timer_target(), TIMER_LINGER);
    }

    fn shut(&self, state: &mut State) {
        if state.phase == Phase::Closed {
            return;
        }
        state.phase = Phase::Closed;
        state.effects.kick = !state.lead.is_free();
        self.pipe.detach();
        self.pipe.close();
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
            self.serve(readiness, jobs);
        }
    }
}

impl Link {
    /// A server's edge: resume what was stuck, read, and read again if another edge came meanwhile.
    fn serve(&self, readiness: Readiness, jobs: &mut Vec<Job>) {
        if readiness.write {
            self.resume_writing();
        }
        if !(readiness.read || readiness.hangup) {
            return;
        }
        let mut state = self.state.lock();
        state.hung_up |= readiness.hangup;
        let rests = state.paused && !state.conn.wants_input() && !state.conn.finished();
        if rests && !state.hung_up {
            // When our answers are out the timer reads (A9).
            return;
        }
        if state.reading != Reading::Idle {
            state.reading = Reading::Again;
            return;
        }
        let mut rounds = ROUNDS;
        loop {
            state.reading = Reading::Busy;
            drop(state);
            self.read_rounds(Some(jobs), &mut rounds);
            state = self.state.lock();
            if rounds == 0 {
                state.reading = Reading::Idle;
                let now = clock::now();
                return self.poller.timer(now, self.timer_target(), TIMER_READ);
            }
            if state.reading == Reading::Busy {
                state.reading = Reading::Idle;
                return;
            }
        }
    }

    /// A client's link while no caller leads. An event that finds a leader is dropped:
    /// the leader reads, and arms again when it leaves.
    fn take_over(&self, readiness: Readiness) {
        let mut state = self.state.lock();
        state.armed = false;
        if readiness.write && state.baton.resume() {
            self.write(state);
            state = self.state.lock();
        }
        if !state.lead.poller_enter() {
            return;
        }
        drop(state);
        self.read();
        let mut state = self.state.lock();
        if let Some(next) = state.lead.poller_leave() {
            drop(state);
            next.unpark();
        } else {
            if state.phase != Phase::Closed {
                self.arm(&mut state);
            }
            self.settle(state);
        }
    }

    /// A timer looks whether anything was read since it was set. If not, a client's link is
    /// given to the poller, and memory that an idle connection does not need is freed.
    fn look_whether_quiet(&self) {
        let mut state = self.state.lock();
        state.lazy = false;
        let reads = self.reads.load(Ordering::Relaxed);
        let quiet = mem::replace(&mut state.reads_at_timer, reads) == reads;
        if state.phase == Phase::Closed {
            drop(state);
            return self.rest_spares();
        }
        if !quiet {
            return self.watch_for_quiet(&mut state);
        }
        let unused = state.cells.live() == 0;
        if unused {
            state.conn.rest();
        }
        let stuck = state.baton == Baton::Stuck;
        if self.side.is_client() && state.lead.is_free() && (stuck || !state.armed) {
            self.arm(&mut state);
        }
        drop(state);
        if unused {
            self.rest_spares();
        }
    }

    fn rest_spares(&self) {
        if let Some(at) = spares::rest(clock::now()) {
            self.poller.timer(at, self.timer_target(), TIMER_SPARES);
        }
    }

    pub(super) fn watch_for_quiet(&self, state: &mut State) {
        if !state.lazy {
            state.lazy = true;
            let now = clock::now();
            let client = self.side.is_client();
            let at = if client { now + TAKE_BACK } else { clock::coarse(now + REST) };
            self.poller.timer(at, self.timer_target(), TIMER_QUIET);
        }
    }
}

impl OnTimer for Link {
    fn fire(&self, tag: u64, now: std::time::Instant, jobs: &mut Vec<Job>) {
        match tag {
            TIMER_CONNECTION => {
                let mut state = self.state.lock();
                state.alarms.fired(now);
                if state.phase == Phase::Open {
                    state.timeout(now, &self.side);
                }
                self.flush_now(state);
            }
            TIMER_QUIET => self.look_whether_quiet(),
            TIMER_SPARES => self.rest_spares(),
            TIMER_READ => self.ready(Readiness { read: true, ..Readiness::default() }, jobs),
            _ => {
                let mut state = self.state.lock();
                self.shut(&mut state);
                self.settle(state);
            }
        }
    }
}
