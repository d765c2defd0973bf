//! Requests that wait because their client does not take what it was answered.
//!
//! A handler's one answer goes to its stream whole, however long it is, so that no worker waits for a client. What bounds
//! such answers is that no more handlers start: while more than [`max_unsent`](crate::http2::Options::max_unsent) octets
//! wait to be sent on a connection, its next requests are held here, by nobody's thread. They go on when half
//! of that has gone. One request at a time passes all the same: a client that leaves long answers unread and waits for
//! another call gets its answer, or it might never read the others.
//!
//! Guarded by the link's lock.

use std::collections::VecDeque;

use crate::http2::types::Key;
use crate::reactor::Job;

/// Makes a job of a request when its turn has come, and no more: it does not block.
pub(crate) type Held = Box<dyn FnOnce() -> Job + Send>;

/// The requests of one connection that are held.
#[derive(Default)]
pub(super) struct Hold {
    pub(super) held: VecDeque<(Key, Held)>,
    /// The one that passed although too much waits.
    pub(super) passed: Option<Key>,
}

impl Hold {
    /// The link is closed: what is held is for dropping once the lock is released.
    pub(super) fn close(&mut self) -> VecDeque<(Key, Held)> {
        std::mem::take(&mut self.held)
    }
}
