//! The pool's threads, with real sockets and jobs that meet each other.
#![allow(clippy::disallowed_methods, reason = "threads of the tests' own")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use super::*;
use crate::reactor::{
    Executor, Flush, Keep, Mode, Readiness, Ready, Rejected, ThreadPool, Work, clock,
};

const LATER: Duration = Duration::from_secs(20);

type Then = Box<dyn FnOnce() + Send>;

/// A job in two closures: run, or dropped unrun.
struct Task(Then, Then);

impl Work for Task {
    fn run(self: Box<Self>) {
        (self.0)();
    }

    fn reject(self: Box<Self>) {
        (self.1)();
    }
}

fn job(short: bool, run: impl FnOnce() + Send + 'static) -> Job {
    Job::new(Box::new(Task(Box::new(run), Box::new(|| {}))), short)
}

fn telling(sender: &Sender<&'static str>) -> Job {
    let (ran, rejected) = (sender.clone(), sender.clone());
    let run = Box::new(move || ran.send("ran").unwrap());
    let reject = Box::new(move || rejected.send("rejected").unwrap());
    Job::new(Box::new(Task(run, reject)), false)
}

/// An event that brings jobs.
struct Bring(Mutex<Vec<Job>>);

impl Ready for Bring {
    fn ready(&self, _: Readiness, jobs: &mut Vec<Job>) {
        jobs.append(&mut self.0.lock());
    }
}

fn bring(pool: &ThreadPool, jobs: Vec<Job>) {
    let poller = pool.poller().unwrap();
    let token = poller.reserve(Arc::new(Bring(Mutex::new(jobs))));
    poller.post(token, Readiness { read: true, ..Readiness::default() });
}

#[track_caller]
fn wait_until(mut done: impl FnMut() -> bool) {
    let end = clock::now() + LATER;
    while !done() {
        assert!(clock::now() < end, "never");
        thread::yield_now();
    }
}

#[test]
fn as_many_jobs_run_at_once_as_there_are_workers_however_they_arrive() {
    for batch in [true, false] {
        let pool = ThreadPool::new(4);
        let (sender, receiver) = channel();
        let barrier = Arc::new(Barrier::new(4));
        let jobs: Vec<Job> = (0..4)
            .map(|_| {
                let (barrier, sender) = (barrier.clone(), sender.clone());
                job(false, move || {
                    barrier.wait();
                    sender.send(()).unwrap();
                })
            })
            .collect();
        if batch {
            bring(&pool, jobs);
        } else {
            jobs.into_iter().for_each(|job| pool.execute(job).unwrap());
        }
        (0..4).for_each(|_| receiver.recv().unwrap());
    }
}

#[test]
fn jobs_that_were_taken_for_short_and_block_do_not_hold_up_the_rest() {
    // Nothing here calls the library while it blocks: only the net can find out.
    let pool = ThreadPool::new(6);
    let barrier = Arc::new(Barrier::new(6));
    let (sender, receiver) = channel();
    let jobs = (0..6).map(|_| {
        let (barrier, sender) = (barrier.clone(), sender.clone());
        job(true, move || {
            barrier.wait();
            sender.send(()).unwrap();
        })
    });
    bring(&pool, jobs.collect());
    (0..6).for_each(|_| receiver.recv().unwrap());
}

#[test]
fn the_reserve_serves_events_while_every_worker_is_busy() {
    let pool = ThreadPool::new(2);
    let (let_go, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for _ in 0..2 {
        let held = held.clone();
        pool.execute(job(false, move || held.lock().recv().unwrap())).unwrap();
    }
    wait_until(|| pool.running() == 2);
    for _ in 0..3 {
        let (near, mut far) = pair();
        let (sender, receiver) = channel();
        struct Seen(Mutex<Sender<()>>);
        impl Ready for Seen {
            fn ready(&self, readiness: Readiness, _: &mut Vec<Job>) {
                if readiness.read {
                    self.0.lock().send(()).unwrap();
                }
            }
        }
        let seen = Arc::new(Seen(Mutex::new(sender)));
        pool.poller().unwrap().add(near.as_fd(), Mode::Edge, seen).unwrap();
        far.write_all(b"x").unwrap();
        receiver.recv().unwrap();
    }
    (0..2).for_each(|_| let_go.send(()).unwrap());
}

/// Two ends of a TCP connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    near.set_nodelay(true).unwrap();
    (near, far)
}

