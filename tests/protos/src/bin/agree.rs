//! Reads messages, decodes them with generated code, and writes what that encodes: for agree.py, which compares.
//!
//! On standard input: an octet that says which type, a length of four octets, the message; the same comes back.

use std::io::{Read, Write};

use prost::Message;

use all::{editions, odd};

include!("../all.rs");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    loop {
        let mut head = [0; 5];
        if input.read(&mut head[..1])? == 0 {
            return Ok(output.flush()?);
        }
        input.read_exact(&mut head[1..])?;
        let mut message = vec![0; u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize];
        input.read_exact(&mut message)?;
        let message = &message[..];
        let octets = match head[0] {
            b'e' => editions::all::Everything::decode(message)?.encode_to_vec(),
            b'i' => editions::implicit::Outer::decode(message)?.encode_to_vec(),
            b'd' => odd::defaults::Defaults::decode(message)?.encode_to_vec(),
            b'c' => odd::case::Case::decode(message)?.encode_to_vec(),
            other => return Err(format!("there is no type {other}").into()),
        };
        output.write_all(&u32::try_from(octets.len())?.to_le_bytes())?;
        output.write_all(&octets)?;
    }
}
