//! From a typed function to a method a server can run: [`RpcMethodHandler`], its
//! constructors, and the four shapes.
//!
//! Ignores paths, admission and threads: a shape is given one call and runs it to its end
//! on the calling thread. Panics are its caller's to catch.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use prost::Message;

use super::context::ServicerContext;
use super::requests::RequestIterator;
use super::stream::ServerStream;
use crate::call::SendError;
use crate::codec::{Codec, Prost};
use crate::reactor::{spares, user};
use crate::server::dispatch::Slot;
use crate::status::Status;

/// How many messages a method takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// One request, one response.
    UnaryUnary,
    /// One request, a stream of responses.
    UnaryStream,
    /// A stream of requests, one response.
    StreamUnary,
    /// Streams both ways.
    StreamStream,
}

impl Cardinality {
    /// Whether the client sends a stream of messages.
    #[must_use]
    pub fn request_streaming(self) -> bool {
        matches!(self, Self::StreamUnary | Self::StreamStream)
    }

    /// Whether the server sends a stream of messages.
    #[must_use]
    pub fn response_streaming(self) -> bool {
        matches!(self, Self::UnaryStream | Self::StreamStream)
    }
}

/// A method of a service: what runs, and how its messages are read and written.
///
/// Made by [`unary_unary_rpc_method_handler`] and its sisters. Cheap to clone.
#[derive(Clone)]
pub struct RpcMethodHandler {
    cardinality: Cardinality,
    behaviour: Arc<dyn Behaviour>,
    pub(in crate::server) receive_limit: Option<usize>,
    pub(in crate::server) send_limit: Option<usize>,
}

impl RpcMethodHandler {
    fn new(cardinality: Cardinality, behaviour: impl Behaviour + 'static) -> Self {
        let behaviour = Arc::new(behaviour);
        Self { cardinality, behaviour, receive_limit: None, send_limit: None }
    }

    /// How many messages it takes and gives.
    #[must_use]
    pub fn cardinality(&self) -> Cardinality {
        self.cardinality
    }

    /// The longest request message of this method, in bytes; without it the service's or
    /// the server's limit holds. A longer one ends its call with `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn max_receive_message_size(mut self, bytes: usize) -> Self {
        self.receive_limit = Some(bytes);
        self
    }

    /// The longest response message of this method, in bytes; without it the service's or
    /// the server's limit holds. A longer one ends its call with `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn max_send_message_size(mut self, bytes: usize) -> Self {
        self.send_limit = Some(bytes);
        self
    }

    pub(in crate::server) fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>) {
        self.behaviour.run(context, slot);
    }
}

impl fmt::Debug for RpcMethodHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcMethodHandler")
            .field("cardinality", &self.cardinality)
            .finish_non_exhaustive()
    }
}

