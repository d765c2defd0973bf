//! What the four multi-callables have in common: a method of a channel with its codecs.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::call;
use crate::call::client::{Auth, Core, Interceptors, Launch, Source, Template};
use crate::channel::Channel;
use crate::codec::Codec;
use crate::credentials::CallCredentials;
use crate::link::Replies;
use crate::reactor::clock;
use crate::status::Status;
use crate::wire::outcome::{Due, undecodable};

use super::{CallFuture, CallOptions, MethodPath};

/// A method of a channel. Shared by all copies of a multi-callable.
pub(super) struct Method<Req, Resp> {
    pub(super) path: MethodPath,
    pub(super) source: Arc<dyn Source>,
    /// What its calls go through first.
    pub(super) interceptors: Option<Arc<Interceptors>>,
    pub(super) template: Template,
    pub(super) request: Arc<dyn Codec<Req>>,
    pub(super) response: Arc<dyn Codec<Resp>>,
    types: PhantomData<fn(Req) -> Resp>,
}

/// A codec that says which method's response it could not decode.
struct Named<C> {
    codec: Arc<C>,
    path: MethodPath,
}

impl<T, C: Codec<T>> Codec<T> for Named<C> {
    fn encode(&self, message: &T, out: &mut dyn BufMut) -> Result<(), Status> {
        self.codec.encode(message, out)
    }

    fn decode(&self, bytes: Bytes) -> Result<T, Status> {
        let name = |status| undecodable(Due::Response, self.path.as_str(), status);
        self.codec.decode(bytes).map_err(name)
    }

    fn size_hint(&self, message: &T) -> usize {
        self.codec.size_hint(message)
    }
}

impl<Req: 'static, Resp: 'static> Method<Req, Resp> {
    pub(super) fn new<C>(channel: &Channel, path: MethodPath, codec: C) -> Arc<Self>
    where
        C: Codec<Req> + Codec<Resp>,
    {
        let codec = Arc::new(codec);
        let response = Named { codec: codec.clone(), path: path.clone() };
        let source = channel.source();
        Arc::new(Self {
            template: source.template(path.as_str()),
            path,
            source,
            interceptors: channel.interceptors().cloned(),
            request: codec,
            response: Arc::new(response),
            types: PhantomData,
        })
    }

    /// One message with its prefix, as the whole of a request.
    pub(super) fn frame(&self, options: &CallOptions, request: &Req) -> Result<Bytes, Status> {
        call::frame(&*self.request, request, self.send_limit(options))
    }

    /// Begins a call; never blocks. `body`: the whole request, else messages follow.
    pub(super) fn start(
        &self,
        options: &CallOptions,
        body: Option<Bytes>,
        replies: Replies,
    ) -> Arc<Core> {
        let single = replies == Replies::One;
        let launch = Launch { replies, ..self.launch(options, body) };
        Core::start(self.source.clone(), launch, single)
    }

    /// For one response, unless that is changed.
    pub(super) fn launch(&self, options: &CallOptions, body: Option<Bytes>) -> Launch {
        let defaults = self.source.defaults();
        let deadline = options.start(clock::now);
        let (metadata, auth) = match options.auth() {
            None => (options.get_metadata().clone(), None),
            Some(auth) => auth.split(options.get_metadata()),
        };
        Launch {
            template: self.template.clone(),
            metadata,
            deadline,
            limited_by: options.limited_by(deadline),
            wait_for_ready: options.waits_for_ready(false),
            retry_refused: options.retries_refused(defaults.retry_refused),
            receive_limit: options.receive_limit(defaults.max_receive),
            replies: Replies::One,
            body,
            auth,
        }
    }

    /// A call that has failed before it began.
    pub(super) fn failed(&self, options: &CallOptions, status: Status) -> Arc<Core> {
        Core::failed(options.start(clock::now), status)
    }

    /// The longest message of a request.
    /// A future on a call that has failed before it began.
    pub(super) fn failed_future(&self, options: &CallOptions, status: Status) -> CallFuture<Resp> {
        CallFuture::new(self.failed(options, status), self.response.clone())
    }

    pub(super) fn send_limit(&self, options: &CallOptions) -> usize {
        options.send_limit(self.source.defaults().max_send)
    }
}

impl<Req, Resp> Method<Req, Resp> {
    /// What calls prove with the channel's credentials and these.
    pub(super) fn auth(&self, own: Option<&CallCredentials>) -> Option<Arc<Auth>> {
        self.source.auth(self.path.as_str(), own)
    }
}
