//! The way a connection ends: graceful in two steps, or at once.
//!
//! Owns the phases of our own shutdown (RFC 9113 §6.8, W67) and what the peer announced (W68).
//! Deliberately ignores streams and frames. No locks, no threads, no clock.

use std::time::Instant;

use super::error::Error;
use super::frame::MAX_31;

/// Our own shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// A server has said "no more, soon" (last id 2^31-1) and PINGs; what is on its way is still
    /// served until the ACK or this instant.
    Announced(Instant),
    /// The last id is fixed. Once the streams are done, the connection is.
    Draining,
    /// Over: GOAWAY with an error was sent, or the transport is gone.
    Dead,
}

/// What both sides said about the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shutdown {
    pub(crate) phase: Phase,
    /// The last id of the peer's GOAWAY.
    peer: Option<u32>,
}

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self { phase: Phase::Running, peer: None }
    }

    /// The peer's GOAWAY came in.
    pub(crate) fn on_goaway(&mut self, last: u32, client: bool) -> Result<(), Error> {
        // "Endpoints MUST NOT increase the value they send in the last stream identifier" §6.8
        if self.peer.is_some_and(|old| last > old) {
            return Err(Error::protocol("GOAWAY raises the last stream id"));
        }
        // A client's streams are odd; 0 says none, 2^31-1 is odd.
        if client && last != 0 && last & 1 == 0 {
            return Err(Error::protocol("GOAWAY names a stream nobody opens"));
        }
        debug_assert!(last <= MAX_31);
        self.peer = Some(last);
        Ok(())
    }

    /// Has the peer said that it ends?
    pub(crate) fn is_announced(&self) -> bool {
        self.peer.is_some()
    }

    /// May new streams be opened, or accepted?
    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running && self.peer.is_none()
    }

    /// Does a server still take new requests?
    pub(crate) fn accepts(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Announced(_))
    }

    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.phase, Phase::Dead)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Announced(at) => Some(at),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w68_several_goaways_never_rise() {
        let mut s = Shutdown::new();
        assert!(s.on_goaway(MAX_31, true).is_ok());
        assert!(s.on_goaway(7, true).is_ok());
        assert!(s.on_goaway(7, true).is_ok());
        assert!(s.on_goaway(9, true).is_err());
        assert!(!s.is_running());
    }

    #[test]
    fn w68_a_non_zero_even_id_is_an_error_for_a_client() {
        assert!(Shutdown::new().on_goaway(2, true).is_err());
        assert!(Shutdown::new().on_goaway(0, true).is_ok());
        assert!(Shutdown::new().on_goaway(2, false).is_ok());
    }
}
