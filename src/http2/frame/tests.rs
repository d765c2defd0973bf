//! Every kind by its bytes: what is read, what is written, what is refused.

use super::data::Layout;
use super::*;
use crate::http2::error::Error;
use crate::http2::types::{Reason, Role};
use crate::http2::xorshift::XorShift;

/// Splits one frame off, as the connection does.
fn cut(bytes: &[u8]) -> (Head, &[u8], &[u8]) {
    let (head, rest) = bytes.split_first_chunk().expect("a head");
    let head = Head::parse(head);
    let (payload, rest) = rest.split_at(head.len as usize);
    (head, payload, rest)
}

/// The head of a frame whose payload has the given length.
fn head(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Head {
    Head { len: payload.len() as u32, kind, flags, stream }
}

fn protocol<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.expect_err("refused");
    assert!(matches!(error, Error::Connection { reason: Reason::PROTOCOL_ERROR, .. }), "{error:?}");
}

fn size<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.expect_err("refused");
    assert!(
        matches!(error, Error::Connection { reason: Reason::FRAME_SIZE_ERROR, .. }),
        "{error:?}"
    );
}

#[test]
fn preface_is_that_of_rfc_9113() {
    let hex = "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a";
    let text: String = PREFACE.iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(text, hex);
}

#[test]
fn a_head_is_nine_octets_and_its_reserved_bit_is_ignored() {
    let bytes = [0x01, 0x02, 0x03, 0x09, 0xf5, 0xff, 0xff, 0xff, 0xfe];
    let head = Head::parse(&bytes);
    let want = Head { len: 0x01_02_03, kind: Kind(9), flags: 0xf5, stream: 0x7fff_fffe };
    assert_eq!(head, want);
    let mut out = Vec::new();
    head.encode(&mut out);
    assert_eq!(out, [0x01, 0x02, 0x03, 0x09, 0xf5, 0x7f, 0xff, 0xff, 0xfe]);
}

#[test]
fn a20_a_length_is_refused_from_the_head_alone() {
    for kind in 0..=u8::MAX {
        let mut head = Head { len: MAX_MAX_FRAME_SIZE, kind: Kind(kind), flags: 0, stream: 1 };
        size(head.check(MIN_MAX_FRAME_SIZE));
        head.len = MIN_MAX_FRAME_SIZE + 1;
        size(head.check(MIN_MAX_FRAME_SIZE));
        if !(2..=8).contains(&kind) {
            head.len = MIN_MAX_FRAME_SIZE;
            head.check(MIN_MAX_FRAME_SIZE).expect("the limit itself");
            head.len = 0;
            head.check(MIN_MAX_FRAME_SIZE).expect("an empty frame");
        }
    }
}

#[test]
fn a_length_wrong_for_the_kind_is_refused_from_the_head_alone() {
    let exact =
        [(Kind::PRIORITY, 5), (Kind::RST_STREAM, 4), (Kind::PING, 8), (Kind::WINDOW_UPDATE, 4)];
    for (kind, right) in exact {
        for len in 0..40 {
            let head = Head { len, kind, flags: 0, stream: 0 };
            assert_eq!(head.check(MIN_MAX_FRAME_SIZE).is_ok(), len == right, "{head:?}");
        }
    }
    for len in 0..40 {
        let settings = Head { len, kind: Kind::SETTINGS, flags: 0, stream: 0 };
        assert_eq!(settings.check(MIN_MAX_FRAME_SIZE).is_ok(), len % 6 == 0);
        let goaway = Head { len, kind: Kind::GOAWAY, flags: 0, stream: 0 };
        assert_eq!(goaway.check(MIN_MAX_FRAME_SIZE).is_ok(), len >= 8);
    }
}

#[test]
fn data_is_laid_out_with_and_without_padding() {
    let plain = Head { len: 5, kind: Kind::DATA, flags: flag::END_STREAM, stream: 1 };
    data::check(&plain).expect("valid");
    assert!(data::end_stream(&plain) && !data::padded(&plain));
    let layout = Layout::parse(&plain, 0xff).expect("no padding");
    assert_eq!(layout, Layout { prefix: 0, data: 5, padding: 0 });

    let padded = Head { len: 10, kind: Kind::DATA, flags: flag::PADDED, stream: 1 };
    assert!(data::padded(&padded) && !data::end_stream(&padded));
    let layout = Layout::parse(&padded, 3).expect("padding");
    assert_eq!(layout, Layout { prefix: 1, data: 6, padding: 3 });
    let all = Layout::parse(&padded, 9).expect("nothing but padding");
    assert_eq!(all, Layout { prefix: 1, data: 0, padding: 9 });
    // "the length of the frame payload or greater" (§6.1)
    protocol(Layout::parse(&padded, 10));
    protocol(Layout::parse(&padded, 255));
    protocol(Layout::parse(&Head { len: 0, ..padded }, 0));
}

