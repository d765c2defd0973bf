//! What the two load programs share: `bench.Bench` and its messages, from `proto/bench.proto`, and bodies.

#![allow(dead_code, reason = "client and server use a part each")]

use std::sync::LazyLock;

include!("../generated/bench.rs");

/// A message with a freshly copied body of `size` bytes, at most 8 MiB.
pub(crate) fn payload(size: usize, reply_size: usize) -> Payload {
    let body = PATTERN[..size.min(PATTERN.len())].to_vec();
    Payload { body, reply_size: u32::try_from(reply_size).unwrap_or(u32::MAX) }
}

// Not all zeros, so that no path gets cheap zero pages.
static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..8u32 << 20).map(|i| (i % 251) as u8).collect());
