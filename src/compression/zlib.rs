//! gzip (RFC 1952) and deflate (RFC 1950), each over raw deflate (RFC 1951).
//!
//! The wrappings are our own, so that one state of zlib serves every message, whatever comes in it: the wrappings of the crate
//! below make a state for each. Inflating never writes more than one octet beyond the limit, and hands nothing up before the
//! end has been checked, to the last octet: the checksums, and that nothing stands behind.

use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};

/// What is around the deflated octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// RFC 1952. Several members are one message; the limit is for all of them.
    Gzip,
    /// RFC 1950: what HTTP calls deflate.
    Zlib,
}

/// What zlib remembers while it works: 40 KiB to inflate, some 270 KiB to deflate. Any may be used for the next message.
pub(crate) enum State {
    Inflate(Decompress),
    Deflate(Form, Compress),
}

/// States that wait for the next message: a few.
#[derive(Default)]
pub(crate) struct States {
    inflate: Vec<Decompress>,
    deflate: Vec<(Form, Compress)>,
}

/// So many of each are kept.
const MOST: usize = 8;

/// Level 6, as everybody else's default.
const LEVEL: flate2::Compression = flate2::Compression::new(6);

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It has more octets than the limit.
    TooLong,
    /// There is no memory for what it has.
    NoMemory,
    /// It is not what it says it is.
    Corrupt(&'static str),
}

impl State {
    pub(crate) fn to_inflate() -> Self {
        Self::Inflate(Decompress::new(false))
    }

    pub(crate) fn to_deflate(form: Form) -> Self {
        Self::Deflate(form, Compress::new(LEVEL, form == Form::Zlib))
    }
}

impl States {
    pub(crate) const fn new() -> Self {
        Self { inflate: Vec::new(), deflate: Vec::new() }
    }

    /// One for this form: to deflate, or to inflate.
    pub(crate) fn take(&mut self, to_deflate: Option<Form>) -> Option<State> {
        let Some(form) = to_deflate else { return self.inflate.pop().map(State::Inflate) };
        let at = self.deflate.iter().rposition(|(own, _)| *own == form)?;
        let (form, state) = self.deflate.swap_remove(at);
        Some(State::Deflate(form, state))
    }

    /// Gives back what is too much.
    pub(crate) fn put(&mut self, state: State) -> Option<State> {
        match state {
            State::Inflate(state) if self.inflate.len() < MOST => self.inflate.push(state),
            State::Deflate(form, state) if self.deflate.len() < MOST => {
                self.deflate.push((form, state));
            }
            too_many => return Some(too_many),
        }
        None
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.inflate.len() + self.deflate.len()
    }
}

/// Appends `message` to `out`, compressed. False: it would not be shorter, and what `out` has got of it is of no use.
pub(crate) fn deflate(state: &mut State, message: &[u8], out: &mut Vec<u8>) -> bool {
    let State::Deflate(form, state) = state else { return false };
    state.reset();
    let form = *form;
    let start = out.len();
    let around = if form == Form::Gzip { HEADER.len() + TRAILER } else { 0 };
    let Some(most) = message.len().checked_sub(around + 1) else { return false };
    if form == Form::Gzip {
        out.extend_from_slice(&HEADER);
    }
    if !deflate_within(state, message, most, out) {
        return false;
    }
    if form == Form::Gzip {
        let mut crc = Crc::new();
        crc.update(message);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&length(message.len()));
    }
    out.len() - start < message.len()
}

/// Appends at most `most` octets. False: they are more.
fn deflate_within(state: &mut Compress, message: &[u8], most: usize, out: &mut Vec<u8>) -> bool {
    let end = out.len() + most;
    let mut rest = message;
    loop {
        if out.len() >= end {
            return false;
        }
        if out.len() + TRAILER >= out.capacity() {
            // A third is usual for text; in the worst case it is as long as the message.
            let more = (message.len() / 3).max(out.len()).min(end - out.len());
            if out.try_reserve_exact(more + TRAILER).is_err() {
                return false;
            }
        }
        let (before, had) = (state.total_in(), out.len());
        let status = state.compress_vec(rest, out, FlushCompress::Finish);
        let took = taken(before, state.total_in());
        match status {
            Ok(Status::StreamEnd) => return out.len() <= end,
            Ok(_) if took > 0 || out.len() > had => {}
            Ok(_) | Err(_) => return false,
        }
        rest = rest.get(took..).unwrap_or_default();
    }
}

/// Appends to `out` what `packed` is, if it is at most `limit` octets; what `out` has had before counts.
pub(crate) fn inflate(
    state: &mut State,
    form: Form,
    packed: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let State::Inflate(state) = state else { return Err(Fault::NoMemory) };
    reserve(out, guess(form, packed), limit)?;
    match form {
        Form::Gzip => members(state, packed, limit, out),
        Form::Zlib => {
            state.reset(true);
            let rest = inflate_one(state, packed, limit, out)?;
            if rest.is_empty() { Ok(()) } else { Err(BEHIND) }
        }
    }
}

