//! Where TLS will stand: a second pure machine in series, octets to octets.
//!
//! The link opens what it reads before the connection sees it, and seals what the connection gives before it is
//! written. [`Plain`] is all there is for now: it has no state, and both its methods come down to nothing.

use std::borrow::Cow;

/// Turns plain octets into what goes over the wire and back. No socket, no clock.
///
/// Who opens has the exclusive right to read and who seals holds the baton, so each direction
/// has one caller at a time. Neither is called under the link's lock.
pub(crate) trait Seal: Send + Sync {
    /// Turns the plain octets in `out` into what goes over the wire.
    fn seal(&self, out: &mut Vec<u8>);

    /// The plain octets in what came in.
    fn open<'a>(&self, wire: &'a [u8]) -> Cow<'a, [u8]>;
}

/// No encryption.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

impl Seal for Plain {
    #[inline]
    fn seal(&self, _: &mut Vec<u8>) {}

    #[inline]
    fn open<'a>(&self, wire: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(wire)
    }
}
