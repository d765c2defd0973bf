//! The connectivity of a channel as a pure state machine: events and `now` in, a
//! state, the next timeout and at most one order (connect) out.
//!
//! It owns *when* to connect. How a connection is made (resolving, addresses, the
//! handshake) is the connector's; who waits for it is the channel's.
//!
//! § `doc/connectivity-semantics-and-api.md` and `doc/connection-backoff.md`, with
//! one choice of ours: when the pause after a failure is over and nobody wants the
//! connection any more, the channel goes to IDLE instead of trying for ever. An
//! unused channel then costs nothing, and the next call meets a fresh attempt, not a stale error.
//! And a connection is successful only once it was of use: see [`Machine::gone`].

use std::fmt;
use std::time::{Duration, Instant};

use super::backoff::{Backoff, Limits};

/// What a channel is doing about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connectivity {
    /// There is no connection, and nobody has asked for one.
    Idle,
    /// A connection is being made.
    Connecting,
    /// There is a connection, and the peer has answered on it.
    Ready,
    /// The last attempt failed. The next one comes after a pause. Calls fail at once unless they wait for ready.
    TransientFailure,
    /// The channel was closed. This is the last state.
    Shutdown,
}

impl fmt::Display for Connectivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "IDLE",
            Self::Connecting => "CONNECTING",
            Self::Ready => "READY",
            Self::TransientFailure => "TRANSIENT_FAILURE",
            Self::Shutdown => "SHUTDOWN",
        })
    }
}

/// One attempt to connect. Reports of older attempts are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt(u64);

impl Attempt {
    /// For a timer of what came of it: not zero, as the first is one.
    pub(crate) fn tag(self) -> u64 {
        self.0
    }

    /// Whose timer that is; `None`: nobody's.
    pub(crate) fn tagged(tag: u64) -> Option<Self> {
        (tag != 0).then_some(Self(tag))
    }
}

/// An order to the connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) attempt: Attempt,
}

/// How the machine is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) backoff: Limits,
    /// How long one attempt may take (§ `MIN_CONNECT_TIMEOUT`).
    pub(crate) attempt: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { backoff: Limits::default(), attempt: Duration::from_secs(20) }
    }
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine {
    state: Connectivity,
    timing: Timing,
    backoff: Backoff,
    /// The next connection that ends before it was of use is replaced at once: a server that
    /// goes away just as we have come costs no call (W69).
    spare: bool,
    /// Somebody wants a connection however often it fails: attempts go on after each pause.
    wanted: bool,
    attempts: u64,
    /// CONNECTING: when this attempt is given up.
    give_up: Option<Instant>,
    /// Not before this the next attempt begins, unless the connection is of use. After an attempt `None` is never: the
    /// pause lies beyond the clock.
    again: Option<Instant>,
    /// Why the last attempt failed or the last connection ended.
    cause: String,
}

impl Machine {
    pub(crate) fn new(timing: Timing) -> Self {
        Self {
            state: Connectivity::Idle,
            timing,
            backoff: Backoff::new(timing.backoff),
            spare: true,
            wanted: false,
            attempts: 0,
            give_up: None,
            again: None,
            cause: String::new(),
        }
    }

    pub(crate) fn state(&self) -> Connectivity {
        self.state
    }

    /// Why the last attempt failed, or how the last connection ended; empty at first.
    pub(crate) fn cause(&self) -> &str {
        &self.cause
    }

    /// The latest attempt.
    pub(crate) fn attempt(&self) -> Attempt {
        Attempt(self.attempts)
    }

    /// A connection is wanted now. `lasting`: until there is one, whatever happens.
    pub(crate) fn want(&mut self, lasting: bool, now: Instant, random: u64) -> Option<Connect> {
        match self.state {
            Connectivity::Idle => {
                self.wanted |= lasting;
                Some(self.connect(now, random))
            }
            Connectivity::Connecting | Connectivity::TransientFailure => {
                self.wanted |= lasting;
                None
            }
            Connectivity::Ready | Connectivity::Shutdown => None,
        }
    }

