//! PING (RFC 9113 §6.7): is the peer there, and how far away?

use super::head::{Head, Kind, flag};
use crate::http2::error::Error;

/// A probe or its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ping {
    /// The answer to one of ours.
    pub(crate) ack: bool,
    /// "A sender can include any value it chooses" (§6.7), and the answer repeats it.
    pub(crate) opaque: [u8; 8],
}

impl Ping {
    /// Reads the payload.
    pub(crate) fn parse(head: &Head, payload: &[u8]) -> Result<Self, Error> {
        // "If a PING frame is received with a Stream Identifier field value other
        // than 0x00, the recipient MUST respond with a connection error of type
        // PROTOCOL_ERROR" (§6.7).
        if head.stream != 0 {
            return Err(Error::protocol("PING on a stream"));
        }
        // "Receipt of a PING frame with a length field value other than 8 MUST be
        // treated as a connection error of type FRAME_SIZE_ERROR" (§6.7).
        let Ok(opaque) = payload.try_into() else {
            return Err(Error::size("PING not of 8 octets"));
        };
        Ok(Self { ack: head.has(flag::ACK), opaque })
    }

    /// Appends the frame.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flags = if self.ack { flag::ACK } else { 0 };
        Head { len: 8, kind: Kind::PING, flags, stream: 0 }.encode(out);
        out.extend_from_slice(&self.opaque);
    }
}
