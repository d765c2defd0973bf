//! Bad input on both sides: which words are said, by whom, and when. One table each; what each word is about is tested
//! beside the code that says it.

use crate::common::*;
use crate::service::*;
use crate::support::{LONG, within};
use grpc_threads::credentials::{Pem, ServerCredentials};
use grpc_threads::{ChannelCredentials, ssl_channel_credentials, ssl_server_credentials};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certs")).join(name)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn pair(name: &str) -> (Vec<u8>, Vec<u8>) {
    (file(&format!("{name}.key")), file(&format!("{name}.pem")))
}

/// The first call's status.
#[track_caller]
fn says(channel: ChannelBuilder, words: &[&str]) {
    let status = call(&channel.connect_lazily().unwrap()).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    for words in words {
        assert!(status.message().contains(words), "{words:?} is not in {status}");
    }
}

#[test]
fn what_is_wrong_with_ones_own_is_said_when_credentials_are_made() {
    listen_to_the_log();
    let der_key = PrivateKeyDer::from_pem_slice(SERVER_KEY).unwrap().secret_der().to_vec();
    let garbled = String::from_utf8(file("server.pem")).unwrap().replacen("MII", "M!I", 1);
    let cut = file("server.pem")[..300].to_vec();
    let own = |name: &str| file(name);
    let table: [(Vec<u8>, Vec<u8>, &str); 9] = [
        (own("server.key"), Vec::new(), "certificate chain: empty"),
        (Vec::new(), own("server.pem"), "private key: empty"),
        (own("server.key"), garbled.into(), "block 1 (CERTIFICATE) is garbled"),
        (own("server.key"), cut, "block 1 (CERTIFICATE) is cut off"),
        (own("rsa.key"), own("server.pem"), "does not belong to the key"),
        (own("encrypted-pkcs8.key"), own("server.pem"), "the key is encrypted; decrypt it with"),
        (own("server.key"), der(SERVER), "certificate chain: DER, not PEM"),
        (der_key, own("server.pem"), "`openssl pkey -inform DER"),
        (own("server.pem"), own("server.key"), "were key and certificates swapped?"),
    ];
    let secret =
        |name: &str| String::from_utf8(file(name)).unwrap().lines().nth(1).unwrap().to_owned();
    let secrets = ["server.key", "rsa.key", "encrypted-pkcs8.key"].map(secret);
    let mut told = Vec::new();
    for (key, chain, words) in table {
        let server = ssl_server_credentials(&[(&key, &chain)], None, false).unwrap_err();
        let client = ssl_channel_credentials(Some(CA), Some(&key), Some(&chain)).unwrap_err();
        for error in [server, client] {
            assert!(error.to_string().contains(words), "{words:?} is not in {error}");
            told.push(format!("{error} {error:?}"));
        }
    }
    // Of files: which.
    let of_files = |key: &str, chain: &str| {
        let (key, chain) = (Pem::file(path(key)), Pem::file(path(chain)));
        let server = ServerCredentials::builder().pair(key.clone(), chain.clone()).build();
        let client = ChannelCredentials::builder().roots(CA).identity(key, chain).build();
        [server.unwrap_err().to_string(), client.unwrap_err().to_string()]
    };
    for (key, chain, named) in [
        ("none.key", "server.pem", "none.key"),
        ("server.key", "none.pem", "none.pem"),
        ("encrypted-pkcs1.key", "server.pem", "encrypted-pkcs1.key"),
        ("server.key", "rsa.pem", "rsa.pem"),
        ("server.key", "ca.crl", "ca.crl"),
    ] {
        for error in of_files(key, chain) {
            assert!(error.contains(named), "{named:?} is not in {error}");
            told.push(error);
        }
    }
    told.extend(lines());
    let leaked = |line: &&String| secrets.iter().any(|secret| line.contains(&secret[8..24]));
    assert_eq!(told.iter().find(leaked), None);
}

#[test]
fn what_is_wrong_with_a_server_is_the_status_of_the_first_call() {
    for (server, roots, name, words) in [
        ("expired", "ca", "localhost", "expired on 2020-02-01"),
        ("not-yet", "ca", "localhost", "not valid before 2100-01-01"),
        ("wildcard", "ca", "localhost", "other.test"),
        ("server", "other-ca", "localhost", "is not among the roots"),
        ("self-leaf", "ca", "localhost", "it is self-signed, and not among the roots"),
        ("below", "ca", "localhost", "send the intermediate"),
        ("for-clients", "ca", "localhost", "serverAuth"),
    ] {
        let (key, chain) = pair(server);
        let server = Secure::with(&ssl_server_credentials(&[(key, chain)], None, false).unwrap());
        let trusted = trusting(&file(&format!("{roots}.pem")));
        let channel = Channel::builder(&server.target()).credentials(&trusted);
        says(channel.ssl_target_name_override(name), &[words, &server.target()]);
    }
}

#[test]
fn what_is_wrong_with_a_client_is_its_calls_status_and_a_line_in_the_servers_log() {
    listen_to_the_log();
    let server = Secure::with(&mutual());
    for (client, words, line) in [
        ("expired", "has expired", "expired on 2020-02-01"),
        ("not-yet", "is not valid yet", "not valid before 2100-01-01"),
        ("for-servers", "clientAuth", "(CN=for-servers)"),
        ("self-leaf", "it does not know the issuer", "it is self-signed, and not among the roots"),
        ("below", "it does not know the issuer", "have the client send"),
    ] {
        let (key, chain) = pair(client);
        let credentials = ssl_channel_credentials(Some(CA), Some(&key), Some(&chain)).unwrap();
        says(Channel::builder(&server.target()).credentials(&credentials), &[words]);
        assert!(logged(&["DEBUG", "was turned away from a secure port", line]), "{line}");
    }
    says(secure(&server.target()), &["the server wants a client certificate"]);
    assert!(logged(&["the client showed no certificate, and this server demands one"]));
}

