//! Interceptors of a server's calls, as users write them: [`ServerInterceptor`], what it is given, and the way inwards.
//!
//! How a handler is run is not known here: the last step is given.

use std::fmt;
use std::sync::Arc;

use super::context::ServicerContext;
use super::handler::{Cardinality, RpcMethodHandler};
use super::slot::Slot;
use crate::call::StreamHooks;
use crate::payload::Payload;
use crate::status::Status;

/// Stands around the handlers of a server: admits, counts, times, changes what goes in and out, and decides how calls end.
///
/// It runs on the worker, around the handler, so one that waits is in the way of nobody but its own call. It sees every call that
/// reaches a worker, also of methods that are not known; of several the first added is the outermost. Set it with
/// [`ServerBuilder::interceptor`](crate::ServerBuilder::interceptor).
///
/// A panic in it ends the call as one of the handler does, with UNKNOWN; it is logged.
///
/// A closure is one, too:
///
/// ```
/// use grpc_threads::{InterceptedCall, Server, ServerNext, Status};
///
/// let server = Server::builder()
///     .interceptor(|call: &mut InterceptedCall<'_>, next: ServerNext<'_>| {
///         let token = call.context().invocation_metadata().get("authorization").is_some();
///         if !token {
///             return Err(Status::unauthenticated("who are you?"));
///         }
///         let outcome = next.run(call);
///         println!("{}: {outcome:?}", call.context().method());
///         outcome
///     })
///     .build()?;
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
///
/// § What grpc-python's `ServerInterceptor` is for, which sees neither messages nor outcome; the shape is that of grpc-go's.
pub trait ServerInterceptor: Send + Sync + 'static {
    /// Goes around the handler of one call: everything before `next.run` is before the handler, and what it
    /// gives is how the handler ended. What is returned is how the call ends: the client is told no sooner.
    ///
    /// OK without having run `next`: the interceptor answers by itself, with [`respond`](InterceptedCall::respond).
    ///
    /// # Errors
    /// The status that the client is given in place of the handler's.
    fn intercept(&self, call: &mut InterceptedCall<'_>, next: ServerNext<'_>)
    -> Result<(), Status>;
}

impl<F> ServerInterceptor for F
where
    F: Fn(&mut InterceptedCall<'_>, ServerNext<'_>) -> Result<(), Status> + Send + Sync + 'static,
{
    fn intercept(
        &self,
        call: &mut InterceptedCall<'_>,
        next: ServerNext<'_>,
    ) -> Result<(), Status> {
        self(call, next)
    }
}

/// A call on its way to its handler and back.
pub struct InterceptedCall<'a> {
    context: &'a ServicerContext,
    cardinality: Option<Cardinality>,
    slot: &'a mut Option<Slot>,
    run: Run,
}

/// What became of the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Run {
    /// It was not run.
    No,
    /// It has ended the call.
    Ended,
    /// It has returned, and the call goes on elsewhere.
    Detached,
}

impl<'a> InterceptedCall<'a> {
    pub(in crate::server) fn new(
        context: &'a ServicerContext,
        cardinality: Option<Cardinality>,
        slot: &'a mut Option<Slot>,
    ) -> Self {
        Self { context, cardinality, slot, run: Run::No }
    }

    /// The call's context: method, metadata, peer, deadline, and what the handler will set.
    #[must_use]
    pub fn context(&self) -> &ServicerContext {
        self.context
    }

    /// How many requests and responses the method has; `None` where that is not known: no such method is registered, and a
    /// generic handler may know it.
    #[must_use]
    pub fn cardinality(&self) -> Option<Cardinality> {
        self.cardinality
    }

    /// Has the call's messages go through these hooks, inside of those that were given before, and its end be told. To be called
    /// before `next.run`.
    ///
    /// A hook runs on the thread that receives or sends the message: the handler's. `on_end` runs on the worker too, once the call is
    /// over and the handler and all interceptors have returned: the worker takes no other call meanwhile. Of a stream that was
    /// detached, or is answered from elsewhere, it runs on the notifier thread, which is one for the process: be quick there.
    /// What is to be told of a client's cancel at once is [`ServicerContext::add_callback`](crate::ServicerContext::add_callback).
    pub fn add_hooks(&mut self, hooks: StreamHooks) {
        self.context.call().add_hooks(hooks);
    }

    /// Answers in the handler's place. For a method with one response it becomes the response, if the call ends with OK. For a method
    /// with many it is sent now: this waits for room, up to the call's deadline.
    ///
    /// # Errors
    /// When a response of many cannot be sent: the call has ended.
    pub fn respond(&mut self, response: Payload) -> Result<(), Status> {
        let call = self.context.call();
        match self.streams() {
            true => call.send_payload(&response),
            false => {
                call.respond(response);
                Ok(())
            }
        }
    }

    /// Whether the handler has returned and left the call to another thread
    /// ([`ServerStream::detach`](crate::ServerStream::detach)): how it ends is not known yet.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.run == Run::Detached
    }

    /// Whether the method may give any number of responses.
    pub(in crate::server) fn streams(&self) -> bool {
        self.cardinality.is_some_and(Cardinality::response_streaming)
    }

    /// What became of its handler.
    pub(in crate::server) fn run(&self) -> Run {
        self.run
    }
}

impl fmt::Debug for InterceptedCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterceptedCall")
            .field("context", &self.context)
            .field("cardinality", &self.cardinality)
            .finish_non_exhaustive()
    }
}

/// Runs the handler, or another in its place, to its return.
type Innermost<'a> = &'a dyn Fn(Option<&RpcMethodHandler>, &ServicerContext, &mut Option<Slot>);

/// What lies behind an interceptor: the next one, or the handler. Run once, or not at all.
pub struct ServerNext<'a> {
    rest: &'a [Arc<dyn ServerInterceptor>],
    innermost: Innermost<'a>,
    handler: Option<RpcMethodHandler>,
}

impl<'a> ServerNext<'a> {
    pub(in crate::server) fn new(
        rest: &'a [Arc<dyn ServerInterceptor>],
        innermost: Innermost<'a>,
        handler: Option<RpcMethodHandler>,
    ) -> Self {
        Self { rest, innermost, handler }
    }

    /// Runs the rest, and gives how the handler ended, with what it had set on the context. OK for a handler that left the call to
    /// another thread: see [`is_detached`](InterceptedCall::is_detached).
    ///
    /// # Errors
    /// The status with which the handler, or an interceptor within, ended the call; UNKNOWN where the handler panicked;
    /// UNIMPLEMENTED where there is none.
    pub fn run(self, call: &mut InterceptedCall<'_>) -> Result<(), Status> {
        let Self { rest, innermost, handler } = self;
        if let Some((first, rest)) = rest.split_first() {
            return first.intercept(call, ServerNext { rest, innermost, handler });
        }
        if let Some(handler) = &handler {
            call.cardinality = Some(handler.cardinality());
        }
        innermost(handler.as_ref(), call.context, call.slot);
        let outcome = call.context.call().handlers_outcome();
        call.run = if outcome.is_some() { Run::Ended } else { Run::Detached };
        outcome.unwrap_or(Ok(()))
    }

    /// The same with another handler in the place of the method's.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(
        mut self,
        call: &mut InterceptedCall<'_>,
        handler: RpcMethodHandler,
    ) -> Result<(), Status> {
        self.handler = Some(handler);
        self.run(call)
    }
}

impl fmt::Debug for ServerNext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerNext").field("interceptors", &self.rest.len()).finish_non_exhaustive()
    }
}
