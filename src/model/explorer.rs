//! Which thread goes on: drawn at random in one of three ways, all of them from one number.
//!
//! The clock goes on when nobody else can, or seldom earlier; it is told which of the two it was.

use std::cell::Cell;
use std::rc::Rc;

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

use crate::sync::model;

/// The clock is the first thread that an execution starts.
const CLOCK: usize = 1;

/// Numbers at random, the same for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// Once in `n` times; never for 0.
    pub(super) fn once_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    pub(super) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// Any of those that can, at each step.
    Any,
    /// Who runs goes on, but for once in so many steps.
    Mostly(u64),
    /// The most important of those that can; who yields becomes the least important, and so does whoever runs at a few
    /// steps (Burckhardt and others, 2010: "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs").
    Ranked,
}

#[derive(Debug)]
pub(super) struct Explorer {
    way: Way,
    /// Once in so many steps the clock goes on though others could.
    early: u64,
    dice: Dice,
    /// By task.
    ranks: Vec<i64>,
    lowest: i64,
    changes: Vec<usize>,
    steps: Rc<Cell<usize>>,
    begun: bool,
}

impl Explorer {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let often = dice.one_of(&[3, 10, 30, 100]);
        let way = dice.one_of(&[Way::Any, Way::Mostly(often), Way::Ranked]);
        let early = dice.one_of(&[0, 30, 300, 3000]);
        let depth = dice.below(8);
        let scale = dice.one_of(&[300, 3_000, 30_000]);
        let changes = (0..depth).map(|_| dice.below(scale) as usize).collect();
        let steps = Rc::default();
        Self { way, early, dice, ranks: Vec::new(), lowest: 0, changes, steps, begun: false }
    }

    pub(super) fn steps(&self) -> Rc<Cell<usize>> {
        self.steps.clone()
    }

    fn choose(&mut self, tasks: &[TaskId], current: Option<TaskId>, yields: bool) -> TaskId {
        let current = current.filter(|current| tasks.contains(current));
        match self.way {
            Way::Any => self.dice.one_of(tasks),
            Way::Mostly(often) => match current {
                Some(current) if !yields && !self.dice.once_in(often) => current,
                _ => self.dice.one_of(tasks),
            },
            Way::Ranked => {
                for task in tasks {
                    while self.ranks.len() <= usize::from(*task) {
                        self.ranks.push((self.dice.next() >> 2) as i64);
                    }
                }
                if let Some(current) = current {
                    if yields || self.changes.contains(&self.steps.get()) {
                        self.lowest -= 1;
                        self.ranks[usize::from(current)] = self.lowest;
                    }
                }
                let best = tasks.iter().max_by_key(|task| self.ranks[usize::from(**task)]);
                *best.expect("somebody can go on")
            }
        }
    }
}

impl Scheduler for Explorer {
    fn new_execution(&mut self) -> Option<Schedule> {
        let first = !std::mem::replace(&mut self.begun, true);
        first.then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        yields: bool,
    ) -> Option<TaskId> {
        self.steps.set(self.steps.get() + 1);
        let clock = TaskId::from(CLOCK);
        let ids: Vec<TaskId> = runnable.iter().map(|task| task.id()).collect();
        let others: Vec<TaskId> = ids.iter().copied().filter(|id| *id != clock).collect();
        if !ids.contains(&clock) {
            return Some(self.choose(&others, current, yields));
        }
        let alone = others.is_empty();
        model::tell_alone(alone);
        let early = self.dice.once_in(self.early);
        if alone || early && !model::calm() {
            return Some(clock);
        }
        // What is due already is as likely as anything else that can happen now.
        let all = if model::overdue() { &ids } else { &others };
        Some(self.choose(all, current, yields))
    }

    fn next_u64(&mut self) -> u64 {
        self.dice.next()
    }
}
