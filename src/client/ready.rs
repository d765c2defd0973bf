//! A callback that is told that there is something to take: what `on_ready` gives to a call.
//!
//! It runs on the notifier's thread and nowhere else, so never twice at once. What comes while it is on its way there is
//! told by that. Its lock is a leaf: the callback is taken out to be called, and dropped with none held.

use std::sync::Arc;

use crate::call::client::Ready;
use crate::reactor::{notify, user};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// A callback of the user's.
pub(super) type Callback = Box<dyn FnMut() + Send>;

/// Who is told.
pub(super) struct OnReady {
    /// It is on its way to the notifier.
    scheduled: AtomicBool,
    delivery: Mutex<Delivery>,
}

struct Delivery {
    /// `None` while it runs, and at the end.
    callback: Option<Callback>,
    ended: bool,
}

impl OnReady {
    pub(super) fn new(callback: Callback) -> Arc<Self> {
        let delivery = Delivery { callback: Some(callback), ended: false };
        Arc::new(Self { scheduled: AtomicBool::new(false), delivery: Mutex::new(delivery) })
    }

    fn deliver(&self) {
        // What comes from here on is told anew.
        self.scheduled.store(false, Ordering::Release);
        let Some(mut callback) = self.delivery.lock().callback.take() else { return };
        // Logged: it is told what comes later all the same.
        let _ = user::run(format_args!("an on_ready callback"), &mut callback);
        let mut delivery = self.delivery.lock();
        let unwanted = match delivery.ended {
            true => Some(callback),
            false => delivery.callback.replace(callback),
        };
        drop(delivery);
        drop_quietly(unwanted);
    }
}

impl Ready for OnReady {
    fn ready(self: Arc<Self>, last: bool) {
        let first = !self.scheduled.swap(true, Ordering::AcqRel);
        if last {
            // Even when one is on its way: this one lets go of it.
            return notify(Box::new(move || {
                self.deliver();
                self.end();
            }));
        }
        if first {
            notify(Box::new(move || self.deliver()));
        }
    }

    fn end(&self) {
        let mut delivery = self.delivery.lock();
        delivery.ended = true;
        let unwanted = delivery.callback.take();
        drop(delivery);
        drop_quietly(unwanted);
    }
}

fn drop_quietly(unwanted: Option<Callback>) {
    user::drop_quietly(format_args!("the drop of an on_ready callback"), unwanted);
}
