//! DATA (RFC 9113 §6.1): bytes of a message.
//!
//! The payload is never collected here. The connection hands it on piece by
//! piece and needs to know only where it lies: [`Layout`].

use super::head::{Head, Kind, flag};
use crate::http2::error::Error;

/// How the payload of one DATA frame is divided. The sum of the three parts is
/// `head.len`, and all of it counts against the flow-control windows (§6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// 1 when a pad length stands first, else 0.
    pub(crate) prefix: u32,
    /// Octets of data.
    pub(crate) data: u32,
    /// Octets of padding after them.
    pub(crate) padding: u32,
}

impl Layout {
    /// Needs the first octet of the payload when [`padded`] says so; `first` is
    /// ignored otherwise. Call [`check`] before.
    pub(crate) fn parse(head: &Head, first: u8) -> Result<Self, Error> {
        if !padded(head) {
            return Ok(Self { prefix: 0, data: head.len, padding: 0 });
        }
        // "If the length of the padding is the length of the frame payload or
        // greater, the recipient MUST treat this as a connection error of type
        // PROTOCOL_ERROR" (§6.1).
        let padding = u32::from(first);
        match head.len.checked_sub(padding + 1) {
            Some(data) => Ok(Self { prefix: 1, data, padding }),
            None => Err(Error::protocol("DATA padding longer than the frame")),
        }
    }
}

/// Refuses a DATA frame from its head alone.
pub(crate) fn check(head: &Head) -> Result<(), Error> {
    // "If a DATA frame is received whose Stream Identifier field is 0x00, the
    // recipient MUST respond with a connection error of type PROTOCOL_ERROR" (§6.1).
    if head.stream == 0 {
        return Err(Error::protocol("DATA on stream 0"));
    }
    if padded(head) && head.len == 0 {
        return Err(Error::size("padded DATA without a pad length"));
    }
    Ok(())
}

/// Does the payload begin with a pad length?
pub(crate) fn padded(head: &Head) -> bool {
    head.has(flag::PADDED)
}

/// Does the sender's half end with this frame?
pub(crate) fn end_stream(head: &Head) -> bool {
    head.has(flag::END_STREAM)
}

/// Appends the head of a DATA frame; the caller appends `len` octets.
pub(crate) fn encode_head(out: &mut Vec<u8>, stream: u32, len: u32, end_stream: bool) {
    let flags = if end_stream { flag::END_STREAM } else { 0 };
    Head { len, kind: Kind::DATA, flags, stream }.encode(out);
}
