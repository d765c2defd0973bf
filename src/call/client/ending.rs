//! How a call ends: by one path, whatever ended it. The peer, the deadline, a cancel, a handle that is dropped, the loss of
//! the connection, a channel that closes, a second response, a message that cannot be decoded: each becomes a status, and
//! [`Core::end`] takes everything that the call held.

use crate::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::MutexGuard;
use bytes::Bytes;

use crate::call::Outbox;
use crate::deadline::Deadline;
use crate::http2::types::Reason;
use crate::link::Stream;
use crate::metadata::Metadata;
use crate::reactor::{clock, notify};
use crate::status::{Code, Status};
use crate::wire::outcome::{Ending, Known, expired_here, judge, judge_single};

use super::ends::Ends;
use super::family::orphaned;
use super::state::{Callback, Gone, Held, Proof, State};
use super::{Core, Source};

/// What became of a stream that ended.
pub(super) enum Settled {
    /// The call goes on, on another stream.
    Again,
    Over,
}

impl Core {
    pub(crate) fn cancel(&self) -> bool {
        self.fail_as(Status::fixed(Code::Cancelled, "Locally cancelled by application!"), true)
    }

    /// The owner lets go: what has not ended is cancelled, what was received is dropped.
    pub(crate) fn abandon(&self) {
        self.fail_as(Status::fixed(Code::Cancelled, "the handle of the call was dropped"), true);
        self.let_go_received(true);
        self.heed_later();
    }

    /// The sender has gone without a word that this was all: half a stream must not look whole to the server. Had the server
    /// ended the call before, what it sent is still to be read.
    pub(crate) fn let_down(&self) {
        let text = "the sender of the requests was dropped without done_writing";
        self.fail(Status::fixed(Code::Cancelled, text));
    }

    /// Ends the call from this side: what was received and not yet delivered is lost. False: it had ended.
    pub(crate) fn fail(&self, status: Status) -> bool {
        self.fail_as(status, false)
    }

    /// `wanted`: by a cancel of the user's, who is told of no more than that.
    fn fail_as(&self, status: Status, wanted: bool) -> bool {
        loop {
            let mut state = self.state.lock();
            state.cancel_wanted |= wanted;
            if state.status().is_some() {
                return false;
            }
            let Some(stream) = state.stream().cloned() else {
                self.end(state, status, true);
                self.let_go_received(true);
                return true;
            };
            drop(state);
            if stream.finish(Ending::Local(status.clone()), Reason::CANCEL) {
                self.settle(&stream, Ending::Local(status));
                self.let_go_received(true);
                return true;
            }
            // The peer's end, or another of ours, was first.
            match self.conclude(&stream) {
                Some(Settled::Again) => {}
                Some(Settled::Over) | None => return false,
            }
        }
    }

    /// A [`deferred`](Self::deferred) call has its response. Had it ended, nothing happens.
    pub(crate) fn fulfil(
        &self,
        message: Bytes,
        status: Status,
        head: Metadata,
        peer: Option<String>,
    ) {
        let mut receiver = self.receiver.lock();
        let mut state = self.state.lock();
        if state.status().is_some() {
            drop((state, receiver));
            return;
        }
        let first = receiver.first.replace(message.into());
        state.received = true;
        state.head = Some(head);
        state.peer = peer;
        drop(receiver);
        self.end(state, status, false);
        drop(first);
    }

    /// Ends a call that has no stream, by another's word. Had it one, or ended, nothing happens.
    pub(super) fn turn_away(&self, status: Status) {
        let state = self.state.lock();
        if state.status().is_none() && state.stream().is_none() {
            self.end(state, status, false);
            self.let_go_received(true);
        }
    }

    /// The deadline has passed.
    pub(crate) fn expire(&self) {
        if let Some(waited) = self.waits_for() {
            self.fail(expired_here(self.time, &waited));
        }
    }

    /// What the call waits for, in words. `None`: it is over.
    pub(crate) fn waits_for(&self) -> Option<String> {
        let state = self.state.lock();
        let held = state.held().cloned()?;
        let (peer, asking, deferred) = (state.peer.clone(), state.asking(), state.deferred);
        let outbox = state.outbox().cloned();
        drop(state);
        Some(match peer {
            _ if deferred => "the channel's interceptors to answer".into(),
            _ if asking.is_some() => asked(&held, asking),
            Some(peer) => self.waits_for_peer(&peer, held.launch.body.is_some(), outbox.as_deref()),
            None => held.source.waiting_for(),
        })
    }

