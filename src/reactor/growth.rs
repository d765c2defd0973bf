//! How many workers a pool has: it grows while jobs wait for nothing else, and shrinks again when there is nothing to do.
//!
//! A pool has `least` workers for good. It gets one more when all that it has are busy and a job has waited for
//! [`PATIENCE`]: up to `most`, and beyond that, up to `spares` more, only while all workers wait for others themselves, as
//! handlers do that call their own server: they might wait for each other for ever. One that has had nothing to do
//! for the pool's idle time goes, down to `least`.
//!
//! Pure, guarded by the pool's lock. Who is told to sets a one-shot timer and asks again when it fires.

use std::fmt;
use std::time::Duration;

/// For how long a job waits before there is one worker more.
pub(super) const PATIENCE: Duration = Duration::from_millis(5);

/// What a pool was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    /// Workers that there always are.
    pub(super) workers: usize,
    /// And while there is more to do.
    pub(super) most: usize,
    /// Beyond these, while all wait themselves.
    pub(super) spares: usize,
    /// Calls that may wait.
    pub(super) queue: usize,
    /// How long one stays that is not needed.
    pub(super) idle: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Growth {
    least: usize,
    most: usize,
    spares: usize,
    /// Workers that are alive, or being born.
    live: usize,
    /// Places of workers that are not.
    free: Vec<usize>,
    /// Jobs ever queued when the timer was set, while it is.
    watched: Option<u64>,
}

/// What is known of a pool at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// Workers that run jobs.
    pub(super) busy: usize,
    /// Those of them that wait now.
    pub(super) asleep: usize,
    /// Jobs ever queued, and ever taken.
    pub(super) pushed: u64,
    pub(super) taken: u64,
}

/// What comes of a timer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grown {
    /// The place of the worker to start.
    pub(super) born: Option<usize>,
    /// Set the timer again.
    pub(super) again: bool,
}

