//! How a call ended: [`Code`] and [`Status`].
//!
//! Knows nothing of HTTP or of calls; how an ending on the wire becomes a
//! status is decided in `wire/outcome`, and nowhere else.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::metadata::{self, Metadata};
use crate::tell;

/// A status code, as listed in the gRPC document "Status codes and their use in
/// gRPC" (`doc/statuscodes.md`).
///
/// The library itself never answers with `InvalidArgument`, `NotFound`,
/// `AlreadyExists`, `FailedPrecondition`, `Aborted`, `OutOfRange` or `DataLoss`
/// (same document, last paragraph): whoever sees one of these knows that a
/// handler chose it.
///
/// ```
/// use grpc_threads::Code;
///
/// assert_eq!(Code::from_i32(5), Code::NotFound);
/// assert_eq!(Code::NotFound.to_string(), "NOT_FOUND");
/// assert_eq!(Code::from_i32(99), Code::Unknown);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// The call went well.
    Ok = 0,
    /// The call was cancelled, as a rule by the caller.
    Cancelled = 1,
    /// An error nothing more is known of, or a code that does not exist.
    Unknown = 2,
    /// The request is wrong whatever the state of the system.
    InvalidArgument = 3,
    /// The deadline passed before the call was complete.
    DeadlineExceeded = 4,
    /// What was asked for does not exist.
    NotFound = 5,
    /// What should be made exists already.
    AlreadyExists = 6,
    /// The caller is known and may not do this.
    PermissionDenied = 7,
    /// A quota, a limit or some other resource is used up.
    ResourceExhausted = 8,
    /// The system is not in the state that the operation needs.
    FailedPrecondition = 9,
    /// Ended because of a concurrent operation, such as a failed transaction.
    Aborted = 10,
    /// Past the valid range; unlike `InvalidArgument`, a matter of the present state.
    OutOfRange = 11,
    /// The method does not exist, or is not supported here.
    Unimplemented = 12,
    /// An invariant was broken: a fault of the protocol or of a program.
    Internal = 13,
    /// The service cannot be reached just now; trying again may help.
    Unavailable = 14,
    /// Data was lost or damaged and cannot be had again.
    DataLoss = 15,
    /// The caller did not prove who it is.
    Unauthenticated = 16,
}

impl Code {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code of a number; numbers that name none give [`Code::Unknown`].
    #[must_use]
    pub fn from_i32(number: i32) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|index| Self::ALL.get(index).copied())
            .unwrap_or(Self::Unknown)
    }

    /// The name that all gRPC implementations share, such as `NOT_FOUND`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// The code in a few words, for messages to people.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Ok => "the call went well",
            Self::Cancelled => "the call was cancelled",
            Self::Unknown => "unknown error",
            Self::InvalidArgument => "the request is not valid",
            Self::DeadlineExceeded => "the deadline passed before the call was complete",
            Self::NotFound => "not found",
            Self::AlreadyExists => "it exists already",
            Self::PermissionDenied => "not allowed",
            Self::ResourceExhausted => "a resource is used up",
            Self::FailedPrecondition => "the system is not in the state this needs",
            Self::Aborted => "ended because of a concurrent operation",
            Self::OutOfRange => "out of the valid range",
            Self::Unimplemented => "not implemented",
            Self::Internal => "internal error",
            Self::Unavailable => "the service cannot be reached just now",
            Self::DataLoss => "data was lost",
            Self::Unauthenticated => "not authenticated",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<Code> for i32 {
    fn from(code: Code) -> Self {
        code as Self
    }
}

/// How a call ended: the one error for whatever a peer or the network did.
///
/// Eight bytes, cheap to clone and to move; a plain OK costs no allocation.
/// Handlers return it as their error, callers get it as theirs.
///
/// ```
/// use grpc_threads::{Code, Status};
///
/// fn find(name: &str) -> Result<u32, Status> {
///     Err(Status::not_found(format!("no feature called {name:?}")))
/// }
///
/// let status = find("Old Bridge").unwrap_err();
/// assert_eq!(status.code(), Code::NotFound);
/// assert_eq!(status.to_string(), r#"NOT_FOUND: no feature called "Old Bridge""#);
/// ```
///
/// A handler that makes a call of its own and passes its error on with `?` hands on all of it, also the details and the
/// trailing metadata that the inner server sent; `Status::new(status.code(), status.message())` is the code and the text alone.
///
/// `Debug` prints a sentence rather than a structure, so that a program may
/// simply return it from `main`:
///
/// ```
/// # use grpc_threads::Status;
/// fn main() -> Result<(), Status> {
///     Ok(())
/// }
/// ```
// None is a plain OK, which most calls end with: no allocation, and no counter
// that all threads of a process would write to.
#[derive(Clone, Default)]
pub struct Status(Option<Arc<Inner>>);

