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

/// One message with its prefix: the whole of a request or an answer. A long one gets a kept buffer.
pub(crate) fn frame<T: 'static>(
    codec: &dyn Codec<T>,
    message: &T,
    Sends { limit, encoding }: Sends,
    encodings: &Encodings,
) -> Result<Bytes, Status> {
    // Not reserved when it is too much for the limit, or for the machine: it is what a user's codec says.
    let hint = framing::PREFIX.saturating_add(codec.size_hint(message).min(limit));
    let mut framed = spares::buffer(hint);
    let _ = framed.try_reserve(hint);
    framing::encode_reserved(codec, message, limit, &mut framed)?;
    if !encoding.is_identity() {
        packing::pack(&mut framed, encoding, encodings)?;
    }
    Ok(framed.into())
}
