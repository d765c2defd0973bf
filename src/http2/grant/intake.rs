//! What one stream's peer may send, and how the message stands that is coming in.

use std::time::{Duration, Instant};

use super::super::flow::MAX_WINDOW;
use super::super::types::Key;
use super::ledger::Account;
use super::{Claim, DRAINED, FLOOR, Ledger, Taker};

/// How the message stands that is coming in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is none that is long: what comes fits the window.
    Windowed,
    /// It has no grant, and does not queue for one: nobody waits for it.
    Begun,
    /// It queues for the budget.
    Wanting(Claim),
    /// All of it may come.
    Granted,
    /// Nothing comes any more.
    Over,
}

/// How a granted message comes on.
#[derive(Clone, Copy, Debug, Default)]
struct Pulse {
    /// What had come in when it last had made progress, and how long that is ago.
    from: u64,
    since: Duration,
    age: Duration,
}

/// The receiving side of one stream.
///
/// Invariant, until the end: `open + unread + owed == size + loan`: every octet the peer was allowed
/// is either still allowed, or unread, or about to be allowed again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intake {
    /// What the peer may still send.
    open: i64,
    /// Received, not yet consumed by the application.
    unread: i64,
    /// Consumed or padding, not yet announced.
    owed: i64,
    /// There is padding in it.
    padded: bool,
    /// The window's proper size.
    size: i64,
    /// Its size at first.
    initial: i64,
    /// Granted beyond `size` for one long message; paid back by what is consumed.
    loan: i64,
    /// What of the loan is in an account of the ledger, and in which: until the message is taken, which is before it is
    /// consumed. A reader may have one message in hand on each of many streams, and wait for another.
    held: i64,
    account: Account,
    taker: Taker,
    /// The reader has looked, and nothing whole has been there since.
    awaited: bool,
    /// Whole messages wait for the reader.
    ready: bool,
    stage: Stage,
    /// Where in `total` the message ends that has begun, with some room beyond.
    end: u64,
    pulse: Pulse,
    /// When the current window's worth began to come in, and how much of it has been consumed.
    epoch: Option<Instant>,
    consumed: i64,
    /// Octets of DATA so far, without the padding.
    total: u64,
    /// How many of them nobody has read.
    dropped: usize,
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

impl Intake {
    pub(crate) fn new(initial: i64) -> Self {
        Self {
            open: initial,
            unread: 0,
            owed: 0,
            padded: false,
            size: initial,
            initial,
            loan: 0,
            held: 0,
            account: Account::Lent(Claim::Ahead),
            taker: Taker::Reader,
            awaited: false,
            ready: false,
            stage: Stage::Windowed,
            end: 0,
            pulse: Pulse::default(),
            epoch: None,
            consumed: 0,
            total: 0,
            dropped: 0,
        }
    }

    /// Who takes its messages, if not a reader.
    pub(crate) fn takes(&mut self, taker: Taker) {
        self.taker = taker;
    }

    /// `n` octets of DATA came in, padding included. False: the peer overran the window.
    #[inline]
    pub(crate) fn receive(&mut self, n: usize, now: Instant) -> bool {
        self.epoch.get_or_insert(now);
        self.total += n as u64;
        let n = n as i64;
        self.open -= n;
        self.unread += n;
        self.open >= 0
    }

    /// `n` of these were padding, which is no part of a message: the peer gets it back. With other credit, or each frame
    /// of a few octets would have one of ours for an answer; but before the peer runs dry, as
    /// a granted message has room for its own octets only. To be asked after every frame.
    #[inline]
    pub(crate) fn padding(&mut self, n: usize) -> Option<u32> {
        if n > 0 {
            let n = (n as i64).min(self.unread);
            self.unread -= n;
            self.owed += n;
            self.total = self.total.saturating_sub(n.unsigned_abs());
            self.padded = true;
        }
        if !self.padded || self.stage == Stage::Over {
            return None;
        }
        if self.owed * 2 < self.size && self.owed < self.open {
            return None;
        }
        increment(self.flush())
    }

