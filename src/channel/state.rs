//! The state of a channel: what its lock guards, and what a change of it makes necessary.
//!
//! Never touches a link or a call but to ask what it is: what is to be done to them is noted in a [`Todo`], for after the
//! lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::client::Core;
use crate::link::Link;
use crate::reactor::{Alarms, clock};
use crate::status::Status;
use crate::tell;
use crate::wire::outcome::closed;

use super::connectivity::{Attempt, Connect, Connectivity, Machine, Timing};
use super::dial::Dialing;
use super::notes::Notes;
use super::queue::Queue;
use super::random::random;
use super::target::Target;
use super::watcher::Watcher;

/// What connections of a closed channel are told.
pub(super) const CLOSED: &str = "Channel closed!";

/// As many plugins of call credentials may run at once. Most have what they give at hand; where one fetches it, the others
/// wait for that one.
pub(super) const ASKERS: usize = 16;

pub(super) struct Inner {
    pub(super) machine: Machine,
    /// All connections that live: at most one current, and those that drain.
    pub(super) links: Vec<(Attempt, Arc<Link>)>,
    /// The attempt whose link is `ready`.
    pub(super) current: Option<Attempt>,
    pub(super) dialing: Option<Dialing>,
    /// The peer was quicker than we: up before the link was noted.
    pub(super) early: Option<Attempt>,
    pub(super) queue: Queue<Core>,
    /// Those that wait for their credentials.
    pub(super) aside: Queue<Core>,
    pub(super) pumping: bool,
    pub(super) pump_again: bool,
    /// The link took no more in this round.
    pub(super) refused: bool,
    /// When it was last told that calls wait for a stream.
    pub(super) crowded: Option<Instant>,
    /// The timers that are set.
    pub(super) alarms: Alarms,
    pub(super) watchers: Vec<Arc<Watcher>>,
    pub(super) keepalive: Keepalive,
    /// Calls that had been made on the current connection when its use was last looked at.
    pub(super) made: u64,
    pub(super) notes: Notes,
}

/// After which silence the next connections are asked whether they live.
pub(super) struct Keepalive {
    time: Option<Duration>,
    /// The connection that said last that this is too often.
    told: Option<Attempt>,
}

impl Keepalive {
    pub(super) fn time(&self) -> Option<Duration> {
        self.time
    }

    /// A server has had enough of PINGs. The new time, unless it is known already.
    ///
    /// § gRFC A8: "the client should … double the configured KEEPALIVE_TIME"; once for each connection.
    pub(super) fn too_often(&mut self, attempt: Attempt) -> Option<Duration> {
        if self.told.replace(attempt) == Some(attempt) {
            return None;
        }
        self.time = self.time.map(|time| time.saturating_mul(2));
        self.time
    }
}

/// What to do once the lock is released.
#[derive(Default)]
pub(super) struct Todo {
    pub(super) connect: Option<Connect>,
    pub(super) timer: Option<Instant>,
    pub(super) fail: Vec<Arc<Core>>,
    pub(super) status: Status,
    pub(super) pump: bool,
    pub(super) close: Vec<Arc<Link>>,
    pub(super) cancel: Option<Dialing>,
    pub(super) deliver: Vec<Arc<Watcher>>,
    /// A connection that is in use from now on, until nobody uses it.
    pub(super) watch: Option<(Attempt, Arc<Link>)>,
    /// Only to be dropped.
    pub(super) gone: Option<Arc<Link>>,
}

impl Inner {
    pub(super) fn new(timing: Timing, keepalive: Option<Duration>, notes: Notes) -> Self {
        Self {
            machine: Machine::new(timing),
            links: Vec::new(),
            current: None,
            made: 0,
            notes,
            dialing: None,
            early: None,
            queue: Queue::new(),
            aside: Queue::new(),
            pumping: false,
            pump_again: false,
            refused: false,
            crowded: None,
            alarms: Alarms::new(),
            watchers: Vec::new(),
            keepalive: Keepalive { time: keepalive, told: None },
        }
    }

    /// A call queues, or is turned away.
    pub(super) fn admit(
        &mut self,
        call: Arc<Core>,
        push: fn(&mut Queue<Core>, Arc<Core>),
        todo: &mut Todo,
    ) {
        match self.machine.state() {
            // It has ended on its way here: nobody would take it out of the queue again.
            _ if call.met_status().is_some() => {}
            Connectivity::Shutdown => todo.status = closed_status(),
            Connectivity::TransientFailure if !call.waits_for_ready() => {
                todo.status = self.unavailable();
            }
            _ => {
                push(&mut self.queue, call);
                todo.connect = self.machine.want(false, clock::now(), random());
                return;
            }
        }
        todo.fail.push(call);
    }

