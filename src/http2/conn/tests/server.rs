//! The rules as a server has to keep them: the cases of h2spec, and ours.

use super::lapse::PARTING;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

const P: Reason = Reason::PROTOCOL_ERROR;
const SC: Reason = Reason::STREAM_CLOSED;

/// The connection must end with this error.
#[track_caller]
fn fatal(before: &[Vec<u8>], bad: &[u8], reason: Reason) {
    for split in [usize::MAX, 1] {
        let mut s = Side::server();
        s.input(&before.concat());
        s.output();
        bad.chunks(split.min(bad.len())).for_each(|piece| {
            s.input(piece);
        });
        s.expect_goaway(reason);
    }
}

/// Only the stream must end with this error.
#[track_caller]
fn stream_error(before: &[Vec<u8>], bad: &[u8], id: u32, reason: Reason) {
    for split in [usize::MAX, 1] {
        let mut s = Side::server();
        s.input(&before.concat());
        s.output();
        bad.chunks(split.min(bad.len())).for_each(|piece| {
            s.input(piece);
        });
        s.expect_rst(id, reason);
        s.input(&request(101, END));
        assert!(s.events().contains(&Event::Headers(101, true)), "the connection lives on");
    }
}

#[test]
fn w65_settings_come_first_and_are_acknowledged_in_order() {
    let mut s = Side::raw(Role::Server, &Options::new(Role::Server));
    let out = s.output();
    assert_eq!((out[0].kind, out[0].flags), (SETTINGS, 0));
    assert!(out[0].payload.windows(6).any(|w| w == setting(3, 100)), "H4: the limit is said");
    assert_eq!((out[1].kind, out[1].id), (UPDATE, 0));
    s.input(frame::PREFACE).input(&frame(SETTINGS, 0, 0, &setting(4, 70_000)));
    s.input(&frame(SETTINGS, 0, 0, &[]));
    assert_eq!(s.events(), [Event::Ready]);
    let acks = s.output();
    assert!(acks.iter().all(|f| (f.kind, f.flags, f.payload.len()) == (SETTINGS, ACK, 0)));
    assert_eq!(acks.len(), 2);
}

#[test]
fn preface_is_checked_octet_by_octet() {
    for at in [0, 10, 23] {
        let mut bad = frame::PREFACE.to_vec();
        bad[at] ^= 1;
        let mut s = Side::raw(Role::Server, &Options::new(Role::Server));
        s.input(&bad).expect_goaway(P);
    }
    let mut s = Side::raw(Role::Server, &Options::new(Role::Server));
    s.input(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect_goaway(P);
}

#[test]
fn l9_what_a_client_of_another_protocol_speaks_is_told() {
    for (pieces, quoted, known) in [
        (&[&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..]][..], "\"GET / HTTP/1.1\"", "HTTP/1"),
        (&[b"P", b"OST /a HTTP/1.0\r\n"], "\"POST /a HTTP/1.0\"", "HTTP/1"),
        (&[b"GET /a"], "\"GET /a\"", "HTTP/1"),
        (&[b"\x16\x03\x01\x02\x00\x01"], "\"\\x16\\x03\\x01", "TLS"),
        (&[b"SSH-2.0"], "\"SSH-2.0\"", ""),
        (&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"], "\"PRI * HTTP/2.0\"", ""),
        (&[b"GET\r\n"], "\"GET\"", ""),
        (&[&[b'A'; 500]], "\"AAAA", ""),
    ] {
        let mut s = Side::raw(Role::Server, &Options::new(Role::Server));
        s.output();
        for piece in pieces {
            s.input(piece);
        }
        let told = s.events();
        let [Event::Lost(P, cause)] = &told[..] else { panic!("{told:?}") };
        assert!(cause.contains("does not speak HTTP/2") && cause.contains(quoted), "{cause}");
        assert_eq!(cause.contains("which is"), !known.is_empty(), "{cause}");
        assert!(cause.contains(known) && cause.len() < 200, "{cause}");
    }
}

