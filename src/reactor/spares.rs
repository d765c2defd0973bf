//! Buffers of long messages, kept for the next.
//!
//! Allocators give a block of megabytes back to the kernel when it is free, and the kernel fills the next one with zeros,
//! page by page, as it is first touched: for a message of 4 MiB that takes longer than all the copying. So the buffers in which
//! long messages were received, or from which they were sent, are kept: a few, for the whole process, until no link
//! has used them for a second ([`rest`]).
//!
//! Locks: one, a leaf. Nothing is freed under it.

use std::time::{Duration, Instant};

use crate::sync::{Mutex, process_wide};
use bytes::Bytes;

use super::clock;
use crate::codec::Codec;
use crate::status::Status;

/// Shorter ones the allocator keeps itself.
const LONG: usize = 128 * 1024;
/// So many octets are kept at most.
const MOST: usize = 16 * 1024 * 1024;
/// A message gets no buffer that is so many times as large.
const WASTE: usize = 2;
/// How long they are kept unused.
const UNUSED: Duration = Duration::from_secs(1);

process_wide! {
    static SPARES: Mutex<Spares> =
        Mutex::new(Spares { buffers: Vec::new(), octets: 0, used: None, looks_at: None });
}

struct Spares {
    buffers: Vec<Vec<u8>>,
    octets: usize,
    /// When one was last taken or put.
    used: Option<Instant>,
    /// When somebody will look whether they are still used.
    looks_at: Option<Instant>,
}

/// An empty buffer for a message of `len` octets, if one is there that fits.
pub(crate) fn take(len: usize) -> Option<Vec<u8>> {
    if len < LONG { None } else { SPARES.lock().take(len, clock::now()) }
}

/// An empty buffer for a message of about `len` octets: one that fits, or one that has nothing reserved, as `len` may be
/// what a user's codec says.
pub(crate) fn buffer(len: usize) -> Vec<u8> {
    take(len).unwrap_or_default()
}

/// Keeps the buffer of what has been sent or read, if it is long and nobody else looks at it.
pub(crate) fn put(octets: Bytes) {
    let Ok(mut buffer) = octets.try_into_mut() else { return };
    // Before it becomes a `Vec` again: what is in it would be moved to the front.
    buffer.clear();
    let buffer = Vec::from(buffer);
    if buffer.capacity() >= LONG {
        let too_many = SPARES.lock().put(buffer, clock::now());
        drop(too_many);
    }
}

/// Decodes a message and keeps its buffer, unless what was decoded still refers to it.
pub(crate) fn decode<T>(codec: &(impl Codec<T> + ?Sized), message: Bytes) -> Result<T, Status> {
    if message.len() < LONG {
        return codec.decode(message);
    }
    let kept = message.clone();
    let decoded = codec.decode(message);
    put(kept);
    decoded
}

/// A link has been quiet for a while: frees what nobody has used lately, or tells when to look again, if nobody else will.
pub(crate) fn rest(now: Instant) -> Option<Instant> {
    let (unused, again) = SPARES.lock().rest(now);
    drop(unused);
    again
}

impl Spares {
    fn take(&mut self, len: usize, now: Instant) -> Option<Vec<u8>> {
        let fits =
            |buffer: &Vec<u8>| (len..=len.saturating_mul(WASTE)).contains(&buffer.capacity());
        let place = self.buffers.iter().rposition(fits)?;
        self.used = Some(now);
        let buffer = self.buffers.swap_remove(place);
        self.octets -= buffer.capacity();
        Some(buffer)
    }

    /// Gives back what is too much.
    fn put(&mut self, buffer: Vec<u8>, now: Instant) -> Option<Vec<u8>> {
        if self.octets + buffer.capacity() > MOST {
            return Some(buffer);
        }
        self.used = Some(now);
        self.octets += buffer.capacity();
        self.buffers.push(buffer);
        None
    }

    fn rest(&mut self, now: Instant) -> (Vec<Vec<u8>>, Option<Instant>) {
        let Some(unused_at) = self.used.map(|used| used + UNUSED) else {
            return (Vec::new(), None);
        };
        if now < unused_at {
            // A client's link is quiet long before that, and does not look twice.
            let looked_after = self.looks_at.is_some_and(|at| at > now);
            self.looks_at = if looked_after { self.looks_at } else { Some(unused_at) };
            return (Vec::new(), (!looked_after).then_some(unused_at));
        }
        self.used = None;
        self.octets = 0;
        (std::mem::take(&mut self.buffers), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spares() -> Spares {
        Spares { buffers: Vec::new(), octets: 0, used: None, looks_at: None }
    }

    #[test]
    fn a_buffer_is_given_to_messages_of_its_size() {
        let now = clock::now();
        let mut spares = spares();
        assert!(spares.put(Vec::with_capacity(LONG * 8), now).is_none());
        assert!(spares.take(LONG * 8 + 1, now).is_none(), "too long for it");
        assert!(spares.take(LONG * 4 - 1, now).is_none(), "a waste");
        assert!(spares.take(usize::MAX, now).is_none());
        assert_eq!(spares.take(LONG * 4, now).unwrap().capacity(), LONG * 8);
        assert!(spares.take(LONG * 4, now).is_none(), "it is in use");
    }

    #[test]
    fn no_more_than_a_few_are_kept_and_not_for_ever() {
        let now = clock::now();
        let mut spares = spares();
        let kept = (0..200).filter(|_| spares.put(Vec::with_capacity(LONG), now).is_none()).count();
        assert_eq!(kept, MOST / LONG);
        assert_eq!(spares.rest(now + UNUSED / 2), (Vec::new(), Some(now + UNUSED)));
        assert_eq!(spares.rest(now + UNUSED / 2), (Vec::new(), None), "one will look");
        assert_eq!(spares.rest(now + UNUSED).0.len(), kept);
        assert!(spares.put(Vec::with_capacity(MOST), now).is_none(), "the count begins anew");
    }

    #[test]
    fn what_somebody_still_looks_at_is_not_kept() {
        const LEN: usize = 8_765_432;
        let octets = Bytes::from(vec![1; LEN]);
        let slice = octets.slice(5..);
        put(octets);
        assert!(take(LEN).is_none());
        // The last holder's end of it: all of the buffer comes back.
        put(slice);
        assert_eq!(take(LEN).unwrap().capacity(), LEN);
    }
}
