//! Requests on their way to their handlers: who runs, who waits, and for how long a request may be on its way.
//!
//! Of one connection no more requests run than it may have streams open, whatever their client does meanwhile (A1). A client
//! that has reset a stream may open the next at once, though the handler still runs: that one waits, first come first
//! served, with what of it has come. So what waits is open, and what runs is bounded: neither can pile up.
//!
//! A request ends at its deadline also while it is incomplete or waits (W56), and one that a method takes whole has to be
//! complete within a limit. Guarded by the link's lock; `now` is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::http2::Options;
use crate::http2::types::Key;
use crate::status::Status;
use crate::wire::headers::Refusal;
use crate::wire::outcome::deadline_exceeded;

use super::cell::{Cell, Pending};
use super::state::State;

/// As many names of fresh requests are room for that is kept.
const FRESH: usize = 128;

/// The requests of one connection.
pub(super) struct Admission {
    /// How many may run.
    limit: usize,
    running: usize,
    /// Ready to run, by their ids: in order.
    waiting: BTreeMap<u32, Key>,
    /// A timer is set that lets the next ones run.
    pub(super) called: bool,
    /// How long a request may take to become complete.
    patience: Duration,
    /// Those that came with this read and were not handed over when they came.
    fresh: Vec<Key>,
    due: BTreeSet<(Instant, u32, u32)>,
}

impl Admission {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            limit: options.max_concurrent_streams as usize,
            running: 0,
            waiting: BTreeMap::new(),
            called: false,
            patience: options.request_timeout,
            fresh: Vec::new(),
            due: BTreeSet::new(),
        }
    }

    /// A request whose headers are in, and whose method waits for the rest.
    pub(super) fn begin(&mut self, cell: &mut Cell, pending: Pending) {
        let limit = pending.arrived.checked_add(self.patience);
        cell.ends_by = [limit, cell.deadline].into_iter().flatten().min();
        cell.pending = Some(pending);
        self.watch(cell);
    }

    /// No gRPC request: it is answered at its end.
    pub(super) fn turn_down(&mut self, cell: &mut Cell, refusal: Refusal, now: Instant) {
        cell.ends_by = now.checked_add(self.patience);
        cell.refusal = Some(refusal);
        self.watch(cell);
    }

    fn watch(&mut self, cell: &Cell) {
        if cell.ends_by.is_some() {
            self.fresh.push(cell.key);
        }
    }

    /// A request is ready to run: whether it runs. If not it waits in its cell.
    pub(super) fn enter(&mut self, cell: &mut Cell, pending: Pending) -> Option<Pending> {
        self.unwatch(cell);
        if self.running < self.limit && self.waiting.is_empty() {
            self.run(cell);
            return Some(pending);
        }
        cell.waits = true;
        cell.ends_by = cell.deadline;
        cell.pending = Some(pending);
        self.waiting.insert(cell.key.id, cell.key);
        self.watch(cell);
        None
    }

    fn unwatch(&mut self, cell: &Cell) {
        if let Some(at) = cell.ends_by.filter(|_| !self.due.is_empty()) {
            self.due.remove(&(at, cell.key.id, cell.key.slot));
        }
    }

    fn run(&mut self, cell: &mut Cell) {
        self.running += 1;
        cell.runs = true;
    }

    /// A request has gone that was not handed over.
    pub(super) fn give_up(&mut self, cell: &Cell) {
        self.waiting.remove(&cell.key.id);
        self.unwatch(cell);
    }

    /// A handler is done: whether it was not known yet.
    fn leave(&mut self, cell: &mut Cell) -> bool {
        let ran = std::mem::take(&mut cell.runs);
        self.running -= usize::from(ran);
        ran
    }

    /// Whether somebody has to let one run that waits.
    pub(super) fn calls(&mut self) -> bool {
        let next = !self.waiting.is_empty() && self.running < self.limit;
        next && !std::mem::replace(&mut self.called, true)
    }

    /// Gives memory back that an idle connection does not need.
    pub(super) fn rest(&mut self) {
        if self.fresh.is_empty() {
            self.fresh = Vec::new();
        }
    }

    /// When the next request ends that is on its way.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.first().map(|&(at, ..)| at)
    }

    /// Requests that run, and those that wait for them.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        assert!(self.fresh.is_empty() && self.due.len() <= self.waiting.len() + self.limit);
        (self.running, self.waiting.len())
    }
}

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
            let late =
                self.cells.get(key).is_some_and(|cell| cell.deadline.is_some_and(|at| at <= now));
            let status = if late { deadline_exceeded() } else { self.admission.incomplete() };
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
            Some(refusal) => self.answer_plainly(key, &refusal),
            None => self.answer(key, status),
        }
    }
}

impl Admission {
    fn incomplete(&self) -> Status {
        let limit = self.patience;
        Status::cancelled(format!(
            "the request was not complete within {limit:?}, which is the server's limit"
        ))
    }
}
