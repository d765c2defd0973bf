//! Calls that belong to another: those that a handler makes for the one that it answers. They end when that one does.
//!
//! Its lock is a leaf: whoever ends takes the members out first. It holds no call, only knows of them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::ends::Ends;
use crate::deadline::Deadline;
use crate::status::{Code, Status};
use crate::sync::Mutex;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Family {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The call that they belong to has ended.
    over: bool,
    last: u64,
    members: HashMap<u64, Weak<dyn Ends>>,
}

/// What a call is told that it belongs to another.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    pub(crate) family: Arc<Family>,
    /// The other's.
    pub(crate) deadline: Deadline,
}

/// That a call is known to its family, for as long as this is there.
#[derive(Debug)]
pub(super) struct Member {
    family: Arc<Family>,
    number: u64,
}

impl Family {
    /// One more; `None`: it comes too late.
    pub(super) fn enter(self: &Arc<Self>, call: Weak<dyn Ends>) -> Option<Member> {
        let mut state = self.state.lock();
        if state.over {
            return None;
        }
        state.last += 1;
        let number = state.last;
        state.members.insert(number, call);
        Some(Member { family: self.clone(), number })
    }

    /// The call that they belong to has ended, and so do they.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.over = true;
        let members = std::mem::take(&mut state.members);
        drop(state);
        for call in members.into_values().filter_map(|call| call.upgrade()) {
            call.orphaned();
        }
    }
}

/// What becomes of a call whose other has ended.
pub(super) fn orphaned() -> Status {
    Status::fixed(Code::Cancelled, "the call on whose behalf it was made has ended")
}

impl Drop for Member {
    fn drop(&mut self) {
        self.family.state.lock().members.remove(&self.number);
    }
}
