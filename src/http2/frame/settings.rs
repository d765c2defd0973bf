//! SETTINGS (RFC 9113 §6.5): what its sender can take.

use super::head::{Head, Kind, flag};
use super::{MAX_31, MAX_MAX_FRAME_SIZE, MIN_MAX_FRAME_SIZE};
use crate::http2::error::Error;
use crate::http2::types::{Reason, Role};

/// The values of one SETTINGS frame; `None` is "not mentioned, as before".
///
/// "The values in the SETTINGS frame MUST be processed in the order they appear,
/// with no other frame processing between values" (§6.5.3): none of them has an
/// effect while the frame is read, so the last value of each wins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Settings {
    /// The answer to ours; then there are no values.
    pub(crate) ack: bool,
    /// Size of the dynamic table our encoder may use. It uses none, but has to say so
    /// when this is lowered: see `hpack::encode::no_table`.
    pub(crate) header_table_size: Option<u32>,
    /// May we push? We never do.
    pub(crate) enable_push: Option<bool>,
    /// How many streams we may have open.
    pub(crate) max_concurrent_streams: Option<u32>,
    /// Window of every stream at its start; at most 2^31 - 1.
    pub(crate) initial_window_size: Option<u32>,
    /// Longest payload; 2^14 to 2^24 - 1.
    pub(crate) max_frame_size: Option<u32>,
    /// Advice on the largest field section, name + value + 32 for each field.
    pub(crate) max_header_list_size: Option<u32>,
}

impl Settings {
    /// The acknowledgement.
    pub(crate) fn acknowledgement() -> Self {
        Self { ack: true, ..Self::default() }
    }

    /// Reads the payload. `role` is ours, the receiver's.
    pub(crate) fn parse(head: &Head, payload: &[u8], role: Role) -> Result<Self, Error> {
        // "If an endpoint receives a SETTINGS frame whose Stream Identifier field
        // is anything other than 0x00, the endpoint MUST respond with a
        // connection error of type PROTOCOL_ERROR" (§6.5).
        if head.stream != 0 {
            return Err(Error::protocol("SETTINGS on a stream"));
        }
        if head.has(flag::ACK) {
            // "Receipt of a SETTINGS frame with the ACK flag set and a length
            // field value other than 0 MUST be treated as a connection error of
            // type FRAME_SIZE_ERROR" (§6.5).
            return match payload {
                [] => Ok(Self::acknowledgement()),
                _ => Err(Error::size("SETTINGS acknowledgement with a payload")),
            };
        }
        // "A SETTINGS frame with a length other than a multiple of 6 octets MUST
        // be treated as a connection error of type FRAME_SIZE_ERROR" (§6.5).
        let entries = payload.chunks_exact(ENTRY_LEN);
        if !entries.remainder().is_empty() {
            return Err(Error::size("SETTINGS not a multiple of 6 octets"));
        }
        if entries.len() > MAX_ENTRIES {
            return Err(Error::connection(Reason::ENHANCE_YOUR_CALM, "too many settings"));
        }
        let mut settings = Self::default();
        for entry in entries {
            if let &[i0, i1, v0, v1, v2, v3] = entry {
                let id = u16::from_be_bytes([i0, i1]);
                settings.set(id, u32::from_be_bytes([v0, v1, v2, v3]), role)?;
            }
        }
        Ok(settings)
    }

    /// Takes one value over, checked by §6.5.2.
    fn set(&mut self, id: u16, value: u32, role: Role) -> Result<(), Error> {
        match id {
            HEADER_TABLE_SIZE => self.header_table_size = Some(value),
            ENABLE_PUSH => {
                // "Any value other than 0 or 1 MUST be treated as a connection
                // error of type PROTOCOL_ERROR", and "A client MUST treat receipt
                // of a SETTINGS frame with SETTINGS_ENABLE_PUSH set to 1 as a
                // connection error of type PROTOCOL_ERROR" (§6.5.2).
                if value > 1 {
                    return Err(Error::protocol("ENABLE_PUSH neither 0 nor 1"));
                }
                if value == 1 && role == Role::Client {
                    return Err(Error::protocol("ENABLE_PUSH from a server"));
                }
                self.enable_push = Some(value == 1);
            }
            MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = Some(value),
            INITIAL_WINDOW_SIZE => {
                // "Values above the maximum flow-control window size of 2^31-1
                // MUST be treated as a connection error of type
                // FLOW_CONTROL_ERROR" (§6.5.2).
                if value > MAX_31 {
                    let reason = Reason::FLOW_CONTROL_ERROR;
                    return Err(Error::connection(reason, "INITIAL_WINDOW_SIZE above 2^31-1"));
                }
                self.initial_window_size = Some(value);
            }
            MAX_FRAME_SIZE => {
                // "Values outside this range MUST be treated as a connection
                // error of type PROTOCOL_ERROR" (§6.5.2).
                if !(MIN_MAX_FRAME_SIZE..=MAX_MAX_FRAME_SIZE).contains(&value) {
                    return Err(Error::protocol("MAX_FRAME_SIZE out of range"));
                }
                self.max_frame_size = Some(value);
            }
            MAX_HEADER_LIST_SIZE => self.max_header_list_size = Some(value),
            // "An endpoint that receives a SETTINGS frame with any unknown or
            // unsupported identifier MUST ignore that setting" (§6.5.2).
            _ => {}
        }
        Ok(())
    }

    /// Appends the frame: the values that are `Some`, or the acknowledgement.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let values = [
            (HEADER_TABLE_SIZE, self.header_table_size),
            (ENABLE_PUSH, self.enable_push.map(u32::from)),
            (MAX_CONCURRENT_STREAMS, self.max_concurrent_streams),
            (INITIAL_WINDOW_SIZE, self.initial_window_size),
            (MAX_FRAME_SIZE, self.max_frame_size),
            (MAX_HEADER_LIST_SIZE, self.max_header_list_size),
        ];
        let values = if self.ack { &[][..] } else { &values[..] };
        let count = values.iter().filter(|(_, value)| value.is_some()).count();
        let flags = if self.ack { flag::ACK } else { 0 };
        let len = (count * ENTRY_LEN) as u32;
        Head { len, kind: Kind::SETTINGS, flags, stream: 0 }.encode(out);
        for &(id, value) in values {
            if let Some(value) = value {
                out.extend_from_slice(&id.to_be_bytes());
                out.extend_from_slice(&value.to_be_bytes());
            }
        }
    }
}

/// Octets of one setting.
const ENTRY_LEN: usize = 6;

/// More entries than this in one frame are an attack (A9): six are defined.
pub(super) const MAX_ENTRIES: usize = 32;

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
