//! Where a server listens, and what it does with a connection that comes in.

use crate::sync::atomic::{AtomicBool, Ordering};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::sync::Mutex;

use super::core::Core;
use super::method::{Method, unknown_method};
use super::registry::{Found, Registry};
use crate::error::ConfigError;
use crate::link::{Acceptor, Admit, Link, LinkEvents};
use crate::net::{self, BindError, Listener, Pipe};
use crate::status::Status;
use crate::wire::headers::RequestHead;

/// One listening socket.
pub(super) struct Port {
    address: String,
    local: SocketAddr,
    /// Guards the socket on its way from bound to open to closed. Rank: after the life's.
    state: Mutex<State>,
}

enum State {
    /// Clients may connect; nobody answers before the start.
    Bound(TcpListener),
    Open(Arc<Listener>),
    Closed,
}

impl Port {
    pub(super) fn bind(
        address: &str,
        core: &Arc<Core>,
        registry: &Arc<Registry>,
    ) -> Result<u16, BindError> {
        Self::add(address.to_owned(), net::bind(address)?, core, registry)
    }

    pub(super) fn adopt(
        listener: TcpListener,
        core: &Arc<Core>,
        registry: &Arc<Registry>,
    ) -> Result<u16, BindError> {
        let address = listener.local_addr().map_or_else(|_| "?".into(), |local| local.to_string());
        Self::add(address, listener, core, registry)
    }

    fn add(
        address: String,
        listener: TcpListener,
        core: &Arc<Core>,
        registry: &Arc<Registry>,
    ) -> Result<u16, BindError> {
        let local = match listener.local_addr() {
            Ok(local) => local,
            Err(error) => return Err(BindError::new(address, error)),
        };
        let state = Mutex::new(State::Bound(listener));
        let port = Arc::new(Self { address, local, state });
        match core.life().add_port(&port) {
            Some(false) => {}
            Some(true) => port.open(core, registry)?,
            None => {
                let stopped = io::Error::other("the server has stopped");
                return Err(BindError::new(port.address.clone(), stopped));
            }
        }
        Ok(local.port())
    }

    /// Accepts from now on.
    pub(super) fn open(&self, core: &Arc<Core>, registry: &Arc<Registry>) -> Result<(), BindError> {
        let fail = |error| BindError::new(self.address.clone(), error);
        let Some(poller) = core.poller() else { return Ok(()) };
        let mut state = self.state.lock();
        if !matches!(*state, State::Bound(_)) {
            return Ok(());
        }
        let State::Bound(socket) = std::mem::replace(&mut *state, State::Closed) else {
            return Ok(());
        };
        let (server, methods) = (core.clone(), registry.clone());
        let accept = Box::new(move |pipe| accept(&server, &methods, Arc::new(pipe)));
        *state = State::Open(Listener::open(socket, poller, accept).map_err(fail)?);
        Ok(())
    }

    /// Refuses connections from now on.
    pub(super) fn close(&self) {
        let last = std::mem::replace(&mut *self.state.lock(), State::Closed);
        if let State::Open(listener) = last {
            listener.close();
        }
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

/// Serves a connection.
pub(super) fn accept(core: &Arc<Core>, registry: &Arc<Registry>, pipe: Arc<dyn Pipe>) {
    let (Some(number), Some(poller)) = (core.life().expect_link(), core.poller()) else { return };
    let acceptor = Arc::new(Connection {
        core: core.clone(),
        registry: registry.clone(),
        number,
        gone: AtomicBool::new(false),
    });
    match Link::server(pipe, core.http2(), acceptor.clone(), poller) {
        Ok(link) => core.life().add_link(number, &link, &acceptor.gone),
        Err(error) => log::warn!("a connection could not be served: {error}"),
    }
}

/// What a link asks and tells its server.
struct Connection {
    core: Arc<Core>,
    registry: Arc<Registry>,
    number: u64,
    gone: AtomicBool,
}

impl LinkEvents for Connection {
    fn up(&self) {}

    fn draining(&self) {}

    fn room(&self) {}

    fn lost(&self, cause: &str) {
        log::debug!("a connection is over: {cause}");
        self.gone.store(true, Ordering::SeqCst);
        self.core.life().remove_link(self.number);
    }
}

impl Acceptor for Connection {
    fn admit(&self, head: &RequestHead) -> Admit {
        match self.registry.find(&head.path) {
            Found::Method(method) => Admit::Run {
                when: method.when(),
                limit: method.receive_limit(),
                entry: method.clone(),
            },
            Found::Ask => {
                let method = Method::to_ask(head.path.clone(), &self.registry, &self.core);
                let (when, limit) = (method.when(), method.receive_limit());
                Admit::Run { entry: method, when, limit }
            }
            // § `doc/statuscodes.md`: "Method not found at server: UNIMPLEMENTED" (W14).
            Found::Unknown => Admit::Refuse(unknown_method(&head.path)),
        }
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
