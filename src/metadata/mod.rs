//! Metadata: the pairs of keys and values that travel beside the messages.
//!
//! Owns the ordered multimap and its rules (which keys, which values, base64).
//! Knows nothing of header compression or calls.
//!
//! One buffer holds all keys and values, so a map costs at most two allocations
//! however many entries it has, and a clone costs two copies.

mod base64;
mod key;

use std::fmt;

use crate::error::{ConfigError, ConfigErrorKind};

pub(crate) use self::base64::{BadBin, encode as encode_base64};
pub(crate) use self::key::{is_binary, reserved};

/// The pairs of keys and values that travel beside the messages of a call.
///
/// An ordered multimap: entries keep their order, and a key may have many
/// values. Keys are ASCII and lower case (upper case given here is lowered).
/// Values are printable ASCII text, or, where the key ends in `-bin`, any bytes.
/// See "gRPC over HTTP2" (`doc/PROTOCOL-HTTP2.md`), rule `Custom-Metadata`.
///
/// ```
/// use grpc_threads::Metadata;
///
/// let metadata = Metadata::new()
///     .with("x-request-id", "17")?
///     .with_bin("x-trace-bin", [0, 255])?;
/// assert_eq!(metadata.get("X-Request-Id"), Some("17"));
/// assert_eq!(metadata.get_bin("x-trace-bin"), Some(&[0, 255][..]));
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
///
/// What a peer sent may hold text that could not be sent from here (such as
/// UTF-8 or control characters). It is kept as far as it is UTF-8, and when it
/// is sent on by [`extend`](Self::extend), each such character goes out as `?`:
/// echoing what was received never fails.
#[derive(Clone, Default)]
pub struct Metadata {
    /// Keys and values, one after the other in the order of `entries`, without gaps.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// The lengths of a key and its value in `bytes`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    start: usize,
    key: usize,
    value: usize,
}

/// A value: text, or bytes where the key ends in `-bin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value<'a> {
    /// Text.
    Ascii(&'a str),
    /// Bytes, decoded.
    Bin(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The text, if it is text.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Self::Ascii(text) => Some(text),
            Self::Bin(_) => None,
        }
    }

    /// The bytes of either kind.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Ascii(text) => text.as_bytes(),
            Self::Bin(bytes) => bytes,
        }
    }
}

/// What a [`Status`](crate::Status) without metadata shows.
pub(crate) static EMPTY: Metadata = Metadata::new();