    /// The peer's SETTINGS are in (W65). False: the report is of an older attempt.
    pub(crate) fn up(&mut self, attempt: Attempt) -> bool {
        let current = self.is_current(attempt);
        if current {
            self.state = Connectivity::Ready;
            self.wanted = false;
            self.give_up = None;
            self.cause.clear();
        }
        current
    }

    /// The attempt failed. False: it is an older one.
    pub(crate) fn failed(&mut self, attempt: Attempt, cause: String) -> bool {
        let current = self.is_current(attempt);
        if current {
            self.fail(cause);
        }
        current
    }

    /// The connection that was READY is gone or takes no new calls. `answered`: it has served a call.
    ///
    /// Such a one, or one that outlived the pause of its attempt, was a success, and the next
    /// attempt may begin at once. Any other counts as a failed attempt, or a peer that
    /// breaks each connection after its SETTINGS would be called without a pause (K5).
    pub(crate) fn gone(&mut self, answered: bool, cause: String, now: Instant) {
        if self.state != Connectivity::Ready {
            return;
        }
        if answered || self.again.is_some_and(|again| again <= now) {
            self.backoff.reset();
            self.spare = true;
        } else if !std::mem::take(&mut self.spare) {
            return self.fail(cause);
        }
        self.state = Connectivity::Idle;
        self.cause = cause;
    }

    /// The connection of the channel is given up because nobody uses it.
    pub(crate) fn rest(&mut self) {
        if self.state == Connectivity::Ready {
            self.backoff.reset();
            self.spare = true;
            self.state = Connectivity::Idle;
            "nobody used it".clone_into(&mut self.cause);
        }
    }

    /// More about why the last attempt failed.
    pub(crate) fn explain(&mut self, more: &str) {
        self.cause.push_str(": ");
        self.cause.push_str(more);
    }

    /// When [`Machine::timeout`] has to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            Connectivity::Connecting => self.give_up,
            Connectivity::TransientFailure => self.again,
            _ => None,
        }
    }

    /// Time has passed. `waited`: calls wait for the connection even now.
    pub(crate) fn timeout(&mut self, waited: bool, now: Instant, random: u64) -> Option<Connect> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return None;
        }
        if self.state == Connectivity::Connecting {
            self.fail(format!("no connection within {:?}", self.timing.attempt));
            return None;
        }
        self.again = None;
        if self.wanted || waited {
            return Some(self.connect(now, random));
        }
        self.state = Connectivity::Idle;
        None
    }

    /// Whoever asks knows that it is worth a try: at once, and the pauses begin anew.
    pub(crate) fn reset_backoff(&mut self, now: Instant, random: u64) -> Option<Connect> {
        self.backoff.reset();
        (self.state == Connectivity::TransientFailure).then(|| self.connect(now, random))
    }

    /// The end.
    pub(crate) fn close(&mut self) {
        self.state = Connectivity::Shutdown;
        self.wanted = false;
    }

    pub(crate) fn is_current(&self, attempt: Attempt) -> bool {
        self.state == Connectivity::Connecting && attempt.0 == self.attempts
    }

    fn connect(&mut self, now: Instant, random: u64) -> Connect {
        self.state = Connectivity::Connecting;
        self.attempts = self.attempts.wrapping_add(1);
        // The pause counts from the beginning of the attempt.
        let pause = self.backoff.next(random);
        self.again = now.checked_add(pause);
        self.give_up = now.checked_add(self.timing.attempt.max(pause));
        Connect { attempt: Attempt(self.attempts) }
    }

    fn fail(&mut self, cause: String) {
        self.state = Connectivity::TransientFailure;
        self.give_up = None;
        self.cause = cause;
    }
}

#[cfg(test)]
mod tests;
