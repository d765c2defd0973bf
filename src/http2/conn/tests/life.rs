//! Beginning, silence, end: deadlines, keepalive, GOAWAY.

use super::super::super::age::AgeOptions;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(1);

#[test]
fn a15_the_first_settings_are_due_in_20_s() {
    for role in [Role::Client, Role::Server] {
        let mut s = Side::raw(role, &Options::new(role));
        s.output();
        assert_eq!(s.conn.poll_timeout(), Some(start() + SECOND * 20));
        if role == Role::Server {
            s.input(&frame::PREFACE[..10]);
        }
        s.later(SECOND * 20 - TICK).expect_silence();
        s.later(TICK).expect_goaway(Reason::SETTINGS_TIMEOUT);
        assert_eq!(s.conn.poll_timeout(), None);
    }
}

#[test]
fn settings_that_are_acknowledged_late_or_never_end_nothing() {
    for role in [Role::Client, Role::Server] {
        let mut s = Side::raw(role, &Options::new(role));
        if role == Role::Server {
            s.input(frame::PREFACE);
        }
        s.input(&frame(SETTINGS, 0, 0, &[]));
        s.output();
        s.later(SECOND * 3_600).expect_silence();
        s.input(&frame(SETTINGS, ACK, 0, &[])).expect_silence();
    }
    let mut s = Side::client();
    assert_eq!(s.conn.poll_timeout(), None, "an idle client has no timer");
    s.later(SECOND * 86_400).expect_silence();
}

#[test]
fn a15_a_begun_frame_is_due_in_30_s() {
    let mut s = Side::server();
    s.input(&frame(PING, 0, 0, &[0; 8])[..12]);
    assert_eq!(s.conn.poll_timeout(), Some(s.now + SECOND * 30));
    s.later(SECOND * 30 - TICK).input(&[0]);
    s.expect_silence();
    s.later(TICK).expect_goaway(Reason::ENHANCE_YOUR_CALM);
    // Whole frames in between start the clock anew.
    let mut s = Side::server();
    s.input(&request(1, 0));
    let data = frame(DATA, 0, 1, &[1; 100]);
    s.input(&data[..50]).later(SECOND * 29);
    s.input(&data[50..]).input(&data[..50]).later(SECOND * 29);
    s.expect_silence();
    s.input(&data[50..]);
    s.later(SECOND * 31).expect_silence();
}

#[test]
fn a5_a_begun_block_is_due_in_10_s() {
    let mut s = Side::server();
    s.input(&frame(HEADERS, END, 1, &block(GET)));
    assert_eq!(s.conn.poll_timeout(), Some(s.now + SECOND * 10));
    s.later(SECOND * 10 - TICK).input(&frame(CONT, 0, 1, &[]));
    s.expect_silence();
    s.later(TICK).expect_goaway(Reason::ENHANCE_YOUR_CALM);
}

fn keepalive(role: Role, without_calls: bool) -> Options {
    let mut options = Options::new(role);
    options.keepalive.time = Some(SECOND * 10);
    options.keepalive.without_calls = without_calls;
    options
}

#[test]
fn keepalive_asks_and_gives_up() {
    let mut c = Side::client_with(&keepalive(Role::Client, false));
    assert_eq!(c.conn.poll_timeout(), None, "no calls, no PING");
    c.later(SECOND * 100).expect_silence();
    c.conn.open(&block(GET), true).expect("room");
    c.output();
    assert!(c.conn.poll_timeout() <= Some(c.now), "after a long silence at once");
    c.later(TICK);
    assert_eq!(c.output()[0].kind, PING);
    assert_eq!(c.conn.stats().keepalives, 1);
    c.later(SECOND * 20 - TICK).expect_silence();
    c.later(TICK).expect_goaway(Reason::NO_ERROR);
}

#[test]
fn k4_an_answer_or_anything_else_is_life() {
    let mut c = Side::client_with(&keepalive(Role::Client, true));
    for _ in 0..5 {
        c.later(SECOND * 10);
        let ping = c.output().remove(0);
        c.later(SECOND * 19).input(&frame(PING, ACK, 0, &ping.payload));
        c.expect_silence();
    }
    c.later(SECOND * 10);
    c.output();
    c.later(SECOND * 19).input(&frame(SETTINGS, 0, 0, &[]));
    c.later(SECOND * 5);
    assert!(!c.conn.finished());
}

