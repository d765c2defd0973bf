//! The sending half of a call: frames messages and decides when they go out.
//!
//! One system call per message would limit a fast stream to 0.3 million a
//! second; holding a message back could hold it for ever, if the producer
//! blocks before its next one. So the first messages go out at once; when the
//! last few came within [`FAST`] of each other the outbox *corks*: it sends at
//! [`FULL`] octets or [`LATE`] after the first unsent message, whichever is
//! first, and before anything of the call that waits. For a producer that
//! suddenly blocks there is a net, a one-shot timer. No message is late by more
//! than about [`NET`].
//!
//! Messages are framed, and compressed where that is asked for, on the sender's own thread with no lock held.

use std::cell::Cell;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard, thread_own};
use bytes::Bytes;

use super::{Sends, packing};

use crate::codec::Codec;
use crate::deadline::Deadline;
use crate::link::{End, Outgoing, Stream, Want};
use crate::reactor::{Job, OnTimer, clock};
use crate::status::Status;
use crate::wire::framing;

/// Messages closer together than this are a fast stream. Without optimization framing one takes longer than
/// that: a fast stream has to be one there as well, or no test would meet a cork.
const FAST: Duration = Duration::from_micros(if cfg!(debug_assertions) { 20 } else { 2 });
/// So many fast ones in a row begin a cork.
const STREAK: u32 = 4;
/// In a cork the clock is looked at once in so many messages: it costs as much as framing one.
const LOOK: u32 = 16;
/// A corked buffer of this size is sent.
const FULL: usize = 16 * 1024;
/// A thread's desk for framing is kept up to this size.
const KEPT: usize = 2 * FULL;
/// A corked message does not wait longer than this for the next one.
const LATE: Duration = Duration::from_micros(100);
/// When the net looks after a corked buffer.
const NET: Duration = Duration::from_micros(300);

/// The sending half of one call.
pub(crate) struct Outbox {
    sends: Sends,
    /// Octets that may be queued in the link before a sender waits.
    quota: usize,
    /// The next message goes out as it is.
    plain_next: AtomicBool,
    /// Octets of the stream that waited in the link after the last append. They only become fewer by themselves. Written
    /// under the lock, read without.
    queued: AtomicUsize,
    /// As `finished`: a message that is not sent any more need not be framed.
    closed: AtomicBool,
    /// Guards what is framed and not yet handed to the link. Rank: above the link's, since it
    /// is held over the append, which fixes the order; never over a codec, a system call or a wait.
    buffer: Mutex<Buffer>,
    this: Weak<Outbox>,
}

struct Buffer {
    /// A cork holds back no more than this.
    full: usize,
    /// `None`: the call is over.
    stream: Option<Arc<Stream>>,
    head: Option<Vec<u8>>,
    /// Whole messages.
    framed: Vec<u8>,
    /// When the first unsent message was framed.
    first: Option<Instant>,
    /// When the producer was last let go: what it takes from here to its next message is its own time.
    idle_since: Option<Instant>,
    streak: u32,
    /// Messages framed since the clock was last looked at.
    unseen: u32,
    /// Grows with every flush: tells the net whether the stream still moves.
    flushes: u64,
    net: bool,
    finished: bool,
}

/// Why a message was not sent.
#[derive(Clone, Debug)]
pub(crate) enum SendError {
    /// The call is over, or its half was closed: ask the call for the status.
    Ended,
    /// The deadline has passed while the send queue was full. The message was not taken.
    TimedOut,
    /// The message could not be encoded, or is longer than the send limit.
    Encode(Status),
}

impl Outbox {
    pub(crate) fn new(stream: Arc<Stream>, sends: Sends) -> Arc<Self> {
        let quota = stream.link().send_quota();
        Arc::new_cyclic(|this| Self {
            sends,
            quota,
            plain_next: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            buffer: Mutex::new(Buffer::new(stream, quota)),
            this: this.clone(),
        })
    }

    /// A response head, to go out before or with the first message.
    pub(crate) fn head(&self, block: Vec<u8>) {
        self.buffer.lock().head = Some(block);
    }

