//! HTTP/2 (RFC 9113) with HPACK (RFC 7541), as far as gRPC needs it.
//!
//! Everything here is a function of bytes and time: no socket, no thread, no
//! lock, no clock. Left out on purpose: server push (refused), priorities
//! (parsed, validated and dropped), upgrade from HTTP/1.1, CONNECT.

mod age;
mod batch;
mod conn;
pub(crate) mod error;
pub(crate) mod flow;
pub(crate) mod frame;
mod goaway;
mod grant;
mod guard;
pub(crate) mod hpack;
pub(crate) mod ping;
mod settings;
mod stream;
pub(crate) mod types;

pub(crate) use age::AgeOptions;
pub(crate) use batch::{Batch, SLICES};
#[cfg(feature = "_tls")]
pub(crate) use conn::greeting;
pub(crate) use conn::{Connection, Options, Room, Sink};
#[cfg(test)]
pub(crate) use grant::Claim;
pub(crate) use grant::{DRAINED, Heard, Taker};
pub(crate) use guard::Rate;
pub(crate) use ping::Enforcement;

#[cfg(test)]
pub(crate) mod xorshift;
