//! Where a server listens, and what it does with a connection that comes in.

use crate::sync::atomic::{AtomicBool, Ordering};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::sync::Mutex;

use super::core::Core;
use crate::credentials::{ServerCredentials, ServerSecurity};
use crate::error::ConfigError;
use crate::link::{Acceptor, Admit, Link, LinkEvents};
#[cfg(feature = "_tls")]
use crate::net::tls;
use crate::net::{self, BindError, Listener, Pipe, TcpPipe};
#[cfg(feature = "_tls")]
use crate::reactor::Keep;
use crate::reactor::clock;
use crate::server::dispatch::{self, Registry};
use crate::status::Status;
use crate::tell;
use crate::wire::headers::RequestHead;

/// What one address is listened on by: a socket, or as many as its name has addresses.
pub(in crate::server) struct Port {
    address: String,
    guard: Guard,
    locals: Vec<SocketAddr>,
    /// Its sockets were bound here, not given.
    own: bool,
    /// Guards the sockets on their way from bound to open to closed. Rank: after the life's.
    state: Mutex<State>,
}

/// What a connection goes through before it is served.
#[derive(Clone)]
pub(in crate::server) enum Guard {
    /// Nothing.
    None,
    /// A look at where it comes from.
    Local,
    /// A TLS handshake.
    #[cfg(feature = "_tls")]
    Tls(Arc<Gate>),
}

#[cfg(feature = "_tls")]
pub(in crate::server) struct Gate {
    /// With the user's fetcher, perhaps.
    credentials: Keep<crate::credentials::TlsServer>,
    handshakes: tls::Handshakes,
    renewals: Arc<tls::Renewals>,
}

impl Guard {
    pub(in crate::server) fn of(credentials: &ServerCredentials) -> Self {
        match credentials.security() {
            ServerSecurity::Local => Self::Local,
            #[cfg(feature = "_tls")]
            ServerSecurity::Tls(credentials) => Self::Tls(Arc::new(Gate {
                credentials: Keep::new(credentials.clone()),
                handshakes: tls::Handshakes::default(),
                renewals: Arc::default(),
            })),
        }
    }

    fn close(&self) {
        match self {
            Self::None | Self::Local => {}
            #[cfg(feature = "_tls")]
            Self::Tls(gate) => {
                gate.handshakes.close();
                gate.renewals.close();
            }
        }
    }
}

enum State {
    /// Clients may connect; nobody answers before the start.
    Bound(Vec<TcpListener>),
    Open(Vec<Arc<Listener>>),
    Closed,
}

impl Port {
    pub(in crate::server) fn bind(
        address: &str,
        guard: Guard,
        core: &Arc<Core>,
        registry: &Arc<Registry>,
    ) -> Result<u16, BindError> {
        Self::add((address.to_owned(), guard), (net::bind(address)?, true), core, registry)
    }

    pub(in crate::server) fn adopt(
        listener: TcpListener,
        core: &Arc<Core>,
        registry: &Arc<Registry>,
    ) -> Result<u16, BindError> {
        let address = listener.local_addr().map_or_else(|_| "?".into(), |local| local.to_string());
        Self::add((address, Guard::None), (vec![listener], false), core, registry)
    }

    fn add(
        (address, guard): (String, Guard),
        (listeners, own): (Vec<TcpListener>, bool),
        core: &Arc<Core>,
        registry: &Arc<Registry>,
    ) -> Result<u16, BindError> {
        let locals = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>();
        let locals = match locals {
            Ok(locals) => locals,
            Err(error) => return Err(BindError::new(address, error)),
        };
        let number = locals.first().map_or(0, SocketAddr::port);
        let state = Mutex::new(State::Bound(listeners));
        let port = Arc::new(Self { address, guard, locals, own, state });
        match core.life().add_port(&port) {
            Some(false) => {}
            Some(true) => port.open(core, registry)?,
            None => {
                let stopped = io::Error::other("the server has stopped");
                return Err(BindError::new(port.address.clone(), stopped));
            }
        }
        Ok(number)
    }

