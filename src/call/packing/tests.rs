use super::*;

use std::io::{self, Write};
use std::sync::Arc;

use crate::codec::Raw;
use crate::compression::Compression;

/// Runs of octets, each as a count and an octet. Some messages make it fail, or panic.
struct Runs;

impl Compressor for Runs {
    fn name(&self) -> &str {
        "runs"
    }

    fn compress(&self, message: &[u8], out: &mut dyn Write) -> io::Result<()> {
        match message {
            [b'p', ..] => panic!("told to"),
            [b'f', ..] => return Err(io::Error::other("told to fail")),
            _ => {}
        }
        message
            .chunk_by(|a, b| a == b)
            .flat_map(|run| run.chunks(255))
            .try_for_each(|run| out.write_all(&[u8::try_from(run.len()).unwrap(), run[0]]))
    }

    fn decompress(&self, packed: &[u8], limit: usize, out: &mut dyn Write) -> io::Result<()> {
        assert!(packed != b"panic", "told to");
        let mut rest = packed;
        while let [count, octet, behind @ ..] = rest {
            let written = out.write_all(&vec![*octet; usize::from(*count)]);
            // The last run of all does not care.
            if *octet != b'!' {
                written?;
            }
            rest = behind;
        }
        assert!(limit > 0);
        if rest.is_empty() { Ok(()) } else { Err(io::Error::other("half a run")) }
    }
}

fn encodings() -> Encodings {
    Encodings::new(&[Arc::new(Runs)], None).unwrap()
}

fn runs(own: &Encodings) -> Encoding {
    own.asked(Compression::Custom("runs")).unwrap()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::new();
    framing::encode(&Raw, &Bytes::copy_from_slice(message), 1 << 20, &mut framed).unwrap();
    framed
}

fn unpacked(packed: &[u8], limit: usize) -> Result<Bytes, Status> {
    let own = encodings();
    let message = Message { bytes: Bytes::copy_from_slice(packed), encoding: runs(&own) };
    unpack(message, &own, limit)
}

#[test]
fn a_message_is_packed_when_that_makes_it_smaller_and_else_left_as_it_is() {
    let own = encodings();
    let all = ["runs", "gzip", "deflate"].into_iter().filter_map(|name| own.find(name.as_bytes()));
    for encoding in all {
        let mut long = framed(&[7; 1000]);
        pack(&mut long, encoding, &own).unwrap();
        assert!(long.len() < 100 && long[0] == 1);
        assert_eq!(long[1..5], u32::try_from(long.len() - 5).unwrap().to_be_bytes());
        let message = Message { bytes: Bytes::copy_from_slice(&long[5..]), encoding };
        assert_eq!(unpack(message, &own, 1000).unwrap(), vec![7; 1000]);
        for message in [&b""[..], b"a", b"abcdefgh"] {
            let mut short = framed(message);
            pack(&mut short, encoding, &own).unwrap();
            assert_eq!(short, framed(message), "{message:?}");
        }
    }
}

#[test]
fn what_a_compressor_may_do_wrong_ends_the_call_with_internal() {
    let own = encodings();
    for (message, words) in [(&b"panic"[..], "panicked"), (b"ffffffffff", "told to fail")] {
        let status = pack(&mut framed(message), runs(&own), &own).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains(words), "{status}");
    }
    for (packed, words) in [(&b"panic"[..], "panicked"), (b"\x03aX", "half a run")] {
        let status = unpacked(packed, 100).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains(words), "{status}");
    }
}

#[test]
fn no_compressor_gets_past_the_limit() {
    assert_eq!(unpacked(b"\x40a\x24b", 100).unwrap().len(), 100);
    for packed in [&b"\x40a\x25b"[..], b"\x40a\x25!\x01!"] {
        let status = unpacked(packed, 100).unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().contains("more than 100 bytes"), "{status}");
    }
}
