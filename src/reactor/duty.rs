//! Who polls: the duty of a pool's threads, as a pure transition function.
//!
//! `N` workers share one epoll. At most [`POLLERS`] of them poll, the others park. A
//! worker that comes back from the epoll with work first makes sure that somebody
//! else polls: a fellow that is there already, a parked one, or the reserve
//! thread, which never runs jobs. Guarded by the pool's lock, which is released
//! before anybody is woken.
//!
//! Invariants, checked by the model in `duty/tests.rs` over every interleaving:
//! - somebody is in the epoll or awake and on the way there, even if no job ever ends:
//!   an event never finds nobody;
//! - while a job is queued, a worker is awake and will look at the queue, or every worker
//!   runs one, or [`Wakes::capped`] has been told and the pool's net is set.

/// Workers that may poll at once. With one, sockets would wait while it runs a
/// job it found; more than two only wake each other.
pub(super) const POLLERS: usize = 2;

/// What a parked worker was woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Order {
    /// Nothing yet: it sleeps on.
    None,
    /// To poll. It is counted as polling from here on.
    Poll,
    /// To look at the queue.
    Run,
}

/// What a worker that found the queue empty does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    Poll,
    Park,
}

/// Whom to wake after a transition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Wakes {
    /// One to run, one to poll.
    pub(super) workers: [Option<usize>; 2],
    pub(super) reserve: bool,
    /// A worker that sleeps in the epoll is to come out.
    pub(super) kick: bool,
    /// Nobody was woken for short jobs, since as many workers run as there are CPUs, or since they
    /// are not worth it. If one of those that run turns out to be long, the pool's net has to call [`Duty::top_up`].
    pub(super) capped: bool,
}

/// What is queued when somebody might be woken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Queued {
    Nothing,
    /// All that is queued is expected to end sooner than another thread would have woken up for it, and
    /// a worker that runs a short job itself comes back for it.
    Trifle,
    /// The next job is known to end within microseconds.
    Short,
    Long,
}

impl Queued {
    /// Whether the next job is short.
    pub(super) fn is_short(self) -> bool {
        matches!(self, Self::Trifle | Self::Short)
    }
}

/// The duty of one pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Duty {
    cpus: usize,
    /// Workers in the epoll or on their way there.
    polling: usize,
    /// Parked workers, the latest last: its cache is the warmest.
    parked: Vec<usize>,
    orders: Vec<Order>,
    /// The reserve is in the epoll or has been told to go there.
    reserve: bool,
    /// Workers told to look at the queue that have not done so yet.
    runners: usize,
    /// A kick is on its way to the epoll, or has just brought somebody out.
    kicked: bool,
    /// Workers with a job.
    busy: usize,
    /// Those of them that have said that they block.
    blocked: usize,
}

impl Duty {
    pub(super) fn new(workers: usize, cpus: usize) -> Self {
        Self {
            cpus,
            polling: 0,
            parked: Vec::with_capacity(workers),
            orders: vec![Order::None; workers],
            reserve: false,
            runners: 0,
            kicked: false,
            busy: 0,
            blocked: 0,
        }
    }

    /// A worker's job has ended. `blocked`: it had said that it blocks.
    pub(super) fn finished(&mut self, blocked: bool) {
        self.busy -= 1;
        self.blocked -= usize::from(blocked);
    }

    /// A worker has taken a job; `left` are for others, who are woken one at a time. Somebody polls
    /// already, unless the workers found jobs before the first of them got to the epoll.
    pub(super) fn taken(&mut self, left: Queued) -> Wakes {
        self.busy += 1;
        let mut wakes = self.queued(left);
        self.ensure_poller(&mut wakes);
        wakes
    }

    /// A worker found the queue empty. `extra`: there are more than there always are, and those who sleep in the epoll do not
    /// notice that they are not needed.
    pub(super) fn idle(&mut self, me: usize, extra: bool) -> Idle {
        if self.polling < if extra { 1 } else { POLLERS } {
            self.polling += 1;
            return Idle::Poll;
        }
        self.parked.push(me);
        Idle::Park
    }

    /// A parked worker has woken up and looks what for.
    pub(super) fn order(&mut self, me: usize) -> Order {
        let place = self.orders.get_mut(me);
        let order = place.map_or(Order::None, |place| std::mem::replace(place, Order::None));
        if order == Order::Run {
            self.runners -= 1;
        }
        order
    }

    /// A parked worker that has no order is not counted on any more, and ends.
    pub(super) fn retire(&mut self, me: usize) {
        self.parked.retain(|parked| *parked != me);
    }

    /// Somebody has come out of the epoll: if a kick did it, it has been heard.
    pub(super) fn back(&mut self) {
        self.kicked = false;
    }

    /// A worker leaves the epoll with a job; `left` are for others.
    pub(super) fn leave(&mut self, left: Queued) -> Wakes {
        self.polling -= 1;
        self.taken(left)
    }

    /// Jobs are queued: one who sleeps is woken, unless one is on the way.
    pub(super) fn queued(&mut self, queued: Queued) -> Wakes {
        if queued == Queued::Nothing || self.runners > 0 || self.kicked {
            return Wakes::default();
        }
        if self.capped(queued) {
            return Wakes { capped: true, ..Wakes::default() };
        }
        self.wake_one()
    }

    /// Whether short jobs wait for running ones although somebody sleeps.
    pub(super) fn capped(&self, queued: Queued) -> bool {
        let enough = match queued {
            Queued::Trifle => 1,
            Queued::Short => self.cpus,
            Queued::Nothing | Queued::Long => return false,
        };
        self.busy - self.blocked >= enough
            && (self.polling > 0 || !self.parked.is_empty())
            && self.runners == 0
            && !self.kicked
    }

    /// Short jobs have waited for long: one who sleeps is woken whatever runs.
    pub(super) fn top_up(&mut self) -> Wakes {
        if self.runners > 0 || self.kicked { Wakes::default() } else { self.wake_one() }
    }

    /// A worker is about to block in its job; `left` are for others.
    pub(super) fn block(&mut self, first: bool, left: Queued) -> Wakes {
        self.blocked += usize::from(first);
        self.queued(left)
    }

    /// The reserve has dispatched what it found; `queued` are for workers. Whether it
    /// goes on polling is asked with [`Duty::reserve_polls`].
    pub(super) fn reserve_back(&mut self, queued: Queued) -> Wakes {
        self.kicked = false;
        self.reserve = false;
        // A kick swallowed here is given again: by now we are not in the epoll any more, and if
        // somebody else polls we do not go there.
        let mut wakes = self.queued(queued);
        self.ensure_poller(&mut wakes);
        wakes
    }

    /// Whether the reserve has been told to poll.
    pub(super) fn reserve_polls(&self) -> bool {
        self.reserve
    }

    /// Workers that run jobs.
    pub(super) fn busy(&self) -> usize {
        self.busy
    }

    /// Those of them that have said that they block.
    pub(super) fn blocked(&self) -> usize {
        self.blocked
    }

    fn wake_one(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        if let Some(worker) = self.parked.pop() {
            self.set(worker, Order::Run);
            self.runners += 1;
            wakes.workers[0] = Some(worker);
        } else if self.polling > 0 {
            self.kicked = true;
            wakes.kick = true;
        }
        wakes
    }

    fn ensure_poller(&mut self, wakes: &mut Wakes) {
        if self.polling > 0 || self.reserve {
            return;
        }
        if let Some(worker) = self.parked.pop() {
            self.set(worker, Order::Poll);
            self.polling += 1;
            wakes.workers[1] = Some(worker);
        } else {
            self.reserve = true;
            wakes.reserve = true;
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
