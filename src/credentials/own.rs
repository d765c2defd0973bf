//! One's own certificates and keys, and whom one trusts: checked when credentials are made, so that what is wrong with
//! one's own files is told at once, and not by a peer.
//!
//! Errors name the argument and say what to do. What peers are known to refuse, but some accept, is a warning to the log.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer,
    PrivatePkcs8KeyDer, PrivateSec1KeyDer, UnixTime,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::der::{Certificate, KeyKind};
use super::explain::date;
use super::pem::{self, Block, Kind, error};
use super::provider::{KEYS_TAKEN, provider};
use super::source::Given;
use crate::error::ConfigError;
use crate::tell;

/// Which side shows the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// A key and the chain of certificates for it.
pub(super) fn certified_key(
    key: &Given<'_>,
    chain: &Given<'_>,
    side: Side,
) -> Result<CertifiedKey, ConfigError> {
    let blocks = pem::certificates(&chain.what, &chain.text)?;
    let key_block = pem::private_key(&key.what, &key.text)?;
    for block in &blocks {
        check_form(&chain.what, block)?;
    }
    let kind = KeyKind::of_private(&key_block.der);
    let signer = provider().key_provider.load_private_key(private_key(key_block));
    let signer = signer.map_err(|_| error(unusable_key(&key.what, kind)))?;
    let ders = blocks.iter().map(|block| CertificateDer::from(block.der.clone())).collect();
    let certified = CertifiedKey::new(ders, signer);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => return Err(error(mismatch(&chain.what, &certified))),
        Err(Error::InvalidCertificate(why)) => {
            return Err(error(format!("{}: block 1 cannot be used: {why}", chain.what)));
        }
        Err(other) => return Err(error(format!("{}: {other}", chain.what))),
    }
    if let Some(leaf) = blocks.first().and_then(|block| Certificate::read(&block.der)) {
        // The clock that rustls judges dates by.
        let now = DefaultTimeProvider.current_time();
        warnings(&leaf, side, now).for_each(|told| tell::warn!("{}: {told}", chain.what));
    }
    Ok(certified)
}

/// Whom to trust; at least one.
pub(super) fn roots(given: &Given<'_>) -> Result<RootCertStore, ConfigError> {
    let Given { what, text } = given;
    if text.is_empty() {
        return Err(error(format!("{what}: empty; for the system's, give none at all")));
    }
    let mut store = RootCertStore::empty();
    for Block { number, der, .. } in pem::certificates(what, text)? {
        if let Some(read) = Certificate::read(&der) {
            if !read.is_ca() && !read.is_self_issued() {
                tell::warn!(
                    "{what}: block {number} ({}) is not an issuer's certificate; one that is to be trusted by itself has to \
                     be self-signed, others are trusted by their issuer's",
                    bounded(&read.subject.to_string()),
                );
            }
        }
        let added = store.add(CertificateDer::from(der));
        added.map_err(|_| error(format!("{what}: block {number} is not a certificate")))?;
    }
    Ok(store)
}

/// The system's roots, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
pub(super) fn system_roots() -> Result<RootCertStore, ConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added > 0 {
        // Some may be unreadable; the others serve.
        for failed in found.errors {
            tell::warn!("a root certificate of the system's was passed over: {failed}");
        }
        return Ok(store);
    }
    let why = found.errors.first().map(|failed| format!(" ({failed})")).unwrap_or_default();
    let remedy = "install them (`ca-certificates`), name a file in SSL_CERT_FILE, or give roots";
    Err(error(format!("roots: the system has none{why}; {remedy}")))
}

/// Lists of certificates that are no longer to be trusted.
pub(super) fn revocation_lists(
    given: &Given<'_>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, ConfigError> {
    let blocks = pem::revocation_lists(&given.what, &given.text)?;
    blocks
        .into_iter()
        .map(|Block { number, der, .. }| {
            let parsed = webpki::OwnedCertRevocationList::from_der(&der).map(drop);
            let told = |why| format!("{}: block {number} cannot be used: {why:?}", given.what);
            parsed.map_err(|why| error(told(why)))?;
            Ok(CertificateRevocationListDer::from(der))
        })
        .collect()
}

