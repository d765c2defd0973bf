//! What the streams of one connection hold beyond their first windows, who waits for more, and for how long.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::types::Key;
use super::Claim;

/// Where octets are that were allowed beyond first windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// Growth of windows.
    Grown,
    /// Lent to messages, by their claims.
    Lent(Claim),
    /// Lent to messages that have lost their place.
    Stalled,
}

#[cfg(test)]
pub(crate) const ACCOUNTS: [Account; 5] = [
    Account::Grown,
    Account::Lent(Claim::Awaited),
    Account::Lent(Claim::Handed),
    Account::Lent(Claim::Ahead),
    Account::Stalled,
];

/// How long a message may come in without progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) limit: Duration,
    /// Given up also when nobody waits for what it holds.
    pub(crate) strict: bool,
}

/// The accounts of one connection.
///
/// What may be held for ever (growth, and messages ahead of their readers) leaves a quarter to the rest. Of the
/// rest at least one message of each kind is always granted, however long it is. So what a
/// reader waits for comes, whatever others leave unread; and so do requests that no worker
/// takes yet, without being in the way of those that the workers read.
#[derive(Debug)]
pub(crate) struct Ledger {
    limit: i64,
    grown: i64,
    awaited: i64,
    handed: i64,
    ahead: i64,
    stalled: i64,
    /// Streams that wait, by their claim.
    for_readers: VecDeque<Key>,
    for_workers: VecDeque<Key>,
    patience: Patience,
    /// When to look whether messages come on.
    look_at: Option<Instant>,
    looked: Option<Instant>,
}

impl Ledger {
    pub(crate) fn new(limit: usize, patience: Patience) -> Self {
        Self {
            limit: i64::try_from(limit).unwrap_or(i64::MAX).min(i64::MAX / 8),
            grown: 0,
            awaited: 0,
            handed: 0,
            ahead: 0,
            stalled: 0,
            for_readers: VecDeque::new(),
            for_workers: VecDeque::new(),
            patience,
            look_at: None,
            looked: None,
        }
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

    /// What has lost its place lies beside the budget, but there is no more of it than another budget.
    pub(super) fn may_stall(&self, n: i64) -> bool {
        self.stalled == 0 || self.stalled + n <= self.limit
    }

    /// Whether `n` may be held for ever.
    fn may_keep(&self, n: i64) -> bool {
        (self.grown + self.ahead + n) * 4 <= self.limit * 3 && self.fits(n)
    }

    fn fits(&self, n: i64) -> bool {
        self.grown + self.awaited + self.handed + self.ahead + n <= self.limit
    }

    /// `n` octets go to an account, or come from it.
    pub(super) fn book(&mut self, account: Account, n: i64) {
        *self.of(account) += n;
    }

    fn of(&mut self, account: Account) -> &mut i64 {
        match account {
            Account::Grown => &mut self.grown,
            Account::Lent(Claim::Awaited) => &mut self.awaited,
            Account::Lent(Claim::Handed) => &mut self.handed,
            Account::Lent(Claim::Ahead) => &mut self.ahead,
            Account::Stalled => &mut self.stalled,
        }
    }

    /// What all accounts hold.
    pub(crate) fn held(&self) -> i64 {
        self.grown + self.lent()
    }

    fn lent(&self) -> i64 {
        self.awaited + self.handed + self.ahead + self.stalled
    }

    /// The streams that wait with this claim, or before it: those ahead of their readers wait among the
    /// awaited, when somebody waits for them.
    fn queue(&mut self, claim: Claim) -> &mut VecDeque<Key> {
        match claim {
            Claim::Awaited | Claim::Ahead => &mut self.for_readers,
            Claim::Handed => &mut self.for_workers,
        }
    }

    /// Nobody waits with this claim.
    pub(super) fn is_turn(&mut self, claim: Claim) -> bool {
        self.queue(claim).is_empty()
    }

    pub(super) fn enqueue(&mut self, key: Key, claim: Claim) {
        self.queue(claim).push_back(key);
    }

    pub(super) fn leave(&mut self, key: Key, claim: Claim) {
        self.queue(claim).retain(|&other| other != key);
    }

    /// Who waits first.
    pub(crate) fn first(&mut self, claim: Claim) -> Option<Key> {
        self.queue(claim).front().copied()
    }

    pub(crate) fn serve_first(&mut self, claim: Claim) {
        self.queue(claim).pop_front();
    }

    /// Somebody waits for what others hold.
    #[inline]
    pub(crate) fn contended(&self) -> bool {
        !self.for_readers.is_empty() || !self.for_workers.is_empty()
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// When to [`look`](Self::look).
    pub(crate) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Something was lent, or somebody began to wait: sees to it that somebody looks.
    #[inline]
    pub(crate) fn watch(&mut self, now: Instant) {
        if let Some(at) = self.next_look(now) {
            self.look_at = Some(self.look_at.map_or(at, |set| set.min(at)));
        }
    }

    /// If it is time to look: what has passed since the last time. A process that was stopped meanwhile has not looked
    /// at what had come, so no more than the usual counts.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Duration> {
        self.look_at.filter(|&at| now >= at)?;
        let passed = self.looked.map_or(self.often(), |at| now.saturating_duration_since(at));
        self.looked = Some(now);
        Some(passed.min(self.seldom().saturating_add(self.often())))
    }

    /// After the look. Where nothing has still to come there is nothing to look at.
    pub(crate) fn looked(&mut self, now: Instant, unfinished: bool) {
        self.look_at = self.next_look(now).filter(|_| unfinished);
        if self.look_at.is_none() {
            self.looked = None;
        }
    }

    /// Nothing that is lent needs watching while nobody waits for it, unless there is a limit whoever waits.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        if self.contended() {
            now.checked_add(self.often())
        } else if self.patience.strict && self.lent() > 0 {
            now.checked_add(self.seldom())
        } else {
            None
        }
    }

    fn often(&self) -> Duration {
        (self.patience.limit / 20).clamp(SOONEST, LATEST)
    }

    fn seldom(&self) -> Duration {
        (self.patience.limit / 4).max(SOONEST)
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn rest(&mut self) {
        if !self.contended() {
            self.for_readers = VecDeque::new();
            self.for_workers = VecDeque::new();
        }
    }

    /// Nothing is held: what every connection must come back to.
    #[cfg(test)]
    pub(crate) fn is_zero(&self) -> bool {
        let accounts = [self.grown, self.awaited, self.handed, self.ahead, self.stalled];
        accounts == [0; 5]
    }

    #[cfg(test)]
    pub(crate) fn all_waiting(&self) -> usize {
        self.for_readers.len() + self.for_workers.len()
    }

    /// What one account holds.
    #[cfg(test)]
    pub(crate) fn balance(&mut self, account: Account) -> i64 {
        *self.of(account)
    }
}

/// How often to look while somebody waits, at most and at least.
const SOONEST: Duration = Duration::from_millis(10);
const LATEST: Duration = Duration::from_secs(1);
