//! Byte-level tests of every rule, and two connections joined in virtual time.
#![allow(clippy::disallowed_methods)]

use std::time::Instant;

/// Some instant: tests move on from it, never to it.
pub(crate) fn start() -> Instant {
    Instant::now()
}
