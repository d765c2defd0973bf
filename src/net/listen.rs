//! Accepting on the server's poller.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::SocketPipe;
use super::bind::Bound;
use crate::reactor::{Job, Mode, OnTimer, Poller, Readiness, Ready, Token, clock};
use crate::sync::Mutex;
use crate::tell;
use rustix::io::Errno;

/// What is done with each connection. Runs on a polling thread: never blocks.
pub(crate) type OnAccept = Box<dyn Fn(SocketPipe) + Send + Sync>;

/// Connections that are accepted at a stretch.
const ROUNDS: usize = 16;
/// What a timer is for.
const RESTED: u64 = 0;
const LATER: u64 = 1;

/// A listening socket on a poller.
pub(crate) struct Listener {
    poller: Arc<Poller>,
    /// A leaf.
    state: Mutex<State>,
    on_accept: OnAccept,
    this: Weak<Listener>,
}

#[derive(Default)]
struct State {
    /// Gone once closed.
    socket: Option<(Arc<Bound>, Token)>,
    rest: Rest,
    /// There may be more, and its turn is still to come: edges are nothing until then.
    later: bool,
}

impl Listener {
    /// Accepts from now on.
    pub(crate) fn open(
        bound: Bound,
        poller: &Arc<Poller>,
        on_accept: OnAccept,
    ) -> io::Result<Arc<Self>> {
        bound.socket().set_nonblocking(true)?;
        let this = Arc::new_cyclic(|this| Self {
            poller: poller.clone(),
            state: Mutex::default(),
            on_accept,
            this: this.clone(),
        });
        let ready: Arc<dyn Ready> = this.clone();
        // Held over the registration, so that the first event finds the socket.
        let mut state = this.state.lock();
        let token = poller.add(bound.socket().as_fd(), Mode::Edge, ready)?;
        state.socket = Some((Arc::new(bound), token));
        drop(state);
        Ok(this)
    }

    /// Stops accepting and closes the socket: new connections are refused from here on.
    pub(crate) fn close(&self) {
        let last = self.state.lock().socket.take();
        if let Some((bound, token)) = last {
            self.poller.remove(token, bound.socket().as_fd());
            // A thread that accepts just now holds the descriptor for a moment more; its address is free from here on. A socket
            // that was given to us may be others' as well, who go on listening.
            if bound.is_own() {
                let _ = bound.socket().shutdown(Shutdown::Both);
                bound.unlink();
            }
        }
    }

    /// Accepts what is there, or a few: who connects without end has to let others have their turn.
    fn accept_some(&self) {
        for _ in 0..ROUNDS {
            let Some(bound) = self.open_socket() else { return };
            match bound.socket().accept() {
                Ok((stream, _)) => match SocketPipe::new(stream) {
                    Ok(pipe) => (self.on_accept)(pipe),
                    Err(error) => {
                        tell::debug!("a connection was gone before it was served: {error}")
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if passing(&error) => {}
                Err(error) => return self.rest(&error),
            }
        }
        let first = !mem::replace(&mut self.state.lock().later, true);
        if let Some(this) = self.this.upgrade().filter(|_| first) {
            let this: Arc<dyn OnTimer> = this;
            self.poller.later(&this, LATER);
        }
    }

    /// The socket, while somebody may accept.
    fn open_socket(&self) -> Option<Arc<Bound>> {
        let state = self.state.lock();
        let waits = state.rest.resting || state.later;
        let (socket, _) = state.socket.as_ref().filter(|_| !waits)?;
        Some(socket.clone())
    }

    /// Sets the one timer. Who finds that another thread has begun the rest leaves it at that.
    fn rest(&self, error: &io::Error) {
        let now = clock::now();
        let Some(line) = self.state.lock().rest.begin(now) else { return };
        match line {
            Line::Loud(0) => tell::warn!("accepting rests for {REST:?}: {error}"),
            Line::Loud(times) => {
                tell::warn!(
                    "accepting rests for {REST:?}, and did {times} times since told: {error}"
                )
            }
            Line::Quiet => tell::debug!("accepting rests for {REST:?}: {error}"),
        }
        if let Some(this) = self.this.upgrade() {
            self.poller.timer(now + REST, this, RESTED);
        }
    }
}

/// Whether accepting rests: nobody accepts then, edges are nothing, and one timer ends it. A connection that comes
/// meanwhile waits in the socket.
#[derive(Debug, Default)]
struct Rest {
    resting: bool,
    /// When the log was told last.
    told: Option<Instant>,
    /// How often it has begun since.
    untold: u32,
}

/// How loudly a rest is told.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// And how many others were not, since the last that was.
    Loud(u32),
    Quiet,
}

impl Rest {
    /// `None`: it rests already.
    fn begin(&mut self, now: Instant) -> Option<Line> {
        if mem::replace(&mut self.resting, true) {
            return None;
        }
        let quiet =
            self.told.is_some_and(|told| now.saturating_duration_since(told) < TOLD_AGAIN_AFTER);
        if quiet {
            self.untold = self.untold.saturating_add(1);
            return Some(Line::Quiet);
        }
        self.told = Some(now);
        Some(Line::Loud(mem::take(&mut self.untold)))
    }

