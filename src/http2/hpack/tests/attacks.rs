//! Limits, bombs and random bytes.

use super::oracle::Oracle;
use super::*;
use crate::http2::xorshift::XorShift;

/// Appends a literal with incremental indexing.
fn inserted(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let from = out.len();
    encode::literal(out, name, value);
    out[from] = 0x40;
}

#[test]
fn the_list_limit_is_exact_in_size_and_count() {
    let mut block = Vec::new();
    for _ in 0..10 {
        encode::literal(&mut block, b"abc", b"defgh"); // 40 each
    }
    let overflows = |size, count| {
        let mut fields = Fields::new();
        Decoder::new(size, count).decode(&block, &mut fields).expect("never an error");
        assert_eq!(fields.is_empty(), fields.overflowed());
        fields.overflowed()
    };
    assert!(!overflows(400, 10));
    assert!(overflows(399, 10));
    assert!(overflows(400, 9));
    assert!(overflows(0, 0));
}

#[test]
fn past_the_limit_the_table_stays_in_step() {
    let mut decoder = Decoder::new(100, 256);
    let mut fields = Fields::new();
    let mut block = Vec::new();
    encode::literal(&mut block, b"long", &[b'v'; 200]);
    inserted(&mut block, b"a", b"1");
    block.push(0xbe);
    inserted(&mut block, b"b", b"2");
    block.extend(hex("0f2f0133")); // the name of entry 62, "b", not indexed
    decoder.decode(&block, &mut fields).expect("valid");
    assert!(fields.overflowed() && fields.is_empty() && fields.size() == 0);
    assert!(fields.arena().is_empty(), "nothing of it is kept");
    // the next block refers to what was inserted, and is not marked
    decoder.decode(&hex("be bf"), &mut fields).expect("both are there");
    assert!(!fields.overflowed());
    assert_eq!(list(&fields), owned(&[("b", "2"), ("a", "1")]));
}

#[test]
fn past_the_limit_errors_are_still_errors() {
    for tail in ["80", "ff", "21", "00", "0001 61 8118"] {
        let mut decoder = Decoder::new(10, 10);
        let mut block = Vec::new();
        encode::literal(&mut block, b"long", b"value");
        block.extend(hex(tail));
        let error = decoder.decode(&block, &mut Fields::new()).expect_err("refused");
        assert_eq!(error.reason(), Reason::COMPRESSION_ERROR, "{tail}");
    }
}

#[test]
fn a6_a_bomb_of_indexed_fields_keeps_nothing_and_ends_the_connection() {
    let mut decoder = decoder();
    let mut fields = Fields::new();
    let mut block = Vec::new();
    inserted(&mut block, b"cookie", &[b'x'; 4000]);
    decoder.decode(&block, &mut fields).expect("one entry is fine");
    // 4038 each: 32 of them are below 8 times the limit, 33 above
    decoder.decode(&[0xbe; 32], &mut fields).expect("too long, that is all");
    assert!(fields.overflowed());
    decoder.decode(&[0xbe; 33], &mut fields).expect_err("absurd");
    let error = decoder.decode(&[0xbe; 16 * 1024], &mut fields).expect_err("66 MB");
    assert_eq!(error.reason(), Reason::ENHANCE_YOUR_CALM);
    assert!(fields.arena().capacity() <= 64 * 1024, "{}", fields.arena().capacity());
}

#[test]
fn a6_a_bomb_of_indexed_names_ends_the_connection_after_a_bounded_amount_of_copying() {
    // two octets each: the name of an entry of 4 KiB, an empty value, inserted again
    let mut decoder = decoder();
    let mut fields = Fields::new();
    let mut block = Vec::new();
    inserted(&mut block, &[b'n'; 4000], b"");
    decoder.decode(&block, &mut fields).expect("one entry is fine");
    let error = decoder.decode(&[0x7e, 0x00].repeat(8 * 1024), &mut fields).expect_err("32 MB");
    assert_eq!(error.reason(), Reason::ENHANCE_YOUR_CALM);
}

