//! CONTINUATION (RFC 9113 §6.10): more of a header block.
//!
//! Whether one is due, for which stream, and how many are too many (A5) is known
//! to the connection alone.

use super::head::{Head, Kind, flag};
use crate::http2::error::Error;

/// A further frame of a header block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Continuation<'a> {
    /// The stream, never 0.
    pub(crate) stream: u32,
    /// The block is whole.
    pub(crate) end_headers: bool,
    /// The next piece of the block.
    pub(crate) fragment: &'a [u8],
}

impl<'a> Continuation<'a> {
    /// Reads the payload; there is no padding here.
    pub(crate) fn parse(head: &Head, payload: &'a [u8]) -> Result<Self, Error> {
        // "If a CONTINUATION frame is received with a Stream Identifier field of
        // 0x00, the recipient MUST respond with a connection error of type
        // PROTOCOL_ERROR" (§6.10).
        if head.stream == 0 {
            return Err(Error::protocol("CONTINUATION on stream 0"));
        }
        let end_headers = head.has(flag::END_HEADERS);
        Ok(Self { stream: head.stream, end_headers, fragment: payload })
    }

    /// Appends the frame; `fragment` must fit the peer's MAX_FRAME_SIZE.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flags = if self.end_headers { flag::END_HEADERS } else { 0 };
        let len = self.fragment.len() as u32;
        Head { len, kind: Kind::CONTINUATION, flags, stream: self.stream }.encode(out);
        out.extend_from_slice(self.fragment);
    }
}
