//! Frames as values: one file per kind of RFC 9113 §6, each with `parse`, the
//! checks that need nothing but the frame itself, and `encode`.
//!
//! Deliberately ignored: whatever depends on a stream's state, on settings or
//! on what came before (that is the connection's duty), and what a header block
//! means (HPACK's). Unknown kinds have no file: "Implementations MUST ignore and
//! discard frames of unknown types" (RFC 9113 §4.1).
//!
//! `parse(head, payload)` expects the whole payload, `head.len` bytes; a shorter
//! slice is an error and never a panic. DATA alone is never collected: see
//! [`data`]. A parsed frame borrows the payload, nothing is copied.

pub(crate) mod continuation;
pub(crate) mod data;
pub(crate) mod goaway;
pub(crate) mod head;
pub(crate) mod headers;
pub(crate) mod ping;
pub(crate) mod priority;
pub(crate) mod push_promise;
pub(crate) mod rst_stream;
pub(crate) mod settings;
pub(crate) mod window_update;

pub(crate) use continuation::Continuation;
pub(crate) use goaway::GoAway;
pub(crate) use head::{Head, Kind, flag};
pub(crate) use headers::Headers;
pub(crate) use ping::Ping;
pub(crate) use priority::Priority;
pub(crate) use rst_stream::RstStream;
pub(crate) use settings::Settings;
pub(crate) use window_update::WindowUpdate;

/// What a client sends before its first frame (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Octets of every frame's head (RFC 9113 §4.1).
pub(crate) const HEAD_LEN: usize = 9;

/// The smallest and initial SETTINGS_MAX_FRAME_SIZE (RFC 9113 §6.5.2). We never
/// announce a larger one.
pub(crate) const MIN_MAX_FRAME_SIZE: u32 = 16_384;

/// The largest SETTINGS_MAX_FRAME_SIZE: a length has 24 bits (RFC 9113 §6.5.2).
pub(crate) const MAX_MAX_FRAME_SIZE: u32 = (1 << 24) - 1;

/// The largest stream identifier, and the largest window (RFC 9113 §5.1.1, §6.9.1).
pub(crate) const MAX_31: u32 = (1 << 31) - 1;

#[cfg(test)]
mod tests;
