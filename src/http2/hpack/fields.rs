//! A decoded header block: a list of fields in one piece of memory.

use std::fmt;

/// The fields of one header block in the order they were sent, pseudo-headers
/// among them.
///
/// All names and values lie one after the other in a single arena, so that a
/// list used for block after block allocates nothing once it has grown.
#[derive(Clone)]
pub(crate) struct Fields {
    /// name, value, name, value, …
    arena: Vec<u8>,
    /// Where they end. Invariant: ascending, and never past the arena's end.
    spans: Vec<Span>,
    /// The block went past a limit, and nothing of it was kept.
    overflowed: bool,
    /// How much larger the list might be.
    spare: usize,
}

impl Default for Fields {
    /// No fields, no memory, and no limit.
    fn default() -> Self {
        Self { arena: Vec::new(), spans: Vec::new(), overflowed: false, spare: usize::MAX }
    }
}

/// The ends of one field in the arena; it starts where the one before ended.
#[derive(Clone, Copy)]
struct Span {
    name: u32,
    value: u32,
}

impl Fields {
    /// No fields, no memory.
    #[cfg(any(test, feature = "_internals"))]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Every field, as `(name, value)`.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.spans.iter().map(move |span| {
            let (name, value) = (span.name as usize, span.value as usize);
            let field = (&self.arena[start..name], &self.arena[name..value]);
            start = value;
            field
        })
    }

    /// The value of the first field called `name`.
    #[cfg(test)]
    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// How many fields there are.
    #[cfg(any(test, feature = "_internals"))]
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Are there none?
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The size of the list: "the uncompressed size of field lines, including the
    /// length of the name and value in units of octets plus an overhead of 32
    /// octets for each field line" (RFC 9113 §6.5.2).
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.arena.len() + self.spans.len() * OVERHEAD
    }

    /// The length of all names and values.
    pub(crate) fn octets(&self) -> usize {
        self.arena.len()
    }

    /// Did the block go past the decoder's limits? Then the list is empty.
    pub(crate) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// What the list's limit has left, in octets as [`OVERHEAD`] counts: for those who make more of a field than one.
    pub(crate) fn spare(&self) -> usize {
        self.spare
    }

    /// See [`spare`](Self::spare).
    pub(super) fn set_spare(&mut self, spare: usize) {
        self.spare = spare;
    }

    /// Empties the list and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.arena.clear();
        self.spans.clear();
        self.overflowed = false;
    }

    /// Appends a field.
    #[cfg(test)]
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.arena.extend_from_slice(name);
        let middle = self.arena.len();
        self.arena.extend_from_slice(value);
        self.close(middle);
    }

    /// The arena, to which a field's name and value are appended before
    /// [`close`](Self::close) or [`cut`](Self::cut).
    pub(super) fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// Makes what was appended to the arena a field whose value begins at `middle`.
    pub(super) fn close(&mut self, middle: usize) {
        let value = self.arena.len();
        debug_assert!(middle <= value && self.end() as usize <= middle);
        self.spans.push(Span { name: middle as u32, value: value as u32 });
    }

    /// Drops what was appended to the arena and not made a field.
    pub(super) fn cut(&mut self) {
        let end = self.end() as usize;
        self.arena.truncate(end);
    }

    /// Drops all fields and marks the list as too long.
    pub(crate) fn overflow(&mut self) {
        self.clear();
        self.overflowed = true;
    }

    /// Where the last field ends.
    fn end(&self) -> u32 {
        self.spans.last().map_or(0, |span| span.value)
    }
}

impl fmt::Debug for Fields {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|(name, _)| String::from_utf8_lossy(name));
        f.debug_list().entries(names).finish()?;
        if self.overflowed { f.write_str(" (overflowed)") } else { Ok(()) }
    }
}

/// What each field counts on top of its octets (RFC 7541 §4.1, RFC 9113 §6.5.2).
pub(crate) const OVERHEAD: usize = 32;
