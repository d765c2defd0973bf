//! A server's life: new, running, stopping, stopped; which listeners and connections it
//! has; and who waits for its end.
//!
//! Owns the rules of `stop`: the shortest grace wins, listeners close at once, what is left at the end of
//! the grace is cancelled. Ignores handlers: that they return is waited for by [`Stopped`](super::Stopped).
//!
//! Lock: `state` is the highest rank of all (registry): connections are told outside it.

use crate::sync::atomic::{AtomicBool, Ordering};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::sync::{Condvar, Mutex};

use super::port::Port;
use crate::deadline::Deadline;
use crate::error::{ConfigError, ConfigErrorKind};
use crate::http2::types::Reason;
use crate::link::{Link, Totals};
use crate::reactor::clock::{self, Wall};
use crate::server::dispatch::Running;
use crate::tally::{Severity, Trace, TraceStats};

/// What clients are told whose calls are cut short.
const CANCELLED: &str = "the server has stopped: cancelling all calls";

/// See the module.
pub(in crate::server) struct Life {
    /// Guards phases, listeners and connections. Not poisoned by panics.
    state: Mutex<State>,
    /// Told of every change somebody may wait for.
    changed: Condvar,
    /// The handlers that wait or run.
    running: Arc<Running>,
}

struct State {
    phase: Phase,
    /// When the grace ends.
    grace: Option<Instant>,
    ports: Vec<Arc<Port>>,
    links: HashMap<u64, Arc<Link>>,
    /// Connections that were let in and have no link yet.
    coming: usize,
    next: u64,
    trace: Trace,
    /// The calls of connections that are over.
    past: Totals,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) enum Phase {
    #[default]
    New,
    Running,
    Stopping,
    Stopped,
}

impl Phase {
    fn may_start(self) -> Result<(), ConfigError> {
        let text = match self {
            Self::New => return Ok(()),
            Self::Running => "start() was called before",
            Self::Stopping | Self::Stopped => "a server that was stopped cannot start again",
        };
        Err(ConfigError::new(ConfigErrorKind::State, text))
    }
}

/// What [`Life::stop`] leaves to its caller, to be done without the lock.
#[derive(Default)]
pub(in crate::server) struct Stop {
    ports: Vec<Arc<Port>>,
    links: Vec<Arc<Link>>,
    /// When to look again; `None`: close the links now.
    grace: Option<Instant>,
}

impl Life {
    /// Of a server that is made now, which keeps so many octets of what happens to it.
    pub(super) fn new(memory: usize) -> Self {
        let state = State {
            phase: Phase::New,
            grace: None,
            ports: Vec::new(),
            links: HashMap::new(),
            coming: 0,
            next: 0,
            trace: Trace::new(memory, clock::now()),
            past: Totals::default(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), running: Arc::default() }
    }

    /// What there is, for who counts.
    pub(super) fn see(&self, wall: &Wall) -> Seen {
        let state = self.state.lock();
        Seen {
            ports: state.ports.clone(),
            links: state.links.values().cloned().collect(),
            past: state.past,
            trace: state.trace.stats(|at| wall.at(at)),
        }
    }

    /// Begins to serve: the listeners that are to be opened.
    pub(in crate::server) fn start(&self) -> Result<Vec<Arc<Port>>, ConfigError> {
        let mut state = self.state.lock();
        state.phase.may_start()?;
        state.phase = Phase::Running;
        state.note("started");
        Ok(state.ports.clone())
    }

    /// Why [`start`](Self::start) would fail, for who would have bound a port before.
    pub(in crate::server) fn may_start(&self) -> Result<(), ConfigError> {
        self.phase().may_start()
    }

