//! Sealed octets on their way to the socket, in the order in which they were sealed.

/// A queue of octets. Empty, it holds what it was made with.
#[derive(Debug, Default)]
pub(super) struct Queue {
    octets: Vec<u8>,
    gone: usize,
}

impl Queue {
    /// An empty one, over memory that was used before.
    pub(super) fn over(mut octets: Vec<u8>) -> Self {
        octets.clear();
        Self { octets, gone: 0 }
    }

    /// The memory, to be used again.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.octets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gone == self.octets.len()
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len() - self.gone
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.octets.capacity()
    }

    /// What is to go next.
    pub(super) fn rest(&self) -> &[u8] {
        self.octets.get(self.gone..).unwrap_or_default()
    }

    /// `n` octets have gone.
    pub(super) fn advance(&mut self, n: usize) {
        self.gone = (self.gone + n).min(self.octets.len());
    }

    /// Where to append to.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }
}
