//! [`Payload`]: one message between its codec and the wire, as those see it that stand between a stub and a handler and know
//! no types: interceptors and listeners.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use crate::codec::{Codec, Prost};
use crate::status::Status;

/// One message, encoded: without its prefix of five bytes, and not compressed.
///
/// Interceptors are for all methods, so they get messages as bytes; who knows what they are asks for the type, and pays for
/// the decoding. Cheap to clone: the bytes are shared.
///
/// ```
/// use grpc_threads::Payload;
/// # #[derive(Clone, PartialEq, prost::Message)] struct Hello { #[prost(string, tag = "1")] name: String }
///
/// let mut payload = Payload::of(&Hello { name: "you".into() });
/// payload.edit::<Hello>(|hello| hello.name.push('!'))?;
/// assert_eq!(payload.decode::<Hello>()?.name, "you!");
/// # Ok::<(), grpc_threads::Status>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload {
    bytes: Bytes,
}

impl Payload {
    /// A message that is encoded already.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into() }
    }

    /// A prost message, encoded.
    #[must_use]
    pub fn of<M: Message>(message: &M) -> Self {
        Self { bytes: message.encode_to_vec().into() }
    }

    /// A message of any codec, encoded.
    ///
    /// # Errors
    /// What the codec says.
    pub fn with<T>(codec: &impl Codec<T>, message: &T) -> Result<Self, Status> {
        Self::encoded_by(codec, message)
    }

    pub(crate) fn encoded_by<T>(
        codec: &(impl Codec<T> + ?Sized),
        message: &T,
    ) -> Result<Self, Status> {
        let mut out = Vec::with_capacity(codec.size_hint(message).min(1 << 20));
        codec.encode(message, &mut out)?;
        Ok(Self { bytes: out.into() })
    }

    /// The encoded message.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The encoded message, for keeps.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Puts other bytes in its place.
    pub fn set_bytes(&mut self, bytes: impl Into<Bytes>) {
        self.bytes = bytes.into();
    }

    /// The message as one of prost's.
    ///
    /// # Errors
    /// INTERNAL when the bytes are no such message.
    pub fn decode<M: Message + Default>(&self) -> Result<M, Status> {
        self.decode_with(&Prost)
    }

    /// The message as the codec reads it.
    ///
    /// # Errors
    /// What the codec says.
    pub fn decode_with<T>(&self, codec: &impl Codec<T>) -> Result<T, Status> {
        codec.decode(self.bytes.clone())
    }

    /// Decodes, lets `change` change the message, and encodes it again.
    ///
    /// # Errors
    /// INTERNAL when the bytes are no such message; they stay as they were.
    pub fn edit<M: Message + Default>(
        &mut self,
        change: impl FnOnce(&mut M),
    ) -> Result<(), Status> {
        let mut message = self.decode()?;
        change(&mut message);
        *self = Self::of(&message);
        Ok(())
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self { bytes }
    }
}

/// The length only: what a message says is nobody's business in a log.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("len", &self.bytes.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Raw;
    use crate::status::Code;

    #[test]
    fn a_message_that_is_no_such_message_is_internal_and_stays() {
        let mut payload = Payload::new(&b"\x0a\xff"[..]);
        let error = payload.edit::<()>(|()| ()).and(payload.edit::<String>(|_| ())).unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert_eq!(&payload.bytes()[..], b"\x0a\xff");
        assert_eq!(format!("{payload:?}"), "Payload { len: 2 }");
    }

    #[test]
    fn any_codec_may_be_asked() {
        let payload = Payload::with(&Raw, &Bytes::from_static(b"abc")).unwrap();
        assert_eq!(payload.decode_with::<Bytes>(&Raw).unwrap(), "abc");
        assert_eq!(payload, Payload::from(Bytes::from_static(b"abc")));
    }
}
