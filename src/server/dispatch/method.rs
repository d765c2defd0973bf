//! A method in a server's table: from an admitted request to a job, and the run of the
//! job with everything a handler may do wrong contained.
//!
//! Owns who counts as running. User code runs in [`Task::run`] only: on a worker of the
//! pool or in the user's executor. [`Method::job`] runs on whichever thread read the request.

use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::registry::Registry;
use crate::call::server::{Place, ServerCall};
use crate::error::quoted;
use crate::link::{Entry, Held, Incoming, When};
use crate::reactor::{Executor, Job, Keep, Ticket, Work, clock, user};
use crate::server::life::Core;
use crate::server::service::{
    Counting, HandlerCallDetails, RpcMethodHandler, ServicerContext, Slot,
};
use crate::status::{Code, Status};
use crate::sync::thread_own;
use crate::tell;

/// A handler that usually takes less than this may run while other answers wait to be sent with its own.
const SHORT: Duration = Duration::from_micros(50);

/// One method.
pub(in crate::server) struct Method {
    path: String,
    kind: Kind,
    core: Arc<Core>,
    running: AtomicUsize,
    /// A moving average of the run time in nanoseconds; zero is "not known".
    run_time: AtomicU32,
}

enum Kind {
    Fixed(Keep<RpcMethodHandler>),
    /// The generic handlers know.
    Ask(Arc<Registry>),
}

impl Method {
    pub(in crate::server) fn new(
        path: String,
        handler: RpcMethodHandler,
        core: &Arc<Core>,
    ) -> Arc<Self> {
        Self::build(path, Kind::Fixed(Keep::new(handler)), core)
    }

    /// Stands for a path that only generic handlers may know, for one call.
    pub(in crate::server) fn to_ask(
        path: String,
        registry: &Arc<Registry>,
        core: &Arc<Core>,
    ) -> Arc<Self> {
        Self::build(path, Kind::Ask(registry.clone()), core)
    }

    fn build(path: String, kind: Kind, core: &Arc<Core>) -> Arc<Self> {
        let (running, run_time) = Default::default();
        Arc::new(Self { path, kind, core: core.clone(), running, run_time })
    }

    pub(in crate::server) fn path(&self) -> &str {
        &self.path
    }

    /// Its handler, if it is known without asking.
    pub(in crate::server) fn handler(&self) -> Option<&RpcMethodHandler> {
        match &self.kind {
            Kind::Fixed(handler) => handler.get(),
            Kind::Ask(_) => None,
        }
    }

    /// Single requests are read before a worker is taken, so that a slow sender holds none.
    pub(in crate::server) fn when(&self) -> When {
        match self.handler() {
            Some(handler) if !handler.cardinality().request_streaming() => When::Complete,
            _ => When::Headers,
        }
    }

    pub(in crate::server) fn receive_limit(&self) -> usize {
        let own = self.handler().and_then(|handler| handler.receive_limit);
        own.unwrap_or(self.core.options().max_receive_message_size)
    }

    fn send_limit(&self) -> usize {
        let own = self.handler().and_then(|handler| handler.send_limit);
        own.unwrap_or(self.core.options().max_send_message_size)
    }

    /// Handlers of this method that have not returned.
    pub(in crate::server) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    fn is_short(&self) -> bool {
        let nanos = self.run_time.load(Ordering::Relaxed);
        nanos != 0 && u128::from(nanos) < SHORT.as_nanos()
    }

    /// Whether to look at the clock for this run: the first ones, then every eighth of a thread.
    fn is_sampled(&self) -> bool {
        let runs = RUNS.reach(|runs| {
            runs.set(runs.get().wrapping_add(1));
            runs.get()
        });
        runs.unwrap_or(0) % 8 == 0 || self.run_time.load(Ordering::Relaxed) == 0
    }

    /// Takes a run into the average. Racing runs may lose one: it is a hint.
    fn took(&self, time: Duration) {
        let new = u32::try_from(time.as_nanos()).unwrap_or(u32::MAX).max(1);
        let old = self.run_time.load(Ordering::Relaxed);
        let average = if old == 0 { new } else { old - old / 8 + new / 8 };
        self.run_time.store(average.max(1), Ordering::Relaxed);
    }

    /// Counts a call as running; the core has counted it in.
    fn count(self: Arc<Self>, call: &Arc<ServerCall>, place: Option<Arc<Place>>) -> Slot {
        self.running.fetch_add(1, Ordering::Relaxed);
        let deadline = call.deadline().instant().map(|at| self.core.expect_end(at, call));
        Slot::new(self, deadline, place)
    }

