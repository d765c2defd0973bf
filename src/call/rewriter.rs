//! [`Rewriter`]: one direction's hooks of a call, and what they gave that nobody has taken.

use std::collections::VecDeque;

use bytes::Bytes;

use super::hooks::{By, Line};
use crate::payload::Payload;
use crate::status::Status;
use crate::sync::Mutex;

/// Messages on their way through hooks, in one direction, with what they gave and nobody has taken.
pub(crate) struct Rewriter {
    /// Never locked: its owner alone reaches it. Handles may be shared, hooks need not bear that.
    line: Mutex<Line>,
    ready: VecDeque<Bytes>,
    ended: bool,
}

impl Rewriter {
    pub(crate) fn new(line: Line) -> Self {
        Self { line: Mutex::new(line), ready: VecDeque::new(), ended: false }
    }

    /// The next that goes on.
    pub(crate) fn front(&self) -> Option<&Bytes> {
        self.ready.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// One more message. Of a hook that panics its caller is told by that, after `panicked`, which is to end the call.
    pub(crate) fn pass(&mut self, payload: Payload, panicked: impl Fn()) -> Result<(), Status> {
        self.pass_by(payload, &|_| panicked())
    }

    /// The same, where it counts whose hook it is.
    pub(crate) fn pass_by(
        &mut self,
        payload: Payload,
        panicked: &dyn Fn(By),
    ) -> Result<(), Status> {
        let given = self.line.get_mut().pass(payload, panicked)?;
        self.ready.extend(given.into_iter().map(Payload::into_bytes));
        Ok(())
    }

    /// There are no more.
    pub(crate) fn end(&mut self, panicked: impl Fn()) -> Result<(), Status> {
        self.end_by(&|_| panicked())
    }

    /// The same, where it counts whose hook it is.
    pub(crate) fn end_by(&mut self, panicked: &dyn Fn(By)) -> Result<(), Status> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let given = self.line.get_mut().end(panicked)?;
        self.ready.extend(given.into_iter().map(Payload::into_bytes));
        Ok(())
    }
}