#[test]
fn first_frame_has_to_be_settings() {
    for first in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, ACK, 0, &[]), request(1, END)] {
        let mut s = Side::raw(Role::Server, &Options::new(Role::Server));
        s.input(frame::PREFACE).input(&first).expect_goaway(P);
    }
}

#[test]
fn any_split_of_the_bytes_gives_the_same() {
    let mut wire = frame::PREFACE.to_vec();
    wire.extend(frame(SETTINGS, 0, 0, &setting(4, 9)));
    wire.extend(frame(SETTINGS, ACK, 0, &[]));
    wire.extend(frame(HEADERS, 0, 1, &block(GET)[..9]));
    wire.extend(frame(CONT, 0, 1, &[]));
    wire.extend(frame(CONT, EH, 1, &block(GET)[9..]));
    wire.extend(frame(DATA, PADDED, 1, b"\x02hello\0\0"));
    wire.extend(frame(0x16, 0xff, 77, b"unknown"));
    wire.extend(frame(DATA, PADDED | END, 1, b"\x00 world"));
    wire.extend(request(3, END));
    wire.extend(frame(PING, 0, 0, b"12345678"));
    let mut whole = Side::raw(Role::Server, &Options::new(Role::Server));
    whole.input(&wire);
    let out = whole.bytes();
    assert_eq!(whole.sink.body, b"hello world");
    for n in 1..wire.len() {
        let mut s = Side::raw(Role::Server, &Options::new(Role::Server));
        wire.chunks(n).for_each(|piece| {
            s.input(piece);
        });
        assert_eq!(s.sink.body, b"hello world", "pieces of {n}");
        assert_eq!(s.bytes(), out, "pieces of {n}");
        assert_eq!(s.conn.input.partial_since, None);
    }
}

#[test]
fn h2spec_3_4_frame_format() {
    let mut s = Side::server();
    s.input(&frame(0x16, 0, 0, &[0; 8])).input(&frame(PING, 0x16, 0, &[1; 8]));
    assert_eq!(s.output(), [Raw { kind: PING, flags: ACK, id: 0, payload: vec![1; 8] }]);
    let mut reserved = frame(PING, 0, 0, &[2; 8]);
    reserved[5] = 0x80;
    s.input(&reserved);
    assert_eq!(s.output().len(), 1);
}

#[test]
fn h2spec_4_2_frame_size() {
    let mut s = Side::server();
    s.input(&request(1, 0)).input(&frame(DATA, END, 1, &[0; 16_384]));
    assert!(s.events().contains(&Event::Data(1, 16_384, true)));
    fatal(&[request(1, 0)], &frame(DATA, END, 1, &[0; 16_385]), Reason::FRAME_SIZE_ERROR);
    fatal(&[], &frame(HEADERS, EH, 1, &[0; 16_385]), Reason::FRAME_SIZE_ERROR);
}

#[test]
fn h2spec_4_3_compression_and_blocks() {
    fatal(&[], &frame(HEADERS, EH | END, 1, &[0x80]), Reason::COMPRESSION_ERROR);
    let begun = [frame(HEADERS, END, 1, &block(GET))];
    fatal(&begun, &frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), P);
    fatal(&begun, &request(3, END), P);
    fatal(&begun, &frame(CONT, EH, 3, &[]), P);
    fatal(&begun, &frame(0x16, 0, 0, &[]), P);
}

#[test]
fn h2spec_5_1_idle() {
    fatal(&[], &frame(DATA, END, 1, b"x"), P);
    fatal(&[], &rst(1, Reason::CANCEL), P);
    fatal(&[], &update(1, 100), P);
    fatal(&[], &update(1, 0), P);
    fatal(&[], &frame(CONT, EH, 1, &block(GET)), P);
}

#[test]
fn h2spec_5_1_half_closed_remote() {
    stream_error(&[request(1, END)], &frame(DATA, END, 1, b"x"), 1, SC);
    stream_error(&[request(1, END)], &request(1, END), 1, SC);
    fatal(&[request(1, END)], &frame(CONT, EH, 1, &block(GET)), P);
}

