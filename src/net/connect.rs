//! Connecting without a thread that blocks in `connect`, on the poller. What is connected at once, as on one machine,
//! goes on on the thread that connects, which then need not wake another.
//!
//! The addresses are tried in the order in which the resolver gave them. When one fails the
//! next is tried at once; when one is silent the next is tried beside it after [`STAGGER`]
//! ("happy eyeballs", RFC 8305 §5). The first that answers wins, the others are closed.
//!
//! Locks: one per race, a leaf, held over calls that do not block. The outcome is
//! told after it is released.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::sync::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Socket, Type};

use super::{Endpoint, SocketPipe};
use crate::reactor::{Interest, Job, Mode, OnTimer, Poller, Readiness, Ready, Token, clock};

/// What is done with the socket, or with why there is none. Runs on the poller, or on the
/// thread that connects: never blocks.
pub(crate) type Outcome = Box<dyn FnOnce(io::Result<SocketPipe>) + Send>;

/// How long a silent address is waited for before the next is tried, too.
const STAGGER: Duration = Duration::from_millis(250);
/// The timer's tag for the end of it all. Others are the number of the address to try.
const DEADLINE: u64 = u64::MAX;

/// Addresses being connected to. Dropping it changes nothing; [`Connecting::cancel`] ends it.
#[derive(Clone)]
pub(crate) struct Connecting(Arc<Race>);

struct Race {
    poller: Arc<Poller>,
    addresses: Vec<Endpoint>,
    /// Guards the progress. A leaf.
    state: Mutex<State>,
    this: Weak<Race>,
}

struct State {
    /// The address to be tried next.
    next: usize,
    running: Vec<Runner>,
    failures: Vec<String>,
    /// Taken by whoever tells it. None: it is over.
    outcome: Option<Outcome>,
}

/// One address.
struct Runner {
    number: usize,
    socket: Socket,
    token: Token,
}

/// What an attempt at one address is like when it has begun.
enum Begun {
    /// It has come to its end: good or bad is the socket's to tell.
    Answered(Socket),
    Runs(Runner),
}

/// Connects to the first of `addresses` that answers within `timeout`. The outcome is told once.
pub(crate) fn connect(
    poller: &Arc<Poller>,
    addresses: Vec<Endpoint>,
    timeout: Duration,
    outcome: Outcome,
) -> Connecting {
    let state =
        State { next: 0, running: Vec::new(), failures: Vec::new(), outcome: Some(outcome) };
    let race = Arc::new_cyclic(|this| Race {
        poller: poller.clone(),
        addresses,
        state: Mutex::new(state),
        this: this.clone(),
    });
    if let Some(deadline) = clock::now().checked_add(timeout) {
        poller.timer(deadline, race.clone(), DEADLINE);
    }
    race.advance(0);
    Connecting(race)
}

impl Connecting {
    /// Gives up. The outcome is not told.
    pub(crate) fn cancel(&self) {
        let mut state = self.0.state.lock();
        let outcome = state.outcome.take();
        let running = std::mem::take(&mut state.running);
        drop(state);
        self.0.let_go(running);
        drop(outcome);
    }
}

impl Race {
    /// Tries address `number` if its turn has not come yet, and those after it while they
    /// fail at once.
    fn advance(self: &Arc<Self>, number: usize) {
        let mut state = self.state.lock();
        if state.next != number {
            return;
        }
        while state.outcome.is_some() {
            let number = state.next;
            let Some(address) = self.addresses.get(number) else { break };
            state.next += 1;
            match self.begin(number, address) {
                Ok(Begun::Answered(socket)) => {
                    drop(state);
                    return self.answered(number, socket);
                }
                Ok(Begun::Runs(runner)) => {
                    state.running.push(runner);
                    drop(state);
                    if number + 1 < self.addresses.len() {
                        let at = clock::now() + STAGGER;
                        self.poller.timer(at, self.clone(), number as u64 + 1);
                    }
                    return;
                }
                Err(error) => state.failures.push(format!("{address}: {error}")),
            }
        }
        if !state.running.is_empty() {
            return;
        }
        let outcome = state.outcome.take();
        let error = failure(&state.failures);
        drop(state);
        if let Some(outcome) = outcome {
            outcome(Err(error));
        }
    }

