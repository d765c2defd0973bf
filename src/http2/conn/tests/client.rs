//! The rules as a client has to keep them.

use super::*;

const P: Reason = Reason::PROTOCOL_ERROR;

fn opened() -> (Side, Key) {
    let mut c = Side::client();
    let key = c.conn.open(&block(GET), true).expect("room");
    c.output();
    (c, key)
}

#[track_caller]
fn fatal(bad: &[u8], reason: Reason) {
    let (mut c, _) = opened();
    c.input(bad).expect_goaway(reason);
}

#[track_caller]
fn stream_error(before: &[Vec<u8>], bad: &[u8], reason: Reason) {
    let (mut c, _) = opened();
    c.input(&before.concat()).input(bad).expect_rst(1, reason);
}

#[test]
fn w8_the_client_says_preface_settings_no_push_then_its_window() {
    let mut c = Side::raw(Role::Client, &Options::default());
    let bytes = c.bytes();
    let rest = bytes.strip_prefix(&frame::PREFACE[..]).expect("preface first");
    let out = frames(rest);
    assert_eq!(out[0].kind, SETTINGS);
    assert!(out[0].payload.windows(6).any(|w| w == setting(2, 0)));
    assert_eq!((out[1].kind, out[1].id), (UPDATE, 0));
    assert_eq!(out[1].number(), (16 << 20) - 65_535);
    assert_eq!(out.len(), 2);
}

#[test]
fn a_call_opens_sends_and_ends() {
    let (mut c, key) = opened();
    assert_eq!(key.id, 1);
    c.input(&response(1, 0)).input(&frame(DATA, 0, 1, b"hello"));
    c.input(&frame(HEADERS, EH | END, 1, &block(&[("grpc-status", "0")])));
    assert_eq!(
        c.events(),
        [Event::Headers(1, false), Event::Data(1, 5, false), Event::Trailers(1)]
    );
    let stats = c.conn.stats();
    assert_eq!((stats.opened, stats.completed, stats.active), (1, 1, 0));
    c.conn.forget(key);
    c.expect_silence();
}

#[test]
fn trailers_only_ends_at_once() {
    let (mut c, key) = opened();
    c.input(&response(1, END));
    assert_eq!(c.events(), [Event::Headers(1, true)]);
    c.conn.forget(key);
    c.expect_silence();
}

#[test]
fn pushes_and_streams_of_the_servers_own_are_refused() {
    let mut promise = 2u32.to_be_bytes().to_vec();
    promise.extend(block(GET));
    fatal(&frame(PUSH, EH, 1, &promise), P);
    fatal(&response(2, END), P);
    fatal(&response(3, END), P);
    fatal(&frame(DATA, END, 3, b"x"), P);
    fatal(&frame(DATA, END, 2, b"x"), P);
    fatal(&frame(SETTINGS, 0, 0, &setting(2, 1)), P);
}

#[test]
fn w73_malformed_responses() {
    let head = |fields: &[(&str, &str)]| frame(HEADERS, EH, 1, &block(fields));
    stream_error(&[], &head(&[("x", "no status")]), P);
    stream_error(&[], &head(&[(":status", "20")]), P);
    stream_error(&[], &head(&[(":status", "200"), (":status", "200")]), P);
    stream_error(&[], &head(&[(":status", "200"), (":path", "/")]), P);
    stream_error(&[], &head(&[("a", "b"), (":status", "200")]), P);
    stream_error(&[], &head(&[(":status", "200"), ("connection", "close")]), P);
    stream_error(&[], &frame(DATA, 0, 1, b"x"), P);
}

#[test]
fn w53_informational_heads_are_skipped_but_do_not_end_a_stream() {
    let head = |flags| frame(HEADERS, EH | flags, 1, &block(&[(":status", "103")]));
    let (mut c, _) = opened();
    c.input(&head(0)).input(&head(0)).input(&response(1, END));
    let told = [Event::Informational(1), Event::Informational(1), Event::Headers(1, true)];
    assert_eq!(c.events(), told);
    stream_error(&[], &head(END), P);
    stream_error(&[response(1, 0)], &head(0), P);
    stream_error(&[response(1, 0)], &response(1, 0), P);
}

#[test]
fn after_the_servers_end_nothing_may_come() {
    for forgotten in [false, true] {
        let done = || {
            let (mut c, key) = opened();
            c.input(&response(1, END));
            if forgotten {
                c.conn.forget(key);
            }
            c
        };
        done().input(&frame(DATA, 0, 1, b"x")).expect_goaway(Reason::STREAM_CLOSED);
        done().input(&response(1, END)).expect_goaway(Reason::STREAM_CLOSED);
        done().input(&rst(1, Reason::NO_ERROR)).expect_silence();
    }
}

