//! A pipe whose octets are sealed on another pipe.
//!
//! What a link takes for granted of a pipe stays true:
//! - A read that fills less than its buffer has emptied the socket, and leaves nothing plain behind but the end, of which
//!   [`holds`](Pipe::holds) tells.
//! - What is left behind because the buffer was full is told as readable at once, though the socket may be silent: the kernel
//!   knows nothing of it. Where a poller watches, a timer of no length tells it in the kernel's stead.
//! - A write that would block is repeated with the same octets. They are sealed once: what waits for the socket is wire,
//!   and the writer is told of its octets in proportion as the wire goes out.
//! - What reading makes a session say (a warning, an alert) goes out by whoever sends, in order, and waits for nobody.
//!
//! Lock: one, a leaf, held over the session's cryptography and never over a system call. One thread at a time reads, one writes;
//! a reader that has something to say may meet the writer, so `sending` tells whose turn it is.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use super::handshake::Greeting;
use super::queue::Queue;
use super::session::Session;
use crate::credentials::AuthContext;
use crate::net::{Address, Pipe, Waited};
use crate::reactor::{Interest, Job, Mode, OnTimer, Poller, Readiness, Ready, clock};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Mutex, thread_own};

/// The longest that is read from a socket at a time.
const READ: usize = 256 * 1024;
/// So many reads for one of the link's.
const ROUNDS: usize = 16;
/// The least: a record.
const LEAST_READ: usize = 16 * 1024;
/// What is read at a time of what nobody wants.
const AWAY: usize = 8 * 1024;
/// Room in front of it for a record that came in parts, or a message of a handshake in some records.
const TAIL: usize = 64 * 1024;
/// What is sealed at a time, at the most.
const BATCH: usize = 256 * 1024;

thread_own! {
    /// What was read, wire.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(Vec::new());
    /// What is about to be written, wire.
    static SEALED: RefCell<Vec<u8>> = RefCell::new(Vec::new());
}

/// See the file.
pub(crate) struct TlsPipe<P> {
    inner: P,
    /// Guards the session and what it has sealed. A leaf. Not poisoned by panics.
    state: Mutex<State>,
    /// A read would give something without the socket. Only who reads changes it, as the next one.
    pending: AtomicBool,
    tail: AtomicUsize,
    nudge: OnceLock<Arc<Nudge>>,
    /// Made when somebody asks.
    auth: OnceLock<AuthContext>,
}

struct State {
    session: Session,
    out: Queue,
    /// The first octets, which the peer has been sent with the handshake.
    said: Option<Greeting>,
    /// Nobody is told of what there is to read before [`begin`](TlsPipe::begin), which tells it for less.
    begins: bool,
    batch: Option<Batch>,
    /// A thread is in the system call, without the lock.
    sending: bool,
    /// The writer met a reader that was sending, and has to be told.
    met: bool,
    /// Nothing plain has come yet.
    quiet: bool,
    over: Option<Over>,
    /// What is sealed next is the last.
    last: bool,
    /// We have said that no more will come.
    closed: bool,
    /// The session has failed, and that was told. What still comes is dropped, for the peer to read our alert.
    drops: bool,
}

/// Plain octets that were sealed and are not yet told as written.
struct Batch {
    plain: usize,
    told: usize,
    wire: usize,
    gone: usize,
}

/// Why nothing more can be read.
#[derive(Clone)]
enum Over {
    End,
    Failed(io::ErrorKind, String),
}

impl Over {
    fn tell(&self) -> io::Result<usize> {
        match self {
            Self::End => Ok(0),
            Self::Failed(kind, text) => Err(io::Error::new(*kind, text.clone())),
        }
    }
}

impl Batch {
    /// `n` octets of wire have gone: how many plain ones that tells.
    fn advance(&mut self, n: usize) -> usize {
        self.gone = (self.gone + n).min(self.wire);
        let done = match self.gone == self.wire {
            true => self.plain,
            // The last one only with the last of the wire: until then there is something to repeat.
            false => {
                let share = self.plain as u64 * self.gone as u64 / self.wire as u64;
                (share as usize).min(self.plain - 1)
            }
        };
        let step = done.saturating_sub(self.told);
        self.told += step;
        step
    }
}