    fn begin(self: &Arc<Self>, number: usize, address: &Endpoint) -> io::Result<Begun> {
        let address = address.to_system()?;
        let socket = Socket::new(address.domain(), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address) {
            Ok(()) => {}
            // Interrupted it goes on all the same.
            Err(error) if is(&error, Errno::INPROGRESS) || is(&error, Errno::INTR) => {}
            // § unix(7): what TCP would wait for is an error here.
            Err(error) if is(&error, Errno::AGAIN) => {
                return Err(io::Error::new(error.kind(), "its queue of connections is full"));
            }
            Err(error) => return Err(error),
        }
        if is_answered(&socket) {
            return Ok(Begun::Answered(socket));
        }
        let ready = Arc::new(Lane { race: self.clone(), number });
        let token = self.poller.add(socket.as_fd(), Mode::OneShot, ready)?;
        let interest = Interest { read: false, write: true };
        if let Err(error) = self.poller.arm(token, socket.as_fd(), interest) {
            self.poller.remove(token, socket.as_fd());
            return Err(error);
        }
        Ok(Begun::Runs(Runner { number, socket, token }))
    }

    /// An address has answered, or refused.
    fn arrived(self: &Arc<Self>, number: usize) {
        let mut state = self.state.lock();
        let Some(index) = state.running.iter().position(|runner| runner.number == number) else {
            return;
        };
        let Runner { socket, token, .. } = state.running.swap_remove(index);
        drop(state);
        self.poller.remove(token, socket.as_fd());
        self.answered(number, socket);
    }

