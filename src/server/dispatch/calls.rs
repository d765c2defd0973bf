//! What all calls of one server share: their limits and count, their deadlines, and who runs their handlers: [`Calls`].

use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::running::Running;
use crate::call::Place;
use crate::call::server::ServerCall;
use crate::compression::Compression;
use crate::reactor::{Executor, Job, Keep, OnTimer, Poller, Ticket, Timetable};
use crate::server::service::{ServerEvents, ServerInterceptor};

/// See the module. Methods, and so handlers in progress, keep it alive.
pub(in crate::server) struct Calls {
    limits: Limits,
    /// Runs the handlers instead of the pool that reads.
    executor: Option<Keep<Arc<dyn Executor>>>,
    /// Around all handlers, outermost first; `None` where there are none.
    interceptors: Option<Keep<Vec<Arc<dyn ServerInterceptor>>>>,
    /// Who listens.
    events: ServerEvents,
    /// Places taken, where calls at once are limited.
    places: Arc<AtomicUsize>,
    /// It was told that a handler has come too late for what it asks for.
    late: AtomicBool,
    /// Set by the start.
    poller: OnceLock<Arc<Poller>>,
    /// Shared with those who wait for the end, who hold nothing else of this.
    running: Arc<Running>,
    /// Guards the deadlines of the running calls. Above the poller's timers; calls are expired after it is released.
    deadlines: Mutex<Timetable<Arc<ServerCall>>>,
    this: Weak<Self>,
}

/// What the server's options say of calls.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Limits {
    /// Bytes of a request message.
    pub(in crate::server) receive: usize,
    /// Bytes of a response message.
    pub(in crate::server) send: usize,
    /// Calls at once.
    pub(in crate::server) calls: Option<usize>,
    /// What responses are compressed by.
    pub(in crate::server) compression: Compression,
}

/// More calls run than may.
pub(super) struct TooMany;

impl Calls {
    pub(in crate::server) fn new(
        limits: Limits,
        executor: Option<Arc<dyn Executor>>,
        interceptors: Vec<Arc<dyn ServerInterceptor>>,
        running: Arc<Running>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            limits,
            executor: executor.map(Keep::new),
            interceptors: (!interceptors.is_empty()).then(|| Keep::new(interceptors)),
            events: ServerEvents::default(),
            places: Arc::default(),
            late: AtomicBool::new(false),
            poller: OnceLock::new(),
            running,
            deadlines: Mutex::new(Timetable::new()),
            this: this.clone(),
        })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// The poller, once the server has been started.
    pub(in crate::server) fn poller(&self) -> Option<&Arc<Poller>> {
        self.poller.get()
    }

    pub(in crate::server) fn set_poller(&self, poller: Arc<Poller>) {
        let _ = self.poller.set(poller);
    }

    /// Counts a call in: its place, where there is a limit. An error: there are too many. A reserved one needs no place.
    pub(super) fn enter(&self, reserved: bool) -> Result<Option<Arc<Place>>, TooMany> {
        self.running.enter();
        match self.limits.calls.filter(|_| !reserved) {
            None => Ok(None),
            Some(most) => Place::take(&self.places, most).map(Some).ok_or(TooMany),
        }
    }

    /// Counts a call out.
    pub(super) fn leave(&self) {
        self.running.leave();
    }

    /// From now on `call` is ended at `at`, whatever its handler does.
    pub(super) fn expect_end(&self, at: Instant, call: &Arc<ServerCall>) -> Ticket {
        let mut deadlines = self.deadlines.lock();
        let ticket = deadlines.enter(at, call.clone());
        self.arm(&mut deadlines);
        ticket
    }

    /// The call's handler has returned.
    pub(super) fn ended(&self, ticket: Ticket) {
        let call = self.deadlines.lock().leave(ticket);
        drop(call);
    }

    fn arm(&self, deadlines: &mut Timetable<Arc<ServerCall>>) {
        if let Some(poller) = self.poller.get() {
            deadlines.arm(poller, 0, || Some(self.this.upgrade()?));
        }
    }

    /// Whether this is the first handler that has come too late for what it asks for.
    pub(super) fn is_first_late(&self) -> bool {
        !self.late.swap(true, Ordering::Relaxed)
    }

    /// What is around the handlers, if anything.
    pub(super) fn interceptors(&self) -> Option<&[Arc<dyn ServerInterceptor>]> {
        self.interceptors.as_ref()?.get().map(Vec::as_slice)
    }

    /// Who listens to its calls.
    pub(in crate::server) fn events(&self) -> &ServerEvents {
        &self.events
    }

    /// Whether anybody stands around a call that begins now, or listens to it.
    pub(super) fn intercepts(&self) -> bool {
        self.interceptors.is_some() || self.events.is_heard()
    }

    /// The user's, if the pool that reads is not to run the handlers.
    pub(super) fn executor(&self) -> Option<&Arc<dyn Executor>> {
        self.executor.as_ref()?.get()
    }
}

impl OnTimer for Calls {
    /// The first of the deadlines is due.
    fn fire(&self, _tag: u64, now: Instant, _jobs: &mut Vec<Job>) {
        let mut deadlines = self.deadlines.lock();
        let due = deadlines.fire(now);
        self.arm(&mut deadlines);
        drop(deadlines);
        for call in due {
            call.expire();
        }
    }
}
