//! Peers that speak another protocol, known by their first octets (L9).
//!
//! A server that answers `SSH-2.0` may say no more until we do, and what it said may be shorter
//! than the head of a frame. So the head of the first frame is judged octet by octet, and the
//! user is told what came instead. A server finds the same out by the client's preface. Two are known by name, since they
//! are met every day: TLS, and HTTP/1.

use super::super::frame::{HEAD_LEN, Kind, MIN_MAX_FRAME_SIZE, PREFACE};
use super::super::types::{Reason, Role};
use super::{Connection, Sink};

/// As much of what came instead is told.
const TOLD: usize = 64;

impl Connection {
    /// Ends the connection when what a client has read so far, `more` included, cannot be
    /// the beginning of SETTINGS.
    #[cold]
    pub(super) fn judge_first(&mut self, more: &[u8], sink: &mut dyn Sink) {
        if self.role == Role::Server || self.shutdown.is_dead() {
            return;
        }
        let mut said = self.input.first_octets().to_vec();
        said.extend(more.iter().take(HEAD_LEN.max(TOLD)));
        let wrong = "first frame is not SETTINGS";
        if !may_be_a_head(&said) {
            self.send_goaway(self.last_peer, Reason::PROTOCOL_ERROR, wrong);
            let hint = match is_tls(&said) {
                true => ", which is TLS: this is a TLS port, and the connection is without",
                false => "",
            };
            self.die(Reason::PROTOCOL_ERROR, &no_http2(&said, hint), sink);
        } else if said.get(3).is_some_and(|&kind| kind != Kind::SETTINGS.0) {
            self.abort(Reason::PROTOCOL_ERROR, wrong, sink);
        }
    }
}

impl Connection {
    /// Ends the connection of a client whose preface is none: `matched` of its octets came, then `given`.
    ///
    /// "Clients and servers MUST treat an invalid connection preface as a connection error
    /// of type PROTOCOL_ERROR" §3.4
    #[cold]
    pub(super) fn judge_preface(&mut self, matched: usize, given: &[u8], sink: &mut dyn Sink) {
        self.send_goaway(self.last_peer, Reason::PROTOCOL_ERROR, "no HTTP/2 preface");
        let mut said = PREFACE.get(..matched).unwrap_or_default().to_vec();
        said.extend(given.iter().take(TOLD));
        let hint = match (is_tls(&said), is_http1(&said)) {
            (true, _) => ", which is TLS: this port is without",
            (false, true) => ", which is HTTP/1: this port is for gRPC alone",
            (false, false) => "",
        };
        self.die(Reason::PROTOCOL_ERROR, &no_http2(&said, hint), sink);
    }
}

fn no_http2(said: &[u8], hint: &str) -> String {
    format!("the peer does not speak HTTP/2; it sent \"{}\"{hint}", printable(said))
}

/// A record of an alert or a handshake, of any version: RFC 8446 §5.1.
fn is_tls(said: &[u8]) -> bool {
    matches!(said, [0x15 | 0x16, 0x03, ..])
}

/// The first line of a request: RFC 9112 §3. What is cut off is not known for one.
fn is_http1(said: &[u8]) -> bool {
    let line = said.split(|&octet| octet == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|&octet| octet == b' ').next().unwrap_or_default();
    let method = said.iter().position(|octet| !octet.is_ascii_uppercase());
    let begins = method.is_some_and(|at| at > 1 && said.get(at) == Some(&b' '));
    begins && (line.len() == said.len() || version.starts_with(b"HTTP/1."))
}

/// Can these be the first octets of a frame that is not too long?
fn may_be_a_head(octets: &[u8]) -> bool {
    let mut length = [0; 4];
    for (to, &from) in length.iter_mut().skip(1).zip(octets) {
        *to = from;
    }
    u32::from_be_bytes(length) <= MIN_MAX_FRAME_SIZE
}

/// The first line, or what there is of it, with escapes.
fn printable(octets: &[u8]) -> String {
    let most = octets.get(..TOLD).unwrap_or(octets);
    let line = most.split(|octet| matches!(octet, b'\r' | b'\n')).next();
    line.filter(|line| !line.is_empty()).unwrap_or(most).escape_ascii().to_string()
}
