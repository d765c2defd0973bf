//! What a connection tells its user.

use super::super::grant::{Heard, Taker};
use super::super::hpack::Fields;
use super::super::types::{Key, Reason};

/// The user's ear: called from within the connection, so it must not call back.
/// Nothing is told of a stream after `reset`, `unprocessed` or `forget`.
pub(crate) trait Sink {
    /// A request on a server (the key is new), the response head on a client. Fields beyond the
    /// limit are gone: `fields.overflowed()`. `end`: nothing follows. Of a request: who takes its messages.
    fn headers(&mut self, key: Key, fields: &Fields, end: bool) -> Taker;
    /// The peer's half ends with these.
    fn trailers(&mut self, key: Key, fields: &Fields);
    /// A 1xx head was skipped.
    fn informational(&mut self, _key: Key) {}
    /// A piece of the body, cut anywhere; empty only with `end`. What it came to is for flow control.
    fn data(&mut self, key: Key, payload: &[u8], end: bool) -> Heard;
    /// The long message that has begun may come whole.
    fn granted(&mut self, _key: Key) {}
    /// The stream is over, both halves.
    fn reset(&mut self, key: Key, reason: Reason, by_peer: bool, cause: &'static str);
    /// The stream is over and the peer did nothing with it: safe to retry. `refused`: it said so by RST_STREAM, else by
    /// GOAWAY, which was told before.
    fn unprocessed(&mut self, key: Key, refused: bool);
    /// The send queue has fallen to the mark after having been above.
    fn writable(&mut self, key: Key);
    /// A stream may be opened again.
    fn room(&mut self);
    /// The peer's first SETTINGS are in.
    fn ready(&mut self);
    /// No new streams on this connection: the peer says so, or the ids are used up.
    fn goaway(&mut self, reason: Reason, debug: &[u8]);
    /// The connection is over: every stream not yet ended ends here. Called once.
    fn lost(&mut self, reason: Reason, cause: &str);
}
