//! Credentials that are renewed before the next handshake, though that may block.
//!
//! One thread at a time renews for everybody who waits, and ends when nobody does. What is renewed after somebody has come is
//! fresh enough for it. A renewal that does not come to its end keeps nobody for longer than [`PATIENCE`]: then, and
//! from then on until it ends, handshakes go on with what was there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::reactor::{Job, OnTimer, Poller, clock, helper, user};
use crate::sync::Mutex;
use crate::tell;

/// The longest that anybody waits for a renewal.
const PATIENCE: Duration = Duration::from_secs(5);

/// What goes on when the credentials are renewed. Does not block.
type Then = Box<dyn FnOnce() + Send>;

/// Who waits for the renewal of one kind of credentials.
#[derive(Default)]
pub(crate) struct Renewals {
    /// Guards who waits. A leaf.
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// In the order they came, and when.
    then: Vec<(Instant, Then)>,
    /// How many of them the renewal that runs is for.
    covered: usize,
    /// Since when it runs; while there is a thread.
    since: Option<Instant>,
    told: bool,
    /// Nobody goes on any more.
    closed: bool,
}

impl Waiting {
    /// Begins another renewal, for all who wait now. False: nobody does.
    fn begin(&mut self, now: Instant) -> bool {
        self.covered = self.then.len();
        self.since = (self.covered > 0).then_some(now);
        self.told = false;
        self.covered > 0
    }

    /// Those who go on now: the first `n`.
    fn release(&mut self, n: usize) -> Vec<Then> {
        self.covered = self.covered.saturating_sub(n);
        self.then.drain(..n.min(self.then.len())).map(|(_, then)| then).collect()
    }

    /// Whether the renewal that runs has had its time.
    fn is_late(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
    }
}

impl Renewals {
    /// Runs `renew` on a thread of the library's, and `then` after it. Without a thread, or in the middle of a renewal that
    /// does not end, `then` goes on with what was there.
    pub(crate) fn before(
        self: &Arc<Self>,
        poller: &Poller,
        renew: impl Fn() + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) {
        let now = clock::now();
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return drop(then);
        }
        if state.is_late(now) {
            drop(state);
            return then();
        }
        state.then.push((now, Box::new(then)));
        let runs = state.since.is_some() || !state.begin(now);
        drop(state);
        poller.timer(now + PATIENCE, self.clone(), 0);
        if runs {
            return;
        }
        let this = self.clone();
        let work = Box::new(move || {
            loop {
                // It may be the user's code. What it says when it panics is logged.
                let _ = user::run(format_args!("a renewal of credentials"), &renew);
                if !this.renewed() {
                    return;
                }
            }
        });
        if let Err((error, work)) = helper::spawn("renewal", work) {
            drop(work);
            tell::warn!("credentials are not renewed, for want of a thread: {error}");
            while self.renewed() {}
        }
    }

    /// Drops what all who wait would have gone on with, and what comes later.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let all = state.then.len();
        let dropped = state.release(all);
        drop(state);
        drop(dropped);
    }

    /// A renewal has come to its end: those it was for go on. True: there has to be another.
    fn renewed(&self) -> bool {
        let mut state = self.state.lock();
        let covered = state.covered;
        let released = state.release(covered);
        let again = state.begin(clock::now());
        drop(state);
        released.into_iter().for_each(|then| then());
        again
    }
}

