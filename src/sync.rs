//! The primitives that threads meet at: locks, condition variables, atomics.
//!
//! One place names them, so that the code between threads is the code that a model checker runs: everything from
//! `net/` and `reactor/` upwards takes them from here, never from `parking_lot` or `std` themselves.
//!
//! Locks do not poison: a panicking handler must not end a server.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::sync::atomic;
