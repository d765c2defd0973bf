//! [`CallFuture`]: a call with one response, without a thread that waits for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::call::client::Core;
use crate::codec::Codec;
use crate::error::ResultError;
use crate::reactor::{spares, user};
use crate::status::{Code, Status};

use super::Call;
use super::call::{call_handle, until};

/// A call with a single response that goes on by itself: a [`Call`] and a future in one.
///
/// No thread belongs to it. The library's poller receives the response, however
/// long nobody looks. Dropping it cancels a call that has not ended, unless it was let go with
/// [`detach`](Self::detach) or [`on_result`](Self::on_result).
#[must_use = "dropping it cancels a call that has not ended; `detach` lets it go on"]
pub struct CallFuture<Resp> {
    core: Arc<Core>,
    codec: Arc<dyn Codec<Resp>>,
    /// The result has been given.
    taken: bool,
    /// The call goes on when this handle is dropped.
    detached: bool,
}

impl<Resp: 'static> CallFuture<Resp> {
    pub(super) fn new(core: Arc<Core>, codec: Arc<dyn Codec<Resp>>) -> Self {
        Self { core, codec, taken: false, detached: false }
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
        let response = give(&self.core, &*self.codec)?;
        self.taken = true;
        Ok(response)
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

    /// Whether the call has ended.
    #[must_use]
    pub fn done(&self) -> bool {
        self.core.try_status().is_some()
    }

    /// Whether [`cancel`](Self::cancel) ended the call. Another `CANCELLED` does not count: the server's, or that of a
    /// channel that was closed.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.core.was_cancelled()
    }

    /// Runs `callback` when the call has ended: on the notifier thread, or here and now
    /// when it has ended already. A panic in it is logged, and later callbacks still run. One that adds the next, and that
    /// again, is run by the notifier thread from some depth on. A callback may wait for other calls; all other callbacks wait
    /// for it meanwhile.
    pub fn add_done_callback(&self, callback: impl FnOnce(&Call) + Send + 'static) {
        let call = self.handle();
        if let Err(callback) = self.core.on_end(Box::new(move || callback(&call))) {
            user::run_here(format_args!("a callback"), callback);
        }
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
        let taken = self.taken;
        let (core, codec) = (self.core.clone(), self.codec.clone());
        let deliver = Box::new(move || {
            f(match taken {
                true => Err(ResultError::Taken.into()),
                false => give_contained(&core, &*codec),
            });
        });
        if let Err(deliver) = self.core.on_end(deliver) {
            user::run_here(format_args!("a callback"), deliver);
        }
        call
    }

    /// Lets the call go on without this handle; the response is dropped.
    pub fn detach(mut self) -> Call {
        let call = self.handle();
        self.detached = true;
        call
    }

    fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

call_handle!(impl [Resp: 'static] CallFuture<Resp>);

/// The response of a call that has ended.
fn give<Resp: 'static>(core: &Core, codec: &dyn Codec<Resp>) -> Result<Resp, ResultError> {
    let message = match core.take_single() {
        Ok(message) => message,
        Err(_) if core.was_cancelled() => return Err(ResultError::Cancelled),
        Err(status) => return Err(ResultError::Rpc(status)),
    };
    spares::decode(codec, message).map_err(|status| {
        core.override_status(status.clone());
        ResultError::Rpc(status)
    })
}

/// Like [`give`], where no caller is there to be told of a codec that panics: the callback is.
fn give_contained<Resp: 'static>(core: &Core, codec: &dyn Codec<Resp>) -> Result<Resp, Status> {
    match user::run(format_args!("a codec"), || give(core, codec)) {
        Ok(given) => given.map_err(Status::from),
        Err(_) => {
            let status = Status::fixed(Code::Internal, "the codec panicked at the response");
            core.override_status(status.clone());
            Err(status)
        }
    }
}

impl<Resp> Drop for CallFuture<Resp> {
    fn drop(&mut self) {
        if !self.detached {
            self.core.abandon();
        }
    }
}

impl<Resp> fmt::Debug for CallFuture<Resp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture")
            .field("status", &self.core.try_status())
            .finish_non_exhaustive()
    }
}
