//! rustls's errors in words: what is wrong, whose it is, and with which command it is made right.
//!
//! Many certificates that openssl and grpcio accept are refused by rustls, with errors that name a variant and no
//! cause. What those are about is known here, and no text is longer than a few lines, whatever a peer sends.

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{
    AlertDescription as Alert, CertificateError, Error, InvalidMessage, OtherError,
    PeerIncompatible,
};
use webpki::Error as Webpki;

use super::der::{self, KeyKind};
use super::own::{REMEDY_CA, REMEDY_NAME, REMEDY_VERSION, bounded};
use super::witness::{self, Shown};

/// What the error of a handshake, or of a session after it, means. `asked` is the name (or address) that a client
/// wanted to reach; `None` on a server.
///
/// To be called on the thread that the error came up on: what was seen of the peer's certificate is noted there.
pub(crate) fn explain(error: &Error, asked: Option<&str>) -> String {
    let sides = Sides { asked };
    match error {
        Error::InvalidCertificate(why) => {
            let shown = witness::shown(why);
            let subject = shown.as_ref().filter(|shown| !shown.subject.is_empty());
            let named = subject.map(|shown| format!(" ({})", shown.subject)).unwrap_or_default();
            let cause = certificate(why, shown.as_ref(), &sides);
            format!("{}'s certificate{named} was refused: {cause}", sides.peer())
        }
        Error::AlertReceived(alert) => received(*alert, &sides),
        Error::NoCertificatesPresented => match sides.asked {
            None => "the client showed no certificate, and this server demands one".to_owned(),
            Some(_) => "the server showed no certificate".to_owned(),
        },
        Error::NoApplicationProtocol => {
            format!("{} does not speak HTTP/2 (it offers no ALPN \"h2\")", sides.peer())
        }
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => match sides.asked {
            Some(_) => "the peer does not speak TLS; is it a port for plaintext?".to_owned(),
            None => "the peer does not speak TLS, and this port is for TLS only".to_owned(),
        },
        Error::PeerIncompatible(why) => incompatible(why, &sides),
        Error::DecryptError => format!("what {} sent could not be decrypted", sides.peer()),
        other => bounded(&other.to_string()),
    }
}

/// Who is who.
struct Sides<'a> {
    asked: Option<&'a str>,
}

impl Sides<'_> {
    fn peer(&self) -> &'static str {
        if self.asked.is_some() { "the server" } else { "the client" }
    }

    fn own(&self) -> &'static str {
        if self.asked.is_some() { "this client" } else { "this server" }
    }

    /// The use that the peer's certificate has to be for, as extendedKeyUsage calls it.
    fn usage(&self) -> &'static str {
        if self.asked.is_some() { "serverAuth" } else { "clientAuth" }
    }
}

fn certificate(why: &CertificateError, shown: Option<&Shown>, sides: &Sides<'_>) -> String {
    use CertificateError as E;
    match why {
        E::ExpiredContext { time, not_after } => format!(
            "it expired on {}; renew it (this machine's clock says {})",
            date(*not_after),
            date(*time),
        ),
        E::NotValidYetContext { time, not_before } => format!(
            "it is not valid before {}, and this machine's clock says {}; is the clock right?",
            date(*not_before),
            date(*time),
        ),
        E::NotValidForNameContext { expected, presented } => {
            wrong_name(expected, presented, shown, sides)
        }
        E::UnknownIssuer => unknown_issuer(shown, sides),
        E::BadSignature => bad_signature(shown),
        E::UnsupportedSignatureAlgorithmContext { signature_algorithm_id: id, .. } => {
            let old = der::is_old_signature(id);
            let with = if old { "SHA-1 (or MD5), which" } else { "an algorithm that" };
            format!(
                "it, or one above it, is signed with {with} is not supported; sign it with SHA-256"
            )
        }
        E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it, or one above it, is signed in a way that its issuer's kind of key cannot"
                .to_owned()
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            let usage = sides.usage();
            let of = sides.peer();
            format!(
                "its extendedKeyUsage does not allow it to be {of}'s; make it with `extendedKeyUsage={usage}`"
            )
        }
        E::Revoked => "it, or one above it, was revoked".to_owned(),
        E::UnknownRevocationStatus => {
            let issuer = shown.map(|shown| format!(" ({})", shown.issuer)).unwrap_or_default();
            format!("of some issuer in its chain{issuer} no revocation list was given")
        }
        E::ExpiredRevocationListContext { next_update, .. } => {
            format!("the revocation list for it should have been renewed by {}", date(*next_update))
        }
        E::UnhandledCriticalExtension => CRITICAL.to_owned(),
        E::BadEncoding => "it is garbled".to_owned(),
        E::Other(OtherError(other)) => match other.downcast_ref::<Webpki>() {
            Some(why) => webpki(why),
            None => bounded(&other.to_string()),
        },
        other => bounded(&other.to_string()),
    }
}

