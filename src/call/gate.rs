//! [`Gate`]: what is done once for a call, by whoever comes first, while the others wait until it is done.
//!
//! What is done is the user's code: no lock is held meanwhile. It may come by here itself: it is let through, and finds what there
//! is so far, or it would wait for itself.

use crate::reactor::user;
use crate::sync::{Condvar, Mutex, thread};

/// See the module.
#[derive(Default)]
pub(crate) struct Gate {
    step: Mutex<Step>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Due,
    Going(thread::ThreadId),
    Done,
}

impl Gate {
    /// Has `act` done, if nobody has come before; else waits until it is done. One that panics has been done.
    pub(crate) fn pass(&self, act: impl FnOnce()) {
        let mut step = self.step.lock();
        let me = thread::current().id();
        while let Step::Going(whose) = *step {
            if whose == me {
                return;
            }
            self.changed.wait(&mut step);
        }
        if *step == Step::Done {
            return;
        }
        *step = Step::Going(me);
        drop(step);
        user::run_or_end(act, || self.done());
        self.done();
    }

    fn done(&self) {
        *self.step.lock() = Step::Done;
        self.changed.notify_all();
    }

    /// Whether somebody has come.
    pub(crate) fn is_passed(&self) -> bool {
        *self.step.lock() != Step::Due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn the_first_does_it_and_the_others_wait_until_it_is_done() {
        let (gate, (begun, has_begun), (go, gone)) =
            (Gate::default(), mpsc::channel(), mpsc::channel::<()>());
        let done = Mutex::new(false);
        assert!(!gate.is_passed());
        #[allow(clippy::disallowed_methods, reason = "the test's own threads")]
        std::thread::scope(|scope| {
            let (gate, done) = (&gate, &done);
            scope.spawn(move || {
                gate.pass(|| {
                    begun.send(()).unwrap();
                    gone.recv().unwrap();
                    *done.lock() = true;
                });
            });
            has_begun.recv().unwrap();
            assert!(gate.is_passed());
            let second = scope.spawn(move || {
                gate.pass(|| unreachable!("it is done once"));
                assert!(*done.lock(), "it was let through before it was done");
            });
            go.send(()).unwrap();
            second.join().unwrap();
        });
    }

    #[test]
    fn who_does_it_may_come_by_again() {
        let gate = Gate::default();
        gate.pass(|| gate.pass(|| unreachable!("it is done once")));
        assert!(gate.is_passed());
    }

    #[test]
    fn what_panicked_is_done() {
        let gate = Gate::default();
        assert!(user::run(format_args!("it"), || gate.pass(|| panic!("told"))).is_err());
        gate.pass(|| unreachable!("it is done once"));
    }
}
