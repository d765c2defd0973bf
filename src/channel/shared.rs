//! What all handles of a channel share: its [`Inner`] state under a lock, and what is done once that has changed.

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex, RwLock};

use crate::call::client::{Core, Defaults, Expiry, Refused};
use crate::http2::types::Reason;
use crate::link::{Link, Terms};
use crate::reactor::{Crew, Job, OnTimer, Poller, clock};
use crate::tally::Tally;

use super::connectivity::{Attempt, Connectivity};
use super::dial::{Dial, Dialing};
use super::notes::{Ids, Notes};
use super::queue::Queue;
use super::random::random;
use super::settings::Settings;
use super::state::{ASKERS, CLOSED, Inner, Todo, Turn, closed_within, put_back};
use super::watcher::{Watched, Watcher};
use super::why::SILENT;

/// The state of a channel.
///
/// Locks: `inner` ranks above the links' and the calls'; neither is ever touched
/// under it. What a change makes necessary is collected in a [`Todo`] and done after it. `ready` is a leaf, read by every call.
pub(super) struct Shared {
    /// The link for new calls while READY.
    pub(super) ready: RwLock<Option<Arc<Link>>>,
    /// Calls that queue: new ones go behind them.
    queued: AtomicUsize,
    closed: AtomicBool,
    pub(super) inner: Mutex<Inner>,
    /// Signals each change of connectivity and of the links.
    changed: Condvar,
    pub(super) settings: Settings,
    pub(super) expiry: Arc<Expiry>,
    pub(super) crew: Arc<Crew>,
    pub(super) defaults: Defaults,
    pub(super) terms: Arc<Terms>,
    pub(super) dial: Box<dyn Dial>,
    pub(super) poller: Arc<Poller>,
    pub(super) ids: Ids,
    /// Its calls.
    pub(super) tally: Tally,
    pub(super) this: Weak<Shared>,
}

impl Shared {
    pub(super) fn new(
        settings: Settings,
        terms: Arc<Terms>,
        dial: Box<dyn Dial>,
        poller: Arc<Poller>,
    ) -> Arc<Self> {
        let notes = Notes::new(settings.trace_memory, clock::now());
        let inner = Inner::new(settings.timing, settings.http2.keepalive.time, notes);
        let shared = Arc::new_cyclic(|this| Self {
            ready: RwLock::new(None),
            queued: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            defaults: settings.defaults,
            settings,
            terms,
            expiry: Expiry::new(poller.clone()),
            crew: Crew::new("auth", ASKERS),
            dial,
            poller,
            ids: Ids::new(),
            tally: Tally::default(),
            this: this.clone(),
        });
        shared.enlist();
        #[cfg(feature = "testing")]
        crate::reactor::leap::join(&shared);
        shared
    }

