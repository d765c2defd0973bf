//! One epoll, a registry of what is polled, and a heap of timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::{Job, clock};

/// Told that a descriptor is ready. Runs on a polling thread, with no lock held: never blocks.
pub(crate) trait Ready: Send + Sync {
    /// Work for handlers goes to `jobs`.
    fn ready(&self, readiness: Readiness, jobs: &mut Vec<Job>);
}

/// Told that a timer is due. Runs on a polling thread, with no lock held: never blocks.
pub(crate) trait OnTimer: Send + Sync {
    /// `tag` is what the timer was set with.
    fn fire(&self, tag: u64, now: Instant, jobs: &mut Vec<Job>);
}

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) hangup: bool,
}

/// What is asked of a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// How a descriptor is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Once, for both directions; each edge is reported once.
    Edge,
    /// Nothing is reported until it is armed, and then one event.
    OneShot,
}

/// A registration: slab index and generation, so that an event that was already on its way
/// cannot reach whoever got the index next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    index: u32,
    generation: u32,
}

const KICK: u64 = u64::MAX;
const BATCH: usize = 64;

/// Any number of threads may wait on one poller; each event reaches one of them.
pub(crate) struct Poller {
    epoll: OwnedFd,
    kick: OwnedFd,
    /// How long a thread looks before it sleeps, in nanoseconds.
    busy_poll: AtomicU64,
    /// Guards the registrations and what was posted. A leaf; held for look-ups only.
    registry: Mutex<Registry>,
    /// Guards the timer heap. A leaf.
    timers: Mutex<Timers>,
}

#[derive(Default)]
struct Registry {
    slots: Vec<Slot>,
    free: Vec<u32>,
    posted: Vec<(Token, Readiness)>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    ready: Option<Arc<dyn Ready>>,
}

#[derive(Default)]
struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    next: u64,
    /// Until when each waiting thread sleeps. A thread that sleeps longer than the earliest
    /// timer is of no use to it.
    sleepers: Vec<(u64, Option<Instant>)>,
}

struct Timer {
    at: Instant,
    order: u64,
    target: Arc<dyn OnTimer>,
    tag: u64,
}

