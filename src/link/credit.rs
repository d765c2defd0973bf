//! Messages and their readers: the facts by which the connection grants window.
//!
//! What they come to is decided in [`crate::http2`], by one machine: here is only told what happens to a stream's messages.
//! What is longer than [`LARGE`](crate::wire::framing) counts as long; the rest fits the window.

use crate::http2::types::Key;
use crate::wire::framing::Messages;

use super::cell::make_room;
use super::face::Want;
use super::state::State;
use super::stream::Took;

impl State {
    /// The reader waits, perhaps without having looked: its call may just have come by its stream. True: there is
    /// something to send now.
    pub(super) fn ask(&mut self, key: Key, want: Want) -> bool {
        if !matches!(want, Want::Message | Want::Turn) || !self.conn.awaits(key) {
            return false;
        }
        self.make_room(key);
        self.conn.wants_output()
    }

    /// Returns credit for `consumed` octets and moves out the whole messages that are there.
    pub(super) fn take(&mut self, key: Key, consumed: usize, into: &mut Messages) -> Took {
        let Some(cell) = self.cells.get_mut(key) else {
            return Took { over: true, ..Took::default() };
        };
        let taken = cell.inbox.take(into);
        let in_long = cell.inbox.in_long();
        let took = Took { head: cell.head.take(), over: cell.over(), broken: cell.broken.clone() };
        self.conn.taken(key, consumed, taken);
        if in_long {
            self.make_room(key);
        }
        took
    }

    /// A long message that may come whole gets its buffer.
    fn make_room(&mut self, key: Key) {
        if self.conn.granted(key) {
            if let Some(cell) = self.cells.get_mut(key) {
                make_room(cell);
            }
        }
    }
}
