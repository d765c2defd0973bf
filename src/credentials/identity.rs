//! Who a peer has proved to be: grpc's auth context.
//!
//! The names of the properties, their order and their values are those of grpcio's `auth_context()`, of which an
//! authorisation that was written for it can be moved here. Pure: made of what a handshake came to.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

#[cfg(feature = "_tls")]
use super::der::{AlternativeName, Certificate};

/// What is known of a peer, as grpc's `auth_context()` has it: properties, each with one or more values.
///
/// Without TLS there are two: `transport_security_type` is `insecure`, and `security_level` is `TSI_SECURITY_NONE`. On a port
/// with [`local_server_credentials`](super::local_server_credentials) they are `local` and `TSI_PRIVACY_AND_INTEGRITY`.
/// With TLS, in this order and as far as they are known:
///
/// | property | values |
/// |---|---|
/// | `transport_security_type` | `ssl` |
/// | `x509_subject` | the certificate's subject, as RFC 2253 writes it |
/// | `x509_common_name` | the first common name in that; empty if there is none |
/// | `x509_pem_cert` | the certificate as PEM |
/// | `x509_subject_alternative_name` | all of them as text, in the certificate's order |
/// | `peer_uri`, `peer_dns`, `peer_ip`, `peer_email` | the same by kind, the kind first that comes first in the certificate |
/// | `security_level` | `TSI_PRIVACY_AND_INTEGRITY` |
/// | `ssl_session_reused` | `true` or `false` |
/// | `ssl_requested_server_name` | the name that the client asked for (SNI) |
/// | `ssl_tls_version` | `TLSv1.2` or `TLSv1.3` |
/// | `ssl_negotiated_key_exchange_group` | such as `X25519` |
/// | `peer_spiffe_id` | the URI of the certificate, where it is the only one and a SPIFFE ID |
///
/// Those of the certificate are there if the peer has shown one that was verified. Cheap to clone.
///
/// The properties are grpc's: `doc/server-side-auth.md`.
#[derive(Clone)]
pub struct AuthContext(Arc<Known>);

/// The process at the other end of a UNIX socket, as the kernel knows it (`SO_PEERCRED`): as it was when it connected, or began to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerProcess {
    /// Its number. The process may have ended since, and the number be another's.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

#[derive(Clone)]
struct Known {
    /// Of a UNIX socket.
    process: Option<PeerProcess>,
    properties: Vec<(&'static str, Vec<Bytes>)>,
    identity: Option<&'static str>,
    certificates: Vec<Bytes>,
}

impl AuthContext {
    /// The values of a property; none if there is no such.
    #[must_use]
    pub fn get(&self, property: &str) -> &[Bytes] {
        let found = self.0.properties.iter().find(|(name, _)| *name == property);
        found.map_or(&[], |(_, values)| values)
    }

    /// All properties with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Bytes])> {
        self.0.properties.iter().map(|(name, values)| (*name, &values[..]))
    }

    /// The property that holds the peer's identities: `x509_subject_alternative_name`, or `x509_common_name` if its
    /// certificate has no alternative name. `None`: no certificate was verified.
    #[must_use]
    pub fn peer_identity_key(&self) -> Option<&str> {
        self.0.identity
    }

    /// The peer's identities: the values of [`peer_identity_key`](Self::peer_identity_key). `None`: no certificate was
    /// verified.
    #[must_use]
    pub fn peer_identities(&self) -> Option<&[Bytes]> {
        self.0.identity.map(|property| self.get(property))
    }

    /// The chain that the peer has shown and that was verified, in DER, its own certificate first. Empty: none was.
    #[must_use]
    pub fn peer_certificates(&self) -> &[Bytes] {
        &self.0.certificates
    }

    /// Which process the peer is, where it came by a UNIX socket: on one machine that says more than a certificate does. `None`: it came by
    /// another way.
    #[must_use]
    pub fn peer_process(&self) -> Option<PeerProcess> {
        self.0.process
    }

    /// The same of a peer that is this process.
    pub(crate) fn of(mut self, process: Option<PeerProcess>) -> Self {
        Arc::make_mut(&mut self.0).process = process;
        self
    }

    /// Of a connection in plaintext.
    pub(crate) fn insecure() -> Self {
        let mut known = Known::new("insecure");
        known.add("security_level", "TSI_SECURITY_NONE");
        Self(Arc::new(known))
    }

    /// Of a connection to a port for this machine alone. That it is called private is grpc's word, too: nobody on the way
    /// can read it.
    pub(crate) fn local() -> Self {
        let mut known = Known::new("local");
        known.add("security_level", "TSI_PRIVACY_AND_INTEGRITY");
        Self(Arc::new(known))
    }