    /// Sends a message. Waits while more than the quota is queued; the peer's credit, the call's end or `deadline` end the wait.
    pub(crate) fn send<T: 'static>(
        &self,
        codec: &dyn Codec<T>,
        message: &T,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let queued = self.push(codec, message)?;
        if queued > self.quota && !self.wait_room(deadline) {
            return Err(SendError::TimedOut);
        }
        Ok(())
    }

    /// Sends a message if that needs no waiting; `false`: the queue is full, nothing was taken. What is
    /// framed is sent then: room comes only with that.
    pub(crate) fn try_send<T: 'static>(
        &self,
        codec: &dyn Codec<T>,
        message: &T,
    ) -> Result<bool, SendError> {
        if !self.has_room() {
            self.flush();
            return Ok(false);
        }
        self.push(codec, message).map(|_| true)
    }

    /// Takes a message whether there is room or not, and waits for nothing.
    pub(crate) fn put<T: 'static>(
        &self,
        codec: &dyn Codec<T>,
        message: &T,
    ) -> Result<(), SendError> {
        self.push(codec, message).map(drop)
    }

    /// The next message is not compressed.
    pub(crate) fn plain_next(&self) {
        self.plain_next.store(true, Ordering::Relaxed);
    }

    /// Whether a send would not wait. The link is asked only when it had no room last time.
    pub(crate) fn has_room(&self) -> bool {
        if self.queued.load(Ordering::Relaxed) < self.quota {
            return true;
        }
        let stream = self.buffer.lock().stream.clone();
        stream.is_none_or(|stream| stream.has_room())
    }

    /// The octets that the peer has not taken, where a send would wait for it to.
    pub(crate) fn not_taken(&self) -> Option<usize> {
        (!self.has_room()).then(|| self.queued.load(Ordering::Relaxed))
    }

    /// Whether nothing more will be sent.
    pub(crate) fn is_finished(&self) -> bool {
        self.buffer.lock().finished
    }

    /// Waits until a send would not wait (true) or `deadline` has passed (false).
    pub(crate) fn wait_room(&self, deadline: Deadline) -> bool {
        let stream = self.buffer.lock().stream.clone();
        stream.is_none_or(|stream| stream.wait(Want::Room, deadline.instant()))
    }

    /// Whether something framed waits for more.
    pub(crate) fn holds_back(&self) -> bool {
        self.buffer.lock().holds_back()
    }

    /// Hands everything framed so far to the link.
    pub(crate) fn flush(&self) {
        let buffer = self.buffer.lock();
        if buffer.holds_back() {
            self.send_on(buffer, End::No);
        }
    }

    /// Sends what is framed and ends our half, in one append. Later sends fail. False: something waits for
    /// the peer's credit, or the half was closed before.
    pub(crate) fn finish(&self, end: End<'_>) -> bool {
        let mut buffer = self.buffer.lock();
        if buffer.finished {
            return false;
        }
        buffer.finished = true;
        self.closed.store(true, Ordering::Relaxed);
        self.send_on(buffer, end) == Some(0)
    }

    /// The call is over: what is framed goes nowhere, and the stream is let go of. Who still keeps the
    /// sending half keeps no more than that.
    pub(crate) fn close(&self) {
        let mut buffer = self.buffer.lock();
        buffer.finished = true;
        self.closed.store(true, Ordering::Relaxed);
        let gone = (buffer.stream.take(), mem::take(&mut buffer.framed), buffer.head.take());
        drop(buffer);
        drop(gone);
    }

    /// Frames a message on the thread's own desk, with no lock held, so that nobody waits for the codec and half a
    /// message is nowhere where others look; then appends it whole.
    fn push<T: 'static>(&self, codec: &dyn Codec<T>, message: &T) -> Result<usize, SendError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(SendError::Ended);
        }
        let hint = codec.size_hint(message);
        if hint >= framing::LONG && self.sends.encoding.is_identity() {
            let framed = super::frame_plain(codec, message, self.sends.limit, hint);
            return self.append_long(framed.map_err(SendError::Encode)?);
        }
        // A codec that sends by itself finds another desk, and so does a thread that is ending.
        let mut desk = DESK.reach(Cell::take).unwrap_or_default();
        framing::reserve(hint, self.sends.limit, &mut desk);
        let framed = framing::encode(codec, message, self.sends.limit, &mut desk);
        let appended = match framed.and_then(|_| self.pack(&mut desk)) {
            Ok(()) => self.append(&mut desk),
            Err(status) => Err(SendError::Encode(status)),
        };
        if desk.capacity() <= KEPT {
            desk.clear();
            DESK.reach(|own| own.set(desk));
        }
        appended
    }

    /// Compresses the message on the desk, if that is asked for.
    fn pack(&self, desk: &mut Vec<u8>) -> Result<(), Status> {
        let encoding = self.sends.encoding;
        if encoding.is_identity() || self.plain_next.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        // A call that is over sends nothing, and so compresses nothing.
        let Some(stream) = self.buffer.lock().stream.clone() else { return Ok(()) };
        packing::pack(desk, encoding, stream.link().terms().encodings())
    }

    /// Appends a framed message, and sends it unless it may wait for the next one.
    fn append(&self, message: &mut Vec<u8>) -> Result<usize, SendError> {
        let mut buffer = self.buffer.lock();
        if buffer.finished {
            return Err(SendError::Ended);
        }
        if !buffer.framed.is_empty() && message.len() >= FULL {
            self.hand_over(&mut buffer);
        }
        buffer.take_in(message);
        if buffer.may_cork() {
            if !mem::replace(&mut buffer.net, true) {
                self.set_net(buffer);
            }
            return Ok(0);
        }
        let queued = self.send_on(buffer, End::No);
        self.buffer.lock().idle_since = Some(clock::now());
        queued.ok_or(SendError::Ended)
    }

    /// Sends a framed message from where it is, behind what waits.
    fn append_long(&self, message: Bytes) -> Result<usize, SendError> {
        let mut buffer = self.buffer.lock();
        if buffer.finished {
            return Err(SendError::Ended);
        }
        if !buffer.framed.is_empty() {
            self.hand_over(&mut buffer);
        }
        (buffer.streak, buffer.unseen) = (0, 0);
        let queued = self.send_with(buffer, Some(message), End::No);
        self.buffer.lock().idle_since = Some(clock::now());
        queued.ok_or(SendError::Ended)
    }

    /// Appends what is framed to the link. More has to follow, with [`send_on`](Self::send_on).
    fn hand_over(&self, buffer: &mut Buffer) {
        let Some(stream) = buffer.stream.clone() else { return };
        let (head, data) = buffer.take_out();
        let queued = stream.append(Outgoing { head: head.as_deref(), data, end: End::No });
        self.queued.store(queued.unwrap_or(0), Ordering::Relaxed);
    }

    /// Appends what is framed to the link and sends it, that with no lock of ours held: in one critical section of the
    /// link's. The octets that are queued then; `None`: the stream has ended.
    fn send_on(&self, buffer: MutexGuard<'_, Buffer>, end: End<'_>) -> Option<usize> {
        self.send_with(buffer, None, end)
    }

    /// The same, and `long`, a message in a buffer of its own, where nothing else is framed.
    fn send_with(
        &self,
        mut buffer: MutexGuard<'_, Buffer>,
        long: Option<Bytes>,
        end: End<'_>,
    ) -> Option<usize> {
        let stream = buffer.stream.clone()?;
        let (head, framed) = buffer.take_out();
        let data = framed.or(long);
        let mut waits = None;
        stream.send_and(Outgoing { head: head.as_deref(), data, end }, |queued| {
            self.queued.store(queued.unwrap_or(0), Ordering::Relaxed);
            waits = queued;
            drop(buffer);
        });
        waits
    }

    fn set_net(&self, buffer: MutexGuard<'_, Buffer>) {
        let (stream, flushes) = (buffer.stream.clone(), buffer.flushes);
        drop(buffer);
        if let (Some(this), Some(stream)) = (self.this.upgrade(), stream) {
            stream.link().poller().timer(clock::now() + NET, this, flushes);
        }
    }
}

