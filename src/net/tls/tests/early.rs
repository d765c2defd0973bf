//! What a server says in its half of the handshake, before its client has finished.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, HandshakeKind};

use super::super::handshake::{Failure, Opening, Outcome, Progress, begin};
use super::super::session::Session;
use super::*;

const GREETING: &[u8] = b"what anybody may know";

/// A client's end and a server's that has something to say first, when the server has answered.
fn answered((client, server): (Session, Session)) -> (Opening<Few>, Opening<Few>) {
    let (near, far) = Few::pair(usize::MAX, 1 << 20);
    let mut near = opening(near, client);
    let mut far = Opening::new(far, server, Some(Arc::from(GREETING)));
    assert!(matches!(near.advance().unwrap(), Progress::Wants(_)));
    assert!(matches!(far.advance().unwrap(), Progress::Wants(_)));
    (near, far)
}

#[test]
fn rfc8446_4_4_4_a_server_speaks_before_the_client_has_finished() {
    let (mut near, mut far) = answered(sessions());
    assert_eq!(near.advance().unwrap(), Progress::Done);
    let (near, mut into) = (near.into_pipe(), [0; 100]);
    assert!(near.holds());
    assert_eq!(near.try_read(&mut into).unwrap(), GREETING.len());
    assert_eq!(&into[..GREETING.len()], GREETING);
    // The client's Finished is still to come: there is no connection.
    assert!(matches!(far.advance().unwrap(), Progress::Wants(_)));
    near.try_write(b"preface").unwrap();
    assert_eq!(far.advance().unwrap(), Progress::Done);
    // What was said is not said again, and what follows is.
    let far = far.into_pipe();
    let both = [GREETING, b"and more"].concat();
    assert_eq!(far.try_write(&both).unwrap(), GREETING.len());
    assert_eq!(far.try_write(&both[GREETING.len()..]).unwrap(), 8);
    assert_eq!(near.try_read(&mut into).unwrap(), 8);
    assert_eq!(far.try_read(&mut into).unwrap(), 7);
}

#[test]
fn a_connection_that_begins_otherwise_than_was_said_fails() {
    let (mut near, mut far) = answered(sessions());
    near.advance().unwrap();
    near.into_pipe().begin(None);
    assert_eq!(far.advance().unwrap(), Progress::Done);
    let error = far.into_pipe().try_write(b"what nobody may know").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_client_sends_its_finished_with_its_first_octets() {
    let (mut near, far) = answered(sessions());
    let before = near.pipe().written.load(Ordering::Relaxed);
    assert_eq!(near.advance().unwrap(), Progress::Done);
    assert_eq!(near.pipe().written.load(Ordering::Relaxed), before);
    let near = near.into_pipe();
    assert_eq!(near.try_write(b"preface").unwrap(), 7);
    let written = near.inner().written.load(Ordering::Relaxed) - before;
    // ChangeCipherSpec, Finished, and the octets.
    assert!(written > 7 + 22 + 6, "{written}");
    assert_eq!(far.pipe().try_read(&mut [0; 1000]).unwrap(), written, "in one write");
    // Where there are none it goes by itself.
    let (mut near, mut far) = answered(sessions());
    assert_eq!(near.advance().unwrap(), Progress::Done);
    assert!(matches!(far.advance().unwrap(), Progress::Wants(_)));
    near.into_pipe().begin(None);
    assert_eq!(far.advance().unwrap(), Progress::Done);
}

/// Credentials with which a client shows a certificate to a server that asks for one so.
fn known(ask: impl Fn(ServerCredentialsBuilder) -> ServerCredentialsBuilder) -> Pair {
    let own = (&include_bytes!("../../../../tests/certs/client.key")[..], CLIENT);
    let client = ssl_channel_credentials(Some(CA), Some(own.0), Some(own.1)).unwrap();
    let server = ask(ServerCredentials::builder().pair(SERVER_KEY, SERVER)).build().unwrap();
    (client, server)
}

#[test]
fn where_clients_have_certificates_nothing_is_said_before_they_are_known() {
    let required = known(|server| server.require_client_certificates(CA));
    let asked = known(|server| server.request_client_certificates(CA));
    for credentials in [required, asked] {
        // In a session that is resumed nobody is asked, and the rule is the same.
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (mut near, mut far) = answered(sessions_of(&credentials));
            assert_eq!(near.advance().unwrap(), Progress::Done);
            let (near, mut into) = (near.into_pipe(), [0; 100]);
            assert_eq!(near.kind(), Some(kind));
            assert!(!near.holds());
            assert!(blocks(near.try_read(&mut into)), "{kind:?}");
            near.begin(None);
            assert_eq!(far.advance().unwrap(), Progress::Done);
            let far = far.into_pipe();
            assert_eq!(far.try_write(GREETING).unwrap(), GREETING.len());
            assert_eq!(near.try_read(&mut into).unwrap(), GREETING.len());
        }
    }
}

