//! Connecting without a thread that blocks in `connect`: addresses in turn, on the poller.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};

use super::TcpPipe;
use crate::reactor::{Interest, Job, Mode, OnTimer, Poller, Readiness, Ready, Token, clock};

/// What is done with the socket, or with why there is none. Runs on the poller.
pub(crate) type Outcome = Box<dyn FnOnce(io::Result<TcpPipe>) + Send>;

/// An attempt to connect. Dropping it changes nothing; [`Connecting::cancel`] ends it.
#[derive(Clone)]
pub(crate) struct Connecting(Arc<Attempt>);

struct Attempt {
    poller: Arc<Poller>,
    addresses: Vec<SocketAddr>,
    deadline: Instant,
    /// Guards the attempt's progress. A leaf: never held over a system call that blocks.
    state: Mutex<State>,
    this: Weak<Attempt>,
}

struct State {
    next: usize,
    current: Option<(Socket, Token, SocketAddr)>,
    failures: Vec<String>,
    outcome: Option<Outcome>,
    /// Told apart from timers of addresses already given up.
    round: u64,
}

/// Connects to the first of `addresses` that answers, each getting its share of `timeout`.
/// The outcome is told once, from the poller's thread or from this one.
pub(crate) fn connect(
    poller: &Arc<Poller>,
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    outcome: Outcome,
) -> Connecting {
    let state =
        State { next: 0, current: None, failures: Vec::new(), outcome: Some(outcome), round: 0 };
    let attempt = Arc::new_cyclic(|this| Attempt {
        poller: poller.clone(),
        addresses,
        deadline: clock::now() + timeout,
        state: Mutex::new(state),
        this: this.clone(),
    });
    attempt.advance();
    Connecting(attempt)
}

impl Connecting {
    /// Gives up. The outcome is not told.
    pub(crate) fn cancel(&self) {
        let mut state = self.0.state.lock();
        state.outcome = None;
        let current = state.current.take();
        drop(state);
        self.0.let_go(current);
    }
}

impl Attempt {
    /// Tries the next address, or tells that there is none.
    fn advance(self: &Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            if state.outcome.is_none() {
                return;
            }
            let Some(address) = self.addresses.get(state.next).copied() else {
                let error = failure(&state.failures);
                let outcome = state.outcome.take();
                drop(state);
                if let Some(outcome) = outcome {
                    outcome(Err(error));
                }
                return;
            };
            state.next += 1;
            state.round += 1;
            match self.begin(address, &mut state) {
                Ok(()) => return,
                Err(error) => state.failures.push(format!("{address}: {error}")),
            }
        }
    }

    fn begin(self: &Arc<Self>, address: SocketAddr, state: &mut State) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        let ready: Arc<dyn Ready> = self.clone();
        let token = self.poller.add(socket.as_fd(), Mode::OneShot, ready)?;
        self.poller.arm(token, socket.as_fd(), Interest { read: false, write: true })?;
        state.current = Some((socket, token, address));
        let now = clock::now();
        let left = (self.addresses.len() - state.next + 1) as u32;
        let share = self.deadline.saturating_duration_since(now) / left.max(1);
        self.poller.timer(now + share, self.clone(), state.round);
        Ok(())
    }

    fn let_go(&self, current: Option<(Socket, Token, SocketAddr)>) {
        if let Some((socket, token, _)) = current {
            self.poller.remove(token, socket.as_fd());
        }
    }

    fn give_up(self: &Arc<Self>, why: &str) {
        let mut state = self.state.lock();
        let current = state.current.take();
        if let Some((_, _, address)) = &current {
            let text = format!("{address}: {why}");
            state.failures.push(text);
        }
        drop(state);
        self.let_go(current);
        self.advance();
    }

    fn writable(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let Some((socket, token, address)) = state.current.take() else { return };
        let result = match socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        self.poller.remove(token, socket.as_fd());
        let connected = result.and_then(|()| TcpPipe::new(TcpStream::from(socket)));
        match connected {
            Ok(pipe) => {
                let outcome = state.outcome.take();
                drop(state);
                if let Some(outcome) = outcome {
                    outcome(Ok(pipe));
                }
            }
            Err(error) => {
                state.failures.push(format!("{address}: {error}"));
                drop(state);
                self.advance();
            }
        }
    }
}

/// All that went wrong, one address after the other.
fn failure(failures: &[String]) -> io::Error {
    let text = if failures.is_empty() {
        "the name has no addresses".to_owned()
    } else {
        failures.join("; ")
    };
    io::Error::other(text)
}

/// The poller's view of an attempt.
impl Ready for Attempt {
    fn ready(&self, _readiness: Readiness, _jobs: &mut Vec<Job>) {
        if let Some(this) = self.this.upgrade() {
            this.writable();
        }
    }
}

impl OnTimer for Attempt {
    fn fire(&self, round: u64, _now: Instant, _jobs: &mut Vec<Job>) {
        if self.state.lock().round == round {
            if let Some(this) = self.this.upgrade() {
                this.give_up("no answer in time");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::reactor::client_poller;

    fn outcome_of(addresses: Vec<SocketAddr>) -> io::Result<TcpPipe> {
        let (sender, receiver) = channel();
        let poller = client_poller().unwrap();
        let tell = Box::new(move |outcome| sender.send(outcome).unwrap());
        let _attempt = connect(&poller, addresses, Duration::from_secs(5), tell);
        receiver.recv().unwrap()
    }

    fn dead() -> SocketAddr {
        // Bound and dropped: nobody listens there now.
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn l10_a_dead_address_is_followed_by_a_live_one() {
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let pipe = outcome_of(vec![dead(), live.local_addr().unwrap()]).unwrap();
        assert_eq!(crate::net::Pipe::peer(&pipe), format!("ipv4:{}", live.local_addr().unwrap()));
    }

    #[test]
    fn the_error_names_every_address_and_the_reason() {
        let (one, two) = (dead(), dead());
        let text = outcome_of(vec![one, two]).unwrap_err().to_string();
        assert!(text.contains(&one.to_string()) && text.contains(&two.to_string()), "{text}");
        assert!(text.contains("refused"), "{text}");
    }
}
