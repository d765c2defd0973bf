//! What a poller has of the kernel: one epoll, an eventfd that kicks it, a timerfd that is its alarm.
//!
//! Any number of threads may wait; the kernel gives each event to one of them. Under the model checker `model`
//! stands here.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::clock;
use super::face::{Mode, Readiness};

pub(super) use rustix::event::epoll::Event;

const KICK: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// See the file.
pub(super) struct Kernel {
    epoll: OwnedFd,
    kick: OwnedFd,
    alarm: OwnedFd,
}

/// What an event says.
pub(super) enum Told {
    Kick,
    Alarm,
    /// Of the descriptor that was added with these data.
    Ready(u64, Readiness),
}

impl Kernel {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let kick = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let alarm = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        // Edge-triggered, so neither is ever read: each write, each expiry is an edge.
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &kick, EventData::new_u64(KICK), flags)?;
        epoll::add(&epoll, &alarm, EventData::new_u64(TIMER), flags)?;
        Ok(Self { epoll, kick, alarm })
    }

    pub(super) fn add(&self, fd: BorrowedFd<'_>, mode: Mode, data: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(data), flags(mode))?)
    }

    /// In place of what the descriptor was added with. What is there now counts as an edge.
    pub(super) fn change(&self, fd: BorrowedFd<'_>, mode: Mode, data: u64) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(data), flags(mode))?)
    }

    pub(super) fn remove(&self, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    pub(super) fn kick(&self) {
        // Fails only when the counter is full, after 2^64 kicks.
        let _ = rustix::io::write(&self.kick, &1u64.to_ne_bytes());
    }

    /// From now on the alarm goes off at `at`, and at no other time. Never blocks.
    ///
    /// # Errors
    /// What the system says: it is not known to say anything.
    pub(super) fn set_alarm(&self, at: Instant) -> io::Result<()> {
        // Zero would disarm it.
        let left = at.saturating_duration_since(clock::now()).max(Duration::from_nanos(1));
        let never = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };
        let it_value = Timespec::try_from(left).unwrap_or(never);
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &setting)?;
        Ok(())
    }

    /// How many events there are; without `sleeps` there may be none. A signal ends the wait, too.
    pub(super) fn wait(&self, events: &mut [Event], sleeps: bool) -> io::Result<usize> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, events, (!sleeps).then_some(&at_once)) {
            Ok(count) => Ok(count),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

fn flags(mode: Mode) -> EventFlags {
    const INPUT: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);
    match mode {
        Mode::Edge => INPUT | EventFlags::ET,
        Mode::Edges => INPUT | EventFlags::OUT | EventFlags::ET,
        Mode::OneShot => EventFlags::ONESHOT,
        Mode::Armed(interest) => {
            let mut flags = EventFlags::ONESHOT;
            flags.set(INPUT, interest.read);
            flags.set(EventFlags::OUT, interest.write);
            flags
        }
    }
}

/// An event that has not come.
pub(super) fn no_event() -> Event {
    Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }
}

pub(super) fn told(event: &Event) -> Told {
    match event.data.u64() {
        KICK => Told::Kick,
        TIMER => Told::Alarm,
        data => Told::Ready(data, readiness(event.flags)),
    }
}

fn readiness(flags: EventFlags) -> Readiness {
    let broken = flags.intersects(EventFlags::HUP | EventFlags::ERR);
    Readiness {
        read: broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
        write: broken || flags.contains(EventFlags::OUT),
        hangup: broken || flags.contains(EventFlags::RDHUP),
    }
}
