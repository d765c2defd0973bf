//! HPACK (RFC 7541): header blocks to fields and back.
//!
//! The wire format (integers, strings, kinds of fields) is parsed here, over the
//! table of `httlib_hpack` and the Huffman code of `httlib_huffman`. That crate's
//! own decoder never sees a peer's bytes: it panics on truncated blocks, has no
//! limits, takes quadratic time and is lenient where RFC 7541 is not.
//!
//! Deliberately ignored: what a field means, and whether its name or value is
//! legal in HTTP (RFC 9113 §8); that is the connection's duty. The encoder keeps
//! no state at all, so blocks can be made anywhere, in any order, and be cached.

mod decode;
pub(crate) mod encode;
mod fields;

pub(crate) use decode::Decoder;
pub(crate) use fields::{Fields, OVERHEAD};

#[cfg(test)]
mod tests;