    /// A call that has ended waits for nothing any more. For dropping once the lock is released.
    pub(super) fn let_go(&mut self, call: &Core) -> Option<Arc<Core>> {
        self.queue.remove(call).or_else(|| self.aside.remove(call))
    }

    pub(super) fn link_of(&self, attempt: Attempt) -> Option<Arc<Link>> {
        self.links.iter().find(|(own, _)| *own == attempt).map(|(_, link)| link.clone())
    }

    /// There is a connection, and the peer has not said its first word.
    pub(super) fn is_silent(&self) -> bool {
        self.links.iter().any(|(attempt, _)| self.machine.is_current(*attempt))
    }

    /// The state is TRANSIENT_FAILURE now: calls that do not wait for ready fail.
    pub(super) fn after_failure(&mut self, todo: &mut Todo, attempt: Option<Attempt>) {
        todo.status = self.unavailable();
        todo.fail.extend(self.queue.take(|call| !call.waits_for_ready()));
        todo.cancel = self.dialing.take();
        todo.close.extend(attempt.and_then(|attempt| self.link_of(attempt)));
    }

    fn unavailable(&self) -> Status {
        Status::unavailable(self.machine.cause())
            .with_debug(format!("the channel is {}", self.machine.state()))
    }

    pub(super) fn shut_down(&mut self, todo: &mut Todo) {
        self.machine.close();
        todo.fail.extend(self.queue.take(|_| true));
        todo.fail.extend(self.aside.take(|_| true));
        todo.status = closed_status();
        todo.cancel = self.dialing.take();
    }

    pub(super) fn set_timer(&mut self, todo: &mut Todo) {
        if let Some(at) = self.machine.poll_timeout() {
            if self.alarms.want(at) {
                todo.timer = Some(at);
            }
        }
    }
}

/// A change of connectivity, for the log, which is told with no lock held: it is the user's code.
pub(super) struct Turn {
    state: Connectivity,
    link: Option<Arc<Link>>,
    cause: String,
}

impl Turn {
    /// How the channel is now; `None` where nobody wants to know.
    pub(super) fn of(inner: &Inner) -> Option<Self> {
        if !tell::hears_debug() {
            return None;
        }
        let link = inner.current.and_then(|attempt| inner.link_of(attempt));
        let (state, cause) = (inner.machine.state(), inner.machine.cause().to_owned());
        Some(Self { state, link, cause })
    }

    pub(super) fn tell(&self, target: &Target) {
        let Self { state, link, cause } = self;
        match (state, link) {
            (Connectivity::Ready, Some(link)) => {
                tell::debug!("the channel to {target} is {state}: connected to {}", link.peer());
            }
            (Connectivity::Connecting | Connectivity::Shutdown, _) => {
                tell::debug!("the channel to {target} is {state}");
            }
            _ => tell::debug!("the channel to {target} is {state}: {cause}"),
        }
    }
}

/// In front of the queue; those that are repeated first, in the order in which they were sent before.
pub(super) fn put_back(queue: &mut Queue<Core>, call: Arc<Core>) {
    let place = call.place();
    queue.put_back(call, place);
}

/// What ends calls of a closed channel that have no stream.
pub(super) fn closed_status() -> Status {
    closed("no server has acted on the call")
}

/// The same for one that has none of its own: others make it.
pub(super) fn closed_within() -> Status {
    closed("while the channel's interceptors made the call")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::random::random;

    #[test]
    fn k2_too_many_pings_double_the_time_once_for_each_connection() {
        let notes = Notes::new(0, clock::now());
        let mut inner = Inner::new(Timing::default(), Some(Duration::from_secs(10)), notes);
        let first = inner.machine.attempt();
        assert_eq!(inner.keepalive.too_often(first), Some(Duration::from_secs(20)));
        assert_eq!(inner.keepalive.too_often(first), None, "a second GOAWAY of the same one");
        let second = inner.machine.want(true, clock::now(), random()).unwrap().attempt;
        assert_eq!(inner.keepalive.too_often(second), Some(Duration::from_secs(40)));
        assert_eq!(inner.keepalive.time(), Some(Duration::from_secs(40)));
        let mut never = Keepalive { time: Some(Duration::MAX), told: None };
        assert_eq!(never.too_often(first), Some(Duration::MAX));
        never.time = None;
        assert_eq!(never.too_often(second), None, "there is nothing to double");
    }
}
