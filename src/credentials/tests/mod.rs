//! Credentials against each other: both ends of a handshake, with no socket between them. The certificates are those of
//! `tests/certs`.

mod certificates;
mod der;
mod explain;
mod identity;
mod own;
mod pem;
mod rotation;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection};

use super::*;
use crate::credentials::provider::provider;

/// The octets of a file of `tests/certs`.
macro_rules! cert {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/certs/", $name))
    };
}
pub(super) use cert;

/// Both ends of a handshake, as far as they came.
pub(super) struct Met {
    pub(super) client: ClientConnection,
    pub(super) server: ServerConnection,
    pub(super) client_error: Option<Error>,
    pub(super) server_error: Option<Error>,
    /// What the client's side says to its error, and the server's.
    pub(super) client_told: Option<String>,
    pub(super) server_told: Option<String>,
}

impl Met {
    /// A handshake with `name`, until neither end has more to say.
    pub(super) fn new(client: Arc<ClientConfig>, name: &str, server: Arc<ServerConfig>) -> Self {
        let target = ServerName::try_from(name.to_owned()).unwrap();
        let mut met = Self {
            client: ClientConnection::new(client, target).unwrap(),
            server: ServerConnection::new(server).unwrap(),
            client_error: None,
            server_error: None,
            client_told: None,
            server_told: None,
        };
        met.talk(name);
        met
    }

    pub(super) fn of(client: &ChannelCredentials, name: &str, server: &ServerCredentials) -> Self {
        Self::new(client.inside().client_config(), name, server.inside().server_config())
    }

    fn talk(&mut self, name: &str) {
        loop {
            let mut flight = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut flight).unwrap();
            }
            let mut answer = Vec::new();
            if !flight.is_empty() {
                let mut rest = &flight[..];
                while !rest.is_empty() && self.server_error.is_none() {
                    self.server.read_tls(&mut rest).unwrap();
                    self.server_error = self.server.process_new_packets().err();
                    let told = self.server_error.as_ref().map(|why| super::explain(why, None));
                    self.server_told = self.server_told.take().or(told);
                }
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut answer).unwrap();
            }
            if flight.is_empty() && answer.is_empty() {
                return;
            }
            let mut rest = &answer[..];
            while !rest.is_empty() && self.client_error.is_none() {
                self.client.read_tls(&mut rest).unwrap();
                self.client_error = self.client.process_new_packets().err();
                let told = self.client_error.as_ref().map(|why| super::explain(why, Some(name)));
                self.client_told = self.client_told.take().or(told);
            }
        }
    }

    /// Nobody refused anything, and `h2` was agreed on.
    #[track_caller]
    pub(super) fn succeeded(&mut self) -> &mut Self {
        assert_eq!(self.client_error, None);
        assert_eq!(self.server_error, None);
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        assert_eq!(self.client.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(self.server.alpn_protocol(), Some(&b"h2"[..]));
        self
    }

    /// The first certificate that the client was shown.
    pub(super) fn server_leaf(&self) -> &[u8] {
        &self.client.peer_certificates().unwrap()[0]
    }
}

