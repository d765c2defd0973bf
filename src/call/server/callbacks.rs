//! Who is told once a call is over, however it ends, and who of room to send as well.

use std::sync::{Arc, Weak};

use super::ServerCall;
use super::reply::{Callback, Ended, Reply};
use crate::link::Notify;
use crate::reactor::notify;

impl ServerCall {
    /// Runs `callback` on the notifier thread once the call is over; false when it is already.
    pub(crate) fn add_callback(self: &Arc<Self>, callback: Callback) -> bool {
        self.watch(|reply| reply.callbacks.push(callback))
    }

    /// Tells `listener` of room to send and of the end, as its stream does; false when the call is over.
    pub(crate) fn tell_progress(self: &Arc<Self>, listener: Arc<dyn Notify>) -> bool {
        self.watch(|reply| reply.listener = Some(listener))
    }

    fn watch(self: &Arc<Self>, note: impl FnOnce(&mut Reply)) -> bool {
        let watch = {
            let mut reply = self.reply.lock();
            if reply.ended != Ended::No || self.stream.ended() {
                return false;
            }
            note(&mut reply);
            !std::mem::replace(&mut reply.watched, true)
        };
        if watch {
            self.stream.notify(Arc::new(Watch(Arc::downgrade(self))));
            // The end may have come between the look above and the registration.
            if self.stream.ended() {
                self.tell_callbacks();
            }
        }
        true
    }

    pub(super) fn tell_callbacks(&self) {
        if let Some(intercept) = &self.intercept {
            // By whom else it was ended has been noted.
            intercept.ended(&self.ended_status());
        }
        let mut reply = self.reply.lock();
        let (callbacks, listener) = (std::mem::take(&mut reply.callbacks), reply.listener.take());
        drop(reply);
        callbacks.into_iter().for_each(notify);
        if let Some(listener) = listener {
            listener.progress();
        }
    }
}

/// Tells a call's callbacks of an end that came from the peer, and its listener of that and of room.
struct Watch(Weak<ServerCall>);

impl Notify for Watch {
    fn progress(&self) {
        let Some(call) = self.0.upgrade() else { return };
        if call.stream.ended() {
            return call.tell_callbacks();
        }
        // A statement of its own: the guard must be gone when it is told.
        let listener = call.reply.lock().listener.clone();
        if let Some(listener) = listener {
            listener.progress();
        }
    }
}