impl Buffer {
    fn new(stream: Arc<Stream>, quota: usize) -> Self {
        Self {
            full: FULL.min(quota),
            stream: Some(stream),
            head: None,
            framed: Vec::new(),
            first: None,
            idle_since: None,
            streak: 0,
            unseen: 0,
            flushes: 0,
            net: false,
            finished: false,
        }
    }

    /// Takes in a whole message. A small one is copied to the others, in a cork; else its buffer becomes ours.
    fn take_in(&mut self, message: &mut Vec<u8>) {
        if self.framed.is_empty() && self.framed.capacity() < message.len() {
            mem::swap(&mut self.framed, message);
        } else {
            self.framed.extend_from_slice(message);
        }
    }

    /// Notes one more framed message; whether it may wait for the next.
    ///
    /// In a cork the clock is looked at for every [`LOOK`]th message only; one that is
    /// late because of that is the net's.
    fn may_cork(&mut self) -> bool {
        let corked = self.streak >= STREAK;
        self.unseen += 1;
        if corked && self.unseen < LOOK && self.framed.len() < self.full {
            return true;
        }
        let now = clock::now();
        let messages = mem::replace(&mut self.unseen, 0).max(1);
        let fast = self
            .idle_since
            .is_some_and(|since| now.saturating_duration_since(since) < FAST * messages);
        self.idle_since = Some(now);
        self.streak = if fast { self.streak.saturating_add(messages) } else { 0 };
        let first = *self.first.get_or_insert(now);
        self.streak >= STREAK
            && self.framed.len() < self.full
            && now.saturating_duration_since(first) < LATE
    }

    /// Whether something waits for more.
    fn holds_back(&self) -> bool {
        self.head.is_some() || !self.framed.is_empty()
    }

    /// What is to go out now: the head, and whole messages.
    fn take_out(&mut self) -> (Option<Vec<u8>>, Option<Bytes>) {
        let corked = self.streak >= STREAK;
        let room = if corked { FULL + FULL / 4 } else { 0 };
        let framed = mem::replace(&mut self.framed, Vec::with_capacity(room));
        self.first = None;
        self.flushes = self.flushes.wrapping_add(1);
        (self.head.take(), (!framed.is_empty()).then(|| Bytes::from(framed)))
    }
}

impl OnTimer for Outbox {
    /// The net: sends what a producer that has stopped left behind. While the stream
    /// moves it only looks again.
    fn fire(&self, flushes: u64, _now: Instant, _jobs: &mut Vec<Job>) {
        let mut buffer = self.buffer.lock();
        if buffer.framed.is_empty() || buffer.finished {
            buffer.net = false;
        } else if buffer.flushes != flushes {
            self.set_net(buffer);
        } else {
            buffer.net = false;
            self.send_on(buffer, End::No);
        }
    }
}

thread_own! {
    /// Where messages are framed. Gone while the thread drops its last values, which may send as well.
    static DESK: Cell<Vec<u8>> = Cell::new(Vec::new());
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("sends", &self.sends).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
