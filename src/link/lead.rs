//! Who reads the socket: the lead, as a pure transition function.
//!
//! On a client's link one thread at a time *leads*: it waits on the pipe, reads
//! for everybody and hands each frame to its stream's cell. The others *park*.
//! `W` names a waiter (a thread's parker); the poller is the one holder that is
//! not a waiter. The struct is guarded by the link's lock, which makes "done,
//! lead or register" one critical section; without that a wake is lost.
//!
//! Invariants, checked by the model in `lead/tests.rs`:
//! - a waiter that is queued does not hold the lead, and is queued once;
//! - if anybody is queued, somebody holds the lead: who leaves promotes by name;
//! - a promoted waiter holds the lead from the promotion on, not from its waking.

use std::collections::VecDeque;

/// What [`Lead::enter`] decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The waiter leads: it is the only one that may read.
    Lead,
    /// Somebody else leads: the waiter is queued and parks.
    Park,
}

/// The lead of one link.
#[derive(Debug)]
pub(super) struct Lead<W> {
    holder: Holder<W>,
    queue: VecDeque<W>,
}

#[derive(Debug)]
enum Holder<W> {
    Nobody,
    Waiter(W),
    Poller,
}

impl<W: Clone + PartialEq> Lead<W> {
    pub(super) fn new() -> Self {
        Self { holder: Holder::Nobody, queue: VecDeque::new() }
    }

    /// `w` wants to wait: it leads if nobody does (or if it was promoted), else it is queued.
    pub(super) fn enter(&mut self, w: &W) -> Turn {
        match &self.holder {
            Holder::Nobody => {
                self.holder = Holder::Waiter(w.clone());
                Turn::Lead
            }
            Holder::Waiter(holder) if holder == w => Turn::Lead,
            _ => {
                if !self.queue.contains(w) {
                    self.queue.push_back(w.clone());
                }
                Turn::Park
            }
        }
    }

    /// `w` stops waiting, for whatever reason. If it led (perhaps without knowing
    /// yet, having just been promoted), the next in the queue leads: wake it.
    #[must_use = "the waiter returned now leads and has to be woken"]
    pub(super) fn leave(&mut self, w: &W) -> Option<W> {
        if self.leads(w) {
            return self.promote();
        }
        self.queue.retain(|queued| queued != w);
        None
    }

    /// `w`'s wait is over and it is about to be told: it must not be promoted any more.
    pub(super) fn satisfied(&mut self, w: &W) {
        self.queue.retain(|queued| queued != w);
    }

    /// The poller reads if nobody leads.
    pub(super) fn poller_enter(&mut self) -> bool {
        let free = matches!(self.holder, Holder::Nobody);
        if free {
            self.holder = Holder::Poller;
        }
        free
    }

    /// The poller has read: it gives the lead to whoever queued meanwhile.
    #[must_use = "the waiter returned now leads and has to be woken"]
    pub(super) fn poller_leave(&mut self) -> Option<W> {
        self.promote()
    }

    pub(super) fn leads(&self, w: &W) -> bool {
        matches!(&self.holder, Holder::Waiter(holder) if holder == w)
    }

    /// Whether nobody leads.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.holder, Holder::Nobody)
    }

    /// Whether the poller leads.
    pub(super) fn polls(&self) -> bool {
        matches!(self.holder, Holder::Poller)
    }

    /// Whether others wait behind the holder.
    pub(super) fn contended(&self) -> bool {
        !self.queue.is_empty()
    }

    fn promote(&mut self) -> Option<W> {
        let next = self.queue.pop_front();
        self.holder = match &next {
            Some(w) => Holder::Waiter(w.clone()),
            None => Holder::Nobody,
        };
        next
    }
}

#[cfg(test)]
mod tests;
