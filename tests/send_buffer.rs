//! How much of a call may wait to be sent before its sender waits: `send_buffer`, on both sides.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::ServerOptions;
use service::*;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use support::frames::{Listener, Peer};
use support::{LONG, within};

const PIECE: usize = 16 << 10;

/// How many pieces of a call are taken at once, of a peer that gives no credit beyond the first 65 535 bytes.
fn taken(mut try_send: impl FnMut(&Bytes) -> Result<(), ResultError>) -> usize {
    let piece = Bytes::from(vec![7; PIECE]);
    let mut count = 0;
    loop {
        match try_send(&piece) {
            Ok(()) => count += 1,
            Err(ResultError::TimedOut) => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The window takes the first four, but for their prefixes.
const IN_WINDOW: usize = 4;

/// By a buffer of so many bytes.
fn due(buffer: Option<usize>) -> std::ops::RangeInclusive<usize> {
    let pieces = IN_WINDOW + buffer.unwrap_or(64 << 10) / PIECE;
    pieces - 1..=pieces + 1
}

/// None: as it is by default.
const BUFFERS: [Option<usize>; 4] = [Some(1), None, Some(256 << 10), Some(1 << 20)];

#[test]
fn a_client_takes_as_much_of_a_call_as_its_buffer_holds() {
    for buffer in BUFFERS {
        let listener = Listener::new();
        let target = listener.target();
        let (release, released) = mpsc::channel::<()>();
        let peer = thread::spawn(move || {
            let mut peer = listener.accept();
            peer.wait_request();
            let _ = released.recv();
        });
        within(LONG, move || {
            let builder = Channel::builder(&target);
            let builder = match buffer {
                Some(bytes) => builder.send_buffer(bytes),
                None => builder,
            };
            let channel = builder.connect_lazily().unwrap();
            let mut call = channel.raw_stream_stream("/test.Test/Any").unwrap().open();
            call.wait_for_connection(Some(LONG)).unwrap();
            let taken = taken(|piece| call.try_send(piece));
            assert!(due(buffer).contains(&taken), "{taken} pieces by {buffer:?}");
            let waits = call.send_timeout(&Bytes::new(), Duration::from_millis(20));
            assert!(matches!(waits, Err(ResultError::TimedOut)), "{waits:?}");
        });
        drop(release);
        peer.join().unwrap();
    }
}

#[test]
fn a_server_takes_as_much_of_a_call_as_its_buffer_holds() {
    for buffer in BUFFERS {
        let (tell, told) = mpsc::channel();
        let sends = by_hand(move |stream, _| {
            tell.send(taken(|piece| stream.try_send(piece))).unwrap();
            Ok(())
        });
        let options = ServerOptions::default();
        let options = match buffer {
            Some(bytes) => options.send_buffer(bytes),
            None => options,
        };
        let builder = Server::builder().thread_pool(ThreadPool::new(1)).options(options);
        let server = builder.build().unwrap();
        let served = Served::start(server, "127.0.0.1:0", [("Sends", sends)]);
        let mut peer = Peer::connect(served.address());
        peer.open("/test.Test/Sends", &[]);
        let taken = told.recv_timeout(LONG).unwrap();
        assert!(due(buffer).contains(&taken), "{taken} pieces by {buffer:?}");
    }
}

#[test]
fn messages_pass_in_order_through_the_smallest_of_buffers() {
    within(LONG, || {
        let options = ServerOptions::default().send_buffer(1);
        let builder = Server::builder().thread_pool(ThreadPool::new(2)).options(options);
        let served = Served::start(builder.build().unwrap(), "127.0.0.1:0", []);
        let channel = Channel::builder(&served.target()).send_buffer(1).connect_lazily().unwrap();
        let messages = (0..2_000).map(|n: u32| Bytes::from(n.to_be_bytes().repeat(1 + n as usize)));
        let echo = channel.raw_stream_stream(BIDI).unwrap();
        let back: Vec<_> = echo.spawn(messages.clone()).collect::<Result<_, _>>().unwrap();
        assert!(back.into_iter().eq(messages));
    });
}
