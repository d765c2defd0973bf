//! Threads for code of the user's that may block as long as it likes: request iterators
//! of calls that nobody waits on.

use std::io;
use std::sync::Arc;

use super::threads;
use crate::sync::Mutex;

/// What a thread is for.
type Work = Box<dyn FnOnce() + Send>;

/// Runs `work` on a thread of its own, which ends with it.
///
/// # Errors
/// When the system has no more threads: why, and the work, which was not begun.
pub(crate) fn spawn(purpose: &str, work: Work) -> Result<(), (io::Error, Option<Work>)> {
    // A thread that is not born drops what it was given, and the caller has to be first.
    let handed = Arc::new(Mutex::new(Some(work)));
    let own = handed.clone();
    let begin = move || {
        // A statement of its own: the guard must be gone when the work runs.
        let work = own.lock().take();
        if let Some(work) = work {
            work();
        }
    };
    match threads::spawn(&format!("grpc-{purpose}"), begin) {
        Ok(_) => Ok(()),
        Err(error) => {
            let work = handed.lock().take();
            Err((error, work))
        }
    }
}