#[test]
fn a6_a_bomb_of_short_fields_is_stopped_by_their_count() {
    let mut fields = Fields::new();
    let mut decoder = Decoder::new(1 << 20, 256);
    decoder.decode(&[0x82; 256], &mut fields).expect("the limit itself");
    assert_eq!((fields.len(), fields.overflowed()), (256, false));
    decoder.decode(&[0x82; 257], &mut fields).expect("one more");
    assert!(fields.overflowed());
}

#[test]
fn an_honest_list_that_is_too_long_never_ends_the_connection() {
    // twice the limit on the wire is what the connection lets through (A5)
    for limit in [100, 1000, 16 * 1024] {
        let mut decoder = Decoder::new(limit, 256);
        let mut fields = Fields::new();
        let mut block = Vec::new();
        while block.len() < 2 * limit {
            let mut coded = Vec::new();
            httlib_huffman::encode(&[b'0'; 40], &mut coded).expect("any octet");
            block.extend([0x00, 0x01, b'k', 0x80 | coded.len() as u8]);
            block.extend(coded);
        }
        decoder.decode(&block, &mut fields).expect("too long, that is all");
        assert!(fields.overflowed());
    }
}

#[test]
fn a12_empty_names_and_values_leave_nothing_behind() {
    let mut decoder = decoder();
    let mut fields = Fields::new();
    for _ in 0..1000 {
        decoder.decode(&[0x40, 0, 0].repeat(256), &mut fields).expect("valid for HPACK");
        assert_eq!((fields.len(), fields.size()), (256, 256 * 32));
        assert!(decoder.table().dynamic_size() <= 4096);
        assert_eq!(fields.arena().len(), 0);
    }
}

/// A block of random fields by httlib's encoder, which is right about valid ones.
fn valid_block(random: &mut XorShift, encoder: &mut httlib_hpack::Encoder<'_>) -> (Vec<u8>, List) {
    let names = ["a", "te", ":path", "x-long-header-name", "cookie", "", "grpc-timeout", "date"];
    let (mut block, mut want) = (Vec::new(), Vec::new());
    if random.below(8) == 0 {
        for _ in 0..=random.below(2) {
            let size = [0, 40, 100, 300, 4096][random.below(5)];
            encoder.update_max_dynamic_size(size, &mut block).expect("a size update");
        }
    }
    for _ in 0..random.below(12) {
        let name = names[random.below(names.len())].as_bytes().to_vec();
        let value = match random.below(3) {
            0 => random.octets(60),
            1 => b"a value that is often the same"[..random.below(30)].to_vec(),
            _ => vec![b'0' + random.below(4) as u8],
        };
        let flags = random.octet() & 0x1f;
        // 8 with 16 may emit an index, which is of no concern here
        encoder.encode((name.clone(), value.clone(), flags), &mut block).expect("encodes");
        want.push((name, value));
    }
    (block, want)
}

#[test]
fn what_another_encoder_writes_is_read() {
    let mut random = XorShift::new(7541);
    for _ in 0..rounds(60) {
        let (mut decoder, mut encoder) = (decoder(), httlib_hpack::Encoder::default());
        for _ in 0..60 {
            let (block, want) = valid_block(&mut random, &mut encoder);
            assert_eq!(decode(&mut decoder, &block), Ok(want), "{block:02x?}");
        }
    }
}

