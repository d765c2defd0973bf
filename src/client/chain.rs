//! Calls of a channel with interceptors: from what a user gives a multi-callable to the call on the wire.
//!
//! Messages are encoded first and decoded last: interceptors see bytes. A method whose channel has none comes here never.

use std::fmt;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;

use crate::call::client::{
    Answer, CallDetails, Core, Interceptors, Launch, Lines, MethodPath, Next, REQUEST_PANICKED,
    Reply, Unary,
};
use crate::call::{self, By, Line, Rewriter, Sends};
use crate::compression::Encoding;
use crate::deadline::Deadline;
use crate::link::Replies;
use crate::payload::Payload;
use crate::reactor::{clock, run_here, user};
use crate::status::{Code, Status};
use crate::sync::Mutex;
use crate::wire::framing::Message;

use super::stub::{CODEC, Method, RESPONSE_PANICKED, Reads};
use super::{Call, CallFuture, CallOptions};

/// A call with one request and one response, through all interceptors.
impl<Req: 'static, Resp: 'static> Method<Req, Resp> {
    /// Makes the call and waits for the response.
    pub(super) fn run_chain(
        self: &Arc<Self>,
        chain: &Interceptors,
        options: &CallOptions,
        request: &Req,
    ) -> Result<Reply, Status> {
        let details = self.details(options, (false, false));
        let request = self.payload(request)?;
        Next::new(chain, &|details, request| self.exchange(details, request)).call(details, request)
    }

    /// Begins the call; the interceptors run on a thread of the crew.
    pub(super) fn start_chain(
        self: &Arc<Self>,
        chain: &Arc<Interceptors>,
        options: &CallOptions,
        request: &Req,
    ) -> Arc<Core> {
        let details = self.details(options, (false, false));
        let request = match self.payload(request) {
            Ok(request) => request,
            Err(status) => return self.failed(options, status),
        };
        let launch = self.launch(details.options(), Encoding::IDENTITY, None);
        let outer = Core::deferred(self.source.clone(), launch);
        let (method, interceptors, core) = (self.clone(), chain.clone(), outer.clone());
        let work = move || {
            if core.try_status().is_some() {
                return;
            }
            let whose = Culprit(&core, "an interceptor");
            let ran = user::run(format_args!("{whose} of {}", method.path), || {
                let inner =
                    |details: &CallDetails, request| method.attempt(&core, details, request);
                Next::new(&interceptors, &inner).call(details, request)
            });
            let panicked = || Status::fixed(Code::Internal, "an interceptor panicked");
            match ran.unwrap_or_else(|_| Err(panicked())) {
                Ok(reply) => {
                    let (payload, status, head, peer) = reply.into_parts();
                    core.fulfil(payload.into_bytes(), status, head, peer);
                }
                Err(status) => {
                    core.fail(status);
                }
            }
        };
        if let Err(error) = chain.crew().within().and_then(|crew| crew.enter(Box::new(work))) {
            let text = format!("no thread could be started to run the interceptors: {error}");
            outer.fail(Status::resource_exhausted(text));
        }
        outer
    }

    /// The call itself, on this thread.
    fn exchange(&self, details: &CallDetails, request: Payload) -> Result<Reply, Status> {
        if !self.events().is_heard() {
            return self.exchange_as(details, request);
        }
        let (mut details, mut lines) = (details.clone(), Lines::default());
        self.events().begin(&mut details, &mut lines)?;
        // A panic goes on to the caller, and there is no call yet that it would have to end.
        let request = lines.one_request(request, details.method().as_str(), &|_| ())?;
        if lines.heed.is_some() {
            return self.attempt_as(None, &details, request, lines);
        }
        let reply = self.exchange_as(&details, request)?;
        let one = ("response", details.method().as_str());
        let response = lines.response.one(reply.payload().clone(), one, &|_| ())?;
        Ok(reply.with_payload(response))
    }

    /// The same, as it is.
    fn exchange_as(&self, details: &CallDetails, request: Payload) -> Result<Reply, Status> {
        let options = self.bound(details);
        let (sends, limit) = (self.sends(&options)?, self.receive_limit(&options));
        let bytes = request.into_bytes();
        let defaults = self.source.defaults();
        let deadline = options.start(clock::now);
        let template = self.template_of(details);
        let call = Unary {
            source: &self.source,
            template: &template,
            metadata: options.get_metadata(),
            deadline,
            limited_by: options.limited_by(deadline),
            wait_for_ready: options.waits_for_ready(false),
            retry_refused: options.retries_refused(defaults.retry_refused),
            receive_limit: limit,
            encoding: sends.encoding,
            auth: options.auth(),
            family: options.family(),
        };
        let answer: Answer = call.run(&|| self.frame_encoded(sends, &bytes))?;
        answer.into_reply(|message| self.response.unpack(message, limit))
    }

