//! Many requests, many responses.

use std::sync::Arc;

use crate::link::Replies;

use super::chain::Hooked;
use super::options::per_call_options;
use super::stream_unary::pull;
use super::stub::{Begun, Method};
use super::{CallOptions, Duplex, Exchange, RequestSender, Responses};

/// A method with many requests and many responses, on a channel.
///
/// Cheap to clone, usable from any thread. Its option methods give changed copies.
pub struct StreamStream<Req, Resp> {
    pub(super) method: Arc<Method<Req, Resp>>,
    options: CallOptions,
}

per_call_options!(StreamStream);

impl<Req: 'static, Resp: 'static> StreamStream<Req, Resp> {
    /// Begins the call and returns at once. Requests are pulled on the thread that reads the
    /// responses, between them; see [`Exchange`]. Neither the deadline nor a cancel ends a `next()` of the iterator that
    /// blocks: for one that waits, such as that of a [`Receiver`](std::sync::mpsc::Receiver), use [`spawn`](Self::spawn).
    pub fn call<'a, I>(&self, requests: I) -> Exchange<'a, Req, Resp>
    where
        I: IntoIterator<Item = Req>,
        I::IntoIter: 'a,
    {
        let (sender, responses) = self.open().split();
        Exchange::new(Box::new(requests.into_iter()), sender, responses)
    }

    /// Begins the call and returns at once. The requests are pulled by a thread of the library, which ends with them.
    /// When the iterator panics, that is logged, and the call ends with CANCELLED, here and on the server.
    pub fn spawn<I>(&self, requests: I) -> Responses<Resp>
    where
        I: IntoIterator<Item = Req>,
        I::IntoIter: Send + 'static,
    {
        let (sender, responses) = self.open().split();
        pull(sender, requests.into_iter());
        responses
    }

    /// Begins the call and returns at once: send and receive as you like.
    #[must_use = "dropping the handle cancels the call"]
    pub fn open(&self) -> Duplex<Req, Resp> {
        let method = &self.method;
        let Some(chain) = method.chain() else {
            let Begun { core, sends } = method.open(&self.options, Replies::Many);
            let limit = method.receive_limit(&self.options);
            let sender = RequestSender::new(core.clone(), method.request.clone(), sends, None);
            return Duplex::new(sender, Responses::new(core, method.response.clone(), limit));
        };
        let Hooked { core, requests, responses, sends, limit } =
            method.open_hooked(chain, &self.options, Replies::Many);
        let sender = RequestSender::new(core.clone(), method.request.clone(), sends, requests);
        let receiver = Responses::new(core, method.response.clone(), limit);
        Duplex::new(sender, receiver.hooked(responses))
    }
}