impl OnTimer for Renewals {
    /// Those who have waited long enough go on.
    fn fire(&self, _: u64, now: Instant, _: &mut Vec<Job>) {
        let mut state = self.state.lock();
        let overdue = |since: Instant| now.saturating_duration_since(since) >= PATIENCE;
        let late = match state.is_late(now) {
            // Nobody who comes now waits; so nobody who came before does.
            true => state.then.len(),
            false => state.then.iter().take_while(|(since, _)| overdue(*since)).count(),
        };
        let released = state.release(late);
        let first = late > 0 && !std::mem::replace(&mut state.told, true);
        drop(state);
        if first {
            tell::warn!(
                "a renewal of credentials has not ended in {PATIENCE:?}: handshakes go on with those that were there"
            );
        }
        released.into_iter().for_each(|then| then());
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "threads of the tests' own")]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn who_comes_during_a_renewal_waits_for_the_next_one() {
        let (renewals, count) = (Arc::new(Renewals::default()), Arc::new(AtomicUsize::new(0)));
        let (begun, begins) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let (told, tells) = mpsc::channel();
        let counted = count.clone();
        let gate = std::sync::Mutex::new(gate);
        let tell = |told: &mpsc::Sender<usize>| {
            let (told, count) = (told.clone(), count.clone());
            move || told.send(count.load(Ordering::SeqCst)).unwrap()
        };
        let poller = Poller::new().unwrap();
        renewals.before(
            &poller,
            move || {
                begun.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
            },
            tell(&told),
        );
        begins.recv().unwrap();
        renewals.before(&poller, || unreachable!("one thread renews for all"), tell(&told));
        renewals.before(&poller, || unreachable!("one thread renews for all"), tell(&told));
        go.send(()).unwrap();
        assert_eq!(tells.recv().unwrap(), 1);
        go.send(()).unwrap();
        assert_eq!([tells.recv().unwrap(), tells.recv().unwrap()], [2, 2]);
    }

    #[test]
    fn a_renewal_that_panics_stops_nobody() {
        let (renewals, poller) = (Arc::new(Renewals::default()), Poller::new().unwrap());
        let (told, tells) = mpsc::channel();
        for _ in 0..2 {
            let told = told.clone();
            renewals.before(&poller, || panic!("a fetcher's"), move || told.send(()).unwrap());
            tells.recv().unwrap();
        }
    }

    #[test]
    fn a_renewal_that_never_ends_keeps_nobody_and_nobody_who_comes_later() {
        let (renewals, poller) = (Arc::new(Renewals::default()), Poller::new().unwrap());
        let (begun, begins) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let (told, tells) = mpsc::channel();
        let tell = |name: &'static str| {
            let told = told.clone();
            move || told.send(name).unwrap()
        };
        let stuck = move || {
            begun.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
        };
        renewals.before(&poller, stuck, tell("covered"));
        begins.recv().unwrap();
        renewals.before(&poller, || unreachable!("one thread renews for all"), tell("queued"));
        let start = renewals.state.lock().since.unwrap();
        renewals.fire(0, start + PATIENCE / 2, &mut Vec::new());
        assert!(tells.try_recv().is_err(), "there is time");
        renewals.fire(0, clock::now() + PATIENCE, &mut Vec::new());
        assert_eq!([tells.try_recv(), tells.try_recv()], [Ok("covered"), Ok("queued")]);
        // Who comes while it is late goes on at once.
        renewals.state.lock().since = clock::now().checked_sub(PATIENCE);
        renewals.before(&poller, || unreachable!("one thread renews for all"), tell("later"));
        assert_eq!(tells.try_recv(), Ok("later"));
        // When it ends after all, the next one waits for a renewal again.
        drop(go);
        while renewals.state.lock().since.is_some() {
            thread::yield_now();
        }
        renewals.before(&poller, || (), tell("renewed"));
        assert_eq!(tells.recv(), Ok("renewed"));
    }

    #[test]
    fn who_came_last_goes_on_when_the_renewal_is_late_and_a_close_keeps_nothing() {
        let (renewals, poller) = (Arc::new(Renewals::default()), Poller::new().unwrap());
        let (go, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let (told, tells) = mpsc::channel();
        let stuck = move || {
            let _ = gate.lock().unwrap().recv();
        };
        let first = told.clone();
        renewals.before(&poller, stuck, move || first.send("first").unwrap());
        let start = renewals.state.lock().since.unwrap();
        let last = told.clone();
        renewals.before(&poller, || (), move || last.send("last").unwrap());
        // It came now, and the renewal began long ago.
        renewals.state.lock().since = start.checked_sub(PATIENCE);
        renewals.state.lock().then[0].0 = start.checked_sub(PATIENCE).unwrap();
        renewals.fire(0, clock::now(), &mut Vec::new());
        assert_eq!([tells.try_recv(), tells.try_recv()], [Ok("first"), Ok("last")]);

        renewals.state.lock().since = Some(clock::now());
        let kept = Arc::new(());
        for _ in 0..2 {
            let held = kept.clone();
            renewals.before(&poller, || (), move || drop(held));
            renewals.close();
            assert_eq!(Arc::strong_count(&kept), 1, "what a client that waits holds");
        }
        drop(go);
    }
}
