//! [`Core`]: a call somebody holds a handle on.

use crate::sync::atomic::{AtomicBool, Ordering};
use std::fmt;
use std::sync::{Arc, Weak};

use crate::sync::{Condvar, Mutex, MutexGuard};
use bytes::Bytes;

use crate::call::{Finish, Inbox, Next};
use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::http2::types::Reason;
use crate::link::{Link, Notify, Stream, Want};
use crate::metadata::Metadata;
use crate::reactor::{clock, notify, pool};
use crate::status::{Code, Status};
use crate::wire::outcome::{Ending, cardinality};

use super::expiry::Due;
use super::{Launch, NotOpened, Refused, Source};

/// Run when a call has ended.
pub(crate) type Callback = Box<dyn FnOnce() + Send>;

/// One call, shared by its sender, its receiver and all handles.
///
/// Life: queued (no stream), bound (a stream), over (a status). From bound it may go
/// back to queued once, when the peer never processed it and nothing was sent by hand. The first
/// end wins; later ones are ignored.
pub(crate) struct Core {
    source: Arc<dyn Source>,
    launch: Launch,
    /// One response is expected, and collected without its owner.
    single: bool,
    /// It ended from this side: what was received and not yet delivered is lost.
    local: AtomicBool,
    this: Weak<Core>,
    receiver: Mutex<Receiver>,
    state: Mutex<State>,
    /// Signals every change of `state`.
    changed: Condvar,
}

#[derive(Default)]
struct Receiver {
    inbox: Option<Inbox>,
    /// The response headers of this inbox were published.
    headed: bool,
    /// The response of a single call.
    first: Option<Bytes>,
}

#[derive(Default)]
struct State {
    stream: Option<Arc<Stream>>,
    status: Option<Status>,
    /// Ended by [`Core::cancel`] or the like, not by the peer.
    cancelled: bool,
    /// Messages were sent by hand: it cannot be repeated.
    committed: bool,
    /// It was repeated once.
    repeated: bool,
    /// A single call has its response.
    received: bool,
    head: Option<Metadata>,
    peer: Option<String>,
    callbacks: Vec<Callback>,
    /// The stream's progress is wanted.
    listening: bool,
    due: Option<Due>,
}

/// What the receiver is given.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A message.
    Message(Bytes),
    /// No more; repeats.
    End(Status),
    /// The wait's own deadline has passed; the call goes on.
    TimedOut,
}

/// Whether a call has a stream.
pub(super) enum Bound {
    Stream(Arc<Stream>),
    Over,
    TimedOut,
}

/// What became of a stream that ended.
enum Settled {
    /// The call goes on, on another stream.
    Again,
    Over,
}

impl Core {
    /// Begins a call. Never blocks: it is sent now, or queued.
    pub(crate) fn start(source: Arc<dyn Source>, launch: Launch, single: bool) -> Arc<Self> {
        let call = Self::new(source, launch, single, State::default());
        call.begin();
        call
    }

    /// Begins again what the peer has refused once.
    pub(super) fn repeat(source: Arc<dyn Source>, launch: Launch) -> Arc<Self> {
        let state = State { repeated: true, ..State::default() };
        let call = Self::new(source, launch, false, state);
        call.begin();
        call
    }

    /// A call that has failed before it began.
    pub(crate) fn failed(source: Arc<dyn Source>, launch: Launch, status: Status) -> Arc<Self> {
        let state = State { status: Some(status), ..State::default() };
        Self::new(source, launch, false, state)
    }

    /// A call that has ended with OK.
    pub(super) fn ended(
        source: Arc<dyn Source>,
        launch: Launch,
        (status, head, peer): (Status, Metadata, String),
    ) -> Arc<Self> {
        let state =
            State { status: Some(status), head: Some(head), peer: Some(peer), ..State::default() };
        Self::new(source, launch, false, state)
    }

