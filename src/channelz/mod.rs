//! Channelz, `grpc.channelz.v1`: what a process has of channels, servers and connections, and what they have counted, for tools and for
//! people who ask a program that runs.
//!
//! ```
//! use grpc_threads::ThreadPool;
//! use grpc_threads::channelz::{ChannelzServicer, ChannelzStub, GetServersRequest};
//!
//! let server = grpc_threads::server(ThreadPool::new(2));
//! ChannelzServicer::new().add_to(&server)?;
//! let port = server.add_insecure_port("127.0.0.1:0")?;
//! server.start()?;
//!
//! let channel = grpc_threads::insecure_channel(&format!("127.0.0.1:{port}"))?;
//! let stub = ChannelzStub::new(&channel);
//! let servers = stub.get_servers.call(&GetServersRequest::default())?;
//! let own = servers.server.iter().filter_map(|server| server.data.as_ref());
//! assert!(own.map(|data| data.calls_started).sum::<i64>() >= 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Who may ask learns whom the process talks to: put it on a port of its own, as of this machine alone, rather than beside a service that
//! strangers reach. The same for people is [`answer_page`], plain HTML.
//!
//! What it tells is what [`stats`] tells. A question may look at every connection of a server: on one that has many thousands, give the
//! service a pool of its own ([`ChannelzServicer::thread_pool`]).
//!
//! § `grpc/channelz/v1/channelz.proto`, gRFC A14.

// Owns the seven methods and the pages. Ignores how anything is counted. Stands on the public API; no threads, locks or state.

mod convert;
mod http;
mod messages;
mod page;

use std::fmt;

pub use self::http::answer_page;
pub use self::messages::{
    Address, Channel, ChannelConnectivityState, ChannelData, ChannelRef, ChannelTrace,
    ChannelTraceEvent, GetChannelRequest, GetChannelResponse, GetServerRequest, GetServerResponse,
    GetServerSocketsRequest, GetServerSocketsResponse, GetServersRequest, GetServersResponse,
    GetSocketRequest, GetSocketResponse, GetSubchannelRequest, GetSubchannelResponse,
    GetTopChannelsRequest, GetTopChannelsResponse, Int64Value, OtherAddress, OtherSecurity,
    Security, Server, ServerData, ServerRef, Socket, SocketData, SocketRef, Subchannel,
    SubchannelRef, TcpIpAddress, Timestamp, Tls, UdsAddress,
};
pub use self::page::page;

use crate::stats;
use crate::{
    ConfigError, MethodPath, Prost, Service, ServicerContext, Status, ThreadPool, UnaryUnary,
    unary_unary_rpc_method_handler,
};

/// The full name of the service.
pub const SERVICE_NAME: &str = "grpc.channelz.v1.Channelz";

/// What a page has at most, and where nobody says how much: as in gRPC's C core, and so in Python.
const MOST: usize = 100;

/// The longest question: a few numbers.
const LONGEST_QUESTION: usize = 1 << 10;

/// Answers with what the process has: every channel and every server of this library, whoever made it. Python's
/// `add_channelz_servicer`.
///
/// Lists come by ascending numbers, 100 at most at a time, or as many as `max_results` says if that is fewer; the next page begins behind the
/// last number, and `end` says that there is none. A number that names nothing (any more) is `NOT_FOUND`, and a negative one, or a negative
/// `max_results`, is `INVALID_ARGUMENT`. Its answers hold nothing of what they tell of.
///
/// Calls of it are counted like all others, and it sees its own connection.
#[derive(Clone, Debug, Default)]
pub struct ChannelzServicer {
    pool: Option<ThreadPool>,
}