#[test]
fn data_is_refused_on_stream_0_and_without_its_pad_length() {
    protocol(data::check(&Head { len: 1, kind: Kind::DATA, flags: 0, stream: 0 }));
    size(data::check(&Head { len: 0, kind: Kind::DATA, flags: flag::PADDED, stream: 1 }));
    data::check(&Head { len: 0, kind: Kind::DATA, flags: 0, stream: 1 }).expect("empty DATA");
}

#[test]
fn data_heads_are_written() {
    let mut out = Vec::new();
    data::encode_head(&mut out, 3, 16_384, false);
    data::encode_head(&mut out, 5, 0, true);
    assert_eq!(out[..9], [0, 0x40, 0, 0, 0, 0, 0, 0, 3]);
    assert_eq!(out[9..], [0, 0, 0, 0, 1, 0, 0, 0, 5]);
}

#[test]
fn headers_are_read_with_every_combination_of_flags() {
    for flags in 0..=u8::MAX {
        let mut payload = Vec::new();
        if flags & flag::PADDED != 0 {
            payload.push(2);
        }
        if flags & flag::PRIORITY != 0 {
            payload.extend([0x80, 0, 0, 3, 255]);
        }
        payload.extend(b"block");
        if flags & flag::PADDED != 0 {
            payload.extend([0, 0]);
        }
        let headers = Headers::parse(&head(Kind::HEADERS, flags, 1, &payload), &payload);
        let want = Headers {
            stream: 1,
            end_stream: flags & 1 != 0,
            end_headers: flags & 4 != 0,
            fragment: b"block",
        };
        assert_eq!(headers, Ok(want), "{flags:#x}");
    }
}

#[test]
fn headers_are_refused() {
    let parse = |flags, stream, payload: &[u8]| {
        Headers::parse(&head(Kind::HEADERS, flags, stream, payload), payload).map(|_| ())
    };
    protocol(parse(flag::END_HEADERS, 0, b"x"));
    size(parse(flag::PADDED, 1, b""));
    protocol(parse(flag::PADDED, 1, &[1]));
    protocol(parse(flag::PADDED, 1, &[4, 0, 0, 0]));
    parse(flag::PADDED, 1, &[3, 0, 0, 0]).expect("nothing but padding");
    for len in 0..5 {
        size(parse(flag::PRIORITY, 1, &[9; 4][..len.min(4)]));
    }
    size(parse(flag::PADDED | flag::PRIORITY, 1, &[0, 0, 0, 0, 3]));
    protocol(parse(flag::PADDED | flag::PRIORITY, 1, &[1, 0, 0, 0, 3, 0]));
    // H8: a stream that depends on itself, the exclusive bit set or not
    protocol(parse(flag::PRIORITY, 7, &[0, 0, 0, 7, 0]));
    protocol(parse(flag::PRIORITY, 7, &[0x80, 0, 0, 7, 0]));
    parse(0, 1, b"").expect("an empty fragment");
}

#[test]
fn a_header_block_is_split_at_the_frame_size() {
    let block: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for max in [1, 7, 250, 333, 500, 999, 1000, 1001, 16_384] {
        for len in [0, 1, 249, 250, 251, 500, 1000] {
            let mut out = Vec::new();
            headers::encode_block(&mut out, 9, &block[..len], true, max);
            let (head, payload, mut rest) = cut(&out);
            assert_eq!(head.kind, Kind::HEADERS);
            let first = Headers::parse(&head, payload).expect("valid");
            assert!(first.end_stream && first.stream == 9);
            let (mut got, mut ended) = (first.fragment.to_vec(), first.end_headers);
            while !rest.is_empty() {
                assert!(!ended, "a frame after END_HEADERS");
                let (head, payload, tail) = cut(rest);
                assert!(head.kind == Kind::CONTINUATION && head.len >= 1 && head.len <= max);
                let more = Continuation::parse(&head, payload).expect("valid");
                assert_eq!(more.stream, 9);
                got.extend_from_slice(more.fragment);
                (ended, rest) = (more.end_headers, tail);
            }
            assert!(ended && got == block[..len]);
            let frames = len.div_ceil(max as usize).max(1);
            assert_eq!(out.len(), len + frames * HEAD_LEN);
        }
    }
}