    /// The link for a new call: READY, and nobody queues.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        if self.queued.load(Ordering::Relaxed) > 0 {
            return None;
        }
        self.ready.read().clone()
    }

    pub(super) fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn state(&self) -> Connectivity {
        self.inner.lock().machine.state()
    }

    /// A connection is wanted, until there is one.
    pub(super) fn want(&self) {
        self.change(|inner, todo| {
            todo.connect = inner.machine.want(true, clock::now(), random());
        });
    }

    /// The pause after a failed attempt is over, whatever was left of it.
    pub(super) fn reset_backoff(&self) {
        self.change(|inner, todo| {
            todo.connect = inner.machine.reset_backoff(clock::now(), random());
        });
    }

    /// Takes a call that has no stream.
    pub(super) fn queue(&self, call: Arc<Core>) {
        self.change(|inner, todo| {
            inner.notes.queued(clock::now());
            inner.admit(call, Queue::push_back, todo);
            todo.pump = true;
        });
    }

    /// Takes back a call that the peer has not taken on. It goes in front: those behind it came later.
    pub(super) fn requeue(&self, call: Arc<Core>) {
        self.change(|inner, todo| inner.admit(call, put_back, todo));
    }

    /// A call has ended elsewhere.
    pub(super) fn forget(&self, call: &Core) {
        let gone = {
            let mut inner = self.inner.lock();
            let gone = inner.let_go(call);
            self.queued.store(inner.queue.len(), Ordering::Relaxed);
            gone
        };
        drop(gone);
    }

    /// Ends everything: SHUTDOWN, calls end with CANCELLED.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.change(|inner, todo| {
            inner.shut_down(todo);
            todo.close = inner.links.iter().map(|(_, link)| link.clone()).collect();
        });
    }

    /// No new calls; waits up to `grace` for those that run, then ends them.
    pub(super) fn close_within(&self, grace: Duration) {
        let until = clock::now().checked_add(grace);
        let links = self.change(|inner, todo| {
            inner.shut_down(todo);
            inner.links.iter().map(|(_, link)| link.clone()).collect::<Vec<_>>()
        });
        for link in links {
            link.drain();
        }
        let mut inner = self.inner.lock();
        while !inner.links.is_empty() {
            match until {
                Some(at) => {
                    if self.changed.wait_until(&mut inner, at).timed_out() {
                        break;
                    }
                }
                None => self.changed.wait(&mut inner),
            }
        }
        drop(inner);
        self.close();
    }

    /// Connects, and waits until the channel is ready or closed. `None`: `until` has passed.
    pub(super) fn wait_ready(&self, until: Option<Instant>) -> Option<Connectivity> {
        loop {
            self.want();
            // There was a connection, and it was lost before this thread looked: nobody else asks for the next.
            let state = self.wait(until, |state| {
                matches!(state, Connectivity::Ready | Connectivity::Shutdown | Connectivity::Idle)
            })?;
            if state != Connectivity::Idle {
                return Some(state);
            }
        }
    }

    /// Waits for a state of which `done` says so. `None`: `until` has passed.
    pub(super) fn wait(
        &self,
        until: Option<Instant>,
        done: impl Fn(Connectivity) -> bool,
    ) -> Option<Connectivity> {
        let mut inner = self.inner.lock();
        loop {
            let state = inner.machine.state();
            if done(state) {
                return Some(state);
            }
            match until {
                Some(at) => {
                    if self.changed.wait_until(&mut inner, at).timed_out() {
                        return Some(inner.machine.state()).filter(|state| done(*state));
                    }
                }
                None => self.changed.wait(&mut inner),
            }
        }
    }

    pub(super) fn watch(&self, watcher: Arc<Watcher>) {
        self.change(|inner, todo| {
            inner.watchers.push(watcher.clone());
            todo.deliver.push(watcher.clone());
        });
    }

    /// Changes the state, then does what follows from it with no lock held.
    pub(super) fn change<T>(&self, edit: impl FnOnce(&mut Inner, &mut Todo) -> T) -> T {
        let mut todo = Todo::default();
        let mut inner = self.inner.lock();
        let before = inner.machine.state();
        let result = edit(&mut inner, &mut todo);
        let after = inner.machine.state();
        let mut turn = None;
        if after != before {
            let Inner { machine, notes, .. } = &mut *inner;
            notes.turned(after, machine.cause());
            todo.deliver.clone_from(&inner.watchers);
            turn = Turn::of(&inner);
        }
        inner.set_timer(&mut todo);
        self.queued.store(inner.queue.len(), Ordering::Relaxed);
        drop(inner);
        self.changed.notify_all();
        if let Some(turn) = turn {
            turn.tell(&self.settings.target);
        }
        self.follow_up(todo);
        result
    }

    fn follow_up(&self, todo: Todo) {
        if let Some(dialing) = todo.cancel {
            dialing.cancel();
        }
        for link in todo.close {
            link.close(Reason::NO_ERROR, CLOSED);
        }
        for call in todo.fail {
            // Others make a deferred one, perhaps on a stream: it fails by the channel's close alone.
            call.fail(if call.is_deferred() { closed_within() } else { todo.status.clone() });
        }
        for watcher in todo.deliver {
            watcher.schedule();
        }
        if let (Some(at), Some(this)) = (todo.timer, self.this.upgrade()) {
            self.poller.timer(at, this, 0);
        }
        if let Some(connect) = todo.connect {
            self.connect(connect.attempt);
        }
        if todo.pump {
            self.pump();
        }
        if let Some((attempt, link)) = todo.watch {
            self.watch_use(attempt, &link);
        }
    }

    /// Gives queued calls to the link, first come first served, as long as it takes them.
    pub(super) fn pump(&self) {
        let mut inner = self.inner.lock();
        if std::mem::replace(&mut inner.pumping, true) {
            inner.pump_again = true;
            return;
        }
        drop(inner);
        while let Some((link, call)) = self.next_queued() {
            let Err(Refused { full }) = call.bind(&link) else { continue };
            // Full, or going away. Meanwhile the channel may have been told of that, when the
            // queue looked empty: the call is judged anew.
            self.change(|inner, todo| {
                inner.admit(call, put_back, todo);
                inner.refused = true;
            });
            if full {
                self.tell_full(&link);
            }
        }
    }

    /// The first of the queue and the link for it. `None`: this was it, for now.
    fn next_queued(&self) -> Option<(Arc<Link>, Arc<Core>)> {
        let mut inner = self.inner.lock();
        let again = std::mem::take(&mut inner.pump_again);
        let refused = std::mem::take(&mut inner.refused);
        let link = self.ready.read().clone().filter(|_| again || !refused);
        let found = link.and_then(|link| Some((link, inner.queue.pop_front()?)));
        self.queued.store(inner.queue.len(), Ordering::Relaxed);
        inner.pumping = found.is_some();
        found
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.strike();
    }
}

impl Watched for Shared {
    fn connectivity(&self) -> Connectivity {
        self.state()
    }

