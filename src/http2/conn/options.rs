//! What a connection may be told at its birth.

use std::time::Duration;

use super::super::age::AgeOptions;
use super::super::frame::MAX_31;
use super::super::guard::Rate;
use super::super::ping::{Enforcement, KeepaliveOptions};
use super::super::types::Role;

/// Limits, windows and timers of one connection. One struct for both roles.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Streams a client may have open at our server, and requests of one connection whose handlers may run (A1).
    pub(crate) max_concurrent_streams: u32,
    /// Octets of a header list, name + value + 32 for each field.
    pub(crate) max_header_list: usize,
    /// A stream's receive window at first, in octets. It has to hold twice the longest message that
    /// is not announced by what the sink says of it ([`super::super::Heard`]), or such a message may never complete.
    pub(crate) initial_window: u32,
    /// What a stream's window may grow to.
    pub(crate) max_window: u32,
    /// The connection's receive window. It bounds no memory: see [`super::super::flow::ConnWindow`].
    pub(crate) connection_window: u32,
    /// What growth and whole-message grants of all streams may hold together: see [`super::super::grant::Ledger`].
    pub(crate) window_budget: usize,
    /// How long a message that holds some of the budget may come in without progress: see [`super::super::grant`].
    pub(crate) message_timeout: Duration,
    /// From the first octet to the peer's first SETTINGS (A15).
    pub(crate) handshake_timeout: Duration,
    /// For a header block that was begun.
    pub(crate) header_timeout: Duration,
    /// For a frame that was begun.
    pub(crate) frame_timeout: Duration,
    /// Between the two GOAWAYs of a graceful end (W67).
    pub(crate) drain_timeout: Duration,
    /// Octets that the peer's input has made us say and that wait to be written; above it the connection asks
    /// not to be read from (A9).
    pub(crate) max_provoked: usize,
    /// Octets of one stream that may wait to be framed before its sender waits.
    pub(crate) send_quota: usize,
    /// Octets that may wait to be sent before a server starts no more handlers for the peer.
    pub(crate) max_unsent: usize,
    /// How long a full socket may take no octet.
    pub(crate) write_timeout: Duration,
    /// Until a request is complete whose method takes it whole. For the link, which knows of methods.
    pub(crate) request_timeout: Duration,
    /// Streams the peer may reset before we have got to them, or open above the limit. Streams that end well earn back, and
    /// so do those whose handlers have ended.
    pub(crate) peer_resets: Rate,
    /// Errors we have to reset a stream for, and empty frames.
    pub(crate) glitches: Rate,
    /// When to ask a silent peer whether it lives.
    pub(crate) keepalive: KeepaliveOptions,
    /// What we tolerate of PINGs.
    pub(crate) enforcement: Enforcement,
    /// How long a server's connection lives.
    pub(crate) age: Option<Box<AgeOptions>>,
    /// A client opens no stream above this id, but drains (W70).
    pub(crate) max_stream_id: u32,
}

impl Options {
    /// A sender whose queue was above this is told when it has fallen to it.
    pub(super) fn send_mark(&self) -> usize {
        self.send_quota / 2
    }

    /// The defaults of the gRPC documents for one role.
    pub(crate) fn new(role: Role) -> Self {
        let server = role == Role::Server;
        Self {
            max_concurrent_streams: 100,
            max_header_list: 16 * 1024,
            initial_window: 128 * 1024,
            max_window: 16 << 20,
            connection_window: 16 << 20,
            window_budget: 16 << 20,
            message_timeout: Duration::from_secs(20),
            handshake_timeout: Duration::from_secs(20),
            header_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            max_provoked: 16 * 1024,
            send_quota: 64 << 10,
            max_unsent: 16 << 20,
            write_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(300),
            // More than the server can serve of one connection: what one costs us is bounded by what a request costs that
            // names no method, and nobody counts those.
            peer_resets: Rate { burst: 100_000, per_second: 100_000 },
            glitches: Rate { burst: 100, per_second: 10 },
            keepalive: KeepaliveOptions {
                time: server.then_some(Duration::from_secs(2 * 3600)),
                timeout: Duration::from_secs(20),
                without_calls: server,
            },
            enforcement: Enforcement {
                min_interval: server.then_some(Duration::from_secs(300)),
                without_calls: false,
                max_strikes: 2,
            },
            age: None,
            max_stream_id: MAX_31 / 4 * 3,
        }
    }
}

impl Options {
    /// Fields of a header list (A6): the size alone would admit twice as many short ones.
    pub(crate) fn max_fields(&self) -> usize {
        (self.max_header_list / 64).max(256)
    }

    /// What the fragments of one block may cost together (A5): their octets, and [`FRAGMENT`] for each.
    pub(crate) fn max_block(&self) -> usize {
        self.max_header_list.saturating_mul(2)
    }
}

/// What a fragment of a header block costs beside its octets. So a list that fits its limit passes in pieces of any
/// honest size, while empty ones come to an end.
pub(crate) const FRAGMENT: usize = 32;

impl Default for Options {
    /// A client's.
    fn default() -> Self {
        Self::new(Role::Client)
    }
}
