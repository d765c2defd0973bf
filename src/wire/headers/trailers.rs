//! Trailers: how a server says that a call is over, and how a client reads it.

use bytes::Bytes;

use crate::error::quoted;
use crate::http2::hpack::Fields;
use crate::http2::hpack::encode;
use crate::metadata::{self, Metadata, encode_base64};
use crate::status::{Code, Status};

use super::intake::{Intake, Once, Torn};
use super::{FOUND_HERE, Subtype, TRAILERS_TOO_LARGE, percent, put, response_head_as, too_large};

/// Appends the trailers that end a response: code, message and details of `status`, and
/// `metadata`, which is all there is: the status's own metadata is not looked at.
///
/// § `doc/PROTOCOL-HTTP2.md`: "Trailers → Status [Status-Message] *Custom-Metadata"; "Status must be sent
/// in Trailers even if the status code is OK" (W45).
pub(crate) fn trailers(out: &mut Vec<u8>, status: &Status, metadata: &Metadata) {
    encode::literal(out, b"grpc-status", decimal(status.code()));
    if !status.message().is_empty() {
        encode::literal(out, b"grpc-message", &percent::encode(status.message()));
    }
    if status.details().is_empty() {
        return put::metadata(out, metadata, b"");
    }
    // W48: the status's details win over an application's entry of that name.
    let mut text = Vec::new();
    encode_base64(status.details(), &mut text);
    encode::literal(out, put::DETAILS, &text);
    put::metadata(out, metadata, put::DETAILS);
}

/// Appends the one block of a response that has no messages, for a request of `application/grpc`.
#[cfg(test)]
pub(crate) fn trailers_only(out: &mut Vec<u8>, status: &Status, metadata: &Metadata) {
    trailers_only_as(out, Subtype::Plain, status, metadata);
}

/// Appends the one block of a response that has no messages.
///
/// § `doc/PROTOCOL-HTTP2.md`: "Trailers-Only → HTTP-Status Content-Type Trailers" (W45).
pub(crate) fn trailers_only_as(
    out: &mut Vec<u8>,
    subtype: Subtype,
    status: &Status,
    metadata: &Metadata,
) {
    response_head_as(out, subtype, &Metadata::new());
    trailers(out, status, metadata);
}

/// The last block of an answer, or the only one (for `only`), within the header list that the client takes (W29): for that
/// the metadata is left out, then the details, and then the text is cut. The code always goes out.
pub(crate) fn trailers_within(
    most: usize,
    only: Option<Subtype>,
    status: &Status,
    metadata: &Metadata,
) -> Vec<u8> {
    let block = |status: &Status, metadata: &Metadata| {
        let mut block = Vec::with_capacity(128);
        match only {
            Some(subtype) => trailers_only_as(&mut block, subtype, status, metadata),
            None => trailers(&mut block, status, metadata),
        }
        (list_size(&block, metadata) <= most, block)
    };
    let none = Metadata::new();
    if let (true, block) = block(status, metadata) {
        return block;
    }
    if let (true, block) = block(status, &none) {
        return block;
    }
    let bare = |text: &str| block(&Status::new(status.code(), text), &none);
    let details = status.details().len();
    if details > 0 {
        let said = format!(
            "{} ({details} bytes of details were left out: the client takes {most} of metadata)",
            status.message()
        );
        if let (true, block) = bare(said.trim_start()) {
            return block;
        }
    }
    if let (true, block) = bare(status.message()) {
        return block;
    }
    let alone = bare("").1;
    // The field's name, and the lengths in front of it and of its value.
    let field = b"grpc-message".len() + 16;
    let room = most.saturating_sub(list_size(&alone, &none) + field);
    match bare(&percent::cut(status.message(), room)) {
        (true, block) => block,
        _ => alone,
    }
}

/// The size of a response's block as the client will count it (W29), or a little more: each field counts 32,
/// and has three octets or more of lengths in the block; five fields at most are ours.
pub(crate) fn list_size(block: &[u8], metadata: &Metadata) -> usize {
    block.len() + 29 * metadata.len() + 5 * 32
}

/// What a response's last block says.
#[derive(Clone, Debug)]
pub(crate) struct Trailers {
    /// The status with its trailing metadata; `None` when there is no `grpc-status`.
    pub(crate) status: Option<Status>,
}

