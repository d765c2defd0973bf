//! Streams: two halves each, and the store that finds them.
//!
//! Owns what is known of a stream (RFC 9113 §5.1) as a sending and a receiving half that
//! evolve apart; the RFC's state is derived. Owns the slab of slots, the index from id to slot,
//! and the memory of recently ended streams, by which late frames are judged (H7).
//! Deliberately ignores frames, header contents and who owns a stream. Server push and priorities
//! do not exist here. No locks, no threads, no clock.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::flow::SendWindow;
use super::grant::{Intake, Ledger};
use super::types::Key;

/// Our half of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Open,
    /// END_STREAM goes out with the last queued octet.
    Ending,
    /// This trailer block goes out after the last queued octet.
    Trailers(Bytes),
    Done,
}

/// The peer's half of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    /// A client waits for the response head.
    Head,
    /// DATA or trailers may come.
    Body,
    Done,
}

/// How a stream came to be closed, as far as late frames care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The peer had ended its half: nothing more may come.
    Ended,
    /// We reset it: frames on their way are to be ignored (§5.4.2).
    ByUs,
    /// The peer reset it: nothing more may come.
    ByPeer,
}

/// The state of RFC 9113 §5.1, derived. Idle streams have no slot; reserved ones do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg(test)]
pub(crate) enum State {
    Open,
    HalfClosedLocal,
    HalfClosedRemote,
    Closed,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Zero: the slot is free.
    pub(crate) id: u32,
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    /// Set once the stream is over on the wire; the slot stays for its owner.
    pub(crate) closed: Option<Closed>,
    /// Its owner has let go while the end was still queued: told of nothing any more.
    pub(crate) orphan: bool,
    /// Its handler is done: only the handle is left.
    pub(crate) settled: bool,
    /// The peer has reset it before its handler was done, and paid for that.
    pub(crate) charged: bool,
    /// It is answered, the peer goes on with its half, and will be told not to.
    pub(crate) parting: bool,
    /// When it ends if it has not by then: see `conn/lapse.rs`.
    pub(crate) lapses: Option<Instant>,
    /// In the round-robin of senders.
    pub(crate) ready: bool,
    /// The queue was above the mark: its owner is told when it has fallen.
    pub(crate) above: bool,
    pub(crate) send_window: SendWindow,
    pub(crate) intake: Intake,
    /// What `content-length` still promises.
    pub(crate) promised: Option<u64>,
    /// Informational responses that came before the response.
    pub(crate) informational: u8,
    pub(crate) queue: VecDeque<Bytes>,
    /// Octets in `queue`.
    pub(crate) queued: usize,
}

impl Slot {
    /// May the owner still send?
    #[inline]
    pub(crate) fn sends(&self) -> bool {
        self.closed.is_none() && self.sending == Sending::Open
    }

    /// May the peer still send, to somebody who wants it?
    #[inline]
    pub(crate) fn receives(&self) -> bool {
        self.closed.is_none() && self.receiving != Receiving::Done && !self.parting
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> State {
        let sent = self.sending == Sending::Done;
        match (self.closed, sent, self.receiving == Receiving::Done) {
            (Some(_), ..) | (None, true, true) => State::Closed,
            (None, true, false) => State::HalfClosedLocal,
            (None, false, true) => State::HalfClosedRemote,
            (None, false, false) => State::Open,
        }
    }

    /// Drops what is queued: how many octets that were.
    pub(crate) fn drop_queue(&mut self) -> usize {
        self.queue.clear();
        if self.queue.capacity() > 8 {
            self.queue = VecDeque::new();
        }
        self.ready = false;
        if let Sending::Trailers(_) = self.sending {
            self.sending = Sending::Ending;
        }
        std::mem::take(&mut self.queued)
    }
}

/// What is known of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Its slot; the stream may be closed.
    Slot(u32),
    /// It was a stream until lately.
    Recent(Closed),
    /// Nothing. The flag says that the memory has already let others go.
    Unknown { forgetful: bool },
}

/// All streams of one connection.
#[derive(Debug)]
pub(crate) struct Streams {
    slots: Vec<Slot>,
    free: Vec<u32>,
    ids: HashMap<u32, u32, BuildHasherDefault<IdHasher>>,
    /// The slot looked up last: frames of one stream come in runs.
    last: u32,
    recent: Recent,
    /// Not over on the wire: what counts against MAX_CONCURRENT_STREAMS.
    pub(crate) active: u32,
    pub(crate) ledger: Ledger,
}

