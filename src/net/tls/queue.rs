//! Sealed octets on their way to the socket, in the order in which they were sealed.

/// A queue of octets over memory that may have been used before: what was zeroed once is not zeroed again.
#[derive(Debug, Default)]
pub(super) struct Queue {
    memory: Vec<u8>,
    /// `memory[gone..end]` is what is to go.
    gone: usize,
    end: usize,
}

impl Queue {
    /// An empty one.
    pub(super) fn over(memory: Vec<u8>) -> Self {
        Self { memory, gone: 0, end: 0 }
    }

    /// The memory, to be used again.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.memory
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gone == self.end
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.gone
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.memory.capacity()
    }

    /// What is to go next.
    pub(super) fn rest(&self) -> &[u8] {
        self.memory.get(self.gone..self.end).unwrap_or_default()
    }

    /// `n` octets have gone.
    pub(super) fn advance(&mut self, n: usize) {
        self.gone = (self.gone + n).min(self.end);
    }

    pub(super) fn append(&mut self, octets: &[u8]) {
        self.room(octets.len()).copy_from_slice(octets);
        self.fill(octets.len());
    }

    /// Room for so many octets behind what is there. What is written into it counts once it is [`fill`](Self::fill)ed.
    pub(super) fn room(&mut self, n: usize) -> &mut [u8] {
        let until = self.end + n;
        if self.memory.len() < until {
            self.memory.resize(until, 0);
        }
        &mut self.memory[self.end..until]
    }

    /// The first `n` octets of the room are filled.
    pub(super) fn fill(&mut self, n: usize) {
        self.end = (self.end + n).min(self.memory.len());
    }
}