#[test]
fn a7_random_and_mutated_blocks_never_panic_and_agree_with_an_independent_decoder() {
    let mut random = XorShift::new(1976);
    let mut fields = Fields::new();
    let (mut good, mut bad) = (0, 0);
    for round in 0..rounds(800) {
        let (mut decoder, mut encoder) = (decoder(), httlib_hpack::Encoder::default());
        let mut oracle = Oracle::default();
        loop {
            let mut block = match round % 3 {
                0 => random.octets(40),
                _ => valid_block(&mut random, &mut encoder).0,
            };
            if round % 3 == 2 && !block.is_empty() {
                let at = random.below(block.len());
                match random.below(4) {
                    0 => block[at] = random.octet(),
                    1 => block[at] ^= 1 << random.below(8),
                    2 => block.truncate(at),
                    _ => block.insert(at, random.octet()),
                }
            }
            let ours = decoder.decode(&block, &mut fields);
            assert!(fields.arena().capacity() <= 64 * 1024, "bounded by the block");
            match oracle.decode(&block) {
                Some(want) => {
                    ours.unwrap_or_else(|error| panic!("{error}: {block:02x?}"));
                    assert_eq!(list(&fields), want, "{block:02x?}");
                    good += 1;
                }
                None => {
                    ours.expect_err("the oracle refuses it");
                    bad += 1;
                    break;
                }
            }
            let table = decoder.table();
            assert_eq!(table.dynamic_len(), oracle.table.len(), "{block:02x?}");
            for (index, (name, value)) in (62..).zip(&oracle.table).take(12) {
                assert_eq!(table.get(index), Some((&name[..], &value[..])));
            }
            if random.below(30) == 0 {
                break;
            }
        }
    }
    assert!(cfg!(miri) || good > 5_000 && bad > 500, "{good} good, {bad} bad");
}

#[test]
fn a7_random_huffman_strings_agree_with_an_independent_decoder() {
    let mut random = XorShift::new(5);
    let (mut good, mut bad) = (0, 0);
    for round in 0..rounds(60_000) {
        let mut string = random.octets(12);
        match round % 3 {
            // long codes
            0 => string.iter_mut().for_each(|octet| *octet |= 0xf0),
            1 => {
                let text = random.octets(8);
                string.clear();
                httlib_huffman::encode(&text, &mut string).expect("any octet");
                if let Some(last) = string.last_mut() {
                    *last ^= (random.below(4) == 0) as u8;
                }
            }
            _ => {}
        }
        let mut block = vec![0x00, 0x00, 0x80 | string.len() as u8];
        block.extend(&string);
        match (decode(&mut decoder(), &block), super::oracle::huffman(&string)) {
            (Ok(fields), Some(want)) => {
                assert_eq!(fields, vec![(vec![], want)], "{string:02x?}");
                good += 1;
            }
            (Err(_), None) => bad += 1,
            (ours, theirs) => panic!("{ours:?} but {theirs:?}: {string:02x?}"),
        }
    }
    assert!(cfg!(miri) || good > 10_000 && bad > 10_000, "{good} good, {bad} bad");
}

#[test]
fn the_limit_changes_neither_verdict_nor_table() {
    let mut random = XorShift::new(17);
    for round in 0..rounds(2_000) {
        let mut encoder = httlib_hpack::Encoder::default();
        let (mut wide, mut narrow) = (Decoder::new(1 << 20, 1 << 20), Decoder::new(90, 3));
        let (mut all, mut some) = (Fields::new(), Fields::new());
        for _ in 0..8 {
            let (mut block, _) = valid_block(&mut random, &mut encoder);
            if round % 2 == 1 && !block.is_empty() {
                let at = random.below(block.len());
                block[at] = random.octet();
            }
            let verdict = wide.decode(&block, &mut all);
            assert_eq!(narrow.decode(&block, &mut some), verdict, "{block:02x?}");
            if verdict.is_err() {
                break;
            }
            let over = all.size() > 90 || all.len() > 3;
            assert_eq!(some.overflowed(), over);
            assert_eq!(list(&some), if over { Vec::new() } else { list(&all) });
            assert_eq!(narrow.table().dynamic_size(), wide.table().dynamic_size());
            assert_eq!(narrow.table().get(62), wide.table().get(62));
        }
    }
}

/// Fewer rounds under Miri.
fn rounds(count: usize) -> usize {
    if cfg!(miri) { count / 1000 + 1 } else { count }
}
