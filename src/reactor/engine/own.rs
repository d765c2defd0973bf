//! What a thread knows of its pool: whose worker it is, whose sockets it reads, and that its job waits.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};

use super::super::cork::{self, Flush};
use super::Engine;
use crate::sync::atomic::Ordering;
use crate::sync::thread_own;

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

impl Engine {
    /// About to block in a job.
    fn block(&self) {
        self.asleep.fetch_add(1, Ordering::Relaxed);
        let first = !set_blocked(true);
        // All handlers would meet on this lock for each message. Whoever queues a job knows of us already.
        if !first && !self.waits.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        let left = state.queue.queued();
        let wakes = state.duty.block(first, left);
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
/// somebody polls is sure already: a worker sees to that before it runs a job. To be kept until the wait is over.
pub(crate) fn before_block() -> Blocked {
    cork::flush_all();
    block()
}

/// The second half of [`before_block`], for who has called [`cork::flush_all`] before and holds nothing back since. Runs
/// nobody else's code, so whoever waits for a permit may have said so already.
pub(crate) fn block() -> Blocked {
    with_home(Engine::block);
    Blocked(())
}

/// This thread waits, for as long as this is there. Not to be handed to another.
#[must_use = "the wait is over when it is dropped"]
pub(crate) struct Blocked(());

impl Drop for Blocked {
    fn drop(&mut self) {
        with_home(|engine| {
            engine.asleep.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// The job that runs on this worker has nothing to do: its call was over before its turn came.
pub(crate) fn note_expired() {
    with_home(|engine| {
        engine.expired.fetch_add(1, Ordering::Relaxed);
    });
}

/// Notes `link` if this thread corks, and sees to the net; false: the caller flushes. The link's lock may be held.
pub(crate) fn defer<T: Flush + 'static>(link: impl FnOnce() -> Option<Arc<T>>) -> bool {
    let first = cork::note(link);
    if first == Some(true) {
        with_home(Engine::spread_net);
    }
    first.is_some()
}

fn with_home(act: impl FnOnce(&Engine)) {
    let home = HOME.reach(|home| home.borrow().upgrade());
    if let Some(engine) = home.flatten() {
        act(&engine);
    }
}

/// The engine whose sockets this thread reads now. `None` in a job, and on a thread that is no pool's.
pub(in crate::reactor) fn read_here() -> Option<Arc<Engine>> {
    if RUNS.reach(Cell::get).unwrap_or(false) {
        return None;
    }
    READS.reach(|own| own.borrow().upgrade()).flatten()
}

/// This thread reads the sockets of `engine`, from now on.
pub(super) fn begin_to_read(engine: &Arc<Engine>) {
    READS.reach(|own| own.replace(Arc::downgrade(engine)));
}

/// And reads no more.
pub(super) fn end_to_read() {
    READS.reach(RefCell::take);
}

/// This thread is a worker of `engine`, from now on.
pub(super) fn begin_to_work(engine: &Arc<Engine>) {
    HOME.reach(|home| home.replace(Arc::downgrade(engine)));
}

/// A job runs on this thread, or does not any more.
pub(super) fn set_runs(runs: bool) {
    RUNS.reach(|own| own.set(runs));
}

/// What it was before.
pub(super) fn set_blocked(blocked: bool) -> bool {
    BLOCKED.reach(|own| own.replace(blocked)).unwrap_or(false)
}
