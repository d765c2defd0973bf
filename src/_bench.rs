//! What the programs under `benches/` may reach of the inside, behind the feature `_internals`.
//!
//! Owns plain faces for pure parts (octets in, counts out). It is no part of the public API and may change with every release.

use bytes::Bytes;

use crate::codec::Raw;
use crate::http2::frame::head::{Head, Kind};
use crate::http2::frame::{HEAD_LEN, data, headers};
use crate::http2::hpack::{Decoder, Fields, encode};
use crate::wire::framing::{self, Assembler, Messages};

/// The frames of a unary request: HEADERS, then DATA that ends the stream.
pub fn encode_request_frames(stream: u32, block: &[u8], body: &[u8], out: &mut Vec<u8>) {
    headers::encode_block(out, stream, block, false, 16_384);
    let len = u32::try_from(body.len()).unwrap_or(0);
    data::encode_head(out, stream, len, true);
    out.extend_from_slice(body);
}

/// Walks over whole frames; tells how many octets of field blocks and data were in them.
pub fn scan_frames(mut input: &[u8]) -> usize {
    let mut octets = 0;
    while let Some((head, rest)) = input.split_first_chunk::<HEAD_LEN>() {
        let head = Head::parse(head);
        let Some((payload, rest)) = rest.split_at_checked(head.len as usize) else { break };
        if head.check(16_384).is_err() {
            break;
        }
        octets += match head.kind {
            Kind::HEADERS => {
                headers::Headers::parse(&head, payload).map_or(0, |headers| headers.fragment.len())
            }
            Kind::DATA if data::check(&head).is_ok() => payload.len(),
            _ => 0,
        };
        input = rest;
    }
    octets
}

/// The field block of a request as this library sends it.
pub fn encode_request_block(path: &str, authority: &str, out: &mut Vec<u8>) {
    use encode::index;
    encode::indexed(out, index::METHOD_POST);
    encode::indexed(out, index::SCHEME_HTTP);
    encode::literal_static_name(out, index::PATH, path.as_bytes());
    encode::literal_static_name(out, index::AUTHORITY, authority.as_bytes());
    encode::literal(out, b"te", b"trailers");
    encode::literal_static_name(out, index::CONTENT_TYPE, b"application/grpc");
    encode::literal_static_name(out, index::USER_AGENT, b"grpc-threads/0.1.0");
}

/// The receiving end of HPACK.
#[derive(Debug)]
pub struct FieldReader {
    decoder: Decoder,
    fields: Fields,
}

impl Default for FieldReader {
    fn default() -> Self {
        Self { decoder: Decoder::new(16 << 10, 256), fields: Fields::new() }
    }
}

impl FieldReader {
    /// Decodes a block; tells how many fields it had, 0 for one that is malformed.
    pub fn read(&mut self, block: &[u8]) -> usize {
        self.fields.clear();
        self.decoder.decode(block, &mut self.fields).map_or(0, |()| self.fields.len())
    }
}

/// Appends a message with its prefix.
pub fn encode_message(message: &Bytes, out: &mut Vec<u8>) {
    // Only a message beyond its limit is refused, and this one has none.
    let _ = framing::encode(&Raw, message, usize::MAX, out);
}

/// The receiving end of message framing.
#[derive(Debug)]
pub struct MessageReader {
    assembler: Assembler,
    messages: Messages,
}

impl Default for MessageReader {
    fn default() -> Self {
        Self { assembler: Assembler::new(4 << 20), messages: Messages::default() }
    }
}

impl MessageReader {
    /// Takes the payload of a DATA frame; tells how many octets of whole messages came out.
    pub fn read(&mut self, payload: &[u8]) -> usize {
        let mut octets = 0;
        if self.assembler.feed(payload).is_ok() {
            self.assembler.take(&mut self.messages);
            while let Some(message) = self.messages.next() {
                octets += message.bytes.len();
            }
        }
        octets
    }
}
