use super::*;

use std::io::{Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression as Level, GzBuilder};

/// A stream of numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }

    /// Octets of which so many kinds come.
    fn octets(&mut self, len: usize, kinds: usize) -> Vec<u8> {
        (0..len).map(|_| u8::try_from(self.below(kinds)).unwrap()).collect()
    }
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::default());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

fn zlib(message: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Level::default());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

fn inflated(form: Form, packed: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    inflate(&mut State::to_inflate(), form, packed, limit, &mut out)?;
    Ok(out)
}

fn gunzipped(packed: &[u8]) -> Result<Vec<u8>, Fault> {
    inflated(Form::Gzip, packed, usize::MAX)
}

fn deflated(form: Form, message: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    deflate(&mut State::to_deflate(form), message, &mut out).then_some(out)
}

fn is_corrupt(result: Result<Vec<u8>, Fault>) -> bool {
    matches!(result, Err(Fault::Corrupt(_)))
}

#[test]
fn what_is_deflated_comes_back_with_one_state_for_all() {
    let mut dice = Dice(7);
    let mut inflating = State::to_inflate();
    for form in [Form::Gzip, Form::Zlib] {
        let mut deflating = State::to_deflate(form);
        for len in (0..300).chain([5_000, 70_000, 1 << 20]) {
            let kinds = 1 + dice.below(40);
            let message = dice.octets(len, kinds);
            let mut packed = b"front".to_vec();
            if deflate(&mut deflating, &message, &mut packed) {
                assert!(packed.len() - 5 < len);
                let mut out = Vec::new();
                inflate(&mut inflating, form, &packed[5..], len, &mut out).unwrap();
                assert!(out == message, "{form:?} {len} {kinds}");
            } else {
                assert!(len < 120, "{form:?} {len} {kinds}");
            }
        }
    }
}

#[test]
fn what_we_write_others_read_and_it_is_one_member() {
    let message = b"a message, a message, a message, a message".repeat(20);
    let packed = deflated(Form::Gzip, &message).unwrap();
    let mut one = flate2::bufread::GzDecoder::new(&packed[..]);
    let mut out = Vec::new();
    one.read_to_end(&mut out).unwrap();
    assert!(out == message && one.into_inner().is_empty());
    let packed = deflated(Form::Zlib, &message).unwrap();
    let mut out = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut out).unwrap();
    assert_eq!(out, message);
}

#[test]
fn what_would_not_get_smaller_is_given_up() {
    for form in [Form::Gzip, Form::Zlib] {
        assert_eq!(deflated(form, b""), None);
        assert_eq!(deflated(form, b"0123456789"), None);
        assert_eq!(deflated(form, &Dice(3).octets(100_000, 256)), None);
        let mut least = 0;
        while deflated(form, &vec![b'a'; least]).is_none() {
            least += 1;
        }
        let packed = deflated(form, &vec![b'a'; least]).unwrap();
        assert!(packed.len() == least - 1, "{form:?}: {least}");
    }
}

#[test]
fn several_members_are_one_message() {
    let (a, b) = (gzip(b"one "), gzip(b"two"));
    assert_eq!(gunzipped(&[&a[..], &b].concat()).unwrap(), b"one two");
    assert_eq!(gunzipped(&[&gzip(b"")[..], &a, &gzip(b"")].concat()).unwrap(), b"one ");
    assert_eq!(gunzipped(&gzip(b"")).unwrap(), b"", "a stream of nothing is the empty message");
}

#[test]
fn whatever_stands_behind_the_last_member_is_an_error() {
    let packed = gzip(b"message");
    for behind in
        [&[0][..], &[0; 8], &[0; 512], b"x", b"\x1f", b"\x1f\x8b", b"\x1f\x8c", &[b'x'; 23]]
    {
        assert!(is_corrupt(gunzipped(&[&packed[..], behind].concat())), "{behind:?}");
        let zlib = [&zlib(b"message")[..], behind].concat();
        assert!(is_corrupt(inflated(Form::Zlib, &zlib, 100)), "{behind:?}");
    }
}

