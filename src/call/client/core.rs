//! [`Core`]: a call somebody holds a handle on. Here is how it begins and how it gets its stream, from a [`Source`]; how it ends
//! is in `ending`, how messages come out of it in `receiving`, and how others look on in `watching`.

use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crate::sync::{Condvar, Mutex};

use crate::call::Inbox;
use crate::credentials::CallCredentials;
use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::link::{Link, Stream, Terms};
use crate::metadata::Metadata;
use crate::reactor::{Crew, clock};
use crate::status::Status;
use crate::tally::Tally;
use crate::wire::outcome::expired_before;

use super::family::{Member, orphaned};
use super::heed::Heed;
use super::launch::{Defaults, Launch, NotOpened, Refused, Template};
use super::receiver::Receiver;
use super::state::{Held, State};
use super::{Auth, Expiry};

/// One call, shared by its sender, its receiver and all handles.
///
/// Who holds it: its handles; while it has no stream the channel's queue; and while its progress is wanted its stream's
/// mailbox, so that a call without a handle goes on. The last is a circle (call, stream, link, mailbox), and
/// the end breaks it.
pub(crate) struct Core {
    deadline: Deadline,
    /// What there was until then when it began.
    pub(super) time: Option<Duration>,
    wait_for_ready: bool,
    /// One response is expected, and collected without its owner.
    pub(super) single: bool,
    /// The number of the stream that the peer did not take on: its place among those that are repeated. Zero: none.
    place: AtomicU32,
    /// It has gone back to the queue, which is to be looked at.
    pub(super) queued_again: AtomicBool,
    /// Its link tells it of progress, and others after it: they are to be in the queue first.
    pub(super) in_a_round: AtomicBool,
    /// Who is told of what its server says, before anybody is.
    pub(super) heed: OnceLock<Box<Heed>>,
    this: Weak<Core>,
    /// It belongs to another, with which it ends.
    member: OnceLock<Member>,
    pub(super) receiver: Mutex<Receiver>,
    pub(super) state: Mutex<State>,
    /// Signals every change of `state`.
    pub(super) changed: Condvar,
}

impl Core {
    /// Begins a call. Never blocks: it is sent now, or queued.
    pub(crate) fn start(source: Arc<dyn Source>, launch: Launch, single: bool) -> Arc<Self> {
        source.tally().begin();
        Self::begin(Held { source, launch, counted: true }, single, 0, Self::set_out)
    }

    /// [`start`](Self::start) of a call that is counted as begun already.
    pub(super) fn start_counted(source: Arc<dyn Source>, launch: Launch) -> Arc<Self> {
        Self::begin(Held { source, launch, counted: true }, false, 0, Self::set_out)
    }

    /// Begins again what the peer has refused once, on the stream of this number. It is counted as begun already.
    pub(super) fn repeat(source: Arc<dyn Source>, launch: Launch, place: u32) -> Arc<Self> {
        Self::begin(Held { source, launch, counted: true }, false, place, Self::set_out)
    }

    /// A call of one response that others make, and which gets no stream: [`fulfil`](Self::fulfil) ends it, or what ends any
    /// call. Its channel knows of it.
    pub(crate) fn deferred(source: Arc<dyn Source>, launch: Launch) -> Arc<Self> {
        Self::begin(Held { source, launch, counted: false }, true, 0, |call, source| {
            call.state.lock().deferred = true;
            if let Some(this) = call.myself() {
                source.set_aside(this);
            }
        })
    }

    /// A call that has failed before it began.
    pub(crate) fn failed(deadline: Deadline, status: Status) -> Arc<Self> {
        Self::new((deadline, None), (false, false), 0, State::ended(status, None, None))
    }

    /// A call that has ended with OK.
    pub(crate) fn ended(status: Status, head: Metadata, peer: Option<String>) -> Arc<Self> {
        let state = State::ended(status, Some(head), peer);
        Self::new((Deadline::NEVER, None), (false, false), 0, state)
    }

