//! What a call proves to a server beside what its connection does: metadata, most often a token.
//!
//! Owns where that metadata comes from, and what of it may be sent. Who asks a plugin, and on which thread, is the
//! call's affair: nothing here runs code of the user's but the drop of a reply.
//!
//! § `grpc.AuthMetadataPlugin` of Python; gRFC A54 for the codes that a plugin may end a call with.

use std::fmt;
use std::sync::Arc;

use crate::error::{ConfigError, ConfigErrorKind};
use crate::metadata::Metadata;
use crate::status::{Code, Status};

/// What calls prove to a server: metadata that is sent with each of them, such as a token.
///
/// Made by [`access_token_call_credentials`] of a token that is known, by [`metadata_call_credentials`] of a plugin that
/// is asked for each call, by [`metadata_call_credentials_later`] of one that answers later, and by
/// [`composite_call_credentials`] of several. For a single call with `.credentials(..)` of a multi-callable or of
/// [`CallOptions`](crate::CallOptions); for all calls of a channel with
/// [`composite_channel_credentials`](super::composite_channel_credentials). A call with both sends the channel's first.
///
/// Over an insecure channel, a call with credentials ends with `UNAUTHENTICATED` before anything is connected or sent.
///
/// Cheap to clone, and for any number of calls. What it gives never shows in `Debug`, errors or logs of the library.
#[derive(Clone)]
pub struct CallCredentials {
    parts: Arc<Vec<Part>>,
}

/// Where some of the metadata comes from.
#[derive(Clone)]
pub(crate) enum Part {
    /// Known.
    Fixed(Metadata),
    /// A plugin's answer.
    Asked(Arc<dyn AuthMetadataPlugin>),
    /// What a plugin tells later.
    Told(Arc<dyn Tells>),
}

/// A plugin that answers later.
pub(crate) trait Tells: Send + Sync {
    fn ask(&self, context: AuthMetadataContext, reply: AuthMetadataReply);
}

impl<F> Tells for F
where
    F: Fn(AuthMetadataContext, AuthMetadataReply) + Send + Sync,
{
    fn ask(&self, context: AuthMetadataContext, reply: AuthMetadataReply) {
        self(context, reply);
    }
}

/// Gives the metadata that proves who makes a call. A closure of the same arguments is one.
///
/// § `grpc.AuthMetadataPlugin`.
pub trait AuthMetadataPlugin: Send + Sync + 'static {
    /// The metadata for one attempt at one call.
    ///
    /// Called on a thread of the library's that is there for plugins, up to 16 for each channel: it may block, but the
    /// call waits for it, until its deadline, its cancel or the channel's close, and so may others behind it. A plugin
    /// keeps its token, and fetches another before it runs out. Several threads may call it at once. One that never comes back
    /// keeps its thread for good: give its own calls a deadline, and a channel without these credentials.
    ///
    /// # Errors
    /// The call ends with the status, its text behind "the call credentials gave no metadata". `INVALID_ARGUMENT`,
    /// `NOT_FOUND`, `ALREADY_EXISTS`, `FAILED_PRECONDITION`, `ABORTED`, `OUT_OF_RANGE` and `DATA_LOSS` become `INTERNAL`: they
    /// are for servers' handlers to say (gRFC A54). Most failures are `UNAVAILABLE`, or `UNAUTHENTICATED`. A panic ends the
    /// call with `UNAVAILABLE`, and is told to the log.
    fn metadata(&self, context: &AuthMetadataContext) -> Result<Metadata, Status>;
}

impl<F> AuthMetadataPlugin for F
where
    F: Fn(&AuthMetadataContext) -> Result<Metadata, Status> + Send + Sync + 'static,
{
    fn metadata(&self, context: &AuthMetadataContext) -> Result<Metadata, Status> {
        self(context)
    }
}

/// What a plugin is told of the call that it gives metadata for. Cheap to clone.
///
/// § `grpc.AuthMetadataContext`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthMetadataContext {
    names: Arc<(String, String)>,
}

