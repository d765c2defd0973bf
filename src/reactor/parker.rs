//! A thread's parker: one permit, one thread that waits for it.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

thread_local! {
    static CURRENT: Arc<Waiter> = Arc::new(Waiter::default());
}

/// Parks one thread. A permit given while nobody parks ends the next park at once, so no
/// wake is lost; a stale permit makes a park return early, so callers loop.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    /// Guards the permit. A leaf.
    permit: Mutex<bool>,
    given: Condvar,
}

impl Waiter {
    /// The current thread's.
    pub(crate) fn current() -> Arc<Self> {
        CURRENT.with(Arc::clone)
    }

    /// Waits for a permit (true) or until the deadline (false).
    pub(crate) fn park(&self, deadline: Option<Instant>) -> bool {
        let mut permit = self.permit.lock();
        while !*permit {
            match deadline {
                None => self.given.wait(&mut permit),
                Some(at) => {
                    if self.given.wait_until(&mut permit, at).timed_out() {
                        break;
                    }
                }
            }
        }
        std::mem::replace(&mut permit, false)
    }

    pub(crate) fn unpark(&self) {
        *self.permit.lock() = true;
        self.given.notify_one();
    }
}
