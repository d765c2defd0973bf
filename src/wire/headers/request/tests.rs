use super::*;
use crate::http2::hpack::Decoder;

pub(crate) fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in list {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

pub(crate) fn pair((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

pub(crate) fn decode(block: &[u8]) -> Fields {
    let mut fields = Fields::new();
    Decoder::new(1 << 20, 1 << 10).decode(block, &mut fields).unwrap();
    fields
}

/// The list of a block whose limit is `limit`.
pub(crate) fn decode_within(limit: usize, block: &[u8]) -> Fields {
    let mut fields = Fields::new();
    Decoder::new(limit, 1 << 10).decode(block, &mut fields).unwrap();
    fields
}

pub(crate) fn decoded(block: &[u8]) -> Vec<(String, String)> {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    decode(block).iter().map(|(name, value)| (text(name), text(value))).collect()
}

const GOOD: [(&str, &str); 5] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/pkg.Service/Method"),
    (":authority", "host:1"),
    ("content-type", "application/grpc"),
];

/// A good request with these fields changed, or added where they are not among it.
fn with(changes: &[(&str, &str)]) -> Fields {
    let mut list = GOOD.to_vec();
    for change in changes {
        match GOOD.iter().position(|(name, _)| *name == change.0) {
            Some(at) => list[at] = *change,
            None => list.push(*change),
        }
    }
    fields(&list)
}

fn without(name: &str) -> Fields {
    fields(&GOOD.into_iter().filter(|field| field.0 != name).collect::<Vec<_>>())
}

/// As by a server that has what is built in.
pub(crate) fn parse_request(fields: &Fields) -> Result<RequestHead, Refusal> {
    super::parse_request(fields, &Encodings::default())
}

/// As by a client that has what is built in.
pub(crate) fn parse_response(fields: &Fields, end: bool) -> super::super::ResponseHead {
    super::super::parse_response(fields, end, &Encodings::default())
}

fn refused(fields: &Fields) -> Status {
    parse_request(fields).unwrap_err().status().unwrap().clone()
}

fn http(fields: &Fields) -> u16 {
    let refusal = parse_request(fields).unwrap_err();
    assert!(refusal.status().is_none());
    refusal.http()
}

#[test]
fn w1_w2_fields_of_a_request_and_their_order() {
    let template = RequestTemplate::new("/pkg.Service/Method", "host:1", false, None);
    let metadata = Metadata::new().with("k", "v").and_then(|m| m.with_bin("b-bin", "f")).unwrap();
    let mut block = Vec::new();
    let size = template.block(Some(Duration::from_secs(1)), None, &metadata, &mut block);
    let agent = concat!("grpc-rust-threads/", env!("CARGO_PKG_VERSION"));
    let expected = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/pkg.Service/Method"),
        (":authority", "host:1"),
        ("grpc-timeout", "1000000u"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", agent),
        ("k", "v"),
        ("b-bin", "Zg"),
    ];
    assert_eq!(decoded(&block), expected.map(pair));
    assert_eq!(size, decode(&block).size());
}

#[test]
fn w1_https_only_with_tls_and_w29_the_size_is_exact() {
    let template = RequestTemplate::new("/a/b", "", true, Some("app/1.0"));
    let mut block = Vec::new();
    let size = template.block(None, None, &Metadata::new(), &mut block);
    assert_eq!(decoded(&block)[1], pair((":scheme", "https")));
    assert!(!decoded(&block).iter().any(|(name, _)| name == "grpc-timeout"));
    assert_eq!(size, decode(&block).size());
}

#[test]
fn w3_an_application_goes_in_front_of_our_user_agent() {
    let own = concat!("grpc-rust-threads/", env!("CARGO_PKG_VERSION"));
    assert_eq!(user_agent(None), own);
    assert_eq!(user_agent(Some(" ")), own);
    assert_eq!(user_agent(Some("app/1.0 (x)")), format!("app/1.0 (x) {own}"));
    assert_eq!(user_agent(Some("a\r\nb: c")), format!("ab: c {own}"));
}

#[test]
fn secrets_are_never_indexed() {
    let template = RequestTemplate::new("/a/b", "c", false, None);
    let metadata = Metadata::new().with("authorization", "Bearer x").unwrap();
    let mut block = Vec::new();
    template.block(None, None, &metadata, &mut block);
    let field = block.windows(15).position(|part| part == b"\x10\x0dauthorization");
    assert!(field.is_some());
}

#[test]
fn what_a_client_sends_a_server_reads() {
    let template = RequestTemplate::new("/pkg.Service/Method", "host:1", false, None);
    let metadata =
        Metadata::new().with("k", "v").and_then(|m| m.with_bin("b-bin", [0, 9])).unwrap();
    let mut block = Vec::new();
    template.block(Some(Duration::from_millis(5)), None, &metadata, &mut block);
    let head = parse_request(&decode(&block)).unwrap();
    assert_eq!(head.path, "/pkg.Service/Method");
    assert_eq!(head.authority, "host:1");
    assert_eq!(head.timeout, Some(Duration::from_millis(5)));
    assert_eq!(head.subtype, Subtype::Plain);
    assert_eq!(head.metadata.len(), 3);
    assert!(head.metadata.get("user-agent").unwrap().starts_with("grpc-rust-threads/"));
    assert_eq!(head.metadata.get("k"), Some("v"));
    assert_eq!(head.metadata.get_bin("b-bin"), Some(&[0, 9][..]));
}

#[test]
fn w10_content_types_of_grpc() {
    for (good, subtype) in [
        ("application/grpc", Subtype::Plain),
        ("application/grpc+proto", Subtype::Proto),
        ("application/grpc;charset=utf-8", Subtype::Plain),
        ("application/grpc ; x", Subtype::Plain),
        ("application/grpc+proto;x", Subtype::Proto),
        ("Application/gRPC", Subtype::Plain),
    ] {
        let head = parse_request(&with(&[("content-type", good)])).unwrap();
        assert_eq!(head.subtype, subtype, "{good}");
    }
}

#[test]
fn w10_other_content_types_are_415_with_a_text() {
    assert_eq!(http(&without("content-type")), 415);
    for bad in [
        "",
        "application/json",
        "application/grpcfoo",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grp",
        "text/plain",
        "xapplication/grpc",
    ] {
        assert_eq!(http(&with(&[("content-type", bad)])), 415, "{bad}");
    }
    let refusal = parse_request(&without("content-type")).unwrap_err();
    let mut block = Vec::new();
    super::super::plain_response(&mut block, &refusal);
    let expected = [
        (":status", "415"),
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", &refusal.body().len().to_string()),
    ];
    assert_eq!(decoded(&block), expected.map(pair));
    assert!(!refusal.body().is_empty());
}

#[test]
fn w11_sub_types_without_a_codec_are_refused() {
    for sub in ["application/grpc+json", "application/grpc+", "application/grpc+protobuf;x"] {
        assert_eq!(http(&with(&[("content-type", sub)])), 415, "{sub}");
    }
}

#[test]
fn w10_of_content_types_that_differ_none_counts() {
    for other in ["text/html", "application/grpc+proto"] {
        let mut list = with(&[]);
        list.push(b"content-type", other.as_bytes());
        assert_eq!(http(&list), 415, "{other}");
        let mut list = with(&[("content-type", other)]);
        list.push(b"content-type", b"application/grpc");
        assert_eq!(http(&list), 415, "{other}");
    }
    let mut list = with(&[]);
    list.push(b"content-type", b"application/grpc");
    assert!(parse_request(&list).is_ok());
}

#[test]
fn w12_methods_other_than_post_are_405() {
    for method in ["GET", "PUT", "post", "OPTIONS"] {
        assert_eq!(http(&with(&[(":method", method)])), 405, "{method}");
    }
    let refusal = parse_request(&with(&[(":method", "GET")])).unwrap_err();
    let mut block = Vec::new();
    super::super::plain_response(&mut block, &refusal);
    assert_eq!(decoded(&block)[1], pair(("allow", "POST")));
    let head = parse_request(&with(&[(":method", "HEAD")])).unwrap_err();
    assert_eq!((head.http(), head.body()), (405, ""));
}

#[test]
fn w13_paths_that_are_not_service_and_method_are_unimplemented() {
    for bad in [
        "",
        "/",
        "//",
        "*",
        "svc/m",
        "pkg.Service/Method",
        "/svc",
        "/svc/",
        "//m",
        "//svc/m",
        "/svc/m/",
        "/svc//m",
        "/a/../m",
        "/svc/m?x=1",
        "/svc?/m",
        "/svc/m#x",
        "/svc%2Fm",
        "/svc%2fm/x",
        "/svc/m%00",
        "/svc/m m",
        "/svc/m\u{e9}",
        "/svc/m\u{7f}",
        "http://host/svc/m",
    ] {
        assert_eq!(refused(&with(&[(":path", bad)])).code(), Code::Unimplemented, "{bad}");
    }
    let longer = parse_request(&with(&[(":path", "/a/svc/m")])).unwrap();
    assert_eq!(longer.path, "/a/svc/m", "a service's name may hold slashes");
}

#[test]
fn w15_timeouts() {
    for bad in ["", "1", "S", "1s", "123456789S", "-1S", " 1S", "1 S", "+1S"] {
        assert_eq!(refused(&with(&[("grpc-timeout", bad)])).code(), Code::Internal, "{bad}");
    }
    let two = with(&[("grpc-timeout", "1S"), ("grpc-timeout", "2S")]);
    assert_eq!(refused(&two).code(), Code::Internal);
    for zero in ["0n", "00000000H"] {
        assert_eq!(refused(&with(&[("grpc-timeout", zero)])).code(), Code::DeadlineExceeded);
    }
    let huge = parse_request(&with(&[("grpc-timeout", "99999999H")])).unwrap();
    assert!(huge.timeout.unwrap() > Duration::from_secs(1 << 38));
    assert_eq!(parse_request(&with(&[])).unwrap().timeout, None);
}

#[test]
fn w16_host_stands_in_for_a_missing_authority() {
    let both = parse_request(&with(&[("host", "other")])).unwrap();
    assert_eq!(both.authority, "host:1");
    assert!(!both.metadata.contains("host"));
    let mut alone = without(":authority");
    alone.push(b"host", b"other");
    assert_eq!(parse_request(&alone).unwrap().authority, "other");
    assert_eq!(parse_request(&without(":authority")).unwrap().authority, "");
}

#[test]
fn w17_a_missing_te_is_tolerated() {
    assert!(parse_request(&with(&[])).is_ok());
    assert!(!parse_request(&with(&[("te", "trailers")])).unwrap().metadata.contains("te"));
}

#[test]
fn w18_encodings_we_do_not_have_are_unimplemented_and_answered_with_ours() {
    assert!(parse_request(&with(&[("grpc-encoding", "identity")])).is_ok());
    let ours = Encodings::default();
    for name in ["br", "GZIP", "x-gzip", "gzip, identity", ""] {
        let status = refused(&with(&[("grpc-encoding", name)]));
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains(&format!("{name:?}")), "{status}");
        let mut block = Vec::new();
        super::super::trailers_only(&mut block, &status, status.trailing_metadata());
        assert!(decoded(&block).contains(&pair(("grpc-accept-encoding", ours.announced()))));
    }
    let mut twice = GOOD.to_vec();
    twice.extend([("grpc-encoding", "identity"), ("grpc-encoding", "br")]);
    assert_eq!(refused(&fields(&twice)).code(), Code::Unimplemented);
}

#[test]
#[cfg(feature = "gzip")]
fn w18_w40_a_request_says_its_encoding_and_what_it_takes_over_several_lines() {
    let ours = Encodings::default();
    let [gzip, deflate] = ["gzip", "deflate"].map(|name| ours.find(name.as_bytes()).unwrap());
    let mut list = GOOD.to_vec();
    list.extend([("grpc-encoding", "gzip"), ("grpc-encoding", "gzip")]);
    let head = parse_request(&fields(&list)).unwrap();
    assert_eq!(head.encoding, gzip);
    assert!(!head.accepts.takes(gzip) && head.accepts.takes(Encoding::IDENTITY), "it said nothing");
    list.extend([("grpc-accept-encoding", "identity, br"), ("grpc-accept-encoding", " deflate")]);
    let head = parse_request(&fields(&list)).unwrap();
    assert!(!head.accepts.takes(gzip) && head.accepts.takes(deflate));
}

#[test]
fn w2_what_is_taken_is_in_the_template_and_what_is_sent_in_each_block() {
    let template = RequestTemplate::new("/a/b", "c", false, None);
    let plain = template.block(None, None, &Metadata::new(), &mut Vec::new());
    let template = template.announcing("gzip,deflate");
    let mut block = Vec::new();
    let size = template.block(None, Some("gzip"), &Metadata::new(), &mut block);
    let list = decoded(&block);
    assert_eq!(list[list.len() - 2], pair(("grpc-accept-encoding", "gzip,deflate")));
    assert_eq!(list[list.len() - 1], pair(("grpc-encoding", "gzip")));
    assert_eq!(size - plain, 20 + 12 + 32 + 13 + 4 + 32);
    let mut without = Vec::new();
    template.block(None, None, &Metadata::new(), &mut without);
    assert_eq!(without, block[..without.len()], "nothing is said of what is not done");
}

#[test]
fn w26_the_protocols_own_fields_are_no_metadata() {
    let list = with(&[
        ("grpc-accept-encoding", "gzip"),
        ("grpc-message-type", "x"),
        ("grpc-unheard-of", "x"),
        ("grpc-previous-rpc-attempts", "1"),
        ("user-agent", "them"),
    ]);
    let metadata = parse_request(&list).unwrap().metadata;
    let keys: Vec<_> = metadata.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["grpc-previous-rpc-attempts", "user-agent"]);
}