/// What rustls has no variants for.
fn webpki(why: &Webpki) -> String {
    match why {
        Webpki::CaUsedAsEndEntity => {
            format!("it is a CA certificate (basicConstraints CA:TRUE); {REMEDY_CA}")
        }
        Webpki::EndEntityUsedAsCa => {
            "one above it is not a CA's (basicConstraints CA:FALSE)".to_owned()
        }
        Webpki::UnsupportedCertVersion => {
            format!("it is a version 1 certificate; {REMEDY_VERSION}")
        }
        Webpki::UnsupportedCriticalExtension => CRITICAL.to_owned(),
        Webpki::NameConstraintViolation => {
            "one of its names is none that its issuer may issue for (nameConstraints)".to_owned()
        }
        Webpki::PathLenConstraintViolated => {
            "its chain is longer than one of its issuers allows (pathlen)".to_owned()
        }
        other => bounded(&format!("webpki says {other:?}")),
    }
}

fn wrong_name(
    expected: &ServerName<'_>,
    presented: &[String],
    shown: Option<&Shown>,
    sides: &Sides<'_>,
) -> String {
    let wanted = expected.to_str();
    let asked = bounded(sides.asked.unwrap_or(&wanted));
    let fallback;
    let names = match shown {
        Some(shown) => &shown.names,
        None => {
            fallback = presented.iter().map(|name| bounded(name)).collect();
            &fallback
        }
    };
    let address = matches!(expected, ServerName::IpAddress(_));
    let there = if names.is_empty() {
        format!(
            "it names no host in a subjectAltName, and a common name does not count; {REMEDY_NAME}"
        )
    } else if address && names.iter().any(|name| *name == wanted) {
        return format!(
            "it has \"{wanted}\" as a DNS name; an address must stand as IP:{wanted} in the subjectAltName"
        );
    } else {
        format!("it is for {}", listed(names))
    };
    let hint = match address && !names.is_empty() {
        true => format!("; an address must stand as IP:{wanted} in the subjectAltName"),
        false => String::new(),
    };
    format!("it is not for \"{asked}\": {there}{hint}")
}

fn unknown_issuer(shown: Option<&Shown>, sides: &Sides<'_>) -> String {
    let peer = sides.peer();
    match shown {
        Some(Shown { is_root: true, issuer, .. }) => format!(
            "the roots hold {peer}'s own certificate, not its issuer's ({issuer}); give that one's as a root"
        ),
        Some(Shown { is_self_issued: true, is_alone: true, .. }) => {
            "it is self-signed, and not among the roots; give it as a root to trust it".to_owned()
        }
        Some(Shown { issuer, .. }) => format!(
            "its issuer, {issuer}, is not among the roots; give that one's certificate as a root, or have {peer} send \
             the intermediate certificates that are missing"
        ),
        None => "its issuer is not among the roots".to_owned(),
    }
}