#[test]
fn a_panicking_job_kills_no_worker() {
    let pool = ThreadPool::new(1);
    let (sender, receiver) = channel();
    for _ in 0..3 {
        pool.execute(job(false, || std::panic::resume_unwind(Box::new("on purpose")))).unwrap();
    }
    pool.execute(telling(&sender)).unwrap();
    assert_eq!(receiver.recv().unwrap(), "ran");
    wait_until(|| pool.running() == 0);
}

#[test]
fn what_the_queue_does_not_hold_is_rejected_from_outside_and_from_events() {
    let pool = ThreadPool::with_queue(1, 1);
    let (let_go, held) = channel::<()>();
    pool.execute(job(false, move || held.recv().unwrap())).unwrap();
    wait_until(|| pool.running() == 1);
    let (sender, receiver) = channel();
    pool.execute(telling(&sender)).unwrap();
    assert_eq!(pool.execute(telling(&sender)), Err(Rejected));
    assert_eq!(receiver.recv().unwrap(), "rejected");
    bring(&pool, vec![telling(&sender)]);
    assert_eq!(receiver.recv().unwrap(), "rejected");
    assert_eq!(pool.queued(), 1);
    let_go.send(()).unwrap();
    assert_eq!(receiver.recv().unwrap(), "ran");
}

#[test]
fn what_one_turn_brings_is_no_more_than_there_is_room_for() {
    let pool = ThreadPool::with_queue(1, 1);
    let (sender, receiver) = channel();
    for _ in 0..50 {
        let (let_go, held) = channel::<()>();
        let long = job(false, move || held.recv().unwrap());
        bring(&pool, vec![long, telling(&sender), telling(&sender)]);
        assert_eq!(receiver.recv_timeout(LATER).unwrap(), "rejected");
        let_go.send(()).unwrap();
        assert_eq!(receiver.recv_timeout(LATER).unwrap(), "ran");
        wait_until(|| pool.running() == 0);
    }
}