    fn new(source: Arc<dyn Source>, launch: Launch, single: bool, mut state: State) -> Arc<Self> {
        state.listening = single;
        Arc::new_cyclic(|this| Self {
            source,
            launch,
            single,
            local: AtomicBool::new(false),
            this: this.clone(),
            receiver: Mutex::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    fn begin(self: &Arc<Self>) {
        if let Some(at) = self.launch.deadline.instant() {
            if self.expire_if_due() {
                return;
            }
            let due = self.source.expiry().add(at, self.this.clone());
            self.state.lock().due = Some(due);
        }
        match self.source.link() {
            Some(link) if self.bind(&link).is_ok() => {}
            _ => self.source.queue(self.clone()),
        }
    }

    /// Puts a queued call on a link. `Ok` also when it has ended meanwhile.
    pub(crate) fn bind(&self, link: &Arc<Link>) -> Result<(), Refused> {
        if self.try_status().is_some() || self.expire_if_due() {
            return Ok(());
        }
        let stream = match self.launch.open(link, clock::now()) {
            Ok(stream) => stream,
            Err(NotOpened::Refused) => return Err(Refused),
            Err(NotOpened::Failed(status)) => {
                self.fail(status);
                return Ok(());
            }
        };
        let peer = link.peer();
        let mut state = self.state.lock();
        if state.status.is_some() || state.stream.is_some() {
            // Dropping the stream resets it; not under the lock.
            drop(state);
            return Ok(());
        }
        state.stream = Some(stream.clone());
        state.peer = Some(peer);
        let listening = state.listening;
        self.changed.notify_all();
        drop(state);
        if listening {
            self.listen_on(&stream);
        }
        Ok(())
    }

    /// Whether it goes on waiting when an attempt to connect fails.
    pub(crate) fn waits_for_ready(&self) -> bool {
        self.launch.wait_for_ready
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.launch.deadline
    }

    pub(crate) fn peer(&self) -> Option<String> {
        self.state.lock().peer.clone()
    }

    pub(crate) fn try_status(&self) -> Option<Status> {
        self.state.lock().status.clone()
    }

    /// Ended from this side with CANCELLED.
    pub(crate) fn was_cancelled(&self) -> bool {
        self.state.lock().cancelled
    }

    pub(super) fn is_bound(&self) -> bool {
        self.state.lock().stream.is_some()
    }
}

/// Ending.
impl Core {
    pub(crate) fn cancel(&self) -> bool {
        self.fail(Status::fixed(Code::Cancelled, "Locally cancelled by application!"))
    }

    /// The owner lets go: what has not ended is cancelled, what was received is dropped.
    pub(crate) fn abandon(&self) {
        self.fail(Status::fixed(Code::Cancelled, "the handle of the call was dropped"));
        self.local.store(true, Ordering::Release);
        let inbox = self.receiver.lock().inbox.take();
        let stream = self.state.lock().stream.take();
        drop((inbox, stream));
    }

    /// Ends the call from this side. False: it had ended.
    pub(crate) fn fail(&self, status: Status) -> bool {
        loop {
            let mut state = self.state.lock();
            if state.status.is_some() {
                return false;
            }
            let Some(stream) = state.stream.clone() else {
                self.local.store(true, Ordering::Release);
                state.cancelled = status.code() == Code::Cancelled;
                self.end(state, status);
                self.source.forget(self);
                return true;
            };
            drop(state);
            if stream.finish(Ending::Local(status.clone()), Reason::CANCEL) {
                self.local.store(true, Ordering::Release);
                self.settle(&stream, Ending::Local(status));
                return true;
            }
            // The peer's end, or another of ours, was first.
            match self.conclude(&stream) {
                Some(Settled::Again) => {}
                Some(Settled::Over) | None => return false,
            }
        }
    }

    /// The deadline has passed.
    pub(crate) fn expire(&self) {
        let waited = match self.peer() {
            Some(peer) => format!("{peer} to answer"),
            None => self.source.waiting_for(),
        };
        self.fail(
            Status::fixed(Code::DeadlineExceeded, "Deadline Exceeded")
                .with_debug(format!("waiting for {waited}")),
        );
    }

    /// Ends the call if its deadline has passed; whether it has.
    pub(super) fn expire_if_due(&self) -> bool {
        let due = self.launch.deadline.expired(clock::now());
        if due {
            self.expire();
        }
        due
    }

    /// The stubs know better: a response that ended well could not be decoded.
    pub(crate) fn override_status(&self, status: Status) {
        if !self.fail(status.clone()) {
            self.local.store(true, Ordering::Release);
            self.state.lock().status = Some(status);
        }
    }

    /// Runs `callback` on the notifier thread at the end; given back when that has been.
    pub(crate) fn on_end(&self, callback: Callback) -> Result<(), Callback> {
        let mut state = self.state.lock();
        if state.status.is_some() {
            return Err(callback);
        }
        state.callbacks.push(callback);
        drop(state);
        self.listen();
        Ok(())
    }

    /// The status, when the stream has ended even though nobody has read that yet.
    pub(super) fn concluded(&self) -> Option<Status> {
        let stream = self.state.lock().stream.clone();
        if let Some(stream) = stream {
            self.conclude(&stream);
        }
        self.try_status()
    }

    /// Looks whether the stream has ended and draws the consequences.
    fn conclude(&self, stream: &Arc<Stream>) -> Option<Settled> {
        if self.single {
            self.collect();
            return self.try_status().map(|_| Settled::Over).or_else(|| {
                let state = self.state.lock();
                let same = state.stream.as_ref().is_some_and(|own| Arc::ptr_eq(own, stream));
                (!same).then_some(Settled::Again)
            });
        }
        stream.ending().map(|ending| self.settle(stream, ending))
    }

    /// `stream` has ended. Idempotent: the first to notice decides.
    fn settle(&self, stream: &Arc<Stream>, ending: Ending) -> Settled {
        let mut state = self.state.lock();
        if state.status.is_some() {
            return Settled::Over;
        }
        if state.stream.as_ref().is_none_or(|own| !Arc::ptr_eq(own, stream)) {
            return Settled::Again;
        }
        if ending.retry_safe() && !state.committed && !state.repeated && state.head.is_none() {
            // W69: the peer has not processed it; once, at once, whatever the retry policy.
            state.repeated = true;
            let old = state.stream.take();
            drop(state);
            drop(old);
            if let Some(this) = self.this.upgrade() {
                self.source.queue(this);
            }
            return Settled::Again;
        }
        let local = matches!(&ending, Ending::Local(_));
        let status = self.judge(ending, &state);
        state.cancelled = local && status.code() == Code::Cancelled;
        self.end(state, status);
        Settled::Over
    }

    fn judge(&self, ending: Ending, state: &State) -> Status {
        let status = status_of(&*self.source, ending, self.launch.deadline);
        let status = match (self.single, status.code(), state.received) {
            // W41 (§ `doc/statuscodes.md`): no response, though the status says OK.
            (true, Code::Ok, false) => cardinality(false),
            _ => status,
        };
        match &state.head {
            Some(head) if status.code() != Code::Ok && !head.is_empty() => {
                status.with_initial_metadata(head.clone())
            }
            _ => status,
        }
    }

    /// Sets the status and tells everybody.
    fn end(&self, mut state: MutexGuard<'_, State>, status: Status) {
        state.status = Some(status);
        let callbacks = std::mem::take(&mut state.callbacks);
        let due = state.due.take();
        self.changed.notify_all();
        drop(state);
        if let Some(due) = due {
            self.source.expiry().remove(due);
        }
        if !callbacks.is_empty() {
            notify(Box::new(move || {
                for callback in callbacks {
                    callback();
                }
            }));
        }
    }
}

/// Receiving.
impl Core {
    /// The next message. The thread leads the link or parks; `deadline` is the wait's own.
    pub(crate) fn next(&self, deadline: Deadline) -> Arrival {
        let until = Deadline::earliest(deadline, self.launch.deadline);
        loop {
            if let Some(arrival) = self.try_next() {
                return arrival;
            }
            if !self.wait_on(Want::Message, until) && !self.expire_if_due() {
                return Arrival::TimedOut;
            }
        }
    }

    /// The next message or the end, if it is there.
    pub(crate) fn try_next(&self) -> Option<Arrival> {
        loop {
            if self.local.load(Ordering::Acquire) {
                if let Some(status) = self.try_status() {
                    return Some(Arrival::End(status));
                }
            }
            let mut receiver = self.receiver.lock();
            if receiver.inbox.is_none() {
                let state = self.state.lock();
                match (&state.stream, &state.status) {
                    (Some(stream), _) => receiver.inbox = Some(Inbox::new(stream.clone())),
                    (None, Some(status)) => return Some(Arrival::End(status.clone())),
                    (None, None) => return None,
                }
                receiver.headed = false;
            }
            match self.look(&mut receiver)? {
                Next::Message(bytes) => return Some(Arrival::Message(bytes)),
                Next::TimedOut => return None,
                Next::End(finish) => {
                    let inbox = receiver.inbox.take();
                    drop(receiver);
                    self.finished(inbox, finish);
                }
            }
        }
    }

    /// Waits until a single call is over (true) or `deadline` has passed (false).
    pub(crate) fn wait_single(&self, deadline: Deadline) -> bool {
        let until = Deadline::earliest(deadline, self.launch.deadline);
        loop {
            self.collect();
            if self.try_status().is_some() {
                return true;
            }
            if !self.wait_on(Want::End, until) && !self.expire_if_due() {
                return false;
            }
        }
    }

    /// The response of a single call that has ended well.
    pub(crate) fn take_single(&self) -> Result<Bytes, Status> {
        match self.try_status() {
            Some(status) if status.code() == Code::Ok => {
                let first = self.receiver.lock().first.take();
                first.ok_or_else(|| Status::from(ResultError::Taken))
            }
            Some(status) => Err(status),
            None => Err(ResultError::TimedOut.into()),
        }
    }

    /// Waits until there is a message, room for one of ours, or the end.
    pub(crate) fn wait_exchange(&self) {
        if !self.wait_on(Want::Turn, self.launch.deadline) {
            self.expire_if_due();
        }
    }

    /// Takes in what a single call has received so far.
    fn collect(&self) {
        while self.single && !self.local.load(Ordering::Acquire) {
            let mut receiver = self.receiver.lock();
            if receiver.inbox.is_none() {
                let state = self.state.lock();
                let Some(stream) = state.stream.as_ref().filter(|_| state.status.is_none()) else {
                    return;
                };
                receiver.inbox = Some(Inbox::new(stream.clone()));
                receiver.headed = false;
            }
            match self.look(&mut receiver) {
                Some(Next::Message(bytes)) if receiver.first.is_none() => {
                    receiver.first = Some(bytes);
                    self.state.lock().received = true;
                }
                // W41: a second response. Nobody waits for its end.
                Some(Next::Message(_)) => {
                    drop(receiver);
                    self.refuse_second();
                }
                Some(Next::End(finish)) => {
                    let inbox = receiver.inbox.take();
                    drop(receiver);
                    self.finished(inbox, finish);
                    // Nothing of an ended single call is on its stream any more.
                    let stream = self.release();
                    drop(stream);
                }
                Some(Next::TimedOut) | None => return,
            }
        }
    }

    fn refuse_second(&self) {
        let status = cardinality(true);
        let stream = self.state.lock().stream.clone();
        if let Some(stream) = stream {
            stream.finish(Ending::Local(status.clone()), Reason::CANCEL);
            self.local.store(true, Ordering::Release);
            // Even when the trailers were in already: what they say is not true.
            self.settle(&stream, Ending::Local(status));
        }
    }

    /// The stream of a call that is over.
    fn release(&self) -> Option<Arc<Stream>> {
        let mut state = self.state.lock();
        state.status.as_ref()?;
        state.stream.take()
    }

    /// One look into the inbox; publishes the response headers when they are there.
    fn look(&self, receiver: &mut Receiver) -> Option<Next> {
        let inbox = receiver.inbox.as_mut()?;
        let next = inbox.try_next();
        if !receiver.headed {
            if let Some(head) = inbox.seen_head() {
                receiver.headed = true;
                self.publish(head.metadata.clone());
            }
        }
        next
    }

    fn publish(&self, head: Metadata) {
        let mut state = self.state.lock();
        state.head.get_or_insert(head);
        self.changed.notify_all();
    }

    /// The inbox has given its last.
    fn finished(&self, inbox: Option<Inbox>, finish: Finish) {
        let Some(inbox) = inbox else { return };
        let ending = match finish {
            Finish::Ended(ending) => ending,
            Finish::Broken(status) => Ending::Local(status),
            Finish::HalfClosed => Ending::Local(Status::fixed(
                Code::Internal,
                "the server ended the stream without a status",
            )),
        };
        if let Settled::Over = self.settle(inbox.stream(), ending) {
            let stream = self.release();
            drop(stream);
        }
    }

    /// Waits on the stream, or for one. True: look again.
    fn wait_on(&self, want: Want, until: Deadline) -> bool {
        match self.bound(until) {
            Bound::Stream(stream) => stream.wait(want, until.instant()),
            Bound::Over => true,
            Bound::TimedOut => false,
        }
    }

    fn bound(&self, until: Deadline) -> Bound {
        let mut state = self.state.lock();
        let mut prepared = false;
        loop {
            match (&state.stream, &state.status) {
                (_, Some(_)) => return Bound::Over,
                (Some(stream), None) => return Bound::Stream(stream.clone()),
                (None, None) => {}
            }
            if !std::mem::replace(&mut prepared, true) {
                MutexGuard::unlocked(&mut state, pool::before_block);
                continue;
            }
            if !self.wait_change(&mut state, until) {
                return Bound::TimedOut;
            }
        }
    }

    /// The stream to send on by hand, from now on for good.
    pub(super) fn commit(&self, until: Deadline) -> Bound {
        loop {
            match self.bound(until) {
                Bound::Stream(stream) => {
                    let mut state = self.state.lock();
                    if state.stream.as_ref().is_some_and(|own| Arc::ptr_eq(own, &stream)) {
                        state.committed = true;
                        return Bound::Stream(stream);
                    }
                }
                other => return other,
            }
        }
    }
}

/// Watching from any thread. None of these takes the receiver's place on the stream.
impl Core {
    /// Waits until it is on a connection.
    pub(crate) fn wait_bound(&self, deadline: Deadline) -> Result<(), ResultError> {
        let until = Deadline::earliest(deadline, self.launch.deadline);
        match self.bound(until) {
            Bound::Stream(_) => return Ok(()),
            Bound::TimedOut if !self.expire_if_due() => return Err(ResultError::TimedOut),
            Bound::Over | Bound::TimedOut => {}
        }
        let state = self.state.lock();
        match (&state.peer, &state.status) {
            (None, Some(status)) => Err(ResultError::Rpc(status.clone())),
            _ => Ok(()),
        }
    }

    pub(crate) fn wait_status(&self) -> Status {
        self.watch(|state| state.status.clone())
    }

    pub(crate) fn wait_head(&self) -> Metadata {
        self.watch(|state| match (&state.head, &state.status) {
            (Some(head), _) => Some(head.clone()),
            (None, Some(_)) => Some(Metadata::new()),
            (None, None) => None,
        })
    }

    fn watch<T>(&self, found: impl Fn(&State) -> Option<T>) -> T {
        loop {
            if let Some(value) = found(&self.state.lock()) {
                return value;
            }
            self.listen();
            pool::before_block();
            let mut state = self.state.lock();
            if let Some(value) = found(&state) {
                return value;
            }
            if !self.wait_change(&mut state, self.launch.deadline) {
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
    fn listen(&self) {
        let mut state = self.state.lock();
        let first = !std::mem::replace(&mut state.listening, true);
        let stream = state.stream.clone();
        drop(state);
        if let Some(stream) = stream.filter(|_| first) {
            self.listen_on(&stream);
        }
    }

    fn listen_on(&self, stream: &Arc<Stream>) {
        if let Some(this) = self.this.upgrade() {
            stream.notify(this);
        }
    }
}

impl Notify for Core {
    fn progress(&self) {
        let Some(stream) = self.state.lock().stream.clone() else { return };
        if let Some(head) = stream.take_head() {
            self.publish(head.metadata);
        }
        self.conclude(&stream);
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("status", &self.try_status()).finish_non_exhaustive()
    }
}

/// The one way from a stream's ending to a client's status.
pub(super) fn status_of(source: &dyn Source, ending: Ending, deadline: Deadline) -> Status {
    if matches!(&ending, Ending::Lost(_)) && source.closed() {
        return Status::fixed(Code::Cancelled, "Channel closed!");
    }
    let passed = deadline.instant().is_some() && deadline.expired(clock::now());
    ending.to_status(passed)
}