    /// Runs the handler of one call to its end.
    fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>) {
        match &self.kind {
            Kind::Fixed(handler) => {
                if let Some(handler) = handler.get() {
                    handler.run(context, slot);
                }
            }
            Kind::Ask(registry) => {
                let details = HandlerCallDetails {
                    method: context.method(),
                    invocation_metadata: context.invocation_metadata(),
                };
                let (path, peer) = (context.method(), Peer(context.call()));
                // Where it panics: logged, and its call ends as with a method's own handler.
                let asked = user::run(
                    format_args!("a generic handler, asked for {path} of {peer},"),
                    || registry.ask(&details),
                );
                let Ok(found) = asked else {
                    return context.call().panicked();
                };
                match found {
                    Some(handler) => handler.run(context, slot),
                    None => {
                        let status = unknown_method(context.method());
                        tell::debug!("refused a request of {}: {status}", context.peer());
                        context.call().finish(Err(status));
                    }
                }
            }
        }
    }
}

impl Entry for Method {
    fn job(self: Arc<Self>, incoming: Incoming) -> Job {
        let (short, expected) = (self.is_short(), self.run_time.load(Ordering::Relaxed));
        let entered = self.core.enter();
        let admitted = entered.is_ok();
        let place = entered.unwrap_or_default();
        let call = Arc::new(ServerCall::new(incoming, self.send_limit(), place.clone()));
        let slot = self.clone().count(&call, place);
        if !admitted {
            // At once: waiting for a worker would itself be load.
            call.finish(Err(Status::fixed(
                Code::ResourceExhausted,
                "Concurrent RPC limit exceeded! (the server's maximum_concurrent_rpcs)",
            )));
            return done();
        }
        let executor = self.core.executor().cloned();
        let task = Task { context: ServicerContext::new(call), slot: Some(slot), method: self };
        let job = Job::new(Box::new(task), short).expecting(expected);
        match executor {
            None => job,
            Some(executor) => hand_to(&*executor, job),
        }
    }
}

impl Counting for Method {
    fn left(&self, deadline: Option<Ticket>) {
        if let Some(ticket) = deadline {
            self.core.ended(ticket);
        }
        self.running.fetch_sub(1, Ordering::Release);
        self.core.life().leave();
    }
}

/// Gives a job to the user's executor; what is left for the pool that reads is nothing.
fn hand_to(executor: &dyn Executor, job: Job) -> Job {
    // A job that is not taken is dropped and thereby answered, also in a panic.
    let _ = user::run(format_args!("an executor"), || executor.execute(job));
    done()
}

/// A job whose call is in other hands, or answered.
fn done() -> Job {
    struct Nothing;

    impl Work for Nothing {
        fn run(self: Box<Self>) {}

        fn reject(self: Box<Self>) {}
    }

    Job::new(Box::new(Nothing), true)
}

/// The work of a job: one call.
struct Task {
    context: ServicerContext,
    slot: Option<Slot>,
    method: Arc<Method>,
}

impl Work for Task {
    /// W58: "No thread for the handler → RESOURCE_EXHAUSTED; shutting down → UNAVAILABLE".
    fn reject(self: Box<Self>) {
        let status = if self.method.core.life().is_stopping() {
            Status::fixed(Code::Unavailable, "the server is shutting down")
        } else {
            let text = "the server has no free worker for this call";
            Status::fixed(Code::ResourceExhausted, text)
        };
        self.context.call().finish(Err(status));
    }

    fn run(self: Box<Self>) {
        let stream = self.context.call().stream().clone();
        if let Some(task) = stream.admit(self, Task::later) {
            (*task).run_now();
        }
    }
}

impl Task {
    /// The same again, when the client has taken what it was answered.
    fn later(self: Box<Self>) -> Held {
        Box::new(|| {
            let executor = self.method.core.executor().cloned();
            let job = Job::new(self, false);
            match executor {
                None => job,
                Some(executor) => hand_to(&*executor, job),
            }
        })
    }

    fn run_now(mut self) {
        if self.is_stale() {
            return;
        }
        let started = self.method.is_sampled().then(clock::now);
        let run = user::run(format_args!("{}", Whose(&self.context)), || {
            self.method.run(&self.context, &mut self.slot);
        });
        if run.is_err() {
            // § W58: "never leak the panic text": it went to the log.
            self.context.call().panicked();
        }
        if let Some(started) = started {
            self.method.took(clock::now().saturating_duration_since(started));
        }
    }

    /// The call ended while it waited for a worker: its handler never runs.
    fn is_stale(&self) -> bool {
        let call = self.context.call();
        if call.deadline().instant().is_some_and(|at| at <= clock::now()) {
            call.expire();
        }
        !call.is_active()
    }
}

/// Whose code it was that panicked, asked for only then: the handler, or the codec within it.
struct Whose<'a>(&'a ServicerContext);

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.call().codec_panicked() {
            Some(which) => write!(f, "the codec of the {which} of ")?,
            None => f.write_str("the handler of ")?,
        }
        write!(f, "{} for {}", self.0.method(), self.0.peer())
    }
}

/// Whose call it is, asked for only where it is told.
struct Peer<'a>(&'a ServerCall);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.peer())
    }
}

/// W14: "Unknown service or method".
pub(in crate::server) fn unknown_method(path: &str) -> Status {
    Status::unimplemented(format!("Method not found! {}", quoted(path.as_bytes())))
}

thread_own! {
    static RUNS: Cell<u8> = Cell::new(0);
}
