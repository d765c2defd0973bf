//! The decoder against RFC 7541's examples, against what the crates below it get
//! wrong, against attacks, and against an independent decoder; the encoder.

mod attacks;
mod examples;
mod oracle;
mod strict;

use super::{Decoder, Fields, encode};
use crate::http2::error::Error;
use crate::http2::types::Reason;

/// Owned fields.
type List = Vec<(Vec<u8>, Vec<u8>)>;

/// A decoder with the default limits.
fn decoder() -> Decoder {
    Decoder::new(16 * 1024, 256)
}

/// Decodes one more block.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<List, Error> {
    let mut fields = Fields::new();
    decoder.decode(block, &mut fields)?;
    assert!(!fields.overflowed());
    Ok(list(&fields))
}

fn list(fields: &Fields) -> List {
    fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// A list of strings as a list.
fn owned(fields: &[(&str, &str)]) -> List {
    fields.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into())).collect()
}

/// Bytes of hexadecimal text; white space does not count.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let octet = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits.chunks(2).map(|pair| octet(pair).expect("hexadecimal")).collect()
}

/// A fresh decoder refuses the block, and says so as RFC 9113 §4.3 wants.
fn refused(block: &[u8]) {
    let error = decode(&mut decoder(), block).expect_err("refused");
    assert_eq!(error.reason(), Reason::COMPRESSION_ERROR, "{block:02x?}");
    assert!(matches!(error, Error::Connection { .. }), "{block:02x?}");
}

#[test]
fn fields_are_found_counted_and_measured() {
    let mut fields = Fields::new();
    assert!(fields.is_empty() && fields.size() == 0 && fields.get(b"a").is_none());
    fields.push(b"a", b"1");
    fields.push(b"", b"");
    fields.push(b"bc", b"");
    fields.push(b"a", b"22");
    assert_eq!((fields.len(), fields.size()), (4, 2 + 2 + 3 + 4 * 32));
    assert_eq!(fields.get(b"a"), Some(&b"1"[..]));
    assert_eq!(fields.get(b"bc"), Some(&b""[..]));
    assert_eq!(fields.get(b"b"), None);
    assert_eq!(list(&fields), owned(&[("a", "1"), ("", ""), ("bc", ""), ("a", "22")]));
    fields.clear();
    assert_eq!((fields.len(), fields.size()), (0, 0));
}

#[test]
fn fields_and_decoder_never_print_values() {
    let mut fields = Fields::new();
    fields.push(b"authorization", b"secret");
    assert_eq!(format!("{fields:?}"), "[\"authorization\"]");
    let mut decoder = decoder();
    let mut block = vec![0x40];
    encode::literal(&mut block, b"x", b"");
    decode(&mut decoder, &hex("40 01 78 06 736563726574")).expect("valid");
    assert_eq!(format!("{decoder:?}"), "Decoder { entries: 1, size: 39, .. }");
}

#[test]
fn a_list_used_again_allocates_nothing() {
    let mut block = Vec::new();
    for name in [&b"one"[..], b"two", b"three"] {
        encode::literal(&mut block, name, &[b'v'; 100]);
    }
    let (mut decoder, mut fields) = (decoder(), Fields::new());
    decoder.decode(&block, &mut fields).expect("valid");
    let before = fields.arena().as_ptr();
    for _ in 0..100 {
        decoder.decode(&block, &mut fields).expect("valid");
        assert_eq!(fields.len(), 3);
    }
    assert_eq!(fields.arena().as_ptr(), before);
}

#[test]
fn the_encoder_writes_these_octets() {
    let mut out = Vec::new();
    encode::no_table(&mut out);
    encode::indexed(&mut out, encode::index::METHOD_POST);
    encode::literal_static_name(&mut out, encode::index::PATH, b"/a");
    encode::literal_static_name(&mut out, encode::index::CONTENT_TYPE, b"x");
    encode::literal(&mut out, b"te", b"trailers");
    encode::never_indexed(&mut out, b"k", b"s");
    let want = "20 83 04022f61 0f100178 00027465 08747261696c657273 10016b0173";
    assert_eq!(out, hex(want));
}

#[test]
fn encoder_indexes_name_what_they_say() {
    use encode::index::*;
    let names = [
        (AUTHORITY, ":authority", ""),
        (METHOD_POST, ":method", "POST"),
        (PATH, ":path", "/"),
        (SCHEME_HTTP, ":scheme", "http"),
        (SCHEME_HTTPS, ":scheme", "https"),
        (STATUS_200, ":status", "200"),
        (CONTENT_LENGTH, "content-length", ""),
        (CONTENT_TYPE, "content-type", ""),
        (USER_AGENT, "user-agent", ""),
    ];
    for (index, name, value) in names {
        let mut block = Vec::new();
        encode::indexed(&mut block, index);
        assert_eq!(decode(&mut decoder(), &block), Ok(owned(&[(name, value)])));
    }
}

#[test]
fn what_is_encoded_is_decoded_and_leaves_no_trace_in_the_table() {
    let mut decoder = Decoder::new(1 << 20, 256);
    // lengths around each octet more of an integer
    for len in [0, 1, 126, 127, 128, 254, 255, 256, 16_509, 16_510, 16_511, 16_512] {
        let long: Vec<u8> = (0..=255).cycle().take(len).collect();
        let mut block = Vec::new();
        encode::literal(&mut block, &long, &long);
        encode::never_indexed(&mut block, &long, b"");
        encode::literal_static_name(&mut block, encode::index::USER_AGENT, &long);
        let want = vec![
            (long.clone(), long.clone()),
            (long.clone(), Vec::new()),
            (b"user-agent".to_vec(), long.clone()),
        ];
        assert_eq!(decode(&mut decoder, &block), Ok(want), "{len}");
    }
    assert_eq!(decoder.table().dynamic_len(), 0);
}

/// Prints the cost of a 10-field request; `cargo test --release -- --nocapture`.
#[test]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn a_plain_request_is_cheap_to_decode() {
    let block = request();
    let (mut decoder, mut fields) = (decoder(), Fields::new());
    let rounds = if cfg!(debug_assertions) { 1_000 } else { 2_000_000 };
    let begin = std::time::Instant::now();
    for _ in 0..rounds {
        decoder.decode(std::hint::black_box(&block), &mut fields).expect("valid");
        std::hint::black_box(&fields);
    }
    println!("{} ns per block", begin.elapsed().as_nanos() / rounds);
    assert_eq!((fields.len(), decoder.table().dynamic_len()), (10, 0));
}

/// What our own client might send.
fn request() -> Vec<u8> {
    use encode::index::*;
    let mut out = Vec::new();
    encode::indexed(&mut out, METHOD_POST);
    encode::indexed(&mut out, SCHEME_HTTP);
    encode::literal_static_name(&mut out, PATH, b"/helloworld.Greeter/SayHello");
    encode::literal_static_name(&mut out, AUTHORITY, b"localhost:50051");
    encode::literal(&mut out, b"te", b"trailers");
    encode::literal_static_name(&mut out, CONTENT_TYPE, b"application/grpc");
    encode::literal_static_name(&mut out, USER_AGENT, b"grpc-threads/0.1.0");
    encode::literal(&mut out, b"grpc-timeout", b"4999999u");
    encode::literal(&mut out, b"x-request-id", b"0123456789abcdef");
    encode::literal(&mut out, b"grpc-accept-encoding", b"identity");
    out
}
