//! Header lists: what a request, a response and its trailers say, to fields and back.
//!
//! Written as HPACK blocks without state, so blocks may be made anywhere, kept and
//! sent again. Read from [`Fields`](crate::http2::hpack::Fields) that the connection has checked
//! already: pseudo-headers, upper case, connection headers, `te`,
//! `content-length` (RFC 9113 §8; W16, W17, W19, W73) are its duty. Missing
//! `te: trailers` is nobody's: it is tolerated (W17).
//!
//! Decisions, where the documents leave room or peers differ:
//! - **W10, W12**: what is no gRPC request (another content-type, another method) gets a plain
//!   HTTP answer, 415 or 405 with a line of text and no `grpc-status`. What is one gets
//!   trailers-only with HTTP 200 and a `grpc-status`, also for W15, W16 and W27,
//!   where grpc-go says HTTP 400 beside it: a gRPC client reads the same.
//! - **W11**: sub-types other than `+proto` have no codec, so they are refused as 415.
//! - **W13**: a path is `/service/method`, in one spelling ([`is_method_path`]). All else is UNIMPLEMENTED before any
//!   lookup, and not called.
//! - **W27**: base64 that is none: INTERNAL on either side.
//! - **W28**: text that could not be sent from here is kept; on its way out each octet
//!   outside 0x20-0x7E becomes `?`.
//! - **W30**: lists over our own limit: RESOURCE_EXHAUSTED on either side.

mod intake;
mod path;
mod percent;
mod put;
mod request;
mod response;
mod trailers;

pub(crate) use path::is_method_path;
#[cfg(test)]
pub(crate) use request::tests;
pub(crate) use request::{Refusal, RequestHead, RequestTemplate, Subtype, parse_request, told};
#[cfg(test)]
pub(crate) use response::response_head;
pub(crate) use response::{
    ResponseHead, ResponseTemplate, parse_response, plain_response, response_head_as,
};
#[cfg(test)]
pub(crate) use trailers::trailers_only;
pub(crate) use trailers::{
    Trailers, list_size, parse_trailers, trailers, trailers_only_as, trailers_within,
};

use crate::error::quoted;
use crate::status::{Code, Status};

const ENCODING: &[u8] = b"grpc-encoding";
const ACCEPT_ENCODING: &[u8] = b"grpc-accept-encoding";

/// A list over our own limit (W30).
fn too_large(text: &'static str) -> Status {
    Status::fixed(Code::ResourceExhausted, text)
}

const REQUEST_TOO_LARGE: &str =
    "the request's metadata is larger than the server's limit (its max_metadata_size raises it)";
const HEAD_TOO_LARGE: &str =
    "the response headers are larger than the client's limit (its max_metadata_size raises it)";
const TRAILERS_TOO_LARGE: &str =
    "the trailers are larger than the client's limit (its max_metadata_size raises it)";

/// Beside what is wrong with a peer's trailers, which is nothing that the peer said.
pub(crate) const FOUND_HERE: &str = "found by this side";

/// Metadata under a `-bin` key that is no base64 (W27).
fn bad_binary(name: &[u8]) -> Status {
    Status::internal(format!("received metadata {} is not valid base64", quoted(name)))
}
