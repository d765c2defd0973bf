//! [`Interceptors`]: those of a channel, and what their hooks make of the messages of one call ([`Lines`]).

use std::fmt;
use std::mem;
use std::sync::Arc;

use crate::call::events::{hook, passing};
use crate::call::{By, EndHooks, Line, StreamHooks};
use crate::payload::Payload;
use crate::reactor::{Crew, clock};
use crate::status::Status;

use super::events::{ClientEvents, SendRequest};
use super::heed::Heed;
use super::{CallDetails, ClientInterceptor};

/// So many calls of a channel that go on by themselves have their interceptors at work at once: each takes a thread.
const AT_WORK: usize = 64;

/// The interceptors of a channel, outermost first, and who listens to its calls, within.
pub(crate) struct Interceptors {
    pub(super) list: Vec<Arc<dyn ClientInterceptor>>,
    hooks_only: bool,
    /// The channel's, whatever interceptors are around it.
    events: Arc<ClientEvents>,
    /// Who runs them for futures.
    crew: Arc<Crew>,
}

impl Interceptors {
    /// None, and nobody who listens.
    pub(crate) fn none() -> Arc<Self> {
        Self::new(Vec::new(), Arc::default())
    }

    /// These, around those that are there.
    pub(crate) fn around(list: Vec<Arc<dyn ClientInterceptor>>, inner: &Arc<Self>) -> Arc<Self> {
        if list.is_empty() {
            return inner.clone();
        }
        let list = list.into_iter().chain(inner.list.iter().cloned()).collect();
        Self::new(list, inner.events.clone())
    }

    fn new(list: Vec<Arc<dyn ClientInterceptor>>, events: Arc<ClientEvents>) -> Arc<Self> {
        let hooks_only = list.iter().all(|one| one.has_hooks_only());
        let crew = Crew::new("interceptor", AT_WORK);
        Arc::new(Self { list, hooks_only, events, crew })
    }

    /// Whether a call that begins now has to come by here.
    pub(crate) fn are_wanted(&self) -> bool {
        !self.list.is_empty() || self.events.is_heard()
    }

    pub(crate) fn events(&self) -> &ClientEvents {
        &self.events
    }

    /// None of them goes around.
    pub(crate) fn has_hooks_only(&self) -> bool {
        self.hooks_only
    }

    pub(crate) fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }

    /// Asks them all for their hooks; each sees the details as the one before left them. An error is told to those for the end that
    /// are there by then.
    pub(crate) fn hooks(&self, details: &mut CallDetails) -> Result<Lines, Status> {
        let mut lines = Lines::default();
        match self.gather(details, &mut lines) {
            Ok(()) => Ok(lines),
            Err(status) => Err(lines.told(status)),
        }
    }

    fn gather(&self, details: &mut CallDetails, lines: &mut Lines) -> Result<(), Status> {
        for one in &self.list {
            let (on_request, on_response, on_end) = hooks_of(one, details)?.into_parts();
            lines.request.extend(By::Interceptor, on_request);
            lines.response.extend_front(By::Interceptor, on_response);
            lines.ends.add(on_end);
        }
        self.events.begin(details, lines)
    }
}

/// What an interceptor does with the messages of a call that begins.
pub(super) fn hooks_of(
    one: &Arc<dyn ClientInterceptor>,
    details: &mut CallDetails,
) -> Result<StreamHooks, Status> {
    one.stream(details).map_err(|status| status.given_by(INTERCEPTOR))
}

/// Who gave an error, where an interceptor did.
pub(super) const INTERCEPTOR: &str = "an interceptor";

/// What is dropped here is the users': on the thread of whoever had the last hold, a stub or a channel.
impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interceptors").field("count", &self.list.len()).finish_non_exhaustive()
    }
}

/// All hooks of one call.
#[derive(Default)]
pub(crate) struct Lines {
    pub(crate) request: Line,
    pub(crate) response: Line,
    pub(crate) ends: EndHooks,
    pub(crate) heed: Option<Heed>,
}

impl Lines {
    /// The request of a method that takes one.
    pub(crate) fn one_request(
        &mut self,
        request: Payload,
        method: &str,
        panicked: &dyn Fn(By),
    ) -> Result<Payload, Status> {
        self.request.one(request, ("request", method), panicked)
    }

    /// The call has ended before it began: tells those for the end.
    pub(crate) fn told(self, status: Status) -> Status {
        self.ends.tell(&status);
        status
    }
}

impl ClientEvents {
    /// A call begins: tells so, and has its messages and its ends go through those who listen now, inside of all that is in `lines`.
    pub(crate) fn begin(&self, details: &mut CallDetails, lines: &mut Lines) -> Result<(), Status> {
        let Some(all) = self.heard() else { return Ok(()) };
        if !all.send_request.is_empty() {
            let mut event = SendRequest {
                method: details.method().clone(),
                deadline: details.options().start(clock::now).instant(),
                metadata: mem::take(details.metadata_mut()),
            };
            all.send_request.tell(&mut event)?;
            *details.metadata_mut() = event.metadata;
        }
        let method = Arc::from(details.method().as_str());
        lines.request.extend(By::Listener, hook(&all.send_message, &method));
        let received = hook(&all.recv_message, &method);
        // Who listens for the head is told before the first message: which has to come by here, then.
        let passing = (!all.recv_initial.is_empty()).then(passing);
        lines.response.extend_front(By::Listener, received.or(passing));
        lines.heed = Heed::new(all, method);
        Ok(())
    }
}
