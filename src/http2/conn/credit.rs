//! Credit for the peer: what was read, and whole messages that have begun.

use super::super::budget::Claim;
use super::super::flow::{Grant, Pace};
use super::super::frame::{MAX_31, WindowUpdate};
use super::super::types::Key;
use super::Connection;

impl Connection {
    /// The application consumed `n` octets of payload. `waits`: it has taken everything that is whole
    /// and waits for more; only then may its window grow.
    #[inline]
    pub(crate) fn release(&mut self, key: Key, n: usize, waits: bool) {
        let max = i64::from(self.options.max_window.min(MAX_31));
        let (now, rtt) = (self.now, self.round_trip.smoothed());
        let Some((slot, budget)) = self.streams.with_budget(key) else { return };
        let (held, receives) = (budget.held(), slot.receives());
        // After the end only the loan is paid back.
        let pace = Pace { now, rtt, waits, max: if receives { max } else { 0 } };
        let credit = slot.recv_window.release(n, pace, budget);
        let now_held = budget.held();
        if now_held > held {
            self.round_trip.on_growth();
        }
        if let Some(increment) = credit.filter(|_| receives && !self.shutdown.is_dead()) {
            WindowUpdate { stream: key.id, increment }.encode(&mut self.out.control);
        }
        if now_held < held {
            self.regrant();
        }
    }

    /// `n` octets, whole messages, are in their reader's hands, though not consumed: what they held of the budget
    /// serves others.
    #[inline]
    pub(crate) fn taken(&mut self, key: Key, n: usize) {
        self.round_trip.on_message();
        let Some((slot, budget)) = self.streams.with_budget(key) else { return };
        let held = budget.held();
        slot.recv_window.take(n, budget);
        if budget.held() < held {
            self.regrant();
        }
    }

    /// The message that the stream's reader awaited is complete.
    pub(crate) fn complete(&mut self, key: Key) {
        self.round_trip.on_message();
        if let Some((slot, budget)) = self.streams.with_budget(key) {
            slot.recv_window.complete(budget);
            self.regrant();
        }
    }

    /// A message has begun and `len` of its octets are still to come: lets the peer send all of it, if the claim is
    /// good for that: whether it is. What is ahead of its reader does not queue: the reader will come, with a better claim.
    pub(crate) fn expect(&mut self, key: Key, len: usize, claim: Claim) -> bool {
        let turn = self.streams.waiting(claim).is_empty();
        let Some((slot, budget)) = self.streams.with_budget(key) else { return false };
        if !slot.receives() {
            return false;
        }
        match slot.recv_window.grant(len, claim, turn, budget) {
            Grant::Credit(0) => return true,
            Grant::Credit(increment) => {
                WindowUpdate { stream: key.id, increment }.encode(&mut self.out.control);
                return true;
            }
            Grant::Wait if claim != Claim::Ahead && !slot.wants_grant => {
                slot.wants_grant = true;
                slot.wanted_from = slot.recv_window.received();
                self.streams.waiting(claim).push_back((key, len));
            }
            Grant::Wait => {}
        }
        false
    }

    /// Budget came back: serves those who wait for it, first come first served among equal claims.
    pub(super) fn regrant(&mut self) {
        for claim in [Claim::Awaited, Claim::Handed] {
            while let Some(&(key, len)) = self.streams.waiting(claim).front() {
                if !self.regrant_one(key, len, claim) {
                    break;
                }
                self.streams.waiting(claim).pop_front();
            }
        }
    }

    /// Whether the stream need not wait any longer.
    fn regrant_one(&mut self, key: Key, len: usize, claim: Claim) -> bool {
        let waiting = self.streams.with_budget(key).filter(|(slot, _)| slot.receives());
        let Some((slot, budget)) = waiting else { return true };
        let since = slot.recv_window.received().wrapping_sub(slot.wanted_from);
        let rest = len.saturating_sub(usize::try_from(since).unwrap_or(usize::MAX));
        let Grant::Credit(increment) = slot.recv_window.grant(rest, claim, true, budget) else {
            return false;
        };
        slot.wants_grant = false;
        if increment > 0 {
            WindowUpdate { stream: key.id, increment }.encode(&mut self.out.control);
        }
        true
    }
}
