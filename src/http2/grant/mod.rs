//! Grants of window: what the peer may send, and why.
//!
//! One state machine for each stream ([`Intake`]) and one ledger for the connection ([`Ledger`]). They are told facts:
//! octets came in, a long message has begun, it is whole, its reader waits, has taken, has consumed, the peer has
//! ended, the owner has gone, time has passed. What follows, credit for the peer, is what they return.
//!
//! ```text
//!            begun                no room in the budget                 room
//! Windowed ---------> Begun ------------------------------> Wanting ---------> Granted
//!    ^                  |   (nobody waits for it: stays Begun)                    |
//!    |                  +---------------- room -------------------------------->  |
//!    +------------------------- whole --------------------------------------------+
//! any state ---- the peer has ended, or the stream is closed ----> Over
//! ```
//!
//! Every change moves octets between named accounts, and none is made or lost:
//! - of a stream: *open* (may still come), *unread* (came in), *owed* (read or padding, to be announced again). Together they
//!   are the window and what was lent beyond it.
//! - of the connection, what is beyond first windows: *grown*; *awaited*, *handed* and *ahead*, lent to whole messages
//!   (see [`Claim`]); *stalled*, lent to messages that have lost their place.
//!
//! **Who makes no progress is in nobody's way.** While somebody waits for the budget, a message that comes in at less than
//! [`FLOOR`] octets a second, or has been coming in for longer than the limit, loses its place: what it holds moves to
//! *stalled*, beside the budget, and others pass. One that stays below the floor for all of the limit is given up:
//! on a server in any case, on a client when somebody waits.
//!
//! Pure: no lock, thread or clock. `now` is an argument. RFC 9113 §5.2, §6.9.

mod intake;
mod ledger;
#[cfg(test)]
mod tests;

pub(crate) use intake::{Intake, Pace};
#[cfg(test)]
pub(crate) use ledger::ACCOUNTS;
pub(crate) use ledger::{Ledger, Patience};

/// Who takes a stream's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Taker {
    /// A reader that takes message after message, when it likes.
    #[default]
    Reader,
    /// Somebody who waits for the one message there is.
    Caller,
    /// A worker, which gets the one message when the peer has ended its half.
    Worker,
    /// Nobody, any more: what comes is dropped.
    Nobody,
}

/// By what right a whole message may come in at once: what its grant may use of the budget. The strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// Its reader waits for it. Counts until it is complete.
    Awaited,
    /// A single request, which is handed over when complete: a worker takes it, sooner or later.
    Handed,
    /// Nobody, yet. It may lie there for ever.
    Ahead,
}

/// What became of a piece of a body: all that flow control has to know of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Messages became whole, and wait for whoever takes them.
    pub(crate) whole: bool,
    /// Behind those a long message has begun: room for so many octets after this piece.
    pub(crate) begun: Option<usize>,
    /// Nobody will ever read it.
    pub(crate) dropped: bool,
}

impl Heard {
    /// Nobody will ever read it.
    pub(crate) const DROPPED: Self = Self { whole: false, begun: None, dropped: true };
}

/// A message that comes in more slowly, in octets a second, makes no progress.
pub(crate) const FLOOR: u64 = 1024;

/// So much of what a stream brings in vain is read and dropped, so that the peer comes to the end of it and reads its
/// answer. After that it gets no more credit.
pub(crate) const DRAINED: usize = 4 << 20;
