//! One TLS session as a pure machine: octets of the wire to plain ones and back. No socket, lock or clock.
//!
//! Over rustls' unbuffered interface: records are decrypted in the buffer that they were read into, and sealed into the
//! buffer that is written from. What is kept between two calls is what does not make a record yet, and plain octets that
//! nobody had room for; an idle session holds neither.

use std::sync::Arc;

use rustls::ProtocolVersion::TLSv1_2;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedConnectionCommon,
    UnbufferedStatus,
};
use rustls::{AlertDescription, ClientConfig, CommonState, Error, HandshakeKind, ServerConfig};

use super::queue::Queue;
use crate::credentials::{self, Agreed, AuthContext};

/// What the wire is longer than the plain octets for each record, at the most: head, type, explicit nonce, tag.
const RECORD_COST: usize = 64;
/// What one record carries.
const RECORD: usize = 16 * 1024;

const BARE: &str = "by a server that had asked for a client certificate; none was given";
const REFUSED: &str = "by a server that had asked for a client certificate; its own log may say what it has against the \
     one that was given";
/// Nothing else of TLS 1.2 fails so, once its handshake is over.
const RENEGOTIATES: &str = "the peer ended the session (alert handshake_failure) when the handshake was over: it wants to \
     renegotiate, which HTTP/2 forbids (RFC 9113 section 9.2.1)";

/// See the file.
pub(super) struct Session {
    conn: Conn,
    /// Read, and no whole record yet. Only opening changes it.
    tail: Vec<u8>,
    surplus: Surplus,
    /// The peer has said that it will say no more.
    ended: bool,
    /// Whom the client wants to reach.
    name: Option<Box<str>>,
    /// A client: whether the server has asked for a certificate.
    asked: bool,
    /// A client: it has one to show.
    shows: bool,
    /// Octets may be sealed. A server's session may say so before the handshake is over.
    speaks: bool,
}

