//! Flow-control windows: arithmetic, credit thresholds, growth, whole-message grants.
//!
//! Owns the numbers of RFC 9113 §5.2 and §6.9 for one direction of one stream or of the connection.
//! Deliberately ignores who reads or writes, and frames: callers turn the returned credit
//! into WINDOW_UPDATE. No locks, no threads, no clock: `now` is an argument.
//!
//! Windows are signed 64-bit numbers: a SETTINGS change may drive one below zero
//! (§6.9.2), and no sum of 31-bit numbers that a peer can send overflows it.

use std::time::{Duration, Instant};

use super::budget::{Budget, Claim};

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

    /// Everything received has been or will be announced: `left + owed == size`, always.
    #[cfg(test)]
    pub(crate) fn balanced(&self) -> bool {
        self.left + self.owed == self.size && self.left >= 0
    }
}

/// The receive window of one stream.
///
/// Invariant: `left + unread + owed == size + loan`: every octet the peer was allowed
/// is either still allowed, or unread, or about to be allowed again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecvWindow {
    /// What the peer may still send.
    left: i64,
    /// Received, not yet consumed by the application.
    unread: i64,
    /// Consumed, not yet announced.
    owed: i64,
    /// The window's proper size.
    size: i64,
    /// Its size at first.
    initial: i64,
    /// Granted beyond `size` for one long message; paid back by what is consumed.
    loan: i64,
    /// What of the loan counts against the budget: until the message is taken, which is before it is consumed. A reader
    /// may have one message in hand on each of many streams, and wait for another.
    held: i64,
    claim: Claim,
    /// When the current window's worth began to come in, and how much of it has been consumed.
    epoch: Option<Instant>,
    consumed: i64,
    /// Octets of DATA so far, without the padding that was given back.
    total: u64,
}

/// What decides whether a window grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) now: Instant,
    pub(crate) rtt: Option<Duration>,
    /// The application has taken everything and waits for more.
    pub(crate) waits: bool,
    /// The largest window.
    pub(crate) max: i64,
}

/// What a grant came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Announce this much (zero: the window suffices).
    Credit(u32),
    /// The budget is used up: ask again when some of it comes back, or the claim is stronger.
    Wait,
}

impl RecvWindow {
    pub(crate) fn new(initial: i64) -> Self {
        Self {
            left: initial,
            unread: 0,
            owed: 0,
            size: initial,
            initial,
            loan: 0,
            held: 0,
            claim: Claim::Ahead,
            epoch: None,
            consumed: 0,
            total: 0,
        }
    }

    /// `n` octets of DATA came in, padding included. False: the peer overran the window.
    #[inline]
    pub(crate) fn receive(&mut self, n: usize, now: Instant) -> bool {
        self.epoch.get_or_insert(now);
        self.total += n as u64;
        let n = n as i64;
        self.left -= n;
        self.unread += n;
        self.left >= 0
    }

    /// The application consumed `n` octets. Returns the increment to announce,
    /// once half a window is owed, or when the window grows.
    #[inline]
    pub(crate) fn release(&mut self, n: usize, pace: Pace, budget: &mut Budget) -> Option<u32> {
        let n = i64::try_from(n).unwrap_or(i64::MAX).min(self.unread);
        self.unread -= n;
        let paid = n.min(self.loan);
        self.loan -= paid;
        self.hold(self.held.min(self.loan), self.claim, budget);
        self.owed += n - paid;
        let growth = if self.outpaced(n, pace) { self.grow(pace.max, budget) } else { 0 };
        if growth == 0 && self.owed * 2 < self.size {
            return None;
        }
        u32::try_from(self.flush() + growth).ok().filter(|&n| n > 0)
    }

    /// Whether the window is what holds the peer back: the application consumed a whole one within
    /// three round trips and waits for more. (Credit goes back by halves, so a window that
    /// holds the peer back all the time comes in within little more than two.) With a reader that lags, the window stays, and
    /// bounds what it has not read.
    fn outpaced(&mut self, n: i64, pace: Pace) -> bool {
        self.consumed += n;
        if self.consumed < self.size || !pace.waits {
            return false;
        }
        self.consumed = 0;
        let start = self.epoch.replace(pace.now).unwrap_or(pace.now);
        pace.rtt.is_some_and(|rtt| pace.now.saturating_duration_since(start) < rtt * 3)
    }

