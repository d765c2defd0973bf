//! The jobs of a pool that wait for a worker, and whether they have waited while all workers were busy for long.
//!
//! Connections take turns: of those that have jobs here each gives one, in the order in which they came, before any of
//! them gives its second. So who asks for a hundred things keeps a neighbour who asks for one no longer than one of them
//! takes. Jobs of one connection stay in order. Reserved ones come before all others. (This is start-time fair queueing, each job counted as one.)
//!
//! Jobs of a connection that holds as many threads as it may ([`shares`](super::shares)) are *held*: set aside until one of its own has
//! ended, or another has left. They count as waiting calls, and as nothing that a thread is woken or born for.
//!
//! Pure, guarded by the pool's lock. The clock is looked at by nobody here: who is told to watches for a second.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use super::Job;
use super::duty::Queued;
use super::shares::Shares;

/// Short jobs that take no longer than this together are not worth waking a thread for, in nanoseconds.
const TRIFLE: u64 = 15_000;

/// So many connections have turns of their own; beyond that some share theirs.
const LANES: usize = 1024;

/// The queue.
pub(super) struct Backlog {
    /// The next may run.
    jobs: BinaryHeap<Waiting>,
    /// Those that may not, by lanes.
    held: BTreeMap<u16, BinaryHeap<Waiting>>,
    shares: Shares,
    /// The turn of the job that was taken last.
    turn: u64,
    /// The turn of each lane's next job, unless that is past.
    lanes: Box<[u64; LANES]>,
    /// How long the queued jobs are expected to take, in nanoseconds.
    expected: u64,
    /// Jobs ever queued, and ever taken from the queue.
    pushed: u64,
    taken: u64,
    /// Reserved jobs among those that wait.
    reserved: usize,
    /// `pushed` when the net was last set: those jobs should be gone when it looks.
    netted: u64,
    pub(super) strain: Strain,
}

impl Backlog {
    /// Of a pool of `own` workers, which may have so many threads in all.
    pub(super) fn new(own: usize, places: usize) -> Self {
        Self {
            jobs: BinaryHeap::new(),
            held: BTreeMap::new(),
            shares: Shares::new(own, places),
            turn: 0,
            lanes: Box::new([0; LANES]),
            expected: 0,
            pushed: 0,
            taken: 0,
            reserved: 0,
            netted: 0,
            strain: Strain::default(),
        }
    }

    /// Those that wait, held or not.
    pub(super) fn len(&self) -> usize {
        self.jobs.len() + self.held()
    }

    /// Jobs of connections that hold as many threads as they may.
    pub(super) fn held(&self) -> usize {
        self.held.values().map(BinaryHeap::len).sum()
    }

