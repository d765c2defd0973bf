//! A handler with interceptors around it, on its worker.

use std::sync::Arc;

use super::method::{Method, Whose};
use crate::reactor::user;
use crate::server::service::{
    InterceptedCall, RpcMethodHandler, Run, ServerInterceptor, ServerNext, ServicerContext, Slot,
};

/// Runs them all, outermost first, then the handler, and ends the call as they say.
pub(super) fn run(
    interceptors: &[Arc<dyn ServerInterceptor>],
    method: &Method,
    context: &ServicerContext,
    slot: &mut Option<Slot>,
) {
    let call = context.call();
    call.hold_answer();
    let handler =
        |other: Option<&RpcMethodHandler>, context: &ServicerContext, slot: &mut Option<Slot>| {
            // Here, so that interceptors learn of the panic as of any other end.
            let run = user::run(format_args!("{}", Whose(context)), || match other {
                Some(other) => other.run(context, slot),
                None => method.run(context, slot),
            });
            if run.is_err() {
                context.call().panicked();
            }
        };
    let cardinality = method.handler().map(RpcMethodHandler::cardinality);
    let mut intercepted = InterceptedCall::new(context, cardinality, slot);
    let next = ServerNext::new(interceptors, &handler);
    let what = format_args!("an interceptor of {}", context.method());
    match user::run(what, || next.run(&mut intercepted)) {
        Ok(outcome) if outcome.is_ok() && intercepted.run() == Run::Detached => call.let_go(),
        Ok(outcome) => call.release(outcome, intercepted.streams()),
        Err(_) => call.release_panicked(),
    }
}
