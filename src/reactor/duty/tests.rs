//! The duty over every interleaving: all states of a small pool are visited, breadth first.
//!
//! The model is a pool of threads that do what `engine.rs` does, one critical section or one
//! wake at a time, an epoll that gives its events to any thread in it, and jobs that may end or
//! not. It shares no code with the engine but the duty itself.

use std::collections::{HashMap, VecDeque};

use super::*;

/// Where a thread stands; each arrow between two is atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// About to look at the queue, with or without a job behind it.
    Top { finished: bool },
    /// In the epoll, or awake and on the way there.
    Epoll,
    /// Out of the epoll with this many jobs.
    Back(u8),
    /// Sleeps unless it has a permit.
    Parked,
    /// Runs a job; has it blocked?
    Running { blocked: bool },
    /// Not born, or gone.
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    duty: Duty,
    queue: u8,
    at: Vec<At>,
    permits: Vec<bool>,
    /// Wakes that a thread has still to do, its lock released. The last are the outside's.
    owed: Vec<Vec<Wake>>,
    /// Socket events in the epoll, each worth so many jobs.
    events: Vec<u8>,
    kick: bool,
    net: bool,
    /// What the outside will still do.
    arriving: u8,
    submitting: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wake {
    Unpark(usize),
    Kick,
    Net,
}

/// Who makes the steps that lead out of a state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Pool,
    /// A job ends or blocks, an event arrives: it may or may not happen.
    Outside,
}

struct Setup {
    workers: usize,
    cpus: usize,
    short: bool,
    /// Whatever a worker leaves behind counts as a trifle.
    trifles: bool,
    events: u8,
    submits: u8,
    /// The last worker comes only when it is needed, and goes when it is not.
    comes: bool,
}

impl World {
    fn new(setup: &Setup) -> Self {
        let threads = setup.workers + 1;
        let mut at = vec![At::Top { finished: false }; threads];
        at[setup.workers] = At::Parked;
        if setup.comes {
            at[setup.workers - 1] = At::Gone;
        }
        Self {
            duty: Duty::new(setup.workers, setup.cpus),
            queue: 0,
            at,
            permits: vec![false; threads],
            owed: vec![Vec::new(); threads + 1],
            events: Vec::new(),
            kick: false,
            net: false,
            arriving: setup.events,
            submitting: setup.submits,
        }
    }

    /// What a worker leaves behind that takes a job: a trifle, if jobs are short and this pool
    /// is told so.
    fn left(&self, setup: &Setup) -> Queued {
        match self.queued(setup) {
            Queued::Short if setup.trifles => Queued::Trifle,
            queued => queued,
        }
    }

    fn queued(&self, setup: &Setup) -> Queued {
        match (self.queue, setup.short) {
            (0, _) => Queued::Nothing,
            (_, true) => Queued::Short,
            (_, false) => Queued::Long,
        }
    }

    fn owe(&mut self, who: usize, wakes: Wakes) {
        let reserve = wakes.reserve.then_some(self.at.len() - 1);
        let unpark = [wakes.workers[0], wakes.workers[1], reserve];
        self.owed[who].extend(unpark.into_iter().flatten().map(Wake::Unpark));
        self.owed[who].extend(wakes.kick.then_some(Wake::Kick));
        self.owed[who].extend(wakes.capped.then_some(Wake::Net));
    }

    /// All states one step from here.
    fn steps(&self, setup: &Setup) -> Vec<(By, World)> {
        let mut steps = Vec::new();
        for who in 0..self.owed.len() {
            if let Some(wake) = self.owed[who].first() {
                let mut next = self.clone();
                next.owed[who].remove(0);
                match *wake {
                    Wake::Unpark(whom) => next.permits[whom] = true,
                    Wake::Kick => next.kick = true,
                    Wake::Net => next.net = true,
                }
                steps.push((By::Pool, next));
            }
        }
        for who in 0..self.at.len() {
            if self.owed[who].is_empty() {
                self.step(who, setup, &mut steps);
            }
        }
        self.outside(setup, &mut steps);
        steps
    }

