//! A connection of TCP or of a UNIX socket as a pipe.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SendFlags, send};
use socket2::Socket;

use super::{Address, Endpoint, Pipe, Waited};
use crate::credentials::{AuthContext, PeerProcess};
use crate::reactor::{Interest, Mode, Poller, Ready, Token, clock};
use crate::sync::atomic::{AtomicBool, Ordering};

/// A connected stream socket: non-blocking, and with TCP_NODELAY.
#[derive(Debug)]
pub(crate) struct SocketPipe {
    socket: Socket,
    peer: Endpoint,
    /// Ends the wait of a leader. Only a client's link has leaders: an idle server connection stays small, and a client's
    /// has it from the beginning. Were it made with the first wait, then a process that is short of descriptors at
    /// that moment would lose a connection that is well.
    kick: OnceLock<OwnedFd>,
    attached: OnceLock<Attached>,
    /// The poller that has watched its handshake, and tells of nothing any more: to attach there is to take that over.
    entered: Option<Arc<Poller>>,
    /// Edges of room are asked for.
    room: AtomicBool,
    /// The socket's end follows what is written next.
    last: AtomicBool,
    /// It came to a port for this machine alone.
    for_locals: bool,
}

#[derive(Debug)]
struct Attached {
    poller: Arc<Poller>,
    token: Token,
    mode: Mode,
}

impl SocketPipe {
    pub(crate) fn new(socket: impl Into<Socket>) -> io::Result<Self> {
        let socket = socket.into();
        let peer = Endpoint::of(&socket.peer_addr()?).ok_or(io::ErrorKind::Unsupported)?;
        socket.set_nonblocking(true)?;
        if peer.ip().is_some() {
            socket.set_tcp_nodelay(true)?;
        }
        let (kick, attached, entered, room, last) = Default::default();
        Ok(Self { socket, peer, kick, attached, entered, room, last, for_locals: false })
    }

    /// One that somebody waits on: a client's.
    pub(crate) fn led(socket: Socket) -> io::Result<Self> {
        let pipe = Self::new(socket)?;
        pipe.kick_fd()?;
        Ok(pipe)
    }

    /// Its peer was let in because it is on this machine.
    pub(crate) fn let_in_as_local(mut self) -> Self {
        self.for_locals = true;
        self
    }

    /// It was entered into that poller, once, and is not armed.
    #[cfg(feature = "_tls")]
    pub(super) fn stays_in(&mut self, poller: &Arc<Poller>) {
        self.entered = Some(poller.clone());
    }

    /// Where the peer is.
    pub(crate) fn end(&self) -> &Endpoint {
        &self.peer
    }

    /// The process at the other end of a UNIX socket, as it was when it connected.
    fn process(&self) -> Option<PeerProcess> {
        let found = socket_peercred(&self.socket).ok()?;
        let (uid, gid) = (found.uid.as_raw(), found.gid.as_raw());
        Some(PeerProcess { pid: found.pid.as_raw_nonzero().get(), uid, gid })
    }

    fn kick_fd(&self) -> io::Result<&OwnedFd> {
        if let Some(fd) = self.kick.get() {
            return Ok(fd);
        }
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(self.kick.get_or_init(|| fd))
    }
}

/// For who watches it before it is a link's.
#[cfg(feature = "_tls")]
impl AsFd for SocketPipe {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Pipe for SocketPipe {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        retry(|| (&self.socket).read(into))
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        if self.last.load(Ordering::Relaxed) {
            // The kernel keeps it back for the FIN.
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            return retry(|| Ok(send(&self.socket, from, flags)?));
        }
        retry(|| (&self.socket).write(from))
    }

    fn takes_slices(&self) -> bool {
        true
    }

