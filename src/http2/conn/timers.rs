//! Deadlines: what happens when nothing happens.

use std::time::Instant;

use super::super::age;
use super::super::goaway::Phase;
use super::super::ping::{Due, Probe};
use super::super::types::Reason;
use super::{Connection, Sink};

impl Connection {
    /// When [`Connection::handle_timeout`] wants to be called next. It moves later with most
    /// traffic, so a timer need not be set anew each time: calling too early does nothing.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.shutdown.is_dead() {
            return None;
        }
        let o = &self.options;
        let mut first = self.keepalive.deadline(self.streams.active > 0);
        // On the path of every call, where few of the others are there.
        let mut or_sooner = |at: Option<Instant>| {
            if let Some(at) = at {
                first = Some(first.map_or(at, |first| first.min(at)));
            }
        };
        or_sooner(self.exchange.deadline(o.handshake_timeout));
        or_sooner(self.input.block.since.and_then(|at| at.checked_add(o.header_timeout)));
        or_sooner(self.input.partial_since.and_then(|at| at.checked_add(o.frame_timeout)));
        if let Some(age) = &self.age {
            or_sooner(age.deadline(self.shutdown.phase == Phase::Running));
        }
        or_sooner(self.shutdown.deadline());
        or_sooner(self.out.account.deadline(o.write_timeout));
        or_sooner(self.lapses.first());
        or_sooner(self.streams.ledger.look_at());
        first
    }

    /// Whether the peer has yet to answer what it answers at once: our SETTINGS, or whether it lives.
    #[cfg(feature = "testing")]
    pub(crate) fn asks(&self) -> bool {
        let settings = self.exchange.deadline(self.options.handshake_timeout).is_some();
        !self.shutdown.is_dead() && (settings || self.keepalive.asks())
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant, sink: &mut dyn Sink) {
        self.now = now;
        if self.shutdown.is_dead() {
            return;
        }
        if let Some((reason, cause)) = self.overdue(now) {
            return self.abort(reason, cause, sink);
        }
        if matches!(self.shutdown.phase, Phase::Announced(at) if now >= at) {
            self.fix_last_id();
        }
        if !self.grow_old(now, sink) {
            return;
        }
        self.lapse(now, sink);
        self.look(now, sink);
        match self.keepalive.tick(now, self.streams.active > 0) {
            Due::Nothing => {}
            Due::Ping => {
                self.stats.keepalives += 1;
                self.send_probe(Probe::Alive);
            }
            Due::Dead => return self.abort(Reason::NO_ERROR, "keepalive timeout", sink),
        }
        self.deliver(sink);
    }

    /// Ends a connection that has been idle for long, or is old. False: it is over.
    fn grow_old(&mut self, now: Instant, sink: &mut dyn Sink) -> bool {
        let running = self.shutdown.phase == Phase::Running;
        match self.age.as_mut().map_or(age::Due::Nothing, |age| age.tick(now, running)) {
            age::Due::Nothing => {}
            age::Due::Drain => self.drain(now),
            age::Due::Cut => {
                self.abort(
                    Reason::NO_ERROR,
                    "its calls took longer than the server gives old connections",
                    sink,
                );
                return false;
            }
        }
        true
    }

    /// The peer owes us something for too long (A5, A15).
    fn overdue(&self, now: Instant) -> Option<(Reason, &'static str)> {
        let o = &self.options;
        let past = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if past(self.exchange.deadline(o.handshake_timeout)) {
            return Some((Reason::SETTINGS_TIMEOUT, "no SETTINGS from the peer"));
        }
        if past(self.out.account.deadline(o.write_timeout)) {
            return Some((
                Reason::NO_ERROR,
                "the peer has taken nothing of what was sent to it for too long",
            ));
        }
        if past(self.input.block.since.and_then(|at| at.checked_add(o.header_timeout))) {
            return Some((Reason::ENHANCE_YOUR_CALM, "header block not finished"));
        }
        if past(self.input.partial_since.and_then(|at| at.checked_add(o.frame_timeout))) {
            return Some((Reason::ENHANCE_YOUR_CALM, "frame not finished"));
        }
        None
    }
}
