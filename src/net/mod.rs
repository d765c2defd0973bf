//! Octets to and from a peer: pipes, listeners, connecting, resolving.
//!
//! A [`Pipe`] never blocks in a read or a write; a thread that wants to sleep until
//! one is possible says so with [`Pipe::wait`], or lets a poller watch it. Nothing
//! here knows HTTP/2. TLS is a pipe over a pipe (`tls`, with the feature of that name).

pub(crate) mod address;
mod bind;
mod connect;
mod endpoint;
mod listen;
#[cfg(any(test, feature = "testing"))]
mod memory;
mod pipe;
mod resolve;
mod socket;
#[cfg(feature = "_tls")]
pub(crate) mod tls;

pub use bind::BindError;
pub use endpoint::Address;

pub(crate) use bind::{Bound, Listening, adopt, bind};
pub(crate) use connect::{Connecting, connect};
pub(crate) use endpoint::Endpoint;
pub(crate) use listen::Listener;
#[cfg(any(test, feature = "testing"))]
pub(crate) use memory::MemoryPipe;
#[cfg(feature = "testing")]
pub(crate) use memory::{Flow, Meddler, Rules};
pub(crate) use pipe::{Pipe, Waited};
pub(crate) use resolve::resolve;
pub(crate) use socket::SocketPipe;

pub(crate) use crate::reactor::Interest;

/// Whether who has this address is on this machine. An IPv4 address may be written as one of IPv6.
pub(crate) fn is_loopback(address: &std::net::SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
