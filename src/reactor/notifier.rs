//! The notifier: the one thread of the process that runs callbacks of the user's, in the order in which they came.
//!
//! Nothing of the library waits for it: a callback may take its time, and may ask for the end of any call. What is
//! queued is never lost: where no thread can be had it stays until one can, and runs nowhere else, for whoever
//! brings a callback may be a poller or a leader, or a caller with locks of its own.
//!
//! Locks: one, a leaf, over the queue: the standard library's, since `parking_lot` keeps its waiters in a table for the whole process, which a
//! fork copies with the parent's thread still in it. Neither a callback nor the start of a thread happens under it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::sync::plain::{Condvar, Mutex};
use crate::sync::{process_wide, thread_own};
use crate::tell;

use super::{Job, OnTimer, clock, global, threads, user};

/// A callback of the user's, or something that ends in one.
pub(crate) type Callback = Box<dyn FnOnce() + Send>;

/// A callback that takes longer is told to the log, while it goes on and once it has ended: all others wait for it.
const SLOW: Duration = Duration::from_secs(1);
/// While no thread can be had, the next try is so much later.
const AGAIN: Duration = Duration::from_millis(100);
/// Callbacks that begin further ones on the same thread, one inside the other, before the next goes to the notifier.
const DEEP: usize = 16;

process_wide! {
    static NOTIFIER: Notifier = Notifier::new(start);
}

/// Runs `callback` on the notifier thread, after those given before. A panic in it is logged.
pub(crate) fn notify(callback: Callback) {
    NOTIFIER.push(callback);
}

/// Runs a callback of a call that is over already, here and now: the thread is its owner's own. A callback that begins
/// the next such one does not grow the stack for ever: from a depth on, the notifier runs it.
pub(crate) fn run_here(what: fmt::Arguments<'_>, callback: Box<dyn FnOnce() + Send>) {
    // A thread that ends has no count left; there the notifier is always good.
    let depth = DEPTH.reach(Cell::get).unwrap_or(DEEP);
    if depth >= DEEP {
        return notify(callback);
    }
    let count = |depth| DEPTH.reach(|own| own.set(depth)).unwrap_or(());
    count(depth + 1);
    // Contained and logged, as on the notifier's thread.
    let _ = user::run(what, callback);
    count(depth);
}

thread_own! {
    static DEPTH: Cell<usize> = Cell::new(0);
}

/// This process is a child, where the thread does not live.
pub(super) fn forget() {
    NOTIFIER.forget();
}

/// Whether there is a thread, as far as is known.
#[cfg(test)]
pub(super) fn is_served() -> bool {
    NOTIFIER.queue.lock().served
}

struct Notifier {
    start: fn() -> io::Result<()>,
    queue: Mutex<Queue>,
    more: Condvar,
}

struct Queue {
    waiting: VecDeque<Callback>,
    /// There is a thread, or one is being started.
    served: bool,
    /// A timer is set for the next try to start it.
    retry: bool,
    watch: Watch,
}

/// Looks whether a callback goes on for long: by one timer, set when one begins and none is set. So there is at most
/// one a second, and none once no callback runs.
#[derive(Debug)]
struct Watch {
    /// When the one that runs began.
    began: Option<Instant>,
    /// It was told of.
    told: bool,
    /// When the timer fires.
    timer: Option<Instant>,
}

impl Watch {
    const fn new() -> Self {
        Self { began: None, told: false, timer: None }
    }

    /// A callback begins. `Some`: a timer is to be set for then.
    fn begin(&mut self, now: Instant) -> Option<Instant> {
        (self.began, self.told) = (Some(now), false);
        // The poller of a timer that is overdue has ended, perhaps, and the timer with it.
        let set = self.timer.is_some_and(|timer| now.saturating_duration_since(timer) < SLOW);
        if set {
            return None;
        }
        self.timer = Some(now + SLOW);
        self.timer
    }

    fn end(&mut self) {
        self.began = None;
    }

    /// The timer has fired: for how long the callback has gone on that is to be told of, and when to look again.
    fn look(&mut self, now: Instant) -> (Option<Duration>, Option<Instant>) {
        self.timer = None;
        let Some(began) = self.began.filter(|_| !self.told) else { return (None, None) };
        let goes_on = now.saturating_duration_since(began);
        if goes_on >= SLOW {
            self.told = true;
            return (Some(goes_on), None);
        }
        self.timer = Some(began + SLOW);
        (None, self.timer)
    }
}

