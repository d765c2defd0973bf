//! The words that pass between a link and those who use it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::reactor::Job;
use crate::status::Status;
use crate::wire::headers::RequestHead;

use super::{Stream, Terms};

/// What a client's channel is told of its link. Called with no lock held, on
/// whichever thread met the event: be quick.
pub(crate) trait LinkEvents: Send + Sync {
    /// The peer's first SETTINGS are in (W65).
    fn up(&self);
    /// GOAWAY: no new streams here; those that run may end.
    fn draining(&self);
    /// The peer ends the connection since it was asked too often whether it lives. Told before `draining`.
    fn too_many_pings(&self) {}
    /// A stream may be opened again.
    fn room(&self);
    /// The connection is over. Told once, after every stream has ended.
    fn lost(&self, cause: &str);
    /// What is said in headers of compression, and goes for the whole life of the link. Asked once.
    fn terms(&self) -> Arc<Terms> {
        Arc::default()
    }
}

/// How a server decides about a request, in two steps.
pub(crate) trait Acceptor: LinkEvents {
    /// Chooses the method. Runs under the link's lock: look-ups only, no user code.
    fn admit(&self, head: &RequestHead) -> Admit;
}

/// An admitted method: makes the job that will run its handler.
pub(crate) trait Entry: Send + Sync {
    /// Called once a request is complete (or at its headers), with no lock held.
    fn job(self: Arc<Self>, incoming: Incoming) -> Job;
}

/// The verdict on a request's headers.
pub(crate) enum Admit {
    /// Run `entry` at `when`; no message may be longer than `limit`.
    Run {
        /// The method's entry.
        entry: Arc<dyn Entry>,
        /// When its job is made.
        when: When,
        /// The receive limit in bytes, per message.
        limit: usize,
    },
    /// Answer with this status at once, trailers only.
    Refuse(Status),
}

/// When a request is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// As soon as its headers are in: streaming and generic methods.
    Headers,
    /// When the client has sent everything: single requests, so that a slow
    /// sender never holds a worker.
    Complete,
}

/// A request handed over to the server.
pub(crate) struct Incoming {
    /// Its stream. Dropping it without an ending resets the stream.
    pub(crate) stream: Arc<Stream>,
    /// Its headers.
    pub(crate) head: RequestHead,
    /// When its headers came in.
    pub(crate) arrived: Instant,
}

/// How many messages a server may answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replies {
    /// One, which somebody takes as soon as the answer is complete.
    One,
    /// A stream, read when its reader likes.
    Many,
}

/// Told of progress on a stream that no thread waits on.
pub(crate) trait Notify: Send + Sync {
    /// The stream has ended, or a message is there, or its send queue has room. Called with no lock held, on
    /// whichever thread met it: be quick. What is to run code of the user's goes to the notifier from here.
    fn progress(&self);

    /// All whose streams came on in the same round were told: what is to be done for several of them together is done
    /// now. Called after [`progress`](Self::progress), in the same way.
    fn all_told(&self) {}
}

/// What a thread waits for on a stream. The stream's end satisfies every want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// The response headers.
    Head,
    /// A whole message.
    Message,
    /// The end of the peer's half.
    End,
    /// Room in the send queue.
    Room,
    /// A whole message, or room in the send queue: for one thread that does both.
    Turn,
}

/// How a sender's turn ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'a> {
    /// More will follow.
    No,
    /// END_STREAM on the last DATA: a client's half-close (W6).
    Half,
    /// A trailer block, which ends the stream: the status, given by the handler. Whether that is OK.
    Trailers(&'a [u8], bool),
    /// A trailer block, given while the handler may still run: the stream goes on to count (A1).
    Cut(&'a [u8]),
}

/// One append to a stream.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing<'a> {
    /// Response head block to go first.
    pub(crate) head: Option<&'a [u8]>,
    /// Framed messages.
    pub(crate) data: Option<Bytes>,
    /// What comes after.
    pub(crate) end: End<'a>,
}
