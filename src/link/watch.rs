//! Who watches the socket, and for what: readiness, as a pure transition function.
//!
//! A link *needs* to hear of input, unless reading rests (A9), and of room to write while its baton is stuck. Somebody
//! has to *watch* for that: on a client the leader, while it polls, else the process's poller by a one-shot interest; on
//! a server the pool's pollers, by edges, of which one that comes at a bad time is remembered. [`Watch::adjust`]
//! compares the two at the end of every critical section. Nothing else decides to kick, to arm or to read later, so
//! nobody who changes what is needed has to know who watches.
//!
//! Invariant, checked by the model in `watch/tests.rs` over every interleaving: what is needed is watched for, or a
//! thread is awake that will come back for the lock, or one is to do so later.
//!
//! Guarded by the link's lock.

use crate::net::Interest;

/// What the link has to hear of, and who could tell it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) holder: Holder,
    pub(super) need: Interest,
    /// Something is expected that no thread waits for, or the poller has just read: it goes on at once.
    pub(super) eager: bool,
    /// The leader's own wait is over, and it may not know.
    pub(super) told: bool,
}

/// Who has the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Nobody,
    /// A thread that waits. It looks at what is needed before each poll.
    Waiter,
    /// The poller, which reads just now.
    Poller,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Todo {
    /// The leader polls for too little, or too long.
    pub(super) kick: bool,
    /// The poller's interest, to be set before the lock is released.
    pub(super) arm: Option<Interest>,
    /// A timer is to look soon whether the link has become quiet.
    pub(super) quiet: bool,
    /// A polling thread is to read, once others have had their turn.
    pub(super) read: bool,
}

/// How a thread's reading came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Nothing is left: the next octet is the next edge. Or no more will come.
    Emptied,
    /// There may be more, and reading rests, or others have waited for this thread long enough.
    Left,
}

/// The watch over one link's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Watch {
    client: bool,
    /// What the leader polls for. `None`: it is not there, or has been kicked.
    polled: Option<Interest>,
    /// The poller's one-shot interest, while it is set.
    armed: Option<Interest>,
    /// A timer is set that looks whether the link has become quiet.
    quiet: bool,
    /// Who reads on a server.
    reading: Reading,
    /// On a server there may be input of which no edge will tell.
    unread: bool,
    /// It will be read later, when others have had their turn: edges change nothing about it.
    later: bool,
}

/// An edge that comes while one thread reads makes that thread read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reading {
    Nobody,
    Somebody,
    Again,
}

impl Watch {
    pub(super) fn new(client: bool) -> Self {
        Self {
            client,
            polled: None,
            armed: None,
            quiet: false,
            reading: Reading::Nobody,
            unread: false,
            later: false,
        }
    }

    /// Compares what is needed with what is watched for.
    pub(super) fn adjust(&mut self, facts: Facts) -> Todo {
        let mut todo = Todo::default();
        if !self.client {
            todo.read = self.unread && facts.need.read && self.reading == Reading::Nobody;
            self.unread &= !todo.read;
            self.later |= todo.read;
            return todo;
        }
        match facts.holder {
            Holder::Waiter => {
                todo.kick = self.polled.is_some_and(|polled| {
                    facts.told || lacks(polled, facts.need) != Interest::default()
                });
                if todo.kick {
                    self.polled = None;
                }
            }
            // It compares when it leaves.
            Holder::Poller => {}
            Holder::Nobody => {
                let lacks = lacks(self.armed.unwrap_or_default(), facts.need);
                if lacks.write || lacks.read && facts.eager {
                    self.armed = Some(facts.need);
                    todo.arm = self.armed;
                } else if lacks.read {
                    todo.quiet = !std::mem::replace(&mut self.quiet, true);
                }
            }
        }
        todo
    }

    /// The leader goes to poll for this.
    pub(super) fn poll(&mut self, interest: Interest) {
        self.polled = Some(interest);
    }

    /// The leader has come back.
    pub(super) fn polled(&mut self) {
        self.polled = None;
    }

    /// The poller's one-shot interest has told, or could not be set.
    pub(super) fn disarmed(&mut self) {
        self.armed = None;
    }

    /// The timer that looks for quiet has come.
    pub(super) fn quiet_looked(&mut self) {
        self.quiet = false;
    }

    /// Whether a timer has to be set that looks for quiet; from here on it is.
    pub(super) fn want_quiet(&mut self) -> bool {
        !std::mem::replace(&mut self.quiet, true)
    }

    #[cfg(test)]
    pub(super) fn looks_for_quiet(&self) -> bool {
        self.quiet
    }

    /// A server's turn to read later has come: whether this thread reads.
    pub(super) fn later(&mut self, rests: bool) -> bool {
        self.later = false;
        self.edge(rests)
    }

    /// A server's edge of input: whether this thread reads. `rests`: reading is not wanted now.
    pub(super) fn edge(&mut self, rests: bool) -> bool {
        if self.later {
            return false;
        }
        if self.reading != Reading::Nobody {
            self.reading = Reading::Again;
            return false;
        }
        self.unread |= rests;
        if !rests {
            self.reading = Reading::Somebody;
        }
        !rests
    }

    /// The thread that read has come to an end: whether it reads again, because an edge came meanwhile.
    pub(super) fn read(&mut self, how: Read) -> bool {
        let again = self.reading == Reading::Again;
        if again && how == Read::Emptied {
            self.reading = Reading::Somebody;
            return true;
        }
        self.reading = Reading::Nobody;
        self.unread |= how == Read::Left;
        false
    }
}

/// What of `need` is not in `has`.
fn lacks(has: Interest, need: Interest) -> Interest {
    Interest { read: need.read && !has.read, write: need.write && !has.write }
}

#[cfg(test)]
mod tests;
