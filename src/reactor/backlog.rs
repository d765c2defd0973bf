//! The jobs of a pool that wait for a worker, and whether they have waited while all workers were busy for long.
//!
//! Pure, guarded by the pool's lock. The clock is looked at by nobody here: who is told to watches for a second.

use std::collections::VecDeque;

use super::Job;
use super::duty::Queued;

/// Short jobs that take no longer than this together are not worth waking a thread for, in nanoseconds.
const TRIFLE: u64 = 15_000;

/// The queue.
#[derive(Default)]
pub(super) struct Backlog {
    jobs: VecDeque<Job>,
    /// How long the queued jobs are expected to take, in nanoseconds.
    expected: u64,
    /// Jobs ever queued, and ever taken from the queue.
    pushed: u64,
    taken: u64,
    /// `pushed` when the net was last set: those jobs should be gone when it looks.
    netted: u64,
    pub(super) strain: Strain,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn queued(&self) -> Queued {
        match self.jobs.front() {
            None => Queued::Nothing,
            Some(job) if job.is_short() => Queued::Short,
            Some(_) => Queued::Long,
        }
    }

    /// What a worker leaves behind that is about to run `own`.
    pub(super) fn left(&self, own: &Job) -> Queued {
        match self.queued() {
            Queued::Short if own.is_short() && self.expected < TRIFLE => Queued::Trifle,
            queued => queued,
        }
    }

    pub(super) fn take(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front();
        self.expected -= job.as_ref().map_or(0, |job| u64::from(job.expected()));
        self.taken += u64::from(job.is_some());
        job
    }

    pub(super) fn push(&mut self, job: Job) {
        self.expected += u64::from(job.expected());
        self.jobs.push_back(job);
        self.pushed += 1;
    }

    /// All of them, to be dropped after the lock.
    pub(super) fn clear(&mut self) -> VecDeque<Job> {
        self.expected = 0;
        std::mem::take(&mut self.jobs)
    }

    /// The net is set.
    pub(super) fn cast(&mut self) {
        self.netted = self.pushed;
    }

    /// The net looks: whether some wait that did when it was set.
    pub(super) fn is_stuck(&self) -> bool {
        self.taken < self.netted && !self.jobs.is_empty()
    }
}

/// Whether a pool is full: all workers run jobs, and others wait.
#[derive(Debug, Default)]
pub(super) struct Strain {
    full: bool,
    /// Grows whenever the pool stops being full.
    breaths: u64,
    /// `breaths` when the watch was set, while it is.
    watched: Option<u64>,
    seconds: u64,
}

/// What comes of a watch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    /// The pool has been full all the time.
    pub(super) full: bool,
    /// Watch on.
    pub(super) again: bool,
}

impl Strain {
    /// The pool is full or not, now. True: somebody has to [`look`](Self::look) in a second.
    #[inline]
    pub(super) fn note(&mut self, full: bool) -> bool {
        self.breaths += u64::from(self.full && !full);
        self.full = full;
        if !full || self.watched.is_some() {
            return false;
        }
        self.watched = Some(self.breaths);
        true
    }

    /// A second is over.
    pub(super) fn look(&mut self) -> Watched {
        let full = self.full && self.watched == Some(self.breaths);
        self.seconds += u64::from(full);
        self.watched = self.full.then_some(self.breaths);
        Watched { full, again: self.full }
    }

    /// Seconds in which the pool was full all the time.
    pub(super) fn seconds(&self) -> u64 {
        self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_is_full_for_a_whole_second_is_noticed_once_a_second() {
        let mut strain = Strain::default();
        assert!(!strain.note(false), "an idle pool is not watched");
        assert!(strain.note(true) && !strain.note(true));
        for second in 1..4 {
            assert_eq!(strain.look(), Watched { full: true, again: true });
            assert_eq!(strain.seconds(), second);
        }
        assert!(!strain.note(false));
        assert_eq!(strain.look(), Watched { full: false, again: false });
        assert_eq!(strain.seconds(), 3);
        assert!(strain.note(true), "and watched again when it is full again");
    }

    #[test]
    fn a_pool_that_takes_breath_is_busy_and_no_more() {
        let mut strain = Strain::default();
        assert!(strain.note(true));
        for _ in 0..10 {
            for _ in 0..100 {
                assert!(!strain.note(false) && !strain.note(true), "one watch at a time");
            }
            assert_eq!(strain.look(), Watched { full: false, again: true });
        }
        assert_eq!(strain.look(), Watched { full: true, again: true });
    }
}
