//! A TCP connection as a pipe.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::{Pipe, Waited};
use crate::credentials::AuthContext;
use crate::reactor::{Interest, Mode, Poller, Ready, Token, clock};

/// A connected TCP socket: non-blocking, TCP_NODELAY.
#[derive(Debug)]
pub(crate) struct TcpPipe {
    socket: TcpStream,
    peer: SocketAddr,
    /// Ends the wait of a leader. Only a client's link has leaders: an idle server connection stays small, and a client's
    /// has it from the beginning. Were it made with the first wait, then a process that is short of descriptors at
    /// that moment would lose a connection that is well.
    kick: OnceLock<OwnedFd>,
    attached: OnceLock<(Arc<Poller>, Token)>,
    /// It came to a port for this machine alone.
    for_locals: bool,
}

impl TcpPipe {
    pub(crate) fn new(socket: TcpStream) -> io::Result<Self> {
        let peer = socket.peer_addr()?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let (kick, attached) = (OnceLock::new(), OnceLock::new());
        Ok(Self { socket, peer, kick, attached, for_locals: false })
    }

    /// One that somebody waits on: a client's.
    pub(super) fn led(socket: TcpStream) -> io::Result<Self> {
        let pipe = Self::new(socket)?;
        pipe.kick_fd()?;
        Ok(pipe)
    }

    /// Its peer was let in because it is on this machine.
    pub(crate) fn let_in_as_local(mut self) -> Self {
        self.for_locals = true;
        self
    }

    /// The peer's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.peer
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
impl AsFd for TcpPipe {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Pipe for TcpPipe {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        retry(|| (&self.socket).read(into))
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        retry(|| (&self.socket).write(from))
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
        let _ = self.attached.set((poller.clone(), token));
        poller.enter(token, self.socket.as_fd(), mode)
    }

    fn arm(&self, interest: Interest) -> io::Result<()> {
        let Some((poller, token)) = self.attached.get() else { return Ok(()) };
        poller.arm(*token, self.socket.as_fd(), interest)
    }

    fn detach(&self) {
        if let Some((poller, token)) = self.attached.get() {
            poller.remove(*token, self.socket.as_fd());
        }
    }

    fn shutdown_write(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    fn close(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn peer(&self) -> String {
        describe(self.peer)
    }

    fn auth_context(&self) -> AuthContext {
        match self.for_locals {
            true => AuthContext::local(),
            false => AuthContext::insecure(),
        }
    }

    fn is_local(&self) -> bool {
        self.socket.local_addr().is_ok_and(|own| same_host(own.ip(), self.peer.ip()))
    }
}

/// A connection between these two stays on one machine.
fn same_host(own: IpAddr, peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback() || own == peer
}

/// An address as Python's `peer()` writes it: brackets and the zone's % of IPv6 percent-encoded.
pub(crate) fn describe(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => format!("ipv4:{v4}"),
        SocketAddr::V6(v6) if v6.scope_id() != 0 => {
            format!("ipv6:%5B{}%25{}%5D:{}", v6.ip(), v6.scope_id(), v6.port())
        }
        SocketAddr::V6(v6) => format!("ipv6:%5B{}%5D:{}", v6.ip(), v6.port()),
    }
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
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    fn pair() -> (TcpPipe, TcpPipe) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        (TcpPipe::new(near).unwrap(), TcpPipe::new(far).unwrap())
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
        assert!(same_host(ip("::ffff:127.0.0.1"), ip("::ffff:127.0.0.1")));
        assert!(same_host(ip("192.0.2.1"), ip("192.0.2.1")), "by its own address");
        assert!(!same_host(ip("192.0.2.1"), ip("192.0.2.2")));
        assert!(!same_host(ip("2001:db8::1"), ip("2001:db8::2")));
    }

    #[test]
    fn peers_are_written_as_python_does() {
        assert_eq!(describe("127.0.0.1:80".parse().unwrap()), "ipv4:127.0.0.1:80");
        assert_eq!(describe("[::1]:80".parse().unwrap()), "ipv6:%5B::1%5D:80");
        // The same address on two links is two peers.
        let [one, two] = ["[fe80::1%2]:80", "[fe80::1%3]:80"].map(|text| text.parse().unwrap());
        assert_eq!(describe(one), "ipv6:%5Bfe80::1%252%5D:80");
        assert_ne!(describe(one), describe(two));
    }
}
