//! Handshakes, before there is a link. No thread blocks in one: the poller moves it on, a few octets at a time.
//!
//! As many as come go on beside each other. One that stalls costs a descriptor and some KiB, until its time is over. What
//! fails is told at once, and the peer gets the alert: the socket is then read to its end for up to [`LINGER`], or a reset
//! because of unread octets would overtake it.
//!
//! A server says what its connection begins with as soon as its session lets it, in one write with its half of the
//! handshake (§ RFC 9113 §3.4: "the server connection preface" is SETTINGS, which anybody may know): a client then has it
//! when its own half is done, and needs no further round trip to know that HTTP/2 is spoken. That connection is none
//! before the client has finished, and the time for that is the same.
//!
//! Lock: one for each, a leaf, held over calls of the poller that do not block. Who moves a handshake takes it out of the
//! lock, so that no cryptography and no system call of the socket happens under it.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use super::pipe::TlsPipe;
use super::queue::Queue;
use super::session::Session;
use crate::net::{Pipe, SocketPipe};
use crate::reactor::{Interest, Job, Mode, OnTimer, Poller, Readiness, Ready, Token, clock};
use crate::sync::Mutex;

/// The longest that a handshake may take.
pub(crate) const LONGEST: Duration = Duration::from_secs(20);
/// How long a peer has to take our last word.
const LINGER: Duration = Duration::from_secs(1);
/// What is read at a time: a flight is shorter.
const READ: usize = 8 * 1024;
/// So many reads at a stretch: then others on this poller have their turn.
const ROUNDS: usize = 8;
/// So much of what is no TLS is kept, to be told.
const HEARD: usize = 24;

/// What is done with the pipe, or with why there is none. Runs on the poller, or on the thread that begins: never blocks.
pub(crate) type Outcome = Box<dyn FnOnce(Result<Arc<TlsPipe<SocketPipe>>, Failure>) + Send>;

/// What a server's connection begins with.
pub(crate) type Greeting = Arc<[u8]>;

/// Why a handshake failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The peer's first octets are no TLS.
    NoTls(Vec<u8>),
    /// The peer speaks TLS, and did not agree on HTTP/2.
    NoHttp2,
    /// The session failed, or the peer refused it: in words.
    Session(String),
    /// The peer closed the connection; whether it had said anything.
    Closed(bool),
    Io(io::Error),
    /// It took too long.
    Late,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTls(heard) if is_http2(heard) => f.write_str(
                "the peer speaks HTTP/2 without TLS: its port is an insecure one, or its server needs credentials",
            ),
            Self::NoTls(heard) => {
                write!(f, "the peer does not speak TLS; it sent \"{}\"", heard.escape_ascii())
            }
            Self::NoHttp2 => {
                f.write_str("the peer speaks TLS, but did not agree on HTTP/2 (ALPN \"h2\")")
            }
            Self::Session(error) => {
                write!(f, "the TLS handshake failed: {error}")
            }
            Self::Closed(false) => f.write_str("the peer closed the connection at once"),
            Self::Closed(true) => {
                f.write_str("the peer closed the connection in the TLS handshake")
            }
            Self::Io(error) => write!(f, "the connection failed in the TLS handshake: {error}"),
            Self::Late => f.write_str("the TLS handshake was not done in time"),
        }
    }
}

/// Whether a server's first octets are those of HTTP/2: a SETTINGS frame on stream 0 (RFC 9113 §3.4).
fn is_http2(heard: &[u8]) -> bool {
    matches!(heard, [0, 0, _, 4, 0, 0, 0, 0, 0, ..])
}

/// One handshake as octets go in and out; the socket is an argument of nobody but this.
pub(super) struct Opening<P> {
    pipe: P,
    session: Session,
    /// Nothing has been said, and it is on us.
    begins: bool,
    /// To be said as soon as it may be.
    greeting: Option<Greeting>,
    /// Has been said.
    said: Option<Greeting>,
    out: Queue,
    /// The peer's first octets.
    heard: Vec<u8>,
}

/// Where a handshake has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    Wants(Interest),
}

impl<P: Pipe> Opening<P> {
    pub(super) fn new(pipe: P, session: Session, greeting: Option<Greeting>) -> Self {
        let begins = session.is_client();
        let (out, heard) = Default::default();
        Self { pipe, session, begins, greeting, said: None, out, heard }
    }

    /// The pipe, when it is done.
    pub(super) fn into_pipe(self) -> TlsPipe<P> {
        TlsPipe::new(self.pipe, self.session, self.out, self.said)
    }

    #[cfg(test)]
    pub(super) fn pipe(&self) -> &P {
        &self.pipe
    }

