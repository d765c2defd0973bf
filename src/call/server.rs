//! One call on the server's side: its request, its answer, and its one end.
//!
//! Owns the state a handler's context and streams share, and the rule that a call ends
//! once: by the handler, its deadline, a local cancel or the peer, whoever is first.
//! Ignores who runs the handler, how methods are found, and when servers stop. How it ends is in `ending`, what is set
//! until then in `reply`.
//!
//! Threads: everything is `&self`; any thread may finish, cancel or ask. Lock rank:
//! `reply` comes before the outbox's lock and the link's. It is never held over I/O or user code.

mod callbacks;
mod compressing;
mod ending;
mod mistakes;
mod reply;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::sync::Mutex;

use super::answer::{default_head, too_much_metadata};
use super::intercept::{Direction, Intercept};
use super::place::Place;
use super::{Extensions, Handover, Outbox, Sends};
use crate::compression::{Compression, Encoding};
use crate::credentials::AuthContext;
use crate::deadline::Deadline;
use crate::link::{Incoming, Stream, Want};
use crate::metadata::Metadata;
use crate::reactor::clock;
use crate::status::{Code, Status};
use crate::wire::framing::{Message, Messages};
use crate::wire::headers::{self, RequestHead};
use crate::wire::outcome::{Due, cardinality, deadline_exceeded};

use compressing::Compressing;
use reply::{Ended, Reply};

/// What goes for the calls of a method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The longest request, in octets.
    pub(crate) receive_limit: usize,
    /// The longest response, in octets.
    pub(crate) send_limit: usize,
    /// What responses are compressed by, where the client takes that.
    pub(crate) compression: Compression,
}

/// One call, shared by its context, its streams and its deadline.
pub(crate) struct ServerCall {
    stream: Arc<Stream>,
    head: RequestHead,
    deadline: Deadline,
    rules: Rules,
    compressing: Compressing,
    place: Option<Arc<Place>>,
    /// Where the server has interceptors, or somebody listens to it.
    pub(super) intercept: Option<Box<Intercept>>,
    /// Made when more than one append is needed: the unary answer goes without.
    outbox: OnceLock<Arc<Outbox>>,
    /// Guards what the handler has set for the end, and the end itself. Not poisoned by panics.
    reply: Mutex<Reply>,
    extensions: Extensions,
    /// Whether its answer comes from elsewhere.
    handover: Handover,
}

impl ServerCall {
    pub(crate) fn new(
        incoming: Incoming,
        rules: Rules,
        place: Option<Arc<Place>>,
        intercept: Option<Box<Intercept>>,
    ) -> Self {
        let Incoming { stream, head, arrived } = incoming;
        let deadline = match head.timeout {
            Some(timeout) => Deadline::after(arrived, timeout),
            None => Deadline::NEVER,
        };
        // What nobody has registered a server does not get built with.
        let encoding = stream.link().terms().within(rules.compression, head.accepts);
        let compressing = Compressing::new(encoding.unwrap_or_default());
        Self {
            stream,
            head,
            deadline,
            rules,
            compressing,
            place,
            intercept,
            outbox: OnceLock::new(),
            reply: Mutex::default(),
            extensions: Extensions::default(),
            handover: Handover::default(),
        }
    }

    pub(crate) fn handover(&self) -> &Handover {
        &self.handover
    }

    pub(crate) fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    pub(crate) fn head(&self) -> &RequestHead {
        &self.head
    }

    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    pub(crate) fn time_remaining(&self) -> Option<Duration> {
        self.deadline.remaining(clock::now())
    }

    pub(crate) fn peer(&self) -> String {
        self.stream.link().peer()
    }

    pub(crate) fn auth_context(&self) -> AuthContext {
        self.stream.link().auth_context()
    }

    /// Whether an answer could still reach the client.
    pub(crate) fn is_active(&self) -> bool {
        self.reply.lock().ended == Ended::No && !self.stream.ended()
    }

    /// Whether the call ended in another way than by the handler's status.
    pub(crate) fn cancelled(&self) -> bool {
        match self.reply.lock().ended {
            Ended::No => self.stream.ended(),
            Ended::Answered => false,
            Ended::Cancelled => true,
        }
    }

    /// The one request of a method that takes exactly one (W41). Returns at once for
    /// a request that was handed over complete.
    pub(crate) fn single_request(&self) -> Result<Message, Status> {
        let mut messages = Messages::default();
        let mut took = self.stream.take(0, &mut messages);
        while !took.over {
            if !self.stream.wait(Want::End, self.deadline.instant()) {
                self.expire();
                return Err(self.ended_status());
            }
            took = self.stream.take(0, &mut messages);
        }
        match (messages.next(), messages.next()) {
            // A reset that came after the whole request is found when the answer is sent.
            (Some(message), None) if took.broken.is_none() => {
                self.one_of(Direction::Requests, message)
            }
            _ if self.stream.ended() => Err(self.ended_status()),
            (first, _) => Err(took
                .broken
                .unwrap_or_else(|| cardinality(Due::Request, &self.head.path, first.is_some()))),
        }
    }

