//! What one side says in its headers of how messages may be compressed, and what the other has said of it.
//!
//! One for a channel, or for a server, and all its links. Read without a lock.

use std::fmt;

use crate::compression::{Accepted, Compression, Encoding, Encodings, Side, unknown};
use crate::reactor::notify;
use crate::status::Status;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::wire::headers::ResponseTemplate;

/// See the module.
pub(crate) struct Terms {
    encodings: Encodings,
    heads: ResponseTemplate,
    /// On a channel: what its last answer has listed, as the bits of an [`Accepted`]. It is a hint that may be old.
    peer: AtomicU32,
}

impl Terms {
    pub(crate) fn new(encodings: Encodings) -> Self {
        let heads = ResponseTemplate::new(encodings.announced());
        Self { encodings, heads, peer: AtomicU32::new(Accepted::ALL.bits().into()) }
    }

    pub(crate) fn encodings(&self) -> &Encodings {
        &self.encodings
    }

    /// The heads of a server's answers.
    pub(crate) fn heads(&self) -> &ResponseTemplate {
        &self.heads
    }

    /// The server has listed what it takes. A server that lists nothing says nothing: grpc-go does so, and takes gzip.
    pub(super) fn heard(&self, accepted: Accepted) {
        let bits = u32::from(accepted.bits());
        // What is always the same is not written, for all those who read it.
        if self.peer.load(Ordering::Relaxed) != bits {
            self.peer.store(bits, Ordering::Relaxed);
        }
    }

    /// What a client's messages are compressed by: what is asked for, if the server takes that as far as is known.
    ///
    /// § `doc/compression.md`: a client goes by what a server has listed; what it does not take would be UNIMPLEMENTED.
    pub(crate) fn request(&self, asked: Compression) -> Result<Encoding, Status> {
        let bits = u16::try_from(self.peer.load(Ordering::Relaxed)).unwrap_or_default();
        self.within_of(asked, Accepted::from_bits(bits), Side::Channel)
    }

    /// What is asked for of a server, if `accepted` has it; else identity. An error: there is no such compressor.
    #[inline]
    pub(crate) fn within(
        &self,
        asked: Compression,
        accepted: Accepted,
    ) -> Result<Encoding, Status> {
        self.within_of(asked, accepted, Side::Server)
    }

    #[inline]
    fn within_of(
        &self,
        asked: Compression,
        accepted: Accepted,
        side: Side,
    ) -> Result<Encoding, Status> {
        match asked {
            Compression::None => Ok(Encoding::IDENTITY),
            asked => self.known_within(asked, accepted, side),
        }
    }

    fn known_within(
        &self,
        asked: Compression,
        accepted: Accepted,
        side: Side,
    ) -> Result<Encoding, Status> {
        let known = self.encodings.asked(asked);
        let encoding = known.ok_or_else(|| Status::internal(unknown(asked, side)))?;
        Ok(if accepted.takes(encoding) { encoding } else { Encoding::IDENTITY })
    }
}

/// The program's compressors are its own, and the last hold may go on any thread: the notifier drops them.
impl Drop for Terms {
    fn drop(&mut self) {
        let custom = self.encodings.take_custom();
        if !custom.is_empty() {
            notify(Box::new(move || drop(custom)));
        }
    }
}

impl Default for Terms {
    /// What is built in.
    fn default() -> Self {
        Self::new(Encodings::default())
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Terms").field(&self.encodings).finish()
    }
}