    fn step(&self, who: usize, setup: &Setup, steps: &mut Vec<(By, World)>) {
        let reserve = who == setup.workers;
        match self.at[who] {
            At::Top { finished } => {
                let mut next = self.clone();
                if finished {
                    next.duty.finished(false);
                }
                next.look(who, setup);
                steps.push((By::Pool, next));
            }
            At::Epoll => self.come_out(who, steps),
            At::Back(jobs) if reserve => {
                let mut next = self.clone();
                next.queue += jobs;
                let queued = next.queued(setup);
                let wakes = next.duty.reserve_back(queued);
                next.owe(who, Wakes { reserve: false, ..wakes });
                next.at[who] = if next.duty.reserve_polls() { At::Epoll } else { At::Parked };
                steps.push((By::Pool, next));
            }
            At::Back(jobs) => {
                let mut next = self.clone();
                next.duty.back();
                next.queue += jobs;
                if next.queue == 0 {
                    next.at[who] = At::Epoll;
                } else {
                    next.queue -= 1;
                    let left = next.left(setup);
                    let wakes = next.duty.leave(left);
                    next.owe(who, wakes);
                    next.at[who] = At::Running { blocked: false };
                }
                steps.push((By::Pool, next));
            }
            At::Parked if self.permits[who] => {
                let mut next = self.clone();
                next.permits[who] = false;
                if reserve {
                    if next.duty.reserve_polls() {
                        next.at[who] = At::Epoll;
                    }
                } else {
                    match next.duty.order(who) {
                        Order::None => {}
                        Order::Run => next.look(who, setup),
                        Order::Poll => next.at[who] = At::Epoll,
                    }
                }
                steps.push((By::Pool, next));
            }
            At::Parked | At::Gone => {}
            At::Running { blocked } => {
                let mut done = self.clone();
                done.duty.finished(blocked);
                done.at[who] = At::Top { finished: false };
                steps.push((By::Outside, done));
                if !blocked {
                    let mut next = self.clone();
                    let left = next.queued(setup);
                    let wakes = next.duty.block(true, left);
                    next.owe(who, wakes);
                    next.at[who] = At::Running { blocked: true };
                    steps.push((By::Outside, next));
                }
            }
        }
    }

    fn look(&mut self, who: usize, setup: &Setup) {
        if self.queue > 0 {
            self.queue -= 1;
            let left = self.left(setup);
            let wakes = self.duty.taken(left);
            self.owe(who, wakes);
            self.at[who] = At::Running { blocked: false };
        } else {
            let extra = setup.comes && self.at[setup.workers - 1] != At::Gone;
            self.at[who] = match self.duty.idle(who, extra) {
                Idle::Poll => At::Epoll,
                Idle::Park => At::Parked,
            };
        }
    }

    /// The kernel may give each thing that is ready, or all, to any thread in the epoll.
    fn come_out(&self, who: usize, steps: &mut Vec<(By, World)>) {
        if self.kick {
            let mut next = self.clone();
            next.kick = false;
            next.at[who] = At::Back(0);
            steps.push((By::Pool, next));
        }
        for index in 0..self.events.len() {
            let mut next = self.clone();
            let jobs = next.events.remove(index);
            next.at[who] = At::Back(jobs);
            steps.push((By::Pool, next.clone()));
            if next.kick {
                next.kick = false;
                steps.push((By::Pool, next));
            }
        }
        if self.net {
            let mut next = self.clone();
            next.net = false;
            if next.queue > 0 {
                let wakes = next.duty.top_up();
                next.owe(who, wakes);
            }
            next.at[who] = At::Back(0);
            steps.push((By::Pool, next));
        }
    }

    fn outside(&self, setup: &Setup, steps: &mut Vec<(By, World)>) {
        let last = setup.workers - 1;
        let all = self.at[..last].iter().all(|at| matches!(at, At::Running { .. }));
        if setup.comes && self.at[last] == At::Gone && self.queue > 0 && all {
            let mut next = self.clone();
            next.at[last] = At::Top { finished: false };
            steps.push((By::Outside, next));
        }
        if setup.comes && self.at[last] == At::Parked && !self.permits[last] {
            let mut next = self.clone();
            // It looks for its order first, which may be there before its permit is.
            if next.duty.order(last) == Order::None {
                next.duty.retire(last);
                next.at[last] = At::Gone;
                steps.push((By::Outside, next));
            }
        }
        if self.arriving > 0 {
            for jobs in 0..=2 {
                let mut next = self.clone();
                next.arriving -= 1;
                next.events.push(jobs);
                next.events.sort_unstable();
                steps.push((By::Outside, next));
            }
        }
        let outsider = self.owed.len() - 1;
        if self.submitting > 0 && self.owed[outsider].is_empty() {
            let mut next = self.clone();
            next.submitting -= 1;
            next.queue += 1;
            let queued = next.queued(setup);
            let wakes = next.duty.queued(queued);
            next.owe(outsider, wakes);
            steps.push((By::Outside, next));
        }
    }

    /// What has to hold in every state.
    fn check(&self, setup: &Setup) {
        let running = |at: &&At| matches!(at, At::Running { .. });
        let polling =
            (0..setup.workers).filter(|who| matches!(self.at[*who], At::Epoll | At::Back(_)));
        assert!(polling.count() <= POLLERS, "too many poll: {self:?}");
        assert_eq!(self.at.iter().filter(running).count(), self.duty.busy(), "{self:?}");
        assert!(!matches!(self.at[setup.workers], At::Running { .. }), "the reserve runs a job");
    }

