//! The decoder of one connection (RFC 7541 §3, §6).
//!
//! Every error ends the connection, most of them as COMPRESSION_ERROR (RFC 9113
//! §4.3), and the decoder with it: the good fields before may have changed the
//! table. Work and memory are bounded by the block's length and the list's limit,
//! whatever the block says; the block's length is the caller's to bound (A5).

use std::fmt;

use httlib_hpack::table::Table;
use httlib_huffman::{DecoderSpeed, encoder::table::ENCODE_TABLE};

use super::fields::{Fields, OVERHEAD};
use crate::http2::error::Error;
use crate::http2::types::Reason;

/// Decodes a peer's header blocks, all of them, in the order of the wire.
pub(crate) struct Decoder {
    /// The static table and the dynamic one behind it.
    table: Table<'static>,
    /// Largest size of a list, name + value + 32 for each field.
    max_list_size: usize,
    /// Most fields of a list: the size alone would admit 500 short ones (A6).
    max_fields: usize,
    /// Counts the changes of the dynamic table.
    version: u64,
}

impl Decoder {
    /// A decoder with an empty table of the default limit, 4096 octets. It is never
    /// changed, so SETTINGS_HEADER_TABLE_SIZE need not be announced.
    pub(crate) fn new(max_list_size: usize, max_fields: usize) -> Self {
        let table = Table::with_dynamic_size(MAX_TABLE_SIZE);
        Self { table, max_list_size, max_fields, version: 0 }
    }

    /// Decodes a whole block into `into`, whose former content is lost.
    ///
    /// A list past a limit is no error: the block is decoded to its end, so that
    /// the table stays in step with the peer's, but nothing is kept and
    /// [`Fields::overflowed`] is set. Only a list that is absurdly longer is an
    /// ENHANCE_YOUR_CALM: two octets of a block can order a copy of 4 KiB.
    pub(crate) fn decode(&mut self, block: &[u8], into: &mut Fields) -> Result<(), Error> {
        into.clear();
        let absurd = self.max_list_size.saturating_mul(ABSURD_FACTOR).max(ABSURD_FLOOR);
        let (mut size, mut count) = (0_usize, 0_usize);
        let mut input = Input { rest: block };
        self.size_updates(&mut input)?;
        while let Some(first) = input.next() {
            size = size.saturating_add(self.field(first, &mut input, into)?);
            count += 1;
            if size > self.max_list_size || count > self.max_fields {
                into.overflow();
                if size > absurd {
                    let reason = Reason::ENHANCE_YOUR_CALM;
                    return Err(Error::connection(reason, "header list far above the limit"));
                }
            }
        }
        into.set_spare(self.max_list_size.saturating_sub(size));
        Ok(())
    }

    /// Which state of the table this is: the same block means the same list as long as it is the same.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Takes the table size updates at the beginning of a block.
    ///
    /// "This dynamic table size update MUST occur at the beginning of the first
    /// header block following the change" and there are "at most two dynamic table
    /// size updates" (RFC 7541 §4.2).
    fn size_updates(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        for _ in 0..MAX_SIZE_UPDATES {
            let Some(first @ 0x20..=0x3f) = input.peek() else { return Ok(()) };
            input.next();
            // "The new maximum size MUST be lower than or equal to the limit
            // determined by the protocol using HPACK. A value that exceeds this
            // limit MUST be treated as a decoding error" (RFC 7541 §6.3).
            let size = input.integer(first, 5)?;
            if size > MAX_TABLE_SIZE {
                return Err(error("table size above the limit"));
            }
            self.version += 1;
            self.table.update_max_dynamic_size(size);
        }
        Ok(())
    }

    /// Decodes one field and appends it, unless the list has overflowed. Returns
    /// what it counts.
    #[inline]
    fn field(
        &mut self,
        first: u8,
        input: &mut Input<'_>,
        into: &mut Fields,
    ) -> Result<usize, Error> {
        let start = into.arena().len();
        let middle;
        match first {
            // Indexed Header Field (RFC 7541 §6.1).
            0x80.. => {
                let (name, value) = self.entry(input.integer(first, 7)?)?;
                if into.overflowed() {
                    return Ok(name.len() + value.len() + OVERHEAD);
                }
                let arena = into.arena();
                arena.extend_from_slice(name);
                middle = arena.len();
                arena.extend_from_slice(value);
            }
            // Literal Header Field with Incremental Indexing (§6.2.1).
            0x40..=0x7f => {
                let arena = into.arena();
                middle = self.literal(input.integer(first, 6)?, input, arena)?;
                self.insert(&arena[start..middle], &arena[middle..]);
            }
            0x20..=0x3f => return Err(error("misplaced table size update")),
            // Without Indexing (§6.2.2) and Never Indexed (§6.2.3): nothing is
            // forwarded from here, so the difference is lost on us.
            0x00..=0x1f => {
                middle = self.literal(input.integer(first, 4)?, input, into.arena())?;
            }
        }
        let counts = into.arena().len() - start + OVERHEAD;
        if into.overflowed() {
            into.cut();
        } else {
            into.close(middle);
        }
        Ok(counts)
    }

    /// Appends a literal field's name, by index or spelled out, and its value.
    /// Returns where the value begins.
    #[inline]
    fn literal(
        &self,
        index: u32,
        input: &mut Input<'_>,
        arena: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        match index {
            0 => input.string(arena)?,
            index => arena.extend_from_slice(self.entry(index)?.0),
        }
        let middle = arena.len();
        input.string(arena)?;
        Ok(middle)
    }

