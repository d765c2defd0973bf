//! Telling others of a channel's connectivity: [`Subscription`] and [`ReadyFuture`].

use crate::sync::atomic::{AtomicBool, Ordering};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::{Condvar, Mutex};

use crate::error::ResultError;
use crate::reactor::{clock, notify, user};
use crate::status::{Code, Status};

use super::connectivity::Connectivity;
use super::shared::Shared;

type Callback = Box<dyn FnMut(Connectivity) + Send>;

/// One subscriber. Deliveries are coalesced: what was not yet delivered when the state changes again is skipped.
pub(super) struct Watcher {
    shared: Weak<Shared>,
    /// It is the library's own, and told on the spot: who waits for it may be on the notifier's thread.
    own: bool,
    scheduled: AtomicBool,
    ended: AtomicBool,
    /// Guards the delivery. A user's is made by the notifier's thread only: never contended.
    delivery: Mutex<Delivery>,
}

struct Delivery {
    callback: Callback,
    last: Option<Connectivity>,
}

impl Watcher {
    fn new(shared: &Arc<Shared>, callback: Callback, own: bool) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::downgrade(shared),
            own,
            scheduled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            delivery: Mutex::new(Delivery { callback, last: None }),
        })
    }

    /// The state may have changed: look, on the notifier's thread. No lock may be held.
    pub(super) fn schedule(self: &Arc<Self>) {
        if self.own {
            self.deliver();
        } else if !self.scheduled.swap(true, Ordering::AcqRel) {
            let watcher = self.clone();
            notify(Box::new(move || watcher.deliver()));
        }
    }

    fn deliver(&self) {
        self.scheduled.store(false, Ordering::Release);
        let state = self.shared.upgrade().map_or(Connectivity::Shutdown, |shared| shared.state());
        let mut delivery = self.delivery.lock();
        if self.ended.load(Ordering::Acquire) || delivery.last == Some(state) {
            return;
        }
        delivery.last = Some(state);
        let callback = &mut delivery.callback;
        let _ =
            user::run(format_args!("a connectivity callback, told {state},"), || callback(state));
    }
}

/// A subscription to a channel's connectivity. Dropping it ends it; it does not keep the channel open.
#[must_use = "dropping the subscription ends it"]
pub struct Subscription {
    watcher: Arc<Watcher>,
}

impl Subscription {
    pub(super) fn new(shared: &Arc<Shared>, callback: Callback, try_to_connect: bool) -> Self {
        Self::begin(shared, Watcher::new(shared, callback, false), try_to_connect)
    }

    fn begin(shared: &Arc<Shared>, watcher: Arc<Watcher>, try_to_connect: bool) -> Self {
        shared.watch(watcher.clone());
        if try_to_connect {
            shared.want();
        }
        Self { watcher }
    }

    /// Ends the subscription. A delivery that has begun may still be running. Never waits;
    /// may be called from the callback.
    pub fn unsubscribe(self) {}
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.watcher.ended.store(true, Ordering::Release);
        if let Some(shared) = self.watcher.shared.upgrade() {
            shared.unwatch(&self.watcher);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// Tells when a channel is ready: see [`channel_ready_future`](crate::channel_ready_future).
///
/// Dropping it or cancelling it only detaches it; the channel goes on connecting.
pub struct ReadyFuture {
    waiting: Arc<Waiting>,
    subscription: Option<Subscription>,
}

#[derive(Default)]
struct Waiting {
    /// Guards the outcome. A leaf.
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    outcome: Option<Outcome>,
    callbacks: Vec<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ready,
    Closed,
    Cancelled,
}

impl ReadyFuture {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let waiting = Arc::<Waiting>::default();
        let told = waiting.clone();
        let callback = Box::new(move |state| match state {
            Connectivity::Ready => drop(told.end(Outcome::Ready)),
            Connectivity::Shutdown => drop(told.end(Outcome::Closed)),
            _ => {}
        });
        let watcher = Watcher::new(shared, callback, true);
        Self { waiting, subscription: Some(Subscription::begin(shared, watcher, true)) }
    }

    /// Waits until the channel is ready: with `None` as long as that takes, else at most `timeout`.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`] when `timeout` has passed, [`ResultError::Cancelled`] after [`cancel`](Self::cancel),
    /// [`ResultError::Rpc`] with CANCELLED when the channel was closed.
    pub fn result(&self, timeout: Option<Duration>) -> Result<(), ResultError> {
        let until = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        let mut progress = self.waiting.progress.lock();
        loop {
            match progress.outcome {
                Some(Outcome::Ready) => return Ok(()),
                Some(Outcome::Cancelled) => return Err(ResultError::Cancelled),
                Some(Outcome::Closed) => {
                    let status = Status::fixed(Code::Cancelled, "Channel closed!");
                    return Err(ResultError::Rpc(status));
                }
                None => {}
            }
            match until {
                Some(at) => {
                    let wait = self.waiting.changed.wait_until(&mut progress, at);
                    if wait.timed_out() && progress.outcome.is_none() {
                        return Err(ResultError::TimedOut);
                    }
                }
                None => self.waiting.changed.wait(&mut progress),
            }
        }
    }

    /// Whether there is an outcome: ready, closed or cancelled.
    #[must_use]
    pub fn done(&self) -> bool {
        self.waiting.progress.lock().outcome.is_some()
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.waiting.progress.lock().outcome == Some(Outcome::Cancelled)
    }

    /// Stops watching. True: there was no outcome before.
    pub fn cancel(&mut self) -> bool {
        self.subscription = None;
        self.waiting.end(Outcome::Cancelled)
    }

    /// Runs `callback` when there is an outcome: on the notifier thread, or here and now when there is one already.
    pub fn add_done_callback(&self, callback: impl FnOnce() + Send + 'static) {
        let mut progress = self.waiting.progress.lock();
        if progress.outcome.is_none() {
            progress.callbacks.push(Box::new(callback));
            return;
        }
        drop(progress);
        user::run_here(format_args!("a callback of a channel's readiness"), Box::new(callback));
    }
}

impl Waiting {
    fn end(&self, outcome: Outcome) -> bool {
        let mut progress = self.progress.lock();
        if progress.outcome.is_some() {
            return false;
        }
        progress.outcome = Some(outcome);
        let callbacks = std::mem::take(&mut progress.callbacks);
        self.changed.notify_all();
        drop(progress);
        for callback in callbacks {
            notify(callback);
        }
        true
    }
}

impl fmt::Debug for ReadyFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyFuture").field("done", &self.done()).finish_non_exhaustive()
    }
}