impl Metadata {
    /// No entries; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), entries: Vec::new() }
    }

    /// The same with one more text entry, at the end.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn with(mut self, key: &str, value: &str) -> Result<Self, ConfigError> {
        self.append(key, value)?;
        Ok(self)
    }

    /// The same with one more entry of bytes, at the end; the key ends in `-bin`.
    ///
    /// # Errors
    /// As [`append_bin`](Self::append_bin).
    pub fn with_bin(mut self, key: &str, value: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        self.append_bin(key, value)?;
        Ok(self)
    }

    /// Adds a text entry at the end. Blanks around the value are stripped, as HTTP does.
    ///
    /// # Errors
    /// When the key has characters other than `0-9 a-z _ - .`, belongs to the
    /// protocol (`te`, `content-type`, `user-agent`, `grpc-…` and so on), or
    /// ends in `-bin`; or when the value has characters that are not printable ASCII.
    pub fn append(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        key::check(key, false)?;
        // § `doc/PROTOCOL-HTTP2.md`: "ASCII-Value → 1*( %x20-%x7E ) ; space and printable ASCII".
        if let Some(bad) = value.chars().find(|char| !matches!(char, ' '..='~')) {
            return Err(ConfigError::new(
                ConfigErrorKind::Metadata,
                format!(
                    "metadata value of {key:?}: {bad:?} is not printable ASCII; \
                     bytes go under a key that ends in -bin"
                ),
            ));
        }
        self.push(key.as_bytes(), value.trim_matches(' ').as_bytes());
        Ok(())
    }

    /// Adds an entry of bytes at the end.
    ///
    /// # Errors
    /// When the key does not end in `-bin`, has characters other than
    /// `0-9 a-z _ - .`, or belongs to the protocol.
    pub fn append_bin(&mut self, key: &str, value: impl AsRef<[u8]>) -> Result<(), ConfigError> {
        key::check(key, true)?;
        self.push(key.as_bytes(), value.as_ref());
        Ok(())
    }

    /// Replaces all values of `key` by this one, at the end.
    ///
    /// # Errors
    /// As [`append`](Self::append); nothing is changed then.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let old = self.len();
        self.append(key, value)?;
        self.remove_first(key, old);
        Ok(())
    }

    /// Replaces all values of `key` by these bytes, at the end.
    ///
    /// # Errors
    /// As [`append_bin`](Self::append_bin); nothing is changed then.
    pub fn insert_bin(&mut self, key: &str, value: impl AsRef<[u8]>) -> Result<(), ConfigError> {
        let old = self.len();
        self.append_bin(key, value)?;
        self.remove_first(key, old);
        Ok(())
    }

    /// The first value of `key`, if there is one and it is text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.get_all(key).next().and_then(Value::as_str)
    }

    /// The first value of `key`, if there is one and it is bytes.
    #[must_use]
    pub fn get_bin(&self, key: &str) -> Option<&[u8]> {
        match self.get_all(key).next() {
            Some(Value::Bin(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// All values of `key`, in order.
    pub fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = Value<'a>> {
        let key = key.as_bytes();
        self.raw().filter(|(own, _)| own.eq_ignore_ascii_case(key)).map(|(own, v)| typed(own, v))
    }

    /// Whether there is a value of `key`.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.get_all(key).next().is_some()
    }

    /// Removes all values of `key`; tells how many there were.
    pub fn remove(&mut self, key: &str) -> usize {
        self.remove_first(key, self.len())
    }

    /// How many entries there are; a key with two values counts twice.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { metadata: self, next: 0 }
    }

    /// Adds all entries of `other` at the end. Never fails, whoever made them.
    pub fn extend(&mut self, other: &Self) {
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.entries.extend(
            other.entries.iter().map(|entry| Entry { start: entry.start + shift, ..*entry }),
        );
    }

    /// Adds a field as it came from the peer. Lenient: what HTTP lets through is
    /// kept (W28), base64 is decoded, lists split at commas (W27).
    pub(crate) fn append_received(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadBin> {
        if !is_binary(name) {
            match std::str::from_utf8(value) {
                Ok(_) => self.push(name, value.trim_ascii()),
                Err(_) => {
                    self.push(name, String::from_utf8_lossy(value).trim_ascii().as_bytes());
                }
            }
            return Ok(());
        }
        // § `doc/PROTOCOL-HTTP2.md`: "Because binary values may be comma-joined [...] split on ','
        // before decoding".
        for part in value.split(|byte| *byte == b',') {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(name);
            if let Err(bad) = base64::decode(part.trim_ascii(), &mut self.bytes) {
                self.bytes.truncate(start);
                return Err(bad);
            }
            let value = self.bytes.len() - start - name.len();
            self.entries.push(Entry { start, key: name.len(), value });
        }
        Ok(())
    }

    /// All entries as they are stored: lower-case key, decoded value.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|entry| self.at(*entry))
    }

    /// The size that a peer's SETTINGS_MAX_HEADER_LIST_SIZE counts: name, value
    /// in its text form, and 32 for each entry (W29, RFC 9113 §6.5.2).
    pub(crate) fn list_size(&self) -> usize {
        self.raw()
            .map(|(key, value)| {
                let text =
                    if is_binary(key) { base64::encoded_len(value.len()) } else { value.len() };
                key.len() + text + 32
            })
            .sum()
    }

    /// The first key whose entry could not be sent as it is: it came from a peer.
    pub(crate) fn unsendable(&self) -> Option<&str> {
        let sendable = |(key, value): (&[u8], &[u8])| {
            let binary = is_binary(key);
            key::check(text(key), binary).is_ok()
                && (binary || value.iter().all(|octet| matches!(octet, b' '..=b'~')))
        };
        self.raw().find(|entry| !sendable(*entry)).map(|(key, _)| text(key))
    }

    /// The octets it holds.
    #[cfg(test)]
    pub(crate) fn heap(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(FIRST.max(key.len() + value.len()));
        }
        self.bytes.extend_from_slice(key);
        if let Some(own) = self.bytes.get_mut(start..) {
            own.make_ascii_lowercase();
        }
        self.bytes.extend_from_slice(value);
        self.entries.push(Entry { start, key: key.len(), value: value.len() });
    }

    /// Removes the values of `key` among the first `limit` entries.
    fn remove_first(&mut self, key: &str, limit: usize) -> usize {
        let matches = |own: &[u8]| own.eq_ignore_ascii_case(key.as_bytes());
        let removed = self.raw().take(limit).filter(|(own, _)| matches(own)).count();
        if removed == 0 {
            return 0;
        }
        let mut kept = Self::new();
        for (index, (own, value)) in self.raw().enumerate() {
            if index >= limit || !matches(own) {
                kept.push(own, value);
            }
        }
        *self = kept;
        removed
    }

    fn at(&self, entry: Entry) -> (&[u8], &[u8]) {
        let (middle, end) = (entry.start + entry.key, entry.start + entry.key + entry.value);
        (
            self.bytes.get(entry.start..middle).unwrap_or_default(),
            self.bytes.get(middle..end).unwrap_or_default(),
        )
    }
}

/// The entries of a [`Metadata`], in order; see [`Metadata::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    metadata: &'a Metadata,
    next: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.metadata.entries.get(self.next)?;
        self.next += 1;
        let (key, value) = self.metadata.at(*entry);
        Some((text(key), typed(key, value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.metadata.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Metadata {
    type Item = (&'a str, Value<'a>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The same entries in the same order.
impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        // Without gaps, equal bytes and equal lengths are equal entries.
        self.entries == other.entries && self.bytes == other.bytes
    }
}

impl Eq for Metadata {}

/// `[key: "value", key-bin: 00ff]`.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, (key, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{key}: ")?;
            match value {
                Value::Ascii(text) => write!(f, "{text:?}")?,
                Value::Bin(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?,
            }
        }
        f.write_str("]")
    }
}

/// Room for the first few entries: one allocation for most maps.
const FIRST: usize = 96;

fn typed<'a>(key: &[u8], value: &'a [u8]) -> Value<'a> {
    if is_binary(key) { Value::Bin(value) } else { Value::Ascii(text(value)) }
}

/// All text is UTF-8 when it is stored.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