/// Text of a certificate, cut to what an error has room for.
pub(super) fn bounded(text: &str) -> String {
    match text.char_indices().nth(LONGEST_NAME) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn private_key(block: Block) -> PrivateKeyDer<'static> {
    match block.kind {
        Kind::Pkcs1 => PrivatePkcs1KeyDer::from(block.der).into(),
        Kind::Sec1 => PrivateSec1KeyDer::from(block.der).into(),
        _ => PrivatePkcs8KeyDer::from(block.der).into(),
    }
}

/// What no TLS library of Rust's takes, whoever shows it.
fn check_form(what: &str, block: &Block) -> Result<(), ConfigError> {
    let number = block.number;
    let Some(read) = Certificate::read(&block.der) else {
        return Err(error(format!("{what}: block {number} is not a certificate")));
    };
    if read.version != 3 {
        let told = format!("block {number} is a version {} certificate", read.version);
        return Err(error(format!("{what}: {told}; {REMEDY_VERSION}")));
    }
    let unknown = read.unknown_critical();
    if let Some(id) = unknown.first() {
        let told = format!("block {number} has a critical extension that nobody knows ({id})");
        return Err(error(format!("{what}: {told}; make it without, or not critical")));
    }
    Ok(())
}

/// What many peers refuse, and grpcio accepts.
pub(super) fn warnings(
    leaf: &Certificate<'_>,
    side: Side,
    now: Option<UnixTime>,
) -> impl Iterator<Item = String> {
    let (peers, of) = match side {
        Side::Server => ("clients", "a server's"),
        Side::Client => ("servers", "a client's"),
    };
    let nameless = side == Side::Server && leaf.hosts().next().is_none();
    let misused = leaf.uses().is_some_and(|(server, client)| match side {
        Side::Server => !server,
        Side::Client => !client,
    });
    let ca = leaf.is_ca().then(|| {
        format!("block 1 is a CA certificate (CA:TRUE), which many {peers} refuse; {REMEDY_CA}")
    });
    let nameless = nameless.then(|| {
        format!(
            "block 1 names no host in a subjectAltName, so most {peers} refuse it; {REMEDY_NAME}"
        )
    });
    let misused = misused.then(|| {
        format!("block 1 is not for use as {of} (extendedKeyUsage), so {peers} refuse it")
    });
    let dated = leaf.dates().zip(now).and_then(|((from, until), now)| {
        let at = |seconds| date(UnixTime::since_unix_epoch(Duration::from_secs(seconds)));
        match now.as_secs() {
            now if now > until => Some(format!("block 1 expired on {}; renew it", at(until))),
            now if now < from => {
                let told = format!("block 1 is not valid before {}", at(from));
                Some(format!("{told}; is this machine's clock right?"))
            }
            _ => None,
        }
    });
    [ca, nameless, misused, dated].into_iter().flatten()
}

fn mismatch(what: &str, certified: &CertifiedKey) -> String {
    let mut told = format!("{what}: the first certificate does not belong to the key");
    let others = certified.cert.iter().enumerate().skip(1);
    let belongs = |der: &CertificateDer<'static>| {
        let alone = CertifiedKey::new(vec![der.clone()], Arc::clone(&certified.key));
        alone.keys_match().is_ok()
    };
    match others.filter(|(_, der)| belongs(der)).map(|(index, _)| index + 1).next() {
        Some(number) => {
            told.push_str(&format!(
                ", but block {number} does; a chain starts with one's own, its issuer comes next"
            ));
        }
        None => told.push_str("; a chain starts with one's own certificate"),
    }
    told
}

fn unusable_key(what: &str, kind: Option<KeyKind>) -> String {
    match kind {
        Some(KeyKind::Rsa(0)) | None => format!("{what}: not a key that can be read"),
        Some(kind) => format!("{what}: {kind}, which TLS here does not take; {KEYS_TAKEN}"),
    }
}

/// How to make a certificate of version 3.
pub(super) const REMEDY_VERSION: &str = "`openssl x509 -req` without `-extfile` writes such; add \
     `-extfile <(echo subjectAltName=DNS:NAME)`";
/// How to make one that is not a CA's.
pub(super) const REMEDY_CA: &str = "`openssl req -x509` makes such; add `-addext \
     basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:NAME`";
/// How to make one that names its host.
pub(super) const REMEDY_NAME: &str = "make it with `subjectAltName=DNS:NAME` (or `IP:ADDRESS`)";

/// Characters of a name that an error tells.
const LONGEST_NAME: usize = 160;
