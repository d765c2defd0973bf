//! A fixed pool of workers that also poll: `ThreadPool`.
//!
//! A worker with nothing to do waits in the pool's epoll (two of them at most) or parks.
//! What it reads it dispatches; the first job runs inline, the rest is queued. One
//! reserve thread polls while every worker is busy, so that pings, cancels, deadlines
//! and new connections are always served; it never runs a job. See [`super::duty`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::duty::{Duty, Order, Wakes};
use super::{Executor, Job, Poller, Rejected, Waiter, cork, threads};

/// Jobs that may wait for a worker, by default.
const QUEUE: usize = 10_000;

thread_local! {
    /// The pool whose worker this thread is.
    static HOME: RefCell<Weak<Shared>> = const { RefCell::new(Weak::new()) };
}

/// A fixed number of worker threads that run a server's handlers and read its sockets.
///
/// Cheap to clone; a pool may serve several servers. Its threads start with the
/// first server and end when the last handle and the last server are gone. Besides
/// the workers there is one thread that only reads sockets while all workers are busy,
/// so a pool of `n` has `n + 1` threads, however many connections there are.
#[derive(Clone)]
pub struct ThreadPool {
    owner: Arc<Owner>,
}

/// Its drop stops the threads, which themselves hold only [`Shared`].
struct Owner {
    shared: Arc<Shared>,
}

struct Shared {
    workers: usize,
    limit: usize,
    poller: Mutex<Option<Arc<Poller>>>,
    /// Guards the queue and the duty. A leaf.
    state: Mutex<State>,
    parkers: Mutex<Vec<Option<Arc<Waiter>>>>,
    ended: Condvar,
}

struct State {
    queue: VecDeque<Job>,
    duty: Duty,
    stopping: bool,
    alive: usize,
    running: usize,
}

/// What a worker does next.
enum Next {
    Run(Job, bool),
    Poll,
    Park,
    Stop,
}

impl ThreadPool {
    /// A pool of `workers` threads (at least one). No thread starts before a server does.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self::with_queue(workers, QUEUE)
    }

    /// As [`ThreadPool::new`], with room for `queue` calls that wait for a worker (default
    /// 10 000); more are answered with RESOURCE_EXHAUSTED.
    #[must_use]
    pub fn with_queue(workers: usize, queue: usize) -> Self {
        let workers = workers.max(1);
        let shared = Arc::new(Shared {
            workers,
            limit: queue,
            poller: Mutex::new(None),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                duty: Duty::new(workers),
                stopping: false,
                alive: 0,
                running: 0,
            }),
            parkers: Mutex::new(vec![None; workers + 1]),
            ended: Condvar::new(),
        });
        Self { owner: Arc::new(Owner { shared }) }
    }

    /// The number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.owner.shared.workers
    }

    /// Calls that wait for a worker now.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.owner.shared.state.lock().queue.len()
    }

    /// Handlers that run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.owner.shared.state.lock().running
    }

    /// The pool's poller. Starts the threads.
    ///
    /// # Errors
    /// When no thread, epoll or eventfd can be had.
    pub(crate) fn poller(&self) -> io::Result<Arc<Poller>> {
        self.owner.shared.start()
    }

    /// Waits until the threads of a pool whose last handle is gone have ended.
    pub(crate) fn watch(&self) -> Ended {
        Ended { shared: self.owner.shared.clone() }
    }
}

/// Waits for a pool's threads.
pub(crate) struct Ended {
    shared: Arc<Shared>,
}

impl Ended {
    /// Whether all threads have ended before `timeout` (`None`: however long it takes).
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.shared.state.lock();
        while state.alive > 0 {
            match deadline {
                None => self.shared.ended.wait(&mut state),
                Some(at) => {
                    if self.shared.ended.wait_until(&mut state, at).timed_out() {
                        return state.alive == 0;
                    }
                }
            }
        }
        true
    }
}

impl Executor for ThreadPool {
    fn execute(&self, job: Job) -> Result<(), Rejected> {
        self.owner.shared.start().map_err(|_| Rejected)?;
        self.owner.shared.submit(job)
    }
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadPool").field("workers", &self.workers()).finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// To be called before a thread blocks on anything but the pool itself: sends what was
/// corked, and lets a fellow take the jobs that this worker would have run next.
pub(crate) fn before_block() {
    cork::flush_all();
    HOME.with_borrow(|home| {
        if let Some(pool) = home.upgrade() {
            let mut state = pool.state.lock();
            if !state.queue.is_empty() {
                let wakes = state.duty.share();
                drop(state);
                pool.wake(wakes);
            }
        }
    });
}

impl Shared {
    fn start(self: &Arc<Self>) -> io::Result<Arc<Poller>> {
        let mut slot = self.poller.lock();
        if let Some(poller) = &*slot {
            return Ok(poller.clone());
        }
        let poller = Poller::new()?;
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        for me in 0..=self.workers {
            let (pool, poller) = (self.clone(), poller.clone());
            let parker = Arc::new(Waiter::default());
            self.parkers.lock()[me] = Some(parker.clone());
            self.state.lock().alive += 1;
            let reserve = me == self.workers;
            let name = if reserve { "grpc-reserve".into() } else { format!("grpc-worker-{me}") };
            let born = threads::spawn(&name, move || {
                HOME.set(Arc::downgrade(&pool));
                if reserve {
                    pool.stand_by(&poller, &parker);
                } else {
                    pool.work(me, &poller, &parker);
                }
                pool.state.lock().alive -= 1;
                pool.ended.notify_all();
            });
            match born {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    self.state.lock().alive -= 1;
                    self.stop();
                    return Err(error);
                }
            }
        }
        *slot = Some(poller.clone());
        Ok(poller)
    }

