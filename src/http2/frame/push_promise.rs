//! PUSH_PROMISE (RFC 9113 §6.6, §8.4): always refused, never sent.

use super::head::Head;
use crate::http2::error::Error;

/// The answer to any PUSH_PROMISE, whichever side we are.
///
/// "A client cannot push. Thus, servers MUST treat the receipt of a PUSH_PROMISE
/// frame as a connection error of type PROTOCOL_ERROR" (§8.4), and our clients
/// announce SETTINGS_ENABLE_PUSH 0: "An endpoint that has set this setting and has
/// received acknowledgment MUST treat the receipt of a PUSH_PROMISE frame as a
/// connection error of type PROTOCOL_ERROR" (§6.6). A server that pushes before
/// its acknowledgement is treated alike; the promised block would have to be
/// decoded and a stream refused for every one.
pub(crate) fn refuse(_head: &Head) -> Error {
    Error::protocol("PUSH_PROMISE")
}
