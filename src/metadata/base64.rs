//! The text form of `-bin` values.
//!
//! § `doc/PROTOCOL-HTTP2.md`: "Implementations must accept padded and un-padded values and should
//! emit un-padded values" (W27). The alphabet is the standard one of RFC 4648 §4.

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};

/// Bytes of a `-bin` value that are no base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadBin;

// Trailing bits are let through as most peers do: they carry nothing.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Appends the text of `bytes`, without padding.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + encoded_len(bytes.len()), 0);
    if let Some(room) = out.get_mut(start..) {
        // The room is exact, so this cannot fail.
        let _ = ENGINE.encode_slice(bytes, room);
    }
}

/// The length of the text of `len` bytes.
pub(crate) fn encoded_len(len: usize) -> usize {
    len / 3 * 4 + [0, 2, 3].get(len % 3).copied().unwrap_or(0)
}

/// Appends the bytes of `text`; leaves `out` as it was when they are none.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), BadBin> {
    let start = out.len();
    out.resize(start + text.len() / 4 * 3 + 3, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let result = ENGINE.decode_slice(text, room).map_err(|_| BadBin);
    out.truncate(start + result.unwrap_or(0));
    result.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        encode(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn bytes(text: &str) -> Result<Vec<u8>, BadBin> {
        let mut out = Vec::new();
        decode(text.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn w27_emitted_unpadded_in_the_standard_alphabet() {
        assert_eq!(text(b""), "");
        assert_eq!(text(b"f"), "Zg");
        assert_eq!(text(b"fo"), "Zm8");
        assert_eq!(text(b"foo"), "Zm9v");
        assert_eq!(text(&[0xfb, 0xff]), "+/8");
    }

    #[test]
    fn w27_padded_and_unpadded_are_read() {
        for good in ["Zg", "Zg==", "Zg="] {
            assert_eq!(bytes(good), Ok(b"f".to_vec()), "{good}");
        }
        assert_eq!(bytes("Zm8="), Ok(b"fo".to_vec()));
        assert_eq!(bytes(""), Ok(vec![]));
    }

    #[test]
    fn w27_what_is_no_base64_is_an_error_and_leaves_nothing() {
        for bad in ["Z", "Zg===", "Z g=", "-_8", "Zm9v!", "=", "\u{e9}"] {
            let mut out = b"before".to_vec();
            assert_eq!(decode(bad.as_bytes(), &mut out), Err(BadBin), "{bad:?}");
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn every_length_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        for len in 0..all.len() {
            let part = &all[..len];
            assert_eq!(text(part).len(), encoded_len(len));
            assert_eq!(bytes(&text(part)).unwrap(), part);
        }
    }
}
