//! What is said of a peer's certificates, and what peers say of ours. Each row of the table of certificates that work
//! elsewhere and not in rustls is here, by what it is.

use std::sync::Arc;

use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore,
    ServerConfig,
};

use super::super::*;
use super::{Met, cert, der, serving, trusting};
use crate::credentials::provider::provider;

/// A server that shows what it is given, whether it is fit or not.
fn unchecked(key: &[u8], chain: &[&[u8]]) -> ServerCredentials {
    let mut certs = Vec::new();
    for pem in chain {
        certs.extend(super::super::pem::certificates("it", pem).unwrap());
    }
    let certs = certs.into_iter().map(|block| block.der.into()).collect();
    let key = super::super::pem::private_key("it", key).unwrap().der;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key).into();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let shown: Arc<dyn ResolvesServerCert> =
        Arc::new(rustls::sign::SingleCertAndKey::from(CertifiedKey::new(certs, key)));
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(shown);
    ServerCredentials::unstable_from_rustls(config)
}

/// What a client says that has these roots and asks for `name`.
#[track_caller]
fn refused(roots: &[u8], name: &str, server: &ServerCredentials) -> String {
    let met = Met::of(&trusting(roots), name, server);
    let told = met.client_told.expect("the client refuses");
    assert!(told.len() < 500 && !told.contains("peer"), "{told}");
    told
}

#[track_caller]
fn contains(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{told:?} has no {part:?}");
    }
}

#[test]
fn a_cas_certificate_of_a_servers_is_named_with_the_command_that_makes_another() {
    for (key, chain) in [
        (&cert!("self-ca.key")[..], &cert!("self-ca.pem")[..]),
        (cert!("self-ca-san.key"), cert!("self-ca-san.pem")),
    ] {
        let told = refused(chain, "localhost", &serving(key, chain));
        contains(
            &told,
            &[
                "the server's certificate (CN=localhost)",
                "CA:TRUE",
                "-addext basicConstraints=critical,CA:FALSE",
                "-addext subjectAltName=DNS:",
            ],
        );
    }
    // A chain that begins with its root, sent all the same.
    let server = unchecked(cert!("server.key"), &[cert!("ca.pem"), cert!("server.pem")]);
    contains(
        &refused(cert!("ca.pem"), "localhost", &server),
        &["(CN=Test CA,O=grpc-threads)", "CA:TRUE"],
    );
}

#[test]
fn a_version_1_certificate_is_named_whatever_name_is_asked_for() {
    let server = unchecked(cert!("v1.key"), &[cert!("v1.pem")]);
    for name in ["localhost", "other.test"] {
        let told = refused(cert!("ca.pem"), name, &server);
        contains(&told, &["version 1", "-extfile <(echo subjectAltName=DNS:NAME)"]);
    }
}

#[test]
fn an_address_has_to_stand_as_one() {
    let server = serving(cert!("dns-address.key"), cert!("dns-address.pem"));
    let told = refused(cert!("ca.pem"), "127.0.0.1", &server);
    contains(&told, &["has \"127.0.0.1\" as a DNS name", "must stand as IP:127.0.0.1"]);
    let server = serving(cert!("wildcard.key"), cert!("wildcard.pem"));
    let told = refused(cert!("ca.pem"), "127.0.0.1", &server);
    contains(&told, &["not for \"127.0.0.1\"", "*.example.com, other.test", "as IP:127.0.0.1"]);
}

