//! What is left of pairs when they are gone: nothing. In a process of its own, which counts its threads and descriptors.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod service;
#[path = "../support/mod.rs"]
mod support;

use bytes::Bytes;
use grpc_threads::testing::Scripted;
use service::{COUNT, ECHO, pair};
use support::leaks::{Holdings, resident};
use support::{LONG, alone, eventually, pattern};

/// A pair's life, and what the process holds in the middle of it.
fn life() -> Holdings {
    let pair = pair();
    let echo = pair.channel().raw_unary_unary(ECHO).unwrap();
    assert!(echo.call(&Bytes::from(pattern(300 << 10))).is_ok());
    let unread = pair.channel().raw_unary_stream(COUNT).unwrap();
    let unread = unread.call(&Bytes::from_static(b"xxx")).unwrap();
    let during = Holdings::now();
    drop(unread);
    // One call that was taken, and one that nobody takes.
    let scripted = Scripted::new().unwrap();
    let one = scripted.channel().raw_unary_unary("/a.Service/One").unwrap();
    let (mut answered, left) = (one.future(&Bytes::new()), one.future(&Bytes::new()));
    let mut call = scripted.take("/a.Service/One");
    call.respond_bytes(&Bytes::new()).unwrap();
    call.finish(Ok(()));
    answered.result(None).unwrap();
    drop((scripted, left));
    during
}

/// What there is once for the process stays; workers go.
fn settled() -> Holdings {
    eventually(LONG, "the workers are gone", || {
        !Holdings::now().threads.keys().any(|name| name.starts_with("grpc-work"))
    });
    Holdings::now()
}

#[test]
fn nothing_is_left_of_a_pair_and_there_is_no_socket() {
    let _alone = alone();
    let during = life();
    assert_eq!(during.descriptors.get("socket"), None, "{during:?}");
    let before = settled();
    for _ in 0..50 {
        life();
    }
    before.assert_no_more();
}

#[test]
fn memory_comes_back() {
    let _alone = alone();
    (0..20).for_each(|_| drop(life()));
    settled();
    let before = resident();
    (0..200).for_each(|_| drop(life()));
    settled();
    let more = resident().saturating_sub(before);
    assert!(more < 20 << 20, "{more} octets more");
}
