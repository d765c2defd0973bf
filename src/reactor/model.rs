//! What a poller has in place of the kernel under the model checker: a flag that kicks it, and an alarm on the model's
//! time line. There are no descriptors: the pipe in memory posts what it has to tell.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use super::face::{Mode, Readiness};
use crate::sync::model::{self, Due};
use crate::sync::{Condvar, Mutex};

/// See the file.
#[derive(Default)]
pub(super) struct Kernel(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    kicked: bool,
    alarmed: bool,
    /// What the alarm is set to.
    due: Option<Due>,
}

#[derive(Clone, Copy)]
pub(super) enum Event {
    None,
    Kick,
    Alarm,
}

/// What an event says.
pub(super) enum Told {
    Kick,
    Alarm,
    #[expect(dead_code, reason = "there are no descriptors")]
    Ready(u64, Readiness),
}

impl Kernel {
    #[expect(clippy::unnecessary_wraps, reason = "the real one may fail")]
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    pub(super) fn add(&self, _: BorrowedFd<'_>, _: Mode, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn change(&self, _: BorrowedFd<'_>, _: Mode, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn remove(&self, _: BorrowedFd<'_>) {}

    pub(super) fn kick(&self) {
        self.0.state.lock().kicked = true;
        self.0.changed.notify_one();
    }

    #[expect(clippy::unnecessary_wraps, reason = "the real one may fail")]
    pub(super) fn set_alarm(&self, at: Instant) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.alarmed = false;
        let told = Arc::downgrade(&self.0);
        let due = model::expect(
            at,
            Arc::new(move || {
                if let Some(shared) = told.upgrade() {
                    shared.state.lock().alarmed = true;
                    shared.changed.notify_one();
                }
            }),
        );
        if let Some(before) = state.due.replace(due) {
            model::forget(before);
        }
        Ok(())
    }

    pub(super) fn wait(&self, events: &mut [Event], sleeps: bool) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        while sleeps && !(state.kicked || state.alarmed) {
            self.0.changed.wait(&mut state);
        }
        let kicked = std::mem::take(&mut state.kicked).then_some(Event::Kick);
        let alarmed = std::mem::take(&mut state.alarmed).then_some(Event::Alarm);
        let mut count = 0;
        for (place, event) in events.iter_mut().zip(kicked.into_iter().chain(alarmed)) {
            *place = event;
            count += 1;
        }
        Ok(count)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(due) = self.state.lock().due.take() {
            model::forget(due);
        }
    }
}

/// An event that has not come.
pub(super) fn no_event() -> Event {
    Event::None
}

pub(super) fn told(event: &Event) -> Told {
    match event {
        Event::Alarm => Told::Alarm,
        Event::Kick | Event::None => Told::Kick,
    }
}
