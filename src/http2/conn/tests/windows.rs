//! Flow control in both directions (RFC 9113 §5.2, §6.9).

use super::growth::measured;
use super::*;

const FC: Reason = Reason::FLOW_CONTROL_ERROR;
const MS: Duration = Duration::from_millis(1);

/// A server with an answered head on stream 1, whose peer has the given initial window.
fn answering(window: u32) -> (Side, Key) {
    let mut s = Side::server();
    s.input(&frame(SETTINGS, 0, 0, &setting(4, window))).input(&request(1, END));
    let key = s.key();
    s.conn.headers(key, &block(&[(":status", "200")]), false);
    s.output();
    s.events();
    (s, key)
}

fn sent(out: &[Raw]) -> Vec<(usize, bool)> {
    let data = out.iter().filter(|f| f.kind == DATA);
    data.map(|f| (f.payload.len(), f.flags & END != 0)).collect()
}

#[test]
fn h2spec_6_9_1_a_window_of_one() {
    let (mut s, key) = answering(1);
    s.conn.data(key, Bytes::from_static(b"hello"), true);
    assert_eq!(sent(&s.output()), [(1, false)]);
    s.input(&update(1, 2));
    assert_eq!(sent(&s.output()), [(2, false)]);
    s.input(&update(1, 9));
    assert_eq!(sent(&s.output()), [(2, true)]);
}

#[test]
fn h2spec_6_9_2_settings_change_the_window_and_the_ack_comes_first() {
    let (mut s, key) = answering(0);
    s.conn.data(key, bytes(5), true);
    assert_eq!(s.output(), []);
    s.input(&frame(SETTINGS, 0, 0, &setting(4, 1)));
    let out = s.output();
    assert_eq!((out[0].kind, out[0].flags), (SETTINGS, ACK));
    assert_eq!(sent(&out), [(1, false)]);
}

#[test]
fn a17_negative_windows_wait() {
    let (mut s, key) = answering(10);
    s.conn.data(key, bytes(15), true);
    assert_eq!(sent(&s.output()), [(10, false)]);
    s.input(&frame(SETTINGS, 0, 0, &setting(4, 2))).input(&update(1, 8));
    assert_eq!(sent(&s.output()), [], "10 - 8 + 8 - 10 = 0");
    s.input(&update(1, 1));
    assert_eq!(sent(&s.output()), [(1, false)]);
    s.input(&frame(SETTINGS, 0, 0, &setting(4, 0x7fff_ffff)));
    assert_eq!(sent(&s.output()), [(4, true)]);
}

#[test]
fn a17_windows_above_the_maximum() {
    let max = 0x7fff_ffffu32;
    let (mut s, _) = answering(65_535);
    s.input(&update(1, max - 65_535)).expect_silence();
    s.input(&update(1, 1)).expect_rst(1, FC);
    let (mut s, _) = answering(65_535);
    s.input(&update(0, max - 65_535)).expect_silence();
    s.input(&update(0, 1)).expect_goaway(FC);
    let (mut s, _) = answering(65_535);
    s.input(&update(1, 1)).input(&frame(SETTINGS, 0, 0, &setting(4, max))).expect_goaway(FC);
    let (mut s, _) = answering(65_535);
    s.input(&update(1, 0)).expect_rst(1, Reason::PROTOCOL_ERROR);
    let (mut s, _) = answering(65_535);
    s.input(&update(0, 0)).expect_goaway(Reason::PROTOCOL_ERROR);
}

#[test]
fn the_connections_window_is_kept_and_shared_in_turns() {
    let mut s = Side::server();
    s.input(&frame(SETTINGS, 0, 0, &setting(4, 1 << 20)));
    let mut keys = Vec::new();
    for id in [1, 3, 5] {
        s.input(&request(id, END));
        keys.push(s.key());
        s.conn.data(s.key(), bytes(100_000), true);
    }
    s.events();
    let out = s.output();
    let order: Vec<_> = out.iter().filter(|f| f.kind == DATA).map(|f| f.id).collect();
    assert_eq!(order, [1, 3, 5, 1], "one turn each");
    assert_eq!(sent(&out).iter().map(|d| d.0).sum::<usize>(), 65_535);
    s.input(&update(0, 300_000));
    let rest: usize = sent(&s.output()).iter().map(|d| d.0).sum();
    assert_eq!(rest, 300_000 - 65_535);
    assert_eq!(s.conn.stats().active, 0);
}

