//! Messages that are compressed: packed on their sender's own thread, unpacked on that of whoever decodes them. Never on a
//! poller, and with no lock held.
//!
//! What zlib remembers is some 300 KiB a message; so it is kept for the next ones, with the buffers of long messages
//! ([`spares`]): a few for the process, until nobody has used them for a second.

use bytes::Bytes;

use crate::compression::{Compressor, Encoding, Encodings, How, Limited};
use crate::reactor::{spares, user};
use crate::status::{Code, Status};
use crate::wire::framing::{self, Message};

/// Compresses the one message in `framed`, which is left as it is when it would not get shorter. An empty one does not.
pub(crate) fn pack(
    framed: &mut Vec<u8>,
    encoding: Encoding,
    encodings: &Encodings,
) -> Result<(), Status> {
    let Some(how) = encodings.how(encoding) else { return Ok(()) };
    let message = framed.get(framing::PREFIX..).unwrap_or_default();
    if message.is_empty() {
        return Ok(());
    }
    let mut packed = vec![0; framing::PREFIX];
    let shorter = match how {
        #[cfg(feature = "gzip")]
        How::Built(form) => {
            let mut state = spares::state(Some(*form));
            let shorter = crate::compression::deflate(&mut state, message, &mut packed);
            spares::keep(state);
            shorter
        }
        How::Custom(compressor) => match compressed(&**compressor, message, packed)? {
            Some(whole) => {
                packed = whole;
                true
            }
            None => return Ok(()),
        },
    };
    super::give_back(&mut packed);
    if shorter && framing::replace_packed(framed, &mut packed) {
        // What it was before.
        spares::put(packed.into());
    }
    Ok(())
}

/// `None`: it would not be shorter.
fn compressed(
    compressor: &dyn Compressor,
    message: &[u8],
    front: Vec<u8>,
) -> Result<Option<Vec<u8>>, Status> {
    let mut out = Limited::new(front, message.len() - 1);
    let done = contained(compressor, || compressor.compress(message, &mut out))?;
    match (out.finish(), done) {
        // It was not let go on, and may well say so.
        (None, _) => Ok(None),
        (Some(packed), Ok(())) => Ok(Some(packed)),
        (Some(_), Err(error)) => {
            let text = format!("a message to send could not be compressed: {error}");
            Err(Status::internal(text))
        }
    }
}

/// The message itself, of no more than `limit` octets. Nothing of it is handed on before all of it has been checked.
#[inline]
pub(crate) fn unpack(
    message: Message,
    encodings: &Encodings,
    limit: usize,
) -> Result<Bytes, Status> {
    match message.encoding.is_identity() {
        true => Ok(message.bytes),
        false => unpack_packed(message, encodings, limit),
    }
}

fn unpack_packed(message: Message, encodings: &Encodings, limit: usize) -> Result<Bytes, Status> {
    let Message { bytes: packed, encoding } = message;
    let Some(how) = encodings.how(encoding) else { return Ok(packed) };
    let name = encodings.name(encoding).unwrap_or_default();
    let unpacked = match how {
        #[cfg(feature = "gzip")]
        How::Built(form) => inflated(*form, name, &packed, limit)?,
        How::Custom(compressor) => decompressed(&**compressor, name, &packed, limit)?,
    };
    spares::put(packed);
    Ok(unpacked.into())
}

#[cfg(feature = "gzip")]
fn inflated(
    form: crate::compression::Form,
    name: &str,
    packed: &[u8],
    limit: usize,
) -> Result<Vec<u8>, Status> {
    use crate::compression::Fault;

    let mut out = spares::buffer(packed.len().saturating_mul(4).min(limit));
    let mut state = spares::state(None);
    let result = crate::compression::inflate(&mut state, form, packed, limit, &mut out);
    spares::keep(state);
    match result {
        Ok(()) => Ok(out),
        Err(Fault::TooLong) => Err(too_long(name, limit)),
        Err(Fault::NoMemory) => {
            let text = "there is no memory for a received message once it is decompressed";
            Err(Status::fixed(Code::ResourceExhausted, text))
        }
        Err(Fault::Corrupt(why)) => Err(corrupt(name, why)),
    }
}

fn decompressed(
    compressor: &dyn Compressor,
    name: &str,
    packed: &[u8],
    limit: usize,
) -> Result<Vec<u8>, Status> {
    let mut out = Limited::new(Vec::new(), limit);
    let done = contained(compressor, || compressor.decompress(packed, limit, &mut out))?;
    match (out.finish(), done) {
        (None, _) => Err(too_long(name, limit)),
        (Some(message), Ok(())) => Ok(message),
        (Some(_), Err(error)) => Err(corrupt(name, error)),
    }
}

/// Runs code of the user's.
fn contained<R>(compressor: &dyn Compressor, work: impl FnOnce() -> R) -> Result<R, Status> {
    let panicked = "the compressor panicked at a message";
    // Its name is asked for only where it is told.
    struct Whose<'a>(&'a dyn Compressor);

    impl std::fmt::Display for Whose<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "the compressor {:?}", self.0.name())
        }
    }

    user::run(format_args!("{}", Whose(compressor)), work)
        .map_err(|_| Status::fixed(Code::Internal, panicked))
}

/// The same code as for a message that is too long as it comes (W38).
fn too_long(name: &str, limit: usize) -> Status {
    Status::resource_exhausted(format!(
        "received message is longer than its limit once it is decompressed (by {name}; more than {limit} bytes; {})",
        framing::RAISE_RECEIVE
    ))
}

/// W39: "Undecodable compressed bytes → INTERNAL".
fn corrupt(name: &str, why: impl std::fmt::Display) -> Status {
    Status::internal(format!("received message could not be decompressed by {name}: {why}"))
}

#[cfg(test)]
mod tests;