/// Reads the fields of a response's last block, or only one.
pub(crate) fn parse_trailers(fields: &Fields) -> Trailers {
    if fields.overflowed() {
        let status = too_large(TRAILERS_TOO_LARGE).with_debug(FOUND_HERE);
        return Trailers { status: Some(status) };
    }
    let (mut code, mut message) = (Once::default(), Once::default());
    let mut intake = Intake::new(fields, TRAILERS_TOO_LARGE);
    for (name, value) in fields.iter() {
        match name {
            b"grpc-status" => code.set(value),
            b"grpc-message" => message.set(value),
            _ if metadata::reserved(name) => {}
            _ => intake.take(name, value),
        }
    }
    let Some(first) = code.first() else { return Trailers { status: None } };
    let message = message.first().map(percent::decode).unwrap_or_default();
    let mut status = match code.get() {
        Ok(_) => match status_code(first) {
            Some(code) => Status::received(code, message),
            // What it says beside it is worth keeping; which code it meant, nobody knows (W50).
            None => Status::unknown(unreadable(first, &message)),
        },
        // No number of the peer's, as one that cannot be read (W50).
        Err(Torn) => Status::unknown("the trailers have several grpc-status that differ"),
    };
    let (metadata, fault) = intake.finish();
    status = match fault {
        // What the peer says went wrong is worth more than what is wrong with how it says it.
        Some(fault) if !status.is_ok() => status.with_debug(fault.message()),
        Some(fault) => return Trailers { status: Some(fault.with_debug(FOUND_HERE)) },
        None => status,
    };
    if !metadata.is_empty() {
        if let Some(details) = metadata.get_bin("grpc-status-details-bin") {
            status = status.with_details(Bytes::copy_from_slice(details));
        }
        status = status.with_metadata(metadata);
    }
    Trailers { status: Some(status) }
}

/// § `doc/PROTOCOL-HTTP2.md`: "Status → "grpc-status" 1*DIGIT ; 0-9"; without leading zeros (W45).
fn decimal(code: Code) -> &'static [u8] {
    const DECIMALS: [&str; 17] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    ];
    DECIMALS.get(code as usize).map_or(b"2", |digits| digits.as_bytes())
}

fn unreadable(code: &[u8], message: &str) -> String {
    let said = if message.is_empty() { "" } else { "; with it came: " };
    format!("the peer's grpc-status is no number: {}{said}{message}", quoted(code))
}

