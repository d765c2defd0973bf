//! A registry of what is polled, and the timers in order, over one epoll ([`kernel`](super::kernel)).
//!
//! Any number of threads may wait; the kernel gives each event to one of them, the one
//! that came last first. Timers reach the epoll through a `timerfd`: a waiting thread
//! needs no timeout of its own, a new earliest timer needs no kick, one thread wakes
//! for it, and it is not rounded to `epoll_wait`'s millisecond.
//!
//! Ignores what the descriptors are; never reads or writes them.

use crate::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::{Mutex, MutexGuard, thread};

use super::agenda::{Agenda, Later};
use super::face::{Interest, Mode, OnTimer, Readiness, Ready, Token};
use super::kernel::{Event, Kernel, Told, no_event, told};
use super::{Job, clock, habit, user};
use crate::deadline::Deadline;
use crate::tell;

#[cfg(feature = "testing")]
mod leap;
mod timers;

use timers::Timers;

pub(super) use timers::Timed;

/// The longest that anybody may ask a thread to look before it sleeps: more would only burn CPU time.
pub(crate) const LONGEST_BUSY_POLL: Duration = Duration::from_millis(1);
/// Events that one thread takes at a time; what is left is for others who poll.
const BATCH: usize = 32;
/// A thread passes on what it found for no longer than this before it runs the jobs that came of it.
const STRETCH: Duration = Duration::from_millis(1);

/// The epoll and what belongs to it.
pub(crate) struct Poller {
    kernel: Kernel,
    /// How long a thread looks before it sleeps, in nanoseconds.
    busy_poll: AtomicU64,
    /// Lanes given out, round and round.
    lanes: AtomicU16,
    /// Guards the registrations. A leaf; held for look-ups only.
    registry: Mutex<Registry>,
    /// Guards what is still to be passed on. A leaf.
    agenda: Mutex<Agenda>,
    /// There is something: so that a turn that finds one event need not look.
    waits: AtomicBool,
    /// Guards the timers, and what the alarm is set to. A leaf, held over setting the alarm, which never blocks.
    timers: Mutex<Timers>,
    /// Signals that timers have fired.
    #[cfg(feature = "testing")]
    fired: crate::sync::Condvar,
}

#[derive(Default)]
struct Registry {
    slots: Vec<Slot>,
    free: Vec<u32>,
    closed: bool,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    ready: Option<Arc<dyn Ready>>,
}

