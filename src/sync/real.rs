//! The primitives of every build but the model checker's: re-exports, and a face without poison for std's lock.

#[cfg(feature = "testing")]
pub(crate) use super::ahead::Condvar;
#[cfg(not(feature = "testing"))]
pub(crate) use parking_lot::Condvar;
pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
pub(crate) use std::sync::atomic;
pub(crate) use std::thread_local;

/// What belongs to threads themselves. They are born in `reactor::threads`.
pub(crate) mod thread {
    pub(crate) use std::thread::{
        Builder, JoinHandle, LocalKey, ThreadId, available_parallelism, current, yield_now,
    };
}

/// Declares what there is once for the process, as `static` does.
macro_rules! process_wide {
    ($($(#[$docs:meta])* static $name:ident: $type:ty = $initial:expr;)+) => {
        $(
            $(#[$docs])*
            static $name: $type = $initial;
        )+
    };
}
pub(crate) use process_wide;

/// The standard library's lock and condition variable, which have no table of waiting threads behind them.
pub(crate) mod plain {
    use std::sync::{MutexGuard, PoisonError};
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        #[inline]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(std::sync::Condvar);

    impl Condvar {
        pub(crate) const fn new() -> Self {
            Self(std::sync::Condvar::new())
        }

        #[inline]
        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
        }

        /// Waits no longer than `most`.
        #[inline]
        pub(crate) fn wait_for<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            most: Duration,
        ) -> MutexGuard<'a, T> {
            self.0.wait_timeout(guard, most).unwrap_or_else(PoisonError::into_inner).0
        }

        #[inline]
        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }
    }
}
