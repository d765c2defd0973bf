//! Certificates, secure servers and channels, and peers made of rustls alone.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each file uses its part")]

use crate::service::*;
use crate::support::LONG;
pub use crate::support::logged::{self, lines, logged};
pub use grpc_threads::ChannelBuilder;
use grpc_threads::credentials::{
    ServerCertificateConfiguration, ssl_server_certificate_configuration,
};
use grpc_threads::{
    ChannelCredentials, ServerCredentials, ssl_channel_credentials, ssl_server_credentials,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls::{SupportedProtocolVersion, version};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub const CA: &[u8] = include_bytes!("../certs/ca.pem");
pub const OTHER_CA: &[u8] = include_bytes!("../certs/other-ca.pem");
pub const SERVER: &[u8] = include_bytes!("../certs/server.pem");
pub const SERVER_KEY: &[u8] = include_bytes!("../certs/server.key");
pub const CLIENT: &[u8] = include_bytes!("../certs/client.pem");
pub const CLIENT_KEY: &[u8] = include_bytes!("../certs/client.key");

pub const WILDCARD: &[u8] = include_bytes!("../certs/wildcard.pem");
pub const WILDCARD_KEY: &[u8] = include_bytes!("../certs/wildcard.key");
pub const RSA: &[u8] = include_bytes!("../certs/rsa.pem");
pub const RSA_KEY: &[u8] = include_bytes!("../certs/rsa.key");

pub const FOR_CLIENTS: &[u8] = include_bytes!("../certs/for-clients.pem");
pub const FOR_CLIENTS_KEY: &[u8] = include_bytes!("../certs/for-clients.key");
/// Its own issuer.
pub const SELF: &[u8] = include_bytes!("../certs/self-leaf.pem");
pub const SELF_KEY: &[u8] = include_bytes!("../certs/self-leaf.key");

/// Says whom it sees.
pub const PEER: &str = "/test.Test/Peer";

pub static TLS12: &SupportedProtocolVersion = &version::TLS12;
pub static TLS13: &SupportedProtocolVersion = &version::TLS13;

pub fn trusting(roots: &[u8]) -> ChannelCredentials {
    ssl_channel_credentials(Some(roots), None, None).unwrap()
}

pub fn with_certificate() -> ChannelCredentials {
    ssl_channel_credentials(Some(CA), Some(CLIENT_KEY), Some(CLIENT)).unwrap()
}

pub fn configuration(key: &[u8], chain: &[u8]) -> ServerCertificateConfiguration {
    ssl_server_certificate_configuration(&[(key, chain)], None).unwrap()
}

pub fn server_credentials() -> ServerCredentials {
    ssl_server_credentials(&[(SERVER_KEY, SERVER)], None, false).unwrap()
}

pub fn mutual() -> ServerCredentials {
    ssl_server_credentials(&[(SERVER_KEY, SERVER)], Some(CA), true).unwrap()
}

/// What the handler `Who` says to a call.
pub fn who(channel: &Channel) -> String {
    let who = channel.raw_unary_unary("/test.Test/Who").unwrap().timeout(LONG);
    String::from_utf8(who.call(&bytes::Bytes::new()).unwrap().to_vec()).unwrap()
}

/// A server with a plain port and a secure one.
pub struct Secure {
    pub served: Served,
    pub port: u16,
}

impl Secure {
    pub fn new() -> Self {
        Self::with(&server_credentials())
    }

    pub fn with(credentials: &ServerCredentials) -> Self {
        // Whom a handler sees: a line for each property.
        let who = unary(|_, context| {
            let mut text = String::new();
            for (property, values) in context.auth_context().iter() {
                text += &format!("{property} {values:?}\n");
            }
            text += &format!("key {:?}\n", context.peer_identity_key());
            Ok(format!("{text}identities {:?}\n", context.peer_identities()).into())
        });
        let peer = unary(|_, context| Ok(context.peer().into()));
        let served = Served::with(4, [("Who", who), ("Peer", peer)]);
        let port = served.server.add_secure_port("127.0.0.1:0", credentials).unwrap();
        Self { served, port }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn target(&self) -> String {
        self.address().to_string()
    }

    pub fn channel(&self) -> Channel {
        secure(&self.target()).connect_lazily().unwrap()
    }
}

/// A channel that trusts the right CA, and does not wait long before it tries again.
pub fn secure(target: &str) -> ChannelBuilder {
    Channel::builder(target).credentials(&trusting(CA)).reconnect_backoff(SHORT, SHORT)
}

pub const SHORT: Duration = Duration::from_millis(20);

/// What one call comes to.
pub fn call(channel: &Channel) -> Result<bytes::Bytes, Status> {
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(crate::support::LONG);
    echo.call(&bytes::Bytes::from_static(b"hello"))
}

pub fn der(pem: &[u8]) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}

/// The one that the library is built with: the peers bring in no other.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    #[cfg(feature = "tls-aws-lc")]
    use rustls::crypto::aws_lc_rs as chosen;
    #[cfg(not(feature = "tls-aws-lc"))]
    use rustls::crypto::ring as chosen;
    chosen::default_provider().into()
}

