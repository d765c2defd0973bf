//! A method that a server can run: [`RpcMethodHandler`], and the [`Behaviour`] within it.
//!
//! Ignores paths, admission and threads: a behaviour is given one call and runs it to its end
//! on the calling thread. Panics are its caller's to catch.

use std::fmt;
use std::sync::Arc;

use super::context::ServicerContext;
use super::slot::Slot;
use crate::reactor::ThreadPool;

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
/// Made by [`unary_unary_rpc_method_handler`](crate::unary_unary_rpc_method_handler) and its sisters. Cheap to clone.
#[derive(Clone)]
pub struct RpcMethodHandler {
    cardinality: Cardinality,
    behaviour: Arc<dyn Behaviour>,
    pub(in crate::server) receive_limit: Option<usize>,
    pub(in crate::server) send_limit: Option<usize>,
    pub(in crate::server) reserved: bool,
    /// Runs it instead of the server's.
    pub(in crate::server) pool: Option<ThreadPool>,
}

impl RpcMethodHandler {
    pub(super) fn new(cardinality: Cardinality, behaviour: impl Behaviour + 'static) -> Self {
        let behaviour = Arc::new(behaviour);
        Self {
            cardinality,
            behaviour,
            receive_limit: None,
            send_limit: None,
            reserved: false,
            pool: None,
        }
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

    /// Has its calls run before all others, and also where these are too many: see [`Service::reserved`](crate::Service::reserved). Not heeded
    /// of a handler that comes when the call is on its worker: see [`GenericRpcHandler`](crate::GenericRpcHandler).
    #[must_use]
    pub fn reserved(mut self) -> Self {
        self.reserved = true;
        self
    }

    /// Has its calls run by this pool: see [`Service::thread_pool`](crate::Service::thread_pool). Not heeded of a handler that comes when
    /// the call is on its worker: see [`GenericRpcHandler`](crate::GenericRpcHandler).
    #[must_use]
    pub fn thread_pool(mut self, pool: ThreadPool) -> Self {
        self.pool = Some(pool);
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

/// Runs one call to its end.
pub(super) trait Behaviour: Send + Sync {
    /// `slot` counts the call as running; who takes it keeps the call counted.
    fn run(&self, context: &ServicerContext, slot: &mut Option<Slot>);
}
