//! `ThreadPool`: the handle of a server's threads. The threads are in [`engine`](super::engine).

use std::io;
use std::sync::{Arc, OnceLock};
#[cfg(test)]
use std::time::Instant;

use crate::sync::Mutex;

use super::engine::Engine;
use super::{Executor, Job, Poller, Rejected};

pub(crate) use super::engine::{before_block, has_blocked, is_worker};

/// Jobs that may wait for a worker, by default.
const QUEUE: usize = 10_000;
/// Threads a pool may have. Each takes four of the 65 530 mappings that Linux gives a process, and a thread that is short
/// of the last of them aborts it.
const MOST_WORKERS: usize = 8_192;

/// A fixed number of worker threads that run a server's handlers and read its sockets.
///
/// Cheap to clone; a pool may serve several servers. Its threads start with the
/// first server and end when the last handle and the last server are gone. Besides
/// the workers there is one thread that only reads sockets while all workers are busy,
/// so a pool of `n` has `n + 1` threads, however many connections there are.
///
/// # How many workers
/// A worker runs one handler from its beginning to its return, also while that waits. So a handler that streams to a slow
/// client, or waits for the next message of a quiet one, holds its worker all the time: four such calls on a pool of four,
/// and the server answers nobody else. Where streams are long, have as many workers as there may be of them, or hand the
/// stream to a thread of your own with [`ServerStream::detach`](crate::ServerStream::detach), which frees the worker at once.
///
/// A handler that calls its own server needs a second worker for that call. When all are busy it waits for one, if they do
/// the same for ever: give such calls a deadline, or another pool.
///
/// A pool that has been full for a second, with all workers busy and calls waiting, writes a warning to the log, at most once
/// a second; and [`saturated`](Self::saturated) counts these seconds.
#[derive(Clone)]
pub struct ThreadPool {
    owner: Arc<Owner>,
}

/// Its drop stops the threads, which themselves hold only the engine.
struct Owner {
    workers: usize,
    limit: usize,
    engine: OnceLock<Arc<Engine>>,
    /// Held while the threads start, so that they start once.
    starting: Mutex<()>,
}

impl ThreadPool {
    /// A pool of `workers` threads: at least one. No thread starts before a server does; the start of a server on a pool
    /// of more than 8 192, or of more than the system has, fails.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self::with_queue(workers, QUEUE)
    }

    /// As [`ThreadPool::new`], with room for `queue` calls that wait for a worker (default
    /// 10 000), beside one for each worker that is free; more are answered with RESOURCE_EXHAUSTED. A worker is busy
    /// until its handler has returned and all is done for its call: a moment longer than its client waits for the answer.
    #[must_use]
    pub fn with_queue(workers: usize, queue: usize) -> Self {
        let owner = Owner {
            workers: workers.max(1),
            limit: queue,
            engine: OnceLock::new(),
            starting: Mutex::new(()),
        };
        Self { owner: Arc::new(owner) }
    }

    /// The number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.owner.workers
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
        if self.workers > MOST_WORKERS {
            let text = format!("a pool of {} workers: {MOST_WORKERS} at most", self.workers);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let _starting = self.starting.lock();
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::start(self.workers, self.limit)?;
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
