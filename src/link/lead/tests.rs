//! The lead under random schedules: nobody sleeps for ever, nobody reads beside another.

use std::collections::VecDeque;

use shuttle::rand::Rng;
use shuttle::sync::{Arc, Condvar, Mutex};

use super::{Lead, Turn};

/// A link of `N` callers: a socket with replies for them, and the lead.
struct Model {
    state: Mutex<State>,
    /// The socket's readiness: what `poll` sleeps on. A kick is a wake of it, too.
    socket: Condvar,
    /// One parker for each caller.
    parkers: Vec<(Mutex<bool>, Condvar)>,
}

struct State {
    lead: Lead<usize>,
    arriving: VecDeque<usize>,
    done: Vec<bool>,
    cancelled: Vec<bool>,
    kicked: bool,
    readers: usize,
}

impl Model {
    fn new(callers: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                lead: Lead::new(),
                arriving: VecDeque::new(),
                done: vec![false; callers],
                cancelled: vec![false; callers],
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
    fn read(&self) -> Vec<usize> {
        let mut state = self.state.lock().unwrap();
        while state.arriving.is_empty() && !state.kicked {
            state = self.socket.wait(state).unwrap();
        }
        state.kicked = false;
        state.readers += 1;
        assert_eq!(state.readers, 1, "two threads read at once");
        let mut wakes = Vec::new();
        while let Some(who) = state.arriving.pop_front() {
            state.done[who] = true;
            if !state.lead.leads(&who) {
                state.lead.satisfied(&who);
                wakes.push(who);
            }
        }
        state.readers -= 1;
        wakes
    }

    /// A caller's wait: the loop of `Link::wait`.
    fn wait(&self, me: usize) {
        let mut state = self.state.lock().unwrap();
        while !(state.done[me] || state.cancelled[me]) {
            match state.lead.enter(&me) {
                Turn::Lead => {
                    drop(state);
                    for who in self.read() {
                        self.unpark(who);
                    }
                }
                Turn::Park => {
                    drop(state);
                    self.park(me);
                }
            }
            state = self.state.lock().unwrap();
        }
        let next = state.lead.leave(&me);
        drop(state);
        if let Some(next) = next {
            self.unpark(next);
        }
    }

    /// Cancels a caller from outside: the one function that wakes anybody.
    fn cancel(&self, who: usize) {
        let mut state = self.state.lock().unwrap();
        state.cancelled[who] = true;
        if state.lead.leads(&who) {
            state.kicked = true;
            self.socket.notify_all();
        } else {
            state.lead.satisfied(&who);
            drop(state);
            self.unpark(who);
        }
    }

    fn deliver(&self, who: usize) {
        self.state.lock().unwrap().arriving.push_back(who);
        self.socket.notify_all();
    }
}

fn callers_all_return(callers: usize, cancels: bool) {
    let model = Model::new(callers);
    let threads: Vec<_> = (0..callers)
        .map(|me| {
            let model = model.clone();
            shuttle::thread::spawn(move || model.wait(me))
        })
        .collect();
    let mut order: Vec<usize> = (0..callers).collect();
    order.rotate_left(shuttle::rand::thread_rng().gen_range(0..callers));
    for who in order {
        if cancels && shuttle::rand::thread_rng().gen_bool(0.4) {
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

#[test]
fn every_caller_returns_when_its_reply_is_in() {
    shuttle::check_random(|| callers_all_return(4, false), 2_000);
}

#[test]
fn a_cancelled_caller_passes_the_lead_on() {
    shuttle::check_random(|| callers_all_return(4, true), 3_000);
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
