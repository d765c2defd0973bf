//! How a server's answer becomes header blocks and framed messages (W45, W46).
//!
//! Owns the last append of a call and the constant blocks. Ignores who ends a call, and when.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::Outbox;
use crate::compression::Encoding;
use crate::link::{End, Outgoing, Stream};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::tell;
use crate::wire::headers::{self, Subtype};

/// The one message of an answer, framed, and how the handler ended.
pub(super) type Answer = (Option<Bytes>, Result<(), Status>);

/// What is left to send when a call has just been ended by its handler.
pub(super) struct Closing<'a> {
    /// Of the method, for the log.
    pub(super) path: &'a str,
    pub(super) status: Status,
    pub(super) trailing: Metadata,
    pub(super) subtype: Subtype,
    pub(super) head_claimed: bool,
    /// What the message is compressed by, if it is.
    pub(super) encoding: Encoding,
}

impl Closing<'_> {
    fn is_plain(&self) -> bool {
        self.status.is_ok() && self.status.message().is_empty() && self.trailing.is_empty()
    }

    /// Nothing has been sent: head, message and trailers in one append (W45), or trailers only (W46).
    pub(super) fn send_all(self, stream: &Stream, data: Option<Bytes>) {
        if data.is_some() && self.is_plain() {
            let end = End::Trailers(&OK_TRAILERS, true);
            let head = default_head(stream, self.subtype, self.encoding);
            return stream.send(Outgoing { head: Some(&head), data, end });
        }
        let (block, well) = self.block(stream, data.is_none());
        let head = data.is_some().then(|| default_head(stream, self.subtype, self.encoding));
        stream.send(Outgoing { head: head.as_deref(), data, end: End::Trailers(&block, well) });
    }

    /// The trailers. Of a status that is larger than the client takes, what does not fit is left out; its code is what
    /// the client has to know. An OK whose metadata do not fit is replaced by a status that says so: what should come with
    /// the response has not come. Beside them, whether they say OK.
    fn block(&self, stream: &Stream, only: bool) -> (Vec<u8>, bool) {
        let encode = |status: &Status, trailing: &Metadata| {
            let mut block = Vec::with_capacity(64);
            match only {
                true => headers::trailers_only_as(&mut block, self.subtype, status, trailing),
                false => headers::trailers(&mut block, status, trailing),
            }
            block
        };
        let block = encode(&self.status, &self.trailing);
        let size = headers::list_size(&block, &self.trailing);
        match stream.link().takes_headers(size) {
            Ok(()) => (block, self.status.is_ok()),
            Err(most) => {
                let (only, path) = (only.then_some(self.subtype), self.path);
                tell::debug!(
                    "{path}: the trailers have {size} bytes, as HTTP/2 counts, and the client takes {most} (its max_metadata_size raises it): it is told \
                     {}",
                    if self.status.is_ok() { "so" } else { "what fits" }
                );
                if !self.status.is_ok() {
                    let cut = headers::trailers_within(most, only, &self.status, &self.trailing);
                    return (cut, false);
                }
                let refused = too_much_metadata(size, most);
                (headers::trailers_within(most, only, &refused, &Metadata::new()), false)
            }
        }
    }

    /// The head has been sent, or waits in the outbox.
    pub(super) fn send_rest(
        self,
        stream: &Stream,
        outbox: Option<&Arc<Outbox>>,
        data: Option<Bytes>,
    ) {
        let (block, well) = self.block(stream, false);
        let end = End::Trailers(&block, well);
        match outbox {
            Some(outbox) if data.is_none() => {
                outbox.finish(end);
            }
            Some(outbox) => {
                outbox.flush();
                stream.send(Outgoing { head: None, data, end });
            }
            None => stream.send(Outgoing { head: None, data, end }),
        }
    }
}

pub(super) fn too_much_metadata(size: usize, most: usize) -> Status {
    Status::resource_exhausted(format!(
        "the response's metadata has {size} bytes, as HTTP/2 counts; the client takes {most}, which its max_metadata_size \
         raises"
    ))
}

/// A response head without metadata. Where nothing is compressed it is ready.
pub(super) fn default_head(stream: &Stream, subtype: Subtype, encoding: Encoding) -> Cow<'_, [u8]> {
    let terms = stream.link().terms();
    match terms.encodings().name(encoding) {
        None => Cow::Borrowed(terms.heads().bare(subtype)),
        name => Cow::Owned(terms.heads().head(subtype, name, &Metadata::new())),
    }
}

static OK_TRAILERS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut block = Vec::new();
    headers::trailers(&mut block, &Status::ok(), &Metadata::new());
    block
});
