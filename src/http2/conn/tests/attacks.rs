//! What hostile peers send, each just below the limit and just above.

use super::*;
use crate::http2::guard::Rate;
use crate::http2::hpack::encode;

const CALM: Reason = Reason::ENHANCE_YOUR_CALM;
const SECOND: Duration = Duration::from_secs(1);

/// How often `attack` can be done, up to `most`, before the connection ends with
/// ENHANCE_YOUR_CALM.
fn endured(most: u32, mut attack: impl FnMut(&mut Side, u32)) -> u32 {
    let peer_resets = crate::http2::guard::Rate { burst: 1000, per_second: 100 };
    let mut s = Side::server_with(&Options { peer_resets, ..Options::new(Role::Server) });
    for i in 0..most {
        attack(&mut s, i * 2 + 1);
        let out = s.output();
        if s.conn.finished() {
            assert_eq!(out.last().map(Raw::code), Some(CALM), "{out:?}");
            return i;
        }
    }
    most
}

fn let_go(s: &mut Side) {
    s.sink.events.clear();
    for key in std::mem::take(&mut s.sink.keys) {
        s.conn.forget(key);
    }
}

/// What is taken back before we have got to it draws on a budget; that it never runs is the link's affair.
#[test]
fn a1_rapid_reset_ends_by_rate() {
    let n = endured(5000, |s, id| {
        s.input(&request(id, END)).input(&rst(id, Reason::CANCEL));
        let_go(s);
    });
    assert_eq!(n, 1000);
}

#[test]
fn a1_just_below_the_rate_passes_for_ever() {
    let n = endured(20_000, |s, id| {
        s.later(SECOND / 100);
        s.input(&request(id, END)).input(&rst(id, Reason::CANCEL));
        let_go(s);
    });
    assert_eq!(n, 20_000);
}

/// Limits are against work in vain. What the server can work off is no attack, whoever does not want the answer.
#[test]
fn a2_a_client_that_cancels_everything_as_fast_as_it_is_served_passes() {
    let n = endured(100_000, |s, id| {
        s.input(&request(id, END)).input(&rst(id, Reason::CANCEL));
        // Its handler returns.
        let key = s.key();
        s.conn.settle(key);
        let_go(s);
    });
    assert_eq!(n, 100_000);
    // What is answered is not taken back, though the answer may not be out.
    let n = endured(100_000, |s, id| {
        s.input(&request(id, END));
        let key = s.key();
        s.conn.settle(key);
        s.conn.data(key, bytes(100_000), false);
        s.conn.trailers(key, Bytes::from_static(b"\x88"));
        s.input(&rst(id, Reason::CANCEL));
        let_go(s);
    });
    assert_eq!(n, 100_000);
}

#[test]
fn a2_an_honest_client_that_cancels_a_third_at_any_speed_passes() {
    let n = endured(100_000, |s, id| {
        s.input(&request(id, END));
        if id % 3 == 0 {
            s.input(&rst(id, Reason::CANCEL));
        } else {
            let key = s.key();
            s.conn.headers(key, &block(&[(":status", "200")]), true);
        }
        let_go(s);
    });
    assert_eq!(n, 100_000);
}

#[test]
fn a3_made_you_reset_every_vector_draws_on_the_glitches() {
    let vectors: [fn(u32) -> Vec<u8>; 5] = [
        |id| update(id, 0),
        |id| update(id, 0x7fff_ffff),
        |id| frame(DATA, END, id, b"after the end"),
        |id| request(id, END),
        |id| frame(HEADERS, EH | END, id + 1, &block(&[(":path", "")])),
    ];
    for (i, vector) in vectors.iter().enumerate() {
        let n = endured(5000, |s, id| {
            let id = if i == 4 { id * 2 - 1 } else { id };
            s.input(&request(id, END));
            let bad = vector(id + u32::from(i == 4));
            s.input(&bad);
            assert!(s.conn.stats().held <= 100);
            let_go(s);
        });
        assert_eq!(n, 100, "vector {i}");
        let n = endured(3000, |s, id| {
            let id = if i == 4 { id * 2 - 1 } else { id };
            s.later(SECOND / 10);
            s.input(&request(id, END));
            let bad = vector(id + u32::from(i == 4));
            s.input(&bad);
            let_go(s);
        });
        assert_eq!(n, 3000, "vector {i} at the rate");
    }
}

#[test]
fn a3_refusals_draw_on_the_resets() {
    let peer_resets = crate::http2::guard::Rate { burst: 1000, per_second: 100 };
    let mut s = Side::server_with(&Options { peer_resets, ..Options::new(Role::Server) });
    for i in 0..100 {
        s.input(&request(i * 2 + 1, END));
    }
    let refused = (100..3000).take_while(|i| {
        s.input(&request(i * 2 + 1, END));
        !s.conn.finished()
    });
    assert_eq!(refused.count(), 1000);
    assert_eq!(s.conn.stats().held, 100);
    s.expect_goaway(CALM);
}

