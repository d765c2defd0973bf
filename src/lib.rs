//! gRPC on plain threads.
#![allow(dead_code)] // while the house is being built

pub mod codec;
pub mod credentials;
mod deadline;
mod error;
pub mod metadata;
mod status;

pub use channel::{
    Channel, ChannelBuilder, Connectivity, ReadyFuture, Subscription, channel_ready_future,
    insecure_channel,
};
pub use client::{
    Call, CallFuture, CallOptions, Duplex, Exchange, MethodPath, RequestSender, Responses,
    StreamStream, StreamUnary, UnaryStream, UnaryUnary,
};
pub use codec::{Codec, Prost, Raw};
pub use error::{ConfigError, ConfigErrorKind, ResultError};
pub use metadata::Metadata;
pub use net::BindError;
pub use reactor::{Executor, Job, Rejected, ThreadPool, thread_count};
pub use status::{Code, Status};

pub use server::{
    Cardinality, GenericRpcHandler, HandlerCallDetails, MethodHandlersGenericHandler,
    RequestIterator, RpcMethodHandler, ServeError, Server, ServerBuilder, ServerOptions,
    ServerStream, Service, ServiceRpcHandler, ServicerContext, StillRunning, Stopped, StreamingFn,
    StreamingMethod, Termination, method_handlers_generic_handler, server,
    stream_rpc_method_handler, stream_rpc_method_handler_with, stream_stream_rpc_method_handler,
    stream_stream_rpc_method_handler_of, stream_stream_rpc_method_handler_with,
    stream_unary_rpc_method_handler, stream_unary_rpc_method_handler_with,
    unary_stream_rpc_method_handler, unary_stream_rpc_method_handler_of,
    unary_stream_rpc_method_handler_with, unary_unary_rpc_method_handler,
    unary_unary_rpc_method_handler_with,
};

mod http2;

mod wire;

mod net;
mod reactor;

mod link;

mod call;

mod channel;
mod client;
mod server;

#[cfg(feature = "_internals")]
#[doc(hidden)]
pub mod _bench;
