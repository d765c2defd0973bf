//! Which encodings one side has: their names in headers, in both directions.
//!
//! § `doc/PROTOCOL-HTTP2.md`: "Message-Encoding → "grpc-encoding" Content-Coding", "Message-Accept-Encoding →
//! "grpc-accept-encoding" Content-Coding *("," Content-Coding)". Names are compared as they are: gRPC servers take
//! no other spelling, and a list has no q values.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use crate::error::{ConfigError, ConfigErrorKind};

use super::{Compression, Compressor, IDENTITY};

/// One of the encodings of a side: its number there. The default is identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encoding(u8);

impl Encoding {
    pub(crate) const IDENTITY: Self = Self(0);

    /// Its number.
    pub(crate) fn number(self) -> u8 {
        self.0
    }

    /// The one of this number.
    pub(crate) fn of(number: u8) -> Self {
        Self(number)
    }

    pub(crate) fn is_identity(self) -> bool {
        self == Self::IDENTITY
    }
}

/// Those of our encodings that a peer has listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted(u16);

impl Accepted {
    /// Of a peer that has said nothing.
    pub(crate) const ALL: Self = Self(u16::MAX);

    pub(crate) fn takes(self, encoding: Encoding) -> bool {
        encoding.is_identity() || self.0 & bit(encoding) != 0
    }

    pub(crate) fn join(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

/// Identity is implied by every list, and has none.
fn bit(encoding: Encoding) -> u16 {
    1 << encoding.0
}

/// How an encoding is done.
#[derive(Clone)]
pub(crate) enum How {
    #[cfg(feature = "gzip")]
    Built(super::Form),
    Custom(Arc<dyn Compressor>),
}

struct Entry {
    name: Box<str>,
    how: How,
    /// What comes in it is taken.
    accepted: bool,
}

/// The encodings of a channel or a server. Made once; read from then on.
pub(crate) struct Encodings {
    /// That of number one comes first.
    entries: Vec<Entry>,
    /// What is taken, as a header says it.
    announced: Box<str>,
    /// The same, for who says it to us.
    own: Accepted,
}

/// So many names fit into the bits of [`Accepted`].
const MOST: usize = 14;

impl Encodings {
    /// What is built in, then what the program has; `accept`: what is taken of them, in this order, instead of all.
    pub(crate) fn new(
        custom: &[Arc<dyn Compressor>],
        accept: Option<&[Compression]>,
    ) -> Result<Self, ConfigError> {
        let mut entries = built_in();
        for compressor in custom {
            let (name, how) = (checked(compressor.name())?, How::Custom(compressor.clone()));
            match entries.iter_mut().find(|entry| entry.name == name) {
                Some(entry) if matches!(entry.how, How::Custom(_)) => {
                    return Err(wrong(format!("two compressors are called {name:?}")));
                }
                Some(entry) => entry.how = how,
                None => entries.push(Entry { name, how, accepted: true }),
            }
        }
        if entries.len() > MOST {
            return Err(wrong(format!(
                "{} compressors, and there is room for {MOST}",
                entries.len()
            )));
        }
        let mut order: Vec<usize> = (0..entries.len()).collect();
        if let Some(accept) = accept {
            order = chosen(&mut entries, accept)?;
        }
        let names: Vec<&str> =
            order.iter().filter_map(|at| entries.get(*at)).map(|entry| &*entry.name).collect();
        // Without blanks: grpc-js takes " gzip" for a name of its own. `identity` goes without saying, unless it is all.
        let announced = if names.is_empty() { IDENTITY.into() } else { names.join(",").into() };
        let mut this = Self { entries, announced, own: Accepted::default() };
        this.own = this.scan(this.announced.as_bytes());
        Ok(this)
    }

    /// What is taken, as `grpc-accept-encoding` says it.
    pub(crate) fn announced(&self) -> &str {
        &self.announced
    }

    /// The encoding of a `grpc-encoding` that a peer has sent. `None`: it is unknown, or not taken.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Encoding> {
        if name == IDENTITY.as_bytes() {
            return Some(Encoding::IDENTITY);
        }
        let (entry, encoding) = self.named(name)?;
        entry.accepted.then_some(encoding)
    }

    /// Which of ours a `grpc-accept-encoding` lists: one line of it, where there are several.
    pub(crate) fn accepted(&self, list: &[u8]) -> Accepted {
        // Most peers of ours are ours.
        if list == self.announced.as_bytes() { self.own } else { self.scan(list) }
    }

    fn scan(&self, list: &[u8]) -> Accepted {
        let names = list.split(|octet| *octet == b',').map(<[u8]>::trim_ascii);
        let known = names.filter_map(|name| self.named(name));
        Accepted(known.fold(0, |bits, (_, encoding)| bits | bit(encoding)))
    }

    /// What is to be sent in; `None`: there is no compressor of this name.
    pub(crate) fn asked(&self, compression: Compression) -> Option<Encoding> {
        match compression {
            Compression::None => Some(Encoding::IDENTITY),
            other => Some(self.named(other.name().as_bytes())?.1),
        }
    }

    /// [`asked`](Self::asked), for what is set up.
    pub(crate) fn configured(&self, compression: Compression) -> Result<(), ConfigError> {
        match self.asked(compression) {
            Some(_) => Ok(()),
            None => Err(wrong(unknown(compression, Side::Builder))),
        }
    }

    /// Its name; identity has none.
    pub(crate) fn name(&self, encoding: Encoding) -> Option<&str> {
        Some(&self.entry(encoding)?.name)
    }

    /// How it is done; identity is not.
    pub(crate) fn how(&self, encoding: Encoding) -> Option<&How> {
        Some(&self.entry(encoding)?.how)
    }

    /// What is the program's own, to be dropped where that may be.
    pub(crate) fn take_custom(&mut self) -> Vec<Arc<dyn Compressor>> {
        let custom = |entry: Entry| match entry.how {
            How::Custom(compressor) => Some(compressor),
            #[cfg(feature = "gzip")]
            How::Built(_) => None,
        };
        std::mem::take(&mut self.entries).into_iter().filter_map(custom).collect()
    }

    fn entry(&self, encoding: Encoding) -> Option<&Entry> {
        self.entries.get(usize::from(encoding.0).checked_sub(1)?)
    }

    fn named(&self, name: &[u8]) -> Option<(&Entry, Encoding)> {
        let at = self.entries.iter().position(|entry| entry.name.as_bytes() == name)?;
        Some((self.entries.get(at)?, Encoding(u8::try_from(at).ok()? + 1)))
    }
}

/// Whose compressors they are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// Of what is being built.
    Builder,
    Channel,
    Server,
}

