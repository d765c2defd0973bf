//! Who is told that a server is to stop: [`OnStop`].

use crate::reactor::user;
use crate::sync::Mutex;

/// Callbacks of the user's, each of which is run once. The lock is a leaf, and not held over any of them.
pub(in crate::server) struct OnStop(Mutex<Option<Vec<Callback>>>);

type Callback = Box<dyn FnOnce() + Send>;

impl OnStop {
    pub(in crate::server) fn new() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }

    /// For later, or where that is past for now.
    pub(in crate::server) fn add(&self, callback: Callback) {
        let mut waiting = self.0.lock();
        if let Some(callbacks) = &mut *waiting {
            return callbacks.push(callback);
        }
        drop(waiting);
        run(callback);
    }

    /// The server is told to stop, the first time or again.
    pub(in crate::server) fn tell(&self) {
        // A statement of its own: the guard must be gone when they run.
        let waiting = self.0.lock().take();
        waiting.into_iter().flatten().for_each(run);
    }
}

fn run(callback: Callback) {
    // What it says when it panics is logged.
    let _ = user::run(format_args!("a callback of on_stop"), callback);
}
