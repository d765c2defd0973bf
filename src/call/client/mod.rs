//! One call on the client's side.
//!
//! [`Core`] is a call that somebody holds a handle on; [`Unary`] the blocking call with
//! one request and one response, which needs none. Both bind to a link when their HEADERS
//! are appended and not before, so that a connection that drains or dies takes no call with it
//! that could have gone elsewhere; both repeat once, unseen, what the peer says it never processed (W69).
//!
//! It owns starting, binding, cancelling, expiring and the status. It ignores message types (the
//! stubs' affair) and where links come from: that is a [`Source`], which the channel implements.
//!
//! **Threads.** None of its own. Deadlines of calls with a handle are kept by [`Expiry`] on the
//! process's poller; what is to be told (callbacks) goes to the notifier. Progress of a stream that nobody waits on is looked at
//! on the thread that met it, with no lock held, so that a callback may wait for any call; wakers are woken there too.
//!
//! **Locks.** A call has two leaves: `receiver` (the inbox; held over the swap with the link, whose lock ranks
//! below, and never while something is sent) and `state` (never held over anything). The receiver's may be held when
//! the state's is taken.

mod asking;
mod auth;
mod core;
mod ending;
mod events;
mod expiry;
mod family;
mod heed;
mod interceptor;
mod interceptors;
mod options;
mod path;
mod receiving;
mod sending;
mod state;
mod unary;
mod waking;
mod watching;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::compression::{Compression, Encoding};
use crate::credentials::CallCredentials;
use crate::deadline::Deadline;
use crate::link::{Link, Replies, Stream, Terms};
use crate::metadata::Metadata;
use crate::reactor::Crew;
use crate::status::Status;
use crate::wire::headers::RequestTemplate;

pub use events::{ChannelEvent, RecvInitialMetadata, RecvTrailingMetadata, SendRequest};
pub use interceptor::{CallDetails, ClientInterceptor, Next, Reply};
pub use options::CallOptions;
pub use path::MethodPath;

pub(crate) use self::core::Core;
pub(crate) use auth::{Auth, Kept};
pub(crate) use events::ClientEvents;
pub(crate) use expiry::Expiry;
pub(crate) use family::{Family, Parent};
pub(crate) use interceptors::{Interceptors, Lines};
pub(crate) use receiving::Arrival;
pub(crate) use sending::Sending;
pub(crate) use unary::{Answer, Unary};
pub(crate) use waking::Ready;

/// The cached head of a method's requests.
pub(crate) type Template = Arc<RequestTemplate>;

/// Where links come from: a channel.
pub(crate) trait Source: Send + Sync {
    /// The link to open on right now; `None` when the call has to queue.
    fn link(&self) -> Option<Arc<Link>>;

    /// Takes a call that has no stream. Sooner or later it is given a link
    /// ([`Core::bind`]) or an end ([`Core::fail`]). Never blocks.
    fn queue(&self, call: Arc<Core>);

    /// Like [`queue`](Self::queue) for a call that the peer has not taken on: in front of those that came later.
    /// [`pump`](Self::pump) has to follow, once all those that were refused together are there.
    fn requeue(&self, call: Arc<Core>);

    /// Gives queued calls to the link, as long as it takes them. Never blocks.
    fn pump(&self);

    /// The call waits for its credentials, and does not queue. It comes back, or ends.
    fn set_aside(&self, call: Arc<Core>);

    /// It waits for them no more.
    fn come_back(&self, call: &Core);

    /// Who asks for credentials.
    fn crew(&self) -> &Arc<Crew>;

    /// The head of the requests of the method of this path.
    fn template(&self, path: &str) -> Template;

    /// What calls to the method of this path prove: the channel's credentials, and these.
    fn auth(&self, path: &str, own: Option<&CallCredentials>) -> Option<Arc<Auth>>;

    /// The call has ended: it no longer queues.
    fn forget(&self, call: &Core);

    /// Whether the channel was closed: lost connections are a cancellation then.
    fn closed(&self) -> bool;

    /// What a queued call waits for, in words.
    fn waiting_for(&self) -> String;

    /// Who keeps the deadlines.
    fn expiry(&self) -> &Arc<Expiry>;

    /// Limits of calls that say nothing themselves.
    fn defaults(&self) -> &Defaults;

    /// The encodings, and what the server is known to take of them.
    fn terms(&self) -> &Arc<Terms>;
}

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
const BLOCK: usize = 256;

impl Launch {
    /// Opens the stream. `proof`: all the metadata, with what the credentials gave.
    fn open(
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
            .map_err(|_| NotOpened::Refused)
    }
}

/// What requests say of how their messages are compressed.
fn name_of(encoding: Encoding, link: &Link) -> Option<&str> {
    link.terms().encodings().name(encoding)
}

/// Why a stream was not opened.
enum NotOpened {
    /// The link takes none just now.
    Refused,
    /// The server would not take this one.
    Failed(Status),
}

/// W29: metadata that the server does not take ends its own call and no other.
fn fits(size: usize, link: &Link) -> Result<(), Status> {
    link.takes_headers(size).map_err(|most| {
        Status::resource_exhausted(format!(
            "the request's metadata has {size} bytes, as HTTP/2 counts; the server takes {most}, \
             which its option raises (max_metadata_size, where it is one of this library)"
        ))
    })
}

/// A link had no room for a stream, or is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
