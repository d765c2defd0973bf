//! `ThreadPool`: the handle of a server's threads. The threads are in [`engine`](super::engine).

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
#[cfg(test)]
use std::time::Instant;

use crate::sync::Mutex;

use super::engine::Engine;
use super::growth::Setup;
use super::{Executor, Job, Poller, Rejected};

pub(crate) use super::cork::flush_all;
pub(crate) use super::engine::{before_block, block, defer, has_blocked, is_worker, note_expired};

/// Jobs that may wait for a worker, by default.
const QUEUE: usize = 10_000;
/// Threads a pool may have. Each takes four of the 65 530 mappings that Linux gives a process, and a thread that is short
/// of the last of them aborts it.
const MOST_WORKERS: usize = 8_192;

/// Workers beyond the pool's own, where all of them wait for others: so many times as many, and no fewer than these.
const SPARES_EACH: usize = 4;
const SPARES: usize = 32;
/// How long a worker beyond them stays that has nothing to do.
const IDLE: Duration = Duration::from_secs(10);

/// Worker threads that run a server's handlers and read its sockets.
///
/// Cheap to clone; a pool may serve several servers. Its threads start with the
/// first server and end when the last handle and the last server are gone. Besides
/// the workers there is one thread that only reads sockets while all workers are busy,
/// so a pool of `n` has `n + 1` threads, however many connections there are, as long as its handlers do not wait for others.
///
/// # How many workers
/// A worker runs one handler from its beginning to its return, also while that waits. So a handler that streams to a slow
/// client, or waits for the next message of a quiet one, holds its worker all the time: four such calls on a pool of four,
/// and the server would answer nobody else. Where streams are long, answer them from elsewhere, which takes no worker at all: a
/// handler of a stream of responses takes a sender from
/// [`ServicerContext::response_channel`](crate::ServicerContext::response_channel), keeps it where the news come from, and returns
/// (`examples/watch.rs`: two hundred watchers on four workers). [`ServerStream::detach`](crate::ServerStream::detach) does the
/// same for all other kinds. Or give such methods a pool of their own ([`Service::thread_pool`](crate::Service::thread_pool); of a generated
/// server `Service::from(GreeterServer::new(service)).thread_pool(pool)`, and the same for
/// [`reserved`](crate::Service::reserved)), or have a pool that grows ([`ThreadPool::growing`]).
///
/// # When all workers wait
/// A handler that calls its own server needs another worker for that call. When all workers wait like that, for calls of theirs or for their
/// clients, and calls have waited for a worker for 5 ms, the pool has one more, a *spare*: so such handlers get their
/// answers, and do not wait for each other. There are up to four times as many spares as workers, and up to 32 on small pools (see
/// [`ThreadPoolBuilder::spares`]); they go after 10 s without work. What a handler waits for
/// by other means (a lock, a channel, a sleep) the pool does not see, and has no spare for.
///
/// Spares are shared: a connection that holds more threads than are left gets no more, and its next calls wait for one of its own to
/// end. So a client whose streams all stand still keeps a bit more than half of all threads (21 on a pool of eight, with its 32
/// spares), a second one half of what is left, and others are answered; four such clients leave one thread.
///
/// That is the bound: as many calls may wait for each other as there are workers and spares, 34 on a pool of two, and 18 of them over
/// one connection. Where more do, by a deeper recursion or by many at once, all of them wait until a deadline ends one, and the
/// log says so. So give such calls deadlines; raise the spares; or have what handlers call run by a pool of its own, which
/// needs none where its own handlers call nobody. Calls over one connection have a bound of their own, the 100 streams of
/// [`max_concurrent_streams`](crate::ServerOptions::max_concurrent_streams): the next waits in its client for one that ends.
///
/// # When there is too much to do
/// Calls wait in a queue of 10 000 for a worker, and more are answered with `RESOURCE_EXHAUSTED`; a call whose time is over
/// when its turn comes does not run. Methods that are [reserved](crate::Service::reserved) come first, and do not wait at all.
/// A pool that has been full for a second, with all workers busy and calls waiting, writes a warning to the log, at most once
/// a second. [`saturated`](Self::saturated) counts these seconds, [`refused`](Self::refused) and [`expired`](Self::expired) what it cost.
#[derive(Clone)]
pub struct ThreadPool {
    owner: Arc<Owner>,
}

