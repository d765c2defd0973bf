//! Frames out: control bytes first, then DATA in round-robin.
//!
//! Owns the control buffer, the list of streams with DATA to send, and the connection's send window.
//! HEADERS and small DATA are framed into the control buffer when they are appended.

use std::collections::VecDeque;
use std::time::Instant;

use super::super::batch::Batch;
use super::super::flow::SendWindow;
use super::super::frame::{self, data};
use super::super::hpack::encode;
use super::super::settings::Peer;
use super::super::stream::{Closed, Sending, Slot};
use super::super::types::{Key, Reason, Role};
use super::account::Account;
use super::{Connection, Room, Sink};

/// The longest DATA frame: one stream's turn. Every peer accepts it (§4.2).
const TURN: usize = 16 * 1024;

/// Above this the control buffer takes no more DATA directly: it would go round the budget.
const DIRECT: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Output {
    /// Frames that are fixed: they leave in this order.
    pub(super) control: Vec<u8>,
    /// Streams with queued DATA and, at last look, an open window. Keys whose stream has gone
    /// are skipped when their turn comes.
    pub(super) ready: VecDeque<Key>,
    pub(super) window: SendWindow,
    pub(super) account: Account,
    /// The peer shrank the decoder's table below our encoder's: said at the next block.
    pub(super) table_update: bool,
}

impl Output {
    pub(super) fn new() -> Self {
        Self {
            control: Vec::new(),
            ready: VecDeque::new(),
            window: SendWindow::new(super::super::flow::DEFAULT_WINDOW),
            account: Account::default(),
            table_update: false,
        }
    }

    /// Appends a header block.
    pub(super) fn block(&mut self, id: u32, block: &[u8], end: bool, peer: &Peer) {
        if std::mem::take(&mut self.table_update) {
            // "This dynamic table size update MUST occur at the beginning of the first header block
            // following the change to the dynamic table size" RFC 7541 §4.2. Ours is never used: 0.
            let mut updated = Vec::with_capacity(block.len() + 1);
            encode::no_table(&mut updated);
            updated.extend_from_slice(block);
            frame::headers::encode_block(&mut self.control, id, &updated, end, peer.max_frame);
            return;
        }
        frame::headers::encode_block(&mut self.control, id, block, end, peer.max_frame);
    }

    /// Frames `bytes` at once if that is in order. False: they have to be queued.
    #[inline]
    pub(super) fn data_now(&mut self, id: u32, slot: &mut Slot, bytes: &[u8], end: bool) -> bool {
        let n = bytes.len();
        if slot.queued > 0 || n > TURN {
            return false;
        }
        if n == 0 {
            if end {
                data::encode_head(&mut self.control, id, 0, true);
            }
            return true;
        }
        let room = slot.send_window.available().min(self.window.available());
        if n > room || self.control.len() > DIRECT {
            return false;
        }
        slot.send_window.take(n);
        self.window.take(n);
        self.control.reserve(frame::HEAD_LEN + n);
        data::encode_head(&mut self.control, id, n as u32, end);
        self.control.extend_from_slice(bytes);
        true
    }

    /// Puts a stream with queued DATA into the round-robin, if its window is open.
    pub(super) fn enlist(&mut self, key: Key, slot: &mut Slot) {
        if !slot.ready && slot.queued > 0 && slot.send_window.available() > 0 {
            slot.ready = true;
            self.ready.push_back(key);
        }
    }

    /// A stream ended while it waited for its turn.
    pub(super) fn strike(&mut self, key: Key) {
        self.ready.retain(|&other| other != key);
    }

    /// No DATA any more.
    pub(super) fn stop(&mut self) {
        self.ready = VecDeque::new();
        self.account.close();
    }

    pub(super) fn rest(&mut self) {
        if self.control.is_empty() {
            self.control = Vec::new();
        }
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
    }
}

impl Connection {
    /// Are there bytes to write, or is there an end to be told?
    pub(crate) fn wants_output(&self) -> bool {
        !self.out.control.is_empty()
            || !self.out.ready.is_empty() && self.out.window.available() > 0
            || self.drained()
            || self.notices.ids_used_up
            || self.notices.room && self.room() == Room::Yes
    }

    /// Octets that leave before any queued DATA.
    pub(crate) fn control_len(&self) -> usize {
        self.out.control.len()
    }

    /// Appends what is to be written: all control bytes, then DATA until `out` has `budget` bytes.
    pub(crate) fn poll_output(&mut self, out: &mut Batch, budget: usize, sink: &mut dyn Sink) {
        let before = out.len();
        out.append(&mut self.out.control);
        while out.len() < budget && self.out.window.available() > 0 {
            let Some(key) = self.out.ready.pop_front() else { break };
            self.turn(key, out, sink);
        }
        if self.drained() {
            if self.role == Role::Client && self.shutdown.is_running() {
                self.send_goaway(0, Reason::NO_ERROR, "");
            }
            self.die(Reason::NO_ERROR, "drained", sink);
        }
        if !self.out.control.is_empty() {
            out.append(&mut self.out.control);
        }
        self.out.account.take(out.len() - before);
        self.deliver(sink);
    }