#[test]
fn the_budget_bounds_a_poll_but_not_the_control_bytes() {
    let (mut s, key) = answering(1 << 20);
    s.input(&update(0, 1 << 20));
    s.conn.data(key, bytes(500_000), true);
    s.input(&frame(PING, 0, 0, &[0; 8]));
    let mut out = Batch::default();
    s.conn.poll_output(&mut out, 64 * 1024, &mut s.sink);
    assert!((64 * 1024..81 * 1024).contains(&out.len()), "{}", out.len());
    let out = &out.gather()[..17];
    assert_eq!(frames(out)[0].kind, PING);
    assert!(s.conn.wants_output());
}

#[test]
fn writable_is_told_once_at_the_mark() {
    let (mut s, key) = answering(1 << 20);
    s.conn.data(key, bytes(100_000), false);
    assert_eq!(s.conn.queued(key), 100_000);
    s.output();
    assert_eq!(s.events(), [], "34 465 octets are above the mark");
    s.input(&update(0, 10_000));
    s.output();
    assert_eq!(s.events(), [Event::Writable(1)]);
    s.input(&update(0, 100_000));
    s.output();
    assert_eq!(s.events(), []);
    s.conn.data(key, bytes(20_000), true);
    s.output();
    assert_eq!(s.events(), [], "never above");
}

#[test]
fn small_pieces_share_a_frame() {
    let (mut s, key) = answering(0);
    for _ in 0..1000 {
        s.conn.data(key, bytes(10), false);
    }
    s.input(&update(1, 65_535));
    assert_eq!(sent(&s.output()), [(10_000, false)]);
    s.conn.data(key, Bytes::new(), false);
    s.conn.data(key, Bytes::new(), true);
    assert_eq!(sent(&s.output()), [(0, true)], "an end needs no window");
}

#[test]
fn data_framed_at_once_counts_against_both_windows() {
    let (mut s, key) = answering(65_535);
    for _ in 0..5 {
        s.conn.data(key, bytes(10_000), false);
    }
    assert_eq!(s.output().len(), 5);
    assert_eq!(s.conn.out.window.available(), 15_535);
    s.conn.data(key, bytes(16_000), false);
    assert_eq!(sent(&s.output()), [(15_535, false)]);
    s.input(&update(0, 1000));
    assert_eq!(sent(&s.output()), [], "the stream's is used up as well");
}

#[test]
fn trailers_wait_for_the_data_and_not_for_others() {
    let (mut s, key) = answering(3);
    s.conn.data(key, bytes(5), false);
    s.conn.trailers(key, Bytes::from(block(&[("grpc-status", "0")])));
    assert_eq!(sent(&s.output()), [(3, false)]);
    s.input(&update(1, 2));
    let out = s.output();
    assert_eq!(sent(&out), [(2, false)]);
    assert_eq!((out[1].kind, out[1].flags), (HEADERS, EH | END));
    assert_eq!(s.conn.stats().active, 0);
}

#[test]
fn a_reset_drops_the_queue() {
    let (mut s, key) = answering(3);
    s.conn.data(key, bytes(50_000), false);
    s.output();
    s.input(&rst(1, Reason::CANCEL)).input(&update(0, 100_000));
    assert_eq!((s.conn.queued(key), s.output()), (0, vec![]));
    assert_eq!(s.events(), [Event::Reset(1, Reason::CANCEL, true)]);
}

