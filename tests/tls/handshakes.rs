//! Handshakes that come to nothing: what is told, to whom, and that nothing is left of them.

use crate::common::*;
use crate::service::*;
use crate::support::LONG;
use crate::support::proxy::{Plan, Proxy};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn refused(channel: &Channel, words: &[&str]) {
    let status = call(channel).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    for words in words {
        assert!(status.message().contains(words), "{words:?} is not in {status:?}");
    }
}

fn lazily(builder: ChannelBuilder) -> Channel {
    builder.connect_lazily().unwrap()
}

#[test]
fn a_server_that_nobody_vouches_for_is_refused() {
    let server = Secure::new();
    let channel = Channel::builder(&server.target()).credentials(&trusting(OTHER_CA));
    refused(&lazily(channel), &[&server.target()]);
}

#[test]
fn a_server_of_another_name_is_refused_unless_that_name_is_meant() {
    let server = Secure::new();
    let named = |name: &str| secure(&server.target()).ssl_target_name_override(name);
    refused(&lazily(named("other.test")), &["other.test"]);
    assert_eq!(call(&lazily(named("localhost"))).unwrap(), b"hello"[..]);
}

#[test]
fn addresses_are_checked_as_addresses_and_names_as_names() {
    let server = Secure::new();
    for host in ["127.0.0.1", "ipv4:127.0.0.1", "dns:///127.0.0.1", "localhost"] {
        let target = format!("{host}:{}", server.port);
        assert_eq!(call(&lazily(secure(&target))).unwrap(), b"hello"[..], "{target}");
    }
    // The certificate says 127.0.0.1 and not 127.0.0.2, on which a server of `[::]` answers, too.
    let port = server.served.server.add_secure_port("[::]:0", &server_credentials()).unwrap();
    refused(&lazily(secure(&format!("ipv4:127.0.0.2:{port}"))), &["127.0.0.2"]);
    assert_eq!(call(&lazily(secure(&format!("ipv6:[::1]:{port}")))).unwrap(), b"hello"[..]);
}

#[test]
fn an_override_is_the_authority_too_and_needs_credentials() {
    let error = Channel::builder("localhost:1").ssl_target_name_override("a.test");
    assert!(error.connect_lazily().unwrap_err().to_string().contains("a.test"));
    let error = secure("localhost:1").ssl_target_name_override("no name");
    assert!(error.connect_lazily().unwrap_err().to_string().contains("no name"));
}

#[test]
fn a_server_without_alpn_is_refused_and_that_is_named() {
    for (alpn, words) in [(&[][..], "HTTP/2"), (&["http/1.1"], "")] {
        for version in [TLS12, TLS13] {
            let served = Served::new();
            let relay = Relay::terminate(served.address(), raw_server(&[version], alpn));
            refused(&lazily(secure(&relay.target())), &[words, &relay.target()]);
        }
    }
}