    /// The same of one that is on a connection; `whole`: its request was known when it began.
    fn waits_for_peer(&self, peer: &str, whole: bool, outbox: Option<&Outbox>) -> String {
        if let Some(octets) = outbox.and_then(Outbox::not_taken) {
            let unread = self.receiver.lock().unread();
            let unread = if unread { "; responses here are unread" } else { "" };
            return format!("room to send: {octets} bytes are not taken by {peer}{unread}");
        }
        match whole || outbox.is_some_and(Outbox::is_finished) {
            true => format!("{peer} to answer"),
            false => format!(
                "{peer} to answer; this side has not ended its requests (by done_writing, or with their iterator, which a \
                 `call` pulls only while responses are read)"
            ),
        }
    }

    /// Whether others make it: see [`deferred`](Self::deferred).
    pub(crate) fn is_deferred(&self) -> bool {
        self.state.lock().deferred
    }

    /// Ends the call if its deadline has passed; whether it has.
    pub(super) fn expire_if_due(&self) -> bool {
        let due = self.deadline().expired(clock::now());
        if due {
            self.expire();
        }
        due
    }

    /// The stubs know better: a response that ended well could not be decoded.
    pub(crate) fn override_status(&self, status: Status) {
        if !self.fail(status.clone()) {
            let old = self.state.lock().amend(status);
            drop(old);
            self.let_go_received(true);
        }
    }

    /// Code of the user's has panicked at it: it goes well no more, whatever the server says. The first mistake counts.
    pub(crate) fn broke(&self, text: &'static str) {
        if self.met_status().is_none_or(|status| status.is_ok()) {
            self.override_status(Status::fixed(Code::Internal, text));
        }
    }

    /// Runs `callback` on the notifier thread at the end; given back when that has been.
    pub(crate) fn on_end(&self, callback: Callback) -> Result<(), Callback> {
        self.state.lock().add_callback(callback)?;
        self.listen();
        Ok(())
    }

    /// The status, when the stream has ended even though nobody has read that yet.
    pub(super) fn concluded(&self) -> Option<Status> {
        let stream = self.state.lock().stream().cloned();
        if let Some(stream) = stream {
            self.conclude(&stream);
        }
        self.try_status()
    }

    /// Looks whether the stream has ended and draws the consequences.
    pub(super) fn conclude(&self, stream: &Arc<Stream>) -> Option<Settled> {
        if self.single {
            self.collect();
            let state = self.state.lock();
            return match state.status() {
                Some(_) => Some(Settled::Over),
                None => (!state.is_on(stream)).then_some(Settled::Again),
            };
        }
        stream.ending().map(|ending| self.settle(stream, ending))
    }

    /// W41: a second response. Nobody waits for its end.
    pub(super) fn refuse_second(&self) {
        let ending = Ending::Several;
        let stream = self.state.lock().stream().cloned();
        if let Some(stream) = stream {
            stream.finish(ending.clone(), Reason::CANCEL);
            // Even when the trailers were in already: what they say is not true.
            self.settle(&stream, ending);
            self.let_go_received(true);
        }
    }

    /// `stream` has ended. Idempotent: the first to notice decides.
    pub(super) fn settle(&self, stream: &Arc<Stream>, ending: Ending) -> Settled {
        let head = stream.take_head();
        let mut state = self.state.lock();
        if state.status().is_some() {
            return Settled::Over;
        }
        if !state.is_on(stream) {
            return Settled::Again;
        }
        if let Some(head) = head {
            state.head.get_or_insert(head.metadata);
        }
        let Some(held) = state.held().cloned() else { return Settled::Over };
        if ending.retry_safe(held.launch.retry_refused) && state.may_repeat() {
            self.repeat_on_another(state, &held);
            return Settled::Again;
        }
        let local = matches!(&ending, Ending::Local(_) | Ending::Several);
        let status = self.judge(&held, &ending, &state);
        state.by_peer = matches!(&ending, Ending::Trailers(_));
        self.end(state, status, local);
        Settled::Over
    }