#[test]
fn a18_the_peer_overruns_our_windows() {
    let filled = |last: usize| {
        let mut s = Side::server();
        s.input(&request(1, 0));
        for _ in 0..3 {
            s.input(&frame(DATA, 0, 1, &[0; 16_384]));
        }
        s.input(&frame(DATA, 0, 1, &vec![0; last]));
        s
    };
    filled(16_383).expect_silence();
    filled(16_384).expect_rst(1, FC);
    // The connection's, which is the default until more is announced, and more is at once.
    let options = Options { connection_window: 65_535, ..first_window(Options::new(Role::Server)) };
    let mut s = Side::server_with(&options);
    s.conn.window = ConnWindow::new(65_535);
    s.input(&request(1, 0));
    s.conn.window.receive(65_535 - 100);
    s.input(&frame(DATA, 0, 1, &[0; 101])).expect_goaway(FC);
}

#[test]
fn a18_a_smaller_window_holds_only_after_the_ack() {
    let options = Options { initial_window: 1000, ..Options::new(Role::Server) };
    let begin = |acked: bool| {
        let mut s = Side::raw(Role::Server, &options);
        s.input(frame::PREFACE).input(&frame(SETTINGS, 0, 0, &[]));
        assert!(s.output()[0].payload.windows(6).any(|w| w == setting(4, 1000)));
        if acked {
            s.input(&frame(SETTINGS, ACK, 0, &[]));
        }
        s.input(&request(1, 0)).events();
        s
    };
    begin(false).input(&frame(DATA, 0, 1, &[0; 1001])).expect_silence();
    begin(true).input(&frame(DATA, 0, 1, &[0; 1000])).expect_silence();
    begin(true).input(&frame(DATA, 0, 1, &[0; 1001])).expect_rst(1, FC);
    // Across the ACK: the window goes below zero and comes back with what is read.
    let mut s = begin(false);
    s.input(&frame(DATA, 0, 1, &[0; 5000])).input(&frame(SETTINGS, ACK, 0, &[]));
    s.conn.release(s.key(), 5000, true);
    assert_eq!(s.output()[0].number(), 5000, "back to 1000");
    s.input(&frame(DATA, 0, 1, &[0; 1000])).expect_silence();
}

#[test]
fn credit_comes_back_by_half_windows_and_never_after_the_end() {
    let mut s = Side::server();
    s.input(&request(1, 0));
    let key = s.key();
    for _ in 0..3 {
        s.input(&frame(DATA, 0, 1, &[0; 16_384]));
    }
    s.conn.release(key, 32_767, true);
    s.expect_silence();
    s.conn.release(key, 1, true);
    assert_eq!(s.output(), frames(&update(1, 32_768)));
    s.input(&frame(DATA, END, 1, &[0; 16_000]));
    s.conn.release(key, usize::MAX, true);
    s.expect_silence();
}

/// DATA of one octet for stream 1, with as much padding as there may be.
fn mostly_padding() -> Vec<u8> {
    frame(DATA, PADDED, 1, &[&[255][..], &[0; 256]].concat())
}

#[test]
fn padding_comes_back_with_other_credit() {
    let mut s = Side::server();
    s.input(&request(1, 0)).input(&frame(DATA, PADDED, 1, b"\x09hello123456789"));
    s.expect_silence();
    assert_eq!(s.sink.body, b"hello");
    s.input(&frame(DATA, 0, 1, &[0; 16_000]));
    s.conn.release(s.key(), 5 + 16_000, true);
    s.expect_silence();
    pour(&mut s, 17_000);
    s.conn.release(s.key(), 17_000, true);
    assert_eq!(s.output(), frames(&update(1, 15 + 16_000 + 17_000)), "all that came");
}

#[test]
fn a_flood_of_padding_is_not_answered_frame_by_frame() {
    let mut s = Side::server();
    s.input(&request(1, 0));
    let (mut window, mut sent, mut answers) = (65_535, 0, 0);
    // Nobody reads.
    while window >= 257 && sent < 60_000 {
        s.input(&mostly_padding());
        (window, sent) = (window - 257, sent + 1);
        let out = s.output();
        answers += out.len();
        window += credited(&out, 1);
    }
    assert_eq!(sent, 60_000, "padding does not use the window up");
    assert!(answers < 2000, "{answers} frames of ours for {sent}");
    // The same where all that comes is read, with the connection's credit.
    let key = s.key();
    s.conn.release(key, sent, true);
    s.output();
    answers = 0;
    for _ in 0..10_000 {
        s.input(&mostly_padding());
        s.conn.release(key, 1, true);
        answers += s.output().len();
    }
    assert!(answers < 100, "{answers} frames of ours for 10 000");
}

