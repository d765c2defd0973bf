//! What users write and what their handlers see: services, the shapes of handlers, the context and the streams of a call.
//!
//! The lowest of the server's rooms. Ignores how a call came here and who waits for its end (`dispatch`), and when the
//! server stops (`life`): what it has to tell them it tells through a trait of its own.
//!
//! Threads: none of its own; everything runs on the thread that runs the handler, or on one that the user has moved it to.

mod constructors;
mod context;
mod definition;
mod elsewhere;
mod events;
mod generic;
mod handler;
mod interceptor;
mod requests;
mod sending;
mod shapes;
mod slot;
mod stream;
mod turn;

pub use self::constructors::{
    stream_rpc_method_handler, stream_rpc_method_handler_with, stream_stream_rpc_method_handler,
    stream_stream_rpc_method_handler_of, stream_stream_rpc_method_handler_with,
    stream_unary_rpc_method_handler, stream_unary_rpc_method_handler_with,
    unary_stream_rpc_method_handler, unary_stream_rpc_method_handler_of,
    unary_stream_rpc_method_handler_with, unary_unary_rpc_method_handler,
    unary_unary_rpc_method_handler_with,
};
pub use self::context::ServicerContext;
pub use self::definition::{IntoService, Service};
pub use self::elsewhere::{ResponseSender, SentElsewhere};
pub use self::events::{RecvRequest, ServerEvent};
pub use self::generic::{
    GenericRpcHandler, HandlerCallDetails, MethodHandlersGenericHandler, ServiceRpcHandler,
    method_handlers_generic_handler,
};
pub use self::handler::{Cardinality, RpcMethodHandler};
pub use self::interceptor::{InterceptedCall, ServerInterceptor, ServerNext};
pub use self::requests::RequestIterator;
pub use self::shapes::{StreamingFn, StreamingMethod};
pub use self::stream::ServerStream;

pub(super) use self::events::ServerEvents;
pub(super) use self::interceptor::Run;
pub(super) use self::slot::{Counting, Slot};
