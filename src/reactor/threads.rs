//! Where threads are born: named, counted, deaf to signals, and never with a panic when none can be had.
//!
//! A signal that is sent to a process goes to any thread that has not blocked it. A program that waits for its signals in
//! one thread (`sigwait`, `signalfd`) blocks them in the others, but it cannot reach threads of ours that live already; so
//! ours are born with all of them blocked, and the handlers of the program's run on its own threads.

use crate::sync::atomic::{AtomicUsize, Ordering};
use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::sync::process_wide;
use crate::sync::thread::{Builder, JoinHandle, available_parallelism};

process_wide! {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
}

/// What a thread of ours still takes: what its own faults raise (the process dies of them either way, but with a message),
/// and what a profiler sends to whichever thread it wants to look at.
const HEARD: [Signal; 8] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGSYS,
    Signal::SIGABRT,
    Signal::SIGPROF,
];

/// Starts a thread. The name is cut at 15 octets by the kernel: keep it short. It takes no signals but [`HEARD`], nor do
/// the threads that code on it starts.
///
/// # Errors
/// When the system has no more threads.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    ALIVE.fetch_add(1, Ordering::Relaxed);
    let alive = Alive;
    // A thread is born with the mask of the one that starts it. To block them in its own first lines would be late.
    let _deaf = Deaf::begin();
    Builder::new().name(name.to_owned()).spawn(move || {
        let _alive = alive;
        body();
    })
}

/// This thread takes no signals until it is dropped; then those that have come meanwhile.
struct Deaf(Option<SigSet>);

impl Deaf {
    fn begin() -> Self {
        // There all threads are one.
        if cfg!(all(test, shuttle)) {
            return Self(None);
        }
        let mut blocked = SigSet::all();
        for signal in HEARD {
            blocked.remove(signal);
        }
        // It cannot fail: the operation is a known one.
        Self(blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok())
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            let _ = before.thread_set_mask();
        }
    }
}

/// How many threads may run at once.
pub(super) fn cpus() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Whether threads that are never joined have to end: only where an execution of the model checker is over.
#[inline]
pub(super) fn over() -> bool {
    #[cfg(all(test, shuttle))]
    return crate::sync::model::over();
    #[cfg(not(all(test, shuttle)))]
    false
}

/// How many threads of this library live now, in the whole process.
#[must_use]
pub fn thread_count() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

/// This process is a child of the one that they were born in: none of them lives here.
pub(super) fn forget() {
    ALIVE.store(0, Ordering::Relaxed);
}

struct Alive;

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}
