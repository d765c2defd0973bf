//! Making one connection: names to addresses, addresses in turn, a pipe. No thread
//! blocks in any of it; the outcome is told by whichever thread met it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::sync::Mutex;

use crate::net::{self, Connecting, Pipe, TcpPipe};
use crate::reactor::Poller;

use super::target::{Place, Target};

/// What is done with the connection, or with the words why there is none.
pub(crate) type Outcome = Box<dyn FnOnce(Result<Arc<dyn Pipe>, String>) + Send>;

/// Makes connections for a channel.
pub(crate) trait Dial: Send + Sync {
    /// Begins the attempt `dialing`, which has `timeout`, and may be given up before this returns. Never blocks. The
    /// outcome is told at most once, perhaps before this returns.
    fn dial(&self, poller: &Arc<Poller>, timeout: Duration, dialing: &Dialing, outcome: Outcome);
}

/// An attempt, under way or about to be; dropping it changes nothing. Given up before it has begun, it ends when it does.
#[derive(Clone, Default)]
pub(crate) struct Dialing(Arc<Mutex<Stage>>);

#[derive(Default)]
enum Stage {
    /// Resolving, or nothing that could be cancelled.
    #[default]
    Early,
    Connecting(Connecting),
    Cancelled,
}

impl Dialing {
    /// Gives up; the outcome may be told all the same.
    pub(crate) fn cancel(&self) {
        let stage = std::mem::replace(&mut *self.0.lock(), Stage::Cancelled);
        if let Stage::Connecting(connecting) = stage {
            connecting.cancel();
        }
    }

    fn connecting(&self, connecting: Connecting) {
        let mut stage = self.0.lock();
        if matches!(*stage, Stage::Cancelled) {
            drop(stage);
            connecting.cancel();
        } else {
            *stage = Stage::Connecting(connecting);
        }
    }

    pub(super) fn cancelled(&self) -> bool {
        matches!(*self.0.lock(), Stage::Cancelled)
    }
}

/// Over TCP, to where a target says.
pub(super) struct Tcp {
    target: Target,
}

impl Tcp {
    pub(super) fn new(target: Target) -> Self {
        Self { target }
    }
}

impl Dial for Tcp {
    fn dial(&self, poller: &Arc<Poller>, timeout: Duration, dialing: &Dialing, outcome: Outcome) {
        let target = self.target.text().to_owned();
        match self.target.place() {
            Place::Addresses(addresses) => {
                connect(dialing, poller, addresses.clone(), timeout, told(target, outcome));
            }
            Place::Name { host, port } => {
                let (dialing, poller) = (dialing.clone(), poller.clone());
                let name = host.clone();
                let answer = Box::new(move |found: io::Result<Vec<SocketAddr>>| match found {
                    _ if dialing.cancelled() => {}
                    Ok(addresses) => {
                        connect(&dialing, &poller, addresses, timeout, told(target, outcome));
                    }
                    Err(error) => {
                        outcome(Err(format!("cannot resolve the name {name:?}: {error}")))
                    }
                });
                net::resolve(host, *port, answer);
            }
        }
    }
}

type Connected = Box<dyn FnOnce(io::Result<TcpPipe>) + Send>;

fn connect(
    dialing: &Dialing,
    poller: &Arc<Poller>,
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    connected: Connected,
) {
    dialing.connecting(net::connect(poller, addresses, timeout, connected));
}

fn told(target: String, outcome: Outcome) -> Connected {
    Box::new(move |result| {
        outcome(match result {
            Ok(pipe) => Ok(Arc::new(pipe)),
            Err(error) => Err(format!("cannot connect to {target}: {error}")),
        });
    })
}
