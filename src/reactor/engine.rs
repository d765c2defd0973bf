//! The threads of a [`ThreadPool`](super::ThreadPool): workers, the reserve, the net.
//!
//! A worker with nothing to do waits in the pool's epoll (two of them at most) or parks.
//! What it reads it dispatches; the first job runs inline, the rest is queued. One
//! reserve thread polls while every worker is busy, so that pings, cancels, deadlines
//! and new connections are always served; it never runs a job. Who does what is
//! decided in [`duty`](super::duty); here it is done.
//!
//! A pool that is full for a second says so, once a second: a one-shot timer, set when it becomes full.
//!
//! The *net* is a one-shot timer of the poller, set when answers are corked or short jobs
//! wait for running ones: it flushes the corks of workers that are stuck in a job, and
//! wakes one more worker. Nothing ticks in an idle pool.
//!
//! Locks: `state`, a leaf, never held over a wake, a job's drop or a callback.

use crate::sync::atomic::AtomicBool;
use std::cell::{Cell, RefCell};
use std::io;
use std::sync::{Arc, Weak};
#[cfg(test)]
use std::time::Instant;

use crate::sync::{Condvar, Mutex, MutexGuard, thread_own};
use crate::tell;

use super::backlog::Backlog;
use super::cork::{self, Shelf};
use super::duty::{Duty, Idle, Order, Wakes};
use super::{Job, Poller, Rejected, Waiter, process, spares, threads};

mod timers;

thread_own! {
    /// The engine whose worker this thread is.
    static HOME: RefCell<Weak<Engine>> = RefCell::new(Weak::new());
    /// The engine whose sockets this thread reads, when it runs no job.
    static READS: RefCell<Weak<Engine>> = RefCell::new(Weak::new());
    /// A job runs on this thread.
    static RUNS: Cell<bool> = Cell::new(false);
    /// The job that runs on this thread has said that it blocks.
    static BLOCKED: Cell<bool> = Cell::new(false);
}

/// What the threads of one pool share.
pub(super) struct Engine {
    poller: Arc<Poller>,
    limit: usize,
    parkers: Vec<Waiter>,
    shelves: Vec<Arc<Shelf>>,
    /// Guards the queue and the duty. A leaf.
    state: Mutex<State>,
    ended: Condvar,
    net: AtomicBool,
    this: Weak<Engine>,
}

struct State {
    queue: Backlog,
    duty: Duty,
    stopping: bool,
    alive: usize,
    /// Left by threads that read, when no worker takes jobs any more.
    left: Vec<Job>,
}

/// What a worker does next.
enum Next {
    /// The job, and whether a short one waits behind it.
    Run(Job, bool),
    Poll,
    Park,
    Stop,
}

impl Engine {
    /// Starts `workers` threads and the reserve.
    pub(super) fn start(workers: usize, limit: usize) -> io::Result<Arc<Self>> {
        process::begin();
        let poller = Poller::new()?;
        let state = State {
            queue: Backlog::default(),
            duty: Duty::new(workers, threads::cpus()),
            stopping: false,
            alive: 0,
            left: Vec::new(),
        };
        let engine = Arc::new_cyclic(|this| Self {
            poller,
            limit,
            parkers: (0..=workers).map(|_| Waiter::default()).collect(),
            shelves: (0..workers).map(|_| Arc::default()).collect(),
            state: Mutex::new(state),
            ended: Condvar::new(),
            net: AtomicBool::new(false),
            this: this.clone(),
        });
        for me in 0..=workers {
            if let Err(error) = engine.spawn(me, me == workers) {
                engine.stop();
                return Err(error);
            }
        }
        spares::join(&engine.poller);
        Ok(engine)
    }

    fn spawn(self: &Arc<Self>, me: usize, reserve: bool) -> io::Result<()> {
        self.state.lock().alive += 1;
        let alive = Alive(self.clone());
        let name = if reserve { "grpc-reserve".into() } else { format!("grpc-worker-{me}") };
        threads::spawn(&name, move || {
            let engine = &alive.0;
            READS.reach(|own| own.replace(Arc::downgrade(engine)));
            if reserve {
                engine.stand_by(me);
            } else {
                HOME.reach(|home| home.replace(Arc::downgrade(engine)));
                cork::install(&engine.shelves[me]);
                engine.work(me);
            }
        })
        .map(drop)
    }

    pub(super) fn poller(&self) -> &Arc<Poller> {
        &self.poller
    }

