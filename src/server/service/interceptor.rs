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
use crate::tell;

/// Stands around the handlers of a server: admits, counts, times, changes what goes in and out, and decides how calls end.
///
/// It runs on the worker, around the handler, so one that waits is in the way of nobody but its own call. It sees every call that
/// reaches a worker, also of methods that are not known; of several the first added is the outermost. Set it with
/// [`ServerBuilder::interceptor`](crate::ServerBuilder::interceptor).
///
/// A panic in it ends the call as one of the handler does, with UNKNOWN; it is logged. What it does wrong by the rules of
/// [`ServerNext`] and [`InterceptedCall`] makes its outcome INTERNAL, and a warning in the log names the method and the interceptor.
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
    /// OK without having run `next`: the interceptor answers by itself, with [`respond`](InterceptedCall::respond) or
    /// [`respond_all`](InterceptedCall::respond_all). OK without either, and OK of a call with one response that has failed and was
    /// not responded to, are mistakes: INTERNAL.
    ///
    /// # Errors
    /// The status that the client is given in place of the handler's.
    fn intercept(&self, call: &mut InterceptedCall<'_>, next: ServerNext<'_>)
    -> Result<(), Status>;

    /// What the log calls it, where it has done something wrong. Default: the name of its type, which is that of the function
    /// around it for a closure. Clients are not told.
    fn name(&self) -> &str {
        std::any::type_name::<Self>()
    }
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
    /// All that are around the handler.
    all: &'a [Arc<dyn ServerInterceptor>],
    /// Which of them runs, from 1 on.
    place: usize,
    /// Which of them has responded last.
    answered: Option<usize>,
    /// What the one that runs has done wrong.
    wrong: Option<Status>,
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

/// What an interceptor does wrong: what the client is told, and what the log.
struct Mistake(&'static str, &'static str);

const FORGOTTEN: Mistake =
    Mistake("returned OK without a response", "returned OK, and did not run `next` or `respond`");
const PARDONED: Mistake = Mistake(
    "returned OK without a response",
    "made an OK of a call that failed, and did not `respond`",
);
const TWO_ANSWERS: Mistake = Mistake(
    "responded and ran the handler as well",
    "called `respond`, then `next.run`, which was not run: the method has one response",
);
const TWICE: Mistake = Mistake(
    "gave two responses, and the method has one",
    "called `respond` twice, and the method has one response",
);
const ELSEWHERE: Mistake = Mistake(
    "responded to a call that was left to another thread",
    "called `respond` for a call that its handler had left to another thread, and the method has one response",
);
const LATE: Mistake = Mistake(
    "added hooks after the handler had run",
    "called `add_hooks` after `next.run`, when the messages had passed",
);

