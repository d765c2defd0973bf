//! What a channel notes of itself, beside what its connections count: [`Notes`]; and its numbers, [`Ids`].

use std::time::Instant;

use crate::link::{Link, Totals};
use crate::reactor::clock;
use crate::tally::{Severity, Trace, next_id};

use super::connectivity::Connectivity;

/// See the file. Guarded by the channel's lock.
pub(super) struct Notes {
    pub(super) trace: Trace,
    pub(super) subchannel: Trace,
    /// The calls of connections that are over.
    pub(super) past: Totals,
    /// When a call last came that had no connection at once.
    pub(super) queued: Option<Instant>,
}

impl Notes {
    pub(super) fn new(memory: usize, now: Instant) -> Self {
        let (trace, subchannel) = (Trace::new(memory, now), Trace::new(memory, now));
        Self { trace, subchannel, past: Totals::default(), queued: None }
    }

    /// The channel has another state.
    pub(super) fn turned(&mut self, state: Connectivity, cause: &str) {
        let failed = state == Connectivity::TransientFailure;
        let severity = if failed { Severity::Warning } else { Severity::Info };
        self.trace.add(clock::now(), severity, || match state {
            Connectivity::TransientFailure | Connectivity::Idle if !cause.is_empty() => {
                format!("{state}: {cause}")
            }
            _ => state.to_string(),
        });
    }

    /// There is a connection.
    pub(super) fn connected(&mut self, link: &Link) {
        let text = || format!("socket {} is connected to {}", link.id(), link.peer());
        self.subchannel.add(clock::now(), Severity::Info, text);
    }

    /// It takes no new calls.
    pub(super) fn draining(&mut self, link: &Link, cause: &str) {
        let text = || format!("socket {} takes no new calls: {cause}", link.id());
        self.subchannel.add(clock::now(), Severity::Info, text);
    }

    /// It is over. `calls`: all it has had.
    pub(super) fn over(&mut self, link: &Link, calls: Totals, cause: &str) {
        self.past.add(calls);
        let text = || format!("socket {} is over: {cause}", link.id());
        self.subchannel.add(clock::now(), Severity::Info, text);
    }

    /// A call has come that has no connection yet.
    pub(super) fn queued(&mut self, now: Instant) {
        self.queued = self.queued.max(Some(now));
    }
}

/// The numbers of a channel.
pub(super) struct Ids {
    pub(super) channel: u64,
    pub(super) subchannel: u64,
}

impl Ids {
    pub(super) fn new() -> Self {
        Self { channel: next_id(), subchannel: next_id() }
    }
}