#[test]
fn the_name_asked_for_and_those_there_are_are_told_but_not_all_of_many() {
    let server = serving(cert!("wildcard.key"), cert!("wildcard.pem"));
    for name in ["a.b.example.com", "example.com"] {
        let told = refused(cert!("ca.pem"), name, &server);
        contains(&told, &[&format!("not for \"{name}\": it is for *.example.com, other.test")]);
    }
    Met::of(&trusting(cert!("ca.pem")), "a.example.com", &server).succeeded();
    let server = serving(cert!("many.key"), cert!("many.pem"));
    let last = "host-200.with-a-rather-long-name.example.com";
    Met::of(&trusting(cert!("ca.pem")), last, &server).succeeded();
    let told = refused(cert!("ca.pem"), "localhost", &server);
    contains(&told, &["host-1.with", "host-5.with", " and 195 more"]);
    let server = serving(cert!("no-san.key"), cert!("no-san.pem"));
    let told = refused(cert!("ca.pem"), "localhost", &server);
    contains(&told, &["names no host in a subjectAltName", "common name does not count"]);
}

#[test]
fn dates_are_told_with_the_clocks() {
    let server = serving(cert!("expired.key"), cert!("expired.pem"));
    let told = refused(cert!("ca.pem"), "localhost", &server);
    contains(&told, &["expired on 2020-02-01 00:00 UTC", "clock says 20"]);
    let server = serving(cert!("not-yet.key"), cert!("not-yet.pem"));
    let told = refused(cert!("ca.pem"), "localhost", &server);
    contains(&told, &["not valid before 2100-01-01 00:00 UTC", "is the clock right?"]);
}

#[test]
fn old_signatures_and_short_keys_are_named_and_octets_never_printed() {
    let server = serving(cert!("sha1.key"), cert!("sha1.pem"));
    let told = refused(cert!("sha1-ca.pem"), "localhost", &server);
    contains(&told, &["signed with SHA-1", "SHA-256"]);
    assert!(!told.contains('['), "{told}");
    // No provider signs with such a key, so the refusal is made by hand.
    let error = Error::InvalidCertificate(CertificateError::BadSignature);
    super::super::witness::note(
        &error,
        &der(cert!("rsa1024.pem")).into(),
        &[],
        &RootCertStore::empty(),
    );
    let told = explain(&error, Some("localhost"));
    contains(&told, &["(CN=rsa1024)", "RSA key of 1024 bits", "below 2048 bits are not supported"]);
    // What was noted is told once.
    let told = explain(&error, Some("localhost"));
    assert!(!told.contains("rsa1024") && told.contains("a signature in its chain"), "{told}");
}

#[test]
fn an_unknown_issuer_is_named_and_so_is_a_pinned_leaf() {
    let server = serving(cert!("server.key"), cert!("server.pem"));
    let told = refused(cert!("other-ca.pem"), "localhost", &server);
    contains(&told, &["its issuer, CN=Test CA,O=grpc-threads, is not among the roots"]);
    let told = refused(cert!("server.pem"), "localhost", &server);
    contains(&told, &["the roots hold the server's own certificate, not its issuer's (CN=Test CA"]);
    // A missing intermediate.
    let server = serving(cert!("below.key"), cert!("below.pem"));
    let told = refused(cert!("ca.pem"), "localhost", &server);
    contains(&told, &["its issuer, CN=Intermediate,O=grpc-threads,", "send the intermediate"]);
    let server = serving(cert!("self-leaf.key"), cert!("self-leaf.pem"));
    let told = refused(cert!("ca.pem"), "localhost", &server);
    contains(&told, &["it is self-signed, and not among the roots"]);
}

#[test]
fn constraints_uses_and_extensions_are_named() {
    let server = serving(cert!("outside.key"), cert!("outside.pem"));
    let told = refused(cert!("constrained-ca.pem"), "localhost", &server);
    contains(&told, &["nameConstraints"]);
    let server = serving(cert!("for-clients.key"), cert!("for-clients.pem"));
    let told = refused(cert!("ca.pem"), "localhost", &server);
    contains(&told, &["does not allow it to be the server's", "extendedKeyUsage=serverAuth"]);
    let server = unchecked(cert!("critical.key"), &[cert!("critical.pem")]);
    contains(&refused(cert!("ca.pem"), "localhost", &server), &["critical extension"]);
}

