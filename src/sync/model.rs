//! The primitives under the model checker: shuttle's, with the faces that the code knows, and a time line.
//!
//! **Time is a number.** It stands still while anything can run, and moves to the next thing that is due when nothing
//! can (or, seldom, a small step earlier: a deadline may come at any moment). What is set further ahead than [`HORIZON`] is
//! due when time gets there by something nearer, and never by itself: what a timer of a minute alone would save has hung.
//! Waits with an end, and the pollers' alarms, are entries of one line; the *clock*, a thread of the model's own, moves
//! along it.
//!
//! **All of it is new for each execution**, what is once for the process too ([`process_wide`]).
//!
//! Within these primitives std's lock guards lists: the checker runs one thread at a time and changes threads only in
//! its own primitives, so that lock is never contended.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool as Plain, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use shuttle::sync as checked;

pub(crate) use shuttle::sync::atomic;
pub(crate) use shuttle::thread_local;

/// What belongs to threads themselves.
pub(crate) mod thread {
    use std::io;
    use std::num::NonZero;

    pub(crate) use shuttle::thread::{Builder, JoinHandle, LocalKey, ThreadId, current, yield_now};

    #[expect(clippy::unnecessary_wraps, reason = "the real one may fail")]
    pub(crate) fn available_parallelism() -> io::Result<NonZero<usize>> {
        Ok(const { NonZero::new(2).unwrap() })
    }
}

