//! What a pool does when a timer fires: it looks after what is stuck, whether it is full, and whether it needs one more.

use crate::sync::atomic::Ordering;
use crate::tell;
use std::time::{Duration, Instant};

use super::super::duty::{Queued, Wakes};
use super::super::growth::PATIENCE;
use super::super::{Job, OnTimer, clock};
use super::Engine;

/// When the net looks after corks and waiting jobs.
const NET: Duration = Duration::from_micros(300);
/// A cork as old as this belongs to a worker that is stuck: others flush between jobs.
const STUCK: Duration = Duration::from_micros(100);

/// How long a pool is full before anybody is told.
const LONG: Duration = Duration::from_secs(1);

const TIMER_NET: u64 = 0;
const TIMER_WATCH: u64 = 1;
const TIMER_GROWTH: u64 = 2;

impl Engine {
    pub(super) fn spread_net(&self) {
        if self.net.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(this) = self.this.upgrade() else { return };
        let mut state = self.state.lock();
        state.queue.cast();
        drop(state);
        self.poller.timer(clock::now() + NET, this, TIMER_NET);
    }

    /// The pool is full: looks in a second whether it still is.
    pub(super) fn watch(&self) {
        if let Some(this) = self.this.upgrade() {
            self.poller.timer(clock::now() + LONG, this, TIMER_WATCH);
        }
    }

    /// Jobs wait for nothing but one worker more: looks in a moment whether they still do.
    pub(super) fn watch_growth(&self) {
        if let Some(this) = self.this.upgrade() {
            self.poller.timer(clock::now() + PATIENCE, this, TIMER_GROWTH);
        }
    }

    /// That moment is over.
    fn look_whether_to_grow(&self) {
        let mut state = self.state.lock();
        if state.stopping {
            return;
        }
        let sight = self.sight(&state);
        let grown = state.growth.look(sight);
        drop(state);
        if let (Some(place), Some(this)) = (grown.born, self.this.upgrade()) {
            this.grow(place);
        }
        if grown.again {
            self.watch_growth();
        }
    }

    /// A second is over.
    fn look_whether_full(&self) {
        let mut state = self.state.lock();
        let watched = state.queue.strain.look();
        let full = state.growth.full(state.duty.blocked(), state.queue.len(), state.queue.held());
        drop(state);
        if watched.again {
            self.watch();
        }
        if watched.full {
            tell::warn!("{full}");
        }
    }
}

impl OnTimer for Engine {
    fn fire(&self, tag: u64, now: Instant, _jobs: &mut Vec<Job>) {
        match tag {
            TIMER_WATCH => return self.look_whether_full(),
            TIMER_GROWTH => return self.look_whether_to_grow(),
            _ => {}
        }
        self.net.store(false, Ordering::Release);
        let mut again = false;
        let stuck = now.checked_sub(STUCK).unwrap_or(now);
        for shelf in &self.shelves {
            again |= shelf.flush_older(stuck);
        }
        let mut state = self.state.lock();
        let stuck = state.queue.is_stuck();
        let wakes = if stuck { state.duty.top_up() } else { Wakes::default() };
        // Short jobs may have been left behind as a trifle since: they, too, must not wait for ever.
        again |= state.queue.queued() == Queued::Short && state.duty.capped(Queued::Trifle);
        self.wake(state, wakes);
        if again {
            self.spread_net();
        }
    }
}
