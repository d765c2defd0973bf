//! A few threads for code of the user's that may block, and that many may want run at once: plugins of call credentials, and
//! the handlers that a pool runs although it is full.
//!
//! A thread for each would be as many as there are calls when one token is fetched for all of them; none but the caller's
//! would not let a caller go at its deadline. So there are up to a bound, for as long as there is work and a little longer:
//! the next call of a caller that makes one after the other finds one there.
//!
//! Work that one of its own threads may wait for goes to another crew, a level deeper ([`Crew::within`]): behind those that wait for
//! it, it would never be run.
//!
//! One lock, a leaf, over what waits.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex, MutexGuard, thread_own};
use crate::tell;

use super::global::remind;
use super::{Job, OnTimer, clock, helper, user};

/// What a thread is for.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// A thread that has nothing to do ends so much later. Where the model checker runs, a wait that only time ends is a fault.
const LINGER: Duration =
    if cfg!(all(test, shuttle)) { Duration::ZERO } else { Duration::from_secs(1) };

/// When no thread has taken work for so long, and none is free, that is told to the log: again after this.
const STUCK: Duration = Duration::from_secs(1);
const TOLD_AGAIN: Duration = Duration::from_secs(10);

/// Threads for one purpose, of one owner: who blocks them is in nobody else's way.
pub(crate) struct Crew {
    this: Weak<Self>,
    purpose: &'static str,
    most: usize,
    state: Mutex<State>,
    /// There is work for one that lingers.
    work: Condvar,
    /// How many crews it stands within.
    depth: usize,
    /// What its own threads wait for.
    inner: OnceLock<Arc<Crew>>,
}

/// Crews within one another at most.
const DEEPEST: usize = 8;

#[derive(Default)]
struct State {
    /// By the order in which it came.
    waiting: BTreeMap<u64, Work>,
    last: u64,
    threads: usize,
    /// Those that linger, and are not called yet.
    idle: usize,
    /// When a thread last took work.
    taken: Option<Instant>,
    /// When it was last told that none does.
    told: Option<Instant>,
    /// A timer is set that looks again whether any does.
    watched: bool,
}

impl Crew {
    /// At most so many threads; none as yet. The purpose is in their names.
    pub(crate) fn new(purpose: &'static str, most: usize) -> Arc<Self> {
        Self::at(purpose, most, 0)
    }

    fn at(purpose: &'static str, most: usize, depth: usize) -> Arc<Self> {
        let (state, work, inner) = (Mutex::default(), Condvar::new(), OnceLock::new());
        let new = |this: &Weak<Self>| {
            let this = this.clone();
            Self { this, purpose, most, state, work, depth, inner }
        };
        Arc::new_cyclic(new)
    }

    /// The crew for work that this thread may wait for: itself, or where this is a thread of its own, one within it.
    ///
    /// # Errors
    /// When that would be too deep.
    pub(crate) fn within(self: &Arc<Self>) -> io::Result<Arc<Self>> {
        let serves = SERVES.reach(Cell::get).unwrap_or(0);
        let mut crew = self;
        let mut own = None;
        loop {
            if crew.address() == serves {
                own = Some(crew);
            }
            match crew.inner.get() {
                Some(inner) => crew = inner,
                None => break,
            }
        }
        let Some(own) = own else { return Ok(self.clone()) };
        if own.depth + 1 == DEEPEST {
            let text = format!("{} threads wait for each other {DEEPEST} deep", self.purpose);
            return Err(io::Error::other(text));
        }
        let (purpose, most, depth) = (self.purpose, self.most, own.depth + 1);
        Ok(own.inner.get_or_init(|| Self::at(purpose, most, depth)).clone())
    }

