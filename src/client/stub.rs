//! What the four multi-callables have in common: a method of a channel with its codecs.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::call::client::{Auth, ClientEvents, Core, Interceptors, Launch, Source, Template};
use crate::call::{self, Sends};
use crate::channel::Channel;
use crate::codec::{Codec, Raw};
use crate::compression::Encoding;
use crate::credentials::CallCredentials;
use crate::link::{Replies, Terms};
use crate::reactor::{clock, spares, user};
use crate::status::Status;
use crate::wire::framing::Message;
use crate::wire::outcome::{Due, undecodable};

use super::{CallFuture, CallOptions, MethodPath};

/// A method of a channel. Shared by all copies of a multi-callable.
pub(super) struct Method<Req, Resp> {
    pub(super) path: MethodPath,
    pub(super) source: Arc<dyn Source>,
    /// What its calls go through first.
    interceptors: Arc<Interceptors>,
    pub(super) template: Template,
    pub(super) request: Arc<dyn Codec<Req>>,
    pub(super) response: Arc<dyn Reads<Resp>>,
    types: PhantomData<fn(Req) -> Resp>,
}

/// From a response as it came to what it says, on its reader's thread. Runs code of the user's.
pub(super) trait Reads<T>: Send + Sync {
    /// The message itself, of no more than `limit` octets.
    fn unpack(&self, message: Message, limit: usize) -> Result<Bytes, Status>;

    /// What it says.
    fn decode(&self, bytes: Bytes) -> Result<T, Status>;

    /// Both, one after the other.
    fn read(&self, message: Message, limit: usize) -> Result<T, Status> {
        self.decode(self.unpack(message, limit)?)
    }
}

/// What a response of `core` says. A codec that panics ends the call otherwise than the server did.
pub(super) fn read<T>(
    core: &Core,
    codec: &dyn Reads<T>,
    message: Message,
    limit: usize,
) -> Result<T, Status> {
    user::run_or_end(|| codec.read(message, limit), || core.broke(RESPONSE_PANICKED))
}

/// What is said of a codec's panic where it is given a response.
pub(super) const RESPONSE_PANICKED: &str = "the codec panicked at the response";

/// The user's codec, whose errors are errors.
struct Checked<C>(C);

impl<T, C: Codec<T>> Codec<T> for Checked<C> {
    #[inline]
    fn encode(&self, message: &T, out: &mut dyn BufMut) -> Result<(), Status> {
        self.0.encode(message, out).map_err(|status| status.given_by(CODEC))
    }

    #[inline]
    fn decode(&self, bytes: Bytes) -> Result<T, Status> {
        self.0.decode(bytes).map_err(|status| status.given_by(CODEC))
    }

    #[inline]
    fn size_hint(&self, message: &T) -> usize {
        self.0.size_hint(message)
    }
}

pub(super) const CODEC: &str = "the codec";

/// A codec that says which method's response it could not decode.
struct Named<C> {
    codec: Arc<C>,
    path: MethodPath,
    terms: Arc<Terms>,
}

impl<C> Named<C> {
    fn named(&self, status: Status) -> Status {
        undecodable(Due::Response, self.path.as_str(), status)
    }
}

impl<T, C: Codec<T>> Reads<T> for Named<C> {
    fn unpack(&self, message: Message, limit: usize) -> Result<Bytes, Status> {
        let unpacked = call::unpack(message, self.terms.encodings(), limit);
        unpacked.map_err(|status| self.named(status))
    }

    fn decode(&self, bytes: Bytes) -> Result<T, Status> {
        spares::decode(&*self.codec, bytes).map_err(|status| self.named(status))
    }
}

/// A call that has begun, whose messages follow.
pub(super) struct Begun {
    pub(super) core: Arc<Core>,
    /// What goes for them.
    pub(super) sends: Sends,
}

