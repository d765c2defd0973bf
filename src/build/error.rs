//! What can go wrong when code is generated.

use std::fmt;

/// Why no code was generated: a text of one or more lines, which begins with file, line and column where it
/// is about a `.proto`.
///
/// `Debug` prints the same, so that a build script's `main` may return it.
pub struct Error {
    text: String,
}

impl Error {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
