//! What those are told of a call who listen to its server: what goes out at the beginning and at the end of its answer. And who they
//! are.

use std::sync::{Arc, OnceLock};

use super::events::{List, RecvMessage, SendMessage};
use super::gate::Gate;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::sync::atomic::AtomicBool;

/// A server's initial metadata are about to be sent, before its first message, and may be changed. For
/// [`Server::listen`](crate::Server::listen).
///
/// On the thread that sends them or the first message: the handler's. Empty, where the handler has set none. Not told of a call that
/// ends without a message and without them (trailers-only). Of a method with one response that is told first
/// ([`SendMessage`]).
///
/// ```
/// use grpc_threads::{Flow, SendInitialMetadata, ThreadPool};
///
/// let server = grpc_threads::server(ThreadPool::new(4));
/// server.listen::<SendInitialMetadata>(|event| {
///     event.metadata_mut().append("served-by", "shard-7")?;
///     Ok(Flow::Continue)
/// });
/// ```
#[derive(Debug)]
pub struct SendInitialMetadata {
    pub(super) metadata: Metadata,
    pub(super) method: Arc<str>,
}

impl SendInitialMetadata {
    /// What is sent before the messages.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The same, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// The path of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }
}

/// A call ends, and its status is about to be sent, with metadata that may be changed; also where nothing was sent before
/// (trailers-only). For [`Server::listen`](crate::Server::listen).
///
/// On the thread that ends the call: the handler's, behind its interceptors, or that of a
/// [detached](crate::ServerStream::detach) stream's end. An error in place of it is what the client is told, without the response.
/// Told of calls whose handler, interceptor or listener has ended them, and not of those that the library ends while the handler
/// runs or before: by the deadline, by [`cancel`](crate::ServicerContext::cancel), by a limit, by the client. To count all ends,
/// have an interceptor add [`StreamHooks::on_end`](crate::StreamHooks::on_end) by
/// [`InterceptedCall::add_hooks`](crate::InterceptedCall::add_hooks): it is told of each end, once.
///
/// ```
/// use grpc_threads::{Flow, SendTrailingMetadata, ThreadPool};
///
/// let server = grpc_threads::server(ThreadPool::new(4));
/// server.listen::<SendTrailingMetadata>(|event| {
///     println!("{}: {}", event.method(), event.status());
///     event.metadata_mut().append("cost", "3")?;
///     Ok(Flow::Continue)
/// });
/// ```
#[derive(Debug)]
pub struct SendTrailingMetadata {
    pub(super) metadata: Metadata,
    pub(super) status: Status,
    pub(super) method: Arc<str>,
}

impl SendTrailingMetadata {
    /// What is sent with the status: what was set on the context, and the status's own behind it.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The same, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Code, message and details.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The path of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }
}

/// Who listens to what a server says and gets on its calls, once they have begun.
#[derive(Clone, Default)]
pub(crate) struct Answering {
    pub(crate) send_initial: List<SendInitialMetadata>,
    pub(crate) send_trailing: List<SendTrailingMetadata>,
    pub(crate) send_message: List<SendMessage>,
    pub(crate) recv_message: List<RecvMessage>,
}

/// They, and one call.
pub(super) struct Listening {
    pub(super) all: Arc<Answering>,
    pub(super) method: Arc<str>,
    /// What the client sent, as the listeners have left it.
    pub(super) metadata: OnceLock<Metadata>,
    pub(super) head: Gate,
    pub(super) end_told: AtomicBool,
}
