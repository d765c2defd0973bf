//! The duty under random schedules: every event finds somebody, every job is run, and
//! nothing ends in a sleep that nobody will end.

use std::collections::VecDeque;

use shuttle::rand::Rng;
use shuttle::sync::{Arc, Condvar, Mutex};

use super::{Duty, Order, Wakes};

/// A pool of workers and its reserve, an epoll that hands each event to one of those who
/// wait in it, and jobs that may block for as long as they like.
struct Model {
    workers: usize,
    pool: Mutex<Pool>,
    epoll: Mutex<Epoll>,
    arrived: Condvar,
    parkers: Vec<(Mutex<bool>, Condvar)>,
    /// Lets blocked handlers go.
    gate: (Mutex<bool>, Condvar),
}

struct Pool {
    queue: VecDeque<Job>,
    duty: Duty,
    stopping: bool,
}

#[derive(Clone, Copy)]
enum Job {
    Short,
    /// Blocks until the gate opens.
    Blocking,
}

#[derive(Default)]
struct Epoll {
    events: VecDeque<Vec<Job>>,
    kicks: usize,
    /// Events that somebody has taken.
    seen: usize,
    ran: usize,
}

impl Model {
    fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            workers,
            pool: Mutex::new(Pool {
                queue: VecDeque::new(),
                duty: Duty::new(workers),
                stopping: false,
            }),
            epoll: Mutex::new(Epoll::default()),
            arrived: Condvar::new(),
            parkers: (0..=workers).map(|_| (Mutex::new(false), Condvar::new())).collect(),
            gate: (Mutex::new(false), Condvar::new()),
        })
    }

    fn park(&self, who: usize) {
        let (permit, given) = &self.parkers[who];
        let mut permit = permit.lock().unwrap();
        while !*permit {
            permit = given.wait(permit).unwrap();
        }
        *permit = false;
    }

    fn unpark(&self, who: usize) {
        *self.parkers[who].0.lock().unwrap() = true;
        self.parkers[who].1.notify_one();
    }

    /// `epoll_wait`: a kick returns nothing.
    fn turn(&self) -> Vec<Job> {
        let mut epoll = self.epoll.lock().unwrap();
        loop {
            if let Some(jobs) = epoll.events.pop_front() {
                epoll.seen += 1;
                self.arrived.notify_all();
                return jobs;
            }
            if epoll.kicks > 0 {
                epoll.kicks -= 1;
                return Vec::new();
            }
            epoll = self.arrived.wait(epoll).unwrap();
        }
    }

    fn kick(&self) {
        self.epoll.lock().unwrap().kicks += 1;
        self.arrived.notify_all();
    }

    fn wake(&self, wakes: Wakes) {
        for worker in wakes.workers.into_iter().flatten() {
            self.unpark(worker);
        }
        if wakes.reserve {
            self.unpark(self.workers);
        }
        if wakes.kick {
            self.kick();
        }
    }

    fn run(&self, job: Job) {
        if matches!(job, Job::Blocking) {
            let wakes = {
                let mut pool = self.pool.lock().unwrap();
                if pool.queue.is_empty() { Wakes::default() } else { pool.duty.share() }
            };
            self.wake(wakes);
            let mut open = self.gate.0.lock().unwrap();
            while !*open {
                open = self.gate.1.wait(open).unwrap();
            }
        }
        self.epoll.lock().unwrap().ran += 1;
        self.arrived.notify_all();
    }

    fn work(&self, me: usize) {
        loop {
            let mut pool = self.pool.lock().unwrap();
            if pool.stopping {
                return self.kick();
            }
            if let Some(job) = pool.queue.pop_front() {
                drop(pool);
                self.run(job);
            } else if pool.duty.idle(me) {
                drop(pool);
                self.poll();
            } else {
                drop(pool);
                self.wait_for_an_order(me);
            }
        }
    }

    fn wait_for_an_order(&self, me: usize) {
        loop {
            self.park(me);
            let mut pool = self.pool.lock().unwrap();
            if pool.stopping {
                return;
            }
            match pool.duty.order(me) {
                Order::None => {}
                Order::Run => return,
                Order::Poll => {
                    drop(pool);
                    return self.poll();
                }
            }
        }
    }

    fn poll(&self) {
        loop {
            let found = self.turn();
            let mut pool = self.pool.lock().unwrap();
            if found.is_empty() && pool.queue.is_empty() && !pool.stopping {
                continue;
            }
            let mut found = found.into_iter();
            let first = if pool.queue.is_empty() { found.next() } else { None };
            pool.queue.extend(found);
            let queued = pool.queue.len();
            let wakes = pool.duty.leave_to_work(queued);
            drop(pool);
            self.wake(wakes);
            if let Some(job) = first {
                self.run(job);
            }
            return;
        }
    }

    fn stand_by(&self) {
        loop {
            let pool = self.pool.lock().unwrap();
            if pool.stopping {
                return self.kick();
            }
            let ordered = pool.duty.reserve_ordered();
            drop(pool);
            if !ordered {
                self.park(self.workers);
                continue;
            }
            let found = self.turn();
            let mut pool = self.pool.lock().unwrap();
            pool.queue.extend(found);
            let waiting = !pool.queue.is_empty();
            pool.duty.reserve_stays();
            let wakes = if waiting { pool.duty.queued() } else { Wakes::default() };
            drop(pool);
            self.wake(wakes);
        }
    }

    fn stop(&self) {
        self.pool.lock().unwrap().stopping = true;
        for who in 0..=self.workers {
            self.unpark(who);
        }
        self.kick();
    }

    /// Blocks until `done` holds: shuttle reports a deadlock when it never does.
    fn until(&self, done: impl Fn(&Epoll) -> bool) {
        let mut epoll = self.epoll.lock().unwrap();
        while !done(&epoll) {
            epoll = self.arrived.wait(epoll).unwrap();
        }
    }
}

