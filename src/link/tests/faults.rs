//! Sockets that do what peers without manners make them do.

use std::sync::mpsc;

use parking_lot::Condvar;

use super::super::kept::KEPT;
use super::*;
use crate::http2::hpack::encode;

/// Unknown frames of 16 octets, which are to be ignored.
const FLOOD: [u8; 16] = [0, 0, 7, 0xbb, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7];

/// A socket that is full, or floods, when the test says so.
#[derive(Default)]
struct Rude {
    state: Mutex<Has>,
    changed: Condvar,
}

#[derive(Default)]
struct Has {
    full: bool,
    /// Writes fail, and reads do not.
    broken: bool,
    /// So many reads are answered with a full buffer.
    flood: usize,
    reads: usize,
    waiting: bool,
    kicked: bool,
    armed: Interest,
    /// Room is asked for.
    room: bool,
    /// A read gives a frame, and the next one the end, of which the pipe knows.
    ends: bool,
    /// What was done that the peer hears, in order.
    said: Vec<&'static str>,
    closed: bool,
    ready: Option<Arc<dyn Ready>>,
}

impl std::fmt::Debug for Rude {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rude")
    }
}

impl Rude {
    fn set(&self, change: impl FnOnce(&mut Has)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// Waits for what has to come, and says whether it came.
    fn comes(&self, what: impl Fn(&Has) -> bool) -> bool {
        let mut state = self.state.lock();
        let until = clock::now() + Duration::from_secs(10);
        while !what(&state) {
            if self.changed.wait_until(&mut state, until).timed_out() {
                return what(&state);
            }
        }
        true
    }
}

impl Pipe for Rude {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        if state.ends {
            let frame = state.reads == 0;
            state.reads += 1;
            let n = if frame { FLOOD.len() } else { 0 };
            into[..n].copy_from_slice(&FLOOD[..n]);
            return Ok(n);
        }
        if state.flood == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.flood -= 1;
        state.reads += 1;
        self.changed.notify_all();
        into.chunks_exact_mut(FLOOD.len()).for_each(|place| place.copy_from_slice(&FLOOD));
        Ok(into.len())
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        if state.broken {
            return Err(io::Error::other("no buffer space"));
        }
        state.said.push("octets");
        match state.full {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(from.len()),
        }
    }

    fn wait(&self, _: Interest, deadline: Option<Instant>) -> io::Result<Waited> {
        let mut state = self.state.lock();
        state.waiting = true;
        self.changed.notify_all();
        while !std::mem::take(&mut state.kicked) {
            let until = deadline.unwrap_or_else(|| clock::now() + Duration::from_secs(10));
            if self.changed.wait_until(&mut state, until).timed_out() {
                return Ok(Waited::default());
            }
        }
        Ok(Waited { kicked: true, ..Waited::default() })
    }

    fn kick(&self) {
        self.set(|has| has.kicked = true);
    }

    fn attach(&self, _: &Arc<Poller>, _: Mode, ready: Arc<dyn Ready>) -> io::Result<()> {
        self.set(|has| has.ready = Some(ready));
        Ok(())
    }

    fn arm(&self, interest: Interest) -> io::Result<()> {
        self.set(|has| has.armed = interest);
        Ok(())
    }

    fn detach(&self) {
        let ready = self.state.lock().ready.take();
        drop(ready);
    }

    fn holds(&self) -> bool {
        let state = self.state.lock();
        state.ends && state.reads > 0
    }

    fn watch_for_room(&self) {
        self.set(|has| has.room = true);
    }

    fn last_word(&self) {
        self.set(|has| has.said.push("these are the last"));
    }

    fn shutdown_write(&self) {
        self.set(|has| has.said.push("the end"));
    }

    fn close(&self) {
        self.set(|has| has.closed = true);
    }

    fn peer(&self) -> String {
        "somebody".to_owned()
    }
}

fn rude_client() -> (Arc<Rude>, Arc<Link>) {
    let pipe = Arc::new(Rude::default());
    let options = Options::new(Role::Client);
    let poller = client_poller().unwrap();
    let channel = Arc::new(Channel::default());
    let link =
        Link::client(pipe.clone(), &options.clone().into(), Duration::ZERO, channel, &poller)
            .unwrap();
    (pipe, link)
}

