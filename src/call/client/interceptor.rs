//! Interceptors of a client's calls: what users write ([`ClientInterceptor`]), what it is given, and the way inwards.
//!
//! It owns the order and what one call's messages go through. Ignores how the call itself is made: that is the last step,
//! which whoever begins the call gives ([`Next`]).
//!
//! No thread and no lock of its own: everything runs on the thread that makes the call, or on one of the crew where nobody
//! waits for it.

use std::fmt;
use std::sync::Arc;

use crate::call::{By, StreamHooks};
use crate::error::ConfigError;
use crate::metadata::Metadata;
use crate::payload::Payload;
use crate::status::{Code, Status};

use super::interceptors::{INTERCEPTOR, Interceptors, Lines, hooks_of};
use super::{CallOptions, Core, MethodPath};

/// Stands between the stubs of a channel and its calls: adds metadata, watches, retries, answers by itself, changes messages.
///
/// Set it with [`ChannelBuilder::interceptor`](crate::ChannelBuilder::interceptor) or
/// [`intercept_channel`](crate::intercept_channel); of several the first is the outermost. For metadata alone there is
/// [`Channel::with_metadata`](crate::Channel::with_metadata).
///
/// It should not hold its own channel or a method of that: the channel would not be closed with its last other handle then, and keep
/// its connection.
///
/// An interceptor is above retries: it sees a call once, whatever connections the call is tried on.
///
/// A panic in an interceptor goes on to whoever makes the call, after the call was ended; on a thread of the library it is
/// logged, and the call ends with INTERNAL. Everything here has the types of Python's four interceptors in one (§ grpc-python's
/// `UnaryUnaryClientInterceptor` and its sisters), over messages in their encoded form.
///
/// ```
/// use grpc_threads::{CallDetails, ClientInterceptor, Code, Next, Payload, Reply, Status};
///
/// /// Makes a call that fails with UNAVAILABLE twice more. All attempts share the call's deadline.
/// struct Retry;
///
/// impl ClientInterceptor for Retry {
///     fn unary(&self, details: CallDetails, request: Payload, next: Next<'_>) -> Result<Reply, Status> {
///         for _ in 0..2 {
///             match next.call(details.clone(), request.clone()) {
///                 Err(status) if status.code() == Code::Unavailable => {}
///                 outcome => return outcome,
///             }
///         }
///         next.call(details, request)
///     }
/// }
///
/// let channel = grpc_threads::Channel::builder("localhost:50051").interceptor(Retry).connect_lazily()?;
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
pub trait ClientInterceptor: Send + Sync + 'static {
    /// Goes around a call with one request and one response: may change what goes in and what comes out, call
    /// `next` never, once or several times, and answer with what it likes.
    ///
    /// It runs on the thread that makes the call, in `call` and `with_call`; a cancel there is for the caller's own thread, so
    /// there is none. For `future` it runs on a thread of the library, of which a channel has at most 64 for this: futures
    /// beyond them wait, until their deadline; the cancel of the future, its deadline and the close of the channel end
    /// the attempt that is under way, and what `next.call` gives afterwards is that end.
    ///
    /// A `future` of the same channel that it makes there has threads of its own, 64 more, so it may wait for it: eight deep, and what
    /// is deeper ends with `RESOURCE_EXHAUSTED`. `next.call`, and `call` on any channel, run on its own thread.
    ///
    /// As it is given it does what [`stream`](Self::stream) says: an interceptor that has only that has it for all
    /// kinds of calls.
    ///
    /// # Errors
    /// The status that the caller is given.
    fn unary(
        &self,
        mut details: CallDetails,
        request: Payload,
        next: Next<'_>,
    ) -> Result<Reply, Status> {
        let hooks = self.stream(&mut details)?;
        next.within(hooks, details, request)
    }

    /// A call begins with many requests or many responses, or both: may change its details, and gives hooks for its
    /// messages and its end. Runs on the thread that begins the call.
    ///
    /// # Errors
    /// The status with which the call ends before it has begun.
    fn stream(&self, details: &mut CallDetails) -> Result<StreamHooks, Status> {
        let _ = details;
        Ok(StreamHooks::new())
    }

    /// True: [`unary`](Self::unary) is left as it is given, and one that is written all the same never runs. Then `future` needs no
    /// thread for the interceptor, which has hooks alone. Default: false.
    fn has_hooks_only(&self) -> bool {
        false
    }
}

impl<T: ClientInterceptor + ?Sized> ClientInterceptor for Arc<T> {
    fn unary(
        &self,
        details: CallDetails,
        request: Payload,
        next: Next<'_>,
    ) -> Result<Reply, Status> {
        (**self).unary(details, request, next)
    }

    fn stream(&self, details: &mut CallDetails) -> Result<StreamHooks, Status> {
        (**self).stream(details)
    }

    fn has_hooks_only(&self) -> bool {
        (**self).has_hooks_only()
    }
}

/// What a call is to be, as interceptors see and change it.
#[derive(Clone, Debug)]
pub struct CallDetails {
    method: MethodPath,
    streaming: (bool, bool),
    options: CallOptions,
}

impl CallDetails {
    /// `streaming`: whether there are many requests, and many responses.
    pub(crate) fn new(method: MethodPath, streaming: (bool, bool), options: CallOptions) -> Self {
        Self { method, streaming, options }
    }

    /// The method that is called.
    #[must_use]
    pub fn method(&self) -> &MethodPath {
        &self.method
    }

    /// Calls another method of the same server, with the same kinds of messages.
    pub fn set_method(&mut self, method: MethodPath) {
        self.method = method;
    }

    /// Whether the method takes many requests.
    #[must_use]
    pub fn request_streaming(&self) -> bool {
        self.streaming.0
    }

