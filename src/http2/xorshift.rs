//! Random numbers for tests: the same ones every time, so that a failure repeats.

/// Marsaglia's xorshift64*.
pub(crate) struct XorShift(u64);

impl XorShift {
    /// The sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 32) as usize) % bound
    }

    /// An octet.
    pub(crate) fn octet(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }

    /// Up to `max` octets.
    pub(crate) fn octets(&mut self, max: usize) -> Vec<u8> {
        let len = self.below(max + 1);
        (0..len).map(|_| self.octet()).collect()
    }
}