enum Conn {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// Plain octets that nobody had room for.
#[derive(Default)]
struct Surplus {
    octets: Vec<u8>,
    taken: usize,
}

impl Surplus {
    fn take(&mut self, into: &mut [u8]) -> usize {
        let rest = self.octets.get(self.taken..).unwrap_or_default();
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        self.taken += n;
        if self.taken == self.octets.len() {
            *self = Self::default();
        }
        n
    }
}

impl Session {
    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        let (text, shows) = (name.to_str().into(), config.client_auth_cert_resolver.has_certs());
        let conn = UnbufferedClientConnection::new(config, name)?;
        Ok(Self { name: Some(text), shows, ..Self::new(Conn::Client(Box::new(conn))) })
    }

    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let conn = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Conn::Server(Box::new(conn))))
    }

    fn new(conn: Conn) -> Self {
        Self {
            conn,
            tail: Vec::new(),
            surplus: Surplus::default(),
            ended: false,
            name: None,
            asked: false,
            shows: false,
            speaks: false,
        }
    }

    /// An error of this session's, in words. On the thread that it came up on.
    pub(super) fn explain(&self, error: &Error) -> String {
        let refused = Error::AlertReceived(AlertDescription::HandshakeFailure);
        let version = self.common().protocol_version();
        if *error == refused && version == Some(TLSv1_2) && !self.common().is_handshaking() {
            return RENEGOTIATES.to_owned();
        }
        let asked = self.name.as_deref().filter(|_| self.is_client());
        credentials::explain(error, asked)
    }

    /// What it may mean that the server ends the connection without a word.
    pub(super) fn silence(&self) -> Option<&'static str> {
        match (self.asked, self.shows) {
            (false, _) => None,
            (true, false) => Some(BARE),
            (true, true) => Some(REFUSED),
        }
    }

    pub(super) fn common(&self) -> &CommonState {
        match &self.conn {
            Conn::Client(conn) => conn,
            Conn::Server(conn) => conn,
        }
    }

    pub(super) fn is_client(&self) -> bool {
        matches!(self.conn, Conn::Client(_))
    }

    /// Whether a server may begin to speak HTTP/2, though it has not heard the end of the handshake.
    ///
    /// § RFC 8446 §4.4.4: "Servers MAY send data after sending their first flight, but because the handshake is not yet
    /// complete, they have no assurance of either the peer's identity or its liveness (i.e., the ClientHello might have
    /// been replayed)." So it has to be what anybody may know.
    pub(super) fn speaks_early(&self) -> bool {
        self.speaks && self.common().is_handshaking() && self.agrees()
    }

    /// § RFC 9113 §3.2: HTTP/2 over TLS is identified by "h2" in ALPN. rustls lets a peer in that says nothing of it.
    pub(super) fn agrees(&self) -> bool {
        self.common().alpn_protocol() == Some(b"h2")
    }

    /// Room that [`open`](Self::open) wants in front of what was read.
    pub(super) fn tail_len(&self) -> usize {
        self.tail.len()
    }

    /// Whether the peer has said close_notify.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn has_surplus(&self) -> bool {
        !self.surplus.octets.is_empty()
    }

    /// Plain octets that were left over.
    pub(super) fn take_surplus(&mut self, into: &mut [u8]) -> usize {
        self.surplus.take(into)
    }

    /// Works off what was read: `wire` has [`tail_len`](Self::tail_len) octets of room, then the new ones. Plain octets go
    /// to `into`, and those without room there to the surplus; what the session wants to say about it is added to `out`.
    /// Gives how many of `into` are filled. With an error `out` may have the alert that tells the peer, and nothing more can be
    /// opened.
    pub(super) fn open(
        &mut self,
        wire: &mut [u8],
        into: &mut [u8],
        out: &mut Queue,
    ) -> (usize, Result<(), Error>) {
        let room = self.tail.len().min(wire.len());
        wire[..room].copy_from_slice(&self.tail[..room]);
        let shaking = self.common().is_handshaking().then(|| {
            // What others have left on this thread.
            credentials::was_certificate_asked_for() | credentials::name_asked_for().is_some()
        });
        let surplus = &mut self.surplus.octets;
        let mut flow = Flow { into, filled: 0, surplus, out, ended: false, speaks: false };
        let (used, result) = match &mut self.conn {
            Conn::Client(conn) => open(conn, CLIENT, wire, &mut flow),
            Conn::Server(conn) => open(conn, SERVER, wire, &mut flow),
        };
        let filled = flow.filled;
        self.ended |= flow.ended;
        self.speaks = flow.speaks;
        if shaking.is_some() {
            self.take_notes();
        }
        let rest = wire.get(used..).unwrap_or_default();
        if rest.is_empty() || self.ended {
            self.tail = Vec::new();
        } else {
            self.tail.clear();
            self.tail.extend_from_slice(rest);
        }
        (filled, result)
    }

    /// What the credentials have seen of a handshake on this thread.
    fn take_notes(&mut self) {
        if self.is_client() {
            self.asked |= credentials::was_certificate_asked_for();
        } else {
            self.name = credentials::name_asked_for().or(self.name.take());
        }
    }

    /// What is known of the peer once the handshake is done.
    pub(super) fn auth_context(&self) -> AuthContext {
        let common = self.common();
        AuthContext::of_tls(&Agreed {
            peer_certificates: common.peer_certificates().unwrap_or_default(),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            server_name: self.name.as_deref().filter(|_| !self.is_client()),
            version: common.protocol_version(),
            group: common.negotiated_key_exchange_group().map(|group| group.name()),
        })
    }

    /// The cipher suite that was agreed on, by its name in IANA's registry.
    pub(super) fn cipher_suite(&self) -> Option<String> {
        let name = self.common().negotiated_cipher_suite()?.suite().as_str()?;
        // rustls has its own way to tell those of TLS 1.3 apart.
        Some(name.replacen("TLS13_", "TLS_", 1))
    }

    /// Seals all of `plain`, into `out`.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Queue) -> Result<(), Error> {
        self.say(Word::Data(plain), out)
    }

    /// Seals the word that no more will come.
    pub(super) fn close_notify(&mut self, out: &mut Queue) -> Result<(), Error> {
        self.say(Word::Close, out)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.tail.capacity() + self.surplus.octets.capacity()
    }

    /// Asks for new keys with the next octets (RFC 8446 §4.6.3).
    #[cfg(test)]
    pub(super) fn refresh_keys(&mut self, out: &mut Queue) -> Result<(), Error> {
        self.say(Word::Keys, out)
    }

    fn say(&mut self, word: Word<'_>, out: &mut Queue) -> Result<(), Error> {
        let surplus = &mut self.surplus.octets;
        let mut flow = Flow { into: &mut [], filled: 0, surplus, out, ended: false, speaks: true };
        let result = match &mut self.conn {
            Conn::Client(conn) => say(conn, CLIENT, &mut self.tail, word, &mut flow),
            Conn::Server(conn) => say(conn, SERVER, &mut self.tail, word, &mut flow),
        };
        self.ended |= flow.ended;
        result
    }
}

