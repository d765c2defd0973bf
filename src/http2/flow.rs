//! Flow-control windows: what we may send, and what the peer may send on the connection.
//!
//! Owns the numbers of RFC 9113 §5.2 and §6.9. What the peer may send on a stream is [`super::grant`]'s.
//! Deliberately ignores who reads or writes, and frames: callers turn the returned credit
//! into WINDOW_UPDATE. No locks, no threads, no clock.
//!
//! Windows are signed 64-bit numbers: a SETTINGS change may drive one below zero
//! (§6.9.2), and no sum of 31-bit numbers that a peer can send overflows it.

/// The largest window a peer may be given or give (§6.9.1).
pub(crate) const MAX_WINDOW: i64 = 0x7fff_ffff;

/// The window of a new stream and connection before any SETTINGS (§6.9.2).
pub(crate) const DEFAULT_WINDOW: i64 = 65_535;

/// What we may still send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendWindow(i64);

/// A window went above 2^31-1 (§6.9.1): FLOW_CONTROL_ERROR for stream or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl SendWindow {
    pub(crate) fn new(initial: i64) -> Self {
        Self(initial)
    }

    /// Octets that may be sent now; zero while the window is negative.
    #[inline]
    pub(crate) fn available(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// Takes `n` octets, which must have been available.
    #[inline]
    pub(crate) fn take(&mut self, n: usize) {
        debug_assert!(n <= self.available());
        self.0 -= n as i64;
    }

    /// A WINDOW_UPDATE, or a change of SETTINGS_INITIAL_WINDOW_SIZE (then it may be negative).
    pub(crate) fn add(&mut self, delta: i64) -> Result<(), Overflow> {
        let sum = self.0 + delta;
        // "A sender MUST NOT allow a flow-control window to exceed 2^31-1 octets" §6.9.1
        if sum > MAX_WINDOW {
            return Err(Overflow);
        }
        self.0 = sum;
        Ok(())
    }
}

/// The connection's receive window. Credit is owed on receipt, whoever reads or not: if it
/// waited for readers, one unread stream would stop all others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnWindow {
    /// What the peer may still send.
    left: i64,
    /// Received, not yet announced.
    owed: i64,
    size: i64,
}

impl ConnWindow {
    /// A window of `size`, of which the peer knows the first 65 535.
    /// The rest is owed: see [`ConnWindow::credit`].
    pub(crate) fn new(size: i64) -> Self {
        let size = size.clamp(DEFAULT_WINDOW, MAX_WINDOW);
        Self { left: DEFAULT_WINDOW, owed: size - DEFAULT_WINDOW, size }
    }

    /// `n` octets of DATA came in, padding included. False: the peer overran the window.
    #[inline]
    pub(crate) fn receive(&mut self, n: usize) -> bool {
        self.left -= n as i64;
        self.owed += n as i64;
        self.left >= 0
    }

    /// The increment to announce now, if it is worth a frame.
    #[inline]
    pub(crate) fn credit(&mut self) -> Option<u32> {
        if self.owed * 4 < self.size {
            return None;
        }
        self.flush()
    }

    /// The increment to announce now, however small.
    pub(crate) fn flush(&mut self) -> Option<u32> {
        let owed = std::mem::take(&mut self.owed);
        self.left += owed;
        u32::try_from(owed).ok().filter(|&n| n > 0)
    }

    /// What the peer may still send, as far as it knows.
    pub(crate) fn left(&self) -> i64 {
        self.left
    }

    /// Everything received has been or will be announced: `left + owed == size`, always.
    #[cfg(test)]
    pub(crate) fn balanced(&self) -> bool {
        self.left + self.owed == self.size && self.left >= 0
    }
}
