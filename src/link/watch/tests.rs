//! The watch over every interleaving: all states of one link are visited, breadth first.
//!
//! The model is what `pump.rs`, `write.rs` and `wait.rs` do, one critical section or one system call at a time: a
//! client with a caller who comes and goes, the poller and a thread that only sends; a server with two threads that poll. Input provokes
//! output, and reading rests while that waits (the limit is nothing at all). The model shares the watch and the baton with
//! the link, and no more.
//!
//! What must hold: where nobody can take a step but the outside, nothing is left unread or unsent that the socket would
//! give or take.

use std::collections::{HashSet, VecDeque};

use super::super::baton::Baton;
use super::*;

/// Where a thread stands; each arrow between two is atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Away,
    /// The caller parks behind the poller; promoted, it stands at the top.
    Parked,
    /// The caller, about to look what is needed and to poll.
    Top,
    /// The caller, in the system call.
    Polls(Interest),
    /// A thread that was told of the socket: resumes writing, then reads.
    Told(Told),
    /// A server's thread whose turn it is to read what was left.
    Later,
    /// The poller, about to ask for the lead.
    Enters,
    Reads,
    /// The poller gives the lead back.
    Leaves,
    /// In the system call, holding the baton; afterwards goes on as it says.
    Writes(Then),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Told {
    read: bool,
    write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Then {
    Away,
    Top,
    Enters,
    Reads,
    Leaves,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    client: bool,
    watch: Watch,
    baton: Baton,
    /// Of a client: caller, poller, sender. Of a server: two that poll, and the sender.
    at: [At; 3],
    /// Unsent frames, of our own accord and provoked; and those in the writer's hands, or left behind by it.
    own: u8,
    provoked: u8,
    in_hand: u8,
    provoked_in_hand: u8,
    readable: bool,
    full: bool,
    kick: bool,
    /// Kicks that a thread has still to give, its lock released.
    owed: u8,
    armed: Option<Interest>,
    /// Edges that a server's epoll has not told yet.
    edge: Told,
    quiet: bool,
    read_timer: bool,
    /// What the outside will still do.
    arriving: u8,
    sending: u8,
    expected: bool,
}

/// Takes a step: a change of the world.
type Step<'a> = &'a mut dyn FnMut(&dyn Fn(&mut World));

const CALLER: usize = 0;
const POLLER: usize = 1;
const SENDER: usize = 2;

impl World {
    fn new(client: bool, expected: bool) -> Self {
        let mut world = Self {
            client,
            watch: Watch::new(client),
            baton: Baton::Free,
            at: [At::Away; 3],
            own: 0,
            provoked: 0,
            in_hand: 0,
            provoked_in_hand: 0,
            readable: false,
            full: false,
            kick: false,
            owed: 0,
            armed: None,
            edge: Told { read: false, write: false },
            quiet: false,
            read_timer: false,
            arriving: 3,
            sending: 2,
            expected,
        };
        world.settle(true);
        world
    }

    fn need(&self) -> Interest {
        let rests = self.provoked + self.provoked_in_hand > 0;
        Interest { read: !rests, write: self.baton == Baton::Stuck }
    }

    fn leads(&self, who: usize) -> bool {
        self.client
            && match (who, self.at[who]) {
                (CALLER, at) => !matches!(at, At::Away | At::Parked),
                (POLLER, At::Reads | At::Leaves | At::Writes(Then::Leaves)) => true,
                _ => false,
            }
    }

    /// The end of a critical section.
    fn settle(&mut self, eager: bool) {
        let holder = match (self.leads(CALLER), self.leads(POLLER)) {
            (true, true) => panic!("two lead: {self:?}"),
            (true, false) => Holder::Waiter,
            (false, true) => Holder::Poller,
            (false, false) => Holder::Nobody,
        };
        let facts = Facts { holder, need: self.need(), eager: eager || self.expected, told: false };
        let todo = self.watch.adjust(facts);
        self.owed += u8::from(todo.kick);
        self.armed = todo.arm.or(self.armed);
        self.quiet |= todo.quiet;
        self.read_timer |= todo.read;
    }

    /// Takes the baton, if there is anything to send, and goes on with `then` after it.
    fn flush(&mut self, who: usize, then: Then) {
        let go = self.own + self.provoked > 0 && self.baton.take();
        self.at[who] = if go { At::Writes(then) } else { after(then) };
        if go {
            self.take_output();
        }
        self.settle(false);
    }

    fn take_output(&mut self) {
        self.in_hand += std::mem::take(&mut self.own);
        self.provoked_in_hand += std::mem::take(&mut self.provoked);
    }

    fn resume(&mut self, who: usize, then: Then) {
        self.at[who] = if self.baton.resume() { At::Writes(then) } else { after(then) };
    }

    /// Reads everything, which provokes an answer.
    fn read(&mut self) {
        self.provoked += u8::from(std::mem::take(&mut self.readable));
    }

    /// All states that the link's own threads lead to.
    fn steps(&self) -> Vec<World> {
        let mut steps = Vec::new();
        let mut step = |change: &dyn Fn(&mut World)| {
            let mut next = self.clone();
            change(&mut next);
            steps.push(next);
        };
        if self.owed > 0 {
            step(&|w| {
                w.owed -= 1;
                w.kick = true;
            });
        }
        for who in 0..self.at.len() {
            match self.at[who] {
                At::Writes(then) if self.full => step(&|w| {
                    if w.baton.stick() {
                        w.at[who] = after(then);
                    }
                    w.settle(false);
                }),
                At::Writes(then) => {
                    for fills in [false, true] {
                        step(&|w| w.wrote(who, then, fills));
                    }
                }
                _ if self.client => self.client_step(who, &mut step),
                _ => self.server_step(who, &mut step),
            }
        }
        steps
    }

    /// The socket took all of it; it may be full now.
    fn wrote(&mut self, who: usize, then: Then, fills: bool) {
        (self.in_hand, self.provoked_in_hand) = (0, 0);
        self.full = fills;
        if self.own + self.provoked > 0 {
            self.take_output();
            return;
        }
        self.baton.release();
        self.at[who] = after(then);
        self.settle(false);
    }

    fn client_step(&self, who: usize, step: Step<'_>) {
        let on = |interest: Interest| Told {
            read: interest.read && self.readable,
            write: interest.write && !self.full,
        };
        match self.at[who] {
            At::Top => step(&|w| {
                let need = w.need();
                w.watch.polled();
                w.watch.poll(need);
                w.at[who] = At::Polls(need);
            }),
            At::Polls(interest) => {
                let told = on(interest);
                if told.read || told.write || self.kick {
                    step(&|w| {
                        w.kick = false;
                        w.at[who] = At::Told(told);
                    });
                }
            }
            At::Told(told) if told.write => step(&|w| {
                w.resume(who, if told.read { Then::Reads } else { Then::Top });
            }),
            At::Told(told) => step(&|w| w.at[who] = if told.read { At::Reads } else { At::Top }),
            At::Reads => step(&|w| {
                w.read();
                w.flush(who, if who == CALLER { Then::Top } else { Then::Leaves });
            }),
            At::Enters => step(&|w| match w.leads(CALLER) {
                true => {
                    w.at[who] = At::Away;
                    w.settle(false);
                }
                false => w.at[who] = if w.need().read { At::Reads } else { At::Leaves },
            }),
            At::Leaves => step(&|w| {
                w.at[who] = At::Away;
                if w.at[CALLER] == At::Parked {
                    w.at[CALLER] = At::Top;
                }
                w.settle(true);
            }),
            At::Away if who == POLLER => {
                let told = self.armed.map(on).unwrap_or(Told { read: false, write: false });
                if told.read || told.write {
                    step(&|w| {
                        w.armed = None;
                        w.watch.disarmed();
                        match told.write {
                            true => w.resume(who, Then::Enters),
                            false => w.at[who] = At::Enters,
                        }
                    });
                }
                if self.quiet {
                    step(&|w| {
                        w.quiet = false;
                        w.watch.quiet_looked();
                        w.settle(true);
                    });
                }
            }
            _ => {}
        }
    }

    fn server_step(&self, who: usize, step: Step<'_>) {
        match self.at[who] {
            At::Away if who != SENDER => {
                if self.edge.read || self.edge.write {
                    step(&|w| {
                        w.at[who] = At::Told(w.edge);
                        w.edge = Told { read: false, write: false };
                    });
                }
                if self.read_timer {
                    step(&|w| {
                        w.read_timer = false;
                        w.at[who] = At::Later;
                    });
                }
            }
            At::Told(told) if told.write => {
                step(&|w| w.resume(who, if told.read { Then::Enters } else { Then::Away }));
            }
            at @ (At::Told(_) | At::Enters | At::Later) => step(&|w| {
                let rests = !w.need().read;
                let reads = match at {
                    At::Later => w.watch.later(rests),
                    _ => w.watch.edge(rests),
                };
                w.at[who] = if reads { At::Reads } else { At::Away };
                w.settle(false);
            }),
            At::Reads => {
                // A read ends because the socket is empty, or because the thread has done enough.
                for how in [Read::Emptied, Read::Left] {
                    if how == Read::Left && !self.readable {
                        continue;
                    }
                    step(&|w| {
                        if how == Read::Emptied {
                            w.read();
                        }
                        w.flush(who, if how == Read::Emptied { Then::Leaves } else { Then::Reads });
                        if how == Read::Left {
                            w.at[who] = At::Leaves;
                            let _ = w.watch.read(how);
                            w.at[who] = At::Away;
                            w.settle(false);
                        }
                    });
                }
            }
            At::Leaves => step(&|w| {
                let again = w.watch.read(Read::Emptied);
                w.at[who] = if again { At::Reads } else { At::Away };
                w.settle(false);
            }),
            _ => {}
        }
    }

    /// What the outside may do: callers come, are satisfied or give up, somebody sends, the peer sends or takes.
    fn outside(&self) -> Vec<World> {
        let mut steps = Vec::new();
        let mut step = |change: &dyn Fn(&mut World)| {
            let mut next = self.clone();
            change(&mut next);
            steps.push(next);
        };
        if self.client && self.at[CALLER] == At::Away {
            step(&|w| w.at[CALLER] = if w.leads(POLLER) { At::Parked } else { At::Top });
        }
        if self.client && self.at[CALLER] == At::Top {
            step(&|w| {
                w.watch.polled();
                w.at[CALLER] = At::Away;
                w.settle(false);
            });
        }
        if self.sending > 0 && self.at[SENDER] == At::Away {
            step(&|w| {
                w.sending -= 1;
                w.own += 1;
                w.flush(SENDER, Then::Away);
            });
        }
        if self.arriving > 0 {
            step(&|w| {
                w.arriving -= 1;
                w.readable = true;
                w.edge.read = true;
            });
        }
        if self.full {
            step(&|w| {
                w.full = false;
                w.edge.write = true;
            });
        }
        steps
    }

    /// Nothing is left unread or unsent that the socket would give or take.
    fn is_well(&self) -> bool {
        let unsent = self.own + self.provoked + self.in_hand + self.provoked_in_hand;
        let rests = !self.need().read && self.full;
        (unsent == 0 || self.full) && (!self.readable || rests)
    }
}

fn after(then: Then) -> At {
    match then {
        Then::Away => At::Away,
        Then::Top => At::Top,
        Then::Enters => At::Enters,
        Then::Reads => At::Reads,
        Then::Leaves => At::Leaves,
    }
}

/// Visits everything. How many states there are.
fn explore(start: World) -> usize {
    let mut seen = HashSet::from([start.clone()]);
    let mut queue = VecDeque::from([start]);
    while let Some(world) = queue.pop_front() {
        let own = world.steps();
        assert!(!own.is_empty() || world.is_well(), "stuck for good: {world:#?}");
        for next in own.into_iter().chain(world.outside()) {
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    seen.len()
}

#[test]
fn a_client_is_never_left_with_input_or_output_that_nobody_watches_for() {
    for expected in [false, true] {
        let states = explore(World::new(true, expected));
        assert!(states > 1_000, "{states}");
    }
}

#[test]
fn a_server_is_never_left_with_input_or_output_that_no_edge_will_tell_of() {
    let states = explore(World::new(false, false));
    assert!(states > 1_000, "{states}");
}

#[test]
fn a_leader_is_kicked_when_it_polls_for_too_little_and_not_twice() {
    let read = Interest { read: true, write: false };
    let nothing = Interest::default();
    let facts = |need| Facts { holder: Holder::Waiter, need, eager: false, told: false };
    let mut watch = Watch::new(true);
    assert_eq!(watch.adjust(facts(read)), Todo::default(), "it has not polled: it will look");
    watch.poll(nothing);
    assert_eq!(watch.adjust(facts(nothing)), Todo::default());
    assert!(watch.adjust(facts(read)).kick);
    assert!(!watch.adjust(facts(read)).kick, "it is on its way");
}

#[test]
fn an_idle_link_costs_one_timer_and_one_interest() {
    let need = Interest { read: true, write: false };
    let facts = |eager| Facts { holder: Holder::Nobody, need, eager, told: false };
    let mut watch = Watch::new(true);
    assert!(watch.adjust(facts(false)).quiet);
    assert_eq!(watch.adjust(facts(false)), Todo::default(), "the timer will look");
    watch.quiet_looked();
    assert_eq!(watch.adjust(facts(true)).arm, Some(need));
    assert_eq!(watch.adjust(facts(true)), Todo::default());
}
