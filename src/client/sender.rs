//! [`RequestSender`]: the sending side of a call with many requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::call::client::{Core, REQUEST_PANICKED, Sending};
use crate::call::{Rewriter, Sends};
use crate::codec::{Codec, Raw};
use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::payload::Payload;
use crate::reactor::user;
use crate::status::Status;

use super::call::{call_handle, until};

/// Sends the requests of a call, one by one.
///
/// Say [`done_writing`](Self::done_writing) at the end: dropping the sender without it
/// cancels the call, since half a stream must not look whole to the server.
#[must_use = "dropping it without `done_writing` cancels the call"]
pub struct RequestSender<Req> {
    core: Arc<Core>,
    codec: Arc<dyn Codec<Req>>,
    sending: Sending,
    /// What the interceptors do with each request.
    hooks: Option<Box<Rewriter>>,
    done: bool,
}

impl<Req: 'static> RequestSender<Req> {
    pub(super) fn new(
        core: Arc<Core>,
        codec: Arc<dyn Codec<Req>>,
        sends: Sends,
        hooks: Option<Box<Rewriter>>,
    ) -> Self {
        Self { core, codec, sending: Sending::new(sends), hooks, done: false }
    }

    /// Sends a request. Waits while there is no connection, and while more than
    /// [`send_buffer`](crate::ChannelBuilder::send_buffer) bytes of the call wait to be sent; the server's reading, the call's end and its deadline end the wait.
    /// A quick succession of small requests is sent in batches, no request later than about 0.3 ms.
    ///
    /// # Errors
    /// The status of the call, when it has ended: nothing more can be sent. `FAILED_PRECONDITION` when it
    /// ended with OK, or after `done_writing`.
    pub fn send(&mut self, request: &Req) -> Result<(), Status> {
        self.send_until(request, Deadline::NEVER).map_err(|error| self.core.as_status(error))
    }

    /// Like [`send`](Self::send), waiting at most `timeout`.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: the request was not taken, the call goes on. [`ResultError::Cancelled`] after
    /// [`cancel`](Self::cancel). [`ResultError::Rpc`]: as [`send`](Self::send).
    pub fn send_timeout(&mut self, request: &Req, timeout: Duration) -> Result<(), ResultError> {
        self.send_until(request, until(Some(timeout)))
    }

    /// Like [`send`](Self::send), never waiting.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: the request was not taken, for want of a connection or of room. [`ResultError::Cancelled`]
    /// and [`ResultError::Rpc`]: as [`send_timeout`](Self::send_timeout).
    pub fn try_send(&mut self, request: &Req) -> Result<(), ResultError> {
        self.check_open()?;
        if self.hooks.is_some() {
            if !self.has_room() {
                return Err(ResultError::TimedOut);
            }
            return self.rewrite(request, None);
        }
        match self.sending.try_send(&self.core, &*self.codec, request)? {
            true => Ok(()),
            false => Err(ResultError::TimedOut),
        }
    }

    /// The next request goes out as it is, and no other, where those of the call are compressed: for one with a secret in it,
    /// say, or one that is compressed already. Nothing happens where they are not. See [`Compression`](crate::Compression).
    /// Where interceptors put others in the place of the request, the first of those is it.
    ///
    /// § `doc/compression.md`: compression may be turned off for single messages.
    pub fn disable_next_message_compression(&mut self) {
        self.sending.plain_next();
    }

    /// Sends what still waits for company. Never waits.
    pub fn flush(&mut self) {
        self.sending.flush();
    }

    /// No more requests will come: the server sees the end of the stream. Never waits,
    /// unless the call has no connection yet: then as [`send`](Self::send).
    ///
    /// # Errors
    /// The status of a call that has failed before it had a connection. A call that fails later, or has failed, is told of by
    /// whoever receives: `Ok` says that there is nothing more to send, not that anything has arrived.
    pub fn done_writing(mut self) -> Result<(), Status> {
        self.finish()
    }

    pub(super) fn send_until(
        &mut self,
        request: &Req,
        deadline: Deadline,
    ) -> Result<(), ResultError> {
        self.check_open()?;
        if self.hooks.is_some() {
            // Before the hooks see it: what is not taken may be sent again.
            if !self.send_ready(Some(deadline))? {
                return Err(ResultError::TimedOut);
            }
            return self.rewrite(request, Some(deadline));
        }
        self.sending.send(&self.core, &*self.codec, request, deadline)
    }

    /// Has the interceptors see a request, and sends what they give for it. What there is no room for until the deadline goes
    /// before the next.
    fn rewrite(&mut self, request: &Req, deadline: Option<Deadline>) -> Result<(), ResultError> {
        let Some(hooks) = &mut self.hooks else { return Ok(()) };
        let (core, codec) = (&self.core, &*self.codec);
        let failed = |status: Status| {
            core.fail(status.clone());
            ResultError::Rpc(status)
        };
        let codec_panicked = || {
            core.broke(REQUEST_PANICKED);
        };
        let encode = || Payload::encoded_by(codec, request);
        let payload = user::run_or_end(encode, codec_panicked).map_err(failed)?;
        hooks.pass_by(payload, &|by| core.broke(by.panicked())).map_err(failed)?;
        self.send_ready(deadline).map(drop)
    }

    /// Sends what the interceptors gave, waiting for room until the deadline, or not at all. False: some is left.
    fn send_ready(&mut self, deadline: Option<Deadline>) -> Result<bool, ResultError> {
        let Some(hooks) = &mut self.hooks else { return Ok(true) };
        while let Some(next) = hooks.front() {
            let sent = match deadline {
                Some(deadline) => match self.sending.send(&self.core, &Raw, next, deadline) {
                    Ok(()) => true,
                    Err(ResultError::TimedOut) => false,
                    Err(error) => return Err(error),
                },
                None => self.sending.try_send(&self.core, &Raw, next)?,
            };
            if !sent {
                return Ok(false);
            }
            hooks.pop();
        }
        Ok(true)
    }

    pub(super) fn finish(&mut self) -> Result<(), Status> {
        if self.done {
            return Ok(());
        }
        self.done = true;
        if let Some(hooks) = &mut self.hooks {
            if let Err(status) = hooks.end_by(&|by| self.core.broke(by.panicked())) {
                self.core.fail(status.clone());
                return Err(status);
            }
            // Where the call is over, `finish` says how it ended.
            let _ = self.send_ready(Some(Deadline::NEVER));
        }
        self.sending.finish(&self.core)
    }

    /// Whether a send would not wait.
    pub(super) fn has_room(&mut self) -> bool {
        matches!(self.send_ready(None), Ok(true)) && self.sending.has_room(&self.core)
    }

    fn check_open(&self) -> Result<(), ResultError> {
        match self.done {
            true => Err(ResultError::Rpc(Status::failed_precondition(
                "nothing can be sent after done_writing",
            ))),
            false => Ok(()),
        }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

call_handle!(impl [Req: 'static] RequestSender<Req>);

impl<Req> Drop for RequestSender<Req> {
    fn drop(&mut self) {
        if !self.done {
            self.core.let_down();
        }
    }
}

impl<Req> fmt::Debug for RequestSender<Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSender").field("done", &self.done).finish_non_exhaustive()
    }
}
