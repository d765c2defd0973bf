//! What the calls of a server tell those who listen: [`RecvRequest`], and the list of all its events.

use std::sync::Arc;
use std::time::Instant;

use super::context::ServicerContext;
use super::handler::RpcMethodHandler;
use crate::call::events::{Events, List, Of};
use crate::call::{Answering, RecvMessage, SendInitialMetadata, SendMessage, SendTrailingMetadata};
use crate::metadata::Metadata;
use crate::status::Status;

/// A call has reached its worker: before interceptors and handler. Its metadata may be changed, and its handler be replaced; an
/// error ends it with that status. For [`Server::listen`](crate::Server::listen).
///
/// On the thread that runs the handler. Told of calls of methods that are registered, and of all others where there are generic
/// handlers or interceptors, before those are asked; not of requests that are refused before: of an unknown method on other
/// servers, beyond a limit, or ill-formed.
///
/// ```
/// use grpc_threads::{Flow, RecvRequest, Status, ThreadPool};
///
/// let server = grpc_threads::server(ThreadPool::new(4));
/// server.listen::<RecvRequest>(|event| {
///     if event.metadata().get("authorization") != Some("Bearer 4711") {
///         return Err(Status::unauthenticated("who are you?"));
///     }
///     event.metadata_mut().insert("user", "alice")?;
///     Ok(Flow::Continue)
/// });
/// ```
#[derive(Debug)]
pub struct RecvRequest {
    context: ServicerContext,
    metadata: Metadata,
    handler: Option<RpcMethodHandler>,
    replaced: bool,
}

impl RecvRequest {
    /// What the client sent before its messages: what the context gives as
    /// [`invocation_metadata`](ServicerContext::invocation_metadata).
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The same, to be changed: generic handlers, interceptors and the handler see that.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// The handler that is to run; `None`: generic handlers are asked for it.
    #[must_use]
    pub fn handler(&self) -> Option<&RpcMethodHandler> {
        self.handler.as_ref()
    }

    /// Has another run in its place. It should have as many messages as the client expects, whom nobody tells. What it says of workers and
    /// of the sizes of messages is not heeded: see [`GenericRpcHandler`](crate::GenericRpcHandler).
    pub fn replace_handler(&mut self, handler: RpcMethodHandler) {
        self.handler = Some(handler);
        self.replaced = true;
    }

    /// The path of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.context.method()
    }

    /// When the call ends at the latest; `None`: its client has set no deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.context.call().deadline().instant()
    }

    /// What the answer says of its messages: `application/grpc`, or `application/grpc+proto`, as the request did.
    #[must_use]
    pub fn content_type(&self) -> &str {
        std::str::from_utf8(self.context.call().head().subtype.content_type()).unwrap_or_default()
    }

    /// The client's `user-agent`, as it came.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.context.call().head().metadata.get("user-agent")
    }

    /// The client's address; see [`ServicerContext::peer`].
    #[must_use]
    pub fn peer(&self) -> String {
        self.context.peer()
    }
}

/// An event of a server: [`RecvRequest`], [`SendInitialMetadata`], [`SendTrailingMetadata`], [`RecvMessage`] or [`SendMessage`].
pub trait ServerEvent: Of<ServerListeners> {}

/// Who listens to a server's calls.
#[derive(Clone, Default)]
pub struct ServerListeners {
    recv_request: List<RecvRequest>,
    answering: Arc<Answering>,
}

impl Of<ServerListeners> for RecvRequest {
    fn list(all: &mut ServerListeners) -> &mut List<Self> {
        &mut all.recv_request
    }
}

impl ServerEvent for RecvRequest {}

macro_rules! events {
    ($($name:ident: $field:ident;)+) => {
        $(
            impl Of<ServerListeners> for $name {
                fn list(all: &mut ServerListeners) -> &mut List<Self> {
                    &mut Arc::make_mut(&mut all.answering).$field
                }
            }

            impl ServerEvent for $name {}
        )+
    };
}

events! {
    SendInitialMetadata: send_initial;
    SendTrailingMetadata: send_trailing;
    SendMessage: send_message;
    RecvMessage: recv_message;
}

/// Who listens to the calls of a server.
pub(in crate::server) type ServerEvents = Events<ServerListeners>;

impl ServerListeners {
    /// A call begins: the handler that is to run in place of `handler`, if any.
    pub(in crate::server) fn begin(
        &self,
        context: &ServicerContext,
        handler: Option<&RpcMethodHandler>,
    ) -> Result<Option<RpcMethodHandler>, Status> {
        let call = context.call();
        call.listen(self.answering.clone());
        if self.recv_request.is_empty() {
            return Ok(None);
        }
        let mut event = RecvRequest {
            context: context.clone(),
            metadata: context.invocation_metadata().clone(),
            handler: handler.cloned(),
            replaced: false,
        };
        self.recv_request.tell(&mut event)?;
        call.set_invocation_metadata(event.metadata);
        Ok(event.handler.filter(|_| event.replaced))
    }
}