#[test]
fn continuation_is_refused_on_stream_0() {
    protocol(Continuation::parse(&head(Kind::CONTINUATION, 4, 0, b"x"), b"x"));
}

#[test]
fn priority_is_validated_and_dropped() {
    let parse = |stream, payload: &[u8]| {
        Priority::parse(&head(Kind::PRIORITY, 0, stream, payload), payload)
    };
    assert_eq!(parse(5, &[0, 0, 0, 3, 7]), Ok(Priority { stream: 5 }));
    assert_eq!(parse(5, &[0x80, 0, 0, 0, 255]), Ok(Priority { stream: 5 }));
    protocol(parse(0, &[0, 0, 0, 3, 7]));
    for len in [0, 1, 4, 6, 100] {
        size(parse(5, &[0; 100][..len]));
    }
    protocol(parse(5, &[0, 0, 0, 5, 0]));
    protocol(parse(5, &[0x80, 0, 0, 5, 0]));
}

#[test]
fn rst_stream_is_read_written_and_refused() {
    let frame = RstStream { stream: 0x0102_0304, reason: Reason::CANCEL };
    let mut out = Vec::new();
    frame.encode(&mut out);
    assert_eq!(out, [0, 0, 4, 3, 0, 1, 2, 3, 4, 0, 0, 0, 8]);
    let (head, payload, _) = cut(&out);
    assert_eq!(RstStream::parse(&head, payload), Ok(frame));
    let unknown = RstStream::parse(&head, &[0xff; 4]).expect("any code");
    assert_eq!(unknown.reason, Reason(u32::MAX));
    protocol(RstStream::parse(&Head { stream: 0, ..head }, payload));
    for len in [0, 3, 5, 8] {
        size(RstStream::parse(&head, &[0; 8][..len]));
    }
}

/// Parses a SETTINGS payload as a server.
fn settings(payload: &[u8]) -> Result<Settings, Error> {
    Settings::parse(&head(Kind::SETTINGS, 0, 0, payload), payload, Role::Server)
}

