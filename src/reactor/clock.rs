//! The clock: the one place that reads it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::sync::process_wide;

/// The grid of [`coarse`].
const GRID_MS: u64 = 250;

/// Now, on the monotonic clock.
#[cfg(not(all(test, shuttle)))]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(all(test, shuttle))]
pub(crate) use crate::sync::model::now;

process_wide! {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
}

/// The next point of a grid of a quarter second at or after `at`: for timers that may be late, so
/// that a thousand of them wake a thread once.
pub(crate) fn coarse(at: Instant) -> Instant {
    let origin = *ORIGIN.get_or_init(now);
    let since = at.saturating_duration_since(origin).as_millis();
    let steps = u64::try_from(since).unwrap_or(u64::MAX / GRID_MS) / GRID_MS + 1;
    origin.checked_add(Duration::from_millis(steps.saturating_mul(GRID_MS))).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_points_are_few_and_never_early() {
        let start = now();
        let mut points: Vec<Instant> =
            (0..1_000).map(|ms| start + Duration::from_millis(ms)).map(coarse).collect();
        for (ms, point) in (0..).zip(&points) {
            assert!(*point >= start + Duration::from_millis(ms));
        }
        points.dedup();
        assert!(points.len() <= 5, "{}", points.len());
    }
}
