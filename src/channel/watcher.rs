//! One subscriber to a channel's connectivity, and how it is told: one delivery at a time, with no lock held.

use crate::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crate::reactor::{notify, user};
use crate::sync::Mutex;

use super::connectivity::Connectivity;

/// What is watched: the channel's shared state.
pub(super) trait Watched: Send + Sync {
    fn connectivity(&self) -> Connectivity;

    /// The subscription has ended.
    fn unwatch(&self, watcher: &Arc<Watcher>);
}

pub(super) type Callback = Box<dyn FnMut(Connectivity) + Send>;

/// One subscriber. Deliveries are coalesced: what was not yet delivered when the state changes again is skipped.
pub(super) struct Watcher {
    shared: Weak<dyn Watched>,
    /// It is the library's own, and told on the spot: who waits for it may be on the notifier's thread.
    own: bool,
    scheduled: AtomicBool,
    ended: AtomicBool,
    /// Guards what is delivered. A leaf: the callback is taken out to be called, and dropped after it.
    delivery: Mutex<Delivery>,
}

struct Delivery {
    /// `None` while it runs, and once the subscription has ended.
    callback: Option<Callback>,
    last: Option<Connectivity>,
    /// It runs, perhaps further up on this very thread, and looks again when it comes back.
    running: bool,
    again: bool,
}

impl Watcher {
    pub(super) fn new(shared: Weak<dyn Watched>, own: bool, callback: Callback) -> Arc<Self> {
        Arc::new(Self::of(shared, own, callback))
    }

    pub(super) fn of(shared: Weak<dyn Watched>, own: bool, callback: Callback) -> Self {
        let callback = Some(callback);
        let delivery = Delivery { callback, last: None, running: false, again: false };
        Self {
            shared,
            own,
            scheduled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            delivery: Mutex::new(delivery),
        }
    }

    /// The state may have changed: look, on the notifier's thread. No lock is held.
    pub(super) fn schedule(self: &Arc<Self>) {
        if self.own {
            return self.deliver(|| self.state());
        }
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            let watcher = self.clone();
            notify(Box::new(move || {
                watcher.scheduled.store(false, Ordering::Release);
                watcher.deliver(|| watcher.state());
            }));
        }
    }

    fn state(&self) -> Connectivity {
        self.shared.upgrade().map_or(Connectivity::Shutdown, |shared| shared.connectivity())
    }

    pub(super) fn deliver(&self, look: impl Fn() -> Connectivity) {
        while let Some((mut callback, state)) = self.begin(look()) {
            // Logged: the next change is told all the same.
            let _ = user::run(format_args!("a connectivity callback, told {state},"), || {
                callback(state);
            });
            let (unwanted, again) = self.finish(callback);
            user::drop_quietly(format_args!("the drop of a connectivity callback"), unwanted);
            if !again {
                return;
            }
        }
    }

    pub(super) fn begin(&self, state: Connectivity) -> Option<(Callback, Connectivity)> {
        let mut delivery = self.delivery.lock();
        if delivery.running {
            delivery.again = true;
            return None;
        }
        // The library's own asks for a connection when there is none, and may have been told of none in between.
        let known = delivery.last == Some(state) && !self.own;
        if self.ended.load(Ordering::Acquire) || known {
            return None;
        }
        let callback = delivery.callback.take()?;
        delivery.running = true;
        delivery.last = Some(state);
        Some((callback, state))
    }

    /// The callback if nobody wants it any more, and whether to look again.
    pub(super) fn finish(&self, callback: Callback) -> (Option<Callback>, bool) {
        let mut delivery = self.delivery.lock();
        delivery.running = false;
        let again = std::mem::take(&mut delivery.again);
        if self.ended.load(Ordering::Acquire) {
            return (Some(callback), false);
        }
        delivery.callback = Some(callback);
        (None, again)
    }

    /// Nothing more is delivered: the callback, unless it runs.
    pub(super) fn end(&self) -> Option<Callback> {
        // Under the lock, so that a callback that comes back is seen by one of the two.
        let mut delivery = self.delivery.lock();
        self.ended.store(true, Ordering::Release);
        delivery.callback.take()
    }
}

impl Watcher {
    /// What it watches is told that it does not any more.
    pub(super) fn leave(self: &Arc<Self>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.unwatch(self);
        }
    }
}
