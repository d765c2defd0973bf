//! The end of a connection that nobody uses.
//!
//! One timer for each connection, whose tag is its attempt. It looks whether calls were made since it was set, so a call pays
//! nothing for it.
//!
//! § `grpc_core`'s channel idleness (`grpc.client_idle_timeout_ms`): IDLE after 30 minutes without a call.

use std::sync::Arc;

use crate::link::Link;
use crate::reactor::clock;

use super::connectivity::Attempt;
use super::shared::Shared;

impl Shared {
    /// The connection of this attempt is in use from now on, or still: it is looked at later.
    pub(super) fn watch_use(&self, attempt: Attempt, link: &Link) {
        let Some(time) = self.settings.idle_timeout else { return };
        let (made, _) = link.made();
        self.inner.lock().made = made;
        if let (Some(at), Some(this)) = (clock::now().checked_add(time), self.this.upgrade()) {
            self.poller.timer(at, this, attempt.tag());
        }
    }

    /// The timer of a connection is due.
    pub(super) fn look_at_use(&self, attempt: Attempt) {
        let inner = self.inner.lock();
        // Another connection has a timer of its own.
        let link = inner.current.filter(|own| *own == attempt).and_then(|own| inner.link_of(own));
        let before = inner.made;
        drop(inner);
        let Some(link) = link else { return };
        let (made, running) = link.made();
        if made != before || running > 0 {
            return self.watch_use(attempt, &link);
        }
        self.rest(attempt, &link);
    }

    /// IDLE. A call that has come upon the connection meanwhile goes on.
    fn rest(&self, attempt: Attempt, link: &Arc<Link>) {
        self.change(|inner, _| {
            if inner.current == Some(attempt) {
                inner.current = None;
                *self.ready.write() = None;
                inner.machine.rest();
            }
        });
        link.drain();
    }
}
