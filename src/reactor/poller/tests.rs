//! The poller over real descriptors, and its timers.
#![allow(clippy::disallowed_methods, reason = "threads of the tests' own")]

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::timers::SWEEP;
use super::*;

/// Passes on what it is told.
struct Tell<T>(Mutex<Sender<T>>);

fn tell<T: Send + 'static>() -> (Arc<Tell<T>>, Receiver<T>) {
    let (sender, receiver) = channel();
    (Arc::new(Tell(Mutex::new(sender))), receiver)
}

impl Ready for Tell<Readiness> {
    fn ready(&self, readiness: Readiness, _: &mut Vec<Job>) {
        self.0.lock().send(readiness).unwrap();
    }
}

impl OnTimer for Tell<u64> {
    fn fire(&self, tag: u64, now: Instant, _: &mut Vec<Job>) {
        assert!(now <= clock::now());
        self.0.lock().send(tag).unwrap();
    }
}

const READ: Interest = Interest { read: true, write: false };

fn turn(poller: &Poller) {
    poller.turn(&mut Vec::new()).unwrap();
}

#[test]
fn each_edge_is_told_once() {
    let poller = Poller::new().unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let (ready, told) = tell();
    poller.add(near.as_fd(), Mode::Edges, ready).unwrap();
    turn(&poller);
    let writable = Readiness { write: true, ..Readiness::default() };
    assert_eq!(told.try_recv().unwrap(), writable);
    rustix::io::write(&far, b"x").unwrap();
    turn(&poller);
    assert!(told.try_recv().unwrap().read);
    // Nothing was read and nothing came: no further edge.
    poller.kick();
    turn(&poller);
    assert!(told.try_recv().is_err());
    drop(far);
    turn(&poller);
    assert!(told.try_recv().unwrap().hangup);
}

#[test]
fn an_alarm_that_cannot_be_set_is_told_of_by_who_turns() {
    let poller = Poller::new().unwrap();
    // Whoever sets a timer may hold locks, which a logger may want.
    poller.tell_later(Err(io::Error::other("no alarm")));
    assert!(!poller.agenda.lock().is_empty());
    // It does not sleep.
    turn(&poller);
    assert!(poller.agenda.lock().is_empty());
}

#[test]
fn one_shot_tells_one_event_for_each_arming() {
    let poller = Poller::new().unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let (ready, told) = tell();
    let token = poller.add(near.as_fd(), Mode::OneShot, ready).unwrap();
    rustix::io::write(&far, b"x").unwrap();
    poller.kick();
    turn(&poller);
    assert!(told.try_recv().is_err(), "it is not armed");
    for _ in 0..2 {
        // What was there before the arming counts.
        poller.arm(token, near.as_fd(), READ).unwrap();
        turn(&poller);
        assert!(told.try_recv().unwrap().read);
    }
    rustix::io::write(&far, b"y").unwrap();
    poller.kick();
    turn(&poller);
    assert!(told.try_recv().is_err());
}

#[test]
fn an_event_on_its_way_does_not_reach_the_next_owner_of_the_index() {
    let poller = Poller::new().unwrap();
    let (first, _) = tell();
    let old = poller.reserve(first);
    poller.post(old, Readiness { read: true, ..Readiness::default() });
    poller.release(old);
    poller.release(old);
    let (second, told) = tell();
    let new = poller.reserve(second);
    assert_eq!(old.index, new.index);
    let (third, _) = tell::<Readiness>();
    assert_ne!(poller.reserve(third).index, new.index, "released twice, free once");
    turn(&poller);
    assert!(told.try_recv().is_err());
    poller.post(new, Readiness { write: true, ..Readiness::default() });
    turn(&poller);
    assert!(told.try_recv().unwrap().write);
}

#[test]
fn timers_fire_in_order_and_wake_a_thread_that_sleeps() {
    let poller = Poller::new().unwrap();
    let (target, told) = tell::<u64>();
    let turning = poller.clone();
    let (stop, stopped) = channel::<()>();
    let thread = thread::spawn(move || {
        while stopped.try_recv().is_err() {
            turn(&turning);
        }
    });
    let now = clock::now();
    let later = now + Duration::from_millis(20);
    poller.timer(later, target.clone(), 3);
    poller.timer(now + Duration::from_millis(10), target.clone(), 2);
    poller.timer(now, target.clone(), 1);
    poller.timer(later, target.clone(), 4);
    for tag in 1..=4 {
        assert_eq!(told.recv().unwrap(), tag);
    }
    assert!(clock::now() >= later);
    stop.send(()).unwrap();
    poller.kick();
    thread.join().unwrap();
}

