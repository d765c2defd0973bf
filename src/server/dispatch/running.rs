//! How many handlers of a server wait or run, and who waits for the last: [`Running`].
//!
//! Lock: `idle` is a leaf, held over nothing; taken only once the server was told to stop.

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};

use crate::deadline::Deadline;
use crate::reactor::clock;

/// See the module. Who waits for a server's end holds it, and through it nothing else.
#[derive(Default)]
pub(in crate::server) struct Running {
    /// Calls from their job on until their handlers have returned.
    active: AtomicUsize,
    /// Whether anybody cares for the last handler's return.
    stopping: AtomicBool,
    /// Guards nothing but the moment between a look at `active` and the wait.
    idle: Mutex<()>,
    /// Told when the last handler has returned.
    changed: Condvar,
}

impl Running {
    /// Counts a call in.
    pub(super) fn enter(&self) {
        self.active.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts a call out.
    pub(super) fn leave(&self) {
        let last = self.active.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.is_stopping() {
            // Through the lock, so that nobody is between the look and the wait.
            drop(self.idle.lock());
            self.changed.notify_all();
        }
    }

    /// Calls whose handlers wait or run.
    pub(in crate::server) fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    /// The server was told to stop: from now on the last handler's return is told of.
    pub(in crate::server) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether the server was told to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits until no handler waits or runs: whether it came to that before `deadline`. To be asked after [`stop`](Self::stop).
    pub(in crate::server) fn wait(&self, deadline: Deadline) -> bool {
        let mut idle = self.idle.lock();
        while self.active() > 0 {
            match deadline.remaining(clock::now()) {
                None => self.changed.wait(&mut idle),
                Some(left) if left.is_zero() => return false,
                Some(left) => {
                    self.changed.wait_for(&mut idle, left);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_waits_for_the_last_handler_is_told_of_its_return() {
        let (running, now) = (Running::default(), Deadline::after(clock::now(), Duration::ZERO));
        assert!(running.wait(now), "none runs");
        running.enter();
        running.enter();
        running.stop();
        running.leave();
        assert!(!running.wait(now), "one runs");
        #[allow(clippy::disallowed_methods, reason = "the test's own threads")]
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| running.wait(Deadline::NEVER));
            running.leave();
            assert!(waits.join().unwrap());
        });
        assert_eq!((running.active(), running.wait(now)), (0, true));
    }
}
