//! What the two load programs share: the messages of `bench.Bench`, method names, bodies.

#![allow(dead_code, reason = "client and server use a part each")]

use std::sync::LazyLock;

pub(crate) const SERVICE: &str = "bench.Bench";
/// Answers with a body of `reply_size` bytes.
pub(crate) const UNARY: &str = "/bench.Bench/Unary";
/// Answers with `count` messages, each with a body of `size` bytes.
pub(crate) const SERVER_STREAM: &str = "/bench.Bench/ServerStream";
/// Counts what comes.
pub(crate) const CLIENT_STREAM: &str = "/bench.Bench/ClientStream";
/// Answers each message at once with a body of `reply_size` bytes.
pub(crate) const BIDI: &str = "/bench.Bench/Bidi";

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payload {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) body: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(crate) reply_size: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct StreamReq {
    #[prost(uint32, tag = "1")]
    pub(crate) count: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) size: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Summary {
    #[prost(uint64, tag = "1")]
    pub(crate) count: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) bytes: u64,
}

/// A message with a freshly copied body of `size` bytes, at most 8 MiB.
pub(crate) fn payload(size: usize, reply_size: usize) -> Payload {
    let body = PATTERN[..size.min(PATTERN.len())].to_vec();
    Payload { body, reply_size: u32::try_from(reply_size).unwrap_or(u32::MAX) }
}

// Not all zeros, so that no path gets cheap zero pages.
static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..8u32 << 20).map(|i| (i % 251) as u8).collect());
