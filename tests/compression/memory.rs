//! What a bomb costs: in a process of its own, whose memory is looked at.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "../support/service.rs"]
mod service;
#[path = "../support/mod.rs"]
mod support;

use flate2::{Compress, Compression as Level, FlushCompress};
use service::*;
use support::LONG;
use support::frames::{DATA, Listener, Peer};

/// The most memory that the process has had, in KiB; `reset` begins anew.
fn peak(reset: bool) -> usize {
    if reset {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A gigabyte of zeros in a megabyte, with its prefix. Its checksum is wrong, which nobody should come to see.
fn bomb() -> Vec<u8> {
    // A megabyte, that ends at a whole octet, and does not refer to what was before.
    let (mut deflate, mut part) = (Compress::new(Level::best(), false), Vec::with_capacity(4_096));
    deflate.compress_vec(&vec![0; 1 << 20], &mut part, FlushCompress::Full).unwrap();
    let mut bomb = vec![1, 0, 0, 0, 0, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    bomb.extend(part.repeat(1 << 10));
    bomb.extend([0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0x40]);
    let len = u32::try_from(bomb.len() - 5).unwrap();
    bomb[1..5].copy_from_slice(&len.to_be_bytes());
    assert!(len < 2 << 20, "{len}");
    bomb
}

#[test]
fn a_gigabyte_in_a_megabyte_ends_with_resource_exhausted_in_eight_megabytes() {
    let bomb = bomb();
    // The server's side, warm.
    let served = Served::new();
    let mut peer = Peer::connect(served.address());
    let stream = peer.request(ECHO, b"x");
    peer.wait_end(stream);
    let before = peak(true);
    let stream = peer.open(ECHO, &[("grpc-encoding", "gzip")]);
    for part in bomb.chunks(16_384) {
        peer.data(stream, part, false);
    }
    peer.data(stream, b"", true);
    let ended = peer.wait_end(stream);
    assert_eq!(ended.status(), Some(Code::ResourceExhausted as u32));
    let cost = peak(false) - before;
    println!("the server: {cost} KiB");
    assert!(cost < 8 << 10, "the server: {cost} KiB");

    // The client's.
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let mut warm = echo.future(&"x".into());
    let mut peer = listener.accept();
    let head = peer.wait_request();
    peer.respond(head.stream, b"x");
    warm.result(Some(LONG)).unwrap();
    let before = peak(true);
    let mut future = echo.future(&"x".into());
    let head = peer.wait_request();
    peer.wait_for(|frame| frame.stream == head.stream && frame.kind == DATA);
    let fields =
        [(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
    peer.headers(head.stream, &fields, false);
    for part in bomb.chunks(16_384) {
        peer.data(head.stream, part, false);
    }
    peer.respond_trailers(head.stream, 0);
    let error = future.result(Some(LONG)).unwrap_err();
    assert_eq!(Status::from(error).code(), Code::ResourceExhausted);
    let cost = peak(false) - before;
    println!("the client: {cost} KiB");
    assert!(cost < 8 << 10, "the client: {cost} KiB");
}