#[test]
fn h2spec_5_1_closed_by_rst() {
    let before = [request(1, 0), rst(1, Reason::CANCEL)];
    stream_error(&before, &frame(DATA, END, 1, b"x"), 1, SC);
    stream_error(&before, &request(1, END), 1, SC);
    fatal(&before, &frame(CONT, EH, 1, &block(GET)), P);
}

#[test]
fn h2spec_5_1_closed_by_end_stream() {
    for forgotten in [false, true] {
        let closed = || {
            let mut s = Side::server();
            s.input(&request(1, END));
            let key = s.key();
            s.conn.headers(key, &block(&[(":status", "200")]), true);
            if forgotten {
                s.conn.forget(key);
                assert_eq!(s.conn.stats().held, 0);
            }
            s.output();
            s
        };
        closed().input(&frame(DATA, END, 1, b"x")).expect_goaway(SC);
        closed().input(&request(1, END)).expect_goaway(SC);
        closed().input(&update(1, 10)).expect_silence();
        closed().input(&update(1, 0)).expect_silence();
        closed().input(&rst(1, Reason::CANCEL)).expect_silence();
        closed().input(&frame(PRIORITY, 0, 1, &[0, 0, 0, 9, 1])).expect_silence();
    }
}

#[test]
fn h7_late_frames_after_our_own_reset_are_ignored() {
    for forgotten in [false, true] {
        let mut s = Side::server();
        s.input(&request(1, 0));
        let key = s.key();
        s.conn.reset(key, Reason::CANCEL);
        if forgotten {
            s.conn.forget(key);
        }
        s.output();
        let left = s.conn.window;
        s.input(&frame(DATA, 0, 1, &[0; 1000]));
        s.input(&frame(HEADERS, EH | END, 1, &block(&[("a", "b")])));
        s.input(&update(1, 0x7fff_ffff)).input(&rst(1, Reason::CANCEL));
        s.expect_silence();
        assert!(s.conn.window.balanced(), "L25: credited back; {left:?}");
        assert_eq!(s.conn.stats().glitches, 0);
    }
}

#[test]
fn h2spec_5_1_1_stream_ids() {
    fatal(&[], &request(2, END), P);
    fatal(&[request(5, END)], &request(3, END), P);
}

#[test]
fn h2spec_5_1_2_w20_above_the_limit_is_refused_and_unseen() {
    let mut s = Side::server();
    for i in 0..100 {
        s.input(&request(i * 2 + 1, END));
    }
    assert_eq!(s.events().len(), 100);
    s.expect_silence();
    s.input(&request(201, END)).expect_rst(201, Reason::REFUSED_STREAM);
    assert_eq!(s.events(), []);
    s.input(&frame(DATA, 0, 201, b"late")).expect_silence();
}

/// That the handlers of streams that are over still run is no affair of the client's: see the link's admission.
#[test]
fn w20_what_is_open_on_the_wire_counts_and_nothing_else() {
    let options = Options { max_concurrent_streams: 1, ..Options::new(Role::Server) };
    let mut s = Side::server_with(&options);
    s.input(&[request(1, END), rst(1, Reason::CANCEL), request(3, END)].concat());
    let told =
        [Event::Headers(1, true), Event::Reset(1, Reason::CANCEL, true), Event::Headers(3, true)];
    assert_eq!(s.events(), told);
    s.expect_silence();
    let third = s.key();
    s.input(&request(5, END)).expect_rst(5, Reason::REFUSED_STREAM);
    // Once its end is out the client may begin the next, whoever still holds it.
    s.conn.trailers(third, Bytes::from_static(b"\x88"));
    s.events();
    s.input(&request(7, END));
    assert_eq!(s.events(), [Event::Headers(7, true)]);
    s.input(&request(9, END));
    assert_eq!((s.conn.stats().active, s.conn.stats().held), (1, 3));
}