#[test]
fn the_connections_credit_comes_back_whoever_reads() {
    let mut s = Side::server();
    let mut credit = 0;
    for id in 0..300 {
        s.input(&request(id * 2 + 1, 0));
        for _ in 0..3 {
            s.input(&frame(DATA, 0, id * 2 + 1, &[0; 16_384]));
        }
        let key = s.key();
        // Some are read, some refused, some reset, some let go with data unread.
        match id % 3 {
            0 => s.conn.release(key, 49_152, true),
            1 => s.conn.reset(key, Reason::CANCEL),
            _ => {}
        }
        s.conn.forget(key);
        let updates = s.output().into_iter().filter(|f| f.kind == UPDATE && f.id == 0);
        credit += updates.map(|f| u64::from(f.number())).sum::<u64>();
    }
    assert!(s.conn.window.balanced());
    assert!(credit > 300 * 49_152 - (4 << 20), "{credit}");
    assert!(s.conn.streams.ledger.is_zero());
}

/// Sends `n` octets of DATA to the server's stream 1.
pub(super) fn pour(s: &mut Side, mut n: usize) {
    while n > 0 {
        let len = n.min(16_384);
        s.input(&frame(DATA, 0, 1, &vec![0; len]));
        n -= len;
    }
}

pub(super) fn credited(out: &[Raw], id: u32) -> usize {
    out.iter().filter(|f| f.kind == UPDATE && f.id == id).map(|f| f.number() as usize).sum()
}

#[test]
fn f4_a_long_message_is_granted_whole_and_paid_back() {
    let options = Options { max_window: 65_535, ..first_window(Options::new(Role::Server)) };
    let mut s = Side::server_with(&options);
    s.input(&request(1, 0));
    let key = s.key();
    pour(&mut s, 16_384);
    let message = 4 << 20;
    s.conn.expect(key, message - 16_384, Claim::Awaited);
    let out = s.output();
    assert_eq!(credited(&out, 1), message - 65_535, "room for all of it");
    pour(&mut s, message - 16_384);
    assert!(!s.conn.finished());
    s.output();
    assert_eq!(s.conn.stats().window_held, (message - 65_535) as u64);
    s.conn.release(key, message, true);
    assert_eq!(s.conn.stats().window_held, 0);
    assert_eq!(credited(&s.output(), 1), 65_535, "the window as before");
}

#[test]
fn f4_grants_queue_for_the_budget_first_come_first_served() {
    let options = Options { window_budget: 1 << 20, ..first_window(Options::new(Role::Server)) };
    let mut s = Side::server_with(&options);
    let keys: Vec<_> = [1, 3, 5]
        .map(|id| {
            s.input(&request(id, 0));
            s.key()
        })
        .into();
    s.output();
    let len = 800_000;
    let passed = keys.iter().map(|&key| s.conn.expect(key, len, Claim::Awaited));
    assert_eq!(passed.collect::<Vec<_>>(), [true, false, false]);
    let out = s.output();
    assert_eq!([1, 3, 5].map(|id| credited(&out, id) > 0), [true, false, false]);
    // A part of it comes in while it waits: less is granted.
    s.input(&frame(DATA, 0, 3, &[0; 10_000]));
    pour(&mut s, len);
    s.conn.release(keys[0], len, true);
    let out = s.output();
    assert_eq!(credited(&out, 3), len - 65_535);
    assert_eq!(credited(&out, 5), 0);
    // What fits the window needs no budget and does not queue.
    s.input(&request(7, 0));
    s.conn.expect(s.key(), 65_535, Claim::Awaited);
    assert_eq!(s.conn.streams.ledger.all_waiting(), 1);
    s.conn.forget(s.key());
    // One that ends gives way; one that is above the whole budget passes alone.
    s.conn.reset(keys[1], Reason::CANCEL);
    s.conn.forget(keys[1]);
    assert!(credited(&s.output(), 5) > 0);
    s.conn.forget(keys[2]);
    s.conn.expect(keys[0], 3 << 20, Claim::Awaited);
    assert!(credited(&s.output(), 1) > 2 << 20);
    s.conn.forget(keys[0]);
    assert!(s.conn.streams.ledger.is_zero());
    assert!(s.conn.streams.ledger.all_waiting() == 0);
}

