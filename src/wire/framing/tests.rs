use super::*;
use crate::codec::Raw;

/// A small generator, so that a failing case can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

fn message(index: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + index) as u8).collect()
}

fn framed(lengths: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, len) in lengths.iter().enumerate() {
        put_prefix(&mut out, *len as u32);
        out.extend(message(index, *len));
    }
    out
}

/// Feeds `octets` in parts of the lengths that `next` gives, taking out now and then.
fn receive(
    octets: &[u8],
    limit: usize,
    mut next: impl FnMut() -> usize,
) -> (Vec<Vec<u8>>, Result<(), Code>) {
    let mut assembler = Assembler::new(limit);
    let mut messages = Messages::default();
    let mut got = Vec::new();
    let (mut rest, mut whole, mut credit, mut result) = (octets, 0, 0, Ok(()));
    while !rest.is_empty() {
        let (part, after) = split(rest, next());
        rest = after;
        match assembler.feed(part) {
            Ok(fed) => whole += fed.whole,
            Err(status) => {
                result = Err(status.code());
                assert_eq!(assembler.feed(b"x").unwrap_err().code(), status.code());
                break;
            }
        }
        if next() % 3 == 0 {
            assembler.take(&mut messages);
            got.extend(std::iter::from_fn(|| messages.next()).map(|message| message.bytes.into()));
            assert!(!assembler.ready() && messages.is_empty());
            credit += messages.consumed();
        }
    }
    let result = result.and_then(|()| assembler.finish().map_err(|status| status.code()));
    assembler.take(&mut messages);
    got.extend(std::iter::from_fn(|| messages.next()).map(|message| message.bytes.into()));
    credit += messages.consumed();
    assert_eq!(credit, got.iter().map(|message: &Vec<u8>| message.len() + PREFIX).sum::<usize>());
    if result.is_ok() {
        assert_eq!(whole, got.len());
        assert_eq!((assembler.buffered(), credit), (0, octets.len()));
    }
    (got, result)
}

#[test]
fn w35_flags_other_than_zero_are_internal_at_the_first_octet() {
    for flag in [1_u8, 2, 0x80, 255] {
        let mut assembler = Assembler::new(100);
        assert_eq!(assembler.feed(&[flag]).unwrap_err().code(), Code::Internal);
        let mut octets = framed(&[3, 0]);
        octets.extend([flag, 0, 0, 0, 0]);
        for part in 1..octets.len() {
            let (got, result) = receive(&octets, 100, || part);
            assert_eq!((got.len(), result), (2, Err(Code::Internal)), "{flag} {part}");
        }
    }
}

#[test]
fn w36_every_cut_of_a_short_stream_gives_the_same_messages() {
    let lengths = [0, 1, 7, 0, 4, 13];
    let octets = framed(&lengths);
    let expected: Vec<_> = lengths.iter().enumerate().map(|(i, len)| message(i, *len)).collect();
    for first in 0..octets.len() {
        for second in 1..octets.len() {
            let mut parts = [first, second, 1, 5, octets.len()].into_iter().cycle();
            let (got, result) = receive(&octets, 13, || parts.next().unwrap());
            assert_eq!((&got, result), (&expected, Ok(())), "{first} {second}");
        }
    }
}

#[test]
fn w36_random_cuts_of_long_streams_give_the_same_messages() {
    let mut random = Random(36);
    let kinds = [0, 1, 5, 100, 4_000, 8_186, 8_187, 8_188, 20_000, 70_000, 300_000];
    for round in 0..100 {
        let lengths: Vec<_> =
            (0..random.below(30)).map(|_| kinds[random.below(kinds.len())]).collect();
        let octets = framed(&lengths);
        let expected: Vec<_> =
            lengths.iter().enumerate().map(|(i, len)| message(i, *len)).collect();
        let most = [3, 10, 1_000, 16_384, 100_000][random.below(5)];
        let most = if octets.len() > 100_000 { most.max(1_000) } else { most };
        let (got, result) = receive(&octets, 300_000, || random.below(most));
        assert!(got == expected && result == Ok(()), "round {round}: {lengths:?} {most}");
    }
}

#[test]
fn w37_messages_of_length_zero_are_messages() {
    let (got, result) = receive(&framed(&[0, 0]), 0, || 100);
    assert_eq!((got, result), (vec![vec![], vec![]], Ok(())));
}

#[test]
fn w38_the_limit_is_decided_from_the_prefix() {
    let limit = 4 * 1024 * 1024;
    let mut prefix = Vec::new();
    put_prefix(&mut prefix, limit as u32 + 1);
    let mut assembler = Assembler::new(limit);
    let status = assembler.feed(&prefix).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("4194305 against 4194304"), "{status}");
    assert_eq!(assembler.finish().unwrap_err().code(), Code::ResourceExhausted);

    let mut octet_by_octet = Assembler::new(limit);
    let results: Vec<_> =
        prefix.chunks(1).map(|octet| octet_by_octet.feed(octet).is_ok()).collect();
    assert_eq!(results, [true, true, true, true, false]);

    let (got, result) = receive(&framed(&[1_000]), 1_000, || 1_000);
    assert_eq!((got.len(), result), (1, Ok(())));
}

