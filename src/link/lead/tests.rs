//! The lead under random schedules: nobody sleeps for ever, nobody reads beside another.

use std::collections::VecDeque;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

use super::{Holder, Lead, Turn};

/// A link of some callers, who wait one time after the other: a socket with replies for them, and the lead.
struct Model {
    state: Mutex<State>,
    /// The socket's readiness: what `poll` sleeps on. A kick is a wake of it, too.
    socket: Condvar,
    /// One parker for each caller. A permit may be left over from a wait before.
    parkers: Vec<(Mutex<bool>, Condvar)>,
}

struct State {
    lead: Lead<usize>,
    arriving: VecDeque<usize>,
    /// Replies and cancels of each caller so far, and its waits that are over.
    outcomes: Vec<usize>,
    waits: Vec<usize>,
    /// The deadline of all its waits has passed: nobody but the caller itself looks at that.
    expired: Vec<bool>,
    kicked: bool,
    readers: usize,
}

impl State {
    fn satisfied(&self, who: usize) -> bool {
        self.outcomes[who] > self.waits[who]
    }

    /// `who`'s wait is over: `Effects::wake`. Whom to unpark.
    fn tell(&mut self, who: usize) -> Option<usize> {
        self.outcomes[who] += 1;
        if self.lead.leads(&who) {
            self.kicked = true;
            return None;
        }
        self.lead.satisfied(&who);
        Some(who)
    }

    /// Who reads starts to wait for the socket.
    fn begin_read(&mut self) {
        self.readers += 1;
        assert_eq!(self.readers, 1, "two threads read at once");
    }

    /// Hands what has arrived to everybody. Whom to unpark.
    fn read(&mut self) -> Vec<usize> {
        self.readers -= 1;
        let mut wakes = Vec::new();
        while let Some(who) = self.arriving.pop_front() {
            wakes.extend(self.tell(who));
        }
        self.kicked = false;
        wakes
    }

    /// The invariants of the lead, and of whom it was just given to.
    fn check(&self, promoted: Option<usize>) {
        let Lead { holder, queue } = &self.lead;
        for (n, who) in queue.iter().enumerate() {
            assert!(!queue.iter().skip(n + 1).any(|other| other == who), "queued twice");
            assert!(!self.lead.leads(who), "leads and is queued");
        }
        assert!(
            queue.is_empty() || !matches!(holder, Holder::Nobody),
            "nobody reads for the queue"
        );
        if let Some(who) = promoted {
            assert!(self.lead.leads(&who) && !self.satisfied(who), "promoted after its wait");
        }
    }
}

impl Model {
    fn new(callers: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                lead: Lead::new(),
                arriving: VecDeque::new(),
                outcomes: vec![0; callers],
                waits: vec![0; callers],
                expired: vec![false; callers],
                kicked: false,
                readers: 0,
            }),
            socket: Condvar::new(),
            parkers: (0..callers).map(|_| (Mutex::new(false), Condvar::new())).collect(),
        })
    }

    fn unpark(&self, who: usize) {
        let (permit, wake) = &self.parkers[who];
        *permit.lock().unwrap() = true;
        wake.notify_one();
    }

    fn park(&self, who: usize) {
        let (permit, wake) = &self.parkers[who];
        let mut permit = permit.lock().unwrap();
        while !*permit {
            permit = wake.wait(permit).unwrap();
        }
        *permit = false;
    }

    /// Reads one batch for everybody, as the leader. Returns whom to wake.
    fn read(&self, me: usize) -> Vec<usize> {
        let mut state = self.state.lock().unwrap();
        state.begin_read();
        while state.arriving.is_empty() && !state.kicked && !state.expired[me] {
            state = self.socket.wait(state).unwrap();
        }
        state.read()
    }

    /// A caller's wait: the loop of `Link::wait`. False: the deadline has passed.
    fn wait(&self, me: usize) -> bool {
        let mut state = self.state.lock().unwrap();
        let satisfied = loop {
            if state.satisfied(me) {
                break true;
            }
            if state.expired[me] {
                break false;
            }
            let turn = state.lead.enter(&me);
            state.check(None);
            drop(state);
            match turn {
                Turn::Lead => self.read(me).into_iter().for_each(|who| self.unpark(who)),
                Turn::Park => self.park(me),
            }
            state = self.state.lock().unwrap();
        };
        state.waits[me] += 1;
        let next = state.lead.leave(&me);
        state.check(next);
        drop(state);
        if let Some(next) = next {
            self.unpark(next);
        }
        satisfied
    }

    /// The poller's turn: reads if nobody leads, and callers may come meanwhile.
    fn poll(&self) {
        let mut state = self.state.lock().unwrap();
        if !state.lead.poller_enter() {
            return;
        }
        state.begin_read();
        drop(state);
        thread::yield_now();
        let mut state = self.state.lock().unwrap();
        let wakes = state.read();
        let next = state.lead.poller_leave();
        state.check(next);
        drop(state);
        wakes.into_iter().chain(next).for_each(|who| self.unpark(who));
    }

    /// Cancels a caller from outside.
    fn cancel(&self, who: usize) {
        let wake = self.state.lock().unwrap().tell(who);
        self.socket.notify_all();
        if let Some(who) = wake {
            self.unpark(who);
        }
    }

    /// The clock: a caller that sleeps, wherever, wakes.
    fn expire(&self, who: usize) {
        self.state.lock().unwrap().expired[who] = true;
        self.socket.notify_all();
        self.unpark(who);
    }

    fn deliver(&self, who: usize) {
        self.state.lock().unwrap().arriving.push_back(who);
        self.socket.notify_all();
    }
}

