//! Credentials that are renewed before the next handshake, though that may block.
//!
//! One thread at a time renews for everybody who waits, and ends when nobody does. What is renewed after somebody has come is
//! fresh enough for it.

use std::sync::Arc;

use crate::reactor::{helper, user};
use crate::sync::Mutex;
use crate::tell;

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
    then: Vec<Then>,
    renewing: bool,
}

impl Renewals {
    /// Runs `renew` on a thread of the library's, and `then` after it. Without a thread, `then` goes on with what was there.
    pub(crate) fn before(
        self: &Arc<Self>,
        renew: impl Fn() + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) {
        let mut state = self.state.lock();
        state.then.push(Box::new(then));
        if std::mem::replace(&mut state.renewing, true) {
            return;
        }
        drop(state);
        let this = self.clone();
        let work = Box::new(move || {
            while let Some(waiting) = this.next() {
                // It may be the user's code. What it says when it panics is logged.
                let _ = user::run(format_args!("a renewal of credentials"), &renew);
                waiting.into_iter().for_each(|then| then());
            }
        });
        if let Err((error, work)) = helper::spawn("renewal", work) {
            drop(work);
            tell::warn!("credentials are not renewed, for want of a thread: {error}");
            while let Some(waiting) = self.next() {
                waiting.into_iter().for_each(|then| then());
            }
        }
    }

    /// Those who wait now; `None`: nobody, and no thread renews any more.
    fn next(&self) -> Option<Vec<Then>> {
        let mut state = self.state.lock();
        let waiting = std::mem::take(&mut state.then);
        state.renewing = !waiting.is_empty();
        state.renewing.then_some(waiting)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "threads of the tests' own")]
mod tests {
    use std::sync::mpsc;

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
        renewals.before(
            move || {
                begun.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
            },
            tell(&told),
        );
        begins.recv().unwrap();
        renewals.before(|| unreachable!("one thread renews for all"), tell(&told));
        renewals.before(|| unreachable!("one thread renews for all"), tell(&told));
        go.send(()).unwrap();
        assert_eq!(tells.recv().unwrap(), 1);
        go.send(()).unwrap();
        assert_eq!([tells.recv().unwrap(), tells.recv().unwrap()], [2, 2]);
    }

    #[test]
    fn a_renewal_that_panics_stops_nobody() {
        let renewals = Arc::new(Renewals::default());
        let (told, tells) = mpsc::channel();
        for _ in 0..2 {
            let told = told.clone();
            renewals.before(|| panic!("a fetcher's"), move || told.send(()).unwrap());
            tells.recv().unwrap();
        }
    }
}
