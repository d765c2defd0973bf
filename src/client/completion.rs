//! Waiting for many futures at once: [`as_completed`] and [`wait`].
//!
//! Each call is given a waker that notes its number on a board, which the one thread waits at. It parks there and reads no
//! connection: the poller does that for it. The board is told on the thread that met a call's end, not by the notifier: so a
//! callback may wait here, too.
//!
//! Locks: the board's, a leaf.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::reactor::pool;
use crate::status::Code;
use crate::sync::{Condvar, Mutex};

use super::CallFuture;
use super::call::until;

/// Gives each of `futures` back when its call has ended, in the order in which they end; those that have ended already come
/// first, in their own order.
///
/// For calls with responses of several types, or to wait for something else as well, let
/// [`CallFuture::on_result`] send into a channel of yours.
///
/// ```no_run
/// # fn first(calls: Vec<grpc_threads::CallFuture<String>>) -> Option<String> {
/// for mut call in grpc_threads::as_completed(calls) {
///     // Its call has ended: nothing waits here.
///     if let Ok(answer) = call.result(None) {
///         return Some(answer); // the other calls are cancelled
///     }
/// }
/// # None
/// # }
/// ```
pub fn as_completed<Resp: 'static>(
    futures: impl IntoIterator<Item = CallFuture<Resp>>,
) -> AsCompleted<Resp> {
    let mut all = AsCompleted { board: Arc::default(), pending: BTreeMap::new(), pushed: 0 };
    for future in futures {
        all.push(future);
    }
    all
}

/// Futures in the order in which their calls end: see [`as_completed`].
///
/// Its `next()` waits for the next call's end: that is the calls' deadlines, or a `cancel` by a [`Call`](crate::Call) from
/// another thread, at the latest; [`next_timeout`](Self::next_timeout) has a bound of its own. Dropping it cancels the
/// calls that it has not given back; [`into_pending`](Self::into_pending) gives them back instead.
#[must_use = "dropping it cancels the calls that have not ended"]
pub struct AsCompleted<Resp> {
    board: Arc<Board>,
    /// Those not yet given back, by their number.
    pending: BTreeMap<usize, CallFuture<Resp>>,
    pushed: usize,
}

impl<Resp: 'static> AsCompleted<Resp> {
    /// One more, while others are waited for. Never waits.
    pub fn push(&mut self, mut future: CallFuture<Resp>) {
        let number = self.pushed;
        self.pushed = self.pushed.wrapping_add(1);
        let place = Arc::new(Place { board: self.board.clone(), number });
        if !future.wake(&Waker::from(place)) {
            self.board.note(number);
        }
        self.pending.insert(number, future);
    }

    /// The next future whose call has ended, waiting at most `timeout`; `None` when all were given back.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: no other call has ended yet. All go on.
    pub fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<CallFuture<Resp>>, ResultError> {
        self.next_until(until(Some(timeout))).map(|next| next.map(|(_, future)| future))
    }

    /// The next future whose call has ended, if there is one now; `None` when all were given back. Never waits.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`]: no other call has ended yet.
    pub fn try_next(&mut self) -> Result<Option<CallFuture<Resp>>, ResultError> {
        self.try_take().map(|next| next.map(|(_, future)| future))
    }

    /// How many are yet to be given back.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether all were given back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Those not yet given back, in the order in which they came. Their calls go on.
    #[must_use = "dropping them cancels the calls that have not ended"]
    pub fn into_pending(mut self) -> Vec<CallFuture<Resp>> {
        mem::take(&mut self.pending).into_values().map(asleep).collect()
    }

    fn next_until(
        &mut self,
        until: Deadline,
    ) -> Result<Option<(usize, CallFuture<Resp>)>, ResultError> {
        match self.try_take() {
            Err(ResultError::TimedOut) => {}
            taken => return taken,
        }
        // What this thread has yet to send may be what the calls wait for.
        let _blocked = pool::before_block();
        let number = self.board.wait(until).ok_or(ResultError::TimedOut)?;
        Ok(self.remove(number))
    }

    fn try_take(&mut self) -> Result<Option<(usize, CallFuture<Resp>)>, ResultError> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        let number = self.board.ended.lock().pop_front().ok_or(ResultError::TimedOut)?;
        Ok(self.remove(number))
    }

    fn remove(&mut self, number: usize) -> Option<(usize, CallFuture<Resp>)> {
        self.pending.remove(&number).map(|future| (number, asleep(future)))
    }
}

