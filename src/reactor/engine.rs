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
//! A pool grows when jobs wait for nothing but one worker more ([`growth`](super::growth)): a one-shot timer, set when that
//! begins. Reserved jobs do not even wait: where all workers are busy a crew beside the pool runs them.
//!
//! Locks: `state`, a leaf, never held over a wake, a job's drop or a callback.

use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::io;
use std::sync::{Arc, Weak};
#[cfg(test)]
use std::time::Instant;

use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::tell;

use super::backlog::Backlog;
use super::cork::{self, Shelf};
use super::duty::{Duty, Idle, Order, Wakes};
use super::growth::{Growth, Setup, Sight};
use super::{Crew, Job, Poller, Waiter, clock, process, spares, threads};

mod own;
mod room;
mod timers;

pub(super) use own::read_here;
pub(crate) use own::{before_block, block, defer, has_blocked, is_worker, note_expired};

/// Threads that may run reserved jobs beside a pool that is busy.
const ASIDE: usize = 4;

/// What the threads of one pool share.
pub(super) struct Engine {
    poller: Arc<Poller>,
    setup: Setup,
    /// Of every worker that there may be, and of the reserve.
    parkers: Vec<Waiter>,
    shelves: Vec<Arc<Shelf>>,
    /// Guards the queue and the duty. A leaf.
    state: Mutex<State>,
    ended: Condvar,
    net: AtomicBool,
    /// Jobs wait: as of the last critical section that changed it.
    waits: AtomicBool,
    /// Workers that wait in their jobs now.
    asleep: AtomicUsize,
    /// Runs what must not wait for a worker.
    aside: Arc<Crew>,
    /// Jobs there was no room for, and those whose calls were over when their turn came.
    refused: AtomicU64,
    expired: AtomicU64,
    this: Weak<Engine>,
}

struct State {
    queue: Backlog,
    duty: Duty,
    growth: Growth,
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
    /// Whether for as long as nobody calls, or, where there are more than there always are, for a while.
    Park {
        extra: bool,
    },
    /// There are enough others.
    Leave,
    Stop,
}

impl Engine {
    /// Starts the workers that there always are, and the reserve.
    pub(super) fn start(setup: &Setup) -> io::Result<Arc<Self>> {
        process::begin();
        let poller = Poller::new()?;
        let growth = Growth::new(setup.workers, setup.most, setup.spares);
        let places = growth.places();
        let state = State {
            queue: Backlog::new(setup.most.max(setup.workers), places),
            duty: Duty::new(places, threads::cpus()),
            growth,
            stopping: false,
            alive: 0,
            left: Vec::new(),
        };
        let engine = Arc::new_cyclic(|this| Self {
            poller,
            setup: *setup,
            parkers: (0..=places).map(|_| Waiter::default()).collect(),
            shelves: (0..places).map(|_| Arc::default()).collect(),
            state: Mutex::new(state),
            ended: Condvar::new(),
            net: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
            aside: Crew::new("reserved", ASIDE),
            refused: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            this: this.clone(),
        });
        for me in (0..setup.workers).chain([places]) {
            if let Err(error) = engine.spawn(me, me == places) {
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
            own::begin_to_read(engine);
            if reserve {
                engine.stand_by(me);
            } else {
                own::begin_to_work(engine);
                cork::install(&engine.shelves[me]);
                engine.work(me);
            }
        })
        .map(drop)
    }