    /// Messages became whole. Whether that leaves more for others.
    #[inline]
    pub(crate) fn whole(&mut self, key: Key, ledger: &mut Ledger) -> bool {
        self.awaited = false;
        self.ready = true;
        let waited = matches!(self.stage, Stage::Wanting(_));
        self.leave(key, ledger, Stage::Windowed);
        // Should the reader have gone for which it came, it is in nobody's way. A request is whole when the peer ends it.
        let ahead = Account::Lent(Claim::Ahead);
        if self.held == 0 || self.taker == Taker::Worker || self.account == ahead {
            return waited;
        }
        self.hold(self.held, ahead, ledger);
        true
    }

    /// A long message has begun, and wants room for `len` octets after all but `rest` of those that came in.
    pub(crate) fn begun(&mut self, len: usize, rest: usize) {
        self.end = self.total.saturating_sub(rest as u64).saturating_add(len as u64);
        if self.stage == Stage::Windowed || self.stage == Stage::Granted {
            self.stage = Stage::Begun;
        }
    }

    /// Its reader waits, perhaps without having looked. False: it did already.
    pub(crate) fn await_next(&mut self) -> bool {
        !std::mem::replace(&mut self.awaited, true)
    }

    /// A long message has begun that has no grant, and does not wait for one.
    #[inline]
    pub(crate) fn asks(&self) -> bool {
        self.stage == Stage::Begun
    }

    /// Makes room for the message that has begun, or it could never complete if it is longer than the window; or queues
    /// for that. What to announce.
    pub(crate) fn ask(&mut self, key: Key, ledger: &mut Ledger) -> Option<u32> {
        // One message ahead of its reader is enough.
        let claim = self.claim()?;
        let turn = ledger.is_turn(claim);
        if let Some(credit) = self.lend(claim, turn, ledger) {
            return increment(credit);
        }
        // What is ahead of its reader does not queue: the reader will come, with a better claim.
        if claim != Claim::Ahead {
            self.stage = Stage::Wanting(claim);
            ledger.enqueue(key, claim);
        }
        None
    }

    /// It is the first that waits: what to announce, or `None` when it has to go on waiting.
    pub(crate) fn ask_again(&mut self, ledger: &mut Ledger) -> Option<i64> {
        let Stage::Wanting(claim) = self.stage else { return Some(0) };
        self.lend(claim, true, ledger)
    }

    /// All of the message that has begun may come.
    pub(crate) fn granted(&self) -> bool {
        self.stage == Stage::Granted
    }

    /// Whole messages of `n` octets went to their reader: what they held serves others, and their credit
    /// goes back when they are consumed. Who finds nothing waits for what comes next, or asks again. Whether that leaves
    /// more for others.
    #[inline]
    pub(crate) fn taken(&mut self, n: usize, ledger: &mut Ledger) -> bool {
        self.awaited = n == 0;
        self.ready = false;
        if self.held == 0 || n == 0 {
            return false;
        }
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        self.hold((self.held - n).max(0), self.account, ledger);
        true
    }

    /// Whole messages wait for the reader.
    #[inline]
    pub(crate) fn ready(&self) -> bool {
        self.ready
    }

    /// The application consumed `n` octets. Returns the increment to announce,
    /// once half a window is owed, or when the window grows.
    #[inline]
    pub(crate) fn release(&mut self, n: usize, pace: Pace, ledger: &mut Ledger) -> Option<u32> {
        let n = i64::try_from(n).unwrap_or(i64::MAX).min(self.unread);
        self.unread -= n;
        let paid = n.min(self.loan);
        self.loan -= paid;
        if self.held > self.loan {
            self.hold(self.loan, self.account, ledger);
        }
        self.owed += n - paid;
        // After the end only the loan is paid back.
        if self.stage == Stage::Over {
            return None;
        }
        let growth = if self.outpaced(n, pace) { self.grow(pace.max, ledger) } else { 0 };
        if growth == 0 && self.owed * 2 < self.size {
            return None;
        }
        increment(self.flush() + growth)
    }