#[test]
fn a_pool_without_a_queue_takes_as_many_jobs_as_it_has_free_workers() {
    let pool = ThreadPool::with_queue(3, 0);
    let (sender, receiver) = channel();
    // None has woken up yet, perhaps, or all sleep in the epoll: they are free.
    for _ in 0..100 {
        let meet = Arc::new(Barrier::new(4));
        for _ in 0..3 {
            let (meet, sender) = (meet.clone(), sender.clone());
            let run = move || {
                meet.wait();
                sender.send(()).unwrap();
            };
            pool.execute(job(false, run)).unwrap();
        }
        meet.wait();
        (0..3).for_each(|_| receiver.recv().unwrap());
        wait_until(|| pool.running() == 0);
    }
    let (let_go, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for _ in 0..3 {
        let held = held.clone();
        pool.execute(job(false, move || held.lock().recv().unwrap())).unwrap();
    }
    assert_eq!(pool.execute(telling(&channel().0)), Err(Rejected));
    (0..3).for_each(|_| let_go.send(()).unwrap());
}

#[test]
fn the_last_handle_ends_the_threads_and_answers_what_waits() {
    let pool = ThreadPool::new(3);
    let poller = Arc::downgrade(&pool.poller().unwrap());
    let ended = pool.watch();
    assert!(!ended.wait(Some(clock::now())));
    let (sender, receiver) = channel();
    let (let_go, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for _ in 0..3 {
        let held = held.clone();
        pool.execute(job(false, move || held.lock().recv().unwrap())).unwrap();
    }
    wait_until(|| pool.running() == 3);
    pool.execute(telling(&sender)).unwrap();
    drop(pool);
    assert_eq!(receiver.recv().unwrap(), "rejected");
    (0..3).for_each(|_| let_go.send(()).unwrap());
    assert!(ended.wait(None));
    drop(ended);
    wait_until(|| poller.strong_count() == 0);
}

#[test]
fn the_last_handle_may_go_on_a_worker() {
    let pool = ThreadPool::new(2);
    let ended = {
        pool.poller().unwrap();
        pool.watch()
    };
    let (give, take) = channel::<ThreadPool>();
    pool.execute(job(false, move || drop(take.recv().unwrap()))).unwrap();
    give.send(pool).unwrap();
    assert!(ended.wait(None));
}

#[test]
fn a_pool_that_was_never_used_has_no_threads() {
    let pool = ThreadPool::new(2);
    assert!(pool.watch().wait(Some(clock::now())));
    assert_eq!((pool.workers(), pool.queued(), pool.running()), (2, 0, 0));
}

/// Counts how often it is flushed.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Flush for Counted {
    fn flush(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn answers_of_short_jobs_wait_for_each_other_and_for_nothing_else() {
    let pool = ThreadPool::new(1);
    let link = Arc::new(Counted::default());
    let (sender, receiver) = channel();
    let answer = |short: bool| {
        let (link, sender) = (link.clone(), sender.clone());
        job(short, move || {
            let flushed = link.0.load(Ordering::SeqCst);
            let corked = defer(|| Some(link.clone()));
            sender.send((corked, flushed)).unwrap();
        })
    };
    bring(&pool, vec![answer(true), answer(true), answer(true), answer(false), answer(true)]);
    let seen: Vec<(bool, usize)> = (0..5).map(|_| receiver.recv().unwrap()).collect();
    let corked: Vec<bool> = seen.iter().map(|(corked, _)| *corked).collect();
    // The third is followed by a long one, the fourth is long, behind the fifth is nothing.
    assert_eq!(corked, [true, true, false, false, false]);
    assert!(seen[3].1 >= 1, "flushed before the long one");
}

#[test]
fn nobody_sleeps_with_a_cork_and_a_block_pops_it() {
    let pool = ThreadPool::new(1);
    let link = Arc::new(Counted::default());
    let (sender, receiver) = channel();
    let (first, flushed) = (link.clone(), sender.clone());
    let first = job(true, move || {
        assert!(defer(|| Some(first.clone())));
        let _blocked = before_block();
        flushed.send(first.0.load(Ordering::SeqCst)).unwrap();
        assert!(defer(|| Some(first.clone())));
    });
    bring(&pool, vec![first, job(true, || {})]);
    assert_eq!(receiver.recv().unwrap(), 1);
    wait_until(|| link.0.load(Ordering::SeqCst) == 2);
}

#[test]
fn the_net_flushes_the_cork_of_a_worker_that_is_stuck() {
    let pool = ThreadPool::new(2);
    let link = Arc::new(Counted::default());
    let corking = link.clone();
    let (let_go, held) = channel::<()>();
    let first = job(true, move || {
        assert!(defer(|| Some(corking.clone())));
        held.recv().unwrap();
    });
    bring(&pool, vec![first, job(true, || {})]);
    wait_until(|| link.0.load(Ordering::SeqCst) == 1);
    let_go.send(()).unwrap();
}

#[test]
fn nothing_is_corked_off_the_pool() {
    assert!(!defer(|| Some(Arc::new(Counted::default()))));
    let _blocked = before_block();
}

/// Reads what is there and makes a job of each octet, which writes it back.
struct Echo(Arc<TcpStream>, bool);

impl Ready for Echo {
    fn ready(&self, readiness: Readiness, jobs: &mut Vec<Job>) {
        if !readiness.read {
            return;
        }
        let mut buffer = [0; 64];
        while let Ok(read @ 1..) = (&*self.0).read(&mut buffer) {
            for octet in &buffer[..read] {
                let (socket, octet) = (self.0.clone(), *octet);
                jobs.push(job(self.1, move || (&*socket).write_all(&[octet]).unwrap()));
            }
        }
    }
}

#[test]
fn no_request_is_lost_under_load() {
    for (workers, short) in [(1, true), (2, false), (4, true), (4, false)] {
        let pool = ThreadPool::new(workers);
        let poller = pool.poller().unwrap();
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let (near, mut far) = pair();
                near.set_nonblocking(true).unwrap();
                far.set_nodelay(true).unwrap();
                let near = Arc::new(near);
                poller.add(near.as_fd(), Mode::Edge, Arc::new(Echo(near.clone(), short))).unwrap();
                thread::spawn(move || {
                    for round in 0..200_usize {
                        let sent = vec![7; round % 5 + 1];
                        far.write_all(&sent).unwrap();
                        far.read_exact(&mut vec![0; sent.len()]).unwrap();
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        assert_eq!(pool.queued(), 0);
    }
}

#[test]
fn a_pool_that_is_full_counts_the_seconds_and_one_that_is_busy_does_not() {
    let full = |queued: usize| {
        let pool = ThreadPool::new(2);
        let (go, wait) = channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        for _ in 0..2 + queued {
            let wait = wait.clone();
            let stuck = move || {
                let _ = wait.lock().recv();
            };
            pool.execute(job(false, stuck)).unwrap();
        }
        wait_until(|| pool.running() == 2 && pool.queued() == queued);
        (pool, go)
    };
    let ((waited_for, go), (busy, go_too)) = (full(1), full(0));
    wait_until(|| waited_for.saturated() == 2);
    assert_eq!(busy.saturated(), 0, "nobody waits");
    drop((go, go_too));
    wait_until(|| waited_for.running() == 0 && busy.running() == 0);
    wait_until(|| waited_for.poller().unwrap().timers() == 0);
    assert_eq!(busy.poller().unwrap().timers(), 0, "nothing ticks");
    assert!(waited_for.saturated() <= 3);
}

/// What the user's value does when it is dropped, and where: not where sockets are read.
struct Dropped(Option<Then>);

impl Drop for Dropped {
    fn drop(&mut self) {
        assert!(read_here().is_none(), "on a thread that reads");
        if let Some(then) = self.0.take() {
            then();
        }
    }
}

/// An event that lets go of what is the user's.
struct LetGo(Mutex<Option<Keep<Dropped>>>);

impl Ready for LetGo {
    fn ready(&self, _: Readiness, _: &mut Vec<Job>) {
        let kept = self.0.lock().take();
        drop(kept);
    }
}

#[test]
fn what_is_the_users_is_dropped_by_a_worker_and_sockets_are_read_meanwhile() {
    let pool = ThreadPool::new(1);
    let poller = pool.poller().unwrap();
    let (dropping, drops) = channel();
    let (go, wait) = channel::<()>();
    let slow = Dropped(Some(Box::new(move || {
        dropping.send(()).unwrap();
        wait.recv_timeout(LATER).unwrap();
    })));
    let token = poller.reserve(Arc::new(LetGo(Mutex::new(Some(Keep::new(slow))))));
    poller.post(token, Readiness { read: true, ..Readiness::default() });
    drops.recv_timeout(LATER).unwrap();
    // The one worker sits in the drop: the next event is met by the reserve.
    let (met, meets) = channel();
    let last = Keep::new(Dropped(Some(Box::new(move || met.send(()).unwrap()))));
    let held = Arc::new(LetGo(Mutex::new(Some(last))));
    let token = poller.reserve(held.clone());
    poller.post(token, Readiness { read: true, ..Readiness::default() });
    wait_until(|| held.0.lock().is_none());
    assert!(meets.try_recv().is_err(), "it waits for the worker");
    go.send(()).unwrap();
    meets.recv_timeout(LATER).unwrap();
}

#[test]
fn what_is_the_users_is_dropped_when_the_pool_ends_whoever_holds_it() {
    let pool = ThreadPool::new(2);
    let poller = pool.poller().unwrap();
    let (told, tells) = channel();
    let panics = Dropped(Some(Box::new(|| panic!("a drop that panics"))));
    let tells_so = Dropped(Some(Box::new(move || told.send(()).unwrap())));
    for value in [panics, tells_so] {
        poller.reserve(Arc::new(LetGo(Mutex::new(Some(Keep::new(value))))));
    }
    let ended = pool.watch();
    drop((pool, poller));
    tells.recv_timeout(LATER).unwrap();
    assert!(ended.wait(Some(clock::now() + LATER)));
}