impl AuthMetadataContext {
    /// Of a call to the method of this path.
    pub(crate) fn new(authority: &str, path: &str) -> Self {
        let host = authority.strip_suffix(":443").unwrap_or(authority);
        let (service, method) = path.rsplit_once('/').unwrap_or(("", path));
        Self { names: Arc::new((format!("https://{host}{service}"), method.to_owned())) }
    }

    /// The service as a URL, such as `https://example.com/package.Service`: `https://`, the call's `:authority` without
    /// the port 443, and the path without the method. What a JWT has for its audience.
    ///
    /// Over [`local_channel_credentials`](super::local_channel_credentials) it begins with `https://`, too.
    #[must_use]
    pub fn service_url(&self) -> &str {
        &self.names.0
    }

    /// The method without its service, such as `SayHello`.
    #[must_use]
    pub fn method_name(&self) -> &str {
        &self.names.1
    }
}

/// The answer that a plugin of [`metadata_call_credentials_later`] owes.
///
/// Dropped without [`send`](Self::send), it ends the call with `UNAVAILABLE`.
#[must_use = "dropping it ends the call with UNAVAILABLE"]
pub struct AuthMetadataReply {
    then: Option<Then>,
}

/// What is done with an answer. Never blocks, and runs no code of the user's.
type Then = Box<dyn FnOnce(Result<Metadata, Status>) + Send>;

impl AuthMetadataReply {
    pub(crate) fn new(then: Then) -> Self {
        Self { then: Some(then) }
    }

    /// Gives the metadata, or says why there is none, with the codes of [`AuthMetadataPlugin::metadata`]. Never waits: the
    /// call is sent, from this thread. From any thread, also from within the plugin. An answer for a call that has ended
    /// meanwhile is dropped.
    pub fn send(mut self, answer: Result<Metadata, Status>) {
        if let Some(then) = self.then.take() {
            then(answer);
        }
    }
}

impl Drop for AuthMetadataReply {
    fn drop(&mut self) {
        if let Some(then) = self.then.take() {
            let text = match std::thread::panicking() {
                true => PANICKED,
                false => "the plugin dropped its reply without an answer",
            };
            then(Err(Status::unavailable(text)));
        }
    }
}

/// What is said of a plugin that panics. The text of the panic is for the log alone.
pub(crate) const PANICKED: &str = "the plugin panicked";

/// Credentials of calls for which `plugin` is asked: once for each attempt, when there is a connection for it. A call that a
/// server refuses and that is made again unseen asks again.
///
/// No thread of the caller's runs it, and neither a future nor a stream waits for it when it is begun: threads of
/// the library's do, see [`AuthMetadataPlugin::metadata`]. Where a call that nobody holds was the last to need it, it is
/// dropped on the notifier's thread, which runs callbacks.
///
/// ```
/// use grpc_threads::credentials::{AuthMetadataContext, metadata_call_credentials};
/// use grpc_threads::{Metadata, Status};
///
/// # fn cached_token(_: &str) -> Result<String, Status> { Ok("t".into()) }
/// let credentials = metadata_call_credentials(|context: &AuthMetadataContext| {
///     let token = cached_token(context.service_url())?;
///     Ok(Metadata::new().with("authorization", &format!("Bearer {token}"))?)
/// });
/// ```
pub fn metadata_call_credentials(plugin: impl AuthMetadataPlugin) -> CallCredentials {
    CallCredentials::of(Part::Asked(Arc::new(plugin)))
}