    /// `n` octets of payload came for nobody. They go back as if they had been read, up to a bound.
    pub(crate) fn drop_octets(&mut self, n: usize, ledger: &mut Ledger) -> Option<u32> {
        let n = n.min(DRAINED.saturating_sub(self.dropped));
        self.dropped += n;
        let n = (n as i64).min(self.unread);
        self.unread -= n;
        let paid = n.min(self.loan);
        self.loan -= paid;
        self.hold(self.held.min(self.loan), self.account, ledger);
        self.owed += n - paid;
        if self.stage == Stage::Over || self.owed * 2 < self.size {
            return None;
        }
        increment(self.flush())
    }

    /// Its owner has gone, and what it had received with it. The peer may still send.
    pub(crate) fn abandon(&mut self, key: Key, ledger: &mut Ledger) -> Option<u32> {
        self.taker = Taker::Nobody;
        self.leave(key, ledger, Stage::Windowed);
        self.hold(0, self.account, ledger);
        self.drop_octets(usize::try_from(self.unread).unwrap_or(0), ledger)
    }

    /// No more DATA will come (END_STREAM): growth is given back; of the loan only
    /// what is still unread stays until it is taken.
    pub(crate) fn end(&mut self, key: Key, ledger: &mut Ledger) {
        ledger.book(Account::Grown, self.initial - self.size);
        self.size = self.initial;
        self.loan = self.loan.min(self.unread);
        self.leave(key, ledger, Stage::Over);
        if self.held > 0 {
            // A request waits for its worker. What was awaited is complete, or never will be: should its reader have
            // gone, it is in nobody's way.
            let claim = if self.taker == Taker::Worker { Claim::Handed } else { Claim::Ahead };
            self.hold(self.held.min(self.loan), Account::Lent(claim), ledger);
        }
    }

    /// The stream is gone: gives everything back.
    pub(crate) fn close(&mut self, key: Key, ledger: &mut Ledger) {
        self.unread = 0;
        self.end(key, ledger);
    }

    /// The window that would have done for what came: none beyond the first, or what it has come to, or all that came.
    pub(crate) fn needed(&self, max: i64) -> Option<i64> {
        let total = i64::try_from(self.total).unwrap_or(max);
        (total > self.initial)
            .then(|| if self.size > self.initial { self.size } else { total.min(max) })
    }

    /// Begins with a larger window, if the budget has room for that. What to announce.
    pub(crate) fn widen(&mut self, size: i64, ledger: &mut Ledger) -> Option<u32> {
        let by = size - self.size;
        if by <= 0 || !ledger.may_grow(by) {
            return None;
        }
        ledger.book(Account::Grown, by);
        self.size += by;
        self.open += by;
        increment(by)
    }

    /// Some time has passed. Whether the message has made no progress for the ledger's limit.
    pub(crate) fn look(&mut self, passed: Duration, ledger: &mut Ledger) -> bool {
        if !self.unfinished() {
            return false;
        }
        let limit = ledger.patience().limit;
        self.pulse.age = self.pulse.age.saturating_add(passed);
        self.pulse.since = self.pulse.since.saturating_add(passed);
        let came = u128::from(self.total.saturating_sub(self.pulse.from)) * 1000;
        let slow = came < u128::from(FLOOR) * self.pulse.since.as_millis();
        if !slow {
            (self.pulse.from, self.pulse.since) = (self.total, Duration::ZERO);
        }
        let has_place = matches!(self.account, Account::Lent(Claim::Awaited | Claim::Handed));
        let loses_it = ledger.contended() && (slow || self.pulse.age >= limit);
        if has_place && loses_it && ledger.may_stall(self.held) {
            self.hold(self.held, Account::Stalled, ledger);
        }
        slow && self.pulse.since >= limit
    }

