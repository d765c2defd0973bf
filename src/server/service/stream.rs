//! One call by hand: [`ServerStream`], the same shape for all four cardinalities.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::context::ServicerContext;
use super::handler::Cardinality;
use super::requests::RequestIterator;
use super::sending::{send_one, try_send_one};
use super::slot::Slot;
use crate::codec::Codec;
use crate::error::ResultError;
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::tell;
use crate::wire::outcome::{Due, cardinality};

/// Both directions of one call, read and written by hand.
///
/// The handler borrows it; when the handler returns, the call ends with its result.
/// To go on after that, on any thread, [`detach`](Self::detach) the stream: a call may outlive its handler.
///
/// **One thread at a time reads or writes it**: `recv` and `send` take it by `&mut`, and there are no halves to split it into. One thread does both by
/// turns, with [`recv_timeout`](Self::recv_timeout), [`try_recv`](Self::try_recv) and [`try_send`](Self::try_send). To
/// read on one thread while another writes, take the shape of
/// [`stream_stream_rpc_method_handler`](crate::stream_stream_rpc_method_handler), whose [`RequestIterator`] may be moved:
///
/// ```
/// use std::sync::mpsc;
/// use grpc_threads::{RequestIterator, ServicerContext, stream_stream_rpc_method_handler};
///
/// let chat = stream_stream_rpc_method_handler(
///     |requests: RequestIterator<String>, _: &ServicerContext| {
///         let (answers, to_send) = mpsc::sync_channel(16);
///         // Ends with the call: `requests` does, and nobody takes an answer any more.
///         std::thread::spawn(move || {
///             for line in requests {
///                 if answers.send(line.map(|line| line.to_uppercase())).is_err() {
///                     break;
///                 }
///             }
///         });
///         // The worker sends what comes, until `answers` is dropped.
///         Ok(to_send)
///     },
/// );
/// ```
///
/// The context may be cloned for other threads meanwhile: `is_active`, `cancel` and the metadata take `&self`.
///
/// ```no_run
/// use grpc_threads::{Cardinality, ServerStream, ServicerContext, stream_rpc_method_handler};
///
/// let chat = stream_rpc_method_handler(
///     Cardinality::StreamStream,
///     |stream: &mut ServerStream<String, String>, _context: &ServicerContext| {
///         while let Some(line) = stream.recv()? {
///             stream.send(&line.to_uppercase())?;
///         }
///         Ok(())
///     },
/// );
/// ```
pub struct ServerStream<Req, Resp> {
    cardinality: Cardinality,
    context: ServicerContext,
    requests: Option<RequestIterator<Req>>,
    codec: Arc<dyn Codec<Resp>>,
    /// Counts the call as running; gone once it has been detached from here.
    slot: Option<Slot>,
    received: bool,
    sent: bool,
    /// Nobody but this value can end the call.
    owner: bool,
}

impl<Req: 'static, Resp: 'static> ServerStream<Req, Resp> {
    pub(super) fn new(
        cardinality: Cardinality,
        context: ServicerContext,
        requests: RequestIterator<Req>,
        codec: Arc<dyn Codec<Resp>>,
        slot: Option<Slot>,
    ) -> Self {
        Self {
            cardinality,
            context,
            requests: Some(requests),
            codec,
            slot,
            received: false,
            sent: false,
            owner: false,
        }
    }

    /// The call: metadata, deadline, peer, cancel.
    #[must_use]
    pub fn context(&self) -> &ServicerContext {
        &self.context
    }

    /// The next request; `None` when the client has half-closed. Waits for a message, the
    /// half-close or the end of the call.
    ///
    /// # Errors
    /// How the call ended; `INTERNAL` for bytes that make no message; `UNIMPLEMENTED` when a
    /// method that takes one request is sent none or several.
    pub fn recv(&mut self) -> Result<Option<Req>, Status> {
        let Some(requests) = &mut self.requests else { return Err(detached()) };
        if self.cardinality.request_streaming() {
            return requests.recv();
        }
        if self.received {
            return Ok(None);
        }
        let Some(request) = requests.recv()? else { return Err(self.miscounted(false)) };
        if requests.recv()?.is_some() {
            return Err(self.miscounted(true));
        }
        self.received = true;
        Ok(Some(request))
    }

