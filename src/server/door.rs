//! The way in for connections that no port has accepted: [`Door`].

use std::sync::{Arc, Weak};

use super::Server;
use super::dispatch::Registry;
use super::life::{self, Core, Phase};
use crate::net::Pipe;

/// Brings a server connections, and keeps nothing of it alive.
#[derive(Clone)]
pub(crate) struct Door {
    core: Weak<Core>,
    registry: Weak<Registry>,
}

impl Door {
    /// Has the server's end of a pipe served, once `pipe` has made it. An error says why nobody would serve it.
    pub(crate) fn enter(&self, pipe: impl FnOnce() -> Arc<dyn Pipe>) -> Result<(), &'static str> {
        let gone = "the server has stopped";
        let (core, registry) = self.core.upgrade().zip(self.registry.upgrade()).ok_or(gone)?;
        match core.life().phase() {
            Phase::New => Err("the server has not been started"),
            // One that stops just now closes it.
            Phase::Running => {
                life::accept(&core, &registry, pipe());
                Ok(())
            }
            Phase::Stopping | Phase::Stopped => Err(gone),
        }
    }
}

impl Server {
    pub(crate) fn door(&self) -> Door {
        Door { core: Arc::downgrade(&self.core), registry: Arc::downgrade(&self.registry) }
    }
}