#[test]
fn one_of_several_sleeping_threads_wakes_for_a_timer() {
    let poller = Poller::new().unwrap();
    let (target, told) = tell::<u64>();
    let (woken, wakes) = channel();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (poller, woken) = (poller.clone(), woken.clone());
            thread::spawn(move || {
                turn(&poller);
                woken.send(()).unwrap();
            })
        })
        .collect();
    poller.timer(clock::now() + Duration::from_micros(300), target.clone(), 1);
    told.recv().unwrap();
    wakes.recv().unwrap();
    for _ in 0..2 {
        assert!(wakes.try_recv().is_err(), "the others sleep on");
        poller.kick();
        wakes.recv().unwrap();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn nobody_wakes_for_who_is_gone() {
    let poller = Poller::new().unwrap();
    let (now, hour) = (clock::now(), Duration::from_secs(3600));
    let ((here, told), (gone, _)) = (tell::<u64>(), tell::<u64>());
    poller.timer(now, here.clone(), 1);
    for hours in 1..4 {
        poller.timer(now + hours * hour, gone.clone(), 2);
    }
    let last = now + 4 * hour;
    poller.timer(last, here.clone(), 3);
    drop(gone);
    turn(&poller);
    assert_eq!(told.try_recv().unwrap(), 1);
    assert_eq!(poller.timers.lock().alarm, Some(last));
    assert_eq!(poller.timers(), 1);
}

#[test]
fn timers_of_targets_that_are_gone_are_swept() {
    let poller = Poller::new().unwrap();
    let far = clock::now() + Duration::from_secs(3600);
    let (stays, _told) = tell::<u64>();
    for tag in 0..10 {
        poller.timer(far, stays.clone(), tag);
    }
    for tag in 0..10_000 {
        let (gone, _) = tell::<u64>();
        poller.timer(far, gone, tag);
    }
    let timers = poller.timers.lock();
    assert!(timers.all.len() <= SWEEP + 10, "{}", timers.all.len());
    let alive = timers.all.values().filter(|timer| timer.target.strong_count() > 0);
    assert_eq!(alive.count(), 10);
}

#[test]
fn a_timer_at_the_end_of_time_is_taken() {
    let poller = Poller::new().unwrap();
    let (target, told) = tell::<u64>();
    let mut at = clock::now();
    while let Some(later) = at.checked_add(Duration::from_secs(1 << 40)) {
        at = later;
        if at.saturating_duration_since(clock::now()) > Duration::from_secs(1 << 50) {
            break;
        }
    }
    poller.timer(at, target.clone(), 9);
    poller.timer(clock::now(), target.clone(), 1);
    turn(&poller);
    assert_eq!(told.try_recv().unwrap(), 1);
}

#[test]
fn a_closed_poller_holds_nobody() {
    let poller = Poller::new().unwrap();
    let (ready, _told) = tell::<Readiness>();
    let token = poller.reserve(ready.clone());
    poller.close();
    assert_eq!(Arc::strong_count(&ready), 1);
    poller.release(token);
    let late = poller.reserve(ready.clone());
    assert_eq!(Arc::strong_count(&ready), 1);
    poller.post(late, Readiness::default());
    turn(&poller);
}

/// Panics at whatever it is told, with a payload that panics again when it is dropped.
struct Faulty;

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("a payload's drop, on purpose"));
    }
}

impl Ready for Faulty {
    fn ready(&self, _: Readiness, _: &mut Vec<Job>) {
        std::panic::resume_unwind(Box::new(Bomb));
    }
}

impl OnTimer for Faulty {
    fn fire(&self, _: u64, _: Instant, _: &mut Vec<Job>) {
        std::panic::resume_unwind(Box::new(Bomb));
    }
}

#[test]
fn a_receiver_that_panics_costs_the_others_of_its_batch_nothing() {
    let poller = Poller::new().unwrap();
    let pairs: Vec<_> = (0..9).map(|_| UnixStream::pair().unwrap()).collect();
    let (good, told) = tell::<Readiness>();
    for (n, (near, _)) in pairs.iter().enumerate() {
        let ready: Arc<dyn Ready> = if n % 2 == 0 { Arc::new(Faulty) } else { good.clone() };
        poller.add(near.as_fd(), Mode::Edges, ready).unwrap();
    }
    turn(&poller);
    assert_eq!(told.try_iter().count(), 4, "an edge is told once: what is lost is lost for ever");
    // The same for what is posted.
    let (faulty, well) = (poller.reserve(Arc::new(Faulty)), poller.reserve(good));
    for token in [faulty, well, faulty, well] {
        poller.post(token, Readiness::default());
    }
    turn(&poller);
    assert_eq!(told.try_iter().count(), 2);
}

