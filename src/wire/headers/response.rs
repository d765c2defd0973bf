//! Responses: the block before the messages, and what a client reads of it.

use crate::compression::{Accepted, Encoding, Encodings};
use crate::error::quoted;
use crate::http2::hpack::Fields;
use crate::http2::hpack::encode::{self, index};
use crate::metadata::{self, Metadata};
use crate::status::Status;

use super::intake::{Intake, Once, Torn};
use super::request::is_grpc;
use super::{ACCEPT_ENCODING, ENCODING, HEAD_TOO_LARGE, Refusal, Subtype, put, too_large};

/// Appends a response's head (W45), for a request of `application/grpc`.
#[cfg(test)]
pub(crate) fn response_head(out: &mut Vec<u8>, metadata: &Metadata) {
    response_head_as(out, Subtype::Plain, metadata);
}

/// Appends a response's head that repeats the request's sub-type (W10).
///
/// § `doc/PROTOCOL-HTTP2.md`: "Response-Headers → HTTP-Status [Message-Encoding]
/// [Message-Accept-Encoding] Content-Type *Custom-Metadata".
pub(crate) fn response_head_as(out: &mut Vec<u8>, subtype: Subtype, metadata: &Metadata) {
    encode::indexed(out, index::STATUS_200);
    encode::literal_static_name(out, index::CONTENT_TYPE, subtype.content_type());
    put::metadata(out, metadata, b"");
}

/// What is the same in the heads of all of a server's answers with messages, in the form it is sent in: for each sub-type.
#[derive(Debug)]
pub(crate) struct ResponseTemplate {
    plain: Box<[u8]>,
    proto: Box<[u8]>,
}

impl ResponseTemplate {
    /// `encodings`: what the server takes, as a list.
    pub(crate) fn new(encodings: &str) -> Self {
        let of = |subtype| {
            let mut block = Vec::with_capacity(96);
            response_head_as(&mut block, subtype, &Metadata::new());
            encode::literal(&mut block, ACCEPT_ENCODING, encodings.as_bytes());
            block.into()
        };
        Self { plain: of(Subtype::Plain), proto: of(Subtype::Proto) }
    }

    /// A head with nothing else in it.
    pub(crate) fn bare(&self, subtype: Subtype) -> &[u8] {
        match subtype {
            Subtype::Plain => &self.plain,
            Subtype::Proto => &self.proto,
        }
    }

    /// A head. `encoding`: what messages are compressed by.
    pub(crate) fn head(
        &self,
        subtype: Subtype,
        encoding: Option<&str>,
        metadata: &Metadata,
    ) -> Vec<u8> {
        let mut block = self.bare(subtype).to_vec();
        if let Some(encoding) = encoding {
            encode::literal(&mut block, ENCODING, encoding.as_bytes());
        }
        put::metadata(&mut block, metadata, b"");
        block
    }
}

/// Appends the head of the answer to what is no gRPC request (W10, W12). Its
/// [`body`](Refusal::body) follows as DATA.
pub(crate) fn plain_response(out: &mut Vec<u8>, refusal: &Refusal) {
    encode::literal_static_name(out, index::STATUS_200, refusal.http().to_string().as_bytes());
    // § RFC 9110 §15.5.6: a 405 "MUST generate an Allow header field".
    if refusal.http() == 405 {
        encode::literal(out, b"allow", b"POST");
    }
    if !refusal.body().is_empty() {
        let length = refusal.body().len().to_string();
        encode::literal_static_name(out, index::CONTENT_TYPE, b"text/plain; charset=utf-8");
        encode::literal_static_name(out, index::CONTENT_LENGTH, length.as_bytes());
    }
}

