//! A server's ports, bound and opened, and the way of what comes in through a port's guard.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::accept::accept;
use super::core::Core;
#[cfg(feature = "_tls")]
use super::port::Gate;
use super::port::{Guard, Port};
#[cfg(feature = "_tls")]
use crate::net::tls;
use crate::net::{self, BindError, Pipe, SocketPipe};
#[cfg(feature = "_tls")]
use crate::reactor::clock;
use crate::server::dispatch::Registry;
use crate::tell;

/// Listens on `address`: the port, which tells what 0 became.
pub(in crate::server) fn bind(
    address: &str,
    guard: Guard,
    core: &Arc<Core>,
    registry: &Arc<Registry>,
) -> Result<u16, BindError> {
    let sockets = net::bind(address, core.options().listening())?;
    add(Port::new(address.to_owned(), guard, sockets), core, registry)
}

/// Listens by a socket that listens already.
pub(in crate::server) fn adopt(
    given: OwnedFd,
    guard: Guard,
    core: &Arc<Core>,
    registry: &Arc<Registry>,
) -> Result<u16, BindError> {
    let socket = net::adopt(given)?;
    add(Port::new(socket.local().to_string(), guard, vec![socket]), core, registry)
}

fn add(port: Port, core: &Arc<Core>, registry: &Arc<Registry>) -> Result<u16, BindError> {
    let port = Arc::new(port);
    let number = port.number();
    match core.life().add_port(&port) {
        Some(false) => {}
        Some(true) => open(&port, core, registry)?,
        None => {
            let stopped = io::Error::other("the server has stopped");
            return Err(BindError::new(port.address().to_owned(), stopped));
        }
    }
    Ok(number)
}

/// Accepts from now on.
pub(in crate::server) fn open(
    port: &Port,
    core: &Arc<Core>,
    registry: &Arc<Registry>,
) -> Result<(), BindError> {
    let Some(poller) = core.poller() else { return Ok(()) };
    let (server, methods) = (core.clone(), registry.clone());
    port.open(poller, move |guard, pipe| let_in(&server, &methods, guard, pipe))
}

/// Takes what the listener has accepted through the port's guard.
fn let_in(core: &Arc<Core>, registry: &Arc<Registry>, guard: &Guard, pipe: SocketPipe) {
    match guard {
        Guard::None => accept(core, registry, Arc::new(pipe)),
        Guard::Local if pipe.end().is_loopback() => {
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
fn shake(core: &Arc<Core>, registry: &Arc<Registry>, gate: &Gate, pipe: SocketPipe) {
    let Some(poller) = core.poller() else { return };
    let (peer, greeting) = (pipe.peer(), core.greeting());
    let timeout = core.options().handshake_timeout;
    let (core, registry) = (core.clone(), registry.clone());
    let shaken: tls::Outcome = Box::new(move |result| match result {
        Ok(pipe) => accept(&core, &registry, pipe),
        Err(failure) => turned_away(&peer, &failure),
    });
    let Some(config) = gate.credentials.get().map(|own| own.server_config()) else { return };
    if let Some(handshake) = tls::server(poller, pipe, (config, greeting), timeout, shaken) {
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
