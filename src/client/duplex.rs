//! [`Duplex`]: both sides of a call in one hand.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::call::client::Core;
use crate::error::ResultError;
use crate::status::Status;

use super::call::call_handle;
use super::{RequestSender, Responses};

/// A call with many requests and many responses, to be sent and received in any order.
///
/// For two threads, [`split`](Self::split) it. Dropping it cancels a call that has not ended.
#[must_use = "dropping it cancels a call that has not ended"]
pub struct Duplex<Req, Resp> {
    sender: RequestSender<Req>,
    responses: Responses<Resp>,
}

impl<Req: 'static, Resp: 'static> Duplex<Req, Resp> {
    pub(super) fn new(sender: RequestSender<Req>, responses: Responses<Resp>) -> Self {
        Self { sender, responses }
    }

    /// Sends a request; see [`RequestSender::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&mut self, request: &Req) -> Result<(), Status> {
        self.sender.send(request)
    }

    /// Sends a request, waiting at most `timeout`; see [`RequestSender::send_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn send_timeout(&mut self, request: &Req, timeout: Duration) -> Result<(), ResultError> {
        self.sender.send_timeout(request, timeout)
    }

    /// Sends a request if that needs no waiting; see [`RequestSender::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&mut self, request: &Req) -> Result<(), ResultError> {
        self.sender.try_send(request)
    }

    /// The next request goes out as it is; see [`RequestSender::disable_next_message_compression`].
    pub fn disable_next_message_compression(&mut self) {
        self.sender.disable_next_message_compression();
    }

    /// Sends what still waits for company. Never waits.
    pub fn flush(&mut self) {
        self.sender.flush();
    }

    /// No more requests will come; see [`RequestSender::done_writing`]. Responses may go on.
    ///
    /// # Errors
    /// As there.
    pub fn done_writing(&mut self) -> Result<(), Status> {
        self.sender.finish()
    }

    /// The next response, `None` at the end; see [`Responses::recv`].
    ///
    /// # Errors
    /// As there.
    pub fn recv(&mut self) -> Result<Option<Resp>, Status> {
        self.sender.flush();
        self.responses.recv()
    }

    /// The next response, waiting at most `timeout`; see [`Responses::recv_timeout`].
    ///
    /// # Errors
    /// As there.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Resp>, ResultError> {
        self.sender.flush();
        self.responses.recv_timeout(timeout)
    }

    /// The next response if it is there; see [`Responses::try_recv`].
    ///
    /// # Errors
    /// As there.
    pub fn try_recv(&mut self) -> Result<Option<Resp>, ResultError> {
        self.responses.try_recv()
    }

    /// Tells `callback` when there is something to receive; see [`Responses::on_ready`].
    pub fn on_ready(&mut self, callback: impl FnMut() + Send + 'static) {
        self.responses.on_ready(callback);
    }

    /// The two sides, for two threads.
    pub fn split(self) -> (RequestSender<Req>, Responses<Resp>) {
        (self.sender, self.responses)
    }

    fn core(&self) -> &Arc<Core> {
        self.responses.core()
    }
}

call_handle!(impl [Req: 'static, Resp: 'static] Duplex<Req, Resp>);

impl<Req, Resp> fmt::Debug for Duplex<Req, Resp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplex").field("sender", &self.sender).finish_non_exhaustive()
    }
}
