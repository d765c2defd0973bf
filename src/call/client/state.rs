//! What a call's lock guards, and what its end takes out of it.

use std::mem;
use std::sync::{Arc, Weak};

use crate::call::{Outbox, Sends};
use crate::link::{Link, Stream};
use crate::metadata::Metadata;
use crate::status::{Code, Status};

use super::expiry::Due;
use super::told::Told;
use super::{Launch, Source};

/// Run when a call has ended.
pub(crate) type Callback = Box<dyn FnOnce() + Send>;

/// What it takes to put the call on a link, and its channel. Both go with the end.
pub(super) struct Held {
    pub(super) source: Arc<dyn Source>,
    pub(super) launch: Launch,
    /// Its end is to be counted, too.
    pub(super) counted: bool,
}

impl Held {
    /// The call has ended, `well` or not.
    pub(super) fn count_end(&self, well: bool) {
        if self.counted {
            self.source.tally().end(well);
        }
    }
}

/// Life: queued (no stream), bound (a stream), over (a status, and nothing else that could hold anybody).
/// From bound it may go back to queued once, when the peer never processed it and nothing was sent by hand.
#[derive(Default)]
pub(super) struct State {
    held: Option<Arc<Held>>,
    stream: Option<Arc<Stream>>,
    /// The sending half, once messages are sent by hand.
    outbox: Option<Arc<Outbox>>,
    status: Option<Status>,
    /// The user has cancelled it, or let go of it. Perhaps the end was first.
    pub(super) cancel_wanted: bool,
    /// That is what ended it: not the peer, a channel that closed, or a sender that was dropped.
    cancelled: bool,
    /// It has no stream, ever: others make it.
    pub(super) deferred: bool,
    /// It was repeated once.
    repeated: bool,
    /// A single call has its response.
    pub(super) received: bool,
    pub(super) head: Option<Metadata>,
    /// The peer has ended it, with a status.
    pub(super) by_peer: bool,
    pub(super) peer: Option<String>,
    callbacks: Vec<Callback>,
    /// Who is told that there is something to take. At most one: a response has one owner.
    told: Option<Told>,
    /// The stream's progress is wanted.
    listening: bool,
    due: Option<Due>,
    proof: Proof,
}

/// How far the credentials of the next attempt are.
#[derive(Default)]
pub(super) enum Proof {
    /// Not asked for.
    #[default]
    None,
    /// Asked for, as the crew's work of this number.
    Asking(u64),
    Given(Box<Given>),
}

/// What credentials gave.
pub(super) struct Given {
    /// All of the request's, with theirs.
    pub(super) metadata: Metadata,
    /// The link that it is for.
    pub(super) on: Weak<Link>,
}

/// All that a call held when it ended. It is let go of with no lock held: the last hold on a channel closes it, and the last
/// on a stream resets it.
pub(super) struct Gone {
    pub(super) held: Option<Arc<Held>>,
    pub(super) stream: Option<Arc<Stream>>,
    pub(super) outbox: Option<Arc<Outbox>>,
    pub(super) callbacks: Vec<Callback>,
    pub(super) told: Option<Told>,
    pub(super) due: Option<Due>,
    pub(super) proof: Proof,
}

impl State {
    pub(super) fn queued(held: Held, listening: bool, repeated: bool) -> Self {
        Self { held: Some(Arc::new(held)), listening, repeated, ..Self::default() }
    }

    /// A call that was over before anybody had a handle on it.
    pub(super) fn ended(status: Status, head: Option<Metadata>, peer: Option<String>) -> Self {
        Self { status: Some(status), head, peer, ..Self::default() }
    }

    pub(super) fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    pub(super) fn cancelled(&self) -> bool {
        self.cancelled
    }

    /// `None`: it is over.
    pub(super) fn held(&self) -> Option<&Arc<Held>> {
        self.held.as_ref()
    }

    pub(super) fn stream(&self) -> Option<&Arc<Stream>> {
        self.stream.as_ref()
    }

    pub(super) fn is_on(&self, stream: &Arc<Stream>) -> bool {
        self.stream.as_ref().is_some_and(|own| Arc::ptr_eq(own, stream))
    }

    /// Takes a stream, unless it has one or is over. `Some`: whether its progress is wanted.
    pub(super) fn bind(&mut self, stream: &Arc<Stream>, peer: String) -> Option<bool> {
        if self.status.is_some() || self.stream.is_some() {
            return None;
        }
        self.stream = Some(stream.clone());
        self.peer = Some(peer);
        // Another attempt asks anew.
        self.proof = Proof::None;
        Some(self.listening)
    }

    /// The sending half, from now on for good; `None`: there is no stream.
    pub(super) fn commit(&mut self, sends: Sends) -> Option<Arc<Outbox>> {
        let stream = self.stream.as_ref()?;
        Some(self.outbox.get_or_insert_with(|| Outbox::new(stream.clone(), sends)).clone())
    }

    /// The sending half, once something was sent.
    pub(super) fn outbox(&self) -> Option<&Arc<Outbox>> {
        self.outbox.as_ref()
    }

    /// It is on its second stream: the peer did not take the first.
    pub(super) fn repeated(&self) -> bool {
        self.repeated
    }

    /// Whether it may still go on another stream.
    pub(super) fn may_repeat(&self) -> bool {
        self.outbox.is_none() && !self.repeated && self.head.is_none()
    }

    /// Back to the queue: its stream, which the peer did not take on.
    pub(super) fn unbind(&mut self) -> Option<Arc<Stream>> {
        self.repeated = true;
        self.stream.take()
    }

    /// True: nobody has wanted it before.
    pub(super) fn want_progress(&mut self) -> bool {
        !mem::replace(&mut self.listening, true)
    }

    /// To be run at the end; given back when that has been.
    pub(super) fn add_callback(&mut self, callback: Callback) -> Result<(), Callback> {
        if self.status.is_some() {
            return Err(callback);
        }
        self.callbacks.push(callback);
        Ok(())
    }

    /// Who is told that there is something to take.
    pub(super) fn told(&mut self) -> &mut Option<Told> {
        &mut self.told
    }

    /// Its deadline is kept; given back when the end has been.
    pub(super) fn expect(&mut self, due: Due) -> Option<Due> {
        if self.status.is_some() {
            return Some(due);
        }
        self.due.replace(due)
    }

    /// The end: from here on it has a status and holds nothing.
    #[must_use = "dropped under the lock it could come back for the lock"]
    pub(super) fn end(&mut self, status: Status, local: bool) -> Gone {
        self.cancelled = local && self.cancel_wanted && status.code() == Code::Cancelled;
        self.status = Some(status);
        Gone {
            held: self.held.take(),
            stream: self.stream.take(),
            outbox: self.outbox.take(),
            callbacks: mem::take(&mut self.callbacks),
            told: self.told.take(),
            due: self.due.take(),
            proof: mem::take(&mut self.proof),
        }
    }

    /// While it waits for its credentials: the number under which the crew knows it.
    pub(super) fn asking(&self) -> Option<u64> {
        match self.proof {
            Proof::Asking(number) => Some(number),
            _ => None,
        }
    }

    /// How far its credentials are; `None`: it is over.
    pub(super) fn proof(&mut self) -> Option<&mut Proof> {
        self.status.is_none().then_some(&mut self.proof)
    }

    /// Another status for a call that is over.
    pub(super) fn amend(&mut self, status: Status) -> Option<Status> {
        self.status.replace(status)
    }
}
