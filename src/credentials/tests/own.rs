//! What is said of one's own certificates and keys when credentials are made of them.

use std::time::Duration;

use rustls::pki_types::UnixTime;

use super::super::der::Certificate;
use super::super::own::{self, Side};
use super::super::*;
use super::cert;

#[track_caller]
fn told<T>(result: Result<T, crate::ConfigError>) -> String {
    let text = result.err().expect("an error").to_string();
    assert!(!text.contains("peer"), "{text}");
    assert!(text.len() < 400, "{text}");
    text
}

fn of_server(key: &[u8], chain: &[u8]) -> String {
    told(ssl_server_credentials(&[(key, chain)], None, false))
}

/// A client's pair is checked alike.
fn of_both(key: &[u8], chain: &[u8]) -> String {
    let server = of_server(key, chain);
    let client = told(ssl_channel_credentials(Some(cert!("ca.pem")), Some(key), Some(chain)));
    assert_eq!(server, client);
    server
}

#[test]
fn a_chain_that_does_not_begin_with_the_keys_own_is_refused() {
    let chain = [&cert!("ca.pem")[..], cert!("intermediate.pem"), cert!("below.pem")].concat();
    let told = of_both(cert!("below.key"), &chain);
    let begin = "certificate chain: the first certificate does not belong to the key";
    assert_eq!(
        told,
        format!("{begin}, but block 3 does; a chain starts with one's own, its issuer comes next")
    );
    let told = of_both(cert!("below.key"), cert!("server.pem"));
    assert_eq!(told, format!("{begin}; a chain starts with one's own certificate"));
}

#[test]
fn version_1_and_unknown_critical_extensions_are_refused() {
    let told = of_both(cert!("v1.key"), cert!("v1.pem"));
    assert!(told.starts_with("certificate chain: block 1 is a version 1 certificate"), "{told}");
    assert!(told.contains("-extfile <(echo subjectAltName=DNS:NAME)"), "{told}");
    let told = of_both(cert!("critical.key"), cert!("critical.pem"));
    assert!(
        told.contains("block 1 has a critical extension that nobody knows (1.2.3.4.5)"),
        "{told}"
    );
}

#[test]
fn keys_that_are_not_taken_are_named_with_those_that_are() {
    for (key, chain, kind) in [
        (&cert!("rsa1024.key")[..], &cert!("rsa1024.pem")[..], "an RSA key of 1024 bits"),
        (cert!("secp256k1.key"), cert!("secp256k1.pem"), "a key on the curve secp256k1"),
        (cert!("pss.key"), cert!("pss.pem"), "an RSA key for PSS only"),
        (cert!("ed448.key"), cert!("ed448.pem"), "an Ed448 key"),
        #[cfg(not(feature = "tls-aws-lc"))]
        (cert!("rsa5120.key"), cert!("rsa5120.pem"), "an RSA key of 5120 bits"),
        #[cfg(not(feature = "tls-aws-lc"))]
        (cert!("p521.key"), cert!("p521.pem"), "a key on the curve P-521"),
    ] {
        let told = of_both(key, chain);
        let begin =
            format!("private key: {kind}, which TLS here does not take; taken are RSA of 2048");
        assert!(told.starts_with(&begin), "{told}");
    }
    #[cfg(feature = "tls-aws-lc")]
    ssl_server_credentials(&[(cert!("p521.key"), cert!("p521.pem"))], None, false).unwrap();
}

#[test]
fn blocks_that_are_no_certificates_or_keys_are_refused() {
    // Good base64 of something else.
    let junk = b"-----BEGIN CERTIFICATE-----\naGVsbG8gd29ybGQ=\n-----END CERTIFICATE-----\n";
    let chain = [&cert!("server.pem")[..], junk].concat();
    assert_eq!(
        of_both(cert!("server.key"), &chain),
        "certificate chain: block 2 is not a certificate"
    );
    assert_eq!(
        told(ssl_channel_credentials(Some(&[&cert!("ca.pem")[..], junk].concat()), None, None)),
        "roots: block 2 is not a certificate"
    );
    let junk = b"-----BEGIN PRIVATE KEY-----\naGVsbG8gd29ybGQ=\n-----END PRIVATE KEY-----\n";
    let told = of_both(junk, cert!("server.pem"));
    assert_eq!(told, "private key: not a key that can be read");
}

#[test]
fn of_several_pairs_the_one_that_is_wrong_is_named() {
    let pairs = [
        (&cert!("server.key")[..], &cert!("server.pem")[..]),
        (cert!("rsa.key"), cert!("server.pem")),
    ];
    let told = told(ssl_server_credentials(&pairs, None, false));
    assert!(told.starts_with("certificate chain of pair 2: the first certificate"), "{told}");
}

