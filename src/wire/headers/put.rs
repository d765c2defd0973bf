//! Metadata to fields of a block.

use crate::http2::hpack::encode;
use crate::metadata::{Metadata, encode_base64, is_binary};

/// Carried by the library: see [`trailers`](super::trailers()).
pub(super) const DETAILS: &[u8] = b"grpc-status-details-bin";

/// Appends all entries but those that only the protocol may send, and those called `except`.
pub(super) fn metadata(out: &mut Vec<u8>, metadata: &Metadata, except: &[u8]) {
    if metadata.is_empty() {
        return;
    }
    let mut text = Vec::new();
    for (key, value) in metadata.raw() {
        // A peer's user agent is shown among its metadata; passed on, it would claim to be ours.
        if key == b"user-agent" || key == except {
            continue;
        }
        text.clear();
        if is_binary(key) {
            encode_base64(value, &mut text);
            field(out, key, &text);
        } else if value.iter().all(|octet| printable(*octet)) {
            field(out, key, value);
        } else {
            // W28: what was received may be passed on, but nothing that HTTP forbids gets out (W25).
            text.extend(value.iter().map(|octet| if printable(*octet) { *octet } else { b'?' }));
            field(out, key, &text);
        }
    }
}

/// Appends a field; secrets are kept out of every table on the way (RFC 7541 §7.1.3).
fn field(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    match key {
        b"authorization" | b"proxy-authorization" | b"cookie" => {
            encode::never_indexed(out, key, value);
        }
        _ => encode::literal(out, key, value),
    }
}

/// § `doc/PROTOCOL-HTTP2.md`: "ASCII-Value → 1*( %x20-%x7E )".
fn printable(octet: u8) -> bool {
    matches!(octet, b' '..=b'~')
}
