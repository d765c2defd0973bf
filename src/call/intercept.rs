//! What interceptors do with one call of a server: its hooks, and its end, which is theirs before it is the client's.
//!
//! While interceptors are around the handler, the answer that ends the call waits here: they see how the handler ended, and may
//! end the call otherwise. A call of a server without interceptors has none of this.
//!
//! One lock, a leaf. What runs user code takes it out first.

use std::mem;
use std::sync::{Arc, OnceLock};

use super::answer::Answer;
use super::end_hooks::EndHooks;
use super::hooks::{By, Hook, Line, StreamHooks};
use super::listening::Listening;
use crate::payload::Payload;
use crate::status::Status;
use crate::sync::Mutex;

/// See the module.
#[derive(Default)]
pub(crate) struct Intercept {
    state: Mutex<State>,
    /// Who listens to the call, since it has begun.
    pub(super) listening: OnceLock<Listening>,
}

#[derive(Default)]
struct State {
    requests: Line,
    responses: Line,
    ends: EndHooks,
    /// Answers wait.
    holds: bool,
    held: Option<Answer>,
    /// An interceptor's own response.
    response: Option<Payload>,
    /// How the call ended, once it has.
    status: Arc<OnceLock<Status>>,
}

/// Which messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Requests,
    Responses,
}

impl State {
    fn line(&mut self, direction: Direction) -> &mut Line {
        match direction {
            Direction::Requests => &mut self.requests,
            Direction::Responses => &mut self.responses,
        }
    }
}

impl Intercept {
    /// Hooks of one more interceptor, inside those that are there.
    pub(super) fn add(&self, hooks: StreamHooks) {
        let (request, response, end) = hooks.into_parts();
        let mut state = self.state.lock();
        state.requests.extend(By::Interceptor, request);
        state.responses.extend_front(By::Interceptor, response);
        state.ends.add(end);
    }

    /// Listeners, outside of all hooks that come later.
    pub(super) fn add_hooks(&self, request: Option<Hook>, response: Option<Hook>) {
        let mut state = self.state.lock();
        state.requests.extend(By::Listener, request);
        state.responses.extend_front(By::Listener, response);
    }

    /// Takes the hooks of a direction out, to run them.
    pub(crate) fn take(&self, direction: Direction) -> Line {
        mem::take(self.state.lock().line(direction))
    }

    /// They have run.
    pub(crate) fn put_back(&self, direction: Direction, line: Line) {
        *self.state.lock().line(direction) = line;
    }

    pub(crate) fn is_hooked(&self, direction: Direction) -> bool {
        !self.state.lock().line(direction).is_empty()
    }

    /// Answers wait from now on.
    pub(crate) fn hold(&self) {
        self.state.lock().holds = true;
    }

    /// Takes an answer, if answers wait: given back where they do not. The first counts.
    pub(super) fn holds(&self, answer: Answer) -> Option<Answer> {
        let mut state = self.state.lock();
        if !state.holds {
            return Some(answer);
        }
        let spare = match state.held {
            Some(_) => Some(answer),
            None => state.held.replace(answer),
        };
        drop(state);
        drop(spare);
        None
    }

    /// How the handler ended; `None`: not yet.
    pub(super) fn outcome(&self) -> Option<Result<(), Status>> {
        self.state.lock().held.as_ref().map(|(_, outcome)| outcome.clone())
    }

    /// An interceptor's own response, in place of the handler's.
    pub(crate) fn respond(&self, response: Payload) {
        let old = self.state.lock().response.replace(response);
        drop(old);
    }

    /// Whether a response waits: the handler's, or an interceptor's own.
    pub(super) fn is_answered(&self) -> bool {
        let state = self.state.lock();
        let handlers = matches!(&state.held, Some((_, Ok(()))));
        handlers || state.response.is_some()
    }

    /// Answers wait no more: what has waited, and an interceptor's own response.
    pub(super) fn release(&self) -> (Option<Answer>, Option<Payload>) {
        let mut state = self.state.lock();
        state.holds = false;
        (state.held.take(), state.response.take())
    }

    /// The call has ended. The first counts.
    pub(super) fn ended(&self, status: &Status) {
        let told = self.told();
        let _ = told.set(status.clone());
    }

    /// How the call ended, once it has.
    pub(super) fn told(&self) -> Arc<OnceLock<Status>> {
        self.state.lock().status.clone()
    }

    /// Who is told of the end; `None`: nobody.
    pub(super) fn take_ends(&self) -> Option<EndHooks> {
        let ends = mem::take(&mut self.state.lock().ends);
        Some(ends).filter(|ends| !ends.is_empty())
    }
}
