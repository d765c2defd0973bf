//! The module `testing`: what it gives to tests of programs, as these use it.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod pair;
mod scripted;
mod service;
#[path = "../support/mod.rs"]
mod support;
