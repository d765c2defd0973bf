//! Who is told once a call is over, however it ends.

use std::sync::{Arc, Weak};

use super::{Callback, Ended, ServerCall};
use crate::link::Notify;
use crate::reactor::notify;

impl ServerCall {
    /// Runs `callback` on the notifier thread once the call is over; false when it is already.
    pub(crate) fn add_callback(self: &Arc<Self>, callback: Callback) -> bool {
        let watch = {
            let mut reply = self.reply.lock();
            if reply.ended != Ended::No || self.stream.ended() {
                return false;
            }
            reply.callbacks.push(callback);
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
        // A statement of its own: the guard must be gone when they are handed on.
        let callbacks = std::mem::take(&mut self.reply.lock().callbacks);
        callbacks.into_iter().for_each(notify);
    }
}

/// Tells a call's callbacks of an end that came from the peer.
struct Watch(Weak<ServerCall>);

impl Notify for Watch {
    fn progress(&self) {
        let Some(call) = self.0.upgrade() else { return };
        if call.stream.ended() {
            call.tell_callbacks();
        }
    }
}
