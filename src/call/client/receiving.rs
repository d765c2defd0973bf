//! The receiving half of a call: messages, in order, and the end.

use crate::sync::MutexGuard;
use std::sync::Arc;

use crate::call::{Finish, Inbox, Next};
use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::link::{Stream, Want};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::wire::framing::Message;
use crate::wire::outcome::Ending;

use super::Core;
use super::ending::Settled;
use super::receiver::Receiver;

/// What the receiver is given.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A message, as it came: perhaps compressed.
    Message(Message),
    /// No more; repeats.
    End(Status),
    /// The wait's own deadline has passed; the call goes on.
    TimedOut,
}

/// What there was in the inbox, and the stream to flush once no lock is held.
struct Look {
    next: Option<Next>,
    flush: Option<Arc<Stream>>,
}

impl Core {
    /// The next message. The thread leads the link or parks; `deadline` is the wait's own.
    pub(crate) fn next(&self, deadline: Deadline) -> Arrival {
        let until = Deadline::earliest(deadline, self.deadline());
        loop {
            if let Some(arrival) = self.try_next() {
                return arrival;
            }
            if !self.wait_on(Want::Message, until) && !self.expire_if_due() {
                return Arrival::TimedOut;
            }
        }
    }

    /// The next message or the end, if it is there.
    pub(crate) fn try_next(&self) -> Option<Arrival> {
        loop {
            let mut receiver = self.receiver.lock();
            // Most messages of a fast stream come this short way.
            if let Some(message) = receiver.inbox.as_mut().and_then(Inbox::waiting) {
                return Some(Arrival::Message(message));
            }
            let Some(look) = self.look(&mut receiver) else {
                // Under the receiver's lock, or a stream could come and go in between.
                let status = self.met_status();
                drop(receiver);
                return status.map(|status| Arrival::End(self.heeded(status)));
            };
            match self.looked(receiver, look)? {
                Next::Message(message) => return Some(Arrival::Message(message)),
                Next::TimedOut => return None,
                Next::End(_) => {}
            }
        }
    }

    /// Waits until a single call is over (true) or `deadline` has passed (false).
    pub(crate) fn wait_single(&self, deadline: Deadline) -> bool {
        let until = Deadline::earliest(deadline, self.deadline());
        loop {
            self.collect();
            if self.state.lock().status().is_some() {
                return true;
            }
            if !self.wait_on(Want::End, until) && !self.expire_if_due() {
                return false;
            }
        }
    }

    /// The response of a single call that has ended well.
    pub(crate) fn take_single(&self) -> Result<Message, Status> {
        let _ = self.heed_head();
        match self.met_status() {
            Some(status) if status.code() == Code::Ok => {
                let first = self.receiver.lock().first.take();
                first.ok_or_else(|| Status::from(ResultError::Taken))
            }
            Some(status) => Err(self.heeded(status)),
            None => Err(ResultError::TimedOut.into()),
        }
    }

    /// Waits until there is a message, room for one of ours, or the end.
    pub(crate) fn wait_exchange(&self) {
        if !self.wait_on(Want::Turn, self.deadline()) {
            self.expire_if_due();
        }
    }

    /// Takes in what a single call has received so far.
    pub(super) fn collect(&self) {
        if !self.single {
            return;
        }
        loop {
            let mut receiver = self.receiver.lock();
            let Some(mut look) = self.look(&mut receiver) else {
                let taken = self.state.lock().stream().cloned();
                drop(receiver);
                return self.settle_taken(taken);
            };
            let Some(Next::Message(message)) = look.next else {
                match self.looked(receiver, look) {
                    Some(_) => continue,
                    None => return,
                }
            };
            look.next = None;
            let several = receiver.first.replace(message).is_some();
            self.state.lock().received = true;
            self.looked(receiver, look);
            if several {
                return self.refuse_second();
            }
        }
    }

    /// A call on a stream without an inbox: another thread has taken its last, and is about to say so. The first to
    /// notice decides, or this one would look again and again, or tell its user nonsense.
    fn settle_taken(&self, stream: Option<Arc<Stream>>) {
        let Some(stream) = stream else { return };
        if let Some(ending) = stream.ending() {
            self.settle(&stream, ending);
        }
    }

    /// One look into the inbox, if there is one; publishes the response headers when they are there.
    fn look(&self, receiver: &mut Receiver) -> Option<Look> {
        let inbox = receiver.inbox.as_mut()?;
        let (next, flush) = inbox.look();
        if !receiver.headed {
            if let Some(head) = inbox.seen_head() {
                receiver.headed = true;
                self.publish(head.metadata.clone());
            }
        }
        let flush = flush.then(|| inbox.stream().clone());
        Some(Look { next, flush })
    }

    /// What follows from a look: done with no lock held.
    fn looked(&self, mut receiver: MutexGuard<'_, Receiver>, look: Look) -> Option<Next> {
        let ended = matches!(look.next, Some(Next::End(_)));
        let inbox = if ended { receiver.let_go() } else { None };
        drop(receiver);
        if let Some(stream) = look.flush {
            stream.flush();
        }
        if let (Some(Next::End(finish)), Some(inbox)) = (&look.next, inbox) {
            self.finished(&inbox, finish.clone());
        }
        look.next
    }

    pub(super) fn publish(&self, head: Metadata) {
        let mut state = self.state.lock();
        state.head.get_or_insert(head);
        self.changed.notify_all();
    }

    /// The inbox has given its last.
    fn finished(&self, inbox: &Inbox, finish: Finish) -> Settled {
        let ending = match finish {
            Finish::Ended(ending) => ending,
            Finish::Broken(status) => Ending::Local(status),
            Finish::HalfClosed => Ending::NoTrailers(None),
        };
        self.settle(inbox.stream(), ending)
    }
}