fn rude_server() -> (Arc<Rude>, Arc<Link>, ThreadPool) {
    let pipe = Arc::new(Rude::default());
    let pool = ThreadPool::new(1);
    let acceptor = Arc::new(Echo { ended: Mutex::new(Vec::new()) });
    let options = Options::new(Role::Server);
    let poller = pool.poller().unwrap();
    let link = Link::server(pipe.clone(), &options.clone().into(), acceptor, &poller).unwrap();
    (pipe, link, pool)
}

/// Either; the pool is a server's.
fn rude(client: bool) -> (Arc<Rude>, Arc<Link>, Option<ThreadPool>) {
    if client {
        let (pipe, link) = rude_client();
        return (pipe, link, None);
    }
    let (pipe, link, pool) = rude_server();
    (pipe, link, Some(pool))
}

#[test]
fn a_peer_that_never_reads_does_not_keep_a_closed_client() {
    let (pipe, link) = rude_client();
    pipe.set(|has| has.full = true);
    link.close(Reason::NO_ERROR, "closed by the test");
    assert!(pipe.comes(|has| has.closed), "its socket stays open");
    assert!(pipe.comes(|has| has.ready.is_none()), "it stays registered");
}

#[test]
fn a_peer_that_never_reads_does_not_keep_a_closed_server_link() {
    let (pipe, link, _pool) = rude_server();
    pipe.set(|has| has.full = true);
    link.close(Reason::NO_ERROR, "closed by the test");
    assert!(pipe.comes(|has| has.closed), "its socket stays open");
}

#[test]
fn a_thread_that_met_a_full_socket_with_much_to_write_keeps_little_of_it() {
    let (pipe, link) = rude_client();
    pipe.set(|has| has.full = true);
    let mut large = block("/echo/Stream");
    encode::literal(&mut large, b"k", &vec![b'v'; 4 * KEPT]);
    link.open(&large, None, false, 1 << 20, Replies::Many).unwrap();
    assert!(link.state.lock().tail.is_some());
    assert!(write::kept() <= KEPT, "{}", write::kept());
}

#[test]
fn a_write_that_fails_where_reads_do_not_ends_the_connection_all_the_same() {
    for client in [true, false] {
        let (pipe, link, _pool) = rude(client);
        let call = client.then(|| {
            link.open(&block("/echo/Stream"), None, false, 1 << 20, Replies::Many).unwrap()
        });
        pipe.set(|has| has.broken = true);
        link.drain();
        assert!(pipe.comes(|has| has.closed), "its socket stays open, and its baton held");
        assert!(call.is_none_or(|call| call.ended()), "its calls go on for ever");
        let unsent = link.state.lock().conn.stats().unsent;
        assert!(unsent < 100, "what cannot go does not pile up: {unsent}");
    }
}

#[test]
fn a_leader_that_goes_leaves_nobodys_write_behind() {
    let (pipe, link) = rude_client();
    assert!(pipe.comes(|has| has.armed.read && !has.armed.write));
    let leads = link.open(&block("/echo/Stream"), None, false, 1 << 20, Replies::Many).unwrap();
    thread::scope(|scope| {
        let until = clock::now() + Duration::from_millis(50);
        let leader = scope.spawn(move || leads.wait(Want::Message, Some(until)));
        assert!(pipe.comes(|has| has.waiting));
        // A write sticks while another leads, and the leader's deadline passes.
        pipe.set(|has| has.full = true);
        let _sends =
            link.open(&block("/echo/Stream"), None, false, 1 << 20, Replies::Many).unwrap();
        assert!(!leader.join().unwrap());
    });
    assert!(pipe.comes(|has| has.armed.write), "nobody waits until the socket is writable");
    link.close(Reason::NO_ERROR, "the end");
}

const MEETS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn the_last_octets_are_told_to_be_that_and_the_end_follows() {
    for client in [true, false] {
        let (pipe, link, _pool) = rude(client);
        pipe.set(|has| has.said.clear());
        link.close(Reason::NO_ERROR, "closed by the test");
        assert_eq!(pipe.state.lock().said, ["these are the last", "octets", "the end"]);
    }
    // A server that drains has more to say, perhaps.
    let (pipe, link, _pool) = rude_server();
    let mut state = link.state.lock();
    state.input(MEETS, clock::now(), &link.side);
    link.settle(state);
    pipe.set(|has| has.said.clear());
    link.drain();
    assert_eq!(pipe.state.lock().said, ["octets"]);
}

#[test]
fn an_end_that_the_pipe_knows_of_is_read_in_the_same_turn() {
    let (pipe, link, _pool) = rude_server();
    let mut state = link.state.lock();
    state.input(MEETS, clock::now(), &link.side);
    link.settle(state);
    pipe.set(|has| has.ends = true);
    let edge = Readiness { read: true, ..Readiness::default() };
    Ready::ready(&*link, edge, &mut Vec::new());
    assert!(pipe.state.lock().closed);
}

