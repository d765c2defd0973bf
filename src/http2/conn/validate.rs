//! Is a header list well formed (RFC 9113 §8.2, §8.3)?
//!
//! Owns the judgement on whole lists: requests, responses, trailers. A malformed message is a
//! stream error of type PROTOCOL_ERROR (§8.1.1), raised by the caller; the `Err` says why.
//! Deliberately ignores what gRPC makes of the fields (`wire/`), and limits (HPACK's).

use super::super::hpack::Fields;
use super::recent::{List, Sound};

/// Why a message is malformed.
pub(super) type Malformed = &'static str;

/// A request's list. Returns its `content-length`.
pub(super) fn request(list: &List) -> Result<Option<u64>, Malformed> {
    if let Some(Sound::Request(length)) = list.sound.get() {
        return Ok(length);
    }
    let length = judge_request(&list.fields)?;
    list.sound.set(Some(Sound::Request(length)));
    Ok(length)
}

/// A response's list. Returns its status and `content-length`.
pub(super) fn response(list: &List) -> Result<(u16, Option<u64>), Malformed> {
    if let Some(Sound::Response(status, length)) = list.sound.get() {
        return Ok((status, length));
    }
    let (status, length) = judge_response(&list.fields)?;
    list.sound.set(Some(Sound::Response(status, length)));
    Ok((status, length))
}

/// A trailer list.
pub(super) fn trailers(list: &List) -> Result<(), Malformed> {
    if list.sound.get() != Some(Sound::Trailers) {
        judge_trailers(&list.fields)?;
        list.sound.set(Some(Sound::Trailers));
    }
    Ok(())
}

fn judge_request(fields: &Fields) -> Result<Option<u64>, Malformed> {
    let mut seen = Pseudo::default();
    let mut regular = Regular::default();
    for (name, value) in fields.iter() {
        if name.first() != Some(&b':') {
            regular.check(name, value)?;
            continue;
        }
        // "all pseudo-header fields MUST appear in a field block before all regular field
        // lines" §8.3
        if regular.any {
            return Err("pseudo-header after a regular field");
        }
        check_value(value)?;
        let once = match name {
            b":method" => {
                if value.is_empty() {
                    return Err("empty :method");
                }
                &mut seen.method
            }
            b":scheme" => {
                check_scheme(value)?;
                &mut seen.scheme
            }
            b":authority" => {
                check_authority(value)?;
                &mut seen.authority
            }
            b":path" => {
                // "This pseudo-header field MUST NOT be empty" §8.3.1
                if value.is_empty() {
                    return Err("empty :path");
                }
                &mut seen.path
            }
            _ => return Err("unknown pseudo-header"),
        };
        if std::mem::replace(once, true) {
            return Err("pseudo-header twice");
        }
    }
    // "All HTTP/2 requests MUST include exactly one valid value for the ":method", ":scheme", and
    // ":path" pseudo-header fields, unless they are CONNECT requests" §8.3.1. CONNECT is not offered.
    if !(seen.method && seen.scheme && seen.path) {
        return Err("pseudo-header missing");
    }
    Ok(regular.length)
}

fn judge_response(fields: &Fields) -> Result<(u16, Option<u64>), Malformed> {
    let mut status = None;
    let mut regular = Regular::default();
    for (name, value) in fields.iter() {
        if name.first() != Some(&b':') {
            regular.check(name, value)?;
            continue;
        }
        if regular.any {
            return Err("pseudo-header after a regular field");
        }
        if name != b":status" {
            return Err("unknown pseudo-header");
        }
        if status.replace(parse_status(value)?).is_some() {
            return Err("pseudo-header twice");
        }
    }
    // "This pseudo-header field MUST be included in all responses" §8.3.2 (W73)
    Ok((status.ok_or(":status missing")?, regular.length))
}

fn judge_trailers(fields: &Fields) -> Result<(), Malformed> {
    let mut regular = Regular::default();
    for (name, value) in fields.iter() {
        // "Trailers MUST NOT include pseudo-header fields" §8.1
        if name.first() == Some(&b':') {
            return Err("pseudo-header in trailers");
        }
        regular.check(name, value)?;
    }
    Ok(())
}

#[derive(Default)]
struct Pseudo {
    method: bool,
    scheme: bool,
    authority: bool,
    path: bool,
}

#[derive(Default)]
struct Regular {
    any: bool,
    host: bool,
    length: Option<u64>,
}