fn bad_signature(shown: Option<&Shown>) -> String {
    match shown {
        Some(Shown { key: KeyKind::Rsa(bits), .. }) if *bits < SMALLEST_RSA => format!(
            "it has an RSA key of {bits} bits, and RSA keys below {SMALLEST_RSA} bits are not supported; make a new one \
             (`openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`)"
        ),
        Some(Shown { issuer, .. }) => format!(
            "its signature is wrong: an issuer with the same name, {issuer}, is among the roots, but with another key; was \
             that one made anew?"
        ),
        None => "a signature in its chain is wrong".to_owned(),
    }
}

/// An alert: what the peer says of us.
fn received(alert: Alert, sides: &Sides<'_>) -> String {
    let (peer, own) = (sides.peer(), sides.own());
    let client = sides.asked.is_some();
    let refused = |why: &str| format!("{peer} refused {own}'s certificate: {why}");
    match alert {
        Alert::CertificateRequired | Alert::NoCertificate if client => {
            "the server wants a client certificate; give one to the channel's credentials"
                .to_owned()
        }
        Alert::BadCertificate => refused("it is damaged, or not for that name"),
        Alert::UnsupportedCertificate => {
            let usage = if client { "clientAuth" } else { "serverAuth" };
            refused(&format!("it is not for that use (extendedKeyUsage={usage} is needed)"))
        }
        Alert::CertificateRevoked => refused("it was revoked"),
        Alert::CertificateExpired => {
            refused("it has expired or is not valid yet; or a clock is wrong")
        }
        Alert::CertificateUnknown => refused(
            "for a reason it does not tell (a version 1 or a CA's certificate? its own log may say more)",
        ),
        Alert::UnknownCA => refused("it does not know the issuer"),
        Alert::AccessDenied => format!("{peer} denied access to {own} (alert access_denied)"),
        Alert::DecryptError => refused("a signature is wrong (an RSA key below 2048 bits? SHA-1?)"),
        Alert::HandshakeFailure if client => {
            "the server has nothing in common with this client (versions, cipher suites, \
             the kind of its key), or wants a client certificate (alert handshake_failure)"
                .to_owned()
        }
        Alert::HandshakeFailure | Alert::InsufficientSecurity => format!(
            "{peer} has nothing in common with {own} (versions, cipher suites, kinds of keys) (alert handshake_failure)"
        ),
        Alert::ProtocolVersion => format!("{peer} speaks neither TLS 1.2 nor TLS 1.3"),
        Alert::NoApplicationProtocol => {
            format!("{peer} does not speak HTTP/2 here (alert no_application_protocol)")
        }
        Alert::UnrecognisedName => match sides.asked {
            Some(asked) => format!("the server has no certificate for \"{}\"", bounded(asked)),
            None => "the client does not know the name".to_owned(),
        },
        other => format!("{peer} ended the connection with the TLS alert {other:?}"),
    }
}

fn incompatible(why: &PeerIncompatible, sides: &Sides<'_>) -> String {
    use PeerIncompatible as P;
    let (peer, own) = (sides.peer(), sides.own());
    match why {
        P::NoSignatureSchemesInCommon if sides.asked.is_none() => {
            "the client takes none of the kinds of keys that this server's certificates have (grpcio's take no Ed25519 \
             and no P-521)"
                .to_owned()
        }
        P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled => format!("{peer} speaks neither TLS 1.2 nor TLS 1.3"),
        P::NoCipherSuitesInCommon | P::NoKxGroupsInCommon => {
            format!("{peer} and {own} have no cipher suite or key exchange in common")
        }
        other => bounded(&format!("{peer} and {own} do not fit together ({other:?})")),
    }
}

/// The first few, and how many more there are.
fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(FEW).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > FEW {
        text.push_str(&format!(" and {} more", names.len() - FEW));
    }
    text
}

/// A time in UTC, to the minute. The days are those of the civil calendar (H. Hinnant, `civil_from_days`).
pub(super) fn date(at: UnixTime) -> String {
    let seconds = at.as_secs();
    let (days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

const CRITICAL: &str =
    "it has a critical extension that is not understood; make it without, or not critical";
/// Bits of the shortest RSA key that the providers verify.
const SMALLEST_RSA: usize = 2048;
/// So many names of a certificate are told.
const FEW: usize = 5;
