//! What callers do: calls of every kind, some with deadlines, some cancelled by others, some let go.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::explorer::Dice;
use super::world::{self, DROPPED, Finish, Plan};
use crate::channel::Channel;
use crate::client::{Call, as_completed};
use crate::credentials::{
    AuthMetadataContext, CallCredentials, access_token_call_credentials,
    composite_call_credentials, metadata_call_credentials, metadata_call_credentials_later,
};
use crate::error::ResultError;
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::sync::{Condvar, Mutex, model};

/// Where calls wait for somebody who cancels them, and where it is counted which callbacks are still to come.
pub(super) struct Desk {
    calls: Mutex<(Vec<Call>, bool)>,
    more: Condvar,
    callbacks: Arc<(Mutex<usize>, Condvar)>,
}

impl Desk {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { calls: Mutex::default(), more: Condvar::new(), callbacks: Arc::default() })
    }

    fn leave(&self, call: Call) {
        self.calls.lock().0.push(call);
        self.more.notify_one();
    }

    /// Cancels what is left here, until nobody leaves any more.
    pub(super) fn cancel(&self) {
        let mut calls = self.calls.lock();
        loop {
            if let Some(call) = calls.0.pop() {
                drop(calls);
                call.cancel();
                drop(call);
                calls = self.calls.lock();
            } else if calls.1 {
                return;
            } else {
                self.more.wait(&mut calls);
            }
        }
    }

    pub(super) fn go_home(&self) {
        let mut calls = self.calls.lock();
        calls.1 = true;
        let left = std::mem::take(&mut calls.0);
        drop(calls);
        drop(left);
        self.more.notify_all();
    }

    /// One more callback is to come: to be called when it does.
    fn callback(&self) -> impl FnOnce() + Send + 'static {
        *self.callbacks.0.lock() += 1;
        let callbacks = self.callbacks.clone();
        move || {
            *callbacks.0.lock() -= 1;
            callbacks.1.notify_all();
        }
    }

    pub(super) fn await_callbacks(&self) {
        let mut left = self.callbacks.0.lock();
        while *left > 0 {
            self.callbacks.1.wait(&mut left);
        }
    }
}

/// Counts a callback when it has run, or when it is not to run.
struct Told<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Told<F> {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            told();
        }
    }
}

/// What may end a call beside its answer.
#[derive(Clone, Copy)]
struct May {
    expire: bool,
    be_cancelled: bool,
    finish: Finish,
    be_refused: bool,
}

impl May {
    /// Whether what was done to a call explains its status.
    fn end(self, status: &Status) {
        let fine = match status.code() {
            Code::Ok => true,
            Code::DeadlineExceeded => self.expire,
            Code::Cancelled => self.be_cancelled || self.finish == Finish::Close,
            Code::Unavailable => self.be_refused || matches!(self.finish, Finish::Stop(_)),
            _ => false,
        };
        assert!(fine, "a call ended with {status:?}");
    }

    fn result<T>(self, result: Result<T, ResultError>) {
        match result {
            Ok(_) => {}
            Err(ResultError::Rpc(status)) => self.end(&status),
            Err(ResultError::Cancelled) => {
                assert!(self.be_cancelled, "cancelled by nobody");
            }
            Err(other) => panic!("a result is {other:?}"),
        }
    }

    fn status<T>(self, result: Result<T, Status>) {
        if let Err(status) = result {
            self.end(&status);
        }
    }
}

/// Kinds of calls.
const KINDS: u64 = 13;

/// One caller's life.
pub(super) fn call(n: u64, channel: &Channel, desk: &Desk, plan: &Plan) {
    let mut dice = Dice::new(plan.seed.wrapping_mul(31) + n);
    for turn in 0..plan.calls {
        let mut kind = dice.below(KINDS);
        // Some executions have few kinds: what needs many of one kind is not drowned in others.
        if plan.kinds % 3 == 0 {
            kind = (plan.kinds >> 8 >> (8 * (n % 4))) % KINDS;
        }
        let deadline =
            dice.once_in(3).then(|| Duration::from_millis(dice.one_of(&[0, 1, 2, 5, 20])));
        let cancelled = plan.cancellers > 0 && dice.once_in(2);
        let may = May {
            expire: deadline.is_some(),
            be_cancelled: cancelled,
            finish: plan.finish,
            // A stream that was reset keeps its place at the server until its handler returns.
            be_refused: false,
        };
        world::at(
            n,
            format!("call {turn}, kind {kind}, deadline {deadline:?}, cancelled {cancelled}"),
        );
        let credentials = dice.once_in(3).then(|| credentials(&mut dice));
        let to = To { channel, desk, deadline, cancelled, credentials, may };
        to.call(kind, &mut dice);
    }
    world::at(n, "done".into());
}

