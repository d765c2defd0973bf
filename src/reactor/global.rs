//! The process's poller of client links. It starts with its first use and is never joined.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::sync::{plain::Mutex, process_wide};
use crate::tell;

use super::{OnTimer, Poller, spares, threads};

process_wide! {
    /// Guards the start of the process's poller. A leaf.
    static POLLER: Mutex<Option<Arc<Poller>>> = Mutex::new(None);
}

/// See [`client_poller`](super::client_poller).
pub(super) fn client_poller() -> io::Result<Arc<Poller>> {
    let mut slot = POLLER.lock();
    if let Some(poller) = &*slot {
        return Ok(poller.clone());
    }
    let poller = Poller::new()?;
    let turning = poller.clone();
    threads::spawn("grpc-poller", move || turn_for_ever(&turning))?;
    *slot = Some(poller.clone());
    drop(slot);
    spares::join(&poller);
    Ok(poller)
}

/// This process is a child, where nobody turns it. It is not dropped: it holds links of the parent's.
pub(super) fn forget() {
    std::mem::forget(POLLER.lock().take());
}

fn turn_for_ever(poller: &Poller) {
    let mut jobs = Vec::new();
    while !threads::over() {
        match tell::contain(|| poller.turn(&mut jobs)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tell::error!("the poller of client links failed: {error}"),
            // The last line of defence: there is no other poller.
            Err(_) => tell::error!("an event's receiver panicked"),
        }
        // Client links make no jobs.
        jobs.clear();
    }
}

/// Sets a timer on the poller of client links, or in a process that has servers alone on one of theirs, which may end
/// before. False: there is none.
pub(super) fn remind(at: Instant, target: Arc<dyn OnTimer>) -> bool {
    let poller = POLLER.lock().clone();
    poller.or_else(spares::turning).map(|poller| poller.timer(at, target, 0)).is_some()
}

/// Ends what is never joined: an execution of the model checker is over.
#[cfg(all(test, shuttle))]
pub(crate) fn end() {
    crate::sync::model::end();
    let poller = POLLER.lock().take();
    poller.iter().for_each(|poller| poller.kick());
    super::notifier::end();
}