    pub(super) fn queued(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// Seconds in which all workers were busy and jobs waited.
    pub(super) fn saturated(&self) -> u64 {
        self.state.lock().queue.strain.seconds()
    }

    pub(super) fn running(&self) -> usize {
        self.state.lock().duty.busy()
    }

    /// Ends the threads, each after the job it runs. Jobs that wait are dropped, which answers them.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopping = true;
        let left = state.queue.clear();
        drop(state);
        drop(left);
        for parker in &self.parkers {
            parker.unpark();
        }
        self.poller.kick();
    }

    /// Whether all threads have ended before the deadline.
    #[cfg(test)]
    pub(super) fn wait_ended(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while state.alive > 0 {
            match deadline {
                None => self.ended.wait(&mut state),
                Some(at) => {
                    if self.ended.wait_until(&mut state, at).timed_out() {
                        return state.alive == 0;
                    }
                }
            }
        }
        true
    }

    /// Queues a job from outside. What does not fit is dropped, which answers it.
    pub(super) fn submit(&self, job: Job) -> Result<(), Rejected> {
        let mut state = self.state.lock();
        if state.stopping || !self.has_room(&state, 0) {
            drop(state);
            drop(job);
            return Err(Rejected);
        }
        state.queue.push(job);
        let queued = state.queue.queued();
        let wakes = state.duty.queued(queued);
        self.wake(state, wakes);
        Ok(())
    }

    /// Takes what must not happen on a thread that reads, however much waits: a worker does it, or the last thread.
    pub(super) fn leave(&self, job: Job) {
        let mut state = self.state.lock();
        if state.stopping {
            state.left.push(job);
            return;
        }
        state.queue.push(job);
        let queued = state.queue.queued();
        let wakes = state.duty.queued(queued);
        self.wake(state, wakes);
    }

    fn work(&self, me: usize) {
        let mut jobs = Vec::new();
        let mut next = self.next(me, self.state.lock());
        loop {
            next = match next {
                Next::Run(job, more) => {
                    self.run(job, more);
                    let mut state = self.state.lock();
                    state.duty.finished(set_blocked(false));
                    self.next(me, state)
                }
                Next::Poll => {
                    cork::flush_all();
                    self.poll(&mut jobs)
                }
                Next::Park => {
                    cork::flush_all();
                    self.park(me)
                }
                Next::Stop => {
                    cork::flush_all();
                    // The next in the epoll has to hear of it, too.
                    return self.poller.kick();
                }
            };
        }
    }

    fn next(&self, me: usize, mut state: MutexGuard<'_, State>) -> Next {
        if state.stopping {
            return Next::Stop;
        }
        if let Some(job) = state.queue.take() {
            let left = state.queue.left(&job);
            let wakes = state.duty.taken(left);
            self.wake(state, wakes);
            return Next::Run(job, left.is_short());
        }
        match state.duty.idle(me) {
            Idle::Poll => Next::Poll,
            Idle::Park => Next::Park,
        }
    }

    fn park(&self, me: usize) -> Next {
        loop {
            self.parkers[me].park(None);
            let mut state = self.state.lock();
            if state.stopping {
                return Next::Stop;
            }
            match state.duty.order(me) {
                Order::None => {}
                Order::Run => return self.next(me, state),
                Order::Poll => return Next::Poll,
            }
        }
    }

    /// Stays in the epoll until there is something to run. The thread is counted as polling.
    fn poll(&self, jobs: &mut Vec<Job>) -> Next {
        loop {
            self.turn(jobs);
            let mut state = self.state.lock();
            state.duty.back();
            if state.stopping {
                drop(state);
                // Dropped unrun they answer.
                jobs.clear();
                return Next::Stop;
            }
            let mut found = jobs.drain(..);
            // The first runs inline, unless others have waited longer.
            let inline = if state.queue.is_empty() { found.next() } else { None };
            let refused = self.queue(&mut state, usize::from(inline.is_some()), found);
            let Some(job) = inline.or_else(|| state.queue.take()) else { continue };
            let left = state.queue.left(&job);
            let wakes = state.duty.leave(left);
            self.wake(state, wakes);
            drop(refused);
            return Next::Run(job, left.is_short());
        }
    }

    /// Runs a job. With a short one behind it, its answer may wait for that one's.
    fn run(&self, job: Job, more: bool) {
        let short = job.is_short();
        if short {
            cork::flush_if_due();
        } else {
            cork::flush_all();
        }
        cork::set(short && more);
        RUNS.reach(|own| own.set(true));
        // The handler's own panics are caught inside: this is the last line of defence.
        if tell::contain(|| job.run()).is_err() {
            tell::error!("a job panicked outside its handler");
        }
        RUNS.reach(|own| own.set(false));
        cork::set(false);
    }

