//! Threads and time: everything that waits for the kernel or runs somebody's code.
//!
//! Owns the poller (epoll, timers), the server's worker pool, the process's own two
//! threads (client poller, notifier), parkers, corks, and the clock. Knows
//! neither HTTP/2 nor gRPC. Threads are born in [`threads`], and nowhere else.
//!
//! Locks: all leaves, held for a few instructions; never over a callback or a system
//! call that may block.

use std::io;
use std::sync::Arc;

mod agenda;
mod alarm;
mod alarms;
mod backlog;
pub(crate) mod clock;
pub(crate) mod cork;
pub(crate) mod courtesy;
mod crew;
mod duty;
mod engine;
mod face;
#[cfg(test)]
pub(crate) mod few;
mod global;
mod growth;
pub(crate) mod habit;
pub(crate) mod helper;
mod job;
mod keep;
#[cfg(not(all(test, shuttle)))]
mod kernel;
#[cfg(feature = "testing")]
pub(crate) mod leap;
#[cfg(all(test, shuttle))]
mod model;
mod notifier;
mod parker;
mod poller;
pub(crate) mod pool;
pub(crate) mod process;
mod shares;
pub(crate) mod spares;
pub(crate) mod threads;
mod timetable;
pub(crate) mod user;

pub use job::{Executor, Job, Rejected};
pub use pool::{PoolStats, ThreadPool, ThreadPoolBuilder};
pub use threads::thread_count;

#[cfg(all(test, shuttle))]
use model as kernel;

pub(crate) use alarm::Alarm;
pub(crate) use alarms::Alarms;
pub(crate) use cork::Flush;
pub(crate) use crew::Crew;
pub(crate) use face::{Interest, Mode, OnTimer, Readiness, Ready, Token};
#[cfg(all(test, shuttle))]
pub(crate) use global::end;
pub(crate) use job::Work;
pub(crate) use keep::Keep;
pub(crate) use notifier::{notify, run_here};
pub(crate) use parker::Waiter;
pub(crate) use poller::{LONGEST_BUSY_POLL, Poller};
pub(crate) use timetable::{Ticket, Timetable};

/// The process's poller of client links. It starts with its first use, and anew in a child of a fork.
///
/// # Errors
/// When no thread, epoll or eventfd can be had. The next call tries again.
pub(crate) fn client_poller() -> io::Result<Arc<Poller>> {
    process::begin();
    global::client_poller()
}