impl Growth {
    pub(super) fn new(least: usize, most: usize, spares: usize) -> Self {
        let most = most.max(least);
        let free = (least..most.saturating_add(spares)).rev().collect();
        Self { least, most, spares, live: least, free, watched: None }
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// What is to be told of a pool that is full, of whose workers so many wait themselves, and that has so many jobs that wait, of which so
    /// many are held.
    pub(super) fn full(&self, blocked: usize, queued: usize, held: usize) -> Full {
        let spent = blocked >= self.live && self.live >= self.places();
        let spares = if spent { Some(self.spares) } else { None };
        Full { workers: self.live, blocked, queued, held, spares }
    }

    /// The most there may ever be.
    pub(super) fn places(&self) -> usize {
        self.most.saturating_add(self.spares)
    }

    /// Something has changed. True: a timer is to be set, for [`PATIENCE`].
    #[inline]
    pub(super) fn note(&mut self, sight: Sight) -> bool {
        if self.watched.is_some() || !self.wants(sight) {
            return false;
        }
        self.watched = Some(sight.pushed);
        true
    }

    /// The timer has fired.
    pub(super) fn look(&mut self, sight: Sight) -> Grown {
        let since = self.watched.take();
        let mut born = None;
        // Some still wait that did when it was set.
        if since.is_some_and(|since| sight.taken < since) && self.wants(sight) {
            born = self.free.pop();
            self.live += usize::from(born.is_some());
        }
        // A new one takes a job: whether that is enough is seen then.
        let again = born.is_none() && self.note(sight);
        Grown { born, again }
    }

    /// Whether a worker that sleeps may go, or goes since it could not be had.
    pub(super) fn leave(&mut self, place: usize) -> bool {
        let may = self.live > self.least;
        if may {
            self.live -= 1;
            self.free.push(place);
        }
        may
    }

    fn wants(&self, sight: Sight) -> bool {
        let Sight { busy, asleep, pushed, taken } = sight;
        let full = pushed > taken && busy >= self.live;
        let most = if asleep >= busy { self.places() } else { self.most };
        full && self.live < most
    }
}

/// A pool that has been full for a second, in words for the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    workers: usize,
    blocked: usize,
    queued: usize,
    held: usize,
    /// How many spares there may be, where all are there and all workers wait themselves.
    spares: Option<usize>,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workers, blocked, queued, held, spares } = *self;
        match (workers, blocked) {
            (1, 0) => f.write_str("the one worker of a pool has been busy for a second,")?,
            (1, _) => f.write_str(
                "the one worker of a pool has been busy for a second, waiting for its client or for others,",
            )?,
            _ => write!(
                f,
                "all {workers} workers of a pool have been busy for a second, {blocked} of them waiting for \
                 their clients or for others,"
            )?,
        }
        write!(f, " with calls waiting for a worker all the time ({queued} now)")?;
        if held > 0 {
            write!(
                f,
                "; {held} of these wait for calls of their own connection, which holds more threads than are left"
            )?;
        }
        match spares {
            Some(spares) => write!(
                f,
                "; no spare is left (of {spares}): handlers that call their own server wait for each other; raise \
                 `spares`, or give what they call a pool of its own"
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(busy: usize, asleep: usize, pushed: u64, taken: u64) -> Sight {
        Sight { busy, asleep, pushed, taken }
    }

    #[test]
    fn one_more_comes_when_a_job_has_waited_and_not_before() {
        let mut growth = Growth::new(1, 3, 0);
        assert!(!growth.note(sight(0, 0, 1, 0)), "a worker is free");
        assert!(!growth.note(sight(1, 0, 1, 1)), "nothing waits");
        assert!(growth.note(sight(1, 0, 2, 1)));
        assert!(!growth.note(sight(1, 0, 3, 1)), "one timer at a time");
        // The one that waited has been taken; the next has not waited as long.
        assert_eq!(growth.look(sight(1, 0, 3, 2)), Grown { born: None, again: true });
        assert_eq!(growth.look(sight(1, 0, 3, 2)), Grown { born: Some(1), again: false });
        assert_eq!(growth.live(), 2);
        assert!(!growth.note(sight(1, 0, 3, 2)), "it has still to take its job");
        assert!(growth.note(sight(2, 0, 4, 3)));
        assert_eq!(growth.look(sight(2, 0, 4, 3)).born, Some(2));
        assert!(!growth.note(sight(3, 0, 9, 4)), "as many as there may be");
    }

    #[test]
    fn a_full_pool_is_told_with_its_number_and_with_the_spares_that_are_spent() {
        let mut growth = Growth::new(1, 1, 1);
        let one = growth.full(0, 3, 0).to_string();
        assert!(
            one.starts_with("the one worker of a pool has been busy for a second, with"),
            "{one}"
        );
        assert!(one.ends_with("(3 now)"), "{one}");
        let waits = growth.full(1, 1, 0).to_string();
        assert!(waits.contains("waiting for its client") && !waits.contains("spare"), "{waits}");
        assert!(growth.note(sight(1, 1, 2, 1)));
        assert_eq!(growth.look(sight(1, 1, 2, 1)).born, Some(1));
        let some = growth.full(1, 1, 0).to_string();
        assert!(some.starts_with("all 2 workers of a pool have been busy"), "{some}");
        assert!(some.contains("1 of them waiting") && !some.contains("spare"), "{some}");
        let held = growth.full(1, 3, 2).to_string();
        assert!(
            held.contains("(3 now); 2 of these wait for calls of their own connection"),
            "{held}"
        );
        let all = growth.full(2, 1, 0).to_string();
        assert!(all.contains("no spare is left (of 1)") && all.contains("raise `spares`"), "{all}");
    }

    #[test]
    fn beyond_the_most_there_are_spares_only_while_all_wait_themselves() {
        let mut growth = Growth::new(2, 2, 2);
        assert!(!growth.note(sight(2, 1, 3, 2)), "one computes, and will come for it");
        assert!(growth.note(sight(2, 2, 3, 2)));
        assert_eq!(growth.look(sight(2, 1, 3, 2)), Grown { born: None, again: false });
        assert!(growth.note(sight(2, 2, 3, 2)));
        assert_eq!(growth.look(sight(2, 2, 3, 2)).born, Some(2));
        assert!(growth.note(sight(3, 3, 4, 3)));
        assert_eq!(growth.look(sight(3, 3, 4, 3)).born, Some(3));
        assert!(!growth.note(sight(4, 4, 5, 4)));
        assert_eq!(growth.places(), 4);
    }

    #[test]
    fn those_who_have_nothing_to_do_go_and_their_places_are_used_again() {
        let mut growth = Growth::new(1, 2, 0);
        assert!(!growth.leave(0), "the first stays");
        assert!(growth.note(sight(1, 0, 2, 1)));
        assert_eq!(growth.look(sight(1, 0, 2, 1)).born, Some(1));
        assert!(growth.leave(0) && !growth.leave(1));
        assert!(growth.note(sight(1, 0, 3, 2)));
        assert_eq!(growth.look(sight(1, 0, 3, 2)).born, Some(0));
    }
}