    /// The reserve: polls while no worker does.
    fn stand_by(&self, me: usize) {
        let mut jobs = Vec::new();
        loop {
            let state = self.state.lock();
            if state.stopping {
                return self.poller.kick();
            }
            let ordered = state.duty.reserve_polls();
            drop(state);
            if !ordered {
                self.parkers[me].park(None);
                continue;
            }
            self.turn(&mut jobs);
            let mut state = self.state.lock();
            let refused = self.queue(&mut state, 0, jobs.drain(..));
            let queued = state.queue.queued();
            let wakes = state.duty.reserve_back(queued);
            self.wake(state, Wakes { reserve: false, ..wakes });
            drop(refused);
        }
    }

    fn turn(&self, jobs: &mut Vec<Job>) {
        let turned = tell::contain(|| self.poller.turn(jobs));
        match turned {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tell::error!("a server's poller failed: {error}"),
            Err(_) => tell::error!("an event's receiver panicked"),
        }
    }

    /// Whether one more may wait. Those for which a worker is free do not, though it has still to wake up. `about`: so many
    /// are about to be busy.
    fn has_room(&self, state: &State, about: usize) -> bool {
        let free = self.shelves.len().saturating_sub(state.duty.busy() + about);
        state.queue.len() < self.limit.saturating_add(free)
    }

    /// Queues jobs; what does not fit is handed back, to be dropped after the lock.
    fn queue(&self, state: &mut State, about: usize, jobs: impl Iterator<Item = Job>) -> Vec<Job> {
        let mut refused = Vec::new();
        for job in jobs {
            if self.has_room(state, about) && !state.stopping {
                state.queue.push(job);
            } else {
                refused.push(job);
            }
        }
        refused
    }

    /// The end of a critical section in which jobs were queued or taken.
    fn wake(&self, mut state: MutexGuard<'_, State>, wakes: Wakes) {
        let full = !state.queue.is_empty() && state.duty.busy() == self.shelves.len();
        let watch = state.queue.strain.note(full);
        drop(state);
        if watch {
            self.watch();
        }
        if wakes == Wakes::default() {
            return;
        }
        let reserve = wakes.reserve.then(|| self.parkers.len() - 1);
        for who in [wakes.workers[0], wakes.workers[1], reserve].into_iter().flatten() {
            if let Some(parker) = self.parkers.get(who) {
                parker.unpark();
            }
        }
        if wakes.kick {
            self.poller.kick();
        }
        if wakes.capped {
            self.spread_net();
        }
    }

    /// About to block in a job.
    fn block(&self) {
        let mut state = self.state.lock();
        let left = state.queue.queued();
        let wakes = state.duty.block(!set_blocked(true), left);
        self.wake(state, wakes);
    }
}

/// Whether this thread runs jobs.
pub(crate) fn is_worker() -> bool {
    HOME.reach(|home| home.borrow().strong_count() > 0).unwrap_or(false)
}

/// Whether the job that runs on this thread has blocked: an exchange, not a single answer.
pub(crate) fn has_blocked() -> bool {
    BLOCKED.reach(Cell::get).unwrap_or(false)
}

/// To be called before a thread blocks on anything but the pool itself: sends what was
/// corked, and lets a fellow take the jobs that this worker would have run next. That
/// somebody polls is sure already: a worker sees to that before it runs a job.
pub(crate) fn before_block() {
    cork::flush_all();
    with_home(Engine::block);
}

/// Answers are corked on this thread: the net is set. A link's lock may be held.
pub(super) fn set_net() {
    with_home(Engine::spread_net);
}

fn with_home(act: impl FnOnce(&Engine)) {
    let home = HOME.reach(|home| home.borrow().upgrade());
    if let Some(engine) = home.flatten() {
        act(&engine);
    }
}

/// The engine whose sockets this thread reads now. `None` in a job, and on a thread that is no pool's.
pub(super) fn read_here() -> Option<Arc<Engine>> {
    if RUNS.reach(Cell::get).unwrap_or(false) {
        return None;
    }
    READS.reach(|own| own.borrow().upgrade()).flatten()
}

/// What it was before.
fn set_blocked(blocked: bool) -> bool {
    BLOCKED.reach(|own| own.replace(blocked)).unwrap_or(false)
}

/// One thread's life, counted. The last turns the lights off.
struct Alive(Arc<Engine>);

impl Drop for Alive {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.alive -= 1;
        let last = state.alive == 0;
        drop(state);
        // This thread reads no more.
        READS.reach(RefCell::take);
        if last {
            // Registrations hold links, which hold the poller.
            self.0.poller.close();
            spares::leave(&self.0.poller);
            // Nobody is left who could leave more.
            let left = std::mem::take(&mut self.0.state.lock().left);
            drop(left);
        }
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests;