#[test]
fn a_handshake_that_breaks_off_is_named_on_both_sides() {
    listen_to_the_log();
    for (said, words) in [
        (&[][..], "the peer closed the connection at once"),
        (&[22, 3, 3, 0, 90, 2, 0, 0], "the peer closed the connection in the TLS handshake"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let peer = thread::spawn(move || {
            let (mut wire, _) = listener.accept().unwrap();
            // All of its first flight, lest the close be a reset.
            assert!(wire.read(&mut [0; 4096]).unwrap() > 0);
            wire.write_all(said).unwrap();
        });
        says(secure(&target), &[words, &target]);
        peer.join().unwrap();
    }
    let server = Secure::new();
    let mut wire = TcpStream::connect(server.address()).unwrap();
    wire.write_all(&client_hello()[..50]).unwrap();
    wire.shutdown(Shutdown::Write).unwrap();
    assert!(logged(&[
        &wire.local_addr().unwrap().to_string(),
        "the peer closed the connection in the TLS handshake",
    ]));
}

/// As grpcio's servers do: they refuse a client after the handshake, and say nothing.
#[test]
fn a_close_without_a_word_by_a_server_that_asked_for_a_certificate_is_told_as_that() {
    let mut roots = RootCertStore::empty();
    roots.add(der(CA).into()).unwrap();
    let judge = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[TLS13])
        .unwrap()
        .with_client_cert_verifier(judge.allow_unauthenticated().build().unwrap())
        .with_single_cert(
            vec![der(SERVER).into()],
            PrivateKeyDer::from_pem_slice(SERVER_KEY).unwrap(),
        );
    let mut config = config.unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    for (credentials, words) in [
        (trusting(CA), "by a server that had asked for a client certificate; none was given"),
        (
            with_certificate(),
            "by a server that had asked for a client certificate; its own log may",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let mut session = Session::Server(ServerConnection::new(config.clone()).unwrap());
        let peer = thread::spawn(move || {
            let (mut wire, _) = listener.accept().unwrap();
            let mut plain = Vec::new();
            // Until the client has spoken HTTP/2: it is connected, as far as TLS knows.
            while plain.is_empty() {
                // What there is to say is said before the next read, and not after the last one.
                assert!(raw_turn(&mut session, &mut wire, &mut plain).unwrap());
            }
        });
        says(Channel::builder(&target).credentials(&credentials), &[words]);
        peer.join().unwrap();
    }
}

/// A run of openssl's, which ends with its test.
struct OpenSsl(Child);

impl OpenSsl {
    fn run(args: &[&str]) -> Option<Self> {
        let version = Command::new("openssl").arg("version").output();
        if !version.is_ok_and(|is| String::from_utf8_lossy(&is.stdout).starts_with("OpenSSL 3")) {
            println!("skipped: {args:?} (no OpenSSL 3 here)");
            return None;
        }
        let mut command = Command::new("openssl");
        command.args(args).args(["-tls1_2", "-alpn", "h2"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Some(Self(command.spawn().unwrap()))
    }

    fn say(&mut self, octets: &[u8]) {
        let input = self.0.stdin.as_mut().unwrap();
        input.write_all(octets).and_then(|()| input.flush()).unwrap();
    }

    /// What it says, up to the end of a line that holds these words.
    fn hear(out: &mut impl BufRead, words: &str) -> String {
        let mut line = Vec::new();
        loop {
            line.clear();
            assert!(out.read_until(b'\n', &mut line).unwrap() > 0, "no {words:?}");
            let line = String::from_utf8_lossy(&line);
            if line.contains(words) {
                return line.trim().to_owned();
            }
        }
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn rfc9113_9_2_1_a_client_that_renegotiates_is_refused() {
    within(LONG, || {
        let server = Secure::new();
        let target = server.target();
        let Some(mut client) = OpenSsl::run(&["s_client", "-connect", &target]) else { return };
        let mut out = BufReader::new(client.0.stdout.take().unwrap());
        OpenSsl::hear(&mut out, "ALPN protocol: h2");
        OpenSsl::hear(&mut out, "Extended master secret");
        OpenSsl::hear(&mut out, "---");
        // What the server says of its own accord is not to come into the middle of it: SETTINGS.
        out.read_exact(&mut [0; 9]).unwrap();
        client.say(b"R\n");
        let mut errors = BufReader::new(client.0.stderr.take().unwrap());
        OpenSsl::hear(&mut errors, "no renegotiation");
        assert_eq!(call(&server.channel()).unwrap(), b"hello"[..]);
    });
}

#[test]
fn rfc9113_9_2_1_a_server_that_renegotiates_is_refused_and_that_is_said() {
    within(LONG, || {
        let (key, chain) = (path("server.key"), path("server.pem"));
        let [key, chain] = [&key, &chain].map(|path| path.to_str().unwrap());
        let args = ["s_server", "-accept", "127.0.0.1:0", "-key", key, "-cert", chain];
        let Some(mut server) = OpenSsl::run(&args) else { return };
        let mut out = BufReader::new(server.0.stdout.take().unwrap());
        let accepts = OpenSsl::hear(&mut out, "ACCEPT ");
        let target = accepts.trim_start_matches("ACCEPT ").to_owned();
        let calling = thread::spawn(move || {
            says(secure(&target), &["renegotiate", "RFC 9113"]);
        });
        OpenSsl::hear(&mut out, "PRI * HTTP/2.0");
        server.say(b"R\n");
        calling.join().unwrap();
    });
}
