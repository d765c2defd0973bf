//! A second decoder, written for clarity alone: no limits, no arena, Huffman bit by
//! bit, a table of its own. Only the two tables of constants are shared.

use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;

use httlib_huffman::encoder::table::ENCODE_TABLE;

use super::List;

/// The state of the oracle.
pub(super) struct Oracle {
    /// The dynamic table, the newest entry first.
    pub(super) table: VecDeque<(Vec<u8>, Vec<u8>)>,
    size: usize,
    max: usize,
    fixed: httlib_hpack::table::Table<'static>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self { table: VecDeque::new(), size: 0, max: 4096, fixed: Default::default() }
    }
}

impl Oracle {
    /// The fields, or `None` for an error.
    pub(super) fn decode(&mut self, mut block: &[u8]) -> Option<List> {
        let (mut fields, mut updates) = (Vec::new(), 0);
        while let Some(first) = block.first().copied() {
            if first >> 5 == 1 {
                updates += 1;
                let size = integer(&mut block, 5)?;
                if !fields.is_empty() || updates > 2 || size > 4096 {
                    return None;
                }
                self.max = size;
                self.evict();
            } else if first & 0x80 != 0 {
                fields.push(self.entry(integer(&mut block, 7)?)?);
            } else {
                let indexing = first & 0x40 != 0;
                let name = match integer(&mut block, if indexing { 6 } else { 4 })? {
                    0 => string(&mut block)?,
                    index => self.entry(index)?.0,
                };
                let field = (name, string(&mut block)?);
                if indexing {
                    self.insert(field.clone());
                }
                fields.push(field);
            }
        }
        Some(fields)
    }

    fn insert(&mut self, field: (Vec<u8>, Vec<u8>)) {
        self.size += field.0.len() + field.1.len() + 32;
        self.table.push_front(field);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.max {
            let (name, value) = self.table.pop_back().expect("a size without entries");
            self.size -= name.len() + value.len() + 32;
        }
    }

    fn entry(&self, index: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        match index {
            0 => None,
            1..=61 => self.fixed.get(index as u32).map(|(n, v)| (n.to_vec(), v.to_vec())),
            _ => self.table.get(index - 62).cloned(),
        }
    }
}

fn integer(block: &mut &[u8], bits: u32) -> Option<usize> {
    let max = (1 << bits) - 1;
    let mut value = usize::from(take(block)?) & max;
    if value == max {
        for octet in 0.. {
            let next = take(block)?;
            if octet == 4 {
                return None;
            }
            value += usize::from(next & 0x7f) << (7 * octet);
            if next < 0x80 {
                break;
            }
        }
    }
    Some(value)
}

fn take(block: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = block.split_first()?;
    *block = rest;
    Some(first)
}

fn string(block: &mut &[u8]) -> Option<Vec<u8>> {
    let coded = block.first()? & 0x80 != 0;
    let len = integer(block, 7)?;
    let octets = block.get(..len)?;
    *block = &block[len..];
    if coded { huffman(octets) } else { Some(octets.to_vec()) }
}

/// The decoded string, or `None` for an error.
pub(super) fn huffman(octets: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut code, mut bits) = (Vec::new(), 0_u32, 0_u8);
    for octet in octets {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(octet >> bit & 1);
            bits += 1;
            match SYMBOLS.get(&(bits, code)).copied() {
                Some(256) => return None,
                Some(symbol) => {
                    out.push(symbol as u8);
                    (code, bits) = (0, 0);
                }
                None if bits > 30 => return None,
                None => {}
            }
        }
    }
    (bits < 8 && code == (1 << bits) - 1).then_some(out)
}

/// From the code and its length to the symbol.
static SYMBOLS: LazyLock<BTreeMap<(u8, u32), usize>> =
    LazyLock::new(|| ENCODE_TABLE.into_iter().zip(0..).collect());
