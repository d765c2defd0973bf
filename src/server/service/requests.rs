//! The requests of a streaming method, decoded one by one: [`RequestIterator`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::call::server::ServerCall;
use crate::call::{Finish, Inbox, Next, Rewriter};
use crate::codec::Codec;
use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::payload::Payload;
use crate::reactor::{clock, user};
use crate::status::Status;
use crate::wire::framing::Message;

/// The messages a client sends, in order; ends when it has half-closed.
///
/// `next()` blocks its thread until a message is there, the client has half-closed,
/// or the call is over (cancelled, past its deadline, connection lost): then it gives one `Err`,
/// and afterwards `None`, for ever. Bytes that make no message are an `Err` too
/// (`INTERNAL`), and end the iterator.
///
/// It may be moved to another thread. Dropping it does not end the call. Like a
/// [`ServicerContext`](crate::ServicerContext) it holds its connection, with its descriptor, until it is dropped.
pub struct RequestIterator<Req> {
    call: Arc<ServerCall>,
    inbox: Inbox,
    codec: Arc<dyn Codec<Req>>,
    /// What the interceptors do with each request.
    hooks: Option<Box<Rewriter>>,
    done: bool,
}

impl<Req: 'static> RequestIterator<Req> {
    pub(super) fn new(call: Arc<ServerCall>, codec: Arc<dyn Codec<Req>>) -> Self {
        let inbox = Inbox::new(call.stream().clone());
        let hooks = call.take_request_hooks().map(Box::new);
        Self { call, inbox, codec, hooks, done: false }
    }

    /// The next message as `next()` gives it, `Err(TimedOut)` when there is none after
    /// `timeout`. Nothing is lost then: ask again.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`], or how the call ended.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Req>, ResultError> {
        let local = Deadline::after(clock::now(), timeout);
        self.receive(local)
    }

    /// The next message if it is there: never blocks. `Err(TimedOut)` when it is not.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`], or how the call ended.
    pub fn try_recv(&mut self) -> Result<Option<Req>, ResultError> {
        loop {
            if let Some(ready) = self.hooks.as_mut().and_then(|hooks| hooks.pop()) {
                return self.decode(ready.into());
            }
            if self.done {
                return Ok(None);
            }
            let Some(next) = self.inbox.try_next() else { return Err(ResultError::TimedOut) };
            if let Some(next) = self.rewrite(next)? {
                return self.accept(next);
            }
        }
    }

    fn receive(&mut self, local: Deadline) -> Result<Option<Req>, ResultError> {
        loop {
            if let Some(ready) = self.hooks.as_mut().and_then(|hooks| hooks.pop()) {
                return self.decode(ready.into());
            }
            if self.done {
                return Ok(None);
            }
            let next = self.next_within(local)?;
            if let Some(next) = self.rewrite(next)? {
                return self.accept(next);
            }
        }
    }

    fn next_within(&mut self, local: Deadline) -> Result<Next, ResultError> {
        let deadline = self.call.deadline();
        let mut next = self.inbox.at_hand();
        if next.is_none() && self.call.holds_back() {
            next = self.inbox.try_next();
            if next.is_none() {
                // The client may send nothing before it has what we hold back.
                self.call.flush();
            }
        }
        let next = next.unwrap_or_else(|| self.inbox.next(Deadline::earliest(local, deadline)));
        if matches!(next, Next::TimedOut) && deadline.expired(clock::now()) {
            // The timer does the same; whoever notices first.
            self.call.expire();
            self.done = true;
            return Err(ResultError::Rpc(self.call.ended_status()));
        }
        Ok(next)
    }

    /// Has the interceptors' hooks see what came. `None`: look at what they gave.
    fn rewrite(&mut self, next: Next) -> Result<Option<Next>, ResultError> {
        let Some(hooks) = &mut self.hooks else { return Ok(Some(next)) };
        let call = &self.call;
        let rewritten = match next {
            Next::Message(message) => call
                .unpack(message)
                .map_err(|status| call.undecodable(status))
                .and_then(|bytes| hooks.pass(Payload::new(bytes), || call.hook_panicked())),
            Next::End(Finish::HalfClosed) => {
                self.done = true;
                hooks.end(|| call.hook_panicked())
            }
            other => return Ok(Some(other)),
        };
        match rewritten {
            Ok(()) => Ok(None),
            Err(status) => {
                self.done = true;
                call.finish(Err(status.clone()));
                Err(ResultError::Rpc(status))
            }
        }
    }

    fn accept(&mut self, next: Next) -> Result<Option<Req>, ResultError> {
        match next {
            Next::TimedOut => Err(ResultError::TimedOut),
            Next::Message(message) => self.decode(message),
            Next::End(Finish::HalfClosed) => {
                self.done = true;
                Ok(None)
            }
            Next::End(Finish::Broken(status)) => self.fail(status),
            Next::End(Finish::Ended(_)) => self.fail(self.call.ended_status()),
        }
    }

    fn decode(&mut self, message: Message) -> Result<Option<Req>, ResultError> {
        let call = &self.call;
        let decode = || call.read(&*self.codec, message);
        match user::run_or_end(decode, || call.request_codec_panicked()) {
            Ok(message) => Ok(Some(message)),
            Err(status) => {
                let status = call.undecodable(status);
                self.fail(status)
            }
        }
    }

    fn fail(&mut self, status: Status) -> Result<Option<Req>, ResultError> {
        self.done = true;
        Err(ResultError::Rpc(status))
    }

    /// The next message as `next()` gives it; `None` when the client has half-closed, and for ever after an error. Waits for a message, the
    /// half-close or the end of the call.
    ///
    /// # Errors
    /// How the call ended; `INTERNAL` for bytes that make no message.
    pub fn recv(&mut self) -> Result<Option<Req>, Status> {
        self.receive(Deadline::NEVER).map_err(Status::from)
    }
}

impl<Req: 'static> Iterator for RequestIterator<Req> {
    type Item = Result<Req, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        self.recv().transpose()
    }
}

impl<Req: 'static> std::iter::FusedIterator for RequestIterator<Req> {}

impl<Req> fmt::Debug for RequestIterator<Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestIterator").field("done", &self.done).finish_non_exhaustive()
    }
}