/// § RFC 1952 §2.2: "A gzip file consists of a series of "members" […] one after another, with no additional information
/// before, between, or after them."
fn members(
    state: &mut Decompress,
    packed: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let mut rest = header(packed)?;
    loop {
        let start = out.len();
        state.reset(false);
        rest = inflate_one(state, rest, limit, out)?;
        let member = out.get(start..).unwrap_or_default();
        let (trailer, behind) = rest.split_at_checked(TRAILER).ok_or(CUT)?;
        let (crc, len) = trailer.split_at_checked(TRAILER / 2).ok_or(CUT)?;
        let mut own = Crc::new();
        own.update(member);
        if crc != own.sum().to_le_bytes() {
            return Err(Fault::Corrupt("its checksum is another"));
        }
        if len != length(member.len()) {
            return Err(Fault::Corrupt("its length is another"));
        }
        if behind.is_empty() {
            return Ok(());
        }
        // What stands behind is another member, or it has no business there: zeros have not, either.
        if !behind.starts_with(&MAGIC) && !MAGIC.starts_with(behind) {
            return Err(BEHIND);
        }
        rest = header(behind)?;
    }
}

/// Inflates to the end of a stream: what is behind it.
fn inflate_one<'a>(
    state: &mut Decompress,
    packed: &'a [u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], Fault> {
    let mut rest = packed;
    loop {
        if out.len() == out.capacity() {
            reserve(out, out.len(), limit)?;
        }
        let (before, had) = (state.total_in(), out.len());
        let status = state.decompress_vec(rest, out, FlushDecompress::Finish);
        if out.len() > limit {
            return Err(Fault::TooLong);
        }
        let status = status.map_err(|_| Fault::Corrupt("it is no deflated data"))?;
        let took = taken(before, state.total_in());
        rest = rest.get(took..).unwrap_or_default();
        if status == Status::StreamEnd {
            return Ok(rest);
        }
        if took == 0 && out.len() == had && out.len() < out.capacity() {
            return Err(CUT);
        }
    }
}

/// Room for `more`, but for no more than one octet beyond the limit: that one tells.
fn reserve(out: &mut Vec<u8>, more: usize, limit: usize) -> Result<(), Fault> {
    let most = limit.saturating_add(1).saturating_sub(out.len());
    let more = more.max(LEAST).min(most);
    out.try_reserve_exact(more).map_err(|_| Fault::NoMemory)
}

/// How long it may become. A gzip stream says so at its end; but nothing is reserved because a peer says so, other than in
/// proportion to what it has sent.
fn guess(form: Form, packed: &[u8]) -> usize {
    let said = packed.last_chunk().map_or(0, |len| u32::from_le_bytes(*len) as usize);
    let most = packed.len().saturating_mul(16);
    // One more, so that the end is seen at once.
    if form == Form::Gzip {
        said.saturating_add(1).min(most)
    } else {
        packed.len().saturating_mul(6)
    }
}

/// § RFC 1952 §2.3: reads a member's header; what is behind it.
fn header(packed: &[u8]) -> Result<&[u8], Fault> {
    let (fixed, mut rest) = packed.split_at_checked(HEADER.len()).ok_or_else(|| {
        let begun = packed.starts_with(&MAGIC) || MAGIC.starts_with(packed);
        if begun { CUT } else { NOT_GZIP }
    })?;
    let [0x1f, 0x8b, method, flags, ..] = *fixed else { return Err(NOT_GZIP) };
    if method != 8 {
        return Err(Fault::Corrupt("it is compressed in another way than by deflate"));
    }
    // § RFC 1952 §2.3.1.2: "must give an error indication if any reserved bit is non-zero".
    if flags & 0xe0 != 0 {
        return Err(Fault::Corrupt("reserved bits of its header are set"));
    }
    if flags & EXTRA != 0 {
        let (len, behind) = rest.split_first_chunk().ok_or(CUT)?;
        rest = behind.get(usize::from(u16::from_le_bytes(*len))..).ok_or(CUT)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|octet| *octet == 0).ok_or(CUT)?;
            rest = rest.get(end + 1..).ok_or(CUT)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        let so_far = packed.len() - rest.len();
        let (said, behind) = rest.split_first_chunk().ok_or(CUT)?;
        let mut crc = Crc::new();
        crc.update(packed.get(..so_far).unwrap_or_default());
        // "the two least significant bytes of the CRC32".
        if crc.sum() & 0xffff != u32::from(u16::from_le_bytes(*said)) {
            return Err(Fault::Corrupt("its header's checksum is another"));
        }
        rest = behind;
    }
    Ok(rest)
}

/// § RFC 1952 §2.3.1: "ISIZE … the size of the original (uncompressed) input data modulo 2^32".
fn length(len: usize) -> [u8; 4] {
    let [a, b, c, d, ..] = (len as u64).to_le_bytes();
    [a, b, c, d]
}

fn taken(before: u64, after: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Deflate, no flags, no time, no particular level, of an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// A checksum and a length.
const TRAILER: usize = 8;
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
/// What is reserved at least.
const LEAST: usize = 512;

const CUT: Fault = Fault::Corrupt("it is cut");
const BEHIND: Fault = Fault::Corrupt("something stands behind its end");
const NOT_GZIP: Fault = Fault::Corrupt("it does not begin as gzip does");

#[cfg(test)]
mod tests;
