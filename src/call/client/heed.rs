//! [`Heed`]: those who listen for what a server says at the beginning and at the end of a call, before anybody is told.

use std::sync::Arc;

use crate::call::gate::Gate;

use super::events::ClientListeners;

/// See the module.
pub(crate) struct Heed {
    pub(super) all: Arc<ClientListeners>,
    pub(super) method: Arc<str>,
    pub(super) head: Gate,
    pub(super) end: Gate,
}

impl Heed {
    /// `None`: nobody listens for either.
    pub(super) fn new(all: Arc<ClientListeners>, method: Arc<str>) -> Option<Self> {
        let none = all.recv_initial.is_empty() && all.recv_trailing.is_empty();
        (!none).then(|| Self { all, method, head: Gate::default(), end: Gate::default() })
    }

    pub(super) fn is_over(&self) -> bool {
        let head = self.all.recv_initial.is_empty() || self.head.is_passed();
        head && (self.all.recv_trailing.is_empty() || self.end.is_passed())
    }
}
