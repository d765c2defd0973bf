//! The receiving half of a call.

use std::sync::Arc;

use crate::deadline::Deadline;
use crate::link::{Stream, Took};
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

    /// A handler's next message. Waits for it, for the stream's end or for `deadline`.
    pub(crate) fn next(&mut self, deadline: Deadline) -> Next {
        if let Some(next) = self.at_hand() {
            return next;
        }
        let consumed = self.messages.consumed();
        match self.stream.receive(consumed, &mut self.messages, deadline.instant()) {
            Some(took) => self.found(took).unwrap_or(Next::TimedOut),
            None => Next::TimedOut,
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
        if let Some(next) = self.at_hand() {
            return (Some(next), false);
        }
        let consumed = self.messages.consumed();
        let (took, flush) = self.stream.look(consumed, &mut self.messages);
        (self.found(took), flush)
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

    /// The next of what was taken from the stream before. Asks nobody.
    pub(crate) fn at_hand(&mut self) -> Option<Next> {
        if let Some(message) = self.waiting() {
            return Some(Next::Message(message));
        }
        self.end.clone().map(Next::End)
    }

    /// The first of what was taken from the stream just now.
    fn found(&mut self, took: Took) -> Option<Next> {
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
        self.at_hand()
    }
}
