//! Compression on the wire, of either side, against a peer that writes each flag itself; and of both sides together.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod client;
mod custom;
mod server;
#[path = "../support/service.rs"]
mod service;
#[path = "../support/mod.rs"]
mod support;
mod together;

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression as Level, bufread};
use std::io::{Read, Write};

/// A message with its prefix.
fn flagged(flag: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap();
    [&[flag][..], &len.to_be_bytes(), payload].concat()
}

/// The flags and payloads of a body.
fn messages(body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut rest, mut found) = (body, Vec::new());
    while let [flag, a, b, c, d, behind @ ..] = rest {
        let (payload, after) = behind.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        found.push((*flag, payload.to_vec()));
        rest = after;
    }
    assert!(rest.is_empty());
    found
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::default());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(packed: &[u8]) -> Vec<u8> {
    let (mut decoder, mut out) = (bufread::GzDecoder::new(packed), Vec::new());
    decoder.read_to_end(&mut out).unwrap();
    assert!(decoder.into_inner().is_empty(), "one member, and nothing behind it");
    out
}

/// RFC 1950.
fn zlib(message: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Level::default());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

/// RFC 1951.
fn raw_deflate(message: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Level::default());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

/// Gets smaller.
fn text() -> Vec<u8> {
    b"{\"name\": \"a name\", \"value\": 12345}, ".repeat(30)
}

/// Does not.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// What is no message by gzip, and what is wrong with it.
fn broken_gzip() -> Vec<(&'static str, Vec<u8>)> {
    let good = gzip(&text());
    let behind = |more: &[u8]| [&good[..], more].concat();
    let changed = |at: usize| {
        let mut changed = good.clone();
        changed[at] ^= 0x55;
        changed
    };
    vec![
        ("nothing at all", Vec::new()),
        ("raw deflate", raw_deflate(&text())),
        ("the zlib form", zlib(&text())),
        ("another checksum", changed(good.len() - 8)),
        ("another length", changed(good.len() - 4)),
        ("cut in its header", good[..7].to_vec()),
        ("cut in the middle", good[..good.len() / 2].to_vec()),
        ("cut in its trailer", good[..good.len() - 1].to_vec()),
        ("a zero behind", behind(&[0])),
        ("512 zeros behind", behind(&[0; 512])),
        ("garbage behind", behind(b"x")),
        ("half a second member", behind(&good[..good.len() - 3])),
    ]
}
