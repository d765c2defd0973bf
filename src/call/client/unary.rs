//! One request, one response, one thread that waits: the path that has to be fast.
//!
//! No shared state is made: the stream is opened with everything in one append, its
//! end is waited for, and everything is taken out. Whatever is out of the ordinary (no connection,
//! no free stream, refused by the peer) goes the long way, through a [`Core`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::compression::Encoding;
use crate::deadline::Deadline;
use crate::link::{Exchanged, Link, Replies};
use crate::metadata::Metadata;
use crate::payload::Payload;
use crate::reactor::clock;
use crate::status::{Code, Status};
use crate::tally::Tally;
use crate::wire::framing::Message;
use crate::wire::outcome::{Due, Ending, Known, cardinality, expired_here, judge_single};

use super::ending::known;
use super::interceptor::Reply;
use super::launch::{BLOCK, fits, name_of};
use super::{Arrival, Auth, Core, Family, Launch, Source, Template};

/// A call about to be made.
pub(crate) struct Unary<'a> {
    pub(crate) source: &'a Arc<dyn Source>,
    pub(crate) template: &'a Template,
    pub(crate) metadata: &'a Metadata,
    pub(crate) deadline: Deadline,
    pub(crate) limited_by: &'static str,
    pub(crate) wait_for_ready: bool,
    pub(crate) retry_refused: bool,
    pub(crate) receive_limit: usize,
    pub(crate) encoding: Encoding,
    pub(crate) auth: Option<&'a Arc<Auth>>,
    pub(crate) family: Option<&'a Arc<Family>>,
}

/// The response, and what else there is to know.
pub(crate) struct Answer {
    pub(crate) message: Message,
    origin: Origin,
}

enum Origin {
    Fast { status: Status, head: Metadata, link: Arc<Link> },
    Slow(Arc<Core>),
}

/// How the short way ended.
enum Fast {
    Done(Result<Answer, Status>),
    /// There is no link with room for it.
    NoLink,
    /// There is none after all. It is counted as begun.
    Full,
    /// The peer has not processed it (W69), on the stream of this number. It is counted as begun.
    Refused(u32),
}

