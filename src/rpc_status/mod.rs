//! Errors with details: `google.rpc.Status` in `grpc-status-details-bin`, as Google's APIs, grpcio-status and others have it.
//!
//! ```
//! use grpc_threads::Status;
//! use grpc_threads::rpc_status::{BadRequest, Detail, FieldViolation};
//!
//! // A handler's error:
//! let violation = FieldViolation { field: "name".into(), description: "is empty".into(), ..Default::default() };
//! let status = Status::invalid_argument("no such name")
//!     .with_rpc_details([BadRequest { field_violations: vec![violation] }]);
//!
//! // What its client reads of it:
//! for detail in status.rpc_details()? {
//!     match detail {
//!         Detail::BadRequest(bad) => assert_eq!(bad.field_violations[0].field, "name"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok::<(), Status>(())
//! ```
//!
//! Owns the message, its standard details and how both become a [`Status`] and back. Ignores how a status travels. Pure.
//!
//! § `google/rpc/status.proto`, `error_details.proto`, `google/protobuf/any.proto`; grpc's Python package `grpc_status`; grpclib's
//! `StatusDetailsCodecBase`.

mod any;
mod details;

use std::fmt;

use bytes::Bytes;
use prost::Message;

pub use self::any::{Any, DetailMessage};
pub use self::details::{
    BadRequest, DebugInfo, Detail, ErrorInfo, FieldViolation, Help, Link, LocalizedMessage,
    PreconditionFailure, PreconditionViolation, QuotaFailure, QuotaViolation, RequestInfo,
    ResourceInfo, RetryInfo, Span,
};

use crate::message::messages;
use crate::{Code, Status};

messages! {
    /// A `google.rpc.Status`.
    pub struct RpcStatus {
        /// The number of a [`Code`].
        1 code: i32,
        /// The message for people.
        2 message: String,
        /// What else there is to say, of whatever types.
        3 details: Vec<Any>,
    }
}

/// Why a `google.rpc.Status` and a status do not make one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RpcStatusError {
    /// Its code is none: the number.
    InvalidCode(i32),
    /// It came with a status of another code: the call's, and its own.
    CodeMismatch(i32, i32),
    /// It came with a status of another message: the call's, and its own.
    MessageMismatch(String, String),
    /// The bytes make no such message: why.
    Undecodable(String),
}

impl fmt::Display for RpcStatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidCode(code) => {
                write!(f, "a google.rpc.Status has the code {code}, which is none")
            }
            Self::CodeMismatch(call, own) => {
                write!(f, "the call's code is {call}, and {own} in its google.rpc.Status")
            }
            Self::MessageMismatch(call, own) => {
                write!(f, "the call's message is {call:?}, and {own:?} in its google.rpc.Status")
            }
            Self::Undecodable(why) => {
                write!(
                    f,
                    "grpc-status-details-bin could not be decoded as google.rpc.Status: {why}"
                )
            }
        }
    }
}

impl std::error::Error for RpcStatusError {}

/// `UNKNOWN`, as of any mistake in a handler, such as a code that is none.
impl From<RpcStatusError> for Status {
    fn from(error: RpcStatusError) -> Self {
        Status::unknown(error.to_string())
    }
}