/// A folder of its own, which goes with it.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("grpc-threads-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn write(&self, name: &str, octets: &[u8]) -> PathBuf {
        fs::write(self.file(name), octets).unwrap();
        self.file(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The DER of the first certificate of a PEM text.
pub(super) fn der(pem: &[u8]) -> Vec<u8> {
    super::pem::certificates("it", pem).unwrap().remove(0).der
}

pub(super) fn trusting(roots: &[u8]) -> ChannelCredentials {
    ssl_channel_credentials(Some(roots), None, None).unwrap()
}

pub(super) fn serving(key: &[u8], chain: &[u8]) -> ServerCredentials {
    ssl_server_credentials(&[(key, chain)], None, false).unwrap()
}

#[test]
fn two_ends_meet_with_the_defaults() {
    let server = serving(cert!("server.key"), cert!("server.pem"));
    for name in ["localhost", "127.0.0.1", "::1", "LOCALHOST"] {
        Met::of(&trusting(cert!("ca.pem")), name, &server).succeeded();
    }
    for (key, chain) in [
        (&cert!("rsa.key")[..], &cert!("rsa.pem")[..]),
        (cert!("rsa-pkcs1.key"), cert!("rsa.pem")),
        (cert!("server-sec1.key"), cert!("server.pem")),
        (cert!("p384.key"), cert!("p384.pem")),
        (cert!("ed25519.key"), cert!("ed25519.pem")),
    ] {
        Met::of(&trusting(cert!("ca.pem")), "localhost", &serving(key, chain)).succeeded();
    }
}

#[test]
fn a_chain_may_have_its_issuers_in_any_order_and_its_own_twice() {
    let chain = |parts: &[&[u8]]| parts.concat();
    let (below, middle, root) =
        (&cert!("below.pem")[..], &cert!("intermediate.pem")[..], &cert!("ca.pem")[..]);
    for chain in
        [chain(&[below, middle]), chain(&[below, root, middle]), chain(&[below, below, middle])]
    {
        let server = serving(cert!("below.key"), &chain);
        Met::of(&trusting(root), "localhost", &server).succeeded();
    }
    // An intermediate alone may be the root.
    let server = serving(cert!("below.key"), below);
    Met::of(&trusting(middle), "localhost", &server).succeeded();
}

#[test]
fn a_self_signed_certificate_that_is_no_cas_may_be_its_own_root() {
    let server = serving(cert!("self-leaf.key"), cert!("self-leaf.pem"));
    Met::of(&trusting(cert!("self-leaf.pem")), "localhost", &server).succeeded();
}

#[test]
fn of_a_root_no_dates_are_judged() {
    let server = serving(cert!("below-expired.key"), cert!("below-expired.pem"));
    Met::of(&trusting(cert!("expired-ca.pem")), "localhost", &server).succeeded();
}

#[test]
fn which_pair_is_shown_goes_by_the_name_asked_for() {
    let server = ssl_server_credentials(
        &[
            (&cert!("server.key")[..], &cert!("server.pem")[..]),
            (cert!("wildcard.key"), cert!("wildcard.pem")),
        ],
        None,
        false,
    )
    .unwrap();
    let client = trusting(cert!("ca.pem"));
    for (name, expected) in [
        ("localhost", &cert!("server.pem")[..]),
        ("a.example.com", cert!("wildcard.pem")),
        ("A.Example.COM", cert!("wildcard.pem")),
        ("other.test", cert!("wildcard.pem")),
        ("127.0.0.1", cert!("server.pem")), // no name is sent for an address
    ] {
        assert_eq!(
            Met::of(&client, name, &server).succeeded().server_leaf(),
            der(expected),
            "{name}"
        );
    }
    // Those that no pair is for are shown the first, and refuse it.
    for name in ["a.b.example.com", "example.com", "nobody.test"] {
        let met = Met::of(&client, name, &server);
        assert!(met.client_told.unwrap().contains("(CN=server)"), "{name}");
    }
}

#[test]
fn of_pairs_for_one_name_the_first_whose_key_the_client_takes_is_shown() {
    let pairs = [
        (&cert!("ed25519.key")[..], &cert!("ed25519.pem")[..]),
        (cert!("rsa.key"), cert!("rsa.pem")),
    ];
    let server = ssl_server_credentials(&pairs, None, false).unwrap();
    let client = trusting(cert!("ca.pem"));
    let met = &mut Met::of(&client, "localhost", &server);
    assert_eq!(met.succeeded().server_leaf(), der(cert!("ed25519.pem")));
    // One that takes RSA only.
    let mut provider = (*provider()).clone();
    let algorithms = &mut provider.signature_verification_algorithms;
    let rsa =
        |(scheme, _): &&(rustls::SignatureScheme, _)| format!("{scheme:?}").starts_with("RSA");
    let kept: Vec<_> = algorithms.mapping.iter().filter(rsa).copied().collect();
    algorithms.mapping = Box::leak(kept.into_boxed_slice());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(cert!("ca.pem")).into()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ChannelCredentials::unstable_from_rustls(config);
    let met = Met::of(&client, "localhost", &server);
    let key = super::der::Certificate::read(met.server_leaf_sent()).unwrap().key_kind();
    assert_eq!(key, super::der::KeyKind::Rsa(2048));
}

impl Met {
    /// Of a client that may have refused it.
    fn server_leaf_sent(&self) -> &[u8] {
        self.client.peer_certificates().map_or(&[], |chain| &chain[0])
    }
}

#[test]
fn asked_not_demanded_and_never_asked_are_three_things() {
    let base = || ServerCredentials::builder().pair(cert!("server.key"), cert!("server.pem"));
    let required = base().require_client_certificates(cert!("ca.pem")).build().unwrap();
    let optional = base().request_client_certificates(cert!("ca.pem")).build().unwrap();
    let pairs = [(cert!("server.key"), cert!("server.pem"))];
    let never = ssl_server_credentials(&pairs, Some(cert!("ca.pem")), false).unwrap();
    let classic = ssl_server_credentials(&pairs, Some(cert!("ca.pem")), true).unwrap();
    let nobody = trusting(cert!("ca.pem"));
    let client = |key: &[u8], chain: &[u8]| {
        ssl_channel_credentials(Some(cert!("ca.pem")), Some(key), Some(chain)).unwrap()
    };
    let known = client(cert!("client.key"), cert!("client.pem"));
    let stranger = client(cert!("self-leaf.key"), cert!("self-leaf.pem"));

    let shown = |server: &ServerCredentials, client: &ChannelCredentials| {
        was_certificate_asked_for();
        let mut met = Met::of(client, "localhost", server);
        let asked = was_certificate_asked_for();
        if met.server_error.is_none() {
            met.succeeded();
        }
        (asked, met.server_error.is_none(), met.server.peer_certificates().is_some())
    };
    for server in [&required, &classic] {
        assert_eq!(shown(server, &nobody), (true, false, false));
        assert_eq!(shown(server, &known), (true, true, true));
        assert_eq!(shown(server, &stranger), (true, false, false));
    }
    assert_eq!(shown(&optional, &nobody), (true, true, false));
    assert_eq!(shown(&optional, &known), (true, true, true));
    assert_eq!(shown(&optional, &stranger), (true, false, false)); // a bad one is refused
    for client in [&nobody, &known, &stranger] {
        assert_eq!(shown(&never, client), (false, true, false));
    }
}

#[test]
fn sessions_are_resumed_within_the_same_credentials() {
    let server = serving(cert!("server.key"), cert!("server.pem"));
    let client = trusting(cert!("ca.pem"));
    let mut kinds = Vec::new();
    for client in [&client, &client.clone(), &client, &trusting(cert!("ca.pem"))] {
        let mut met = Met::of(client, "localhost", &server);
        met.succeeded();
        // A ticket comes with the first octets of the server's.
        met.server.writer().write_all(b"x").unwrap();
        met.talk("localhost");
        kinds.push(met.client.handshake_kind().unwrap());
        assert_eq!(met.client.handshake_kind(), met.server.handshake_kind());
    }
    use rustls::HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Full, Resumed, Resumed, Full]);
}