impl Regular {
    fn check(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        self.any = true;
        check_name(name)?;
        check_value(value)?;
        match name {
            // "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific
            // header fields [...] MUST be treated as malformed" §8.2.2
            b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding"
            | b"upgrade" => return Err("connection-specific field"),
            b"te" if !value.eq_ignore_ascii_case(b"trailers") => {
                return Err("te other than trailers");
            }
            b"host" => {
                check_authority(value)?;
                // W16
                if std::mem::replace(&mut self.host, true) {
                    return Err("host twice");
                }
            }
            b"content-length" => {
                let length = parse_length(value)?;
                // W73: equal duplicates pass.
                if self.length.replace(length).is_some_and(|old| old != length) {
                    return Err("content-length twice");
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// "A field name MUST NOT contain characters in the ranges 0x00-0x20, 0x41-0x5a, or 0x7f-0xff", nor
/// a colon beyond the first octet (§8.2.1). An empty name is A12.
fn check_name(name: &[u8]) -> Result<(), Malformed> {
    let bad = name.is_empty()
        || any_word(name, |w| {
            below(w, 0x21) | above(w, 0x7e) | below(w ^ (ONES * b':' as u64), 1) | upper(w)
        });
    if bad { Err("field name not allowed") } else { Ok(()) }
}

/// "A field value MUST NOT contain the zero value (0x00), line feed (0x0a), or carriage return (0x0d)
/// at any position" §8.2.1. Blanks at the ends are let pass: the gRPC document allows them (W28).
fn check_value(value: &[u8]) -> Result<(), Malformed> {
    // Hardly any value has a control character at all; only then are they told apart.
    let bad = any_word(value, |w| below(w, 0x20))
        && value.iter().any(|&b| matches!(b, b'\0' | b'\n' | b'\r'));
    if bad { Err("field value not allowed") } else { Ok(()) }
}

/// "exactly one valid value" §8.3.1: RFC 3986 §3.1, `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )`.
fn check_scheme(value: &[u8]) -> Result<(), Malformed> {
    let legal = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.');
    let good = value.first().is_some_and(u8::is_ascii_alphabetic) && value.iter().all(legal);
    if good { Ok(()) } else { Err(":scheme is none") }
}

/// The characters of RFC 3986 §3.2, without the user's: "":authority" MUST NOT include the deprecated userinfo
/// subcomponent" §8.3.1. Handlers and proxies choose by it, so it has to be one thing for all. An empty one says nothing,
/// as one that is missing.
fn check_authority(value: &[u8]) -> Result<(), Malformed> {
    let legal =
        |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(octet);
    if value.iter().all(legal) { Ok(()) } else { Err("authority not allowed") }
}

fn parse_status(value: &[u8]) -> Result<u16, Malformed> {
    match *value {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            Ok(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => Err(":status not three digits"),
    }
}

fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = std::str::from_utf8(value).ok().filter(|s| s.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|s| s.parse().ok()).ok_or("content-length not a number")
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Non-zero if some octet of `w` is below `n`, which is at most 128. Exact as a whole; a carry can
/// only blur which octet it was.
const fn below(w: u64, n: u64) -> u64 {
    w.wrapping_sub(ONES * n) & !w & HIGH
}

/// Non-zero if some octet of `w` is above `n`, which is at most 127.
const fn above(w: u64, n: u64) -> u64 {
    (w.wrapping_add(ONES * (127 - n)) | w) & HIGH
}

/// Non-zero if some octet of `w` is an upper-case letter. Octets above 127 do not count, and are
/// masked so that nothing carries from one to the next.
const fn upper(w: u64) -> u64 {
    let low = w & !HIGH;
    let from_a = low.wrapping_add(ONES * (128 - b'A' as u64));
    let above_z = low.wrapping_add(ONES * (127 - b'Z' as u64));
    from_a & !above_z & !w & HIGH
}

/// Does `test` hold for eight octets anywhere in `bytes`? The last word overlaps the one before;
/// short texts are filled up with a harmless letter.
#[inline]
fn any_word(bytes: &[u8], test: impl Fn(u64) -> u64) -> bool {
    let Some(last) = bytes.last_chunk() else {
        let mut word = [b'a'; 8];
        for (to, from) in word.iter_mut().zip(bytes) {
            *to = *from;
        }
        return test(u64::from_ne_bytes(word)) != 0;
    };
    let mut found = test(u64::from_ne_bytes(*last));
    for chunk in bytes.chunks_exact(8) {
        if let Ok(word) = chunk.try_into() {
            found |= test(u64::from_ne_bytes(word));
        }
    }
    found != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w16_schemes_and_authorities_that_are_none_are_malformed() {
        let with = |name: &str, value: &[u8]| {
            let mut fields = Fields::new();
            let good = [(":method", "POST"), (":scheme", "http"), (":path", "/a/b")];
            for (own, text) in good.into_iter().filter(|(own, _)| *own != name) {
                fields.push(own.as_bytes(), text.as_bytes());
            }
            fields.push(name.as_bytes(), value);
            judge_request(&fields)
        };
        for good in [&b"http"[..], b"https", b"HTTP", b"grpc+x"] {
            assert!(with(":scheme", good).is_ok(), "{good:?}");
        }
        for bad in [&b""[..], b"1", b"ht tp", b"http://", b"\xff", b":"] {
            assert!(with(":scheme", bad).is_err(), "{bad:?}");
        }
        assert!(with(":method", b"").is_err() && with(":path", b"").is_err());
        for name in [":authority", "host"] {
            let good: [&[u8]; 8] = [
                b"",
                b"a:1",
                b"[::1]:50051",
                b"[fe80::1%25eth0]",
                b"my_host.",
                b"127.0.0.1:1,127.0.0.1:2",
                b"%2Ftmp%2Fsocket",
                b"xn--a",
            ];
            for good in good {
                assert!(with(name, good).is_ok(), "{good:?}");
            }
            let bad: [&[u8]; 8] =
                [b"a b", b" a", b"user@host", b"a/b", b"a?b", b"a#b", b"\xc3\xa9", b"a\\b"];
            for bad in bad {
                assert!(with(name, bad).is_err(), "{bad:?}");
            }
        }
    }

    #[test]
    fn every_octet_at_every_place_is_judged_as_the_rfc_says() {
        for len in 1..20 {
            for at in 0..len {
                for b in 0..=255u8 {
                    for filler in [b'a', b'~', b'!', b'z'] {
                        let mut text = vec![filler; len];
                        text[at] = b;
                        let name =
                            (0x21..0x7f).contains(&b) && !b.is_ascii_uppercase() && b != b':';
                        assert_eq!(check_name(&text).is_ok(), name, "{b:#x} at {at} of {len}");
                        let value = !matches!(b, 0 | 10 | 13);
                        assert_eq!(check_value(&text).is_ok(), value, "{b:#x} at {at} of {len}");
                    }
                }
            }
        }
        assert!(check_name(b"").is_err() && check_value(b"").is_ok());
    }
}