    pub(in crate::server) fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    /// Adds a listener: whether it is to be opened now. `None` when the server has stopped.
    pub(super) fn add_port(&self, port: &Arc<Port>) -> Option<bool> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::New | Phase::Running => {
                state.ports.push(port.clone());
                state.note_text(|| format!("listens on {}", port.address()));
                Some(state.phase == Phase::Running)
            }
            Phase::Stopping | Phase::Stopped => None,
        }
    }

    pub(in crate::server) fn ports(&self) -> Vec<Arc<Port>> {
        self.state.lock().ports.clone()
    }

    /// A name for a connection to come; `None` when no more are wanted. [`add_link`](Self::add_link) or
    /// [`link_failed`](Self::link_failed) has to follow: until then the server has not stopped.
    pub(super) fn expect_link(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.phase != Phase::Running {
            return None;
        }
        state.next += 1;
        state.coming += 1;
        Some(state.next)
    }

    /// A connection is up. `gone` tells whether it is over again already. If the server was told to stop while it came up, it
    /// ends like the others: it may have brought calls.
    pub(super) fn add_link(&self, number: u64, link: &Arc<Link>, gone: &AtomicBool, now: Instant) {
        let mut state = self.state.lock();
        state.coming -= 1;
        if !gone.load(Ordering::SeqCst) {
            state.links.insert(number, link.clone());
        } else {
            state.past.add(link.totals());
        }
        let late = state.phase != Phase::Running;
        let grace = state.grace.filter(|grace| *grace > now);
        self.settle(&mut state);
        drop(state);
        if late {
            Stop { ports: Vec::new(), links: vec![link.clone()], grace }.carry_out();
        }
    }

    pub(super) fn link_failed(&self) {
        let mut state = self.state.lock();
        state.coming -= 1;
        self.settle(&mut state);
    }

    /// A connection is over, and all its calls.
    pub(super) fn remove_link(&self, number: u64) {
        let mut state = self.state.lock();
        let link = state.links.remove(&number);
        // They stay as they are.
        if let Some(link) = &link {
            state.past.add(link.totals());
        }
        self.settle(&mut state);
        drop(state);
        drop(link);
    }

    /// Stops, or makes the end of a stop come sooner.
    pub(in crate::server) fn stop(&self, now: Instant, grace: Instant) -> Stop {
        self.running.stop();
        let mut state = self.state.lock();
        if state.phase == Phase::Stopped {
            return Stop::default();
        }
        state.phase = Phase::Stopping;
        state.note("told to stop");
        let ports = std::mem::take(&mut state.ports);
        // The shortest grace wins.
        let sooner = state.grace.is_none_or(|set| grace < set);
        let mut links = Vec::new();
        if sooner {
            state.grace = Some(grace);
            links.extend(state.links.values().cloned());
        }
        self.settle(&mut state);
        Stop { ports, links, grace: (sooner && grace > now).then_some(grace) }
    }

    /// A timer of a grace has fired.
    pub(super) fn grace_over(&self, now: Instant) {
        let links: Vec<_> = {
            let state = self.state.lock();
            if state.grace.is_none_or(|grace| grace > now) {
                return;
            }
            state.links.values().cloned().collect()
        };
        close(&links);
    }

    fn settle(&self, state: &mut State) {
        if state.phase == Phase::Stopping && state.links.is_empty() && state.coming == 0 {
            state.phase = Phase::Stopped;
            state.note("stopped");
            self.changed.notify_all();
        }
    }

    /// Who counts the server's handlers.
    pub(in crate::server) fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Waits until the server has stopped, which it stays: whether it came to that before `deadline`.
    pub(in crate::server) fn wait(&self, deadline: Deadline) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.phase == Phase::Stopped {
                return true;
            }
            match deadline.remaining(clock::now()) {
                None => self.changed.wait(&mut state),
                Some(left) if left.is_zero() => return false,
                Some(left) => {
                    self.changed.wait_for(&mut state, left);
                }
            }
        }
    }
}

impl State {
    fn note(&mut self, what: &str) {
        self.note_text(|| what.to_owned());
    }

    fn note_text(&mut self, what: impl FnOnce() -> String) {
        self.trace.add(clock::now(), Severity::Info, what);
    }
}

/// What is copied out of a server's life under its lock.
pub(super) struct Seen {
    pub(super) ports: Vec<Arc<Port>>,
    pub(super) links: Vec<Arc<Link>>,
    /// The calls of connections that are over.
    pub(super) past: Totals,
    pub(super) trace: TraceStats,
}

impl Stop {
    /// Closes listeners, then drains or closes the connections: when to look again.
    pub(in crate::server) fn carry_out(self) -> Option<Instant> {
        for port in &self.ports {
            port.close();
        }
        match self.grace {
            Some(_) => self.links.iter().for_each(|link| link.drain()),
            None => close(&self.links),
        }
        self.grace
    }
}

fn close(links: &[Arc<Link>]) {
    for link in links {
        link.close(Reason::NO_ERROR, CANCELLED);
    }
}