#[test]
fn w38_messages_before_the_one_that_is_too_long_are_delivered() {
    let octets = framed(&[5, 10, 11]);
    for part in 1..octets.len() {
        let (got, result) = receive(&octets, 10, || part);
        assert_eq!((got.len(), result), (2, Err(Code::ResourceExhausted)), "{part}");
    }
}

#[test]
fn w39_an_end_inside_a_message_is_internal() {
    let octets = framed(&[3, 20_000]);
    for end in 0..octets.len() {
        let (got, result) = receive(&octets[..end], 20_000, || 700);
        let whole = end == 0 || end == 8;
        assert_eq!(result, if whole { Ok(()) } else { Err(Code::Internal) }, "{end}");
        assert_eq!(got.len(), usize::from(end >= 8));
    }
}

#[test]
fn a22_an_announced_length_reserves_nothing() {
    let mut assembler = Assembler::new(usize::MAX);
    let mut prefix = Vec::new();
    put_prefix(&mut prefix, u32::MAX);
    assembler.feed(&prefix).unwrap();
    assert!(assembler.open.capacity() <= PREFIX + LARGE + APART, "{}", assembler.open.capacity());
    let mut random = Random(22);
    while assembler.buffered() < 3_000_000 {
        let part = vec![0; random.below(20_000)];
        assembler.feed(&part).unwrap();
        // What has come, and four times as much ahead of it.
        let bound = assembler.buffered() * 5 + LARGE + PREFIX + APART;
        assert!(assembler.open.capacity() <= bound, "{}", assembler.open.capacity());
    }
}

#[test]
fn a_long_message_is_announced_once_with_what_is_missing() {
    let octets = framed(&[2, 100_000]);
    let mut assembler = Assembler::new(100_000);
    assert_eq!(assembler.feed(&octets[..10]).unwrap(), Fed { whole: 1, expects: None });
    assert_eq!(assembler.feed(&octets[10..14]).unwrap().expects, Some(99_998));
    assert_eq!(assembler.feed(&octets[14..16_000]).unwrap(), Fed::default());
    assert_eq!(assembler.feed(&octets[16_000..]).unwrap(), Fed { whole: 1, expects: None });
}

#[test]
fn a_long_message_ends_in_a_segment_of_its_length_and_what_keeps_it_apart() {
    let octets = framed(&[65_536]);
    let mut assembler = Assembler::new(65_536);
    for frame in octets.chunks(16_384) {
        assembler.feed(frame).unwrap();
    }
    assert_eq!(assembler.open.capacity(), octets.len() + APART);
    let mut messages = Messages::default();
    let at = assembler.open.as_ptr();
    assembler.take(&mut messages);
    assert_eq!(messages.next().unwrap().bytes.as_ptr() as usize, at as usize + PREFIX);
}

#[test]
fn what_is_taken_keeps_its_order_behind_what_waits() {
    let octets = framed(&[1, 2, 3, 9_000, 4]);
    let mut assembler = Assembler::new(9_000);
    let mut messages = Messages::default();
    for part in octets.chunks(13) {
        assembler.feed(part).unwrap();
        assembler.take(&mut messages);
    }
    let lengths: Vec<_> =
        std::iter::from_fn(|| messages.next()).map(|message| message.bytes.len()).collect();
    assert_eq!(lengths, [1, 2, 3, 9_000, 4]);
    assert_eq!(messages.consumed(), octets.len());
    assert_eq!(messages.consumed(), 0);
}

#[test]
fn encoding_writes_prefix_and_message() {
    let mut out = b"before".to_vec();
    assert_eq!(encode(&Raw, &Bytes::from_static(b"abc"), 3, &mut out).unwrap(), 8);
    assert_eq!(out, b"before\0\0\0\0\x03abc");
    let (got, _) = receive(&out[6..], 3, || 8);
    assert_eq!(got, [b"abc"]);
}

#[test]
fn w38_the_send_limit_leaves_the_buffer_as_it_was() {
    let mut out = b"before".to_vec();
    let error = encode(&Raw, &Bytes::from_static(b"abcd"), 3, &mut out).unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(out, b"before");
}

#[test]
fn a_codec_that_fails_leaves_the_buffer_as_it_was() {
    struct Fails;
    impl Codec<()> for Fails {
        fn encode(&self, (): &(), out: &mut dyn bytes::BufMut) -> Result<(), Status> {
            out.put_slice(b"half");
            Err(Status::data_loss("no"))
        }
        fn decode(&self, _: Bytes) -> Result<(), Status> {
            Ok(())
        }
    }
    let mut out = b"before".to_vec();
    assert_eq!(encode(&Fails, &(), 3, &mut out).unwrap_err().code(), Code::DataLoss);
    assert_eq!(out, b"before");
}

