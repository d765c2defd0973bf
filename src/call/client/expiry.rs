//! Deadlines of calls that no thread may be waiting on, in order, with one timer for
//! the earliest. A call that ends takes its deadline out again, so that many short calls
//! with long timeouts leave nothing behind.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::sync::Mutex;

use crate::reactor::{Alarms, Job, OnTimer, Poller};

use super::Core;

/// A registered deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    at: Instant,
    number: u64,
}

/// The deadlines of a channel's calls.
pub(crate) struct Expiry {
    poller: Arc<Poller>,
    this: Weak<Expiry>,
    /// Guards the order. A leaf.
    order: Mutex<Order<Weak<Core>>>,
}

/// The pure part: what is due when, and when the timer has to fire.
struct Order<T> {
    due: BTreeMap<Due, T>,
    next: u64,
    /// The timers that are set.
    alarms: Alarms,
}

impl Expiry {
    pub(crate) fn new(poller: Arc<Poller>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            poller,
            this: this.clone(),
            order: Mutex::new(Order { due: BTreeMap::new(), next: 0, alarms: Alarms::new() }),
        })
    }

    /// From now on the call ends at `at`.
    pub(super) fn add(&self, at: Instant, call: Weak<Core>) -> Due {
        let (due, arm) = self.order.lock().add(at, call);
        self.arm(arm);
        due
    }

    /// The call has ended before.
    pub(super) fn remove(&self, due: Due) {
        let gone = self.order.lock().due.remove(&due);
        drop(gone);
    }

    fn arm(&self, at: Option<Instant>) {
        if let (Some(at), Some(this)) = (at, self.this.upgrade()) {
            self.poller.timer(at, this, 0);
        }
    }
}

impl OnTimer for Expiry {
    fn fire(&self, _tag: u64, now: Instant, _jobs: &mut Vec<Job>) {
        let (due, arm) = self.order.lock().fire(now);
        self.arm(arm);
        for call in due {
            if let Some(call) = call.upgrade() {
                call.expire();
            }
        }
    }
}

impl<T> Order<T> {
    /// The new entry's name, and the timer to set if there is none that early.
    fn add(&mut self, at: Instant, value: T) -> (Due, Option<Instant>) {
        let due = Due { at, number: self.next };
        self.next = self.next.wrapping_add(1);
        self.due.insert(due, value);
        (due, self.alarms.want(at).then_some(at))
    }

    /// What is due, and the next timer to set.
    fn fire(&mut self, now: Instant) -> (Vec<T>, Option<Instant>) {
        let mut due = Vec::new();
        while let Some(entry) = self.due.first_entry() {
            if entry.key().at > now {
                break;
            }
            due.push(entry.remove());
        }
        self.alarms.fired(now);
        let next = self.due.first_key_value().map(|(first, _)| first.at);
        (due, next.filter(|at| self.alarms.want(*at)))
    }
}

impl fmt::Debug for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expiry").field("due", &self.order.lock().due.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::clock;
    use std::time::Duration;

    fn order() -> (Order<&'static str>, Instant) {
        (Order { due: BTreeMap::new(), next: 0, alarms: Alarms::new() }, clock::now())
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn only_an_earlier_deadline_sets_a_timer() {
        let (mut order, t) = order();
        assert_eq!(order.add(t + ms(20), "b").1, Some(t + ms(20)));
        assert_eq!(order.add(t + ms(30), "c").1, None);
        assert_eq!(order.add(t + ms(10), "a").1, Some(t + ms(10)));
        assert_eq!(order.fire(t + ms(10)), (vec!["a"], None), "the timer for 20 ms is to come");
        assert_eq!(order.fire(t + ms(25)), (vec!["b"], Some(t + ms(30))));
        assert_eq!(order.fire(t + ms(30)), (vec!["c"], None));
    }

    #[test]
    fn what_ended_leaves_nothing() {
        let (mut order, t) = order();
        let (due, _) = order.add(t + ms(10), "a");
        order.due.remove(&due);
        assert_eq!(order.fire(t + ms(10)), (vec![], None));
        assert_eq!(order.add(t + ms(50), "b").1, Some(t + ms(50)), "the timer is set anew");
    }

    #[test]
    fn equal_deadlines_are_kept_apart() {
        let (mut order, t) = order();
        let (first, _) = order.add(t, "a");
        let (second, _) = order.add(t, "b");
        assert_ne!(first, second);
        order.due.remove(&first);
        assert_eq!(order.fire(t).0, ["b"]);
    }

    #[test]
    fn a_timer_that_comes_too_early_sets_none_twice() {
        let (mut order, t) = order();
        order.add(t + ms(10), "a");
        assert_eq!(order.fire(t), (vec![], None), "the timer for 10 ms is still to come");
        assert_eq!(order.fire(t + ms(10)).0, ["a"]);
    }
}
