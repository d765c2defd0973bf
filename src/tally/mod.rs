//! What is counted, for people and for programs that watch others: calls, events, and what there is of a kind.
//!
//! Owns the numbers that name things ([`next_id`]), the counts of calls ([`Tally`], [`CallStats`]), the events of a channel or a
//! server within a bound of memory ([`Trace`]), and lists of what lives that keep nothing alive ([`Registry`]). Ignores whose they
//! are. No clock: times are arguments. One lock, a leaf: a registry's.
//!
//! § gRFC A14, `grpc/channelz/v1/channelz.proto`.

mod registry;
mod trace;

use std::time::SystemTime;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::process_wide;

pub(crate) use registry::{Registry, page};
pub(crate) use trace::Trace;

pub use registry::Page;
pub use trace::{Severity, TraceEvent, TraceStats};

/// What a trace may hold, in octets, where nobody says otherwise.
///
/// § `grpc.max_channel_trace_event_memory_per_node`: "The default is 4KB"
pub(crate) const TRACE_MEMORY: usize = 4 << 10;

/// How many calls there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallStats {
    /// All that were begun, those that run included.
    pub started: u64,
    /// Those that ended with `OK`.
    pub succeeded: u64,
    /// Those that ended in any other way.
    pub failed: u64,
    /// When the last of them was begun; `None`: none was. As exact as a request's way to the socket: calls ask no clock for it.
    pub last_started: Option<SystemTime>,
}

impl CallStats {
    /// Those that were begun and have not ended.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.started.saturating_sub(self.succeeded).saturating_sub(self.failed)
    }
}

/// Counts calls where they are made. Nothing but relaxed additions: a call's path has it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    started: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// A call begins.
    #[inline]
    pub(crate) fn begin(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// A call that began has ended.
    #[inline]
    pub(crate) fn end(&self, well: bool) {
        let which = if well { &self.succeeded } else { &self.failed };
        which.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts. Those that have ended are read first, so that there are never more of them than have begun.
    pub(crate) fn stats(&self, last_started: Option<SystemTime>) -> CallStats {
        let succeeded = self.succeeded.load(Ordering::Acquire);
        let failed = self.failed.load(Ordering::Acquire);
        let started = self.started.load(Ordering::Relaxed).max(succeeded + failed);
        CallStats { started, succeeded, failed, last_started }
    }
}

/// The number of something new: of all kinds one row, since the process began. 1 is the first.
pub(crate) fn next_id() -> u64 {
    IDS.fetch_add(1, Ordering::Relaxed)
}

process_wide! {
    static IDS: AtomicU64 = AtomicU64::new(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_started_and_end_in_one_of_two_ways() {
        let tally = Tally::default();
        (0..5).for_each(|_| tally.begin());
        tally.end(true);
        tally.end(true);
        tally.end(false);
        let stats = tally.stats(None);
        assert_eq!((stats.started, stats.succeeded, stats.failed, stats.running()), (5, 2, 1, 2));
    }

    #[test]
    fn no_number_is_given_twice_and_none_is_nought() {
        let (first, second) = (next_id(), next_id());
        assert!(first > 0 && second > first);
    }
}