#[test]
fn revoked_ones_are_refused_on_both_sides() {
    let client = ChannelCredentials::builder()
        .roots(cert!("ca.pem"))
        .revocation_lists(cert!("ca.crl"))
        .build()
        .unwrap();
    let good = serving(cert!("server.key"), cert!("server.pem"));
    Met::of(&client, "localhost", &good).succeeded();
    let met = Met::of(&client, "localhost", &serving(cert!("revoked.key"), cert!("revoked.pem")));
    contains(&met.client_told.unwrap(), &["(CN=revoked)", "was revoked"]);
    contains(
        &met.server_told.unwrap(),
        &["the client refused this server's certificate", "revoked"],
    );
    // One of an issuer without a list.
    let chain = [&cert!("below.pem")[..], cert!("intermediate.pem")].concat();
    let met = Met::of(&client, "localhost", &serving(cert!("below.key"), &chain));
    contains(&met.client_told.unwrap(), &["no revocation list was given"]);

    let server = ServerCredentials::builder()
        .pair(cert!("server.key"), cert!("server.pem"))
        .require_client_certificates(cert!("ca.pem"))
        .revocation_lists(cert!("ca.crl"))
        .build()
        .unwrap();
    let client = ssl_channel_credentials(
        Some(cert!("ca.pem")),
        Some(cert!("revoked.key")),
        Some(cert!("revoked.pem")),
    );
    let met = Met::of(&client.unwrap(), "localhost", &server);
    contains(&met.server_told.unwrap(), &["the client's certificate (CN=revoked)", "was revoked"]);
    contains(
        &met.client_told.unwrap(),
        &["the server refused this client's certificate", "revoked"],
    );
}

#[test]
fn what_is_wrong_with_a_clients_certificate_is_told_on_both_sides() {
    let server = ServerCredentials::builder()
        .pair(cert!("server.key"), cert!("server.pem"))
        .require_client_certificates([&cert!("ca.pem")[..], cert!("self-ca.pem")].concat())
        .build()
        .unwrap();
    let with = |key: &[u8], chain: &[u8]| {
        let client =
            ssl_channel_credentials(Some(cert!("ca.pem")), Some(key), Some(chain)).unwrap();
        let met = Met::of(&client, "localhost", &server);
        (met.server_told.unwrap_or_default(), met.client_told.unwrap_or_default())
    };
    let met = Met::of(&trusting(cert!("ca.pem")), "localhost", &server);
    contains(&met.server_told.unwrap(), &["the client showed no certificate", "demands one"]);
    contains(&met.client_told.unwrap(), &["the server wants a client certificate"]);

    let (server_told, client_told) = with(cert!("for-servers.key"), cert!("for-servers.pem"));
    contains(
        &server_told,
        &["(CN=for-servers)", "the client's; make it with `extendedKeyUsage=clientAuth`"],
    );
    contains(&client_told, &["the server refused this client's certificate", "clientAuth"]);

    let (server_told, client_told) = with(cert!("self-ca.key"), cert!("self-ca.pem"));
    contains(&server_told, &["the client's certificate (CN=localhost)", "CA:TRUE"]);
    contains(&client_told, &["a version 1 or a CA's certificate?"]);

    let (server_told, client_told) = with(cert!("self-leaf.key"), cert!("self-leaf.pem"));
    contains(&server_told, &["with the same name, CN=localhost,", "was that one made anew?"]);
    contains(&client_told, &["a signature is wrong"]);

    let (server_told, client_told) = with(cert!("below.key"), cert!("below.pem"));
    contains(&server_told, &["its issuer, CN=Intermediate", "have the client send"]);
    contains(&client_told, &["it does not know the issuer"]);

    let (server_told, client_told) = with(cert!("expired.key"), cert!("expired.pem"));
    contains(&server_told, &["expired on 2020-02-01"]);
    contains(&client_told, &["has expired"]);

    // Without an extended use, and without any alternative name: taken.
    assert_eq!(with(cert!("client-cn.key"), cert!("client-cn.pem")), Default::default());
}