/// The process's own.
fn start() -> io::Result<()> {
    threads::spawn("grpc-notifier", || NOTIFIER.serve()).map(drop)
}

impl Notifier {
    const fn new(start: fn() -> io::Result<()>) -> Self {
        let waiting = VecDeque::new();
        let queue = Mutex::new(Queue { waiting, served: false, retry: false, watch: Watch::new() });
        Self { start, queue, more: Condvar::new() }
    }

    fn push(&self, callback: Callback) {
        let mut queue = self.queue.lock();
        queue.waiting.push_back(callback);
        drop(queue);
        self.more.notify_one();
        self.see_to_a_thread();
    }

    /// What waits is the parent's to run, and to drop.
    fn forget(&self) {
        let mut queue = self.queue.lock();
        std::mem::forget(std::mem::take(&mut queue.waiting));
        queue.served = false;
        queue.retry = false;
        queue.watch = Watch::new();
    }

    /// Starts the thread if there is none and something waits.
    fn see_to_a_thread(&self) {
        let mut queue = self.queue.lock();
        if queue.waiting.is_empty() || std::mem::replace(&mut queue.served, true) {
            return;
        }
        drop(queue);
        let Err(error) = (self.start)() else { return };
        let mut queue = self.queue.lock();
        queue.served = false;
        let (first, waiting) = (!std::mem::replace(&mut queue.retry, true), queue.waiting.len());
        drop(queue);
        if !first {
            return;
        }
        tell::error!("no thread can be had for {waiting} callbacks, which wait for one: {error}");
        let set = global::remind(clock::now() + AGAIN, AGAIN_TARGET.clone());
        self.queue.lock().retry = set;
    }

    /// The thread.
    fn serve(&self) {
        let _served = Served(self);
        let mut queue = self.queue.lock();
        loop {
            let Some(callback) = queue.waiting.pop_front() else {
                if threads::over() {
                    return;
                }
                queue = self.more.wait(queue);
                continue;
            };
            let began = clock::now();
            let timer = queue.watch.begin(began);
            drop(queue);
            if let Some(at) = timer {
                // Where nobody turns a poller, it is told of once it has ended.
                global::remind(at, SLOW_TARGET.clone());
            }
            // Contained and logged.
            let _ = user::run(format_args!("a callback"), callback);
            let took = clock::now().saturating_duration_since(began);
            queue = self.queue.lock();
            queue.watch.end();
            if took >= SLOW {
                let others = Others(queue.waiting.len());
                drop(queue);
                tell::warn!("a callback kept the thread of all callbacks for {took:?}; {others}");
                queue = self.queue.lock();
            }
        }
    }
}

/// Ends the thread: an execution of the model checker is over.
#[cfg(all(test, shuttle))]
pub(super) fn end() {
    NOTIFIER.more.notify_all();
}

/// The thread lives. Nothing is known to end it; the next one would go on with what waits.
struct Served<'a>(&'a Notifier);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().served = false;
        self.0.see_to_a_thread();
    }
}

/// The timer of the next try, on a poller. In a process without one the next callback tries.
struct Again;

/// Timers are kept weakly.
static AGAIN_TARGET: LazyLock<Arc<Again>> = LazyLock::new(|| Arc::new(Again));

impl OnTimer for Again {
    fn fire(&self, _tag: u64, _now: Instant, _jobs: &mut Vec<Job>) {
        NOTIFIER.queue.lock().retry = false;
        NOTIFIER.see_to_a_thread();
    }
}

/// The timer of [`Watch`], on a poller.
struct Slow;

static SLOW_TARGET: LazyLock<Arc<Slow>> = LazyLock::new(|| Arc::new(Slow));

impl OnTimer for Slow {
    fn fire(&self, _tag: u64, now: Instant, _jobs: &mut Vec<Job>) {
        let mut queue = NOTIFIER.queue.lock();
        let (goes_on, again) = queue.watch.look(now);
        let others = Others(queue.waiting.len());
        drop(queue);
        if let Some(at) = again {
            global::remind(at, SLOW_TARGET.clone());
        }
        if let Some(goes_on) = goes_on {
            tell::warn!(
                "a callback has kept the thread of all callbacks for {goes_on:?} and goes on; {others}"
            );
        }
    }
}

