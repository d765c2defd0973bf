//! Watching a call from any thread, and waiting for its stream. None of these takes the receiver's place on the stream.

use crate::sync::atomic::Ordering;
use std::sync::Arc;

use crate::sync::MutexGuard;

use crate::call::{Outbox, Sends};
use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::link::{Notify, Stream, Want};
use crate::metadata::Metadata;
use crate::reactor::pool;
use crate::status::Status;

use super::Core;
use super::state::State;

/// Whether a call has a stream.
pub(super) enum Bound {
    Stream(Arc<Stream>),
    Over,
    TimedOut,
}

/// Why a call cannot be sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unbound {
    Over,
    /// It has no stream yet.
    NotYet,
}

impl Core {
    /// Waits until it is on a connection.
    pub(crate) fn wait_bound(&self, deadline: Deadline) -> Result<(), ResultError> {
        let until = Deadline::earliest(deadline, self.deadline());
        match self.bound(until) {
            Bound::Stream(_) => return Ok(()),
            Bound::TimedOut if !self.expire_if_due() => return Err(ResultError::TimedOut),
            Bound::Over | Bound::TimedOut => {}
        }
        let state = self.state.lock();
        match (&state.peer, state.status()) {
            (None, Some(status)) => {
                let status = status.clone();
                drop(state);
                Err(self.outcome(self.heeded(status)))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn wait_status(&self) -> Status {
        let status = self.watch(|state| state.status().cloned());
        self.heeded(status)
    }

    pub(crate) fn wait_head(&self) -> Metadata {
        let head = || {
            self.watch(|state| match (&state.head, state.status()) {
                (Some(head), _) => Some(head.clone()),
                (None, Some(_)) => Some(Metadata::new()),
                (None, None) => None,
            })
        };
        let met = head();
        match self.heed.get() {
            None => met,
            Some(_) => {
                let _ = self.heed_head();
                head()
            }
        }
    }

    fn watch<T>(&self, found: impl Fn(&State) -> Option<T>) -> T {
        loop {
            if let Some(value) = found(&self.state.lock()) {
                return value;
            }
            self.listen();
            let _blocked = pool::before_block();
            let mut state = self.state.lock();
            if let Some(value) = found(&state) {
                return value;
            }
            if !self.wait_change(&mut state, self.deadline()) {
                drop(state);
                self.expire_if_due();
            }
        }
    }

    fn wait_change(&self, state: &mut MutexGuard<'_, State>, until: Deadline) -> bool {
        match until.instant() {
            Some(at) => !self.changed.wait_until(state, at).timed_out(),
            None => {
                self.changed.wait(state);
                true
            }
        }
    }

    /// From now on the stream's progress is noticed without a thread that waits on it.
    pub(super) fn listen(&self) {
        let mut state = self.state.lock();
        let first = state.want_progress();
        let stream = state.stream().filter(|_| first).cloned();
        drop(state);
        if let Some(stream) = stream {
            self.listen_on(&stream);
        }
    }

    /// Waits on the stream, or for one. True: look again.
    pub(super) fn wait_on(&self, want: Want, until: Deadline) -> bool {
        match self.bound(until) {
            Bound::Stream(stream) => stream.wait(want, until.instant()),
            Bound::Over => true,
            Bound::TimedOut => false,
        }
    }

    fn bound(&self, until: Deadline) -> Bound {
        let mut state = self.state.lock();
        let mut blocked = None;
        loop {
            match (state.stream(), state.status()) {
                (_, Some(_)) => return Bound::Over,
                (Some(stream), None) => return Bound::Stream(stream.clone()),
                (None, None) => {}
            }
            if blocked.is_none() {
                blocked = Some(MutexGuard::unlocked(&mut state, pool::before_block));
                continue;
            }
            if !self.wait_change(&mut state, until) {
                return Bound::TimedOut;
            }
        }
    }

    /// The half to send on by hand, from now on for good. Waits for a stream.
    pub(super) fn commit(&self, until: Deadline, sends: Sends) -> Result<Arc<Outbox>, Unbound> {
        loop {
            match self.try_commit(sends) {
                Err(Unbound::NotYet) => {}
                found => return found,
            }
            if matches!(self.bound(until), Bound::TimedOut) {
                return Err(Unbound::NotYet);
            }
        }
    }

    /// Like [`commit`](Self::commit), never waiting.
    pub(super) fn try_commit(&self, sends: Sends) -> Result<Arc<Outbox>, Unbound> {
        let mut state = self.state.lock();
        if state.status().is_some() {
            return Err(Unbound::Over);
        }
        state.commit(sends).ok_or(Unbound::NotYet)
    }
}

impl Notify for Core {
    fn progress(&self) {
        let Some(stream) = self.state.lock().stream().cloned() else { return };
        self.in_a_round.store(true, Ordering::SeqCst);
        if let Some(head) = stream.take_head() {
            self.publish(head.metadata);
        }
        self.conclude(&stream);
        self.tell_of_messages(&stream);
        self.in_a_round.store(false, Ordering::SeqCst);
    }

    fn all_told(&self) {
        self.go_on_queued();
    }
}
