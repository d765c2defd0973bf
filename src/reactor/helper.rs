//! Threads for code of the user's that may block as long as it likes: request iterators
//! of calls that nobody waits on.

use std::io;

use super::threads;

/// Runs `work` on a thread of its own, which ends with it.
///
/// # Errors
/// When the system has no more threads.
pub(crate) fn spawn(purpose: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    threads::spawn(&format!("grpc-{purpose}"), work).map(drop)
}