impl Poller {
    /// # Errors
    /// When the process or the system has no more descriptors.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let kernel = Kernel::new()?;
        let busy_poll = AtomicU64::new(0);
        let (registry, agenda, timers) = Default::default();
        let (lanes, waits) = (AtomicU16::new(0), AtomicBool::new(false));
        let poller = Arc::new(Self {
            kernel,
            busy_poll,
            lanes,
            registry,
            agenda,
            waits,
            timers,
            #[cfg(feature = "testing")]
            fired: crate::sync::Condvar::new(),
        });
        #[cfg(feature = "testing")]
        super::leap::join(&poller);
        Ok(poller)
    }

    /// Registers a descriptor. It stays the caller's, who removes it before closing it.
    pub(crate) fn add(
        &self,
        fd: BorrowedFd<'_>,
        mode: Mode,
        ready: Arc<dyn Ready>,
    ) -> io::Result<Token> {
        let token = self.reserve(ready);
        self.enter(token, fd, mode).map(|()| token)
    }

    /// The second half of [`Poller::add`], for who has to know the token before the first event can come.
    pub(crate) fn enter(&self, token: Token, fd: BorrowedFd<'_>, mode: Mode) -> io::Result<()> {
        let entered = self.kernel.add(fd, mode, token.data());
        if entered.is_err() {
            self.release(token);
        }
        entered
    }

    /// A registration without a descriptor, for pipes that have none.
    pub(crate) fn reserve(&self, ready: Arc<dyn Ready>) -> Token {
        let mut registry = self.registry.lock();
        if registry.closed {
            drop(registry);
            return Token::NONE;
        }
        let index = registry.free.pop().unwrap_or_else(|| {
            registry.slots.push(Slot::default());
            (registry.slots.len() - 1) as u32
        });
        let slot = &mut registry.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.ready = Some(ready);
        Token { index, generation: slot.generation }
    }

    /// Sets a one-shot interest.
    pub(crate) fn arm(
        &self,
        token: Token,
        fd: BorrowedFd<'_>,
        interest: Interest,
    ) -> io::Result<()> {
        self.change(token, fd, Mode::Armed(interest))
    }

    /// Watches in another way, or for another token, a descriptor that was added. What there is already is reported.
    pub(crate) fn change(&self, token: Token, fd: BorrowedFd<'_>, mode: Mode) -> io::Result<()> {
        self.kernel.change(fd, mode, token.data())
    }

    /// Undoes [`Poller::add`]. An event on its way is dropped. Again is nothing.
    pub(crate) fn remove(&self, token: Token, fd: BorrowedFd<'_>) {
        self.kernel.remove(fd);
        self.release(token);
    }

    /// The other half of [`Poller::remove`], for who has released the token.
    pub(crate) fn leave(&self, fd: BorrowedFd<'_>) {
        self.kernel.remove(fd);
    }

    /// Undoes [`Poller::reserve`].
    pub(crate) fn release(&self, token: Token) {
        let mut registry = self.registry.lock();
        let Some(slot) = registry.slots.get_mut(token.index as usize) else { return };
        if slot.generation != token.generation {
            return;
        }
        let ready = slot.ready.take();
        if ready.is_some() {
            registry.free.push(token.index);
        }
        drop(registry);
        // Its drop is somebody's code: after the lock.
        drop(ready);
    }

    /// Makes a registration ready from outside: for pipes that have no descriptor.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn post(&self, token: Token, readiness: Readiness) {
        let mut agenda = self.agenda.lock();
        agenda.tell(token, readiness);
        self.left(agenda);
    }

    /// Fires a timer when nothing else is to be done, or so much that it has waited for long: who has had its turn, and
    /// has not come to an end, goes on so. Kept weakly.
    pub(crate) fn later(&self, target: &Arc<dyn OnTimer>, tag: u64) {
        let mut agenda = self.agenda.lock();
        agenda.later(Arc::downgrade(target), tag);
        self.left(agenda);
    }

    /// The end of a critical section: if something is left, somebody looks after it.
    fn left(&self, agenda: MutexGuard<'_, Agenda>) {
        let waits = !agenda.is_empty();
        self.waits.store(waits, Ordering::Release);
        drop(agenda);
        if waits {
            self.kick();
        }
    }

    /// Sets a timer. It is kept weakly and cannot be taken back (an [`Alarm`](super::Alarm) can): whoever set it looks
    /// whether it still matters, and when the target is gone so is the timer, sooner or later.
    pub(crate) fn timer(&self, at: Instant, target: Arc<dyn OnTimer>, tag: u64) {
        self.timer_instead(None, at, target, tag);
    }

    /// As [`Poller::timer`], in the place of one that was set before and need not fire any more.
    pub(super) fn timer_instead(
        &self,
        before: Option<Timed>,
        at: Instant,
        target: Arc<dyn OnTimer>,
        tag: u64,
    ) -> Timed {
        let mut timers = self.timers.lock();
        if let Some(before) = before {
            timers.all.remove(&before);
        }
        let timed = timers.push(at, Arc::downgrade(&target), tag);
        let set = timers.set_alarm(&self.kernel);
        drop(timers);
        self.tell_later(set);
        timed
    }

    /// Takes a timer back, if it has not fired. The alarm stays: it finds nothing, then.
    pub(super) fn withdraw(&self, timed: Timed) {
        let timer = self.timers.lock().all.remove(&timed);
        // It may be the last to hold its target's memory.
        drop(timer);
    }

    /// A timer that cannot be set is told of by who turns: whoever sets it may hold locks, which a logger may want.
    #[inline]
    fn tell_later(&self, set: io::Result<()>) {
        if let Err(error) = set {
            let mut agenda = self.agenda.lock();
            agenda.failed(error);
            self.left(agenda);
        }
    }

    /// Makes one waiting thread return, or the next that waits.
    pub(crate) fn kick(&self) {
        self.kernel.kick();
    }

    /// Forgets all registrations and timers: nobody will wait here any more.
    pub(crate) fn close(&self) {
        let mut registry = self.registry.lock();
        registry.closed = true;
        let slots = std::mem::take(&mut registry.slots);
        registry.free.clear();
        drop(registry);
        drop(slots);
        let agenda = std::mem::take(&mut *self.agenda.lock());
        drop(agenda);
        self.timers.lock().all.clear();
        #[cfg(feature = "testing")]
        self.fired.notify_all();
    }

    /// Waits for events, a kick or the next timer, and tells everybody concerned.
    pub(crate) fn turn(&self, jobs: &mut Vec<Job>) -> io::Result<()> {
        self.turn_after(None, jobs)
    }

    /// As [`turn`](Self::turn), for a thread that may look for events before it sleeps, where that has paid lately.
    pub(super) fn turn_and_look(&self, jobs: &mut Vec<Job>) -> io::Result<()> {
        self.turn_after(Some(habit::Wait::begin()), jobs)
    }

    fn turn_after(&self, mut wait: Option<habit::Wait>, jobs: &mut Vec<Job>) -> io::Result<()> {
        let mut events = [no_event(); BATCH];
        let mut count = self.look_longer(&mut events)?;
        if count == 0 {
            count = self.wait(&mut events, wait.as_mut())?;
        }
        // What was left before comes first. Mostly there is nothing, and no lock is needed.
        let (waits, mut over) = (self.waits.load(Ordering::Acquire), false);
        let began = (count > 1).then(clock::now);
        for event in events.iter().take(count) {
            match told(event) {
                Told::Kick => {}
                Told::Alarm => self.fire_due(jobs),
                Told::Ready(data, readiness) => {
                    let token = Token::from_data(data);
                    if waits || over {
                        self.agenda.lock().tell(token, readiness);
                    } else {
                        self.dispatch(token, readiness, jobs);
                        over = began.is_some_and(is_over);
                    }
                }
            }
        }
        if waits || over {
            self.pass_on(over, jobs);
        }
        if let Some(wait) = wait {
            wait.end_if(count == 1 && jobs.len() <= 1);
        }
        Ok(())
    }

    /// Tells everybody who is on the agenda, in order, until that has taken long enough: the turn may be `over` already.
    fn pass_on(&self, mut over: bool, jobs: &mut Vec<Job>) {
        let began = clock::now();
        while !over {
            let Some((token, readiness)) = self.agenda.lock().next() else { break };
            self.dispatch(token, readiness, jobs);
            over = is_over(began);
        }
        let mut agenda = self.agenda.lock();
        let (later, failed) = (agenda.go_on(over || !jobs.is_empty()), agenda.take_failed());
        drop(agenda);
        if let Some(error) = failed {
            tell::error!("a timer could not be set: {error}");
        }
        if let Some(Later { target, tag }) = later {
            if let Some(target) = target.upgrade() {
                let now = clock::now();
                tell(move || target.fire(tag, now, jobs));
            }
        }
        self.left(self.agenda.lock());
    }

    /// A thread that waits looks for so long before it sleeps (the longest that anybody asked for):
    /// waking a sleeping CPU costs more than looking.
    pub(crate) fn set_busy_poll(&self, busy_poll: Duration) {
        let nanos = u64::try_from(busy_poll.as_nanos()).unwrap_or(u64::MAX);
        self.busy_poll.fetch_max(nanos, Ordering::Relaxed);
    }

    /// A lane for a connection's jobs: others have it only when there are very many. Never 0, that of jobs of no connection.
    pub(crate) fn lane(&self) -> u16 {
        self.lanes.fetch_add(1, Ordering::Relaxed) % u16::MAX + 1
    }

    /// Timers that are set.
    #[cfg(test)]
    pub(crate) fn timers(&self) -> usize {
        self.timers.lock().all.len()
    }

    /// Sleeps until there is something, and looks for it before where that has paid lately.
    fn wait(&self, events: &mut [Event], mut wait: Option<&mut habit::Wait>) -> io::Result<usize> {
        while let Some(wait) = wait.as_mut().filter(|wait| wait.looks()) {
            wait.give_way();
            let count = self.kernel.wait(events, false)?;
            if count > 0 {
                wait.found();
                return Ok(count);
            }
        }
        self.kernel.wait(events, true)
    }

    fn look_longer(&self, events: &mut [Event]) -> io::Result<usize> {
        let nanos = self.busy_poll.load(Ordering::Relaxed);
        if nanos == 0 {
            return Ok(0);
        }
        let until = Deadline::after(clock::now(), Duration::from_nanos(nanos));
        loop {
            let count = self.kernel.wait(events, false)?;
            if count > 0 || until.expired(clock::now()) {
                return Ok(count);
            }
            thread::yield_now();
        }
    }

    fn dispatch(&self, token: Token, readiness: Readiness, jobs: &mut Vec<Job>) {
        let registry = self.registry.lock();
        let slot = registry.slots.get(token.index as usize);
        let ready = slot.filter(|slot| slot.generation == token.generation);
        let ready = ready.and_then(|slot| slot.ready.clone());
        drop(registry);
        if let Some(ready) = ready {
            tell(move || ready.ready(readiness, jobs));
        }
    }

    fn fire_due(&self, jobs: &mut Vec<Job>) {
        let now = clock::now();
        let mut timers = self.timers.lock();
        timers.alarm = None;
        timers.begin();
        while let Some(timer) = timers.pop_due(now) {
            drop(timers);
            if let Some(target) = timer.target.upgrade() {
                let jobs = &mut *jobs;
                tell(move || target.fire(timer.tag, now, jobs));
            }
            let over = is_over(now);
            timers = self.timers.lock();
            if over {
                // The alarm comes again at once, after what else there is.
                break;
            }
        }
        let set = timers.set_alarm(&self.kernel);
        timers.end();
        drop(timers);
        #[cfg(feature = "testing")]
        self.fired.notify_all();
        self.tell_later(set);
    }
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Poller")
    }
}

/// Whether a turn that began then has taken long enough.
fn is_over(began: Instant) -> bool {
    clock::now().saturating_duration_since(began) >= STRETCH
}

/// Tells one receiver. What it does wrong is its own loss: the others' edges come once, and nobody would set the
/// alarm again. It takes its last reference along, for what that drops is its own, too.
fn tell(receiver: impl FnOnce()) {
    // Logged: there is nobody else to tell.
    let _ = user::run(format_args!("an event's receiver"), receiver);
}

#[cfg(test)]
mod tests;
