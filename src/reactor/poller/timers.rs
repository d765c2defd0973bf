//! The timers of a poller, in order. Its lock guards them; who has set one is held weakly.

use std::collections::BTreeMap;
use std::io;
use std::sync::Weak;
use std::time::Instant;

use super::super::face::OnTimer;
use super::super::kernel::Kernel;

/// Timers whose targets may be gone are looked for when there are twice as many, not before.
pub(super) const SWEEP: usize = 256;

/// See the file.
#[derive(Default)]
pub(super) struct Timers {
    pub(super) all: BTreeMap<Timed, Timer>,
    set: u64,
    sweep_at: usize,
    /// What the alarm is set to: never later than the earliest timer.
    pub(super) alarm: Option<Instant>,
    /// Threads that fire them: who advances the clock waits for these.
    #[cfg(feature = "testing")]
    pub(super) firing: usize,
}

/// A timer's place in the order. Those of one instant fire in the order in which they were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::reactor) struct Timed {
    at: Instant,
    order: u64,
}

pub(super) struct Timer {
    pub(super) target: Weak<dyn OnTimer>,
    pub(super) tag: u64,
}

impl Timed {
    pub(in crate::reactor) fn at(self) -> Instant {
        self.at
    }
}

impl Timers {
    pub(super) fn push(&mut self, at: Instant, target: Weak<dyn OnTimer>, tag: u64) -> Timed {
        if self.all.len() >= self.sweep_at.max(SWEEP) {
            self.all.retain(|_, timer| timer.target.strong_count() > 0);
            self.sweep_at = self.all.len() * 2;
        }
        let timed = Timed { at, order: self.set };
        self.set += 1;
        self.all.insert(timed, Timer { target, tag });
        timed
    }

    /// A thread begins to fire what is due.
    pub(super) fn begin(&mut self) {
        #[cfg(feature = "testing")]
        {
            self.firing += 1;
        }
    }

    /// And has done so.
    pub(super) fn end(&mut self) {
        #[cfg(feature = "testing")]
        {
            self.firing -= 1;
        }
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let first = self.all.first_entry().filter(|first| first.key().at <= now)?;
        Some(first.remove())
    }

    /// Sets the alarm if the earliest timer is earlier. Under the lock, or an older
    /// setting could come after a newer one.
    pub(super) fn set_alarm(&mut self, kernel: &Kernel) -> io::Result<()> {
        // Nobody wakes for who is gone: short connections would leave one such timer each.
        while let Some(first) = self.all.first_entry() {
            if first.get().target.strong_count() > 0 {
                break;
            }
            first.remove();
        }
        let Some((earliest, _)) = self.all.first_key_value() else { return Ok(()) };
        if self.alarm.is_some_and(|set| set <= earliest.at) {
            return Ok(());
        }
        let set = kernel.set_alarm(earliest.at);
        // The next timer tries again.
        self.alarm = set.is_ok().then_some(earliest.at);
        set
    }
}