    /// Goes on as far as the socket allows, or for a few rounds.
    pub(super) fn advance(&mut self) -> Result<Progress, Failure> {
        let mut buffer = Vec::new();
        // A client that begins has nothing to read yet.
        let (mut rounds, mut emptied) = (0, self.begins);
        let mut opened = match std::mem::take(&mut self.begins) {
            true => self.session.open(&mut [], &mut [], &mut self.out).1,
            false => Ok(()),
        };
        loop {
            if opened.is_ok() && self.session.speaks_early() {
                opened = self.greet();
            }
            if opened.is_ok() && self.is_last_word_ours() {
                return Ok(Progress::Done);
            }
            let full = self.flush();
            opened.map_err(|error| self.failure(error))?;
            if full.map_err(Failure::Io)? {
                return Ok(Progress::Wants(Interest { read: false, write: true }));
            }
            if !self.session.common().is_handshaking() {
                return self.agreed();
            }
            if emptied || rounds == ROUNDS {
                return Ok(Progress::Wants(READ_ONLY));
            }
            rounds += 1;
            let tail = self.session.tail_len();
            buffer.resize(tail + READ, 0);
            match self.pipe.try_read(&mut buffer[tail..]) {
                Ok(0) => return Err(Failure::Closed(!self.heard.is_empty())),
                Ok(n) => {
                    let room = HEARD - self.heard.len().min(HEARD);
                    self.heard.extend_from_slice(&buffer[tail..tail + n.min(room)]);
                    // The poller tells of what comes from now on.
                    emptied = n < READ;
                    let wire = &mut buffer[..tail + n];
                    opened = self.session.open(wire, &mut [], &mut self.out).1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Wants(READ_ONLY));
                }
                Err(error) => return Err(Failure::Io(error)),
            }
        }
    }

    /// A server speaks HTTP/2 first, where that may be.
    fn greet(&mut self) -> Result<(), rustls::Error> {
        let Some(greeting) = self.greeting.take() else { return Ok(()) };
        self.session.seal(&greeting, &mut self.out)?;
        self.said = Some(greeting);
        Ok(())
    }

    /// The handshake is over, and what is still to be said of it goes with the first octets of the connection, which follow
    /// at once: a client's Finished, and a ticket of a server's that has said its greeting.
    fn is_last_word_ours(&self) -> bool {
        let speaks = self.session.is_client() || self.said.is_some();
        speaks && !self.session.common().is_handshaking() && self.session.agrees()
    }

    /// Sends what there is to say. True: the socket is full.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.out.is_empty() {
            match self.pipe.try_write(self.out.rest()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.out.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        self.out = Queue::default();
        Ok(false)
    }

    fn agreed(&mut self) -> Result<Progress, Failure> {
        if self.session.agrees() {
            return Ok(Progress::Done);
        }
        let _ = self.session.close_notify(&mut self.out);
        let _ = self.flush();
        Err(Failure::NoHttp2)
    }

    fn failure(&self, error: rustls::Error) -> Failure {
        // A record begins with its type, 20 to 23, and the version, 3.
        let tls = match self.heard.as_slice() {
            [kind, 3, ..] => (20..=23).contains(kind),
            _ => self.heard.is_empty(),
        };
        if tls {
            Failure::Session(self.session.explain(&error))
        } else {
            Failure::NoTls(self.heard.clone())
        }
    }

    /// Reads and drops what comes. True: more may come.
    fn drain(&self) -> bool {
        let mut buffer = [0; READ];
        for _ in 0..ROUNDS {
            match self.pipe.try_read(&mut buffer) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

/// Two pipes over others, as a handshake of these credentials leaves them: that itself happens aside, at once. The server has
/// still to send its ticket.
#[cfg(all(test, shuttle))]
pub(crate) fn shaken<P: Pipe>(
    (config, name): (Arc<ClientConfig>, ServerName<'static>),
    server: Arc<ServerConfig>,
    (near, far): (P, P),
) -> (TlsPipe<P>, TlsPipe<P>) {
    let (here, there) = crate::net::MemoryPipe::pair();
    let mut client = Opening::new(here, Session::client(config, name).unwrap(), None);
    let mut server = Opening::new(there, Session::server(server).unwrap(), None);
    client.advance().unwrap();
    server.advance().unwrap();
    assert_eq!(client.advance().unwrap(), Progress::Done);
    client.flush().unwrap();
    assert_eq!(server.advance().unwrap(), Progress::Done);
    let (mut wire, mut ticket) = (vec![0; READ], Queue::default());
    let n = client.pipe.try_read(&mut wire).unwrap();
    ticket.append(&wire[..n]);
    let near = TlsPipe::new(near, client.session, Queue::default(), None);
    (near, TlsPipe::new(far, server.session, ticket, None))
}

const READ_ONLY: Interest = Interest { read: true, write: false };

/// Handshakes under way at one port, so that they can be ended with it.
#[derive(Default)]
pub(crate) struct Handshakes {
    /// Guards who they are. A leaf.
    state: Mutex<All>,
}

#[derive(Default)]
struct All {
    running: Vec<Weak<Shaking>>,
    sweep_at: usize,
    closed: bool,
}

impl Handshakes {
    /// Adds one that may be over already.
    pub(crate) fn add(&self, handshake: Handshake) {
        let mut all = self.state.lock();
        if all.closed {
            drop(all);
            return handshake.cancel();
        }
        if all.running.len() >= all.sweep_at {
            all.running.retain(|one| one.strong_count() > 0);
            all.sweep_at = (all.running.len() * 2).max(16);
        }
        all.running.push(Arc::downgrade(&handshake.0));
    }

    /// Ends all of them, and those to come.
    pub(crate) fn close(&self) {
        let mut all = self.state.lock();
        all.closed = true;
        let running = std::mem::take(&mut all.running);
        drop(all);
        for one in running.iter().filter_map(Weak::upgrade) {
            Handshake(one).cancel();
        }
    }
}

/// A handshake under way. Dropping it changes nothing; [`Handshake::cancel`] ends it.
#[derive(Clone)]
pub(crate) struct Handshake(Arc<Shaking>);

struct Shaking {
    poller: Arc<Poller>,
    /// Guards how far it has come. A leaf.
    stage: Mutex<Stage>,
    this: Weak<Shaking>,
}

enum Stage {
    /// Waits for the socket.
    Waits(Box<Running>),
    /// A thread moves it on.
    Moves,
    /// Its time came to an end while a thread moved it on.
    Late,
    /// Has failed, and lets the peer take our last word.
    Lingers(Box<Running>),
    Over,
}

struct Running {
    opening: Opening<SocketPipe>,
    token: Token,
    /// Its socket is in the poller.
    entered: bool,
    /// Taken by whoever tells it.
    outcome: Option<Outcome>,
}

/// Begins a client's, over a connected socket.
pub(crate) fn client(
    poller: &Arc<Poller>,
    pipe: SocketPipe,
    (config, name): (Arc<ClientConfig>, ServerName<'static>),
    timeout: Duration,
    outcome: Outcome,
) -> Option<Handshake> {
    begin(poller, pipe, (Session::client(config, name), None), timeout, outcome)
}

/// Begins a server's, over an accepted socket. `greeting` is what the connection is going to begin with, in any case.
pub(crate) fn server(
    poller: &Arc<Poller>,
    pipe: SocketPipe,
    (config, greeting): (Arc<ServerConfig>, Greeting),
    timeout: Duration,
    outcome: Outcome,
) -> Option<Handshake> {
    begin(poller, pipe, (Session::server(config), Some(greeting)), timeout, outcome)
}

/// `None`: it is over already, and that has been told.
pub(super) fn begin(
    poller: &Arc<Poller>,
    pipe: SocketPipe,
    (session, greeting): (Result<Session, rustls::Error>, Option<Greeting>),
    timeout: Duration,
    outcome: Outcome,
) -> Option<Handshake> {
    let session = match session {
        Ok(session) => session,
        Err(error) => {
            outcome(Err(Failure::Session(error.to_string())));
            return None;
        }
    };
    let shaking = Arc::new_cyclic(|this| Shaking {
        poller: poller.clone(),
        stage: Mutex::new(Stage::Moves),
        this: this.clone(),
    });
    let token = poller.reserve(shaking.clone());
    let now = clock::now();
    let deadline = now.checked_add(timeout.min(LONGEST)).unwrap_or(now);
    poller.timer(deadline, shaking.clone(), DEADLINE);
    let opening = Opening::new(pipe, session, greeting);
    let begins = opening.begins;
    let running = Box::new(Running { opening, token, entered: false, outcome: Some(outcome) });
    match begins {
        true => shaking.go_on(running, None),
        // A client's first octets mostly are not there yet.
        false => shaking.rest(running, READ_ONLY),
    }
    Some(Handshake(shaking))
}

const DEADLINE: u64 = 1;
const LINGERED: u64 = 2;

impl Handshake {
    /// Gives up. The outcome is not told, unless it is being told now.
    pub(crate) fn cancel(&self) {
        let stage = std::mem::replace(&mut *self.0.stage.lock(), Stage::Over);
        self.0.end(stage);
    }
}

impl Shaking {
    /// Moves it on. The stage is `Moves`, and this thread the one that does it.
    ///
    /// `jobs`: this is a poller's turn.
    fn go_on(&self, mut running: Box<Running>, jobs: Option<&mut Vec<Job>>) {
        match running.opening.advance() {
            Ok(Progress::Done) => {
                let before = std::mem::replace(&mut *self.stage.lock(), Stage::Over);
                // Done is done, late or not; but nobody waits for one that was given up.
                if matches!(before, Stage::Over) {
                    return self.end(Stage::Waits(running));
                }
                // The socket stays, disarmed, for the link, which is one system call instead of two.
                self.poller.release(running.token);
                let Running { mut opening, entered, outcome, .. } = *running;
                if entered {
                    opening.pipe.stays_in(&self.poller);
                }
                let pipe = Arc::new(opening.into_pipe());
                if let Some(outcome) = outcome {
                    outcome(Ok(pipe.clone()));
                    pipe.begin(jobs);
                }
            }
            Ok(Progress::Wants(interest)) => self.rest(running, interest),
            Err(failure) => self.fail(running, failure),
        }
    }

    fn rest(&self, running: Box<Running>, interest: Interest) {
        let mut stage = self.stage.lock();
        match &*stage {
            Stage::Moves => {
                // Under the lock, so that nobody closes the socket meanwhile; and put back first, for the event.
                *stage = Stage::Waits(running);
                let Stage::Waits(running) = &mut *stage else { return };
                let armed = self.watch(running, interest);
                if let Err(error) = armed {
                    let Stage::Waits(running) = std::mem::replace(&mut *stage, Stage::Moves) else {
                        return;
                    };
                    drop(stage);
                    self.fail(running, Failure::Io(error));
                }
            }
            Stage::Late => {
                drop(stage);
                self.fail(running, Failure::Late);
            }
            _ => {
                drop(stage);
                self.end(Stage::Waits(running));
            }
        }
    }

    /// Has the poller tell of the next event.
    fn watch(&self, running: &mut Running, interest: Interest) -> io::Result<()> {
        let fd = running.opening.pipe.as_fd();
        match std::mem::replace(&mut running.entered, true) {
            true => self.poller.arm(running.token, fd, interest),
            false => self.poller.enter(running.token, fd, Mode::Armed(interest)),
        }
    }

    /// Tells the failure, and lets the peer take the alert.
    fn fail(&self, mut running: Box<Running>, failure: Failure) {
        let outcome = running.outcome.take();
        let says = matches!(failure, Failure::Session(_) | Failure::NoTls(_) | Failure::NoHttp2);
        if says {
            running.opening.pipe.shutdown_write();
        }
        let mut stage = self.stage.lock();
        let cancelled = matches!(*stage, Stage::Over);
        if says && !cancelled {
            *stage = Stage::Lingers(running);
            let Stage::Lingers(running) = &mut *stage else { return };
            let _ = self.watch(running, READ_ONLY);
            drop(stage);
            if let Some(this) = self.this.upgrade() {
                self.poller.timer(clock::now() + LINGER, this, LINGERED);
            }
        } else {
            *stage = Stage::Over;
            drop(stage);
            self.end(Stage::Waits(running));
        }
        if let Some(outcome) = outcome.filter(|_| !cancelled) {
            outcome(Err(failure));
        }
    }

    fn linger(&self, running: Box<Running>) {
        let more = running.opening.drain();
        let mut stage = self.stage.lock();
        if !more || !matches!(*stage, Stage::Moves) {
            *stage = Stage::Over;
            drop(stage);
            return self.end(Stage::Lingers(running));
        }
        *stage = Stage::Lingers(running);
        let Stage::Lingers(running) = &mut *stage else { return };
        let _ = self.watch(running, READ_ONLY);
    }

    /// Leaves the poller, and closes the socket.
    fn end(&self, stage: Stage) {
        if let Stage::Waits(running) | Stage::Lingers(running) = stage {
            self.poller.remove(running.token, running.opening.pipe.as_fd());
        }
    }
}

impl Ready for Shaking {
    fn ready(&self, _readiness: Readiness, jobs: &mut Vec<Job>) {
        let mut stage = self.stage.lock();
        match std::mem::replace(&mut *stage, Stage::Moves) {
            Stage::Waits(running) => {
                drop(stage);
                self.go_on(running, Some(jobs));
            }
            Stage::Lingers(running) => {
                drop(stage);
                self.linger(running);
            }
            other => *stage = other,
        }
    }
}

impl OnTimer for Shaking {
    fn fire(&self, tag: u64, _now: Instant, _jobs: &mut Vec<Job>) {
        let mut stage = self.stage.lock();
        match (std::mem::replace(&mut *stage, Stage::Over), tag) {
            (Stage::Waits(running), DEADLINE) => {
                *stage = Stage::Moves;
                drop(stage);
                self.fail(running, Failure::Late);
            }
            (Stage::Moves, DEADLINE) => *stage = Stage::Late,
            (lingers @ Stage::Lingers(_), LINGERED) => {
                drop(stage);
                self.end(lingers);
            }
            // Reads what is left, and looks at the stage after it.
            (Stage::Moves, LINGERED) => {}
            (other, _) => *stage = other,
        }
    }
}
