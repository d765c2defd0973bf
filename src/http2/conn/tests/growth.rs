//! Windows that grow with the round trip, and when that is probed.

use super::windows::{credited, pour};
use super::*;

const MS: Duration = Duration::from_millis(1);

pub(super) fn measured(rtt: Duration) -> RoundTrip {
    let mut round_trip = RoundTrip::new();
    round_trip.on_settings(rtt);
    round_trip
}

#[test]
fn windows_grow_with_the_round_trip_while_the_reader_keeps_up() {
    let mut s = Side::server();
    s.conn.round_trip = measured(MS * 20);
    s.input(&request(1, 0));
    let key = s.key();
    s.output();
    let mut window = 65_535;
    let mut sizes = Vec::new();
    for _ in 0..20 {
        s.later(MS * 10);
        let n = window;
        pour(&mut s, n);
        s.conn.release(key, n, true);
        window = credited(&s.output(), 1);
        sizes.push(window);
    }
    assert!(sizes.windows(2).all(|w| w[0] <= w[1]));
    assert!(sizes.last() > Some(&(4 << 20)), "{sizes:?}");
    assert!(s.conn.stats().window_held <= 8 << 20, "growth leaves half to grants");
    s.conn.forget(key);
    assert!(s.conn.streams.ledger.is_zero());
}

#[test]
fn windows_do_not_grow_for_slow_lines_or_slow_readers() {
    let mut s = Side::server();
    s.conn.round_trip = measured(MS);
    s.input(&request(1, 0));
    let key = s.key();
    for _ in 0..200 {
        s.later(MS * 3);
        pour(&mut s, 30_000);
        s.conn.release(key, 30_000, true);
        s.output();
    }
    assert_eq!(s.conn.stats().window_held, 0, "64 KiB in 9 ms need no more");
    // A reader that leaves half a window unread.
    let mut s = Side::server();
    s.conn.round_trip = measured(MS * 100);
    s.input(&request(1, 0));
    let key = s.key();
    pour(&mut s, 65_535);
    for _ in 0..20 {
        s.conn.release(key, 32_000, false);
        s.conn.release(key, 768, false);
        let n = credited(&s.output(), 1);
        assert_eq!(n, 32_768);
        pour(&mut s, n);
    }
}

#[test]
fn f7_a_window_that_comes_in_by_halves_holds_the_peer_back() {
    let mut s = Side::server();
    s.conn.round_trip = measured(MS * 20);
    s.input(&request(1, 0));
    let key = s.key();
    // Each half waits a round trip, and a little, for the credit of the other.
    for _ in 0..12 {
        let half = (65_535 + s.conn.stats().window_held as usize).div_ceil(2);
        s.later(MS * 21);
        pour(&mut s, half);
        s.conn.release(key, half, true);
        s.output();
    }
    assert!(s.conn.stats().window_held > 1 << 20, "{}", s.conn.stats().window_held);
}

#[test]
fn k3_probes_follow_bulk_data_only() {
    let mut s = Side::server();
    s.input(&request(1, 0));
    let key = s.key();
    for _ in 0..3 {
        s.input(&frame(DATA, 0, 1, &[0; 16_384]));
    }
    s.conn.release(key, 3 * 16_384, true);
    assert_eq!(s.output().iter().filter(|f| f.kind == PING).count(), 0, "client/4.2/1");
    let probes = |s: &mut Side, messages: bool| {
        let mut probes = 0;
        for _ in 0..1000 {
            s.later(MS);
            s.input(&frame(DATA, 0, 1, &[0; 16_384]));
            s.conn.release(key, 16_384, true);
            if messages {
                s.conn.complete(key);
            }
            for f in s.output().into_iter().filter(|f| f.kind == PING) {
                s.input(&frame(PING, ACK, 0, &f.payload));
                probes += 1;
            }
        }
        probes
    };
    assert_eq!(probes(&mut s, false), 1, "one message");
    let found = probes(&mut s, true);
    assert!((2..=10).contains(&found), "{found}");
}