#[test]
fn no_cut_goes_unnoticed_but_the_one_between_members() {
    let first = gzip(&Dice(5).octets(3_000, 9));
    let both = [&first[..], &gzip(b"second")].concat();
    for cut in 0..both.len() {
        let result = gunzipped(&both[..cut]);
        assert_eq!(result.is_ok(), cut == first.len(), "{cut}");
        assert!(result.is_ok() || is_corrupt(result));
    }
    let packed = zlib(&Dice(5).octets(3_000, 9));
    for cut in 0..packed.len() {
        assert!(is_corrupt(inflated(Form::Zlib, &packed[..cut], 9_000)), "{cut}");
    }
}

#[test]
fn deflate_is_the_zlib_form_and_no_form_is_taken_for_another() {
    let message = b"message message message";
    assert_eq!(inflated(Form::Zlib, &zlib(message), 100).unwrap(), message);
    let mut raw = DeflateEncoder::new(Vec::new(), Level::default());
    raw.write_all(message).unwrap();
    let raw = raw.finish().unwrap();
    assert!(is_corrupt(inflated(Form::Zlib, &raw, 100)));
    assert!(is_corrupt(inflated(Form::Zlib, &gzip(message), 100)));
    assert!(is_corrupt(inflated(Form::Gzip, &zlib(message), 100)));
    assert!(is_corrupt(inflated(Form::Gzip, &raw, 100)));
    assert!(is_corrupt(inflated(Form::Gzip, b"", 100)));
    assert!(is_corrupt(inflated(Form::Zlib, b"", 100)));
}

#[test]
fn every_kind_of_header_is_read() {
    let message = b"message";
    for n in 0..16_u8 {
        let mut builder = GzBuilder::new();
        if n & 1 != 0 {
            builder = builder.extra(vec![7; 300]);
        }
        if n & 2 != 0 {
            builder = builder.filename("a name");
        }
        if n & 4 != 0 {
            builder = builder.comment("a comment");
        }
        let mut encoder = builder.mtime(4711).write(Vec::new(), Level::fast());
        encoder.write_all(message).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(gunzipped(&packed).unwrap(), message);
        for cut in 0..packed.len() {
            assert!(is_corrupt(gunzipped(&packed[..cut])), "{n} {cut}");
        }
    }
    // A checksum of the header.
    let plain = gzip(message);
    let mut begun = plain[..10].to_vec();
    begun[3] |= HEADER_CRC;
    let mut crc = Crc::new();
    crc.update(&begun);
    let sum = crc.sum().to_le_bytes();
    let good = [&begun[..], &sum[..2], &plain[10..]].concat();
    assert_eq!(gunzipped(&good).unwrap(), message);
    let bad = [&begun[..], &[sum[0] ^ 1, sum[1]], &plain[10..]].concat();
    assert!(is_corrupt(gunzipped(&bad)));
    for bit in [0x20, 0x40, 0x80] {
        let mut reserved = plain.clone();
        reserved[3] |= bit;
        assert!(is_corrupt(gunzipped(&reserved)));
    }
}

#[test]
fn exactly_the_limit_passes_and_no_more_at_whatever_limit() {
    let message = Dice(11).octets(700, 12);
    let both = [gzip(&message[..300]), gzip(&message[300..])].concat();
    for limit in 0..=message.len() + 3 {
        let whole = limit >= message.len();
        for (form, packed) in
            [(Form::Gzip, gzip(&message)), (Form::Zlib, zlib(&message)), (Form::Gzip, both.clone())]
        {
            match inflated(form, &packed, limit) {
                Ok(out) => assert!(whole && out == message, "{form:?} {limit}"),
                Err(fault) => assert!(!whole && fault == Fault::TooLong, "{form:?} {limit}"),
            }
        }
    }
}

#[test]
fn a_buffer_that_is_too_large_does_not_let_more_through() {
    let mut out = Vec::with_capacity(10_000);
    let fault = inflate(&mut State::to_inflate(), Form::Gzip, &gzip(&[1; 5_000]), 4_999, &mut out);
    assert_eq!(fault, Err(Fault::TooLong));
}

