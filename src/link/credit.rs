//! Long messages and their readers: what the connection is asked to let in at once.
//!
//! A message longer than its stream's window needs a grant of its own, or it would never complete. Who gets one
//! depends on who will take the message: see [`Claim`]. A stream is granted one message ahead of its reader.
//! What is longer than [`LARGE`](crate::wire::framing) counts as long; the rest fits the window.

use std::mem;

use crate::http2::Claim;
use crate::http2::types::Key;
use crate::reactor::spares;
use crate::wire::framing::{Fed, Messages};

use super::cell::Cell;
use super::face::Want;
use super::receiver::After;
use super::state::State;
use super::stream::Took;

/// Credit granted beyond the end of a long message. nghttp2 (so grpc-js) learns that a body has ended only
/// when it could send more of it: with a window of exactly zero its trailers never come.
const BEYOND: usize = 1024;

impl State {
    /// A long message has begun, or its reader has come.
    pub(super) fn expect(&mut self, key: Key) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        if let Some(claim) = cell.claim() {
            cell.promised = claim == Claim::Awaited && cell.inbox.in_long();
            // Not before it is granted: a kept buffer is as long as the peer says, whatever has come.
            if self.conn.expect(key, cell.inbox.missing() + BEYOND, claim) {
                if let Some(buffer) = cell.inbox.lacks().and_then(spares::take) {
                    cell.inbox.move_to(buffer);
                }
            }
        }
    }

    /// The reader waits, perhaps without having looked: its call may just have come by its stream. True: there is
    /// something to send now.
    pub(super) fn ask(&mut self, key: Key, want: Want) -> bool {
        let Some(cell) = self.cells.get_mut(key) else { return false };
        if cell.awaited || !matches!(want, Want::Message | Want::Turn) {
            return false;
        }
        cell.awaited = true;
        if cell.inbox.in_long() {
            self.expect(key);
        }
        self.conn.wants_output()
    }

    /// Returns credit for `consumed` octets and moves out the whole messages that are there.
    pub(super) fn take(&mut self, key: Key, consumed: usize, into: &mut Messages) -> Took {
        if consumed > 0 {
            let waits = self.cells.get(key).is_some_and(|cell| !cell.inbox.ready());
            self.conn.release(key, consumed, waits);
        }
        let Some(cell) = self.cells.get_mut(key) else {
            return Took { over: true, ..Took::default() };
        };
        let taken = cell.inbox.take(into);
        // Who finds nothing waits for what comes next, or asks again.
        cell.awaited = taken == 0;
        let in_long = cell.inbox.in_long();
        let took = Took { head: cell.head.take(), over: cell.over(), broken: cell.broken.clone() };
        if taken > 0 {
            self.conn.taken(key, taken);
        }
        if in_long {
            self.expect(key);
        }
        took
    }
}

/// What follows from octets that came into a cell.
pub(super) fn after_feed(cell: &mut Cell, fed: Fed) -> Option<After> {
    let begun = fed.expects.is_some();
    if fed.whole > 0 {
        cell.awaited = false;
        return mem::take(&mut cell.promised).then_some(After::Complete(cell.key));
    }
    begun.then_some(After::Expect(cell.key))
}