fn everything_is_served(workers: usize, blocking: usize) {
    let model = Model::new(workers);
    let threads: Vec<_> = (0..=workers)
        .map(|me| {
            let model = model.clone();
            shuttle::thread::spawn(move || {
                if me == model.workers { model.stand_by() } else { model.work(me) }
            })
        })
        .collect();
    let mut events: Vec<Vec<Job>> = vec![vec![Job::Short], vec![], vec![Job::Short, Job::Short]];
    events.extend((0..blocking).map(|_| vec![Job::Blocking]));
    let first = shuttle::rand::thread_rng().gen_range(0..events.len());
    events.rotate_left(first);
    let jobs = events.iter().map(Vec::len).sum::<usize>();
    let count = events.len();
    for event in events {
        model.epoll.lock().unwrap().events.push_back(event);
        model.arrived.notify_all();
    }
    // All events are seen though handlers block: that is what the reserve is for.
    model.until(|epoll| epoll.seen == count);
    *model.gate.0.lock().unwrap() = true;
    model.gate.1.notify_all();
    model.until(|epoll| epoll.ran == jobs);
    model.stop();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn every_event_is_seen_and_every_job_runs() {
    shuttle::check_random(|| everything_is_served(3, 0), 1_500);
}

#[test]
fn events_are_seen_while_every_worker_blocks() {
    shuttle::check_random(|| everything_is_served(2, 2), 1_500);
    shuttle::check_random(|| everything_is_served(1, 2), 1_000);
}

#[test]
fn a_poller_that_leaves_finds_a_successor_in_order_of_cost() {
    let mut duty = Duty::new(3);
    assert!(duty.idle(0) && duty.idle(1) && !duty.idle(2));
    assert_eq!(duty.leave_to_work(0), Wakes::default(), "a fellow polls already");
    let wakes = duty.leave_to_work(0);
    assert_eq!(wakes.workers[1], Some(2), "a parked worker takes over");
    assert_eq!(duty.order(2), Order::Poll);
    let wakes = duty.leave_to_work(0);
    assert!(wakes.reserve, "nobody else is left");
    assert!(duty.idle(0));
    assert!(!duty.reserve_stays(), "a worker polls again");
}