#[test]
fn a5_continuation_flood() {
    let begin = || {
        let mut s = Side::server();
        s.input(&frame(HEADERS, END, 1, &block(GET)));
        s
    };
    // Empty ones cost 32 octets each, of twice the list limit.
    let most = (32_768 - block(GET).len()) / 32;
    let mut s = begin();
    (1..most).for_each(|_| {
        s.input(&frame(CONT, 0, 1, &[]));
    });
    s.input(&frame(CONT, EH, 1, &[]));
    assert_eq!(s.events(), [Event::Headers(1, true)]);
    let mut s = begin();
    (0..most).for_each(|_| {
        s.input(&frame(CONT, 0, 1, &[]));
    });
    assert!(!s.conn.finished());
    s.input(&frame(CONT, EH, 1, &[])).expect_goaway(CALM);
    // Octets cost what they are.
    let mut s = begin();
    s.input(&frame(CONT, 0, 1, &[0; 16_384]));
    s.input(&frame(CONT, 0, 1, &vec![0; 16_384 - 64 - block(GET).len()]));
    assert!(!s.conn.finished());
    s.input(&frame(CONT, 0, 1, &[])).expect_goaway(CALM);
}

#[test]
fn w30_a_list_within_the_limit_passes_whatever_the_limit_and_however_it_is_cut() {
    for (limit, fields) in [(16 << 10, 12), (160 << 10, 150), (1 << 20, 1_000), (1 << 20, 12_000)] {
        let mut list = block(GET);
        // Few long ones or many short ones, nine tenths of the limit in all.
        let value = vec![b'v'; limit / 10 * 9 / fields - 37];
        for n in 0..fields {
            encode::literal(&mut list, format!("k{n:04}").as_bytes(), &value);
        }
        for piece in [50, 333, 4_096, 16_384] {
            let options = Options { max_header_list: limit, ..Options::new(Role::Server) };
            let mut s = Side::server_with(&options);
            let mut pieces = list.chunks(piece).peekable();
            let mut kind = HEADERS;
            while let Some(part) = pieces.next() {
                let flags = if pieces.peek().is_none() { EH | END } else { END };
                s.input(&frame(kind, if kind == CONT { flags & EH } else { flags }, 1, part));
                kind = CONT;
            }
            assert_eq!(s.events(), [Event::Headers(1, true)], "{limit} in pieces of {piece}");
        }
    }
}

#[test]
fn a9_replies_pile_up_only_until_reading_stops() {
    let padded = frame(DATA, PADDED, 1, &[vec![200], vec![0; 201]].concat());
    let lax = Rate { burst: u32::MAX, per_second: 0 };
    let options = Options { glitches: lax, ..Options::new(Role::Client) };
    for flood in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[]), padded] {
        let mut c = Side::client_with(&options);
        c.conn.open(&block(GET), false).unwrap();
        c.input(&response(1, 0)).bytes();
        for _ in 0..10_000 {
            if c.conn.wants_input() {
                assert!(c.conn.unsent() <= options.max_provoked);
                c.input(&flood);
            }
        }
        assert!(!c.conn.finished());
        c.bytes();
        assert!(c.conn.wants_input(), "written: read on");
    }
}

#[test]
fn a9_what_we_say_of_our_own_accord_does_not_stop_reading() {
    // Two ends that both rested because of their own requests would wait for each other.
    let mut c = Side::client();
    for _ in 0..1_000 {
        if let Ok(key) = c.conn.open(&block(GET), false) {
            c.conn.reset(key, Reason::CANCEL);
            c.conn.forget(key);
        }
    }
    assert!(c.conn.unsent() > Options::new(Role::Client).max_provoked);
    assert!(c.conn.wants_input());
}