impl Timers {
    fn earliest(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(timer)| timer.at)
    }

    /// Whether some waiting thread wakes in time for the earliest timer (or there is none).
    fn served(&self) -> bool {
        let Some(earliest) = self.earliest() else { return true };
        self.sleepers.iter().any(|(_, until)| until.is_some_and(|until| until <= earliest))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let kick = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &kick, EventData::new_u64(KICK), EventFlags::IN | EventFlags::ET)?;
        Ok(Arc::new(Self {
            epoll,
            kick,
            busy_poll: AtomicU64::new(0),
            registry: Mutex::default(),
            timers: Mutex::default(),
        }))
    }

    pub(crate) fn add(
        &self,
        fd: BorrowedFd<'_>,
        mode: Mode,
        ready: Arc<dyn Ready>,
    ) -> io::Result<Token> {
        let token = self.reserve(ready);
        let flags = match mode {
            Mode::Edge => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET,
            Mode::OneShot => EventFlags::ONESHOT,
        };
        if let Err(error) = epoll::add(&self.epoll, fd, EventData::new_u64(token.data()), flags) {
            self.release(token);
            return Err(error.into());
        }
        Ok(token)
    }

    /// A registration without a descriptor, for [`Poller::post`].
    pub(crate) fn reserve(&self, ready: Arc<dyn Ready>) -> Token {
        let mut registry = self.registry.lock();
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
        let mut flags = EventFlags::ONESHOT | EventFlags::RDHUP;
        flags.set(EventFlags::IN, interest.read);
        flags.set(EventFlags::OUT, interest.write);
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token.data()), flags)?)
    }

    pub(crate) fn remove(&self, token: Token, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, fd);
        self.release(token);
    }

    /// Forgets a registration.
    pub(crate) fn release(&self, token: Token) {
        let mut registry = self.registry.lock();
        let Some(slot) = registry.slots.get_mut(token.index as usize) else { return };
        if slot.generation == token.generation {
            let ready = slot.ready.take();
            registry.free.push(token.index);
            drop(registry);
            drop(ready);
        }
    }

    /// Makes a registration ready from outside.
    pub(crate) fn post(&self, token: Token, readiness: Readiness) {
        self.registry.lock().posted.push((token, readiness));
        self.kick();
    }

    /// Sets a timer. It cannot be taken back: its target looks whether it still matters.
    pub(crate) fn timer(&self, at: Instant, target: Arc<dyn OnTimer>, tag: u64) {
        let mut timers = self.timers.lock();
        let order = timers.next;
        timers.next += 1;
        timers.heap.push(Reverse(Timer { at, order, target, tag }));
        let served = timers.served();
        drop(timers);
        if !served {
            self.kick();
        }
    }

    /// A thread that has just returned from [`Poller::turn`] will not be back soon: another
    /// is woken if none of those that wait would wake for the earliest timer.
    pub(crate) fn leave(&self) {
        if !self.timers.lock().served() {
            self.kick();
        }
    }

    /// Makes one waiting thread return, or the next that waits.
    pub(crate) fn kick(&self) {
        let _ = rustix::io::write(&self.kick, &1u64.to_ne_bytes());
    }

    /// The epoll descriptor, readable when something is ready.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Waits for events, a kick or the next timer, and tells everybody concerned.
    pub(crate) fn turn(&self, jobs: &mut Vec<Job>) -> io::Result<()> {
        self.look_longer();
        let mut events = Vec::with_capacity(BATCH);
        let (sleeper, timeout) = self.fall_asleep();
        let buffer = rustix::buffer::spare_capacity(&mut events);
        let waited = epoll::wait(&self.epoll, buffer, timeout.as_ref());
        let timers_due = self.wake_up(sleeper);
        match waited {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let data = event.data.u64();
            if data == KICK {
                self.dispatch_posted(jobs);
                continue;
            }
            let flags = event.flags;
            let readiness = Readiness {
                read: flags.contains(EventFlags::IN),
                write: flags.contains(EventFlags::OUT),
                hangup: flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR),
            };
            if let Some(ready) = self.lookup(Token::from_data(data)) {
                ready.ready(readiness, jobs);
            }
        }
        if timers_due {
            self.fire_due(jobs);
        }
        Ok(())
    }

    /// A thread that waits looks for so long before it sleeps (the longest that anybody asked for):
    /// waking a sleeping CPU costs more than looking.
    pub(crate) fn set_busy_poll(&self, busy_poll: Duration) {
        let nanos = u64::try_from(busy_poll.as_nanos()).unwrap_or(u64::MAX);
        self.busy_poll.fetch_max(nanos, Ordering::Relaxed);
    }

    /// The epoll descriptor is itself readable while events are due.
    fn look_longer(&self) {
        let nanos = self.busy_poll.load(Ordering::Relaxed);
        if nanos == 0 {
            return;
        }
        let until = clock::now() + Duration::from_nanos(nanos);
        let now_or_never = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let mut fds = [PollFd::new(&self.epoll, PollFlags::IN)];
            if !matches!(poll(&mut fds, Some(&now_or_never)), Ok(0)) || clock::now() >= until {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn lookup(&self, token: Token) -> Option<Arc<dyn Ready>> {
        let registry = self.registry.lock();
        let slot = registry.slots.get(token.index as usize)?;
        if slot.generation == token.generation { slot.ready.clone() } else { None }
    }

    fn dispatch_posted(&self, jobs: &mut Vec<Job>) {
        let posted = std::mem::take(&mut self.registry.lock().posted);
        for (token, readiness) in posted {
            if let Some(ready) = self.lookup(token) {
                ready.ready(readiness, jobs);
            }
        }
    }

    fn fall_asleep(&self) -> (u64, Option<Timespec>) {
        let mut timers = self.timers.lock();
        let sleeper = timers.next;
        timers.next += 1;
        let until = timers.earliest();
        timers.sleepers.push((sleeper, until));
        drop(timers);
        let wait = until.map(|at| {
            at.saturating_duration_since(clock::now()).min(Duration::from_secs(24 * 3600))
        });
        (sleeper, wait.and_then(|wait| Timespec::try_from(wait).ok()))
    }

    /// Whether there are timers to look at.
    fn wake_up(&self, sleeper: u64) -> bool {
        let mut timers = self.timers.lock();
        timers.sleepers.retain(|(who, _)| *who != sleeper);
        !timers.heap.is_empty()
    }

    fn fire_due(&self, jobs: &mut Vec<Job>) {
        let now = clock::now();
        loop {
            let mut timers = self.timers.lock();
            if timers.earliest().is_none_or(|at| at > now) {
                return;
            }
            let Some(Reverse(timer)) = timers.heap.pop() else { return };
            drop(timers);
            timer.target.fire(timer.tag, now, jobs);
        }
    }
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Poller")
    }
}

impl Token {
    fn data(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    fn from_data(data: u64) -> Self {
        Self { index: data as u32, generation: (data >> 32) as u32 }
    }
}
