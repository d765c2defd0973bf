//! What a handler knows of its call, and may say besides its result: [`ServicerContext`].
//!
//! A handle on the call's shared state; nothing is kept here.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::call::Extensions;
use crate::call::client::{CallOptions, Family, Parent};
use crate::call::server::ServerCall;
use crate::compression::Compression;
use crate::credentials::AuthContext;
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::tell;

/// One call, as its handler sees it.
///
/// Cheap to clone and usable from any thread, also after the handler has
/// returned; then it only answers questions. Nothing here blocks.
///
/// It holds its connection: one that is kept when the call is over, in a list or a thread of yours, keeps the connection's
/// descriptor and memory of the process until it is dropped, even when the connection has ended. Keep what it says instead.
///
/// ```no_run
/// use grpc_threads::{Code, ServicerContext, Status};
///
/// fn greet(name: String, context: &ServicerContext) -> Result<String, Status> {
///     if name.is_empty() {
///         return Err(context.abort(Code::InvalidArgument, "a name is needed"));
///     }
///     Ok(format!("Hello {name}"))
/// }
/// ```
#[derive(Clone)]
pub struct ServicerContext {
    call: Arc<ServerCall>,
    /// How its responses are written, where there is a stream of them that its handler returns.
    answers: Option<Arc<dyn Any + Send + Sync>>,
}

impl ServicerContext {
    pub(in crate::server) fn new(call: Arc<ServerCall>) -> Self {
        Self { call, answers: None }
    }

    /// The same for a handler that may answer from elsewhere.
    pub(super) fn answering(&self, answers: Arc<dyn Any + Send + Sync>) -> Self {
        Self { call: self.call.clone(), answers: Some(answers) }
    }

    pub(super) fn answers(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.answers.as_ref()
    }

    pub(in crate::server) fn call(&self) -> &Arc<ServerCall> {
        &self.call
    }

