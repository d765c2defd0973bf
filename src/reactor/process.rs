//! Whether this is still the process that the library's threads were born in.
//!
//! `fork` copies everything but the threads. A child that makes a channel or starts a server of its own gets threads of its
//! own: [`begin`] finds that the process is another one, and what the library keeps for the whole process starts anew.
//! What the parent had made, its links above all, is left as it is and never dropped: its sockets are the parent's.
//!
//! Deliberately ignores channels and servers that the child has inherited: they are not to be used there.

use crate::sync::atomic::{AtomicU32, Ordering};

#[cfg(feature = "testing")]
use super::leap;
use super::{global, notifier, spares, threads};
use crate::sync::process_wide;

process_wide! {
    /// The process that was seen last; 0: none yet.
    static SEEN: Seen = Seen::new();
    /// How often another one was found.
    static GENERATION: AtomicU32 = AtomicU32::new(0);
}

/// To be called before threads are used that might have been born in a parent.
pub(super) fn begin() {
    if SEEN.is_another(std::process::id()) {
        threads::forget();
        global::forget();
        notifier::forget();
        spares::forget();
        #[cfg(feature = "testing")]
        leap::forget();
        GENERATION.fetch_add(1, Ordering::Release);
    }
}

/// Changes when what is kept for the whole process has to start anew.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Acquire)
}

struct Seen(AtomicU32);

impl Seen {
    const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    fn is_another(&self, process: u32) -> bool {
        // The common case writes nothing.
        let before = self.0.load(Ordering::Relaxed);
        before != process && self.0.swap(process, Ordering::AcqRel) != 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread::{self, ThreadId};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::reactor::few::alone;
    use crate::reactor::{Job, OnTimer, Poller, ThreadPool, client_poller, clock, thread_count};

    const LATER: Duration = Duration::from_secs(20);

    /// Tells which thread turns its poller.
    struct Who(mpsc::Sender<ThreadId>);

    impl OnTimer for Who {
        fn fire(&self, _: u64, _: Instant, _: &mut Vec<Job>) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    fn who_turns(poller: &Poller) -> ThreadId {
        let (sender, receiver) = mpsc::channel();
        let who = Arc::new(Who(sender));
        poller.timer(clock::now(), who.clone(), 0);
        receiver.recv_timeout(LATER).unwrap()
    }

    /// From here on this is a child as far as `begin` can see. The parent's threads still live: what stands on one of them
    /// is found out by which thread it is.
    fn fork() {
        SEEN.0.store(std::process::id() + 1, Ordering::Release);
    }

    #[test]
    fn l12_who_makes_a_channel_or_a_server_in_a_child_stands_on_threads_born_there() {
        let name = "reactor::process::tests::\
                    l12_who_makes_a_channel_or_a_server_in_a_child_stands_on_threads_born_there";
        alone(name, || {
            let parents = client_poller().unwrap();
            let theirs = who_turns(&parents);
            notifier::notify(Box::new(|| {}));
            assert!(notifier::is_served());
            assert_eq!((thread_count(), generation()), (2, 0));

            fork();
            let poller = client_poller().unwrap();
            assert_eq!((thread_count(), generation()), (1, 1), "none of the parent's counts");
            assert!(!Arc::ptr_eq(&poller, &parents), "nobody turns the parent's here");
            let ours = who_turns(&poller);
            assert_ne!(ours, theirs);
            assert!(!notifier::is_served(), "the next callback starts one");

            fork();
            let pool = ThreadPool::new(1);
            let own = pool.poller().unwrap();
            assert_eq!((thread_count(), generation()), (2, 2), "a worker and the reserve");
            assert!(![theirs, ours].contains(&who_turns(&own)));
            let last = global::client_poller().unwrap();
            assert!(!Arc::ptr_eq(&last, &poller) && !Arc::ptr_eq(&last, &parents));
        });
    }

    #[test]
    fn l12_another_process_is_found_once() {
        let seen = Seen::new();
        assert!(!seen.is_another(10), "the first is no other");
        assert!(!seen.is_another(10));
        assert!(seen.is_another(11), "a child");
        assert!(!seen.is_another(11));
        assert!(seen.is_another(12), "a grandchild");
    }
}
