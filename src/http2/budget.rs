//! What the streams of one connection may hold beyond their first windows, and who goes first.
//!
//! Pure numbers: who waits is the streams' affair ([`super::stream`]), and what it means for a window [`super::flow`]'s.

/// Who will take a whole message once it is there: what its grant may use of the budget. The strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// Its reader waits for it. Counts until it is complete.
    Awaited,
    /// A single request, which is handed over when complete: a worker takes it, sooner or later.
    Handed,
    /// Nobody, yet. It may lie there for ever.
    Ahead,
}

/// What the grown windows and granted messages of one connection may hold together.
///
/// What may be held for ever (growth, and messages ahead of their readers) leaves a quarter to the rest. Of the
/// rest at least one message of each kind is always granted, however long it is. So what a
/// reader waits for comes, whatever others leave unread; and so do requests that no worker
/// takes yet, without being in the way of those that the workers read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    limit: i64,
    /// Sum of what windows grew beyond their initial size.
    pub(super) grown: i64,
    /// Sums of what whole messages were granted beyond their windows and not yet taken.
    awaited: i64,
    handed: i64,
    ahead: i64,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX).min(i64::MAX / 8);
        Self { limit, grown: 0, awaited: 0, handed: 0, ahead: 0 }
    }

    /// Growth never takes more than half: a window never shrinks while its stream lives.
    pub(super) fn may_grow(&self, by: i64) -> bool {
        (self.grown + by) * 2 <= self.limit && self.may_keep(by)
    }

    pub(super) fn may_lend(&self, n: i64, claim: Claim) -> bool {
        match claim {
            Claim::Awaited => self.awaited == 0 || self.fits(n),
            Claim::Handed => self.handed == 0 || self.fits(n),
            Claim::Ahead => self.may_keep(n),
        }
    }

    /// Whether `n` may be held for ever.
    fn may_keep(&self, n: i64) -> bool {
        (self.grown + self.ahead + n) * 4 <= self.limit * 3 && self.fits(n)
    }

    fn fits(&self, n: i64) -> bool {
        self.held() + n <= self.limit
    }

    pub(super) fn lent(&mut self, claim: Claim) -> &mut i64 {
        match claim {
            Claim::Awaited => &mut self.awaited,
            Claim::Handed => &mut self.handed,
            Claim::Ahead => &mut self.ahead,
        }
    }

    /// Nothing is held: what every connection must come back to.
    #[cfg(test)]
    pub(crate) fn is_zero(&self) -> bool {
        (self.grown, self.awaited, self.handed, self.ahead) == (0, 0, 0, 0)
    }

    pub(crate) fn held(&self) -> i64 {
        self.grown + self.awaited + self.handed + self.ahead
    }
}
