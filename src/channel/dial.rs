//! Making one connection: names to addresses, addresses in turn, a handshake if it is secure, a pipe. No thread
//! blocks in any of it; the outcome is told by whichever thread met it.

use std::io;
#[cfg(feature = "_tls")]
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::sync::Mutex;

use crate::deadline::Deadline;
#[cfg(feature = "_tls")]
use crate::net::tls;
use crate::net::{self, Connecting, Endpoint, Pipe, SocketPipe};
use crate::reactor::{Poller, clock, helper, notify, user};

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
    /// The socket is connected. What comes next is the link's, or a handshake's.
    Connected,
    #[cfg(feature = "_tls")]
    Shaking(tls::Handshake),
    Cancelled,
}

impl Dialing {
    /// Gives up; the outcome may be told all the same.
    pub(crate) fn cancel(&self) {
        let stage = std::mem::replace(&mut *self.0.lock(), Stage::Cancelled);
        stage.cancel();
    }

    /// What the peer has yet to do, in words that follow its name.
    pub(super) fn waits_for(&self) -> Option<&'static str> {
        match &*self.0.lock() {
            Stage::Early | Stage::Connected | Stage::Cancelled => None,
            Stage::Connecting(_) => Some("takes no connection: a wrong address, or a firewall"),
            #[cfg(feature = "_tls")]
            Stage::Shaking(_) => Some(
                "takes connections and says nothing in the TLS handshake: stuck, or no server with TLS",
            ),
        }
    }

    /// The next stage, unless it is over. One that came on by itself meanwhile does not come back.
    fn enter(&self, next: Stage) {
        let mut stage = self.0.lock();
        if matches!(*stage, Stage::Cancelled) {
            drop(stage);
            next.cancel();
        } else if stage.rank() < next.rank() {
            *stage = next;
        }
    }

    pub(super) fn cancelled(&self) -> bool {
        matches!(*self.0.lock(), Stage::Cancelled)
    }
}

impl Stage {
    fn cancel(self) {
        match self {
            Self::Early | Self::Connected | Self::Cancelled => {}
            Self::Connecting(connecting) => connecting.cancel(),
            #[cfg(feature = "_tls")]
            Self::Shaking(handshake) => handshake.cancel(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Early => 0,
            Self::Connecting(_) => 1,
            Self::Connected => 2,
            #[cfg(feature = "_tls")]
            Self::Shaking(_) => 3,
            Self::Cancelled => 4,
        }
    }
}

/// Over TCP or a UNIX socket, to where a target says, or by a dialer of the user's.
pub(super) struct Tcp {
    target: Target,
    security: Security,
    dialer: Option<Dialer>,
}

/// Makes connected sockets: the user's, so the notifier drops it.
#[derive(Clone)]
pub(super) struct Dialer(Option<Arc<Make>>);

type Make = dyn Fn(&str) -> io::Result<OwnedFd> + Send + Sync;

impl Dialer {
    pub(super) fn new<S: Into<OwnedFd>>(
        make: impl Fn(&str) -> io::Result<S> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(move |target: &str| make(target).map(Into::into))))
    }

    fn make(&self, target: &str) -> io::Result<OwnedFd> {
        let Some(make) = &self.0 else { return Err(io::ErrorKind::Other.into()) };
        let made = user::run(format_args!("the dialer of {target}"), || make(target));
        made.unwrap_or_else(|_| Err(io::Error::other("the dialer panicked")))
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        if let Some(make) = self.0.take() {
            notify(Box::new(move || drop(make)));
        }
    }
}

/// What goes over the socket.
#[derive(Clone)]
pub(super) enum Security {
    /// Plain octets.
    None,
    /// Plain octets that do not leave the machine.
    Local,
    #[cfg(feature = "_tls")]
    Tls(Arc<TlsSecurity>),
}

#[cfg(feature = "_tls")]
pub(super) struct TlsSecurity {
    pub(super) credentials: crate::credentials::TlsChannel,
    /// What the server has to be called; `None`: the address that answered.
    pub(super) name: Option<rustls::pki_types::ServerName<'static>>,
    pub(super) renewals: Arc<tls::Renewals>,
}

impl Tcp {
    pub(super) fn new(target: Target, security: Security, dialer: Option<Dialer>) -> Self {
        Self { target, security, dialer }
    }
}

impl Dial for Tcp {
    fn dial(&self, poller: &Arc<Poller>, timeout: Duration, dialing: &Dialing, outcome: Outcome) {
        let attempt = Attempt {
            target: self.target.text().to_owned(),
            security: self.security.clone(),
            dialing: dialing.clone(),
            poller: poller.clone(),
            deadline: Deadline::after(clock::now(), timeout),
            outcome,
        };
        if let Some(dialer) = &self.dialer {
            return attempt.dial(dialer.clone());
        }
        match self.target.place() {
            Place::Addresses(addresses) => attempt.connect(ends(addresses)),
            Place::Unix(end) => attempt.connect(vec![end.clone()]),
            Place::Name { host, port } => {
                let name = host.clone();
                let answer = Box::new(move |found: io::Result<Vec<SocketAddr>>| match found {
                    _ if attempt.dialing.cancelled() => {}
                    Ok(addresses) => attempt.connect(ends(&addresses)),
                    Err(error) => {
                        let why = format!("cannot resolve the name {name:?}: {error}");
                        (attempt.outcome)(Err(why));
                    }
                });
                net::resolve(host, *port, answer);
            }
        }
    }
}

