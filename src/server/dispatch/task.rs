//! From an admitted request to a job, and the run of the job with everything a handler may do wrong contained.
//!
//! User code runs in [`Task::run`](Work::run) only: on a worker of the
//! pool or in the user's executor. A method's [`job`](Entry::job) is made on whichever thread read the request.

use std::sync::Arc;

use super::intercept;
use super::method::{Method, Whose};
use crate::call::server::ServerCall;
use crate::link::{Entry, Held, Incoming};
use crate::reactor::{Executor, Job, Work, clock, pool, user};
use crate::server::service::{ServicerContext, Slot};
use crate::status::{Code, Status};

impl Entry for Method {
    fn job(self: Arc<Self>, incoming: Incoming) -> Job {
        let (short, expected) = (self.is_short(), self.run_time());
        let reserved = self.is_reserved();
        let entered = self.calls().enter(reserved);
        let admitted = entered.is_ok();
        let place = entered.unwrap_or_default();
        let intercept = self.calls().intercepts().then(Box::default);
        let call = Arc::new(ServerCall::new(incoming, self.rules(), place.clone(), intercept));
        let slot = self.clone().count(&call, place);
        if !admitted {
            // At once: waiting for a worker would itself be load.
            call.finish(Err(Status::fixed(
                Code::ResourceExhausted,
                "Concurrent RPC limit exceeded! (the server's maximum_concurrent_rpcs)",
            )));
            return done();
        }
        let executor = self.executor();
        let task = Task { context: ServicerContext::new(call), slot: Some(slot), method: self };
        let job = Job::new(Box::new(task), short).expecting(expected).reserved(reserved);
        match executor {
            None => job,
            Some(executor) => hand_to(&*executor, job),
        }
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
        let status = if self.method.calls().running().is_stopping() {
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
            let executor = self.method.executor();
            let reserved = self.method.is_reserved();
            let job = Job::new(self, false).reserved(reserved);
            match executor {
                None => job,
                Some(executor) => hand_to(&*executor, job),
            }
        })
    }

    fn run_now(mut self) {
        if self.is_stale() {
            return pool::note_expired();
        }
        let started = self.method.is_sampled().then(clock::now);
        let (method, context) = (&self.method, &self.context);
        match context.call().is_intercepted() {
            true => intercept::run(method, context, &mut self.slot),
            false => {
                let slot = &mut self.slot;
                let run =
                    user::run(format_args!("{}", Whose(context)), || method.run(context, slot));
                if run.is_err() {
                    // § W58: "never leak the panic text": it went to the log.
                    context.call().panicked();
                }
            }
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
