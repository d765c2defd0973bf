//! What a channel has counted, for whoever asks: [`ChannelStats`]; and the list of all channels.
//!
//! Asking takes the channel's lock, then that of each of its connections, one after the other, each for the length of a look.

use std::sync::Arc;
use std::time::Instant;

use crate::link::{Link, SocketStats, Totals};
use crate::reactor::clock::Wall;
use crate::sync::process_wide;
use crate::tally::{CallStats, Page, Registry, TraceStats, page};

use super::connectivity::Connectivity;
use super::shared::Shared;
use super::state::Inner;

process_wide! {
    /// All channels.
    static CHANNELS: Registry<Shared> = Registry::new();
}

/// A channel, as it is at this moment.
///
/// § `grpc/channelz/v1/channelz.proto`: `Channel`, `ChannelData`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStats {
    /// Its number: of all that is counted in this process the only one.
    pub id: u64,
    /// The target, as it was given.
    pub target: String,
    /// What it does about its connection.
    pub state: Connectivity,
    /// Its calls. What fails before it is made, as of a message that is too long to send, is none. One that is made again unseen, since the server had refused it, is one call; where interceptors make several of one,
    /// each of theirs is one. A response
    /// that cannot be decoded is still a success of the channel's, and a stream that nobody reads runs until somebody meets its end.
    pub calls: CallStats,
    /// Calls that wait for a connection, for a stream of one, or for their credentials.
    pub queued: usize,
    /// What has happened to it, as far as there is room for that
    /// ([`trace_memory`](crate::ChannelBuilder::trace_memory)).
    pub trace: TraceStats,
    /// What it has connections by: one.
    pub subchannels: Vec<SubchannelStats>,
}

/// What a channel has its connections by: those to one target.
///
/// § `grpc/channelz/v1/channelz.proto`: `Subchannel`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubchannelStats {
    /// Its number.
    pub id: u64,
    /// Its channel's number.
    pub channel: u64,
    /// Where it connects to.
    pub target: String,
    /// What it does about its connection.
    pub state: Connectivity,
    /// The streams that were opened for calls, and how the server ended them. What never had one is not among them, and what
    /// had two, since it was made again, is two.
    pub calls: CallStats,
    /// How its connections came and went.
    pub trace: TraceStats,
    /// Its connections: at most one for new calls, and those that end with the last of theirs.
    pub sockets: Vec<SocketStats>,
}

/// What is copied under the channel's lock.
struct Copy {
    state: Connectivity,
    queued: usize,
    links: Vec<Arc<Link>>,
    past: Totals,
    last_queued: Option<Instant>,
    trace: TraceStats,
    subchannel: TraceStats,
}

impl Copy {
    fn of(inner: &Inner, wall: &Wall) -> Self {
        let notes = &inner.notes;
        Self {
            state: inner.machine.state(),
            queued: inner.queue.len() + inner.aside.len(),
            links: inner.links.iter().map(|(_, link)| link.clone()).collect(),
            past: notes.past,
            last_queued: notes.queued,
            trace: notes.trace.stats(|at| wall.at(at)),
            subchannel: notes.subchannel.stats(|at| wall.at(at)),
        }
    }
}

impl Shared {
    /// From now on it is among all channels.
    pub(super) fn enlist(self: &Arc<Self>) {
        CHANNELS.add(self.ids.channel, Arc::downgrade(self));
    }

    /// It is going.
    pub(super) fn strike(&self) {
        CHANNELS.remove(self.ids.channel);
    }

    pub(super) fn stats(&self) -> ChannelStats {
        let wall = Wall::look();
        let copy = Copy::of(&self.inner.lock(), &wall);
        let mut calls = copy.past;
        copy.links.iter().for_each(|link| calls.add(link.totals()));
        let target = self.settings.target.text().to_owned();
        let last = calls.last().max(copy.last_queued).map(|at| wall.at(at));
        let subchannel = SubchannelStats {
            id: self.ids.subchannel,
            channel: self.ids.channel,
            target: target.clone(),
            state: copy.state,
            calls: calls.stats(&wall),
            trace: copy.subchannel,
            sockets: copy.links.iter().map(|link| link.stats(&wall)).collect(),
        };
        ChannelStats {
            id: self.ids.channel,
            target,
            state: copy.state,
            calls: self.tally.stats(last),
            queued: copy.queued,
            trace: copy.trace,
            subchannels: vec![subchannel],
        }
    }

    fn link_named(&self, id: u64) -> Option<Arc<Link>> {
        let inner = self.inner.lock();
        inner.links.iter().find(|(_, link)| link.id() == id).map(|(_, link)| link.clone())
    }
}

/// All channels from this number on, `most` of them at most.
pub(crate) fn channels(from: u64, most: usize) -> Page<ChannelStats> {
    page(CHANNELS.from(from), most, |shared| shared.stats())
}

/// The channel of this number.
pub(crate) fn channel(id: u64) -> Option<ChannelStats> {
    CHANNELS.find(id).map(|shared| shared.stats())
}

/// The subchannel of this number.
pub(crate) fn subchannel(id: u64) -> Option<SubchannelStats> {
    let shared = CHANNELS.from(0).into_iter().find(|shared| shared.ids.subchannel == id)?;
    shared.stats().subchannels.into_iter().find(|subchannel| subchannel.id == id)
}

/// The connection of this number, where a channel has it.
pub(crate) fn socket(id: u64) -> Option<SocketStats> {
    let link = CHANNELS.from(0).iter().find_map(|shared| shared.link_named(id))?;
    Some(link.stats(&Wall::look()))
}
