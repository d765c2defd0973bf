//! What lives: a server's options, its ports and connections, and its start, stop and end.
//!
//! The highest of the server's rooms: `dispatch` and `service` know nothing of it.

mod accept;
mod core;
mod error;
mod listen;
mod on_stop;
mod options;
mod phase;
mod port;
mod stats;
mod stopped;
mod valid;

pub use self::error::ServeError;
pub use self::options::ServerOptions;
pub use self::port::ListenerStats;
pub use self::stats::ServerStats;
pub use self::stopped::{StillRunning, Stopped, Termination};

#[cfg(any(feature = "testing", all(test, shuttle)))]
pub(super) use self::accept::accept;
pub(super) use self::core::Core;
pub(super) use self::listen::{adopt, bind, open};
pub(super) use self::on_stop::OnStop;
pub(super) use self::phase::Phase;
pub(super) use self::port::Guard;
pub(crate) use self::stats::{server_numbered, server_socket, server_sockets, servers};