/// What a call proves: known, asked for, or told by its plugin.
fn credentials(dice: &mut Dice) -> CallCredentials {
    let takes = Duration::from_millis(dice.one_of(&[0, 1, 10]));
    let parts = (0..1 + dice.below(2)).map(|_| match dice.below(3) {
        0 => access_token_call_credentials("t").expect("a good token"),
        1 => metadata_call_credentials(move |_: &AuthMetadataContext| {
            model::assert_no_lock();
            model::sleep(takes);
            Ok(Metadata::new())
        }),
        _ => metadata_call_credentials_later(move |_, reply| {
            model::assert_no_lock();
            model::sleep(takes);
            reply.send(Ok(Metadata::new()));
        }),
    });
    composite_call_credentials(parts)
}

/// A task that waits to be polled again.
#[derive(Default)]
struct Woken {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        model::assert_no_lock();
        *self.woken.lock() = true;
        self.changed.notify_all();
    }
}

impl Woken {
    fn wait(&self) {
        let mut woken = self.woken.lock();
        while !std::mem::take(&mut *woken) {
            self.changed.wait(&mut woken);
        }
    }
}

/// An executor of one task.
fn awaited<F: Future>(future: F) -> F::Output {
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => woken.wait(),
        }
    }
}

/// One call.
struct To<'a> {
    channel: &'a Channel,
    desk: &'a Desk,
    deadline: Option<Duration>,
    cancelled: bool,
    credentials: Option<CallCredentials>,
    may: May,
}

macro_rules! method {
    ($to:ident, $kind:ident, $path:expr) => {{
        let mut method = $to.channel.$kind($path).expect("a good path");
        if let Some(credentials) = &$to.credentials {
            method = method.credentials(credentials);
        }
        match $to.deadline {
            Some(deadline) => method.timeout(deadline),
            None => method,
        }
    }};
}