#[test]
fn l25_late_frames_after_cancel_are_ignored_and_credited() {
    let (mut c, key) = opened();
    c.conn.forget(key);
    c.expect_rst(1, Reason::CANCEL);
    c.input(&response(1, 0)).input(&frame(DATA, 0, 1, &[0; 5000]));
    c.input(&frame(HEADERS, EH | END, 1, &block(&[("grpc-status", "0")])));
    c.expect_silence();
    assert!(c.conn.window.balanced());
    assert_eq!(c.events(), []);
}

/// h2spec's client case 5.1/6: its RST_STREAM says that the peer is done, whoever was first.
#[test]
fn h2spec_5_1_6_after_resets_from_both_sides_nothing_may_come() {
    for forgotten in [false, true] {
        let (mut c, key) = opened();
        c.conn.reset(key, Reason::CANCEL);
        if forgotten {
            c.conn.forget(key);
        }
        c.expect_rst(1, Reason::CANCEL);
        c.input(&response(1, 0)).input(&frame(DATA, 0, 1, b"late")).expect_silence();
        c.input(&rst(1, Reason::CANCEL)).expect_silence();
        c.input(&response(1, END)).expect_rst(1, Reason::STREAM_CLOSED);
        c.input(&frame(DATA, 0, 1, b"x")).expect_rst(1, Reason::STREAM_CLOSED);
        assert!(c.conn.window.balanced());
        assert_eq!(c.events(), []);
    }
}

/// What a client says about a peer that begins with `said`, in pieces or at once.
#[track_caller]
fn foreign(said: &[&[u8]]) -> String {
    let mut c = Side::raw(Role::Client, &Options::default());
    c.output();
    for piece in said {
        c.input(piece);
    }
    let told = c.events();
    let [Event::Lost(P, cause)] = &told[..] else { panic!("{told:?}") };
    let out = c.output();
    assert_eq!((out[0].kind, out[0].code()), (GOAWAY, P));
    assert!(c.conn.finished());
    cause.clone()
}