#[test]
fn h8_priority_is_validated_and_dropped() {
    let own = |id: u32| {
        let mut p = id.to_be_bytes().to_vec();
        p.push(255);
        p
    };
    fatal(&[], &frame(PRIORITY, 0, 1, &own(1)), P);
    let mut payload = own(1);
    payload.extend(block(GET));
    fatal(&[], &frame(HEADERS, EH | END | 0x20, 1, &payload), P);
    fatal(&[], &frame(PRIORITY, 0, 0, &own(1)), P);
    fatal(&[request(1, 0)], &frame(PRIORITY, 0, 1, &[0; 4]), Reason::FRAME_SIZE_ERROR);
    let mut s = Side::server();
    s.input(&frame(PRIORITY, 0, 9, &own(3))).expect_silence();
}

#[test]
fn h2spec_6_frames_on_wrong_streams_and_of_wrong_size() {
    let size = Reason::FRAME_SIZE_ERROR;
    fatal(&[], &frame(DATA, END, 0, b"x"), P);
    fatal(&[], &request(0, END), P);
    fatal(&[], &rst(0, Reason::CANCEL), P);
    fatal(&[request(1, 0)], &frame(RST, 0, 1, &[0; 3]), size);
    fatal(&[], &frame(SETTINGS, 0, 1, &[]), P);
    fatal(&[], &frame(SETTINGS, 0, 0, &[0; 3]), size);
    fatal(&[], &frame(PING, 0, 0, &[0; 6]), size);
    fatal(&[], &frame(PING, 0, 1, &[0; 8]), P);
    fatal(&[], &frame(GOAWAY, 0, 1, &[0; 8]), P);
    fatal(&[], &frame(UPDATE, 0, 0, &[0; 3]), size);
    fatal(&[], &frame(PUSH, EH, 1, &block(GET)), P);
    fatal(&[request(1, 0)], &frame(DATA, PADDED | END, 1, b"\x06test\0"), P);
    fatal(&[], &frame(HEADERS, PADDED | EH | END, 1, &[200, 1, 2]), P);
}

#[test]
fn h2spec_6_5_settings() {
    fatal(&[], &frame(SETTINGS, 0, 0, &setting(2, 2)), P);
    fatal(&[], &frame(SETTINGS, 0, 0, &setting(4, 1 << 31)), Reason::FLOW_CONTROL_ERROR);
    fatal(&[], &frame(SETTINGS, 0, 0, &setting(5, 16_383)), P);
    fatal(&[], &frame(SETTINGS, 0, 0, &setting(5, 1 << 24)), P);
    fatal(&[], &frame(SETTINGS, ACK, 0, &setting(4, 1)), Reason::FRAME_SIZE_ERROR);
    let mut s = Side::server();
    s.input(&frame(SETTINGS, 0, 0, &setting(0xff, 0)));
    assert_eq!(s.output(), [Raw { kind: SETTINGS, flags: ACK, id: 0, payload: vec![] }]);
}

#[test]
fn w65_an_unsolicited_settings_ack_is_an_error() {
    fatal(&[], &frame(SETTINGS, ACK, 0, &[]), P);
}

#[test]
fn h2spec_6_7_ping_is_answered_and_acks_are_not() {
    let mut s = Side::server();
    s.input(&frame(PING, ACK, 0, b"whatever")).expect_silence();
    s.input(&frame(PING, 0, 0, b"12345678"));
    let out = s.output();
    assert_eq!((out[0].flags, &out[0].payload[..]), (ACK, &b"12345678"[..]));
}

#[test]
fn h2spec_8_1_trailers() {
    let mut s = Side::server();
    s.input(&request(1, 0)).input(&frame(DATA, 0, 1, b"x"));
    s.input(&frame(HEADERS, EH | END, 1, &block(&[("x-test", "ok")])));
    assert_eq!(
        s.events(),
        [Event::Headers(1, false), Event::Data(1, 1, false), Event::Trailers(1)]
    );
    s.expect_silence();
    let open = [request(1, 0)];
    let without_end = frame(HEADERS, EH, 1, &block(&[("x-test", "ok")]));
    stream_error(&open, &without_end, 1, P);
    let pseudo = frame(HEADERS, EH | END, 1, &block(&[(":method", "200")]));
    stream_error(&open, &pseudo, 1, P);
}

