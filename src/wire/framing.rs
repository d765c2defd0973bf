//! Messages and their five-byte prefixes.
//!
//! § `doc/PROTOCOL-HTTP2.md`: "Length-Prefixed-Message → Compressed-Flag Message-Length Message",
//! one byte, four bytes big-endian, and the message.
//!
//! [`encode`] writes one message. [`Assembler`] takes the payload of DATA frames, cut
//! anywhere (W36), and keeps whole messages in segments; [`Messages`] cuts the
//! segments into messages. The two are apart so that a link's lock is held for
//! copying segments only, and each reader cuts on its own thread.
//!
//! Memory: nothing is reserved because a peer announced a length. A buffer is at
//! most four times as large as what has arrived of a message, plus 9 KiB.
//!
//! Deliberately ignores HTTP/2, and how messages are compressed: that one is, stands with it ([`Message`]). Without an
//! encoding it is an error (W35).

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use crate::codec::Codec;
use crate::compression::Encoding;
use crate::copy;
use crate::status::{Code, Status};

/// The length of a prefix.
pub(crate) const PREFIX: usize = 5;

/// Messages longer than this, with their prefix, do not share a segment that they do not fit into.
const LARGE: usize = 8 * 1024;

/// From this length on a segment is handed over rather than grown.
const ENOUGH: usize = 4 * 1024;

/// Which option raises the limit, for who reads the error on either side.
pub(crate) const RAISE_RECEIVE: &str = "the receiver's max_receive_message_size raises it";
const RAISE_SEND: &str = "the sender's max_send_message_size raises it";

/// Appends the prefix of an uncompressed message.
pub(crate) fn put_prefix(out: &mut Vec<u8>, len: u32) {
    out.push(0);
    out.extend_from_slice(&len.to_be_bytes());
}

/// Room for a message of which a codec says that it is so long. What is too much for the limit, or for the machine,
/// reserves nothing.
pub(crate) fn reserve(hint: usize, limit: usize, out: &mut Vec<u8>) {
    let _ = out.try_reserve(PREFIX.saturating_add(hint.min(limit)));
}

/// How many messages there are in octets that hold whole ones.
#[inline]
pub(crate) fn count(framed: &[u8]) -> u64 {
    match framed.split_first_chunk::<PREFIX>() {
        // On the path of every call, mostly with one.
        Some((&[_, a, b, c, d], one)) if one.len() == u32::from_be_bytes([a, b, c, d]) as usize => {
            1
        }
        _ => count_many(framed),
    }
}

#[inline(never)]
fn count_many(framed: &[u8]) -> u64 {
    let (mut rest, mut count) = (framed, 0);
    while let Some((&[_, a, b, c, d], after)) = rest.split_first_chunk::<PREFIX>() {
        count += 1;
        rest = after.get(u32::from_be_bytes([a, b, c, d]) as usize..).unwrap_or_default();
    }
    count
}

/// Appends a message with its prefix; tells how many octets that were. See [`reserve`] for room.
///
/// `out` is as before when this fails: the codec's own status, or
/// RESOURCE_EXHAUSTED for a message longer than `limit`. It is when the codec panics, too.
pub(crate) fn encode<T: 'static>(
    codec: &dyn Codec<T>,
    message: &T,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<usize, Status> {
    let mut part = Part { start: out.len(), out };
    put_prefix(part.out, 0);
    let result = codec.encode(message, part.out).and_then(|()| {
        let len = part.out.len().saturating_sub(part.start + PREFIX);
        match u32::try_from(len) {
            Ok(short) if len <= limit => Ok(short),
            _ => Err(Status::resource_exhausted(format!(
                "message to send is longer than its limit ({len} against {limit} bytes; {RAISE_SEND})"
            ))),
        }
    });
    let len = result?;
    part.complete(len).ok_or_else(|| Status::internal("the codec took bytes away"))
}

/// Puts a compressed message in place of a framed one, if it is shorter: `packed` is it, behind room for a prefix. True: so
/// it is, and what was framed before is in `packed`.
pub(crate) fn replace_packed(framed: &mut Vec<u8>, packed: &mut Vec<u8>) -> bool {
    let Some(len) = packed.len().checked_sub(PREFIX) else { return false };
    let (Ok(short), Some(prefix)) = (u32::try_from(len), packed.first_chunk_mut::<PREFIX>()) else {
        return false;
    };
    let [a, b, c, d] = short.to_be_bytes();
    *prefix = [1, a, b, c, d];
    let shorter = packed.len() < framed.len();
    if shorter {
        std::mem::swap(framed, packed);
    }
    shorter
}

