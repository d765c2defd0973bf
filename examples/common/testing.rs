//! What the two interop programs share: the services and messages of `grpc.testing`, from
//! `proto/grpc/testing/test.proto`, and names of metadata.

#![allow(dead_code, reason = "client and server use a part each")]

include!("../generated/grpc.testing.rs");

/// Echoed by the server as initial metadata.
pub(crate) const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
/// Echoed by the server as trailing metadata.
pub(crate) const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";

/// A payload of zeros.
pub(crate) fn zeros(size: usize) -> Option<Payload> {
    Some(Payload { r#type: 0, body: vec![0; size] })
}