/// Its drop stops the threads, which themselves hold only the engine.
struct Owner {
    setup: Setup,
    engine: OnceLock<Arc<Engine>>,
    /// Held while the threads start, so that they start once.
    starting: Mutex<()>,
}

/// Sets up a [`ThreadPool`]; see [`ThreadPool::builder`].
#[derive(Clone, Debug)]
pub struct ThreadPoolBuilder {
    workers: usize,
    most: usize,
    spares: Option<usize>,
    queue: usize,
    idle: Duration,
}

/// What a [`ThreadPool`] is doing, and what it has counted: its methods of the same names tell what each number is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Workers that there always are.
    pub workers: usize,
    /// Workers that there are now.
    pub alive: usize,
    /// Handlers that run now.
    pub running: usize,
    /// Calls that wait for a worker now.
    pub queued: usize,
    /// Calls that were answered with `RESOURCE_EXHAUSTED` since as many waited as may.
    pub refused: u64,
    /// Calls that were over when their turn came.
    pub expired: u64,
    /// Seconds for which the pool was full.
    pub saturated: u64,
}

impl ThreadPoolBuilder {
    /// Up to so many workers while there is so much to do: one more whenever all are busy and a call has waited for
    /// 5 ms. Default: no more than there always are; fewer than these count as these, and the pool does not grow. A worker that sleeps takes some 20 KiB of memory.
    #[must_use]
    pub fn at_most(mut self, workers: usize) -> Self {
        self.most = workers;
        self
    }

    /// How many calls may wait for a worker, beside one for each worker that is free; more are answered with `RESOURCE_EXHAUSTED`.
    /// Default 10 000. Fewer answer overload sooner; each holds its request.
    #[must_use]
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls;
        self
    }

    /// How many workers there may be beyond all others while these wait for calls of their own, or for their clients, and calls
    /// wait for a worker. Default: four times as many as there may be otherwise, and 32 at least; a thread that is not needed is not
    /// there. A connection gets none while it holds more threads than are left. 0: none, and handlers that call their own
    /// server may wait for each other for ever.
    #[must_use]
    pub fn spares(mut self, workers: usize) -> Self {
        self.spares = Some(workers);
        self
    }

    /// How long a worker stays that is beyond those that there always are, and has nothing to do. Default 10 s. Any time will do: with zero
    /// it goes as soon as it finds no call that waits, and the next burst pays for new threads; with one beyond the clock's range, such as
    /// [`Duration::MAX`], it stays as long as the pool.
    #[must_use]
    pub fn idle(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    /// The pool. No thread starts before a server does.
    #[must_use]
    pub fn build(self) -> ThreadPool {
        let workers = self.workers.max(1);
        let most = self.most.max(workers);
        let spares = self.spares.unwrap_or_else(|| most.saturating_mul(SPARES_EACH).max(SPARES));
        // Bounded by what there may be, which counts only where it is asked for.
        let spares = spares.min(MOST_WORKERS.saturating_sub(most));
        let setup = Setup { workers, most, spares, queue: self.queue, idle: self.idle };
        let owner = Owner { setup, engine: OnceLock::new(), starting: Mutex::new(()) };
        ThreadPool { owner: Arc::new(owner) }
    }
}