/// Messages from here on, with their prefix, are kept [`APART`].
pub(crate) const LONG: usize = 16 * 1024;

/// How far a long message lies from where its neighbours in memory would have it.
///
/// The codec copies it from or to a user's block of about that length, in one go, which is slow at some distances within a page:
/// see [`copy`]. Allocators make those likely: their large blocks all begin as far into a page, and neighbours of equal
/// length 16 octets on; prefixes and tags add some more.
/// So a message to send begins a quarter of a page into its buffer, and behind one that was received as much is left free.
pub(crate) const APART: usize = 1024;

/// What stands behind so many octets.
pub(crate) fn behind(mut segment: Bytes, lead: usize) -> Bytes {
    segment.advance(lead.min(segment.len()));
    segment
}

/// A message that is not whole: it goes when its codec fails or panics.
struct Part<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl Part<'_> {
    /// Now it is whole. How many octets it has, with its prefix.
    fn complete(&mut self, len: u32) -> Option<usize> {
        let field = self.out.get_mut(self.start + 1..self.start + PREFIX)?;
        field.copy_from_slice(&len.to_be_bytes());
        let end = self.out.len();
        let framed = end - std::mem::replace(&mut self.start, end);
        Some(framed)
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.start);
    }
}

/// What a [`feed`](Assembler::feed) brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fed {
    /// Messages that are whole now and were not before.
    pub(crate) whole: usize,
    /// A long message has begun: so many octets of it are still to come. Told once for each.
    pub(crate) expects: Option<usize>,
}

/// The receiving end of a stream's DATA: octets in, whole messages out.
///
/// After an error every further octet is refused with the same error; messages
/// that were whole before can still be taken.
#[derive(Debug)]
pub(crate) struct Assembler {
    /// The longest message accepted, without its prefix.
    limit: usize,
    /// Closed segments, of whole messages only.
    closed: VecDeque<Bytes>,
    /// The segment being filled: whole messages, then at most one that is not.
    open: Vec<u8>,
    /// How many octets of `open` are whole messages.
    whole: usize,
    /// How many octets the message at `whole` still lacks, once its prefix is
    /// complete. Zero when there is none or its prefix is not.
    missing: usize,
    /// What messages with the flag are compressed by; identity: none may have it.
    encoding: Encoding,
    broken: Option<Status>,
}

