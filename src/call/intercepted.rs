//! A server's call as its interceptors have it: messages go through hooks, and the end waits for those who are around the handler.

use std::sync::Arc;

use bytes::Bytes;

use super::end_hooks::EndHooks;
use super::hooks::{StreamHooks, miscounted};
use super::intercept::{Direction, Intercept};
use super::server::ServerCall;
use super::{Rewriter, SendError};
use crate::codec::{Codec, Raw};
use crate::payload::Payload;
use crate::status::Status;
use crate::sync::Mutex;
use crate::tell;
use crate::wire::framing::Message;

impl ServerCall {
    /// Hooks of an interceptor, inside those that are there.
    pub(crate) fn add_hooks(&self, hooks: StreamHooks) {
        if let Some(intercept) = self.intercept() {
            intercept.add(hooks);
        }
    }

    /// The interceptors have returned: tells their hooks of the end. Of a call that goes on elsewhere once it ends, on the
    /// notifier; what waits there holds the hooks and the status, and nothing of the call.
    pub(crate) fn tell_ends(self: &Arc<Self>) {
        let Some(intercept) = self.intercept() else { return };
        let Some(ends) = intercept.take_ends() else { return };
        let (told, ends) = (intercept.told(), Arc::new(Mutex::new(Some(ends))));
        let later = {
            let (told, ends) = (told.clone(), ends.clone());
            move || tell(ends.lock().take(), told.get())
        };
        if !self.add_callback(Box::new(later)) {
            let status = told.get().cloned().unwrap_or_else(|| self.ended_status());
            let ends = ends.lock().take();
            tell(ends, Some(&status));
        }
    }

