//! What handshakes hold of the process, in a process in which nothing else happens.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "../support/service.rs"]
mod service;
#[path = "../support/mod.rs"]
mod support;

#[path = "common.rs"]
mod common;

use common::*;
use std::io::Write;
use std::net::TcpStream;
use support::leaks::{Holdings, resident};
use support::proxy::{Harm, Plan, Proxy};
use support::{alone, timed};

/// How many to try: as the environment says, or what does for each day.
fn how_many(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn handshakes_that_stall_hold_nobody_up_and_leave_nothing() {
    let _alone = alone();
    let server = Secure::new();
    let connect = || {
        let (time, answer) = timed(|| call(&server.channel()).unwrap());
        assert_eq!(answer, b"hello"[..]);
        time
    };
    connect();
    let usual = (0..5).map(|_| connect()).max().unwrap();
    let before = Holdings::now();
    let hello = client_hello();
    let stalled: Vec<_> = (0..how_many("TLS_STALLS", 300))
        .map(|at| {
            let mut socket = TcpStream::connect(server.address()).unwrap();
            socket.write_all(&hello[..at % hello.len()]).unwrap();
            socket
        })
        .collect();
    // The least of some: what others do on the machine is not meant.
    let beside = (0..5).map(|_| connect()).min().unwrap();
    assert!(beside < usual * 4, "{beside:?} to connect, without them {usual:?} at most");
    assert_eq!(Holdings::now().threads, before.threads, "none holds a thread");
    drop(stalled);
    before.assert_no_more();
}

#[test]
fn connections_that_are_cut_off_in_the_handshake_leave_nothing_on_either_side() {
    let _alone = alone();
    let server = Secure::new();
    let proxy = Proxy::new(server.address());
    let channel = || secure(&proxy.target()).connect_lazily().unwrap();
    call(&channel()).unwrap();
    let (up, down) = proxy.passed();
    let before = Holdings::now();
    let (count, mut memory) = (how_many("TLS_CUTS", 100), 0);
    for at in 0..count {
        let harm = [Harm::Close, Harm::Reset, Harm::HalfClose][at % 3];
        // As good as random, and a failure can be had again.
        let place = at.wrapping_mul(0x9E37_79B9) >> 8;
        proxy.next(match at % 2 {
            0 => Plan::up(place % up, harm),
            _ => Plan::down(place % down, harm),
        });
        let channel = channel();
        // What it comes to is another matter: the next connection passes.
        let _ = call(&channel);
        drop(channel);
        if at % 50 == 0 {
            proxy.cut(Harm::Close);
        }
        if at == count / 10 {
            memory = resident();
        }
    }
    proxy.cut(Harm::Close);
    before.assert_no_more();
    let grown = resident().saturating_sub(memory);
    assert!(grown < 8 << 20, "{grown} octets more than after a tenth of {count}");
}
