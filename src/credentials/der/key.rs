//! Kinds of keys, public (RFC 5280 § 4.1.2.7) and private (RFC 5208, RFC 5915, RFC 8017 appendix A).

use std::fmt;

use super::reader::{CONTEXT, IDENTIFIER, INTEGER, OCTET_STRING, Reader, SEQUENCE, dotted};

/// The kind of a key, public or private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::credentials) enum KeyKind {
    /// With the bits of its modulus.
    Rsa(usize),
    RsaPss,
    /// On a curve: its usual name, or its identifier.
    Ec(String),
    Ed25519,
    Ed448,
    Other(String),
}

impl KeyKind {
    /// Of a private key in PKCS#8, PKCS#1 or SEC1.
    pub(in crate::credentials) fn of_private(der: &[u8]) -> Option<Self> {
        let mut key = Reader(Reader(der).take(SEQUENCE)?);
        key.take(INTEGER)?;
        if let Some(algorithm) = key.take(SEQUENCE) {
            let octets = key.take(OCTET_STRING)?;
            let mut rsa = Reader(Reader(octets).take(SEQUENCE).unwrap_or_default());
            rsa.take(INTEGER); // the version; the modulus comes next, as in a public key
            return Some(Self::of_algorithm(Reader(algorithm), || rsa.take(INTEGER)));
        }
        if let Some(modulus) = key.take(INTEGER) {
            return Some(Self::Rsa(bits(modulus)));
        }
        key.take(OCTET_STRING)?;
        let curve = Reader(key.take(CONTEXT)?).take(IDENTIFIER)?;
        Some(Self::Ec(curve_name(curve)))
    }

    /// Of a certificate's key.
    pub(super) fn of(algorithm: Reader<'_>, key: &[u8]) -> Self {
        let modulus = || Reader(Reader(key).take(SEQUENCE)?).take(INTEGER);
        Self::of_algorithm(algorithm, modulus)
    }

    fn of_algorithm<'a>(
        mut algorithm: Reader<'_>,
        modulus: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Self {
        match algorithm.take(IDENTIFIER).unwrap_or_default() {
            RSA => Self::Rsa(bits(modulus().unwrap_or_default())),
            RSA_PSS => Self::RsaPss,
            EC => Self::Ec(curve_name(algorithm.take(IDENTIFIER).unwrap_or_default())),
            ED25519 => Self::Ed25519,
            ED448 => Self::Ed448,
            other => Self::Other(dotted(other)),
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "an RSA key of {bits} bits"),
            Self::RsaPss => f.write_str("an RSA key for PSS only"),
            Self::Ec(curve) => write!(f, "a key on the curve {curve}"),
            Self::Ed25519 => f.write_str("an Ed25519 key"),
            Self::Ed448 => f.write_str("an Ed448 key"),
            Self::Other(id) => write!(f, "a key of the kind {id}"),
        }
    }
}

/// The bits of a positive INTEGER.
fn bits(integer: &[u8]) -> usize {
    let digits = integer.iter().skip_while(|digit| **digit == 0);
    let length = digits.clone().count();
    let unused = digits.copied().next().map_or(0, u8::leading_zeros);
    (length * 8).saturating_sub(unused as usize)
}

fn curve_name(id: &[u8]) -> String {
    let known = CURVES.iter().find(|(curve, _)| *curve == id);
    known.map_or_else(|| dotted(id), |(_, name)| (*name).to_owned())
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
const CURVES: [(&[u8], &str); 4] = [
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], "P-256"),
    (&[0x2b, 0x81, 4, 0, 34], "P-384"),
    (&[0x2b, 0x81, 4, 0, 35], "P-521"),
    (&[0x2b, 0x81, 4, 0, 10], "secp256k1"),
];
