//! Telling others of a channel's connectivity: [`Subscription`] and [`ReadyFuture`].

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::{Condvar, Mutex};

use crate::error::ResultError;
use crate::reactor::{clock, notify, run_here, user};
use crate::status::{Code, Status};

use super::connectivity::Connectivity;
use super::shared::Shared;
use super::watcher::{Callback, Watched, Watcher};

/// A subscription to a channel's connectivity. Dropping it ends it; it does not keep the channel open.
#[must_use = "dropping the subscription ends it"]
pub struct Subscription {
    watcher: Arc<Watcher>,
}

impl Subscription {
    pub(super) fn new(shared: &Arc<Shared>, callback: Callback, try_to_connect: bool) -> Self {
        Self::with(shared, false, callback, try_to_connect)
    }

    fn with(shared: &Arc<Shared>, own: bool, callback: Callback, try_to_connect: bool) -> Self {
        let watcher = {
            let watched: Weak<dyn Watched> = Arc::<Shared>::downgrade(shared);
            Watcher::new(watched, own, callback)
        };
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
        let callback = self.watcher.end();
        self.watcher.leave();
        user::drop_quietly(format_args!("the drop of a subscriber"), callback);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// Tells when a channel is ready: see [`channel_ready_future`](crate::channel_ready_future).
///
/// Dropping it or cancelling it only detaches it; the channel goes on connecting. Callbacks that have not been run when
/// it is dropped are dropped with it, on the thread that drops it.
pub struct ReadyFuture {
    waiting: Arc<Waiting>,
    subscription: Option<Subscription>,
    /// For what is told of a wait in vain.
    channel: Weak<Shared>,
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
    /// The user's. They leave by the notifier, or with the future: who tells of a change, and has a hold on this
    /// meanwhile, may be the poller.
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
        let callback = Self::watching(&waiting, Arc::downgrade(shared));
        let subscription = Some(Subscription::with(shared, true, callback, true));
        Self { waiting, subscription, channel: Arc::downgrade(shared) }
    }

    /// What is told of the channel's changes.
    fn watching(waiting: &Arc<Waiting>, shared: Weak<Shared>) -> Callback {
        let told = waiting.clone();
        Box::new(move |state| match state {
            Connectivity::Ready => drop(told.end(Outcome::Ready)),
            Connectivity::Shutdown => drop(told.end(Outcome::Closed)),
            // There was a connection, and it was lost before this was told: nobody else asks for the next.
            Connectivity::Idle if told.progress.lock().outcome.is_none() => {
                if let Some(shared) = shared.upgrade() {
                    shared.want();
                }
            }
            _ => {}
        })
    }

    /// Waits until the channel is ready: with `None` as long as that takes, else at most `timeout`.
    ///
    /// # Errors
    /// [`ResultError::NotReady`] when `timeout` has passed, [`ResultError::Cancelled`] after [`cancel`](Self::cancel),
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
                        // The channel's lock ranks above this one.
                        drop(progress);
                        let channel = self.channel.upgrade();
                        return Err(channel.map_or(ResultError::TimedOut, |it| it.not_ready()));
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
        run_here(format_args!("a callback of a channel's readiness"), Box::new(callback));
    }
}