    /// Padding goes back at once: a granted message has room for its own octets only, and
    /// would never complete if padding ate from them.
    pub(crate) fn padding(&mut self, n: usize) -> Option<u32> {
        let n = (n as i64).min(self.unread);
        self.unread -= n;
        self.owed += n;
        self.total = self.total.saturating_sub(n.unsigned_abs());
        u32::try_from(self.flush()).ok().filter(|&n| n > 0)
    }

    /// `len` octets of one message are still to come: makes room for all of them, or a message longer than the
    /// window could never complete. Asked for when a message has begun, and again with a better claim.
    /// `turn`: nobody with the same claim waits for the budget.
    pub(crate) fn grant(
        &mut self,
        len: usize,
        claim: Claim,
        turn: bool,
        budget: &mut Budget,
    ) -> Grant {
        let len = i64::try_from(len).unwrap_or(MAX_WINDOW).min(MAX_WINDOW);
        let missing = len - self.left - self.owed;
        if missing > 0 {
            if !turn || !budget.may_lend(missing, claim) {
                return Grant::Wait;
            }
            self.loan += missing;
            self.left += missing;
            let claim = if self.held == 0 { claim } else { claim.min(self.claim) };
            self.hold(self.held + missing, claim, budget);
        } else if self.left >= len {
            return Grant::Credit(0);
        }
        let credit = missing.max(0) + self.flush();
        Grant::Credit(u32::try_from(credit).unwrap_or(0))
    }

    /// `n` octets, whole messages, went to their reader. Their credit goes back when they are consumed.
    pub(crate) fn take(&mut self, n: usize, budget: &mut Budget) {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        self.hold((self.held - n).max(0), self.claim, budget);
    }

    /// The message that its reader awaited is complete. Should the reader have gone, it is in nobody's way.
    pub(crate) fn complete(&mut self, budget: &mut Budget) {
        if self.claim == Claim::Awaited {
            self.hold(self.held, Claim::Ahead, budget);
        }
    }

    /// No more DATA will come (END_STREAM): growth is given back; of the loan only
    /// what is still unread stays until it is taken.
    pub(crate) fn end(&mut self, budget: &mut Budget) {
        budget.grown -= self.size - self.initial;
        self.size = self.initial;
        self.loan = self.loan.min(self.unread);
        // What was awaited is complete, or never will be: should its reader have gone, it is in nobody's way.
        let claim = if self.claim == Claim::Awaited { Claim::Ahead } else { self.claim };
        self.hold(self.held.min(self.loan), claim, budget);
    }

    /// The stream is gone: gives everything back.
    pub(crate) fn close(&mut self, budget: &mut Budget) {
        self.unread = 0;
        self.end(budget);
    }

    /// Our SETTINGS were acknowledged and the initial window is `delta` away from the default
    /// that held until then.
    pub(crate) fn adjust(&mut self, delta: i64) {
        self.left += delta;
        self.size += delta;
        self.initial += delta;
    }

    /// Octets of DATA that came in so far, without padding.
    pub(crate) fn received(&self) -> u64 {
        self.total
    }

    #[cfg(test)]
    pub(crate) fn balanced(&self) -> bool {
        self.left + self.unread + self.owed == self.size + self.loan
    }

    /// What it holds of the budget: the growth, and what is lent to a message.
    #[cfg(test)]
    pub(crate) fn holds(&self) -> i64 {
        assert!((0..=self.loan).contains(&self.held), "{self:?}");
        self.size - self.initial + self.held
    }

    /// From now on `n` octets of the loan count against the budget, by this claim.
    fn hold(&mut self, n: i64, claim: Claim, budget: &mut Budget) {
        *budget.lent(self.claim) -= self.held;
        *budget.lent(claim) += n;
        (self.held, self.claim) = (n, claim);
    }

    fn flush(&mut self) -> i64 {
        let owed = std::mem::take(&mut self.owed);
        self.left += owed;
        owed
    }

    fn grow(&mut self, max: i64, budget: &mut Budget) -> i64 {
        let by = self.size.min(max - self.size);
        if by <= 0 || !budget.may_grow(by) {
            return 0;
        }
        budget.grown += by;
        self.size += by;
        self.left += by;
        by
    }
}
