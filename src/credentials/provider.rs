//! The cryptography: which of those that rustls can use.
//!
//! It is always given by name. The one that a process has as its default may be another program part's, or none.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;

#[cfg(not(any(feature = "tls", feature = "tls-aws-lc")))]
compile_error!("the feature tls-webpki-roots needs tls or tls-aws-lc beside it");

#[cfg(feature = "tls-aws-lc")]
use rustls::crypto::aws_lc_rs as chosen;
#[cfg(not(feature = "tls-aws-lc"))]
use rustls::crypto::ring as chosen;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(chosen::default_provider())
}

/// Seals sessions into tickets that clients keep, with keys that change every six hours: a server keeps no memory of them.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    chosen::Ticketer::new()
}

/// Which private keys it loads, to be told to people.
#[cfg(not(feature = "tls-aws-lc"))]
pub(super) const KEYS_TAKEN: &str =
    "taken are RSA of 2048 to 4096 bits, P-256, P-384, and Ed25519 (which grpcio does not take)";
#[cfg(feature = "tls-aws-lc")]
pub(super) const KEYS_TAKEN: &str = "taken are RSA of 2048 to 8192 bits, P-256, P-384, P-521, and \
     Ed25519 (which grpcio does not take)";
