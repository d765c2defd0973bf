//! Accepting on the server's poller.

use std::io;
use std::net::{Shutdown, TcpListener};
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::sync::Mutex;
use rustix::io::Errno;
use socket2::SockRef;

use super::TcpPipe;
use crate::reactor::{Job, Mode, OnTimer, Poller, Readiness, Ready, Token, clock};
use crate::tell;

/// How long accepting rests when the process is out of descriptors or memory (A23).
const REST: Duration = Duration::from_millis(100);

/// What is done with each connection. Runs on a polling thread: never blocks.
pub(crate) type OnAccept = Box<dyn Fn(TcpPipe) + Send + Sync>;

/// A listening socket on a poller.
pub(crate) struct Listener {
    poller: Arc<Poller>,
    /// Guards the socket, which is gone once closed. A leaf.
    socket: Mutex<Option<(Arc<TcpListener>, Token)>>,
    /// No other process has the socket.
    own: bool,
    on_accept: OnAccept,
    this: Weak<Listener>,
}

impl Listener {
    /// Accepts from now on. `own`: the socket was bound here.
    pub(crate) fn open(
        listener: TcpListener,
        own: bool,
        poller: &Arc<Poller>,
        on_accept: OnAccept,
    ) -> io::Result<Arc<Self>> {
        listener.set_nonblocking(true)?;
        let this = Arc::new_cyclic(|this| Self {
            poller: poller.clone(),
            socket: Mutex::new(None),
            own,
            on_accept,
            this: this.clone(),
        });
        let ready: Arc<dyn Ready> = this.clone();
        // Held over the registration, so that the first event finds the socket.
        let mut socket = this.socket.lock();
        let token = poller.add(listener.as_fd(), Mode::Edge, ready)?;
        *socket = Some((Arc::new(listener), token));
        drop(socket);
        Ok(this)
    }

    /// Stops accepting and closes the socket: new connections are refused from here on.
    pub(crate) fn close(&self) {
        let last = self.socket.lock().take();
        if let Some((socket, token)) = last {
            self.poller.remove(token, socket.as_fd());
            // A thread that accepts just now holds the descriptor for a moment more; its address is free from here on. A socket
            // that was given to us may be others' as well, who go on listening.
            if self.own {
                let _ = SockRef::from(&*socket).shutdown(Shutdown::Both);
            }
        }
    }

    fn accept_all(&self) {
        loop {
            let Some((socket, _)) = self.socket.lock().clone() else { return };
            match socket.accept() {
                Ok((stream, _)) => match TcpPipe::new(stream) {
                    Ok(pipe) => (self.on_accept)(pipe),
                    Err(error) => {
                        tell::debug!("a connection was gone before it was served: {error}")
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if passing(&error) => {}
                Err(error) => {
                    tell::warn!("accepting rests for {REST:?}: {error}");
                    if let Some(this) = self.this.upgrade() {
                        self.poller.timer(clock::now() + REST, this, 0);
                    }
                    return;
                }
            }
        }
    }
}

/// Errors of one connection rather than of the process: the next one may do.
fn passing(error: &io::Error) -> bool {
    let passing = [Errno::INTR, Errno::CONNABORTED, Errno::PERM, Errno::PROTO];
    passing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl Ready for Listener {
    fn ready(&self, _readiness: Readiness, _jobs: &mut Vec<Job>) {
        self.accept_all();
    }
}

impl OnTimer for Listener {
    fn fire(&self, _tag: u64, _now: Instant, _jobs: &mut Vec<Job>) {
        self.accept_all();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{SocketAddr, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::net::Pipe;
    use crate::net::few::{hoard, with_few};
    use crate::reactor::ThreadPool;

    /// A listener that keeps what it accepts and counts it.
    fn accepting(poller: &Arc<Poller>) -> (SocketAddr, Arc<Listener>, Receiver<TcpPipe>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        let on_accept = Box::new(move |pipe| sender.lock().send(pipe).unwrap());
        (address, Listener::open(listener, true, poller, on_accept).unwrap(), receiver)
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
                let open = Listener::open(socket, true, &poller, on_accept).unwrap();
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

    fn run_out_of_descriptors() {
        let pool = ThreadPool::new(2);
        let (address, _listener, accepted) = accepting(&pool.poller().unwrap());
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
        drop(hoard);
        let peer = accepted.recv().unwrap().peer();
        assert_eq!(peer, format!("ipv4:{}", late.local_addr().unwrap()));
    }
}