#[test]
fn a_timer_that_panics_costs_neither_the_others_nor_the_alarm() {
    let poller = Poller::new().unwrap();
    let (good, told) = tell::<u64>();
    let faulty = Arc::new(Faulty);
    let now = clock::now();
    for tag in 0..4 {
        poller.timer(now, faulty.clone(), tag);
        poller.timer(now, good.clone(), tag);
    }
    let later = now + Duration::from_millis(20);
    poller.timer(later, good.clone(), 9);
    turn(&poller);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    // Nothing else wakes this thread.
    turn(&poller);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [9]);
}

/// A peer that sends without end, as a link tells of it: after each turn there is more. Each takes a while.
struct Endless {
    poller: Arc<Poller>,
    turns: AtomicU64,
    this: Weak<Endless>,
}

impl OnTimer for Endless {
    fn fire(&self, tag: u64, now: Instant, _: &mut Vec<Job>) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        while clock::now() < now + STRETCH {}
        let this: Arc<dyn OnTimer> = self.this.upgrade().unwrap();
        self.poller.later(&this, tag);
    }
}

#[test]
fn who_sends_without_end_shares_what_others_leave() {
    let poller = Poller::new().unwrap();
    let endless: Vec<_> = (0..16)
        .map(|_| {
            Arc::new_cyclic(|this| Endless {
                poller: poller.clone(),
                turns: AtomicU64::new(0),
                this: this.clone(),
            })
        })
        .collect();
    let turns = || endless.iter().map(|one| one.turns.load(Ordering::Relaxed)).sum::<u64>();
    for one in &endless {
        let one: Arc<dyn OnTimer> = one.clone();
        poller.later(&one, 0);
    }
    let (ready, told) = tell();
    let honest = poller.reserve(ready);
    for _ in 0..50 {
        let before = turns();
        poller.post(honest, Readiness { read: true, ..Readiness::default() });
        turn(&poller);
        assert!(told.try_recv().is_ok(), "the first turn tells what is new");
        assert!(turns() <= before + 1);
    }
    for _ in 0..64 {
        turn(&poller);
    }
    // Nobody of them is forgotten, and no turn is longer for their number.
    assert!(endless.iter().all(|one| one.turns.load(Ordering::Relaxed) >= 3));
}

#[test]
fn what_a_turn_has_no_time_for_is_told_in_order_by_the_next() {
    struct Slow(Mutex<Sender<u64>>, u64);
    impl Ready for Slow {
        fn ready(&self, _: Readiness, _: &mut Vec<Job>) {
            let began = clock::now();
            while clock::now() < began + STRETCH {}
            self.0.lock().send(self.1).unwrap();
        }
    }
    let poller = Poller::new().unwrap();
    let (sender, told) = channel();
    for n in 0..4 {
        let token = poller.reserve(Arc::new(Slow(Mutex::new(sender.clone()), n)));
        poller.post(token, Readiness::default());
    }
    for n in 0..4 {
        turn(&poller);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [n]);
    }
}

#[test]
fn timers_without_end_share_with_what_comes() {
    struct Slow(Mutex<Sender<u64>>);
    impl OnTimer for Slow {
        fn fire(&self, tag: u64, _: Instant, _: &mut Vec<Job>) {
            let began = clock::now();
            while clock::now() < began + STRETCH {}
            self.0.lock().send(tag).unwrap();
        }
    }
    let poller = Poller::new().unwrap();
    let (sender, fired) = channel();
    let slow = Arc::new(Slow(Mutex::new(sender)));
    let now = clock::now();
    for tag in 0..20 {
        poller.timer(now, slow.clone(), tag);
    }
    let (ready, told) = tell();
    let honest = poller.reserve(ready);
    for tag in 0..20 {
        poller.post(honest, Readiness { read: true, ..Readiness::default() });
        turn(&poller);
        assert_eq!(fired.try_iter().collect::<Vec<_>>(), [tag], "one turn's time, in order");
        assert!(told.try_recv().is_ok(), "what is new is told beside it");
    }
}