    /// Frames the one response, behind its hooks.
    pub(super) fn frame<T: 'static>(
        &self,
        codec: &dyn Codec<T>,
        message: &T,
    ) -> Result<Bytes, Status> {
        if !self.is_hooked(Direction::Responses) {
            return self.frame_packed(codec, message);
        }
        let message = Payload::encoded_by(codec, message)?.into_bytes();
        let message = self.one_of(Direction::Responses, message.into())?;
        self.frame_packed(&Raw, &message.bytes)
    }

    /// The one message of a direction, behind its hooks.
    pub(super) fn one_of(&self, direction: Direction, message: Message) -> Result<Message, Status> {
        let Some(intercept) = self.intercept().filter(|it| it.is_hooked(direction)) else {
            return Ok(message);
        };
        let mut line = intercept.take(direction);
        let what = match direction {
            Direction::Requests => "request",
            Direction::Responses => "response",
        };
        let bytes = match direction {
            Direction::Requests => {
                self.unpack(message).map_err(|status| self.undecodable(status))?
            }
            Direction::Responses => message.bytes,
        };
        let mut given = line.all_of_one(Payload::new(bytes), &|_| self.hook_panicked())?;
        let count = given.len();
        match given.pop() {
            Some(one) if count == 1 => Ok(one.into_bytes().into()),
            _ => {
                let text = miscounted(count, what, &self.head().path);
                tell::warn!("{text}; its outcome is INTERNAL");
                Err(Status::internal(text))
            }
        }
    }

    /// Whether messages of a direction go through hooks.
    pub(crate) fn is_hooked(&self, direction: Direction) -> bool {
        self.intercept().is_some_and(|intercept| intercept.is_hooked(direction))
    }

    /// The hooks of many requests, for who receives them.
    pub(crate) fn take_request_hooks(&self) -> Option<Rewriter> {
        let line = self.intercept()?.take(Direction::Requests);
        (!line.is_empty()).then(|| Rewriter::new(line))
    }

    /// What the hooks make of one of many responses.
    pub(crate) fn pass_response(&self, response: Payload) -> Result<Vec<Payload>, Status> {
        let Some(intercept) = self.intercept() else { return Ok(vec![response]) };
        let mut line = intercept.take(Direction::Responses);
        let given = line.pass(response, &|_| self.hook_panicked());
        intercept.put_back(Direction::Responses, line);
        given
    }

    /// There are no more responses: sends what the hooks still give.
    pub(super) fn end_responses(&self) -> Result<(), Status> {
        let hooked = self.intercept().filter(|it| it.is_hooked(Direction::Responses));
        let Some(intercept) = hooked else { return Ok(()) };
        let mut line = intercept.take(Direction::Responses);
        let given = line.end(&|_| self.hook_panicked())?;
        given.into_iter().try_for_each(|response| self.send_payload(&response))
    }

    /// Sends an encoded response; waits while too many are queued.
    pub(crate) fn send_payload(&self, response: &Payload) -> Result<(), Status> {
        let Some(outbox) = self.outbox() else { return Err(self.ended_status()) };
        outbox.send(&Raw, response.bytes(), self.deadline()).map_err(|error| match error {
            SendError::Encode(status) => status,
            SendError::Ended => self.ended_status(),
            SendError::TimedOut => {
                self.expire();
                self.ended_status()
            }
        })
    }

    /// From now on the call's answer waits for [`release`](Self::release).
    pub(crate) fn hold_answer(&self) {
        if let Some(intercept) = self.intercept() {
            intercept.hold();
        }
    }

    /// An interceptor's response in the place of the handler's.
    pub(crate) fn respond(&self, response: Payload) {
        if let Some(intercept) = self.intercept() {
            intercept.respond(response);
        }
    }

    /// Whether an OK of the interceptors has a response: the handler's, or one of theirs.
    pub(crate) fn is_answered(&self) -> bool {
        self.intercept().is_some_and(Intercept::is_answered)
    }

    /// An interceptor panicked, or one who listens to the call's begin.
    pub(crate) fn release_panicked(&self, listener: bool) {
        if let Some(intercept) = self.intercept() {
            drop(intercept.release());
        }
        match listener {
            true => self.listener_panicked(),
            false => self.hook_panicked(),
        }
    }

    /// How the handler has ended, with what it had set; `None`: it has not, or goes on elsewhere.
    pub(crate) fn handlers_outcome(&self) -> Option<Result<(), Status>> {
        let outcome = self.intercept()?.outcome()?;
        let status = self.verdict(outcome);
        Some(if status.is_ok() { Ok(()) } else { Err(status) })
    }

    /// The interceptors are done with a call that goes on elsewhere. It may have ended there meanwhile: that was not theirs.
    pub(crate) fn let_go(&self) {
        let answer = self.intercept().and_then(|intercept| intercept.release().0);
        if let Some((data, outcome)) = answer {
            self.conclude(data, outcome);
        }
    }

    /// The interceptors are done, and say how the call ends. `streaming`: there may be any number of responses.
    pub(crate) fn release(&self, result: Result<(), Status>, streaming: bool) {
        let Some(intercept) = self.intercept() else { return self.finish(result) };
        let (held, response) = intercept.release();
        let framed = |response: &Payload| self.frame_packed(&Raw, response.bytes());
        let (data, outcome) = match (result, response, held) {
            (Err(status), ..) => (None, Err(self.failed_by("an interceptor", status))),
            (Ok(()), Some(response), _) => match framed(&response) {
                Ok(data) => (Some(data), Ok(())),
                Err(status) => (None, Err(status)),
            },
            (Ok(()), None, Some((data, Ok(())))) => (data, Ok(())),
            (Ok(()), None, _) if streaming => (None, Ok(())),
            (Ok(()), None, _) => {
                let path = &self.head().path;
                let text =
                    format!("{path}: an interceptor ended the call with OK and gave no response");
                (None, Err(Status::internal(text)))
            }
        };
        self.conclude(data, outcome);
    }

    /// Whether it goes by interceptors, or by those who listen.
    pub(crate) fn is_intercepted(&self) -> bool {
        self.intercept.is_some()
    }

    fn intercept(&self) -> Option<&Intercept> {
        self.intercept.as_deref()
    }
}

fn tell(ends: Option<EndHooks>, status: Option<&Status>) {
    if let Some(ends) = ends {
        ends.tell(status.unwrap_or(&Status::cancelled("the call is over")));
    }
}
