//! Answers that wait for each other: one system call for many.
//!
//! While a worker has more short jobs queued, what its handlers send is appended
//! to the link and the link is noted here; the worker flushes all of them when
//! the queue is empty, after [`ANSWERS`] of them, after [`LATE`], and before any
//! job that is not known to be short.
//! **Rule: nobody blocks (queue, epoll, park) with a noted link.**
//!
//! A handler that blocks in its own code keeps us from the rule. Then the pool's net, a timer
//! that is set with the first note, flushes the worker's shelf from another thread.
//!
//! Locks: one per worker, ranked below a link's (links are noted under their lock), so
//! links are flushed and dropped after it is released.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::{Mutex, thread_own};

use super::clock;

const ANSWERS: usize = 64;
const LATE: Duration = Duration::from_micros(50);

/// Sends what was appended.
pub(crate) trait Flush: Send + Sync {
    fn flush(&self);
}

/// The links that one thread has still to flush.
#[derive(Default)]
pub(super) struct Shelf {
    corked: Mutex<Corked>,
}

#[derive(Default)]
struct Corked {
    answers: usize,
    since: Option<Instant>,
    links: Vec<Arc<dyn Flush>>,
}

thread_own! {
    static ON: Cell<bool> = Cell::new(false);
    static SHELF: OnceCell<Arc<Shelf>> = OnceCell::new();
}

/// Notes `link` if this thread corks: whether it is the first. `None`: the caller flushes.
pub(super) fn note<T: Flush + 'static>(link: impl FnOnce() -> Option<Arc<T>>) -> Option<bool> {
    if ON.reach(Cell::get) != Some(true) {
        return None;
    }
    let link = link()?;
    shelf().map(|shelf| shelf.note(link))
}

/// Flushes everything noted by this thread. Call before anything that blocks.
pub(crate) fn flush_all() {
    if let Some(shelf) = shelf() {
        shelf.flush(|_| true);
    }
}

/// Gives this thread a shelf.
pub(super) fn install(shelf: &Arc<Shelf>) {
    SHELF.reach(|place| place.set(shelf.clone()).is_ok());
}

/// Turns corking on or off for what this thread does next. Off does not flush.
pub(super) fn set(on: bool) {
    ON.reach(|own| own.set(on));
}

/// Flushes if enough has gathered on this thread.
pub(super) fn flush_if_due() {
    if let Some(shelf) = shelf() {
        shelf.flush(|corked| {
            let late = |since: Instant| clock::now() >= since + LATE;
            corked.answers >= ANSWERS || corked.since.is_some_and(late)
        });
    }
}

/// This thread's, if it has one. Not borrowed: to flush is to run anything, a drop of somebody's last handle too.
fn shelf() -> Option<Arc<Shelf>> {
    SHELF.reach(|shelf| shelf.get().cloned()).flatten()
}

impl Shelf {
    /// Whether it is the first.
    fn note<T: Flush + 'static>(&self, link: Arc<T>) -> bool {
        let mut corked = self.corked.lock();
        corked.answers += 1;
        let first = corked.since.is_none();
        if first {
            corked.since = Some(clock::now());
        }
        let address = Arc::as_ptr(&link).cast::<()>();
        if corked.links.iter().all(|noted| Arc::as_ptr(noted).cast::<()>() != address) {
            corked.links.push(link);
        } else {
            // Not the last holder: the noted one lives. Still, no drop under our lock.
            drop(corked);
        }
        first
    }

    /// From another thread: flushes what was noted before `then`. Whether something younger is left.
    pub(super) fn flush_older(&self, then: Instant) -> bool {
        self.flush(|corked| corked.since.is_some_and(|since| since <= then));
        self.corked.lock().since.is_some()
    }

    fn flush(&self, when: impl FnOnce(&Corked) -> bool) {
        let mut corked = self.corked.lock();
        if corked.links.is_empty() || !when(&corked) {
            return;
        }
        corked.answers = 0;
        corked.since = None;
        let mut links = std::mem::take(&mut corked.links);
        drop(corked);
        for link in &links {
            link.flush();
        }
        links.clear();
        // The buffer is kept, the links are not.
        let mut corked = self.corked.lock();
        if corked.links.is_empty() {
            corked.links = links;
        }
    }
}

#[cfg(test)]
mod tests;