#[derive(Clone)]
struct Inner {
    code: Code,
    /// The number that was on the wire; differs from `code` only where it names none.
    raw: i32,
    message: Cow<'static, str>,
    details: Bytes,
    trailing: Metadata,
    initial: Metadata,
    debug: String,
}

impl Status {
    /// A status of any code, with a message for people.
    ///
    /// The message reaches the peer, whatever characters it holds: put nothing secret into it.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::build(code, i32::from(code), Cow::Owned(message.into()))
    }

    /// A message that is part of the program: not copied.
    pub(crate) fn fixed(code: Code, message: &'static str) -> Self {
        Self::build(code, i32::from(code), Cow::Borrowed(message))
    }

    /// A `grpc-status` as received. Numbers that name no code are told as `UNKNOWN` (W50).
    pub(crate) fn received(raw: i32, message: String) -> Self {
        Self::build(Code::from_i32(raw), raw, Cow::Owned(message))
    }

    fn build(code: Code, raw: i32, message: Cow<'static, str>) -> Self {
        if raw == 0 && message.is_empty() {
            return Self(None);
        }
        Self(Some(Arc::new(Inner { code, raw, message, ..Inner::OK })))
    }

    /// The plain OK.
    #[must_use]
    pub const fn ok() -> Self {
        Self(None)
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.as_ref().map_or(Code::Ok, |inner| inner.code)
    }

    /// Whether the code is [`Code::Ok`].
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.code() == Code::Ok
    }

    /// The number the peer sent, also when it names no code; else the number of [`code`](Self::code).
    #[must_use]
    pub fn raw_code(&self) -> i32 {
        self.0.as_ref().map_or(0, |inner| inner.raw)
    }

    /// The message for people; may be empty.
    #[must_use]
    pub fn message(&self) -> &str {
        self.inner().map_or("", |inner| &inner.message)
    }

    /// The bytes of `grpc-status-details-bin`: by convention a `google.rpc.Status` message. Empty when there are none.
    #[must_use]
    pub fn details(&self) -> &[u8] {
        self.inner().map_or(&[], |inner| &inner.details)
    }

    /// What the server sent after the messages.
    #[must_use]
    pub fn trailing_metadata(&self) -> &Metadata {
        self.inner().map_or(&metadata::EMPTY, |inner| &inner.trailing)
    }

    /// What the server sent before the messages; empty when it sent the status at once.
    #[must_use]
    pub fn initial_metadata(&self) -> &Metadata {
        self.inner().map_or(&metadata::EMPTY, |inner| &inner.initial)
    }

    /// What was being waited for, and what the connection said, in words; for logs.
    /// Never sent to the peer. Empty when nothing is known beyond the message.
    #[must_use]
    pub fn debug_error_string(&self) -> &str {
        self.inner().map_or("", |inner| &inner.debug)
    }

    /// The same with these detail bytes (`grpc-status-details-bin`).
    #[must_use]
    pub fn with_details(self, details: impl Into<Bytes>) -> Self {
        self.change(|inner| inner.details = details.into())
    }

    /// The same with this trailing metadata: what a handler sends after the messages.
    #[must_use]
    pub fn with_metadata(self, trailing: Metadata) -> Self {
        self.change(|inner| inner.trailing = trailing)
    }

    /// The same with this initial metadata.
    #[must_use]
    pub fn with_initial_metadata(self, initial: Metadata) -> Self {
        self.change(|inner| inner.initial = initial)
    }

    /// The same with this text for logs, see [`debug_error_string`](Self::debug_error_string).
    #[must_use]
    pub fn with_debug(self, debug: impl Into<String>) -> Self {
        self.change(|inner| inner.debug = debug.into())
    }

    /// The same with this in front of its message.
    pub(crate) fn with_prefix(self, prefix: &str) -> Self {
        self.change(|inner| inner.message = Cow::Owned(format!("{prefix}{}", inner.message)))
    }

    fn inner(&self) -> Option<&Inner> {
        self.0.as_deref()
    }

    /// An error that code of the user's gave, `who`. With the code OK it would be taken for the end of a call that went well, and
    /// for a whole stream: it is INTERNAL, and told to the log.
    pub(crate) fn given_by(self, who: &str) -> Self {
        if !self.is_ok() {
            return self;
        }
        tell::error!("{who} failed with the code OK; its call ends with INTERNAL");
        Self::internal(format!("{who} failed with the code OK"))
    }

    fn change(mut self, edit: impl FnOnce(&mut Inner)) -> Self {
        edit(Arc::make_mut(self.0.get_or_insert_with(|| Arc::new(Inner::OK))));
        self
    }
}