impl To<'_> {
    fn leave(&self, call: Call) {
        if self.cancelled {
            self.desk.leave(call);
        }
    }

    fn call(&self, kind: u64, dice: &mut Dice) {
        let hi = Bytes::from_static(b"hi");
        let may = self.may;
        match kind {
            0 => {
                let echo = method!(self, raw_unary_unary, "/m/Echo");
                // Nobody has a handle on it.
                let may = May { be_cancelled: false, ..may };
                may.status(echo.call(&hi).map(|got| assert_eq!(got, hi)));
            }
            1 => {
                let slow = method!(self, raw_unary_unary, "/m/Slow");
                let may = May { be_cancelled: false, ..may };
                may.status(slow.call(&hi).map(|got| assert_eq!(got, hi)));
            }
            2 => {
                let echo = method!(self, raw_unary_unary, "/m/Echo");
                let mut future = echo.future(&hi);
                self.leave(future.handle());
                may.result(future.result(None).map(|got| assert_eq!(got, hi)));
            }
            3 => {
                let slow = method!(self, raw_unary_unary, "/m/Slow");
                let told = self.desk.callback();
                let future = slow.future(&hi);
                self.leave(future.handle());
                drop(future.on_result(move |result| {
                    model::assert_no_lock();
                    may.status(result.map(|got| assert_eq!(got, b"hi"[..])));
                    told();
                }));
            }
            4 => {
                let slow = method!(self, raw_unary_unary, "/m/Slow");
                let future = slow.future(&hi);
                self.leave(future.handle());
                drop(future.detach());
            }
            5 => drop(method!(self, raw_unary_unary, "/m/Slow").future(&hi)),
            6 => self.count(dice),
            7 => {
                let sum = method!(self, raw_stream_unary, "/m/Sum");
                let (mut sender, mut reply) = sum.open();
                self.leave(reply.handle());
                for _ in 0..dice.below(3) {
                    if let Err(status) = sender.send(&hi) {
                        may.end(&status);
                        break;
                    }
                }
                if dice.once_in(4) {
                    drop(sender);
                    let may = May { be_cancelled: true, ..may };
                    return may.result(reply.result(None).map(drop));
                }
                may.status(sender.done_writing());
                may.result(reply.result(None).map(drop));
            }
            8 => self.talk(dice),
            10 => {
                let path = dice.one_of(&["/m/Echo", "/m/Slow"]);
                let future = method!(self, raw_unary_unary, path).future(&hi);
                self.leave(future.handle());
                may.result(awaited(future).map(|got| assert_eq!(got, hi)));
            }
            11 => {
                let slow = method!(self, raw_unary_unary, "/m/Slow");
                let echo = method!(self, raw_unary_unary, "/m/Echo");
                let futures = [slow.future(&hi), echo.future(&hi), slow.future(&hi)];
                futures.iter().for_each(|future| self.leave(future.handle()));
                // Some are left, and cancelled by that.
                let some = 1 + dice.below(3) as usize;
                for mut future in as_completed(futures).take(some) {
                    assert!(future.done(), "it was given back");
                    may.result(future.result(None).map(|got| assert_eq!(got, hi)));
                }
            }
            12 => self.count_when_told(dice),
            _ => {
                let bidi = method!(self, raw_stream_stream, "/m/Bidi");
                let mut answers = bidi.spawn(vec![hi.clone(), hi]);
                self.leave(answers.handle());
                let told = Told(Some(self.desk.callback()));
                let _ = answers.handle().add_callback(move |_| drop(told));
                while let Some(answer) = answers.next() {
                    may.status(answer.map(drop));
                }
            }
        }
    }

    fn count(&self, dice: &mut Dice) {
        let count = method!(self, raw_unary_stream, "/m/Count");
        let most = dice.below(5) as u8;
        let mut answers = match count.call(&Bytes::from(vec![most])) {
            Ok(answers) => answers,
            Err(status) => return self.may.end(&status),
        };
        self.leave(answers.handle());
        // Some are left unread.
        for n in 0..=dice.below(6) as u8 {
            match answers.recv() {
                Ok(Some(got)) => assert_eq!(got[0], n),
                Ok(None) => {
                    assert_eq!(n, most, "all or none");
                    assert_ne!(most, DROPPED, "it was dropped without an end");
                    break;
                }
                Err(status) if most == DROPPED && status.code() == Code::Cancelled => return,
                Err(status) => return self.may.end(&status),
            }
        }
    }

    fn count_when_told(&self, dice: &mut Dice) {
        let count = method!(self, raw_unary_stream, "/m/Count");
        let most = dice.below(5) as u8;
        let mut answers = match count.call(&Bytes::from(vec![most])) {
            Ok(answers) => answers,
            Err(status) => return self.may.end(&status),
        };
        self.leave(answers.handle());
        let woken = Arc::<Woken>::default();
        let told = woken.clone();
        answers.on_ready(move || told.clone().wake());
        let mut next = 0;
        loop {
            match answers.try_recv() {
                Ok(Some(got)) => {
                    assert_eq!(got[0], next);
                    next += 1;
                }
                Ok(None) => {
                    assert_ne!(most, DROPPED, "it was dropped without an end");
                    return assert_eq!(next, most, "all or none");
                }
                Err(ResultError::Rpc(status))
                    if most == DROPPED && status.code() == Code::Cancelled =>
                {
                    return;
                }
                Err(ResultError::TimedOut) => woken.wait(),
                Err(error) => return self.may.result(Err::<(), _>(error)),
            }
        }
    }

    fn talk(&self, dice: &mut Dice) {
        let bidi = method!(self, raw_stream_stream, "/m/Bidi");
        let mut talk = bidi.open();
        self.leave(talk.handle());
        for n in 0..1 + dice.below(3) as u8 {
            let word = Bytes::from(vec![n; 30]);
            if let Err(status) = talk.send(&word) {
                return self.may.end(&status);
            }
            match talk.recv() {
                Ok(got) => assert_eq!(got, Some(word)),
                Err(status) => return self.may.end(&status),
            }
        }
        if dice.once_in(3) {
            return;
        }
        self.may.status(talk.done_writing());
        self.may.status(talk.recv().map(|got| assert_eq!(got, None)));
    }
}