    /// W69: the peer has not processed it; once, at once, whatever the retry policy. In front of those that came later.
    fn repeat_on_another(&self, mut state: MutexGuard<'_, State>, held: &Held) {
        let old = state.unbind();
        drop(state);
        if let Some(old) = &old {
            self.set_place(old);
            old.unlisten();
        }
        let inbox = self.receiver.lock().let_go();
        drop((inbox, old));
        let Some(this) = self.myself() else { return };
        held.source.requeue(this);
        self.queued_again.store(true, Ordering::SeqCst);
        // Looked at in this order: one of both goes on, this thread or that of the round.
        if !self.in_a_round.load(Ordering::SeqCst) {
            self.go_on_queued();
        }
    }

    /// The queue that it went back to is looked at.
    pub(super) fn go_on_queued(&self) {
        if self.queued_again.swap(false, Ordering::SeqCst) {
            let held = self.state.lock().held().cloned();
            if let Some(held) = held {
                held.source.pump();
            }
        }
    }

    fn judge(&self, held: &Held, ending: &Ending, state: &State) -> Status {
        let known = known(&*held.source, Some(ending), (self.deadline(), self.time));
        let peer = state.peer.as_deref().filter(|_| ending.tells_the_peer());
        let method = held.launch.template.path();
        let known = Known { repeated: state.repeated(), method, peer, ..known };
        if !self.single {
            return judge(Some(ending), state.head.as_ref(), known);
        }
        let first = state.received.then_some(());
        judge_single(Some(ending), state.head.as_ref(), (first, false), known)
            .map_or_else(|status| status, |((), status)| status)
    }

    /// The one end. Sets the status, tells everybody, and lets go of all that the call held: whoever keeps a
    /// handle from here on keeps that and nothing else. `local`: it was decided on this side.
    fn end(&self, mut state: MutexGuard<'_, State>, status: Status, local: bool) {
        if let Some(held) = state.held() {
            // Before anybody is told.
            held.count_end(status.is_ok());
        }
        let gone = state.end(status, local);
        self.changed.notify_all();
        drop(state);
        let Gone { held, stream, outbox, callbacks, told, due, proof } = gone;
        if let Some(held) = &held {
            if let Some(due) = due {
                held.source.expiry().remove(due);
            }
            if let Proof::Asking(number) = proof {
                drop(held.source.crew().leave(number));
            }
            if stream.is_none() {
                held.source.forget(self);
            }
        }
        if let Some(outbox) = outbox {
            outbox.close();
        }
        if let Some(stream) = &stream {
            stream.unlisten();
        }
        self.let_go_received(false);
        callbacks.into_iter().for_each(notify);
        if let Some(told) = told {
            told.last();
        }
        drop((stream, held));
    }

    /// What was received goes, but for what the owner of a stream of responses has yet to read. `all`: that as well.
    fn let_go_received(&self, all: bool) {
        let gone = self.receiver.lock().end(all, self.single);
        drop(gone);
    }
}

impl Ends for Core {
    fn out_of_time(&self) {
        self.expire();
    }

    fn orphaned(&self) {
        // Where both had the same deadline, that is what ended it.
        if !self.expire_if_due() {
            self.fail(orphaned());
        }
    }
}

/// What a call waits for whose credentials were asked under this number.
fn asked(held: &Held, number: Option<u64>) -> String {
    let crew = held.source.crew();
    match number.filter(|number| crew.waits(*number)) {
        Some(_) => format!(
            "a thread to ask its call credentials: all {} of the channel's are in plugins that have not come back",
            crew.most()
        ),
        None => "its call credentials to give metadata".into(),
    }
}

/// What the caller's side knows beside how the stream ended; `time` is what there was until the deadline when the call
/// began. The clock is asked only where it counts.
pub(super) fn known(
    source: &dyn Source,
    ending: Option<&Ending>,
    (deadline, time): (Deadline, Option<Duration>),
) -> Known<'static> {
    let ended_well = matches!(ending, Some(Ending::Trailers(status)) if status.is_ok());
    let at = deadline.instant().filter(|_| !ended_well).map(|at| (at, clock::now()));
    let took = |(at, now): (Instant, Instant)| {
        let (left, over) = (at.saturating_duration_since(now), now.saturating_duration_since(at));
        time.map(|time| (time.saturating_sub(left).saturating_add(over), time))
    };
    Known {
        deadline_passed: at.is_some_and(|(at, now)| at <= now),
        took: at.and_then(took),
        closed: matches!(ending, Some(Ending::Lost(_))) && source.closed(),
        ..Known::default()
    }
}
