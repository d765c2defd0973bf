//! Answers that wait for each other: one system call for many.
//!
//! While a worker has more short jobs queued, what its handlers send is appended
//! to the link and the link is noted here; the worker flushes all of them when
//! the queue is empty, after [`ANSWERS`] of them, or after [`LATE`].
//! **Rule: nobody blocks (queue, epoll, park) with a noted link.**

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock;

const ANSWERS: usize = 64;
const LATE: Duration = Duration::from_micros(50);

/// Sends what was appended.
pub(crate) trait Flush: Send + Sync {
    fn flush(&self);
}

#[derive(Default)]
struct Cork {
    on: bool,
    answers: usize,
    since: Option<Instant>,
    noted: Vec<Arc<dyn Flush>>,
}

thread_local! {
    static CORK: RefCell<Cork> = RefCell::new(Cork::default());
}

/// Notes `link` if this thread corks; false: the caller flushes.
pub(crate) fn defer<T: Flush + 'static>(link: impl FnOnce() -> Option<Arc<T>>) -> bool {
    CORK.with_borrow_mut(|cork| {
        if !cork.on {
            return false;
        }
        let Some(link) = link() else { return false };
        cork.answers += 1;
        let address = Arc::as_ptr(&link).cast::<()>();
        if cork.noted.iter().all(|noted| Arc::as_ptr(noted).cast::<()>() != address) {
            cork.noted.push(link);
        }
        cork.since.get_or_insert_with(clock::now);
        true
    })
}

/// Turns corking on or off for what this thread does next. Off does not flush.
pub(super) fn set(on: bool) {
    CORK.with_borrow_mut(|cork| cork.on = on);
}

/// Flushes if enough has gathered.
pub(super) fn flush_if_due() {
    let due = CORK.with_borrow(|cork| {
        cork.answers >= ANSWERS || cork.since.is_some_and(|at| clock::now() >= at + LATE)
    });
    if due {
        flush_all();
    }
}

/// Flushes everything noted. Call before anything that blocks.
pub(crate) fn flush_all() {
    let noted = CORK.with_borrow_mut(|cork| {
        cork.answers = 0;
        cork.since = None;
        std::mem::take(&mut cork.noted)
    });
    for link in &noted {
        link.flush();
    }
    CORK.with_borrow_mut(|cork| {
        if cork.noted.is_empty() {
            // The buffer is kept, the links are not.
            cork.noted = noted;
            cork.noted.clear();
        }
    });
}