impl Unary<'_> {
    /// Makes the call. `encode` gives the framed request; it is asked again when the call has to be repeated.
    pub(crate) fn run(&self, encode: &dyn Fn() -> Result<Bytes, Status>) -> Result<Answer, Status> {
        if let Some(auth) = self.auth {
            return self.prove(auth, encode);
        }
        if self.family.is_some() {
            // Others end it: they have to know of it.
            return self.slow(Core::start(self.source.clone(), self.launch(encode()?), false));
        }
        match self.fast(encode) {
            Fast::Done(result) => result,
            Fast::NoLink => {
                self.slow(Core::start(self.source.clone(), self.launch(encode()?), false))
            }
            Fast::Full => {
                self.slow(Core::start_counted(self.source.clone(), self.relaunch(encode)?))
            }
            Fast::Refused(place) => {
                self.slow(Core::repeat(self.source.clone(), self.relaunch(encode)?, place))
            }
        }
    }

    /// With what is known of its credentials it goes the usual way. A plugin may take its time, which the caller may not
    /// have: that goes the long way.
    fn prove(
        &self,
        auth: &Arc<Auth>,
        encode: &dyn Fn() -> Result<Bytes, Status>,
    ) -> Result<Answer, Status> {
        let (metadata, asked) = auth.split(self.metadata);
        let known = Unary { metadata: &metadata, auth: None, ..*self };
        match asked {
            None => known.run(encode),
            Some(_) => {
                let launch = Launch { auth: asked, ..known.launch(encode()?) };
                self.slow(Core::start(self.source.clone(), launch, false))
            }
        }
    }

    fn fast(&self, encode: &dyn Fn() -> Result<Bytes, Status>) -> Fast {
        let Some(link) = self.source.link() else { return Fast::NoLink };
        let body = match encode() {
            Ok(body) => body,
            Err(status) => return Fast::Done(Err(status)),
        };
        let mut timeout = None;
        if self.deadline.instant().is_some() {
            let now = clock::now();
            if self.deadline.expired(now) {
                // W4: it never reaches the wire. The long way says what has to be said.
                return Fast::NoLink;
            }
            timeout = self.deadline.remaining(now);
        }
        let mut block = Vec::with_capacity(BLOCK);
        let encoding = name_of(self.encoding, &link);
        let size = self.template.block(timeout, encoding, self.metadata, &mut block);
        let tally = self.source.tally();
        tally.begin();
        if let Err(status) = fits(size, &link) {
            tally.end(false);
            return Fast::Done(Err(status));
        }
        let until = self.deadline.instant();
        let expired = || expired_here(timeout, &format!("{} to answer", link.peer()));
        match link.exchange(&block, body, self.receive_limit, until, expired) {
            Ok(exchanged) => self.finish(exchanged, link, timeout, tally),
            Err(_) => Fast::Full,
        }
    }

    /// Looks at what came of a stream that is over.
    fn finish(
        &self,
        exchanged: Exchanged,
        link: Arc<Link>,
        time: Option<Duration>,
        tally: &Tally,
    ) -> Fast {
        let Exchanged { id, head, mut messages, ending } = exchanged;
        let retry_safe = |ending: &Ending| ending.retry_safe(self.retry_refused);
        if head.is_none() && ending.as_ref().is_some_and(retry_safe) {
            return Fast::Refused(id);
        }
        let head = head.map(|head| head.metadata).unwrap_or_default();
        let first = messages.next();
        let several = !messages.is_empty();
        let peer = ending.as_ref().filter(|ending| ending.tells_the_peer()).map(|_| link.peer());
        let known = known(&**self.source, ending.as_ref(), (self.deadline, time));
        let known = Known { method: self.template.path(), peer: peer.as_deref(), ..known };
        let verdict = judge_single(ending.as_ref(), Some(&head), (first, several), known);
        Fast::Done(match verdict {
            Ok((message, status)) => {
                tally.end(true);
                Ok(Answer { message, origin: Origin::Fast { status, head, link } })
            }
            Err(status) => {
                tally.end(false);
                Err(status)
            }
        })
    }

    fn slow(&self, call: Arc<Core>) -> Result<Answer, Status> {
        let message = match call.next(Deadline::NEVER) {
            Arrival::Message(message) => message,
            Arrival::End(status) if status.code() != Code::Ok => return Err(status),
            Arrival::End(_) | Arrival::TimedOut => return Err(self.miscounted(false)),
        };
        match call.next(Deadline::NEVER) {
            Arrival::End(status) if status.code() == Code::Ok => {}
            Arrival::End(status) => return Err(status),
            Arrival::Message(_) | Arrival::TimedOut => {
                call.fail(self.miscounted(true));
                return Err(self.miscounted(true));
            }
        }
        Ok(Answer { message, origin: Origin::Slow(call) })
    }

    /// For a call that is counted as begun.
    fn relaunch(&self, encode: &dyn Fn() -> Result<Bytes, Status>) -> Result<Launch, Status> {
        let body = encode().inspect_err(|_| self.source.tally().end(false))?;
        Ok(self.launch(body))
    }

    fn launch(&self, body: Bytes) -> Launch {
        Launch {
            template: self.template.clone(),
            metadata: self.metadata.clone(),
            deadline: self.deadline,
            limited_by: self.limited_by,
            wait_for_ready: self.wait_for_ready,
            retry_refused: self.retry_refused,
            receive_limit: self.receive_limit,
            replies: Replies::One,
            encoding: self.encoding,
            body: Some(body),
            auth: None,
            family: self.family.cloned(),
        }
    }

    fn miscounted(&self, several: bool) -> Status {
        cardinality(Due::Response, self.template.path(), several)
    }
}

impl Answer {
    /// For interceptors, who see the message itself.
    pub(crate) fn into_reply(
        self,
        unpack: impl FnOnce(Message) -> Result<Bytes, Status>,
    ) -> Result<Reply, Status> {
        let payload = Payload::new(unpack(self.message)?);
        Ok(match self.origin {
            Origin::Slow(core) => Reply::of_core(&core, payload),
            Origin::Fast { status, head, link } => {
                let trailing = status.trailing_metadata().clone();
                Reply::of(payload, head, trailing, Some(link.peer_name().clone()))
            }
        })
    }

    /// The message, and the ended call for those who want to ask it.
    pub(crate) fn into_parts(self) -> (Arc<Core>, Message) {
        let core = match self.origin {
            Origin::Slow(core) => core,
            Origin::Fast { status, head, link } => Core::ended(status, head, Some(link.peer())),
        };
        (core, self.message)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("len", &self.message.bytes.len()).finish_non_exhaustive()
    }
}