impl ThreadPool {
    /// A pool of `workers` threads: at least one. No thread starts before a server does; the start of a server on a pool
    /// of more than 8 192, or of more than the system has, fails.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self::builder(workers).build()
    }

    /// As [`ThreadPool::new`], with room for `queue` calls that wait for a worker (default
    /// 10 000), beside one for each worker that is free; more are answered with RESOURCE_EXHAUSTED. A worker is busy
    /// until its handler has returned and all is done for its call: a moment longer than its client waits for the answer.
    #[must_use]
    pub fn with_queue(workers: usize, queue: usize) -> Self {
        Self::builder(workers).queue(queue).build()
    }

    /// A pool of `least` workers, and of up to `most` while there is so much to do: one more whenever all are busy and a call has waited
    /// for 5 ms. A worker that has had nothing to do for 10 s goes again. `least` is 1 at least, and a `most` below `least` counts as
    /// `least`: `growing(4, 2)` is `new(4)`, a pool that does not grow.
    #[must_use]
    pub fn growing(least: usize, most: usize) -> Self {
        Self::builder(least).at_most(most).build()
    }

    /// A pool of `workers`, which there always are, and more to be said of it.
    ///
    /// ```
    /// use grpc_threads::ThreadPool;
    ///
    /// let pool = ThreadPool::builder(4).at_most(64).queue(1_000).build();
    /// assert_eq!(pool.workers(), 4);
    /// ```
    #[must_use]
    pub fn builder(workers: usize) -> ThreadPoolBuilder {
        ThreadPoolBuilder { workers, most: 0, spares: None, queue: QUEUE, idle: IDLE }
    }

    /// The number of workers that there always are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.owner.setup.workers
    }

    /// The workers that there are now: 0 before a server has started, else no fewer than [`workers`](Self::workers).
    #[must_use]
    pub fn alive(&self) -> usize {
        self.owner.engine.get().map_or(0, |engine| engine.live())
    }

    /// Calls that were answered with `RESOURCE_EXHAUSTED` since its start, for as many waited as may.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.owner.engine.get().map_or(0, |engine| engine.refused())
    }

    /// Calls that were over when their turn came, by their deadline or by their client, and did not run. A number that grows tells of clients
    /// that wait less long than the queue is.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.owner.engine.get().map_or(0, |engine| engine.expired())
    }

    /// Calls that wait for a worker now.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.owner.engine.get().map_or(0, |engine| engine.queued())
    }

    /// For how many seconds since its start the pool has been full: all workers were busy for the whole of that second, while
    /// calls waited for one. A number that grows tells of handlers that block, or of too few workers. It is up to a second late;
    /// nothing is waited for.
    #[must_use]
    pub fn saturated(&self) -> u64 {
        self.owner.engine.get().map_or(0, |engine| engine.saturated())
    }

    /// Handlers that run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.owner.engine.get().map_or(0, |engine| engine.running())
    }

    /// All of these numbers. Never waits.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            workers: self.workers(),
            alive: self.alive(),
            running: self.running(),
            queued: self.queued(),
            refused: self.refused(),
            expired: self.expired(),
            saturated: self.saturated(),
        }
    }

    /// The pool's poller. Starts the threads.
    ///
    /// # Errors
    /// When no thread, epoll, eventfd or timerfd can be had. The next call tries again.
    pub(crate) fn poller(&self) -> io::Result<Arc<Poller>> {
        self.owner.engine().map(|engine| engine.poller().clone())
    }

    /// Waits until the threads of a pool whose last handle is gone have ended.
    #[cfg(test)]
    pub(crate) fn watch(&self) -> Ended {
        Ended { engine: self.owner.engine.get().cloned() }
    }
}

impl Owner {
    fn engine(&self) -> io::Result<&Arc<Engine>> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        if self.setup.most > MOST_WORKERS {
            let text = format!("a pool of {} workers: {MOST_WORKERS} at most", self.setup.most);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let _starting = self.starting.lock();
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::start(&self.setup)?;
        Ok(self.engine.get_or_init(|| engine))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.get() {
            engine.stop();
        }
    }
}

impl Executor for ThreadPool {
    fn execute(&self, job: Job) -> Result<(), Rejected> {
        self.owner.engine().map_err(|_| Rejected)?.submit(job)
    }
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadPool").field("workers", &self.workers()).finish_non_exhaustive()
    }
}

/// Waits for a pool's threads. Not on one of them.
#[cfg(test)]
pub(crate) struct Ended {
    engine: Option<Arc<Engine>>,
}

#[cfg(test)]
impl Ended {
    /// Whether all threads have ended before the deadline (`None`: however long it takes).
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
        self.engine.as_ref().is_none_or(|engine| engine.wait_ended(deadline))
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

    #[test]
    fn a_pool_that_is_to_grow_to_fewer_than_it_has_does_not_grow() {
        let setup = |pool: ThreadPool| (pool.owner.setup.workers, pool.owner.setup.most);
        assert_eq!(setup(ThreadPool::growing(4, 2)), (4, 4));
        assert_eq!(setup(ThreadPool::growing(0, 0)), (1, 1));
        assert_eq!(setup(ThreadPool::growing(2, 4)), (2, 4));
    }

    #[test]
    fn a_pool_of_too_many_is_an_error_that_names_the_bound() {
        for workers in [usize::MAX, usize::MAX / 64, MOST_WORKERS + 1] {
            let pool = ThreadPool::with_queue(workers, usize::MAX);
            assert_eq!(pool.workers(), workers);
            let text = pool.poller().unwrap_err().to_string();
            assert!(text.contains("8192 at most"), "{text}");
            assert!(pool.execute(Job::new(Box::new(Nothing), false)).is_err());
        }
    }
}