    /// What has to hold when nothing moves until the outside does.
    fn check_still(&self, setup: &Setup) {
        let epoll = self.at.iter().filter(|at| **at == At::Epoll).count();
        assert!(epoll > 0, "nobody polls: {self:?}");
        assert!(self.events.is_empty(), "an event waits: {self:?}");
        let run = |at: &At| matches!(at, At::Running { .. } | At::Gone);
        let all_run = self.at[..setup.workers].iter().all(run);
        assert!(self.queue == 0 || all_run, "a job waits beside a sleeper: {self:?}");
    }
}

/// Visits all states, checks each, and returns how many there are.
fn explore(setup: &Setup) -> usize {
    let mut numbers = HashMap::new();
    let mut open = VecDeque::new();
    // For each state those that the pool's own steps lead to.
    let mut own: Vec<Vec<usize>> = Vec::new();
    let start = World::new(setup);
    numbers.insert(start.clone(), 0);
    open.push_back(start);
    while let Some(world) = open.pop_front() {
        world.check(setup);
        let mut mine = Vec::new();
        for (by, next) in world.steps(setup) {
            let unknown = numbers.len();
            let number = *numbers.entry(next.clone()).or_insert(unknown);
            if number == unknown {
                open.push_back(next);
            }
            mine.extend((by == By::Pool).then_some(number));
        }
        if mine.is_empty() {
            world.check_still(setup);
        }
        own.push(mine);
    }
    assert_comes_to_rest(&own);
    own.len()
}

/// Without the outside every pool comes to rest: states are peeled off whose own steps all lead to
/// states that do. What cannot be peeled off spins.
fn assert_comes_to_rest(own: &[Vec<usize>]) {
    let mut left: Vec<usize> = own.iter().map(Vec::len).collect();
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); own.len()];
    for (state, nexts) in own.iter().enumerate() {
        for next in nexts {
            before[*next].push(state);
        }
    }
    let mut resting: Vec<usize> = (0..own.len()).filter(|state| left[*state] == 0).collect();
    let mut peeled = 0;
    while let Some(state) = resting.pop() {
        peeled += 1;
        for earlier in &before[state] {
            left[*earlier] -= 1;
            if left[*earlier] == 0 {
                resting.push(*earlier);
            }
        }
    }
    assert_eq!(peeled, own.len(), "the pool's threads can wake each other for ever");
}

#[test]
fn one_worker_loses_nothing() {
    for (short, trifles) in [(false, false), (true, false), (true, true)] {
        let setup =
            Setup { workers: 1, cpus: 1, short, trifles, events: 3, submits: 2, comes: false };
        let states = explore(&setup);
        assert!(states > 100, "{states}");
    }
}

#[test]
fn two_workers_lose_nothing() {
    for (short, cpus) in [(false, 2), (true, 1), (true, 2)] {
        for trifles in [false, short] {
            explore(&Setup {
                workers: 2,
                cpus,
                short,
                trifles,
                events: 2,
                submits: 1,
                comes: false,
            });
        }
    }
}

#[test]
fn three_workers_lose_nothing() {
    for (short, cpus) in [(false, 2), (true, 1)] {
        explore(&Setup {
            workers: 3,
            cpus,
            short,
            trifles: short,
            events: 1,
            submits: 1,
            comes: false,
        });
    }
}

#[test]
fn a_worker_that_comes_and_goes_loses_nothing() {
    for (workers, events) in [(2, 2), (3, 1)] {
        let setup = Setup {
            workers,
            cpus: 1,
            short: false,
            trifles: false,
            events,
            submits: 1,
            comes: true,
        };
        assert!(explore(&setup) > 100);
    }
}

#[test]
fn at_most_one_is_woken_for_a_batch() {
    let mut duty = Duty::new(4, 8);
    for me in 0..4 {
        duty.idle(me, false);
    }
    let wakes = duty.leave(Queued::Long);
    assert_eq!(wakes, Wakes { workers: [Some(3), None], ..Wakes::default() });
    assert_eq!(duty.queued(Queued::Long), Wakes::default(), "one is on the way");
}

#[test]
fn short_jobs_wake_no_more_workers_than_there_are_cpus() {
    let mut duty = Duty::new(4, 1);
    for me in 0..4 {
        duty.idle(me, false);
    }
    assert!(duty.leave(Queued::Short).capped);
    assert_eq!(
        duty.block(true, Queued::Short).workers[0],
        Some(3),
        "one that blocks is not counted"
    );
}

#[test]
fn a_poller_that_leaves_alone_calls_the_reserve_and_only_then() {
    let mut duty = Duty::new(2, 2);
    duty.idle(0, false);
    duty.idle(1, false);
    assert_eq!(duty.leave(Queued::Nothing), Wakes::default(), "the other polls");
    assert!(duty.leave(Queued::Nothing).reserve);
    assert!(duty.reserve_polls());
    duty.finished(false);
    duty.idle(0, false);
    assert_eq!(duty.leave(Queued::Nothing), Wakes::default(), "the reserve is still there");
}
