//! The primitives that threads meet at: locks, condition variables, atomics. And what there is once for each
//! thread, or once for the process.
//!
//! One place names them, so that the code between threads is the code that a model checker runs: everything from
//! `net/` and `reactor/` upwards takes them from here, never from `parking_lot` or `std` themselves. Built with
//! `--cfg shuttle`, the unit tests have those of the checker, under which one thread runs at a time, which one is chosen
//! anew at each of them, and time is a number (`model`); every other build has the real ones (`real`).
//!
//! Locks do not poison: a panicking handler must not end a server.

#[cfg(all(feature = "testing", not(all(test, shuttle))))]
pub(crate) mod ahead;
#[cfg(all(test, shuttle))]
pub(crate) mod model;
#[cfg(not(all(test, shuttle)))]
mod real;

#[cfg(all(test, shuttle))]
use model as chosen;
#[cfg(not(all(test, shuttle)))]
use real as chosen;

pub(crate) use chosen::{
    Condvar, Mutex, MutexGuard, RwLock, atomic, plain, process_wide, thread, thread_local,
};

/// A value that each thread has of its own: see [`thread_own`].
///
/// It may be gone: a thread that ends drops such values one after the other, and a user's, dropped late, may make a
/// call, drop a handle or close a channel. So there is no way to it that takes for granted that it is there.
pub(crate) struct Own<T: 'static>(&'static thread::LocalKey<T>);

impl<T> Own<T> {
    pub(crate) const fn new(key: &'static thread::LocalKey<T>) -> Self {
        Self(key)
    }

    /// What `act` makes of it; `None`: this thread is ending, and has none any more.
    pub(crate) fn reach<R>(&self, act: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.try_with(act).ok()
    }
}

/// Declares values that each thread has of its own, as `thread_local` does; what is declared is an [`Own`].
macro_rules! thread_own {
    ($($(#[$docs:meta])* static $name:ident: $type:ty = $initial:expr;)+) => {
        $(
            $(#[$docs])*
            const $name: $crate::sync::Own<$type> = {
                $crate::sync::thread_local! {
                    static KEY: $type = const { $initial };
                }
                $crate::sync::Own::new(&KEY)
            };
        )+
    };
}
pub(crate) use thread_own;
