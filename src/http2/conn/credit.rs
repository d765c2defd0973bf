//! Credit for the peer: what was read, and whole messages that have begun.

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

    /// A message has begun and `len` of its octets are still to come: lets the peer send all of it, whether anybody reads or not.
    pub(crate) fn expect(&mut self, key: Key, len: usize) {
        let turn = self.streams.waiting.is_empty();
        let Some((slot, budget)) = self.streams.with_budget(key) else { return };
        if !slot.receives() {
            return;
        }
        match slot.recv_window.grant(len, turn, budget) {
            Grant::Credit(0) => {}
            Grant::Credit(increment) => {
                WindowUpdate { stream: key.id, increment }.encode(&mut self.out.control);
            }
            Grant::Wait if !slot.wants_grant => {
                slot.wants_grant = true;
                slot.wanted_from = slot.recv_window.received();
                self.streams.waiting.push_back((key, len));
            }
            Grant::Wait => {}
        }
    }

    /// Budget came back: serves those who wait for it, first come first served.
    pub(super) fn regrant(&mut self) {
        while let Some(&(key, len)) = self.streams.waiting.front() {
            let waiting = self.streams.with_budget(key).filter(|(slot, _)| slot.receives());
            if let Some((slot, budget)) = waiting {
                let since = slot.recv_window.received().wrapping_sub(slot.wanted_from);
                let rest = len.saturating_sub(usize::try_from(since).unwrap_or(usize::MAX));
                match slot.recv_window.grant(rest, true, budget) {
                    Grant::Wait => return,
                    Grant::Credit(increment) => {
                        slot.wants_grant = false;
                        if increment > 0 {
                            let update = WindowUpdate { stream: key.id, increment };
                            update.encode(&mut self.out.control);
                        }
                    }
                }
            }
            self.streams.waiting.pop_front();
        }
    }
}
