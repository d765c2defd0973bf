//! Which requests of a connection run: what [`admission`](super::admission) and [`hold`](super::hold) decide, carried out.

use crate::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Instant;

use crate::http2::types::Key;
use crate::reactor::Job;
use crate::status::Status;
use crate::wire::outcome::deadline_exceeded;

use super::Link;
use super::admission::FRESH;
use super::cell::Cell;
use super::hold::Held;
use super::state::{Phase, State};

impl State {
    /// The handler of a stream is done.
    pub(super) fn settle(&mut self, key: Key) {
        if self.cells.get_mut(key).is_some_and(|cell| self.admission.leave(cell)) {
            self.conn.settle(key);
        }
    }

    /// Hands over those that wait, as far as there is room.
    pub(super) fn admit(&mut self) {
        while self.admission.running < self.admission.limit {
            let Some((_, key)) = self.admission.waiting.pop_first() else { break };
            let Some(cell) = self.cells.get_mut(key) else { continue };
            self.admission.give_up(cell);
            cell.waits = false;
            if let Some(pending) = cell.pending.take() {
                self.admission.run(cell);
                self.effects.incoming.push((key, pending));
            }
        }
    }

    /// After a read: requests that came with it and stay are looked after.
    pub(super) fn watch_fresh(&mut self) {
        while let Some(key) = self.admission.fresh.pop() {
            let cell = self.cells.get(key).filter(|cell| !cell.runs);
            if let Some(at) = cell.and_then(|cell| cell.ends_by) {
                self.admission.due.insert((at, key.id, key.slot));
            }
        }
        if self.admission.fresh.capacity() > FRESH {
            self.admission.fresh = Vec::new();
        }
    }

    /// Ends the requests whose time is over.
    pub(super) fn expire_requests(&mut self, now: Instant) {
        while let Some(&(at, id, slot)) = self.admission.due.first().filter(|(at, ..)| *at <= now) {
            self.admission.due.remove(&(at, id, slot));
            let key = Key { slot, id };
            let late = self.cells.get(key).filter(|cell| cell.deadline.is_some_and(|at| at <= now));
            let timeout = late.and_then(|cell| cell.pending.as_ref()?.head.timeout);
            let status = match late {
                Some(_) => deadline_exceeded(timeout),
                None => self.admission.incomplete(),
            };
            self.conn.at(now);
            self.refuse_pending(key, &status);
        }
    }

    /// The connection is over: what was not handed over is for nobody.
    pub(super) fn drop_requests(&mut self) {
        let ours = |cell: &&mut Cell| cell.pending.is_some() || cell.refusal.is_some();
        let keys: Vec<Key> = self.cells.iter_mut().filter(ours).map(|cell| cell.key).collect();
        for key in keys {
            if let Some(cell) = self.cells.remove(key) {
                self.admission.give_up(&cell);
                self.conn.forget(key);
            }
        }
    }

    /// Ends a request that was not handed over, complete or not: its client is told `status`, and everything it held is
    /// free. Nothing happens when it has been handed over, or has ended.
    pub(super) fn refuse_pending(&mut self, key: Key, status: &Status) {
        if self.cells.get(key).is_none_or(|cell| cell.pending.is_none() && cell.refusal.is_none()) {
            return;
        }
        let Some(mut cell) = self.cells.remove(key) else { return };
        self.admission.give_up(&cell);
        match cell.refusal.take() {
            // It was told when it came.
            Some(refusal) => self.answer_plainly(key, &refusal),
            None => {
                let method = cell.pending.as_ref().map_or("", |pending| &*pending.head.path);
                self.effects.refused(|| format!("{method}: {status}"));
                self.answer(key, status);
            }
        }
    }
}

impl Link {
    /// Whether a handler may start; else `later` makes of `work` what is held until it may.
    pub(super) fn admit<T>(
        self: &Arc<Self>,
        key: Key,
        work: T,
        later: impl FnOnce(T) -> Held,
    ) -> Option<T> {
        if !self.crowded.load(Ordering::Relaxed) {
            return Some(work);
        }
        let mut state = self.state.lock();
        if !state.is_crowded() || state.phase != Phase::Open || state.may_pass(key) {
            return Some(work);
        }
        // What has ended meanwhile need not wait for its turn to be dropped.
        let (cells, hold) = (&state.cells, &state.hold.held);
        let over = |key: &Key| cells.get(*key).is_none_or(|cell| cell.ending.is_some());
        let gone: Vec<_> = hold.iter().map(|(key, _)| *key).filter(over).collect();
        let mut dropped = Vec::new();
        if !gone.is_empty() {
            let all = std::mem::take(&mut state.hold.held);
            let (ended, rest): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|(key, _)| gone.contains(key));
            dropped = ended;
            state.hold.held = rest.into();
        }
        state.hold.held.push_back((key, later(work)));
        self.settle(state);
        drop(dropped);
        None
    }

    /// The turn of those that are held has come, of all or of one.
    pub(super) fn release_held(&self, jobs: &mut Vec<Job>) {
        let mut state = self.state.lock();
        let mut released = Vec::new();
        while state.releases() {
            let Some((key, held)) = state.hold.held.pop_front() else { break };
            if state.is_crowded() {
                state.hold.passed = Some(key);
            }
            released.push(held);
        }
        drop(state);
        jobs.extend(released.into_iter().map(|held| held().of(self.lane)));
    }
}

impl State {
    /// Whether the client leaves too much of its answers where they are.
    pub(super) fn is_crowded(&self) -> bool {
        self.conn.unsent() > self.conn.max_unsent()
    }

    /// Whether somebody who is held may go on.
    pub(super) fn releases(&self) -> bool {
        !self.hold.held.is_empty()
            && (self.phase != Phase::Open
                || self.conn.unsent() <= self.conn.max_unsent() / 2
                || self.hold.passed.is_none_or(|key| !self.conn.is_sending(key)))
    }

    /// Whether this one may start although too much waits.
    fn may_pass(&mut self, key: Key) -> bool {
        let free = self.hold.passed.is_none_or(|passed| !self.conn.is_sending(passed));
        if free && self.hold.held.is_empty() {
            self.hold.passed = Some(key);
        }
        self.hold.passed == Some(key)
    }
}