#[test]
fn a_bomb_reserves_no_more_than_the_limit_and_what_it_says_counts_for_little() {
    let bomb = gzip(&vec![0; 64 << 20]);
    let mut out = Vec::new();
    let fault = inflate(&mut State::to_inflate(), Form::Gzip, &bomb, 100_000, &mut out);
    assert_eq!(fault, Err(Fault::TooLong));
    assert!(out.capacity() <= 100_001 + LEAST, "{}", out.capacity());
    // Says four gigabytes, and is none.
    let mut liar = gzip(b"message");
    let end = liar.len() - 4;
    liar[end..].fill(0xff);
    let mut out = Vec::new();
    let fault = inflate(&mut State::to_inflate(), Form::Gzip, &liar, usize::MAX, &mut out);
    assert_eq!(fault, Err(Fault::Corrupt("its length is another")));
    assert!(out.capacity() <= liar.len() * 16 + LEAST);
}

/// Whatever others read to the end as gzip, we read so, too, and nothing else.
#[test]
fn chance_finds_nothing_that_we_judge_otherwise_than_flate2() {
    let mut dice = Dice(13);
    let mut state = State::to_inflate();
    let mut good = 0;
    for _ in 0..4_000 {
        let (len, kinds) = (dice.below(200), 1 + dice.below(30));
        let mut packed = gzip(&dice.octets(len, kinds));
        if dice.below(3) == 0 {
            packed.extend(gzip(b"more"));
        }
        for _ in 0..dice.below(3) {
            let at = dice.below(packed.len());
            match dice.below(4) {
                0 => packed[at] ^= 1 << dice.below(8),
                1 => packed.truncate(at.max(1)),
                2 => packed.push(0x1f),
                _ => packed.insert(at, 0),
            }
        }
        let mut theirs = Vec::new();
        let their = MultiGzDecoder::new(&packed[..]).read_to_end(&mut theirs);
        let mut ours = Vec::new();
        let our = inflate(&mut state, Form::Gzip, &packed, 1 << 20, &mut ours);
        // The reserved bits and the kind of compression they do not look at.
        let strict = packed.get(3).is_some_and(|flags| flags & 0xe0 != 0) || our.is_err();
        match their {
            Ok(_) if our.is_ok() => {
                assert_eq!(ours, theirs);
                good += 1;
            }
            Ok(_) => assert!(strict, "{our:?}: {packed:02x?}"),
            Err(error) => assert!(our.is_err(), "{error}: {packed:02x?}"),
        }
    }
    assert!(good > 1_000, "{good}");
}

#[test]
fn a_state_is_used_again_after_an_error() {
    let mut state = State::to_inflate();
    for message in [&b"first"[..], b"second"] {
        let mut broken = gzip(message);
        broken[12] ^= 0xff;
        assert!(inflate(&mut state, Form::Gzip, &broken, 100, &mut Vec::new()).is_err());
        let mut out = Vec::new();
        inflate(&mut state, Form::Zlib, &zlib(message), 100, &mut out).unwrap();
        assert_eq!(out, message);
    }
}

#[test]
fn states_are_kept_for_their_kind_and_a_few_only() {
    let mut states = States::new();
    assert!(states.take(None).is_none() && states.take(Some(Form::Gzip)).is_none());
    for _ in 0..MOST {
        assert!(states.put(State::to_inflate()).is_none());
        assert!(states.put(State::to_deflate(Form::Gzip)).is_none());
    }
    assert!(states.put(State::to_inflate()).is_some());
    assert!(states.put(State::to_deflate(Form::Zlib)).is_some());
    assert_eq!(states.len(), 2 * MOST);
    assert!(states.take(Some(Form::Zlib)).is_none(), "none of that kind");
    assert!(matches!(states.take(Some(Form::Gzip)), Some(State::Deflate(Form::Gzip, _))));
    assert!(matches!(states.take(None), Some(State::Inflate(_))));
}