#[test]
fn a_block_that_was_a_good_request_three_times_is_no_trailer() {
    let open: Vec<_> = [1, 3, 5].map(|id| request(id, 0)).into();
    let again = request(5, END);
    stream_error(&open, &again, 5, P);
}

#[test]
fn w19_malformed_requests_are_stream_errors() {
    let cases: &[&[(&str, &str)]] = &[
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("X-TEST", "ok")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":test", "ok")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":status", "200")],
        &[(":method", "GET"), (":scheme", "http"), ("x", "y"), (":path", "/")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "")],
        &[(":scheme", "http"), (":path", "/")],
        &[(":method", "GET"), (":path", "/")],
        &[(":method", "GET"), (":scheme", "http")],
        &[(":method", "GET"), (":method", "GET"), (":scheme", "http"), (":path", "/")],
        &[(":method", "GET"), (":scheme", "http"), (":scheme", "http"), (":path", "/")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":path", "/")],
        &[(":method", "CONNECT"), (":authority", "x")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("connection", "close")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("upgrade", "x")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("te", "trailers, deflate")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "a"), ("host", "a")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("", "empty name")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("a b", "blank")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("a:b", "colon")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("a", "line\nfeed")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/\r\n")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("content-length", "x")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("content-length", "+1")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("content-length", "1")],
    ];
    for case in cases {
        stream_error(&[], &frame(HEADERS, EH | END, 1, &block(case)), 1, P);
    }
    let mut s = Side::server();
    s.input(&frame(HEADERS, EH | END, 1, &block(cases[0])));
    assert_eq!(s.events(), [], "the user never hears of a malformed request");
}

#[test]
fn w16_w17_w28_what_is_tolerated() {
    let base = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    for more in [("te", "trailers"), ("host", "x"), ("x", "utf-8: \u{e4}"), ("x", " blanks ")] {
        let mut s = Side::server();
        s.input(&frame(HEADERS, EH | END, 1, &block(&[&base[..], &[more]].concat())));
        assert_eq!(s.events(), [Event::Headers(1, true)], "{more:?}");
    }
}

#[test]
fn w73_content_length_has_to_match_the_data() {
    let with = |n: &str, more: &[(&str, &str)]| {
        let length = [("content-length", n)];
        frame(HEADERS, EH, 1, &block(&[GET, &length, more].concat()))
    };
    stream_error(&[with("1", &[])], &frame(DATA, END, 1, b"test"), 1, P);
    let two = [with("8", &[]), frame(DATA, 0, 1, b"te")];
    stream_error(&two, &frame(DATA, END, 1, b"test"), 1, P);
    stream_error(&two, &frame(HEADERS, EH | END, 1, &block(&[("a", "b")])), 1, P);
    stream_error(&[], &with("8", &[("content-length", "9")]), 1, P);
    let mut s = Side::server();
    s.input(&with("6", &[("content-length", "6")]));
    s.input(&frame(DATA, PADDED, 1, b"\x03test\0\0\0")).input(&frame(DATA, END, 1, b"xx"));
    assert_eq!(s.events().last(), Some(&Event::Data(1, 2, true)));
}

#[test]
fn w30_a_list_above_the_limit_reaches_the_user_emptied_and_others_live_on() {
    let mut s = Side::server();
    let long = "v".repeat(100);
    let many: Vec<_> = GET.iter().copied().chain((0..130).map(|_| ("name", &*long))).collect();
    let all = block(&many);
    let (a, b) = all.split_at(9_000);
    s.input(&frame(HEADERS, END, 1, a)).input(&frame(CONT, EH, 1, b));
    assert_eq!(s.events(), [Event::Overflowed(1), Event::Headers(1, true)]);
    s.input(&request(3, END));
    assert_eq!(s.events(), [Event::Headers(3, true)]);
}