    /// Which one it is.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Has `work` run as soon as a thread is free. The number is for [`leave`](Self::leave).
    ///
    /// # Errors
    /// When no thread can be had, and there is none: the work is dropped.
    pub(crate) fn enter(self: &Arc<Self>, work: Work) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        state.waiting.insert(number, work);
        // One that was called and does not run yet still counts: what it was called for waits, too.
        if state.waiting.len() <= state.idle {
            self.work.notify_one();
            return Ok(number);
        }
        if state.threads >= self.most {
            self.tell_if_stuck(state);
            return Ok(number);
        }
        state.threads += 1;
        drop(state);
        let this = self.clone();
        let Err((error, begun)) = helper::spawn(self.purpose, Box::new(move || this.serve()))
        else {
            return Ok(number);
        };
        drop(begun);
        let mut state = self.state.lock();
        state.threads -= 1;
        if state.threads > 0 {
            return Ok(number);
        }
        let gone = state.waiting.remove(&number);
        drop(state);
        match gone {
            // A thread of somebody else's has come and gone meanwhile, with it.
            None => Ok(number),
            Some(work) => {
                drop(work);
                Err(error)
            }
        }
    }

    /// What waits under this number waits no longer: for its caller to drop.
    pub(crate) fn leave(&self, number: u64) -> Option<Work> {
        self.state.lock().waiting.remove(&number)
    }

    /// Whether no thread has come to the work of this number yet.
    pub(crate) fn waits(&self, number: u64) -> bool {
        self.state.lock().waiting.contains_key(&number)
    }

    /// How much waits for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// The bound on its threads.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// All threads are at work, and some waits. Who comes now may be the last that does: so a timer looks again.
    fn tell_if_stuck(&self, mut state: MutexGuard<'_, State>) {
        if Self::is_stuck(&mut state) {
            drop(state);
            tell::warn!(
                "all {} {} threads have been at the same work for {STUCK:?}: the next has to wait",
                self.most,
                self.purpose
            );
        } else if !mem::replace(&mut state.watched, true) {
            let taken = state.taken.map(|at| at + STUCK);
            let at = taken.max(state.told.map(|at| at + TOLD_AGAIN));
            drop(state);
            let set = self.this.upgrade().zip(at).is_some_and(|(this, at)| remind(at, this));
            if !set {
                self.state.lock().watched = false;
            }
        }
    }

    /// All threads are at work: whether they have been at the same for so long that it has to be told.
    fn is_stuck(state: &mut State) -> bool {
        let now = clock::now();
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let stuck = since(state.taken).is_some_and(|since| since >= STUCK)
            && since(state.told).is_none_or(|since| since >= TOLD_AGAIN);
        if stuck {
            state.told = Some(now);
        }
        stuck
    }

    fn serve(&self) {
        SERVES.reach(|serves| serves.set(self.address()));
        while let Some(work) = self.next() {
            // What it says when it panics is logged.
            let _ = user::run(format_args!("a job of the {} threads", self.purpose), work);
        }
    }

    /// The next work; `None`: this thread ends.
    fn next(&self) -> Option<Work> {
        let until = clock::now() + LINGER;
        let mut state = self.state.lock();
        let mut late = false;
        loop {
            if let Some((_, work)) = state.waiting.pop_first() {
                state.taken = Some(clock::now());
                return Some(work);
            }
            if late {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            late = self.work.wait_until(&mut state, until).timed_out();
            state.idle -= 1;
        }
    }
}

impl OnTimer for Crew {
    fn fire(&self, _tag: u64, _now: Instant, _jobs: &mut Vec<Job>) {
        let mut state = self.state.lock();
        state.watched = false;
        if state.threads >= self.most && state.waiting.len() > state.idle {
            self.tell_if_stuck(state);
        }
    }
}

