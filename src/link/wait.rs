//! Waiting on a stream: lead or park.

use crate::sync::atomic::Ordering;
use std::cell::Cell;
use std::mem;
use std::time::Instant;

use crate::deadline::Deadline;
use crate::http2::types::Key;
use crate::net::Interest;
use crate::reactor::habit;
use crate::reactor::{clock, courtesy, pool};
use crate::sync::{thread, thread_own};
use crate::wire::framing::Messages;

use super::cell::Waiting;
use super::face::Want;
use super::lead::Turn;
use super::me::Me;
use super::patience::{Look, Patience};
use super::state::State;
use super::stream::Took;
use super::{CROWD, Link};

const READ: Interest = Interest { read: true, write: false };

thread_own! {
    static PATIENCE: Cell<Patience> = Cell::new(Patience::NEW);
}

impl Link {
    /// Waits until `want` is there for the stream (true) or the deadline has passed (false).
    pub(super) fn wait(&self, key: Key, want: Want, deadline: Option<Instant>) -> bool {
        self.wait_and(key, want, deadline, |_| ()).is_some()
    }

    /// Waits until `want` is there for the stream, and does `then` before the lock is released; `None`:
    /// the deadline has passed.
    ///
    /// "Done, lead or register" happens in one critical section each time around.
    pub(super) fn wait_and<R>(
        &self,
        key: Key,
        want: Want,
        deadline: Option<Instant>,
        then: impl FnOnce(&mut State) -> R,
    ) -> Option<R> {
        // Also a client's: a handler that calls another server must not sit on its own answers.
        let _blocked;
        if pool::is_worker() {
            let mut state = self.state.lock();
            if state.satisfied(key, want) {
                return Some(then(&mut state));
            }
            drop(state);
            _blocked = pool::before_block();
        }
        if !self.side.is_client() {
            return self.wait_parked(key, want, deadline, then);
        }
        let me = Me::current();
        let mut spin = self.busy_poll;
        let mut habit = None;
        let mut state = self.state.lock();
        let satisfied = loop {
            if state.satisfied(key, want) {
                break true;
            }
            if deadline.is_some_and(|at| clock::now() >= at) {
                break false;
            }
            if let Some(cell) = state.cells.get_mut(key) {
                *cell.waiting(want) = Some(Waiting { me: me.clone(), want });
            }
            if state.ask(key, want) {
                self.flush_now(state);
                state = self.state.lock();
                continue;
            }
            match state.lead.enter(&me) {
                Turn::Lead => {
                    let interest = state.need();
                    let alone = !state.lead.contended() && interest == READ;
                    if alone && !spin.is_zero() {
                        drop(state);
                        self.look_longer(&mut spin);
                    } else if alone && self.looks(&mut habit) {
                        drop(state);
                        self.look_once(&mut habit);
                    } else {
                        state.watch.poll(interest);
                        drop(state);
                        self.lead_once(interest, deadline);
                    }
                    state = self.state.lock();
                    state.watch.polled();
                }
                Turn::Park => {
                    drop(state);
                    if !self.look_around(&me, deadline) {
                        me.park(deadline);
                    }
                    state = self.state.lock();
                }
            }
        };
        if let Some(cell) = state.cells.get_mut(key) {
            *cell.waiting(want) = None;
        }
        let done = satisfied.then(|| then(&mut state));
        let next = state.lead.leave(&me);
        self.settle(state);
        if let Some(next) = next {
            next.unpark();
        }
        if let Some(wait) = habit {
            wait.end();
        }
        done
    }

    /// Whether a leader that nobody else is behind looks once more before it sleeps, without having been asked to. The link's
    /// lock may be held.
    fn looks(&self, wait: &mut Option<habit::Wait>) -> bool {
        self.local && wait.get_or_insert_with(habit::Wait::begin).looks()
    }

    fn look_once(&self, wait: &mut Option<habit::Wait>) {
        let Some(wait) = wait else { return };
        wait.give_way();
        if self.read() {
            wait.found();
        }
    }

