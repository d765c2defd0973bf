//! How far the library's clock is ahead of the system's, where tests advance it; and a condition variable that knows.
//!
//! With the feature `testing` alone. Instants of the library are of its own clock: what the system is asked for by them is
//! set back first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{MutexGuard, WaitTimeoutResult};

/// In nanoseconds. Never less than it was.
static AHEAD: AtomicU64 = AtomicU64::new(0);
/// A hundred years, lest anything overflow.
const MOST: u64 = 100 * 365 * 24 * 3_600 * 1_000_000_000;

/// How far ahead the library's clock is.
#[inline]
pub(crate) fn ahead() -> Duration {
    Duration::from_nanos(AHEAD.load(Ordering::SeqCst))
}

/// From now on it is so much further ahead.
pub(crate) fn advance(by: Duration) {
    let by = u64::try_from(by.as_nanos()).unwrap_or(MOST);
    let further = |ahead: u64| Some(ahead.saturating_add(by).min(MOST));
    let _ = AHEAD.fetch_update(Ordering::SeqCst, Ordering::SeqCst, further);
}

/// As `parking_lot`'s, whose waits end by the library's clock as it is when they begin.
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(parking_lot::Condvar::new())
    }

    pub(crate) fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.0.wait(guard);
    }

    pub(crate) fn wait_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        until: Instant,
    ) -> WaitTimeoutResult {
        // One that lies before the system's own beginning has passed, and any instant that has will do.
        self.0.wait_until(guard, until.checked_sub(ahead()).unwrap_or(until))
    }

    pub(crate) fn wait_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        most: Duration,
    ) -> WaitTimeoutResult {
        self.0.wait_for(guard, most)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
