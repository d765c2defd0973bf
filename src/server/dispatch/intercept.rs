//! A handler with interceptors around it, on its worker.

use super::method::{Method, Whose};
use crate::reactor::user::{self, Panicked};
use crate::server::service::{
    InterceptedCall, RpcMethodHandler, Run, ServerNext, ServicerContext, Slot,
};
use crate::status::Status;

/// Tells those who listen, runs the interceptors, outermost first, then the handler, and ends the call as they say.
pub(super) fn run(method: &Method, context: &ServicerContext, slot: &mut Option<Slot>) {
    context.call().hold_answer();
    run_all(method, context, slot);
    // On the worker, whose next call waits for it: a queue of those that were not told yet would grow without a bound.
    context.call().tell_ends();
}

fn run_all(method: &Method, context: &ServicerContext, slot: &mut Option<Slot>) {
    let (call, calls) = (context.call(), method.calls());
    let other = match begun(method, context) {
        Ok(Ok(other)) => other,
        Ok(Err(status)) => {
            return call.release(Err(call.failed_by("a listener", status)), false);
        }
        Err(Panicked) => return call.release_panicked(true),
    };
    let handler =
        |other: Option<&RpcMethodHandler>, context: &ServicerContext, slot: &mut Option<Slot>| {
            if let Some(other) = other {
                method.look_at(other, "an interceptor or a listener");
            }
            // Here, so that interceptors learn of the panic as of any other end.
            let run = user::run(format_args!("{}", Whose(context)), || match other {
                Some(other) => other.run(context, slot),
                None => method.run(context, slot),
            });
            if run.is_err() {
                context.call().panicked();
            }
        };
    let known = other.as_ref().or(method.handler());
    let cardinality = known.map(RpcMethodHandler::cardinality);
    let all = calls.interceptors().unwrap_or_default();
    let mut intercepted = InterceptedCall::new(context, cardinality, slot, all);
    let next = ServerNext::new(all, &handler, other);
    let run = || next.run(&mut intercepted);
    match user::run(format_args!("an interceptor of {}", context.method()), run) {
        Ok(outcome) if outcome.is_ok() && intercepted.run() == Run::Detached => call.let_go(),
        Ok(outcome) => call.release(outcome, intercepted.streams()),
        Err(_) => call.release_panicked(false),
    }
}

/// Tells those who listen that the call begins. What handler they have put in the place of the method's, or how the call ends.
fn begun(
    method: &Method,
    context: &ServicerContext,
) -> Result<Result<Option<RpcMethodHandler>, Status>, Panicked> {
    let Some(all) = method.calls().events().heard() else { return Ok(Ok(None)) };
    let begin = || all.begin(context, method.handler());
    user::run(format_args!("a listener to {}", context.method()), begin)
}