#[test]
fn a_client_without_alpn_is_sent_away_before_http2_begins() {
    let server = Secure::new();
    let plain = raw_handshake(server.address(), &mut raw_session(&[])).unwrap();
    assert!(plain.is_empty(), "{plain:?}");
    let error = raw_handshake(server.address(), &mut raw_session(&["http/1.1"])).unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn a_missing_client_certificate_is_named_though_the_client_was_connected_by_then() {
    let server = Secure::with(&mutual());
    for _ in 0..5 {
        refused(&server.channel(), &["ertificate"]);
    }
}

#[test]
fn our_alert_comes_before_a_reset_whatever_the_peer_has_sent() {
    let server = Secure::with(&mutual());
    for _ in 0..10 {
        let mut session = raw_session(&["h2"]);
        session.write(&vec![7; 200_000]).unwrap();
        let error = raw_handshake(server.address(), &mut session).unwrap_err();
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    }
}

#[test]
fn our_alert_comes_before_a_reset_on_a_connection_that_was_good_until_then() {
    let server = Secure::new();
    let mut forged = vec![23, 3, 3, 0, 40];
    forged.resize(2_000_000, 7);
    for _ in 0..10 {
        let mut session = raw_session(&["h2"]);
        let mut wire = TcpStream::connect(server.address()).unwrap();
        session.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        let mut plain = Vec::new();
        while plain.is_empty() {
            assert!(raw_turn(&mut session, &mut wire, &mut plain).unwrap());
        }
        wire.write_all(&forged).unwrap();
        let error = loop {
            match raw_turn(&mut session, &mut wire, &mut plain) {
                Ok(more) => assert!(more, "an end without a word"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        // A reset may overtake an alert or not; so there is to be none, whatever else comes.
        wire.write_all(b"more").unwrap();
        assert_eq!(wire.read(&mut [0; 100]).unwrap(), 0);
    }
}

/// Whether the server's first frame comes before the client has sent more than its hello, and what the client's session is
/// like then.
fn speaks_first(server: &Secure, config: Arc<rustls::ClientConfig>) -> (bool, ClientConnection) {
    let mut wire = TcpStream::connect(server.address()).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(config, name).unwrap();
    session.write_tls(&mut wire).unwrap();
    let mut plain = 0;
    // The server's SETTINGS are in one write with the rest, but the wire may cut it.
    wire.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    while plain == 0 && session.read_tls(&mut wire).is_ok_and(|read| read > 0) {
        plain = session.process_new_packets().unwrap().plaintext_bytes_to_read();
    }
    let mut heard = vec![0; plain];
    session.reader().read_exact(&mut heard).unwrap();
    let settings = matches!(heard[..], [0, 0, _, 4, 0, 0, 0, 0, 0, ..]);
    assert_eq!(settings, plain > 0, "{heard:?}");
    (settings, session)
}

#[test]
fn rfc9113_3_4_a_servers_settings_come_with_its_half_of_the_handshake() {
    let server = Secure::new();
    let (spoke, session) = speaks_first(&server, raw_client(&[TLS13], &["h2"]));
    assert!(spoke && session.wants_write(), "the client's Finished is still to be sent");
    // Nobody is let in by that: the port goes as if nobody had come.
    server.served.server.stop(Some(LONG));
    let ended = server.served.server.wait_for_termination(LONG / 2);
    assert_eq!(ended, grpc_threads::Termination::Terminated);
    for (credentials, config) in [
        (server_credentials(), raw_client(&[TLS12], &["h2"])),
        (server_credentials(), raw_client(&[TLS13], &[])),
        (mutual(), raw_client(&[TLS13], &["h2"])),
    ] {
        let server = Secure::with(&credentials);
        assert!(!speaks_first(&server, config).0, "{credentials:?}");
    }
}

#[test]
fn a_plain_server_is_told_from_a_secure_one() {
    let served = Served::new();
    let words = ["speaks HTTP/2 without TLS", "insecure", &served.target()];
    refused(&lazily(secure(&served.target())), &words);
}

#[test]
fn a_plain_client_is_told_from_a_secure_one_on_both_sides() {
    listen_to_the_log();
    let server = Secure::new();
    refused(&channel(&server.target()), &["TLS", &server.target()]);
    assert!(logged(&["DEBUG", "127.0.0.1", "does not speak TLS", "PRI * HTTP/2.0"]));
}

#[test]
fn a_silent_server_takes_no_longer_than_the_time_to_connect() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap().to_string();
    let channel = lazily(secure(&target).connect_timeout(Duration::from_millis(200)));
    let start = Instant::now();
    refused(&channel, &["200ms", "says nothing in the TLS handshake"]);
    assert!(start.elapsed() < LONG / 2);
}

#[test]
fn a_channel_is_ready_when_the_server_has_spoken_http2_not_tls_alone() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = Relay::terminate(silent.local_addr().unwrap(), raw_server(&[TLS13], &["h2"]));
    let channel = lazily(secure(&relay.target()));
    assert!(channel.wait_ready(Some(Duration::from_millis(300))).is_err());
    assert_eq!(channel.state(false), grpc_threads::Connectivity::Connecting);
}

#[test]
fn a_server_that_stops_ends_its_handshakes() {
    let server = Secure::new();
    let mut stalled = TcpStream::connect(server.address()).unwrap();
    stalled.write_all(&client_hello()).unwrap();
    // It has begun: the server's flight is there.
    assert!(stalled.read(&mut [0; 100]).unwrap() > 0);
    server.served.server.stop(Some(LONG));
    let ended = server.served.server.wait_for_termination(LONG / 2);
    assert_eq!(ended, grpc_threads::Termination::Terminated);
    let mut rest = Vec::new();
    stalled.set_read_timeout(Some(LONG / 2)).unwrap();
    match stalled.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn calls_over_a_byte_at_a_time_come_through() {
    let server = Secure::new();
    let proxy = Proxy::new(server.address());
    proxy.next(Plan::byte_by_byte());
    assert_eq!(call(&lazily(secure(&proxy.target()))).unwrap(), b"hello"[..]);
}

#[test]
fn a_client_that_says_nothing_or_half_of_it_is_let_go_after_the_handshakes_time() {
    let time = Duration::from_millis(100);
    let options = grpc_threads::ServerOptions::default().handshake_timeout(time);
    let server = Server::builder().thread_pool(ThreadPool::new(1)).options(options);
    let served = Served::start(server.build().unwrap(), "127.0.0.1:0", []);
    let port = served.server.add_secure_port("127.0.0.1:0", &server_credentials()).unwrap();
    let hello = client_hello();
    for (said, what) in [
        (&[][..], "nothing"),
        // The record's header, and not all that it says of its length.
        (&hello[..5], "a header"),
        (&hello[..hello.len() / 2], "half a hello"),
        // What the server answers is not answered.
        (&hello[..], "a hello and no more"),
    ] {
        let begun = Instant::now();
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.write_all(said).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let took = begun.elapsed();
        assert!(took >= time * 9 / 10, "{what}: {took:?}");
        assert!(took < Duration::from_secs(15), "20 s is the default: {what}: {took:?}");
        assert_eq!(answer.is_empty(), said.len() < hello.len(), "{what}: {answer:?}");
    }
    // Its other clients are served.
    let channel = lazily(secure(&format!("127.0.0.1:{port}")));
    assert_eq!(call(&channel).unwrap(), b"hello"[..]);
}