    /// One worker more, or none if none can be had.
    fn grow(self: &Arc<Self>, place: usize) {
        let Err(error) = self.spawn(place, false) else { return };
        self.state.lock().growth.leave(place);
        tell::warn!("a pool could not have one more worker: {error}");
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

    /// Workers that are alive.
    pub(super) fn live(&self) -> usize {
        self.state.lock().growth.live()
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
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

    fn work(&self, me: usize) {
        let mut jobs = Vec::new();
        let mut next = self.next(me, self.state.lock());
        loop {
            next = match next {
                Next::Run(job, more) => {
                    let lane = job.lane();
                    self.run(job, more);
                    let mut state = self.state.lock();
                    state.duty.finished(own::set_blocked(false));
                    state.queue.done(lane);
                    self.next(me, state)
                }
                Next::Poll => {
                    cork::flush_all();
                    self.poll(&mut jobs)
                }
                Next::Park { extra } => {
                    cork::flush_all();
                    self.park(me, extra)
                }
                Next::Leave => return cork::flush_all(),
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
        let extra = state.growth.live() > self.setup.workers;
        match state.duty.idle(me, extra) {
            Idle::Poll => Next::Poll,
            Idle::Park => Next::Park { extra },
        }
    }

    fn park(&self, me: usize, mut extra: bool) -> Next {
        loop {
            let until = if extra { clock::now().checked_add(self.setup.idle) } else { None };
            let called = self.parkers[me].park(until);
            let mut state = self.state.lock();
            if state.stopping {
                return Next::Stop;
            }
            match state.duty.order(me) {
                Order::None if called => {}
                Order::None => {
                    if state.growth.leave(me) {
                        state.duty.retire(me);
                        return Next::Leave;
                    }
                    // Others have gone, and it is needed.
                    extra = false;
                }
                Order::Run => return self.next(me, state),
                Order::Poll => return Next::Poll,
            }
        }
    }

    /// Stays in the epoll until there is something to run. The thread is counted as polling.
    fn poll(&self, jobs: &mut Vec<Job>) -> Next {
        loop {
            self.turn(|| self.poller.turn_and_look(jobs));
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
            let passes = found.as_slice().first().is_some_and(|job| state.queue.passes(job));
            let inline = if passes { found.next() } else { None };
            inline.iter().for_each(|job| state.queue.start(job));
            // Mostly there is none: on the path of every small call.
            let left_over = (found.len() > 0)
                .then(|| self.queue(&mut state, usize::from(inline.is_some()), found));
            let Some(job) = inline.or_else(|| state.queue.take()) else {
                drop(state);
                if let Some(left_over) = left_over {
                    self.finish(left_over);
                }
                continue;
            };
            let left = state.queue.left(&job);
            let wakes = state.duty.leave(left);
            self.wake(state, wakes);
            if let Some(left_over) = left_over {
                self.finish(left_over);
            }
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
        own::set_runs(true);
        // The handler's own panics are caught inside: this is the last line of defence.
        if tell::contain(|| job.run()).is_err() {
            tell::error!("a job panicked outside its handler");
        }
        own::set_runs(false);
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
            self.turn(|| self.poller.turn(&mut jobs));
            let mut state = self.state.lock();
            let left_over = self.queue(&mut state, 0, jobs.drain(..));
            let queued = state.queue.queued();
            let wakes = state.duty.reserve_back(queued);
            self.wake(state, Wakes { reserve: false, ..wakes });
            self.finish(left_over);
        }
    }

    fn turn(&self, turn: impl FnOnce() -> io::Result<()>) {
        match tell::contain(turn) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tell::error!("a server's poller failed: {error}"),
            Err(_) => tell::error!("an event's receiver panicked"),
        }
    }

    fn sight(&self, state: &State) -> Sight {
        let (pushed, taken) = state.queue.counts();
        let asleep = self.asleep.load(Ordering::Relaxed);
        Sight { busy: state.duty.busy(), asleep, pushed, taken }
    }

    /// The end of a critical section in which jobs were queued or taken.
    fn wake(&self, mut state: MutexGuard<'_, State>, wakes: Wakes) {
        let waits = !state.queue.is_empty();
        self.waits.store(waits, Ordering::Relaxed);
        let busy = state.duty.busy() >= state.growth.live();
        let full = busy && state.queue.waits();
        let watch = state.queue.strain.note(full);
        let grows = busy && waits && {
            let sight = self.sight(&state);
            state.growth.note(sight)
        };
        drop(state);
        if grows {
            self.watch_growth();
        }
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
        own::end_to_read();
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
