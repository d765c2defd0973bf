//! HEADERS (RFC 9113 §6.2): opens a stream, or answers it, or ends it.

use super::continuation::Continuation;
use super::head::{Head, Kind, flag};
use super::priority;
use crate::http2::error::Error;

/// The first frame of a header block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Headers<'a> {
    /// The stream, never 0.
    pub(crate) stream: u32,
    /// The sender's half ends with this block.
    pub(crate) end_stream: bool,
    /// The block is whole; else CONTINUATION follows at once.
    pub(crate) end_headers: bool,
    /// The block or its beginning, without padding and priority.
    pub(crate) fragment: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Reads the payload; priority is validated and dropped.
    pub(crate) fn parse(head: &Head, payload: &'a [u8]) -> Result<Self, Error> {
        // "If a HEADERS frame is received whose Stream Identifier field is 0x00,
        // the recipient MUST respond with a connection error of type
        // PROTOCOL_ERROR" (§6.2).
        if head.stream == 0 {
            return Err(Error::protocol("HEADERS on stream 0"));
        }
        let (mut rest, mut padding) = (payload, 0);
        if head.has(flag::PADDED) {
            let Some((&first, tail)) = rest.split_first() else {
                return Err(Error::size("padded HEADERS without a pad length"));
            };
            (rest, padding) = (tail, usize::from(first));
        }
        if head.has(flag::PRIORITY) {
            let Some((fields, tail)) = rest.split_first_chunk() else {
                return Err(Error::size("HEADERS too short for its priority"));
            };
            priority::check(head.stream, fields)?;
            rest = tail;
        }
        // "If the length of the padding is greater than the length of the
        // remaining payload, the recipient MUST treat this as a connection error
        // of type PROTOCOL_ERROR" (§6.2).
        let Some(fragment) = rest.len().checked_sub(padding).and_then(|n| rest.get(..n)) else {
            return Err(Error::protocol("HEADERS padding longer than the frame"));
        };
        Ok(Self {
            stream: head.stream,
            end_stream: head.has(flag::END_STREAM),
            end_headers: head.has(flag::END_HEADERS),
            fragment,
        })
    }

    /// Appends the frame; `fragment` must fit the peer's MAX_FRAME_SIZE.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut flags = 0;
        if self.end_stream {
            flags |= flag::END_STREAM;
        }
        if self.end_headers {
            flags |= flag::END_HEADERS;
        }
        let len = self.fragment.len() as u32;
        Head { len, kind: Kind::HEADERS, flags, stream: self.stream }.encode(out);
        out.extend_from_slice(self.fragment);
    }
}

/// Appends a whole header block: HEADERS, and CONTINUATION frames as far as
/// `max_frame_size` (the peer's) demands them. They must stay together on the
/// wire (§6.10), so this is one append.
pub(crate) fn encode_block(
    out: &mut Vec<u8>,
    stream: u32,
    block: &[u8],
    end_stream: bool,
    max_frame_size: u32,
) {
    let room = max_frame_size.max(1) as usize;
    let (fragment, mut rest) = block.split_at(block.len().min(room));
    Headers { stream, end_stream, end_headers: rest.is_empty(), fragment }.encode(out);
    while !rest.is_empty() {
        let (fragment, tail) = rest.split_at(rest.len().min(room));
        rest = tail;
        Continuation { stream, end_headers: rest.is_empty(), fragment }.encode(out);
    }
}
