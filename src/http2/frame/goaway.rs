//! GOAWAY (RFC 9113 §6.8): no more streams, or the end of the connection.

use super::MAX_31;
use super::head::{Head, Kind};
use crate::http2::error::Error;
use crate::http2::types::Reason;

/// The announcement that its sender takes no more streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GoAway<'a> {
    /// The highest stream its sender may have acted upon; those above were not.
    pub(crate) last: u32,
    /// Why; any number may come in.
    pub(crate) reason: Reason,
    /// Text for people, of any bytes.
    pub(crate) debug: &'a [u8],
}

impl<'a> GoAway<'a> {
    /// Reads the payload.
    pub(crate) fn parse(head: &Head, payload: &'a [u8]) -> Result<Self, Error> {
        // "An endpoint MUST treat a GOAWAY frame with a stream identifier other
        // than 0x00 as a connection error of type PROTOCOL_ERROR" (§6.8).
        if head.stream != 0 {
            return Err(Error::protocol("GOAWAY on a stream"));
        }
        let Some((&[l0, l1, l2, l3, r0, r1, r2, r3], debug)) = payload.split_first_chunk() else {
            return Err(Error::size("GOAWAY shorter than 8 octets"));
        };
        Ok(Self {
            last: u32::from_be_bytes([l0, l1, l2, l3]) & MAX_31,
            reason: Reason(u32::from_be_bytes([r0, r1, r2, r3])),
            debug,
        })
    }

    /// Appends the frame; of the debug data as much as any peer must accept.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let debug = self.debug.get(..MAX_DEBUG).unwrap_or(self.debug);
        let len = 8 + debug.len() as u32;
        Head { len, kind: Kind::GOAWAY, flags: 0, stream: 0 }.encode(out);
        out.extend_from_slice(&self.last.to_be_bytes());
        out.extend_from_slice(&self.reason.0.to_be_bytes());
        out.extend_from_slice(debug);
    }
}

/// Our debug data is a short ASCII reason.
pub(super) const MAX_DEBUG: usize = 1024;
