//! What a link has counted, for whoever asks: [`SocketStats`] of one, [`Totals`] of many.
//!
//! Asking takes the link's lock for the length of a look at its streams; nothing is counted for it.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::net::Address;
use crate::reactor::clock::Wall;
use crate::tally::CallStats;

use super::Link;
use super::cell::Cell;
use super::state::State;

/// One connection, of a channel or of a server.
///
/// § `grpc/channelz/v1/channelz.proto`: `Socket`, `SocketData`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStats {
    /// Its number: of all that is counted in this process the only one.
    pub id: u64,
    /// This end; `None`: not known, as of a socket that is closed.
    pub local: Option<Address>,
    /// The other end.
    pub remote: Option<Address>,
    /// The other end as grpc's `peer()` writes it, such as `ipv4:127.0.0.1:50051`.
    pub remote_name: String,
    /// What protects it; `None`: nothing, or the machine alone.
    pub security: Option<SecurityStats>,
    /// A server has accepted it; else a channel has made it.
    pub accepted: bool,
    /// Streams that were opened; by the client, always.
    pub streams_started: u64,
    /// Those that are over and to whose end the server has come: with whatever status.
    pub streams_succeeded: u64,
    /// Those that are over without that: reset, or lost.
    pub streams_failed: u64,
    /// When the last of them was opened.
    pub last_stream: Option<SystemTime>,
    /// Messages that were handed over to be sent.
    pub messages_sent: u64,
    /// Messages that have come whole.
    pub messages_received: u64,
    /// When the last message was sent.
    pub last_sent: Option<SystemTime>,
    /// When the last message came.
    pub last_received: Option<SystemTime>,
    /// PINGs that asked whether the peer lives.
    pub keepalives_sent: u64,
    /// Bytes that may be sent on the connection now, whatever its streams' own windows say.
    pub send_window: u64,
    /// Bytes that the peer may send on it now, as far as it knows.
    pub receive_window: u64,
    /// Bytes that wait to be sent: for the peer's window, or for room in the socket.
    pub unsent: u64,
    /// How long a word takes to the peer and back, smoothed; `None`: not measured yet.
    pub round_trip: Option<Duration>,
}

/// What TLS protects a connection by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecurityStats {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: String,
    /// The cipher suite, by its registered name.
    pub cipher_suite: Option<String>,
    /// The certificate that the peer has shown, in DER; `None`: it has shown none.
    pub remote_certificate: Option<Bytes>,
}

/// The calls of one connection, or of many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    begun: u64,
    well: u64,
    /// Neither answered nor over.
    running: u64,
    last: Option<Instant>,
}

impl Totals {
    /// These as well.
    pub(crate) fn add(&mut self, other: Self) {
        self.begun += other.begun;
        self.well += other.well;
        self.running += other.running;
        self.last = self.last.max(other.last);
    }

    /// When the last call was started.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.last
    }

    pub(crate) fn stats(&self, wall: &Wall) -> CallStats {
        CallStats {
            started: self.begun,
            succeeded: self.well,
            failed: self.begun.saturating_sub(self.well).saturating_sub(self.running),
            last_started: self.last.map(|at| wall.at(at)),
        }
    }
}

impl State {
    /// What is counted under the lock.
    fn totals(&mut self) -> Totals {
        let runs = |cell: &&mut Cell| cell.ending.is_none() && !cell.answered;
        Totals {
            begun: self.conn.opened(),
            well: self.tally.well,
            running: self.cells.iter_mut().filter(runs).count() as u64,
            last: self.tally.last_opened(),
        }
    }
}

impl Link {
    /// Its number among all that is counted.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The calls that were made on it. Once it is lost they stay as they are.
    pub(crate) fn totals(&self) -> Totals {
        self.state.lock().totals()
    }

    pub(crate) fn stats(&self, wall: &Wall) -> SocketStats {
        let (local, remote) = self.pipe.ends();
        let (remote_name, security) = (self.pipe.peer(), self.security());
        let state = self.state.lock();
        let (conn, tally, at) = (state.conn.stats(), &state.tally, |at| wall.at(at));
        let ((sent, received), (last_sent, last_received)) =
            (tally.messages(), tally.last_messages());
        let over = conn.opened.saturating_sub(conn.active as u64);
        SocketStats {
            id: self.id,
            local,
            remote,
            remote_name,
            security,
            accepted: !self.side.is_client(),
            streams_started: conn.opened,
            streams_succeeded: conn.completed,
            streams_failed: over.saturating_sub(conn.completed),
            last_stream: tally.last_opened().map(at),
            messages_sent: sent,
            messages_received: received,
            last_sent: last_sent.map(at),
            last_received: last_received.map(at),
            keepalives_sent: conn.keepalives,
            send_window: conn.send_window as u64,
            receive_window: u64::try_from(conn.receive_window).unwrap_or_default(),
            unsent: conn.unsent as u64,
            round_trip: conn.round_trip,
        }
    }

    fn security(&self) -> Option<SecurityStats> {
        let known = self.pipe.auth_context();
        let version = known.get("ssl_tls_version").first()?;
        Some(SecurityStats {
            version: String::from_utf8_lossy(version).into_owned(),
            cipher_suite: self.pipe.cipher_suite(),
            remote_certificate: known.peer_certificates().first().cloned(),
        })
    }
}