    /// Whether the method gives many responses.
    #[must_use]
    pub fn response_streaming(&self) -> bool {
        self.streaming.1
    }

    /// The call's options. A timeout has become a deadline: it counts from when the user made the call. What the channel says
    /// by default is not among them.
    #[must_use]
    pub fn options(&self) -> &CallOptions {
        &self.options
    }

    /// Puts other options in their place. Of a deadline that was there and a new timeout the earlier one counts.
    pub fn set_options(&mut self, options: CallOptions) {
        self.options = options;
    }

    /// The metadata that is sent with the call.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        self.options.get_metadata()
    }

    /// The same, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        self.options.metadata_mut()
    }

    /// Sends one more text entry.
    ///
    /// # Errors
    /// As [`Metadata::append`]: when the key or the value cannot be sent.
    pub fn append(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        self.metadata_mut().append(key, value)
    }
}

/// How a call with one response went.
#[derive(Clone, Debug)]
#[must_use]
pub struct Reply {
    payload: Payload,
    initial: Metadata,
    trailing: Metadata,
    peer: Option<Arc<str>>,
}

impl Reply {
    /// A response that no server has given, without metadata.
    pub fn new(payload: Payload) -> Self {
        Self { payload, initial: Metadata::new(), trailing: Metadata::new(), peer: None }
    }

    pub(crate) fn of(
        payload: Payload,
        initial: Metadata,
        trailing: Metadata,
        peer: Option<Arc<str>>,
    ) -> Self {
        Self { payload, initial, trailing, peer }
    }

    /// What came of a call that has ended well.
    pub(crate) fn of_core(core: &Core, payload: Payload) -> Self {
        let trailing = core.wait_status().trailing_metadata().clone();
        Self::of(payload, core.wait_head(), trailing, core.peer().map(Into::into))
    }

    /// The response.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The response, to be changed.
    pub fn payload_mut(&mut self) -> &mut Payload {
        &mut self.payload
    }

    pub(crate) fn with_payload(self, payload: Payload) -> Self {
        Self { payload, ..self }
    }

    /// What the server sent before the response.
    #[must_use]
    pub fn initial_metadata(&self) -> &Metadata {
        &self.initial
    }

    /// The same, to be changed: the caller sees it.
    pub fn initial_metadata_mut(&mut self) -> &mut Metadata {
        &mut self.initial
    }

    /// What the server sent at the end.
    #[must_use]
    pub fn trailing_metadata(&self) -> &Metadata {
        &self.trailing
    }

    /// The same, to be changed: the caller sees it.
    pub fn trailing_metadata_mut(&mut self) -> &mut Metadata {
        &mut self.trailing
    }

    /// Who has answered; `None` for a response that no server has given.
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    pub(crate) fn into_payload(self) -> Payload {
        self.payload
    }

    /// The response; and status, initial metadata and peer of its call.
    pub(crate) fn into_parts(self) -> (Payload, Status, Metadata, Option<String>) {
        let status = self.status();
        (self.payload, status, self.initial, self.peer.as_deref().map(str::to_owned))
    }

    fn status(&self) -> Status {
        Status::new(Code::Ok, "").with_metadata(self.trailing.clone())
    }
}

/// The innermost step: the call itself.
type Terminal<'a> = &'a dyn Fn(&CallDetails, Payload) -> Result<Reply, Status>;

/// What lies behind an interceptor: the next one, or the call itself. May be called as often as one likes.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    rest: &'a [Arc<dyn ClientInterceptor>],
    terminal: Terminal<'a>,
}

impl<'a> Next<'a> {
    pub(crate) fn new(chain: &'a Interceptors, terminal: Terminal<'a>) -> Self {
        Self { rest: &chain.list, terminal }
    }

    /// Makes the call with these details and this request, and waits for what comes of it: as long as the call's
    /// deadline allows.
    ///
    /// # Errors
    /// The status of a call that failed.
    pub fn call(&self, details: CallDetails, request: Payload) -> Result<Reply, Status> {
        match self.rest.split_first() {
            None => (self.terminal)(&details, request),
            // Its hooks, as for `future`: a `unary` that is there all the same is skipped for both, or one of them would miss it unseen.
            Some((first, rest)) if first.has_hooks_only() => {
                let mut details = details;
                let hooks = hooks_of(first, &mut details)?;
                Next { rest, ..*self }.within(hooks, details, request)
            }
            Some((first, rest)) => first
                .unary(details, request, Next { rest, ..*self })
                .map_err(|status| status.given_by(INTERCEPTOR)),
        }
    }

    /// The same with hooks for the one request, the one response and the end.
    fn within(
        &self,
        hooks: StreamHooks,
        details: CallDetails,
        request: Payload,
    ) -> Result<Reply, Status> {
        let mut lines = Lines::default();
        let (on_request, on_response, on_end) = hooks.into_parts();
        lines.request.extend(By::Interceptor, on_request);
        lines.response.extend(By::Interceptor, on_response);
        lines.ends.add(on_end);
        let method = details.method().clone();
        // Whoever runs the interceptors is told of their panics.
        let panicked = |_| ();
        let one = lines.one_request(request, method.as_str(), &panicked);
        let outcome = one.and_then(|request| {
            let mut reply = self.call(details, request)?;
            let one = ("response", method.as_str());
            reply.payload = lines.response.one(reply.payload, one, &panicked)?;
            Ok(reply)
        });
        if !lines.ends.is_empty() {
            match &outcome {
                Ok(reply) => lines.ends.tell(&reply.status()),
                Err(status) => lines.ends.tell(status),
            }
        }
        outcome
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("interceptors", &self.rest.len()).finish_non_exhaustive()
    }
}