#[test]
fn a_server_asks_for_room_when_its_socket_is_full_and_not_before() {
    let (pipe, link, _pool) = rude_server();
    assert!(!pipe.state.lock().room);
    pipe.set(|has| has.full = true);
    link.drain();
    assert!(pipe.state.lock().room);
    pipe.set(|has| has.full = false);
    let edge = Readiness { write: true, ..Readiness::default() };
    Ready::ready(&*link, edge, &mut Vec::new());
    assert_eq!(link.state.lock().conn.stats().unsent, 0);
}

#[test]
fn a_flood_does_not_hold_the_thread_that_reads() {
    let (pipe, link, _pool) = rude_server();
    let mut state = link.state.lock();
    state.input(MEETS, clock::now(), &link.side);
    link.settle(state);
    pipe.set(|has| has.flood = 100);
    let edge = Readiness { read: true, ..Readiness::default() };
    Ready::ready(&*link, edge, &mut Vec::new());
    assert!((1..100).contains(&pipe.state.lock().reads), "as long as the peer likes");
    // The rest is not forgotten, and no edge will tell of it.
    assert!(pipe.comes(|has| has.flood == 0 || has.closed), "the rest stays unread");
}

#[test]
fn timers_do_not_gather_on_a_connection_that_lives_for_long() {
    let (_pipe, link, pool) = rude_server();
    let met = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";
    // Half a frame has a nearer deadline than what the connection has besides.
    let feeds: [&[u8]; 3] = [met, &FLOOD[..10], &FLOOD[10..]];
    let mut now = clock::now();
    for round in 0..100 {
        for octets in &feeds[usize::from(round > 0)..] {
            let mut state = link.state.lock();
            state.input(octets, now, &link.side);
            link.settle(state);
        }
        now += Duration::from_secs(60);
        link.fire(1, now, &mut Vec::new());
    }
    assert_eq!(link.state.lock().phase, state::Phase::Open);
    let timers = pool.poller().unwrap().timers();
    assert!(timers < 10, "{timers}");
}

#[test]
fn links_that_have_ended_leave_no_timers_behind() {
    let pool = ThreadPool::new(1);
    let poller = pool.poller().unwrap();
    let before = poller.timers();
    for n in 0..40 {
        let pipe = Arc::new(Rude::default());
        let link = if n % 2 == 0 {
            let channel = Arc::new(Channel::default());
            let options = Options::new(Role::Client);
            Link::client(pipe.clone(), &options.clone().into(), Duration::ZERO, channel, &poller)
                .unwrap()
        } else {
            let acceptor = Arc::new(Echo { ended: Mutex::new(Vec::new()) });
            Link::server(pipe.clone(), &Arc::new(Options::new(Role::Server)), acceptor, &poller)
                .unwrap()
        };
        let mut state = link.state.lock();
        link.watch_for_quiet(&mut state);
        link.settle(state);
        assert!(poller.timers() > before, "it has no timers at all");
        pipe.set(|has| has.full = n % 4 > 1);
        link.close(Reason::NO_ERROR, "closed by the test");
        link.fail(&io::ErrorKind::ConnectionReset.into());
        assert!(pipe.comes(|has| has.closed));
        // What comes too late sets none anew.
        let mut state = link.state.lock();
        link.watch_for_quiet(&mut state);
        link.settle(state);
    }
    assert_eq!(poller.timers(), before);
}

/// Tells when it is told.
struct Told(mpsc::Sender<()>);

impl Notify for Told {
    fn progress(&self) {
        let _ = self.0.send(());
    }
}

#[test]
fn progress_is_told_while_a_callback_keeps_the_notifier() {
    let rig = rig();
    let stream =
        rig.client.open(&block("/echo/Stream"), None, false, 1 << 20, Replies::Many).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    crate::reactor::notify(Box::new(move || {
        let _ = wait.recv();
    }));
    let (tell, told) = mpsc::channel();
    stream.notify(Arc::new(Told(tell)));
    for _ in 0..3 {
        stream.send(Outgoing { head: None, data: Some(framed(b"x")), end: End::No });
        told.recv_timeout(Duration::from_secs(10)).unwrap();
    }
    stream.unlisten();
    assert!(told.iter().count() < 10, "the listener is gone, and was told no more than came");
    drop(go);
}
