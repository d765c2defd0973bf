//! [`ResponseStream`]: responses for programs that have an executor.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::stream::{FusedStream, Stream};

use crate::status::Status;

use super::Responses;
use super::call::call_handle;

/// The responses of a call, to be awaited: a fused [`Stream`] of `Result<Resp, Status>`, made by [`Responses::into_stream`].
///
/// No thread of the library waits for it, and no executor is brought along. The waker of its latest poll is the one that is
/// woken: at the next response or the call's end, on the thread that met it, with no lock held, as with
/// [`CallFuture`](crate::CallFuture). A message is decoded on the thread that polls. Dropping it cancels a call that has not
/// ended.
#[must_use = "dropping it cancels a call that has not ended"]
pub struct ResponseStream<Resp> {
    responses: Responses<Resp>,
}

impl<Resp: 'static> ResponseStream<Resp> {
    pub(super) fn new(responses: Responses<Resp>) -> Self {
        Self { responses }
    }

    /// The responses from here on, for a thread that waits.
    pub fn into_inner(self) -> Responses<Resp> {
        self.responses
    }

    fn core(&self) -> &std::sync::Arc<crate::call::client::Core> {
        self.responses.core()
    }
}

call_handle!(impl [Resp: 'static] ResponseStream<Resp>);

impl<Resp: 'static> Stream for ResponseStream<Resp> {
    type Item = Result<Resp, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().responses.poll_item(context.waker())
    }
}

impl<Resp: 'static> FusedStream for ResponseStream<Resp> {
    fn is_terminated(&self) -> bool {
        self.responses.is_over()
    }
}

impl<Resp> fmt::Debug for ResponseStream<Resp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStream").field("responses", &self.responses).finish()
    }
}