type Process<D> = for<'c, 'i> fn(
    &'c mut UnbufferedConnectionCommon<D>,
    &'i mut [u8],
) -> UnbufferedStatus<'c, 'i, D>;

const CLIENT: Process<ClientConnectionData> =
    UnbufferedConnectionCommon::<ClientConnectionData>::process_tls_records;
const SERVER: Process<ServerConnectionData> =
    UnbufferedConnectionCommon::<ServerConnectionData>::process_tls_records;

/// Where what comes out of a session goes.
struct Flow<'a> {
    into: &'a mut [u8],
    filled: usize,
    surplus: &'a mut Vec<u8>,
    out: &'a mut Queue,
    ended: bool,
    speaks: bool,
}

impl Flow<'_> {
    fn plain(&mut self, payload: &[u8]) {
        let room = self.into.get_mut(self.filled..).unwrap_or_default();
        // In order: nothing passes what is left over already.
        let n = if self.surplus.is_empty() { room.len().min(payload.len()) } else { 0 };
        let (now, later) = payload.split_at(n);
        room[..n].copy_from_slice(now);
        self.filled += n;
        self.surplus.extend_from_slice(later);
    }
}

#[derive(Clone, Copy)]
enum Word<'a> {
    Data(&'a [u8]),
    Close,
    #[cfg(test)]
    Keys,
}

/// What a session does next.
enum Step<'c, D> {
    Again,
    /// It is at rest, and may be written to.
    Rest(rustls::unbuffered::WriteTraffic<'c, D>),
    /// It is at rest.
    Blocked,
}

/// Does what a state asks for. Also: how many more octets of the wire are used up.
fn step<'c, D>(
    state: ConnectionState<'c, '_, D>,
    flow: &mut Flow<'_>,
) -> Result<(Step<'c, D>, usize), Error> {
    let mut used = 0;
    let step = match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                used += record.discard;
                flow.plain(record.payload);
            }
            Step::Again
        }
        ConnectionState::EncodeTlsData(mut data) => {
            let encoded = append(flow.out, 512, |room| {
                data.encode(room).map_err(|error| match error {
                    EncodeError::InsufficientSize(size) => Ok(size),
                    EncodeError::AlreadyEncoded => Err(internal("encoded twice")),
                })
            });
            encoded.map(|()| Step::Again)?
        }
        ConnectionState::TransmitTlsData(data) => {
            // It is in the queue, which keeps the order.
            data.done();
            Step::Again
        }
        ConnectionState::PeerClosed => {
            flow.ended = true;
            Step::Again
        }
        ConnectionState::Closed => {
            flow.ended = true;
            Step::Blocked
        }
        ConnectionState::WriteTraffic(traffic) => {
            flow.speaks = true;
            Step::Rest(traffic)
        }
        ConnectionState::BlockedHandshake => Step::Blocked,
        // Early data is never offered and never taken: it could be replayed.
        _ => return Err(internal("a state that was not asked for")),
    };
    Ok((step, used))
}

