//! How a call has those told who listen for what its server says.
//!
//! The end of a call is met by whatever thread, and there no listener may run. So they run where it is asked for: on the
//! first thread that does, while the others wait; on the notifier, where nobody can ask any more ([`Core::heed_later`]).

use crate::call::By;
use crate::reactor::{notify, user};
use crate::status::{Code, Status};

use super::Core;
use super::events::{RecvInitialMetadata, RecvTrailingMetadata};
use super::heed::Heed;

impl Core {
    /// Has them told of this call. Before anybody has a handle on it.
    pub(crate) fn heed(&self, heed: Option<Heed>) {
        if let Some(heed) = heed {
            let _ = self.heed.set(Box::new(heed));
        }
    }

    /// Who listens has seen the head, if there is one. An error: one has ended the call, just now.
    pub(crate) fn heed_head(&self) -> Result<(), Status> {
        let Some(heed) = self.heed.get() else { return Ok(()) };
        let there = {
            let state = self.state.lock();
            state.head.is_some() || state.by_peer
        };
        if !there || heed.all.recv_initial.is_empty() {
            return Ok(());
        }
        let mut ended = Ok(());
        heed.head.pass(|| {
            let metadata = self.state.lock().head.clone().unwrap_or_default();
            let mut event = RecvInitialMetadata { metadata, method: heed.method.clone() };
            match self.tell_listeners(|| heed.all.recv_initial.tell(&mut event)) {
                Ok(()) => {
                    let old = self.state.lock().head.replace(event.metadata);
                    drop(old);
                }
                Err(status) => {
                    self.override_status(status.clone());
                    ended = Err(status);
                }
            }
        });
        ended
    }

    /// Who listens has seen the end, if there is one: the status since then. `None`: it has not ended, or nobody listens.
    pub(crate) fn heed_end(&self) -> Option<Status> {
        let heed = self.heed.get()?;
        self.state.lock().status()?;
        // A status that it has ended with is told below.
        let _ = self.heed_head();
        if self.state.lock().by_peer && !heed.all.recv_trailing.is_empty() {
            heed.end.pass(|| {
                let Some(status) = self.met_status() else { return };
                let metadata = status.trailing_metadata().clone();
                let method = heed.method.clone();
                let mut event = RecvTrailingMetadata { metadata, status, method };
                let told = self.tell_listeners(|| heed.all.recv_trailing.tell(&mut event));
                let RecvTrailingMetadata { metadata, status, .. } = event;
                match told {
                    Ok(()) => {
                        // Not `override_status`, which lets go of what is unread.
                        let old = self.state.lock().amend(status.with_metadata(metadata));
                        drop(old);
                    }
                    Err(status) => self.override_status(status),
                }
            });
        }
        self.met_status()
    }

    /// Nobody may ask for its head or its end any more: those who listen are told by the notifier, once it has ended.
    pub(crate) fn heed_later(&self) {
        if self.heed.get().is_none_or(|heed| heed.is_over()) {
            return;
        }
        let Some(this) = self.myself() else { return };
        let later = Box::new(move || {
            this.heed_end();
        });
        if let Err(later) = self.on_end(later) {
            notify(later);
        }
    }

    /// The status that listeners have not seen yet becomes the one that they have.
    pub(super) fn heeded(&self, status: Status) -> Status {
        self.heed_end().unwrap_or(status)
    }

    fn tell_listeners(&self, tell: impl FnOnce() -> Result<(), Status>) -> Result<(), Status> {
        user::run_or_end(tell, || {
            self.override_status(Status::fixed(Code::Internal, By::Listener.panicked()));
        })
    }
}
