//! [`Responses`]: the receiving side of a call with many responses.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
#[cfg(feature = "stream")]
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::call::client::{Arrival, Core};
use crate::call::{By, Line, Rewriter};
use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::metadata::Metadata;
use crate::payload::Payload;
use crate::status::{Code, Status};

use super::call::{call_handle, until};
use super::ready::OnReady;
use super::stub::{Reads, read};

/// The responses of a call: a fused iterator of `Result<Resp, Status>`.
///
/// The thread that asks for the next response waits for it, and reads the connection
/// meanwhile. The call's end ends the wait: its deadline, [`cancel`](Self::cancel) from another thread,
/// the loss of the connection. A call that failed gives its status as the last item.
///
/// Dropping it cancels a call that has not ended. To read only some, borrow it:
///
/// ```no_run
/// # fn first_three(mut responses: grpc_threads::Responses<String>) -> Result<(), grpc_threads::Status> {
/// for response in responses.by_ref().take(3) {
///     println!("{}", response?);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping the responses cancels a call that has not ended"]
pub struct Responses<Resp> {
    core: Arc<Core>,
    codec: Arc<dyn Reads<Resp>>,
    /// The longest response, in octets.
    limit: usize,
    /// What the interceptors do with each response.
    hooks: Option<Box<Rewriter>>,
    /// The last item has been given.
    over: bool,
    /// The call tells somebody of what comes.
    awaited: bool,
}

