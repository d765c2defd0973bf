//! What a change under the link's lock makes necessary, done once it is released; and whom a link tells.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use crate::http2::types::Key;
use crate::tell;

use super::cell::{Cell, Listener, Pending, Waiting};
use super::face::{Acceptor, LinkEvents, Want};
use super::hold::Held;
use super::lead::Lead;
use super::me::Me;
use super::terms::Terms;

/// What to do after the lock is released.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) wakes: Vec<Me>,
    pub(super) notify: Vec<Arc<Listener>>,
    pub(super) incoming: Vec<(Key, Pending)>,
    /// The leader's own wait is over, or its interest has changed.
    pub(super) kick: bool,
    pub(super) up: bool,
    /// Why it drains: we have pinged too often.
    pub(super) pinged: bool,
    pub(super) draining: bool,
    pub(super) room: bool,
    pub(super) lost: Option<String>,
    /// Only to be dropped.
    pub(super) dropped: VecDeque<(Key, Held)>,
    /// Requests that were turned down before anybody saw them, for the log. Empty unless it wants to know.
    refused: Vec<String>,
}

impl Effects {
    pub(super) fn is_empty(&self) -> bool {
        self.wakes.is_empty()
            && self.notify.is_empty()
            && self.incoming.is_empty()
            && !(self.kick || self.up || self.draining || self.room)
            && self.lost.is_none()
            && self.dropped.is_empty()
            && self.refused.is_empty()
    }

    /// A request was turned down. The log may be the user's code: it is told later, without the lock.
    pub(super) fn refused(&mut self, line: impl FnOnce() -> String) {
        if tell::hears_debug() {
            self.refused.push(line());
        }
    }

    pub(super) fn log_refused(&mut self, peer: impl Fn() -> String) {
        for line in self.refused.drain(..) {
            tell::debug!("refused a request of {}: {line}", peer());
        }
    }

    /// Wakes whoever waits on `cell` for something that is there now.
    pub(super) fn tell(&mut self, lead: &mut Lead<Me>, cell: &mut Cell) {
        let ended = cell.ending.is_some();
        if cell.receiver.as_ref().is_some_and(|w| cell.has(w.want)) {
            self.wake(lead, cell.receiver.take());
        }
        if ended {
            self.wake(lead, cell.sender.take());
        }
        if cell.has(Want::Head) {
            self.tell_listener(cell);
        }
    }

    /// Tells the owner of the link. Generic, since `&dyn Acceptor` turns into `&dyn LinkEvents` from Rust 1.86 on only.
    fn tell_of<E: LinkEvents + ?Sized>(&mut self, events: &E) {
        if mem::take(&mut self.up) {
            events.up();
        }
        if mem::take(&mut self.pinged) {
            events.too_many_pings();
        }
        if mem::take(&mut self.draining) {
            events.draining();
        }
        if mem::take(&mut self.room) {
            events.room();
        }
    }

    /// What comes before the listener has looked is told once.
    pub(super) fn tell_listener(&mut self, cell: &Cell) {
        if let Some(listener) = cell.notify.as_ref().filter(|listener| listener.tell()) {
            self.notify.push(listener.clone());
        }
    }

    pub(super) fn wake(&mut self, lead: &mut Lead<Me>, waiting: Option<Waiting>) {
        let Some(Waiting { me, .. }) = waiting else { return };
        if lead.leads(&me) {
            self.kick = true;
        } else {
            lead.satisfied(&me);
            self.wakes.push(me);
        }
    }
}

/// Which role a link plays, and whom it tells.
pub(super) enum Side {
    Client(Arc<dyn LinkEvents>),
    Server(Arc<dyn Acceptor>),
    /// While no stream can come in.
    None,
}

impl Side {
    pub(super) fn acceptor(&self) -> Option<&Arc<dyn Acceptor>> {
        match self {
            Self::Server(acceptor) => Some(acceptor),
            _ => None,
        }
    }

    /// What there is to be said of compression.
    pub(super) fn terms(&self) -> Arc<Terms> {
        match self {
            Self::Client(events) => events.terms(),
            Self::Server(acceptor) => acceptor.terms(),
            Self::None => Arc::default(),
        }
    }

    pub(super) fn is_client(&self) -> bool {
        matches!(self, Self::Client(_))
    }

    /// Tells the channel or the server what has happened. No lock may be held.
    pub(super) fn tell(&self, effects: &mut Effects) {
        match self {
            Self::Client(events) => effects.tell_of(&**events),
            Self::Server(acceptor) => effects.tell_of(&**acceptor),
            Self::None => {}
        }
    }

    /// Tells it that the peer has spoken. No lock may be held.
    pub(super) fn up(&self) {
        match self {
            Self::Client(events) => events.up(),
            Self::Server(acceptor) => acceptor.up(),
            Self::None => {}
        }
    }

    pub(super) fn lost(&self, cause: &str) {
        match self {
            Self::Client(events) => events.lost(cause),
            Self::Server(acceptor) => acceptor.lost(cause),
            Self::None => {}
        }
    }
}
