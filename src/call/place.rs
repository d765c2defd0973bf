//! [`Place`]: a call's place among those that a server runs at once.

use std::sync::Arc;

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A call's place among those that a server runs at once, where these are limited. It is given back before the client can know
/// of the answer, so that who calls one after the other needs one; or else when its handler has returned.
pub(crate) struct Place {
    taken: Arc<AtomicUsize>,
    held: AtomicBool,
}

impl Place {
    /// One of `most`; `None`: there is none.
    pub(crate) fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Arc<Self>> {
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Arc::new(Self { taken: taken.clone(), held: AtomicBool::new(true) }))
    }

    pub(crate) fn give_back(&self) {
        if self.held.swap(false, Ordering::AcqRel) {
            self.taken.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
