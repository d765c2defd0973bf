//! What has happened to something, within a bound of memory: [`Trace`]. Pure.

use std::collections::VecDeque;
use std::fmt;
use std::mem::size_of;
use std::time::{Instant, SystemTime};

/// The last events of a channel, a subchannel or a server. The oldest go when there is no room.
#[derive(Debug)]
pub(crate) struct Trace {
    events: VecDeque<Event>,
    /// Octets that the events hold.
    held: usize,
    /// And may hold; nought: there is no trace.
    limit: usize,
    logged: u64,
    began: Instant,
}

#[derive(Debug)]
struct Event {
    at: Instant,
    severity: Severity,
    text: Box<str>,
}

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// As it should be.
    Info,
    /// It may be a fault.
    Warning,
    /// It is one.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What has happened to a channel, a subchannel or a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceStats {
    /// When it was made.
    pub created: SystemTime,
    /// How many events there were, those that were let go included.
    pub logged: u64,
    /// The last ones, the oldest first.
    pub events: Vec<TraceEvent>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceEvent {
    /// When it was.
    pub at: SystemTime,
    /// How grave it is.
    pub severity: Severity,
    /// What happened, in words. Peers' names and words may be in it.
    pub text: String,
}

impl Trace {
    /// Of something that is made now, with the first of its events.
    pub(crate) fn new(limit: usize, now: Instant) -> Self {
        let mut trace = Self { events: VecDeque::new(), held: 0, limit, logged: 0, began: now };
        trace.add(now, Severity::Info, || "created".into());
        trace
    }

    /// Something has happened. What is longer than all the room is cut.
    pub(crate) fn add(&mut self, at: Instant, severity: Severity, text: impl FnOnce() -> String) {
        self.logged += 1;
        let Some(room) = self.limit.checked_sub(size_of::<Event>()) else { return };
        let mut text = text();
        if text.len() > room {
            let cut = (0..=room).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(cut.unwrap_or_default());
        }
        let event = Event { at, severity, text: text.into() };
        self.held += event.size();
        while self.held > self.limit {
            let Some(oldest) = self.events.pop_front() else { break };
            self.held -= oldest.size();
        }
        self.events.push_back(event);
    }

    /// All of it, by the clock on the wall.
    pub(crate) fn stats(&self, wall: impl Fn(Instant) -> SystemTime) -> TraceStats {
        let event = |event: &Event| TraceEvent {
            at: wall(event.at),
            severity: event.severity,
            text: event.text.to_string(),
        };
        TraceStats {
            created: wall(self.began),
            logged: self.logged,
            events: self.events.iter().map(event).collect(),
        }
    }
}

impl Event {
    fn size(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn texts(trace: &Trace) -> Vec<String> {
        let stats = trace.stats(|_| SystemTime::UNIX_EPOCH);
        stats.events.into_iter().map(|event| event.text).collect()
    }

    #[test]
    fn a_trace_holds_no_more_than_it_may_and_counts_what_it_lets_go() {
        let (now, limit) = (Instant::now(), 10 * (size_of::<Event>() + 10));
        let mut trace = Trace::new(limit, now);
        for number in 0..1_000 {
            trace.add(now, Severity::Info, || format!("event {number:04}"));
            assert!(trace.held <= limit, "{}", trace.held);
            assert_eq!(trace.held, trace.events.iter().map(Event::size).sum::<usize>());
        }
        let texts = texts(&trace);
        assert_eq!((texts.len(), &*texts[0], &*texts[9]), (10, "event 0990", "event 0999"));
        assert_eq!(trace.stats(|_| SystemTime::UNIX_EPOCH).logged, 1_001);
        assert!(trace.events.capacity() <= 64, "{}", trace.events.capacity());
    }

    #[test]
    fn a_long_event_is_cut_between_two_letters() {
        let now = Instant::now();
        let limit = size_of::<Event>() + 10;
        let mut trace = Trace::new(limit, now);
        trace.add(now, Severity::Error, || "süß".repeat(1_000));
        assert_eq!(texts(&trace), ["süßsüß"]);
        assert_eq!(trace.held, limit);
    }

    #[test]
    fn a_trace_without_memory_only_counts() {
        let now = Instant::now();
        for limit in [0, 1, size_of::<Event>() - 1] {
            let mut trace = Trace::new(limit, now);
            trace.add(now, Severity::Info, || panic!("nobody will read it"));
            assert_eq!((texts(&trace).len(), trace.logged), (0, 2));
        }
    }

    #[test]
    fn times_are_told_by_the_wall() {
        let now = Instant::now();
        let mut trace = Trace::new(4_096, now);
        trace.add(now + Duration::from_secs(5), Severity::Warning, || "later".into());
        let stats = trace.stats(|at| SystemTime::UNIX_EPOCH + (at - now));
        assert_eq!(stats.created, SystemTime::UNIX_EPOCH);
        let last = stats.events.last().unwrap();
        assert_eq!(last.at, SystemTime::UNIX_EPOCH + Duration::from_secs(5));
        assert_eq!((&*last.text, last.severity), ("later", Severity::Warning));
    }
}
