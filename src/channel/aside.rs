//! Calls that wait for their credentials. They stand in no queue, and the channel knows them: its close ends them, too.

use std::sync::Arc;

use crate::call::client::Core;

use super::connectivity::Connectivity;
use super::shared::Shared;
use super::state::closed_status;

impl Shared {
    /// Keeps a call until it comes back, or ends.
    pub(super) fn set_aside(&self, call: Arc<Core>) {
        self.change(|inner, todo| match inner.machine.state() {
            // It has ended on its way here: nobody would take it out again.
            _ if call.met_status().is_some() => {}
            Connectivity::Shutdown => {
                todo.status = closed_status();
                todo.fail.push(call);
            }
            _ => inner.aside.push_back(call),
        });
    }

    /// It has its credentials, and goes on from here.
    pub(super) fn come_back(&self, call: &Core) {
        let gone = self.change(|inner, _| inner.aside.remove(call));
        drop(gone);
    }
}