#[test]
fn k1_too_many_pings() {
    let ping = frame(PING, 0, 0, &[0; 8]);
    let mut s = Side::server();
    s.input(&request(1, 0));
    for _ in 0..3 {
        s.input(&ping);
    }
    assert_eq!(s.output().len(), 3);
    s.input(&ping);
    let out = s.output();
    assert_eq!(out.last().map(|f| &f.payload[8..]), Some(&b"too_many_pings"[..]));
    // Just below: what we send clears the count.
    let mut s = Side::server();
    s.input(&request(1, 0));
    let key = s.key();
    for _ in 0..100 {
        s.input(&ping).input(&ping).input(&ping);
        s.conn.data(key, bytes(1), false);
    }
    assert!(!s.conn.finished());
    // Clients do not judge.
    let mut c = Side::client();
    for _ in 0..100 {
        c.input(&ping);
    }
    assert!(!c.conn.finished());
}

#[test]
fn w67_a_server_says_goodbye_twice() {
    let mut s = Side::server();
    s.input(&request(1, END));
    let one = s.key();
    s.conn.drain(s.now);
    let out = s.output();
    assert_eq!((out[0].kind, out[0].number(), out[0].code()), (GOAWAY, MAX_31, Reason::NO_ERROR));
    assert_eq!(out[1].kind, PING);
    s.input(&request(3, END));
    let three = s.key();
    assert_eq!(three.id, 3, "what was on its way is served");
    s.input(&frame(PING, ACK, 0, &out[1].payload));
    let second = s.output();
    assert_eq!((second[0].kind, second[0].number()), (GOAWAY, 3));
    s.events();
    s.input(&request(5, 0)).input(&frame(DATA, END, 5, b"ignored")).input(&update(5, 1));
    s.expect_silence();
    assert_eq!(s.events(), []);
    for key in [one, three] {
        s.conn.headers(key, &block(&[(":status", "200")]), true);
        s.conn.forget(key);
    }
    assert_eq!(s.output().len(), 2);
    assert!(s.conn.finished());
    assert_eq!(s.events(), [Event::Lost(Reason::NO_ERROR, "drained".into())]);
}

#[test]
fn w67_without_an_answer_the_second_goaway_comes_after_5_s() {
    let mut s = Side::server();
    s.conn.drain(s.now);
    s.output();
    s.later(SECOND * 5 - TICK).expect_silence();
    assert_eq!(s.conn.poll_timeout(), Some(s.now + TICK));
    s.later(TICK).expect_goaway(Reason::NO_ERROR);
}

#[test]
fn w68_a_client_stops_retries_what_is_above_and_ends_when_drained() {
    let mut c = Side::client();
    let keys: Vec<_> = (0..3).map(|_| c.conn.open(&block(GET), true).expect("room")).collect();
    c.output();
    let goaway = |last: u32| {
        let mut p = last.to_be_bytes().to_vec();
        p.extend(0u32.to_be_bytes());
        p.extend(b"bye");
        frame(GOAWAY, 0, 0, &p)
    };
    c.input(&goaway(MAX_31));
    assert_eq!(c.events(), [Event::GoAway(Reason::NO_ERROR, b"bye".to_vec())]);
    assert_eq!(c.conn.room(), Room::Draining);
    c.input(&goaway(1));
    // What it says is told before the streams that end with it.
    let told = Event::GoAway(Reason::NO_ERROR, b"bye".to_vec());
    assert_eq!(c.events()[..3], [told, Event::Unprocessed(3), Event::Unprocessed(5)]);
    c.input(&response(1, END));
    keys.into_iter().for_each(|key| c.conn.forget(key));
    c.output();
    assert!(c.conn.finished());
    let mut c = Side::client();
    c.conn.open(&block(GET), true).expect("room");
    c.input(&goaway(1)).input(&goaway(3)).expect_goaway(Reason::PROTOCOL_ERROR);
    let mut c = Side::client();
    c.input(&goaway(2)).expect_goaway(Reason::PROTOCOL_ERROR);
}

#[test]
fn w68_a_client_drains() {
    let mut c = Side::client();
    let key = c.conn.open(&block(GET), true).expect("room");
    c.conn.drain(c.now);
    assert_eq!(c.conn.room(), Room::Draining);
    assert_eq!(c.output().last().map(|f| f.kind), Some(GOAWAY));
    c.input(&response(1, END));
    assert_eq!(c.events(), [Event::Headers(1, true)]);
    c.conn.forget(key);
    c.output();
    assert!(c.conn.finished());
}

