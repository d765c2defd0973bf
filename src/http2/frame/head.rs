//! The nine octets before every payload (RFC 9113 §4.1).

use super::{HEAD_LEN, MAX_31, MAX_MAX_FRAME_SIZE};
use crate::http2::error::Error;

/// The head of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// Octets of the payload, padding included; at most 2^24 - 1.
    pub(crate) len: u32,
    /// What kind of frame follows.
    pub(crate) kind: Kind,
    /// Flags, see [`flag`].
    pub(crate) flags: u8,
    /// The stream, 0 for the whole connection.
    pub(crate) stream: u32,
}

impl Head {
    /// Reads a head. Every value of the nine octets is one.
    pub(crate) fn parse(bytes: &[u8; HEAD_LEN]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            len: u32::from_be_bytes([0, l0, l1, l2]),
            kind: Kind(kind),
            flags,
            // "A reserved 1-bit field. The semantics of this bit are undefined,
            // and the bit [...] MUST be ignored when receiving" (§4.1).
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & MAX_31,
        }
    }

    /// Refuses a length from the head alone, before one byte of the payload is
    /// waited for or stored (A20).
    ///
    /// "An endpoint MUST send an error code of FRAME_SIZE_ERROR if a frame
    /// exceeds the size defined in SETTINGS_MAX_FRAME_SIZE, exceeds any limit
    /// defined for the frame type, or is too small to contain mandatory frame
    /// data" (§4.2). All of it ends the connection: an honest peer never does it,
    /// and resetting streams instead would be a free weapon (A3).
    pub(crate) fn check(&self, max_frame_size: u32) -> Result<(), Error> {
        if self.len > max_frame_size {
            return Err(Error::size("frame longer than MAX_FRAME_SIZE"));
        }
        let fits = match self.kind {
            Kind::PRIORITY => self.len == 5,
            Kind::RST_STREAM | Kind::WINDOW_UPDATE => self.len == 4,
            Kind::PING => self.len == 8,
            Kind::GOAWAY => self.len >= 8,
            Kind::SETTINGS => self.len % 6 == 0,
            _ => true,
        };
        if fits { Ok(()) } else { Err(Error::size("frame of a wrong length for its kind")) }
    }

    /// Is any bit of `flag` set?
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Appends the nine octets.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.len <= MAX_MAX_FRAME_SIZE && self.stream <= MAX_31);
        let [_, l0, l1, l2] = self.len.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        out.extend_from_slice(&[l0, l1, l2, self.kind.0, self.flags, s0, s1, s2, s3]);
    }
}

/// The kind of a frame; a number, since unknown ones must be ignored (§4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind(pub(crate) u8);

impl Kind {
    /// §6.1
    pub(crate) const DATA: Self = Self(0x0);
    /// §6.2
    pub(crate) const HEADERS: Self = Self(0x1);
    /// §6.3
    pub(crate) const PRIORITY: Self = Self(0x2);
    /// §6.4
    pub(crate) const RST_STREAM: Self = Self(0x3);
    /// §6.5
    pub(crate) const SETTINGS: Self = Self(0x4);
    /// §6.6: any kind that has no branch of its own is refused as this one.
    #[cfg(test)]
    pub(crate) const PUSH_PROMISE: Self = Self(0x5);
    /// §6.7
    pub(crate) const PING: Self = Self(0x6);
    /// §6.8
    pub(crate) const GOAWAY: Self = Self(0x7);
    /// §6.9
    pub(crate) const WINDOW_UPDATE: Self = Self(0x8);
    /// §6.10
    pub(crate) const CONTINUATION: Self = Self(0x9);
}

/// Flags. "Unused flags MUST be ignored on receipt" (§4.1).
pub(crate) mod flag {
    /// DATA, HEADERS: the sender's half ends here.
    pub(crate) const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: the answer to one.
    pub(crate) const ACK: u8 = 0x1;
    /// HEADERS, CONTINUATION: the header block ends here.
    pub(crate) const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS: the payload is padded.
    pub(crate) const PADDED: u8 = 0x8;
    /// HEADERS: five octets of priority come first.
    pub(crate) const PRIORITY: u8 = 0x20;
}