/// What stands in front of why there is no connection.
pub(super) fn cannot_connect(target: &str) -> String {
    format!("cannot connect to {target}: ")
}

fn ends(addresses: &[SocketAddr]) -> Vec<Endpoint> {
    addresses.iter().copied().map(Endpoint::from).collect()
}

/// One connection in the making.
struct Attempt {
    target: String,
    security: Security,
    dialing: Dialing,
    poller: Arc<Poller>,
    deadline: Deadline,
    outcome: Outcome,
}

impl Attempt {
    /// Has the user's dialer make the connection, on a thread of its own: it may block.
    fn dial(self, dialer: Dialer) {
        let handed = Arc::new(Mutex::new(Some(self)));
        let own = handed.clone();
        let work = move || {
            // A statement of its own: the guard must be gone when it runs.
            let attempt = own.lock().take();
            let Some(attempt) = attempt.filter(|attempt| !attempt.dialing.cancelled()) else {
                return;
            };
            match dialer.make(&attempt.target).and_then(|made| SocketPipe::led(made.into())) {
                Ok(pipe)
                    if matches!(attempt.security, Security::Local) && !pipe.end().is_loopback() =>
                {
                    let end = pipe.end().to_string();
                    attempt.failed(&format!(
                        "local credentials are for this machine, and {end} is another"
                    ));
                }
                Ok(pipe) => attempt.connected(pipe),
                Err(error) => attempt.failed(&error),
            }
        };
        if let Err((error, work)) = helper::spawn("dialer", Box::new(work)) {
            let attempt = handed.lock().take();
            drop(work);
            if let Some(attempt) = attempt {
                attempt.failed(&error);
            }
        }
    }

    fn connect(self, mut addresses: Vec<Endpoint>) {
        if matches!(self.security, Security::Local) {
            let all = addresses.clone();
            addresses.retain(Endpoint::is_loopback);
            if addresses.is_empty() {
                let found = all.iter().map(Endpoint::to_string).collect::<Vec<_>>().join(", ");
                return self.failed(&format!(
                    "local credentials are for loopback addresses, and {found} is none: use TLS"
                ));
            }
        }
        let (dialing, poller, left) = (self.dialing.clone(), self.poller.clone(), self.left());
        let connected = Box::new(move |result| match result {
            Ok(pipe) => self.connected(pipe),
            Err(error) => self.failed(&error),
        });
        let connecting = net::connect(&poller, addresses, left, connected);
        dialing.enter(Stage::Connecting(connecting));
    }

    fn left(&self) -> Duration {
        self.deadline.remaining(clock::now()).unwrap_or(Duration::MAX)
    }

    fn connected(self, pipe: SocketPipe) {
        self.dialing.enter(Stage::Connected);
        match self.security.clone() {
            Security::None | Security::Local => (self.outcome)(Ok(Arc::new(pipe))),
            #[cfg(feature = "_tls")]
            Security::Tls(security) => {
                if security.credentials.is_renewal_due(clock::now()) {
                    let own = security.clone();
                    let renew = move || own.credentials.renew(clock::now());
                    let (renewals, poller) = (security.renewals.clone(), self.poller.clone());
                    renewals.before(&poller, renew, move || self.shake(&security, pipe));
                } else {
                    self.shake(&security, pipe);
                }
            }
        }
    }

    #[cfg(feature = "_tls")]
    fn shake(self, security: &TlsSecurity, pipe: SocketPipe) {
        // Of a UNIX socket the name is known from its target.
        let address = pipe.end().ip().map_or(Ipv4Addr::LOCALHOST.into(), |ip| ip.ip());
        let name = security.name.clone().unwrap_or_else(|| address.into());
        let (dialing, poller, left) = (self.dialing.clone(), self.poller.clone(), self.left());
        let shaken: tls::Outcome = Box::new(move |result| match result {
            Ok(pipe) => (self.outcome)(Ok(pipe)),
            Err(failure) => self.failed(&failure),
        });
        let session = (security.credentials.client_config(), name);
        if let Some(handshake) = tls::client(&poller, pipe, session, left, shaken) {
            dialing.enter(Stage::Shaking(handshake));
        }
    }

    fn failed(self, why: &dyn std::fmt::Display) {
        // Which of the addresses it was stands in front, also where there is but one.
        let told = why.to_string();
        let why = told.strip_prefix(&format!("{}: ", self.target)).unwrap_or(&told);
        (self.outcome)(Err(format!("{}{why}", cannot_connect(&self.target))));
    }
}
