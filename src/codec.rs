//! Messages to bytes and back: [`Codec`], with [`Prost`] for Protocol Buffers
//! and [`Raw`] for bytes as they are.
//!
//! A codec sees one message without its five-byte prefix and uncompressed;
//! framing and compression are the library's.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;

use crate::status::{Code, Status};

/// Turns messages of type `T` into bytes and back.
///
/// One value serves all calls of a method, from any thread at once. Encoding and
/// decoding run on the thread that sends or receives, never under a lock.
///
/// ```
/// use bytes::{BufMut, Bytes};
/// use grpc_threads::{Codec, Status};
///
/// /// Text as UTF-8, with no other framing.
/// struct Text;
///
/// impl Codec<String> for Text {
///     fn encode(&self, message: &String, out: &mut dyn BufMut) -> Result<(), Status> {
///         out.put_slice(message.as_bytes());
///         Ok(())
///     }
///
///     fn decode(&self, bytes: Bytes) -> Result<String, Status> {
///         String::from_utf8(bytes.into()).map_err(|_| Status::internal("the text is not UTF-8"))
///     }
/// }
///
/// let mut out = Vec::new();
/// Text.encode(&"hello".to_string(), &mut out)?;
/// assert_eq!(Text.decode(out.into())?, "hello");
/// # Ok::<(), Status>(())
/// ```
pub trait Codec<T>: Send + Sync + 'static {
    /// Appends the message to `out`. An error ends the call with that status; nothing of the message is sent.
    fn encode(&self, message: &T, out: &mut dyn BufMut) -> Result<(), Status>;

    /// Makes a message of all of `bytes`. An error ends the call with that
    /// status, in front of whose message the library says which side could not decode what of which method; the usual
    /// code for bytes that make no message is `INTERNAL`.
    ///
    /// `bytes` is a slice of a larger receive buffer: a message that keeps a
    /// part of it keeps the whole buffer (at most 64 KiB more than a large message).
    fn decode(&self, bytes: Bytes) -> Result<T, Status>;

    /// The length of the encoded message if it is cheap to tell, for reserving
    /// memory; need not be exact. Zero, the default, is "not known".
    fn size_hint(&self, message: &T) -> usize {
        let _ = message;
        0
    }
}

/// Protocol Buffers through the `prost` crate: the default codec.
///
/// Bytes that are no such message end the call with `INTERNAL`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prost;

impl<T: Message + Default> Codec<T> for Prost {
    fn encode(&self, message: &T, mut out: &mut dyn BufMut) -> Result<(), Status> {
        message
            .encode(&mut out)
            .map_err(|error| Status::internal(format!("a message could not be encoded: {error}")))
    }

    fn decode(&self, bytes: Bytes) -> Result<T, Status> {
        // W39: what the peer sent is no message of this type.
        T::decode(bytes).map_err(|error| {
            let name = short_name(std::any::type_name::<T>());
            Status::internal(format!("a message could not be decoded as {name}: {error}"))
        })
    }

    fn size_hint(&self, message: &T) -> usize {
        message.encoded_len()
    }
}

/// The name of a type without its modules, which are nobody else's affair.
fn short_name(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name).trim_end_matches('>')
}

/// Bytes as they are: for proxies, other encodings and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw;

impl Codec<Bytes> for Raw {
    fn encode(&self, message: &Bytes, out: &mut dyn BufMut) -> Result<(), Status> {
        if out.remaining_mut() < message.remaining() {
            return Err(Status::fixed(Code::Internal, "a message is longer than its buffer"));
        }
        out.put_slice(message);
        Ok(())
    }

    fn decode(&self, bytes: Bytes) -> Result<Bytes, Status> {
        Ok(bytes)
    }

    fn size_hint(&self, message: &Bytes) -> usize {
        message.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Hello {
        #[prost(string, tag = "1")]
        name: String,
    }

    #[test]
    fn prost_messages_come_back() {
        let hello = Hello { name: "you".into() };
        let mut out = Vec::new();
        Prost.encode(&hello, &mut out).unwrap();
        assert_eq!(out.len(), Prost.size_hint(&hello));
        assert_eq!(Codec::<Hello>::decode(&Prost, out.into()).unwrap(), hello);
        assert_eq!(Codec::<Hello>::decode(&Prost, Bytes::new()).unwrap(), Hello::default());
    }

    #[test]
    fn w39_bytes_that_are_no_message_are_internal() {
        let error = Codec::<Hello>::decode(&Prost, Bytes::from_static(b"\x0a\xff")).unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert!(error.message().contains("decoded as Hello: "), "{error}");
        assert_eq!(short_name("a::b::Boxed<c::D>"), "D");
    }

    #[test]
    fn a_buffer_too_small_is_an_error_not_a_panic() {
        let mut small = [0_u8; 2];
        let hello = Hello { name: "you".into() };
        assert_eq!(Prost.encode(&hello, &mut &mut small[..]).unwrap_err().code(), Code::Internal);
        let raw = Bytes::from_static(b"abc");
        assert_eq!(Raw.encode(&raw, &mut &mut small[..]).unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn raw_does_not_copy_what_it_decodes() {
        let bytes = Bytes::from(vec![7; 100]);
        let at = bytes.as_ptr();
        assert_eq!(Raw.decode(bytes).unwrap().as_ptr(), at);
    }
}