    /// On a server the pool's pollers read; a handler parks, once somebody else is sure to poll.
    fn wait_parked<R>(
        &self,
        key: Key,
        want: Want,
        deadline: Option<Instant>,
        then: impl FnOnce(&mut State) -> R,
    ) -> Option<R> {
        let me = Me::current();
        loop {
            let mut state = self.state.lock();
            if state.satisfied(key, want) {
                return Some(then(&mut state));
            }
            let expired = deadline.is_some_and(|at| clock::now() >= at);
            if let Some(cell) = state.cells.get_mut(key) {
                *cell.waiting(want) = (!expired).then(|| Waiting { me: me.clone(), want });
            }
            if expired {
                return None;
            }
            let crowd = state.cells.live() >= CROWD;
            drop(state);
            if !(crowd && self.look_around(&me, deadline)) {
                me.park(deadline);
            }
        }
    }

    /// What has come for a handler: returns the credit of `consumed` octets and moves out the whole messages. Where there
    /// is none, and the end is not there either, it waits; `None`: the deadline has passed.
    ///
    /// One critical section before the wait and one behind it: on this lock meet all handlers of the connection.
    pub(super) fn receive(
        &self,
        key: Key,
        mut consumed: usize,
        into: &mut Messages,
        deadline: Option<Instant>,
    ) -> Option<Took> {
        // Before anybody is asked for a permit: what is sent may run the user's logger, which may wait for something itself.
        pool::flush_all();
        let me = Me::current();
        let mut blocked = None;
        loop {
            let mut state = self.state.lock();
            let unsent = state.unsent();
            let took = state.take(key, mem::take(&mut consumed), into);
            let there = took.over || !into.is_empty();
            let expired = !there && deadline.is_some_and(|at| clock::now() >= at);
            // Credit that stayed here would leave a starved sender waiting for ever.
            let flush = state.unsent_since(unsent);
            let waits = !there && !expired && !flush;
            if let Some(cell) = state.cells.get_mut(key) {
                cell.receiver = waits.then(|| Waiting { me: me.clone(), want: Want::Message });
            }
            let crowd = state.cells.live() >= CROWD;
            match (flush, there) {
                (false, _) => drop(state),
                (true, true) => self.flush_or_cork(state),
                (true, false) => self.flush_now(state),
            }
            if there || expired {
                return there.then_some(took);
            }
            if waits {
                blocked = blocked.or_else(|| Some(pool::block()));
                if !(crowd && self.look_around(&me, deadline)) {
                    me.park(deadline);
                }
            }
        }
    }

    /// One turn of the leader: wait for the socket, read, resume a stuck write.
    fn lead_once(&self, interest: Interest, deadline: Option<Instant>) {
        match self.pipe.wait(interest, deadline) {
            Ok(waited) => {
                if waited.writable {
                    self.resume_writing();
                }
                if waited.readable {
                    self.read();
                }
            }
            Err(error) => {
                self.fail(&error);
            }
        }
    }

    /// Looks for a permit before the thread sleeps, letting others run. True: it was given.
    fn look_around(&self, me: &Me, deadline: Option<Instant>) -> bool {
        let mut now = clock::now();
        let mut patience = PATIENCE.reach(Cell::get).unwrap_or_default();
        if !self.local || !courtesy::pays(now) || !patience.looks() {
            PATIENCE.reach(|kept| kept.set(patience));
            return false;
        }
        let mut look = Look::new(now, self.reads.load(Ordering::Relaxed));
        let answered = loop {
            if me.take_permit() {
                break true;
            }
            now = courtesy::yield_cpu(now);
            let goes_on = look.goes_on(now, self.reads.load(Ordering::Relaxed));
            if !goes_on || !courtesy::pays(now) || deadline.is_some_and(|at| now >= at) {
                break false;
            }
        };
        patience.learn(answered);
        PATIENCE.reach(|kept| kept.set(patience));
        answered
    }

    /// Looks at the socket for up to `busy_poll`, once for each time that something comes.
    ///
    /// Waking a sleeping CPU costs more than looking; but only a leader behind whom
    /// nobody waits may do it, or it takes the CPU from the thread it waits for.
    fn look_longer(&self, spin: &mut std::time::Duration) {
        let until = Deadline::after(clock::now(), *spin);
        loop {
            if self.read() {
                *spin = self.busy_poll;
                return;
            }
            if until.expired(clock::now()) {
                *spin = std::time::Duration::ZERO;
                return;
            }
            thread::yield_now();
        }
    }
}
