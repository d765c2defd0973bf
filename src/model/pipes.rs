//! Connections of the model: pipes in memory that take little at a time, and whose writers are slow.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::world::Plan;
use crate::channel::{Dial, Dialing, Outcome};
#[cfg(feature = "_tls")]
use crate::credentials::{ssl_channel_credentials, ssl_server_credentials};
#[cfg(feature = "_tls")]
use crate::net::tls;
use crate::net::{Interest, MemoryPipe, Pipe, Waited};
use crate::reactor::{Mode, Poller, Ready};
use crate::server::{Door, Server};
use crate::sync::thread;

/// A pipe whose every write takes a while.
#[derive(Debug)]
pub(super) struct SlowPipe {
    inner: MemoryPipe,
    name: &'static str,
    /// How often others may go on within a write.
    yields: usize,
    local: bool,
}

impl SlowPipe {
    fn trace(&self, what: std::fmt::Arguments<'_>) {
        log::trace!("{} {what}", self.name);
    }
}

impl Pipe for SlowPipe {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.try_read(into);
        self.trace(format_args!("reads {read:?}"));
        read
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        self.trace(format_args!("begins to write {}", from.len()));
        for _ in 0..self.yields {
            thread::yield_now();
        }
        let wrote = self.inner.try_write(from);
        self.trace(format_args!("wrote {wrote:?}"));
        wrote
    }

    fn takes_slices(&self) -> bool {
        true
    }

    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited> {
        self.trace(format_args!("waits for {interest:?}"));
        let waited = self.inner.wait(interest, deadline);
        self.trace(format_args!("waited: {waited:?}"));
        waited
    }

    fn kick(&self) {
        self.trace(format_args!("is kicked"));
        self.inner.kick();
    }

    fn attach(&self, poller: &Arc<Poller>, mode: Mode, ready: Arc<dyn Ready>) -> io::Result<()> {
        self.inner.attach(poller, mode, ready)
    }

    fn arm(&self, interest: Interest) -> io::Result<()> {
        self.trace(format_args!("is armed for {interest:?}"));
        self.inner.arm(interest)
    }

    fn detach(&self) {
        self.inner.detach();
    }

    fn shutdown_write(&self) {
        self.inner.shutdown_write();
    }

    fn close(&self) {
        self.trace(format_args!("is closed"));
        self.inner.close();
    }

    fn peer(&self) -> String {
        self.inner.peer()
    }

    fn is_local(&self) -> bool {
        self.local
    }
}

/// With TLS on both sides, its handshake done. What it draws at random changes octets, and never how many there are: an
/// execution goes the same way again.
#[cfg(feature = "_tls")]
fn sealed(door: &Door, near: SlowPipe, far: SlowPipe, outcome: Outcome) {
    let (roots, chain, key) = (
        include_bytes!("../../tests/certs/ca.pem"),
        include_bytes!("../../tests/certs/server.pem"),
        include_bytes!("../../tests/certs/server.key"),
    );
    let client = ssl_channel_credentials(Some(roots), None, None).unwrap();
    let own = ssl_server_credentials(&[(key, chain)], None, false).unwrap();
    let session = (client.inside().client_config(), tls::server_name("localhost").unwrap());
    let (near, far) = tls::shaken(session, own.inside().server_config(), (near, far));
    let (near, far) = (Arc::new(near), Arc::new(far));
    let end: Arc<dyn Pipe> = far.clone();
    if let Err(why) = door.enter(move || end) {
        return outcome(Err(why.to_owned()));
    }
    far.begin(None);
    outcome(Ok(near.clone()));
    near.begin(None);
}

/// Connects at once, while there is a server.
pub(super) struct InMemory {
    pub(super) server: Weak<Server>,
    pub(super) plan: Plan,
    /// Lives as long as the channel's inside.
    #[expect(dead_code, reason = "its life is what counts")]
    pub(super) token: Arc<()>,
}

impl Dial for InMemory {
    fn dial(&self, _: &Arc<Poller>, _: Duration, _: &Dialing, outcome: Outcome) {
        match self.server.upgrade() {
            Some(server) => {
                let (near, far) = MemoryPipe::pair_of(self.plan.capacity);
                let slow = |inner, name| SlowPipe {
                    inner,
                    name,
                    yields: self.plan.slow,
                    local: self.plan.local,
                };
                let (near, far) = (slow(near, "client"), slow(far, "server"));
                #[cfg(feature = "_tls")]
                if self.plan.sealed {
                    return sealed(&server.door(), near, far, outcome);
                }
                match server.door().enter(move || Arc::new(far)) {
                    Ok(()) => outcome(Ok(Arc::new(near))),
                    Err(why) => outcome(Err(why.to_owned())),
                }
            }
            None => outcome(Err("there is no server".to_owned())),
        }
    }
}
