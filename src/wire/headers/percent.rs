//! The text form of `grpc-message`.
//!
//! § `doc/PROTOCOL-HTTP2.md`: "Percent-Encoded → 1*(Percent-Byte-Unencoded / Percent-Byte-Encoded)";
//! unencoded are 0x20-0x7E but `%` (W47).

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};

/// What is escaped; octets above 0x7F always are.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// As RFC 9113 §8.2.1 has it, a "field value MUST NOT start or end with an ASCII whitespace character".
const ESCAPED_AT_THE_ENDS: &AsciiSet = &ESCAPED.add(b' ');

/// The text form of a message.
pub(super) fn encode(message: &str) -> Vec<u8> {
    let bytes = message.as_bytes();
    let inner = bytes.trim_ascii();
    let start = bytes.len() - bytes.trim_ascii_start().len();
    let (before, rest) = bytes.split_at_checked(start).unwrap_or((bytes, &[]));
    let after = rest.get(inner.len()..).unwrap_or_default();
    let mut out = Vec::with_capacity(bytes.len() + 16);
    for (part, set) in
        [(before, ESCAPED_AT_THE_ENDS), (inner, ESCAPED), (after, ESCAPED_AT_THE_ENDS)]
    {
        // In runs: one by one the octets of a long text cost more than all the rest of its answer.
        percent_encode(part, set).for_each(|run| out.extend_from_slice(run.as_bytes()));
    }
    out
}

/// The message of a text form.
///
/// § `doc/PROTOCOL-HTTP2.md`: "When decoding invalid values, implementations MUST NOT error or throw
/// away the message. At worst, the implementation can abort decoding the status message altogether".
pub(super) fn decode(text: &[u8]) -> String {
    percent_decode(text).decode_utf8_lossy().into_owned()
}

/// As much of `text` as takes `room` octets when it is encoded, with an ellipsis where that is not all. Characters stay whole.
pub(super) fn cut(text: &str, room: usize) -> String {
    let cost = |c: char| match c {
        '%' => 3,
        ' '..='~' => 1,
        _ => 3 * c.len_utf8(),
    };
    let (mut used, mut end) = (ELLIPSIS.len(), 0);
    for (index, c) in text.char_indices() {
        used += cost(c);
        if used > room {
            return if end == 0 { String::new() } else { format!("{}{ELLIPSIS}", &text[..end]) };
        }
        end = index + c.len_utf8();
    }
    text.to_owned()
}

const ELLIPSIS: &str = "...";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &str) -> String {
        String::from_utf8(encode(message)).unwrap()
    }

    #[test]
    fn w47_all_but_printable_ascii_and_percent_is_escaped() {
        assert_eq!(text("plain ~ text!"), "plain ~ text!");
        assert_eq!(text("100%"), "100%25");
        assert_eq!(text("a\r\nb\x7f"), "a%0D%0Ab%7F");
        assert_eq!(text("grüße"), "gr%C3%BC%C3%9Fe");
        let special = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
        assert_eq!(
            text(special),
            "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A"
        );
        assert_eq!(decode(&encode(special)), special);
    }

    #[test]
    fn w47_blanks_at_the_ends_survive_http() {
        assert_eq!(text(" a b "), "%20a b%20");
        assert_eq!(text("  "), "%20%20");
        assert_eq!(text(""), "");
    }

    #[test]
    fn w47_decoding_never_fails() {
        assert_eq!(decode(b"%zz %1 % 100%"), "%zz %1 % 100%");
        assert_eq!(decode(b"%c3%bc"), "ü");
        assert_eq!(decode(b"a%FFb\xff"), "a\u{fffd}b\u{fffd}");
    }
}
