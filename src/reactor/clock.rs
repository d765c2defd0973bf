//! The clock: the one place that reads it.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use crate::sync::process_wide;

/// The grid of [`coarse`].
const GRID_MS: u64 = 250;

/// Now, on the monotonic clock.
#[cfg(not(all(test, shuttle)))]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
#[inline]
pub(crate) fn now() -> Instant {
    let now = Instant::now();
    #[cfg(feature = "testing")]
    let now = now.checked_add(crate::sync::ahead::ahead()).unwrap_or(now);
    now
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

/// Both clocks at one moment: what the monotonic one has said is told by the one on the wall.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall {
    now: Instant,
    wall: SystemTime,
}

impl Wall {
    /// Looks at both.
    pub(crate) fn look() -> Self {
        Self { now: now(), wall: SystemTime::now() }
    }

    /// When that was. As if nobody had set the clock on the wall since.
    pub(crate) fn at(&self, then: Instant) -> SystemTime {
        let ago = self.now.saturating_duration_since(then);
        let ahead = then.saturating_duration_since(self.now);
        let moved = self.wall.checked_sub(ago).and_then(|wall| wall.checked_add(ahead));
        moved.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_tells_what_was_and_what_will_be() {
        let wall = Wall::look();
        let minute = Duration::from_secs(60);
        assert_eq!(wall.at(wall.now), wall.wall);
        assert_eq!(wall.at(wall.now + minute), wall.wall + minute);
        if let Some(before) = wall.now.checked_sub(minute) {
            assert_eq!(wall.at(before), wall.wall - minute);
        }
    }

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
