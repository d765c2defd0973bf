//! Errors that are not the outcome of a call: what the caller set up wrongly
//! ([`ConfigError`]), and what a local wait came to ([`ResultError`]).
//!
//! Both turn into a [`Status`] with `?`, so that a function which returns
//! `Result<_, Status>` needs no conversion of its own.

use std::error::Error;
use std::fmt;

use crate::status::Status;

/// What part of a set-up a [`ConfigError`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// A metadata key or value that cannot be sent.
    Metadata,
    /// A method path that is not `/package.Service/Method`.
    Method,
    /// A channel target or a listening address that cannot be read.
    Target,
    /// An option outside its range, or two that exclude each other.
    Option,
    /// Certificates, keys or roots that cannot be used.
    Credentials,
    /// Something done at the wrong time, such as starting a server twice.
    State,
}

/// Something was set up wrongly: a metadata key, a method path, a target, an
/// option. Returned when it is built, never at the first call.
///
/// The text names the value that was wrong and what would be right.
///
/// ```
/// use grpc_threads::{ConfigErrorKind, Metadata};
///
/// let error = Metadata::new().with("te", "trailers").unwrap_err();
/// assert_eq!(error.kind(), ConfigErrorKind::Metadata);
/// assert!(error.to_string().contains("\"te\""));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    kind: ConfigErrorKind,
    text: Box<str>,
}

impl ConfigError {
    pub(crate) fn new(kind: ConfigErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into().into_boxed_str() }
    }

    /// What part of the set-up is wrong.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Prints the text, so that `fn main() -> Result<(), ConfigError>` reads well; as `{:#?}` the kind, too.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return f.write_str(&self.text);
        }
        f.debug_struct("ConfigError").field("kind", &self.kind).field("text", &self.text).finish()
    }
}

impl Error for ConfigError {}

/// `INTERNAL`: the fault is in this program, not in the peer's or the user's data.
impl From<ConfigError> for Status {
    fn from(error: ConfigError) -> Self {
        Status::internal(String::from(error.text))
    }
}

/// Why a result could not be had from a handle such as `CallFuture`: the wait
/// ended ([`TimedOut`](ResultError::TimedOut)), or the call did
/// ([`Rpc`](ResultError::Rpc)).
///
/// ```
/// use grpc_threads::{Code, ResultError, Status};
///
/// let error = ResultError::Rpc(Status::not_found("no such feature"));
/// assert_eq!(Status::from(error).code(), Code::NotFound);
/// ```
#[derive(Clone, Debug)]
pub enum ResultError {
    /// The time given for this wait is over. The call itself goes on; [`Call::waits_for`](crate::Call::waits_for) says what it is
    /// that does not come. A `try_` waits for no time.
    ///
    /// With `?` it becomes RESOURCE_EXHAUSTED, and no DEADLINE_EXCEEDED: what is over is a wait of this program's, and no
    /// deadline of a call. So a handler's client is not told of a deadline that has not passed, whether the handler had no room
    /// for a response or no answer of another server's; and does not take it for something to be tried again at once. Where
    /// another code says more, map it.
    TimedOut,
    /// The time given to [`Channel::wait_ready`](crate::Channel::wait_ready) or
    /// [`ReadyFuture::result`](crate::ReadyFuture::result) is over, and the channel is not ready; it goes on connecting.
    /// The status is DEADLINE_EXCEEDED; its text says the channel's state, and why the last attempt to connect failed. With `?` it
    /// becomes UNAVAILABLE, with that text: as with `TimedOut`, no deadline of a call has passed.
    NotReady(Status),
    /// The call was cancelled from this side, by `cancel` of one of its handles or by the drop of the one that owns it. A
    /// `CANCELLED` of the server's, or of a channel that was closed, is [`Rpc`](ResultError::Rpc). Also what a
    /// [`ReadyFuture`](crate::ReadyFuture) gives after its `cancel`.
    Cancelled,
    /// The value was already taken: a result is given once.
    Taken,
    /// The call ended with this status.
    Rpc(Status),
}

