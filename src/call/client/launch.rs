//! [`Launch`]: what it takes to put a call on a link, and how that is done.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::compression::{Compression, Encoding};
use crate::deadline::Deadline;
use crate::http2::Room;
use crate::link::{Link, Replies, Stream};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::wire::headers::RequestTemplate;

use super::{Auth, Family};

/// The cached head of a method's requests.
pub(crate) type Template = Arc<RequestTemplate>;

/// Limits of calls that say nothing themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    /// Longest message accepted, in octets.
    pub(crate) max_receive: usize,
    /// Longest message sent, in octets.
    pub(crate) max_send: usize,
    /// A call that the peer refuses is made once more.
    pub(crate) retry_refused: bool,
    /// What requests are compressed by.
    pub(crate) compression: Compression,
}

/// What it takes to put a call on a link, now or again.
pub(crate) struct Launch {
    pub(crate) template: Template,
    pub(crate) metadata: Metadata,
    pub(crate) deadline: Deadline,
    /// Which option said so.
    pub(crate) limited_by: &'static str,
    pub(crate) wait_for_ready: bool,
    pub(crate) retry_refused: bool,
    pub(crate) receive_limit: usize,
    pub(crate) replies: Replies,
    /// What its messages are compressed by.
    pub(crate) encoding: Encoding,
    /// The whole request, framed; `None`: messages follow.
    pub(crate) body: Option<Bytes>,
    /// What is to be proved, where that has to be asked for.
    pub(crate) auth: Option<Arc<Auth>>,
    /// What it belongs to, if to anything.
    pub(crate) family: Option<Arc<Family>>,
}

/// Room for a usual block: the template, a timeout and a little metadata.
pub(super) const BLOCK: usize = 256;

impl Launch {
    /// Opens the stream. `proof`: all the metadata, with what the credentials gave.
    pub(super) fn open(
        &self,
        link: &Arc<Link>,
        proof: Option<&Metadata>,
        now: Instant,
    ) -> Result<Arc<Stream>, NotOpened> {
        let mut block = Vec::with_capacity(BLOCK);
        let metadata = proof.unwrap_or(&self.metadata);
        // W4: the remaining time as late as possible, and anew for each attempt.
        let (left, encoding) = (self.deadline.remaining(now), name_of(self.encoding, link));
        let size = self.template.block(left, encoding, metadata, &mut block);
        fits(size, link).map_err(NotOpened::Failed)?;
        let (body, end) = (self.body.clone(), self.body.is_some());
        link.open(&block, body, end, self.receive_limit, self.replies)
            .map_err(|room| NotOpened::Refused(Refused { full: room == Room::Full }))
    }
}

/// What requests say of how their messages are compressed.
pub(super) fn name_of(encoding: Encoding, link: &Link) -> Option<&str> {
    link.terms().encodings().name(encoding)
}

/// Why a stream was not opened.
pub(super) enum NotOpened {
    /// The link takes none just now.
    Refused(Refused),
    /// The server would not take this one.
    Failed(Status),
}

/// W29: metadata that the server does not take ends its own call and no other.
pub(super) fn fits(size: usize, link: &Link) -> Result<(), Status> {
    link.takes_headers(size).map_err(|most| {
        Status::resource_exhausted(format!(
            "the request's metadata has {size} bytes, as HTTP/2 counts; the server takes {most}, \
             which its option raises (max_metadata_size, where it is one of this library)"
        ))
    })
}

/// A link had no room for a stream, or is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// It takes others later: when a stream of it has ended, mostly.
    pub(crate) full: bool,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
