//! Who writes to the socket: the baton, as a pure transition function.
//!
//! Frames are appended under the link's lock; whoever finds the baton free takes
//! it and sends until nothing is left, the others return at once. So writes
//! combine without a writer thread. When the socket is full the baton is
//! *stuck*: the unsent tail stays with the link, nobody may send, and one party
//! (the leading caller, else the poller) waits for the socket to be writable and
//! resumes. Guarded by the link's lock.

/// The baton of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Baton {
    /// Nobody writes. Nothing is left to send, except under a cork.
    Free,
    /// A thread is in the system call, outside the lock.
    Held,
    /// As `Held`, and the socket was reported writable meanwhile. An edge is reported once: a
    /// holder that then meets a full socket has to try again before it may leave.
    Nudged,
    /// The socket is full; a tail is waiting.
    Stuck,
}

impl Baton {
    /// Takes the baton to send what is pending. False: another holds it and will
    /// look again before it lets go, or the socket is full.
    pub(super) fn take(&mut self) -> bool {
        let free = *self == Self::Free;
        if free {
            *self = Self::Held;
        }
        free
    }

    /// The socket became writable: whoever learns it resumes. False: nobody was stuck, or the
    /// holder has been told.
    pub(super) fn resume(&mut self) -> bool {
        match self {
            Self::Stuck => *self = Self::Held,
            Self::Held => {
                *self = Self::Nudged;
                return false;
            }
            Self::Free | Self::Nudged => return false,
        }
        true
    }

    /// The holder has looked, under the lock, and nothing is left.
    pub(super) fn release(&mut self) {
        debug_assert!(matches!(self, Self::Held | Self::Nudged));
        *self = Self::Free;
    }

    /// The holder met a full socket: true: it leaves its tail behind; false: it tries again.
    pub(super) fn stick(&mut self) -> bool {
        debug_assert!(matches!(self, Self::Held | Self::Nudged));
        let nudged = *self == Self::Nudged;
        *self = if nudged { Self::Held } else { Self::Stuck };
        !nudged
    }
}

#[cfg(test)]
mod tests;