/// Like [`metadata_call_credentials`] for a plugin that answers later: `ask` is given a reply to keep, and returns. What it
/// started, on a thread of its own or in an event loop, answers by [`AuthMetadataReply::send`].
///
/// The call waits for the answer until its deadline, its cancel or the channel's close; one without a deadline waits for as
/// long as the reply is kept.
///
/// ```
/// use grpc_threads::credentials::metadata_call_credentials_later;
/// use grpc_threads::Metadata;
///
/// let credentials = metadata_call_credentials_later(|_context, reply| {
///     std::thread::spawn(move || {
///         // ... asks somebody for a token ...
///         let metadata = Metadata::new().with("authorization", "Bearer 4711");
///         reply.send(metadata.map_err(Into::into));
///     });
/// });
/// ```
pub fn metadata_call_credentials_later(
    ask: impl Fn(AuthMetadataContext, AuthMetadataReply) + Send + Sync + 'static,
) -> CallCredentials {
    CallCredentials::of(Part::Told(Arc::new(ask)))
}

/// Credentials that send `authorization: Bearer` and this token. No plugin is asked, and no thread is needed.
///
/// # Errors
/// Of the kind [`Credentials`](ConfigErrorKind::Credentials): an empty token, and one with characters that are not
/// printable ASCII, such as the end of a line. The text does not tell the token.
///
/// ```
/// use grpc_threads::credentials::access_token_call_credentials;
///
/// let credentials = access_token_call_credentials("4711")?;
/// assert!(!format!("{credentials:?}").contains("4711"));
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
pub fn access_token_call_credentials(token: &str) -> Result<CallCredentials, ConfigError> {
    let wrong = |text: String| ConfigError::new(ConfigErrorKind::Credentials, text);
    if token.is_empty() {
        return Err(wrong("access token: it is empty".into()));
    }
    if let Some(at) = token.bytes().position(|octet| !matches!(octet, b' '..=b'~')) {
        return Err(wrong(format!(
            "access token: its byte {at} of {} is not printable ASCII; is a line's end read with it?",
            token.len()
        )));
    }
    let metadata = Metadata::new().with("authorization", &format!("Bearer {token}"))?;
    Ok(CallCredentials::of(Part::Fixed(metadata)))
}

/// Several credentials as one: all their metadata is sent, in this order. Plugins are asked one after the other; the first
/// that fails ends the call.
pub fn composite_call_credentials(
    credentials: impl IntoIterator<Item = CallCredentials>,
) -> CallCredentials {
    let parts = credentials.into_iter().flat_map(|one| one.parts.to_vec()).collect();
    CallCredentials { parts: Arc::new(parts) }
}

impl CallCredentials {
    fn of(part: Part) -> Self {
        Self { parts: Arc::new(vec![part]) }
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The plugins in it, if this is the last hold on them: their `Drop` is code of the user's.
    pub(crate) fn into_last(self) -> Option<impl Send + 'static> {
        let asks = |part: &Part| !matches!(part, Part::Fixed(_));
        Arc::into_inner(self.parts).filter(|parts| parts.iter().any(asks))
    }
}

/// It tells nothing of what it gives.
impl fmt::Debug for CallCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallCredentials").finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthMetadataReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthMetadataReply").finish_non_exhaustive()
    }
}

/// What a plugin gave, if it may be sent; else the status that its call ends with.
pub(crate) fn checked(answer: Result<Metadata, Status>) -> Result<Metadata, Status> {
    let metadata = answer.map_err(refusal)?;
    // What a peer sent, and what is handed on from there, may hold anything.
    match metadata.unsendable() {
        None => Ok(metadata),
        Some(key) => Err(Status::unavailable(format!(
            "the call credentials gave metadata that cannot be sent, under the key {key:?}: \
             values are printable ASCII, or bytes under keys that end in -bin"
        ))),
    }
}