/// Declares what there is once for the process: here once for each execution.
macro_rules! process_wide {
    ($($(#[$docs:meta])* static $name:ident: $type:ty = $initial:expr;)+) => {
        $(
            shuttle::lazy_static! {
                $(#[$docs])*
                static ref $name: $type = $initial;
            }
        )+
    };
}
pub(crate) use process_wide;

/// How far time goes while others could go on.
const STEP: Duration = Duration::from_millis(50);
/// How far ahead anything is near.
pub(crate) const HORIZON: Duration = Duration::from_secs(15);

process_wide! {
    static LINE: std::sync::Mutex<Line> = std::sync::Mutex::new(Line::default());
}

/// Time, and what is due when.
#[derive(Default)]
struct Line {
    now: Duration,
    due: BTreeMap<Due, Entry>,
    next: u64,
    over: bool,
    clock_stopped: bool,
}

/// What is done by the clock.
struct Entry {
    act: Arc<dyn Fn() + Send + Sync>,
    far: bool,
}

/// An entry's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due(Duration, u64);

fn line() -> std::sync::MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The instant at which every execution begins.
#[expect(clippy::disallowed_methods, reason = "a starting point; nothing waits for it")]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Now, in the model's time.
pub(crate) fn now() -> Instant {
    start() + line().now
}

/// `act` is done by the clock when it is `at`.
pub(crate) fn expect(at: Instant, act: Arc<dyn Fn() + Send + Sync>) -> Due {
    let mut line = line();
    let due = Due(at.saturating_duration_since(start()), line.next);
    line.next += 1;
    let far = due.0.saturating_sub(line.now) > HORIZON;
    line.due.insert(due, Entry { act, far });
    line.look();
    due
}

/// It need not be done any more.
pub(crate) fn forget(due: Due) {
    let mut line = line();
    let gone = line.due.remove(&due);
    line.look();
    drop(line);
    drop(gone);
}

/// How far time has gone.
pub(crate) fn time() -> Duration {
    line().now
}

/// A number at random, drawn by the schedule.
pub(crate) fn random() -> u64 {
    use shuttle::rand::RngCore;
    shuttle::rand::thread_rng().next_u64()
}

/// Waits a while, in the model's time.
pub(crate) fn sleep(duration: Duration) {
    let nobody = (Mutex::new(()), Condvar::new());
    let until = now() + duration;
    let mut guard = nobody.0.lock();
    while !nobody.1.wait_until(&mut guard, until).timed_out() {}
}

/// The execution ends: what is there once for the process, and is never joined, ends too.
pub(crate) fn end() {
    line().over = true;
}

/// Whether the execution ends.
pub(crate) fn over() -> bool {
    line().over
}

/// Moves time to the next thing that is due, and does it. False: nothing is. While others can go on (not `alone`) it is
/// a small step or none: they are slow, not asleep.
pub(crate) fn tick(alone: bool) -> bool {
    let mut line = line();
    let near = line.due.iter().find(|(_, entry)| !entry.far);
    let most = if alone { Duration::MAX } else { line.now + STEP };
    if near.is_none_or(|(due, _)| due.0 > most) {
        return false;
    }
    let Some((Due(at, _), Entry { act, .. })) = line.due.pop_first() else { return false };
    line.now = line.now.max(at);
    line.look();
    drop(line);
    act();
    true
}

/// The execution is over: its clock may end.
pub(crate) fn stop_clock() {
    line().clock_stopped = true;
}

pub(crate) fn clock_stopped() -> bool {
    line().clock_stopped
}

/// What the schedule and the clock tell each other. The schedule is drawn where nothing of an execution can be reached,
/// so these are of the process; one execution runs at a time.
static ALONE: Plain = Plain::new(false);
static OVERDUE: Plain = Plain::new(false);
static CALM: Plain = Plain::new(false);

/// Whether nobody but the clock can go on.
pub(crate) fn tell_alone(alone: bool) {
    ALONE.store(alone, Ordering::SeqCst);
}

pub(crate) fn alone() -> bool {
    ALONE.load(Ordering::SeqCst)
}

/// Whether the clock goes on when nobody else can, and then only: for waits that something else is to end.
pub(crate) fn set_calm(calm: bool) {
    CALM.store(calm, Ordering::SeqCst);
}

pub(crate) fn calm() -> bool {
    CALM.load(Ordering::SeqCst)
}

/// Whether something is due now.
pub(crate) fn overdue() -> bool {
    OVERDUE.load(Ordering::SeqCst)
}

impl Line {
    fn look(&self) {
        let first = self.due.first_key_value();
        let overdue = first.is_some_and(|(first, _)| first.0 <= self.now);
        OVERDUE.store(overdue, Ordering::SeqCst);
    }
}

/// As `parking_lot`'s.
#[derive(Default)]
pub(crate) struct Mutex<T: ?Sized>(checked::Mutex<T>);

crate::sync::thread_own! {
    /// How many locks this thread holds.
    static HELD: std::cell::Cell<usize> = std::cell::Cell::new(0);
}

/// This thread is in code of the user's, or would be: it holds no lock of ours.
pub(crate) fn assert_no_lock() {
    let held = HELD.reach(std::cell::Cell::get);
    assert!(held.unwrap_or(0) == 0, "code of the user's runs under a lock");
}

pub(crate) struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// `None` while it is given up for a wait.
    held: Option<checked::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(checked::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let held = Some(self.acquire());
        holds_one_more();
        MutexGuard { mutex: self, held }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = self.0.try_lock().ok()?;
        holds_one_more();
        Some(MutexGuard { mutex: self, held: Some(held) })
    }

    fn acquire(&self) -> checked::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

impl<T: ?Sized> MutexGuard<'_, T> {
    /// Gives the lock up for `act`.
    pub(crate) fn unlocked<R>(guard: &mut Self, act: impl FnOnce() -> R) -> R {
        guard.held = None;
        holds_one_less();
        let result = act();
        guard.held = Some(guard.mutex.acquire());
        holds_one_more();
        result
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if self.held.take().is_some() {
            holds_one_less();
        }
    }
}

fn holds_one_more() {
    HELD.reach(|held| held.set(held.get() + 1));
}

fn holds_one_less() {
    HELD.reach(|held| held.set(held.get().saturating_sub(1)));
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("it is held")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("it is held")
    }
}

/// As `parking_lot`'s.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(checked::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(checked::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> checked::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> checked::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As `parking_lot`'s: no wake without a reason, first come first served, and waits that end by the clock.
#[derive(Default)]
pub(crate) struct Condvar {
    waiters: std::sync::Mutex<VecDeque<Arc<Waiter>>>,
}

/// One thread in one wait.
#[derive(Default)]
struct Waiter {
    signal: checked::Condvar,
    told: Plain,
    late: Plain,
}

impl Waiter {
    fn over(&self) -> bool {
        self.told.load(Ordering::SeqCst) || self.late.load(Ordering::SeqCst)
    }
}

/// Whether it was the clock that ended a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self { waiters: std::sync::Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.wait_by(guard, None);
    }

    pub(crate) fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        until: Instant,
    ) -> WaitTimeoutResult {
        self.wait_by(guard, Some(until))
    }

    pub(crate) fn wait_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        most: Duration,
    ) -> WaitTimeoutResult {
        self.wait_by(guard, now().checked_add(most))
    }

    pub(crate) fn notify_one(&self) {
        let first = self.waiters().pop_front();
        if let Some(waiter) = first {
            waiter.told.store(true, Ordering::SeqCst);
            waiter.signal.notify_one();
        }
    }

    pub(crate) fn notify_all(&self) {
        let all = std::mem::take(&mut *self.waiters());
        for waiter in &all {
            waiter.told.store(true, Ordering::SeqCst);
        }
        for waiter in all {
            waiter.signal.notify_one();
        }
    }

    fn wait_by<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        until: Option<Instant>,
    ) -> WaitTimeoutResult {
        if until.is_some_and(|until| until <= now()) {
            return WaitTimeoutResult(true);
        }
        let me = Arc::new(Waiter::default());
        self.waiters().push_back(me.clone());
        let due = until.map(|until| {
            let me = me.clone();
            expect(
                until,
                Arc::new(move || {
                    me.late.store(true, Ordering::SeqCst);
                    me.signal.notify_one();
                }),
            )
        });
        let mut held = guard.held.take().expect("it is held");
        while !me.over() {
            held = me.signal.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        guard.held = Some(held);
        self.waiters().retain(|waiter| !Arc::ptr_eq(waiter, &me));
        if let Some(due) = due {
            forget(due);
        }
        WaitTimeoutResult(!me.told.load(Ordering::SeqCst))
    }

    fn waiters(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Waiter>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar")
    }
}

/// As std's, without poison.
pub(crate) mod plain {
    use std::time::Duration;

    pub(crate) use super::Mutex;
    use super::MutexGuard;

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(super::Condvar);

    impl Condvar {
        pub(crate) const fn new() -> Self {
            Self(super::Condvar::new())
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(&mut guard);
            guard
        }

        pub(crate) fn wait_for<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            most: Duration,
        ) -> MutexGuard<'a, T> {
            self.0.wait_for(&mut guard, most);
            guard
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }
    }
}
