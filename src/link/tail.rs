//! Octets on their way to the socket, of which it has taken some; and the buffers that a thread keeps for such octets.

use std::cell::RefCell;
use std::mem;

/// A buffer up to this capacity is kept for the next octets: a write turn's, which has grown by doubling. One that was
/// once filled with much more is not.
pub(super) const KEPT: usize = 256 * 1024;

/// See the file. What is taken is counted, not moved away: to move the rest at each of a full socket's small steps would
/// cost the square of its length.
#[derive(Debug, Default)]
pub(super) struct Tail {
    octets: Vec<u8>,
    taken: usize,
}

impl Tail {
    /// Nothing yet, with this buffer for it.
    pub(super) fn with(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { octets: buffer, taken: 0 }
    }

    /// What the socket has not taken.
    pub(super) fn rest(&self) -> &[u8] {
        self.octets.get(self.taken..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// Where the next octets go, when nothing is left of the last.
    pub(super) fn refill(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.is_empty());
        &mut self.octets
    }

    /// The socket has taken `n` octets more.
    pub(super) fn took(&mut self, n: usize) {
        self.taken += n;
    }

    /// Lets go of a buffer that is far too large for what is left, once the socket takes no more. It is returned for the
    /// next octets. The rest is moved only when it has at most half of the buffer: no octet twice, on the average.
    pub(super) fn lighten(&mut self) -> Vec<u8> {
        let rest = self.rest().len();
        if rest == 0 {
            self.taken = 0;
            self.octets.clear();
            let too_large = self.octets.capacity() > KEPT;
            return if too_large { mem::take(&mut self.octets) } else { Vec::new() };
        }
        if rest > self.octets.capacity() / 2 {
            return Vec::new();
        }
        let rest = self.rest().to_vec();
        self.taken = 0;
        mem::replace(&mut self.octets, rest)
    }

    /// The buffer, for the next octets.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.octets
    }
}

/// A buffer that a thread keeps for the next time, for ever perhaps: of a capacity of `MOST` at most, whatever it was
/// used for. Nothing else of a link is kept by threads.
pub(super) struct Kept<const MOST: usize>(RefCell<Vec<u8>>);

impl<const MOST: usize> Kept<MOST> {
    pub(super) const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// As it was put, or an empty one. Taken out, not borrowed: telling the channel may come back to a link on this thread.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.take()
    }

    /// The larger of two.
    pub(super) fn exchange(&self, buffer: Vec<u8>) -> Vec<u8> {
        let kept = self.take();
        if kept.capacity() < buffer.capacity() { buffer } else { kept }
    }

    /// Keeps the larger of two, unless it is too large.
    pub(super) fn put(&self, buffer: Vec<u8>) {
        let wanted = self.0.borrow().capacity() < buffer.capacity() && buffer.capacity() <= MOST;
        if wanted {
            self.0.replace(buffer);
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.0.borrow().capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(len: usize) -> Tail {
        let mut tail = Tail::default();
        tail.refill().extend((0..len).map(|n| n as u8));
        tail
    }

    #[test]
    fn what_a_full_socket_takes_in_small_steps_is_moved_twice_at_most() {
        const LEN: usize = 4 << 20;
        let mut tail = tail(LEN);
        let (mut moved, mut sent) = (0, 0);
        while !tail.is_empty() {
            assert_eq!(tail.rest()[0], sent as u8);
            let n = tail.rest().len().min(1500);
            tail.took(n);
            sent += n;
            let before = tail.octets.as_ptr();
            drop(tail.lighten());
            if tail.octets.as_ptr() != before {
                moved += tail.rest().len();
            }
            assert!(tail.octets.capacity() <= KEPT.max(2 * tail.rest().len()));
        }
        assert_eq!(sent, LEN);
        assert!(moved <= 2 * LEN, "{moved} octets");
    }

    #[test]
    fn a_small_rest_does_not_hold_on_to_a_large_buffer() {
        let mut tail = tail(100_000);
        tail.took(99_990);
        assert!(tail.lighten().capacity() >= 100_000);
        assert_eq!((tail.rest().len(), tail.octets.capacity()), (10, 10));
        tail.took(10);
        tail.lighten();
        assert!(tail.is_empty() && tail.into_buffer().is_empty());
    }

    #[test]
    fn a_thread_keeps_no_buffer_that_is_too_large() {
        let kept = Kept::<100>::new();
        kept.put(Vec::with_capacity(101));
        assert_eq!(kept.capacity(), 0);
        kept.put(Vec::with_capacity(100));
        kept.put(Vec::with_capacity(10));
        assert_eq!(kept.take().capacity(), 100);
        assert_eq!(kept.capacity(), 0);
    }
}