#[test]
fn names_are_sent_for_hosts_only_and_a_trailing_dot_does_not_matter() {
    let server = serving(cert!("server.key"), cert!("server.pem"));
    let client = trusting(cert!("ca.pem"));
    let sent = |name: &str| {
        let mut met = Met::of(&client, name, &server);
        met.succeeded().server.server_name().map(str::to_owned)
    };
    assert_eq!(sent("127.0.0.1"), None);
    assert_eq!(sent("::1"), None);
    assert_eq!(sent("localhost").as_deref(), Some("localhost"));
    assert_eq!(sent("localhost.").as_deref(), Some("localhost"));
}

#[test]
fn what_does_not_speak_http2_or_tls_is_named() {
    let server = serving(cert!("server.key"), cert!("server.pem"));
    let mut roots = RootCertStore::empty();
    roots.add(der(cert!("ca.pem")).into()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let met = Met::new(Arc::new(config.clone()), "localhost", server.inside().server_config());
    contains(&met.server_told.unwrap(), &["the client does not speak HTTP/2"]);
    contains(&met.client_told.unwrap(), &["the server does not speak HTTP/2"]);
    // One without any ALPN is let in by rustls: it is for the transport to check.
    config.alpn_protocols.clear();
    let met = Met::new(Arc::new(config), "localhost", server.inside().server_config());
    assert_eq!((met.client_told, met.server.alpn_protocol()), (None, None));

    let garbage = Error::InvalidMessage(InvalidMessage::InvalidContentType);
    contains(&explain(&garbage, Some("localhost")), &["does not speak TLS", "plaintext"]);
    contains(&explain(&garbage, None), &["does not speak TLS", "for TLS only"]);
    let mut server = rustls::ServerConnection::new(server.inside().server_config()).unwrap();
    server.read_tls(&mut &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..]).unwrap();
    let told = explain(&server.process_new_packets().unwrap_err(), None);
    contains(&told, &["does not speak TLS"]);
}

#[test]
fn kinds_of_keys_that_a_client_does_not_take_are_told_to_the_servers_log() {
    let error = Error::PeerIncompatible(rustls::PeerIncompatible::NoSignatureSchemesInCommon);
    contains(&explain(&error, None), &["kinds of keys", "no Ed25519"]);
    let failure = Error::AlertReceived(AlertDescription::HandshakeFailure);
    contains(&explain(&failure, Some("x")), &["the kind of its key", "handshake_failure"]);
}

#[test]
fn no_error_is_long_whatever_is_in_it() {
    let long = "x".repeat(10_000);
    let name = |text: &str| rustls::pki_types::ServerName::try_from(text.to_owned()).unwrap();
    let context = CertificateError::NotValidForNameContext {
        expected: name("localhost"),
        presented: vec![long.clone(); 200],
    };
    let algorithms = provider().signature_verification_algorithms.all;
    let unsupported = CertificateError::UnsupportedSignatureAlgorithmContext {
        signature_algorithm_id: vec![6; 1000],
        supported_algorithms: algorithms.iter().map(|known| known.signature_alg_id()).collect(),
    };
    let mut errors = vec![
        Error::General(long.clone()),
        Error::InvalidCertificate(context),
        Error::InvalidCertificate(unsupported),
        Error::InappropriateMessage {
            expect_types: vec![rustls::ContentType::Alert; 100],
            got_type: rustls::ContentType::Handshake,
        },
    ];
    errors.extend((0..=255).map(|code| Error::AlertReceived(AlertDescription::from(code))));
    for error in errors {
        for asked in [None, Some("localhost"), Some(long.as_str())] {
            let told = explain(&error, asked);
            assert!(told.len() < 1_500 && !told.contains(", 6, 6"), "{told}");
        }
    }
}
