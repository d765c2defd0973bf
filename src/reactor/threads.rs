//! Where threads are born: named, counted, and never with a panic when none can be had.

use crate::sync::atomic::{AtomicUsize, Ordering};
use std::io;
use std::thread::{Builder, JoinHandle};

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Starts a thread. The name is cut at 15 octets by the kernel: keep it short.
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
    Builder::new().name(name.to_owned()).spawn(move || {
        let _alive = alive;
        body();
    })
}

/// How many threads of this library live now, in the whole process.
#[must_use]
pub fn thread_count() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

struct Alive;

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}
