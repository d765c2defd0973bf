//! [`Receiver`]: what a call has received and nobody has taken yet.

use crate::call::Inbox;
use crate::wire::framing::Message;

/// What was received and not yet delivered. Its lock is held over the swap with the link and over nothing that is sent.
#[derive(Default)]
pub(super) struct Receiver {
    /// While there is a stream; after a peer's end, while whole messages are unread.
    pub(super) inbox: Option<Inbox>,
    /// The response headers of this inbox were published.
    pub(super) headed: bool,
    /// The response of a single call.
    pub(super) first: Option<Message>,
    /// Ended from this side: nothing is delivered any more.
    pub(super) cut: bool,
}

impl Receiver {
    /// The call has a stream now. What is left of the one before is for dropping once the lock is released.
    #[must_use = "dropped under the lock it could come back for the lock"]
    pub(super) fn begin(&mut self, inbox: Inbox) -> Option<Inbox> {
        self.headed = false;
        self.inbox.replace(inbox)
    }

    /// The call has no stream for now.
    #[must_use = "dropped under the lock it could come back for the lock"]
    pub(super) fn let_go(&mut self) -> Option<Inbox> {
        self.inbox.take()
    }

    /// Whether whole messages wait.
    pub(super) fn unread(&self) -> bool {
        self.inbox.as_ref().is_some_and(Inbox::unread)
    }

    /// The call is over. What a reader may still want stays, unless `all` is to go.
    #[must_use = "dropped under the lock it could come back for the lock"]
    pub(super) fn end(&mut self, all: bool, single: bool) -> (Option<Inbox>, Option<Message>) {
        self.cut |= all;
        let first = if self.cut { self.first.take() } else { None };
        let unread = !self.cut && !single && self.unread();
        (if unread { None } else { self.inbox.take() }, first)
    }
}