impl<'a> InterceptedCall<'a> {
    pub(in crate::server) fn new(
        context: &'a ServicerContext,
        cardinality: Option<Cardinality>,
        slot: &'a mut Option<Slot>,
        all: &'a [Arc<dyn ServerInterceptor>],
    ) -> Self {
        let (run, place, answered, wrong) = (Run::No, 0, None, None);
        Self { context, cardinality, slot, run, all, place, answered, wrong }
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
    /// before `next.run`: hooks for messages that come after it are a mistake (INTERNAL); one for the end may.
    ///
    /// A hook runs on the thread that receives or sends the message: the handler's. `on_end` runs on the worker too, once the call is
    /// over and the handler and all interceptors have returned: the worker takes no other call meanwhile. Of a stream that was
    /// detached, or is answered from elsewhere, it runs on the notifier thread, which is one for the process: be quick there.
    /// What is to be told of a client's cancel at once is [`ServicerContext::add_callback`](crate::ServicerContext::add_callback).
    pub fn add_hooks(&mut self, hooks: StreamHooks) {
        if self.run != Run::No && hooks.has_messages() {
            self.mistaken(&LATE);
        }
        self.context.call().add_hooks(hooks);
    }

    /// Answers in the handler's place. For a method with one response it becomes the response, if the call ends with OK, in the place of
    /// what the handler or an interceptor within has given. For a method with many it is sent now, before the handler's responses or behind
    /// them: this waits for room, up to the call's deadline.
    ///
    /// # Errors
    /// When a response of many cannot be sent: the call has ended. INTERNAL, which is the interceptor's outcome then, where the method
    /// has one response: for a second one of the same interceptor, and when the call [was left](Self::is_detached) to another thread. Nor may
    /// `next` be run afterwards.
    pub fn respond(&mut self, response: Payload) -> Result<(), Status> {
        let before = self.answered.replace(self.place);
        let call = self.context.call();
        if self.streams() {
            return call.send_payload(&response);
        }
        if before == Some(self.place) {
            return Err(self.mistaken(&TWICE));
        }
        if self.run == Run::Detached {
            return Err(self.mistaken(&ELSEWHERE));
        }
        call.respond(response);
        Ok(())
    }

    /// Answers with all of these, as [`respond`](Self::respond) does with each. For a method with many responses they may be none: the
    /// call ends with OK then, and no message.
    ///
    /// # Errors
    /// As [`respond`](Self::respond).
    pub fn respond_all(
        &mut self,
        responses: impl IntoIterator<Item = Payload>,
    ) -> Result<(), Status> {
        if self.streams() {
            self.answered = Some(self.place);
        }
        responses.into_iter().try_for_each(|response| self.respond(response))
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

    /// Tells of a mistake of the interceptor that runs: what its outcome is then.
    fn mistaken(&mut self, Mistake(client, log): &Mistake) -> Status {
        let method = self.context.method();
        let (place, count) = (self.place, self.all.len());
        let name =
            place.checked_sub(1).and_then(|at| self.all.get(at)).map_or("", |one| one.name());
        tell::warn!(
            "{method}: the interceptor {name} ({place} of {count}) {log}; its outcome is INTERNAL"
        );
        let status = Status::internal(format!("{method}: an interceptor {client}"));
        self.wrong = Some(status.clone());
        status
    }

    /// How the interceptor that runs has ended the call, where it has done nothing wrong.
    fn checked(&mut self, outcome: Result<(), Status>) -> Result<(), Status> {
        if self.wrong.is_none() && outcome.is_ok() && !self.is_answered() {
            self.mistaken(if self.run == Run::No { &FORGOTTEN } else { &PARDONED });
        }
        self.wrong.take().map_or(outcome, Err)
    }

    /// Whether an OK has something to say.
    fn is_answered(&self) -> bool {
        match (self.run, self.streams()) {
            (Run::Detached, _) | (Run::Ended, true) => true,
            (Run::No, true) => self.answered.is_some(),
            (_, false) => self.context.call().is_answered(),
        }
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

/// What lies behind an interceptor: the next one, or the handler. Run once, or not at all; of a method with one response not by
/// one that has [responded](InterceptedCall::respond) before.
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
    /// UNIMPLEMENTED where there is none; INTERNAL where the interceptor has responded for a method with one response, and nothing is
    /// run.
    pub fn run(self, call: &mut InterceptedCall<'_>) -> Result<(), Status> {
        let Self { rest, innermost, handler } = self;
        let outside = call.place;
        if call.answered == Some(outside) && !call.streams() {
            return Err(call.mistaken(&TWO_ANSWERS));
        }
        if let Some((first, rest)) = rest.split_first() {
            call.place = outside + 1;
            let outcome = first.intercept(call, ServerNext { rest, innermost, handler });
            let outcome = call.checked(outcome);
            call.place = outside;
            return outcome;
        }
        if let Some(handler) = &handler {
            call.cardinality = Some(handler.cardinality());
        }
        innermost(handler.as_ref(), call.context, call.slot);
        let outcome = call.context.call().handlers_outcome();
        call.run = if outcome.is_some() { Run::Ended } else { Run::Detached };
        outcome.unwrap_or(Ok(()))
    }

    /// The same with another handler in the place of the method's. What that says of workers and of the sizes of messages is not heeded:
    /// see [`GenericRpcHandler`](crate::GenericRpcHandler).
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