impl Inner {
    const OK: Self = Self {
        code: Code::Ok,
        raw: 0,
        message: Cow::Borrowed(""),
        details: Bytes::new(),
        trailing: Metadata::new(),
        initial: Metadata::new(),
        debug: String::new(),
    };
}

/// Makes one constructor for each code.
macro_rules! constructors {
    ($($name:ident => $code:ident, $when:literal;)+) => {
        impl Status {
            $(
                #[doc = concat!("A status of code [`Code::", stringify!($code), "`]: ", $when, ".")]
                #[must_use]
                pub fn $name(message: impl Into<String>) -> Self {
                    Self::new(Code::$code, message)
                }
            )+
        }
    };
}

constructors! {
    cancelled => Cancelled, "the caller gave up";
    unknown => Unknown, "nothing more is known";
    invalid_argument => InvalidArgument, "the request is wrong whatever the state of the system";
    deadline_exceeded => DeadlineExceeded, "there was not enough time";
    not_found => NotFound, "what was asked for does not exist";
    already_exists => AlreadyExists, "what should be made exists already";
    permission_denied => PermissionDenied, "the caller is known and may not do this";
    resource_exhausted => ResourceExhausted, "a quota or a limit is used up";
    failed_precondition => FailedPrecondition, "the system is not in the state this needs";
    aborted => Aborted, "a concurrent operation was in the way";
    out_of_range => OutOfRange, "past the end of what there is";
    unimplemented => Unimplemented, "the method is not supported here";
    internal => Internal, "a fault of the protocol or of a program";
    unavailable => Unavailable, "trying again later may help";
    data_loss => DataLoss, "data was lost or damaged";
    unauthenticated => Unauthenticated, "the caller did not prove who it is";
}

/// `NOT_FOUND: the message`, or the code's description where there is no message; and in brackets the text for logs
/// ([`debug_error_string`](Status::debug_error_string)), which says what was behind it.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, message) = (self.code(), self.message());
        f.write_str(code.name())?;
        if self.raw_code() != i32::from(code) {
            write!(f, " ({})", self.raw_code())?;
        }
        match (message.is_empty(), code) {
            (true, Code::Ok) => {}
            (true, _) => write!(f, ": {}", code.description())?,
            (false, _) => write!(f, ": {message}")?,
        }
        match self.debug_error_string() {
            "" => Ok(()),
            debug => write!(f, " ({debug})"),
        }
    }
}

/// As `Display`, and what else there is: details and metadata.
impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let Some(inner) = self.inner() else { return Ok(()) };
        if !inner.details.is_empty() {
            write!(f, "; {} bytes of details", inner.details.len())?;
        }
        if !inner.initial.is_empty() {
            write!(f, "; initial metadata {:?}", inner.initial)?;
        }
        if !inner.trailing.is_empty() {
            write!(f, "; trailing metadata {:?}", inner.trailing)?;
        }
        Ok(())
    }
}

impl Error for Status {}

/// What an operation of the operating system came to, so that `?` works on files and sockets in a handler. The error's
/// text becomes the message, which the client reads.
///
/// | kind of the error | code |
/// |---|---|
/// | `NotFound`; `AlreadyExists`; `PermissionDenied` | the same |
/// | `InvalidInput` | [`Code::InvalidArgument`] |
/// | `InvalidData`, `UnexpectedEof` | [`Code::DataLoss`] |
/// | `TimedOut` | [`Code::DeadlineExceeded`] |
/// | `StorageFull`, `FileTooLarge`, `OutOfMemory` | [`Code::ResourceExhausted`] |
/// | `IsADirectory`, `NotADirectory`, `DirectoryNotEmpty`, `ReadOnlyFilesystem` | [`Code::FailedPrecondition`] |
/// | `Unsupported` | [`Code::Unimplemented`] |
/// | a connection or network that is refused, reset, aborted or gone; `ResourceBusy`, `WouldBlock`, `Interrupted` | [`Code::Unavailable`] |
/// | all others | [`Code::Unknown`] |
///
/// An error that was made of a `Status` is that status again.
///
/// ```
/// use grpc_threads::{Code, Status};
///
/// fn read(path: &str) -> Result<Vec<u8>, Status> {
///     Ok(std::fs::read(path)?)
/// }
///
/// assert_eq!(read("/no/such/file").unwrap_err().code(), Code::NotFound);
/// ```
impl From<io::Error> for Status {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let own = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>());
        if let Some(status) = own {
            return status.clone();
        }
        let code = match error.kind() {
            Kind::NotFound => Code::NotFound,
            Kind::AlreadyExists => Code::AlreadyExists,
            Kind::PermissionDenied => Code::PermissionDenied,
            Kind::InvalidInput => Code::InvalidArgument,
            Kind::InvalidData | Kind::UnexpectedEof => Code::DataLoss,
            Kind::TimedOut => Code::DeadlineExceeded,
            Kind::StorageFull | Kind::FileTooLarge | Kind::OutOfMemory => Code::ResourceExhausted,
            Kind::IsADirectory
            | Kind::NotADirectory
            | Kind::DirectoryNotEmpty
            | Kind::ReadOnlyFilesystem => Code::FailedPrecondition,
            Kind::Unsupported => Code::Unimplemented,
            Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::BrokenPipe
            | Kind::AddrInUse
            | Kind::AddrNotAvailable
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::ResourceBusy
            | Kind::WouldBlock
            | Kind::Interrupted => Code::Unavailable,
            _ => Code::Unknown,
        };
        Self::new(code, error.to_string())
    }
}

