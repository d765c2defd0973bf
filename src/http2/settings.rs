//! The exchange of SETTINGS: ours until acknowledged, the peer's as last said.
//!
//! Owns the values and their deadlines (RFC 9113 §6.5). Deliberately ignores frames and
//! what a value does to streams. No locks, no threads, no clock.

use std::time::{Duration, Instant};

use super::frame::{MIN_MAX_FRAME_SIZE, Settings};

/// What the peer asks of us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) initial_window: i64,
    pub(crate) max_frame: u32,
    pub(crate) max_streams: u32,
    pub(crate) max_header_list: u32,
    pub(crate) table_size: u32,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self {
            initial_window: super::flow::DEFAULT_WINDOW,
            max_frame: MIN_MAX_FRAME_SIZE,
            // W66: a prudent guess until the first SETTINGS say otherwise.
            max_streams: 100,
            max_header_list: u32::MAX,
            table_size: 4096,
        }
    }

    /// Takes the values over. `first`: these are the peer's first SETTINGS.
    pub(crate) fn apply(&mut self, settings: &Settings, first: bool) {
        let unlimited = if first { u32::MAX } else { self.max_streams };
        self.max_streams = settings.max_concurrent_streams.unwrap_or(unlimited);
        if let Some(size) = settings.initial_window_size {
            self.initial_window = i64::from(size);
        }
        self.max_frame = settings.max_frame_size.unwrap_or(self.max_frame);
        self.max_header_list = settings.max_header_list_size.unwrap_or(self.max_header_list);
        self.table_size = settings.header_table_size.unwrap_or(self.table_size);
    }
}

/// Where the exchange stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    started: Instant,
    /// The peer's first SETTINGS are in.
    pub(crate) met: bool,
    /// Ours are acknowledged.
    pub(crate) acknowledged: bool,
}

impl Exchange {
    pub(crate) fn new(now: Instant) -> Self {
        Self { started: now, met: false, acknowledged: false }
    }

    /// Our SETTINGS were acknowledged after this long; `None`: nothing was waiting for it.
    pub(crate) fn on_ack(&mut self, now: Instant) -> Option<Duration> {
        let first = !std::mem::replace(&mut self.acknowledged, true);
        first.then(|| now.saturating_duration_since(self.started))
    }

    /// When the peer's first word is overdue. That it acknowledges ours late, or never, harms nobody: until then it
    /// has the defaults, and whether it lives is keepalive's to ask.
    pub(crate) fn deadline(&self, handshake: Duration) -> Option<Instant> {
        if self.met { None } else { self.started.checked_add(handshake) }
    }
}
