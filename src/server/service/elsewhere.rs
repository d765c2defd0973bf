//! A streaming answer that comes from elsewhere and holds no worker: [`ResponseSender`], and what a handler returns for it.
//!
//! The two ends are made together, like those of a channel. What the handler returns is an iterator without items, which
//! notes that it was asked: so whoever sends a handler's responses knows that the call goes on when they are at an end, and
//! hands over the slot, which counts the call as running. All that a sender holds of its call goes when the call is over,
//! whoever ends it; what its owner still has then is a status. Until the handler has returned the call is its own: what the
//! sender's owner says of the end waits for that ([`Turn`]).
//!
//! Threads: any. Locks: `state` and `turn`, leaves, over no call, no drop and no code of the user's, and not one in the other.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::context::ServicerContext;
use super::sending::{send_one, try_send_one};
use super::slot::Slot;
use super::turn::{Leave, Turn};
use crate::call::Refused;
use crate::codec::Codec;
use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::link::Notify;
use crate::reactor::{clock, notify, user};
use crate::status::Status;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::tell;

/// Sends the responses of a call after its handler has returned, from any thread; no worker is held meanwhile.
///
/// Made with [`ServicerContext::response_channel`], whose other half the handler returns. It has one owner, as a
/// client's [`RequestSender`](crate::RequestSender) has, and may be moved to any thread. The call ends with [`finish`](Self::finish);
/// a sender that is dropped without cancels it, since half a stream must not look whole: the client sees `CANCELLED`, and
/// the log a warning. One that is dropped right after [`try_send`](Self::try_send) or [`send_timeout`](Self::send_timeout) has said that
/// there was no room is let go on purpose: the client sees `RESOURCE_EXHAUSTED` behind what was sent before, and the log a
/// line for debugging. For another status there is `finish(Err(status))`, which needs no room either. What was sent, the send buffer and a
/// message, waits for the client as long as its connection and its deadline last, as with every other answer.
///
/// The call begins with the handler's return: the initial metadata go out then, if they have not before, so that a client that waits for
/// them knows of a watch on which nothing happens. What is to be in them is sent by the handler
/// ([`ServicerContext::send_initial_metadata`]). Responses that are sent before the return go out at once; how the call ends waits for
/// the return.
///
/// What ends the call otherwise (the client, its deadline, a lost connection, the server's stop) makes every further send an
/// error. From then on the sender holds nothing of the call: one that is forgotten in a list costs a few words, no connection.
pub struct ResponseSender<Resp> {
    shared: Arc<Shared>,
    made: Arc<Made>,
    codec: Arc<dyn Codec<Resp>>,
    /// What it comes to if it goes now.
    leave: Leave,
    /// A response of it has been taken.
    sent: bool,
}

/// What a handler returns whose responses are sent by a [`ResponseSender`]: an iterator without items.
///
/// It may be boxed, or chained behind responses that are there already, which the worker then sends. Returned or
/// not is what counts: where the handler fails, the call ends with its status. Other responses while the sender is there, or has
/// been finished, or has sent something, are a mistake: its client is told INTERNAL behind them, and the log. Where the
/// handler drops both ends unused and returns other responses, these are the answer, and the log has a warning.
#[must_use = "a handler returns it: `Ok(responses)`"]
pub struct SentElsewhere<Resp> {
    made: Arc<Made>,
    types: PhantomData<fn() -> Resp>,
}

/// The codec of a method's responses, as a context hands it on.
pub(super) struct Answers<Resp>(pub(super) Arc<dyn Codec<Resp>>);

/// What the context of a handler hands on that is written over a stream.
pub(super) struct ByHand;

/// Kept with the call: that its answer may come from elsewhere.
struct Made {
    /// The responses were returned, and have come to their end.
    returned: AtomicBool,
    /// Guards whose call it is.
    turn: Mutex<Turn>,
    shared: Weak<Shared>,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    /// Until the call is over.
    context: Option<ServicerContext>,
    /// Counts the call as running once its handler has returned.
    slot: Option<Slot>,
    /// How the call ended.
    ended: Option<Status>,
    /// There was no room when something was to be sent, and nobody was told of any since.
    full: bool,
    ready: Option<Ready>,
}

type Ready = Box<dyn FnMut() + Send>;