    fn try_write_slices(&self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.last.load(Ordering::Relaxed) {
            // With flags, which a vectored write has not.
            return from.first().map_or(Ok(0), |slice| self.try_write(slice));
        }
        retry(|| (&self.socket).write_vectored(from))
    }

    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited> {
        let kick = self.kick_fd()?;
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN | PollFlags::RDHUP, interest.read);
        flags.set(PollFlags::OUT, interest.write);
        let mut fds = [PollFd::new(&self.socket, flags), PollFd::new(kick, PollFlags::IN)];
        loop {
            let timeout = deadline
                .map(|at| at.saturating_duration_since(clock::now()))
                .and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) => break,
                // L13: a signal is not the deadline.
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (socket, kicked) = (fds[0].revents(), !fds[1].revents().is_empty());
        if kicked {
            let _ = rustix::io::read(kick, &mut [0u8; 8]);
        }
        let broken = socket.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        Ok(Waited {
            readable: broken || socket.intersects(PollFlags::IN | PollFlags::RDHUP),
            writable: interest.write && (broken || socket.contains(PollFlags::OUT)),
            kicked,
        })
    }

    fn kick(&self) {
        if let Ok(kick) = self.kick_fd() {
            let _ = rustix::io::write(kick, &1u64.to_ne_bytes());
        }
    }

    fn attach(&self, poller: &Arc<Poller>, mode: Mode, ready: Arc<dyn Ready>) -> io::Result<()> {
        let token = poller.reserve(ready);
        // Before the first event can come: who is told of the end at once has to find what it undoes.
        let _ = self.attached.set(Attached { poller: poller.clone(), token, mode });
        let mode = match mode {
            Mode::Edge if self.room.load(Ordering::Relaxed) => Mode::Edges,
            mode => mode,
        };
        let fd = self.socket.as_fd();
        match &self.entered {
            Some(before) if !Arc::ptr_eq(before, poller) => {
                before.leave(fd);
                poller.enter(token, fd, mode)
            }
            None => poller.enter(token, fd, mode),
            // It is as it has to be.
            Some(_) if mode == Mode::OneShot => Ok(()),
            Some(_) => poller.change(token, fd, mode),
        }
    }

    fn arm(&self, interest: Interest) -> io::Result<()> {
        let Some(Attached { poller, token, .. }) = self.attached.get() else { return Ok(()) };
        poller.arm(*token, self.socket.as_fd(), interest)
    }

    fn watch_for_room(&self) {
        let known = self.room.swap(true, Ordering::Relaxed);
        let Some(Attached { poller, token, mode }) = self.attached.get() else { return };
        if *mode == Mode::Edge && !known {
            // Fails only for one that has been detached.
            let _ = poller.change(*token, self.socket.as_fd(), Mode::Edges);
        }
    }

    fn detach(&self) {
        if let Some(Attached { poller, token, .. }) = self.attached.get() {
            poller.remove(*token, self.socket.as_fd());
        }
    }

    fn last_word(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    fn shutdown_write(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    fn close(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn peer(&self) -> String {
        self.peer.describe()
    }

    fn auth_context(&self) -> AuthContext {
        let context = match self.for_locals {
            true => AuthContext::local(),
            false => AuthContext::insecure(),
        };
        match self.peer {
            Endpoint::Ip(_) => context,
            Endpoint::Unix(_) => context.of(self.process()),
        }
    }

    fn ends(&self) -> (Option<Address>, Option<Address>) {
        let local = self.socket.local_addr().ok().and_then(|local| Endpoint::of(&local));
        (local.as_ref().map(Address::from), Some(Address::from(&self.peer)))
    }

    fn is_local(&self) -> bool {
        let own = || self.socket.local_addr().ok()?.as_socket().map(|own| own.ip());
        self.peer.ip().is_none_or(|peer| is_this_host(peer.ip(), own))
    }
}

/// Whether a connection to this peer stays on one machine. `own`: our end's address, where that has to be known.
fn is_this_host(peer: IpAddr, own: impl FnOnce() -> Option<IpAddr>) -> bool {
    peer.to_canonical().is_loopback() || own() == Some(peer)
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "threads of the tests' own")]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::reactor::{Job, Readiness};
    use crate::sync::Mutex;

    fn pair() -> (SocketPipe, SocketPipe) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        (SocketPipe::new(near).unwrap(), SocketPipe::new(far).unwrap())
    }

    const READ: Interest = Interest { read: true, write: false };

    #[test]
    fn a_kick_ends_the_next_wait_and_only_that() {
        let (near, _far) = pair();
        near.kick();
        near.kick();
        assert!(near.wait(READ, None).unwrap().kicked);
        let soon = clock::now() + Duration::from_millis(5);
        assert_eq!(near.wait(READ, Some(soon)).unwrap(), Waited::default());
        assert!(clock::now() >= soon);
    }

    #[test]
    fn reads_and_writes_say_when_they_would_block() {
        let (near, far) = pair();
        let mut buffer = [0; 16];
        assert_eq!(near.try_read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let chunk = vec![7; 1 << 20];
        while near.try_write(&chunk).is_ok() {}
        let both = Interest { read: true, write: true };
        let soon = Some(clock::now() + Duration::from_millis(5));
        assert!(!near.wait(both, soon).unwrap().writable, "the socket is full");
        let mut sink = vec![0; 1 << 20];
        while far.try_read(&mut sink).is_ok() {}
        assert!(near.wait(both, None).unwrap().writable);
    }

    #[test]
    fn the_end_of_the_peer_is_readable() {
        let (near, far) = pair();
        far.shutdown_write();
        assert!(near.wait(READ, None).unwrap().readable);
        assert_eq!(near.try_read(&mut [0; 4]).unwrap(), 0);
    }

    /// Keeps what it is told of.
    #[derive(Default)]
    struct Told(Mutex<Vec<Readiness>>);

    impl Ready for Told {
        fn ready(&self, readiness: Readiness, _: &mut Vec<Job>) {
            self.0.lock().push(readiness);
        }
    }

    impl Told {
        /// Since it was asked last, after a turn.
        fn since(&self, poller: &Poller) -> Vec<Readiness> {
            // So that a turn with nothing to tell ends, too.
            poller.kick();
            poller.turn(&mut Vec::new()).unwrap();
            std::mem::take(&mut self.0.lock())
        }

        /// What was sent may be on its way.
        fn until(&self, poller: &Poller, told: impl Fn(&Readiness) -> bool) {
            assert!((0..100_000).any(|_| self.since(poller).iter().any(&told)), "it is not told");
        }
    }

    #[test]
    fn room_is_told_of_once_it_was_missed_before_or_after_attaching() {
        for early in [false, true] {
            let (poller, told) = (Poller::new().unwrap(), Arc::new(Told::default()));
            let (near, far) = pair();
            let fill = || while near.try_write(&[7; 1 << 16]).is_ok() {};
            let empty = || {
                let mut sink = vec![0; 1 << 20];
                while far.try_read(&mut sink).is_ok() {}
            };
            if early {
                fill();
                near.watch_for_room();
            }
            near.attach(&poller, Mode::Edge, told.clone()).unwrap();
            assert_eq!(told.since(&poller), [], "nobody waits for room");
            if !early {
                fill();
                near.watch_for_room();
                near.watch_for_room();
            }
            for _ in 0..3 {
                empty();
                told.until(&poller, |readiness| readiness.write);
                fill();
            }
            near.detach();
            assert_eq!(Arc::strong_count(&told), 1);
        }
    }

    #[cfg(feature = "_tls")]
    #[test]
    fn a_socket_that_stays_in_a_poller_is_attached_there_or_elsewhere() {
        for (elsewhere, mode) in
            [(false, Mode::OneShot), (false, Mode::Edge), (true, Mode::OneShot), (true, Mode::Edge)]
        {
            let (first, before) = (Poller::new().unwrap(), Arc::new(Told::default()));
            let (mut near, far) = pair();
            let token = first.reserve(before.clone());
            first.enter(token, near.as_fd(), Mode::Armed(READ)).unwrap();
            far.try_write(b"a handshake").unwrap();
            before.until(&first, |readiness| readiness.read);
            assert_eq!(near.try_read(&mut [0; 16]).unwrap(), 11);
            first.release(token);
            near.stays_in(&first);
            // This comes while nobody is told.
            far.try_write(b"octets").unwrap();
            let poller = if elsewhere { Poller::new().unwrap() } else { first.clone() };
            let told = Arc::new(Told::default());
            near.attach(&poller, mode, told.clone()).unwrap();
            if mode == Mode::OneShot {
                assert_eq!(told.since(&poller), []);
                near.arm(READ).unwrap();
            }
            told.until(&poller, |readiness| readiness.read);
            near.detach();
            far.try_write(b"more").unwrap();
            assert_eq!(told.since(&poller), []);
            assert_eq!(before.since(&first), [], "its token is gone");
        }
    }

    #[test]
    fn the_last_word_goes_with_the_end() {
        let (near, far) = pair();
        near.last_word();
        assert_eq!(near.try_write(b"goodbye").unwrap(), 7);
        let mut buffer = [0; 16];
        assert_eq!(far.try_read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        near.shutdown_write();
        assert!(far.wait(READ, None).unwrap().readable);
        assert_eq!(far.try_read(&mut buffer).unwrap(), 7);
        assert_eq!(far.try_read(&mut buffer).unwrap(), 0, "and no wait in between");
    }

    #[test]
    fn a_kick_ends_the_wait_of_another_thread() {
        let (near, _far) = pair();
        let near = Arc::new(near);
        let waiting = near.clone();
        let thread = std::thread::spawn(move || waiting.wait(READ, None).unwrap());
        near.kick();
        assert!(thread.join().unwrap().kicked);
    }

    #[test]
    fn a_broken_connection_is_ready_for_everything_and_says_so() {
        let (near, far) = pair();
        far.try_write(b"unread").unwrap();
        near.try_write(b"unread").unwrap();
        far.wait(READ, None).unwrap();
        // Closing with unread octets resets.
        drop(far);
        let both = Interest { read: true, write: true };
        let waited = near.wait(both, None).unwrap();
        assert!(waited.readable && waited.writable);
        while near.try_write(b"x").is_ok() {}
        near.close();
        assert!(near.try_write(b"x").is_err());
    }

    #[test]
    fn a_peer_behind_the_loopback_address_is_on_this_machine() {
        let (client, server) = pair();
        assert!(client.is_local() && server.is_local());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(is_this_host(ip("::ffff:127.0.0.1"), || unreachable!("nobody asks")));
        let from = |own: &str, peer: &str| is_this_host(ip(peer), || Some(ip(own)));
        assert!(from("192.0.2.1", "192.0.2.1"), "by its own address");
        assert!(!from("192.0.2.1", "192.0.2.2"));
        assert!(!from("2001:db8::1", "2001:db8::2"));
        assert!(!is_this_host(ip("192.0.2.1"), || None));
    }
}
