//! [`Told`]: who is told that a call has something to take, where no thread waits for it: the waker of a task, or a hook of our own.
//!
//! One for each call, kept beside its status; the next takes its place. A call that nobody awaits has none, and costs
//! nothing more.

use std::sync::Arc;
use std::task::Waker;

use crate::reactor::user;

/// One of the library's own that is told more than once.
pub(crate) trait Ready: Send + Sync {
    /// There may be something to take; `last`: the call is over. On whichever thread met it, with no lock held.
    fn ready(self: Arc<Self>, last: bool);

    /// Nobody wants to be told any more. On the owner's thread.
    fn end(&self);
}

/// Who is told.
pub(super) enum Told {
    /// The user's: once, then it has to come again.
    Once(Waker),
    /// Each time, to the end.
    Each(Arc<dyn Ready>),
}

impl Told {
    /// There is something to take, and more may come. Back in its place stays who is told each time.
    pub(super) fn next(place: &mut Option<Self>) -> Option<Self> {
        let told = place.take()?;
        if let Self::Each(ready) = &told {
            *place = Some(Self::Each(ready.clone()));
        }
        Some(told)
    }

    pub(super) fn tell(self, last: bool) {
        match self {
            // Contained and logged: it runs in the midst of others' progress.
            Self::Once(waker) => {
                let _ = user::run(format_args!("a waker"), || waker.wake());
            }
            Self::Each(ready) => ready.ready(last),
        }
    }

    /// The call is over.
    pub(super) fn last(self) {
        self.tell(true);
    }

    pub(super) fn let_go(self) {
        match self {
            Self::Once(waker) => user::drop_quietly(format_args!("the drop of a waker"), waker),
            Self::Each(ready) => ready.end(),
        }
    }
}
