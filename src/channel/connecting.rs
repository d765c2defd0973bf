//! How a channel comes to its connections, and how it loses them: what becomes of an attempt, and of the link that it gave.

use std::sync::Arc;

use crate::link::Link;
use crate::net::Pipe;
use crate::reactor::clock;
use crate::tell;

use super::connectivity::{Attempt, Connectivity};
use super::dial::Dialing;
use super::events::Events;
use super::random::random;
use super::shared::Shared;
use super::state::{Inner, Todo};
use super::why::unspoken;

impl Shared {
    pub(super) fn connect(&self, attempt: Attempt) {
        let Some(this) = self.this.upgrade() else { return };
        let outcome = Box::new(move |result| match result {
            Ok(pipe) => this.connected(attempt, pipe),
            Err(cause) => this.failed(attempt, cause),
        });
        let dialing = Dialing::default();
        let mut inner = self.inner.lock();
        if !inner.machine.is_current(attempt) {
            return;
        }
        // Noted before it begins: whoever ends the attempt from here on finds it, and it ends however far it has come.
        inner.dialing = Some(dialing.clone());
        drop(inner);
        self.dial.dial(&self.poller, self.settings.timing.attempt, &dialing, outcome);
    }

    /// A pipe is there; the peer has not spoken yet.
    fn connected(&self, attempt: Attempt, pipe: Arc<dyn Pipe>) {
        let events = Arc::new(Events::new(self.this.clone(), attempt, &self.terms));
        let mut options = self.settings.http2.clone();
        options.keepalive.time = self.inner.lock().keepalive.time();
        match Link::client(pipe, &options.into(), self.settings.busy_poll, events, &self.poller) {
            Ok(link) => self.linked(attempt, link),
            Err(error) => self.failed(attempt, format!("the connection cannot be polled: {error}")),
        }
    }

    fn linked(&self, attempt: Attempt, link: Arc<Link>) {
        self.change(|inner, todo| {
            if !inner.machine.is_current(attempt) {
                todo.close.push(link);
                return;
            }
            inner.links.push((attempt, link));
            if inner.early.take() == Some(attempt) {
                self.take_up(inner, todo, attempt);
            }
        });
    }

    fn failed(&self, attempt: Attempt, cause: String) {
        self.change(|inner, todo| {
            if inner.machine.failed(attempt, cause) {
                inner.after_failure(todo, Some(attempt));
            }
        });
    }

    /// W65: the peer's SETTINGS are in.
    pub(super) fn up(&self, attempt: Attempt) {
        self.change(|inner, todo| self.take_up(inner, todo, attempt));
    }

    fn take_up(&self, inner: &mut Inner, todo: &mut Todo, attempt: Attempt) {
        let Some(link) = inner.link_of(attempt) else {
            inner.early = Some(attempt);
            return;
        };
        if inner.machine.up(attempt) {
            inner.current = Some(attempt);
            inner.notes.connected(&link);
            inner.dialing = None;
            todo.watch = Some((attempt, link.clone()));
            *self.ready.write() = Some(link);
            todo.pump = true;
        } else {
            todo.close.push(link);
        }
    }

    /// K2: the next connections are asked half as often.
    pub(super) fn too_many_pings(&self, attempt: Attempt) {
        let time = self.inner.lock().keepalive.too_often(attempt);
        if let Some(time) = time {
            let target = self.settings.target.text();
            tell::warn!(
                "{target} ends connections that ping so often: keepalive after {time:?} from now on"
            );
        }
    }

    /// The link takes no new calls (W68), or is over.
    pub(super) fn gone(&self, attempt: Attempt, cause: &str, over: bool) {
        let link = self.inner.lock().link_of(attempt);
        if let Some(link) = link.as_ref().filter(|_| over) {
            let target = &self.settings.target;
            tell::debug!(
                "the connection to {} of the channel to {target} is over: {cause}",
                link.peer()
            );
        }
        // One that leaves with calls of ours was of use, too: what goes on is made nowhere else.
        let answered = link.as_ref();
        let answered = answered.is_some_and(|link| link.answered() || (!over && link.kept() > 0));
        let calls = link.as_ref().map(|link| link.totals());
        self.change(|inner, todo| {
            if over {
                let at = inner.links.iter().position(|(own, _)| *own == attempt);
                todo.gone = at.map(|at| inner.links.swap_remove(at).1);
                if let (Some(link), Some(calls)) = (&todo.gone, calls) {
                    inner.notes.over(link, calls, cause);
                }
            } else if let Some(link) = &link {
                inner.notes.draining(link, cause);
            }
            if inner.current == Some(attempt) {
                inner.current = None;
                *self.ready.write() = None;
                let now = clock::now();
                inner.machine.gone(answered, cause.to_owned(), now);
                if inner.machine.state() == Connectivity::TransientFailure {
                    // A link that drains may go on with its calls.
                    inner.after_failure(todo, None);
                } else if !inner.queue.is_empty() {
                    todo.connect = inner.machine.want(false, now, random());
                }
            } else {
                let cause = unspoken(&self.settings.target, self.settings.is_secure(), cause);
                if inner.machine.failed(attempt, cause) {
                    inner.after_failure(todo, (!over).then_some(attempt));
                }
            }
        });
    }
}