#[test]
fn responses_are_framed_in_order_and_end_the_stream() {
    let mut s = Side::server();
    s.input(&request(1, END));
    let key = s.key();
    s.conn.headers(key, &block(&[(":status", "200")]), false);
    s.conn.data(key, bytes(5), false);
    s.conn.trailers(key, Bytes::from(block(&[("grpc-status", "0")])));
    assert_eq!(s.conn.stats().active, 0);
    s.conn.data(key, bytes(5), true); // after the end: nothing
    s.conn.reset(key, Reason::CANCEL);
    s.conn.forget(key);
    let kinds: Vec<_> = s.output().iter().map(|f| (f.kind, f.flags)).collect();
    assert_eq!(kinds, [(HEADERS, EH), (DATA, 0), (HEADERS, EH | END)]);
    assert_eq!(s.conn.stats().held, 0);
}

#[test]
fn w55_an_early_answer_ends_with_no_error_and_late_data_is_ignored() {
    let mut s = Side::server();
    s.input(&request(1, 0));
    let key = s.key();
    s.conn.headers(key, &block(&[(":status", "200")]), true);
    s.conn.forget(key);
    assert_eq!(s.output().len(), 1);
    s.input(&frame(DATA, 0, 1, b"more")).expect_rst(1, Reason::NO_ERROR);
    s.input(&frame(DATA, END, 1, b"late")).expect_silence();
    assert_eq!(s.conn.stats().held, 0);
}

/// A reset on the heels of the trailers overtakes them in some proxies, and the status is lost.
#[test]
fn w55_the_reset_after_an_early_answer_waits_for_more_data_or_a_moment() {
    let answered = |forget: bool| {
        let mut s = Side::server();
        s.input(&request(1, 0)).input(&frame(DATA, 0, 1, b"some"));
        let key = s.key();
        s.conn.settle(key);
        s.conn.trailers(key, Bytes::from(block(&[("grpc-status", "5")])));
        if forget {
            s.conn.forget(key);
        }
        let out = s.output();
        assert_eq!((out.len(), out[0].kind, out[0].flags), (1, HEADERS, EH | END));
        s
    };
    for forget in [false, true] {
        // Nothing more comes: a moment later, and once.
        let mut s = answered(forget);
        assert_eq!(s.conn.poll_timeout(), Some(s.now + PARTING));
        s.later(PARTING - Duration::from_millis(1)).expect_silence();
        s.later(Duration::from_millis(1)).expect_rst(1, Reason::NO_ERROR);
        s.later(SECOND).expect_silence();
        // The client ends its half, or resets: there is nothing to say.
        for last in [frame(DATA, END, 1, b"x"), frame(DATA, END, 1, b""), rst(1, Reason::NO_ERROR)]
        {
            let mut s = answered(forget);
            s.input(&last).later(SECOND).expect_silence();
            assert_eq!(s.conn.stats().active, 0);
        }
        // A call that the deadline has cut, and whose handler still runs, is told no sooner.
        let mut s = Side::server();
        s.input(&request(1, 0));
        let key = s.key();
        s.conn.trailers(key, Bytes::from(block(&[("grpc-status", "4")])));
        s.conn.reset(key, Reason::NO_ERROR);
        assert_eq!(s.output().len(), 1);
        s.input(&frame(DATA, 0, 1, b"more")).expect_rst(1, Reason::NO_ERROR);
    }
}

