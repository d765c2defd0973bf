//! The one end of a call: its handler's answer, its deadline or a local cancel, whichever is first.

use bytes::Bytes;

use super::ServerCall;
use super::reply::{Callback, Ended};
use crate::call::answer::Closing;
use crate::codec::Codec;
use crate::http2::types::Reason;
use crate::link::{End, Outgoing};
use crate::metadata::Metadata;
use crate::reactor::{notify, user};
use crate::status::Status;
use crate::wire::headers;
use crate::wire::outcome::{Ending, deadline_exceeded};

impl ServerCall {
    /// Ends a unary answer: head, message and trailers go in one append.
    pub(crate) fn answer<T: 'static>(&self, codec: &dyn Codec<T>, outcome: Result<T, Status>) {
        let framed = |message| {
            let frame = || self.frame(codec, &message);
            user::run_or_end(frame, || self.response_codec_panicked())
        };
        let framed = |message| framed(message).map_err(|why| self.failed_by_codec(why));
        match outcome.and_then(framed) {
            Ok(data) => self.conclude(Some(data), Ok(())),
            Err(status) => self.conclude(None, Err(status)),
        }
    }

    /// Ends the call with a status, after the messages that were sent.
    pub(crate) fn finish(&self, outcome: Result<(), Status>) {
        self.conclude(None, outcome);
    }

    /// What the client would be told of this outcome, with what the handler has set.
    pub(in crate::call) fn verdict(&self, outcome: Result<(), Status>) -> Status {
        self.reply.lock().verdict(outcome)
    }

    /// Ends the call, unless the answer waits for those around the handler, or something else has ended it.
    pub(in crate::call) fn conclude(&self, data: Option<Bytes>, outcome: Result<(), Status>) {
        // Those around the handler see what the client would be told.
        let answer = (data, outcome.map_err(|why| self.failed_by("the handler", why)));
        let Some((data, outcome)) = (match &self.intercept {
            None => Some(answer),
            Some(intercept) => intercept.holds(answer),
        }) else {
            return;
        };
        let outcome = match data {
            None => outcome.and_then(|()| self.end_responses()),
            Some(_) => outcome,
        };
        let (data, outcome) = match &self.intercept {
            None => (data, outcome),
            Some(intercept) => {
                if self.stream.ended() {
                    // The client's end was first, whatever the handler says.
                    intercept.ended(&self.ended_status());
                }
                self.tell_end((data, outcome))
            }
        };
        let Some((closing, callbacks)) = self.end_with(outcome) else {
            return self.stream.settle();
        };
        if let Some(intercept) = &self.intercept {
            intercept.ended(&closing.status);
        }
        // W41: a status other than OK wins over the response, which is not sent.
        let data = data.filter(|_| closing.status.is_ok());
        if closing.head_claimed {
            closing.send_rest(&self.stream, self.outbox.get(), data);
        } else {
            closing.send_all(&self.stream, data);
        }
        callbacks.into_iter().for_each(notify);
    }

    /// Claims the end of the call. `None` when something else has ended it.
    fn end_with(&self, outcome: Result<(), Status>) -> Option<(Closing<'_>, Vec<Callback>)> {
        let mut reply = self.reply.lock();
        if reply.ended != Ended::No {
            return None;
        }
        reply.ended = Ended::Answered;
        let status = reply.verdict(outcome);
        let mut trailing = std::mem::take(&mut reply.trailing);
        if !status.trailing_metadata().is_empty() {
            trailing.extend(status.trailing_metadata());
        }
        let subtype = self.head.subtype;
        let (path, head_claimed) = (&*self.head.path, reply.head_claimed);
        // Of the one message, if there is one: it was framed by that.
        let encoding = self.compressing.encoding();
        let closing = Closing { path, status, trailing, subtype, head_claimed, encoding };
        let callbacks = std::mem::take(&mut reply.callbacks);
        drop(reply);
        if let Some(place) = &self.place {
            place.give_back();
        }
        Some((closing, callbacks))
    }

    /// The deadline has passed: ends the call whatever its handler does (W56). The client is told the status,
    /// since a reset would be CANCELLED to one whose clock is behind; but one that has left responses
    /// unread until now gets a reset.
    pub(crate) fn expire(&self) {
        self.interrupt(deadline_exceeded(self.head.timeout), true);
    }

    /// Ends the call from the server's side: the client sees CANCELLED.
    pub(crate) fn cancel(&self) -> bool {
        self.interrupt(Status::cancelled("cancelled by the server"), false)
    }

    fn interrupt(&self, status: Status, tell: bool) -> bool {
        let head_claimed = {
            let mut reply = self.reply.lock();
            if reply.ended != Ended::No {
                return false;
            }
            reply.ended = Ended::Cancelled;
            reply.head_claimed
        };
        let told = tell && self.send_cut(&status, head_claimed);
        let reason = if told { Reason::NO_ERROR } else { Reason::CANCEL };
        self.stream.finish(Ending::Local(status), reason);
        self.tell_callbacks();
        true
    }

    /// Sends a status while the handler may still run. False: it cannot go out at once.
    fn send_cut(&self, status: &Status, head_claimed: bool) -> bool {
        let mut block = Vec::with_capacity(64);
        let none = Metadata::new();
        if !head_claimed {
            headers::trailers_only_as(&mut block, self.head.subtype, status, &none);
            self.stream.send(Outgoing { head: None, data: None, end: End::Cut(&block) });
            return true;
        }
        headers::trailers(&mut block, status, &none);
        self.outbox.get().is_some_and(|outbox| outbox.finish(End::Cut(&block)))
    }
}