#[test]
fn f4_padding_is_no_part_of_a_message_that_waits_for_the_budget() {
    let (mut s, keys) = claimed(1 << 20, 800_000, &[Claim::Awaited; 2]);
    s.output();
    for _ in 0..100 {
        // 44 octets of the message, 256 of padding with its length.
        s.input(&frame(DATA, PADDED, 3, &[&[255][..], &[0; 299]].concat()));
    }
    s.output();
    s.conn.forget(keys[0]);
    let window = 65_535 - 30_000;
    assert_eq!(credited(&s.output(), 3), 800_000 - 4_400 - window, "room for all of it");
}

#[test]
fn f4_a_message_that_will_never_be_complete_is_in_nobodys_way() {
    let (mut s, keys) = claimed(1 << 20, 3 << 20, &[Claim::Awaited; 2]);
    assert_eq!(granted(&mut s, &keys), [true, false]);
    pour(&mut s, (3 << 20) - 1);
    // Its owner does not let go.
    s.input(&rst(1, Reason::CANCEL));
    assert_eq!(granted(&mut s, &keys), [false, true]);
    keys.iter().for_each(|&key| s.conn.forget(key));
    assert!(s.conn.streams.ledger.is_zero());
}

#[test]
fn f4_a_stream_without_an_owner_holds_nothing() {
    let (mut s, keys) = claimed(1 << 20, 3 << 20, &[Claim::Awaited; 2]);
    assert_eq!(granted(&mut s, &keys), [true, false]);
    // Answered and let go while the answer waits for the window.
    s.conn.headers(keys[0], &block(&[(":status", "200")]), false);
    s.conn.data(keys[0], bytes(100_000), true);
    s.conn.forget(keys[0]);
    assert_eq!(granted(&mut s, &keys), [false, true]);
    // What was granted may come, and is dropped.
    pour(&mut s, 3 << 20);
    s.input(&rst(1, Reason::CANCEL));
    s.conn.forget(keys[1]);
    assert!(s.conn.streams.ledger.is_zero());
}

/// A server with streams 1, 3, 5 and so on, one for each claim, that ask for `len` octets in turn.
fn claimed(budget: usize, len: usize, claims: &[Claim]) -> (Side, Vec<Key>) {
    let options = Options { window_budget: budget, ..first_window(Options::new(Role::Server)) };
    let mut s = Side::server_with(&options);
    let ids = (1..).step_by(2);
    let keys = claims.iter().zip(ids).map(|(&claim, id)| {
        s.input(&request(id, 0));
        s.conn.expect(s.key(), len, claim);
        s.key()
    });
    let keys = keys.collect();
    (s, keys)
}

fn granted(s: &mut Side, keys: &[Key]) -> Vec<bool> {
    let out = s.output();
    keys.iter().map(|key| credited(&out, key.id) > 0).collect()
}

#[test]
fn f4_messages_ahead_of_their_readers_leave_a_quarter() {
    const LEN: usize = 65_535 + (1 << 20);
    let (mut s, keys) = claimed(16 << 20, LEN, &[Claim::Ahead; 20]);
    let passed = granted(&mut s, &keys);
    assert_eq!(passed.iter().filter(|&&passed| passed).count(), 12);
    assert_eq!(s.conn.stats().window_held, 12 << 20);
    assert_eq!(s.conn.streams.ledger.all_waiting(), 0, "their readers will ask");
    // Nor may windows grow into it.
    s.conn.round_trip = measured(MS * 100);
    s.input(&request(41, 0));
    for _ in 0..4 {
        s.input(&frame(DATA, 0, 41, &[0; 16_383]));
    }
    s.conn.release(s.key(), 65_532, true);
    s.input(&frame(DATA, 0, 41, &[0; 3]));
    s.conn.release(s.key(), 3, true);
    assert_eq!(s.conn.stats().window_held, 12 << 20);
    // One of them is waited for.
    s.output();
    s.conn.expect(keys[19], LEN, Claim::Awaited);
    assert_eq!(granted(&mut s, &keys[19..]), [true]);
    assert_eq!(s.conn.stats().window_held, 13 << 20);
}