    /// Like [`recv`](Self::recv), for at most `timeout`. For a single request the bound
    /// holds for the message, not for the half-close after it.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`], or what [`recv`](Self::recv) says.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Req>, ResultError> {
        let Some(requests) = &mut self.requests else { return Err(detached().into()) };
        let next = requests.recv_timeout(timeout)?;
        self.checked(next)
    }

    /// Like [`recv`](Self::recv), but never waits: [`ResultError::TimedOut`] when nothing is there.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`], or what [`recv`](Self::recv) says.
    pub fn try_recv(&mut self) -> Result<Option<Req>, ResultError> {
        let Some(requests) = &mut self.requests else { return Err(detached().into()) };
        let next = requests.try_recv()?;
        self.checked(next)
    }

    fn miscounted(&self, several: bool) -> Status {
        cardinality(Due::Request, self.context.method(), several)
    }

    /// One request where one is due.
    fn checked(&mut self, next: Option<Req>) -> Result<Option<Req>, ResultError> {
        if self.cardinality.request_streaming() {
            return Ok(next);
        }
        match (next, self.received) {
            (Some(_), true) => Err(self.miscounted(true).into()),
            (None, false) => Err(self.miscounted(false).into()),
            (next, _) => {
                self.received = true;
                Ok(next)
            }
        }
    }

    /// The requests that are still to come, as an iterator.
    pub fn requests(&mut self) -> impl Iterator<Item = Result<Req, Status>> {
        std::iter::from_fn(move || self.recv().transpose())
    }

    /// Sends a response. Waits while more than [`send_buffer`](crate::ServerOptions::send_buffer) bytes of this call wait for the client;
    /// its credit or the end of the call ends the wait.
    ///
    /// # Errors
    /// How the call ended; what the codec said; `INTERNAL` for a second response of a
    /// method that gives one.
    pub fn send(&mut self, response: &Resp) -> Result<(), Status> {
        self.may_send()?;
        send_one(&self.context, response, &*self.codec)?;
        self.sent = true;
        Ok(())
    }

    /// Like [`send`](Self::send), never waiting.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: the response was not taken, for the client has not taken
    /// [`send_buffer`](crate::ServerOptions::send_buffer) bytes that were sent before.
    /// [`ResultError::Rpc`]: as [`send`](Self::send).
    pub fn try_send(&mut self, response: &Resp) -> Result<(), ResultError> {
        self.may_send()?;
        if !try_send_one(&self.context, response, &*self.codec)? {
            return Err(ResultError::TimedOut);
        }
        self.sent = true;
        Ok(())
    }

    fn may_send(&self) -> Result<(), Status> {
        if self.requests.is_none() {
            return Err(detached());
        }
        if self.sent && !self.cardinality.response_streaming() {
            return Err(Status::internal("the method gives one response; it was sent already"));
        }
        Ok(())
    }

    /// Sends what is being held back to be sent together with later messages, now.
    pub fn flush(&self) {
        self.context.call().flush();
    }

    /// See [`ServicerContext::send_initial_metadata`].
    ///
    /// # Errors
    /// As there.
    pub fn send_initial_metadata(&self, metadata: &Metadata) -> Result<(), Status> {
        self.context.send_initial_metadata(metadata)
    }

    /// See [`ServicerContext::set_trailing_metadata`].
    pub fn set_trailing_metadata(&self, metadata: Metadata) {
        self.context.set_trailing_metadata(metadata);
    }

    /// Takes the call out of the handler's hands: the handler may return (its `Ok` is
    /// then without effect) and the value given here goes on, on any thread, until
    /// [`finish`](Self::finish). The worker is free meanwhile. What is left behind only gives errors. It holds the
    /// connection, with its descriptor, until it is finished or dropped, even when the client has gone.
    #[must_use = "dropping it cancels the call"]
    pub fn detach(&mut self) -> Self {
        // What is left behind owns nothing any more, also when it was detached itself.
        self.owner = false;
        Self {
            cardinality: self.cardinality,
            context: self.context.clone(),
            requests: self.requests.take(),
            codec: self.codec.clone(),
            slot: self.slot.take().map(Slot::elsewhere),
            received: self.received,
            sent: self.sent,
            owner: true,
        }
    }

    /// Ends a detached call. Dropping it without cancels it: the client sees `CANCELLED`, and the log a warning.
    pub fn finish(mut self, outcome: Result<(), Status>) {
        self.end(outcome);
    }

    /// The handler has returned.
    pub(super) fn returned(mut self, outcome: Result<(), Status>) {
        if self.requests.is_some() || outcome.is_err() {
            self.end(outcome);
        }
    }

    fn end(&mut self, outcome: Result<(), Status>) {
        self.owner = false;
        let outcome = outcome.and_then(|()| self.complete());
        self.context.call().finish(outcome);
    }

    /// A single response that was never sent is the handler's mistake, unless it set a code.
    fn complete(&self) -> Result<(), Status> {
        let needed = !self.cardinality.response_streaming() && !self.sent;
        if needed && self.context.code().is_none_or(|code| code == Code::Ok) {
            return Err(Status::internal("the handler sent no response"));
        }
        Ok(())
    }
}

impl<Req, Resp> Drop for ServerStream<Req, Resp> {
    fn drop(&mut self) {
        if !self.owner {
            return;
        }
        // Always this program's fault, so it is worth a warning: of a call that its client has ended nothing is said.
        if self.context.is_active() {
            let (method, peer) = (self.context.method(), self.context.peer());
            tell::warn!(
                "{method}: a detached stream was dropped without finish(); its client {peer} is told CANCELLED"
            );
        }
        self.context.cancel();
    }
}

impl<Req, Resp> fmt::Debug for ServerStream<Req, Resp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerStream")
            .field("context", &self.context)
            .field("detached", &self.owner)
            .finish_non_exhaustive()
    }
}

fn detached() -> Status {
    Status::internal("the stream was detached from this handler")
}
