//! A clock that leaps: what tests advance, and who has to hear of it. With the feature `testing` alone.
//!
//! The clock goes on as ever, and is ahead of the system's by what it was advanced. Whoever sleeps until an instant sleeps by
//! the system's clock, and is woken when ours leaps, to look again: pollers, whose alarms are set anew, threads that park,
//! leaders that wait for their pipes.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::clock;
use crate::sync::{ahead, plain::Mutex, process_wide, thread};

/// Sleeps until an instant, or has somebody who does. Hears of a leap with no lock held.
pub(crate) trait OnLeap: Send + Sync {
    /// Whether a peer has yet to answer what it answers at once.
    fn asks(&self) -> bool {
        false
    }

    /// The clock has leapt. Never blocks.
    fn leapt(&self);

    /// Waits until what was due at `now` has been told to whom it concerns.
    fn catch_up(&self, now: Instant) {
        let _ = now;
    }
}

process_wide! {
    /// Guards who hears. A leaf.
    static HEARERS: Mutex<Hearers> = Mutex::new(Hearers { all: Vec::new(), sweep_at: SWEEP });
}

const SWEEP: usize = 64;

struct Hearers {
    all: Vec<Weak<dyn OnLeap>>,
    /// Those that are gone are looked for when there are so many.
    sweep_at: usize,
}

/// From now on it hears of leaps.
pub(crate) fn join<T: OnLeap + 'static>(hearer: &Arc<T>) {
    let hearer: Weak<T> = Arc::downgrade(hearer);
    let mut hearers = HEARERS.lock();
    let mut gone = Vec::new();
    if hearers.all.len() >= hearers.sweep_at {
        let (here, dead) =
            std::mem::take(&mut hearers.all).into_iter().partition(|one| one.strong_count() > 0);
        (hearers.all, gone) = (here, dead);
        hearers.sweep_at = SWEEP.max(hearers.all.len() * 2);
    }
    hearers.all.push(hearer);
    drop(hearers);
    drop(gone);
}

/// How long answers that are under way are waited for, by the system's clock: a peer that lives has given them by then.
const SETTLES: Duration = Duration::from_millis(100);

/// Advances the clock, and waits until all timers that are due by then have fired. Before it, answers that are under way may come
/// in, or a peer would be taken for dead because two leaps followed each other.
pub(crate) fn leap(by: Duration) {
    let began = clock::now();
    while hearers().iter().any(|one| one.asks())
        && clock::now().saturating_duration_since(began) < SETTLES
    {
        thread::yield_now();
    }
    ahead::advance(by);
    let now = clock::now();
    let hearers = hearers();
    hearers.iter().for_each(|hearer| hearer.leapt());
    hearers.iter().for_each(|hearer| hearer.catch_up(now));
}

/// This process is a child of the one whose pollers and links these are: nobody turns them here.
pub(super) fn forget() {
    let before =
        std::mem::replace(&mut *HEARERS.lock(), Hearers { all: Vec::new(), sweep_at: SWEEP });
    drop(before);
}

fn hearers() -> Vec<Arc<dyn OnLeap>> {
    HEARERS.lock().all.iter().filter_map(Weak::upgrade).collect()
}
