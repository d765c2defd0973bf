//! [`Turn`]: whose call it is whose answer comes from elsewhere, its handler's or its sender's.
//!
//! The handler's return and the sender's end may come at once, on two threads. Whoever comes second carries out how the sender
//! was let go of: so it is done once, and never left undone. Pure: its owner locks it.

use crate::status::Status;

/// How a sender was let go of.
#[derive(Clone, Debug)]
pub(super) enum Leave {
    /// With this outcome.
    Finished(Result<(), Status>),
    /// Its owner has just been told that the client has not taken what was sent: on purpose, so.
    Late,
    /// Without a word, and behind responses that it had sent: a mistake.
    Half,
    /// Without a word, and nothing was sent: a mistake, unless its handler answers otherwise.
    Dropped,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) enum Turn {
    /// The handler has not returned.
    #[default]
    Handler,
    /// Nor has it, and the sender was let go of.
    Left(Leave),
    /// The handler has returned. What the sender does, it does now.
    Sender,
}

impl Turn {
    /// The sender was let go of: what to carry out now. `None`: when the handler has returned.
    pub(super) fn leave(&mut self, leave: Leave) -> Option<Leave> {
        match self {
            Self::Sender => Some(leave),
            Self::Handler | Self::Left(_) => {
                *self = Self::Left(leave);
                None
            }
        }
    }

    /// The handler has returned, and what it returned has come to its end: how the sender was let go of before that.
    pub(super) fn returned(&mut self) -> Option<Leave> {
        match std::mem::replace(self, Self::Sender) {
            Self::Left(leave) => Some(leave),
            Self::Handler | Self::Sender => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_second_carries_it_out_and_nobody_else() {
        let leaves = [Leave::Finished(Ok(())), Leave::Late, Leave::Half, Leave::Dropped];
        for leave in leaves {
            let mut turn = Turn::default();
            assert!(turn.leave(leave.clone()).is_none(), "the handler has not returned");
            assert!(turn.returned().is_some());
            assert!(turn.returned().is_none());

            let mut turn = Turn::default();
            assert!(turn.returned().is_none(), "the sender is there");
            assert!(turn.leave(leave).is_some());
            assert!(turn.returned().is_none());
        }
    }
}