#[test]
fn with_tls12_a_server_waits_for_the_client() {
    let (client, server) = credentials();
    let provider = client.inside().client_config().crypto_provider().clone();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).unwrap()).unwrap();
    let mut old = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    old.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let client = Session::client(Arc::new(old), name).unwrap();
    let server = Session::server(server.inside().server_config()).unwrap();
    let (near, far) =
        shake_greeted(Few::pair(usize::MAX, 1 << 20), (client, server), Some(GREETING));
    let mut into = [0; 100];
    assert!(blocks(near.try_read(&mut into)));
    assert_eq!(far.try_write(GREETING).unwrap(), GREETING.len());
    assert_eq!(near.try_read(&mut into).unwrap(), GREETING.len());
}

#[test]
fn a_client_that_does_not_agree_on_http2_is_told_nothing_of_it() {
    let (client, server) = credentials();
    let mut config = (*client.inside().client_config()).clone();
    config.alpn_protocols.clear();
    let name = ServerName::try_from("localhost").unwrap();
    let client = Session::client(Arc::new(config), name).unwrap();
    let server = Session::server(server.inside().server_config()).unwrap();
    let (mut near, mut far) = answered((client, server));
    let failure = near.advance().unwrap_err();
    assert!(matches!(failure, Failure::NoHttp2), "{failure}");
    let pipe = near.into_pipe();
    assert!(!pipe.holds());
    let failure = far.advance().unwrap_err();
    assert!(matches!(failure, Failure::NoHttp2), "{failure}");
    assert_eq!(pipe.try_read(&mut [0; 100]).unwrap(), 0, "close_notify, and nothing before it");
}

#[test]
fn octets_that_were_said_early_come_through_however_the_wire_is_cut() {
    for most in [1, 2, 3, 7, 100] {
        let (near, far) = shake_greeted(Few::pair(most, 64), sessions(), Some(GREETING));
        carry(&far, &near, &[GREETING, &pattern(3000)].concat(), 50);
        carry(&near, &far, &pattern(3000), 50);
    }
}

#[test]
fn a_client_that_never_finishes_is_ended_in_time_though_it_was_spoken_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let pipe = SocketPipe::new(listener.accept().unwrap().0).unwrap();
    let (client, server) = credentials();
    let (sender, receiver) = mpsc::channel();
    let outcome: Outcome = Box::new(move |result| sender.send(result.map(drop)).unwrap());
    let session = Session::server(server.inside().server_config());
    let greeting = Some(Arc::from(GREETING));
    let poller = client_poller().unwrap();
    let time = Duration::from_millis(300);
    let _shaking = begin(&poller, pipe, (session, greeting), time, outcome).unwrap();
    // It reads all, and says no more than its hello.
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(client.inside().client_config(), name).unwrap();
    client.write_tls(&mut socket).unwrap();
    let mut heard = Vec::new();
    while heard.len() < GREETING.len() {
        assert!(client.read_tls(&mut socket).unwrap() > 0);
        let plain = client.process_new_packets().unwrap().plaintext_bytes_to_read();
        let had = heard.len();
        heard.resize(had + plain, 0);
        client.reader().read_exact(&mut heard[had..]).unwrap();
    }
    assert_eq!(heard, GREETING);
    assert!(receiver.try_recv().is_err(), "there is a connection");
    assert!(matches!(receiver.recv().unwrap(), Err(Failure::Late)));
    assert_eq!(socket.read(&mut [0; 100]).unwrap_or(0), 0);
    assert!(receiver.recv().is_err(), "it is told once");
}