impl Drop for ReadyFuture {
    fn drop(&mut self) {
        self.subscription = None;
        let callbacks = std::mem::take(&mut self.waiting.progress.lock().callbacks);
        for callback in callbacks {
            user::drop_quietly(
                format_args!("the drop of a callback of a channel's readiness"),
                callback,
            );
        }
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

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::mpsc::channel;

    use super::*;

    /// As where no notifier can be had: everything runs on the thread that makes the change.
    struct Bed {
        watcher: Arc<Watcher>,
        state: Mutex<Connectivity>,
    }

    impl Bed {
        fn new(callback: impl FnMut(&Arc<Self>, Connectivity) + Send + 'static) -> Arc<Self> {
            let mut callback = callback;
            Arc::new_cyclic(|this: &Weak<Self>| {
                let this = this.clone();
                let callback = Box::new(move |state| callback(&this.upgrade().unwrap(), state));
                let watcher = Arc::new(Watcher::of(Weak::<Shared>::new(), false, callback));
                Self { watcher, state: Mutex::new(Connectivity::Idle) }
            })
        }

        fn change(&self, state: Connectivity) {
            *self.state.lock() = state;
            self.watcher.deliver(|| *self.state.lock());
        }
    }

    #[test]
    fn a_change_made_by_the_subscriber_is_told_once_it_has_come_back() {
        let (tell, told) = channel();
        let bed = Bed::new(move |bed: &Arc<Bed>, state| {
            tell.send(state).unwrap();
            if state == Connectivity::Idle {
                bed.change(Connectivity::Connecting);
                bed.change(Connectivity::Shutdown);
            }
            tell.send(state).unwrap();
        });
        bed.change(Connectivity::Idle);
        let (idle, end) = (Connectivity::Idle, Connectivity::Shutdown);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [idle, idle, end, end]);
    }

    #[test]
    fn a_subscriber_that_panics_is_told_what_comes_later() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                resume_unwind(Box::new("a payload's drop, on purpose"));
            }
        }
        let (tell, told) = channel();
        let bed = Bed::new(move |_: &Arc<Bed>, state| {
            tell.send(state).unwrap();
            resume_unwind(Box::new(Bomb));
        });
        bed.change(Connectivity::Connecting);
        bed.change(Connectivity::Ready);
        assert_eq!(told.try_iter().count(), 2);
    }

    #[test]
    fn what_a_callback_of_readiness_has_captured_is_dropped_with_the_future_whoever_tells_of_a_change()
     {
        struct Captured(std::sync::mpsc::Sender<()>);
        impl Drop for Captured {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
                resume_unwind(Box::new("a drop, on purpose"));
            }
        }
        let (tell, told) = channel();
        let waiting = Arc::<Waiting>::default();
        let callback = ReadyFuture::watching(&waiting, Weak::new());
        let watcher = Watcher::new(Weak::<Shared>::new(), true, callback);
        let subscription = Some(Subscription { watcher: watcher.clone() });
        let future = ReadyFuture { waiting, subscription, channel: Weak::new() };
        for _ in 0..2 {
            let captured = Captured(tell.clone());
            future.add_done_callback(move || drop(captured));
        }
        // The poller is about to tell of a change.
        let (told_by_poller, _) = watcher.begin(Connectivity::Connecting).unwrap();
        drop(future);
        assert_eq!(told.try_iter().count(), 2, "here");
        let (unwanted, _) = watcher.finish(told_by_poller);
        drop(unwanted.unwrap());
    }

    #[test]
    fn what_a_subscriber_has_captured_is_dropped_once_it_has_ended_and_never_under_a_lock() {
        struct Captured(Option<Arc<Bed>>, std::sync::mpsc::Sender<()>);
        impl Captured {
            fn keep(&mut self, bed: &Arc<Bed>) {
                self.0 = Some(bed.clone());
            }
        }
        impl Drop for Captured {
            fn drop(&mut self) {
                if let Some(bed) = self.0.take() {
                    // Would wait for itself.
                    bed.change(Connectivity::Ready);
                }
                self.1.send(()).unwrap();
                resume_unwind(Box::new("a drop, on purpose"));
            }
        }
        let (tell, told) = channel();
        let mut captured = Captured(None, tell);
        let bed = Bed::new(move |bed: &Arc<Bed>, _| {
            captured.keep(bed);
            // It ends itself.
            assert!(bed.watcher.end().is_none(), "it runs");
        });
        bed.change(Connectivity::Connecting);
        told.try_recv().unwrap();
        bed.change(Connectivity::Shutdown);
        assert_eq!(Arc::strong_count(&bed), 1);
    }
}
