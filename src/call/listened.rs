//! A server's call as those have it who listen to its server: they see what the client has sent, and what goes out at the beginning and
//! at the end of the answer.
//!
//! Both of these are told on the thread that sends them, the handler's mostly, with no lock held, once a call.

use std::sync::Arc;

use bytes::Bytes;

use super::Outbox;
use super::answer::Answer;
use super::events::hook;
use super::hooks::Hook;
use super::listening::{Answering, Listening, SendInitialMetadata, SendTrailingMetadata};
use super::server::ServerCall;
use crate::metadata::Metadata;
use crate::reactor::user::{self, Panicked};
use crate::status::{Code, Status};
use crate::sync::atomic::Ordering;

impl ServerCall {
    /// The call begins, and these listen to it, outside of all interceptors. A call that has no place for that does not.
    pub(crate) fn listen(self: &Arc<Self>, all: Arc<Answering>) {
        let Some(intercept) = self.intercept.as_deref() else { return };
        let method = Arc::from(&*self.head().path);
        let received = self.listeners(hook(&all.recv_message, &method));
        let sent = self.listeners(hook(&all.send_message, &method));
        intercept.add_hooks(received, sent);
        let (metadata, head, end_told) = Default::default();
        let _ = intercept.listening.set(Listening { all, method, metadata, head, end_told });
    }

    /// A hook that is listeners', which is said of its panic.
    fn listeners(self: &Arc<Self>, hook: Option<Hook>) -> Option<Hook> {
        let (mut hook, call) = (hook?, Arc::downgrade(self));
        let panicked = move || {
            if let Some(call) = call.upgrade() {
                call.listener_panicked();
            }
        };
        Some(Box::new(move |payload, emit| user::run_or_end(|| hook(payload, emit), &panicked)))
    }

    /// What the handler is shown in place of what the client has sent.
    pub(crate) fn set_invocation_metadata(&self, metadata: Metadata) {
        if let Some(listening) = self.listening() {
            let _ = listening.metadata.set(metadata);
        }
    }

    /// What the client sent before its messages.
    pub(crate) fn invocation_metadata(&self) -> &Metadata {
        let changed = self.listening().and_then(|listening| listening.metadata.get());
        changed.unwrap_or(&self.head().metadata)
    }

    fn listening(&self) -> Option<&Listening> {
        self.intercept.as_deref()?.listening.get()
    }

    /// Those who are told of the head, where anybody is.
    pub(super) fn hears_head(&self) -> Option<&Listening> {
        self.listening().filter(|listening| !listening.all.send_initial.is_empty())
    }

    /// Tells of the head, and leaves it with the outbox, which is made with it. `None`: whose metadata are sent is all the same.
    pub(super) fn head_heard(
        &self,
        listening: &Listening,
        metadata: Option<&Metadata>,
    ) -> Result<(), Status> {
        let mut failed = None;
        let mut first = false;
        listening.head.pass(|| {
            first = true;
            let metadata = metadata.cloned().unwrap_or_default();
            let method = listening.method.clone();
            let mut event = SendInitialMetadata { metadata, method };
            let told = listening.all.send_initial.tell(&mut event);
            let told = told.map_err(|why| self.failed_by(LISTENER, why));
            failed = told.and_then(|()| self.put_head(&event.metadata).map(drop)).err();
        });
        match (first, failed, metadata) {
            (true, Some(status), _) => Err(status),
            (true, None, _) | (false, _, None) => Ok(()),
            (false, _, Some(metadata)) => self.put_head(metadata).map(drop),
        }
    }

    /// The same, where what fails ends the call.
    pub(super) fn head_or_end(
        &self,
        listening: &Listening,
        metadata: Option<&Metadata>,
    ) -> Result<&Arc<Outbox>, Status> {
        let tell = || self.head_heard(listening, metadata);
        let claimed = user::run_or_end(tell, || self.listener_panicked());
        if let Err(status) = claimed {
            // Only the first error counts, and none of a call that has ended.
            self.finish(Err(status.clone()));
            return Err(status);
        }
        self.made_outbox().ok_or_else(|| self.ended_status())
    }

    /// Tells of the end: what the client is told then.
    pub(super) fn tell_end(&self, (data, outcome): Answer) -> Answer {
        let Some(listening) = self.listening() else { return (data, outcome) };
        if !self.is_active() || listening.end_told.swap(true, Ordering::Relaxed) {
            return (data, outcome);
        }
        let told = user::run(format_args!("a listener to {}", listening.method), || {
            self.end_heard(listening, data, outcome)
        });
        told.unwrap_or_else(|Panicked| (None, Err(panicked())))
    }

    fn end_heard(
        &self,
        listening: &Listening,
        data: Option<Bytes>,
        outcome: Result<(), Status>,
    ) -> Answer {
        let (mut data, mut status) = (data, self.verdict(outcome));
        if status.is_ok() && data.is_some() && self.made_outbox().is_none() {
            if let Some(heard) = self.hears_head() {
                let told = user::run(format_args!("a listener to {}", listening.method), || {
                    self.head_heard(heard, None)
                });
                if let Err(failed) = told.unwrap_or_else(|Panicked| Err(panicked())) {
                    (data, status) = (None, failed);
                }
            }
        }
        let mut metadata = self.trailing();
        metadata.extend(status.trailing_metadata());
        let method = listening.method.clone();
        let mut event = SendTrailingMetadata { metadata, status, method };
        if let Err(failed) = listening.all.send_trailing.tell(&mut event) {
            self.set_trailing(Metadata::new());
            return (None, Err(self.failed_by(LISTENER, failed)));
        }
        let SendTrailingMetadata { metadata, status, .. } = event;
        self.set_trailing(metadata);
        match status.is_ok() {
            true => (data, Ok(())),
            false => (data, Err(status.with_metadata(Metadata::new()))),
        }
    }
}

/// Who has failed.
const LISTENER: &str = "a listener";

fn panicked() -> Status {
    Status::fixed(Code::Unknown, "a listener panicked")
}
