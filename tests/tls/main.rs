//! Secure channels and ports, against each other and against rustls as it is without us.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "../support/service.rs"]
mod service;
#[path = "../support/mod.rs"]
mod support;

mod bad;
mod calls;
mod common;
mod handshakes;
mod rotation;
