//! The words that pass between a poller and those who use it: what is asked of it, and whom it tells.

use std::time::Instant;

use super::Job;

/// Told that a descriptor is ready. Runs on a polling thread, with no lock held: never blocks.
///
/// With [`Mode::Edge`] two threads may be told at once of two edges of one descriptor.
pub(crate) trait Ready: Send + Sync {
    /// Work for handlers goes to `jobs`.
    fn ready(&self, readiness: Readiness, jobs: &mut Vec<Job>);
}

/// Told that a timer is due. Runs on a polling thread, with no lock held: never blocks.
pub(crate) trait OnTimer: Send + Sync {
    /// `tag` is what the timer was set with.
    fn fire(&self, tag: u64, now: Instant, jobs: &mut Vec<Job>);
}

/// What a descriptor is ready for. Errors and hang-ups are ready for everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) hangup: bool,
}

/// What is asked of a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// How a descriptor is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Once; each edge of input is reported once.
    Edge,
    /// As `Edge`, for both directions.
    Edges,
    /// Nothing but a hang-up is reported until it is armed, and then one event.
    OneShot,
    /// As `OneShot`, and armed.
    Armed(Interest),
}

/// A registration: slab index and generation, so that an event that was already on its way
/// cannot reach whoever got the index next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Token {
    /// Of a poller that is closed.
    pub(super) const NONE: Self = Self { index: u32::MAX, generation: 0 };

    /// Whether nobody will hear of anything by it.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub(super) fn data(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn from_data(data: u64) -> Self {
        Self { index: data as u32, generation: (data >> 32) as u32 }
    }
}
