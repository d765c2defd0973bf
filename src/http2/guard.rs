//! Budgets against abuse: how often a peer may do what costs us more than it costs the peer.
//!
//! Owns token buckets only. Every limit is a rate, never a lifetime total: an honest
//! connection may live for months (A2). Deliberately ignores what is counted and what
//! happens when a budget is spent; the connection answers with ENHANCE_YOUR_CALM
//! (RFC 9113 §10.5). No locks, no threads, no clock: `now` is an argument.

use std::time::{Duration, Instant};

/// The size of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// How many may come at once.
    pub(crate) burst: u32,
    /// How many come back every second.
    pub(crate) per_second: u32,
}

/// One budget, full at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    tokens: u32,
    /// When `tokens` was last filled up.
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: rate.burst, filled: now }
    }

    /// Takes one token. False: the budget is spent.
    #[must_use]
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let left = self.tokens.checked_sub(1);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }

    /// One comes back for useful work done.
    #[inline]
    pub(crate) fn earn(&mut self) {
        self.tokens = self.tokens.saturating_add(1).min(self.rate.burst);
    }

    fn fill(&mut self, now: Instant) {
        if self.rate.per_second == 0 {
            return;
        }
        let rate = u128::from(self.rate.per_second);
        let gone = now.saturating_duration_since(self.filled).as_micros();
        let worth = gone.saturating_mul(rate) / 1_000_000;
        if worth >= u128::from(self.rate.burst - self.tokens.min(self.rate.burst)) {
            self.tokens = self.rate.burst;
            self.filled = now;
        } else if let Ok(worth) = u32::try_from(worth) {
            self.tokens += worth;
            // Fractions of a token are kept: steady use just below the rate never runs dry.
            let spent = u128::from(worth) * 1_000_000 / rate;
            self.filled += Duration::from_micros(u64::try_from(spent).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 100, per_second: 10 };

    fn now() -> Instant {
        crate::http2::conn::tests::start()
    }

    #[test]
    fn burst_passes_and_the_next_is_refused() {
        let now = now();
        let mut bucket = Bucket::new(RATE, now);
        assert!((0..100).all(|_| bucket.take(now)));
        assert!(!bucket.take(now));
        assert!(!bucket.take(now + Duration::from_millis(99)));
        assert!(bucket.take(now + Duration::from_millis(100)));
        assert!(!bucket.take(now + Duration::from_millis(100)));
    }

    #[test]
    fn a_steady_rate_just_below_never_runs_dry_and_just_above_does() {
        let start = now();
        let mut below = Bucket::new(RATE, start);
        let mut above = Bucket::new(RATE, start);
        let mut refused = 0;
        for i in 0..10_000u64 {
            assert!(below.take(start + Duration::from_millis(i * 101)), "at {i}");
            refused += u32::from(!above.take(start + Duration::from_millis(i * 90)));
        }
        assert!(refused > 0);
    }

    #[test]
    fn an_idle_year_does_not_overflow_and_gives_one_burst() {
        let start = now();
        let mut bucket = Bucket::new(RATE, start);
        for _ in 0..100 {
            assert!(bucket.take(start));
        }
        let later = start + Duration::from_secs(365 * 86_400);
        assert!((0..100).all(|_| bucket.take(later)));
        assert!(!bucket.take(later));
    }

    #[test]
    fn work_done_earns_up_to_the_burst() {
        let now = now();
        let mut bucket = Bucket::new(RATE, now);
        for _ in 0..1_000 {
            bucket.earn();
        }
        assert!((0..100).all(|_| bucket.take(now)));
        assert!(!bucket.take(now));
        bucket.earn();
        assert!(bucket.take(now));
        assert!(!bucket.take(now));
    }
}
