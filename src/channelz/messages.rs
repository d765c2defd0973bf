//! The messages of `grpc.channelz.v1`, as far as this library has something to say: socket options are left out.

use bytes::Bytes;

use crate::message::messages;

messages! {
    /// A point in time, as `google.protobuf.Timestamp` has it.
    pub struct Timestamp {
        /// Seconds since 1970, UTC.
        1 seconds: i64,
        /// And so many nanoseconds behind them.
        2 nanos: i32,
    }

    /// A number that may be missing, as `google.protobuf.Int64Value` has it.
    pub struct Int64Value {
        /// It.
        1 value: i64,
    }

    /// Names a channel.
    pub struct ChannelRef {
        /// Its number.
        1 channel_id: i64,
        /// What people may call it by: its target.
        2 name: String,
    }

    /// Names a subchannel.
    pub struct SubchannelRef {
        /// Its number.
        7 subchannel_id: i64,
        /// What people may call it by: its target.
        8 name: String,
    }

    /// Names a connection, or a socket that listens.
    pub struct SocketRef {
        /// Its number.
        3 socket_id: i64,
        /// What people may call it by: the other end's address, or what is listened on.
        4 name: String,
    }

    /// Names a server.
    pub struct ServerRef {
        /// Its number.
        5 server_id: i64,
        /// What people may call it by; a server has no name.
        6 name: String,
    }

    /// A channel.
    pub struct Channel {
        /// Which one.
        1 r#ref: Option<ChannelRef>,
        /// What is known of it.
        2 data: Option<ChannelData>,
        /// Channels below it.
        3 channel_ref: Vec<ChannelRef>,
        /// Subchannels below it.
        4 subchannel_ref: Vec<SubchannelRef>,
        /// Its own connections.
        5 socket_ref: Vec<SocketRef>,
    }

    /// A subchannel.
    pub struct Subchannel {
        /// Which one.
        1 r#ref: Option<SubchannelRef>,
        /// What is known of it.
        2 data: Option<ChannelData>,
        /// Channels below it.
        3 channel_ref: Vec<ChannelRef>,
        /// Subchannels below it.
        4 subchannel_ref: Vec<SubchannelRef>,
        /// Its connections.
        5 socket_ref: Vec<SocketRef>,
    }

    /// What a channel or a subchannel does about its connection.
    pub struct ChannelConnectivityState {
        /// 0 not known, 1 IDLE, 2 CONNECTING, 3 READY, 4 TRANSIENT_FAILURE, 5 SHUTDOWN.
        1 state: i32,
    }

    /// What is known of a channel or a subchannel.
    pub struct ChannelData {
        /// What it does about its connection.
        1 state: Option<ChannelConnectivityState>,
        /// Where it leads.
        2 target: String,
        /// What has happened to it.
        3 trace: Option<ChannelTrace>,
        /// Calls that were begun.
        4 calls_started: i64,
        /// Those that ended with OK.
        5 calls_succeeded: i64,
        /// Those that ended with another status.
        6 calls_failed: i64,
        /// When the last was begun.
        7 last_call_started_timestamp: Option<Timestamp>,
    }

    /// What has happened to a channel, a subchannel or a server.
    pub struct ChannelTrace {
        /// How many events there were, those that were let go included.
        1 num_events_logged: i64,
        /// When it was made.
        2 creation_timestamp: Option<Timestamp>,
        /// The last ones.
        3 events: Vec<ChannelTraceEvent>,
    }

    /// One event. At most one of the two numbers is there.
    pub struct ChannelTraceEvent {
        /// What happened, in words.
        1 description: String,
        /// 0 not known, 1 as it should be, 2 a warning, 3 an error.
        2 severity: i32,
        /// When.
        3 timestamp: Option<Timestamp>,
        /// To which channel below.
        4 channel_ref: Option<ChannelRef>,
        /// To which subchannel below.
        5 subchannel_ref: Option<SubchannelRef>,
    }

    /// A server.
    pub struct Server {
        /// Which one.
        1 r#ref: Option<ServerRef>,
        /// What is known of it.
        2 data: Option<ServerData>,
        /// What it listens by.
        3 listen_socket: Vec<SocketRef>,
    }

    /// What is known of a server.
    pub struct ServerData {
        /// What has happened to it.
        1 trace: Option<ChannelTrace>,
        /// Calls that have come.
        2 calls_started: i64,
        /// Those that ended with OK.
        3 calls_succeeded: i64,
        /// Those that ended with another status.
        4 calls_failed: i64,
        /// When the last came.
        5 last_call_started_timestamp: Option<Timestamp>,
    }

    /// A connection, or a socket that listens.
    pub struct Socket {
        /// Which one.
        1 r#ref: Option<SocketRef>,
        /// What is known of it.
        2 data: Option<SocketData>,
        /// This end.
        3 local: Option<Address>,
        /// The other end.
        4 remote: Option<Address>,
        /// What protects it.
        5 security: Option<Security>,
        /// The other end's name.
        6 remote_name: String,
    }

    /// What is known of a connection.
    pub struct SocketData {
        /// Streams that were opened.
        1 streams_started: i64,
        /// Those to whose end the server has come.
        2 streams_succeeded: i64,
        /// Those that ended without it.
        3 streams_failed: i64,
        /// Messages that were sent.
        4 messages_sent: i64,
        /// Messages that came.
        5 messages_received: i64,
        /// PINGs that asked whether the peer lives.
        6 keep_alives_sent: i64,
        /// When this end last opened a stream.
        7 last_local_stream_created_timestamp: Option<Timestamp>,
        /// When the other end last did.
        8 last_remote_stream_created_timestamp: Option<Timestamp>,
        /// When a message was last sent.
        9 last_message_sent_timestamp: Option<Timestamp>,
        /// When one last came.
        10 last_message_received_timestamp: Option<Timestamp>,
        /// Bytes that this end may send.
        11 local_flow_control_window: Option<Int64Value>,
        /// Bytes that the other end may send.
        12 remote_flow_control_window: Option<Int64Value>,
    }

    /// Where an end of a connection is. One of the three is there.
    pub struct Address {
        /// An address of IP and a port.
        1 tcpip_address: Option<TcpIpAddress>,
        /// A UNIX socket.
        2 uds_address: Option<UdsAddress>,
        /// Something else.
        3 other_address: Option<OtherAddress>,
    }

    /// An address of IP and a port.
    pub struct TcpIpAddress {
        /// 4 bytes or 16.
        1 ip_address: Bytes,
        /// The port.
        2 port: i32,
    }

    /// A UNIX socket.
    pub struct UdsAddress {
        /// Its path, or `unix-abstract:` and its name.
        1 filename: String,
    }

    /// Another kind of address.
    pub struct OtherAddress {
        /// In words.
        1 name: String,
    }

    /// What protects a connection. One of the two is there.
    pub struct Security {
        /// TLS.
        1 tls: Option<Tls>,
        /// Something else.
        2 other: Option<OtherSecurity>,
    }

    /// TLS.
    pub struct Tls {
        /// The cipher suite by its registered name.
        1 standard_name: String,
        /// The cipher suite by another.
        2 other_name: String,
        /// This end's certificate. This library does not tell.
        3 local_certificate: Bytes,
        /// The other end's, in DER.
        4 remote_certificate: Bytes,
    }

    /// Another kind of protection.
    pub struct OtherSecurity {
        /// In words.
        1 name: String,
    }

    /// Asks for channels.
    pub struct GetTopChannelsRequest {
        /// From this number on; the next page begins behind the last one's.
        1 start_channel_id: i64,
        /// At most so many; 0: as many as the server likes.
        2 max_results: i64,
    }

    /// Channels, by ascending numbers.
    pub struct GetTopChannelsResponse {
        /// They.
        1 channel: Vec<Channel>,
        /// There are no more.
        2 end: bool,
    }

    /// Asks for servers.
    pub struct GetServersRequest {
        /// From this number on.
        1 start_server_id: i64,
        /// At most so many; 0: as many as the server likes.
        2 max_results: i64,
    }

    /// Servers, by ascending numbers.
    pub struct GetServersResponse {
        /// They.
        1 server: Vec<Server>,
        /// There are no more.
        2 end: bool,
    }

    /// Asks for one server.
    pub struct GetServerRequest {
        /// Its number.
        1 server_id: i64,
    }

    /// One server.
    pub struct GetServerResponse {
        /// It.
        1 server: Option<Server>,
    }

    /// Asks for connections of a server.
    pub struct GetServerSocketsRequest {
        /// The server's number.
        1 server_id: i64,
        /// From this number on.
        2 start_socket_id: i64,
        /// At most so many; 0: as many as the server likes.
        3 max_results: i64,
    }

    /// Connections of a server, by ascending numbers.
    pub struct GetServerSocketsResponse {
        /// They.
        1 socket_ref: Vec<SocketRef>,
        /// There are no more.
        2 end: bool,
    }

    /// Asks for one channel.
    pub struct GetChannelRequest {
        /// Its number.
        1 channel_id: i64,
    }

    /// One channel.
    pub struct GetChannelResponse {
        /// It.
        1 channel: Option<Channel>,
    }

    /// Asks for one subchannel.
    pub struct GetSubchannelRequest {
        /// Its number.
        1 subchannel_id: i64,
    }

    /// One subchannel.
    pub struct GetSubchannelResponse {
        /// It.
        1 subchannel: Option<Subchannel>,
    }

    /// Asks for one connection, or one socket that listens.
    pub struct GetSocketRequest {
        /// Its number.
        1 socket_id: i64,
        /// Only what is cheap to find out; all of it is, here.
        2 summary: bool,
    }

    /// One connection.
    pub struct GetSocketResponse {
        /// It.
        1 socket: Option<Socket>,
    }
}
