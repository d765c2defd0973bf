//! From a typed function to a method: the constructors of [`RpcMethodHandler`].

use std::marker::PhantomData;
use std::sync::Arc;

use prost::Message;

use super::context::ServicerContext;
use super::elsewhere::{self, Answers};
use super::handler::{Cardinality, RpcMethodHandler};
use super::requests::RequestIterator;
use super::shapes::{
    ByHand, StreamStream, StreamStreamOf, StreamUnary, StreamingFn, StreamingMethod, UnaryStream,
    UnaryStreamOf, UnaryUnary,
};
use super::stream::ServerStream;
use crate::codec::{Codec, Prost};
use crate::status::Status;

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
        UnaryStream { behaviour, request, response: answers(response), types: PhantomData },
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
        StreamStream {
            behaviour,
            request: Arc::new(request),
            response: answers(response),
            types: PhantomData,
        },
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
    let answers = Arc::new(elsewhere::ByHand);
    RpcMethodHandler::new(
        cardinality,
        ByHand { cardinality, behaviour, request, response, answers, types: PhantomData },
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
        UnaryStreamOf { service, method, request, response: answers(response), types: PhantomData },
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
        StreamStreamOf {
            service,
            method,
            request,
            response: answers(response),
            types: PhantomData,
        },
    )
}

fn answers<Resp: 'static>(codec: impl Codec<Resp>) -> Arc<Answers<Resp>> {
    Arc::new(Answers(Arc::new(codec)))
}