    /// Our SETTINGS were acknowledged and the initial window is `delta` away from the default
    /// that held until then.
    pub(crate) fn adjust(&mut self, delta: i64) {
        self.open += delta;
        self.size += delta;
        self.initial += delta;
    }

    #[cfg(test)]
    pub(crate) fn balanced(&self) -> bool {
        let sum = self.open + self.unread + self.owed;
        (self.stage == Stage::Over || sum == self.size + self.loan)
            && (0..=self.loan).contains(&self.held)
    }

    /// What it holds in the ledger's accounts: the growth, and what is lent to messages.
    #[cfg(test)]
    pub(crate) fn holds(&self, account: Account) -> i64 {
        match account {
            Account::Grown => self.size - self.initial,
            other if other == self.account => self.held,
            _ => 0,
        }
    }

    /// What the peer may still send.
    #[cfg(test)]
    pub(crate) fn open(&self) -> i64 {
        self.open
    }

    #[cfg(test)]
    pub(crate) fn waits_for_budget(&self) -> bool {
        matches!(self.stage, Stage::Wanting(_))
    }

    /// By what claim a long message that has begun may come.
    fn claim(&self) -> Option<Claim> {
        match self.taker {
            Taker::Worker => Some(Claim::Handed),
            Taker::Caller => Some(Claim::Awaited),
            Taker::Reader if self.awaited => Some(Claim::Awaited),
            Taker::Reader => (!self.ready).then_some(Claim::Ahead),
            Taker::Nobody => None,
        }
    }

    /// Holds something that others could have, because the peer has not sent all of it yet.
    pub(crate) fn unfinished(&self) -> bool {
        match self.taker {
            Taker::Worker => self.held > 0 && self.stage != Stage::Over,
            _ => self.held > 0 && self.stage == Stage::Granted,
        }
    }

    /// Lets all of the message come. The credit for that; `None`: the budget does not allow it, or it is others' `turn`.
    fn lend(&mut self, claim: Claim, turn: bool, ledger: &mut Ledger) -> Option<i64> {
        let rest = self.end.saturating_sub(self.total);
        let rest = i64::try_from(rest).unwrap_or(MAX_WINDOW).min(MAX_WINDOW);
        let missing = rest - self.open - self.owed;
        if missing > 0 {
            if !turn || !ledger.may_lend(missing, claim) {
                return None;
            }
            self.loan += missing;
            self.open += missing;
            let account = match self.account {
                Account::Lent(before) if self.held > 0 => Account::Lent(claim.min(before)),
                _ => Account::Lent(claim),
            };
            self.hold(self.held + missing, account, ledger);
            self.pulse = Pulse { from: self.total, ..Pulse::default() };
        }
        self.stage = Stage::Granted;
        // What the window has room for needs no announcement.
        Some(if missing <= 0 && self.open >= rest { 0 } else { missing.max(0) + self.flush() })
    }

    fn leave(&mut self, key: Key, ledger: &mut Ledger, stage: Stage) {
        if let Stage::Wanting(claim) = self.stage {
            ledger.leave(key, claim);
        }
        if self.stage != Stage::Over {
            self.stage = stage;
        }
    }

    /// From now on `n` octets of the loan are in this account.
    fn hold(&mut self, n: i64, account: Account, ledger: &mut Ledger) {
        ledger.book(self.account, -self.held);
        ledger.book(account, n);
        (self.held, self.account) = (n, account);
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

    fn grow(&mut self, max: i64, ledger: &mut Ledger) -> i64 {
        let by = self.size.min(max - self.size);
        self.widen(self.size + by, ledger).map_or(0, i64::from)
    }

    fn flush(&mut self) -> i64 {
        self.padded = false;
        let owed = std::mem::take(&mut self.owed);
        self.open += owed;
        owed
    }
}

/// What WINDOW_UPDATE says, if it is worth one.
fn increment(n: i64) -> Option<u32> {
    u32::try_from(n).ok().filter(|&n| n > 0)
}