impl Assembler {
    /// `limit` is the longest message accepted, without its prefix.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            closed: VecDeque::new(),
            open: Vec::new(),
            whole: 0,
            missing: 0,
            encoding: Encoding::IDENTITY,
            broken: None,
        }
    }

    /// From here on messages may be compressed, by this: the headers have said so.
    pub(crate) fn set_encoding(&mut self, encoding: Encoding) {
        self.encoding = encoding;
    }

    /// Takes some payload. The result does not depend on how the stream is cut (W36).
    pub(crate) fn feed(&mut self, payload: &[u8]) -> Result<Fed, Status> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let mut fed = Fed::default();
        let result = self.take_in(payload, &mut fed);
        if let Err(status) = &result {
            self.broken = Some(status.clone());
        }
        fed.expects = fed.expects.map(|_| self.missing);
        result.map(|()| fed)
    }

    /// Whether a whole message waits.
    pub(crate) fn ready(&self) -> bool {
        self.whole > 0 || !self.closed.is_empty()
    }

    /// Moves the whole messages out, in segments. How many octets they have, prefixes included.
    pub(crate) fn take(&mut self, into: &mut Messages) -> usize {
        let mut taken = 0;
        into.encoding = self.encoding;
        if !self.closed.is_empty() {
            for segment in self.closed.drain(..) {
                taken += segment.len();
                into.push(segment);
            }
        }
        if self.whole > 0 {
            let segment = self.cut();
            taken += segment.len();
            into.push(segment);
        }
        taken
    }

    /// The stream has ended: is that between two messages?
    ///
    /// An end inside a message is an error, never a silent end (W39).
    pub(crate) fn finish(&self) -> Result<(), Status> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        if self.open.len() == self.whole {
            return Ok(());
        }
        Err(Status::fixed(Code::Internal, "the stream ended inside a message"))
    }

    /// Whether a long message has begun and is not complete.
    pub(crate) fn in_long(&self) -> bool {
        self.missing > 0 && self.missing + self.open.len() - self.whole > LARGE
    }

    /// How long the segment being filled will be when the message that has begun is whole, if it has to grow for that.
    pub(crate) fn lacks(&self) -> Option<usize> {
        let len = self.open.len() + self.missing;
        (len > self.open.capacity()).then_some(len)
    }

    /// Goes on in `buffer`, an empty one of the length that it [`lacks`](Self::lacks), instead of growing.
    pub(crate) fn move_to(&mut self, mut buffer: Vec<u8>) {
        buffer.extend_from_slice(&self.open);
        self.open = buffer;
    }

    /// How many octets wait here, whole or not.
    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        self.open.len() + self.closed.iter().map(Bytes::len).sum::<usize>()
    }

    /// How many octets are reserved.
    #[cfg(test)]
    pub(crate) fn reserved(&self) -> usize {
        self.open.capacity() + self.closed.iter().map(Bytes::len).sum::<usize>()
    }

    /// How many octets are reserved for the segment being filled.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.open.capacity()
    }

    fn take_in(&mut self, payload: &[u8], fed: &mut Fed) -> Result<(), Status> {
        let rest = self.go_on(payload, fed)?;
        if rest.is_empty() {
            return Ok(());
        }
        let run = Run::walk(rest, self.limit, self.encoding);
        let (whole, tail) = rest.split_at_checked(run.len).unwrap_or((rest, &[]));
        if !whole.is_empty() {
            self.append(whole);
            self.whole = self.open.len();
            fed.whole += run.count;
        }
        match run.stop {
            Stop::Broken(status) => return Err(status),
            Stop::InPrefix => self.append(tail),
            Stop::InMessage(total) => {
                self.missing = total - tail.len();
                self.begin(tail, total, fed);
            }
        }
        Ok(())
    }

    /// Goes on with the message that the last payload broke off in; gives what is left of `payload`.
    fn go_on<'a>(&mut self, payload: &'a [u8], fed: &mut Fed) -> Result<&'a [u8], Status> {
        let mut rest = payload;
        let have = self.open.len() - self.whole;
        if have == 0 {
            return Ok(rest);
        }
        if self.missing == 0 {
            let (part, after) = split(rest, PREFIX - have);
            self.append(part);
            rest = after;
            let Some(prefix) = self.open.get(self.whole..).and_then(<[u8]>::first_chunk) else {
                return Ok(rest);
            };
            let prefix = *prefix;
            let total = read_prefix(prefix, self.limit, self.encoding)?;
            self.missing = total - PREFIX;
            if total > LARGE {
                self.open.truncate(self.whole);
                self.begin(&prefix, total, fed);
            }
        }
        let (part, after) = split(rest, self.missing);
        self.missing -= part.len();
        self.append_part(part);
        if self.missing == 0 {
            self.whole = self.open.len();
            fed.whole += 1;
            fed.expects = None;
        }
        Ok(after)
    }

    /// Takes the first octets, prefix and all, of a message that does not end here.
    fn begin(&mut self, octets: &[u8], total: usize, fed: &mut Fed) {
        if total > LARGE {
            fed.expects = Some(self.missing);
            if self.whole > 0 {
                self.close();
            }
        }
        self.append_part(octets);
    }

    /// Appends octets to the open segment, or closes it and appends them to a new one.
    fn append(&mut self, octets: &[u8]) {
        self.make_way(octets.len());
        copy::append(&mut self.open, octets);
    }

    /// Appends a part of a message that still lacks `missing` octets after it.
    ///
    /// Makes room for what follows in proportion to what has come, so that a length that
    /// was only announced costs nothing; and steeply, so that little is copied twice.
    fn append_part(&mut self, octets: &[u8]) {
        if self.make_way(octets.len()) {
            let here = self.open.len() - self.whole + octets.len();
            let factor = if here < 256 * 1024 { 4 } else { 1 };
            let more = (here * factor).max(LARGE).min(self.missing);
            let apart = if here + self.missing >= LONG { APART } else { 0 };
            self.open.reserve_exact(octets.len() + more + apart);
        }
        copy::append(&mut self.open, octets);
    }

    /// Closes a segment that is long enough and has no room for `coming` octets. Tells whether room lacked.
    fn make_way(&mut self, coming: usize) -> bool {
        let lacks = coming > self.open.capacity() - self.open.len();
        if lacks && self.whole >= ENOUGH {
            self.close();
        }
        lacks
    }

    /// Closes the open segment; the message that is not whole opens the next.
    fn close(&mut self) {
        let segment = self.cut();
        self.closed.push_back(segment);
    }

    fn cut(&mut self) -> Bytes {
        let tail = self.open.get(self.whole..).unwrap_or_default().to_vec();
        self.open.truncate(self.whole);
        self.whole = 0;
        Bytes::from(std::mem::replace(&mut self.open, tail))
    }
}