#[test]
fn answered_streams_make_room_for_new_ones_and_never_pile_up() {
    let options = Options { max_concurrent_streams: 2, ..Options::new(Role::Server) };
    let mut s = Side::server_with(&options);
    for id in 0..1000 {
        s.input(&request(id * 2 + 1, 0)).input(&frame(DATA, 0, id * 2 + 1, b"some"));
        let key = s.key();
        s.conn.settle(key);
        s.conn.trailers(key, Bytes::from(block(&[("grpc-status", "5")])));
        s.conn.forget(key);
        let resets: Vec<_> = s.output().into_iter().filter(|f| f.kind == RST).collect();
        let oldest = (id >= 2).then(|| (id * 2 - 3, Reason::NO_ERROR));
        assert_eq!(resets.iter().map(|f| (f.id, f.code())).next(), oldest);
        assert!(s.conn.stats().held <= 2);
    }
    s.later(PARTING).output();
    assert_eq!((s.conn.stats().held, s.conn.lapses.first()), (0, None));
    assert!(s.conn.streams.ledger.is_zero());
}

/// grpc-go #8528: what a finished handler left is the deadline's affair.
#[test]
fn an_answer_that_is_not_taken_by_the_deadline_is_reset_and_holds_nothing() {
    for forget in [false, true] {
        let mut s = Side::server();
        s.input(&request(1, END));
        let key = s.key();
        s.conn.settle(key);
        s.conn.headers(key, &block(&[(":status", "200")]), false);
        s.conn.data(key, bytes(1 << 20), false);
        s.conn.trailers(key, Bytes::from(block(&[("grpc-status", "0")])));
        let deadline = s.now + SECOND;
        s.conn.lapse_at(key, deadline);
        if forget {
            s.conn.forget(key);
        }
        s.output();
        assert_eq!(s.conn.poll_timeout(), Some(deadline));
        s.later(SECOND).expect_rst(1, Reason::CANCEL);
        assert_eq!(s.conn.stats().active, 0);
        assert_eq!(s.conn.queued(key), 0);
        assert_eq!(s.conn.stats().held, usize::from(!forget));
    }
    // One that is taken in time is not: neither is it reset, nor does it leave a timer.
    let mut s = Side::server();
    s.input(&request(1, END));
    let key = s.key();
    s.conn.data(key, bytes(100_000), false);
    s.conn.trailers(key, Bytes::from(block(&[("grpc-status", "0")])));
    s.conn.lapse_at(key, s.now + SECOND);
    s.output();
    s.input(&update(0, 100_000)).input(&update(1, 100_000));
    s.output();
    s.later(SECOND).expect_silence();
    assert_eq!(s.conn.lapses.first(), None);
}

#[test]
fn a_queued_answer_outlives_its_owner_and_keeps_its_slot() {
    let mut s = Side::server();
    s.input(&request(1, 0));
    let key = s.key();
    s.conn.headers(key, &block(&[(":status", "200")]), false);
    s.conn.data(key, bytes(100_000), false);
    s.conn.trailers(key, Bytes::from(block(&[("grpc-status", "0")])));
    s.conn.forget(key);
    s.events();
    let first = s.output();
    assert_eq!(s.conn.stats().held, 1);
    s.input(&frame(DATA, 0, 1, b"unread"));
    s.input(&update(0, 100_000)).input(&update(1, 100_000));
    let mut second = s.output();
    second.extend(s.later(PARTING).output());
    let all: Vec<_> = first.iter().chain(&second).collect();
    let sent: usize = all.iter().filter(|f| f.kind == DATA).map(|f| f.payload.len()).sum();
    assert_eq!(sent, 100_000);
    let tail: Vec<_> = all[all.len() - 2..].iter().map(|f| (f.kind, f.flags)).collect();
    assert_eq!(tail, [(HEADERS, EH | END), (RST, 0)]);
    assert_eq!(s.conn.stats().held, 0);
    assert_eq!(s.events(), [], "nobody is told");
}

#[test]
fn forget_resets_what_is_open() {
    let mut s = Side::server();
    s.input(&request(1, END));
    s.conn.forget(s.key());
    s.expect_rst(1, Reason::CANCEL);
    assert_eq!(s.conn.stats(), Stats { opened: 1, ..s.conn.stats() });
    assert_eq!((s.conn.stats().active, s.conn.stats().held), (0, 0));
}