impl<Resp: 'static> Iterator for AsCompleted<Resp> {
    type Item = CallFuture<Resp>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(Deadline::NEVER).ok().flatten().map(|(_, future)| future)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.pending.len(), Some(self.pending.len()))
    }
}

impl<Resp: 'static> ExactSizeIterator for AsCompleted<Resp> {}

impl<Resp: 'static> FusedIterator for AsCompleted<Resp> {}

impl<Resp> fmt::Debug for AsCompleted<Resp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

/// Which calls' ends [`wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReturnWhen {
    /// Of any of them.
    FirstCompleted,
    /// Of the first that fails, or of all. A call that was cancelled from this side has not failed.
    FirstException,
    /// Of all.
    AllCompleted,
}

/// What [`wait`] came to: all that were waited for, each list in the order in which they came.
#[derive(Debug)]
#[must_use = "dropping it cancels the calls that have not ended"]
pub struct Waited<Resp> {
    /// Those whose calls have ended, well or not.
    pub done: Vec<CallFuture<Resp>>,
    /// Those whose calls go on.
    pub not_done: Vec<CallFuture<Resp>>,
}

/// Waits for the calls of `futures` to end: for the first, the first that fails, or all, as `return_when` says; at most
/// `timeout`, if there is one. That the time is over is no error: [`Waited::not_done`] says it.
///
/// With `None` it waits as long as the calls last: their deadlines or a [`Call`](crate::Call)'s `cancel` from another thread
/// end that. Of no futures at all it gives none, at once.
///
/// ```no_run
/// use std::time::Duration;
/// use grpc_threads::{ReturnWhen, wait};
///
/// # fn all(calls: Vec<grpc_threads::CallFuture<String>>) {
/// let waited = wait(calls, Some(Duration::from_secs(1)), ReturnWhen::AllCompleted);
/// println!("{} have answered; the rest is cancelled", waited.done.len());
/// # }
/// ```
pub fn wait<Resp: 'static>(
    futures: impl IntoIterator<Item = CallFuture<Resp>>,
    timeout: Option<Duration>,
    return_when: ReturnWhen,
) -> Waited<Resp> {
    let deadline = until(timeout);
    let mut waiting = as_completed(futures);
    let mut done = BTreeMap::new();
    let mut failed = false;
    loop {
        // All that have ended by now, not just the first.
        while let Ok(Some((number, future))) = waiting.try_take() {
            failed |= has_failed(&future);
            done.insert(number, future);
        }
        let enough = match return_when {
            ReturnWhen::FirstCompleted => !done.is_empty(),
            ReturnWhen::FirstException => failed,
            ReturnWhen::AllCompleted => false,
        };
        if enough || waiting.is_empty() {
            break;
        }
        let Ok(Some((number, future))) = waiting.next_until(deadline) else { break };
        failed |= has_failed(&future);
        done.insert(number, future);
    }
    Waited { done: done.into_values().collect(), not_done: waiting.into_pending() }
}

fn has_failed<Resp: 'static>(future: &CallFuture<Resp>) -> bool {
    let core = future.core();
    !core.was_cancelled() && core.try_status().is_some_and(|status| status.code() != Code::Ok)
}

/// A future that tells the board nothing any more.
fn asleep<Resp: 'static>(mut future: CallFuture<Resp>) -> CallFuture<Resp> {
    future.sleep();
    future
}

/// Where the ends of calls are noted.
#[derive(Default)]
struct Board {
    /// The numbers of those that have ended, in that order. A leaf.
    ended: Mutex<VecDeque<usize>>,
    changed: Condvar,
}

impl Board {
    fn note(&self, number: usize) {
        self.ended.lock().push_back(number);
        self.changed.notify_one();
    }

    /// The next that has ended. `None`: the time is over.
    fn wait(&self, until: Deadline) -> Option<usize> {
        let mut ended = self.ended.lock();
        loop {
            if let Some(number) = ended.pop_front() {
                return Some(number);
            }
            match until.instant() {
                Some(at) => {
                    if self.changed.wait_until(&mut ended, at).timed_out() {
                        return ended.pop_front();
                    }
                }
                None => self.changed.wait(&mut ended),
            }
        }
    }
}

/// One call's place on the board.
struct Place {
    board: Arc<Board>,
    number: usize,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.board.note(self.number);
    }
}
