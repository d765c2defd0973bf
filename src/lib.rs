//! gRPC on plain threads.

#[cfg(feature = "runtime")]
pub mod codec;
#[cfg(feature = "runtime")]
pub mod credentials;
#[cfg(feature = "runtime")]
mod deadline;
#[cfg(feature = "runtime")]
mod error;
#[cfg(feature = "runtime")]
pub mod metadata;
#[cfg(feature = "runtime")]
mod status;

#[cfg(feature = "runtime")]
pub use channel::{
    Channel, ChannelBuilder, Connectivity, ReadyFuture, Subscription, channel_ready_future,
    insecure_channel,
};
#[cfg(feature = "runtime")]
pub use client::{
    Call, CallFuture, CallOptions, Duplex, Exchange, MethodPath, RequestSender, Responses,
    StreamStream, StreamUnary, UnaryStream, UnaryUnary,
};
#[cfg(feature = "runtime")]
pub use codec::{Codec, Prost, Raw};
#[cfg(feature = "runtime")]
pub use error::{ConfigError, ConfigErrorKind, ResultError};
#[cfg(feature = "runtime")]
pub use metadata::Metadata;
#[cfg(feature = "runtime")]
pub use net::BindError;
#[cfg(feature = "runtime")]
pub use reactor::{Executor, Job, Rejected, ThreadPool, thread_count};
#[cfg(feature = "runtime")]
pub use status::{Code, Status};

#[cfg(feature = "runtime")]
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

#[cfg(feature = "runtime")]
mod http2;

#[cfg(feature = "runtime")]
mod wire;

#[cfg(feature = "runtime")]
mod net;
#[cfg(feature = "runtime")]
mod reactor;

#[cfg(feature = "runtime")]
mod link;

#[cfg(feature = "runtime")]
mod call;

#[cfg(feature = "runtime")]
mod channel;
#[cfg(feature = "runtime")]
mod client;
#[cfg(feature = "runtime")]
mod server;

#[cfg(feature = "_internals")]
#[doc(hidden)]
pub mod _bench;

/// The `prost` that this crate was built with, so that a program need not depend on it: generated code uses it with
/// `Builder::prost_path("::grpc_threads::prost")`.
#[cfg(feature = "derive")]
pub use prost;

#[cfg(feature = "codegen")]
pub mod build;
#[cfg(feature = "codegen")]
mod codegen;

/// Includes the code that module `build` generated for a package: `include_proto!("helloworld")`.
///
/// For code in a build script's `OUT_DIR`; of code elsewhere, use `include!`. Files without a package are in `"_"`.
#[cfg(feature = "runtime")]
#[macro_export]
macro_rules! include_proto {
    ($package:tt) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}

/// The README's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
