//! What a handler has set for the end of its call, and that end. Guarded by the call's lock.

use std::sync::Arc;

use crate::link::Notify;
use crate::metadata::Metadata;
use crate::status::{Code, Status};

/// Something to run once a call is over.
pub(crate) type Callback = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Reply {
    pub(super) head_claimed: bool,
    pub(super) ended: Ended,
    pub(super) code: Option<Code>,
    pub(super) details: Option<String>,
    pub(super) trailing: Metadata,
    pub(super) callbacks: Vec<Callback>,
    /// Who is told of room to send, and once of the end.
    pub(super) listener: Option<Arc<dyn Notify>>,
    pub(super) watched: bool,
    /// What panicked, if not the handler itself.
    pub(super) codec_panicked: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ended {
    #[default]
    No,
    /// A status was sent.
    Answered,
    /// The deadline or a local cancel came first.
    Cancelled,
}

impl Reply {
    /// What the client is told, from what the handler returned and what it had set.
    pub(super) fn verdict(&mut self, outcome: Result<(), Status>) -> Status {
        match outcome {
            Err(status) if status.is_ok() => Status::unknown(""),
            Err(status) => status,
            Ok(()) if self.code.is_none() && self.details.is_none() => Status::ok(),
            Ok(()) => {
                let code = self.code.unwrap_or(Code::Ok);
                Status::new(code, self.details.clone().unwrap_or_default())
            }
        }
    }
}
