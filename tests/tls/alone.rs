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
use support::alone;
use support::leaks::Holdings;
use support::proxy::{Harm, Plan, Proxy};

#[test]
fn handshakes_that_stall_hold_nobody_up_and_leave_nothing() {
    let _alone = alone();
    let server = Secure::new();
    call(&server.channel()).unwrap();
    let before = Holdings::now();
    let hello = client_hello();
    let stalled: Vec<_> = (0..200)
        .map(|at| {
            let mut socket = TcpStream::connect(server.address()).unwrap();
            socket.write_all(&hello[..at % hello.len()]).unwrap();
            socket
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(call(&server.channel()).unwrap(), b"hello"[..]);
    }
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
    // Not random: every place is met in the end, and a failure can be had again.
    for at in 0..60 {
        let harm = [Harm::Close, Harm::Reset, Harm::HalfClose][at % 3];
        proxy.next(match at % 2 {
            0 => Plan::up(at * 37 % up, harm),
            _ => Plan::down(at * 37 % down, harm),
        });
        let channel = channel();
        // What it comes to is another matter: the next connection passes.
        let _ = call(&channel);
        drop(channel);
    }
    proxy.cut(Harm::Close);
    before.assert_no_more();
}
