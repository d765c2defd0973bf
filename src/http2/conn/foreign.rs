//! Peers that speak another protocol, known by their first octets (L9).
//!
//! A server that answers `SSH-2.0` may say no more until we do, and what it said may be shorter
//! than the head of a frame. So the head of the first frame is judged octet by octet, and the
//! user is told what came instead. A server finds the same out by the client's preface.

use super::super::frame::{HEAD_LEN, Kind, MIN_MAX_FRAME_SIZE};
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
            let said = printable(&said);
            let cause = format!("the peer does not speak HTTP/2; it sent \"{said}\"");
            self.die(Reason::PROTOCOL_ERROR, &cause, sink);
        } else if said.get(3).is_some_and(|&kind| kind != Kind::SETTINGS.0) {
            self.abort(Reason::PROTOCOL_ERROR, wrong, sink);
        }
    }
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