#[test]
fn l9_a_peer_of_another_protocol_is_known_by_its_first_octets() {
    let no = "the peer does not speak HTTP/2; it sent ";
    assert_eq!(foreign(&[b"SSH-2.0"]), format!("{no}\"SSH-2.0\""));
    assert_eq!(foreign(&[b"S"]), format!("{no}\"S\""));
    assert_eq!(
        foreign(&[b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"]),
        format!("{no}\"HTTP/1.1 400 Bad Request\"")
    );
    for record in [b"\x15\x03\x01\x00\x02", b"\x16\x03\x03\x00\x7a"] {
        let quoted = format!("{no}\"{}\"", record.escape_ascii());
        let told = foreign(&[record]);
        assert!(told.starts_with(&quoted) && told.contains("this is a TLS port"), "{told}");
    }
    assert_eq!(foreign(&[b"\x15\x04\x01"]), format!("{no}\"\\x15\\x04\\x01\""));
    assert_eq!(foreign(&[b"\r\n"]), format!("{no}\"\\r\\n\""));
    // The length of a frame, were it not too long.
    assert_eq!(foreign(&[b"\0", b"AB"]), format!("{no}\"\\x00AB\""));
    assert_eq!(foreign(&[b"\0\x40\x01"]), format!("{no}\"\\x00@\\x01\""));
    assert_eq!(foreign(&[&[b'x'; 500]]), format!("{no}\"{}\"", "x".repeat(64)));
}

#[test]
fn w65_the_first_frame_of_a_server_has_to_be_settings() {
    let wrong = "first frame is not SETTINGS";
    assert_eq!(foreign(&[b"\0\0\x08", b"\x06"]), wrong, "known before the head is whole");
    assert_eq!(foreign(&[&frame(PING, 0, 0, &[0; 8])]), wrong);
    assert_eq!(foreign(&[&frame(SETTINGS, ACK, 0, &[])]), wrong);
    let mut c = Side::raw(Role::Client, &Options::default());
    for octet in frame(SETTINGS, 0, 0, &setting(3, 7)) {
        assert_eq!(c.events(), []);
        c.input(&[octet]);
    }
    assert_eq!(c.events(), [Event::Ready]);
}

#[test]
fn w54_refused_is_unprocessed_and_others_are_resets() {
    let (mut c, _) = opened();
    c.input(&rst(1, Reason::REFUSED_STREAM));
    assert_eq!(c.events(), [Event::Unprocessed(1)]);
    let (mut c, _) = opened();
    c.input(&rst(1, Reason::CANCEL));
    assert_eq!(c.events(), [Event::Reset(1, Reason::CANCEL, true)]);
    let (mut c, _) = opened();
    c.input(&response(1, 0)).input(&rst(1, Reason::REFUSED_STREAM));
    let told = Event::Reset(1, Reason::REFUSED_STREAM, true);
    assert_eq!(c.events().last(), Some(&told), "W69: not after an answer");
}

#[test]
fn w55_an_early_answer_stops_the_upload_without_an_error() {
    let mut c = Side::client();
    let key = c.conn.open(&block(GET), false).expect("room");
    c.output();
    c.input(&response(1, END));
    assert_eq!(c.events(), [Event::Headers(1, true)]);
    c.conn.forget(key);
    c.expect_rst(1, Reason::NO_ERROR);
    let key = c.conn.open(&block(GET), false).expect("room");
    c.output();
    c.input(&response(3, END)).input(&rst(3, Reason::NO_ERROR));
    assert_eq!(c.events().last(), Some(&Event::Reset(3, Reason::NO_ERROR, true)));
    c.conn.forget(key);
    c.expect_silence();
}

#[test]
fn w66_the_limit_is_kept_and_room_is_told() {
    let mut c = Side::raw(Role::Client, &Options::default());
    c.input(&frame(SETTINGS, 0, 0, &setting(3, 1)));
    let key = c.conn.open(&block(GET), true).expect("room");
    assert_eq!(c.conn.open(&block(GET), true), Err(Room::Full));
    c.output();
    c.events();
    c.input(&response(1, END));
    assert_eq!(c.events(), [Event::Headers(1, true), Event::Room]);
    c.conn.forget(key);
    // To nothing and back.
    c.input(&frame(SETTINGS, 0, 0, &setting(3, 0)));
    assert_eq!(c.conn.room(), Room::Full);
    c.input(&frame(SETTINGS, 0, 0, &setting(3, 2)));
    assert_eq!((c.conn.room(), c.events()), (Room::Yes, vec![Event::Room]));
    // A reset of our own makes room too, told with the next flush.
    let a = c.conn.open(&block(GET), true).expect("room");
    let _b = c.conn.open(&block(GET), true).expect("room");
    c.output();
    c.conn.reset(a, Reason::CANCEL);
    c.output();
    assert_eq!(c.events(), [Event::Room]);
}

#[test]
fn w66_without_a_limit_in_the_first_settings_there_is_none() {
    let mut c = Side::raw(Role::Client, &Options::default());
    for _ in 0..100 {
        c.conn.open(&block(GET), true).expect("100 are assumed");
    }
    assert_eq!(c.conn.room(), Room::Full);
    c.input(&frame(SETTINGS, 0, 0, &[]));
    assert_eq!(c.conn.room(), Room::Yes);
    assert!(c.events().contains(&Event::Room));
}

#[test]
fn a_shrunk_decoder_table_is_answered_once() {
    let mut c = Side::raw(Role::Client, &Options::default());
    c.input(&frame(SETTINGS, 0, 0, &setting(1, 0)));
    c.output();
    c.conn.open(&block(GET), true).expect("room");
    c.conn.open(&block(GET), true).expect("room");
    let out = c.output();
    assert_eq!(out[0].payload[0], 0x20, "RFC 7541 §4.2");
    assert_eq!(out[0].payload[1..], block(GET));
    assert_eq!(out[1].payload, block(GET));
}

#[test]
fn w70_ids_run_out_gracefully() {
    let options = Options { max_stream_id: 3, ..Options::default() };
    let mut c = Side::client_with(&options);
    let a = c.conn.open(&block(GET), true).expect("1");
    let b = c.conn.open(&block(GET), true).expect("3");
    assert_eq!(c.conn.open(&block(GET), true), Err(Room::Draining));
    c.output();
    assert_eq!(c.events().len(), 1, "the channel is told to connect anew");
    c.input(&response(1, END)).input(&response(3, END));
    c.conn.forget(a);
    c.conn.forget(b);
    assert!(!c.conn.finished());
    c.expect_goaway(Reason::NO_ERROR);
}

#[test]
fn long_blocks_are_cut_to_the_peers_frame_size() {
    let mut c = Side::client();
    c.conn.open(&[0; 40_000], true).expect("room");
    let out = c.output();
    let shape: Vec<_> = out.iter().map(|f| (f.kind, f.flags, f.payload.len())).collect();
    assert_eq!(shape, [(HEADERS, END, 16_384), (CONT, 0, 16_384), (CONT, EH, 7_232)]);
}
