//! How long to wait between attempts to connect. Pure: randomness is an argument.
//!
//! § `doc/connection-backoff.md`: 1 s, times 1.6 for each failure in a row, at most 120 s, ±20 %.

use std::time::Duration;

/// The growing pause between attempts.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    limits: Limits,
    /// The next pause, before jitter.
    next: Duration,
}

/// The bounds of the pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The pause after the first failure.
    pub(crate) first: Duration,
    /// The pause never grows beyond this.
    pub(crate) longest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(120) }
    }
}

impl Backoff {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, next: limits.first.min(limits.longest) }
    }

    /// The pause to keep from the beginning of this attempt to the next; later ones are longer.
    ///
    /// `random` is any number: only its low 16 bits count.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let pause = self.next;
        self.next = times(pause, 16, 10).min(self.limits.longest);
        // ±20 %: a factor between 0.8 and 1.2.
        times(pause, 8 * 0xffff + 4 * (random & 0xffff), 10 * 0xffff)
    }

    /// After a connection that was of use (K5: nothing less resets it).
    pub(crate) fn reset(&mut self) {
        self.next = self.limits.first.min(self.limits.longest);
    }
}

/// `pause` times a fraction, or the longest there is. The fraction is of small numbers: nothing overflows.
fn times(pause: Duration, numerator: u64, denominator: u64) -> Duration {
    let nanos = pause.as_nanos() * u128::from(numerator) / u128::from(denominator);
    match u64::try_from(nanos / NANOS) {
        Ok(seconds) => Duration::new(seconds, (nanos % NANOS) as u32),
        Err(_) => Duration::MAX,
    }
}

/// Of a second.
const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: u64 = 0x7fff;

    fn about(pause: Duration, seconds: f64) -> bool {
        (pause.as_secs_f64() - seconds).abs() < seconds / 1000.0
    }

    #[test]
    fn k5_pauses_grow_by_1_6_up_to_120_seconds() {
        let mut backoff = Backoff::new(Limits::default());
        for expected in [1.0, 1.6, 2.56, 4.096] {
            assert!(about(backoff.next(MIDDLE), expected));
        }
        for _ in 0..20 {
            backoff.next(MIDDLE);
        }
        assert!(about(backoff.next(MIDDLE), 120.0));
    }

    #[test]
    fn k5_jitter_is_twenty_per_cent_either_way() {
        assert!(about(Backoff::new(Limits::default()).next(0), 0.8));
        assert!(about(Backoff::new(Limits::default()).next(u64::MAX), 1.2));
    }

    #[test]
    fn k5_success_starts_over() {
        let mut backoff = Backoff::new(Limits::default());
        backoff.next(MIDDLE);
        backoff.next(MIDDLE);
        backoff.reset();
        assert!(about(backoff.next(MIDDLE), 1.0));
    }

    #[test]
    fn odd_limits_do_no_harm() {
        let limits = Limits { first: Duration::MAX, longest: Duration::from_secs(3) };
        let mut backoff = Backoff::new(limits);
        assert!(about(backoff.next(MIDDLE), 3.0));
        let mut none = Backoff::new(Limits { first: Duration::ZERO, longest: Duration::ZERO });
        assert_eq!(none.next(MIDDLE), Duration::ZERO);
    }

    #[test]
    fn pauses_without_an_end_saturate_whatever_the_jitter() {
        for first in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 62)] {
            for random in 0..=0xffff {
                let mut backoff = Backoff::new(Limits { first, longest: Duration::MAX });
                assert!(backoff.next(random) >= first / 5 * 4);
                assert!(backoff.next(random) >= first / 5 * 4, "it does not shrink");
            }
        }
    }
}