impl fmt::Display for ResultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str(
                "the wait was over before anything had come, or room to send; the call goes on",
            ),
            Self::Cancelled => f.write_str("cancelled from this side"),
            Self::Taken => f.write_str("the result was already taken"),
            Self::NotReady(status) => f.write_str(status.message()),
            Self::Rpc(status) => status.fmt(f),
        }
    }
}

impl Error for ResultError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotReady(status) | Self::Rpc(status) => Some(status),
            _ => None,
        }
    }
}

/// `RESOURCE_EXHAUSTED` ([`TimedOut`](ResultError::TimedOut): nothing in time, or no room), `UNAVAILABLE` (a channel that is not
/// ready), `CANCELLED`, `INTERNAL` (taken twice is a fault of this program) and the call's own status.
impl From<ResultError> for Status {
    fn from(error: ResultError) -> Self {
        match error {
            // The peer reads it, whose own deadline and call this is not about.
            ResultError::TimedOut => Status::resource_exhausted(
                "a wait of the program's own was over before anything had come, or room to send",
            ),
            ResultError::Cancelled => Status::cancelled(error.to_string()),
            ResultError::Taken => Status::internal(error.to_string()),
            ResultError::NotReady(status) => Status::unavailable(status.message()),
            ResultError::Rpc(status) => status,
        }
    }
}

impl From<Status> for ResultError {
    fn from(status: Status) -> Self {
        Self::Rpc(status)
    }
}

/// What a peer sent, in quotes, to be told to people: escaped, and cut to [`QUOTED`] characters. Whatever is
/// reflected goes through here: a few octets of a compressed list may stand for kilobytes, on any thread that reads.
pub(crate) fn quoted(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().min(QUOTED) + 2);
    text.push('"');
    // An escape has four characters at most, and is not torn.
    for (index, octet) in octets.iter().enumerate() {
        if text.len() + 4 > QUOTED {
            text.push_str(&format!("\"... ({} more)", octets.len() - index));
            return text;
        }
        text.extend(octet.escape_ascii().map(char::from));
    }
    text.push('"');
    text
}

/// As much of a peer's text as is told.
const QUOTED: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_escaped_and_never_long() {
        assert_eq!(quoted(b""), r#""""#);
        assert_eq!(quoted(b"text/html"), r#""text/html""#);
        assert_eq!(quoted(b"a\"\x00\xff\r\n"), r#""a\"\x00\xff\r\n""#);
        assert_eq!(quoted(&[b'a'; 95]).len(), 97);
        for octet in [b'a', b'"', 0xff, b'%'] {
            let text = quoted(&[octet; 3900]);
            assert!(text.len() < QUOTED + 20 && text.is_ascii(), "{text}");
            assert!(text.ends_with(" more)"), "{text}");
        }
    }
    use crate::status::Code;

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<ConfigError>() <= 24);
        assert_eq!(size_of::<ResultError>(), 16);
    }

    #[test]
    fn all_become_a_status_with_the_code_that_is_told() {
        let config = ConfigError::new(ConfigErrorKind::Target, "no port in \"localhost\"");
        assert_eq!(format!("{config:?}"), "no port in \"localhost\"");
        assert_eq!(Status::from(config).code(), Code::Internal);
        let late = Status::from(ResultError::TimedOut);
        assert_eq!(late.code(), Code::ResourceExhausted, "no deadline of a call has passed");
        assert!(!late.message().contains("goes on"), "{late}: to the peer it is over");
        let far = Status::from(ResultError::NotReady(Status::deadline_exceeded("refused")));
        assert_eq!((far.code(), far.message()), (Code::Unavailable, "refused"));
        assert_eq!(Status::from(ResultError::Cancelled).code(), Code::Cancelled);
        assert_eq!(Status::from(ResultError::Taken).code(), Code::Internal);
        let rpc = ResultError::from(Status::aborted("x"));
        assert!(rpc.source().is_some());
        assert_eq!(Status::from(rpc).code(), Code::Aborted);
    }
}