/// A function from a request to an iterator of responses, which may borrow the context.
///
/// Implemented for every such function and closure; a bound, not something to implement.
pub trait StreamingFn<'a, In, Resp>:
    Fn(In, &'a ServicerContext) -> Result<<Self as StreamingFn<'a, In, Resp>>::Responses, Status>
{
    /// What it returns.
    type Responses: IntoIterator<Item = Result<Resp, Status>>;
}

impl<'a, In, Resp, F, I> StreamingFn<'a, In, Resp> for F
where
    F: Fn(In, &'a ServicerContext) -> Result<I, Status>,
    I: IntoIterator<Item = Result<Resp, Status>>,
{
    type Responses = I;
}

/// A method of a service type that answers with an iterator of responses, which may borrow
/// the service and the context.
///
/// Implemented for every such function; a bound, not something to implement.
pub trait StreamingMethod<'a, S: ?Sized + 'a, In, Resp>:
    Fn(
    &'a S,
    In,
    &'a ServicerContext,
) -> Result<<Self as StreamingMethod<'a, S, In, Resp>>::Responses, Status>
{
    /// What it returns.
    type Responses: IntoIterator<Item = Result<Resp, Status>>;
}

impl<'a, S: ?Sized + 'a, In, Resp, F, I> StreamingMethod<'a, S, In, Resp> for F
where
    F: Fn(&'a S, In, &'a ServicerContext) -> Result<I, Status>,
    I: IntoIterator<Item = Result<Resp, Status>>,
{
    type Responses = I;
}

/// A method with one request and one response, over a closure and prost messages.
///
/// Its error is the status that the client gets, with its details and trailing metadata. So is that of a call which the
/// handler makes itself and passes on with `?`; `Status::new(status.code(), status.message())` strips it of both.
///
/// ```no_run
/// use grpc_threads::{ServicerContext, unary_unary_rpc_method_handler};
///
/// let handler = unary_unary_rpc_method_handler(|name: String, _context: &ServicerContext| {
///     Ok(format!("Hello {name}"))
/// });
/// ```
pub fn unary_unary_rpc_method_handler<Req, Resp, F>(behaviour: F) -> RpcMethodHandler
where
    Req: Message + Default + 'static,
    Resp: Message + Default + 'static,
    F: Fn(Req, &ServicerContext) -> Result<Resp, Status> + Send + Sync + 'static,
{
    unary_unary_rpc_method_handler_with(behaviour, Prost, Prost)
}

/// A method with one request and a stream of responses, over a closure and prost messages.
///
/// The iterator is pulled on the worker; a `next()` that waits holds the worker. It is not
/// pulled any more once the call is over. Closures own what their iterators borrow.
///
/// ```no_run
/// use grpc_threads::{ServicerContext, unary_stream_rpc_method_handler};
///
/// let handler = unary_stream_rpc_method_handler(|up_to: u32, _context: &ServicerContext| {
///     Ok((0..up_to).map(Ok))
/// });
/// ```
pub fn unary_stream_rpc_method_handler<Req, Resp, F>(behaviour: F) -> RpcMethodHandler
where
    Req: Message + Default + 'static,
    Resp: Message + Default + 'static,
    F: for<'a> StreamingFn<'a, Req, Resp> + Send + Sync + 'static,
{
    unary_stream_rpc_method_handler_with(behaviour, Prost, Prost)
}

/// A method with a stream of requests and one response, over a closure and prost messages.
///
/// ```no_run
/// use grpc_threads::{RequestIterator, ServicerContext, unary_unary_rpc_method_handler};
/// use grpc_threads::stream_unary_rpc_method_handler;
///
/// let sum = stream_unary_rpc_method_handler(
///     |requests: RequestIterator<u64>, _context: &ServicerContext| {
///         requests.sum::<Result<u64, _>>()
///     },
/// );
/// ```
pub fn stream_unary_rpc_method_handler<Req, Resp, F>(behaviour: F) -> RpcMethodHandler
where
    Req: Message + Default + 'static,
    Resp: Message + Default + 'static,
    F: Fn(RequestIterator<Req>, &ServicerContext) -> Result<Resp, Status> + Send + Sync + 'static,
{
    stream_unary_rpc_method_handler_with(behaviour, Prost, Prost)
}

/// A method with streams both ways, over a closure and prost messages.
///
/// ```no_run
/// use grpc_threads::{RequestIterator, ServicerContext, stream_stream_rpc_method_handler};
///
/// let double = stream_stream_rpc_method_handler(
///     |requests: RequestIterator<u64>, _context: &ServicerContext| {
///         Ok(requests.map(|number| Ok(number? * 2)))
///     },
/// );
/// ```
pub fn stream_stream_rpc_method_handler<Req, Resp, F>(behaviour: F) -> RpcMethodHandler
where
    Req: Message + Default + 'static,
    Resp: Message + Default + 'static,
    F: for<'a> StreamingFn<'a, RequestIterator<Req>, Resp> + Send + Sync + 'static,
{
    stream_stream_rpc_method_handler_with(behaviour, Prost, Prost)
}

/// A method of any cardinality, written by hand over a [`ServerStream`], with prost messages.
///
/// The call ends when `behaviour` returns, unless the stream was
/// [detached](ServerStream::detach).
pub fn stream_rpc_method_handler<Req, Resp, F>(
    cardinality: Cardinality,
    behaviour: F,
) -> RpcMethodHandler
where
    Req: Message + Default + 'static,
    Resp: Message + Default + 'static,
    F: Fn(&mut ServerStream<Req, Resp>, &ServicerContext) -> Result<(), Status>
        + Send
        + Sync
        + 'static,
{
    stream_rpc_method_handler_with(cardinality, behaviour, Prost, Prost)
}

/// [`unary_unary_rpc_method_handler`] with any codecs.
pub fn unary_unary_rpc_method_handler_with<Req, Resp, F>(
    behaviour: F,
    request: impl Codec<Req>,
    response: impl Codec<Resp>,
) -> RpcMethodHandler
where
    Req: 'static,
    Resp: 'static,
    F: Fn(Req, &ServicerContext) -> Result<Resp, Status> + Send + Sync + 'static,
{
    RpcMethodHandler::new(
        Cardinality::UnaryUnary,
        UnaryUnary { behaviour, request, response, types: PhantomData },
    )
}

/// [`unary_stream_rpc_method_handler`] with any codecs.
pub fn unary_stream_rpc_method_handler_with<Req, Resp, F>(
    behaviour: F,
    request: impl Codec<Req>,
    response: impl Codec<Resp>,
) -> RpcMethodHandler
where
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingFn<'a, Req, Resp> + Send + Sync + 'static,
{
    RpcMethodHandler::new(
        Cardinality::UnaryStream,
        UnaryStream { behaviour, request, response, types: PhantomData },
    )
}

/// [`stream_unary_rpc_method_handler`] with any codecs.
pub fn stream_unary_rpc_method_handler_with<Req, Resp, F>(
    behaviour: F,
    request: impl Codec<Req>,
    response: impl Codec<Resp>,
) -> RpcMethodHandler
where
    Req: 'static,
    Resp: 'static,
    F: Fn(RequestIterator<Req>, &ServicerContext) -> Result<Resp, Status> + Send + Sync + 'static,
{
    RpcMethodHandler::new(
        Cardinality::StreamUnary,
        StreamUnary { behaviour, request: Arc::new(request), response, types: PhantomData },
    )
}

/// [`stream_stream_rpc_method_handler`] with any codecs.
pub fn stream_stream_rpc_method_handler_with<Req, Resp, F>(
    behaviour: F,
    request: impl Codec<Req>,
    response: impl Codec<Resp>,
) -> RpcMethodHandler
where
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingFn<'a, RequestIterator<Req>, Resp> + Send + Sync + 'static,
{
    RpcMethodHandler::new(
        Cardinality::StreamStream,
        StreamStream { behaviour, request: Arc::new(request), response, types: PhantomData },
    )
}

/// [`stream_rpc_method_handler`] with any codecs.
pub fn stream_rpc_method_handler_with<Req, Resp, F>(
    cardinality: Cardinality,
    behaviour: F,
    request: impl Codec<Req>,
    response: impl Codec<Resp>,
) -> RpcMethodHandler
where
    Req: 'static,
    Resp: 'static,
    F: Fn(&mut ServerStream<Req, Resp>, &ServicerContext) -> Result<(), Status>
        + Send
        + Sync
        + 'static,
{
    let (request, response) = (Arc::new(request), Arc::new(response));
    RpcMethodHandler::new(
        cardinality,
        ByHand { cardinality, behaviour, request, response, types: PhantomData },
    )
}

/// A method of `service` with one request and a stream of responses that may borrow
/// `service` and the context. For generated code: `method` is a path such as `T::list`.
pub fn unary_stream_rpc_method_handler_of<S, Req, Resp, F>(
    service: Arc<S>,
    method: F,
    request: impl Codec<Req>,
    response: impl Codec<Resp>,
) -> RpcMethodHandler
where
    S: ?Sized + Send + Sync + 'static,
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingMethod<'a, S, Req, Resp> + Send + Sync + 'static,
{
    RpcMethodHandler::new(
        Cardinality::UnaryStream,
        UnaryStreamOf { service, method, request, response, types: PhantomData },
    )
}

/// A method of `service` with streams both ways, whose responses may borrow `service` and
/// the context. For generated code.
pub fn stream_stream_rpc_method_handler_of<S, Req, Resp, F>(
    service: Arc<S>,
    method: F,
    request: impl Codec<Req>,
    response: impl Codec<Resp>,
) -> RpcMethodHandler
where
    S: ?Sized + Send + Sync + 'static,
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingMethod<'a, S, RequestIterator<Req>, Resp> + Send + Sync + 'static,
{
    let request = Arc::new(request);
    RpcMethodHandler::new(
        Cardinality::StreamStream,
        StreamStreamOf { service, method, request, response, types: PhantomData },
    )
}

/// Runs one call to its end.
pub(in crate::server) trait Behaviour: Send + Sync {
    /// `slot` counts the call as running; who takes it keeps the call counted.
    fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>);
}

type Types<Req, Resp> = PhantomData<fn(Req) -> Resp>;

struct UnaryUnary<F, Q, P, Req, Resp> {
    behaviour: F,
    request: Q,
    response: P,
    types: Types<Req, Resp>,
}

impl<F, Q, P, Req, Resp> Behaviour for UnaryUnary<F, Q, P, Req, Resp>
where
    Req: 'static,
    Resp: 'static,
    F: Fn(Req, &ServicerContext) -> Result<Resp, Status> + Send + Sync,
    Q: Codec<Req>,
    P: Codec<Resp>,
{
    fn run(&self, context: &ServicerContext, _slot: &mut Option<Slot>) {
        let outcome =
            single(context, &self.request).and_then(|request| (self.behaviour)(request, context));
        context.call().answer(&self.response, outcome);
    }
}

struct UnaryStream<F, Q, P, Req, Resp> {
    behaviour: F,
    request: Q,
    response: P,
    types: Types<Req, Resp>,
}

impl<F, Q, P, Req, Resp> Behaviour for UnaryStream<F, Q, P, Req, Resp>
where
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingFn<'a, Req, Resp> + Send + Sync,
    Q: Codec<Req>,
    P: Codec<Resp>,
{
    fn run(&self, context: &ServicerContext, _slot: &mut Option<Slot>) {
        match single(context, &self.request).and_then(|request| (self.behaviour)(request, context))
        {
            Ok(responses) => send_all(context, responses, &self.response),
            Err(status) => context.call().finish(Err(status)),
        }
    }
}

struct StreamUnary<F, Q, P, Req, Resp> {
    behaviour: F,
    request: Arc<Q>,
    response: P,
    types: Types<Req, Resp>,
}

impl<F, Q, P, Req, Resp> Behaviour for StreamUnary<F, Q, P, Req, Resp>
where
    Req: 'static,
    Resp: 'static,
    F: Fn(RequestIterator<Req>, &ServicerContext) -> Result<Resp, Status> + Send + Sync,
    Q: Codec<Req>,
    P: Codec<Resp>,
{
    fn run(&self, context: &ServicerContext, _slot: &mut Option<Slot>) {
        let requests = RequestIterator::new(context.call().clone(), self.request.clone());
        context.call().answer(&self.response, (self.behaviour)(requests, context));
    }
}

struct StreamStream<F, Q, P, Req, Resp> {
    behaviour: F,
    request: Arc<Q>,
    response: P,
    types: Types<Req, Resp>,
}

impl<F, Q, P, Req, Resp> Behaviour for StreamStream<F, Q, P, Req, Resp>
where
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingFn<'a, RequestIterator<Req>, Resp> + Send + Sync,
    Q: Codec<Req>,
    P: Codec<Resp>,
{
    fn run(&self, context: &ServicerContext, _slot: &mut Option<Slot>) {
        let requests = RequestIterator::new(context.call().clone(), self.request.clone());
        match (self.behaviour)(requests, context) {
            Ok(responses) => send_all(context, responses, &self.response),
            Err(status) => context.call().finish(Err(status)),
        }
    }
}

struct UnaryStreamOf<S: ?Sized, F, Q, P, Req, Resp> {
    service: Arc<S>,
    method: F,
    request: Q,
    response: P,
    types: Types<Req, Resp>,
}

impl<S, F, Q, P, Req, Resp> Behaviour for UnaryStreamOf<S, F, Q, P, Req, Resp>
where
    S: ?Sized + Send + Sync,
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingMethod<'a, S, Req, Resp> + Send + Sync,
    Q: Codec<Req>,
    P: Codec<Resp>,
{
    fn run(&self, context: &ServicerContext, _slot: &mut Option<Slot>) {
        let outcome = single(context, &self.request)
            .and_then(|request| (self.method)(&self.service, request, context));
        match outcome {
            Ok(responses) => send_all(context, responses, &self.response),
            Err(status) => context.call().finish(Err(status)),
        }
    }
}

struct StreamStreamOf<S: ?Sized, F, Q, P, Req, Resp> {
    service: Arc<S>,
    method: F,
    request: Arc<Q>,
    response: P,
    types: Types<Req, Resp>,
}

impl<S, F, Q, P, Req, Resp> Behaviour for StreamStreamOf<S, F, Q, P, Req, Resp>
where
    S: ?Sized + Send + Sync,
    Req: 'static,
    Resp: 'static,
    F: for<'a> StreamingMethod<'a, S, RequestIterator<Req>, Resp> + Send + Sync,
    Q: Codec<Req>,
    P: Codec<Resp>,
{
    fn run(&self, context: &ServicerContext, _slot: &mut Option<Slot>) {
        let requests = RequestIterator::new(context.call().clone(), self.request.clone());
        match (self.method)(&self.service, requests, context) {
            Ok(responses) => send_all(context, responses, &self.response),
            Err(status) => context.call().finish(Err(status)),
        }
    }
}

struct ByHand<F, Q, P, Req, Resp> {
    cardinality: Cardinality,
    behaviour: F,
    request: Arc<Q>,
    response: Arc<P>,
    types: Types<Req, Resp>,
}

impl<F, Q, P, Req, Resp> Behaviour for ByHand<F, Q, P, Req, Resp>
where
    Req: 'static,
    Resp: 'static,
    F: Fn(&mut ServerStream<Req, Resp>, &ServicerContext) -> Result<(), Status> + Send + Sync,
    Q: Codec<Req>,
    P: Codec<Resp>,
{
    fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>) {
        let requests = RequestIterator::new(context.call().clone(), self.request.clone());
        let mut stream = ServerStream::new(
            self.cardinality,
            context.clone(),
            requests,
            self.response.clone(),
            slot.take(),
        );
        let outcome = (self.behaviour)(&mut stream, context);
        stream.returned(outcome);
    }
}