/// Opens all whole records. How much of `wire` is used up, also with an error.
fn open<D>(
    conn: &mut UnbufferedConnectionCommon<D>,
    process: Process<D>,
    wire: &mut [u8],
    flow: &mut Flow<'_>,
) -> (usize, Result<(), Error>) {
    let mut used = 0;
    loop {
        let UnbufferedStatus { discard, state, .. } = process(conn, &mut wire[used..]);
        let stepped = match state {
            Ok(state) => step(state, flow).map(|(step, more)| (matches!(step, Step::Again), more)),
            Err(error) => Err(error),
        };
        used = (used + discard).min(wire.len());
        match stepped {
            Ok((true, more)) => used = (used + more).min(wire.len()),
            Ok((false, _)) => return (used, Ok(())),
            Err(error) => {
                last_words(conn, process, &mut wire[used..], flow);
                return (used, Err(error));
            }
        }
    }
}

/// After an error: the alert that tells the peer. No record is worked off any more.
fn last_words<D>(
    conn: &mut UnbufferedConnectionCommon<D>,
    process: Process<D>,
    wire: &mut [u8],
    flow: &mut Flow<'_>,
) {
    while conn.wants_write() {
        let UnbufferedStatus { state, .. } = process(conn, wire);
        let Ok(state) = state else { return };
        if !matches!(step(state, flow), Ok((Step::Again, _))) {
            return;
        }
    }
}

fn say<D>(
    conn: &mut UnbufferedConnectionCommon<D>,
    process: Process<D>,
    tail: &mut Vec<u8>,
    word: Word<'_>,
    flow: &mut Flow<'_>,
) -> Result<(), Error> {
    #[cfg(test)]
    let mut word = word;
    loop {
        // The tail, though nothing new is in it: a message may be in parts there, and rustls counts from its beginning.
        let UnbufferedStatus { discard, state, .. } = process(conn, tail);
        let (step, more) = step(state?, flow)?;
        match (step, word) {
            (Step::Again, _) => {}
            (Step::Rest(mut traffic), Word::Data(plain)) => {
                let need = plain.len() + (plain.len() / RECORD + 2) * RECORD_COST;
                return append(flow.out, need, |room| traffic.encrypt(plain, room).map_err(small));
            }
            (Step::Rest(mut traffic), Word::Close) => {
                let close = |room: &mut [u8]| traffic.queue_close_notify(room).map_err(small);
                return append(flow.out, 2 * RECORD_COST, close);
            }
            #[cfg(test)]
            (Step::Rest(traffic), Word::Keys) => {
                traffic.refresh_traffic_keys()?;
                word = Word::Data(&[]);
            }
            (Step::Blocked, _) => return Err(internal("the session is not open")),
        }
        tail.drain(..(discard + more).min(tail.len()));
    }
}

/// Appends what `put` writes into the room it is given; it says how much it wants if that is too little.
fn append(
    out: &mut Queue,
    room: usize,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, Result<InsufficientSizeError, Error>>,
) -> Result<(), Error> {
    let written = match put(out.room(room)) {
        Err(Ok(InsufficientSizeError { required_size })) => put(out.room(required_size)),
        other => other,
    };
    match written {
        Ok(written) => {
            out.fill(written);
            Ok(())
        }
        Err(Err(error)) => Err(error),
        Err(Ok(_)) => Err(internal("a length that changes")),
    }
}

fn small(error: EncryptError) -> Result<InsufficientSizeError, Error> {
    match error {
        EncryptError::InsufficientSize(size) => Ok(size),
        EncryptError::EncryptExhausted => Err(Error::EncryptError),
    }
}

fn internal(what: &str) -> Error {
    Error::General(what.to_owned())
}
