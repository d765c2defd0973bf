//! What a link tells its channel, which it does not keep: of a channel that is gone nobody wants to hear.

use std::sync::{Arc, Weak};

use crate::link::{LinkEvents, Terms};

use super::connectivity::Attempt;
use super::shared::Shared;

/// What a link tells its channel.
pub(super) struct Events {
    shared: Weak<Shared>,
    attempt: Attempt,
    terms: Arc<Terms>,
}

impl Events {
    pub(super) fn new(shared: Weak<Shared>, attempt: Attempt, terms: &Arc<Terms>) -> Self {
        Self { shared, attempt, terms: terms.clone() }
    }
}

impl LinkEvents for Events {
    fn terms(&self) -> Arc<Terms> {
        self.terms.clone()
    }

    fn up(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.up(self.attempt);
        }
    }

    fn too_many_pings(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.too_many_pings(self.attempt);
        }
    }

    fn draining(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.gone(self.attempt, "the server is going away", false);
        }
    }

    fn room(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.pump();
        }
    }

    fn lost(&self, cause: &str) {
        if let Some(shared) = self.shared.upgrade() {
            shared.gone(self.attempt, cause, true);
        }
    }
}
