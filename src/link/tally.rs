//! What a link counts beside what its connection counts: messages, and how calls ended.
//!
//! Guarded by the link's lock, which whoever has something to count holds anyway. No clock is asked for it: what comes has the time
//! of its read, and what goes that of the write that takes it along.

use std::time::Instant;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Messages that were handed over to be sent.
    sent: u64,
    /// Whole messages that have come.
    received: u64,
    /// Calls that ended with OK.
    pub(super) well: u64,
    last_opened: Option<Instant>,
    last_sent: Option<Instant>,
    last_received: Option<Instant>,
    /// What has no date yet: [`OPENED`] and [`SENT`] since the last write, [`RECEIVED`] with this read.
    fresh: u8,
}

/// A stream was opened.
const OPENED: u8 = 1;
/// Messages were handed over.
const SENT: u8 = 2;
/// Messages have come.
const RECEIVED: u8 = 4;

impl Tally {
    /// A client has opened a stream, by the next write.
    #[inline]
    pub(super) fn opens(&mut self) {
        self.fresh |= OPENED;
    }

    /// A server has been asked.
    #[inline]
    pub(super) fn opened(&mut self, now: Instant) {
        self.last_opened = Some(now);
    }

    /// So many messages go out with the next write.
    #[inline]
    pub(super) fn sends(&mut self, messages: u64) {
        self.sent += messages;
        self.fresh |= SENT;
    }

    /// So many have come with the read at hand.
    #[inline]
    pub(super) fn received(&mut self, messages: usize) {
        self.received += messages as u64;
        self.fresh |= RECEIVED;
    }

    /// A read has been worked off.
    #[inline]
    pub(super) fn reads(&mut self, now: Instant) {
        if self.fresh & RECEIVED != 0 {
            self.last_received = Some(now);
            self.fresh &= !RECEIVED;
        }
    }

    /// A write begins.
    #[inline]
    pub(super) fn writes(&mut self, now: Instant) {
        if self.fresh & (SENT | OPENED) == 0 {
            return;
        }
        if self.fresh & SENT != 0 {
            self.last_sent = Some(now);
        }
        if self.fresh & OPENED != 0 {
            self.last_opened = Some(now);
        }
        self.fresh &= !(SENT | OPENED);
    }

    /// Messages sent and received.
    pub(super) fn messages(&self) -> (u64, u64) {
        (self.sent, self.received)
    }

    /// When the last stream was opened.
    pub(super) fn last_opened(&self) -> Option<Instant> {
        self.last_opened
    }

    /// When the last message was sent, and when the last came.
    pub(super) fn last_messages(&self) -> (Option<Instant>, Option<Instant>) {
        (self.last_sent, self.last_received)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_goes_is_dated_by_the_write_that_takes_it_along_and_by_no_later_one() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        tally.writes(start);
        assert_eq!((tally.last_opened(), tally.last_messages()), (None, (None, None)));
        tally.opens();
        tally.sends(1);
        assert_eq!((tally.last_opened(), tally.last_messages()), (None, (None, None)));
        tally.writes(after(1));
        tally.writes(after(2));
        tally.reads(after(3));
        tally.received(2);
        tally.writes(after(3));
        tally.reads(after(4));
        tally.reads(after(5));
        assert_eq!(tally.last_opened(), Some(after(1)));
        assert_eq!(tally.last_messages(), (Some(after(1)), Some(after(4))));
        assert_eq!(tally.messages(), (1, 2));
        tally.opened(after(6));
        assert_eq!(tally.last_opened(), Some(after(6)));
    }
}
