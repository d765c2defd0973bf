//! What must be refused: h2spec's HPACK cases and the leniencies of the crates
//! underneath.

use super::*;

#[test]
fn h2spec_2_3_3_an_index_beyond_both_tables_is_refused() {
    refused(&[0xc6]); // indexed field 70
    refused(&hex("7f07 05 76616c7565")); // name of entry 70, with indexing
    refused(&hex("0f37 05 76616c7565")); // without
    refused(&hex("1f37 05 76616c7565")); // never
    decode(&mut decoder(), &[0x80 | 61]).expect("the last of the static table");
    refused(&[0x80 | 62]);
}

#[test]
fn h2spec_4_2_a_table_size_update_after_a_field_is_refused() {
    refused(&hex("82 21"));
    refused(&hex("8286 84 3fe11f"));
    refused(&hex("20 82 20"));
}

#[test]
fn h2spec_5_2_1_huffman_padding_of_more_than_7_bits_is_refused() {
    refused(&hex("0085 f2b24a84ff 8449509fff"));
    refused(&hex("0001 61 81ff")); // nothing but padding, 8 bits of it
}

#[test]
fn h2spec_5_2_2_huffman_padding_of_other_bits_than_ones_is_refused() {
    refused(&hex("0085 f2b24a84ff 83495090"));
    // "a" is 00011, and 111 must follow
    for octet in 0x18..=0x1f {
        let got = decode(&mut decoder(), &[0x00, 0x01, b'x', 0x81, octet]);
        if octet == 0x1f {
            assert_eq!(got, Ok(owned(&[("x", "a")])));
        } else {
            got.expect_err("padding with a zero in it");
        }
    }
}

#[test]
fn h2spec_5_2_3_huffman_eos_is_refused() {
    refused(&hex("0085 f2b24a84ff 87fffffffd25427f"));
    refused(&hex("0001 61 84ffffffff"));
}

#[test]
fn h2spec_6_1_index_0_is_refused() {
    refused(&[0x80]);
    refused(&hex("8286 80"));
}

#[test]
fn h2spec_6_3_a_table_size_above_the_limit_is_refused() {
    refused(&hex("3fe2 1f")); // 4097
    refused(&hex("3fe1 ff03"));
    refused(&hex("3fff ffff 7f"));
    decode(&mut decoder(), &hex("3fe1 1f")).expect("4096, the limit itself");
}

#[test]
fn a_block_begins_with_two_table_size_updates_at_most() {
    let mut decoder = decoder();
    assert_eq!(decode(&mut decoder, &hex("20 3fe11f 82")), Ok(owned(&[(":method", "GET")])));
    assert_eq!(decode(&mut decoder, &hex("20")), Ok(Vec::new()));
    assert_eq!(decode(&mut decoder, &hex("3fe11f 82")), Ok(owned(&[(":method", "GET")])));
    refused(&hex("20 20 20"));
    refused(&hex("20 20 3fe11f 82"));
}

#[test]
fn every_truncation_of_a_block_is_refused_or_a_shorter_list() {
    // the one-byte crashes of httlib's own decoder, and their like
    for block in
        ["ff", "ff80", "3f", "3f80", "40", "00", "10", "41", "400161", "407f", "007f", "00ff"]
    {
        refused(&hex(block));
    }
    let block =
        hex("20 82 4001610162 0085f2b24a84ff84 0f10 0178 be 7f00 8c f1e3c2e5f23a6ba0ab90f4ff");
    for end in 0..block.len() {
        let _ = decode(&mut decoder(), &block[..end]);
    }
}

