//! TLS: a [`pipe`] over a pipe, once the [`handshake`] is done. A link sees plain octets, and knows nothing of it.
//!
//! Owns when records are sealed, opened, sent and read, and how a handshake goes on without a thread. Ignores whom to trust,
//! and what certificates say (`credentials`); what records are is rustls' ([`session`], the only file that knows its states).
//!
//! § RFC 8446, RFC 5246; RFC 9113 §9.2 ("TLS 1.2 or higher"; the suites that its appendix A forbids are not in rustls).

mod handshake;
mod pipe;
mod queue;
mod renewal;
mod session;
#[cfg(test)]
mod tests;

use rustls::pki_types::ServerName;

use crate::net::address;

#[cfg(all(test, shuttle))]
pub(crate) use handshake::shaken;
pub(crate) use handshake::{Failure, Handshake, Handshakes, Outcome, client, server};
pub(crate) use renewal::Renewals;

/// The name that a server has to show: a host, or an address.
///
/// # Errors
/// With words, what can stand in no certificate.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let host = address::without_zone(host);
    ServerName::try_from(host.to_owned())
        .map_err(|_| format!("{host:?} is no name that a certificate could have"))
}
