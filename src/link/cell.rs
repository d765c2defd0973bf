//! A stream's mailbox: what the peer has sent and nobody has taken yet, and who
//! waits for it. Guarded by the link's lock.

use crate::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use crate::http2::Heard;
use crate::http2::types::Key;
use crate::reactor::spares;
use crate::status::Status;
use crate::wire::framing::{Assembler, Fed};
use crate::wire::headers::{Refusal, RequestHead, ResponseHead};
use crate::wire::outcome::Ending;

use super::face::{Entry, Notify, Want};
use super::me::Me;

/// One stream's mailbox.
pub(super) struct Cell {
    pub(super) key: Key,
    pub(super) inbox: Assembler,
    /// The response headers, until they are taken.
    pub(super) head: Option<ResponseHead>,
    /// The response headers have been seen, taken or not.
    pub(super) headed: bool,
    /// The status that the response headers named out of place (W49).
    pub(super) early: Option<Box<str>>,
    /// One message is due, and it is taken when everything is there.
    pub(super) single: bool,
    /// Whole messages that have come, taken or not.
    pub(super) came: usize,
    /// The peer has ended its half.
    pub(super) peer_done: bool,
    /// The peer's half ended inside a message (W39), or came to one that is too long (W38):
    /// what the receiver is told after the whole messages. A server can still answer.
    pub(super) broken: Option<Status>,
    /// A server has said how it ended.
    pub(super) answered: bool,
    /// How the stream ended. The first ending wins. A server's stream whose peer has
    /// merely half-closed has none.
    pub(super) ending: Option<Ending>,
    pub(super) receiver: Option<Waiting>,
    pub(super) sender: Option<Waiting>,
    pub(super) notify: Option<Arc<Listener>>,
    /// A request that has not been handed over. Until then the link owns the stream.
    pub(super) pending: Option<Pending>,
    /// It is ready to run, and has to wait.
    pub(super) waits: bool,
    /// Its handler is not done.
    pub(super) runs: bool,
    /// When the call is over, as its client said.
    pub(super) deadline: Option<Instant>,
    /// When the request ends if it has not been handed over by then.
    pub(super) ends_by: Option<Instant>,
    /// The request is no gRPC: what to answer at its end. Until then the link owns the stream.
    pub(super) refusal: Option<Refusal>,
    /// So many octets of it were dropped.
    pub(super) dropped: usize,
}

/// Who is told of progress, and whether a telling is still on its way.
pub(super) struct Listener {
    target: Arc<dyn Notify>,
    told: AtomicBool,
}

impl Listener {
    pub(super) fn new(target: Arc<dyn Notify>) -> Arc<Self> {
        Arc::new(Self { target, told: AtomicBool::new(false) })
    }

    /// Something is there, under the link's lock. False: it is about to look anyway.
    pub(super) fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::AcqRel)
    }

    /// With no lock held. What comes from here on is told anew.
    pub(super) fn progress(&self) {
        self.told.store(false, Ordering::Release);
        self.target.progress();
    }

    /// With no lock held, after it and all others of the same round were told.
    pub(super) fn all_told(&self) {
        self.target.all_told();
    }
}

/// A thread that waits on a stream.
pub(super) struct Waiting {
    pub(super) me: Me,
    pub(super) want: Want,
}

/// A request on its way to the server.
pub(super) struct Pending {
    pub(super) head: RequestHead,
    pub(super) entry: Arc<dyn Entry>,
    pub(super) arrived: Instant,
}

impl Cell {
    pub(super) fn new(key: Key, limit: usize) -> Self {
        Self {
            key,
            inbox: Assembler::new(limit),
            head: None,
            headed: false,
            early: None,
            single: false,
            came: 0,
            peer_done: false,
            broken: None,
            answered: false,
            ending: None,
            receiver: None,
            sender: None,
            notify: None,
            pending: None,
            waits: false,
            runs: false,
            deadline: None,
            ends_by: None,
            refusal: None,
            dropped: 0,
        }
    }

    /// Takes in some of the body. `Err`: what it must not hold, a message too many included (W41):
    /// decided when that begins, so that the answer does not depend on how the octets are cut, or on who looks when.
    pub(super) fn feed(&mut self, payload: &[u8]) -> Result<Fed, Fault> {
        let fed = self.inbox.feed(payload).map_err(Fault::Broken)?;
        self.came += fed.whole;
        if self.single && self.came + usize::from(fed.expects.is_some()) > 1 {
            return Err(Fault::Several);
        }
        Ok(fed)
    }

    /// No more will come from the peer.
    pub(super) fn over(&self) -> bool {
        self.peer_done || self.ending.is_some()
    }

    /// Whether `want` needs no more waiting, as far as the mailbox knows ([`Want::Room`] is the connection's).
    pub(super) fn has(&self, want: Want) -> bool {
        match want {
            Want::Head => self.headed || self.over(),
            Want::Message | Want::Turn => self.inbox.ready() || self.over(),
            Want::End => self.over(),
            Want::Room => self.ending.is_some(),
        }
    }

    pub(super) fn end(&mut self, ending: Ending) -> bool {
        let first = self.ending.is_none();
        if first {
            self.ending = Some(ending);
        }
        first
    }

    pub(super) fn waiting(&mut self, want: Want) -> &mut Option<Waiting> {
        if want == Want::Room { &mut self.sender } else { &mut self.receiver }
    }
}

/// What is wrong with a body.
#[derive(Debug)]
pub(super) enum Fault {
    /// A second message began where one is due.
    Several,
    /// A message that is too long, or none.
    Broken(Status),
}

/// The cells of a link, by the slot of their stream.
#[derive(Default)]
pub(super) struct Cells {
    slots: Vec<Option<Box<Cell>>>,
    live: usize,
}

impl Cells {
    pub(super) fn insert(&mut self, cell: Cell) {
        let slot = cell.key.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            self.live += usize::from(place.is_none());
            *place = Some(Box::new(cell));
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<&Cell> {
        self.slots.get(key.slot as usize)?.as_deref().filter(|cell| cell.key == key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Cell> {
        self.slots.get_mut(key.slot as usize)?.as_deref_mut().filter(|cell| cell.key == key)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Box<Cell>> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.as_ref().is_none_or(|cell| cell.key != key) {
            return None;
        }
        self.live -= 1;
        place.take()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.slots.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// Streams whose owner has not let go.
    pub(super) fn live(&self) -> usize {
        self.live
    }
}

/// Gives the message that has begun a kept buffer of its length. Not before it is granted: a kept buffer is as
/// long as the peer says, whatever has come.
pub(super) fn make_room(cell: &mut Cell) {
    if let Some(buffer) = cell.inbox.lacks().and_then(spares::take) {
        cell.inbox.move_to(buffer);
    }
}

/// What octets that came into a cell are for flow control.
pub(super) fn heard(fed: Fed) -> Heard {
    let begun = fed.expects.map(|missing| missing + BEYOND);
    Heard { whole: fed.whole > 0, begun, dropped: false }
}

/// Room asked for beyond the end of a long message. nghttp2 (so grpc-js) learns that a body has ended only
/// when it could send more of it: with a window of exactly zero its trailers never come.
const BEYOND: usize = 1024;