    /// The status a handler is told that meets the end of its call.
    pub(crate) fn ended_status(&self) -> Status {
        if self.reply.lock().ended == Ended::Answered {
            return Status::cancelled("the call has ended: its status was sent");
        }
        let expired = self.deadline.expired(clock::now());
        match self.stream.ending() {
            Some(ending) => ending.to_status(expired),
            None if expired => deadline_exceeded(self.head.timeout),
            None => Status::cancelled("the call is over"),
        }
    }

    /// The sending side, made on first use: its first message takes the response head
    /// along. `None` once the call is over: a head must not follow trailers.
    pub(crate) fn outbox(&self) -> Option<&Arc<Outbox>> {
        if let Some(outbox) = self.outbox.get() {
            return Some(outbox);
        }
        if let Some(listening) = self.hears_head() {
            return self.head_or_end(listening, None).ok();
        }
        let mut reply = self.reply.lock();
        // Another thread may have been first: there is one head.
        if let Some(outbox) = self.outbox.get() {
            return Some(outbox);
        }
        if reply.ended != Ended::No {
            return None;
        }
        reply.head_claimed = true;
        let encoding = self.compressing.fix();
        let head = default_head(&self.stream, self.head.subtype, encoding);
        Some(self.make_outbox(encoding, head.into_owned()))
    }

    /// The sending side, if it is there.
    pub(super) fn made_outbox(&self) -> Option<&Arc<Outbox>> {
        self.outbox.get()
    }

    /// Whoever calls has claimed the head, under the lock. It is in there before others see it, whose messages come behind.
    fn make_outbox(&self, encoding: Encoding, head: Vec<u8>) -> &Arc<Outbox> {
        let sends = Sends { limit: self.rules.send_limit, encoding };
        let outbox = self.outbox.get_or_init(|| {
            let outbox = Outbox::new(self.stream.clone(), sends);
            outbox.head(head);
            outbox
        });
        self.compressing.hand_over(outbox);
        outbox
    }

    /// Sends what is held back to be sent together with later messages.
    pub(crate) fn flush(&self) {
        if let Some(outbox) = self.outbox.get() {
            outbox.flush();
        }
    }

    /// Whether there is something to [`flush`](Self::flush).
    pub(crate) fn holds_back(&self) -> bool {
        self.outbox.get().is_some_and(|outbox| outbox.holds_back())
    }

    /// Sends the response head now, with `metadata` in it.
    pub(crate) fn send_initial_metadata(&self, metadata: &Metadata) -> Result<(), Status> {
        let outbox = match self.hears_head() {
            None => self.put_head(metadata)?,
            Some(_) if self.outbox.get().is_some() => self.put_head(metadata)?,
            Some(listening) => self.head_or_end(listening, Some(metadata))?,
        };
        outbox.flush();
        Ok(())
    }

    /// Leaves the response head with the outbox.
    pub(super) fn put_head(&self, metadata: &Metadata) -> Result<&Arc<Outbox>, Status> {
        let terms = self.stream.link().terms();
        let head = |encoding| {
            let name = terms.encodings().name(encoding);
            terms.heads().head(self.head.subtype, name, metadata)
        };
        // What is added for an encoding that is set meanwhile is counted already.
        let block = head(Encoding::IDENTITY);
        let size = headers::list_size(&block, metadata);
        if let Err(most) = self.stream.link().takes_headers(size) {
            return Err(too_much_metadata(size, most));
        }
        let mut reply = self.reply.lock();
        if reply.ended != Ended::No || self.stream.ended() {
            drop(reply);
            return Err(self.ended_status());
        }
        if reply.head_claimed {
            return Err(Status::internal("the initial metadata has been sent already"));
        }
        reply.head_claimed = true;
        let encoding = self.compressing.fix();
        Ok(self.make_outbox(encoding, head(encoding)))
    }

    pub(crate) fn set_trailing(&self, metadata: Metadata) {
        self.reply.lock().trailing = metadata;
    }

    pub(crate) fn trailing(&self) -> Metadata {
        self.reply.lock().trailing.clone()
    }

    pub(crate) fn set_code(&self, code: Code) {
        self.reply.lock().code = Some(code);
    }

    pub(crate) fn code(&self) -> Option<Code> {
        self.reply.lock().code
    }

    pub(crate) fn set_details(&self, details: String) {
        self.reply.lock().details = Some(details);
    }

    pub(crate) fn details(&self) -> Option<String> {
        self.reply.lock().details.clone()
    }
}

impl fmt::Debug for ServerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCall").field("path", &self.head.path).finish_non_exhaustive()
    }
}