impl ChannelzServicer {
    /// The service, on the server's workers, as any other. A question may look at each of some thousand connections, so it does not go
    /// before other calls, as health does; where it has to be answered while all workers are busy, give it a
    /// [`thread_pool`](Self::thread_pool).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has it run on this pool, and not on the server's workers, which may all be busy.
    #[must_use]
    pub fn thread_pool(mut self, pool: ThreadPool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Adds it to a server.
    ///
    /// # Errors
    /// As of [`Server::add_service`](crate::Server::add_service).
    pub fn add_to(&self, server: &crate::Server) -> Result<(), ConfigError> {
        let service = Service::new(SERVICE_NAME)
            .method("GetTopChannels", handler(top_channels))
            .method("GetServers", handler(servers))
            .method("GetServer", handler(server_numbered))
            .method("GetServerSockets", handler(server_sockets))
            .method("GetChannel", handler(channel))
            .method("GetSubchannel", handler(subchannel))
            .method("GetSocket", handler(socket))
            .max_receive_message_size(LONGEST_QUESTION);
        server.add_service(match &self.pool {
            Some(pool) => service.thread_pool(pool.clone()),
            None => service,
        })
    }
}

fn handler<Q, A>(answer: fn(&Q) -> Result<A, Status>) -> crate::RpcMethodHandler
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    unary_unary_rpc_method_handler(move |question: Q, _: &ServicerContext| answer(&question))
}

fn top_channels(asked: &GetTopChannelsRequest) -> Result<GetTopChannelsResponse, Status> {
    let start = number("start_channel_id", asked.start_channel_id)?;
    let page = stats::channels(start, most(asked.max_results)?);
    let channel = page.items.iter().map(convert::channel).collect();
    Ok(GetTopChannelsResponse { channel, end: page.end })
}

fn servers(asked: &GetServersRequest) -> Result<GetServersResponse, Status> {
    let start = number("start_server_id", asked.start_server_id)?;
    let page = stats::servers(start, most(asked.max_results)?);
    let server = page.items.iter().map(convert::server).collect();
    Ok(GetServersResponse { server, end: page.end })
}

fn server_numbered(asked: &GetServerRequest) -> Result<GetServerResponse, Status> {
    let found = stats::server(number("server_id", asked.server_id)?);
    let found = found.ok_or_else(|| unknown("server", asked.server_id))?;
    Ok(GetServerResponse { server: Some(convert::server(&found)) })
}

fn server_sockets(asked: &GetServerSocketsRequest) -> Result<GetServerSocketsResponse, Status> {
    let id = number("server_id", asked.server_id)?;
    let start = number("start_socket_id", asked.start_socket_id)?;
    let page = stats::server_sockets(id, start, most(asked.max_results)?)
        .ok_or_else(|| unknown("server", asked.server_id))?;
    let socket_ref = page.items.iter().map(convert::socket_ref).collect();
    Ok(GetServerSocketsResponse { socket_ref, end: page.end })
}

fn channel(asked: &GetChannelRequest) -> Result<GetChannelResponse, Status> {
    let found = stats::channel(number("channel_id", asked.channel_id)?);
    let found = found.ok_or_else(|| unknown("channel", asked.channel_id))?;
    Ok(GetChannelResponse { channel: Some(convert::channel(&found)) })
}

fn subchannel(asked: &GetSubchannelRequest) -> Result<GetSubchannelResponse, Status> {
    let found = stats::subchannel(number("subchannel_id", asked.subchannel_id)?);
    let found = found.ok_or_else(|| unknown("subchannel", asked.subchannel_id))?;
    Ok(GetSubchannelResponse { subchannel: Some(convert::subchannel(&found)) })
}

fn socket(asked: &GetSocketRequest) -> Result<GetSocketResponse, Status> {
    let id = number("socket_id", asked.socket_id)?;
    let connection = stats::socket(id).map(|socket| convert::socket(&socket));
    let found = connection.or_else(|| Some(convert::listener(&stats::listener(id)?)));
    let found = found.ok_or_else(|| unknown("socket", asked.socket_id))?;
    Ok(GetSocketResponse { socket: Some(found) })
}

fn number(what: &str, given: i64) -> Result<u64, Status> {
    u64::try_from(given).map_err(|_| {
        Status::invalid_argument(format!("{what} is {given}: there are no negative ones"))
    })
}

