//! What waits to be sent on a connection, whoever queued it: one account.
//!
//! Octets wait as fixed frames (`control`), as DATA queued on streams, and in the hands of the writer, of whom the
//! socket has not taken them yet. Three questions are asked of the account:
//!
//! - Does reading rest? What the peer's input makes us say (acknowledgements, resets, refusals, credit: whatever was appended
//!   while its input was handled) has a bound. Above it we read no more until some of it has gone (A9). What we say of our
//!   own accord does not count: two peers who both rest because of their own requests would wait for each other.
//! - May a client open a stream? Not while so much waits that the peer plainly takes nothing.
//! - Is the peer alive? A full socket that takes no octet for [`write_timeout`](super::Options::write_timeout) ends
//!   the connection, whatever else it sends.
//!
//! Pure: `now` is an argument.

use std::time::{Duration, Instant};

/// A client opens no stream while more octets than this are framed and not taken.
const OPENS: usize = 256 * 1024;

/// See the module. The octets of `control` are counted where they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    /// Taken from the connection, and not by the socket.
    in_hand: usize,
    /// DATA queued on streams.
    queued: usize,
    /// Of the fixed frames: what input made us say.
    provoked: usize,
    /// The same of what is in hand.
    provoked_in_hand: usize,
    /// Since when the socket, being full, has taken nothing.
    full_since: Option<Instant>,
}

impl Account {
    /// Input has made us append `n` octets.
    pub(super) fn provoked(&mut self, n: usize) {
        self.provoked += n;
    }

    /// DATA was queued on a stream.
    pub(super) fn queue(&mut self, n: usize) {
        self.queued += n;
    }

    /// Queued DATA was framed, or dropped.
    pub(super) fn unqueue(&mut self, n: usize) {
        debug_assert!(n <= self.queued, "{n} of {}", self.queued);
        self.queued = self.queued.saturating_sub(n);
    }

    /// The writer has taken `n` octets, all fixed frames among them.
    pub(super) fn take(&mut self, n: usize) {
        self.in_hand += n;
        self.provoked_in_hand += std::mem::take(&mut self.provoked);
    }

    /// The socket has taken `n` octets of what is in hand; `full`: and would take no more.
    pub(super) fn sent(&mut self, n: usize, full: Option<Instant>) {
        self.in_hand = self.in_hand.saturating_sub(n);
        if self.in_hand == 0 {
            self.provoked_in_hand = 0;
        }
        self.full_since = match full {
            Some(_) if n == 0 && self.full_since.is_some() => self.full_since,
            full => full.filter(|_| self.in_hand > 0),
        };
    }

    /// Nothing more will be sent: nothing waits.
    pub(super) fn close(&mut self) {
        *self = Self { queued: self.queued, ..Self::default() };
    }

    /// What input made us say, and is not out.
    pub(super) fn all_provoked(&self) -> usize {
        self.provoked + self.provoked_in_hand
    }

    /// Everything that waits, with `control` octets of fixed frames.
    pub(super) fn total(&self, control: usize) -> usize {
        control + self.in_hand + self.queued
    }

    /// Whether a client may put one more request behind what is framed.
    pub(super) fn opens(&self, control: usize) -> bool {
        control + self.in_hand <= OPENS
    }

    /// When the peer has taken nothing for too long.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.full_since?.checked_add(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::conn::tests::start;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_full_socket_has_so_long_from_the_last_octet_it_took() {
        let t = start();
        let at = |s| t + Duration::from_secs(s);
        let mut account = Account::default();
        account.take(100);
        assert_eq!(account.deadline(LIMIT), None, "the socket has not been tried");
        account.sent(10, Some(at(0)));
        account.sent(0, Some(at(5)));
        assert_eq!(account.deadline(LIMIT), Some(at(20)), "tried in vain");
        account.sent(1, Some(at(19)));
        assert_eq!(account.deadline(LIMIT), Some(at(39)));
        account.sent(89, None);
        assert_eq!(account.deadline(LIMIT), None);
        account.take(1);
        account.sent(0, Some(at(50)));
        assert_eq!(account.deadline(Duration::MAX), None, "never");
    }

    #[test]
    fn what_was_provoked_counts_until_all_of_its_batch_is_out() {
        let mut account = Account::default();
        account.provoked(30);
        account.take(50);
        account.provoked(5);
        assert_eq!(account.all_provoked(), 35);
        account.sent(49, Some(start()));
        assert_eq!(account.all_provoked(), 35);
        account.sent(1, None);
        assert_eq!(account.all_provoked(), 5);
    }

    #[test]
    fn everything_that_waits_is_counted_once() {
        let mut account = Account::default();
        account.queue(70);
        assert_eq!(account.total(30), 100);
        account.unqueue(20);
        account.take(50);
        assert_eq!(account.total(0), 100);
        account.sent(50, None);
        account.unqueue(50);
        assert_eq!(account.total(0), 0);
    }
}
