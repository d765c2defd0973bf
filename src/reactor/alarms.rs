//! Which timers one target has set and that have not fired yet.
//!
//! A timer cannot be taken back. A target that sets an earlier one and, when that has fired,
//! the later one again, would have ever more of them: a day's deadline among calls of a
//! millisecond. So every timer that is on its way is remembered, and used when its time comes.

use std::time::Instant;

/// The timers on their way. Each that is set is earlier than those before it: a stack.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    set: Vec<Instant>,
}

impl Alarms {
    pub(crate) const fn new() -> Self {
        Self { set: Vec::new() }
    }

    /// Something is due at `at`. Whether a timer has to be set for it: none is that early.
    #[must_use]
    pub(crate) fn want(&mut self, at: Instant) -> bool {
        let new = self.set.last().is_none_or(|earliest| at < *earliest);
        if new {
            self.set.push(at);
        }
        new
    }

    /// A timer has fired.
    pub(crate) fn fired(&mut self, now: Instant) {
        while self.set.last().is_some_and(|at| *at <= now) {
            self.set.pop();
        }
        if self.set.is_empty() {
            self.set = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::reactor::clock;

    #[test]
    fn short_waits_under_a_long_one_set_one_timer_each() {
        let (mut alarms, start) = (Alarms::new(), clock::now());
        let day = start + Duration::from_secs(24 * 3600);
        assert!(alarms.want(day));
        for n in 1..1000 {
            let at = start + Duration::from_millis(n);
            assert!(alarms.want(at) && !alarms.want(at));
            alarms.fired(at);
            assert!(!alarms.want(day), "its timer is still to come");
        }
        alarms.fired(day);
        assert!(alarms.want(day + Duration::from_secs(1)));
    }
}