fn single<Req: 'static>(context: &ServicerContext, codec: &dyn Codec<Req>) -> Result<Req, Status> {
    let call = context.call();
    let request = call.single_request()?;
    user::run_or_end(|| spares::decode(codec, request), || call.request_codec_panicked())
        .map_err(|status| call.undecodable(status))
}

/// Sends what the iterator gives, then the status. Stops pulling once the call is over.
fn send_all<I, Resp: 'static>(context: &ServicerContext, responses: I, codec: &dyn Codec<Resp>)
where
    I: IntoIterator<Item = Result<Resp, Status>>,
{
    let send = |response: Result<Resp, Status>| send_one(context, &response?, codec);
    // The iterator is gone before its call is over.
    let outcome = responses.into_iter().try_for_each(send);
    context.call().finish(outcome);
}

/// Sends one message of a stream; waits while too many are queued.
pub(in crate::server) fn send_one<Resp: 'static>(
    context: &ServicerContext,
    message: &Resp,
    codec: &dyn Codec<Resp>,
) -> Result<(), Status> {
    let call = context.call();
    let Some(outbox) = call.outbox() else { return Err(call.ended_status()) };
    let send = || outbox.send(codec, message, call.deadline());
    user::run_or_end(send, || call.response_codec_panicked())
        .map_err(|error| send_failure(context, error))
}

pub(in crate::server) fn send_failure(context: &ServicerContext, error: SendError) -> Status {
    match error {
        SendError::Encode(status) => status,
        SendError::Ended => context.call().ended_status(),
        SendError::TimedOut => {
            context.call().expire();
            context.call().ended_status()
        }
    }
}