    /// Of a connection over TLS.
    #[cfg(feature = "_tls")]
    pub(crate) fn of_tls(agreed: &Agreed<'_>) -> Self {
        let mut known = Known::new("ssl");
        let leaf = agreed.peer_certificates.first();
        let read = leaf.and_then(|der| Certificate::read(der));
        let names = read.as_ref().map(Certificate::alternative_names).unwrap_or_default();
        if let (Some(der), Some(read)) = (leaf, read) {
            known.add_certificate(der, &read, &names);
            known.certificates =
                agreed.peer_certificates.iter().map(|der| Bytes::copy_from_slice(der)).collect();
        }
        known.add("security_level", "TSI_PRIVACY_AND_INTEGRITY");
        known.add("ssl_session_reused", if agreed.resumed { "true" } else { "false" });
        if let Some(name) = agreed.server_name {
            known.add("ssl_requested_server_name", name.to_owned());
        }
        match agreed.version {
            Some(rustls::ProtocolVersion::TLSv1_2) => known.add("ssl_tls_version", "TLSv1.2"),
            Some(rustls::ProtocolVersion::TLSv1_3) => known.add("ssl_tls_version", "TLSv1.3"),
            _ => {}
        }
        if let Some(group) = agreed.group.and_then(group_name) {
            known.add("ssl_negotiated_key_exchange_group", group);
        }
        if let Some(id) = spiffe_id(&names) {
            known.add("peer_spiffe_id", id.to_owned());
        }
        Self(Arc::new(known))
    }
}

impl fmt::Debug for AuthContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What a handshake came to.
#[cfg(feature = "_tls")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Agreed<'a> {
    /// The chain that the peer has shown and that was verified.
    pub(crate) peer_certificates: &'a [rustls::pki_types::CertificateDer<'a>],
    pub(crate) resumed: bool,
    /// The name that the client asked for.
    pub(crate) server_name: Option<&'a str>,
    pub(crate) version: Option<rustls::ProtocolVersion>,
    pub(crate) group: Option<rustls::NamedGroup>,
}

impl Known {
    fn new(kind: &'static str) -> Self {
        let (properties, certificates) = (Vec::new(), Vec::new());
        let mut known = Self { process: None, properties, identity: None, certificates };
        known.add("transport_security_type", kind);
        known
    }

    fn add(&mut self, property: &'static str, value: impl Into<Bytes>) {
        match self.properties.iter_mut().find(|(name, _)| *name == property) {
            Some((_, values)) => values.push(value.into()),
            None => self.properties.push((property, vec![value.into()])),
        }
    }

    #[cfg(feature = "_tls")]
    fn add_certificate(&mut self, der: &[u8], read: &Certificate<'_>, names: &[AlternativeName]) {
        self.add("x509_subject", read.subject.to_string());
        self.add(COMMON_NAME, read.subject.common_name().unwrap_or_default());
        self.add("x509_pem_cert", super::pem::of_certificate(der));
        for name in names {
            self.add(ALTERNATIVE_NAME, name.to_string());
        }
        for name in names {
            match name {
                AlternativeName::Uri(uri) => self.add("peer_uri", uri.clone()),
                AlternativeName::Dns(dns) => self.add("peer_dns", dns.clone()),
                AlternativeName::Email(email) => self.add("peer_email", email.clone()),
                AlternativeName::Address(address) => self.add("peer_ip", address.to_string()),
                AlternativeName::Other => {}
            }
        }
        self.identity = Some(if names.is_empty() { COMMON_NAME } else { ALTERNATIVE_NAME });
    }
}

/// The only URI, if it is a SPIFFE ID: the checks are those of grpc's core.
#[cfg(feature = "_tls")]
fn spiffe_id(names: &[AlternativeName]) -> Option<&str> {
    let mut uris = names.iter().filter_map(|name| match name {
        AlternativeName::Uri(uri) => Some(uri.as_str()),
        _ => None,
    });
    let (Some(only), None) = (uris.next(), uris.next()) else { return None };
    let (domain, workload) = only.strip_prefix("spiffe://")?.split_once('/')?;
    let workload = workload.split('/').next().unwrap_or_default();
    (only.len() <= 2048 && domain.len() <= 255 && !workload.is_empty()).then_some(only)
}

/// As BoringSSL names it.
#[cfg(feature = "_tls")]
fn group_name(group: rustls::NamedGroup) -> Option<&'static str> {
    use rustls::NamedGroup as G;
    Some(match group {
        G::secp256r1 => "P-256",
        G::secp384r1 => "P-384",
        G::secp521r1 => "P-521",
        G::X25519 => "X25519",
        G::X25519MLKEM768 => "X25519MLKEM768",
        _ => return None,
    })
}

#[cfg(feature = "_tls")]
const COMMON_NAME: &str = "x509_common_name";
#[cfg(feature = "_tls")]
const ALTERNATIVE_NAME: &str = "x509_subject_alternative_name";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_proves_nothing() {
        let context = AuthContext::insecure();
        let all: Vec<_> = context.iter().map(|(name, values)| (name, values.to_vec())).collect();
        assert_eq!(
            all,
            [
                ("transport_security_type", vec![Bytes::from_static(b"insecure")]),
                ("security_level", vec![Bytes::from_static(b"TSI_SECURITY_NONE")]),
            ]
        );
        assert_eq!(context.peer_identity_key(), None);
        assert_eq!(context.peer_identities(), None);
        assert!(context.peer_certificates().is_empty() && context.get("x509_subject").is_empty());
    }
}
