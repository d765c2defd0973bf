//! From what is counted ([`crate::stats`]) to the messages of the service. Pure.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::messages::{
    Address, Channel, ChannelConnectivityState, ChannelData, ChannelRef, ChannelTrace,
    ChannelTraceEvent, Int64Value, OtherAddress, Security, Server, ServerData, ServerRef, Socket,
    SocketData, SocketRef, Subchannel, SubchannelRef, TcpIpAddress, Timestamp, Tls, UdsAddress,
};
use crate::Connectivity;
use crate::stats::{self, CallStats, Severity};

/// Of what is beyond the type the most; no count comes near it.
fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn timestamp(at: SystemTime) -> Timestamp {
    // Before 1970 the clock was wrong.
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: long(since.as_secs()),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}

fn state(state: Connectivity) -> ChannelConnectivityState {
    let state = match state {
        Connectivity::Idle => 1,
        Connectivity::Connecting => 2,
        Connectivity::Ready => 3,
        Connectivity::TransientFailure => 4,
        Connectivity::Shutdown => 5,
    };
    ChannelConnectivityState { state }
}

fn trace(trace: &stats::TraceStats) -> ChannelTrace {
    let event = |event: &stats::TraceEvent| ChannelTraceEvent {
        description: event.text.clone(),
        severity: match event.severity {
            Severity::Info => 1,
            Severity::Warning => 2,
            Severity::Error => 3,
        },
        timestamp: Some(timestamp(event.at)),
        ..ChannelTraceEvent::default()
    };
    ChannelTrace {
        num_events_logged: long(trace.logged),
        creation_timestamp: Some(timestamp(trace.created)),
        events: trace.events.iter().map(event).collect(),
    }
}

fn data(
    connectivity: Connectivity,
    target: &str,
    events: &stats::TraceStats,
    calls: &CallStats,
) -> ChannelData {
    ChannelData {
        state: Some(state(connectivity)),
        target: target.to_owned(),
        trace: Some(trace(events)),
        calls_started: long(calls.started),
        calls_succeeded: long(calls.succeeded),
        calls_failed: long(calls.failed),
        last_call_started_timestamp: calls.last_started.map(timestamp),
    }
}

pub(super) fn channel(from: &stats::ChannelStats) -> Channel {
    let below = |below: &stats::SubchannelStats| SubchannelRef {
        subchannel_id: long(below.id),
        name: below.target.clone(),
    };
    Channel {
        r#ref: Some(ChannelRef { channel_id: long(from.id), name: from.target.clone() }),
        data: Some(data(from.state, &from.target, &from.trace, &from.calls)),
        subchannel_ref: from.subchannels.iter().map(below).collect(),
        ..Channel::default()
    }
}

pub(super) fn subchannel(from: &stats::SubchannelStats) -> Subchannel {
    Subchannel {
        r#ref: Some(SubchannelRef { subchannel_id: long(from.id), name: from.target.clone() }),
        data: Some(data(from.state, &from.target, &from.trace, &from.calls)),
        socket_ref: from.sockets.iter().map(socket_ref).collect(),
        ..Subchannel::default()
    }
}

pub(super) fn server(from: &stats::ServerStats) -> Server {
    let listener = |listener: &stats::ListenerStats| SocketRef {
        socket_id: long(listener.id),
        name: listener.local.to_string(),
    };
    Server {
        r#ref: Some(ServerRef { server_id: long(from.id), name: String::new() }),
        data: Some(ServerData {
            trace: Some(trace(&from.trace)),
            calls_started: long(from.calls.started),
            calls_succeeded: long(from.calls.succeeded),
            calls_failed: long(from.calls.failed),
            last_call_started_timestamp: from.calls.last_started.map(timestamp),
        }),
        listen_socket: from.listeners.iter().map(listener).collect(),
    }
}

pub(super) fn socket_ref(from: &stats::SocketStats) -> SocketRef {
    SocketRef { socket_id: long(from.id), name: from.remote_name.clone() }
}