impl ServicerContext {
    /// Both ends of an answer that comes from elsewhere: a sender to keep, and what the handler returns. For methods with a
    /// stream of responses, once in a call and before the handler returns; the worker is free as soon as it has.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use grpc_threads::{ResponseSender, ServicerContext, unary_stream_rpc_method_handler};
    ///
    /// let watchers: Arc<Mutex<Vec<ResponseSender<String>>>> = Arc::default();
    ///
    /// let list = watchers.clone();
    /// let watch = unary_stream_rpc_method_handler(move |_: String, context: &ServicerContext| {
    ///     let (sender, responses) = context.response_channel()?;
    ///     list.lock().unwrap().push(sender);
    ///     Ok(responses)
    /// });
    ///
    /// // On any thread, which waits for nobody. Who has gone is let go; and who does not keep up, with RESOURCE_EXHAUSTED.
    /// let news = "it rains".to_owned();
    /// watchers.lock().unwrap().retain_mut(|watcher| watcher.try_send(&news).is_ok());
    /// ```
    ///
    /// In a generated trait's method it is the same. The response type is that of the method, so it rarely has to be
    /// named. What is sent before the handler returns goes out at once.
    ///
    /// # Errors
    /// `INTERNAL` where the method gives one response, or is written over a
    /// [`ServerStream`](crate::ServerStream) (see [`detach`](crate::ServerStream::detach)); where its responses are of another type; when asked twice,
    /// on whatever threads; and when the handler has returned.
    pub fn response_channel<Resp: 'static>(
        &self,
    ) -> Result<(ResponseSender<Resp>, SentElsewhere<Resp>), Status> {
        let refused =
            |why| Status::internal(format!("response_channel of {}: {why}", self.method()));
        let Some(answers) = self.answers() else {
            return Err(refused("its method has no stream of responses to return"));
        };
        if answers.is::<ByHand>() {
            let text = "its handler is written over a ServerStream: detach() that, and send on it from any thread";
            return Err(refused(text));
        }
        let Some(Answers(codec)) = (**answers).downcast_ref::<Answers<Resp>>() else {
            return Err(refused("its method's responses are of another type"));
        };
        self.call().handover().ask().map_err(|why| match why {
            Refused::Asked => refused("it was asked before"),
            Refused::Returned => refused(
                "its handler has returned: it is asked for before that, and its responses are what the handler returns",
            ),
        })?;
        let state = State {
            context: Some(self.clone()),
            slot: None,
            ended: None,
            full: false,
            ready: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        let made = Made {
            returned: AtomicBool::new(false),
            turn: Mutex::default(),
            shared: Arc::downgrade(&shared),
        };
        let extensions = self.extensions();
        extensions.insert(made);
        let Some(made) = extensions.get::<Made>() else { return Err(refused("the call is over")) };
        if !self.call().tell_progress(Arc::new(Listener(Arc::downgrade(&shared)))) {
            shared.release();
        }
        let (codec, leave) = (codec.clone(), Leave::Dropped);
        let sender = ResponseSender { shared, made: made.clone(), codec, leave, sent: false };
        Ok((sender, SentElsewhere { made, types: PhantomData }))
    }
}

/// The responses that a handler returned have come to their end, and somebody has asked for the call's sender. Where they are
/// the sender's, the call goes on, and takes the slot.
pub(super) fn returned(context: &ServicerContext, slot: &mut Option<Slot>) {
    let call = context.call();
    // Not there yet: another thread has asked for it just now.
    let Some(made) = context.extensions().get::<Made>() else {
        return call.finish(Err(misled(context)));
    };
    let whole = made.returned.load(Ordering::Acquire);
    // A statement of its own: the guard must be gone when it is carried out.
    let leave = made.turn.lock().returned();
    match (leave, whole) {
        (Some(leave), true) | (Some(leave @ Leave::Finished(Err(_))), false) => {
            leave.carry_out(context);
            call.stream().settle();
        }
        (None, true) => {
            if let Some(shared) = made.shared.upgrade() {
                shared.begin(slot.take());
            }
            if let Some(outbox) = call.outbox() {
                outbox.flush();
            }
        }
        // Both ends were dropped, and nothing came of them: what the handler has returned is the answer.
        (Some(Leave::Dropped), false) => {
            if context.is_active() {
                let method = context.method();
                tell::warn!(
                    "{method}: a ResponseSender was dropped without finish() and without a response; what its handler has \
                     returned instead is the answer"
                );
            }
            call.finish(Ok(()));
        }
        (Some(Leave::Finished(Ok(())) | Leave::Late | Leave::Half) | None, false) => {
            call.finish(Err(misled(context)));
        }
    }
}