/// What is said of a compression that nobody has registered, and how it is.
pub(crate) fn unknown(compression: Compression, side: Side) -> String {
    let (place, how) = match side {
        Side::Builder => ("this builder", "its compressor()"),
        Side::Channel => ("this channel", "ChannelBuilder::compressor"),
        Side::Server => ("this server", "ServerBuilder::compressor"),
    };
    format!("{place} has no compressor {:?}: {how} registers one", compression.name())
}

impl fmt::Debug for Encodings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encodings").field(&self.announced).finish()
    }
}

impl Default for Encodings {
    /// What is built in.
    fn default() -> Self {
        let none = Self { entries: Vec::new(), announced: IDENTITY.into(), own: Accepted(0) };
        Self::new(&[], None).unwrap_or(none)
    }
}

/// Gzip first: all peers that compress have it.
fn built_in() -> Vec<Entry> {
    #[cfg(feature = "gzip")]
    return [("gzip", super::Form::Gzip), ("deflate", super::Form::Zlib)]
        .map(|(name, form)| Entry { name: name.into(), how: How::Built(form), accepted: true })
        .into();
    #[cfg(not(feature = "gzip"))]
    Vec::new()
}

/// Takes what is listed, and no more: where it stands.
fn chosen(entries: &mut [Entry], accept: &[Compression]) -> Result<Vec<usize>, ConfigError> {
    entries.iter_mut().for_each(|entry| entry.accepted = false);
    let mut order = Vec::new();
    for &compression in accept.iter().filter(|one| **one != Compression::None) {
        let at = entries.iter().position(|entry| &*entry.name == compression.name());
        let place = at.and_then(|at| Some((at, entries.get_mut(at)?)));
        let Some((at, entry)) = place else {
            return Err(wrong(unknown(compression, Side::Builder)));
        };
        if !std::mem::replace(&mut entry.accepted, true) {
            order.push(at);
        }
    }
    Ok(order)
}

fn checked(name: &str) -> Result<Box<str>, ConfigError> {
    let legal =
        |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'.');
    if name.is_empty() || name == IDENTITY || !name.bytes().all(legal) {
        return Err(wrong(format!(
            "compressor {name:?}: a name has lower-case letters, digits, - _ and . only, and is not \"identity\""
        )));
    }
    Ok(name.into())
}

fn wrong(text: String) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Option, text)
}

/// A buffer that takes no more than so many octets.
pub(crate) struct Limited {
    octets: Vec<u8>,
    limit: usize,
    overflowed: bool,
}

impl Limited {
    /// `octets`: what is there already, which does not count.
    pub(crate) fn new(octets: Vec<u8>, limit: usize) -> Self {
        let limit = limit.saturating_add(octets.len());
        Self { octets, limit, overflowed: false }
    }

    /// What it has taken. `None`: it was given more, whatever its writer made of the error.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.overflowed).then_some(self.octets)
    }
}

impl Write for Limited {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let len = self.octets.len().saturating_add(octets.len());
        if self.overflowed || len > self.limit {
            self.overflowed = true;
            return Err(io::Error::other("the message is longer than its limit"));
        }
        if len > self.octets.capacity() {
            let capacity = (self.octets.capacity() * 2).min(self.limit).max(len);
            let more = capacity - self.octets.len();
            self.octets.try_reserve_exact(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
        }
        self.octets.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