pub(super) fn socket(from: &stats::SocketStats) -> Socket {
    let opened = from.last_stream.map(timestamp);
    let (by_us, by_peer) = if from.accepted { (None, opened) } else { (opened, None) };
    let window = |octets| Some(Int64Value { value: long(octets) });
    Socket {
        r#ref: Some(socket_ref(from)),
        data: Some(SocketData {
            streams_started: long(from.streams_started),
            streams_succeeded: long(from.streams_succeeded),
            streams_failed: long(from.streams_failed),
            messages_sent: long(from.messages_sent),
            messages_received: long(from.messages_received),
            keep_alives_sent: long(from.keepalives_sent),
            last_local_stream_created_timestamp: by_us,
            last_remote_stream_created_timestamp: by_peer,
            last_message_sent_timestamp: from.last_sent.map(timestamp),
            last_message_received_timestamp: from.last_received.map(timestamp),
            local_flow_control_window: window(from.send_window),
            remote_flow_control_window: window(from.receive_window),
        }),
        local: from.local.as_ref().map(address),
        remote: from.remote.as_ref().map(address),
        security: from.security.as_ref().map(security),
        remote_name: from.remote_name.clone(),
    }
}

/// A socket that listens: it has nothing but an address.
pub(super) fn listener(from: &stats::ListenerStats) -> Socket {
    Socket {
        r#ref: Some(SocketRef { socket_id: long(from.id), name: from.local.to_string() }),
        data: Some(SocketData::default()),
        local: Some(address(&from.local)),
        ..Socket::default()
    }
}

fn address(from: &stats::Address) -> Address {
    match from {
        stats::Address::Ip(at) => {
            let octets = match at {
                SocketAddr::V4(v4) => Bytes::copy_from_slice(&v4.ip().octets()),
                SocketAddr::V6(v6) => Bytes::copy_from_slice(&v6.ip().octets()),
            };
            let ip = TcpIpAddress { ip_address: octets, port: at.port().into() };
            Address { tcpip_address: Some(ip), ..Address::default() }
        }
        stats::Address::Unix(name) if name.is_empty() => {
            let nameless = OtherAddress { name: from.to_string() };
            Address { other_address: Some(nameless), ..Address::default() }
        }
        stats::Address::Unix(name) => {
            let unix = UdsAddress { filename: name.clone() };
            Address { uds_address: Some(unix), ..Address::default() }
        }
    }
}

fn security(from: &stats::SecurityStats) -> Security {
    let tls = Tls {
        standard_name: from.cipher_suite.clone().unwrap_or_default(),
        // There is one of the two.
        other_name: from.cipher_suite.as_ref().map_or(from.version.clone(), |_| String::new()),
        local_certificate: Bytes::new(),
        remote_certificate: from.remote_certificate.clone().unwrap_or_default(),
    };
    Security { tls: Some(tls), ..Security::default() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_seconds_and_nanoseconds_and_none_is_before_1970() {
        let at = UNIX_EPOCH + Duration::new(5, 7);
        assert_eq!(timestamp(at), Timestamp { seconds: 5, nanos: 7 });
        let before = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(timestamp(before), Timestamp::default());
    }

    #[test]
    fn addresses_have_the_kinds_of_the_definition() {
        let ip = |text: &str| address(&stats::Address::Ip(text.parse().unwrap())).tcpip_address;
        let v4 = ip("127.0.0.1:80").unwrap();
        assert_eq!((&v4.ip_address[..], v4.port), (&[127, 0, 0, 1][..], 80));
        let v6 = ip("[::1]:65535").unwrap();
        assert_eq!((v6.ip_address.len(), v6.ip_address[15], v6.port), (16, 1, 65_535));
        let unix = |name: &str| address(&stats::Address::Unix(name.into()));
        assert_eq!(unix("/a").uds_address.unwrap().filename, "/a");
        assert_eq!(unix("").other_address.unwrap().name, "unix:");
    }

    #[test]
    fn a_count_beyond_the_type_is_its_most() {
        assert_eq!((long(7), long(u64::MAX)), (7, i64::MAX));
    }
}
