//! The machine under random facts: no octet is made or lost, and what it lends is bounded.

use std::time::{Duration, Instant};

use super::super::conn::tests::start;
use super::super::types::Key;
use super::super::xorshift::XorShift;
use super::*;

const LIMIT: usize = 1 << 20;
const WINDOW: i64 = 65_535;
/// No message is longer.
const LONGEST: usize = 3 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
const ROUND_TRIP: Duration = Duration::from_millis(10);

fn ledger(strict: bool) -> Ledger {
    Ledger::new(LIMIT, Patience { limit: PATIENCE, strict })
}

/// One stream, and what its peer makes of our credit.
struct Stream {
    key: Key,
    intake: Intake,
    peer: i64,
    over: bool,
}

struct World {
    ledger: Ledger,
    streams: Vec<Stream>,
    now: Instant,
}

impl World {
    fn new(strict: bool) -> Self {
        Self { ledger: ledger(strict), streams: Vec::new(), now: start() }
    }

    fn open(&mut self, taker: Taker) -> usize {
        let slot = self.streams.len() as u32;
        let key = Key { slot, id: slot * 2 + 1 };
        let mut intake = Intake::new(WINDOW);
        intake.takes(taker);
        self.streams.push(Stream { key, intake, peer: WINDOW, over: false });
        slot as usize
    }

    /// What a connection does when budget may have come back.
    fn regrant(&mut self) {
        for claim in [Claim::Awaited, Claim::Handed] {
            while let Some(key) = self.ledger.first(claim) {
                let stream = &mut self.streams[key.slot as usize];
                let Some(credit) = stream.intake.ask_again(&mut self.ledger) else { break };
                stream.peer += credit;
                self.ledger.serve_first(claim);
                self.ledger.watch(self.now);
            }
        }
    }

    fn with(&mut self, n: usize, fact: impl FnOnce(Key, &mut Intake, &mut Ledger) -> Option<u32>) {
        let stream = &mut self.streams[n];
        let credit = fact(stream.key, &mut stream.intake, &mut self.ledger);
        stream.peer += i64::from(credit.unwrap_or(0));
        self.ledger.watch(self.now);
        self.regrant();
        self.check();
    }

    fn receive(&mut self, n: usize, octets: usize) {
        let now = self.now;
        self.streams[n].peer -= octets as i64;
        assert!(self.streams[n].intake.receive(octets, now));
    }

    fn begin(&mut self, n: usize, len: usize) {
        self.with(n, |key, intake, ledger| {
            intake.begun(len, 0);
            if intake.asks() { intake.ask(key, ledger) } else { None }
        });
    }

    /// Whose message has not come on for too long.
    fn look(&mut self) -> Vec<usize> {
        let Some(passed) = self.ledger.look(self.now) else { return Vec::new() };
        let (mut stuck, mut unfinished) = (Vec::new(), false);
        for (n, stream) in self.streams.iter_mut().enumerate() {
            if stream.intake.look(passed, &mut self.ledger) {
                stuck.push(n);
            }
            unfinished |= stream.intake.unfinished();
        }
        self.regrant();
        self.ledger.looked(self.now, unfinished);
        self.check();
        stuck
    }

    fn granted(&self, n: usize) -> bool {
        self.streams[n].intake.granted()
    }

    /// What holds at every instant.
    fn check(&mut self) {
        let mut accounts = ACCOUNTS.map(|account| (account, 0));
        let mut waiting = 0;
        for stream in &self.streams {
            assert!(stream.intake.balanced(), "{:?}", stream.intake);
            // What the peer was told is what it may send.
            assert!(stream.over || stream.peer == stream.intake.open(), "{:?}", stream.intake);
            waiting += usize::from(stream.intake.waits_for_budget());
            for (account, sum) in &mut accounts {
                *sum += stream.intake.holds(*account);
            }
        }
        assert_eq!(waiting, self.ledger.all_waiting());
        for (account, sum) in accounts {
            assert_eq!(sum, self.ledger.balance(account), "{account:?}");
        }
        // All that is lent: two budgets, and what passes or stalls alone.
        assert!(self.ledger.held() <= (2 * LIMIT + 3 * LONGEST) as i64, "{:?}", self.ledger);
    }
}