impl Streams {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ids: HashMap::default(),
            last: 0,
            recent: Recent::default(),
            active: 0,
            ledger,
        }
    }

    /// Slots in use: what their owners have not let go of.
    pub(crate) fn held(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, id: u32, send: SendWindow, intake: Intake) -> Key {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                if self.slots.is_empty() {
                    // Most connections have one stream at a time, and there may be thousands of them.
                    self.slots.reserve_exact(1);
                }
                self.slots.push(Slot {
                    id: 0,
                    sending: Sending::Open,
                    receiving: Receiving::Head,
                    closed: None,
                    orphan: false,
                    settled: false,
                    charged: false,
                    parting: false,
                    lapses: None,
                    ready: false,
                    above: false,
                    send_window: send,
                    intake,
                    promised: None,
                    informational: 0,
                    queue: VecDeque::new(),
                    queued: 0,
                });
                (self.slots.len() - 1) as u32
            }
        };
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.id = id;
            slot.sending = Sending::Open;
            slot.receiving = Receiving::Head;
            slot.closed = None;
            slot.orphan = false;
            slot.settled = false;
            slot.charged = false;
            slot.parting = false;
            slot.lapses = None;
            slot.ready = false;
            slot.above = false;
            slot.send_window = send;
            slot.intake = intake;
            slot.promised = None;
            slot.informational = 0;
        }
        self.ids.insert(id, index);
        self.last = index;
        self.active += 1;
        Key { slot: index, id }
    }

    /// The slot of a key; none when it has been given to another stream.
    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.slot as usize).filter(|slot| slot.id == key.id && key.id != 0)
    }

    #[inline]
    pub(crate) fn peek(&self, key: Key) -> Option<&Slot> {
        self.slots.get(key.slot as usize).filter(|slot| slot.id == key.id && key.id != 0)
    }

    /// Both the slot and the ledger of what it holds.
    #[inline]
    pub(crate) fn with_ledger(&mut self, key: Key) -> Option<(&mut Slot, &mut Ledger)> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        (slot.id == key.id && key.id != 0).then_some((slot, &mut self.ledger))
    }

    /// Some time has passed: the streams whose message has made no progress for too long, and whether there are
    /// any whose message has still to come.
    pub(crate) fn look(&mut self, passed: Duration) -> (Vec<Key>, bool) {
        let (mut stuck, mut unfinished) = (Vec::new(), false);
        for (i, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.id != 0) {
            if slot.intake.look(passed, &mut self.ledger) {
                stuck.push(Key { slot: i as u32, id: slot.id });
            }
            unfinished |= slot.intake.unfinished();
        }
        (stuck, unfinished)
    }

    #[inline]
    pub(crate) fn find(&mut self, id: u32) -> Option<Key> {
        if self.slots.get(self.last as usize).is_some_and(|slot| slot.id == id) && id != 0 {
            return Some(Key { slot: self.last, id });
        }
        let slot = *self.ids.get(&id)?;
        self.last = slot;
        Some(Key { slot, id })
    }

    pub(crate) fn known(&mut self, id: u32) -> Known {
        match self.find(id) {
            Some(key) => Known::Slot(key.slot),
            None => match self.recent.get(id) {
                Some(closed) => Known::Recent(closed),
                None => Known::Unknown { forgetful: self.recent.full() },
            },
        }
    }

    /// Remembers an id that never had a slot.
    pub(crate) fn remember(&mut self, id: u32, closed: Closed) {
        self.recent.push(id, closed);
    }

    /// The peer has reset a stream that we had reset: nothing more is on its way.
    pub(crate) fn reset_by_peer_too(&mut self, id: u32) {
        match self.find(id) {
            Some(key) => {
                if let Some(slot) = self.get(key) {
                    slot.closed = slot.closed.map(|_| Closed::ByPeer);
                }
            }
            None => self.recent.amend(id, Closed::ByPeer),
        }
    }

    /// Gives a slot back. The stream must be over on the wire.
    pub(crate) fn remove(&mut self, key: Key) {
        let Some((slot, ledger)) = self.with_ledger(key) else { return };
        slot.intake.close(key, ledger);
        debug_assert_eq!(slot.queued, 0, "what was queued went when the stream was over");
        slot.id = 0;
        let closed = slot.closed.unwrap_or(Closed::ByUs);
        self.free.push(key.slot);
        self.ids.remove(&key.id);
        self.recent.push(key.id, closed);
    }

    /// Keys of all streams that are not over on the wire.
    pub(crate) fn open_keys(&self) -> Vec<Key> {
        let open = |(i, slot): (usize, &Slot)| {
            (slot.id != 0 && slot.closed.is_none()).then_some(Key { slot: i as u32, id: slot.id })
        };
        self.slots.iter().enumerate().filter_map(open).collect()
    }

    /// Every slot in use.
    pub(crate) fn each(&mut self) -> impl Iterator<Item = (Key, &mut Slot)> {
        let used = self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.id != 0);
        used.map(|(i, slot)| (Key { slot: i as u32, id: slot.id }, slot))
    }

    /// For so many streams at once there is room.
    #[cfg(test)]
    pub(crate) fn reserved(&self) -> usize {
        self.slots.capacity()
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn rest(&mut self) {
        if self.held() == 0 {
            self.slots = Vec::new();
            self.free = Vec::new();
            self.ids = HashMap::default();
            self.ledger.rest();
        }
    }
}

/// Ids that lately were streams, and how they ended. Ids are odd, so an entry packs into 32 bits.
#[derive(Debug, Default)]
struct Recent {
    entries: Vec<u32>,
    next: usize,
}

impl Recent {
    fn push(&mut self, id: u32, closed: Closed) {
        let entry = (id >> 1) << 2 | closed as u32;
        if self.entries.len() < REMEMBERED {
            self.entries.push(entry);
        } else if let Some(old) = self.entries.get_mut(self.next) {
            *old = entry;
            self.next = (self.next + 1) % REMEMBERED;
        }
    }

    fn amend(&mut self, id: u32, closed: Closed) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| **entry >> 2 == id >> 1) {
            *entry = (id >> 1) << 2 | closed as u32;
        }
    }

    fn get(&self, id: u32) -> Option<Closed> {
        let entry = self.entries.iter().find(|&&entry| entry >> 2 == id >> 1 && id & 1 == 1)?;
        Some(match entry & 3 {
            0 => Closed::Ended,
            1 => Closed::ByUs,
            _ => Closed::ByPeer,
        })
    }

    fn full(&self) -> bool {
        self.entries.len() == REMEMBERED
    }
}

const REMEMBERED: usize = 64;

/// Stream ids are small, odd and mostly in sequence. A peer that chose them to collide
/// gains nothing: the map never holds more than the stream limit allows.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u32(u32::from(b));
        }
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        let mixed = (self.0 ^ u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}
