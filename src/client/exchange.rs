//! [`Exchange`]: a call that pulls its requests and gives its responses on one thread.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use crate::call::client::Core;
use crate::error::ResultError;
use crate::status::Status;

use super::call::call_handle;
use super::{RequestSender, Responses};

/// A call with many requests and many responses, driven by the thread that reads the responses.
///
/// `next()` gives a response that is already there; else it sends one request and looks
/// again; with the requests at their end, or no room for another, it waits. So the request iterator runs
/// on this thread and must not wait for responses itself: for that use `spawn` or `open`. A `next()` of it that blocks, such as
/// that of a [`Receiver`](std::sync::mpsc::Receiver), outlives the call: no deadline and no cancel ends it. There, too, use
/// [`spawn`](crate::StreamStream::spawn).
///
/// Nothing but `next()` and [`recv`](Self::recv) pulls requests. So [`initial_metadata`](Self::initial_metadata),
/// [`status`](Self::status) and the others that wait see none sent meanwhile: where the server answers only
/// once it has requests, or their end, such a wait lasts until the deadline, and without one for ever. Read the responses first, or use
/// `spawn` or `open`. [`waits_for`](Self::waits_for) says so of a call that hangs like this.
///
/// Dropping it cancels a call that has not ended.
#[must_use = "dropping it cancels a call that has not ended"]
pub struct Exchange<'a, Req, Resp> {
    requests: Option<Box<dyn Iterator<Item = Req> + 'a>>,
    /// A request that found no room.
    held: Option<Req>,
    sender: RequestSender<Req>,
    responses: Responses<Resp>,
    over: bool,
}

impl<'a, Req: 'static, Resp: 'static> Exchange<'a, Req, Resp> {
    pub(super) fn new(
        requests: Box<dyn Iterator<Item = Req> + 'a>,
        sender: RequestSender<Req>,
        responses: Responses<Resp>,
    ) -> Self {
        Self { requests: Some(requests), held: None, sender, responses, over: false }
    }

    /// The next response; `None` when the call has ended with OK. See the type for what it does meanwhile.
    ///
    /// # Errors
    /// The status of a call that failed.
    pub fn recv(&mut self) -> Result<Option<Resp>, Status> {
        loop {
            match self.responses.try_recv() {
                Err(ResultError::TimedOut) => {}
                arrived => return arrived.map_err(|error| self.core().as_status(error)),
            }
            if self.requests.is_none() {
                return self.responses.recv();
            }
            self.push()?;
        }
    }

    /// Sends one request, or the end of them; waits for room or a response when there is no room.
    fn push(&mut self) -> Result<(), Status> {
        if !self.sender.has_room() {
            self.sender.flush();
            self.core().wait_exchange();
            return Ok(());
        }
        let Some(request) = self.held.take().or_else(|| self.requests.as_mut()?.next()) else {
            self.requests = None;
            // How the call ended is for the responses to say, here and below.
            let _ = self.sender.finish();
            return Ok(());
        };
        match self.sender.try_send(&request) {
            Ok(()) => Ok(()),
            Err(ResultError::TimedOut) => {
                self.held = Some(request);
                Ok(())
            }
            Err(_) => {
                self.requests = None;
                Ok(())
            }
        }
    }

    fn core(&self) -> &Arc<Core> {
        self.responses.core()
    }
}

call_handle!(impl ['a, Req: 'static, Resp: 'static] Exchange<'a, Req, Resp>);

impl<Req: 'static, Resp: 'static> Iterator for Exchange<'_, Req, Resp> {
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

impl<Req: 'static, Resp: 'static> FusedIterator for Exchange<'_, Req, Resp> {}

impl<Req, Resp> fmt::Debug for Exchange<'_, Req, Resp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("responses", &self.responses).finish_non_exhaustive()
    }
}