#[test]
fn a_codec_that_panics_leaves_the_buffer_as_it_was() {
    struct Panics;

    impl Codec<u8> for Panics {
        fn encode(&self, _: &u8, out: &mut dyn bytes::BufMut) -> Result<(), Status> {
            out.put_slice(b"half");
            panic!("in the middle");
        }

        fn decode(&self, _: Bytes) -> Result<u8, Status> {
            Ok(0)
        }
    }

    let mut out = framed(&[3]);
    let encode = || encode(&Panics, &0, usize::MAX, &mut out);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(encode)).is_err());
    assert_eq!(out, framed(&[3]), "no prefix without its message");
}

#[test]
fn a_codecs_hint_is_no_more_than_a_hint() {
    struct Hints(usize);
    impl Codec<()> for Hints {
        fn encode(&self, (): &(), out: &mut dyn bytes::BufMut) -> Result<(), Status> {
            out.put_slice(b"message");
            Ok(())
        }
        fn decode(&self, _: Bytes) -> Result<(), Status> {
            Ok(())
        }
        fn size_hint(&self, (): &()) -> usize {
            self.0
        }
    }
    for hint in [0, 7, 1 << 50, usize::MAX / 2, usize::MAX] {
        let mut out = Vec::new();
        assert_eq!(encode(&Hints(hint), &(), usize::MAX, &mut out).unwrap(), PREFIX + 7);
    }
    let mut out = Vec::new();
    encode(&Hints(1 << 30), &(), 7, &mut out).unwrap();
    assert!(out.capacity() < 100, "more than may be sent");
}

#[test]
fn a_long_message_goes_on_in_a_buffer_that_it_is_given() {
    let framed = framed(&[150_000]);
    let mut assembler = Assembler::new(200_000);
    let fed = assembler.feed(&framed[..20_000]).unwrap();
    assert_eq!(fed.expects, Some(framed.len() - 20_000));
    assert_eq!(assembler.lacks(), Some(framed.len()));
    let buffer = Vec::with_capacity(framed.len());
    let place = buffer.as_ptr();
    assembler.move_to(buffer);
    assert_eq!(assembler.lacks(), None);
    for part in framed[20_000..].chunks(9_999) {
        assembler.feed(part).unwrap();
    }
    let mut messages = Messages::default();
    assembler.take(&mut messages);
    let got = messages.next().unwrap().bytes;
    assert!(got == message(0, 150_000));
    assert_eq!(got.as_ptr(), place.wrapping_add(PREFIX), "it has stayed there");
}

#[test]
fn w35_with_an_encoding_messages_may_have_the_flag_or_not_however_they_are_cut() {
    let gzip = Encoding::of(1);
    let octets = b"\0\0\0\0\x01a\x01\0\0\0\x02bc\0\0\0\0\0\x01\0\0\0\x01d";
    let expected =
        [(&b"a"[..], Encoding::IDENTITY), (b"bc", gzip), (b"", Encoding::IDENTITY), (b"d", gzip)];
    for step in 1..octets.len() {
        let (mut assembler, mut messages) = (Assembler::new(2), Messages::default());
        assembler.set_encoding(gzip);
        for part in octets.chunks(step) {
            assembler.feed(part).unwrap();
            assembler.take(&mut messages);
        }
        let got: Vec<_> = std::iter::from_fn(|| messages.next()).collect();
        let got: Vec<_> =
            got.iter().map(|message| (&message.bytes[..], message.encoding)).collect();
        assert_eq!(got, expected, "{step}");
        assert_eq!(assembler.feed(b"\x02").unwrap_err().code(), Code::Internal);
    }
}

#[test]
fn the_limit_counts_for_a_compressed_message_as_it_comes() {
    let mut assembler = Assembler::new(10);
    assembler.set_encoding(Encoding::of(1));
    assert_eq!(assembler.feed(b"\x01\0\0\0\x0b").unwrap_err().code(), Code::ResourceExhausted);
}

#[test]
fn a_packed_message_takes_the_place_of_a_longer_one_only() {
    let mut framed = b"\0\0\0\0\x03abc".to_vec();
    for same in [&b"\0\0\0\0\0xyz"[..], b"\0\0\0\0\0long", b"\0\0"] {
        assert!(!replace_packed(&mut framed, &mut same.to_vec()));
        assert_eq!(framed, b"\0\0\0\0\x03abc");
    }
    assert!(replace_packed(&mut framed, &mut b"\0\0\0\0\0xy".to_vec()));
    assert_eq!(framed, b"\x01\0\0\0\x02xy");
}

#[test]
fn whole_messages_are_counted_however_many_come_together() {
    assert_eq!(count(b""), 0);
    assert_eq!(count(b"\0\0\0\0\0"), 1);
    assert_eq!(count(b"\0\0\0\0\x03abc\0\0\0\0\0\x01\0\0\0\x01z"), 3);
    // What no sender of ours hands over.
    assert_eq!((count(b"\0\0\0"), count(b"\0\xff\xff\xff\xffx")), (0, 1));
}