/// A handler has returned other responses than those of its sender, which is there, was finished, or has sent something.
fn misled(context: &ServicerContext) -> Status {
    let (method, peer) = (context.method(), context.peer());
    let text = "the handler has asked for a response_channel and does not return the responses of its sender";
    if context.is_active() {
        tell::error!("{method}: {text}, which it must; its client {peer} is told INTERNAL");
    }
    Status::internal(format!("{method}: {text}"))
}

impl Leave {
    /// How the sender was let go of is how the call ends.
    fn carry_out(self, context: &ServicerContext) {
        let (method, call) = (context.method(), context.call());
        match self {
            Self::Finished(outcome) => call.finish(outcome),
            Self::Late => {
                if context.is_active() {
                    let peer = context.peer();
                    tell::debug!(
                        "{method}: its client {peer} did not keep up, and is let go with RESOURCE_EXHAUSTED"
                    );
                }
                let text = format!("the client of {method} did not keep up with its responses");
                call.finish(Err(Status::resource_exhausted(text)));
            }
            Self::Half | Self::Dropped => {
                // Always this program's fault, so it is worth a warning: of a call that its client has ended nothing is said.
                if context.is_active() {
                    let peer = context.peer();
                    tell::warn!(
                        "{method}: a ResponseSender was dropped without finish(); its client {peer} is told CANCELLED"
                    );
                }
                context.cancel();
            }
        }
    }
}

impl<Resp: 'static> ResponseSender<Resp> {
    /// Sends a response. Waits while more than [`send_buffer`](crate::ServerOptions::send_buffer) bytes of this call wait for the
    /// client; its credit, or the end of the call, ends the wait. To wait for one slow client in a loop over many is a mistake: see [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// How the call ended; what the codec said, and that the message is longer than the limit: the call goes on then.
    pub fn send(&mut self, response: &Resp) -> Result<(), Status> {
        self.leave = Leave::Dropped;
        send_one(&self.shared.context()?, response, &*self.codec)?;
        self.sent = true;
        Ok(())
    }

    /// Like [`send`](Self::send), waiting at most `timeout`.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: the response was not taken, the call goes on; to drop the sender now ends it with
    /// `RESOURCE_EXHAUSTED`. [`ResultError::Rpc`]: as [`send`](Self::send).
    pub fn send_timeout(&mut self, response: &Resp, timeout: Duration) -> Result<(), ResultError> {
        let context = self.shared.context()?;
        let call = context.call();
        let until = Deadline::earliest(Deadline::after(clock::now(), timeout), call.deadline());
        loop {
            match self.try_send(response) {
                Err(ResultError::TimedOut) => {}
                result => return result,
            }
            let Some(outbox) = call.outbox() else { return Err(call.ended_status().into()) };
            if !outbox.wait_room(until) {
                if call.deadline().expired(clock::now()) {
                    call.expire();
                    return Err(call.ended_status().into());
                }
                return Err(ResultError::TimedOut);
            }
        }
    }

    /// Like [`send`](Self::send), never waiting: what one thread does that sends to many.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: the response was not taken, for the client has not taken
    /// [`send_buffer`](crate::ServerOptions::send_buffer) bytes that were sent before. The call goes on; to drop the sender now
    /// ends it with `RESOURCE_EXHAUSTED`. [`ResultError::Rpc`]: as [`send`](Self::send).
    pub fn try_send(&mut self, response: &Resp) -> Result<(), ResultError> {
        self.leave = Leave::Dropped;
        let context = self.shared.context()?;
        if try_send_one(&context, response, &*self.codec)? {
            self.sent = true;
            return Ok(());
        }
        self.shared.state.lock().full = true;
        // Room may have come before it was noted that somebody wants some.
        self.shared.look();
        self.leave = Leave::Late;
        Err(ResultError::TimedOut)
    }

    /// Sends now what is held back to be sent together with later responses. Without it they are late by about 0.3 ms at most.
    pub fn flush(&self) {
        if let Ok(context) = self.shared.context() {
            context.call().flush();
        }
    }

    /// Whether a response may still reach the client: false once the call is over.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.shared.context().is_ok_and(|context| context.is_active())
    }

    /// Runs `callback` each time when there is room again after a [`try_send`](Self::try_send) that found none. The last callback
    /// set wins. It goes when the call is over; for that, see [`add_callback`](Self::add_callback).
    ///
    /// It runs on the library's notifier thread, once at a time: be quick, and do not wait for other calls there. A panic in it is
    /// logged, and it goes on, as with a client's [`on_ready`](crate::Responses::on_ready).
    pub fn on_ready(&self, callback: impl FnMut() + Send + 'static) {
        let mut state = self.shared.state.lock();
        if state.context.is_none() {
            return;
        }
        let before = state.ready.replace(Box::new(callback));
        drop(state);
        drop(before);
        self.shared.look();
    }

    /// Runs `callback` once the call is over, however it ends: see [`ServicerContext::add_callback`]. False: it is over.
    #[must_use = "false: it was over, and the callback will not run"]
    pub fn add_callback(&self, callback: impl FnOnce() + Send + 'static) -> bool {
        self.shared.context().is_ok_and(|context| context.add_callback(callback))
    }

    /// Ends the call with this outcome, after what was sent, also where there is no room for a response. Never waits. Before
    /// the handler has returned it is noted, and done then. Without effect when the call is over.
    pub fn finish(mut self, outcome: Result<(), Status>) {
        self.leave = Leave::Finished(outcome);
    }
}

