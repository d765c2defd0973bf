//! WINDOW_UPDATE (RFC 9113 §6.9): credit for more DATA.

use super::MAX_31;
use super::head::{Head, Kind};
use crate::http2::error::Error;
use crate::http2::types::Reason;

/// Credit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WindowUpdate {
    /// The stream, or 0 for the whole connection.
    pub(crate) stream: u32,
    /// 1 to 2^31 - 1 octets more.
    pub(crate) increment: u32,
}

impl WindowUpdate {
    /// Reads the payload. The stream error it may give can concern an idle
    /// stream, which must not be reset: the connection looks at that first.
    pub(crate) fn parse(head: &Head, payload: &[u8]) -> Result<Self, Error> {
        // "A WINDOW_UPDATE frame with a length other than 4 octets MUST be treated
        // as a connection error of type FRAME_SIZE_ERROR" (§6.9).
        let Ok(bytes) = payload.try_into() else {
            return Err(Error::size("WINDOW_UPDATE not of 4 octets"));
        };
        let increment = u32::from_be_bytes(bytes) & MAX_31;
        // "A receiver MUST treat the receipt of a WINDOW_UPDATE frame with a
        // flow-control window increment of 0 as a stream error of type
        // PROTOCOL_ERROR; errors on the connection flow-control window MUST be
        // treated as a connection error" (§6.9).
        let cause = "WINDOW_UPDATE of 0";
        match (increment, head.stream) {
            (0, 0) => Err(Error::protocol(cause)),
            (0, id) => Err(Error::stream(id, Reason::PROTOCOL_ERROR, cause)),
            (increment, stream) => Ok(Self { stream, increment }),
        }
    }

    /// Appends the frame.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!((1..=MAX_31).contains(&self.increment));
        Head { len: 4, kind: Kind::WINDOW_UPDATE, flags: 0, stream: self.stream }.encode(out);
        out.extend_from_slice(&self.increment.to_be_bytes());
    }
}
