//! Requests that wait because their client does not take what it was answered.
//!
//! A handler's one answer goes to its stream whole, however long it is, so that no worker waits for a client. What bounds
//! such answers is that no more handlers start: while more than [`max_unsent`](crate::http2::Options::max_unsent) octets
//! wait to be sent on a connection, its next requests are held here, by nobody's thread. They go on when half
//! of that has gone. One request at a time passes all the same: a client that leaves long answers unread and waits for
//! another call gets its answer, or it might never read the others.
//!
//! Guarded by the link's lock.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::http2::types::Key;
use crate::reactor::Job;
use crate::sync::atomic::Ordering;

use super::Link;
use super::state::{Phase, State};

/// What goes on with a request when its turn has come. Makes no more than a job of it, and does not block.
pub(crate) type Held = Box<dyn FnOnce(&mut Vec<Job>) + Send>;

/// The requests of one connection that are held.
#[derive(Default)]
pub(super) struct Hold {
    held: VecDeque<(Key, Held)>,
    /// The one that passed although too much waits.
    passed: Option<Key>,
}

impl Hold {
    /// The link is closed: what is held is for dropping once the lock is released.
    pub(super) fn close(&mut self) -> VecDeque<(Key, Held)> {
        std::mem::take(&mut self.held)
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
        for held in released {
            held(jobs);
        }
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
