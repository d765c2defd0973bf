//! The header lists that a peer has sent lately, for the block that comes again.
//!
//! A client says the same of every call of a method, octet for octet, unless it sends a deadline; a server has one head and
//! one end for nearly all of its answers. A block that has come before, and meets the same table as then, says the same
//! list: it is neither decoded nor judged again. Kept is what has come twice and is short, so that what a connection
//! holds for this stays small, whatever its peer sends.

use std::cell::Cell;

use super::super::error::Error;
use super::super::hpack::{Decoder, Fields};

/// So many blocks are remembered: a server's head and end, or the requests of some methods.
const KEPT: usize = 4;
/// Neither a longer block is kept, nor a list that is longer, in octets.
const SHORT: usize = 512;

/// A decoded block, and what it was found to be.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    pub(super) fields: Fields,
    /// It is well formed as this.
    pub(super) sound: Cell<Option<Sound>>,
}

/// What a list is well formed as, and what HTTP/2 wants to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    /// With its `content-length`.
    Request(Option<u64>),
    /// With its status and its `content-length`.
    Response(u16, Option<u64>),
    Trailers,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recent {
    known: Vec<Known>,
    /// Whose place the next one takes.
    oldest: usize,
    /// What was decoded last.
    fresh: List,
}

/// A block that left the table as it was.
#[derive(Debug)]
struct Known {
    block: Vec<u8>,
    /// The table that it met.
    version: u64,
    /// What it says, once it has come again.
    list: Option<List>,
}

impl Recent {
    /// Decodes a whole block. See [`Decoder::decode`].
    pub(super) fn decode(&mut self, block: &[u8], decoder: &mut Decoder) -> Result<&List, Error> {
        let version = decoder.version();
        let met = |known: &Known| known.version == version && known.block == block;
        let at = self.known.iter().position(met);
        let ready = at.filter(|at| self.known.get(*at).is_some_and(|known| known.list.is_some()));
        if ready.is_none() {
            self.fresh.sound.set(None);
            decoder.decode(block, &mut self.fresh.fields)?;
            let same = decoder.version() == version;
            if same && block.len() <= SHORT && self.fresh.fields.octets() <= SHORT {
                self.remember(at, block, version);
            }
        }
        let list = ready.and_then(|at| self.known.get(at)?.list.as_ref());
        Ok(list.unwrap_or(&self.fresh))
    }

    /// `at`: where the block is, which has come before.
    fn remember(&mut self, at: Option<usize>, block: &[u8], version: u64) {
        if let Some(known) = at.and_then(|at| self.known.get_mut(at)) {
            known.list = Some(self.fresh.clone());
        } else if self.known.len() < KEPT {
            self.known.reserve_exact(1);
            self.known.push(Known { block: block.to_vec(), version, list: None });
        } else if let Some(known) = self.known.get_mut(self.oldest) {
            known.block.clear();
            known.block.extend_from_slice(block);
            known.version = version;
            known.list = None;
            self.oldest = (self.oldest + 1) % KEPT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::hpack::encode;
    use crate::http2::xorshift::XorShift;

    const LIMIT: usize = 16 * 1024;

    fn literal(name: &str, value: &str) -> Vec<u8> {
        let mut block = Vec::new();
        encode::literal(&mut block, name.as_bytes(), value.as_bytes());
        block
    }

    /// The same, and the table takes it in.
    fn indexing(name: &str, value: &str) -> Vec<u8> {
        let mut block = literal(name, value);
        block[0] = 0x40;
        block
    }

    fn told(fields: &Fields) -> String {
        let list: Vec<_> = fields.iter().collect();
        format!("{list:?}, overflowed: {}, spare: {}", fields.overflowed(), fields.spare())
    }

    #[test]
    fn every_sequence_of_blocks_says_what_it_says_without_memory() {
        let resize = |to: u8| vec![0x20 | to];
        let newest = vec![0xbe];
        let next = vec![0xbf];
        let long = literal("x", &"v".repeat(SHORT));
        let mut blocks = vec![Vec::new(), newest.clone(), next.clone(), long, resize(0)];
        blocks.push([resize(0), vec![0x3f, 0xe1, 0x1f]].concat());
        blocks.extend((0..6).map(|n| literal("name", &n.to_string())));
        blocks.extend((0..4).map(|n| indexing("kept", &n.to_string())));
        blocks.push([newest, next, literal("more", "x")].concat());
        let mut random = XorShift::new(7);
        for _ in 0..300 {
            let (mut plain, mut by_memory) = (Decoder::new(200, 4), Decoder::new(200, 4));
            let (mut fields, mut recent) = (Fields::new(), Recent::default());
            for _ in 0..40 {
                let block = &blocks[random.below(blocks.len())];
                let due = plain.decode(block, &mut fields).map(|()| told(&fields));
                let list = recent.decode(block, &mut by_memory).map(|list| told(&list.fields));
                match (due, list) {
                    (Ok(due), Ok(list)) => assert_eq!(list, due),
                    (Err(_), Err(_)) => break,
                    (due, list) => panic!("{list:?} instead of {due:?}"),
                }
            }
        }
    }

    #[test]
    fn what_comes_for_the_third_time_is_not_decoded() {
        let (mut decoder, mut recent) = (Decoder::new(LIMIT, 256), Recent::default());
        let (head, end) = (literal("a", "b"), literal("grpc-status", "0"));
        for _ in 0..2 {
            for block in [&head, &end] {
                recent.decode(block, &mut decoder).unwrap();
            }
        }
        // A decoder that would refuse everything is not asked.
        let mut none = Decoder::new(0, 0);
        for block in [&head, &end, &head] {
            let list = recent.decode(block, &mut none).unwrap();
            assert!(!list.fields.overflowed() && list.fields.len() == 1);
        }
        assert!(recent.decode(&literal("a", "c"), &mut none).unwrap().fields.overflowed());
    }

    #[test]
    fn what_is_held_is_small_whatever_comes() {
        let (mut decoder, mut recent) = (Decoder::new(LIMIT, 256), Recent::default());
        decoder.decode(&indexing("n", &"v".repeat(3_000)), &mut Fields::new()).unwrap();
        for n in 0..10 {
            let long = literal("x", &"v".repeat(1_500 * n));
            let says_much = [vec![0xbe; 4], vec![0x88; n]].concat();
            for block in [long, says_much, literal("short", &n.to_string())] {
                recent.decode(&block, &mut decoder).unwrap();
                recent.decode(&block, &mut decoder).unwrap();
            }
        }
        let held = |known: &Known| {
            let list = known.list.as_ref().map_or(0, |list| list.fields.octets());
            known.block.capacity().max(list)
        };
        assert!(recent.known.len() == KEPT);
        assert!(recent.known.iter().all(|known| held(known) <= 2 * SHORT));
    }
}
