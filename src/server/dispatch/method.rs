//! A method in a server's table: its handler, its limits, how many of its calls run and for how long.
//!
//! [`Method::run`] is user code: see [`Task`](super::task) for where it runs, and for what contains it.

use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::calls::Calls;
use crate::call::Place;
use crate::call::server::{Rules, ServerCall};
use crate::error::quoted;
use crate::link::When;
use crate::reactor::{Executor, Keep, ThreadPool, Ticket, user};
use crate::server::service::{
    Counting, HandlerCallDetails, RpcMethodHandler, ServicerContext, Slot,
};
use crate::status::Status;
use crate::sync::thread_own;
use crate::tell;

/// A handler that usually takes less than this may run while other answers wait to be sent with its own.
const SHORT: Duration = Duration::from_micros(50);

/// One method.
pub(in crate::server) struct Method {
    path: String,
    kind: Kind,
    calls: Arc<Calls>,
    /// Runs it instead of the server's.
    own: Option<Arc<ThreadPool>>,
    /// Its calls come before all others.
    reserved: bool,
    running: AtomicUsize,
    /// Those of them that their handlers have left to other threads.
    elsewhere: AtomicUsize,
    /// A moving average of the run time in nanoseconds; zero is "not known".
    run_time: AtomicU32,
}

enum Kind {
    Fixed(Keep<RpcMethodHandler>),
    /// The generic handlers know.
    Ask(Arc<dyn Directory>),
}

/// Who knows what no method is registered for.
pub(super) trait Directory: Send + Sync {
    /// Looks a path up with the help of the generic handlers: user code.
    fn ask(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler>;
}

impl Method {
    pub(in crate::server) fn new(
        path: String,
        handler: RpcMethodHandler,
        calls: &Arc<Calls>,
    ) -> Arc<Self> {
        let (own, reserved) = (handler.pool.clone(), handler.reserved);
        Self::build(path, Kind::Fixed(Keep::new(handler)), calls, own, reserved)
    }

    /// Stands for a path that only generic handlers may know, for one call.
    pub(super) fn to_ask(
        path: String,
        directory: Arc<dyn Directory>,
        calls: &Arc<Calls>,
    ) -> Arc<Self> {
        Self::build(path, Kind::Ask(directory), calls, None, false)
    }

