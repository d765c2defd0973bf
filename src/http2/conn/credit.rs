//! Credit for the peer: the facts that [`super::super::grant`] judges, and frames for what it says.

use std::time::{Duration, Instant};

use super::super::frame::{MAX_31, WindowUpdate};
use super::super::grant::{Claim, Heard, Pace, Taker};
use super::super::stream::Closed;
use super::super::types::{Key, Reason};
use super::{Connection, Sink};

/// A round trip of a long line: nearer by, a window grows in less time than a call takes.
const FAR: Duration = Duration::from_millis(1);

impl Connection {
    /// Who takes the stream's messages, if not a reader.
    pub(crate) fn takes(&mut self, key: Key, taker: Taker) {
        if let Some(slot) = self.streams.get(key) {
            slot.intake.takes(taker);
        }
    }

    /// The stream's reader waits, perhaps without having looked. False: that was known.
    pub(crate) fn awaits(&mut self, key: Key) -> bool {
        let news = self.streams.get(key).is_some_and(|slot| slot.intake.await_next());
        if news {
            self.ask(key);
        }
        news
    }

    /// The stream's reader has consumed so many octets since the last time, and whole messages of `taken` octets went to
    /// it. None: it waits for the next.
    #[inline]
    pub(crate) fn taken(&mut self, key: Key, consumed: usize, taken: usize) {
        let Some((slot, ledger)) = self.streams.with_ledger(key) else { return };
        let waits = !slot.intake.ready();
        let gives_way = slot.intake.taken(taken, ledger);
        let asks = slot.intake.asks();
        if gives_way {
            self.regrant();
        }
        if consumed > 0 {
            self.release(key, consumed, waits);
        }
        if asks {
            self.ask(key);
        }
    }

    /// All of the long message that has begun may come.
    pub(crate) fn granted(&self, key: Key) -> bool {
        self.streams.peek(key).is_some_and(|slot| slot.intake.granted())
    }

    /// The application consumed `n` octets of payload. `waits`: it has taken everything that is whole
    /// and waits for more; only then may its window grow.
    #[inline]
    pub(super) fn release(&mut self, key: Key, n: usize, waits: bool) {
        let max = i64::from(self.options.max_window.min(MAX_31));
        let (now, rtt) = (self.now, self.round_trip.smoothed());
        let Some((slot, ledger)) = self.streams.with_ledger(key) else { return };
        let held = ledger.held();
        let credit = slot.intake.release(n, Pace { now, rtt, waits, max }, ledger);
        let now_held = ledger.held();
        if now_held > held {
            self.round_trip.on_growth();
        }
        self.announce(key, credit);
        if now_held < held {
            self.regrant();
        }
    }

    /// What the sink said of `n` octets of payload, with `rest` of their frame still to come.
    #[inline]
    pub(super) fn on_heard(&mut self, key: Key, heard: Heard, n: usize, rest: usize) {
        if heard == Heard::default() {
            return;
        }
        if heard.whole {
            self.round_trip.on_message();
        }
        let Some((slot, ledger)) = self.streams.with_ledger(key) else { return };
        let gives_way = heard.whole && slot.intake.whole(key, ledger);
        if let Some(len) = heard.begun {
            slot.intake.begun(len, rest);
            // More of it may have come with the same read.
            self.begun.push(key);
        }
        if heard.dropped {
            self.drop_octets(key, n);
        }
        if gives_way {
            self.regrant();
        }
    }

    /// `n` octets came for nobody.
    #[cold]
    pub(super) fn drop_octets(&mut self, key: Key, n: usize) {
        let Some((slot, ledger)) = self.streams.with_ledger(key) else { return };
        let credit = slot.intake.drop_octets(n, ledger);
        self.announce(key, credit);
        self.regrant();
    }

    /// A new stream has, on a long line, the window that the last one came to: each would else spend its first round trips
    /// on growing. Small ones have what all have.
    pub(super) fn begin_wide(&mut self, key: Key) {
        let Some(size) = self.learnt else { return };
        let far = self.round_trip.smoothed().is_some_and(|rtt| rtt >= FAR);
        let Some((slot, ledger)) = self.streams.with_ledger(key).filter(|_| far) else { return };
        let credit = slot.intake.widen(size, ledger);
        self.announce(key, credit);
    }

    /// The owner of a stream that lives on has gone.
    pub(super) fn abandon(&mut self, key: Key) {
        let Some((slot, ledger)) = self.streams.with_ledger(key) else { return };
        let credit = slot.intake.abandon(key, ledger);
        self.announce(key, credit);
        self.regrant();
    }

    /// The input is taken: long messages that have begun in it, and are not whole, ask for room.
    pub(super) fn ask_for_begun(&mut self, sink: &mut dyn Sink) {
        if self.begun.is_empty() {
            return;
        }
        let mut begun = std::mem::take(&mut self.begun);
        for &key in &begun {
            self.ask(key);
            if self.granted(key) && self.hears(key) {
                sink.granted(key);
            }
        }
        begun.clear();
        self.begun = begun;
    }

    fn ask(&mut self, key: Key) {
        let Some((slot, ledger)) = self.streams.with_ledger(key) else { return };
        if slot.intake.asks() {
            let credit = slot.intake.ask(key, ledger);
            ledger.watch(self.now);
            self.announce(key, credit);
        }
    }

    /// Budget came back: serves those who wait for it, first come first served among equal claims.
    pub(super) fn regrant(&mut self) {
        if !self.streams.ledger.contended() {
            return;
        }
        for claim in [Claim::Awaited, Claim::Handed] {
            while let Some(key) = self.streams.ledger.first(claim) {
                if let Some((slot, ledger)) = self.streams.with_ledger(key) {
                    let Some(credit) = slot.intake.ask_again(ledger) else { break };
                    ledger.watch(self.now);
                    self.announce(key, u32::try_from(credit).ok());
                }
                self.streams.ledger.serve_first(claim);
            }
        }
    }

    /// Looks whether the messages that were granted come on.
    pub(super) fn look(&mut self, now: Instant, sink: &mut dyn Sink) {
        let Some(passed) = self.streams.ledger.look(now) else { return };
        let (stuck, unfinished) = self.streams.look(passed);
        self.regrant();
        for key in stuck {
            if self.streams.ledger.patience().strict || self.streams.ledger.contended() {
                self.give_up(key, sink);
            }
        }
        self.streams.ledger.looked(now, unfinished);
    }

    /// A message does not come on, and what it holds is wanted.
    fn give_up(&mut self, key: Key, sink: &mut dyn Sink) {
        let reason = Reason::ENHANCE_YOUR_CALM;
        let tell = self.hears(key);
        self.send_reset(key.id, reason);
        self.close(key, Closed::ByUs);
        if tell {
            sink.reset(key, reason, false, "a message did not come on");
        }
    }

    fn announce(&mut self, key: Key, credit: Option<u32>) {
        if let Some(increment) = credit.filter(|&n| n > 0 && !self.shutdown.is_dead()) {
            WindowUpdate { stream: key.id, increment }.encode(&mut self.out.control);
        }
    }
}
