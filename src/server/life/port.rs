//! What an address is listened on by, and what a connection goes through before it is served: [`Port`], [`Guard`].

use std::net::SocketAddr;
use std::sync::Arc;

use crate::sync::Mutex;

use crate::credentials::{ServerCredentials, ServerSecurity};
#[cfg(feature = "_tls")]
use crate::net::tls;
use crate::net::{Address, BindError, Bound, Endpoint, Listener, SocketPipe};
#[cfg(feature = "_tls")]
use crate::reactor::Keep;
use crate::reactor::Poller;
use crate::tally::next_id;

/// What one address is listened on by: a socket, or as many as its name has addresses.
pub(in crate::server) struct Port {
    address: String,
    guard: Guard,
    /// Where each of its sockets listens, and the socket's number.
    locals: Vec<(u64, Endpoint)>,
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
    pub(super) credentials: Keep<crate::credentials::TlsServer>,
    pub(super) handshakes: tls::Handshakes,
    pub(super) renewals: Arc<tls::Renewals>,
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

/// A socket that a server listens by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerStats {
    /// Its number: of all that is counted in this process the only one.
    pub id: u64,
    /// What it listens on.
    pub local: Address,
}

enum State {
    /// Clients may connect; nobody answers before the start.
    Bound(Vec<Bound>),
    Open(Vec<Arc<Listener>>),
    Closed,
}

impl Port {
    pub(super) fn new(address: String, guard: Guard, sockets: Vec<Bound>) -> Self {
        let locals = sockets.iter().map(|socket| (next_id(), socket.local().clone())).collect();
        Self { address, guard, locals, state: Mutex::new(State::Bound(sockets)) }
    }

    /// As it was given.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Accepts from now on: what comes in is told to `let_in`, on the poller's threads, with the guard it has to pass.
    pub(super) fn open(
        &self,
        poller: &Arc<Poller>,
        let_in: impl Fn(&Guard, SocketPipe) + Clone + Send + Sync + 'static,
    ) -> Result<(), BindError> {
        let mut state = self.state.lock();
        if !matches!(*state, State::Bound(_)) {
            return Ok(());
        }
        let State::Bound(sockets) = std::mem::replace(&mut *state, State::Closed) else {
            return Ok(());
        };
        let mut open = Vec::with_capacity(sockets.len());
        for socket in sockets {
            let (guard, let_in) = (self.guard.clone(), let_in.clone());
            let accept = Box::new(move |pipe| let_in(&guard, pipe));
            match Listener::open(socket, poller, accept) {
                Ok(listener) => open.push(listener),
                Err(error) => {
                    open.iter().for_each(|listener| listener.close());
                    return Err(BindError::new(self.address.clone(), error));
                }
            }
        }
        *state = State::Open(open);
        Ok(())
    }

    /// Refuses connections from now on.
    pub(super) fn close(&self) {
        let last = std::mem::replace(&mut *self.state.lock(), State::Closed);
        if let State::Open(listeners) = last {
            listeners.iter().for_each(|listener| listener.close());
        }
        self.guard.close();
    }

    /// Its addresses of IP.
    pub(in crate::server) fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.locals.iter().filter_map(|(_, local)| local.ip())
    }

    /// What it listens by.
    pub(super) fn listeners(&self) -> impl Iterator<Item = ListenerStats> {
        let of = |(id, local): &(u64, Endpoint)| ListenerStats { id: *id, local: local.into() };
        self.locals.iter().map(of)
    }

    /// What tells which port it has become: of a UNIX socket 1, as in grpc.
    pub(super) fn number(&self) -> u16 {
        self.locals.first().map_or(0, |(_, first)| first.ip().map_or(1, |ip| ip.port()))
    }
}
