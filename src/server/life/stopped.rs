//! The end of a server as seen by who waits for it: [`Stopped`].

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::phase::{Life, Phase};
use crate::deadline::Deadline;
use crate::reactor::clock;
use crate::server::dispatch::Registry;
use crate::status::Status;

/// What [`Server::wait_for_termination`](crate::Server::wait_for_termination) came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Termination {
    /// The server has stopped.
    Terminated,
    /// The timeout was over first.
    TimedOut,
}

/// A server that was told to stop: waits for its end.
///
/// Cheap to clone, usable from any thread, and of no influence: dropping it changes nothing, and keeping it keeps nothing
/// alive but the numbers that it tells. The services and what their handlers have captured go with the
/// [`Server`](crate::Server) and the last call that runs. It outlives both.
#[derive(Clone)]
pub struct Stopped {
    life: Arc<Life>,
    /// For the names of those that still run: these keep it alive.
    registry: Weak<Registry>,
}

impl Stopped {
    pub(in crate::server) fn new(life: &Arc<Life>, registry: &Arc<Registry>) -> Self {
        Self { life: life.clone(), registry: Arc::downgrade(registry) }
    }

    /// Waits, for at most `timeout`, until every call is over and every handler has
    /// returned: all connections have ended, which takes no longer than the grace, and then it is up to the handlers. Blocks this
    /// thread. In a handler of the same server it can only time out.
    ///
    /// # Errors
    /// Which handlers still run, and which calls are left to another thread. A handler cannot be stopped by force: it sees
    /// [`is_active`](crate::ServicerContext::is_active) turn false, its sends and receives fail, and the rest is up to it.
    /// A call that is answered from elsewhere is over at the end of the grace at the latest; sooner, once its
    /// [`ResponseSender`](crate::ResponseSender) is finished or its detached stream is.
    pub fn wait(&self, timeout: Duration) -> Result<(), StillRunning> {
        let deadline = Deadline::after(clock::now(), timeout);
        if self.life.wait(deadline) && self.life.running().wait(deadline) {
            return Ok(());
        }
        Err(self.still_running())
    }

    /// Whether every call is over and every handler has returned.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.life.phase() == Phase::Stopped && self.life.running().active() == 0
    }

    /// The handlers that have not returned, and the calls that they have left to another thread and that are not over, now.
    #[must_use]
    pub fn still_running(&self) -> StillRunning {
        let registry = self.registry.upgrade();
        let known = registry.iter().flat_map(|registry| registry.running());
        let (mut methods, mut elsewhere) = (Vec::new(), Vec::new());
        for (path, running, left) in known {
            methods.push((path.to_owned(), running));
            // Counted one after the other, so the second may be ahead.
            elsewhere.extend((left > 0).then(|| (path.to_owned(), left.min(running))));
        }
        methods.sort();
        elsewhere.sort();
        let named: usize = methods.iter().map(|(_, running)| running).sum();
        let others = self.life.running().active().saturating_sub(named);
        if others > 0 {
            methods.push(("(generic handlers)".to_owned(), others));
        }
        StillRunning { methods, elsewhere }
    }
}

impl fmt::Debug for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopped").field("still_running", &self.still_running()).finish()
    }
}

/// Handlers that had not returned, and calls answered from elsewhere that were not over, when the wait for a server's end was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StillRunning {
    methods: Vec<(String, usize)>,
    elsewhere: Vec<(String, usize)>,
}

impl StillRunning {
    /// Paths of methods, and how many calls of each have a handler running or about to run, or are [answered from
    /// elsewhere](Self::elsewhere) and not over.
    #[must_use]
    pub fn methods(&self) -> &[(String, usize)] {
        &self.methods
    }

    /// Those of them whose handler has returned, or is about to: a [`ResponseSender`](crate::ResponseSender) or a
    /// [detached](crate::ServerStream::detach) stream holds the call, and is to be finished. Methods that only a generic handler
    /// knows, and whose paths it does not tell, are not among them.
    #[must_use]
    pub fn elsewhere(&self) -> &[(String, usize)] {
        &self.elsewhere
    }
}

impl fmt::Display for StillRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.methods.is_empty() {
            return f.write_str("the server's connections have not ended");
        }
        let left = |path: &str| {
            let known = self.elsewhere.iter().find(|(other, _)| other == path);
            known.map_or(0, |(_, left)| *left)
        };
        let handlers =
            self.methods.iter().map(|(path, all)| (path, all.saturating_sub(left(path))));
        let mut before = "handlers still run:";
        for (path, count) in handlers.filter(|(_, count)| *count > 0) {
            write!(f, "{before} {path} ({count})")?;
            before = ",";
        }
        before = if before == "," { "; not over:" } else { "not over:" };
        for (path, count) in &self.elsewhere {
            write!(f, "{before} {path}: {count} answered from elsewhere (not finished there)")?;
            before = ",";
        }
        Ok(())
    }
}

impl std::error::Error for StillRunning {}

/// `RESOURCE_EXHAUSTED`, as of every wait of the program's own: no deadline of a call has passed.
impl From<StillRunning> for Status {
    fn from(error: StillRunning) -> Self {
        Status::resource_exhausted(error.to_string())
    }
}