thread_own! {
    /// The crew that this thread is of.
    static SERVES: Cell<usize> = Cell::new(0);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::{self, ThreadId};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn threads_that_stay_at_the_same_work_are_told_of_once_in_a_while() {
        let ago = |time| clock::now().checked_sub(time);
        let mut state = State { taken: ago(STUCK / 2), ..State::default() };
        assert!(!Crew::is_stuck(&mut state), "one has just taken work");
        state.taken = ago(STUCK);
        assert!(Crew::is_stuck(&mut state) && !Crew::is_stuck(&mut state), "told once");
        state.told = ago(TOLD_AGAIN);
        assert!(Crew::is_stuck(&mut state));
    }

    /// Tells on which thread it runs, and goes on when it is let.
    fn work(told: &Sender<ThreadId>) -> (Work, Sender<()>) {
        let (go, gate): (Sender<()>, Receiver<()>) = channel();
        let told = told.clone();
        let work = Box::new(move || {
            told.send(thread::current().id()).unwrap();
            let _ = gate.recv_timeout(LONG);
        });
        (work, go)
    }

    #[test]
    fn so_many_at_once_and_the_others_after_them_in_order() {
        let crew = Crew::new("test", 2);
        let (sender, told) = channel();
        let mut gates = Vec::new();
        let mut numbers = Vec::new();
        for _ in 0..4 {
            let (work, go) = work(&sender);
            numbers.push(crew.enter(work).unwrap());
            gates.push(go);
        }
        let both = [told.recv_timeout(LONG).unwrap(), told.recv_timeout(LONG).unwrap()];
        assert_ne!(both[0], both[1]);
        assert_eq!(crew.state.lock().threads, 2);
        assert!(told.try_recv().is_err(), "there is no third thread");
        assert!(crew.leave(numbers[2]).is_some(), "that one is wanted no more");
        assert!(crew.leave(numbers[2]).is_none() && crew.leave(numbers[0]).is_none());
        drop(gates);
        assert!(both.contains(&told.recv_timeout(LONG).unwrap()));
        assert!(told.recv_timeout(Duration::from_millis(1)).is_err(), "the third one has left");
    }

    #[test]
    fn one_after_the_other_is_run_by_one_thread_which_ends_when_there_is_nothing() {
        let crew = Crew::new("test", 8);
        let (sender, told) = channel();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let (work, go) = work(&sender);
            crew.enter(work).unwrap();
            seen.push(told.recv_timeout(LONG).unwrap());
            drop(go);
            while crew.state.lock().idle == 0 {
                thread::yield_now();
            }
        }
        assert!(seen.iter().all(|id| *id == seen[0]), "{seen:?}");
        #[allow(clippy::disallowed_methods, reason = "the limit of a wait")]
        let late = std::time::Instant::now() + LONG;
        while crew.state.lock().threads > 0 {
            #[allow(clippy::disallowed_methods, reason = "the limit of a wait")]
            let now = std::time::Instant::now();
            assert!(now < late);
            thread::yield_now();
        }
        let (work, _go) = work(&sender);
        crew.enter(work).unwrap();
        told.recv_timeout(LONG).unwrap();
    }

    /// Has a thread of each level wait for one of the next, and says how many there were.
    fn descend(crew: &Arc<Crew>, told: &Sender<usize>) {
        let Ok(within) = crew.within() else { return told.send(0).unwrap() };
        let (this, told) = (crew.clone(), told.clone());
        let work = move || {
            let (up, below) = channel();
            descend(&this, &up);
            told.send(below.recv_timeout(LONG).unwrap() + 1).unwrap();
        };
        within.enter(Box::new(work)).unwrap();
    }

    #[test]
    fn work_that_its_own_threads_wait_for_has_threads_of_its_own() {
        let crew = Crew::new("test", 1);
        let (told, levels) = channel();
        descend(&crew, &told);
        assert_eq!(levels.recv_timeout(LONG), Ok(DEEPEST));
        assert!(Arc::ptr_eq(&crew.within().unwrap(), &crew), "for everybody else");
    }

    #[test]
    fn work_that_panics_costs_no_thread() {
        let crew = Crew::new("test", 1);
        let (sender, told) = channel();
        crew.enter(Box::new(|| panic!("a plugin's"))).unwrap();
        let (work, _go) = work(&sender);
        crew.enter(work).unwrap();
        told.recv_timeout(LONG).unwrap();
    }
}
