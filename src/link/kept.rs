//! The buffers that a thread keeps for octets on their way to the socket.

use std::cell::RefCell;

/// A buffer up to this capacity is kept for the next octets: a write turn's, which has grown by doubling. One that was
/// once filled with much more is not.
pub(super) const KEPT: usize = 256 * 1024;

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
