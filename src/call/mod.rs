//! One call, on either side: messages over a stream of a link.
//!
//! [`Inbox`] and [`Outbox`] are the two halves and know neither role. They own
//! message framing, the send limit, window credit and corking; they ignore
//! methods, handlers, connectivity and retries. No thread and no lock above the
//! link's, except the outbox's own.

mod answer;
pub(crate) mod client;
mod end_hooks;
pub(crate) mod events;
mod extensions;
mod gate;
mod handover;
mod hooks;
mod inbox;
mod intercept;
mod intercepted;
mod listened;
mod listening;
mod outbox;
mod packing;
mod place;
mod rewriter;
pub(crate) mod server;

use bytes::Bytes;

use crate::codec::Codec;
use crate::compression::{Encoding, Encodings};
use crate::reactor::spares;
use crate::status::Status;
use crate::wire::framing;

pub(crate) use end_hooks::EndHooks;
pub use events::{Flow, RecvMessage, SendMessage};
pub use extensions::Extensions;
pub(crate) use handover::{Handover, Refused};
pub(crate) use hooks::{By, Line};
pub use hooks::{Emit, StreamHooks};
pub(crate) use inbox::{Finish, Inbox, Next};
pub(crate) use intercept::Direction;
pub(crate) use listening::Answering;
pub use listening::{SendInitialMetadata, SendTrailingMetadata};
pub(crate) use outbox::{Outbox, SendError};
pub(crate) use packing::unpack;
pub(crate) use place::Place;
pub(crate) use rewriter::Rewriter;

/// What goes for the messages that are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sends {
    /// The longest message, in octets, as it is before it is compressed.
    pub(crate) limit: usize,
    /// What they are compressed by.
    pub(crate) encoding: Encoding,
}

impl Sends {
    /// Of a call that sends none.
    pub(crate) const NONE: Self = Self { limit: 0, encoding: Encoding::IDENTITY };
}

/// One message with its prefix: the whole of a request or an answer.
pub(crate) fn frame<T: 'static>(
    codec: &dyn Codec<T>,
    message: &T,
    Sends { limit, encoding }: Sends,
    encodings: &Encodings,
) -> Result<Bytes, Status> {
    let hint = codec.size_hint(message);
    if encoding.is_identity() {
        return frame_plain(codec, message, limit, hint);
    }
    let mut framed = spares::buffer(framing::PREFIX.saturating_add(hint.min(limit)));
    framing::reserve(hint, limit, &mut framed);
    framing::encode(codec, message, limit, &mut framed)?;
    packing::pack(&mut framed, encoding, encodings)?;
    Ok(framed.into())
}

/// One message with its prefix, as it is, of which the codec says that it is so long: a long one gets a kept buffer.
pub(crate) fn frame_plain<T: 'static>(
    codec: &dyn Codec<T>,
    message: &T,
    limit: usize,
    hint: usize,
) -> Result<Bytes, Status> {
    let lead = if hint >= framing::LONG { framing::APART } else { 0 };
    // No more than the limit: it is what a user's codec says.
    let hint = hint.min(limit).saturating_add(lead);
    let mut framed = spares::buffer(framing::PREFIX.saturating_add(hint));
    framing::reserve(hint, usize::MAX, &mut framed);
    framed.resize(lead, 0);
    framing::encode(codec, message, limit, &mut framed)?;
    give_back(&mut framed);
    Ok(framing::behind(framed.into(), lead))
}

/// Gives back what a message does not need, where its codec has said far too much, or it was packed: it may wait to be sent, and counts
/// for its octets only.
fn give_back(framed: &mut Vec<u8>) {
    if framed.len() < framed.capacity() / 4 {
        framed.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Raw;

    #[test]
    fn a_message_holds_no_more_than_it_needs_whatever_its_codec_says() {
        /// Says that a message is long, and packs well.
        struct Says(usize);

        impl Codec<Bytes> for Says {
            fn encode(&self, message: &Bytes, out: &mut dyn bytes::BufMut) -> Result<(), Status> {
                Raw.encode(message, out)
            }

            fn decode(&self, bytes: Bytes) -> Result<Bytes, Status> {
                Ok(bytes)
            }

            fn size_hint(&self, _: &Bytes) -> usize {
                self.0
            }
        }

        let held = |framed: Bytes| {
            let mut buffer = framed.try_into_mut().unwrap();
            buffer.clear();
            Vec::from(buffer).capacity()
        };
        let message = Bytes::from(vec![0; 20_000]);
        for says in [0, 20_000, 4_000_000, usize::MAX] {
            let framed = frame_plain(&Says(says), &message, 4_000_000, says).unwrap();
            assert_eq!(framed[framing::PREFIX..], message);
            assert!(held(framed) < 4 * 22_000, "{says}");
        }
    }

    #[test]
    fn a_long_message_begins_apart_and_a_short_one_in_front() {
        for (len, lead) in
            [(0, 0), (100, 0), (framing::LONG, framing::APART), (100_000, framing::APART)]
        {
            let message = Bytes::from(vec![7; len]);
            let framed = frame_plain(&Raw, &message, usize::MAX, len).unwrap();
            assert_eq!(
                (framed.len(), &framed[framing::PREFIX..]),
                (framing::PREFIX + len, &message[..])
            );
            let begins = framed.as_ptr();
            // The whole buffer, as it is kept for the next message.
            let mut buffer = framed.try_into_mut().unwrap();
            buffer.clear();
            let buffer = Vec::from(buffer);
            assert_eq!(buffer.as_ptr().wrapping_add(lead), begins, "{len}");
            assert!(buffer.capacity() >= lead + framing::PREFIX + len);
        }
    }
}
