//! What the calls of a channel tell: the events of a client, and who listens for them.

use std::sync::Arc;
use std::time::Instant;

use crate::call::events::{Events, List, Of, RecvMessage, SendMessage};
use crate::metadata::Metadata;
use crate::status::Status;

use super::MethodPath;

/// A call begins: its metadata may be changed, whatever stubs and interceptors have said. For
/// [`Channel::listen`](crate::Channel::listen).
///
/// Once for each call, on the thread that makes it, whether there is a connection or not; an attempt that is repeated is not told
/// again. What [`CallCredentials`](crate::CallCredentials) add is not among the metadata: they are asked later. A call
/// that an interceptor makes twice is two.
///
/// ```
/// use grpc_threads::{Flow, SendRequest};
///
/// let channel = grpc_threads::insecure_channel("localhost:50051")?;
/// channel.listen::<SendRequest>(|event| {
///     event.metadata_mut().append("trace-id", "4711")?;
///     Ok(Flow::Continue)
/// });
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct SendRequest {
    pub(super) metadata: Metadata,
    pub(super) method: MethodPath,
    pub(super) deadline: Option<Instant>,
}

impl SendRequest {
    /// What is sent with the call.
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
        self.method.as_str()
    }

    /// When the call ends at the latest; `None`: it has no deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What the request says of its messages.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        "application/grpc"
    }
}

/// A server's initial metadata have come: before its first message, and before anybody sees them. For
/// [`Channel::listen`](crate::Channel::listen).
///
/// Once for each call, on the thread that first asks for them, the first response or the status; the notifier, where the handles
/// are gone before anybody has asked. Where the server has sent none, but ended the call at once (trailers-only), they are empty. Not
/// told of a call whose server has sent nothing.
///
/// ```
/// use grpc_threads::{Flow, RecvInitialMetadata};
///
/// let channel = grpc_threads::insecure_channel("localhost:50051")?;
/// channel.listen::<RecvInitialMetadata>(|event| {
///     println!("{}: served by {:?}", event.method(), event.metadata().get("served-by"));
///     Ok(Flow::Continue)
/// });
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct RecvInitialMetadata {
    pub(super) metadata: Metadata,
    pub(super) method: Arc<str>,
}

impl RecvInitialMetadata {
    /// What the server sent before its messages.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The same, to be changed: the caller sees that.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// The path of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }
}

/// A server has ended the call with a status, OK or another: before anybody is told. For
/// [`Channel::listen`](crate::Channel::listen).
///
/// Once for each call, on the thread that first asks for the status, as with [`RecvInitialMetadata`], which comes before. Of a call
/// that ends otherwise (by its deadline, a cancel, the loss of the connection) nothing was received and nothing is told. Messages
/// that are read after another thread has asked for the status come behind it.
///
/// ```
/// use grpc_threads::{Flow, RecvTrailingMetadata};
///
/// let channel = grpc_threads::insecure_channel("localhost:50051")?;
/// channel.listen::<RecvTrailingMetadata>(|event| {
///     println!("{}: {:?}", event.method(), event.status().code());
///     event.metadata_mut().remove("internal-cost");
///     Ok(Flow::Continue)
/// });
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct RecvTrailingMetadata {
    pub(super) metadata: Metadata,
    pub(super) status: Status,
    pub(super) method: Arc<str>,
}

impl RecvTrailingMetadata {
    /// What the server sent with the status.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The same, to be changed: the caller sees that.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Code, message and details. Its own metadata are as they came.
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

/// An event of a channel: [`SendRequest`], [`RecvInitialMetadata`], [`RecvTrailingMetadata`], [`SendMessage`] or [`RecvMessage`].
pub trait ChannelEvent: Of<ClientListeners> {}

/// Who listens to a channel's calls.
#[derive(Clone, Default)]
pub struct ClientListeners {
    pub(super) send_request: List<SendRequest>,
    pub(super) recv_initial: List<RecvInitialMetadata>,
    pub(super) recv_trailing: List<RecvTrailingMetadata>,
    pub(super) send_message: List<SendMessage>,
    pub(super) recv_message: List<RecvMessage>,
}

macro_rules! events {
    ($($name:ident: $field:ident;)+) => {
        $(
            impl Of<ClientListeners> for $name {
                fn list(all: &mut ClientListeners) -> &mut List<Self> {
                    &mut all.$field
                }
            }

            impl ChannelEvent for $name {}
        )+
    };
}

events! {
    SendRequest: send_request;
    RecvInitialMetadata: recv_initial;
    RecvTrailingMetadata: recv_trailing;
    SendMessage: send_message;
    RecvMessage: recv_message;
}

/// Who listens to the calls of a channel.
pub(crate) type ClientEvents = Events<ClientListeners>;
