//! How streams and the connection end, whoever ends them.
//!
//! Owns the bookkeeping at every end: halves, slots, budgets, waiting lists, and the news that
//! were met in calls without a sink.

use super::super::frame::{GoAway, MAX_31, Ping, RstStream};
use super::super::goaway::Phase;
use super::super::ping::Probe;
use super::super::stream::{Closed, Receiving, Sending};
use super::super::types::{Key, Reason, Role};
use super::{Connection, Room, Sink};

impl Connection {
    pub(super) fn send_probe(&mut self, probe: Probe) {
        Ping { ack: false, opaque: probe.payload() }.encode(&mut self.out.control);
    }

    pub(super) fn send_reset(&mut self, stream: u32, reason: Reason) {
        RstStream { stream, reason }.encode(&mut self.out.control);
    }

    pub(super) fn send_goaway(&mut self, last: u32, reason: Reason, debug: &str) {
        GoAway { last, reason, debug: debug.as_bytes() }.encode(&mut self.out.control);
    }

    /// Our half has ended on the wire.
    #[inline]
    pub(super) fn sent_end(&mut self, key: Key) {
        let Some(slot) = self.streams.get(key) else { return };
        slot.sending = Sending::Done;
        if slot.receiving == Receiving::Done {
            self.resets.earn();
            self.close(key, Closed::Ended);
        } else if slot.orphan || slot.settled {
            self.part(key);
        } else {
            // What its deadline would cut short has gone out.
            self.unlapse(key);
        }
    }

    /// The peer's half has ended.
    #[inline]
    pub(super) fn received_end(&mut self, key: Key) {
        let max = i64::from(self.options.max_window.min(MAX_31));
        let Some((slot, ledger)) = self.streams.with_ledger(key) else { return };
        slot.receiving = Receiving::Done;
        self.learnt = slot.intake.needed(max);
        slot.intake.end(key, ledger);
        if slot.sending == Sending::Done {
            self.resets.earn();
            self.close(key, Closed::Ended);
        } else {
            self.regrant();
        }
    }

    /// The stream is over on the wire.
    pub(super) fn close(&mut self, key: Key, closed: Closed) {
        let Some((slot, ledger)) = self.streams.with_ledger(key) else { return };
        if slot.closed.is_some() {
            return;
        }
        let ended = slot.receiving == Receiving::Done;
        slot.closed = Some(if ended { Closed::Ended } else { closed });
        let completed = match self.role {
            Role::Client => ended,
            Role::Server => slot.sending == Sending::Done,
        };
        self.stats.completed += u64::from(completed);
        let (orphan, was_ready) = (slot.orphan, slot.ready);
        let lapses = slot.lapses.is_some();
        let dropped = slot.drop_queue();
        self.out.account.unqueue(dropped);
        slot.intake.end(key, ledger);
        if was_ready {
            self.out.strike(key);
        }
        if lapses {
            self.unlapse(key);
        }
        self.notices.room |=
            self.role == Role::Client && self.streams.active == self.peer.max_streams;
        self.streams.active = self.streams.active.saturating_sub(1);
        if let Some(age) = self.age.as_mut().filter(|_| self.streams.active == 0) {
            age.rest(self.now);
        }
        if orphan {
            self.free(key);
            return;
        }
        self.regrant();
    }

    pub(super) fn free(&mut self, key: Key) {
        self.streams.remove(key);
        self.regrant();
    }

    /// The connection is over. What was queued as control frames (GOAWAY) still goes out.
    pub(super) fn die(&mut self, reason: Reason, cause: &str, sink: &mut dyn Sink) {
        self.shutdown.phase = Phase::Dead;
        self.out.stop();
        for key in self.streams.open_keys() {
            self.close(key, Closed::ByUs);
        }
        if !std::mem::replace(&mut self.notices.lost, true) {
            sink.lost(reason, cause);
        }
    }

    /// A graceful end is reached: nothing runs and nothing may start.
    pub(super) fn drained(&self) -> bool {
        let ending = self.shutdown.phase == Phase::Draining
            || self.role == Role::Client && !self.shutdown.is_running()
            || self.role == Role::Client && self.next_id > self.options.max_stream_id;
        ending && self.streams.active == 0 && !self.shutdown.is_dead()
    }

    /// Tells what was met in calls without a sink.
    #[inline]
    pub(super) fn deliver(&mut self, sink: &mut dyn Sink) {
        if self.notices.ids_used_up {
            self.notices.ids_used_up = false;
            sink.goaway(Reason::NO_ERROR, b"stream ids are used up");
        }
        if std::mem::take(&mut self.notices.room) && self.room() == Room::Yes {
            sink.room();
        }
    }
}
