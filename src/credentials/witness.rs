//! What a handshake saw of the peer's certificates: rustls's errors do not say whose issuer is unknown, nor whether a server
//! asked for a certificate.
//!
//! Our verifiers do as webpki says, and note on the thread that drives the handshake what was shown, for
//! `explain` to take there. They are shared by all handshakes of their credentials (sessions are only resumed
//! under the same verifier), so that thread is the only place that belongs to one handshake. Nothing is noted where
//! nothing fails.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::der::{Certificate, KeyKind};
use super::own::bounded;
use crate::sync::thread_own;

/// A chain that was refused, as far as errors tell of it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) subject: String,
    /// Who issued the last certificate of the chain: nobody knows it, if the issuer is unknown.
    pub(super) issuer: String,
    pub(super) key: KeyKind,
    pub(super) is_self_issued: bool,
    /// Whether the chain is one certificate.
    pub(super) is_alone: bool,
    /// The hosts that it is for.
    pub(super) names: Vec<String>,
    /// Whether the roots hold this very certificate.
    pub(super) is_root: bool,
}

/// What was shown when this error came up on this thread; once.
pub(super) fn shown(error: &CertificateError) -> Option<Shown> {
    let (noted, shown) = SHOWN.reach(RefCell::take)??;
    let both_other = matches!(
        (&noted, error),
        (CertificateError::Other(OtherError(_)), CertificateError::Other(OtherError(_)))
    );
    (both_other || noted == *error).then_some(shown)
}

/// Whether a server asked for a certificate in a handshake on this thread since this was last called on it: to be called
/// before and after a session of a client's is given what came in.
pub(crate) fn was_certificate_asked_for() -> bool {
    ASKED.reach(|asked| asked.replace(false)).unwrap_or(false)
}

/// The name that a client asked for in a handshake on this thread, if one was read since this was last called on it.
pub(crate) fn name_asked_for() -> Option<Box<str>> {
    NAMED.reach(RefCell::take)?
}

pub(super) fn note_name(name: Option<&str>) {
    NAMED.reach(|named| named.replace(name.map(Box::from)));
}

/// Judges servers as webpki does.
#[derive(Debug)]
pub(super) struct ServerJudge {
    pub(super) webpki: Arc<WebPkiServerVerifier>,
    pub(super) roots: Arc<RootCertStore>,
}

/// Judges clients as webpki does.
#[derive(Debug)]
pub(super) struct ClientJudge {
    pub(super) webpki: Arc<dyn ClientCertVerifier>,
    pub(super) roots: Arc<RootCertStore>,
}

/// Shows a client's certificate to servers that ask for one, where there is one.
pub(super) struct Shows(pub(super) Option<Arc<CertifiedKey>>);

impl ServerCertVerifier for ServerJudge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.webpki
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .inspect_err(|error| note(error, end_entity, intermediates, &self.roots))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, cert, dss)
            .inspect_err(|error| note(error, cert, &[], &self.roots))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, cert, dss)
            .inspect_err(|error| note(error, cert, &[], &self.roots))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

impl ClientCertVerifier for ClientJudge {
    fn offer_client_auth(&self) -> bool {
        self.webpki.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.webpki.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.webpki
            .verify_client_cert(end_entity, intermediates, now)
            .inspect_err(|error| note(error, end_entity, intermediates, &self.roots))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, cert, dss)
            .inspect_err(|error| note(error, cert, &[], &self.roots))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, cert, dss)
            .inspect_err(|error| note(error, cert, &[], &self.roots))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // A thread that ends drives no handshake.
        let _ = ASKED.reach(|asked| asked.set(true));
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

impl std::fmt::Debug for Shows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shows").field("certificate", &self.0.is_some()).finish_non_exhaustive()
    }
}

#[cold]
pub(super) fn note(
    error: &Error,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
) {
    let Error::InvalidCertificate(error) = error else { return };
    let shown = Certificate::read(end_entity).map(|leaf| {
        let last = intermediates.last().and_then(|last| Certificate::read(last));
        let key = leaf.public_key_info();
        Shown {
            subject: bounded(&leaf.subject.to_string()),
            issuer: bounded(&last.as_ref().unwrap_or(&leaf).issuer.to_string()),
            key: leaf.key_kind(),
            is_self_issued: leaf.is_self_issued(),
            is_alone: intermediates.is_empty(),
            names: leaf.hosts().take(MOST_NAMES).map(|name| bounded(&name.to_string())).collect(),
            is_root: roots.roots.iter().any(|root| {
                *root.subject_public_key_info == *key && *root.subject == *leaf.subject.content()
            }),
        }
    });
    let _ = SHOWN.reach(|slot| slot.replace(shown.map(|shown| (error.clone(), shown))));
}

/// Of a certificate's names so many are kept, for an error that tells fewer and how many there are.
const MOST_NAMES: usize = 1_000;

thread_own! {
    static SHOWN: RefCell<Option<(CertificateError, Shown)>> = RefCell::new(None);
    static ASKED: Cell<bool> = Cell::new(false);
    static NAMED: RefCell<Option<Box<str>>> = RefCell::new(None);
}
