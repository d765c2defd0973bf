//! What a peer did wrong, and how much of the connection it costs.
//!
//! The scope is in the type, and whoever finds the fault decides it: no caller
//! maps an error again. A fault of our own user is not an [`Error`].

use super::types::Reason;
use std::fmt;

/// A peer's breach of RFC 9113 or of one of our limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Error {
    /// RFC 9113 §5.4.1: GOAWAY, then the connection is closed.
    Connection {
        /// Error code of the GOAWAY.
        reason: Reason,
        /// What was wrong, in a few ASCII words: its debug data.
        cause: &'static str,
    },
    /// RFC 9113 §5.4.2: RST_STREAM, the other streams live on.
    Stream {
        /// The stream concerned.
        id: u32,
        /// Error code of the RST_STREAM.
        reason: Reason,
        /// What was wrong, in a few ASCII words.
        cause: &'static str,
    },
}

impl Error {
    /// An error that ends the connection.
    #[cold]
    pub(crate) const fn connection(reason: Reason, cause: &'static str) -> Self {
        Self::Connection { reason, cause }
    }

    /// An error that ends one stream.
    #[cold]
    pub(crate) const fn stream(id: u32, reason: Reason, cause: &'static str) -> Self {
        Self::Stream { id, reason, cause }
    }

    /// A connection error of type PROTOCOL_ERROR.
    #[cold]
    pub(crate) const fn protocol(cause: &'static str) -> Self {
        Self::connection(Reason::PROTOCOL_ERROR, cause)
    }

    /// A connection error of type FRAME_SIZE_ERROR.
    #[cold]
    pub(crate) const fn size(cause: &'static str) -> Self {
        Self::connection(Reason::FRAME_SIZE_ERROR, cause)
    }

    /// The error code it is answered with.
    pub(crate) const fn reason(&self) -> Reason {
        match *self {
            Self::Connection { reason, .. } | Self::Stream { reason, .. } => reason,
        }
    }

    /// What was wrong.
    pub(crate) const fn cause(&self) -> &'static str {
        match *self {
            Self::Connection { cause, .. } | Self::Stream { cause, .. } => cause,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Connection { reason, cause } => write!(f, "{reason}: {cause}"),
            Self::Stream { id, reason, cause } => write!(f, "stream {id}: {reason}: {cause}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_stays_small() {
        assert!(size_of::<Error>() <= 32, "{}", size_of::<Error>());
    }

    #[test]
    fn an_error_says_where_and_what() {
        assert_eq!(Error::protocol("bad").to_string(), "PROTOCOL_ERROR: bad");
        let error = Error::stream(7, Reason::CANCEL, "gone");
        assert_eq!(error.to_string(), "stream 7: CANCEL: gone");
        assert_eq!((error.reason(), error.cause()), (Reason::CANCEL, "gone"));
    }
}