#[test]
fn f4_one_message_of_each_kind_always_passes() {
    use Claim::{Ahead, Awaited, Handed};
    let all = [Ahead, Awaited, Handed, Awaited, Handed, Ahead];
    let (mut s, keys) = claimed(1 << 20, 5 << 20, &all);
    assert_eq!(granted(&mut s, &keys), [false, true, true, false, false, false]);
    // Complete, and its reader does not come: the next one's turn.
    s.conn.complete(keys[1]);
    assert_eq!(granted(&mut s, &keys), [false, false, false, true, false, false]);
    // A request is in the way of the next until it is taken.
    s.conn.complete(keys[2]);
    assert_eq!(granted(&mut s, &keys), [false; 6]);
    s.conn.taken(keys[2], 0, 5 << 20);
    assert_eq!(granted(&mut s, &keys), [false, false, false, false, true, false]);
    keys.iter().for_each(|&key| s.conn.forget(key));
    assert!(s.conn.streams.ledger.is_zero());
}

#[test]
fn f4_what_is_taken_serves_others_before_it_is_consumed() {
    let len = 1 << 20;
    let (mut s, keys) = claimed(1 << 20, len, &[Claim::Awaited; 2]);
    assert_eq!(granted(&mut s, &keys), [true, false]);
    pour(&mut s, len);
    s.conn.taken(keys[0], 0, len);
    assert_eq!(granted(&mut s, &keys), [false, true], "no credit, but a turn for the next");
    // Consumed: the window as before, and nothing twice.
    s.conn.release(keys[0], len, true);
    assert_eq!(credited(&s.output(), 1), 65_535);
    assert_eq!(s.conn.stats().window_held, (len - 65_535) as u64);
    s.conn.forget(keys[1]);
    assert!(s.conn.streams.ledger.is_zero());
}

#[test]
fn f4_padding_does_not_starve_a_granted_message() {
    let mut s = Side::server();
    s.input(&request(1, 0));
    let key = s.key();
    s.conn.expect(key, 200_000, Claim::Awaited);
    let (mut window, mut left) = (65_535 + credited(&s.output(), 1), 200_000usize);
    while left > 0 {
        let n = left.min(100);
        let n = n.min(window);
        let padding = 100.min(window - n);
        let mut payload = vec![padding.saturating_sub(1) as u8; usize::from(padding > 0)];
        payload.extend(vec![0; n + padding.saturating_sub(1)]);
        s.input(&frame(DATA, if padding > 0 { PADDED } else { 0 }, 1, &payload));
        left -= n;
        window = window - n - padding + credited(&s.output(), 1);
        assert!(window >= left.min(100), "{window} for {left}");
    }
}

/// A second at a time, until something is granted: how many seconds, and to whom.
fn wait_for_grant(s: &mut Side, keys: &[Key]) -> (u32, Vec<bool>) {
    for seconds in 1..120 {
        s.later(MS * 1000);
        let granted = granted(s, keys);
        if granted.contains(&true) {
            return (seconds, granted);
        }
    }
    panic!("nothing is granted");
}

