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

use super::cell::{Cell, Pending};

/// As many names of fresh requests are room for that is kept.
pub(super) const FRESH: usize = 128;

/// The requests of one connection.
pub(super) struct Admission {
    /// How many may run.
    pub(super) limit: usize,
    pub(super) running: usize,
    /// Ready to run, by their ids: in order.
    pub(super) waiting: BTreeMap<u32, Key>,
    /// A timer is set that lets the next ones run.
    pub(super) called: bool,
    /// How long a request may take to become complete.
    patience: Duration,
    /// Those that came with this read and were not handed over when they came.
    pub(super) fresh: Vec<Key>,
    pub(super) due: BTreeSet<(Instant, u32, u32)>,
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

    pub(super) fn run(&mut self, cell: &mut Cell) {
        self.running += 1;
        cell.runs = true;
    }

    /// A request has gone that was not handed over.
    pub(super) fn give_up(&mut self, cell: &Cell) {
        self.waiting.remove(&cell.key.id);
        self.unwatch(cell);
    }

    /// A handler is done: whether it was not known yet.
    pub(super) fn leave(&mut self, cell: &mut Cell) -> bool {
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

impl Admission {
    pub(super) fn incomplete(&self) -> Status {
        let limit = self.patience;
        Status::cancelled(format!(
            "the request was not complete within {limit:?}, which is the server's limit"
        ))
    }
}