    /// Accepts from now on.
    pub(in crate::server) fn open(
        &self,
        core: &Arc<Core>,
        registry: &Arc<Registry>,
    ) -> Result<(), BindError> {
        let fail = |error| BindError::new(self.address.clone(), error);
        let Some(poller) = core.poller() else { return Ok(()) };
        let mut state = self.state.lock();
        if !matches!(*state, State::Bound(_)) {
            return Ok(());
        }
        let State::Bound(sockets) = std::mem::replace(&mut *state, State::Closed) else {
            return Ok(());
        };
        let mut open = Vec::with_capacity(sockets.len());
        for socket in sockets {
            let (server, methods, guard) = (core.clone(), registry.clone(), self.guard.clone());
            let accept = Box::new(move |pipe| let_in(&server, &methods, &guard, pipe));
            match Listener::open(socket, self.own, poller, accept) {
                Ok(listener) => open.push(listener),
                Err(error) => {
                    open.iter().for_each(|listener| listener.close());
                    return Err(fail(error));
                }
            }
        }
        *state = State::Open(open);
        Ok(())
    }

    /// Refuses connections from now on.
    pub(in crate::server) fn close(&self) {
        let last = std::mem::replace(&mut *self.state.lock(), State::Closed);
        if let State::Open(listeners) = last {
            listeners.iter().for_each(|listener| listener.close());
        }
        self.guard.close();
    }

    pub(in crate::server) fn local_addrs(&self) -> &[SocketAddr] {
        &self.locals
    }
}

/// Takes what the listener has accepted through the port's guard.
fn let_in(core: &Arc<Core>, registry: &Arc<Registry>, guard: &Guard, pipe: TcpPipe) {
    match guard {
        Guard::None => accept(core, registry, Arc::new(pipe)),
        Guard::Local if net::is_loopback(&pipe.address()) => {
            accept(core, registry, Arc::new(pipe.let_in_as_local()));
        }
        Guard::Local => {
            tell::debug!("{} was turned away from a port for this machine alone", pipe.peer());
        }
        #[cfg(feature = "_tls")]
        Guard::Tls(gate) => {
            let due = gate.credentials.get().filter(|own| own.is_renewal_due(clock::now()));
            let due = due.cloned().zip(core.poller().cloned());
            let (core, registry, own) = (core.clone(), registry.clone(), gate.clone());
            let shake = move || shake(&core, &registry, &own, pipe);
            let Some((credentials, poller)) = due else { return shake() };
            gate.renewals.before(&poller, move || credentials.renew(clock::now()), shake);
        }
    }
}

/// Begins a handshake.
#[cfg(feature = "_tls")]
fn shake(core: &Arc<Core>, registry: &Arc<Registry>, gate: &Gate, pipe: TcpPipe) {
    let Some(poller) = core.poller() else { return };
    let (peer, core, registry) = (pipe.peer(), core.clone(), registry.clone());
    let shaken: tls::Outcome = Box::new(move |result| match result {
        Ok(pipe) => accept(&core, &registry, Arc::new(pipe)),
        Err(failure) => turned_away(&peer, &failure),
    });
    let Some(config) = gate.credentials.get().map(|own| own.server_config()) else { return };
    if let Some(handshake) = tls::server(poller, pipe, config, shaken) {
        gate.handshakes.add(handshake);
    }
}

/// For the log: the one place where a server tells why a client cannot come in.
#[cfg(feature = "_tls")]
fn turned_away(peer: &str, failure: &tls::Failure) {
    match failure {
        // Somebody who looks whether the port is open.
        tls::Failure::Closed(false) => tell::debug!("{peer} has closed the connection at once"),
        _ => tell::debug!("{peer} was turned away from a secure port: {failure}"),
    }
}

/// Serves a connection.
pub(in crate::server) fn accept(core: &Arc<Core>, registry: &Arc<Registry>, pipe: Arc<dyn Pipe>) {
    let Some(poller) = core.poller() else { return };
    let Some(number) = core.life().expect_link() else { return };
    let acceptor = Arc::new(Connection {
        core: core.clone(),
        registry: registry.clone(),
        pipe: pipe.clone(),
        number,
        gone: AtomicBool::new(false),
    });
    match Link::server(pipe, core.http2(), acceptor.clone(), poller) {
        Ok(link) => core.life().add_link(number, &link, &acceptor.gone, clock::now()),
        Err(error) => {
            core.life().link_failed();
            tell::warn!("the connection of {} could not be served: {error}", acceptor.pipe.peer());
        }
    }
}