impl<Req: 'static, Resp: 'static> Method<Req, Resp> {
    pub(super) fn new<C>(channel: &Channel, path: MethodPath, codec: C) -> Arc<Self>
    where
        C: Codec<Req> + Codec<Resp>,
    {
        let codec = Arc::new(Checked(codec));
        let source = channel.source();
        let terms = source.terms().clone();
        let response = Named { codec: codec.clone(), path: path.clone(), terms };
        Arc::new(Self {
            template: source.template(path.as_str()),
            path,
            source,
            interceptors: channel.interceptors().clone(),
            request: codec,
            response: Arc::new(response),
            types: PhantomData,
        })
    }

    /// What a call that begins now goes through first, if anything.
    pub(super) fn chain(&self) -> Option<&Arc<Interceptors>> {
        self.interceptors.are_wanted().then_some(&self.interceptors)
    }

    pub(super) fn events(&self) -> &ClientEvents {
        self.interceptors.events()
    }

    /// One message with its prefix, as the whole of a request.
    pub(super) fn frame(&self, sends: Sends, request: &Req) -> Result<Bytes, Status> {
        call::frame(&*self.request, request, sends, self.source.terms().encodings())
    }

    /// The same of one that is encoded.
    pub(super) fn frame_encoded(&self, sends: Sends, request: &Bytes) -> Result<Bytes, Status> {
        call::frame(&Raw, request, sends, self.source.terms().encodings())
    }

    /// What goes for the messages of a call that begins now. An error: nobody has the compression.
    pub(super) fn sends(&self, options: &CallOptions) -> Result<Sends, Status> {
        let defaults = self.source.defaults();
        let encoding = self.source.terms().request(options.compressed(defaults.compression))?;
        Ok(Sends { limit: options.send_limit(defaults.max_send), encoding })
    }

    /// Begins a call with all of its request; never blocks.
    pub(super) fn start(
        &self,
        options: &CallOptions,
        request: &Req,
        replies: Replies,
    ) -> Result<Arc<Core>, Status> {
        let sends = self.sends(options)?;
        let body = self.frame(sends, request)?;
        let launch = Launch { replies, ..self.launch(options, sends.encoding, Some(body)) };
        Ok(Core::start(self.source.clone(), launch, replies == Replies::One))
    }

    /// Begins a call whose messages follow; never blocks.
    pub(super) fn open(&self, options: &CallOptions, replies: Replies) -> Begun {
        match self.sends(options) {
            Ok(sends) => {
                let launch = Launch { replies, ..self.launch(options, sends.encoding, None) };
                let single = replies == Replies::One;
                Begun { core: Core::start(self.source.clone(), launch, single), sends }
            }
            Err(status) => Begun { core: self.failed(options, status), sends: Sends::NONE },
        }
    }

    /// For one response, unless that is changed.
    pub(super) fn launch(
        &self,
        options: &CallOptions,
        encoding: Encoding,
        body: Option<Bytes>,
    ) -> Launch {
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
            receive_limit: self.receive_limit(options),
            replies: Replies::One,
            encoding,
            body,
            auth,
            family: options.family().cloned(),
        }
    }

    /// A call that has failed before it began.
    pub(super) fn failed(&self, options: &CallOptions, status: Status) -> Arc<Core> {
        Core::failed(options.start(clock::now), status)
    }

    /// A future on a call that has failed before it began.
    pub(super) fn failed_future(&self, options: &CallOptions, status: Status) -> CallFuture<Resp> {
        CallFuture::new(self.failed(options, status), self.response.clone(), 0)
    }

    /// The longest response.
    pub(super) fn receive_limit(&self, options: &CallOptions) -> usize {
        options.receive_limit(self.source.defaults().max_receive)
    }
}

impl<Req, Resp> Method<Req, Resp> {
    /// What calls prove with the channel's credentials and these.
    pub(super) fn auth(&self, own: Option<&CallCredentials>) -> Option<Arc<Auth>> {
        self.source.auth(self.path.as_str(), own)
    }
}
