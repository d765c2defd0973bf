//! PRIORITY (RFC 9113 §6.3, §5.3.2): a scheme that RFC 9113 gave up.
//!
//! It is read, validated and dropped, and never sent: there is no tree to churn
//! (A10).

use super::MAX_31;
use super::head::Head;
use crate::http2::error::Error;

/// A PRIORITY frame. What it says is forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Priority {
    /// The stream, never 0. It may be in any state, idle and closed included.
    pub(crate) stream: u32,
}

impl Priority {
    /// Reads the payload.
    ///
    /// A wrong length is a stream error by §6.3, but may be treated as a
    /// connection error (§5.4.1), and is: the stream may be idle, where no
    /// RST_STREAM is allowed, and a reset per frame would be a weapon (A3).
    pub(crate) fn parse(head: &Head, payload: &[u8]) -> Result<Self, Error> {
        // "If a PRIORITY frame is received with a stream identifier of 0x00, the
        // recipient MUST respond with a connection error of type
        // PROTOCOL_ERROR" (§6.3).
        if head.stream == 0 {
            return Err(Error::protocol("PRIORITY on stream 0"));
        }
        let Ok(fields) = payload.try_into() else {
            return Err(Error::size("PRIORITY not of 5 octets"));
        };
        check(head.stream, fields)?;
        Ok(Self { stream: head.stream })
    }
}

/// Validates the five octets of priority that PRIORITY and HEADERS share.
///
/// "A stream cannot depend on itself. An endpoint MUST treat this as a stream
/// error of type PROTOCOL_ERROR" (RFC 7540 §5.3.1; RFC 9113 leaves it out). It
/// ends the connection here, for the reasons given above (A3, H8).
pub(super) fn check(stream: u32, fields: &[u8; 5]) -> Result<(), Error> {
    let [d0, d1, d2, d3, _weight] = *fields;
    if u32::from_be_bytes([d0, d1, d2, d3]) & MAX_31 == stream {
        return Err(Error::protocol("stream depends on itself"));
    }
    Ok(())
}
