//! The deadlines of a server's running calls: they end a call whatever its handler does.
//!
//! One table per server, and one timer of the poller for its earliest entry. A call that
//! ends in time costs an insertion and a removal, and leaves nothing behind. Pure: the server's
//! core locks it and sets the timers.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::reactor::Alarms;

/// The place of a call in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    at: Instant,
    number: u64,
}

/// Pure: what is due, and when to look again.
pub(super) struct Deadlines<T> {
    due: BTreeMap<Ticket, T>,
    next: u64,
    /// The timers that are set and have not fired.
    alarms: Alarms,
}

impl<T> Deadlines<T> {
    pub(super) const fn new() -> Self {
        Self { due: BTreeMap::new(), next: 0, alarms: Alarms::new() }
    }

    /// The place, and the time of the timer to set if one is needed.
    pub(super) fn enter(&mut self, at: Instant, value: T) -> (Ticket, Option<Instant>) {
        let ticket = Ticket { at, number: self.next };
        self.next = self.next.wrapping_add(1);
        self.due.insert(ticket, value);
        (ticket, self.arm())
    }

    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<T> {
        self.due.remove(&ticket)
    }

    /// A timer has fired: what is due, and the time of the timer to set if one is needed.
    pub(super) fn fire(&mut self, now: Instant) -> (Vec<T>, Option<Instant>) {
        self.alarms.fired(now);
        let mut due = Vec::new();
        while let Some(entry) = self.due.first_entry() {
            if entry.key().at > now {
                break;
            }
            due.push(entry.remove());
        }
        (due, self.arm())
    }

    fn arm(&mut self) -> Option<Instant> {
        let earliest = self.due.keys().next()?.at;
        self.alarms.want(earliest).then_some(earliest)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "a starting point; nothing waits")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn one_timer_serves_many_calls_and_is_set_again_for_the_next() {
        let now = start();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut table = Deadlines::new();
        let (_, timer) = table.enter(at(5), 'a');
        assert_eq!(timer, Some(at(5)));
        assert_eq!(table.enter(at(6), 'b').1, None);
        assert_eq!(table.enter(at(2), 'c').1, Some(at(2)));
        assert_eq!(table.fire(at(2)), (vec!['c'], None), "the timer for 5 is to come");
        assert_eq!(table.fire(at(7)), (vec!['a', 'b'], None));
        assert_eq!(table.fire(at(8)), (vec![], None));
    }

    #[test]
    fn a_call_that_ended_is_not_due_and_leaves_nothing() {
        let now = start();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut table = Deadlines::new();
        let (first, _) = table.enter(at(1), 'a');
        let (second, _) = table.enter(at(1), 'b');
        assert_eq!(table.leave(first), Some('a'));
        assert_eq!(table.leave(first), None);
        assert_eq!(table.leave(second), Some('b'));
        assert!(table.due.is_empty());
        // The stale timer fires, finds nothing, and the next call sets its own.
        assert_eq!(table.fire(at(1)), (vec![], None));
        assert_eq!(table.enter(at(3), 'c').1, Some(at(3)));
    }
}