    /// The socket has taken `n` octets of what [`poll_output`](Self::poll_output) gave. `full`: and takes no more now.
    pub(crate) fn sent(&mut self, n: usize, full: Option<Instant>) {
        let Output { account, control, .. } = &mut self.out;
        let shut = !account.opens(control.len());
        account.sent(n, full);
        self.notices.room |= shut && account.opens(control.len()) && self.role == Role::Client;
    }

    /// The socket takes nothing any more: what waits will never go, and the end is for the reader to find.
    pub(crate) fn cut_off(&mut self) {
        self.out.account.close();
    }

    /// Everything that waits to be sent, in octets, whoever queued it.
    pub(crate) fn unsent(&self) -> usize {
        self.out.account.total(self.out.control.len())
    }

    /// Above so much a server starts nothing new for the peer.
    pub(crate) fn max_unsent(&self) -> usize {
        self.options.max_unsent
    }

    /// Whether the answer on this stream is not out: not given yet, or queued.
    pub(crate) fn is_sending(&self, key: Key) -> bool {
        let slot = self.streams.peek(key);
        slot.is_some_and(|slot| slot.closed.is_none() && slot.sending != Sending::Done)
    }

    /// Charges what was appended since `control` had `before` octets to the peer's input.
    pub(crate) fn charge(&mut self, before: usize) {
        self.out.account.provoked(self.out.control.len().saturating_sub(before));
    }

    /// One stream's turn: one DATA frame, made of as many pieces as fit.
    fn turn(&mut self, key: Key, out: &mut Batch, sink: &mut dyn Sink) {
        let conn_room = self.out.window.available();
        let Some(slot) = self.streams.get(key).filter(|slot| slot.ready) else { return };
        slot.ready = false;
        let n = slot.queued.min(TURN).min(conn_room).min(slot.send_window.available());
        if n == 0 {
            return; // A smaller INITIAL_WINDOW_SIZE closed the window; its credit enlists again.
        }
        let last = n == slot.queued && slot.sending == Sending::Ending;
        data::encode_head(out.octets(), key.id, n as u32, last);
        take_pieces(slot, n, out);
        self.out.account.unqueue(n);
        slot.send_window.take(n);
        self.out.window.take(n);
        self.strikes.on_sent();
        let tell = slot.above && slot.queued <= self.options.send_mark();
        slot.above &= !tell;
        let silent = slot.orphan;
        if slot.queued > 0 {
            self.out.enlist(key, slot);
        } else if last {
            self.sent_end(key);
        } else if let Sending::Trailers(block) = &mut slot.sending {
            let block = std::mem::take(block);
            slot.sending = Sending::Ending;
            self.out.block(key.id, &block, true, &self.peer);
            self.sent_end(key);
            // Behind its own data and before anybody else's: nothing may overtake a reset that
            // `sent_end` may have appended.
            out.append(&mut self.out.control);
        }
        if tell && !silent {
            sink.writable(key);
        }
    }

    /// The peer gave credit: for the connection, or for one stream.
    pub(super) fn on_credit(&mut self, key: Option<Key>, increment: u32) -> Result<(), Overflowed> {
        let increment = i64::from(increment);
        let Some(key) = key else {
            return self.out.window.add(increment).map_err(|_| Overflowed);
        };
        if let Some(slot) = self.streams.get(key) {
            slot.send_window.add(increment).map_err(|_| Overflowed)?;
            self.out.enlist(key, slot);
        }
        Ok(())
    }

    /// "When the value of SETTINGS_INITIAL_WINDOW_SIZE changes, a receiver MUST adjust the size of all
    /// stream flow-control windows that it maintains by the difference" §6.9.2
    pub(super) fn on_initial_window(&mut self, delta: i64) -> Result<(), Overflowed> {
        for (key, slot) in self.streams.each() {
            if slot.closed.is_none() {
                slot.send_window.add(delta).map_err(|_| Overflowed)?;
                self.out.enlist(key, slot);
            }
        }
        Ok(())
    }

    /// The stream is over without an answer of ours.
    pub(super) fn close_by_peer(&mut self, key: Key) {
        self.close(key, Closed::ByPeer);
    }
}

/// A window went above 2^31-1.
#[derive(Debug)]
pub(super) struct Overflowed;

/// Moves `n` octets from the stream's queue to `out`.
fn take_pieces(slot: &mut Slot, mut n: usize, out: &mut Batch) {
    slot.queued -= n;
    while n > 0 {
        let Some(piece) = slot.queue.front_mut() else { return };
        if piece.len() > n {
            return out.part(piece, n);
        }
        n -= piece.len();
        if let Some(piece) = slot.queue.pop_front() {
            out.piece(piece);
        }
    }
}
