//! How long a server's connection lives: it ends well when it has had no stream for long, or is old, and is cut when what it had then
//! takes too long.
//!
//! Owns timers as numbers, out of `now`. Deliberately ignores frames and streams: the connection says when the first
//! stream begins and the last one ends. gRPC proposal A9. No locks, no threads, no clock.

use std::time::{Duration, Instant};

/// The limits of one connection; `None`: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgeOptions {
    /// Without a stream.
    pub(crate) idle: Option<Duration>,
    /// Since its birth.
    pub(crate) age: Option<Duration>,
    /// After that, for the streams that it has.
    pub(crate) grace: Option<Duration>,
}

/// The timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age {
    options: AgeOptions,
    born: Instant,
    /// Since when there is no stream.
    idle: Option<Instant>,
    /// When streams that are left are cut.
    cut: Option<Instant>,
}

/// What a tick of the timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// The end, gracefully.
    Drain,
    /// The end, now.
    Cut,
}

impl Age {
    /// `None`: it has no limit.
    pub(crate) fn new(options: AgeOptions, now: Instant) -> Option<Box<Self>> {
        let limited = options.idle.is_some() || options.age.is_some();
        limited.then(|| Box::new(Self { options, born: now, idle: Some(now), cut: None }))
    }

    /// There is a stream.
    pub(crate) fn begin(&mut self) {
        self.idle = None;
    }

    /// There is none any more.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.idle = Some(now);
    }

    /// `running`: it does not end yet.
    pub(crate) fn deadline(&self, running: bool) -> Option<Instant> {
        if !running {
            return self.cut;
        }
        [self.old_at(), self.idle_at()].into_iter().flatten().min()
    }

    pub(crate) fn tick(&mut self, now: Instant, running: bool) -> Due {
        let past = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if !running {
            return if past(self.cut) { Due::Cut } else { Due::Nothing };
        }
        if past(self.old_at()) {
            self.cut = self.options.grace.and_then(|grace| now.checked_add(grace));
            return Due::Drain;
        }
        if past(self.idle_at()) { Due::Drain } else { Due::Nothing }
    }

    fn old_at(&self) -> Option<Instant> {
        self.born.checked_add(self.options.age?)
    }

    fn idle_at(&self) -> Option<Instant> {
        self.idle?.checked_add(self.options.idle?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::conn::tests::start;

    const SECOND: Duration = Duration::from_secs(1);

    fn age(idle: Option<u64>, age: Option<u64>, grace: Option<u64>) -> Option<Box<Age>> {
        let seconds = |time: Option<u64>| time.map(Duration::from_secs);
        let options = AgeOptions { idle: seconds(idle), age: seconds(age), grace: seconds(grace) };
        Age::new(options, start())
    }

    #[test]
    fn a9_what_has_no_limit_has_no_timer() {
        assert!(age(None, None, Some(1)).is_none());
        let never = AgeOptions { idle: Some(Duration::MAX), ..AgeOptions::default() };
        assert_eq!(Age::new(never, start()).unwrap().deadline(true), None, "beyond the clock");
    }

    #[test]
    fn a9_an_idle_connection_ends_and_one_with_a_stream_does_not() {
        let now = start();
        let mut age = age(Some(10), None, None).unwrap();
        assert_eq!(age.deadline(true), Some(now + SECOND * 10), "since its birth");
        age.begin();
        assert_eq!((age.deadline(true), age.tick(now + SECOND * 99, true)), (None, Due::Nothing));
        age.rest(now + SECOND * 100);
        assert_eq!(age.tick(now + SECOND * 109, true), Due::Nothing);
        assert_eq!(age.tick(now + SECOND * 110, true), Due::Drain);
        assert_eq!(
            (age.deadline(false), age.tick(now + SECOND * 999, false)),
            (None, Due::Nothing)
        );
    }

    #[test]
    fn a9_an_old_one_ends_whatever_it_has_and_is_cut_after_its_grace() {
        let now = start();
        let mut age = age(None, Some(10), Some(5)).unwrap();
        age.begin();
        assert_eq!(age.tick(now + SECOND * 9, true), Due::Nothing);
        assert_eq!(age.tick(now + SECOND * 10, true), Due::Drain);
        assert_eq!(age.deadline(false), Some(now + SECOND * 15));
        assert_eq!(age.tick(now + SECOND * 14, false), Due::Nothing);
        assert_eq!(age.tick(now + SECOND * 15, false), Due::Cut);
    }
}