/// What a response says before its messages.
///
/// Whether a call can go on from here, only
/// [`Ending::from_head`](crate::wire::outcome::Ending::from_head) says.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    /// The HTTP status; 0 when it is no number.
    pub(crate) http: u16,
    /// Whether the content-type is gRPC's.
    pub(crate) grpc: bool,
    /// The content-type, in quotes, where it is not gRPC's.
    pub(crate) content_type: Option<Box<str>>,
    /// The `grpc-status` of a block that does not end the stream, and its message: to be quoted, no more (W49).
    pub(crate) early: Option<Box<str>>,
    /// The initial metadata; empty for trailers-only, whose metadata is trailing.
    pub(crate) metadata: Metadata,
    /// What messages may be compressed by.
    pub(crate) encoding: Encoding,
    /// What the server takes, if it says so.
    pub(crate) accepts: Option<Accepted>,
    /// What is wrong with it.
    pub(crate) fault: Option<Status>,
}

/// Reads the fields of a response's first block; `end` says that it is the last, too.
///
/// A `grpc-status` in a block that does not end the stream is none and is dropped (W49).
pub(crate) fn parse_response(fields: &Fields, end: bool, encodings: &Encodings) -> ResponseHead {
    let mut head = ResponseHead {
        http: 0,
        grpc: false,
        content_type: None,
        early: None,
        metadata: Metadata::new(),
        encoding: Encoding::IDENTITY,
        accepts: None,
        fault: None,
    };
    if fields.overflowed() {
        head.fault = Some(too_large(HEAD_TOO_LARGE));
    }
    let (mut content_type, mut encoding) = (Once::default(), Once::default());
    let mut intake = Intake::new(fields, HEAD_TOO_LARGE);
    for (name, value) in fields.iter() {
        match name {
            b":status" => head.http = http_status(value),
            b"content-type" => content_type.set(value),
            b"grpc-status" if !end => {
                head.early.get_or_insert_with(|| quoted(value).into());
            }
            ENCODING => encoding.set(value),
            ACCEPT_ENCODING => {
                let said = head.accepts.unwrap_or_default();
                head.accepts = Some(said.join(encodings.accepted(value)));
            }
            _ if end || metadata::reserved(name) => {}
            _ => intake.take(name, value),
        }
    }
    match content_type.get() {
        Ok(Some(value)) if is_grpc(value) => head.grpc = true,
        Ok(value) => head.content_type = value.map(|value| quoted(value).into()),
        Err(Torn) => head.content_type = Some("twice, and different".into()),
    }
    match encoding.get() {
        Ok(None) => {}
        Ok(Some(name)) => match encodings.find(name) {
            Some(encoding) => head.encoding = encoding,
            None => head.fault = head.fault.or_else(|| Some(bad_encoding(&quoted(name)))),
        },
        Err(Torn) => {
            head.fault = head.fault.or_else(|| Some(bad_encoding("twice, and different,")))
        }
    }
    let (metadata, fault) = intake.finish();
    head.metadata = metadata;
    head.fault = head.fault.or(fault);
    head
}

