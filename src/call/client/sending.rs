//! The sending half of a client's call: finds its stream at the first message, and
//! says why when it cannot send.

use std::fmt;
use std::sync::Arc;

use crate::call::{Outbox, SendError, Sends};
use crate::codec::Codec;
use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::link::End;
use crate::reactor::user;
use crate::status::{Code, Status};

use super::Core;
use super::watching::Unbound;

/// Sends on one call. One owner.
pub(crate) struct Sending {
    sends: Sends,
    outbox: Option<Arc<Outbox>>,
    /// The next message goes out as it is; known to the outbox, once there is one.
    plain_next: bool,
}

impl Sending {
    pub(crate) fn new(sends: Sends) -> Self {
        Self { sends, outbox: None, plain_next: false }
    }

    /// The next message is not compressed.
    pub(crate) fn plain_next(&mut self) {
        match &self.outbox {
            Some(outbox) => outbox.plain_next(),
            None => self.plain_next = true,
        }
    }

    /// Sends a message. Waits for a connection, then for room; `deadline`, the call's own deadline and its end end the wait.
    pub(crate) fn send<T: 'static>(
        &mut self,
        core: &Core,
        codec: &dyn Codec<T>,
        message: &T,
        deadline: Deadline,
    ) -> Result<(), ResultError> {
        let until = Deadline::earliest(deadline, core.deadline());
        loop {
            let outbox = self.outbox(core, until)?;
            if Self::push(outbox, core, codec, message)? {
                return Ok(());
            }
            // Nothing was taken: wait, then try again.
            if !outbox.wait_room(until) && !core.expire_if_due() {
                return Err(ResultError::TimedOut);
            }
        }
    }

    /// Sends a message if that needs no waiting; false: nothing was taken.
    pub(crate) fn try_send<T: 'static>(
        &mut self,
        core: &Core,
        codec: &dyn Codec<T>,
        message: &T,
    ) -> Result<bool, ResultError> {
        match self.try_outbox(core) {
            Ok(outbox) => Self::push(outbox, core, codec, message),
            Err(Unbound::NotYet) => Ok(false),
            Err(Unbound::Over) => Err(refused(core, SendError::Ended)),
        }
    }

    /// A codec that panics ends the call: its panic goes on to the caller, and nothing of the message is on the wire.
    fn push<T: 'static>(
        outbox: &Outbox,
        core: &Core,
        codec: &dyn Codec<T>,
        message: &T,
    ) -> Result<bool, ResultError> {
        let panicked = || {
            core.broke(REQUEST_PANICKED);
        };
        let sent = user::run_or_end(|| outbox.try_send(codec, message), panicked);
        sent.map_err(|error| refused(core, error))
    }

    /// Hands over what still waits for company.
    pub(crate) fn flush(&self) {
        if let Some(outbox) = &self.outbox {
            outbox.flush();
        }
    }

    /// Half-closes. Waits for a connection if there is none yet.
    pub(crate) fn finish(&mut self, core: &Core) -> Result<(), Status> {
        match self.outbox(core, core.deadline()) {
            Ok(outbox) => {
                outbox.finish(End::Half);
                Ok(())
            }
            Err(error) => match core.try_status() {
                // The server needed no more requests.
                Some(status) if status.code() == Code::Ok => Ok(()),
                Some(status) => Err(status),
                None => Err(error.into()),
            },
        }
    }

    /// Whether a send would not wait.
    pub(crate) fn has_room(&mut self, core: &Core) -> bool {
        self.try_outbox(core).is_ok_and(|outbox| outbox.has_room())
    }

    fn outbox(&mut self, core: &Core, until: Deadline) -> Result<&Arc<Outbox>, ResultError> {
        if self.outbox.is_none() {
            match core.commit(until, self.sends) {
                Ok(outbox) => self.take_on(outbox),
                Err(Unbound::NotYet) if !core.expire_if_due() => return Err(ResultError::TimedOut),
                Err(_) => return Err(refused(core, SendError::Ended)),
            }
        }
        self.outbox.as_ref().ok_or(ResultError::TimedOut)
    }

    /// Like [`outbox`](Self::outbox), never waiting: a call that is repeated has no stream for a while.
    fn try_outbox(&mut self, core: &Core) -> Result<&Arc<Outbox>, Unbound> {
        if self.outbox.is_none() {
            self.take_on(core.try_commit(self.sends)?);
        }
        self.outbox.as_ref().ok_or(Unbound::NotYet)
    }

    fn take_on(&mut self, outbox: Arc<Outbox>) {
        if self.plain_next {
            outbox.plain_next();
        }
        self.outbox = Some(outbox);
    }
}

/// What is said of a codec's panic where it is given a request.
pub(crate) const REQUEST_PANICKED: &str = "the codec panicked at a message to send";

/// Why nothing can be sent.
fn refused(core: &Core, error: SendError) -> ResultError {
    match error {
        SendError::TimedOut => ResultError::TimedOut,
        SendError::Encode(status) => {
            core.fail(status.clone());
            ResultError::Rpc(status)
        }
        SendError::Ended => match core.concluded() {
            Some(status) if status.code() != Code::Ok => core.outcome(status),
            Some(_) => {
                let text = "the call has ended with OK: nothing more can be sent";
                ResultError::Rpc(Status::failed_precondition(text))
            }
            None => {
                let text = "nothing more can be sent on this call";
                ResultError::Rpc(Status::failed_precondition(text))
            }
        },
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("outbox", &self.outbox).finish_non_exhaustive()
    }
}