pub fn raw_client(
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

pub fn raw_server(
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_slice(SERVER).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A session of rustls' own over a blocking socket.
pub enum Session {
    Client(ClientConnection),
    Server(ServerConnection),
}

/// What stands between two peers, of whom one speaks TLS and the other does not: the session is rustls'.
pub struct Relay {
    address: SocketAddr,
}

impl Relay {
    /// Plain on the listening side, TLS towards `server`.
    pub fn originate(server: SocketAddr, config: Arc<ClientConfig>) -> Self {
        Self::start(move |near| {
            let far = TcpStream::connect(server)?;
            let name = ServerName::try_from("localhost").unwrap();
            let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
            pass(Session::Client(session), far, near)
        })
    }

    /// TLS on the listening side, plain towards `server`.
    pub fn terminate(server: SocketAddr, config: Arc<ServerConfig>) -> Self {
        Self::start(move |near| {
            let far = TcpStream::connect(server)?;
            let session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            pass(Session::Server(session), near, far)
        })
    }

    fn start(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let serve = serve.clone();
                thread::spawn(move || serve(near));
            }
        });
        Self { address }
    }

    pub fn target(&self) -> String {
        self.address.to_string()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Moves octets until both have ended. One thread reads the wire, another the plain side; the session is between them.
fn pass(session: Session, wire: TcpStream, plain: TcpStream) -> io::Result<()> {
    let session = Arc::new(Mutex::new(session));
    let (to_wire, from_plain) = (wire.try_clone()?, plain.try_clone()?);
    let other = session.clone();
    wire.set_nodelay(true)?;
    plain.set_nodelay(true)?;
    // What the session says, in order.
    let flush = |session: &mut Session, mut wire: &TcpStream| -> io::Result<()> {
        let mut out = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut out)?;
        }
        wire.write_all(&out)
    };
    flush(&mut session.lock().unwrap(), &wire)?;
    let up = thread::spawn(move || -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        // Plain octets may come before the handshake is done: rustls keeps them.
        loop {
            let n = (&from_plain).read(&mut buffer)?;
            let mut session = other.lock().unwrap();
            if n == 0 {
                session.close();
                flush(&mut session, &to_wire)?;
                return to_wire.shutdown(Shutdown::Write);
            }
            session.write(&buffer[..n])?;
            flush(&mut session, &to_wire)?;
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = (&wire).read(&mut buffer)?;
        if n == 0 {
            break;
        }
        let mut at = &buffer[..n];
        let mut out = Vec::new();
        let mut session = session.lock().unwrap();
        while !at.is_empty() {
            session.read_tls(&mut at)?;
            let processed = session.process();
            flush(&mut session, &wire)?;
            processed?;
            session.read_all(&mut out);
        }
        drop(session);
        (&plain).write_all(&out)?;
    }
    let _ = plain.shutdown(Shutdown::Write);
    let _ = up.join();
    Ok(())
}

impl Session {
    pub fn wants_write(&self) -> bool {
        match self {
            Self::Client(session) => session.wants_write(),
            Self::Server(session) => session.wants_write(),
        }
    }

    pub fn write_tls(&mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Client(session) => session.write_tls(out),
            Self::Server(session) => session.write_tls(out),
        }
    }

    pub fn read_tls(&mut self, from: &mut &[u8]) -> io::Result<usize> {
        match self {
            Self::Client(session) => session.read_tls(from),
            Self::Server(session) => session.read_tls(from),
        }
    }

    pub fn process(&mut self) -> io::Result<()> {
        let processed = match self {
            Self::Client(session) => session.process_new_packets(),
            Self::Server(session) => session.process_new_packets(),
        };
        processed.map(drop).map_err(io::Error::other)
    }

    pub fn read_all(&mut self, into: &mut Vec<u8>) {
        // Ends with WouldBlock, which is no matter.
        let _ = match self {
            Self::Client(session) => session.reader().read_to_end(into),
            Self::Server(session) => session.reader().read_to_end(into),
        };
    }

    pub fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        match self {
            Self::Client(session) => {
                session.set_buffer_limit(None);
                session.writer().write_all(plain)
            }
            Self::Server(session) => {
                session.set_buffer_limit(None);
                session.writer().write_all(plain)
            }
        }
    }

    /// The first certificate that the peer has shown.
    pub fn peer_leaf(&self) -> Option<Vec<u8>> {
        let chain = match self {
            Self::Client(session) => session.peer_certificates(),
            Self::Server(session) => session.peer_certificates(),
        };
        Some(chain?.first()?.to_vec())
    }

    pub fn close(&mut self) {
        match self {
            Self::Client(session) => session.send_close_notify(),
            Self::Server(session) => session.send_close_notify(),
        }
    }
}

/// A handshake by rustls alone with a server of ours, and what comes after it, until its end.
pub fn raw_handshake(server: SocketAddr, session: &mut Session) -> io::Result<Vec<u8>> {
    let mut wire = TcpStream::connect(server)?;
    let mut plain = Vec::new();
    while raw_turn(session, &mut wire, &mut plain)? {}
    Ok(plain)
}

/// Says what there is to say, and hears something. False: the end.
pub fn raw_turn(
    session: &mut Session,
    wire: &mut TcpStream,
    plain: &mut Vec<u8>,
) -> io::Result<bool> {
    let mut out = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut out)?;
    }
    wire.write_all(&out)?;
    let mut buffer = vec![0; 1 << 16];
    let n = wire.read(&mut buffer)?;
    let mut at = &buffer[..n];
    while !at.is_empty() {
        session.read_tls(&mut at)?;
        session.process()?;
    }
    session.read_all(plain);
    Ok(n > 0)
}

pub fn raw_session(alpn: &[&str]) -> Session {
    let name = ServerName::try_from("localhost").unwrap();
    let config = raw_client(&[TLS12, TLS13], alpn);
    Session::Client(ClientConnection::new(config, name).unwrap())
}

/// What a client of rustls' says first.
pub fn client_hello() -> Vec<u8> {
    let mut out = Vec::new();
    raw_session(&["h2"]).write_tls(&mut out).unwrap();
    assert!(out.len() > 200);
    out
}

/// From here on every line is kept.
pub fn listen_to_the_log() {
    logged::listen(log::LevelFilter::Trace);
}