    fn end(&mut self) {
        self.resting = false;
    }
}

/// Errors of one connection rather than of the process: the next one may do.
fn passing(error: &io::Error) -> bool {
    let passing = [Errno::INTR, Errno::CONNABORTED, Errno::PERM, Errno::PROTO];
    passing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl Ready for Listener {
    fn ready(&self, _readiness: Readiness, _jobs: &mut Vec<Job>) {
        self.accept_some();
    }
}

impl OnTimer for Listener {
    fn fire(&self, tag: u64, _now: Instant, _jobs: &mut Vec<Job>) {
        let mut state = self.state.lock();
        match tag {
            LATER => state.later = false,
            _ => state.rest.end(),
        }
        drop(state);
        self.accept_some();
    }
}

/// How long accepting rests when the process is out of descriptors or memory (A23).
const REST: Duration = Duration::from_millis(100);

/// A process may be out of descriptors for hours: this often it says so.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::net::Pipe;
    use crate::reactor::ThreadPool;
    use crate::reactor::few::{hoard, with_few};

    /// A listener that keeps what it accepts and counts it.
    fn accepting(poller: &Arc<Poller>) -> (SocketAddr, Arc<Listener>, Receiver<SocketPipe>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        let on_accept = Box::new(move |pipe| sender.lock().send(pipe).unwrap());
        (address, Listener::open(Bound::own(listener), poller, on_accept).unwrap(), receiver)
    }

    #[test]
    fn a_closed_listener_refuses() {
        let pool = ThreadPool::new(1);
        let (address, listener, accepted) = accepting(&pool.poller().unwrap());
        let _client = TcpStream::connect(address).unwrap();
        accepted.recv().unwrap();
        listener.close();
        listener.close();
        assert_eq!(
            TcpStream::connect(address).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }

    #[test]
    fn who_connects_without_end_lets_others_have_their_turn() {
        let poller = Poller::new().unwrap();
        let (address, _listener, accepted) = accepting(&poller);
        let clients: Vec<_> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut came = 0;
        while came < clients.len() {
            poller.turn(&mut Vec::new()).unwrap();
            let now = accepted.try_iter().count();
            assert!(now <= 2 * ROUNDS, "an edge, and what was left: {now}");
            came += now;
        }
    }

    /// Though a thread is just accepting.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "a thread of the test's own")]
    fn the_address_is_free_once_a_listener_is_closed() {
        let pool = ThreadPool::new(2);
        let poller = pool.poller().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let _ = TcpStream::connect(address);
                    }
                });
            }
            let mut next = Ok(listener);
            let closed = (0..500).all(|_| {
                let Ok(socket) = std::mem::replace(&mut next, Err(io::ErrorKind::Other.into()))
                else {
                    return false;
                };
                let (accepted, accepts) = channel();
                let accepted = Mutex::new(accepted);
                let on_accept = Box::new(move |_| {
                    let _ = accepted.lock().send(());
                });
                let open = Listener::open(Bound::own(socket), &poller, on_accept).unwrap();
                accepts.recv().unwrap();
                open.close();
                next = TcpListener::bind(address);
                true
            });
            over.store(true, Ordering::Relaxed);
            assert!(closed && next.is_ok(), "{next:?}");
        });
    }

    #[test]
    fn a23_without_descriptors_accepting_rests_and_resumes() {
        let name = "net::listen::tests::a23_without_descriptors_accepting_rests_and_resumes";
        with_few(name, run_out_of_descriptors);
    }

    #[test]
    fn a_rest_begins_once_and_is_told_once_in_ten_seconds() {
        let (mut rest, start) = (Rest::default(), clock::now());
        let mut begin = |ms| {
            let line = rest.begin(start + Duration::from_millis(ms));
            assert_eq!(rest.begin(start + Duration::from_millis(ms)), None);
            rest.end();
            line
        };
        assert_eq!(begin(0), Some(Line::Loud(0)));
        for tick in 1..100 {
            assert_eq!(begin(tick * 100), Some(Line::Quiet));
        }
        assert_eq!(begin(10_000), Some(Line::Loud(99)));
        assert_eq!(begin(10_100), Some(Line::Quiet));
    }

    fn run_out_of_descriptors() {
        let pool = ThreadPool::new(2);
        let poller = pool.poller().unwrap();
        let (address, listener, accepted) = accepting(&poller);
        let (_early, early) = (TcpStream::connect(address).unwrap(), accepted.recv().unwrap());
        let mut hoard = hoard();
        drop(hoard.pop());
        // The last descriptor is the client's; the server's side has to wait.
        let late = TcpStream::connect(address).unwrap();
        let error = File::open("/dev/null").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
        assert!(accepted.try_recv().is_err());
        // What exists goes on.
        assert_eq!(early.try_write(b"x").unwrap(), 1);
        // Creation of what a poller needs fails as an error (L14).
        assert!(Poller::new().is_err());
        // However many edges there are, one timer ends the rest, and none of them accepts meanwhile.
        let most = (0..1_000).map(|_| {
            listener.ready(Readiness { read: true, ..Readiness::default() }, &mut Vec::new());
            poller.timers()
        });
        assert!(most.max() <= Some(1));
        drop(hoard);
        let peer = accepted.recv().unwrap().peer();
        assert_eq!(peer, format!("ipv4:{}", late.local_addr().unwrap()));
    }
}
