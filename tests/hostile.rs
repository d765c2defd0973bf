//! What one hostile connection can make a process hold: no more than ARCHITECTURE.md's bound, whatever it sends, reads or
//! does not read; and it is given up when it takes nothing.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use service::*;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::frames::{
    ACK, DATA, END_STREAM, INITIAL_WINDOW_SIZE, PADDED, PING, Peer, SETTINGS, frame, request_fields,
};
use support::leaks::resident;
use support::{LONG, alone, eventually};

const MIB: usize = 1 << 20;

/// Sends `flood` again and again without reading, until the server takes no more for a while. How much it took.
fn never_reads(peer: &Peer, flood: &[u8]) -> usize {
    let mut socket = peer.socket();
    // The kernel would take megabytes for us.
    socket2::SockRef::from(socket).set_recv_buffer_size(4096).unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let batch = flood.repeat(8192 / flood.len() + 1);
    let (mut sent, until) = (0, Instant::now() + LONG);
    while let Ok(n) = socket.write(&batch) {
        sent += n;
        assert!(Instant::now() < until, "{sent} octets, and it still reads: {:?}", &flood[..9]);
    }
    sent
}

/// Waits until all of it has ended: what its last handlers still make is not to be counted as the next test's.
fn end(served: &Served) {
    served.server.stop(None).wait(LONG).unwrap();
}

#[test]
fn answers_that_a_peer_does_not_read_have_a_bound_whatever_kind_they_are() {
    let _alone = alone();
    let served = Served::new();
    let unknown: Vec<u8> = (0..200)
        .flat_map(|n| {
            let block = support::hpack::encode(&request_fields("/no.Such/Method"));
            frame(1, 4 | END_STREAM, 2 * n + 1, &block)
        })
        .collect();
    let padded = frame(DATA, PADDED, 1, &[vec![200], vec![0; 201]].concat());
    for (what, begin, flood) in [
        ("pings", Vec::new(), frame(PING, 0, 0, &[7; 8])),
        ("settings", Vec::new(), frame(SETTINGS, 0, 0, &[])),
        ("padding", hpack_request(SUM, 1), padded),
        ("requests for nothing", unknown, frame(PING, 0, 0, &[7; 8])),
    ] {
        let mut peer = Peer::connect(served.address());
        let before = resident();
        peer.send(&begin);
        never_reads(&peer, &flood);
        let held = resident().saturating_sub(before);
        assert!(held < 8 * MIB, "{what}: {held} octets are held");
    }
    end(&served);
}

fn hpack_request(path: &str, stream: u32) -> Vec<u8> {
    frame(1, 4, stream, &support::hpack::encode(&request_fields(path)))
}

#[test]
fn a_peer_that_takes_nothing_loses_its_connection_though_it_sends() {
    let _alone = alone();
    let limit = Duration::from_millis(300);
    let server =
        Server::builder().options(grpc_threads::ServerOptions::default().write_timeout(limit));
    let served = Served::start(server.build().unwrap(), "127.0.0.1:0", []);
    let peer = Peer::connect(served.address());
    never_reads(&peer, &frame(PING, 0, 0, &[7; 8]));
    let ping = frame(PING, ACK, 0, &[1; 8]);
    eventually(LONG, "the connection is given up", || {
        let mut socket = peer.socket();
        // A socket that is merely full times out; one that was closed says so.
        matches!(socket.write(&ping), Err(error) if error.kind() != std::io::ErrorKind::WouldBlock)
    });
    end(&served);
}

#[test]
fn whole_answers_behind_a_closed_window_have_a_bound_and_come_when_it_opens() {
    let _alone = alone();
    const WORKERS: usize = 2;
    let started = Arc::new(AtomicUsize::new(0));
    let count = started.clone();
    let large = unary(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(support::pattern(4 * MIB).into())
    });
    let served = Served::with(WORKERS, [("Large", large)]);
    let mut peer = Peer::connect_with(served.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    let before = resident();
    let streams: Vec<_> = (0..100).map(|_| peer.request("/test.Test/Large", b"")).collect();
    // The budget, and 64 KiB for each of 100 calls; then those that run, and the one that passes.
    let most = (16 * MIB + 100 * 64 * 1024) / (4 * MIB) + 1 + WORKERS + 1;
    eventually(LONG, "answers lie there", || started.load(Ordering::SeqCst) >= 5);
    peer.assert_alive();
    // The handlers that run have run: an honest call on another connection is answered after them.
    served.channel().raw_unary_unary(ECHO).unwrap().call(&"x".into()).unwrap();
    peer.assert_alive();
    let ran = started.load(Ordering::SeqCst);
    assert!(ran <= most, "{ran} answers for a client that takes none");
    let held = resident().saturating_sub(before);
    assert!(held < (most + 4) * 4 * MIB + 16 * MIB, "{} MiB", held / MIB);
    // The client opens its windows: nothing was lost.
    for stream in &streams {
        peer.window_update(*stream, 5 << 20);
    }
    peer.window_update(0, 1 << 30);
    for stream in streams {
        let end = peer.wait_end(stream);
        assert_eq!((end.status(), end.messages()[0].len()), (Some(0), 4 * MIB));
    }
    assert_eq!(started.load(Ordering::SeqCst), 100);
    end(&served);
}

#[test]
fn a_call_is_answered_though_others_leave_their_long_answers_unread() {
    let _alone = alone();
    let large = unary(|_, _| Ok(support::pattern(8 * MIB).into()));
    let served = Served::with(2, [("Large", large)]);
    let mut peer = Peer::connect_with(served.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    let unread: Vec<_> = (0..3).map(|_| peer.request("/test.Test/Large", b"")).collect();
    let wanted = peer.request(ECHO, b"now");
    peer.window_update(wanted, 1 << 20);
    assert_eq!(peer.wait_end(wanted).messages(), [b"now"]);
    // Those that end while they wait are not answered, and leave the place to others.
    for stream in unread {
        peer.reset(stream, 8);
    }
    let next = peer.request(ECHO, b"next");
    peer.window_update(next, 1 << 20);
    assert_eq!(peer.wait_end(next).messages(), [b"next"]);
    end(&served);
}