#[test]
fn the_versions_are_1_2_and_1_3_and_every_suite_is_one_that_http2_allows() {
    for suite in provider().cipher_suites.iter().map(|suite| suite.suite()) {
        let name = format!("{suite:?}");
        let ephemeral = name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_");
        // § RFC 9113 appendix A forbids the rest.
        assert!(ephemeral && (name.contains("GCM") || name.contains("CHACHA20")), "{name}");
    }
    let server = serving(cert!("server.key"), cert!("server.pem"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(cert!("ca.pem")).into()).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let client = ChannelCredentials::unstable_from_rustls(config);
        let mut met = Met::of(&client, "localhost", &server);
        assert_eq!(met.succeeded().client.protocol_version(), Some(version.version));
    }
}

#[test]
fn keys_never_show() {
    let secret = String::from_utf8(cert!("server.key").to_vec()).unwrap();
    let secret = secret.lines().nth(1).unwrap();
    let server = serving(cert!("server.key"), cert!("server.pem"));
    let builder = ServerCredentials::builder().pair(cert!("server.key"), cert!("server.pem"));
    let client = ChannelCredentials::builder().identity(cert!("server.key"), cert!("server.pem"));
    let pem = Pem::from(cert!("server.key"));
    let configuration =
        ssl_server_certificate_configuration(&[(cert!("server.key"), cert!("server.pem"))], None)
            .unwrap();
    let texts = [
        format!("{server:#?}"),
        format!("{builder:#?}"),
        format!("{client:#?}"),
        format!("{pem:#?}"),
        format!("{configuration:#?}"),
        format!("{:#?}", client.clone().roots(cert!("ca.pem")).build().unwrap()),
        format!("{:#?}", server.inside().server_config()),
    ];
    // As text, and both the text and what it stands for as numbers.
    let numbers = |octets: &[u8]| octets.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
    let der = super::pem::private_key("it", cert!("server.key")).unwrap().der;
    let numbers = [numbers(&der[40..44]), numbers(&secret.as_bytes()[8..16])];
    for text in texts {
        assert!(!text.contains(secret), "{text}");
        let text: String = text.split_whitespace().collect();
        assert!(!numbers.iter().any(|numbers| text.contains(numbers)), "{text}");
    }
}