#[test]
fn what_is_missing_is_named() {
    let none: [(&[u8], &[u8]); 0] = [];
    assert!(told(ssl_server_credentials(&none, None, false)).starts_with("pairs: none"));
    let pairs = [(cert!("server.key"), cert!("server.pem"))];
    assert_eq!(
        told(ssl_server_credentials(&pairs, None, true)),
        "client roots: none, but clients must show a certificate"
    );
    assert_eq!(
        told(ssl_channel_credentials(None, Some(cert!("client.key")), None)),
        "certificate chain: none, but a private key"
    );
    assert_eq!(
        told(ssl_channel_credentials(None, None, Some(cert!("client.pem")))),
        "private key: none, but a certificate chain"
    );
    let empty = "empty; for the system's, give none at all";
    assert_eq!(told(ssl_channel_credentials(Some(b""), None, None)), format!("roots: {empty}"));
    assert_eq!(
        told(ssl_channel_credentials(Some(cert!("ca.pem")), Some(b""), Some(cert!("client.pem")))),
        "private key: empty"
    );
    let builder = ServerCredentials::builder().pair(cert!("server.key"), cert!("server.pem"));
    assert!(told(builder.revocation_lists(cert!("ca.crl")).build()).contains("never asked"));
}

#[test]
fn a_file_that_is_wrong_is_named() {
    let told_missing =
        told(ChannelCredentials::builder().roots(Pem::file("no/such/file.pem")).build());
    assert!(told_missing.starts_with("roots (no/such/file.pem): No such file"), "{told_missing}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certs/make.sh");
    let told = told(ChannelCredentials::builder().roots(std::path::Path::new(script)).build());
    assert!(told.contains("make.sh): "), "{told}");
}

#[test]
fn what_peers_are_known_to_refuse_is_a_warning() {
    let warned = |pem: &[u8], side: Side| {
        let der = super::der(pem);
        let leaf = Certificate::read(&der).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        own::warnings(&leaf, side, Some(now)).collect::<Vec<_>>()
    };
    let [told] = &warned(cert!("self-ca-san.pem"), Side::Server)[..] else { panic!() };
    assert!(told.contains("CA:TRUE") && told.contains("many clients refuse"), "{told}");
    assert!(told.contains("-addext basicConstraints=critical,CA:FALSE"), "{told}");
    let told = warned(cert!("self-ca.pem"), Side::Server);
    assert!(told.len() == 2 && told[1].contains("names no host"), "{told:?}");
    let told = warned(cert!("self-ca.pem"), Side::Client);
    assert!(told.len() == 1 && told[0].contains("many servers refuse"), "{told:?}");
    let told = warned(cert!("for-servers.pem"), Side::Client);
    assert!(told.len() == 1 && told[0].contains("not for use as a client's"), "{told:?}");
    let told = warned(cert!("for-clients.pem"), Side::Server);
    assert!(told.len() == 1 && told[0].contains("not for use as a server's"), "{told:?}");
    assert_eq!(
        warned(cert!("expired.pem"), Side::Server),
        ["block 1 expired on 2020-02-01 00:00 UTC; renew it"]
    );
    let told = warned(cert!("not-yet.pem"), Side::Server);
    assert!(told.len() == 1 && told[0].contains("not valid before 2100-01-01 00:00"), "{told:?}");
    for side in [Side::Client, Side::Server] {
        assert!(warned(cert!("server.pem"), side).is_empty());
    }
}

#[test]
fn the_systems_roots_are_those_that_ssl_cert_file_names() {
    let build = || ssl_channel_credentials(None, None, None);
    if std::env::var_os("GRPC_THREADS_CHILD").is_none() {
        // The environment is a process's: one with the right file, one with a wrong one.
        let name = "credentials::tests::own::the_systems_roots_are_those_that_ssl_cert_file_names";
        for file in ["ca.pem", "make.sh"] {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certs/").to_owned() + file;
            let ended = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name])
                .env("GRPC_THREADS_CHILD", file)
                .env("SSL_CERT_FILE", path)
                .env_remove("SSL_CERT_DIR")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&ended.stdout);
            assert!(ended.status.success() && said.contains("1 passed"), "{said}");
        }
        return;
    }
    if std::env::var("GRPC_THREADS_CHILD").unwrap() == "make.sh" {
        let told = told(build());
        assert!(
            told.starts_with("roots: the system has none") && told.contains("SSL_CERT_FILE"),
            "{told}"
        );
        return;
    }
    let server = super::serving(cert!("server.key"), cert!("server.pem"));
    super::Met::of(&build().unwrap(), "localhost", &server).succeeded();
}

#[test]
fn secrets_of_sessions_are_written_by_request_only() {
    let client = |builder: ChannelCredentialsBuilder| {
        builder.roots(cert!("ca.pem")).build().unwrap().inside().client_config()
    };
    let server = |builder: ServerCredentialsBuilder| {
        let pair = builder.pair(cert!("server.key"), cert!("server.pem"));
        pair.build().unwrap().inside().server_config()
    };
    assert!(!client(ChannelCredentials::builder()).key_log.will_log("CLIENT_RANDOM"));
    assert!(client(ChannelCredentials::builder().key_log()).key_log.will_log("CLIENT_RANDOM"));
    assert!(!server(ServerCredentials::builder()).key_log.will_log("CLIENT_RANDOM"));
    assert!(server(ServerCredentials::builder().key_log()).key_log.will_log("CLIENT_RANDOM"));
}

#[cfg(feature = "tls-webpki-roots")]
#[test]
fn mozillas_roots_can_be_had_without_the_systems() {
    let credentials = ChannelCredentials::builder().webpki_roots().build().unwrap();
    let server = super::serving(cert!("server.key"), cert!("server.pem"));
    let met = super::Met::of(&credentials, "localhost", &server);
    assert!(met.client_told.unwrap().contains("is not among the roots"));
}
