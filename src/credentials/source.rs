//! Where PEM comes from: octets at hand, or a file that is read again when it has changed.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pem::error;
use crate::error::ConfigError;

/// Certificates, a key or revocation lists as PEM text: octets, or the path of a file.
///
/// Octets and strings are the text itself; a [`Path`] or [`PathBuf`] is a file, and so is what [`Pem::file`] gets.
/// Credentials that were made of files look at handshakes, once a second at most, whether the files have changed, and
/// read all of them again if so; what cannot be read, or does not fit together, leaves what was there and is told to
/// the log.
///
/// The file's text never shows in `Debug`, in errors or in logs; its name does.
#[derive(Clone)]
pub struct Pem(Origin);

#[derive(Clone)]
enum Origin {
    Text(Arc<[u8]>),
    File(PathBuf),
}

/// What an argument came to: how it is called in errors, and its text.
pub(super) struct Given<'a> {
    pub(super) what: String,
    pub(super) text: Cow<'a, [u8]>,
}

impl Pem {
    /// The text of the file of this name.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Origin::File(path.into()))
    }

    /// Reads it. `argument` is how errors call it.
    pub(super) fn load(&self, argument: &str) -> Result<Given<'_>, ConfigError> {
        match &self.0 {
            Origin::Text(text) => {
                Ok(Given { what: argument.to_owned(), text: Cow::Borrowed(text) })
            }
            Origin::File(path) => {
                let what = format!("{argument} ({})", path.display());
                let text = fs::read(path).map_err(|failed| error(format!("{what}: {failed}")))?;
                Ok(Given { what, text: Cow::Owned(text) })
            }
        }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        match &self.0 {
            Origin::Text(_) => None,
            Origin::File(path) => Some(path),
        }
    }
}

/// The path or the length: never the text, which may be a key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Origin::Text(text) => write!(f, "Pem({} octets)", text.len()),
            Origin::File(path) => write!(f, "Pem({})", path.display()),
        }
    }
}

impl From<&[u8]> for Pem {
    fn from(text: &[u8]) -> Self {
        Self(Origin::Text(text.into()))
    }
}

impl<const N: usize> From<&[u8; N]> for Pem {
    fn from(text: &[u8; N]) -> Self {
        Self::from(&text[..])
    }
}

impl From<Vec<u8>> for Pem {
    fn from(text: Vec<u8>) -> Self {
        Self(Origin::Text(text.into()))
    }
}

impl From<&str> for Pem {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<String> for Pem {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<&Path> for Pem {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}
