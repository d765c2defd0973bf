//! What all parts of one server share: its options, the count of its calls, their
//! deadlines, its poller and its life.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use crate::sync::Mutex;
use crate::sync::atomic::AtomicUsize;

use super::options::ServerOptions;
use super::phase::Life;
use crate::call::server::{Place, ServerCall};
use crate::http2;
use crate::reactor::{Executor, Job, Keep, OnTimer, Poller, Ticket, Timetable};

/// What a timer of a server is for.
const GRACE: u64 = 0;
const DEADLINE: u64 = 1;

/// See the module. Handlers in progress keep it alive.
pub(in crate::server) struct Core {
    options: ServerOptions,
    http2: http2::Options,
    /// Runs the handlers instead of the pool that reads.
    executor: Option<Keep<Arc<dyn Executor>>>,
    /// Places taken, where calls at once are limited.
    places: Arc<AtomicUsize>,
    /// Set by the start.
    poller: OnceLock<Arc<Poller>>,
    /// Shared with those who wait for the end, who hold nothing else.
    life: Arc<Life>,
    /// Guards the deadlines of the running calls. Above the poller's timers; calls are expired after it is released.
    deadlines: Mutex<Timetable<Arc<ServerCall>>>,
    this: Weak<Self>,
}

/// More calls run than may.
pub(in crate::server) struct TooMany;

impl Core {
    pub(in crate::server) fn new(
        options: ServerOptions,
        executor: Option<Arc<dyn Executor>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            http2: options.http2(),
            options,
            executor: executor.map(Keep::new),
            places: Arc::default(),
            poller: OnceLock::new(),
            life: Arc::default(),
            deadlines: Mutex::new(Timetable::new()),
            this: this.clone(),
        })
    }

    pub(in crate::server) fn options(&self) -> &ServerOptions {
        &self.options
    }

    pub(in crate::server) fn http2(&self) -> &http2::Options {
        &self.http2
    }

    pub(in crate::server) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// The poller, once the server has been started.
    pub(in crate::server) fn poller(&self) -> Option<&Arc<Poller>> {
        self.poller.get()
    }

    pub(in crate::server) fn set_poller(&self, poller: Arc<Poller>) {
        let _ = self.poller.set(poller);
    }

    /// Counts a call in: its place, where there is a limit. An error: there are too many.
    pub(in crate::server) fn enter(&self) -> Result<Option<Arc<Place>>, TooMany> {
        self.life.enter();
        match self.options.maximum_concurrent_rpcs {
            None => Ok(None),
            Some(most) => Place::take(&self.places, most).map(Some).ok_or(TooMany),
        }
    }

    /// From now on `call` is ended at `at`, whatever its handler does.
    pub(in crate::server) fn expect_end(&self, at: Instant, call: &Arc<ServerCall>) -> Ticket {
        let mut deadlines = self.deadlines.lock();
        let ticket = deadlines.enter(at, call.clone());
        self.arm(&mut deadlines);
        ticket
    }

    /// The call's handler has returned.
    pub(in crate::server) fn ended(&self, ticket: Ticket) {
        let call = self.deadlines.lock().leave(ticket);
        drop(call);
    }

    /// Looks after the end of a grace.
    pub(in crate::server) fn expect_grace(&self, at: Option<Instant>) {
        if let (Some(at), Some(poller), Some(this)) = (at, self.poller.get(), self.this.upgrade()) {
            poller.timer(at, this, GRACE);
        }
    }

    fn arm(&self, deadlines: &mut Timetable<Arc<ServerCall>>) {
        if let Some(poller) = self.poller.get() {
            deadlines.arm(poller, DEADLINE, || Some(self.this.upgrade()?));
        }
    }

    fn fire_deadlines(&self, now: Instant) {
        let mut deadlines = self.deadlines.lock();
        let due = deadlines.fire(now);
        self.arm(&mut deadlines);
        drop(deadlines);
        for call in due {
            call.expire();
        }
    }

    /// The user's, if the pool that reads is not to run the handlers.
    pub(in crate::server) fn executor(&self) -> Option<&Arc<dyn Executor>> {
        self.executor.as_ref()?.get()
    }
}

impl OnTimer for Core {
    fn fire(&self, tag: u64, now: Instant, _jobs: &mut Vec<Job>) {
        match tag {
            GRACE => self.life.grace_over(now),
            _ => self.fire_deadlines(now),
        }
    }
}
