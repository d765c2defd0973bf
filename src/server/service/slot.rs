//! That a call counts as running: [`Slot`].
//!
//! Who counts is not known here: it is told through [`Counting`].

use std::sync::Arc;

use crate::call::Place;
use crate::reactor::Ticket;

/// Who counts a call in when its job is made, and out when its slot goes.
pub(in crate::server) trait Counting: Send + Sync {
    /// The handler has left its call to another thread, once for a slot. [`left`](Self::left) follows.
    fn elsewhere(&self);

    /// A slot has gone, which was left to another thread or not, with what looked after the call's deadline. Runs where the handler has returned or the detached stream
    /// has ended: on any thread.
    fn left(&self, deadline: Option<Ticket>, elsewhere: bool);
}

/// Counts a call as running, from its job on until its handler has returned; for a detached
/// stream until that ends.
pub(in crate::server) struct Slot {
    counting: Arc<dyn Counting>,
    deadline: Option<Ticket>,
    place: Option<Arc<Place>>,
    elsewhere: bool,
}

impl Slot {
    /// For a call that has been counted in.
    pub(in crate::server) fn new(
        counting: Arc<dyn Counting>,
        deadline: Option<Ticket>,
        place: Option<Arc<Place>>,
    ) -> Self {
        Self { counting, deadline, place, elsewhere: false }
    }

    /// The call is no more its handler's, which returns or has returned, but of a thread that is not known.
    pub(super) fn elsewhere(mut self) -> Self {
        if !std::mem::replace(&mut self.elsewhere, true) {
            self.counting.elsewhere();
        }
        self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            place.give_back();
        }
        self.counting.left(self.deadline.take(), self.elsewhere);
    }
}
