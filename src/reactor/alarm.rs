//! One timer that its owner sets again and again.

use std::sync::Arc;
use std::time::Instant;

use super::poller::Timed;
use super::{OnTimer, Poller};

/// At most one timer is on its way. Never later than what was asked for last; it may be earlier, and then its owner asks
/// again. Guarded by its owner's lock.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    set: Option<Timed>,
    rung: bool,
}

impl Alarm {
    pub(crate) const fn new() -> Self {
        Self { set: None, rung: false }
    }

    /// Something is due at `at`: sees to it that `target` is told no later, by a timer with `tag`. One that is
    /// being dropped has no use for it.
    pub(crate) fn set(
        &mut self,
        poller: &Poller,
        at: Instant,
        tag: u64,
        target: impl FnOnce() -> Option<Arc<dyn OnTimer>>,
    ) {
        if !self.rung && self.set.is_some_and(|set| set.at() <= at) {
            return;
        }
        if let Some(target) = target() {
            self.rung = false;
            self.set = Some(poller.timer_instead(self.set, at, target, tag));
        }
    }

    /// Nothing is due any more: the timer would keep its target's memory until its time comes.
    pub(crate) fn withdraw(&mut self, poller: &Poller) {
        self.rung = false;
        if let Some(set) = self.set.take() {
            poller.withdraw(set);
        }
    }

    /// A timer has fired.
    pub(crate) fn fired(&mut self, now: Instant) {
        self.rung |= self.set.is_some_and(|set| set.at() <= now);
    }
}