    fn unwatch(&self, watcher: &Arc<Watcher>) {
        let mut inner = self.inner.lock();
        let at = inner.watchers.iter().position(|own| Arc::ptr_eq(own, watcher));
        let gone = at.map(|at| inner.watchers.remove(at));
        drop(inner);
        drop(gone);
    }
}

impl OnTimer for Shared {
    fn fire(&self, tag: u64, now: Instant, _jobs: &mut Vec<Job>) {
        if let Some(attempt) = Attempt::tagged(tag) {
            return self.look_at_use(attempt);
        }
        self.change(|inner, todo| {
            inner.alarms.fired(now);
            let connecting = inner.machine.state() == Connectivity::Connecting;
            let (attempt, silent) = (inner.machine.attempt(), inner.is_silent());
            let dialing = inner.dialing.as_ref().and_then(Dialing::waits_for);
            todo.connect = inner.machine.timeout(!inner.queue.is_empty(), now, random());
            if connecting && inner.machine.state() == Connectivity::TransientFailure {
                if let Some(why) = silent.then_some(SILENT).or(dialing) {
                    inner.machine.explain(&format!("{} {why}", self.settings.target));
                }
                inner.after_failure(todo, Some(attempt));
            }
        });
    }
}

/// Waits that have an end look again. Behind the lock, or one that is about to sleep would not hear.
#[cfg(feature = "testing")]
impl crate::reactor::leap::OnLeap for Shared {
    fn leapt(&self) {
        drop(self.inner.lock());
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::channel::dial::Outcome;
    use crate::channel::target::Target;

    /// Does as the test says when an attempt begins, and tells whether it had been given up by then.
    struct Scripted {
        act: Box<dyn Fn(&Shared) + Send + Sync>,
        shared: Arc<OnceLock<Weak<Shared>>>,
        given_up: Mutex<Sender<bool>>,
    }

    impl Dial for Scripted {
        fn dial(&self, _: &Arc<Poller>, _: Duration, dialing: &Dialing, _: Outcome) {
            (self.act)(&self.shared.get().unwrap().upgrade().unwrap());
            self.given_up.lock().send(dialing.cancelled()).unwrap();
        }
    }

    fn scripted(
        act: impl Fn(&Shared) + Send + Sync + 'static,
    ) -> (Arc<Shared>, std::sync::mpsc::Receiver<bool>) {
        let (given_up, told) = channel();
        let place = Arc::<OnceLock<Weak<Shared>>>::default();
        let dial =
            Scripted { act: Box::new(act), shared: place.clone(), given_up: Mutex::new(given_up) };
        let settings = Settings::new(Target::parse("127.0.0.1:1").unwrap());
        let shared = Shared::new(settings, Arc::default(), Box::new(dial), Poller::new().unwrap());
        place.set(Arc::downgrade(&shared)).unwrap();
        (shared, told)
    }

    #[test]
    fn an_attempt_is_given_up_by_a_close_however_early() {
        let (shared, told) = scripted(|_| {});
        shared.want();
        assert!(!told.try_recv().unwrap());
        let (shared, told) = scripted(Shared::close);
        shared.want();
        assert!(told.try_recv().unwrap(), "its socket would be held until it is out of time");
        assert!(shared.inner.lock().dialing.is_none());
    }

    /// Connects at once; all connections but the third are lost before anybody looks.
    fn flighty() -> (Arc<Shared>, std::sync::mpsc::Receiver<bool>) {
        let made = AtomicUsize::new(0);
        scripted(move |shared| {
            let third = made.fetch_add(1, Ordering::Relaxed) == 2;
            shared.change(|inner, _| {
                let attempt = inner.machine.attempt();
                assert!(inner.machine.up(attempt));
                if !third {
                    inner.machine.gone(true, "lost".into(), clock::now());
                }
            });
        })
    }

    #[test]
    fn who_waits_for_ready_connects_again_when_that_was_lost_before_it_looked() {
        let (shared, told) = flighty();
        let until = clock::now() + Duration::from_secs(10);
        assert_eq!(shared.wait_ready(Some(until)), Some(Connectivity::Ready));
        assert_eq!(told.try_iter().count(), 3);
    }

    #[test]
    fn a_future_of_ready_connects_again_when_that_was_lost_before_it_was_told() {
        let (shared, told) = flighty();
        let future = crate::channel::ReadyFuture::new(&shared);
        assert!(future.result(Some(Duration::from_secs(10))).is_ok());
        assert_eq!(told.try_iter().count(), 3);
    }

    #[test]
    fn an_attempt_that_is_over_before_it_begins_does_not_begin() {
        let (shared, told) = scripted(|_| {});
        shared.want();
        assert!(!told.try_recv().unwrap());
        let attempt = shared.inner.lock().machine.attempt();
        shared.close();
        // As by a thread that was about to.
        shared.connect(attempt);
        assert!(told.try_recv().is_err());
    }
}