/// How many callbacks wait behind one, in words.
struct Others(usize);

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("no other waits"),
            1 => f.write_str("1 other waits"),
            others => write!(f, "{others} others wait"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_wait_are_counted_in_words() {
        let told = [0, 1, 2].map(|others| Others(others).to_string());
        assert_eq!(told, ["no other waits", "1 other waits", "2 others wait"]);
    }

    #[test]
    fn a_callback_that_goes_on_is_told_of_once_by_one_timer() {
        let (mut watch, start) = (Watch::new(), clock::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(watch.begin(at(0)), Some(at(1_000)));
        watch.end();
        // Many short ones: the one timer that is set will do.
        for ms in 1..900 {
            assert_eq!(watch.begin(at(ms)), None);
            watch.end();
        }
        assert_eq!(watch.begin(at(900)), None);
        assert_eq!(watch.look(at(1_000)), (None, Some(at(1_900))));
        assert_eq!(watch.look(at(1_900)), (Some(Duration::from_secs(1)), None));
        assert_eq!(watch.look(at(5_000)), (None, None), "once");
        watch.end();
        assert_eq!(watch.begin(at(6_000)), Some(at(7_000)));
        watch.end();
        assert_eq!(watch.look(at(7_000)), (None, None), "nothing runs, so nothing ticks");
        assert_eq!(watch.begin(at(8_000)), Some(at(9_000)));
        watch.end();
        // That timer went with its poller.
        assert_eq!(watch.begin(at(10_000)), Some(at(11_000)));
    }
    use crate::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;

    fn later() -> Duration {
        Duration::from_secs(10)
    }

    #[test]
    fn what_is_queued_while_no_thread_can_be_had_waits_for_one_and_runs_nowhere_else() {
        static THREADS: AtomicBool = AtomicBool::new(false);
        static POOR: Notifier = Notifier::new(|| {
            if !THREADS.load(Ordering::SeqCst) {
                return Err(io::Error::from(io::ErrorKind::OutOfMemory));
            }
            threads::spawn("notifier", || POOR.serve()).map(drop)
        });
        let (sender, receiver) = mpsc::channel();
        let tell = |n: u8| {
            let sender = sender.clone();
            Box::new(move || sender.send((n, thread::current().id())).unwrap())
        };
        POOR.push(tell(1));
        POOR.push(tell(2));
        assert_eq!(POOR.queue.lock().waiting.len(), 2);
        THREADS.store(true, Ordering::SeqCst);
        POOR.push(tell(3));
        for n in 1..=3 {
            let (told, on) = receiver.recv_timeout(later()).unwrap();
            assert_eq!(told, n);
            assert_ne!(on, thread::current().id());
        }
    }

    #[test]
    fn l12_a_child_has_a_notifier_of_its_own_and_leaves_what_its_parent_had_queued() {
        static CHILD: Notifier =
            Notifier::new(|| threads::spawn("notifier", || CHILD.serve()).map(drop));
        let (sender, receiver) = mpsc::channel();
        let tell = |n: u8| {
            let sender = sender.clone();
            Box::new(move || sender.send(n).unwrap())
        };
        // As `fork` leaves it: somebody serves, but not here.
        CHILD.queue.lock().served = true;
        CHILD.push(tell(1));
        CHILD.forget();
        CHILD.push(tell(2));
        assert_eq!(receiver.recv_timeout(later()).unwrap(), 2);
        assert!(receiver.try_recv().is_err());
    }

    #[test]
    fn a_panic_of_any_kind_leaves_the_thread_and_the_queue_as_they_are() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("a payload that panics");
            }
        }
        let (sender, receiver) = mpsc::channel();
        let ask = |sender: &mpsc::Sender<_>| {
            let sender = sender.clone();
            notify(Box::new(move || sender.send(thread::current().id()).unwrap()));
        };
        ask(&sender);
        notify(Box::new(|| std::panic::panic_any(Bomb)));
        let captured = Bomb;
        notify(Box::new(move || drop(captured)));
        ask(&sender);
        let first = receiver.recv_timeout(later()).unwrap();
        assert_eq!(receiver.recv_timeout(later()).unwrap(), first);
    }

    #[test]
    fn callbacks_within_callbacks_do_not_grow_the_stack_for_ever() {
        fn next(left: usize, deepest: usize, done: std::sync::mpsc::Sender<usize>) {
            let here = DEPTH.reach(Cell::get).unwrap();
            if left == 0 {
                return done.send(deepest).unwrap();
            }
            let next = move || next(left - 1, deepest.max(here), done);
            run_here(format_args!("a link of the chain"), Box::new(next));
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        next(100_000, 0, sender);
        assert_eq!(receiver.recv().unwrap(), DEEP);
    }
}
