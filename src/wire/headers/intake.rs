//! What every list that is read is taken in by: metadata within the list's own limit, and fields that may come once.

use crate::http2::hpack::{Fields, OVERHEAD};
use crate::metadata::{Metadata, is_binary};
use crate::status::Status;

use super::{bad_binary, too_large};

/// Received metadata in the making.
///
/// One field may be many entries (W27), and each holds the field's name anew: 54 octets of a block would be megabytes.
/// So every entry counts as the field that it could have been, against the limit of the list it came in,
/// before anything of it is stored.
pub(super) struct Intake {
    metadata: Metadata,
    /// What the list's limit has left.
    spare: usize,
    /// What is said when it is not enough.
    too_large: &'static str,
    fault: Option<Status>,
    full: bool,
}

impl Intake {
    pub(super) fn new(fields: &Fields, too_large: &'static str) -> Self {
        let (metadata, spare) = (Metadata::new(), fields.spare());
        Self { metadata, spare, too_large, fault: None, full: false }
    }

    /// Takes in one field.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        if self.full {
            return;
        }
        if is_binary(name) {
            // The first part has been counted with the list; the values are within it.
            let more = value.iter().filter(|octet| **octet == b',').count();
            let cost = more.saturating_mul(name.len() + OVERHEAD);
            let Some(left) = self.spare.checked_sub(cost) else {
                self.full = true;
                self.metadata = Metadata::new();
                self.fault = Some(too_large(self.too_large));
                return;
            };
            self.spare = left;
        }
        if self.metadata.append_received(name, value).is_err() {
            self.fault.get_or_insert_with(|| bad_binary(name));
        }
    }

    /// What was taken in, and what was wrong with it.
    pub(super) fn finish(self) -> (Metadata, Option<Status>) {
        (self.metadata, self.fault)
    }
}

/// A field that may come once.
///
/// § RFC 9110 §5.3: a sender must not repeat a field that is no list. Which of two would count, nobody can say: proxies and
/// peers differ in it. Two that say the same do no harm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Once<'a> {
    value: Option<&'a [u8]>,
    torn: bool,
}

impl<'a> Once<'a> {
    pub(super) fn set(&mut self, value: &'a [u8]) {
        self.torn |= *self.value.get_or_insert(value) != value;
    }

    /// The value, the first if there are several.
    pub(super) fn first(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The value, or `Err` for several that differ.
    pub(super) fn get(&self) -> Result<Option<&'a [u8]>, Torn> {
        if self.torn { Err(Torn) } else { Ok(self.value) }
    }
}

/// A field came more than once, and said different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torn;

#[cfg(test)]
mod tests {
    use super::super::parse_trailers;
    use super::super::request::tests::{decode_within, parse_request, parse_response};
    use super::*;
    use crate::http2::hpack::{Decoder, encode};
    use crate::status::Code;

    const LIMIT: usize = 16 * 1024;

    /// Blocks whose lists are within the limit, and whose commas would make them large. `begin`: the fields before.
    fn hostile(begin: &[(&str, &str)]) -> Vec<Fields> {
        let field = |name: usize, commas: usize| {
            let name = [&vec![b'n'; name][..], b"-bin"].concat();
            (name, vec![b','; commas])
        };
        let mut lists = Vec::new();
        for (name, commas) in [(8_000, 8_000), (1, 16_000), (4_000, 2_000), (100, 400), (60, 120)] {
            let mut block = Vec::new();
            begin.iter().for_each(|(k, v)| encode::literal(&mut block, k.as_bytes(), v.as_bytes()));
            let (name, value) = field(name, commas);
            encode::literal(&mut block, &name, &value);
            lists.push(decode_within(LIMIT, &block));
        }
        // An entry of the dynamic table, and references to it of one octet each.
        let mut decoder = Decoder::new(LIMIT, 256);
        let (name, value) = field(2_000, 1_900);
        let mut insert = Vec::new();
        encode::literal(&mut insert, &name, &value);
        insert[0] = 0x40;
        decoder.decode(&insert, &mut Fields::new()).unwrap();
        let mut block = Vec::new();
        begin.iter().for_each(|(k, v)| encode::literal(&mut block, k.as_bytes(), v.as_bytes()));
        block.extend([0xbe; 3]);
        assert!(block.len() < 300);
        let mut list = Fields::new();
        decoder.decode(&block, &mut list).unwrap();
        lists.push(list);
        lists
    }

    #[test]
    fn w30_what_a_list_is_parsed_to_stays_within_a_small_multiple_of_its_limit() {
        let head = [(":status", "200"), ("content-type", "application/grpc")];
        for list in hostile(&head) {
            assert!(!list.overflowed());
            let head = parse_response(&list, false);
            assert!(head.metadata.heap() <= 4 * LIMIT, "{}", head.metadata.heap());
        }
        for list in hostile(&[("grpc-status", "0")]) {
            let status = parse_trailers(&list).status.unwrap();
            assert!(status.trailing_metadata().heap() <= 4 * LIMIT);
        }
        let request = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/a/b"),
            ("content-type", "application/grpc"),
        ];
        for list in hostile(&request) {
            match parse_request(&list) {
                Ok(head) => assert!(head.metadata.heap() <= 4 * LIMIT),
                Err(refusal) => {
                    assert_eq!(refusal.status().unwrap().code(), Code::ResourceExhausted);
                }
            }
        }
    }

    #[test]
    fn w30_parts_of_a_value_count_as_the_fields_they_could_have_been() {
        let begin = [("grpc-status", "0")];
        let size: usize = begin.iter().map(|(k, v)| k.len() + v.len() + OVERHEAD).sum();
        for parts in [1, 2, 10, 300] {
            let value = vec!["Zg"; parts].join(",");
            let mut block = Vec::new();
            encode::literal(&mut block, b"grpc-status", b"0");
            encode::literal(&mut block, b"k-bin", value.as_bytes());
            let exact = size + value.len() + parts * (b"k-bin".len() + OVERHEAD);
            let status = parse_trailers(&decode_within(exact, &block)).status.unwrap();
            assert!(status.is_ok(), "{parts}: {status}");
            assert_eq!(status.trailing_metadata().len(), parts);
            let status = parse_trailers(&decode_within(exact - 1, &block)).status.unwrap();
            assert_eq!(status.code(), Code::ResourceExhausted, "{parts}");
            assert!(status.trailing_metadata().is_empty());
        }
    }

    #[test]
    fn a_field_that_comes_twice_counts_once_if_it_says_the_same() {
        let mut once = Once::default();
        assert_eq!(once.get(), Ok(None));
        once.set(b"a");
        once.set(b"a");
        assert_eq!(once.get(), Ok(Some(&b"a"[..])));
        once.set(b"b");
        once.set(b"a");
        assert_eq!((once.get(), once.first()), (Err(Torn), Some(&b"a"[..])));
    }
}