#[test]
fn w27_bad_base64_in_a_request_is_internal() {
    assert_eq!(refused(&with(&[("x-bin", "!")])).code(), Code::Internal);
}

#[test]
fn w28_odd_octets_do_not_fail_the_call() {
    let mut list = with(&[]);
    list.push(b"k", b"gr\xfc\xdfe");
    assert!(parse_request(&list).unwrap().metadata.contains("k"));
}

#[test]
fn w30_a_list_over_the_limit_is_resource_exhausted() {
    let template = RequestTemplate::new("/a/b", "c", false, None);
    let mut block = Vec::new();
    template.block(None, None, &Metadata::new(), &mut block);
    let mut list = Fields::new();
    Decoder::new(100, 100).decode(&block, &mut list).unwrap();
    assert!(list.overflowed());
    assert_eq!(refused(&list).code(), Code::ResourceExhausted);
    let head = parse_response(&list, false);
    assert_eq!(head.fault.unwrap().code(), Code::ResourceExhausted);
    let trailers = super::super::parse_trailers(&list);
    assert_eq!(trailers.status.unwrap().code(), Code::ResourceExhausted);
}

#[test]
fn no_request_is_too_odd_to_be_answered() {
    let mut seed = 7_u64;
    for _ in 0..2_000 {
        let mut list = Fields::new();
        for (name, value) in GOOD {
            let mut value = value.as_bytes().to_vec();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 40) as usize % (value.len() + 1);
            value.insert(at, (seed >> 33) as u8);
            list.push(name.as_bytes(), if seed % 3 == 0 { &value } else { &value[at..] });
        }
        let _ = parse_request(&list);
    }
}
