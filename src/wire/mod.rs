//! gRPC on HTTP/2, as pure functions: message framing, header lists, and the one
//! table of how calls end.
//!
//! Slices and values in, bytes and values out. No connection, lock, thread or
//! clock. The document is "gRPC over HTTP2" (`doc/PROTOCOL-HTTP2.md`).

pub(crate) mod framing;
pub(crate) mod headers;
pub(crate) mod outcome;
