//! Many requests, one response.

use std::convert::Infallible;
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::link::Replies;
use crate::reactor::{helper, user};
use crate::status::{Code, Status};

use super::chain::Culprit;
use super::options::per_call_options;
use super::stub::{Begun, Method};
use super::{Call, CallFuture, CallOptions, RequestSender};

/// A method with many requests and one response, on a channel.
///
/// Cheap to clone, usable from any thread. Its option methods give changed copies.
pub struct StreamUnary<Req, Resp> {
    pub(super) method: Arc<Method<Req, Resp>>,
    options: CallOptions,
}

per_call_options!(StreamUnary);

impl<Req: 'static, Resp: 'static> StreamUnary<Req, Resp> {
    /// Sends all requests, which are pulled on this thread, and waits for the response. When
    /// the call ends early the rest are not pulled. The deadline, the loss of the connection and the
    /// channel's `close` end the wait, but not a `next()` of the iterator that blocks: for one that waits, such as that of a
    /// [`Receiver`](std::sync::mpsc::Receiver), use [`future`](Self::future).
    ///
    /// # Errors
    /// The status of a call that failed.
    pub fn call(&self, requests: impl IntoIterator<Item = Req>) -> Result<Resp, Status> {
        self.with_call(requests).map(|(response, _)| response)
    }

    /// Like [`call`](Self::call), and gives a handle on the ended call for its metadata.
    ///
    /// # Errors
    /// The status of a call that failed.
    pub fn with_call(
        &self,
        requests: impl IntoIterator<Item = Req>,
    ) -> Result<(Resp, Call), Status> {
        self.drive(requests.into_iter().map(Ok::<Req, Infallible>), |never| match never {})
    }

    /// Like [`call`](Self::call) for a source that can fail. An error ends the call with
    /// CANCELLED for the server, which never sees half a stream as if it were whole, and is what this returns.
    ///
    /// # Errors
    /// The source's error as a status, or the status of a call that failed.
    pub fn try_call<E: Into<Status>>(
        &self,
        requests: impl IntoIterator<Item = Result<Req, E>>,
    ) -> Result<Resp, Status> {
        self.drive(requests.into_iter(), E::into).map(|(response, _)| response)
    }

    /// Begins the call and returns at once. The requests are pulled by a thread of the library, which ends with them.
    /// When the iterator panics, that is logged, and the call ends with CANCELLED, here and on the server.
    #[must_use = "dropping the future cancels the call"]
    pub fn future<I>(&self, requests: I) -> CallFuture<Resp>
    where
        I: IntoIterator<Item = Req>,
        I::IntoIter: Send + 'static,
    {
        let (sender, future) = self.open();
        pull(sender, requests.into_iter());
        future
    }

    /// Begins the call and returns at once: a sender for the requests, and a future for the response. A sender that
    /// is dropped without [`done_writing`](RequestSender::done_writing) ends the call: the future's result is
    /// [`ResultError::Rpc`](crate::ResultError::Rpc) with a CANCELLED that says so.
    #[must_use = "dropping either handle cancels the call"]
    pub fn open(&self) -> (RequestSender<Req>, CallFuture<Resp>) {
        let method = &self.method;
        let Some(chain) = method.chain() else {
            let Begun { core, sends } = method.open(&self.options, Replies::One);
            let limit = method.receive_limit(&self.options);
            let sender = RequestSender::new(core.clone(), method.request.clone(), sends, None);
            return (sender, CallFuture::new(core, method.response.clone(), limit));
        };
        let mut hooked = method.open_hooked(chain, &self.options, Replies::One);
        let (core, requests) = (hooked.core.clone(), hooked.requests.take());
        let sender = RequestSender::new(core, method.request.clone(), hooked.sends, requests);
        (sender, method.hooked_future(hooked))
    }

    fn drive<E>(
        &self,
        requests: impl Iterator<Item = Result<Req, E>>,
        status: impl FnOnce(E) -> Status,
    ) -> Result<(Resp, Call), Status> {
        let (mut sender, mut future) = self.open();
        for request in requests {
            let request = match request {
                Ok(request) => request,
                Err(error) => {
                    let status = status(error).given_by("the source of the requests");
                    sender.core().fail(status.clone());
                    return Err(status);
                }
            };
            // The call has ended: how, the result tells.
            if sender.send_until(&request, Deadline::NEVER).is_err() {
                break;
            }
        }
        let _ = sender.finish();
        match future.result(None) {
            Ok(response) => Ok((response, future.handle())),
            Err(error) => Err(future.handle().core().as_status(error)),
        }
    }
}

/// Sends the requests from a thread of the library.
pub(super) fn pull<Req: 'static>(
    mut sender: RequestSender<Req>,
    requests: impl Iterator<Item = Req> + Send + 'static,
) {
    let core = sender.core().clone();
    let ended = core.clone();
    let work = move || {
        // The iterator is the user's, and so are its items: a panic ends the call, and is told to the log. Both
        // are dropped in there. What panics at a request that is sent has ended the call already.
        let whose = Culprit(&ended, "an iterator of requests");
        let pulled = user::run(format_args!("{whose}"), || {
            for request in requests {
                if sender.send_until(&request, Deadline::NEVER).is_err() {
                    break;
                }
            }
        });
        // How the call ended, the other handle tells.
        match pulled {
            Ok(()) => {
                let whose = Culprit(&ended, "an interceptor's hook");
                let finish = || {
                    let _ = sender.finish();
                };
                let _ = user::run(format_args!("{whose}"), finish);
            }
            Err(_) => {
                let text = "the iterator of requests panicked";
                sender.core().fail(Status::fixed(Code::Cancelled, text));
            }
        }
    };
    if let Err((error, work)) = helper::spawn("requests", Box::new(work)) {
        // Before the sender is dropped, which would be a cancel.
        core.fail(Status::new(
            Code::ResourceExhausted,
            format!("no thread could be started to pull the requests: {error}"),
        ));
        user::drop_quietly(format_args!("an iterator of requests"), work);
    }
}