impl RpcStatus {
    /// One without details.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), details: Vec::new() }
    }

    /// The same with this detail behind the others.
    #[must_use]
    pub fn with<D: DetailMessage>(mut self, detail: &D) -> Self {
        self.details.push(Any::pack(detail));
        self
    }

    /// The first detail of this type.
    ///
    /// # Errors
    /// As [`Any::unpack`].
    #[must_use]
    pub fn find<D: DetailMessage>(&self) -> Option<Result<D, Status>> {
        self.details.iter().find_map(Any::unpack)
    }

    /// The status that carries it: what a handler returns. Python's `to_status`.
    ///
    /// # Errors
    /// [`RpcStatusError::InvalidCode`].
    pub fn to_status(&self) -> Result<Status, RpcStatusError> {
        let code = Code::from_i32(self.code);
        if i32::from(code) != self.code {
            return Err(RpcStatusError::InvalidCode(self.code));
        }
        Ok(Status::new(code, &*self.message).with_details(self.encode_to_vec()))
    }

    /// What a status carries; `None`: nothing. Python's `from_call`.
    ///
    /// # Errors
    /// The code or the message are others than the status's own, or its details are something else.
    pub fn from_status(status: &Status) -> Result<Option<Self>, RpcStatusError> {
        if status.details().is_empty() {
            return Ok(None);
        }
        let found = Self::decode(status.details())
            .map_err(|error| RpcStatusError::Undecodable(error.to_string()))?;
        if found.code != status.raw_code() {
            return Err(RpcStatusError::CodeMismatch(status.raw_code(), found.code));
        }
        if found.message != status.message() {
            return Err(RpcStatusError::MessageMismatch(status.message().into(), found.message));
        }
        Ok(Some(found))
    }
}

/// Details that are `google.rpc.Status`.
impl Status {
    /// The same with these details in a `google.rpc.Status` with its code and its message: instead of the details that it has.
    #[must_use]
    pub fn with_rpc_details<D: Into<Detail>>(self, details: impl IntoIterator<Item = D>) -> Self {
        let details: Vec<_> = details.into_iter().map(Into::into).collect();
        let octets = Proto.encode(self.code(), self.message(), &details);
        self.with_details(octets)
    }

    /// The details in its `google.rpc.Status`; none where there is none.
    ///
    /// # Errors
    /// As [`RpcStatus::from_status`].
    pub fn rpc_details(&self) -> Result<Vec<Detail>, RpcStatusError> {
        let found = RpcStatus::from_status(self)?;
        Ok(found.iter().flat_map(|found| &found.details).map(Detail::from).collect())
    }
}

/// Details to the bytes of `grpc-status-details-bin` and back, for those who put something else there than [`Proto`] does. grpclib's
/// `StatusDetailsCodecBase`.
///
/// ```
/// use bytes::Bytes;
/// use grpc_threads::rpc_status::StatusDetailsCodec;
/// use grpc_threads::{Code, Status};
///
/// /// A text, and nothing else.
/// struct Text;
///
/// impl StatusDetailsCodec for Text {
///     type Details = String;
///     type Error = std::string::FromUtf8Error;
///
///     fn encode(&self, _: Code, _: &str, details: &String) -> Bytes {
///         details.clone().into()
///     }
///
///     fn decode(&self, status: &Status) -> Result<String, Self::Error> {
///         String::from_utf8(status.details().into())
///     }
/// }
///
/// let details = Text.encode(Code::Aborted, "again", &"row 7".into());
/// let status = Status::aborted("again").with_details(details);
/// assert_eq!(Text.decode(&status).unwrap(), "row 7");
/// ```
pub trait StatusDetailsCodec {
    /// What a program has of them.
    type Details;
    /// Why there are none in a status.
    type Error;

    /// The bytes, for an error of this code and message.
    fn encode(&self, code: Code, message: &str, details: &Self::Details) -> Bytes;

    /// What a status has in its bytes.
    ///
    /// # Errors
    /// They are something else.
    fn decode(&self, status: &Status) -> Result<Self::Details, Self::Error>;
}

/// The usual: a `google.rpc.Status`. What [`Status::with_rpc_details`] and [`Status::rpc_details`] use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proto;

impl StatusDetailsCodec for Proto {
    type Details = Vec<Detail>;
    type Error = RpcStatusError;

    fn encode(&self, code: Code, message: &str, details: &Vec<Detail>) -> Bytes {
        let mut status = RpcStatus::new(code, message);
        status.details.extend(details.iter().map(Any::from));
        status.encode_to_vec().into()
    }

    fn decode(&self, status: &Status) -> Result<Vec<Detail>, RpcStatusError> {
        status.rpc_details()
    }
}
