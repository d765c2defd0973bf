//! Streams of a server that end when their time has come: answers that nobody takes, and requests that go on
//! after their answers.
//!
//! Owns the order in which they are due. A stream is in it at most once, and no longer than it is open, so
//! MAX_CONCURRENT_STREAMS bounds it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::stream::{Closed, Sending};
use super::super::types::{Key, Reason, Role};
use super::{Connection, Sink};

/// How long a client may go on with a request that is answered: until its next DATA, or so long. A reset on the heels of
/// the trailers overtakes them in some proxies, and the status is lost.
pub(crate) const PARTING: Duration = Duration::from_millis(100);

/// What is due when.
#[derive(Debug, Default)]
pub(super) struct Lapses(BTreeSet<(Instant, u32, u32)>);

impl Lapses {
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.first().map(|&(at, ..)| at)
    }

    fn due(&self, now: Instant) -> Option<Key> {
        let &(at, id, slot) = self.0.first()?;
        (at <= now).then_some(Key { slot, id })
    }
}

impl Connection {
    /// It is `now`. To be called before what needs the time and is not told it.
    pub(crate) fn at(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// The answer is given, and waits for the peer's credit: not beyond `at`, the call's deadline.
    pub(crate) fn lapse_at(&mut self, key: Key, at: Instant) {
        let Some(slot) = self.streams.get(key).filter(|slot| slot.closed.is_none()) else { return };
        if let Some(before) = slot.lapses.replace(at) {
            self.lapses.0.remove(&(before, key.id, key.slot));
        }
        self.lapses.0.insert((at, key.id, key.slot));
    }

    pub(super) fn unlapse(&mut self, key: Key) {
        if let Some(at) = self.streams.get(key).and_then(|slot| slot.lapses.take()) {
            self.lapses.0.remove(&(at, key.id, key.slot));
        }
    }

    /// Whether our half has ended and the peer's has not.
    pub(super) fn answered_early(&self, key: Key) -> bool {
        let slot = self.streams.peek(key).filter(|_| self.role == Role::Server);
        slot.is_some_and(|slot| slot.sending == Sending::Done && slot.receives())
    }

    /// The answer is out, nobody wants what is left of the request, and the client is still sending it: it is told when
    /// it does so again, or after [`PARTING`]. What the request held is free from here on. Again is no new beginning.
    pub(super) fn part(&mut self, key: Key) {
        let Some((slot, ledger)) = self.streams.with_ledger(key) else { return };
        if slot.orphan {
            slot.intake.close(key, ledger);
        } else {
            slot.intake.end(key, ledger);
        }
        let first = !std::mem::replace(&mut slot.parting, true);
        if first {
            self.lapse_at(key, self.now + PARTING);
        }
        self.regrant();
    }

    /// The client goes on with a request that is answered, or ends it.
    pub(super) fn late_data(&mut self, key: Key, end: bool) {
        if end {
            self.received_end(key);
        } else {
            self.early_end(key);
        }
    }

    /// "A server MAY request that the client abort transmission of a request without error by sending
    /// a RST_STREAM with an error code of NO_ERROR after sending a complete response" §8.1 (W55).
    pub(super) fn early_end(&mut self, key: Key) {
        self.send_reset(key.id, Reason::NO_ERROR);
        self.close(key, Closed::ByUs);
    }

    /// A client that asks for a new stream has no use for one that was answered: such a one makes room. False: there is none.
    pub(super) fn part_now(&mut self) -> bool {
        let mut keys = self.lapses.0.iter().map(|&(_, id, slot)| Key { slot, id });
        let parting = keys.find(|&key| self.is_parting(key));
        parting.inspect(|&key| self.early_end(key)).is_some()
    }

    /// Ends what is due.
    pub(super) fn lapse(&mut self, now: Instant, sink: &mut dyn Sink) {
        while let Some(key) = self.lapses.due(now) {
            self.unlapse(key);
            if self.is_parting(key) {
                self.early_end(key);
                continue;
            }
            let tell = self.hears(key);
            self.reset(key, Reason::CANCEL);
            if tell {
                sink.reset(
                    key,
                    Reason::CANCEL,
                    false,
                    "the answer was not taken before the deadline",
                );
            }
        }
    }

    fn is_parting(&self, key: Key) -> bool {
        self.streams.peek(key).is_some_and(|slot| slot.parting)
    }
}
