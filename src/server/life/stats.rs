//! What a server has counted, for whoever asks: [`ServerStats`]; and the list of all servers.
//!
//! Calls are counted by their connections, under the lock that each holds anyway: to ask is to take the server's lock, then
//! that of each connection, one after the other, each for the length of a look.

use std::sync::Arc;

use super::core::Core;
use super::port::ListenerStats;
use crate::link::{Link, SocketStats};
use crate::reactor::clock::Wall;
use crate::sync::process_wide;
use crate::tally::{CallStats, Page, Registry, TraceStats, page};

process_wide! {
    /// All servers.
    static SERVERS: Registry<Core> = Registry::new();
}

/// A server, as it is at this moment.
///
/// § `grpc/channelz/v1/channelz.proto`: `Server`, `ServerData`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Its number: of all that is counted in this process the only one.
    pub id: u64,
    /// The calls that have come, with those of methods that it has not, and those that were refused. One has succeeded when its handler has
    /// answered with `OK` while its client was there.
    pub calls: CallStats,
    /// Handlers that wait for a worker or run. One may do so when its call is over.
    pub handlers: usize,
    /// What it listens by; empty once it was told to stop.
    pub listeners: Vec<ListenerStats>,
    /// How many connections it has; a handshake is none yet.
    pub connections: usize,
    /// What has happened to it, as far as there is room for that
    /// ([`trace_memory`](crate::ServerOptions::trace_memory)).
    pub trace: TraceStats,
}

impl Core {
    /// From now on it is among all servers.
    pub(super) fn enlist(self: &Arc<Self>) {
        SERVERS.add(self.id(), Arc::downgrade(self));
    }

    /// It is going.
    pub(super) fn strike(&self) {
        SERVERS.remove(self.id());
    }

    pub(in crate::server) fn stats(&self) -> ServerStats {
        let wall = Wall::look();
        let seen = self.life().see(&wall);
        let mut calls = seen.past;
        seen.links.iter().for_each(|link| calls.add(link.totals()));
        ServerStats {
            id: self.id(),
            calls: calls.stats(&wall),
            handlers: self.life().running().active(),
            listeners: seen.ports.iter().flat_map(|port| port.listeners()).collect(),
            connections: seen.links.len(),
            trace: seen.trace,
        }
    }

    /// Its connections, by their numbers.
    fn links(&self) -> Vec<Arc<Link>> {
        let mut links = self.life().see(&Wall::look()).links;
        links.sort_unstable_by_key(|link| link.id());
        links
    }
}

/// All servers from this number on, `most` of them at most.
pub(crate) fn servers(from: u64, most: usize) -> Page<ServerStats> {
    page(SERVERS.from(from), most, |core| core.stats())
}

/// The server of this number.
pub(crate) fn server_numbered(id: u64) -> Option<ServerStats> {
    SERVERS.find(id).map(|core| core.stats())
}

/// The connections of a server from this number on, `most` of them at most. `None`: there is no such server.
pub(crate) fn server_sockets(server: u64, from: u64, most: usize) -> Option<Page<SocketStats>> {
    let links = SERVERS.find(server)?.links();
    let wall = Wall::look();
    let there: Vec<_> = links.into_iter().filter(|link| link.id() >= from).collect();
    Some(page(there, most, |link| link.stats(&wall)))
}

/// The connection of this number, where a server has it.
pub(crate) fn server_socket(id: u64) -> Option<SocketStats> {
    let all = SERVERS.from(0);
    let link = all.iter().find_map(|core| core.links().into_iter().find(|link| link.id() == id))?;
    Some(link.stats(&Wall::look()))
}
