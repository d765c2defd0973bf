//! The encoder (RFC 7541 §6): functions that append one field to a block.
//!
//! It keeps no state. Fields are named by the static table or spelled out, never
//! inserted into the peer's dynamic table, and never Huffman-coded. So a block can
//! be made outside every lock, cached, thrown away, or sent on another connection;
//! and what a secret has in common with other fields cannot be measured (§7.1).
//!
//! One thing is left to the connection: to begin the block that follows its
//! acknowledgement of a lowered SETTINGS_HEADER_TABLE_SIZE with [`no_table`].

/// Entries of the static table (RFC 7541 appendix A) that gRPC has a use for.
pub(crate) mod index {
    /// `:authority`, name only
    pub(crate) const AUTHORITY: u8 = 1;
    /// `:method: POST`
    pub(crate) const METHOD_POST: u8 = 3;
    /// `:path: /`, and the name
    pub(crate) const PATH: u8 = 4;
    /// `:scheme: http`
    pub(crate) const SCHEME_HTTP: u8 = 6;
    /// `:scheme: https`
    pub(crate) const SCHEME_HTTPS: u8 = 7;
    /// `:status: 200`, and the name
    pub(crate) const STATUS_200: u8 = 8;
    /// `content-length`, name only
    pub(crate) const CONTENT_LENGTH: u8 = 28;
    /// `content-type`, name only
    pub(crate) const CONTENT_TYPE: u8 = 31;
    /// `user-agent`, name only
    pub(crate) const USER_AGENT: u8 = 58;
}

/// Begins a block with the statement that we use no dynamic table: a size update to
/// 0 (§6.3), which obeys any limit.
///
/// "An endpoint MUST treat a field block that follows an acknowledgment of the
/// reduction to the maximum dynamic table size as a connection error of type
/// COMPRESSION_ERROR if it does not start with a conformant Dynamic Table Size Update
/// instruction" (RFC 9113 §4.3.1), and nghttp2 does.
#[inline]
pub(crate) fn no_table(out: &mut Vec<u8>) {
    out.push(0x20);
}

/// Appends an entry of the static table, name and value: one octet (§6.1).
#[inline]
pub(crate) fn indexed(out: &mut Vec<u8>, static_index: u8) {
    debug_assert!((1..=STATIC_LEN).contains(&static_index));
    out.push(0x80 | static_index);
}

/// Appends a field spelled out (§6.2.2).
#[inline]
pub(crate) fn literal(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(0x00);
    string(out, name);
    string(out, value);
}

/// Appends a field whose name is that of a static entry (§6.2.2).
#[inline]
pub(crate) fn literal_static_name(out: &mut Vec<u8>, static_index: u8, value: &[u8]) {
    debug_assert!((1..=STATIC_LEN).contains(&static_index));
    integer(out, 0x00, 4, usize::from(static_index));
    string(out, value);
}

/// Appends a secret, spelled out. Whoever forwards it keeps it out of every dynamic
/// table too: "it MUST always be encoded with this specific literal representation"
/// (§6.2.3, §7.1.3).
#[inline]
pub(crate) fn never_indexed(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(0x10);
    string(out, name);
    string(out, value);
}

/// A string without Huffman code (§5.2).
#[inline]
fn string(out: &mut Vec<u8>, octets: &[u8]) {
    integer(out, 0x00, 7, octets.len());
    out.extend_from_slice(octets);
}

/// An integer in the low `bits` of an octet that begins with `pattern`, and in as
/// many further octets as it takes (§5.1).
#[inline]
fn integer(out: &mut Vec<u8>, pattern: u8, bits: u8, value: usize) {
    let mask = (1_usize << bits) - 1;
    if value < mask {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Entries of the static table.
const STATIC_LEN: u8 = 61;