#[test]
fn f4_half_sent_messages_let_honest_calls_pass() {
    for claim in [Claim::Handed, Claim::Awaited] {
        let (mut s, keys) = claimed(16 << 20, 4 << 20, &[claim; 5]);
        assert_eq!(granted(&mut s, &keys), [true, true, true, true, false]);
        let (waited, served) = wait_for_grant(&mut s, &keys);
        assert!(waited <= 3, "an honest call waits for {waited} seconds");
        assert_eq!(served, [false, false, false, false, true]);
        // It comes, and so do those after it.
        let key = keys[4];
        for _ in 0..20 {
            s.conn.complete(key);
            s.conn.taken(key, 0, 4 << 20);
            assert!(s.conn.expect(key, 4 << 20, claim));
        }
    }
}

#[test]
fn f4_a_request_that_does_not_come_on_is_given_up() {
    let (mut s, keys) = claimed(16 << 20, 4 << 20, &[Claim::Handed; 1]);
    s.events();
    let mut seconds = 0;
    while s.events().is_empty() {
        assert!(s.conn.poll_timeout().is_some_and(|at| at <= s.now + MS * 6000), "a timer");
        s.later(MS * 1000);
        seconds += 1;
        assert!(seconds < 40);
    }
    assert!(seconds >= 20, "{seconds}");
    s.expect_rst(1, Reason::ENHANCE_YOUR_CALM);
    s.conn.forget(keys[0]);
    assert!(s.conn.streams.ledger.is_zero());
}

#[test]
fn f4_no_stall_keeps_others_out_for_longer_than_the_limit() {
    // All that may stall beside the budget has stalled, and the budget is full as well.
    let (mut s, keys) = claimed(16 << 20, 4 << 20, &[Claim::Handed; 9]);
    let mut served = granted(&mut s, &keys);
    let mut seconds = 0;
    while served.contains(&false) {
        let (waited, more) = wait_for_grant(&mut s, &keys);
        served.iter_mut().zip(more).for_each(|(done, more)| *done |= more);
        seconds += waited;
        assert!(s.conn.streams.ledger.held() <= (2 * 16 + 4) << 20);
    }
    assert!(seconds <= 25, "{seconds}");
}

#[test]
fn f4_a_client_gives_a_reply_up_only_where_others_wait_for_its_room() {
    let options = Options { window_budget: 1 << 20, ..first_window(Options::new(Role::Client)) };
    let mut c = Side::client_with(&options);
    let stall = |c: &mut Side| {
        let key = c.conn.open(&block(GET), true).unwrap();
        c.input(&response(key.id, 0));
        c.conn.expect(key, 8 << 20, Claim::Awaited);
        key
    };
    let mut keys = vec![stall(&mut c)];
    c.later(MS * 3_600_000).events();
    assert!(c.conn.granted(keys[0]), "nobody minds");
    // The second one passes the first, which has lost its place. The third has to wait.
    keys.extend([stall(&mut c), stall(&mut c)]);
    let mut seconds = 0;
    while !c.conn.granted(keys[2]) {
        c.later(MS * 1000);
        seconds += 1;
        assert!(seconds <= 45, "for ever");
    }
    assert!(c.events().iter().any(|e| matches!(e, Event::Reset(..))));
}

#[test]
fn data_for_nobody_does_not_use_up_its_stream() {
    // Its owner has gone, and the answer waits for a peer that wants to be rid of its request first.
    let mut s = Side::server();
    s.input(&frame(SETTINGS, 0, 0, &setting(4, 0))).input(&request(1, 0));
    let key = s.key();
    pour(&mut s, 60_000);
    s.conn.headers(key, &block(&[(":status", "200")]), false);
    s.conn.data(key, bytes(10), true);
    s.conn.forget(key);
    let (mut window, mut poured) = (5_535 + credited(&s.output(), 1), 60_000);
    while window > 0 {
        let n = window.min(16_384);
        pour(&mut s, n);
        window = window - n + credited(&s.output(), 1);
        poured += n;
    }
    let most = crate::http2::DRAINED;
    assert!((most..=most + 65_535).contains(&poured), "{poured}");
    s.input(&update(1, 10));
    assert_eq!(sent(&s.output()), [(10, true)], "the answer was read at last");
    s.later(MS * 200).expect_rst(1, Reason::NO_ERROR);
    assert!(s.conn.streams.ledger.is_zero() && s.conn.stats().held == 0);
}
