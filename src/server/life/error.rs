//! Why a server does not serve: [`ServeError`].

use std::fmt;
use std::io;

use crate::error::ConfigError;
use crate::net::BindError;
use crate::status::Status;

/// Why a server does not serve.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// An address could not be bound.
    Bind(BindError),
    /// The server was started or stopped before.
    Config(ConfigError),
    /// No thread or descriptor could be had.
    Io(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Io(error) => write!(f, "the server's threads could not be started: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(error) => Some(error),
            Self::Config(error) => Some(error),
            Self::Io(error) => Some(error),
        }
    }
}

impl From<BindError> for ServeError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<ConfigError> for ServeError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// `INTERNAL`: the fault is on this machine. So that `main` may return one kind of error.
impl From<ServeError> for Status {
    fn from(error: ServeError) -> Self {
        Status::internal(error.to_string())
    }
}

/// `INTERNAL`, as above.
impl From<BindError> for Status {
    fn from(error: BindError) -> Self {
        Status::internal(error.to_string())
    }
}