#[test]
fn w57_the_end_of_a_connection_is_told_once_and_everything_is_free() {
    let mut s = Side::server();
    s.input(&request(1, 0));
    let key = s.key();
    s.conn.data(key, bytes(1 << 20), false);
    s.conn.abort(Reason::NO_ERROR, "", &mut s.sink);
    s.conn.abort(Reason::CANCEL, "again", &mut s.sink);
    let lost = s.events().iter().filter(|e| matches!(e, Event::Lost(..))).count();
    assert_eq!(lost, 1);
    assert_eq!(s.conn.stats().active, 0);
    s.conn.data(key, bytes(1), true);
    s.conn.release(key, 5, true);
    s.conn.expect(key, 1 << 20, Claim::Awaited);
    s.conn.forget(key);
    s.conn.forget(key);
    assert_eq!(s.conn.stats().held, 0);
    assert_eq!(s.output().iter().filter(|frame| frame.kind == GOAWAY).count(), 1);
    assert_eq!((s.output(), s.conn.room()), (vec![], Room::Closed));
}

#[test]
fn an_idle_connection_is_small() {
    let mut s = Side::server();
    s.input(&request(1, 0));
    let key = s.key();
    s.conn.data(key, bytes(100_000), true);
    s.input(&frame(PING, 0, 0, &[0; 8])[..10]).input(&frame(PING, 0, 0, &[0; 8])[10..]);
    s.output();
    s.conn.forget(key);
    s.input(&rst(1, Reason::CANCEL));
    s.output();
    s.conn.rest();
    assert_eq!(s.conn.out.control.capacity(), 0);
    assert!(size_of::<Connection>() <= 1500, "{}", size_of::<Connection>());
    s.input(&request(3, END));
    assert_eq!(s.key().id, 3);
}

/// A server whose connections have such limits, in seconds.
fn aging(idle: Option<u64>, age: Option<u64>, grace: Option<u64>) -> Side {
    let seconds = |time: Option<u64>| time.map(Duration::from_secs);
    let mut options = Options::new(Role::Server);
    options.keepalive.time = None;
    let limits = AgeOptions { idle: seconds(idle), age: seconds(age), grace: seconds(grace) };
    options.age = Some(Box::new(limits));
    Side::server_with(&options)
}

#[test]
fn a9_an_idle_connection_is_told_goodbye_and_what_crosses_it_is_served() {
    let mut s = aging(Some(10), None, None);
    s.later(SECOND * 9).input(&request(1, END));
    let key = s.key();
    s.later(SECOND * 60).expect_silence();
    s.conn.at(s.now);
    s.conn.headers(key, &block(&[(":status", "200")]), true);
    s.conn.forget(key);
    s.output();
    s.later(SECOND * 10 - TICK).expect_silence();
    assert_eq!(s.conn.poll_timeout(), Some(s.now + TICK));
    s.later(TICK);
    let out = s.output();
    assert_eq!((out[0].kind, out[0].number(), out[0].code()), (GOAWAY, MAX_31, Reason::NO_ERROR));
    s.input(&request(3, END));
    assert_eq!(s.key().id, 3, "it is served");
}

#[test]
fn a9_an_old_connection_is_told_goodbye_and_cut_after_its_grace() {
    let mut s = aging(None, Some(10), Some(5));
    s.input(&request(1, 0));
    s.output();
    s.later(SECOND * 10);
    assert_eq!(s.output()[0].number(), MAX_31);
    s.later(SECOND * 5 - TICK);
    s.output();
    assert_eq!(s.conn.stats().active, 1);
    s.later(TICK).expect_goaway(Reason::NO_ERROR);
    assert_eq!((s.conn.stats().active, s.conn.poll_timeout()), (0, None));
}

#[test]
fn what_waits_holds_little_more_than_it_counts_for() {
    let mut s = Side::server();
    s.input(&request(1, 0));
    let key = s.key();
    // Nothing goes out any more.
    s.conn.data(key, bytes(65_535), false);
    s.output();
    let mut expected = Vec::new();
    for n in 0..10_000_u32 {
        // As an outbox hands it over that has grown used to more.
        let mut piece = Vec::with_capacity(20 * 1024);
        piece.extend_from_slice(&n.to_be_bytes());
        expected.extend_from_slice(&piece);
        // Some are others', too, and cannot be appended to.
        let piece = if n % 3 == 0 { Bytes::from(piece) } else { Bytes::copy_from_slice(&piece) };
        s.conn.data(key, piece, false);
    }
    assert_eq!(s.conn.queued(key), expected.len());
    let queue = &s.conn.streams.get(key).unwrap().queue;
    assert!(queue.len() <= 1 + expected.len() / 8_192, "{}", queue.len());
    let waits: Vec<u8> = queue.iter().flat_map(|piece| piece.iter().copied()).collect();
    assert!(waits == expected, "in its order, and whole");
}
