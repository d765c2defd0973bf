//! Who polls: the duty of a pool's threads, as a pure transition function.
//!
//! `N` workers share one epoll. At most [`POLLERS`] of them poll, the others park. A
//! worker that comes back from the epoll with work first makes sure that somebody
//! else polls: a fellow that is there already, a parked one, or the reserve
//! thread, which never runs jobs. Guarded by the pool's lock.
//!
//! Invariants, checked by the model in `duty/tests.rs`:
//! - somebody polls, or is awake and has been told to: an event never finds nobody;
//! - a job that is queued has a worker that is awake and will look at the queue;
//! - nobody is woken twice for one thing.

/// Workers that may poll at once. With one, sockets would wait while it runs a
/// job it found; more than two only wake each other.
pub(super) const POLLERS: usize = 2;

/// What a parked worker was woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing yet: it sleeps on.
    None,
    /// To poll. It is counted as polling from here on.
    Poll,
    /// To run queued jobs.
    Run,
}

/// Whom to wake after a transition. The lock is released first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wakes {
    pub(super) workers: [Option<usize>; 2],
    pub(super) reserve: bool,
    /// A worker that sleeps in the epoll is to come out.
    pub(super) kick: bool,
}

/// The duty of one pool.
#[derive(Debug)]
pub(super) struct Duty {
    /// Workers in the epoll or on their way there.
    polling: usize,
    /// Parked workers, the latest last: its cache is the warmest.
    parked: Vec<usize>,
    orders: Vec<Order>,
    /// The reserve polls or has been told to.
    reserve: bool,
    /// Workers told to run that have not looked at the queue yet.
    runners: usize,
}

impl Duty {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            polling: 0,
            parked: Vec::with_capacity(workers),
            orders: vec![Order::None; workers],
            reserve: false,
            runners: 0,
        }
    }

    /// A worker found the queue empty: true: it polls; false: it parks until it has an order.
    pub(super) fn idle(&mut self, me: usize) -> bool {
        let poll = self.polling < POLLERS;
        if poll {
            self.polling += 1;
        } else {
            self.parked.push(me);
        }
        poll
    }

    /// A parked worker looks for its order.
    pub(super) fn order(&mut self, me: usize) -> Order {
        let order =
            self.orders.get_mut(me).map_or(Order::None, |o| std::mem::replace(o, Order::None));
        if order == Order::Run {
            self.runners -= 1;
        }
        order
    }

    /// A polling worker has come back with nothing to do: it goes on polling.
    /// With `work` (a job of its own or queued ones) it leaves; `queued` jobs are for others.
    pub(super) fn leave_to_work(&mut self, queued: usize) -> Wakes {
        self.polling -= 1;
        let mut wakes = Wakes::default();
        if queued > 0 {
            wakes = self.wake_runner();
        }
        self.ensure_poller(&mut wakes);
        wakes
    }

    /// Jobs were queued by a thread that goes on polling, or by one from outside.
    pub(super) fn queued(&mut self) -> Wakes {
        self.wake_runner()
    }

    /// A worker is about to run or to block while jobs are queued: another may take them.
    pub(super) fn share(&mut self) -> Wakes {
        if self.runners > 0 || self.parked.is_empty() {
            Wakes::default()
        } else {
            self.wake_runner()
        }
    }

    /// The reserve has dispatched: true: it goes on polling, for want of a worker that does.
    pub(super) fn reserve_stays(&mut self) -> bool {
        self.reserve = self.polling == 0;
        self.reserve
    }

    /// The reserve wakes up: whether it was told to poll.
    pub(super) fn reserve_ordered(&self) -> bool {
        self.reserve
    }

    /// Whether workers sleep in the epoll.
    pub(super) fn polling(&self) -> usize {
        self.polling
    }

    fn wake_runner(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        if self.runners > 0 {
            return wakes;
        }
        match self.parked.pop() {
            Some(worker) => {
                self.set(worker, Order::Run);
                self.runners += 1;
                wakes.workers[0] = Some(worker);
            }
            None => wakes.kick = self.polling > 0,
        }
        wakes
    }

    fn ensure_poller(&mut self, wakes: &mut Wakes) {
        if self.polling > 0 || self.reserve {
            return;
        }
        match self.parked.pop() {
            Some(worker) => {
                self.set(worker, Order::Poll);
                self.polling += 1;
                wakes.workers[1] = Some(worker);
            }
            None => {
                self.reserve = true;
                wakes.reserve = true;
            }
        }
    }

    fn set(&mut self, worker: usize, order: Order) {
        if let Some(place) = self.orders.get_mut(worker) {
            *place = order;
        }
    }
}

#[cfg(test)]
mod tests;