    /// "Indices strictly greater than the sum of the lengths of both tables MUST be
    /// treated as a decoding error" (RFC 7541 §2.3.3), and "The index value of 0 is
    /// not used. It MUST be treated as a decoding error" (§6.1).
    #[inline]
    fn entry(&self, index: u32) -> Result<(&[u8], &[u8]), Error> {
        self.table.get(index).ok_or(error("index out of range"))
    }

    /// Adds an entry to the dynamic table.
    fn insert(&mut self, name: &[u8], value: &[u8]) {
        self.version += 1;
        let max = self.table.max_dynamic_size();
        if name.len() + value.len() + OVERHEAD > max as usize {
            // "An attempt to add an entry larger than the maximum size causes the
            // table to be emptied of all existing entries and results in an empty
            // table" (RFC 7541 §4.4): without a copy of it.
            self.table.update_max_dynamic_size(0);
            self.table.update_max_dynamic_size(max);
        } else {
            self.table.insert(name.to_vec(), value.to_vec());
        }
    }
}

#[cfg(test)]
impl Decoder {
    /// The table, to be compared.
    pub(super) fn table(&self) -> &Table<'static> {
        &self.table
    }

    /// The table, to be made smaller than any peer could.
    pub(super) fn table_mut(&mut self) -> &mut Table<'static> {
        &mut self.table
    }
}

impl fmt::Debug for Decoder {
    /// Sizes only: the table may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("entries", &self.table.dynamic_len())
            .field("size", &self.table.dynamic_size())
            .finish_non_exhaustive()
    }
}

/// What is left of a block.
struct Input<'a> {
    rest: &'a [u8],
}

impl Input<'_> {
    /// The next octet.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next octet, not taken.
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// An integer (RFC 7541 §5.1) that begins in the low `bits` of `first`.
    ///
    /// It takes at most five octets, and so is below 2^28 + 127: "Integer encodings
    /// that exceed implementation limits -- in value or octet length -- MUST be
    /// treated as decoding errors".
    #[inline]
    fn integer(&mut self, first: u8, bits: u8) -> Result<u32, Error> {
        let mask = (1_u8 << bits) - 1;
        let value = first & mask;
        if value < mask { Ok(u32::from(value)) } else { self.long_integer(u32::from(mask)) }
    }

    /// The further octets of an integer.
    fn long_integer(&mut self, mut value: u32) -> Result<u32, Error> {
        for shift in [0, 7, 14, 21] {
            let Some(octet) = self.next() else { return Err(error("truncated integer")) };
            value += u32::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(error("integer of more than 5 octets"))
    }

    /// A string (RFC 7541 §5.2), appended to `out`. Nothing is reserved or copied
    /// before its length is known to lie within the block (A7).
    #[inline]
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(first) = self.next() else { return Err(error("string missing")) };
        let len = self.integer(first, 7)? as usize;
        let Some((string, rest)) = self.rest.split_at_checked(len) else {
            return Err(error("string longer than the block"));
        };
        self.rest = rest;
        if first & 0x80 == 0 {
            out.extend_from_slice(string);
            return Ok(());
        }
        huffman(string, out)
    }
}

/// Appends the decoded `string` to `out`.
///
/// The crate accepts padding of other bits than ones. So the octets that came out
/// are measured: what their codes leave of the input is the padding.
fn huffman(string: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    // EOS inside a string is refused by the crate: "A Huffman-encoded string
    // literal containing the EOS symbol MUST be treated as a decoding error" (§5.2).
    if httlib_huffman::decode(string, out, DecoderSpeed::FiveBits).is_err() {
        return Err(error("invalid Huffman code"));
    }
    let used: usize =
        out[start..].iter().map(|&octet| usize::from(CODE_BITS[octet as usize])).sum();
    let padding = (string.len() * 8).wrapping_sub(used);
    // "A padding strictly longer than 7 bits MUST be treated as a decoding error. A
    // padding not corresponding to the most significant bits of the code for the
    // EOS symbol MUST be treated as a decoding error" (§5.2): they are all ones.
    let ones = (1_u8 << (padding & 7)) - 1;
    if padding > 7 || string.last().is_some_and(|last| last & ones != ones) {
        return Err(error("invalid Huffman padding"));
    }
    Ok(())
}

/// "A decoding error in a field block MUST be treated as a connection error of type
/// COMPRESSION_ERROR" (RFC 9113 §4.3).
#[cold]
const fn error(cause: &'static str) -> Error {
    Error::connection(Reason::COMPRESSION_ERROR, cause)
}

/// SETTINGS_HEADER_TABLE_SIZE, at its initial value (RFC 9113 §6.5.2).
pub(super) const MAX_TABLE_SIZE: u32 = 4096;

/// RFC 7541 §4.2: the lowest size in between, and the final one.
const MAX_SIZE_UPDATES: usize = 2;

/// So many times the limit is absurd, and ends the connection …
const ABSURD_FACTOR: usize = 8;

/// … but so many octets are not, however low the limit was set.
const ABSURD_FLOOR: usize = 128 * 1024;

/// Length of each octet's Huffman code (RFC 7541 appendix B).
static CODE_BITS: [u8; 256] = {
    let mut bits = [0; 256];
    let mut octet = 0;
    while octet < bits.len() {
        bits[octet] = ENCODE_TABLE[octet].0;
        octet += 1;
    }
    bits
};
