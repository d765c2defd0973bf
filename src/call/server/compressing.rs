//! How a call is compressed: its responses, and its requests as they came.
//!
//! What responses are compressed by stands in the head, so it is fixed with that: by whoever claims it. No lock.

use bytes::Bytes;

use super::ServerCall;
use crate::call::{self, Outbox, Sends};
use crate::codec::Codec;
use crate::compression::{Compression, Encoding};
use crate::reactor::spares;
use crate::status::Status;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::wire::framing::Message;

/// See the module.
pub(super) struct Compressing {
    /// What responses are compressed by, as the number of an [`Encoding`]; with [`FIXED`], once the head says it or is about to.
    encoding: AtomicU32,
    /// The next response goes out as it is; known to the outbox, once there is one.
    plain_next: AtomicBool,
    /// How the request came that was decoded last.
    request_compressed: AtomicBool,
}

/// A call's encoding changes no more.
const FIXED: u32 = 1 << 8;

impl Compressing {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self {
            encoding: AtomicU32::new(encoding.number().into()),
            plain_next: AtomicBool::new(false),
            request_compressed: AtomicBool::new(false),
        }
    }

    /// False: it is too late.
    fn set(&self, encoding: Encoding) -> bool {
        let number = u32::from(encoding.number());
        let changed = |old| (old & FIXED == 0).then_some(number);
        self.encoding.fetch_update(Ordering::AcqRel, Ordering::Acquire, changed).is_ok()
    }

    /// What responses are compressed by, which does not change from here on.
    pub(super) fn fix(&self) -> Encoding {
        let number = self.encoding.fetch_or(FIXED, Ordering::AcqRel) & !FIXED;
        Encoding::of(u8::try_from(number).unwrap_or_default())
    }

    /// What they are compressed by so far.
    pub(super) fn encoding(&self) -> Encoding {
        let number = self.encoding.load(Ordering::Acquire) & !FIXED;
        Encoding::of(u8::try_from(number).unwrap_or_default())
    }

    /// The outbox is told what has been said of the next message.
    pub(super) fn hand_over(&self, outbox: &Outbox) {
        if self.plain_next.swap(false, Ordering::AcqRel) {
            outbox.plain_next();
        }
    }
}

impl ServerCall {
    /// Decodes a request, compressed or not. Runs code of the user's.
    pub(crate) fn read<T>(
        &self,
        codec: &(impl Codec<T> + ?Sized),
        message: Message,
    ) -> Result<T, Status> {
        spares::decode(codec, self.unpack(message)?)
    }

    /// A request as it is, compressed or not.
    pub(crate) fn unpack(&self, message: Message) -> Result<Bytes, Status> {
        let encodings = self.stream.link().terms().encodings();
        if !self.head.encoding.is_identity() {
            let compressed = !message.encoding.is_identity();
            self.compressing.request_compressed.store(compressed, Ordering::Relaxed);
        }
        call::unpack(message, encodings, self.rules.receive_limit)
    }

    pub(crate) fn request_was_compressed(&self) -> bool {
        self.compressing.request_compressed.load(Ordering::Relaxed)
    }

    /// What responses are compressed by from now on, if the client takes it. An error: it is too late, or not known.
    pub(crate) fn set_compression(&self, compression: Compression) -> Result<(), Status> {
        let terms = self.stream.link().terms();
        match self.compressing.set(terms.within(compression, self.head.accepts)?) {
            true => Ok(()),
            false => Err(Status::internal(
                "the compression is set before the initial metadata is sent, or a message",
            )),
        }
    }

    /// The next response is not compressed.
    pub(crate) fn disable_next_message_compression(&self) {
        self.compressing.plain_next.store(true, Ordering::Release);
        // One that is made meanwhile looks after itself.
        if let Some(outbox) = self.outbox.get() {
            self.compressing.hand_over(outbox);
        }
    }

    /// The one response, with its prefix: what it is compressed by does not change from here on.
    pub(in crate::call) fn frame_packed<T: 'static>(
        &self,
        codec: &dyn Codec<T>,
        message: &T,
    ) -> Result<Bytes, Status> {
        let encoding = self.compressing.fix();
        let plain =
            !encoding.is_identity() && self.compressing.plain_next.swap(false, Ordering::AcqRel);
        let encoding = if plain { Encoding::IDENTITY } else { encoding };
        let sends = Sends { limit: self.rules.send_limit, encoding };
        call::frame(codec, message, sends, self.stream.link().terms().encodings())
    }
}
