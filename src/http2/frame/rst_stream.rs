//! RST_STREAM (RFC 9113 §6.4): the immediate end of one stream.

use super::head::{Head, Kind};
use crate::http2::error::Error;
use crate::http2::types::Reason;

/// The end of a stream, both halves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RstStream {
    /// The stream, never 0.
    pub(crate) stream: u32,
    /// Why; any number may come in.
    pub(crate) reason: Reason,
}

impl RstStream {
    /// Reads the payload.
    pub(crate) fn parse(head: &Head, payload: &[u8]) -> Result<Self, Error> {
        // "If a RST_STREAM frame is received with a stream identifier of 0x00,
        // the recipient MUST treat this as a connection error of type
        // PROTOCOL_ERROR" (§6.4).
        if head.stream == 0 {
            return Err(Error::protocol("RST_STREAM on stream 0"));
        }
        // "A RST_STREAM frame with a length other than 4 octets MUST be treated
        // as a connection error of type FRAME_SIZE_ERROR" (§6.4).
        let Ok(code) = payload.try_into() else {
            return Err(Error::size("RST_STREAM not of 4 octets"));
        };
        Ok(Self { stream: head.stream, reason: Reason(u32::from_be_bytes(code)) })
    }

    /// Appends the frame.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        Head { len: 4, kind: Kind::RST_STREAM, flags: 0, stream: self.stream }.encode(out);
        out.extend_from_slice(&self.reason.0.to_be_bytes());
    }
}
