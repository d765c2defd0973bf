//! A thread's parker: one permit, one thread that waits for it.
//!
//! The standard library's lock and condition variable, not `parking_lot`'s: that one has a table of waiting
//! threads, with locks of its own, behind every wait. This one is on the path of every call. (Nothing panics while it is held.)

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Instant;

use super::clock;
use crate::sync::plain::{Condvar, Mutex};
use crate::sync::thread_own;

thread_own! {
    static CURRENT: OnceCell<Arc<Waiter>> = OnceCell::new();
}

/// Parks one thread. A permit given while nobody parks ends the next park at once, so no
/// wake is lost; a stale permit makes a park return early, so callers loop.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    /// A leaf.
    state: Mutex<State>,
    given: Condvar,
}

#[derive(Debug, Default)]
struct State {
    permit: bool,
    /// The thread sleeps: without that, giving the permit costs no system call.
    parked: bool,
}

impl Waiter {
    /// The current thread's; one for this wait alone where the thread is ending and has none any more.
    pub(crate) fn current() -> Arc<Self> {
        CURRENT.reach(|own| own.get_or_init(Self::born).clone()).unwrap_or_else(Self::born)
    }

    fn born() -> Arc<Self> {
        let own = Arc::<Self>::default();
        #[cfg(feature = "testing")]
        super::leap::join(&own);
        own
    }

    /// Waits for a permit (true) or until the deadline (false).
    pub(crate) fn park(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        state.parked = true;
        while !state.permit {
            let Some(at) = deadline else {
                state = self.given.wait(state);
                continue;
            };
            let left = at.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            state = self.given.wait_for(state, left);
        }
        state.parked = false;
        std::mem::take(&mut state.permit)
    }

    /// The permit, if it has been given. Does not wait.
    pub(crate) fn take_permit(&self) -> bool {
        std::mem::take(&mut self.state.lock().permit)
    }

    pub(crate) fn unpark(&self) {
        let mut state = self.state.lock();
        state.permit = true;
        let parked = state.parked;
        drop(state);
        if parked {
            self.given.notify_one();
        }
    }
}

/// A park with an end looks again.
#[cfg(feature = "testing")]
impl super::leap::OnLeap for Waiter {
    fn leapt(&self) {
        self.unpark();
    }
}