    fn answered(self: &Arc<Self>, number: usize, socket: Socket) {
        let result = match socket.take_error() {
            Ok(None) => SocketPipe::led(socket),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        let mut state = self.state.lock();
        match result {
            Ok(pipe) => {
                let outcome = state.outcome.take();
                let running = std::mem::take(&mut state.running);
                drop(state);
                self.let_go(running);
                if let Some(outcome) = outcome {
                    outcome(Ok(pipe));
                }
            }
            Err(error) => {
                let address = self.addresses.get(number).map(Endpoint::to_string);
                state.failures.push(format!("{}: {error}", address.unwrap_or_default()));
                let next = state.next;
                drop(state);
                self.advance(next);
            }
        }
    }

    fn expire(&self) {
        let mut state = self.state.lock();
        let running = std::mem::take(&mut state.running);
        for runner in &running {
            if let Some(address) = self.addresses.get(runner.number) {
                state.failures.push(format!("{address}: no answer in time"));
            }
        }
        let outcome = state.outcome.take();
        let error = failure(&state.failures);
        drop(state);
        self.let_go(running);
        if let Some(outcome) = outcome {
            outcome(Err(error));
        }
    }

    fn let_go(&self, running: Vec<Runner>) {
        for runner in running {
            self.poller.remove(runner.token, runner.socket.as_fd());
        }
    }
}

/// Whether the peer has answered, one way or the other. Does not block.
fn is_answered(socket: &Socket) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
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

/// The poller's view of one address. Keeps the race alive.
struct Lane {
    race: Arc<Race>,
    number: usize,
}

impl Ready for Lane {
    fn ready(&self, _readiness: Readiness, _jobs: &mut Vec<Job>) {
        self.race.arrived(self.number);
    }
}

impl OnTimer for Race {
    fn fire(&self, tag: u64, _now: Instant, _jobs: &mut Vec<Job>) {
        if tag == DEADLINE {
            return self.expire();
        }
        if let (Some(this), Ok(number)) = (self.this.upgrade(), usize::try_from(tag)) {
            this.advance(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::sync::mpsc::channel;

    use socket2::Domain;

    use super::*;
    use crate::net::{Pipe, Waited};
    use crate::reactor::client_poller;
    use crate::reactor::few::{hoard, with_few};

    fn ends(addresses: Vec<SocketAddr>) -> Vec<Endpoint> {
        addresses.into_iter().map(Endpoint::from).collect()
    }

    fn outcome_of(addresses: Vec<SocketAddr>) -> io::Result<SocketPipe> {
        let (sender, receiver) = channel();
        let poller = client_poller().unwrap();
        let tell = Box::new(move |outcome| sender.send(outcome).unwrap());
        let _attempt = connect(&poller, ends(addresses), Duration::from_secs(5), tell);
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
        assert_eq!(pipe.peer(), format!("ipv4:{}", live.local_addr().unwrap()));
    }

    /// An address that neither answers nor refuses: a listener whose backlog is full.
    fn silent() -> (SocketAddr, Vec<Socket>) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut holders = vec![listener];
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let timeout = Duration::from_millis(30);
            let connected = socket.connect_timeout(&address, timeout).is_ok();
            holders.push(socket);
            if !connected {
                return (address.as_socket().unwrap(), holders);
            }
        }
    }

    #[test]
    fn l14_without_descriptors_a_connection_goes_on_and_none_is_made() {
        let name =
            "net::connect::tests::l14_without_descriptors_a_connection_goes_on_and_none_is_made";
        with_few(name, || {
            let live = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = live.local_addr().unwrap();
            let pipe = outcome_of(vec![address]).unwrap();
            let mut hoard = hoard();
            let soon = clock::now() + Duration::from_millis(1);
            let read = Interest { read: true, write: false };
            assert_eq!(pipe.wait(read, Some(soon)).unwrap(), Waited::default(), "the first wait");
            // The socket's own, but no more: the attempt fails, and not the first call on it.
            drop(hoard.pop());
            assert!(outcome_of(vec![address]).is_err());
        });
    }

    #[test]
    fn what_answers_at_once_is_told_by_the_thread_that_connects() {
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let (poller, this) = (client_poller().unwrap(), std::thread::current().id());
        // A busy machine may take its time now and then.
        let at_once = (0..100).any(|_| {
            let (sender, receiver) = channel();
            let tell = Box::new(move |outcome: io::Result<SocketPipe>| {
                sender.send((outcome.is_ok(), std::thread::current().id())).unwrap();
            });
            let address = live.local_addr().unwrap();
            let _race = connect(&poller, ends(vec![address]), Duration::from_secs(5), tell);
            let (connected, by) = receiver.recv().unwrap();
            let _ = live.accept().unwrap();
            assert!(connected);
            by == this
        });
        assert!(at_once);
    }

    #[test]
    fn l10_a_silent_address_does_not_hold_up_the_next() {
        let (silent, _holders) = silent();
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let began = clock::now();
        let pipe = outcome_of(vec![silent, live.local_addr().unwrap()]).unwrap();
        assert_eq!(pipe.peer(), format!("ipv4:{}", live.local_addr().unwrap()));
        assert!(clock::now() >= began + STAGGER);
    }

    #[test]
    fn the_timeout_holds_for_a_silent_address() {
        let (silent, _holders) = silent();
        let (sender, receiver) = channel();
        let tell = Box::new(move |outcome| sender.send(outcome).unwrap());
        let poller = client_poller().unwrap();
        let _race = connect(&poller, ends(vec![silent]), Duration::from_millis(20), tell);
        let outcome: io::Result<SocketPipe> = receiver.recv().unwrap();
        let text = outcome.unwrap_err().to_string();
        assert_eq!(text, format!("{silent}: no answer in time"));
    }

    #[test]
    fn a_cancelled_race_tells_nothing_and_is_let_go() {
        let (silent, _holders) = silent();
        let (sender, receiver) = channel::<io::Result<SocketPipe>>();
        let tell = Box::new(move |outcome| sender.send(outcome).unwrap());
        let poller = client_poller().unwrap();
        let race = connect(&poller, ends(vec![silent]), Duration::from_secs(3600), tell);
        let weak = Arc::downgrade(&race.0);
        race.cancel();
        drop(race);
        assert!(receiver.recv().is_err());
        assert_eq!(weak.strong_count(), 0);
    }

    #[test]
    fn no_addresses_are_an_error() {
        assert!(outcome_of(Vec::new()).is_err());
    }

    #[test]
    fn the_error_names_every_address_and_the_reason() {
        let (one, two) = (dead(), dead());
        let text = outcome_of(vec![one, two]).unwrap_err().to_string();
        assert!(text.contains(&one.to_string()) && text.contains(&two.to_string()), "{text}");
        assert!(text.contains("refused"), "{text}");
    }
}
