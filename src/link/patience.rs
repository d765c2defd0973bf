//! How long a waiter looks for its answer before it sleeps.
//!
//! Between two processes of one machine an answer takes less than a sleep: to wake a thread is a system call, and
//! where its CPU has fallen asleep too it is an interrupt between CPUs, some 30 µs in a virtual machine. So the
//! waiters of a crowd yield for a while first. A yield gives the CPU to whoever has work to do: a fellow
//! with an answer, the leader, the peer. The CPUs stay awake, and most waiters are never put to sleep.
//!
//! Nothing may be burnt that others do not use. A waiter stops looking when
//! - nobody else wanted the CPU for [`ALONE`] yields: it may as well sleep;
//! - nothing has come on its link for [`STALL`], or its own answer not for [`CAP`];
//! - a yield took as long as one to somebody who computes ([`courtesy`](crate::reactor::courtesy)).
//!
//! A thread learns from its own waits: after each that it looked for in vain it sleeps at once for twice as many.
//! Pure: a crowd's threads keep one [`Patience`] each, the clock is an argument.

use std::time::{Duration, Instant};

/// A yield that comes back sooner met nobody.
const QUICK: Duration = Duration::from_nanos(800);
/// So many quick yields in a row: this CPU has nothing else to do.
const ALONE: u32 = 16;
/// How long nothing may come on the link.
const STALL: Duration = Duration::from_micros(300);
/// How long a waiter looks at most, whatever comes for others.
const CAP: Duration = Duration::from_millis(1);
/// At most 2 to this power waits are slept through after one in vain.
const MOST: u32 = 6;

/// What one thread has learnt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// Waits looked for in vain, one after the other.
    vain: u32,
    /// Waits to be slept through.
    skip: u32,
}

/// One look: made before the first yield, asked after each.
#[derive(Debug)]
pub(super) struct Look {
    last: Instant,
    alone: u32,
    progress: u32,
    stalls_at: Instant,
    ends_at: Instant,
}

impl Patience {
    pub(super) const NEW: Self = Self { vain: 0, skip: 0 };

    /// Whether the wait that begins now is one to look for.
    pub(super) fn looks(&mut self) -> bool {
        let looks = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        looks
    }

    /// `answered`: the look was not in vain.
    pub(super) fn learn(&mut self, answered: bool) {
        if answered {
            *self = Self::default();
        } else {
            self.skip = 1 << self.vain;
            self.vain = (self.vain + 1).min(MOST);
        }
    }
}

impl Look {
    /// `progress` is any number that changes when something comes on the link.
    pub(super) fn new(now: Instant, progress: u32) -> Self {
        Self { last: now, alone: 0, progress, stalls_at: now + STALL, ends_at: now + CAP }
    }

    /// After a yield that brought no answer: whether to go on.
    pub(super) fn goes_on(&mut self, now: Instant, progress: u32) -> bool {
        let took = now.saturating_duration_since(self.last);
        self.last = now;
        self.alone = if took < QUICK { self.alone + 1 } else { 0 };
        if progress != self.progress {
            self.progress = progress;
            self.stalls_at = now + STALL;
        }
        self.alone < ALONE && now < self.stalls_at && now < self.ends_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::clock;

    const US: Duration = Duration::from_micros(1);

    /// How long a look goes on with yields of `each`.
    fn look(each: Duration, progress: impl Fn(u32) -> u32) -> Duration {
        let start = clock::now();
        let mut look = Look::new(start, progress(0));
        let mut turns = 1..;
        let last = turns.find(|turn| !look.goes_on(start + each * *turn, progress(*turn)));
        each * last.unwrap_or_default()
    }

    #[test]
    fn an_idle_cpu_is_not_kept_awake() {
        assert_eq!(look(US / 2, |turn| turn), US / 2 * ALONE);
    }

    #[test]
    fn yields_that_meet_others_go_on_while_something_comes() {
        assert_eq!(look(2 * US, |_| 0), STALL);
        // Something comes every 200 us.
        assert_eq!(look(2 * US, |turn| turn / 100), CAP);
    }

    #[test]
    fn a_quick_yield_among_others_counts_for_nothing() {
        let mut now = clock::now();
        let mut look = Look::new(now, 0);
        for turn in 0..40 {
            now += if turn % 8 == 7 { 2 * US } else { US / 10 };
            assert!(look.goes_on(now, 0), "yield {turn}");
        }
    }

    #[test]
    fn waits_in_vain_are_slept_through_ever_more_of() {
        let mut patience = Patience::default();
        let mut looked = Vec::new();
        for wait in 0..300 {
            if patience.looks() {
                looked.push(wait);
                patience.learn(false);
            }
        }
        assert_eq!(looked, [0, 2, 5, 10, 19, 36, 69, 134, 199, 264]);
        // One answer, and it is as patient as ever.
        while !patience.looks() {}
        patience.learn(true);
        assert!(patience.looks() && patience.looks());
    }
}