impl<P: Pipe> TlsPipe<P> {
    /// Over a session whose handshake is done. `out`: its last word, which goes with the first write. `said`: what that
    /// write begins with, which has been sent. Whoever has the pipe calls [`begin`](Self::begin) once it is attached.
    pub(super) fn new(inner: P, session: Session, out: Queue, said: Option<Greeting>) -> Self {
        let pending = AtomicBool::new(session.has_surplus() || session.ended());
        let tail = AtomicUsize::new(session.tail_len());
        let over = session.ended().then_some(Over::End);
        let state = State {
            session,
            out,
            said,
            begins: true,
            batch: None,
            sending: false,
            met: false,
            quiet: true,
            over,
            last: false,
            closed: false,
            drops: false,
        };
        Self {
            inner,
            state: Mutex::new(state),
            pending,
            tail,
            nudge: OnceLock::new(),
            auth: OnceLock::new(),
        }
    }

    /// Tells whoever is attached of what came with the handshake: at once in a poller's turn, which has `jobs`. Then sends
    /// what is left of its last word, where nothing was written for it to go with.
    pub(crate) fn begin(&self, jobs: Option<&mut Vec<Job>>) {
        self.state.lock().begins = false;
        if self.holds() {
            let readiness = Readiness { read: true, ..Readiness::default() };
            match (self.nudge.get().and_then(|nudge| nudge.ready.upgrade()), jobs) {
                (Some(ready), Some(jobs)) => ready.ready(readiness, jobs),
                _ => self.tell(readiness),
            }
        }
        let left = !self.state.lock().out.is_empty();
        if left {
            self.send_aside();
        }
    }

    /// As if a reader was in the system call now, or had been.
    #[cfg(test)]
    pub(super) fn reader_sends(&self, sends: bool) {
        let mut state = self.state.lock();
        state.sending = sends;
        state.met &= sends;
    }

    #[cfg(test)]
    pub(super) fn inner(&self) -> &P {
        &self.inner
    }

