//! How a channel comes to a connection in memory: [`InMemory`].

use std::sync::Arc;
use std::time::Duration;

use super::Faults;
use crate::channel::{Dial, Dialing, Outcome};
use crate::net::MemoryPipe;
use crate::reactor::Poller;
use crate::server::Door;

/// Connects at once, while the server runs.
pub(super) struct InMemory {
    pub(super) door: Door,
    pub(super) faults: Option<Faults>,
}

impl Dial for InMemory {
    fn dial(&self, _: &Arc<Poller>, _: Duration, _: &Dialing, outcome: Outcome) {
        let pipes = self.faults.as_ref().map_or_else(MemoryPipe::pair, Faults::pipes);
        let (near, far) = pipes;
        match self.door.enter(move || Arc::new(far)) {
            Ok(()) => outcome(Ok(Arc::new(near))),
            Err(why) => outcome(Err(format!("cannot connect in memory: {why}"))),
        }
    }
}