/// What a link asks and tells its server.
struct Connection {
    core: Arc<Core>,
    registry: Arc<Registry>,
    /// For the log: whose connection it is.
    pipe: Arc<dyn Pipe>,
    number: u64,
    gone: AtomicBool,
}

impl LinkEvents for Connection {
    fn up(&self) {}

    fn draining(&self) {}

    fn room(&self) {}

    fn lost(&self, cause: &str) {
        self.gone.store(true, Ordering::SeqCst);
        self.core.life().remove_link(self.number);
        tell::debug!("the connection of {} is over: {cause}", self.pipe.peer());
    }
}

impl Acceptor for Connection {
    fn admit(&self, head: &RequestHead) -> Admit {
        dispatch::admit(&self.registry, self.core.calls(), head)
    }
}

/// Why a server does not serve.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// An address could not be bound.
    Bind(BindError),
    /// The server was started or stopped before.
    Config(ConfigError),
    /// No thread or descriptor could be had.
    Io(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Io(error) => write!(f, "the server's threads could not be started: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(error) => Some(error),
            Self::Config(error) => Some(error),
            Self::Io(error) => Some(error),
        }
    }
}

impl From<BindError> for ServeError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<ConfigError> for ServeError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// `INTERNAL`: the fault is on this machine. So that `main` may return one kind of error.
impl From<ServeError> for Status {
    fn from(error: ServeError) -> Self {
        Status::internal(error.to_string())
    }
}

/// `INTERNAL`, as above.
impl From<BindError> for Status {
    fn from(error: BindError) -> Self {
        Status::internal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::MemoryPipe;
    use crate::reactor::ThreadPool;
    use crate::server::ServerOptions;
    use crate::server::life::Phase;

    /// GOAWAY frames in what a connection's client can read: the last stream of each.
    fn goaways(pipe: &MemoryPipe) -> Vec<u32> {
        let mut octets = vec![0; 1 << 16];
        let read = pipe.try_read(&mut octets).unwrap_or(0);
        let (mut rest, mut found) = (&octets[..read], Vec::new());
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if head[3] == 7 {
                found.push(u32::from_be_bytes(after[..4].try_into().unwrap()));
            }
            rest = &after[len..];
        }
        found
    }

    #[test]
    fn a_connection_that_comes_up_during_a_stop_ends_like_the_others() {
        let (pool, now) = (ThreadPool::new(1), clock::now());
        for grace in [Duration::from_secs(60), Duration::ZERO] {
            let core = Core::new(ServerOptions::default(), None);
            core.set_poller(pool.poller().unwrap());
            let life = core.life();
            life.start().unwrap();
            let number = life.expect_link().unwrap();
            let (near, far) = MemoryPipe::pair();
            let far: Arc<dyn Pipe> = Arc::new(far);
            let acceptor = Arc::new(Connection {
                core: core.clone(),
                registry: Arc::default(),
                pipe: far.clone(),
                number,
                gone: AtomicBool::new(false),
            });
            life.stop(now, now + grace).carry_out();
            assert_eq!(life.phase(), Phase::Stopping, "one is still to come");
            let poller = core.poller().unwrap();
            let link = Link::server(far, core.http2(), acceptor.clone(), poller).unwrap();
            life.add_link(number, &link, &acceptor.gone, now);
            if grace.is_zero() {
                assert_eq!(goaways(&near), [0]);
                assert_eq!(life.phase(), Phase::Stopped);
            } else {
                assert_eq!(goaways(&near), [0x7fff_ffff], "its calls may end");
                assert_eq!(life.phase(), Phase::Stopping);
                life.grace_over(now + grace);
                assert_eq!((goaways(&near).len(), life.phase()), (1, Phase::Stopped));
            }
            assert_eq!(life.expect_link(), None);
        }
        // One that fails is not waited for.
        let core = Core::new(ServerOptions::default(), None);
        core.life().start().unwrap();
        core.life().expect_link().unwrap();
        core.life().stop(now, now).carry_out();
        core.life().link_failed();
        assert_eq!(core.life().phase(), Phase::Stopped);
    }
}