/// How many there may be on a page. § `channelz.proto`: "If zero, the server will choose a reasonable page size. Must never be negative."
fn most(asked: i64) -> Result<usize, Status> {
    match number("max_results", asked)? {
        0 => Ok(MOST),
        asked => Ok(usize::try_from(asked).unwrap_or(MOST).min(MOST)),
    }
}

fn unknown(what: &str, id: i64) -> Status {
    Status::not_found(format!(
        "there is no {what} {id} in this process: it is gone, or the number is of something else"
    ))
}

/// Calls `grpc.channelz.v1.Channelz`, of this library or of any other.
#[derive(Clone)]
pub struct ChannelzStub {
    /// Channels that programs have made, by ascending numbers.
    pub get_top_channels: UnaryUnary<GetTopChannelsRequest, GetTopChannelsResponse>,
    /// Servers, by ascending numbers.
    pub get_servers: UnaryUnary<GetServersRequest, GetServersResponse>,
    /// One server.
    pub get_server: UnaryUnary<GetServerRequest, GetServerResponse>,
    /// Connections of a server, by ascending numbers.
    pub get_server_sockets: UnaryUnary<GetServerSocketsRequest, GetServerSocketsResponse>,
    /// One channel.
    pub get_channel: UnaryUnary<GetChannelRequest, GetChannelResponse>,
    /// One subchannel.
    pub get_subchannel: UnaryUnary<GetSubchannelRequest, GetSubchannelResponse>,
    /// One connection, or one socket that listens.
    pub get_socket: UnaryUnary<GetSocketRequest, GetSocketResponse>,
}

impl ChannelzStub {
    /// The methods, over this channel. Nothing is sent yet.
    #[must_use]
    pub fn new(channel: &crate::Channel) -> Self {
        Self {
            get_top_channels: channel.unary_unary_at(GET_TOP_CHANNELS, Prost),
            get_servers: channel.unary_unary_at(GET_SERVERS, Prost),
            get_server: channel.unary_unary_at(GET_SERVER, Prost),
            get_server_sockets: channel.unary_unary_at(GET_SERVER_SOCKETS, Prost),
            get_channel: channel.unary_unary_at(GET_CHANNEL, Prost),
            get_subchannel: channel.unary_unary_at(GET_SUBCHANNEL, Prost),
            get_socket: channel.unary_unary_at(GET_SOCKET, Prost),
        }
    }
}

impl fmt::Debug for ChannelzStub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelzStub").finish_non_exhaustive()
    }
}

const GET_TOP_CHANNELS: MethodPath =
    MethodPath::from_static("/grpc.channelz.v1.Channelz/GetTopChannels");
const GET_SERVERS: MethodPath = MethodPath::from_static("/grpc.channelz.v1.Channelz/GetServers");
const GET_SERVER: MethodPath = MethodPath::from_static("/grpc.channelz.v1.Channelz/GetServer");
const GET_SERVER_SOCKETS: MethodPath =
    MethodPath::from_static("/grpc.channelz.v1.Channelz/GetServerSockets");
const GET_CHANNEL: MethodPath = MethodPath::from_static("/grpc.channelz.v1.Channelz/GetChannel");
const GET_SUBCHANNEL: MethodPath =
    MethodPath::from_static("/grpc.channelz.v1.Channelz/GetSubchannel");
const GET_SOCKET: MethodPath = MethodPath::from_static("/grpc.channelz.v1.Channelz/GetSocket");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn a_page_has_as_many_as_were_asked_for_and_no_more_than_there_may_be() {
        let most = |asked| most(asked).map_err(|status| status.code());
        assert_eq!(most(0), Ok(100));
        assert_eq!(most(1), Ok(1));
        assert_eq!(most(100), Ok(100));
        assert_eq!(most(i64::MAX), Ok(100));
        assert_eq!(most(-1), Err(Code::InvalidArgument));
    }

    #[test]
    fn what_is_unknown_is_told_by_its_kind_and_number() {
        let status = unknown("socket", 7);
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains("no socket 7 in this process"), "{status}");
    }
}
