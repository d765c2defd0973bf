//! The name by which a waiting thread is known to its link.

use std::sync::Arc;
use std::time::Instant;

use crate::reactor::Waiter;

/// A thread's parker, known by its address.
#[derive(Clone, Debug)]
pub(super) struct Me(Arc<Waiter>);

impl Me {
    pub(super) fn current() -> Self {
        Self(Waiter::current())
    }

    pub(super) fn unpark(&self) {
        self.0.unpark();
    }

    pub(super) fn park(&self, deadline: Option<Instant>) {
        self.0.park(deadline);
    }

    pub(super) fn take_permit(&self) -> bool {
        self.0.take_permit()
    }
}

impl PartialEq for Me {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