/// A `grpc-status`: decimal digits. `None`: it is none, and UNKNOWN (W50).
fn status_code(value: &[u8]) -> Option<i32> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::{decode, decoded, fields, pair};
    use super::*;

    fn block(status: &Status, metadata: &Metadata) -> Vec<(String, String)> {
        let mut out = Vec::new();
        trailers(&mut out, status, metadata);
        decoded(&out)
    }

    fn read(list: &[(&str, &str)]) -> Status {
        parse_trailers(&fields(list)).status.unwrap()
    }

    #[test]
    fn w45_the_status_is_sent_even_when_it_is_ok() {
        assert_eq!(block(&Status::ok(), &Metadata::new()), [pair(("grpc-status", "0"))]);
        for code in Code::ALL {
            let list = block(&Status::new(code, ""), &Metadata::new());
            assert_eq!(list, [pair(("grpc-status", &i32::from(code).to_string()))]);
            assert_eq!(read(&[("grpc-status", &i32::from(code).to_string())]).code(), code);
        }
    }

    #[test]
    fn w45_trailers_only_is_one_block() {
        let mut out = Vec::new();
        trailers_only_as(&mut out, Subtype::Proto, &Status::not_found("no"), &Metadata::new());
        let expected = [
            (":status", "200"),
            ("content-type", "application/grpc+proto"),
            ("grpc-status", "5"),
            ("grpc-message", "no"),
        ];
        assert_eq!(decoded(&out), expected.map(pair));
    }

    #[test]
    fn w47_messages_of_all_characters_come_back() {
        let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n 100% ";
        let list = block(&Status::unknown(message), &Metadata::new());
        assert!(list[1].1.bytes().all(|octet| matches!(octet, b'!'..=b'~' | b' ')));
        assert_eq!(read(&[("grpc-status", "2"), ("grpc-message", &list[1].1)]).message(), message);
    }

    #[test]
    fn w48_details_come_back_and_win_over_metadata() {
        let own = Metadata::new().with_bin("grpc-status-details-bin", "theirs").unwrap();
        let status = Status::aborted("m").with_details(Bytes::from_static(b"ours"));
        let list = block(&status, &own);
        assert_eq!(list.len(), 3);
        let list: Vec<_> = list.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(read(&list).details(), b"ours");
        assert_eq!(
            read(&list).trailing_metadata().get_bin("grpc-status-details-bin"),
            Some(&b"ours"[..])
        );
        let list = block(&Status::aborted("m"), &own);
        let list: Vec<_> = list.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(read(&list).details(), b"theirs");
    }

    #[test]
    fn w50_odd_codes_are_unknown() {
        for odd in ["", "x", "-1", "+1", "1 ", "0x1", "99999999999", "1.0"] {
            let status = read(&[("grpc-status", odd), ("grpc-message", "m")]);
            assert_eq!(status.code(), Code::Unknown, "{odd:?}");
            for words in ["grpc-status is no number", &format!("{odd:?}"), "came: m"] {
                assert!(status.message().contains(words), "{status}");
            }
        }
        let long = "\u{1}x".repeat(1000);
        let status = read(&[("grpc-status", &long)]);
        assert!(status.message().len() < 200 && status.message().contains(r"\x01x"), "{status}");
        assert_eq!(read(&[("grpc-status", "17")]).code(), Code::Unknown);
        assert_eq!(read(&[("grpc-status", "17")]).raw_code(), 17);
        assert_eq!(read(&[("grpc-status", "05")]).code(), Code::NotFound);
    }

    #[test]
    fn w29_an_answer_of_our_own_fits_what_the_client_takes_or_is_its_code_alone() {
        let metadata = Metadata::new().with("k", &"v".repeat(400)).unwrap();
        let status = Status::internal("m".repeat(300))
            .with_details(Bytes::from(vec![b'd'; 300]))
            .with_metadata(metadata);
        for only in [None, Some(Subtype::Plain)] {
            let sizes = [2_000, 1_300, 700, 400, 10].map(|most| {
                let block = trailers_within(most, only, &status, status.trailing_metadata());
                let list = decode(&block);
                assert_eq!(list.get(b"grpc-status"), Some(&b"13"[..]));
                assert!(list.size() <= most || most == 10, "{most}");
                let message = list.get(b"grpc-message").map_or(0, <[u8]>::len);
                let details = list.get(b"grpc-status-details-bin").is_some();
                let said = list.get(b"grpc-message").unwrap_or_default();
                assert_eq!(most == 700, said.ends_with(b" metadata)"), "details are missed");
                (list.get(b"k").is_some(), details, message >= 300, message > 0)
            });
            let expected = [
                (true, true, true, true),
                (false, true, true, true),
                (false, false, true, true),
                (false, false, false, true),
                (false, false, false, false),
            ];
            assert_eq!(sizes, expected);
        }
    }

    #[test]
    fn trailers_of_an_ok_carry_metadata() {
        let status = read(&[("grpc-status", "0"), ("k", "1"), ("k", "2"), ("b-bin", "Zg,")]);
        assert!(status.is_ok());
        assert_eq!(status.trailing_metadata().len(), 4);
        assert!(parse_trailers(&fields(&[("k", "1")])).status.is_none());
    }

    #[test]
    fn w27_bad_base64_in_trailers_is_internal() {
        assert_eq!(read(&[("grpc-status", "0"), ("k-bin", "!")]).code(), Code::Internal);
    }

    #[test]
    fn w27_a_status_other_than_ok_wins_over_bad_base64_beside_it() {
        let list = [("grpc-status", "8"), ("grpc-message", "m"), ("k-bin", "!"), ("x", "y")];
        let status = read(&list);
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "m"));
        assert_eq!(status.trailing_metadata().get("x"), Some("y"));
        assert!(status.debug_error_string().contains("base64"), "{status:?}");
    }

    #[test]
    fn w50_of_statuses_that_differ_none_counts() {
        for order in [["5", "0"], ["0", "5"], ["5", "8"]] {
            let status = read(&[("grpc-status", order[0]), ("grpc-status", order[1])]);
            assert_eq!(status.code(), Code::Unknown, "{order:?}");
        }
        assert!(read(&[("grpc-status", "0"), ("grpc-status", "0")]).is_ok());
        let list = [("grpc-status", "5"), ("grpc-message", "a"), ("grpc-message", "b")];
        assert_eq!(read(&list).message(), "a");
    }

    #[test]
    fn w28_what_was_received_can_be_sent_back() {
        let mut received = Metadata::new();
        received.append_received(b"k", b"a\xff\x01b").unwrap();
        received.append_received(b"user-agent", b"theirs").unwrap();
        let mut echo = Metadata::new();
        echo.extend(&received);
        let list = block(&Status::ok(), &echo);
        assert_eq!(list, [pair(("grpc-status", "0")), pair(("k", "a????b"))]);
    }
}