/// Random facts in an order that a connection could tell.
fn run(seed: u64) {
    let mut numbers = XorShift::new(seed);
    let mut random = move |n: usize| numbers.below(n.max(1));
    let mut world = World::new(seed % 2 == 0);
    for _ in 0..1 + random(12) {
        let taker = [Taker::Reader, Taker::Caller, Taker::Worker][random(3)];
        world.open(taker);
    }
    for _ in 0..400 {
        let n = random(world.streams.len());
        let (over, room) = (world.streams[n].over, world.streams[n].peer.max(0) as usize);
        match random(16) {
            0..5 if !over => {
                let octets = random(room.min(16_384) + 1);
                world.receive(n, octets);
                let padding = if random(3) == 0 { random(octets.min(255) + 1) } else { 0 };
                world.with(n, |_, intake, _| intake.padding(padding));
            }
            5 if !over => world.begin(n, 1 + random(LONGEST - 1)),
            6 => world.with(n, |key, intake, ledger| {
                intake.whole(key, ledger);
                None
            }),
            7 => world.with(n, |key, intake, ledger| {
                (intake.await_next() && intake.asks()).then(|| intake.ask(key, ledger)).flatten()
            }),
            8..11 => {
                let (taken, consumed) = (random(2) * random(LONGEST), random(100_000));
                let (now, rtt) = (world.now, Some(ROUND_TRIP));
                world.with(n, |_, intake, ledger| {
                    let pace = Pace { now, rtt, waits: !intake.ready(), max: 1 << 19 };
                    intake.taken(taken, ledger);
                    intake.release(consumed, pace, ledger)
                });
            }
            11 => {
                let octets = random(20_000);
                world.with(n, |_, intake, ledger| intake.drop_octets(octets, ledger));
            }
            12 if random(8) == 0 => {
                world.with(n, |key, intake, ledger| intake.abandon(key, ledger));
            }
            13 if random(4) == 0 => {
                world.streams[n].over = true;
                world.with(n, |key, intake, ledger| {
                    intake.end(key, ledger);
                    None
                });
            }
            _ => {
                world.now += Duration::from_millis(random(3000) as u64);
                world.look();
            }
        }
    }
    for n in 0..world.streams.len() {
        world.streams[n].over = true;
        world.with(n, |key, intake, ledger| {
            intake.close(key, ledger);
            None
        });
    }
    assert!(world.ledger.is_zero() && world.ledger.all_waiting() == 0);
    world.now += PATIENCE;
    world.look();
    assert_eq!(world.ledger.look_at(), None, "nothing to look after");
}

#[test]
fn no_octet_is_made_or_lost_whatever_happens() {
    for seed in 1..=2000 {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_message_without_progress_loses_its_place_and_not_its_grant() {
    let mut world = World::new(false);
    let stalled = world.open(Taker::Caller);
    world.begin(stalled, LONGEST);
    let next = world.open(Taker::Caller);
    world.begin(next, LONGEST);
    assert!(world.granted(stalled) && !world.granted(next));
    let peer = world.streams[stalled].peer;
    while !world.granted(next) {
        world.now = world.ledger.look_at().expect("somebody waits");
        assert_eq!(world.look(), []);
        assert!(world.now < start() + PATIENCE / 5, "waits for too long");
    }
    assert_eq!(world.streams[stalled].peer, peer, "what was allowed stays so");
    world.now += PATIENCE * 10;
    assert_eq!(world.look(), [], "nobody waits, so nobody minds");
    assert_eq!(world.ledger.look_at(), None);
}

#[test]
fn a_slow_line_is_progress() {
    let mut world = World::new(true);
    let slow = world.open(Taker::Worker);
    world.begin(slow, LONGEST);
    let waiting = world.open(Taker::Worker);
    world.begin(waiting, LONGEST);
    let mut seconds = 0;
    while !world.granted(waiting) {
        world.receive(slow, 2 * FLOOR as usize);
        world.now += Duration::from_secs(1);
        assert_eq!(world.look(), [], "after {seconds} seconds");
        seconds += 1;
        assert!(seconds <= 21, "its place is another's when it took its time");
    }
    assert!(seconds >= 19, "{seconds}");
    for _ in 0..100 {
        world.receive(slow, 2 * FLOOR as usize);
        world.receive(waiting, 2 * FLOOR as usize);
        world.now += Duration::from_secs(1);
        assert_eq!(world.look(), []);
    }
}

#[test]
fn a_trickle_is_no_progress() {
    let mut world = World::new(true);
    let slow = world.open(Taker::Worker);
    world.begin(slow, LONGEST);
    let end = world.now + PATIENCE * 2;
    while world.look() != [slow] {
        world.receive(slow, 100);
        world.now += Duration::from_secs(1);
        assert!(world.now < end);
    }
    assert!(world.now >= start() + PATIENCE);
}

#[test]
fn time_in_which_nobody_looked_does_not_count() {
    let mut world = World::new(true);
    let slow = world.open(Taker::Worker);
    world.begin(slow, LONGEST);
    world.now += Duration::from_secs(3600);
    assert_eq!(world.look(), [], "the process was stopped, not the peer");
}

#[test]
fn what_is_complete_needs_no_looking_after() {
    let mut world = World::new(true);
    let request = world.open(Taker::Worker);
    world.begin(request, 100_000);
    world.receive(request, 60_000);
    world.receive(request, 40_000);
    world.streams[request].over = true;
    world.with(request, |key, intake, ledger| {
        intake.whole(key, ledger);
        intake.end(key, ledger);
        None
    });
    assert!(world.ledger.held() > 0, "no worker has taken it");
    for _ in 0..3 {
        world.now += PATIENCE;
        assert_eq!(world.look(), []);
    }
    assert_eq!(world.ledger.look_at(), None);
}