    /// Octets, and room for such, that are kept.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let state = self.state.lock();
        state.session.held() + state.out.held()
    }

    #[cfg(test)]
    pub(super) fn kind(&self) -> Option<rustls::HandshakeKind> {
        self.state.lock().session.common().handshake_kind()
    }

    #[cfg(test)]
    pub(super) fn ask_for_new_keys(&self) {
        let mut state = self.state.lock();
        let State { session, out, .. } = &mut *state;
        session.refresh_keys(out).unwrap();
    }

    /// Says so in the session alone.
    #[cfg(test)]
    pub(super) fn say_close_notify(&self) {
        let mut state = self.state.lock();
        let State { session, out, .. } = &mut *state;
        session.close_notify(out).unwrap();
        drop(state);
        self.send_aside();
    }

    /// What is there without the socket; `Some`: that is the answer.
    fn read_left(&self, into: &mut [u8], filled: &mut usize) -> Option<io::Result<usize>> {
        let mut state = self.state.lock();
        if state.drops {
            drop(state);
            return Some(self.read_away());
        }
        *filled = state.session.take_surplus(into);
        let left = state.session.has_surplus();
        self.pending.store(left || state.over.is_some(), Ordering::Relaxed);
        if *filled == into.len() {
            return Some(Ok(*filled));
        }
        state.over.as_ref().map(|over| if *filled > 0 { Ok(*filled) } else { over.tell() })
    }

    /// Nothing plain comes any more, but the end.
    fn read_away(&self) -> io::Result<usize> {
        let mut buffer = [0; AWAY];
        for _ in 0..ROUNDS {
            if self.inner.try_read(&mut buffer)? == 0 {
                return Ok(0);
            }
        }
        // There may be more, and no edge will tell of it.
        self.tell(Readiness { read: true, ..Readiness::default() });
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// One read of the socket, and what it comes to: how much was read, of how much that was asked for. `None`: it would block.
    fn read_wire(
        &self,
        scratch: &mut Vec<u8>,
        into: &mut [u8],
        filled: &mut usize,
    ) -> Result<Option<bool>, Over> {
        let tail = self.tail.load(Ordering::Relaxed);
        let room = into.len() - *filled;
        let want = (room + room / 256).clamp(LEAST_READ, READ);
        if scratch.len() < tail + want {
            *scratch = vec![0; TAIL.max(tail) + READ];
        }
        let n = match self.inner.try_read(&mut scratch[tail..tail + want]) {
            Ok(0) => return Err(self.ended(None)),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(self.ended(Some(error))),
        };
        let mut state = self.state.lock();
        let State { session, out, .. } = &mut *state;
        let (opened, result) = session.open(&mut scratch[..tail + n], &mut into[*filled..], out);
        self.tail.store(session.tail_len(), Ordering::Relaxed);
        self.pending.store(session.has_surplus(), Ordering::Relaxed);
        let (ended, says) = (session.ended(), !out.is_empty());
        let failed = result.err().map(|error| session.explain(&error));
        state.quiet &= opened == 0;
        drop(state);
        if says {
            self.send_aside();
        }
        *filled += opened;
        match failed {
            Some(text) => Err(Over::Failed(io::ErrorKind::InvalidData, text)),
            None if ended => Err(self.ended(None)),
            None => Ok(Some(n == want)),
        }
    }

    /// The end, or what it means: a server that wants a certificate may say so by closing alone.
    fn ended(&self, error: Option<io::Error>) -> Over {
        let state = self.state.lock();
        let why = match (&error, state.session.silence().filter(|_| state.quiet)) {
            (None, None) => return Over::End,
            (None, Some(meaning)) => format!("it was closed {meaning}"),
            (Some(error), None) => error.to_string(),
            (Some(error), Some(meaning)) => format!("{error} {meaning}"),
        };
        Over::Failed(error.map_or(io::ErrorKind::UnexpectedEof, |error| error.kind()), why)
    }

    fn read(&self, scratch: &mut Vec<u8>, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        if self.pending.load(Ordering::Relaxed) {
            if let Some(answer) = self.read_left(into, &mut filled) {
                return answer;
            }
        }
        // A peer that sends records with nothing in them must not hold the thread.
        for _ in 0..ROUNDS {
            match self.read_wire(scratch, into, &mut filled) {
                Ok(_) if filled == into.len() => return Ok(filled),
                Ok(Some(true)) => {}
                // A short read has emptied the socket. One that gave nothing plain has to be sure of it.
                Ok(Some(false)) if filled > 0 => return Ok(filled),
                Ok(Some(false)) => {}
                Ok(None) if filled > 0 => return Ok(filled),
                Ok(None) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(over) => return self.over(over, filled),
            }
        }
        // There may be more, and no edge will tell of it.
        self.pending.store(true, Ordering::Relaxed);
        self.tell(Readiness { read: true, ..Readiness::default() });
        if filled > 0 { Ok(filled) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Nothing more can be read; told now, or with the next read.
    fn over(&self, over: Over, filled: usize) -> io::Result<usize> {
        self.state.lock().over = Some(over.clone());
        self.pending.store(true, Ordering::Relaxed);
        if filled == 0 { over.tell() } else { Ok(filled) }
    }

    /// Tells whoever is attached, from a polling thread.
    fn tell(&self, readiness: Readiness) {
        if readiness.read && self.state.lock().begins {
            return;
        }
        if let Some(nudge) = self.nudge.get() {
            let tag = if readiness.write { TAG_WRITE } else { TAG_READ };
            nudge.poller.timer(clock::now(), nudge.clone(), tag);
        }
    }

    /// What the socket is asked for. A writer that met a reader does not wait for the socket, which may have room all the time:
    /// it would look again and again, and keep the reader from the CPU. It is told.
    fn of_socket(&self, interest: Interest) -> Interest {
        Interest { write: interest.write && !self.state.lock().met, ..interest }
    }

    /// A reader sends what the session has to say, as far as the socket takes it. The rest goes with what is written next.
    fn send_aside(&self) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.sending, true) {
            // Who sends looks again.
            return;
        }
        let mut wire = std::mem::take(&mut state.out);
        drop(state);
        // A socket that has failed is the reader's to find out.
        let sent = self.send(&mut wire).unwrap_or(0);
        let mut state = self.state.lock();
        if let Some(batch) = &mut state.batch {
            // What was left of it went first. The writer is told with its next try.
            batch.gone = (batch.gone + sent).min(batch.wire);
        }
        state.sent(wire);
        if std::mem::take(&mut state.met) {
            drop(state);
            self.tell(Readiness { write: true, ..Readiness::default() });
        }
    }

    /// Writes until nothing is left or the socket is full: how much has gone.
    fn send(&self, wire: &mut Queue) -> io::Result<usize> {
        let mut sent = 0;
        while !wire.is_empty() {
            match self.inner.try_write(wire.rest()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    wire.advance(n);
                    sent += n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    fn write(&self, from: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        if let Some(Over::Failed(_, text)) = &state.over {
            // The keys may be others' by now.
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, text.clone()));
        }
        if state.sending {
            state.met = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(said) = state.said.take() {
            // Said is said: the connection begins with nothing else.
            let same = from.starts_with(&said);
            return if same { Ok(said.len()) } else { Err(io::ErrorKind::InvalidData.into()) };
        }
        let mut wire = match state.out.is_empty() {
            true => Queue::over(SEALED.reach(RefCell::take).unwrap_or_default()),
            false => std::mem::take(&mut state.out),
        };
        if state.batch.is_none() {
            let plain = &from[..from.len().min(BATCH)];
            if state.closed {
                state.out = wire;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if let Err(error) = state.session.seal(plain, &mut wire) {
                state.out = wire;
                let text = state.session.explain(&error);
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, text));
            }
            state.batch =
                Some(Batch { plain: plain.len(), told: 0, wire: wire.len().max(1), gone: 0 });
            if state.last && plain.len() == from.len() {
                state.close_notify(&mut wire);
            }
        }
        state.sending = true;
        let mut told = 0;
        loop {
            drop(state);
            let sent = self.send(&mut wire);
            state = self.state.lock();
            let sent = match sent {
                Ok(sent) => sent,
                Err(error) => {
                    state.sent(wire);
                    return Err(error);
                }
            };
            if let Some(batch) = &mut state.batch {
                told += batch.advance(sent);
                if batch.gone == batch.wire {
                    state.batch = None;
                }
            }
            if !wire.is_empty() || state.out.is_empty() {
                break;
            }
            // A reader has had something to say meanwhile.
            wire = std::mem::take(&mut state.out);
        }
        if let Some(memory) = state.sent(wire) {
            drop(state);
            SEALED.reach(|kept| kept.replace(memory));
        }
        if told > 0 { Ok(told) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl State {
    /// Says that no more will come, if that has not been said.
    fn close_notify(&mut self, wire: &mut Queue) {
        self.closed = self.closed || self.session.close_notify(wire).is_ok();
    }

    /// The end of sending: what is left of `wire` goes before what was said meanwhile. Gives memory back that is not needed.
    fn sent(&mut self, mut wire: Queue) -> Option<Vec<u8>> {
        self.sending = false;
        if wire.is_empty() {
            return Some(wire.into_memory());
        }
        wire.append(self.out.rest());
        self.out = wire;
        None
    }
}

impl<P: Pipe> Pipe for TlsPipe<P> {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let mut scratch = SCRATCH.reach(RefCell::take).unwrap_or_default();
        let read = self.read(&mut scratch, into);
        SCRATCH.reach(|kept| kept.replace(scratch));
        read
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        if from.is_empty() { Ok(0) } else { self.write(from) }
    }

    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited> {
        let interest = self.of_socket(interest);
        if !(interest.read && self.pending.load(Ordering::Relaxed)) {
            return self.inner.wait(interest, deadline);
        }
        // What else there is counts, too: a writer must not wait for the last of what is left.
        let waited = self.inner.wait(interest, Some(clock::now()))?;
        Ok(Waited { readable: true, ..waited })
    }

    fn kick(&self) {
        self.inner.kick();
    }

    fn attach(&self, poller: &Arc<Poller>, mode: Mode, ready: Arc<dyn Ready>) -> io::Result<()> {
        let nudge = Nudge { poller: poller.clone(), ready: Arc::downgrade(&ready) };
        let _ = self.nudge.set(Arc::new(nudge));
        self.inner.attach(poller, mode, ready)?;
        if mode == Mode::Edge && self.pending.load(Ordering::Relaxed) {
            self.tell(Readiness { read: true, ..Readiness::default() });
        }
        Ok(())
    }

    fn arm(&self, interest: Interest) -> io::Result<()> {
        self.inner.arm(self.of_socket(interest))?;
        if interest.read && self.pending.load(Ordering::Relaxed) {
            self.tell(Readiness { read: true, ..Readiness::default() });
        }
        Ok(())
    }

    fn watch_for_room(&self) {
        self.inner.watch_for_room();
    }

    fn detach(&self) {
        self.inner.detach();
    }

    fn last_word(&self) {
        self.state.lock().last = true;
        self.inner.last_word();
    }

    /// Says close_notify first (RFC 8446 §6.1: "Each party MUST send a "close_notify" alert before closing its write side").
    fn shutdown_write(&self) {
        let mut state = self.state.lock();
        state.drops = matches!(state.over, Some(Over::Failed(..)));
        // After a fatal alert there is nothing to say (RFC 8446 §6.2), and rustls would panic where it is built for debugging.
        if !state.sending && !state.drops {
            state.sending = true;
            let mut wire = std::mem::take(&mut state.out);
            state.close_notify(&mut wire);
            drop(state);
            self.inner.last_word();
            // A full socket at the end of everything: then without.
            let _ = self.send(&mut wire);
            let mut state = self.state.lock();
            state.sending = false;
            let met = std::mem::take(&mut state.met);
            drop(state);
            if met {
                self.tell(Readiness { write: true, ..Readiness::default() });
            }
        }
        self.inner.shutdown_write();
    }

    fn close(&self) {
        self.inner.close();
    }

    fn holds(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    fn peer(&self) -> String {
        self.inner.peer()
    }

    fn auth_context(&self) -> AuthContext {
        let make = || {
            let process = self.inner.auth_context().peer_process();
            self.state.lock().session.auth_context().of(process)
        };
        self.auth.get_or_init(make).clone()
    }

    fn ends(&self) -> (Option<Address>, Option<Address>) {
        self.inner.ends()
    }

    fn cipher_suite(&self) -> Option<String> {
        self.state.lock().session.cipher_suite()
    }

    fn is_local(&self) -> bool {
        self.inner.is_local()
    }
}

impl<P: fmt::Debug> fmt::Debug for TlsPipe<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPipe").field("inner", &self.inner).finish_non_exhaustive()
    }
}

const TAG_READ: u64 = 1;
const TAG_WRITE: u64 = 2;

/// Tells who is attached what the kernel cannot know.
struct Nudge {
    poller: Arc<Poller>,
    ready: Weak<dyn Ready>,
}

impl OnTimer for Nudge {
    fn fire(&self, tag: u64, _now: Instant, jobs: &mut Vec<Job>) {
        if let Some(ready) = self.ready.upgrade() {
            let write = tag == TAG_WRITE;
            ready.ready(Readiness { read: !write, write, hangup: false }, jobs);
        }
    }
}