/// One entry of SETTINGS.
fn entry(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

#[test]
fn settings_are_read_and_written() {
    let all = Settings {
        ack: false,
        header_table_size: Some(4096),
        enable_push: Some(false),
        max_concurrent_streams: Some(100),
        initial_window_size: Some(0x7fff_ffff),
        max_frame_size: Some(16_384),
        max_header_list_size: Some(u32::MAX),
    };
    let mut out = Vec::new();
    all.encode(&mut out);
    assert_eq!(out[..9], [0, 0, 36, 4, 0, 0, 0, 0, 0]);
    assert_eq!(out[9..21], [0, 1, 0, 0, 0x10, 0, 0, 2, 0, 0, 0, 0]);
    let (head, payload, _) = cut(&out);
    assert_eq!(Settings::parse(&head, payload, Role::Client), Ok(all));

    out.clear();
    Settings::default().encode(&mut out);
    assert_eq!(out, [0, 0, 0, 4, 0, 0, 0, 0, 0]);
    out.clear();
    Settings { ack: true, ..all }.encode(&mut out);
    assert_eq!(out, [0, 0, 0, 4, 1, 0, 0, 0, 0]);
    let (head, payload, _) = cut(&out);
    let ack = Settings::parse(&head, payload, Role::Client);
    assert_eq!(ack, Ok(Settings::acknowledgement()));
}

#[test]
fn settings_last_value_wins_and_unknown_ones_are_ignored() {
    let payload = [entry(4, 1), entry(0xabcd, 7), entry(0, 9), entry(4, 2)].concat();
    let want = Settings { initial_window_size: Some(2), ..Settings::default() };
    assert_eq!(settings(&payload), Ok(want));
}

#[test]
fn settings_of_a_wrong_length_or_stream_are_refused() {
    protocol(Settings::parse(&head(Kind::SETTINGS, 0, 1, b""), b"", Role::Client));
    protocol(Settings::parse(&head(Kind::SETTINGS, flag::ACK, 3, b""), b"", Role::Client));
    let payload = entry(4, 1);
    size(Settings::parse(&head(Kind::SETTINGS, flag::ACK, 0, &payload), &payload, Role::Client));
    for len in [1, 5, 7, 11, 13] {
        size(settings(&[0; 13][..len]));
    }
}

#[test]
fn settings_with_forbidden_values_are_refused() {
    protocol(settings(&entry(2, 2)));
    protocol(settings(&entry(2, u32::MAX)));
    assert_eq!(settings(&entry(2, 1)).map(|s| s.enable_push), Ok(Some(true)));
    let push = entry(2, 1);
    protocol(Settings::parse(&head(Kind::SETTINGS, 0, 0, &push), &push, Role::Client));

    let error = settings(&entry(4, 1 << 31)).expect_err("a window above 2^31-1");
    assert!(matches!(error, Error::Connection { reason: Reason::FLOW_CONTROL_ERROR, .. }));

    protocol(settings(&entry(5, 0)));
    protocol(settings(&entry(5, 16_383)));
    protocol(settings(&entry(5, 1 << 24)));
    settings(&entry(5, 16_384)).expect("the smallest");
    settings(&entry(5, (1 << 24) - 1)).expect("the largest");
    // the fault is found wherever it stands
    protocol(settings(&[entry(5, 16_384), entry(5, 0), entry(5, 16_384)].concat()));
}

#[test]
fn a9_settings_have_at_most_32_entries() {
    settings(&entry(3, 1).repeat(32)).expect("the limit itself");
    let error = settings(&entry(3, 1).repeat(33)).expect_err("one more");
    assert!(matches!(error, Error::Connection { reason: Reason::ENHANCE_YOUR_CALM, .. }));
}

#[test]
fn push_promise_is_always_refused() {
    for stream in [0, 1, 2] {
        protocol::<()>(Err(push_promise::refuse(&head(Kind::PUSH_PROMISE, 4, stream, b""))));
    }
}

#[test]
fn ping_is_read_written_and_refused() {
    let ping = Ping { ack: false, opaque: *b"abcdefgh" };
    let mut out = Vec::new();
    ping.encode(&mut out);
    assert_eq!(out, *b"\0\0\x08\x06\0\0\0\0\0abcdefgh");
    let (head, payload, _) = cut(&out);
    assert_eq!(Ping::parse(&head, payload), Ok(ping));
    let ack = Ping { ack: true, ..ping };
    assert_eq!(Ping::parse(&Head { flags: 0xff, ..head }, payload), Ok(ack));
    let mut answer = Vec::new();
    ack.encode(&mut answer);
    assert_eq!(answer[4], flag::ACK);
    protocol(Ping::parse(&Head { stream: 1, ..head }, payload));
    for len in [0, 7, 9, 16] {
        size(Ping::parse(&head, &[0; 16][..len]));
    }
}

#[test]
fn goaway_is_read_written_and_refused() {
    let goaway = GoAway { last: MAX_31, reason: Reason::ENHANCE_YOUR_CALM, debug: b"calm" };
    let mut out = Vec::new();
    goaway.encode(&mut out);
    assert_eq!(out, *b"\0\0\x0c\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\x0bcalm");
    let (head, payload, _) = cut(&out);
    assert_eq!(GoAway::parse(&head, payload), Ok(goaway));
    let reserved = GoAway::parse(&head, &[0xff; 8]).expect("the reserved bit is ignored");
    assert_eq!((reserved.last, reserved.debug), (MAX_31, &b""[..]));
    protocol(GoAway::parse(&Head { stream: 1, ..head }, payload));
    for len in 0..8 {
        size(GoAway::parse(&head, &[0; 8][..len]));
    }
}

#[test]
fn goaway_debug_data_of_ours_is_cut() {
    let long = [b'x'; 70_000];
    let mut out = Vec::new();
    GoAway { last: 0, reason: Reason::NO_ERROR, debug: &long }.encode(&mut out);
    let (head, payload, rest) = cut(&out);
    assert!(rest.is_empty());
    head.check(MIN_MAX_FRAME_SIZE).expect("any peer takes it");
    let got = GoAway::parse(&head, payload).expect("valid");
    assert_eq!(got.debug.len(), goaway::MAX_DEBUG);
}

#[test]
fn window_update_is_read_written_and_refused() {
    let update = WindowUpdate { stream: 3, increment: MAX_31 };
    let mut out = Vec::new();
    update.encode(&mut out);
    assert_eq!(out, [0, 0, 4, 8, 0, 0, 0, 0, 3, 0x7f, 0xff, 0xff, 0xff]);
    let (head, payload, _) = cut(&out);
    assert_eq!(WindowUpdate::parse(&head, payload), Ok(update));
    assert_eq!(WindowUpdate::parse(&head, &[0xff; 4]), Ok(update), "reserved bit");
    for len in [0, 3, 5, 8] {
        size(WindowUpdate::parse(&head, &[1; 8][..len]));
    }
}

#[test]
fn a17_window_update_of_0_is_a_stream_error_and_on_the_connection_a_connection_error() {
    let mut head = Head { len: 4, kind: Kind::WINDOW_UPDATE, flags: 0, stream: 3 };
    for zero in [[0, 0, 0, 0], [0x80, 0, 0, 0]] {
        head.stream = 3;
        let error = WindowUpdate::parse(&head, &zero).expect_err("an increment of 0");
        assert!(matches!(error, Error::Stream { id: 3, reason: Reason::PROTOCOL_ERROR, .. }));
        head.stream = 0;
        protocol(WindowUpdate::parse(&head, &zero));
    }
}

/// Reads whatever this is, and writes it again when it is valid and of a kind we
/// write. What comes back must mean the same.
fn through(head: &Head, payload: &[u8]) {
    let mut out = Vec::new();
    match head.kind {
        Kind::DATA => {
            let first = payload.first().copied().unwrap_or(0);
            if let (Ok(()), Ok(l)) = (data::check(head), Layout::parse(head, first)) {
                assert_eq!(l.prefix + l.data + l.padding, head.len);
            }
            return;
        }
        Kind::HEADERS => match Headers::parse(head, payload) {
            Ok(headers) => {
                assert!(headers.fragment.len() <= payload.len());
                headers.encode(&mut out);
                let (head, payload, _) = cut(&out);
                assert_eq!(Headers::parse(&head, payload), Ok(headers));
            }
            Err(_) => return,
        },
        Kind::CONTINUATION => {
            if let Ok(more) = Continuation::parse(head, payload) {
                more.encode(&mut out);
                let (head, payload, _) = cut(&out);
                assert_eq!(Continuation::parse(&head, payload), Ok(more));
            }
        }
        Kind::PRIORITY => drop(Priority::parse(head, payload)),
        Kind::RST_STREAM => {
            if let Ok(rst) = RstStream::parse(head, payload) {
                rst.encode(&mut out);
                assert_eq!(&out[HEAD_LEN..], payload);
            }
        }
        Kind::SETTINGS => {
            for role in [Role::Client, Role::Server] {
                if let Ok(settings) = Settings::parse(head, payload, role) {
                    out.clear();
                    settings.encode(&mut out);
                    let (head, payload, _) = cut(&out);
                    assert_eq!(Settings::parse(&head, payload, role), Ok(settings));
                }
            }
        }
        Kind::PUSH_PROMISE => drop(push_promise::refuse(head)),
        Kind::PING => {
            if let Ok(ping) = Ping::parse(head, payload) {
                ping.encode(&mut out);
                assert_eq!(&out[HEAD_LEN..], payload);
            }
        }
        Kind::GOAWAY => {
            if let Ok(goaway) = GoAway::parse(head, payload) {
                goaway.encode(&mut out);
                let (head, payload, _) = cut(&out);
                assert_eq!(GoAway::parse(&head, payload), Ok(goaway));
            }
        }
        Kind::WINDOW_UPDATE => {
            if let Ok(update) = WindowUpdate::parse(head, payload) {
                update.encode(&mut out);
                let (head, payload, _) = cut(&out);
                assert_eq!(WindowUpdate::parse(&head, payload), Ok(update));
            }
        }
        _ => return,
    }
    assert!(out.len() <= payload.len() + HEAD_LEN + 6 * 32, "bounded by the input");
}

#[test]
fn a26_random_frames_never_panic() {
    let mut random = XorShift::new(9113);
    for round in 0..rounds(60_000) {
        let mut bytes = [0_u8; HEAD_LEN];
        bytes.fill_with(|| random.octet());
        let mut head = Head::parse(&bytes);
        head.kind = Kind(random.octet() % 12);
        if round % 3 != 0 {
            head.stream &= 3;
        }
        // lengths near the right ones, contents near the valid ones
        let mut payload = random.octets(if round % 5 == 0 { 300 } else { 13 });
        if round % 2 == 0 {
            payload.iter_mut().for_each(|octet| *octet &= 0x87 >> (round % 8));
        }
        // the head may lie about the length; the payload must not be trusted to fit
        if round % 7 != 0 {
            head.len = payload.len() as u32;
        } else {
            head.len &= MAX_MAX_FRAME_SIZE;
        }
        let _ = head.check(MIN_MAX_FRAME_SIZE);
        through(&head, &payload);
    }
}

/// Fewer rounds under Miri.
fn rounds(count: usize) -> usize {
    if cfg!(miri) { count / 1000 } else { count }
}
