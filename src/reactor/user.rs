//! The one way into code of the user's: handlers, callbacks, iterators, executors, and the `Drop` of what they leave.
//!
//! Whoever runs such code for the user does it here ([`run`]): a panic ends there, is told to the log with what it was
//! that panicked, and what comes next still runs; `tell` contains the `Drop` of what was thrown and a logger that panics
//! as well. None of it is called under a lock, on a poller, on the reserve or by a thread that leads a link:
//! those hand a callback to [`notify`](super::notify).
//!
//! A codec runs on the thread of its own caller. Its panic goes on to the caller, who is told by it; but the call
//! that it was for is ended first ([`run_or_end`]).

use std::fmt;

use crate::tell;

/// Code of the user's panicked. What it said was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Runs code of the user's; `what` it is, for the log.
pub(crate) fn run<R>(what: fmt::Arguments<'_>, code: impl FnOnce() -> R) -> Result<R, Panicked> {
    tell::contain(code).map_err(|thrown| {
        tell::error!("{what} panicked: {}", thrown.text());
        Panicked
    })
}

/// Runs code of the user's for its own caller, whom a panic reaches: `end` is done on the way.
pub(crate) fn run_or_end<R>(code: impl FnOnce() -> R, end: impl Fn()) -> R {
    struct Unwinding<F: Fn()>(F);

    impl<F: Fn()> Drop for Unwinding<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    let unwinding = Unwinding(end);
    let result = code();
    // Nothing is leaked: it only borrows.
    std::mem::forget(unwinding);
    result
}

/// Drops what is the user's.
pub(crate) fn drop_quietly<T>(what: fmt::Arguments<'_>, value: T) {
    // What is thrown was logged; there is nothing left to do.
    let _ = run(what, move || drop(value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a drop that panics");
        }
    }

    #[test]
    fn a_panic_of_any_kind_ends_here() {
        assert_eq!(run(format_args!("it"), || 7), Ok(7));
        assert_eq!(run(format_args!("it"), || panic!("text")), Err::<(), _>(Panicked));
        assert_eq!(run(format_args!("it"), || panic_any(7_u8)), Err::<(), _>(Panicked));
        assert_eq!(run(format_args!("it"), || panic_any(Bomb)), Err::<(), _>(Panicked));
        let captured = Bomb;
        assert_eq!(run(format_args!("it"), move || drop(captured)), Err(Panicked));
        drop_quietly(format_args!("it"), Bomb);
    }
}