    /// The call itself as a part of `outer`, with which it ends.
    fn attempt(
        &self,
        outer: &Arc<Core>,
        details: &CallDetails,
        request: Payload,
    ) -> Result<Reply, Status> {
        let (mut details, mut lines) = (details.clone(), Lines::default());
        let panicked = |by: By| outer.broke(by.panicked());
        let begin = || self.events().begin(&mut details, &mut lines);
        user::run_or_end(begin, || panicked(By::Listener))?;
        let request = lines.one_request(request, details.method().as_str(), &panicked)?;
        self.attempt_as(Some(outer), &details, request, lines)
    }

    /// The same of what has begun, where there is nobody to wait for it on the link, or those who listen are told of its ends.
    fn attempt_as(
        &self,
        outer: Option<&Arc<Core>>,
        details: &CallDetails,
        request: Payload,
        mut lines: Lines,
    ) -> Result<Reply, Status> {
        let options = self.bound(details);
        let sends = self.sends(&options)?;
        let body = self.frame_encoded(sends, &request.into_bytes())?;
        let launch = Launch {
            template: self.template_of(details),
            replies: Replies::One,
            ..self.launch(&options, sends.encoding, Some(body))
        };
        let inner = Core::start(self.source.clone(), launch, true);
        inner.heed(lines.heed.take());
        if let Some(outer) = outer {
            let follower = inner.clone();
            let end = Box::new(move || {
                follower.cancel();
            });
            if let Err(end) = outer.on_end(end) {
                end();
            }
        }
        inner.wait_single(Deadline::NEVER);
        let limit = self.receive_limit(&options);
        let response = inner.take_single().and_then(|message| {
            let panicked = |by: By| {
                inner.broke(by.panicked());
                if let Some(outer) = outer {
                    outer.broke(by.panicked());
                }
            };
            let one = ("response", details.method().as_str());
            let bytes = self.response.unpack(message, limit);
            let response =
                bytes.and_then(|bytes| lines.response.one(Payload::new(bytes), one, &panicked));
            response.inspect_err(|status| inner.override_status(status.clone()))
        });
        let status = inner.wait_status();
        match (status.code(), response) {
            (Code::Ok, Ok(response)) => Ok(Reply::of_core(&inner, response)),
            _ => Err(outer.and_then(|outer| outer.try_status()).unwrap_or(status)),
        }
    }

    fn payload(&self, request: &Req) -> Result<Payload, Status> {
        Payload::encoded_by(&*self.request, request)
    }
}

/// All that the interceptors do with a call of many messages.
pub(super) struct Hooked {
    pub(super) core: Arc<Core>,
    pub(super) requests: Option<Box<Rewriter>>,
    pub(super) responses: Line,
    /// What goes for the requests.
    pub(super) sends: Sends,
    /// The longest response.
    pub(super) limit: usize,
}

/// Calls with many requests or many responses.
impl<Req: 'static, Resp: 'static> Method<Req, Resp> {
    /// Begins a call of many requests.
    pub(super) fn open_hooked(
        &self,
        chain: &Interceptors,
        options: &CallOptions,
        replies: Replies,
    ) -> Hooked {
        let mut details = self.details(options, (true, replies == Replies::Many));
        let hooks =
            chain.hooks(&mut details).and_then(|lines| match self.sends(details.options()) {
                Ok(sends) => Ok((lines, sends)),
                Err(status) => Err(lines.told(status)),
            });
        match hooks {
            Ok((lines, sends)) => self.begin_hooked(&details, lines, (sends, None), replies),
            Err(status) => Hooked {
                core: self.failed(options, status),
                requests: None,
                responses: Line::default(),
                sends: Sends::NONE,
                limit: 0,
            },
        }
    }

