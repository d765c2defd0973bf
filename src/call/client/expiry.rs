//! Deadlines of calls that no thread may be waiting on: they end a call wherever it is.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::sync::Mutex;

use crate::reactor::{Job, OnTimer, Poller, Ticket, Timetable};

use super::ends::Ends;

/// A registered deadline.
pub(crate) type Due = Ticket;

/// The deadlines of a channel's calls.
pub(crate) struct Expiry {
    poller: Arc<Poller>,
    this: Weak<Expiry>,
    /// Guards the order. Above the poller's timers; calls are expired after it is released.
    order: Mutex<Timetable<Weak<dyn Ends>>>,
}

impl Expiry {
    pub(crate) fn new(poller: Arc<Poller>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            poller,
            this: this.clone(),
            order: Mutex::new(Timetable::new()),
        })
    }

    /// From now on the call ends at `at`.
    pub(super) fn add(&self, at: Instant, call: Weak<dyn Ends>) -> Due {
        let mut order = self.order.lock();
        let due = order.enter(at, call);
        self.arm(&mut order);
        due
    }

    /// The call has ended before.
    pub(super) fn remove(&self, due: Due) {
        let gone = self.order.lock().leave(due);
        drop(gone);
    }

    fn arm(&self, order: &mut Timetable<Weak<dyn Ends>>) {
        order.arm(&self.poller, 0, || Some(self.this.upgrade()?));
    }
}

impl OnTimer for Expiry {
    fn fire(&self, _tag: u64, now: Instant, _jobs: &mut Vec<Job>) {
        let mut order = self.order.lock();
        let due = order.fire(now);
        self.arm(&mut order);
        drop(order);
        for call in due {
            if let Some(call) = call.upgrade() {
                call.out_of_time();
            }
        }
    }
}

impl fmt::Debug for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expiry").field("due", &self.order.lock().len()).finish()
    }
}
