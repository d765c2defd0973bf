//! The two threads of the process: the poller of client links and the notifier.
//! Both start with their first use and are never joined.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::sync::Mutex;
use crossbeam_channel::{Sender, unbounded};

use super::{Poller, threads};

/// Guards the start of the process's threads. A leaf.
static POLLER: Mutex<Option<Arc<Poller>>> = Mutex::new(None);
static NOTIFIER: Mutex<Option<Sender<Callback>>> = Mutex::new(None);

/// A callback of the user's, or something that ends in one.
pub(crate) type Callback = Box<dyn FnOnce() + Send>;

/// The poller of client links.
///
/// # Errors
/// When no thread, epoll or eventfd can be had. The next call tries again.
pub(crate) fn client_poller() -> io::Result<Arc<Poller>> {
    let mut slot = POLLER.lock();
    if let Some(poller) = &*slot {
        return Ok(poller.clone());
    }
    let poller = Poller::new()?;
    let turning = poller.clone();
    threads::spawn("grpc-poller", move || turn_for_ever(&turning))?;
    *slot = Some(poller.clone());
    Ok(poller)
}

fn turn_for_ever(poller: &Poller) {
    let mut jobs = Vec::new();
    loop {
        match catch_unwind(AssertUnwindSafe(|| poller.turn(&mut jobs))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("the poller of client links failed: {error}"),
            // The last line of defence: there is no other poller.
            Err(_) => log::error!("an event's receiver panicked"),
        }
        // Client links make no jobs.
        jobs.clear();
    }
}

/// Runs `callback` on the notifier thread, after those given before. A panic in it is
/// logged. Where no thread can be had it runs here, which is late but not never.
pub(crate) fn notify(callback: Callback) {
    let sender = {
        let mut slot = NOTIFIER.lock();
        if slot.is_none() {
            *slot = start_notifier().ok();
        }
        slot.clone()
    };
    match sender {
        Some(sender) => {
            if let Err(unsent) = sender.send(callback) {
                run(unsent.into_inner());
            }
        }
        None => run(callback),
    }
}

fn start_notifier() -> io::Result<Sender<Callback>> {
    let (sender, receiver) = unbounded::<Callback>();
    threads::spawn("grpc-notifier", move || {
        for callback in receiver {
            run(callback);
        }
    })?;
    Ok(sender)
}

fn run(callback: Callback) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        log::error!("a callback panicked; the panic message was printed by the panic hook");
    }
}