    fn stop(&self) {
        let left = {
            let mut state = self.state.lock();
            state.stopping = true;
            std::mem::take(&mut state.queue)
        };
        drop(left);
        for parker in self.parkers.lock().iter().flatten() {
            parker.unpark();
        }
        if let Some(poller) = &*self.poller.lock() {
            poller.kick();
        }
    }

    fn submit(&self, job: Job) -> Result<(), Rejected> {
        let mut state = self.state.lock();
        if state.stopping || state.queue.len() >= self.limit {
            drop(state);
            drop(job);
            return Err(Rejected);
        }
        state.queue.push_back(job);
        let wakes = state.duty.queued();
        drop(state);
        self.wake(wakes);
        Ok(())
    }

    /// Queues jobs. What does not fit is dropped, which answers its call.
    fn queue(&self, state: &mut State, jobs: impl Iterator<Item = Job>, refused: &mut Vec<Job>) {
        for job in jobs {
            if state.queue.len() < self.limit {
                state.queue.push_back(job);
            } else {
                refused.push(job);
            }
        }
    }

    fn work(&self, me: usize, poller: &Poller, parker: &Waiter) {
        let mut jobs = Vec::new();
        loop {
            match self.next(me) {
                Next::Run(job, more) => self.run(job, more),
                Next::Poll => self.poll(poller, &mut jobs),
                Next::Park => {
                    cork::flush_all();
                    self.park(me, parker, poller, &mut jobs);
                }
                Next::Stop => {
                    cork::flush_all();
                    // The next in the epoll has to hear of it, too.
                    return poller.kick();
                }
            }
        }
    }

    fn next(&self, me: usize) -> Next {
        let mut state = self.state.lock();
        if state.stopping {
            return Next::Stop;
        }
        if let Some(job) = state.queue.pop_front() {
            let more = !state.queue.is_empty();
            state.running += 1;
            return Next::Run(job, more);
        }
        if state.duty.idle(me) { Next::Poll } else { Next::Park }
    }

    fn park(&self, me: usize, parker: &Waiter, poller: &Poller, jobs: &mut Vec<Job>) {
        loop {
            parker.park(None);
            let mut state = self.state.lock();
            if state.stopping {
                return;
            }
            match state.duty.order(me) {
                Order::None => {}
                Order::Run => return,
                Order::Poll => {
                    drop(state);
                    return self.poll(poller, jobs);
                }
            }
        }
    }

    /// One stay in the epoll. The thread is counted as polling.
    fn poll(&self, poller: &Poller, jobs: &mut Vec<Job>) {
        cork::flush_all();
        loop {
            if let Err(error) = poller.turn(jobs) {
                log::error!("a server's poller failed: {error}");
            }
            let mut refused = Vec::new();
            let mut state = self.state.lock();
            if jobs.is_empty() && state.queue.is_empty() && !state.stopping {
                continue;
            }
            // The first runs inline, unless others have waited longer.
            let mut found = jobs.drain(..);
            let first = if state.queue.is_empty() { found.next() } else { None };
            self.queue(&mut state, found, &mut refused);
            let queued = state.queue.len();
            let wakes = state.duty.leave_to_work(queued);
            state.running += usize::from(first.is_some());
            drop(state);
            poller.leave();
            self.wake(wakes);
            drop(refused);
            if let Some(job) = first {
                self.run(job, queued > 0);
            }
            return;
        }
    }

    /// Runs a job. With `more` behind it, its answer may wait for theirs.
    fn run(&self, job: Job, more: bool) {
        let short = job.is_short();
        if !short {
            cork::flush_all();
        }
        cork::set(short && more);
        // The handler's own panics are caught inside: this is the last line of defence.
        if catch_unwind(AssertUnwindSafe(|| job.run())).is_err() {
            log::error!("a job panicked outside its handler");
        }
        cork::set(false);
        cork::flush_if_due();
        self.state.lock().running -= 1;
    }

    /// The reserve: polls while no worker does.
    fn stand_by(&self, poller: &Poller, parker: &Waiter) {
        let mut jobs = Vec::new();
        loop {
            let state = self.state.lock();
            if state.stopping {
                return poller.kick();
            }
            let ordered = state.duty.reserve_ordered();
            drop(state);
            if !ordered {
                parker.park(None);
                continue;
            }
            if let Err(error) = poller.turn(&mut jobs) {
                log::error!("a server's poller failed: {error}");
            }
            cork::flush_all();
            let mut refused = Vec::new();
            let mut state = self.state.lock();
            self.queue(&mut state, jobs.drain(..), &mut refused);
            // Looked at after the turn: a kick meant for a worker in the epoll may have
            // come to us. We leave the epoll before we pass it on.
            let waiting = !state.queue.is_empty();
            state.duty.reserve_stays();
            let wakes = if waiting { state.duty.queued() } else { Wakes::default() };
            drop(state);
            self.wake(wakes);
            drop(refused);
        }
    }

    fn wake(&self, wakes: Wakes) {
        if wakes == Wakes::default() {
            return;
        }
        let reserve = wakes.reserve.then_some(self.workers);
        let parkers = self.parkers.lock();
        let woken: [Option<Arc<Waiter>>; 3] = [wakes.workers[0], wakes.workers[1], reserve]
            .map(|who| parkers.get(who?).cloned().flatten());
        drop(parkers);
        for parker in woken.into_iter().flatten() {
            parker.unpark();
        }
        if wakes.kick {
            if let Some(poller) = &*self.poller.lock() {
                poller.kick();
            }
        }
    }
}

/// How long a stopping pool is waited for by those who must not wait for ever.
pub(crate) const STOP_BOUND: Duration = Duration::from_secs(5);
