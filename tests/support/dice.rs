//! Chance that is the same in each run.

use std::time::Duration;

/// A stream of numbers, from a seed that is not 0.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        assert_ne!(seed, 0, "from 0 nothing but 0 comes");
        Self(seed)
    }

    /// For one of many streams, which are not to be alike.
    pub fn of(number: u64) -> Self {
        Self::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    /// Up to so many milliseconds.
    pub fn millis(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most * 1000))
    }
}