#[test]
fn requests_to_a_peer_that_takes_nothing_have_a_bound() {
    let mut c = Side::client();
    let mut opened = 0;
    while let Ok(key) = c.conn.open(&block(GET), false) {
        c.conn.reset(key, Reason::CANCEL);
        c.conn.forget(key);
        opened += 1;
        assert!(opened < 100_000, "without a bound");
    }
    assert_eq!(c.conn.room(), Room::Full);
    assert!(c.conn.unsent() < 300 * 1024);
    c.events();
    c.bytes();
    c.bytes();
    assert_eq!(c.events(), [Event::Room], "told when the peer takes it");
    assert_eq!(c.conn.room(), Room::Yes);
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_whatever_it_sends() {
    for role in [Role::Client, Role::Server] {
        let mut s = if role == Role::Client { Side::client() } else { Side::server() };
        let mut out = Batch::default();
        s.input(&frame(PING, 0, 0, &[0; 8]));
        s.conn.poll_output(&mut out, 1 << 20, &mut s.sink);
        s.conn.sent(0, Some(s.now));
        let limit = Options::new(role).write_timeout;
        assert_eq!(s.conn.poll_timeout(), Some(s.now + limit));
        s.later(limit / 2).input(&frame(PING, ACK, 0, &[9; 8]));
        s.later(limit / 2 - Duration::from_millis(1));
        assert!(!s.conn.finished());
        s.later(Duration::from_millis(1));
        assert!(s.conn.finished(), "{role:?} waits for ever");
    }
}

#[test]
fn a9_settings_of_many_entries() {
    let with = |n: usize| frame(SETTINGS, 0, 0, &setting(99, 0).repeat(n));
    Side::server().input(&with(32)).output();
    Side::server().input(&with(33)).expect_goaway(CALM);
}

#[test]
fn a14_empty_frames_are_glitches_and_small_ones_are_not() {
    let empty = frame(DATA, 0, 1, &[]);
    let mut s = Side::server();
    s.input(&request(1, 0));
    (0..100).for_each(|_| {
        s.input(&empty);
    });
    s.expect_silence();
    s.input(&empty).expect_goaway(CALM);
    let padded = frame(DATA, PADDED, 1, b"\x02\0\0");
    let mut s = Side::server();
    s.input(&request(1, 0));
    (0..101).for_each(|_| {
        s.input(&padded);
    });
    s.expect_goaway(CALM);
    // A million honest messages of five octets, one DATA each.
    let mut s = Side::server();
    s.input(&request(1, 0));
    let key = s.key();
    let wire = frame(DATA, 0, 1, b"hello").repeat(1000);
    for _ in 0..1000 {
        s.input(&wire);
        s.conn.release(key, 5000, true);
        s.sink.events.clear();
        s.sink.body.clear();
    }
    assert!(!s.conn.finished());
    assert_eq!(s.conn.stats().glitches, 0);
}

#[test]
fn a19_the_last_id_leaves_running_calls_intact() {
    let mut s = Side::server();
    s.input(&request(1, END));
    let one = s.key();
    s.input(&request(MAX_31, END));
    let last = s.key();
    let out = s.output();
    assert_eq!((out[0].kind, out[0].code()), (GOAWAY, Reason::NO_ERROR));
    assert!(!s.conn.finished());
    for key in [one, last] {
        s.conn.headers(key, &block(&[(":status", "200")]), true);
        s.conn.forget(key);
    }
    assert_eq!(s.output().len(), 2);
    assert!(s.conn.finished());
}

#[test]
fn a20_a_huge_frame_is_refused_from_its_head() {
    for kind in [DATA, HEADERS, SETTINGS, GOAWAY, 0x99] {
        let mut s = Side::server();
        s.input(&request(1, 0));
        s.output();
        s.input(&[0xff, 0xff, 0xff, kind, 0, 0, 0, 0, 1]);
        s.expect_goaway(Reason::FRAME_SIZE_ERROR);
        assert_eq!(s.conn.input.partial.capacity(), 0);
    }
}

#[test]
fn a25_a_flood_of_1xx_heads_is_a_glitch_each() {
    let head = frame(HEADERS, EH, 1, &block(&[(":status", "100")]));
    let mut c = Side::client();
    c.conn.open(&block(GET), true).expect("room");
    // The first few are what a proxy may well say.
    (0..104).for_each(|_| {
        c.input(&head);
    });
    assert!(!c.conn.finished());
    c.input(&head).expect_goaway(CALM);
}

#[test]
fn w53_a_proxy_may_put_a_few_informational_heads_before_each_response() {
    let mut c = Side::client();
    for n in 0..500 {
        let key = c.conn.open(&block(GET), true).expect("room");
        for status in ["100", "103", "103"] {
            c.input(&frame(HEADERS, EH, 2 * n + 1, &block(&[(":status", status)])));
        }
        c.input(&response(2 * n + 1, END));
        c.conn.forget(key);
        c.output();
    }
    assert_eq!((c.conn.stats().glitches, c.conn.finished()), (0, false));
}

/// What changes, or is compared with, each of many streams costs more than its octets tell.
#[test]
fn a9_frames_that_concern_all_streams_are_glitches_when_repeated() {
    let goaway = frame(GOAWAY, 0, 0, &[MAX_31.to_be_bytes(), [0; 4]].concat());
    let windows = [70_000, 80_000].map(|size| frame(SETTINGS, 0, 0, &setting(4, size)));
    for floods in [vec![goaway.clone(); 2], windows.to_vec()] {
        for (streams, spent) in [(1, false), (300, true)] {
            let mut side = Side::client();
            side.input(&frame(SETTINGS, 0, 0, &setting(3, 1000)));
            for _ in 0..streams {
                side.conn.open(&block(GET), true).expect("room");
            }
            side.output();
            let died = (0..200).find(|n| {
                side.input(&floods[n % 2]);
                side.output();
                side.conn.finished()
            });
            // The first of them is free, perhaps. A peer that changes its window with each round trip is none of them.
            assert_eq!(died.is_some_and(|n| (100..=102).contains(&n)), spent, "{died:?}");
            assert_eq!(died.is_some(), spent);
        }
    }
}

#[test]
fn waiting_lists_do_not_outlive_their_streams() {
    // Streams that queue answers or wait for grants, and are reset, while nothing moves.
    let options = Options {
        peer_resets: crate::http2::guard::Rate { burst: 100_000, per_second: 0 },
        window_budget: 1 << 20,
        ..Options::new(Role::Server)
    };
    let mut s = Side::server_with(&options);
    s.input(&request(1, 0));
    let holder = s.key();
    s.conn.expect(holder, 1 << 20, Claim::Awaited);
    s.conn.data(holder, bytes(65_535), false);
    s.output();
    for id in 1..10_000 {
        let id = id * 2 + 1;
        s.input(&request(id, 0));
        let key = s.key();
        s.conn.data(key, bytes(1), false);
        s.conn.data(key, bytes(100_000), false);
        s.conn.expect(key, 1 << 20, Claim::Awaited);
        s.input(&rst(id, Reason::CANCEL));
        s.conn.forget(key);
        s.sink.events.clear();
    }
    assert!(s.conn.streams.ledger.all_waiting() <= 1);
    assert!(s.conn.out.ready.len() <= 1);
    assert!(!s.conn.wants_output(), "nothing is left to say");
    assert_eq!(s.conn.stats().held, 1);
}

/// Everything a peer might say, at random: nothing panics, the end is told once, streams are balanced.
#[test]
fn a26_noise_of_valid_frames_and_bit_flips_never_panics() {
    let mut seed = 0x1234_5678_9abc_def1u64;
    let mut random = move |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    for round in 0..3000 {
        let role = if round % 2 == 0 { Role::Server } else { Role::Client };
        let mut s = if role == Role::Server { Side::server() } else { Side::client() };
        for _ in 0..40 {
            let id = [0, 1, 2, 3, 5, 7, MAX_31][random(7) as usize];
            let mut wire = match random(9) {
                0 => request(id, random(2) as u8),
                1 => response(id, random(2) as u8),
                2 => frame(DATA, random(16) as u8, id, &vec![1; random(300) as usize]),
                3 => rst(id, Reason(random(15) as u32)),
                4 => update(id, [0, 1, 70_000, MAX_31][random(4) as usize]),
                5 => frame(
                    SETTINGS,
                    random(2) as u8,
                    0,
                    &setting(random(8) as u16, random(1 << 32) as u32),
                ),
                6 => frame(PING, random(2) as u8, 0, &[random(3) as u8; 8]),
                7 => frame(GOAWAY, 0, 0, &[0, 0, 0, random(9) as u8, 0, 0, 0, 0]),
                _ => frame(CONT, random(16) as u8, id, &block(GET)[random(20) as usize..]),
            };
            if random(20) == 0 {
                let at = random(wire.len() as u64) as usize;
                wire[at] ^= 1 << random(8);
            }
            let cut = random(wire.len() as u64 + 1) as usize;
            s.input(&wire[..cut]).input(&wire[cut..]);
            let key = Key { slot: random(4) as u32, id };
            match random(9) {
                0 => s.conn.data(key, bytes(random(200_000) as usize), random(2) == 0),
                1 => s.conn.trailers(key, Bytes::from(block(&[("a", "b")]))),
                2 => s.conn.headers(key, &block(&[(":status", "200")]), random(2) == 0),
                3 => s.conn.release(key, random(1000) as usize, true),
                4 => {
                    s.conn.expect(key, random(1 << 24) as usize, Claim::Awaited);
                }
                5 => s.conn.reset(key, Reason::CANCEL),
                6 => s.conn.forget(key),
                7 => drop(s.conn.open(&block(GET), random(2) == 0)),
                _ => drop(s.later(Duration::from_millis(random(5000)))),
            }
            if random(3) == 0 {
                s.bytes();
            }
        }
        let all: Vec<_> = s.conn.streams.each().map(|(key, _)| key).collect();
        all.into_iter().for_each(|key| s.conn.forget(key));
        s.bytes();
        s.conn.abort(Reason::NO_ERROR, "", &mut s.sink);
        assert_eq!((s.conn.stats().active, s.conn.stats().held), (0, 0));
        assert!(s.conn.streams.ledger.is_zero());
        let lost = s.sink.events.iter().filter(|e| matches!(e, Event::Lost(..))).count();
        assert_eq!(lost, 1);
    }
}
