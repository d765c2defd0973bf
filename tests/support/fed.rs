//! A stream of responses whose peer sends what the test says, when it says so.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "tests have threads of their own")]

use super::support::frames::Listener;
use bytes::Bytes;
use grpc_threads::{Channel, Responses, insecure_channel};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

/// A peer that sends messages on the one stream, and ends it with a status.
pub struct Fed {
    pub channel: Channel,
    tell: Sender<Option<u32>>,
    peer: JoinHandle<()>,
}

impl Fed {
    pub fn new() -> Self {
        let listener = Listener::new();
        let channel = insecure_channel(&listener.target()).unwrap();
        let (tell, told) = mpsc::channel::<Option<u32>>();
        let peer = thread::spawn(move || {
            let mut peer = listener.accept();
            let request = peer.wait_request();
            peer.respond_head(request.stream);
            for what in told {
                match what {
                    None => peer.message(request.stream, b"x", false),
                    Some(status) => peer.respond_trailers(request.stream, status),
                }
            }
            peer.drain();
        });
        Self { channel, tell, peer }
    }

    /// The one call.
    pub fn responses(&self) -> Responses<Bytes> {
        self.channel.raw_unary_stream("/test.S/Many").unwrap().call(&Bytes::new()).unwrap()
    }

    /// A message "x".
    pub fn message(&self) {
        self.tell.send(None).unwrap();
    }

    pub fn status(&self, status: u32) {
        self.tell.send(Some(status)).unwrap();
    }

    pub fn end(self) {
        drop(self.tell);
        self.channel.close();
        self.peer.join().unwrap();
    }
}