    /// The path that was called: `/package.Service/Method`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.call.head().path
    }

    /// The host the client meant to reach (`:authority`).
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.call.head().authority
    }

    /// What the client sent before its messages, with its `user-agent`; without the
    /// fields that are gRPC's own.
    #[must_use]
    pub fn invocation_metadata(&self) -> &Metadata {
        self.call.invocation_metadata()
    }

    /// Values that travel with the call: for the handler, from what comes before it.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        self.call.extensions()
    }

    /// Options for the calls that the handler makes on behalf of this one: they have its deadline, or an earlier one of their own, and end with `CANCELLED` when
    /// this call ends before them, by its client, by its deadline or by its answer. So nobody works on for a client that has gone.
    ///
    /// It is put under what else is said, as options are: `stub.options(&context.child_options()).timeout(d)`. Metadata and credentials are not handed
    /// on. A call that is to outlive this one, such as one that writes to a log, is made without.
    ///
    /// ```
    /// use grpc_threads::{ServicerContext, Status, UnaryUnary};
    ///
    /// fn relay(
    ///     backend: &UnaryUnary<String, String>,
    ///     request: &String,
    ///     context: &ServicerContext,
    /// ) -> Result<String, Status> {
    ///     backend.options(&context.child_options()).call(request)
    /// }
    /// ```
    #[must_use]
    pub fn child_options(&self) -> CallOptions {
        let Some((family, made)) = self.extensions().find_or_make::<Family>() else {
            return CallOptions::new();
        };
        if made {
            let members = family.clone();
            if !self.add_callback(move || members.end()) {
                family.end();
            }
        }
        CallOptions::of(Parent { family, deadline: self.call.deadline() })
    }

    /// The client's address, as Python writes it: `ipv4:127.0.0.1:1234`,
    /// `ipv6:%5B::1%5D:1234`, `unix:` by a UNIX socket. Which process that is, tells
    /// [`AuthContext::peer_process`](crate::credentials::AuthContext::peer_process) of the [`auth_context`](Self::auth_context).
    #[must_use]
    pub fn peer(&self) -> String {
        self.call.peer()
    }

    /// What is known of the client, and of how it was made sure of: the properties of gRPC's auth context, in its order.
    /// On an insecure port it is two properties that say so. Made at the first look for each connection; reads its certificate.
    #[must_use]
    pub fn auth_context(&self) -> AuthContext {
        self.call.auth_context()
    }

    /// The property of the [`auth_context`](Self::auth_context) that tells who the client is: see
    /// [`AuthContext::peer_identity_key`]. `None`: no certificate was verified.
    #[must_use]
    pub fn peer_identity_key(&self) -> Option<String> {
        self.auth_context().peer_identity_key().map(str::to_owned)
    }

    /// The client's identities, the values of that property. `None`: no certificate was verified.
    #[must_use]
    pub fn peer_identities(&self) -> Option<Vec<Bytes>> {
        self.auth_context().peer_identities().map(<[Bytes]>::to_vec)
    }

    /// The time until the client's deadline, zero when it has passed; `None` if it set none.
    #[must_use]
    pub fn time_remaining(&self) -> Option<Duration> {
        self.call.time_remaining()
    }

    /// Whether an answer may still reach the client: false once it has cancelled, its deadline
    /// has passed, the connection is lost, or the status has been sent.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.call.is_active()
    }

    /// Whether the call has ended in another way than by its handler's status: by the
    /// client's cancel, the deadline, a lost connection or [`cancel`](Self::cancel).
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.call.cancelled()
    }

    /// Ends the call at once: the client sees `CANCELLED`, and what the handler still does
    /// has no effect. False when the call is over already.
    pub fn cancel(&self) -> bool {
        self.call.cancel()
    }

    /// Runs `callback` once the call is over, however it ends; false (and the callback is
    /// dropped) when it is over already.
    ///
    /// It runs on the library's notifier thread: be quick, and do not wait for other calls
    /// there. A panic is caught and logged.
    #[must_use = "false: it was over, and the callback will not run"]
    pub fn add_callback(&self, callback: impl FnOnce() + Send + 'static) -> bool {
        self.call.add_callback(Box::new(callback))
    }

    /// Sends the initial metadata now. Without this call the response head goes out
    /// empty with the first message.
    ///
    /// # Errors
    /// `INTERNAL` when it was sent before or a message was; how the call ended when it is over.
    pub fn send_initial_metadata(&self, metadata: &Metadata) -> Result<(), Status> {
        self.call.send_initial_metadata(metadata)
    }

    /// What the responses of this call are compressed by, in place of what the server has for all of them
    /// ([`ServerOptions::compression`](crate::ServerOptions::compression)); [`Compression::None`]: not at all. Where the client has not announced that it takes
    /// it, they go out as they are. [`Compression`] says what else does, and when not to compress.
    ///
    /// § `doc/compression.md`: "the server … may choose to compress its response differently".
    ///
    /// # Errors
    /// `INTERNAL` when the initial metadata has been sent, or a message; and for a [`Compression::Custom`] that the server has
    /// no compressor for.
    pub fn set_compression(&self, compression: Compression) -> Result<(), Status> {
        self.call.set_compression(compression)
    }

    /// Whether the request that was received last came compressed. For tests and for statistics: what it says is the same.
    #[must_use]
    pub fn request_was_compressed(&self) -> bool {
        self.call.request_was_compressed()
    }

    /// The next response goes out as it is, and no other, where those of the call are compressed: for one with a secret in
    /// it, say, or one that is compressed already. Nothing happens where they are not.
    pub fn disable_next_message_compression(&self) {
        self.call.disable_next_message_compression();
    }

    /// What to send after the messages, with the status. The last call wins. A
    /// [`Status`] returned by the handler adds its own.
    pub fn set_trailing_metadata(&self, metadata: Metadata) {
        self.call.set_trailing(metadata);
    }

    /// The trailing metadata set so far.
    #[must_use]
    pub fn trailing_metadata(&self) -> Metadata {
        self.call.trailing()
    }

    /// The code to end with when the handler returns `Ok`. Any but `OK` discards a single
    /// response. A handler that returns `Err(status)` ends with that status's code instead.
    pub fn set_code(&self, code: Code) {
        self.call.set_code(code);
    }

    /// The code set so far.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.call.code()
    }

    /// The message that goes with the code set by [`set_code`](Self::set_code).
    pub fn set_details(&self, details: impl Into<String>) {
        self.call.set_details(details.into());
    }

    /// The details set so far.
    #[must_use]
    pub fn details(&self) -> Option<String> {
        self.call.details()
    }

    /// Makes the error to return: `return Err(context.abort(Code::NotFound, "…"))`. Code and
    /// details are also set here, so the call ends with them even if the error gets lost.
    /// The code `OK` is a mistake, which is logged; the client sees `UNKNOWN`.
    #[must_use = "return it: `Err(context.abort(..))`"]
    pub fn abort(&self, code: Code, details: impl Into<String>) -> Status {
        let (code, details) = if code == Code::Ok {
            let (method, peer) = (self.method(), self.peer());
            tell::error!("{method}: abort() with the code OK; its client {peer} is told UNKNOWN");
            (Code::Unknown, String::new())
        } else {
            (code, details.into())
        };
        self.set_code(code);
        self.set_details(details.clone());
        Status::new(code, details)
    }

    /// Like [`abort`](Self::abort), with a status that has details and metadata of its own.
    #[must_use = "return it: `Err(context.abort_with_status(..))`"]
    pub fn abort_with_status(&self, status: Status) -> Status {
        if status.is_ok() {
            return self.abort(Code::Ok, "");
        }
        self.set_code(status.code());
        self.set_details(status.message());
        status
    }
}

impl fmt::Debug for ServicerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServicerContext")
            .field("method", &self.method())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
