//! One request, one wait, one answer: a unary call on a link, without a handle on its stream.
//!
//! What takes six or seven critical sections with a [`Stream`](super::Stream) takes three here. With many callers
//! the link's lock is what they meet at.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::http2::Room;
use crate::http2::types::{Key, Reason};
use crate::status::Status;
use crate::wire::framing::Messages;
use crate::wire::headers::ResponseHead;
use crate::wire::outcome::Ending;

use super::Link;
use super::cell::Cell;
use super::face::{Replies, Want};
use super::state::{State, Unsent};

/// Everything there was on a stream that is over.
#[derive(Default)]
pub(crate) struct Exchanged {
    /// The stream's number on the connection.
    pub(crate) id: u32,
    pub(crate) head: Option<ResponseHead>,
    pub(crate) messages: Messages,
    /// `None`: the peer ended its half and said no more.
    pub(crate) ending: Option<Ending>,
}

impl Link {
    /// Opens a stream with the whole request, waits for its end and takes everything out. At the deadline the
    /// stream is reset and ends with `expired`; if its end comes in between, that one counts.
    ///
    /// `Err` says why no stream was opened, as [`Link::open`] does.
    pub(crate) fn exchange(
        self: &Arc<Self>,
        block: &[u8],
        body: Bytes,
        limit: usize,
        deadline: Option<Instant>,
        expired: impl FnOnce() -> Status,
    ) -> Result<Exchanged, Room> {
        let key = self.begin(block, Some(body), true, limit, Replies::One)?;
        let over = self.wait_and(key, Want::End, deadline, |state| {
            let before = state.unsent();
            self.collect(state, key, before)
        });
        let collected = over.unwrap_or_else(|| {
            let ending = Ending::Local(expired());
            let mut state = self.state.lock();
            let before = state.unsent();
            if state.finish(key, ending) {
                state.conn.reset(key, Reason::CANCEL);
            }
            self.collect(&mut state, key, before)
        });
        let Collected { exchanged, cell, flush } = collected;
        if flush {
            self.flush_or_cork(self.state.lock());
        }
        // Its message has been moved out: what is left goes without the lock.
        drop(cell);
        Ok(exchanged)
    }

    /// `before`: what there was to send before this call came to its end.
    fn collect(&self, state: &mut State, key: Key, before: Unsent) -> Collected {
        let mut cell = state.forget(key);
        let mut exchanged = Exchanged { id: key.id, ..Exchanged::default() };
        if let Some(cell) = &mut cell {
            cell.inbox.take(&mut exchanged.messages);
            exchanged.head = cell.head.take();
            exchanged.ending = cell.ending.take();
        }
        if state.cells.live() == 0 {
            self.watch_for_quiet(state);
            state.rest_after_first();
        }
        Collected { exchanged, cell, flush: state.unsent_since(before) }
    }
}

/// What is taken under the lock, and what is to be done after it.
struct Collected {
    exchanged: Exchanged,
    cell: Option<Box<Cell>>,
    /// The end of the call has something to say to the peer.
    flush: bool,
}
