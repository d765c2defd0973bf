//! The owner's handle on one stream of a link.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::http2::types::{Key, Reason};
use crate::reactor::clock;
use crate::status::Status;
use crate::wire::framing::Messages;
use crate::wire::headers::ResponseHead;
use crate::wire::outcome::Ending;

use super::Link;
use super::face::{Notify, Outgoing, Want};
use super::hold::Held;

/// One stream. Shared by its sender, its receiver and whoever may cancel it; when the
/// last lets go, what is still open is reset with CANCEL.
pub(crate) struct Stream {
    link: Arc<Link>,
    key: Key,
}

/// What [`Stream::take`] found besides messages.
#[derive(Debug, Default)]
pub(crate) struct Took {
    /// The response headers, the first time they are there.
    pub(crate) head: Option<ResponseHead>,
    /// No more messages will come. See [`Stream::ending`].
    pub(crate) over: bool,
    /// The peer's half ended inside a message (server).
    pub(crate) broken: Option<Status>,
}

impl Stream {
    pub(super) fn new(link: &Arc<Link>, key: Key) -> Arc<Self> {
        Arc::new(Self { link: link.clone(), key })
    }

    /// Appends and flushes (or corks), in one append. Never blocks. Nothing happens when
    /// the stream has ended.
    pub(crate) fn send(&self, out: Outgoing<'_>) {
        self.send_and(out, |_| ());
    }

    /// Like [`send`](Self::send). Before anything is sent, and with the lock held, `then` is told how many octets of the stream
    /// wait for the window or the socket, as by [`append`](Self::append): for who holds a lock of its own that fixes the
    /// order, and lets go of it there.
    pub(crate) fn send_and(&self, out: Outgoing<'_>, then: impl FnOnce(Option<usize>)) {
        let mut state = self.link.state.lock();
        then(state.append(self.key, out));
        self.link.flush_or_cork(state);
    }

    /// Appends without flushing; [`Stream::flush`] has to follow. Returns the octets of the
    /// stream that wait for the window or the socket; `None` when the stream has ended.
    pub(crate) fn append(&self, out: Outgoing<'_>) -> Option<usize> {
        self.link.state.lock().append(self.key, out)
    }

    /// Sends what was appended, unless somebody else is at it.
    pub(crate) fn flush(&self) {
        self.link.flush_or_cork(self.link.state.lock());
    }

    /// Whether a sender would not have to wait.
    pub(crate) fn has_room(&self) -> bool {
        self.link.state.lock().satisfied(self.key, Want::Room)
    }

    /// Returns credit for `consumed` octets and moves out the whole messages that are there.
    /// Never blocks.
    pub(crate) fn take(&self, consumed: usize, into: &mut Messages) -> Took {
        let mut state = self.link.state.lock();
        // What is pending already is somebody's to send: a writer's, or a cork's.
        let unsent = state.unsent();
        let took = state.take(self.key, consumed, into);
        // Credit that stayed here would leave a starved sender waiting for ever.
        if state.unsent_since(unsent) {
            self.link.flush_or_cork(state);
        }
        took
    }

    /// Like [`take`](Self::take), for who holds a lock of its own: nothing is sent. True: [`Stream::flush`] has to
    /// follow once that is released.
    pub(crate) fn look(&self, consumed: usize, into: &mut Messages) -> (Took, bool) {
        let mut state = self.link.state.lock();
        let unsent = state.unsent();
        let took = state.take(self.key, consumed, into);
        (took, state.unsent_since(unsent))
    }

    /// Like [`take`](Self::take), for a handler: where nothing is there it waits for the first message, for the end (it
    /// has it then) or for the deadline (`None`).
    pub(crate) fn receive(
        &self,
        consumed: usize,
        into: &mut Messages,
        deadline: Option<Instant>,
    ) -> Option<Took> {
        self.link.receive(self.key, consumed, into, deadline)
    }

    /// Whether whole messages wait here.
    pub(crate) fn unread(&self) -> bool {
        self.link.state.lock().cells.get(self.key).is_some_and(|cell| cell.inbox.ready())
    }

    /// Moves out the response headers only, for those who watch while another receives.
    pub(crate) fn take_head(&self) -> Option<ResponseHead> {
        self.link.state.lock().cells.get_mut(self.key)?.head.take()
    }

    /// How the stream ended, once it has; messages may still wait in [`Stream::take`].
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.link.state.lock().cells.get(self.key)?.ending.clone()
    }

    /// Whether the stream has ended for both sides, or was lost, reset or finished.
    pub(crate) fn ended(&self) -> bool {
        self.link.state.lock().cells.get(self.key).is_none_or(|cell| cell.ending.is_some())
    }

    /// Waits until `want` or the end is there: true; or until the deadline: false. The
    /// thread leads the link or parks meanwhile. Deadline, cancel from another thread
    /// ([`Stream::finish`]) and the loss of the connection end the wait.
    pub(crate) fn wait(&self, want: Want, deadline: Option<Instant>) -> bool {
        self.link.wait(self.key, want, deadline)
    }

    /// Its reader waits for the next message without a thread. What comes is granted as to one that has one: unasked, a long
    /// message might never complete.
    pub(crate) fn await_message(&self) {
        let mut state = self.link.state.lock();
        if state.ask(self.key, Want::Message) {
            self.link.flush_or_cork(state);
        }
    }

    /// Ends the stream from any thread: RST_STREAM(reason), everybody who waits is woken.
    /// The first ending wins: false when the stream had ended before.
    pub(crate) fn finish(&self, ending: Ending, reason: Reason) -> bool {
        let mut state = self.link.state.lock();
        if !state.finish(self.key, ending) {
            return false;
        }
        state.conn.at(clock::now());
        state.conn.reset(self.key, reason);
        self.link.flush_or_cork(state);
        true
    }

    /// The handler of a call that had ended before is done: the next that waits may run.
    pub(crate) fn settle(&self) {
        let mut state = self.link.state.lock();
        state.settle(self.key);
        self.link.settle(state);
    }

    /// From now on `listener` is told of progress. The poller reads for such a stream.
    pub(crate) fn notify(&self, listener: Arc<dyn Notify>) {
        let mut state = self.link.state.lock();
        state.listen(self.key, listener);
        self.link.settle(state);
    }

    /// Gives `work` back if the handler of this request may start now. Not while its client leaves what it was answered
    /// untaken: then `later` makes of it what is held until it may.
    pub(crate) fn admit<T>(&self, work: T, later: impl FnOnce(T) -> Held) -> Option<T> {
        self.link.admit(self.key, work, later)
    }

    /// From now on nobody is told of progress. A listener holds its call, and the call this stream: who ends the
    /// one lets go of the other.
    pub(crate) fn unlisten(&self) {
        // A statement of its own: the guard must be gone when it is dropped.
        let listener = self.link.state.lock().unlisten(self.key);
        drop(listener);
    }

    /// Its number on the connection.
    pub(crate) fn id(&self) -> u32 {
        self.key.id
    }

    /// Its link.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.link.state.lock();
        if let Some(cell) = state.forget(self.key) {
            if state.cells.live() == 0 {
                self.link.watch_for_quiet(&mut state);
                state.rest_after_first();
            }
            self.link.flush_or_cork(state);
            drop(cell);
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.key.id).finish_non_exhaustive()
    }
}