/// What happens beside replies.
#[derive(Clone, Copy, Default)]
struct Besides {
    cancels: bool,
    deadlines: bool,
    poller: bool,
}

fn callers_all_return(callers: usize, besides: Besides) {
    let model = Model::new(callers);
    let mut threads: Vec<_> = (0..callers)
        .map(|me| {
            let model = model.clone();
            thread::spawn(move || {
                let _ = (0..WAITS).all(|_| model.wait(me));
            })
        })
        .collect();
    if besides.poller {
        let model = model.clone();
        threads.push(thread::spawn(move || {
            for _ in 0..2 * WAITS {
                model.poll();
                thread::yield_now();
            }
        }));
    }
    let mut order: Vec<usize> = (0..callers * WAITS).map(|n| n % callers).collect();
    order.rotate_left(thread_rng().gen_range(0..callers));
    for who in order {
        if besides.deadlines && thread_rng().gen_bool(0.2) {
            model.expire(who);
        } else if besides.cancels && thread_rng().gen_bool(0.4) {
            model.cancel(who);
        } else {
            model.deliver(who);
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let state = model.state.lock().unwrap();
    assert!(state.lead.is_free(), "the last to leave holds the lead");
    assert!(!state.lead.contended());
}

/// How often each caller waits.
const WAITS: usize = 2;

#[test]
fn every_caller_returns_when_its_reply_is_in() {
    shuttle::check_random(|| callers_all_return(4, Besides::default()), 2_000);
}

#[test]
fn a_cancelled_caller_passes_the_lead_on() {
    let besides = Besides { cancels: true, ..Besides::default() };
    shuttle::check_random(move || callers_all_return(4, besides), 2_000);
}

#[test]
fn a_caller_that_gives_up_passes_the_lead_on() {
    let besides = Besides { cancels: true, deadlines: true, ..Besides::default() };
    shuttle::check_random(move || callers_all_return(4, besides), 2_000);
}

#[test]
fn callers_and_the_poller_take_turns() {
    let besides = Besides { cancels: true, deadlines: true, poller: true };
    shuttle::check_random(move || callers_all_return(3, besides), 3_000);
}

#[test]
fn the_poller_gives_way_to_who_queued_meanwhile() {
    let mut lead = Lead::new();
    assert!(lead.poller_enter());
    assert_eq!(lead.enter(&1), Turn::Park);
    assert!(!lead.poller_enter());
    assert_eq!(lead.poller_leave(), Some(1));
    assert_eq!(lead.enter(&1), Turn::Lead);
    assert_eq!(lead.leave(&1), None);
    assert!(lead.is_free());
}

#[test]
fn a_waiter_promoted_at_its_deadline_passes_the_lead_on() {
    let mut lead = Lead::new();
    assert_eq!(lead.enter(&1), Turn::Lead);
    assert_eq!(lead.enter(&2), Turn::Park);
    assert_eq!(lead.enter(&3), Turn::Park);
    assert_eq!(lead.leave(&1), Some(2));
    assert_eq!(lead.leave(&2), Some(3), "2 gives up before it knows that it leads");
    assert!(lead.leads(&3));
}
