//! Compressors of the program's own.

use crate::service::*;
use crate::support::frames::{Peer, message};
use crate::{flagged, messages, text};
use bytes::Bytes;
use grpc_threads::{Compression, Compressor, Server, ServerOptions};
use std::io::{self, Write};

/// Turns octets around, and drops a last `!`, of which there is one: so what ends in it gets shorter.
struct Around;

const AROUND: Compression = Compression::Custom("around");

impl Compressor for Around {
    fn name(&self) -> &str {
        "around"
    }

    fn compress(&self, message: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let Some(rest) = message.strip_suffix(b"!") else { return out.write_all(message) };
        assert!(!rest.starts_with(b"panic"), "told to");
        out.write_all(&rest.iter().rev().copied().collect::<Vec<_>>())
    }

    fn decompress(&self, packed: &[u8], limit: usize, out: &mut dyn Write) -> io::Result<()> {
        match packed {
            b"panic" => panic!("told to"),
            b"fail" => return Err(io::Error::other("told to fail")),
            b"much" => (0..=limit).try_for_each(|_| out.write_all(b"x"))?,
            _ => out.write_all(&packed.iter().rev().copied().collect::<Vec<_>>())?,
        }
        out.write_all(b"!")
    }
}

fn served() -> Served {
    let options = ServerOptions::default().compression(AROUND).max_receive_message_size(1_000);
    let server = Server::builder().options(options).compressor(Around).build().unwrap();
    Served::start(server, "127.0.0.1:0", [])
}

#[test]
fn a_compressor_works_both_ways_and_is_announced_behind_ours() {
    let served = served();
    let builder = Channel::builder(&served.target()).compressor(Around).compression(AROUND);
    let channel = builder.connect_lazily().unwrap();
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    for text in ["hello!", "hello", "", "!"] {
        assert_eq!(echo.call(&text.into()).unwrap(), text);
    }
    let mut peer = Peer::connect(served.address());
    let stream =
        peer.open(ECHO, &[("grpc-encoding", "around"), ("grpc-accept-encoding", "around")]);
    peer.data(stream, &flagged(1, b"olleh"), true);
    let ended = peer.wait_end(stream);
    assert_eq!(messages(&ended.body), [(1, b"olleh".to_vec())]);
    assert_eq!(ended.head("grpc-encoding").as_deref(), Some("around"));
    assert_eq!(ended.head("grpc-accept-encoding").as_deref(), Some("gzip,deflate,around"));
}

#[test]
fn what_a_compressor_does_wrong_ends_its_own_call() {
    let served = served();
    let mut peer = Peer::connect(served.address());
    for (packed, code) in [
        (&b"panic"[..], Code::Internal),
        (b"fail", Code::Internal),
        (b"much", Code::ResourceExhausted),
    ] {
        let stream = peer.open(ECHO, &[("grpc-encoding", "around")]);
        peer.data(stream, &flagged(1, packed), true);
        assert_eq!(peer.wait_end(stream).status(), Some(code as u32), "{packed:?}");
    }
    // One that panics on the way out.
    let stream = peer.open(ECHO, &[("grpc-accept-encoding", "around")]);
    peer.data(stream, &message(b"panic!"), true);
    assert_eq!(peer.wait_end(stream).status(), Some(Code::Internal as u32));
    let stream = peer.request(ECHO, &text()[..100]);
    assert_eq!(peer.wait_end(stream).messages(), [text()[..100].to_vec()]);
    let builder = Channel::builder(&served.target()).compressor(Around).compression(AROUND);
    let channel = builder.connect_lazily().unwrap();
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let status = echo.call(&Bytes::from_static(b"panic!")).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("compressor panicked"), "{status}");
    assert_eq!(echo.call(&"hello!".into()).unwrap(), "hello!");
}

#[test]
fn one_of_the_name_of_ours_stands_in_for_it() {
    struct Gzip;

    impl Compressor for Gzip {
        fn name(&self) -> &str {
            "gzip"
        }

        fn compress(&self, _: &[u8], out: &mut dyn Write) -> io::Result<()> {
            out.write_all(b"!")
        }

        fn decompress(&self, _: &[u8], _: usize, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(b"from a gzip of its own")
        }
    }

    let served = Served::new();
    let channel = Channel::builder(&served.target()).compressor(Gzip).connect_lazily().unwrap();
    let echo = channel.raw_unary_unary(ECHO).unwrap().compression(Compression::Gzip);
    let status = echo.call(&"hello".into()).unwrap_err();
    assert_eq!(status.code(), Code::Internal, "an exclamation mark is no gzip for the server");
}
