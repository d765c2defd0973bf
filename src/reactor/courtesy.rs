//! Yielding the CPU, and when not to.
//!
//! A yield is a bet that whoever gets the CPU has work for us, or as little as we have. Beside a thread that computes, ours
//! or another process's, it is lost: that one keeps the CPU for its whole time slice, some milliseconds, where a thread
//! that sleeps would be let in as soon as it is woken. So after one slow yield nobody in the process yields for a while.

use crate::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::clock;
use crate::sync::{process_wide, thread};

/// A yield that takes longer met somebody who computes.
const SLOW: Duration = Duration::from_millis(2);
/// How long nobody yields then.
const REST: Duration = Duration::from_millis(100);

process_wide! {
    /// Until when nobody yields, in microseconds since the first call of [`micros`].
    static RESTS_UNTIL: AtomicU64 = AtomicU64::new(0);
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
}

/// Whether a yield is a good bet.
pub(crate) fn pays(now: Instant) -> bool {
    micros(now) >= RESTS_UNTIL.load(Ordering::Relaxed)
}

/// Yields at `now`, and tells the time after it. Whether another one pays is asked again.
pub(crate) fn yield_cpu(now: Instant) -> Instant {
    thread::yield_now();
    let after = clock::now();
    if after.saturating_duration_since(now) > SLOW {
        RESTS_UNTIL.store(micros(after + REST), Ordering::Relaxed);
    }
    after
}

fn micros(at: Instant) -> u64 {
    let origin = *ORIGIN.get_or_init(clock::now);
    u64::try_from(at.saturating_duration_since(origin).as_micros()).unwrap_or(u64::MAX)
}