/// A status of this code, with no message.
impl From<Code> for Status {
    fn from(code: Code) -> Self {
        Self::fixed(code, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_eight_bytes_and_may_be_shared() {
        fn shared<T: Send + Sync + Clone + Error + 'static>() {}
        shared::<Status>();
        assert_eq!(size_of::<Status>(), 8);
        assert_eq!(size_of::<Result<u64, Status>>(), 16);
    }

    #[test]
    fn numbers_and_codes_agree() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(i32::from(code), number as i32);
            assert_eq!(Code::from_i32(number as i32), code);
            assert_eq!(Status::new(code, "m").code(), code);
            assert!(!code.description().is_empty());
        }
        for foreign in [-1, 17, i32::MIN, i32::MAX] {
            assert_eq!(Code::from_i32(foreign), Code::Unknown);
        }
    }

    #[test]
    fn w50_a_number_outside_the_list_is_unknown_and_kept() {
        let status = Status::received(42, "odd".into());
        assert_eq!((status.code(), status.raw_code()), (Code::Unknown, 42));
        assert_eq!(status.to_string(), "UNKNOWN (42): odd");
    }

    #[test]
    fn a_plain_ok_allocates_nothing() {
        assert!(Status::ok().0.is_none());
        assert!(Status::new(Code::Ok, "").0.is_none());
        assert!(Status::received(0, String::new()).0.is_none());
        assert!(Status::ok().is_ok());
        assert_eq!(Status::ok().message(), "");
        assert_eq!(Status::ok().to_string(), "OK");
        assert!(Status::ok().trailing_metadata().is_empty());
    }

    #[test]
    fn an_ok_may_carry_things_too() {
        let metadata = Metadata::new().with("k", "v").unwrap();
        let status = Status::ok().with_metadata(metadata.clone());
        assert_eq!(status.code(), Code::Ok);
        assert_eq!(status.trailing_metadata(), &metadata);
    }

    #[test]
    fn a_change_leaves_clones_alone() {
        let plain = Status::aborted("again");
        let rich = plain.clone().with_details(Bytes::from_static(b"\x08\x01")).with_debug("d");
        assert!(plain.details().is_empty());
        assert_eq!(rich.details(), b"\x08\x01");
        assert_eq!(rich.message(), "again");
    }

    #[test]
    fn an_error_of_the_system_is_a_status_that_fits() {
        for (kind, code) in [
            (io::ErrorKind::NotFound, Code::NotFound),
            (io::ErrorKind::PermissionDenied, Code::PermissionDenied),
            (io::ErrorKind::ConnectionReset, Code::Unavailable),
            (io::ErrorKind::StorageFull, Code::ResourceExhausted),
            (io::ErrorKind::Other, Code::Unknown),
        ] {
            let status = Status::from(io::Error::new(kind, "why"));
            assert_eq!((status.code(), status.message()), (code, "why"));
        }
        let own = Status::aborted("again").with_details(&b"d"[..]);
        let back = Status::from(io::Error::other(own));
        assert_eq!((back.code(), back.details()), (Code::Aborted, &b"d"[..]));
    }

    #[test]
    fn debug_reads_like_an_error_message() {
        let status = Status::unavailable("connection refused")
            .with_debug("waiting for ipv4:127.0.0.1:1 to accept")
            .with_metadata(Metadata::new().with("k", "v").unwrap());
        assert_eq!(
            format!("{status:?}"),
            "UNAVAILABLE: connection refused (waiting for ipv4:127.0.0.1:1 to accept); \
             trailing metadata [k: \"v\"]"
        );
        assert_eq!(
            status.to_string(),
            "UNAVAILABLE: connection refused (waiting for ipv4:127.0.0.1:1 to accept)",
            "what is behind it is not only for those who know of Debug"
        );
        assert_eq!(Status::from(Code::Internal).to_string(), "INTERNAL: internal error");
    }
}