/// The whole messages at the start of a payload.
struct Run {
    /// Octets.
    len: usize,
    count: usize,
    stop: Stop,
}

/// What follows them.
enum Stop {
    /// Nothing, or a part of a prefix.
    InPrefix,
    /// A part of a message of this length, prefix included.
    InMessage(usize),
    /// What no message begins with.
    Broken(Status),
}

impl Run {
    fn walk(payload: &[u8], limit: usize, encoding: Encoding) -> Self {
        let mut rest = payload;
        let mut count = 0;
        let stop = loop {
            let Some(prefix) = rest.first_chunk() else {
                break match rest.first().map_or(Ok(()), |flag| check_flag(*flag, encoding)) {
                    Ok(()) => Stop::InPrefix,
                    Err(status) => Stop::Broken(status),
                };
            };
            match read_prefix(*prefix, limit, encoding) {
                Ok(total) => match rest.get(total..) {
                    Some(after) => {
                        rest = after;
                        count += 1;
                    }
                    None => break Stop::InMessage(total),
                },
                Err(status) => break Stop::Broken(status),
            }
        };
        Self { len: payload.len() - rest.len(), count, stop }
    }
}

/// The length of a message with its prefix.
fn read_prefix(prefix: [u8; PREFIX], limit: usize, encoding: Encoding) -> Result<usize, Status> {
    let [flag, length @ ..] = prefix;
    check_flag(flag, encoding)?;
    let len = u32::from_be_bytes(length) as usize;
    // Decided before any of the message is taken in (W38).
    if len > limit {
        return Err(Status::resource_exhausted(format!(
            "received message is longer than its limit ({len} against {limit} bytes; {RAISE_RECEIVE})"
        )));
    }
    Ok(PREFIX + len)
}

/// § `doc/PROTOCOL-HTTP2.md`: "Compressed-Flag → 0 / 1 ; encoded as 1 byte unsigned integer"
/// and `doc/compression.md`: "If [the encoding is] `identity`, or the header is missing, and the
/// flag is set, [...] INTERNAL" (W35).
fn check_flag(flag: u8, encoding: Encoding) -> Result<(), Status> {
    match flag {
        0 => Ok(()),
        1 if !encoding.is_identity() => Ok(()),
        1 => Err(Status::fixed(
            Code::Internal,
            "received a compressed message though no encoding was agreed",
        )),
        _ => Err(Status::internal(format!("received a message prefix with flag {flag}"))),
    }
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

/// One message of a stream, without its prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// A slice of its segment.
    pub(crate) bytes: Bytes,
    /// What it is compressed by.
    pub(crate) encoding: Encoding,
}

impl From<Bytes> for Message {
    /// One that is not compressed.
    fn from(bytes: Bytes) -> Self {
        Self { bytes, encoding: Encoding::IDENTITY }
    }
}

/// Whole messages of one stream, in order: the reader's end. One owner, no lock.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The segment being cut.
    current: Bytes,
    segments: VecDeque<Bytes>,
    consumed: usize,
    /// What those with the flag are compressed by.
    encoding: Encoding,
}

impl Messages {
    /// The next message, without its prefix: a slice of its segment, not a copy.
    pub(crate) fn next(&mut self) -> Option<Message> {
        if self.current.is_empty() {
            self.current = self.segments.pop_front()?;
        }
        let prefix = self.current.first_chunk::<PREFIX>()?;
        let [flag, length @ ..] = *prefix;
        let total = PREFIX + u32::from_be_bytes(length) as usize;
        self.consumed += total;
        let mut bytes = if total >= self.current.len() {
            std::mem::take(&mut self.current)
        } else {
            self.current.split_to(total)
        };
        bytes.advance(PREFIX);
        let encoding = if flag == 0 { Encoding::IDENTITY } else { self.encoding };
        Some(Message { bytes, encoding })
    }

    /// How many octets, prefixes included, were consumed since this was asked last:
    /// the window credit to give back.
    pub(crate) fn consumed(&mut self) -> usize {
        std::mem::take(&mut self.consumed)
    }

    /// Whether [`next`](Self::next) has none.
    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.segments.is_empty()
    }

    /// Adds a segment of whole messages; empty ones are no segments.
    fn push(&mut self, segment: Bytes) {
        if self.is_empty() {
            self.current = segment;
        } else {
            self.segments.push_back(segment);
        }
    }
}

#[cfg(test)]
mod tests;