#[test]
fn a7_integers_take_five_octets_at_most() {
    // index 2, then the same with a zero more: padding is allowed within the limit
    refused(&hex("ff80808000")); // 127: a valid integer, no such entry
    refused(&hex("ff8080808000"));
    refused(&hex("ffffffffffffffffff7f"));
    // an empty value's length in as many octets as are allowed: 127 - no value is below
    // that with more than one octet, so 127 octets follow
    let mut block = hex("000161 7f80808000");
    block.extend([b'v'; 127]);
    let want = vec![(b"a".to_vec(), vec![b'v'; 127])];
    assert_eq!(decode(&mut decoder(), &block), Ok(want));
    let mut block = hex("000161 7f8080808000");
    block.extend([b'v'; 127]);
    refused(&block);
}

#[test]
fn strings_longer_than_the_block_are_refused_before_anything_is_stored() {
    let mut fields = Fields::new();
    for block in ["00 7fffffff7f", "00 0161 7fffffff7f", "40 ffffffff7f", "00 02 61"] {
        decoder().decode(&hex(block), &mut fields).expect_err("too long");
        assert!(fields.arena().capacity() < 64, "{block}");
    }
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = decoder();
    decode(&mut decoder, &hex("4001610162")).expect("an entry");
    assert_eq!(decoder.table().dynamic_len(), 1);
    let mut block = hex("400161 7fe11f"); // a value of 127 + 97 + 31 * 128 = 4192 octets
    block.extend([b'v'; 4192]);
    let fields = decode(&mut decoder, &block).expect("valid all the same");
    assert_eq!(fields[0].1.len(), 4192);
    assert_eq!((decoder.table().dynamic_len(), decoder.table().max_dynamic_size()), (0, 4096));
    decode(&mut decoder, &[0xbe]).expect_err("gone");
}

#[test]
fn an_entry_that_just_fits_is_kept() {
    let mut decoder = decoder();
    let mut block = hex("400161 7fe01e"); // 127 + 96 + 30 * 128 = 4063, and 1, and 32
    block.extend([b'v'; 4063]);
    decode(&mut decoder, &block).expect("valid");
    assert_eq!((decoder.table().dynamic_len(), decoder.table().dynamic_size()), (1, 4096));
}

#[test]
fn a_name_may_come_from_the_entry_that_its_own_insertion_evicts() {
    let mut decoder = decoder();
    // a table of 40 octets: "aaaa: bbbb" fills it
    decode(&mut decoder, &hex("3f09 4004616161610462626262")).expect("valid");
    let again = decode(&mut decoder, &hex("7e 0463636363 be"));
    assert_eq!(again, Ok(owned(&[("aaaa", "cccc"), ("aaaa", "cccc")])));
    assert_eq!(decoder.table().dynamic_len(), 1);
}

#[test]
fn table_size_0_and_back() {
    let mut decoder = decoder();
    decode(&mut decoder, &hex("4001610162 be")).expect("valid");
    decode(&mut decoder, &hex("20 3fe11f")).expect("valid");
    decode(&mut decoder, &[0xbe]).expect_err("evicted");
    decode(&mut decoder, &hex("4001610162 be")).expect("room again");
}

#[test]
fn an_empty_block_is_an_empty_list() {
    assert_eq!(decode(&mut decoder(), b""), Ok(Vec::new()));
}

#[test]
fn names_and_values_are_not_judged_here() {
    let block = hex("00 00 00 00 0141 030d0a00");
    let want = vec![(vec![], vec![]), (b"A".to_vec(), b"\r\n\0".to_vec())];
    assert_eq!(decode(&mut decoder(), &block), Ok(want));
}

#[test]
fn every_octet_survives_huffman() {
    for octet in 0..=u8::MAX {
        for len in [1, 2, 7, 8] {
            let value = vec![octet; len];
            let mut coded = Vec::new();
            httlib_huffman::encode(&value, &mut coded).expect("any octet");
            let mut block = vec![0x00, 0x01, b'x', 0x80 | coded.len() as u8];
            block.extend(&coded);
            assert_eq!(decode(&mut decoder(), &block), Ok(vec![(b"x".to_vec(), value)]));
        }
    }
}