    /// Begins a call of one request.
    pub(super) fn send_hooked(
        &self,
        chain: &Interceptors,
        options: &CallOptions,
        request: &Req,
        replies: Replies,
    ) -> Result<Hooked, Status> {
        let mut details = self.details(options, (false, replies == Replies::Many));
        let mut lines = chain.hooks(&mut details)?;
        let method = details.method().as_str();
        let request = self.payload(request).and_then(|one| lines.one_request(one, method, &|_| ()));
        let framed = request.and_then(|request| {
            let sends = self.sends(details.options())?;
            Ok((sends, Some(self.frame_encoded(sends, &request.into_bytes())?)))
        });
        match framed {
            Ok(framed) => Ok(self.begin_hooked(&details, lines, framed, replies)),
            Err(status) => Err(lines.told(status)),
        }
    }

    fn begin_hooked(
        &self,
        details: &CallDetails,
        mut lines: Lines,
        (sends, body): (Sends, Option<Bytes>),
        replies: Replies,
    ) -> Hooked {
        let template = self.template_of(details);
        let launch = self.launch(&self.bound(details), sends.encoding, body);
        let launch = Launch { template, replies, ..launch };
        let core = Core::start(self.source.clone(), launch, replies == Replies::One);
        core.heed(lines.heed.take());
        let ends = mem::take(&mut lines.ends);
        if !ends.is_empty() {
            let call = Call::new(core.clone());
            let told = Box::new(move || {
                // Those who listen are told first, whose panic is not that of these.
                let status = user::run(format_args!("a listener"), || call.status());
                ends.tell(&status.unwrap_or_else(|_| call.status()));
            });
            if let Err(told) = core.on_end(told) {
                run_here(format_args!("an interceptor's hook"), told);
            }
        }
        let Lines { request, response, .. } = lines;
        let requests = (!request.is_empty()).then(|| Box::new(Rewriter::new(request)));
        let limit = self.receive_limit(details.options());
        Hooked { core, requests, responses: response, sends, limit }
    }

    /// A future on the one response of a call with hooks.
    pub(super) fn hooked_future(&self, hooked: Hooked) -> CallFuture<Resp> {
        let Hooked { core, responses, limit, .. } = hooked;
        let codec = self.response.clone();
        if responses.is_empty() {
            return CallFuture::new(core, codec, limit);
        }
        let (method, line, call) = (self.path.clone(), Mutex::new(responses), core.clone());
        CallFuture::new(core, Arc::new(Last { codec, method, line, call }), limit)
    }

    fn details(&self, options: &CallOptions, streaming: (bool, bool)) -> CallDetails {
        CallDetails::new(self.path.clone(), streaming, options.begun(clock::now))
    }

    /// The options with what is proved to the server by calls of this method.
    fn bound(&self, details: &CallDetails) -> CallOptions {
        let path = details.method().as_str();
        details.options().clone().bound(|own| self.source.auth(path, own))
    }

    fn template_of(&self, details: &CallDetails) -> call::client::Template {
        match *details.method() == self.path {
            true => self.template.clone(),
            false => self.source.template(details.method().as_str()),
        }
    }
}

/// A codec that the one response reaches through hooks.
struct Last<T> {
    codec: Arc<dyn Reads<T>>,
    method: MethodPath,
    line: Mutex<Line>,
    /// Whose response it is.
    call: Arc<Core>,
}

impl<T: 'static> Reads<T> for Last<T> {
    fn unpack(&self, message: Message, limit: usize) -> Result<Bytes, Status> {
        self.codec.unpack(message, limit)
    }

    fn decode(&self, bytes: Bytes) -> Result<T, Status> {
        // Taken out: a hook is not run under the lock, and there is one response.
        let mut line = std::mem::take(&mut *self.line.lock());
        let one = ("response", self.method.as_str());
        let panicked = |by: By| self.call.broke(by.panicked());
        let one = line.one(Payload::new(bytes), one, &panicked)?;
        self.codec.decode(one.into_bytes())
    }
}

/// Who has panicked at a call, as its status says since; else this.
pub(super) struct Culprit<'a>(pub(super) &'a Core, pub(super) &'static str);

impl fmt::Display for Culprit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0.met_status();
        let own = status.as_ref().filter(|status| status.code() == Code::Internal);
        let said = own.and_then(|status| match status.message() {
            text if text == By::Interceptor.panicked() => Some(By::Interceptor.who()),
            text if text == By::Listener.panicked() => Some(By::Listener.who()),
            REQUEST_PANICKED | RESPONSE_PANICKED => Some(CODEC),
            _ => None,
        });
        f.write_str(said.unwrap_or(self.1))
    }
}
