//! [`CallFuture`]: a call with one response, without a thread that waits for it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::call::client::Core;
use crate::error::ResultError;
use crate::reactor::run_here;
use crate::reactor::user::{self, Panicked};
use crate::status::{Code, Status};

use super::Call;
use super::call::{call_handle, until};
use super::chain::Culprit;
use super::stub::{Reads, read};

/// A call with a single response that goes on by itself: a [`Call`] and a future in one.
///
/// No thread belongs to it. The library's poller receives the response, however
/// long nobody looks. Dropping it cancels a call that has not ended, unless it was let go with
/// [`detach`](Self::detach) or [`on_result`](Self::on_result).
///
/// Many of them: [`as_completed`](crate::as_completed) gives each as its call ends, [`wait`](crate::wait) waits for the first,
/// or for all.
///
/// # In an async program
/// It is a [`Future`], which any executor can await; none is needed, and none is brought along. Its output is what
/// [`result`](Self::result) gives, so that a failed call ([`Rpc`](ResultError::Rpc)) and one that was cancelled from this side
/// ([`Cancelled`](ResultError::Cancelled)) stay different; `?` makes a [`Status`] of either. Awaited again after its response,
/// it gives [`Taken`](ResultError::Taken). The waker of its latest poll is the one that is woken: at the call's end, on the thread
/// that met it (the one that serves idle connections, a caller that reads, or whoever cancels), with no lock held. A
/// waker must not block, then; what it throws is caught and logged.
///
/// ```
/// # use grpc_threads::{CallFuture, Status};
/// async fn both(one: CallFuture<String>, two: CallFuture<String>) -> Result<String, Status> {
///     // Both calls have begun already.
///     Ok(one.await? + &two.await?)
/// }
/// ```
#[must_use = "dropping it cancels a call that has not ended; `detach` lets it go on"]
pub struct CallFuture<Resp> {
    core: Arc<Core>,
    codec: Arc<dyn Reads<Resp>>,
    limit: usize,
    /// The result has been given.
    taken: bool,
    /// The call goes on when this handle is dropped.
    detached: bool,
    /// A waker was given to the call.
    awaited: bool,
}

impl<Resp: 'static> CallFuture<Resp> {
    /// `limit`: the longest response, in octets.
    pub(super) fn new(core: Arc<Core>, codec: Arc<dyn Reads<Resp>>, limit: usize) -> Self {
        Self { core, codec, limit, taken: false, detached: false, awaited: false }
    }

    /// The response. Waits for it: with `None` until the call ends, else at most `timeout`.
    /// The waiting thread reads the connection itself. The value is given once.
    ///
    /// # Errors
    /// [`TimedOut`](ResultError::TimedOut) when `timeout` has passed: the call goes on.
    /// [`Cancelled`](ResultError::Cancelled) after [`cancel`](Self::cancel).
    /// [`Taken`](ResultError::Taken) when the value was already given.
    /// [`Rpc`](ResultError::Rpc) with the status when the call failed.
    pub fn result(&mut self, timeout: Option<Duration>) -> Result<Resp, ResultError> {
        if self.taken {
            return Err(ResultError::Taken);
        }
        if !self.core.wait_single(until(timeout)) {
            return Err(ResultError::TimedOut);
        }
        self.take()
    }

    /// The status of a call that failed; `None` when it went well. Waits like [`result`](Self::result).
    ///
    /// # Errors
    /// [`TimedOut`](ResultError::TimedOut) and [`Cancelled`](ResultError::Cancelled), as there.
    pub fn exception(&mut self, timeout: Option<Duration>) -> Result<Option<Status>, ResultError> {
        let core = &self.core;
        if !core.wait_single(until(timeout)) {
            return Err(ResultError::TimedOut);
        }
        if core.was_cancelled() {
            return Err(ResultError::Cancelled);
        }
        Ok(core.try_status().filter(|status| status.code() != Code::Ok))
    }

    /// Lets the call go on without this handle; `f` gets the result, on the notifier
    /// thread, or here and now when the call has ended already, as with
    /// [`add_done_callback`](Self::add_done_callback).
    pub fn on_result<F>(mut self, f: F) -> Call
    where
        F: FnOnce(Result<Resp, Status>) + Send + 'static,
    {
        let call = self.handle();
        self.detached = true;
        let (taken, limit) = (self.taken, self.limit);
        let (core, codec) = (self.core.clone(), self.codec.clone());
        let deliver = Box::new(move || {
            f(match taken {
                true => Err(ResultError::Taken.into()),
                false => give_contained(&core, &*codec, limit),
            });
        });
        if let Err(deliver) = self.core.on_end(deliver) {
            run_here(format_args!("a callback"), deliver);
        }
        call
    }

    /// Lets the call go on without this handle; the response is dropped.
    pub fn detach(mut self) -> Call {
        let call = self.handle();
        self.detached = true;
        self.core.heed_later();
        call
    }

    /// The result of a call that has ended.
    fn take(&mut self) -> Result<Resp, ResultError> {
        let response = give(&self.core, &*self.codec, self.limit)?;
        self.taken = true;
        Ok(response)
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Wakes `waker` at the call's end, in place of the one before. False: it has ended.
    pub(super) fn wake(&mut self, waker: &Waker) -> bool {
        self.awaited = true;
        self.core.wake(waker)
    }

    /// The waker given last is woken no more.
    pub(super) fn sleep(&mut self) {
        if std::mem::take(&mut self.awaited) {
            self.core.tell_nobody();
        }
    }
}

call_handle!(impl [Resp: 'static] CallFuture<Resp>);

impl<Resp: 'static> Future for CallFuture<Resp> {
    type Output = Result<Resp, ResultError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.taken {
            return Poll::Ready(Err(ResultError::Taken));
        }
        if this.wake(context.waker()) {
            return Poll::Pending;
        }
        Poll::Ready(this.take())
    }
}

/// The response of a call that has ended.
fn give<Resp: 'static>(
    core: &Core,
    codec: &dyn Reads<Resp>,
    limit: usize,
) -> Result<Resp, ResultError> {
    let message = match core.take_single() {
        Ok(message) => message,
        Err(_) if core.was_cancelled() => return Err(ResultError::Cancelled),
        Err(status) => return Err(ResultError::Rpc(status)),
    };
    let response = read(core, codec, message, limit).map_err(|status| {
        core.override_status(status.clone());
        ResultError::Rpc(status)
    })?;
    match core.heed_end() {
        Some(status) if status.code() != Code::Ok => Err(ResultError::Rpc(status)),
        _ => Ok(response),
    }
}

/// Like [`give`], where no caller is there to be told of a codec, a hook or a listener that panics: the callback is.
fn give_contained<Resp: 'static>(
    core: &Core,
    codec: &dyn Reads<Resp>,
    limit: usize,
) -> Result<Resp, Status> {
    match user::run(format_args!("{}", Culprit(core, "a codec")), || give(core, codec, limit)) {
        Ok(given) => given.map_err(|error| core.as_status(error)),
        // Of whom, the call says.
        Err(Panicked) => Err(core.wait_status()),
    }
}

impl<Resp> Drop for CallFuture<Resp> {
    fn drop(&mut self) {
        if self.awaited {
            self.core.tell_nobody();
        }
        if !self.detached {
            self.core.abandon();
        }
    }
}

impl<Resp> fmt::Debug for CallFuture<Resp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture")
            .field("status", &self.core.met_status())
            .finish_non_exhaustive()
    }
}