    fn new(
        (deadline, time): (Deadline, Option<Duration>),
        (wait_for_ready, single): (bool, bool),
        place: u32,
        state: State,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            deadline,
            time,
            wait_for_ready,
            single,
            place: AtomicU32::new(place),
            queued_again: AtomicBool::new(false),
            in_a_round: AtomicBool::new(false),
            heed: OnceLock::new(),
            this: this.clone(),
            member: OnceLock::new(),
            receiver: Mutex::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    fn begin(
        held: Held,
        single: bool,
        place: u32,
        set_out: impl FnOnce(&Self, &dyn Source),
    ) -> Arc<Self> {
        if let Some(refused) = held.launch.auth.as_ref().and_then(|auth| auth.refusal()) {
            held.count_end(false);
            return Self::failed(held.launch.deadline, refused);
        }
        let Launch { deadline, limited_by, wait_for_ready, .. } = held.launch;
        let (source, family) = (held.source.clone(), held.launch.family.clone());
        let state = State::queued(held, single, place != 0);
        let now = deadline.instant().map(|_| clock::now());
        // A repeated call began earlier.
        let time = now.filter(|_| place == 0).and_then(|now| deadline.remaining(now));
        let call = Self::new((deadline, time), (wait_for_ready, single), place, state);
        if let (Some(at), Some(now)) = (deadline.instant(), now) {
            if at <= now {
                match place {
                    0 => call.fail(expired_before(now.saturating_duration_since(at), limited_by)),
                    _ => call.expire_if_due(),
                };
                return call;
            }
            let due = source.expiry().add(at, call.this.clone());
            let late = call.state.lock().expect(due);
            if let Some(late) = late {
                source.expiry().remove(late);
            }
        }
        if let Some(family) = family {
            match family.enter(call.this.clone()) {
                Some(member) => drop(call.member.set(member)),
                None => {
                    call.fail(orphaned());
                    return call;
                }
            }
        }
        set_out(&call, &*source);
        call
    }

    /// To a link, or into the queue: to its end, or, made again, to its old place in front.
    pub(super) fn set_out(&self, source: &dyn Source) {
        match source.link() {
            Some(link) if self.bind(&link).is_ok() => return,
            _ => {}
        }
        let Some(this) = self.myself() else { return };
        if self.place().is_none() {
            return source.queue(this);
        }
        source.requeue(this);
        source.pump();
    }

    /// Puts a queued call on a link. `Ok` also when it has ended meanwhile, and when it waits for its credentials from now on.
    pub(crate) fn bind(&self, link: &Arc<Link>) -> Result<(), Refused> {
        if self.expire_if_due() {
            return Ok(());
        }
        let Some(held) = self.state.lock().held().cloned() else { return Ok(()) };
        let mut proof = None;
        if let Some(auth) = &held.launch.auth {
            proof = self.proof(&held, auth, link);
            if proof.is_none() {
                return Ok(());
            }
        }
        let stream = match held.launch.open(link, proof.as_ref(), clock::now()) {
            Ok(stream) => stream,
            Err(NotOpened::Refused(refused)) => return Err(refused),
            Err(NotOpened::Failed(status)) => {
                self.fail(status);
                return Ok(());
            }
        };
        let peer = link.peer();
        let mut receiver = self.receiver.lock();
        let mut state = self.state.lock();
        let Some(listening) = state.bind(&stream, peer) else {
            // Dropping the stream resets it; not under the locks.
            drop((state, receiver));
            return Ok(());
        };
        let old = receiver.begin(Inbox::new(stream.clone()));
        self.changed.notify_all();
        drop((state, receiver));
        drop(old);
        if listening {
            self.listen_on(&stream);
        }
        Ok(())
    }

    /// Its stream tells it of progress from now on. Not for a call that is over: who ended it may have passed by already.
    pub(super) fn listen_on(&self, stream: &Arc<Stream>) {
        let Some(this) = self.this.upgrade() else { return };
        stream.notify(this);
        let mut state = self.state.lock();
        let (on, told) = (state.is_on(stream), state.told().is_some());
        drop(state);
        match on {
            false => stream.unlisten(),
            // It may have been asked for when there was no stream to look at.
            true if told && !self.single => stream.await_message(),
            true => {}
        }
    }

    /// Itself, for those who keep it: the channel's queue.
    pub(super) fn myself(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// Whether it goes on waiting when an attempt to connect fails.
    pub(crate) fn waits_for_ready(&self) -> bool {
        self.wait_for_ready
    }

    /// Its place among calls that are repeated; `None` for one that is new.
    pub(crate) fn place(&self) -> Option<u32> {
        Some(self.place.load(Ordering::Relaxed)).filter(|place| *place != 0)
    }

    pub(super) fn set_place(&self, refused: &Stream) {
        self.place.store(refused.id(), Ordering::Relaxed);
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    pub(crate) fn peer(&self) -> Option<String> {
        self.state.lock().peer.clone()
    }

    /// The status, behind those who listen for it: their code may run here.
    pub(crate) fn try_status(&self) -> Option<Status> {
        self.met_status().map(|status| self.heeded(status))
    }

    /// The status as it was met: not to be given to the user.
    pub(crate) fn met_status(&self) -> Option<Status> {
        self.state.lock().status().cloned()
    }

    #[cfg(test)]
    pub(crate) fn stream(&self) -> Option<Arc<Stream>> {
        self.state.lock().stream().cloned()
    }

    /// The end with this status, for who had a wait of its own: a cancel by the user is told apart.
    pub(crate) fn outcome(&self, status: Status) -> ResultError {
        match self.was_cancelled() {
            true => ResultError::Cancelled,
            false => ResultError::Rpc(status),
        }
    }

    /// The status of a wait that had no bound of its own: of a cancel the call's.
    pub(crate) fn as_status(&self, error: ResultError) -> Status {
        match error {
            ResultError::Cancelled => self.try_status().unwrap_or_else(|| error.into()),
            error => error.into(),
        }
    }

    /// Ended by a cancel of its user's.
    pub(crate) fn was_cancelled(&self) -> bool {
        self.state.lock().cancelled()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("status", &self.met_status()).finish_non_exhaustive()
    }
}

/// Where links come from: a channel.
pub(crate) trait Source: Send + Sync {
    /// The link to open on right now; `None` when the call has to queue.
    fn link(&self) -> Option<Arc<Link>>;

    /// Takes a call that has no stream. Sooner or later it is given a link
    /// ([`Core::bind`]) or an end ([`Core::fail`]). Never blocks.
    fn queue(&self, call: Arc<Core>);

    /// Like [`queue`](Self::queue) for a call that the peer has not taken on: in front of those that came later.
    /// [`pump`](Self::pump) has to follow, once all those that were refused together are there.
    fn requeue(&self, call: Arc<Core>);

    /// Gives queued calls to the link, as long as it takes them. Never blocks.
    fn pump(&self);

    /// The call waits for its credentials, and does not queue. It comes back, or ends.
    fn set_aside(&self, call: Arc<Core>);

    /// It waits for them no more.
    fn come_back(&self, call: &Core);

    /// Who asks for credentials.
    fn crew(&self) -> &Arc<Crew>;

    /// The head of the requests of the method of this path.
    fn template(&self, path: &str) -> Template;

    /// What calls to the method of this path prove: the channel's credentials, and these.
    fn auth(&self, path: &str, own: Option<&CallCredentials>) -> Option<Arc<Auth>>;

    /// The call has ended: it no longer queues.
    fn forget(&self, call: &Core);

    /// Whether the channel was closed: lost connections are a cancellation then.
    fn closed(&self) -> bool;

    /// What a queued call waits for, in words.
    fn waiting_for(&self) -> String;

    /// Who keeps the deadlines.
    fn expiry(&self) -> &Arc<Expiry>;

    /// Who counts its calls.
    fn tally(&self) -> &Tally;

    /// Limits of calls that say nothing themselves.
    fn defaults(&self) -> &Defaults;

    /// The encodings, and what the server is known to take of them.
    fn terms(&self) -> &Arc<Terms>;
}
