//! How a call tells that it has something to take, where no thread waits for it.
//!
//! Whoever meets the progress tells of it, with no lock held, and not the notifier: there a callback may be waiting for just this
//! task. That a waker neither blocks nor runs the task itself is the contract of all executors.

use std::sync::Arc;
use std::task::Waker;

use crate::link::Stream;

use super::Core;
use super::told::{Ready, Told};

impl Core {
    /// Wakes `waker` at the next message of a stream of responses, or at the end; in place of whoever was to be told
    /// before. What has come already wakes nobody: look once more after this. False: the call is over.
    pub(crate) fn wake(&self, waker: &Waker) -> bool {
        {
            let mut state = self.state.lock();
            if state.status().is_some() {
                return false;
            }
            if matches!(state.told(), Some(Told::Once(own)) if own.will_wake(waker)) {
                return true;
            }
        }
        // The user's code, with no lock held.
        self.tell(Told::Once(waker.clone()))
    }

    /// Tells `ready` of each message of a stream of responses and of the end, as [`wake`](Self::wake). Of what is there
    /// already as well.
    pub(crate) fn tell_each(&self, ready: Arc<dyn Ready>) {
        if !self.tell(Told::Each(ready.clone())) {
            return ready.ready(true);
        }
        self.await_message();
        if self.has_unread() {
            ready.ready(false);
        }
    }

    fn tell(&self, told: Told) -> bool {
        let old = {
            let mut state = self.state.lock();
            match state.status() {
                Some(_) => Err(told),
                None => Ok(state.told().replace(told)),
            }
        };
        match old {
            Ok(old) => {
                if let Some(old) = old {
                    old.let_go();
                }
                self.listen();
                true
            }
            // Nobody else has it.
            Err(unwanted) => {
                drop(unwanted);
                false
            }
        }
    }

    /// Nobody is told any more.
    pub(crate) fn tell_nobody(&self) {
        let old = self.state.lock().told().take();
        if let Some(old) = old {
            old.let_go();
        }
    }

    /// A message may have come on the stream that the call is on. Its end is told by the call's.
    pub(super) fn tell_of_messages(&self, stream: &Arc<Stream>) {
        if self.single || self.state.lock().told().is_none() || !stream.unread() {
            return;
        }
        let told = Told::next(self.state.lock().told());
        if let Some(told) = told {
            told.tell(false);
        }
    }

    fn has_unread(&self) -> bool {
        self.receiver.lock().unread()
    }

    /// Its stream's next message is wanted, without a thread that waits for it. Who has looked in vain has said so by that.
    fn await_message(&self) {
        if self.single {
            return;
        }
        let stream = self.state.lock().stream().cloned();
        if let Some(stream) = stream {
            stream.await_message();
        }
    }
}
