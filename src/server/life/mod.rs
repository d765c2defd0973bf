//! What lives: a server's options, its ports and connections, and its start, stop and end.
//!
//! The highest of the server's rooms: `dispatch` and `service` know nothing of it.

mod core;
mod options;
mod phase;
mod ports;
mod stopped;

pub use self::options::ServerOptions;
pub use self::ports::ServeError;
pub use self::stopped::{StillRunning, Stopped, Termination};

pub(super) use self::core::Core;
pub(super) use self::phase::Phase;
#[cfg(any(feature = "_internals", all(test, shuttle)))]
pub(super) use self::ports::accept;
pub(super) use self::ports::{Guard, Port};
