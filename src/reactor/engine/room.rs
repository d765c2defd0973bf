//! What comes to a pool: jobs, of which some have to wait, some are refused, and some wait for nobody.

use super::super::{Job, Rejected};
use super::{Engine, State};
use crate::sync::atomic::Ordering;

/// Reserved jobs that may wait for a thread beside a pool that is busy.
const MOST_ASIDE: usize = 1_000;

/// What could not be queued.
#[derive(Default)]
pub(super) struct LeftOver {
    refused: Vec<Job>,
    aside: Vec<Job>,
}

impl Engine {
    /// Queues a job from outside. What does not fit is dropped, which answers it.
    pub(in crate::reactor) fn submit(&self, job: Job) -> Result<(), Rejected> {
        let mut state = self.state.lock();
        let left = self.queue(&mut state, 0, std::iter::once(job));
        let refused = !left.refused.is_empty();
        let queued = state.queue.queued();
        let wakes = state.duty.queued(queued);
        self.wake(state, wakes);
        self.finish(left);
        if refused { Err(Rejected) } else { Ok(()) }
    }

    /// Takes what must not happen on a thread that reads, however much waits: a worker does it, or the last thread.
    pub(in crate::reactor) fn leave(&self, job: Job) {
        let mut state = self.state.lock();
        if state.stopping {
            state.left.push(job);
            return;
        }
        state.queue.push(job);
        let queued = state.queue.queued();
        let wakes = state.duty.queued(queued);
        self.wake(state, wakes);
    }

    /// Workers that run no job. `about`: so many are about to.
    fn free(state: &State, about: usize) -> usize {
        state.growth.live().saturating_sub(state.duty.busy() + about)
    }

    /// Queues jobs. What does not fit, or must not wait, is handed back: for [`finish`](Self::finish), after the lock.
    pub(super) fn queue(
        &self,
        state: &mut State,
        about: usize,
        jobs: impl Iterator<Item = Job>,
    ) -> LeftOver {
        let mut left = LeftOver::default();
        for job in jobs {
            let free = Self::free(state, about);
            // Those for which a worker is free do not wait, though it has still to wake up.
            let roomy = state.queue.len() < self.setup.queue.saturating_add(free);
            match () {
                () if state.stopping => left.refused.push(job),
                () if job.is_reserved() && free <= state.queue.reserved() => left.aside.push(job),
                () if roomy || job.is_reserved() => state.queue.push(job),
                () => left.refused.push(job),
            }
        }
        left
    }

    /// Answers what was refused, and has what is reserved run beside the pool.
    pub(super) fn finish(&self, left: LeftOver) {
        let LeftOver { mut refused, aside } = left;
        for job in aside {
            if self.aside.waiting() >= MOST_ASIDE {
                refused.push(job);
            } else {
                // Where no thread can be had it is dropped, which answers it.
                let _ = self.aside.enter(Box::new(move || job.run()));
            }
        }
        if !refused.is_empty() {
            self.refused.fetch_add(refused.len() as u64, Ordering::Relaxed);
        }
    }
}
