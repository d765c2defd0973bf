//! The cryptography: which of those that rustls can use.
//!
//! It is always given by name. The one that a process has as its default may be another program part's, or none.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;
use rustls::{CipherSuite, SupportedCipherSuite};

#[cfg(not(any(feature = "tls", feature = "tls-aws-lc")))]
compile_error!("the feature tls-webpki-roots needs tls or tls-aws-lc beside it");

#[cfg(feature = "tls-aws-lc")]
use rustls::crypto::aws_lc_rs as chosen;
#[cfg(not(feature = "tls-aws-lc"))]
use rustls::crypto::ring as chosen;

/// With all suites that rustls has, of each version those with AES-128 first, as gRPC and Go do. rustls begins with AES-256
/// and SHA-384: no CPU has instructions for SHA-384 that ring or aws-lc use, and a handshake hashes some forty times.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = chosen::default_provider();
    provider.cipher_suites.sort_by_key(|suite| (suite.tls13().is_none(), !has_aes_128(suite)));
    Arc::new(provider)
}

fn has_aes_128(suite: &SupportedCipherSuite) -> bool {
    matches!(
        suite.suite(),
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
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

#[cfg(test)]
mod tests {
    use rustls::CipherSuite as Suite;

    use super::*;

    #[test]
    fn aes_128_comes_first_of_each_version_and_no_suite_is_lost() {
        let ours = provider();
        let names = |suites: &[SupportedCipherSuite]| -> Vec<Suite> {
            suites.iter().map(SupportedCipherSuite::suite).collect()
        };
        let (ours, mut all) =
            (names(&ours.cipher_suites), names(&chosen::default_provider().cipher_suites));
        assert_eq!(
            ours[..5],
            [
                Suite::TLS13_AES_128_GCM_SHA256,
                Suite::TLS13_AES_256_GCM_SHA384,
                Suite::TLS13_CHACHA20_POLY1305_SHA256,
                Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            ]
        );
        all.retain(|suite| !ours.contains(suite));
        assert_eq!((ours.len(), all), (9, Vec::new()));
    }
}