/// § gRFC A54: "If an "inappropriate status" is detected, the status should be rewritten to use `INTERNAL` status code and
/// include text within the status message making it clear a bug occurred. The original status code and message should be
/// included".
fn refusal(status: Status) -> Status {
    let code = match status.code() {
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::DataLoss => Code::Internal,
        code => code,
    };
    let wrong = match code == status.code() {
        true => String::new(),
        false => format!("the plugin's code is one for handlers alone, {}: ", status.code()),
    };
    let said = status.message();
    Status::new(code, format!("the call credentials gave no metadata: {wrong}{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_url_is_grpcs_without_the_port_443() {
        for (authority, path, url, method) in [
            ("example.com", "/pkg.Svc/Get", "https://example.com/pkg.Svc", "Get"),
            ("example.com:443", "/pkg.Svc/Get", "https://example.com/pkg.Svc", "Get"),
            ("example.com:8443", "/S/M", "https://example.com:8443/S", "M"),
            ("[::1]:443", "/a/b/M", "https://[::1]/a/b", "M"),
        ] {
            let context = AuthMetadataContext::new(authority, path);
            assert_eq!((context.service_url(), context.method_name()), (url, method));
        }
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused_untold() {
        for token in ["", "s3cr3t\n", "s3cr3t\u{e4}"] {
            let error = access_token_call_credentials(token).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::Credentials);
            assert!(!error.to_string().contains("s3cr3t"), "{error}");
        }
        let error = access_token_call_credentials("s3cr3t\n").unwrap_err().to_string();
        assert!(error.contains("byte 6 of 7"), "{error}");
    }

    #[test]
    fn a54_codes_that_are_for_handlers_become_internal() {
        use Code::*;
        let handlers = [
            InvalidArgument,
            NotFound,
            AlreadyExists,
            FailedPrecondition,
            Aborted,
            OutOfRange,
            DataLoss,
        ];
        for code in handlers {
            let status = checked(Err(Status::new(code, "why"))).unwrap_err();
            assert_eq!(status.code(), Internal);
            let (told, text) = (status.message(), code.to_string());
            assert!(told.ends_with(&format!("{text}: why")), "{told}");
        }
        assert_eq!(checked(Err(Status::new(Ok, ""))).unwrap_err().code(), Internal);
        for code in [Unavailable, Unauthenticated, PermissionDenied, ResourceExhausted, Internal] {
            let status = checked(Err(Status::new(code, "why"))).unwrap_err();
            assert_eq!(status.code(), code);
            assert_eq!(status.message(), "the call credentials gave no metadata: why");
        }
    }

    #[test]
    fn metadata_that_cannot_be_sent_is_named_by_its_key() {
        let mut received = Metadata::new();
        received.append_received(b"fine-bin", b"AAEC").unwrap();
        received.append_received(b"x-token", "schl\u{fc}ssel".as_bytes()).unwrap();
        let status = checked(Result::Ok(received)).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let told = status.message();
        assert!(told.contains("\"x-token\"") && !told.contains("ssel"), "{told}");
        let mut reserved = Metadata::new();
        reserved.append_received(b"grpc-timeout", b"1S").unwrap();
        let told = checked(Result::Ok(reserved)).unwrap_err();
        assert!(told.message().contains("\"grpc-timeout\""), "{told}");
        let good = Metadata::new().with("a", "b").unwrap().with_bin("c-bin", [0, 255]).unwrap();
        assert_eq!(checked(Result::Ok(good.clone())).unwrap(), good);
    }

    #[test]
    fn nothing_of_it_is_told_by_debug() {
        let token = access_token_call_credentials("s3cr3t").unwrap();
        let plugin = metadata_call_credentials(|_: &AuthMetadataContext| Err(Status::internal("")));
        let both = composite_call_credentials([token, plugin]);
        assert_eq!(both.parts().len(), 2);
        assert_eq!(format!("{both:?}"), "CallCredentials { .. }");
    }

    #[test]
    fn a_reply_answers_once_and_a_dropped_one_says_so() {
        let (sender, told) = std::sync::mpsc::channel();
        let reply = || {
            let sender = sender.clone();
            AuthMetadataReply::new(Box::new(move |answer| sender.send(answer).unwrap()))
        };
        reply().send(Result::Ok(Metadata::new()));
        assert_eq!(told.recv().unwrap().unwrap(), Metadata::new());
        assert!(told.try_recv().is_err(), "once");
        drop(reply());
        let status = told.recv().unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("without an answer"), "{status}");
    }
}
