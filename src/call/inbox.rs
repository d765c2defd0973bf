//! The receiving half of a call.

use std::sync::Arc;

use crate::deadline::Deadline;
use crate::link::{Stream, Want};
use crate::status::Status;
use crate::wire::framing::{self, Messages};
use crate::wire::headers::ResponseHead;
use crate::wire::outcome::Ending;

/// Messages of one stream, in order. One owner.
///
/// Whole messages are swapped out of the stream's mailbox under one lock and cut on
/// the owner's thread; their window credit goes back with the next swap, when
/// all of them have been consumed.
#[derive(Debug)]
pub(crate) struct Inbox {
    stream: Arc<Stream>,
    messages: Messages,
    head: Option<ResponseHead>,
    end: Option<Finish>,
}

/// What [`Inbox::next`] found.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// A message without its prefix, as it came: perhaps compressed.
    Message(framing::Message),
    /// No more messages, for this reason. Repeats.
    End(Finish),
    /// The deadline of this wait has passed; nothing else has changed.
    TimedOut,
}

/// Why there are no more messages.
#[derive(Clone, Debug)]
pub(crate) enum Finish {
    /// The peer has half-closed in order; the stream lives on (server).
    HalfClosed,
    /// The peer half-closed inside a message (server, W39).
    Broken(Status),
    /// The stream is over.
    Ended(Ending),
}

impl Inbox {
    pub(crate) fn new(stream: Arc<Stream>) -> Self {
        Self { stream, messages: Messages::default(), head: None, end: None }
    }

    /// The next message. Waits for it, for the stream's end or for `deadline`; the
    /// thread leads the link or parks.
    pub(crate) fn next(&mut self, deadline: Deadline) -> Next {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            if !self.stream.wait(Want::Message, deadline.instant()) {
                return Next::TimedOut;
            }
        }
    }

    /// The next message or the end, if it is there. Never blocks.
    pub(crate) fn try_next(&mut self) -> Option<Next> {
        if let Some(message) = self.waiting() {
            return Some(Next::Message(message));
        }
        let (next, flush) = self.look();
        if flush {
            self.stream.flush();
        }
        next
    }

    /// The next of the messages that were taken from the stream together.
    pub(crate) fn waiting(&mut self) -> Option<framing::Message> {
        self.messages.next()
    }

    /// Like [`try_next`](Self::try_next), for who holds a lock of its own: sends nothing. True: its stream has to be
    /// flushed once that is released.
    pub(crate) fn look(&mut self) -> (Option<Next>, bool) {
        if let Some(message) = self.waiting() {
            return (Some(Next::Message(message)), false);
        }
        if let Some(end) = &self.end {
            return (Some(Next::End(end.clone())), false);
        }
        let (over, flush) = self.swap();
        if let Some(message) = self.messages.next() {
            return (Some(Next::Message(message)), flush);
        }
        if over {
            let end = self.end.get_or_insert(Finish::HalfClosed);
            return (Some(Next::End(end.clone())), flush);
        }
        (None, flush)
    }

    /// Whether whole messages wait, here or on the stream.
    pub(crate) fn unread(&self) -> bool {
        !self.messages.is_empty() || self.stream.unread()
    }

    /// The response headers, if they were seen.
    pub(crate) fn seen_head(&self) -> Option<&ResponseHead> {
        self.head.as_ref()
    }

    /// Its stream.
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Returns the credit of what was consumed and takes what is there. True: no more will come; the
    /// stream has to be flushed.
    fn swap(&mut self) -> (bool, bool) {
        let consumed = self.messages.consumed();
        let (took, flush) = self.stream.look(consumed, &mut self.messages);
        if took.head.is_some() {
            self.head = took.head;
        }
        if took.over && self.end.is_none() {
            self.end = Some(match (self.stream.ending(), took.broken) {
                (Some(ending), _) => Finish::Ended(ending),
                (None, Some(status)) => Finish::Broken(status),
                (None, None) => Finish::HalfClosed,
            });
        }
        (took.over, flush)
    }
}
