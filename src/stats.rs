//! What the library counts: calls, channels, servers, connections, and what has happened to them. Plain structs, each read in one call.
//!
//! [`Channel::stats`](crate::Channel::stats), [`Server::stats`](crate::Server::stats) and [`ThreadPool::stats`](crate::ThreadPool::stats)
//! tell of one of these; the functions here find everything that lives in the process, by its number. This is what the channelz service
//! ([`channelz`](crate::channelz)) and its page are made of, and what a program makes its own metrics of:
//!
//! ```
//! use grpc_threads::stats;
//!
//! let channel = grpc_threads::insecure_channel("localhost:50051")?;
//! for channel in stats::channels(0, 100).items {
//!     println!("grpc_client_started_total{{target={:?}}} {}", channel.target, channel.calls.started);
//! }
//! let same = stats::channel(channel.stats().id);
//! assert_eq!(same.map(|same| same.target), Some("localhost:50051".to_owned()));
//! # Ok::<(), grpc_threads::ConfigError>(())
//! ```
//!
//! Owns the way to everything that is counted. Ignores how it is counted: that is with those who count. Nothing here keeps anything alive, and what
//! is gone is not found any more; a channel is there until its last handle is dropped, also when it is closed, and a server until its last
//! connection is over.
//!
//! **Numbers.** Channels, subchannels, servers, listening sockets and connections have one row of numbers, from 1, in the order in which they
//! were made. No number is given twice.
//!
//! **Exactness.** Each struct is what was so at one moment for each connection, one after the other: between two connections calls
//! go on. Counts never fall. Times are those of the clock on the wall as it is now; of calls and messages, those of the read or write of the
//! socket that they went with.
//!
//! **Threads.** Any; nothing waits for anything but locks that are held for moments.
//!
//! § gRFC A14.

pub use crate::channel::{ChannelStats, SubchannelStats};
pub use crate::link::{SecurityStats, SocketStats};
pub use crate::net::Address;
pub use crate::reactor::PoolStats;
pub use crate::server::{ListenerStats, ServerStats};
pub use crate::tally::{CallStats, Page, Severity, TraceEvent, TraceStats};

/// The channels from number `from` on, by their numbers, `most` of them at most. The next page begins behind the last one's number.
#[must_use]
pub fn channels(from: u64, most: usize) -> Page<ChannelStats> {
    crate::channel::channels(from, most)
}

/// The channel of this number. `None`: there is none, any more or yet.
#[must_use]
pub fn channel(id: u64) -> Option<ChannelStats> {
    crate::channel::channel(id)
}

/// The subchannel of this number. `None`: there is none.
#[must_use]
pub fn subchannel(id: u64) -> Option<SubchannelStats> {
    crate::channel::subchannel(id)
}

/// The servers from number `from` on, by their numbers, `most` of them at most.
#[must_use]
pub fn servers(from: u64, most: usize) -> Page<ServerStats> {
    crate::server::servers(from, most)
}

/// The server of this number. `None`: there is none.
#[must_use]
pub fn server(id: u64) -> Option<ServerStats> {
    crate::server::server_numbered(id)
}

/// The connections of server `id` from number `from` on, by their numbers, `most` of them at most. `None`: there is no such server.
#[must_use]
pub fn server_sockets(id: u64, from: u64, most: usize) -> Option<Page<SocketStats>> {
    crate::server::server_sockets(id, from, most)
}

/// The connection of this number, whether a channel has it or a server. `None`: there is none.
#[must_use]
pub fn socket(id: u64) -> Option<SocketStats> {
    crate::channel::socket(id).or_else(|| crate::server::server_socket(id))
}

/// The socket of this number that a server listens by. `None`: there is none.
#[must_use]
pub fn listener(id: u64) -> Option<ListenerStats> {
    let servers = servers(0, usize::MAX).items;
    servers.into_iter().flat_map(|server| server.listeners).find(|listener| listener.id == id)
}