    /// Jobs ever queued, and ever taken from the queue. One that is held is in neither.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.pushed, self.taken)
    }

    /// Reserved jobs that wait.
    pub(super) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Whether anything waits, held or not.
    pub(super) fn waits(&self) -> bool {
        !self.jobs.is_empty() || !self.held.is_empty()
    }

    /// Whether there is nothing that may run.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn queued(&self) -> Queued {
        match self.jobs.peek() {
            None => Queued::Nothing,
            Some(next) if next.job.is_short() => Queued::Short,
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

    /// The next job, which runs from now on.
    pub(super) fn take(&mut self) -> Option<Job> {
        let Waiting { turn, job, .. } = self.pop()?;
        if !job.is_reserved() {
            self.turn = turn;
        }
        self.begin(&job);
        Some(job)
    }

    /// Whether a job that comes now may run at once: nothing waits that may, and its connection holds no more than it may.
    pub(super) fn passes(&self, job: &Job) -> bool {
        self.is_empty() && self.admits(job)
    }

    /// Such a job runs from now on.
    pub(super) fn start(&mut self, job: &Job) {
        self.begin(job);
    }

    /// A job of this lane has ended.
    pub(super) fn done(&mut self, lane: u16) {
        self.shares.end(lane);
        self.settle();
    }

    pub(super) fn push(&mut self, job: Job) {
        let lane = &mut self.lanes[usize::from(job.lane()) % LANES];
        let turn = self.turn.max(*lane);
        if !job.is_reserved() {
            *lane = turn + 1;
        }
        self.put(Waiting { turn, came: self.pushed, job });
        self.settle();
    }

    fn admits(&self, job: &Job) -> bool {
        job.is_reserved() || self.shares.admits(job.lane())
    }

    fn begin(&mut self, job: &Job) {
        self.shares.begin(job.lane());
        self.settle();
    }

    fn put(&mut self, waiting: Waiting) {
        self.reserved += usize::from(waiting.job.is_reserved());
        self.expected += u64::from(waiting.job.expected());
        self.jobs.push(waiting);
        self.pushed += 1;
    }

    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.jobs.pop()?;
        self.reserved -= usize::from(waiting.job.is_reserved());
        self.expected -= u64::from(waiting.job.expected());
        self.taken += 1;
        Some(waiting)
    }

    /// What is first in the queue may run afterwards, and what is held may not.
    #[inline]
    fn settle(&mut self) {
        if !self.held.is_empty() {
            self.release();
        }
        while self.jobs.peek().is_some_and(|next| !self.admits(&next.job)) {
            let Some(waiting) = self.pop() else { return };
            self.held.entry(waiting.job.lane()).or_default().push(waiting);
        }
    }

    /// One job of each connection that may have one more thread. They keep their turns.
    #[cold]
    fn release(&mut self) {
        let mut released = Vec::new();
        let shares = &self.shares;
        self.held.retain(|lane, held| {
            if shares.admits(*lane) {
                released.extend(held.pop());
            }
            !held.is_empty()
        });
        released.into_iter().for_each(|waiting| self.put(waiting));
    }

    /// All of them, to be dropped after the lock.
    pub(super) fn clear(&mut self) -> impl Sized + use<> {
        self.expected = 0;
        self.reserved = 0;
        (std::mem::take(&mut self.jobs), std::mem::take(&mut self.held))
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

/// A job in the queue. The greatest is the next.
struct Waiting {
    turn: u64,
    came: u64,
    job: Job,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        let ours = self.job.is_reserved().cmp(&other.job.is_reserved());
        ours.then_with(|| (other.turn, other.came).cmp(&(self.turn, self.came)))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

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
    use crate::reactor::Work;

    struct Nothing;

    impl Work for Nothing {
        fn run(self: Box<Self>) {}
        fn reject(self: Box<Self>) {}
    }

    /// The lanes of the jobs, in the order in which they are taken; the number of each among its lane's is in `expected`.
    fn order(backlog: &mut Backlog) -> Vec<(u16, u32)> {
        std::iter::from_fn(|| backlog.take()).map(|job| (job.lane(), job.expected())).collect()
    }

    fn push(backlog: &mut Backlog, lane: u16, number: u32) {
        backlog.push(Job::new(Box::new(Nothing), true).expecting(number).of(lane));
    }

    #[test]
    fn connections_take_turns_and_each_keeps_its_order() {
        let mut backlog = Backlog::new(usize::MAX, usize::MAX);
        (0..4).for_each(|number| push(&mut backlog, 1, number));
        (0..2).for_each(|number| push(&mut backlog, 2, number));
        push(&mut backlog, 3, 0);
        let expected = [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2), (1, 3)];
        assert_eq!(order(&mut backlog), expected);
        assert_eq!((backlog.len(), backlog.expected), (0, 0));
    }

    #[test]
    fn reserved_jobs_come_first_and_cost_their_connection_no_turn() {
        let mut backlog = Backlog::new(usize::MAX, usize::MAX);
        (0..3).for_each(|number| push(&mut backlog, 1, number));
        push(&mut backlog, 2, 0);
        backlog.push(Job::new(Box::new(Nothing), true).expecting(9).of(2).reserved(true));
        assert_eq!((backlog.len(), backlog.reserved()), (5, 1));
        let expected = [(2, 9), (1, 0), (2, 0), (1, 1), (1, 2)];
        assert_eq!(order(&mut backlog), expected);
        assert_eq!((backlog.reserved(), backlog.expected, backlog.counts()), (0, 0, (5, 5)));
    }

    #[test]
    fn who_comes_late_waits_for_one_turn_and_not_for_the_rest() {
        let mut backlog = Backlog::new(usize::MAX, usize::MAX);
        (0..100).for_each(|number| push(&mut backlog, 1, number));
        for _ in 0..50 {
            backlog.take();
        }
        push(&mut backlog, 2, 0);
        let first: Vec<_> = (0..2).filter_map(|_| backlog.take()).map(|job| job.lane()).collect();
        assert!(first.contains(&2), "{first:?}");
        // Who had much is not made to pay for it later.
        order(&mut backlog);
        push(&mut backlog, 1, 0);
        push(&mut backlog, 4, 0);
        push(&mut backlog, 1, 1);
        assert_eq!(order(&mut backlog)[..2].iter().map(|job| job.1).max(), Some(0));
    }

    #[test]
    fn a_connection_that_holds_more_than_is_left_waits_and_others_do_not() {
        let mut backlog = Backlog::new(2, 10);
        (0..9).for_each(|number| push(&mut backlog, 1, number));
        let taken = |backlog: &mut Backlog| backlog.take().map(|job| (job.lane(), job.expected()));
        for number in 0..6 {
            assert_eq!(taken(&mut backlog), Some((1, number)));
        }
        assert_eq!(taken(&mut backlog), None);
        assert!(backlog.is_empty() && backlog.waits());
        assert_eq!((backlog.len(), backlog.held(), backlog.queued()), (3, 3, Queued::Nothing));
        let (pushed, gone) = backlog.counts();
        assert_eq!(pushed, gone, "nobody is woken or born for them");
        // One of its own starts no more, one of another does.
        let job = |lane| Job::new(Box::new(Nothing), true).expecting(9).of(lane);
        assert!(!backlog.passes(&job(1)) && backlog.passes(&job(2)));
        backlog.start(&job(2));
        backlog.push(job(1));
        assert_eq!(backlog.held(), 4);
        // What is reserved is not held.
        backlog.push(job(1).reserved(true));
        assert_eq!(taken(&mut backlog), Some((1, 9)));
        // They go on in their order, one by one.
        backlog.done(1);
        assert_eq!(taken(&mut backlog), None, "the reserved one is its own, too");
        (0..2).for_each(|_| backlog.done(1));
        assert_eq!((taken(&mut backlog), taken(&mut backlog)), (Some((1, 6)), None));
        (0..6).for_each(|_| backlog.done(1));
        let rest: Vec<_> = std::iter::from_fn(|| taken(&mut backlog)).collect();
        assert_eq!(rest, [(1, 7), (1, 8), (1, 9)]);
        assert_eq!((backlog.len(), backlog.expected), (0, 0));
    }

    #[test]
    fn what_is_held_is_dropped_with_the_rest() {
        let mut backlog = Backlog::new(1, 3);
        (0..9).for_each(|number| push(&mut backlog, 1, number));
        while backlog.take().is_some() {}
        assert!(backlog.held() > 0);
        drop(backlog.clear());
        assert_eq!((backlog.len(), backlog.expected), (0, 0));
    }

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