impl<Resp> Drop for ResponseSender<Resp> {
    fn drop(&mut self) {
        let leave = match std::mem::replace(&mut self.leave, Leave::Dropped) {
            Leave::Dropped if self.sent => Leave::Half,
            leave => leave,
        };
        // Before the handler has returned it may still say how the call ends.
        let Some(leave) = self.made.turn.lock().leave(leave) else { return };
        if let Ok(context) = self.shared.context() {
            leave.carry_out(&context);
        }
        self.shared.release();
    }
}

impl<Resp> fmt::Debug for ResponseSender<Resp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseSender")
            .field("context", &self.shared.context())
            .finish_non_exhaustive()
    }
}

impl<Resp> Iterator for SentElsewhere<Resp> {
    type Item = Result<Resp, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        self.made.returned.store(true, Ordering::Release);
        None
    }
}

impl<Resp> FusedIterator for SentElsewhere<Resp> {}

impl<Resp> fmt::Debug for SentElsewhere<Resp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentElsewhere").finish_non_exhaustive()
    }
}

impl Shared {
    fn context(&self) -> Result<ServicerContext, Status> {
        let state = self.state.lock();
        match &state.context {
            Some(context) => Ok(context.clone()),
            None => {
                Err(state.ended.clone().unwrap_or_else(|| Status::cancelled("the call is over")))
            }
        }
    }

    /// The handler has returned the responses: the call runs as long as it is not over.
    fn begin(&self, slot: Option<Slot>) {
        let mut state = self.state.lock();
        let left = match state.context {
            Some(_) => std::mem::replace(&mut state.slot, slot.map(Slot::elsewhere)),
            None => slot,
        };
        drop(state);
        drop(left);
    }

    /// Room has come, or the end: does what follows.
    fn look(self: &Arc<Self>) {
        let Ok(context) = self.context() else { return };
        if !context.is_active() {
            return self.release();
        }
        if !self.state.lock().is_eager() {
            return;
        }
        // Asked without the lock, which is a leaf.
        if !context.call().outbox().is_some_and(|outbox| outbox.has_room()) {
            return;
        }
        let mut state = self.state.lock();
        let ready = if state.is_eager() { state.ready.take() } else { None };
        let Some(mut ready) = ready else { return };
        state.full = false;
        drop(state);
        let this = Arc::downgrade(self);
        notify(Box::new(move || {
            // A callback that panics is told of room again, as it is on a client: nothing else would wake who waits for it.
            let _ = user::run(format_args!("a callback of on_ready"), &mut ready);
            if let Some(this) = this.upgrade() {
                this.put_back(ready);
            }
        }));
    }

    /// The callback has run. What came meanwhile is looked at now.
    fn put_back(self: &Arc<Self>, ready: Ready) {
        let mut state = self.state.lock();
        let left = match state.context.is_some() && state.ready.is_none() {
            true => state.ready.replace(ready),
            false => Some(ready),
        };
        drop(state);
        drop(left);
        self.look();
    }

    /// The call is over: lets go of all that is held of it.
    fn release(&self) {
        let Ok(context) = self.context() else { return };
        let ended = context.call().ended_status();
        let mut state = self.state.lock();
        if state.context.take().is_none() {
            return;
        }
        state.ended = Some(ended);
        let (slot, ready) = (state.slot.take(), state.ready.take());
        drop(state);
        context.call().stream().settle();
        drop(slot);
        if let Some(ready) = ready {
            // The user's, and this may be a thread that reads sockets.
            notify(Box::new(move || drop(ready)));
        }
    }
}

impl State {
    /// Whether somebody is to be told of room.
    fn is_eager(&self) -> bool {
        self.full && self.ready.is_some()
    }
}

struct Listener(Weak<Shared>);

impl Notify for Listener {
    fn progress(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.look();
        }
    }
}
