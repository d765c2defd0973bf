//! Who is due when, with one timer for the earliest, however many come and go.
//!
//! A table that ends a thing in time costs an insertion and a removal, and leaves nothing behind: neither an entry
//! nor a timer, whatever the order in which times come ([`Alarm`]). Pure: its owner locks it, and tells the due ones
//! after the lock is released.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::{Alarm, OnTimer, Poller};

/// So many are given out at a time. A peer may choose one instant for all of its calls, and who is told of it is a poller,
/// which has others to look after.
const AT_A_TIME: usize = 64;

/// A place in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    at: Instant,
    number: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Timetable<T> {
    due: BTreeMap<Ticket, T>,
    next: u64,
    alarm: Alarm,
}

impl<T> Timetable<T> {
    pub(crate) const fn new() -> Self {
        Self { due: BTreeMap::new(), next: 0, alarm: Alarm::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }

    /// [`arm`](Self::arm) has to follow.
    pub(crate) fn enter(&mut self, at: Instant, value: T) -> Ticket {
        let ticket = Ticket { at, number: self.next };
        self.next = self.next.wrapping_add(1);
        self.due.insert(ticket, value);
        ticket
    }

    /// What is given back is for dropping after the lock.
    #[must_use = "dropped under the lock it could come back for the lock"]
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<T> {
        self.due.remove(&ticket)
    }

    /// The timer has fired: what is due, in order, or the first of it. [`arm`](Self::arm) has to follow, and sets a timer
    /// that is due at once for the others.
    pub(crate) fn fire(&mut self, now: Instant) -> Vec<T> {
        self.alarm.fired(now);
        let mut due = Vec::new();
        while let Some(entry) = self.due.first_entry() {
            if entry.key().at > now || due.len() == AT_A_TIME {
                break;
            }
            due.push(entry.remove());
        }
        due
    }

    /// Sees to it that `target` is told when the first is due.
    pub(crate) fn arm(
        &mut self,
        poller: &Poller,
        tag: u64,
        target: impl FnOnce() -> Option<Arc<dyn OnTimer>>,
    ) {
        if let Some((first, _)) = self.due.first_key_value() {
            self.alarm.set(poller, first.at, tag, target);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::reactor::{Job, clock};

    struct Nobody;

    impl OnTimer for Nobody {
        fn fire(&self, _: u64, _: Instant, _: &mut Vec<Job>) {}
    }

    fn arm<T>(table: &mut Timetable<T>, poller: &Poller, target: &Arc<Nobody>) {
        table.arm(poller, 0, || Some(target.clone()));
    }

    #[test]
    fn due_ones_come_in_order_and_equal_times_are_kept_apart() {
        let now = clock::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut table = Timetable::new();
        let [_, first, second, _] = [(5, 'd'), (1, 'a'), (1, 'b'), (3, 'c')]
            .map(|(seconds, value)| table.enter(at(seconds), value));
        assert_ne!(first, second);
        assert_eq!(table.leave(first), Some('a'));
        assert_eq!(table.leave(first), None);
        assert_eq!(table.fire(at(0)), []);
        assert_eq!(table.fire(at(3)), ['b', 'c']);
        assert_eq!((table.fire(at(4)), table.len()), (vec![], 1));
        assert_eq!((table.fire(at(9)), table.len()), (vec!['d'], 0));
    }

    /// A peer chooses the deadlines of its calls: it must not be able to make us keep a timer for each.
    #[test]
    fn a_table_keeps_one_timer_in_whatever_order_times_come() {
        let (poller, target) = (Poller::new().unwrap(), Arc::new(Nobody));
        let now = clock::now();
        let far = |n: u64| now + Duration::from_secs(86_400) + Duration::from_millis(n);
        let mut table = Timetable::new();
        for n in (0..100_000).rev() {
            let ticket = table.enter(far(n), ());
            arm(&mut table, &poller, &target);
            assert_eq!(table.leave(ticket), Some(()));
        }
        assert_eq!((poller.timers(), table.len()), (1, 0));
        // Rising and mixed orders, and calls of a millisecond under a day's.
        for n in 0..1_000 {
            let (short, long) = (
                table.enter(now + Duration::from_millis(n), ()),
                table.enter(far(n * 7 % 1_000), ()),
            );
            arm(&mut table, &poller, &target);
            let _ = (table.leave(short), n % 2 == 0 && table.leave(long).is_some());
            if n % 10 == 0 {
                table.fire(now + Duration::from_millis(n));
                arm(&mut table, &poller, &target);
            }
        }
        assert_eq!((poller.timers(), table.len()), (1, 500));
    }

    #[test]
    fn a_crowd_that_is_due_at_once_is_given_out_in_parts() {
        struct Fired(std::sync::Mutex<std::sync::mpsc::Sender<()>>);
        impl OnTimer for Fired {
            fn fire(&self, _: u64, _: Instant, _: &mut Vec<Job>) {
                self.0.lock().unwrap().send(()).unwrap();
            }
        }
        let (poller, now) = (Poller::new().unwrap(), clock::now());
        let (sender, fired) = std::sync::mpsc::channel();
        let target = Arc::new(Fired(std::sync::Mutex::new(sender)));
        let mut table = Timetable::new();
        for n in 0..AT_A_TIME * 2 + 1 {
            table.enter(now, n);
        }
        let mut given = Vec::new();
        for part in [AT_A_TIME, AT_A_TIME, 1] {
            // The timer for the rest is due already.
            table.arm(&poller, 0, || Some(target.clone()));
            poller.turn(&mut Vec::new()).unwrap();
            fired.try_recv().unwrap();
            let due = table.fire(clock::now());
            assert_eq!(due.len(), part);
            given.extend(due);
        }
        assert!(given.is_sorted() && table.len() == 0);
    }
}
