//! The primitives that threads meet at: locks, condition variables, atomics. And what a thread has of its own.
//!
//! One place names them, so that the code between threads is the code that a model checker runs: everything from
//! `net/` and `reactor/` upwards takes them from here, never from `parking_lot` or `std` themselves.
//!
//! Locks do not poison: a panicking handler must not end a server.

use std::thread::LocalKey;

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::sync::atomic;

/// A value that each thread has of its own: see [`thread_own`].
///
/// It may be gone: a thread that ends drops such values one after the other, and a user's, dropped late, may make a
/// call, drop a handle or close a channel. So there is no way to it that takes for granted that it is there.
pub(crate) struct Own<T: 'static>(&'static LocalKey<T>);

impl<T> Own<T> {
    pub(crate) const fn new(key: &'static LocalKey<T>) -> Self {
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
                thread_local! {
                    static KEY: $type = const { $initial };
                }
                $crate::sync::Own::new(&KEY)
            };
        )+
    };
}
pub(crate) use thread_own;