fn http_status(value: &[u8]) -> u16 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// § `doc/compression.md`: a client that meets an encoding it does not know ends the call with
/// INTERNAL (W18).
fn bad_encoding(name: &str) -> Status {
    Status::internal(format!("the response's grpc-encoding {name} is not supported by the client"))
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::{decoded, fields, pair, parse_response};
    use super::*;
    use crate::status::Code;

    #[test]
    fn w45_a_head_has_status_content_type_and_metadata() {
        let mut block = Vec::new();
        let metadata = Metadata::new().with("k", "v").and_then(|m| m.with_bin("b-bin", "f"));
        response_head(&mut block, &metadata.unwrap());
        let expected =
            [(":status", "200"), ("content-type", "application/grpc"), ("k", "v"), ("b-bin", "Zg")];
        assert_eq!(decoded(&block), expected.map(pair));
    }

    #[test]
    fn w10_the_response_repeats_the_sub_type() {
        let mut block = Vec::new();
        response_head_as(&mut block, Subtype::Proto, &Metadata::new());
        assert_eq!(decoded(&block)[1], pair(("content-type", "application/grpc+proto")));
    }

    #[test]
    fn heads_are_read_back() {
        let head = parse_response(
            &fields(&[
                (":status", "200"),
                ("content-type", "application/grpc+proto"),
                ("grpc-encoding", "identity"),
                ("grpc-accept-encoding", "gzip"),
                ("k", "v"),
                ("b-bin", "Zg==,Zm8"),
            ]),
            false,
        );
        assert!(head.grpc && head.http == 200 && head.fault.is_none());
        assert_eq!(head.metadata.len(), 3);
        assert_eq!(head.metadata.get_bin("b-bin"), Some(&b"f"[..]));
    }

    #[test]
    fn w49_a_status_in_a_head_that_is_not_the_end_is_no_status() {
        let list = fields(&[
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", "8"),
            ("grpc-message", "x"),
        ]);
        let head = parse_response(&list, false);
        assert!(head.metadata.is_empty() && head.fault.is_none());
    }

    #[test]
    fn w45_a_template_has_what_is_taken_and_what_is_sent() {
        let template = ResponseTemplate::new("gzip,deflate");
        let head = template.head(Subtype::Proto, Some("gzip"), &Metadata::new());
        let expected = [
            (":status", "200"),
            ("content-type", "application/grpc+proto"),
            ("grpc-accept-encoding", "gzip,deflate"),
            ("grpc-encoding", "gzip"),
        ];
        assert_eq!(decoded(&head), expected.map(pair));
        assert_eq!(
            decoded(template.bare(Subtype::Proto)),
            expected[..3].iter().copied().map(pair).collect::<Vec<_>>()
        );
        assert_eq!(
            decoded(template.bare(Subtype::Plain))[1],
            pair(("content-type", "application/grpc"))
        );
    }

    #[test]
    #[cfg(feature = "gzip")]
    fn w18_a_head_says_its_encoding_and_what_the_server_takes() {
        let ours = Encodings::default();
        let gzip = ours.find(b"gzip").unwrap();
        let list = [
            ("grpc-encoding", "gzip"),
            ("grpc-accept-encoding", "identity"),
            ("grpc-accept-encoding", "gzip"),
        ];
        let head = parse_response(&fields(&list), false);
        assert!(head.fault.is_none() && head.encoding == gzip);
        assert!(head.accepts.unwrap().takes(gzip));
        let head = parse_response(&fields(&list[1..2]), true);
        assert!(!head.accepts.unwrap().takes(gzip));
        assert!(parse_response(&fields(&[]), false).accepts.is_none(), "that says nothing");
        let twice = [("grpc-encoding", "gzip"), ("grpc-encoding", "deflate")];
        assert_eq!(parse_response(&fields(&twice), false).fault.unwrap().code(), Code::Internal);
    }

    #[test]
    fn w18_w27_w30_faults_of_a_head() {
        let encoding = parse_response(&fields(&[("grpc-encoding", "zstd")]), false);
        assert_eq!(encoding.fault.unwrap().code(), Code::Internal);
        let binary = parse_response(&fields(&[("x-bin", "!")]), false);
        assert_eq!(binary.fault.unwrap().code(), Code::Internal);
    }

    #[test]
    fn w52_of_content_types_that_differ_none_counts() {
        for order in [["text/html", "application/grpc"], ["application/grpc", "text/html"]] {
            let list = fields(&[("content-type", order[0]), ("content-type", order[1])]);
            let head = parse_response(&list, false);
            assert!(!head.grpc && head.content_type.is_some(), "{order:?}");
        }
        let twice = [("content-type", "application/grpc"), ("content-type", "application/grpc")];
        assert!(parse_response(&fields(&twice), false).grpc);
    }

    #[test]
    fn no_response_is_too_odd_to_be_read() {
        let head = parse_response(&fields(&[(":status", "99999999"), ("content-type", "x")]), true);
        assert_eq!((head.http, head.grpc, head.content_type.as_deref()), (0, false, Some("\"x\"")));
    }
}