impl<Resp: 'static> Responses<Resp> {
    pub(super) fn new(core: Arc<Core>, codec: Arc<dyn Reads<Resp>>, limit: usize) -> Self {
        Self { core, codec, limit, hooks: None, over: false, awaited: false }
    }

    /// The responses go through these hooks.
    pub(super) fn hooked(mut self, line: Line) -> Self {
        self.hooks = (!line.is_empty()).then(|| Box::new(Rewriter::new(line)));
        self
    }

    /// The next response; `None` when the call has ended with OK. Waits for it.
    ///
    /// # Errors
    /// The status of a call that failed; asked again, the same status.
    pub fn recv(&mut self) -> Result<Option<Resp>, Status> {
        self.receive(Deadline::NEVER).map_err(|error| self.core.as_status(error))
    }

    /// Like [`recv`](Self::recv), waiting at most `timeout`.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: no response yet, the call goes on. [`ResultError::Cancelled`] after
    /// [`cancel`](Self::cancel). [`ResultError::Rpc`]: the status of a call that failed.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Resp>, ResultError> {
        self.receive(until(Some(timeout)))
    }

    /// Like [`recv`](Self::recv), never waiting.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: no response is there now. [`ResultError::Cancelled`] and [`ResultError::Rpc`]: as
    /// [`recv_timeout`](Self::recv_timeout).
    pub fn try_recv(&mut self) -> Result<Option<Resp>, ResultError> {
        match self.next_now()? {
            Some(arrival) => self.decode(arrival),
            None => Err(ResultError::TimedOut),
        }
    }

    /// Tells `callback` from now on when there is something to take, a response or the end of the call: also when that is there
    /// already. It runs on the library's notifier thread, one at a time, and is dropped when the call has ended, or with the
    /// responses. A panic in it is logged. In place of the one before.
    ///
    /// Once told, [`try_recv`](Self::try_recv) until that says [`TimedOut`](ResultError::TimedOut) or the end: what comes in
    /// quick succession is told as one. It may be told of nothing new. To wait for many calls with one thread, send from
    /// here into a channel of yours; `examples/select.rs` does so. A callback that blocks holds up all others.
    pub fn on_ready(&mut self, callback: impl FnMut() + Send + 'static) {
        self.awaited = true;
        self.core.tell_each(OnReady::new(Box::new(callback)));
    }

    /// The responses as a [`Stream`](futures_core::Stream), for programs that have an executor. In place of
    /// [`on_ready`](Self::on_ready). With the feature `stream`.
    #[cfg(feature = "stream")]
    pub fn into_stream(self) -> super::ResponseStream<Resp> {
        super::ResponseStream::new(self)
    }

    /// All responses from here on, and the metadata of the status. Waits for the end of the call.
    ///
    /// # Errors
    /// The status of a call that failed.
    pub fn collect_all(mut self) -> Result<(Vec<Resp>, Metadata), Status> {
        let mut all = Vec::new();
        while let Some(response) = self.recv()? {
            all.push(response);
        }
        Ok((all, self.core.wait_status().trailing_metadata().clone()))
    }

    /// What is there to be taken, behind the interceptors' hooks.
    fn next_now(&mut self) -> Result<Option<Arrival>, ResultError> {
        match self.hooks {
            None => Ok(self.core.try_next()),
            Some(_) => self.hooked_next(&Core::try_next),
        }
    }

    fn receive(&mut self, deadline: Deadline) -> Result<Option<Resp>, ResultError> {
        let arrival = match self.hooks {
            None => self.core.next(deadline),
            Some(_) => {
                let next = self.hooked_next(&|core| Some(core.next(deadline)))?;
                next.unwrap_or(Arrival::TimedOut)
            }
        };
        self.decode(arrival)
    }

    fn decode(&mut self, arrival: Arrival) -> Result<Option<Resp>, ResultError> {
        match arrival {
            Arrival::Message(message) => {
                match read(&self.core, &*self.codec, message, self.limit) {
                    Ok(response) => Ok(Some(response)),
                    Err(status) => {
                        self.core.override_status(status.clone());
                        Err(ResultError::Rpc(status))
                    }
                }
            }
            Arrival::TimedOut => Err(ResultError::TimedOut),
            Arrival::End(status) if status.code() == Code::Ok => Ok(None),
            Arrival::End(status) => Err(self.core.outcome(status)),
        }
    }

    /// The next item, or `waker` is woken when it is there.
    #[cfg(feature = "stream")]
    pub(super) fn poll_item(&mut self, waker: &Waker) -> Poll<Option<Result<Resp, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut next = self.next_now();
        if matches!(next, Ok(None)) {
            self.awaited = true;
            self.core.wake(waker);
            // What came in between has woken nobody.
            next = self.next_now();
        }
        let item = match next {
            Ok(None) => return Poll::Pending,
            Ok(Some(arrival)) => self.decode(arrival).transpose(),
            Err(error) => Some(Err(error)),
        };
        let item = item.map(|item| item.map_err(|error| self.core.as_status(error)));
        self.over = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }

    #[cfg(feature = "stream")]
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The next message behind the interceptors' hooks, of those that `next` gives.
    fn hooked_next(
        &mut self,
        next: &dyn Fn(&Core) -> Option<Arrival>,
    ) -> Result<Option<Arrival>, ResultError> {
        let (core, codec, limit) = (&self.core, &self.codec, self.limit);
        let Some(hooks) = &mut self.hooks else { return Ok(next(core)) };
        let panicked: &dyn Fn(By) = &|by| core.broke(by.panicked());
        loop {
            if let Some(ready) = hooks.pop() {
                return Ok(Some(Arrival::Message(ready.into())));
            }
            let passed = match next(core) {
                Some(Arrival::Message(message)) => {
                    core.heed_head().map_err(ResultError::Rpc)?;
                    let bytes = codec.unpack(message, limit);
                    bytes.and_then(|bytes| hooks.pass_by(Payload::new(bytes), panicked))
                }
                Some(Arrival::End(status)) if status.code() == Code::Ok => {
                    let ended = hooks.end_by(panicked);
                    if ended.is_ok() && hooks.front().is_none() {
                        return Ok(Some(Arrival::End(status)));
                    }
                    ended
                }
                other => return Ok(other),
            };
            if let Err(status) = passed {
                core.override_status(status.clone());
                return Err(ResultError::Rpc(status));
            }
        }
    }
}

call_handle!(impl [Resp: 'static] Responses<Resp>);

impl<Resp: 'static> Iterator for Responses<Resp> {
    type Item = Result<Resp, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let item = self.recv().transpose();
        self.over = !matches!(item, Some(Ok(_)));
        item
    }
}

impl<Resp: 'static> FusedIterator for Responses<Resp> {}

impl<Resp> Drop for Responses<Resp> {
    fn drop(&mut self) {
        if self.awaited {
            self.core.tell_nobody();
        }
        self.core.abandon();
    }
}

impl<Resp> fmt::Debug for Responses<Resp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responses").field("status", &self.core.met_status()).finish_non_exhaustive()
    }
}
