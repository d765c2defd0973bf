//! A server, met by a client that writes its frames by hand: the shapes of handlers, what their results become on
//! the wire, and that whatever a handler or a client does wrong stays inside its call.

#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/mod.rs"]
mod support;

#[path = "server/common.rs"]
mod common;
#[path = "server/contained.rs"]
mod contained;
#[path = "server/context.rs"]
mod context;
#[path = "server/life.rs"]
mod life;
#[path = "server/methods.rs"]
mod methods;
#[path = "server/shapes.rs"]
mod shapes;