    fn build(
        path: String,
        kind: Kind,
        calls: &Arc<Calls>,
        own: Option<ThreadPool>,
        reserved: bool,
    ) -> Arc<Self> {
        let (running, elsewhere, run_time) = Default::default();
        let own = own.map(Arc::new);
        let calls = calls.clone();
        Arc::new(Self { path, kind, calls, own, reserved, running, elsewhere, run_time })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Its handler, if it is known without asking.
    pub(super) fn handler(&self) -> Option<&RpcMethodHandler> {
        match &self.kind {
            Kind::Fixed(handler) => handler.get(),
            Kind::Ask(_) => None,
        }
    }

    /// Single requests are read before a worker is taken, so that a slow sender holds none.
    pub(super) fn when(&self) -> When {
        match self.handler() {
            Some(handler) if !handler.cardinality().request_streaming() => When::Complete,
            _ => When::Headers,
        }
    }

    pub(super) fn receive_limit(&self) -> usize {
        let own = self.handler().and_then(|handler| handler.receive_limit);
        own.unwrap_or(self.calls.limits().receive)
    }

    /// What goes for its calls.
    pub(super) fn rules(&self) -> Rules {
        let limits = self.calls.limits();
        let own = self.handler().and_then(|handler| handler.send_limit);
        Rules {
            receive_limit: self.receive_limit(),
            send_limit: own.unwrap_or(limits.send),
            compression: limits.compression,
        }
    }

    /// Whether its calls come before all others.
    pub(super) fn is_reserved(&self) -> bool {
        self.reserved
    }

    /// The pool of its own, if it has one.
    pub(super) fn own_pool(&self) -> Option<&ThreadPool> {
        self.own.as_deref()
    }

    /// Who runs its handler, if not the pool that reads.
    pub(super) fn executor(&self) -> Option<Arc<dyn Executor>> {
        match &self.own {
            Some(own) => Some(own.clone()),
            None => self.calls.executor().cloned(),
        }
    }

    pub(super) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// Calls of this method that are not over, or whose handler has not returned.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Those of them that are answered from elsewhere.
    pub(super) fn elsewhere(&self) -> usize {
        self.elsewhere.load(Ordering::Acquire)
    }

    /// The average of its run times in nanoseconds; zero is "not known".
    pub(super) fn run_time(&self) -> u32 {
        self.run_time.load(Ordering::Relaxed)
    }

    pub(super) fn is_short(&self) -> bool {
        let nanos = self.run_time();
        nanos != 0 && u128::from(nanos) < SHORT.as_nanos()
    }

    /// Whether to look at the clock for this run: the first ones, then every eighth of a thread.
    pub(super) fn is_sampled(&self) -> bool {
        let runs = RUNS.reach(|runs| {
            runs.set(runs.get().wrapping_add(1));
            runs.get()
        });
        runs.unwrap_or(0) % 8 == 0 || self.run_time() == 0
    }

    /// Takes a run into the average. Racing runs may lose one: it is a hint.
    pub(super) fn took(&self, time: Duration) {
        let new = u32::try_from(time.as_nanos()).unwrap_or(u32::MAX).max(1);
        let old = self.run_time();
        let average = if old == 0 { new } else { old - old / 8 + new / 8 };
        self.run_time.store(average.max(1), Ordering::Relaxed);
    }

    /// Counts a call as running; the server has counted it in.
    pub(super) fn count(
        self: Arc<Self>,
        call: &Arc<ServerCall>,
        place: Option<Arc<Place>>,
    ) -> Slot {
        self.running.fetch_add(1, Ordering::Relaxed);
        let deadline = call.deadline().instant().map(|at| self.calls.expect_end(at, call));
        Slot::new(self, deadline, place)
    }

    /// A handler has come when the call was on its worker already, so what it asks for and the method has not comes too late.
    /// That is told to the log, once for a server.
    pub(super) fn look_at(&self, given: &RpcMethodHandler, giver: &str) {
        let send_limit = self.rules().send_limit;
        let late = [
            ("reserved", given.reserved && !self.reserved),
            ("thread_pool", given.pool.is_some() && self.own.is_none()),
            (
                "max_receive_message_size",
                given.receive_limit.is_some_and(|limit| limit != self.receive_limit()),
            ),
            ("max_send_message_size", given.send_limit.is_some_and(|limit| limit != send_limit)),
        ];
        if late.iter().all(|(_, late)| !late) || !self.calls.is_first_late() {
            return;
        }
        let names: Vec<_> = late.iter().filter(|(_, late)| *late).map(|(name, _)| *name).collect();
        tell::warn!(
            "{}: {giver} has given a handler with {}, which is not heeded: the call is on its worker already. Register the method with them, or tell its path in method_handlers(), before handlers that are asked",
            self.path,
            names.join(", ")
        );
    }

    /// Runs the handler of one call to its end.
    pub(super) fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>) {
        match &self.kind {
            Kind::Fixed(handler) => {
                if let Some(handler) = handler.get() {
                    handler.run(context, slot);
                }
            }
            Kind::Ask(directory) => {
                let details = HandlerCallDetails {
                    method: context.method(),
                    invocation_metadata: context.invocation_metadata(),
                };
                let (path, peer) = (context.method(), Peer(context.call()));
                // Where it panics: logged, and its call ends as with a method's own handler.
                let asked = user::run(
                    format_args!("a generic handler, asked for {path} of {peer},"),
                    || directory.ask(&details),
                );
                let Ok(found) = asked else {
                    return context.call().panicked();
                };
                match found {
                    Some(handler) => {
                        self.look_at(&handler, "a generic handler");
                        handler.run(context, slot);
                    }
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

impl Counting for Method {
    fn elsewhere(&self) {
        self.elsewhere.fetch_add(1, Ordering::Relaxed);
    }

    fn left(&self, deadline: Option<Ticket>, elsewhere: bool) {
        if let Some(ticket) = deadline {
            self.calls.ended(ticket);
        }
        if elsewhere {
            self.elsewhere.fetch_sub(1, Ordering::Release);
        }
        self.running.fetch_sub(1, Ordering::Release);
        self.calls.leave();
    }
}

/// Whose code it was that panicked, asked for only then: the handler, or the codec within it.
pub(super) struct Whose<'a>(pub(super) &'a ServicerContext);

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.call().codec_panicked() {
            Some(which) => write!(f, "{which} of ")?,
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
pub(super) fn unknown_method(path: &str) -> Status {
    Status::unimplemented(format!("Method not found! {}", quoted(path.as_bytes())))
}

thread_own! {
    static RUNS: Cell<u8> = Cell::new(0);
}
