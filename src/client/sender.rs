//! [`RequestSender`]: the sending side of a call with many requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::call::client::{Core, Sending};
use crate::codec::Codec;
use crate::deadline::Deadline;
use crate::error::ResultError;
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
    done: bool,
}

impl<Req: 'static> RequestSender<Req> {
    pub(super) fn new(core: Arc<Core>, codec: Arc<dyn Codec<Req>>, limit: usize) -> Self {
        Self { core, codec, sending: Sending::new(limit), done: false }
    }

    /// Sends a request. Waits while there is no connection, and while more than 64 KiB of
    /// the call wait to be sent; the server's reading, the call's end and its deadline end the wait.
    /// A quick succession of small requests is sent in batches, no request later than about 0.3 ms.
    ///
    /// # Errors
    /// The status of the call, when it has ended: nothing more can be sent. `FAILED_PRECONDITION` when it
    /// ended with OK, or after `done_writing`.
    pub fn send(&mut self, request: &Req) -> Result<(), Status> {
        self.send_until(request, Deadline::NEVER).map_err(Status::from)
    }

    /// Like [`send`](Self::send), waiting at most `timeout`.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: the request was not taken, the call goes on. [`ResultError::Rpc`]: as [`send`](Self::send).
    pub fn send_timeout(&mut self, request: &Req, timeout: Duration) -> Result<(), ResultError> {
        self.send_until(request, until(Some(timeout)))
    }

    /// Like [`send`](Self::send), never waiting.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: the request was not taken, for want of a connection or of room. [`ResultError::Rpc`]: as [`send`](Self::send).
    pub fn try_send(&mut self, request: &Req) -> Result<(), ResultError> {
        self.check_open()?;
        match self.sending.try_send(&self.core, &*self.codec, request)? {
            true => Ok(()),
            false => Err(ResultError::TimedOut),
        }
    }

    /// Sends what still waits for company. Never waits.
    pub fn flush(&mut self) {
        self.sending.flush();
    }

    /// No more requests will come: the server sees the end of the stream. Never waits,
    /// unless the call has no connection yet: then as [`send`](Self::send).
    ///
    /// # Errors
    /// The status of the call, when it has failed before.
    pub fn done_writing(mut self) -> Result<(), Status> {
        self.finish()
    }

    pub(super) fn send_until(
        &mut self,
        request: &Req,
        deadline: Deadline,
    ) -> Result<(), ResultError> {
        self.check_open()?;
        self.sending.send(&self.core, &*self.codec, request, deadline)
    }

    pub(super) fn finish(&mut self) -> Result<(), Status> {
        if self.done {
            return Ok(());
        }
        self.done = true;
        self.sending.finish(&self.core)
    }

    /// Whether a send would not wait.
    pub(super) fn has_room(&mut self) -> bool {
        self.sending.has_room(&self.core)
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
