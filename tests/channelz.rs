//! What is counted, the channelz service that tells of it, and its pages: over real channels and servers.
//!
//! Other tests of this file make channels and servers at the same time: each looks at its own numbers.

#![allow(clippy::disallowed_methods, reason = "the tests' own threads and clock")]

#[path = "support/service.rs"]
mod service;
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use grpc_threads::channelz::{
    ChannelzServicer, ChannelzStub, GetChannelRequest, GetServerRequest, GetServerSocketsRequest,
    GetServersRequest, GetSocketRequest, GetSubchannelRequest, GetTopChannelsRequest, answer_page,
    page,
};
use grpc_threads::stats::{self, Address, CallStats, ServerStats, Severity};
use grpc_threads::{Connectivity, ServerOptions, insecure_channel};
use service::*;
use support::frames::{GOAWAY, Listener};
use support::{LONG, eventually};

/// A server with the methods of tests, and channelz.
fn served() -> Served {
    let server = grpc_threads::server(ThreadPool::new(4));
    ChannelzServicer::new().add_to(&server).unwrap();
    Served::start(server, "127.0.0.1:0", [])
}

fn call(channel: &Channel, method: &str, body: &'static str) -> Result<Bytes, Status> {
    let method = channel.raw_unary_unary(method).unwrap().timeout(LONG);
    method.call(&Bytes::from_static(body.as_bytes()))
}

fn counts(calls: &CallStats) -> (u64, u64, u64, u64) {
    (calls.started, calls.succeeded, calls.failed, calls.running())
}

/// A server is done with a call a moment after its client.
fn eventually_counts(server: &Served, wanted: (u64, u64, u64, u64)) -> ServerStats {
    let mut last = server.server.stats();
    eventually(LONG, &format!("{wanted:?}, and not {:?}", counts(&last.calls)), || {
        last = server.server.stats();
        counts(&last.calls) == wanted
    });
    last
}

#[test]
fn calls_are_counted_by_how_they_end_on_both_sides() {
    let before = SystemTime::now() - Duration::from_millis(100);
    let (served, started) = (Served::new(), SystemTime::now());
    let channel = served.channel();
    for _ in 0..3 {
        call(&channel, ECHO, "x").unwrap();
    }
    call(&channel, FAIL, "5 no").unwrap_err();
    call(&channel, "/test.Test/None", "x").unwrap_err();
    let stats = channel.stats();
    assert_eq!(counts(&stats.calls), (5, 3, 2, 0));
    assert_eq!(
        (stats.state, stats.target, stats.queued),
        (Connectivity::Ready, served.target(), 0)
    );
    let last = stats.calls.last_started.unwrap();
    assert!(last >= before && last <= SystemTime::now() + Duration::from_secs(1), "{last:?}");
    // The first waited for the connection, and then had a stream like the others.
    assert_eq!(counts(&stats.subchannels[0].calls), (5, 3, 2, 0));
    let server = eventually_counts(&served, (5, 3, 2, 0));
    assert!(server.calls.last_started.unwrap() >= started - Duration::from_millis(100));
    assert_eq!(server.connections, 1);
}

#[test]
fn calls_of_every_form_are_counted_once() {
    let served = Served::new();
    let channel = served.channel();
    let body = || Bytes::from_static(b"2 10");
    channel.raw_unary_unary(ECHO).unwrap().future(&body()).result(Some(LONG)).unwrap();
    let count = channel.raw_unary_stream(COUNT).unwrap().timeout(LONG);
    assert_eq!(count.call(&body()).unwrap().count(), 2);
    let sum = channel.raw_stream_unary(SUM).unwrap().timeout(LONG);
    sum.call([body(), body()]).unwrap();
    let bidi = channel.raw_stream_stream(BIDI).unwrap().timeout(LONG);
    assert_eq!(bidi.call([body(), body(), body()]).count(), 3);
    eventually(LONG, "all have ended", || channel.stats().calls.running() == 0);
    let stats = channel.stats();
    assert_eq!(counts(&stats.calls), (4, 4, 0, 0));
    let socket = &stats.subchannels[0].sockets[0];
    // 1 + 1 + 2 + 3, and 1 + 2 + 1 + 3.
    assert_eq!((socket.messages_sent, socket.messages_received), (7, 7));
    eventually_counts(&served, (4, 4, 0, 0));
    let other = stats::server_sockets(served.server.stats().id, 0, 9).unwrap().items.remove(0);
    assert_eq!((other.messages_sent, other.messages_received), (7, 7));
    assert_eq!((other.streams_started, other.streams_succeeded, other.streams_failed), (4, 4, 0));
}

#[test]
fn calls_that_run_are_started_and_neither_good_nor_bad_until_they_end() {
    let served = Served::new();
    let channel = served.channel();
    let method = channel.raw_stream_stream(BIDI).unwrap().timeout(LONG);
    let mut streams: Vec<_> = (0..3).map(|_| method.open()).collect();
    for stream in &mut streams {
        stream.send(&Bytes::from_static(b"x")).unwrap();
        stream.recv().unwrap().unwrap();
    }
    assert_eq!(counts(&channel.stats().calls), (3, 0, 0, 3));
    let server = served.server.stats();
    assert_eq!((counts(&server.calls), server.handlers), ((3, 0, 0, 3), 3));
    // One ends well, one is given up, one is lost with the connection.
    let mut first = streams.remove(0);
    first.done_writing().unwrap();
    assert_eq!(first.recv().unwrap(), None);
    drop(streams.remove(0));
    assert_eq!(counts(&channel.stats().calls), (3, 1, 1, 1));
    eventually_counts(&served, (3, 1, 1, 1));
    channel.close();
    // A stream's end is counted when somebody meets it.
    assert_eq!(counts(&channel.stats().calls), (3, 1, 1, 1));
    streams[0].recv().unwrap_err();
    assert_eq!(counts(&channel.stats().calls), (3, 1, 2, 0));
    let server = eventually_counts(&served, (3, 1, 2, 0));
    eventually(LONG, "the connection goes", || served.server.stats().connections == 0);
    assert_eq!(counts(&served.server.stats().calls), counts(&server.calls), "they stay counted");
}

#[test]
fn calls_without_a_connection_are_counted_and_dated_too() {
    let vacant = support::frames::Vacant::new();
    let channel = channel(&vacant.target());
    call(&channel, ECHO, "x").unwrap_err();
    let mut future = channel.raw_unary_unary(ECHO).unwrap().future(&Bytes::new());
    future.result(Some(LONG)).unwrap_err();
    let stats = channel.stats();
    assert_eq!(counts(&stats.calls), (2, 0, 2, 0));
    assert!(stats.calls.last_started.is_some());
    let below = &stats.subchannels[0];
    assert_eq!((counts(&below.calls), below.sockets.len()), ((0, 0, 0, 0), 0));
    let failure = stats.trace.events.iter().find(|event| event.severity == Severity::Warning);
    let failure = failure.expect("the attempt that failed");
    assert!(failure.text.starts_with("TRANSIENT_FAILURE: cannot connect to"), "{}", failure.text);
    // One that waits for ready is queued, and running.
    let waiting = channel.raw_unary_unary(ECHO).unwrap().wait_for_ready(true);
    let waiting = waiting.future(&Bytes::new());
    assert_eq!(channel.stats().queued, 1);
    assert_eq!(counts(&channel.stats().calls), (3, 0, 2, 1));
    waiting.cancel();
    assert_eq!(counts(&channel.stats().calls), (3, 0, 3, 0));
}

#[test]
fn a_call_that_is_made_again_unseen_is_one_of_the_channels_and_two_of_the_subchannels() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let first = peer.wait_request().stream;
        peer.reset(first, support::frames::REFUSED_STREAM);
        let second = peer.wait_request().stream;
        peer.respond(second, b"second");
        peer
    });
    assert_eq!(call(&channel, ECHO, "x").unwrap(), b"second"[..]);
    let stats = channel.stats();
    assert_eq!(counts(&stats.calls), (1, 1, 0, 0));
    assert_eq!(counts(&stats.subchannels[0].calls), (2, 1, 1, 0));
    let socket = &stats.subchannels[0].sockets[0];
    assert_eq!((socket.streams_succeeded, socket.streams_failed), (1, 1));
    drop(server.join().unwrap());
}

#[test]
fn sockets_have_both_ends_and_come_and_go() {
    let served = Served::new();
    let channel = served.channel();
    assert!(channel.stats().subchannels[0].sockets.is_empty());
    call(&channel, ECHO, "x").unwrap();
    let near = channel.stats().subchannels[0].sockets[0].clone();
    let server = served.server.stats();
    let far = stats::server_sockets(server.id, 0, 10).unwrap();
    assert!(far.end && far.items.len() == 1);
    let far = &far.items[0];
    assert_eq!((&near.local, &near.remote), (&far.remote, &far.local));
    assert_eq!(near.remote, Some(Address::Ip(served.address())));
    assert_eq!(near.remote_name, format!("ipv4:{}", served.address()));
    assert!(far.accepted && !near.accepted && near.id != far.id);
    assert_eq!((near.security.as_ref(), near.unsent), (None, 0));
    assert!(near.send_window > 0 && near.receive_window >= 65_535);
    let times = [near.last_stream, near.last_sent, near.last_received];
    assert!(times.iter().all(Option::is_some) && near.last_received >= near.last_sent);
    assert_eq!(stats::socket(near.id).unwrap().local, near.local);
    assert_eq!(stats::socket(far.id).unwrap().local, far.local);
    // What it listens by is a socket, too.
    assert_eq!(server.listeners.len(), 1);
    assert_eq!(server.listeners[0].local, Address::Ip(served.address()));
    assert_eq!(stats::listener(server.listeners[0].id), Some(server.listeners[0].clone()));
    let (near, far) = (near.id, far.id);
    channel.close();
    eventually(LONG, "both go", || stats::socket(near).is_none() && stats::socket(far).is_none());
    let stats = channel.stats();
    assert_eq!((stats.state, counts(&stats.calls)), (Connectivity::Shutdown, (1, 1, 0, 0)));
    let texts: Vec<_> = stats.subchannels[0].trace.events.iter().map(|e| e.text.clone()).collect();
    assert_eq!(texts[0], "created");
    assert_eq!(texts[1], format!("socket {near} is connected to ipv4:{}", served.address()));
    assert!(texts[2].starts_with(&format!("socket {near} is over: ")), "{texts:?}");
}

#[test]
fn unix_sockets_are_told_by_their_names() {
    let name = format!("unix-abstract:channelz-test-{}", std::process::id());
    let served = Served::new();
    served.server.add_insecure_port(&name).unwrap();
    let channel = channel(&name);
    call(&channel, ECHO, "x").unwrap();
    let socket = channel.stats().subchannels[0].sockets[0].clone();
    assert_eq!(socket.remote, Some(Address::Unix(name.clone())));
    assert_eq!(socket.local, Some(Address::Unix(String::new())));
    let listeners = served.server.stats().listeners;
    assert!(listeners.iter().any(|own| own.local == Address::Unix(name.clone())), "{listeners:?}");
}

#[test]
fn nothing_is_kept_alive_and_what_is_gone_is_not_found() {
    let held = Arc::new(());
    let kept = held.clone();
    let method = unary(move |request, _| {
        let _ = &kept;
        Ok(request)
    });
    let served = Served::with(2, [("Held", method)]);
    let channel = served.channel();
    call(&channel, "/test.Test/Held", "x").unwrap();
    let (server, stats) = (served.server.stats().id, channel.stats());
    let below = stats.subchannels[0].id;
    assert!(stats::server(server).is_some() && stats::subchannel(below).is_some());
    // What was told holds nothing.
    let told = (stats::servers(0, usize::MAX), stats::channels(0, usize::MAX));
    drop(channel);
    drop(served);
    eventually(LONG, "the channel goes", || stats::channel(stats.id).is_none());
    eventually(LONG, "the server goes", || stats::server(server).is_none());
    eventually(LONG, "and its handlers", || Arc::strong_count(&held) == 1);
    assert!(stats::subchannel(below).is_none() && stats::server_sockets(server, 0, 1).is_none());
    assert!(told.0.items.iter().any(|own| own.id == server));
    assert!(told.1.items.iter().any(|own| own.id == stats.id));
}

#[test]
fn a_trace_is_within_its_memory_and_an_option_says_how_much() {
    let channel = Channel::builder("127.0.0.1:1").trace_memory(0).connect_lazily().unwrap();
    channel.close();
    let stats = channel.stats();
    assert_eq!((stats.trace.events.len(), stats.trace.logged), (0, 2));
    let channel = insecure_channel("127.0.0.1:1").unwrap();
    channel.close();
    let texts: Vec<_> = channel.stats().trace.events.into_iter().map(|e| e.text).collect();
    assert_eq!(texts, ["created", "SHUTDOWN"]);
    let options = ServerOptions::default().trace_memory(0);
    let server = Server::builder().options(options).build().unwrap();
    assert_eq!(server.stats().trace.events.len(), 0);
    let server = grpc_threads::server(ThreadPool::new(1));
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    server.start().unwrap();
    server.stop(None);
    let texts: Vec<_> = server.stats().trace.events.into_iter().map(|e| e.text).collect();
    assert_eq!(texts, ["created", "listens on 127.0.0.1:0", "started", "told to stop", "stopped"]);
    assert!(port > 0 && server.stats().listeners.is_empty());
}

#[test]
fn pools_tell_all_their_numbers_at_once() {
    let pool = ThreadPool::new(3);
    let stats = pool.stats();
    assert_eq!((stats.workers, stats.alive, stats.running, stats.queued), (3, 0, 0, 0));
    let server = grpc_threads::server(pool.clone());
    server.start().unwrap();
    assert_eq!(pool.stats().alive, pool.alive());
}

// ------------------------------------------------------------------------------------------------------- the service

#[test]
fn all_seven_methods_tell_what_the_structs_do() {
    let (asked, other) = (served(), Served::new());
    let channel = other.channel();
    call(&channel, ECHO, "x").unwrap();
    call(&channel, FAIL, "5 no").unwrap_err();
    eventually_counts(&other, (2, 1, 1, 0));
    let (own, server) = (channel.stats(), other.server.stats());
    let by = asked.channel();
    let stub = ChannelzStub::new(&by);

    let request = GetChannelRequest { channel_id: own.id as i64 };
    let found = stub.get_channel.call(&request).unwrap().channel.unwrap();
    let data = found.data.unwrap();
    assert_eq!((data.calls_started, data.calls_succeeded, data.calls_failed), (2, 1, 1));
    assert_eq!((data.state.unwrap().state, &data.target), (3, &other.target()));
    assert!(data.last_call_started_timestamp.unwrap().seconds > 1_700_000_000);
    assert_eq!(data.trace.unwrap().events[0].description, "created");
    let below = found.subchannel_ref[0].subchannel_id;

    let request = GetSubchannelRequest { subchannel_id: below };
    let found = stub.get_subchannel.call(&request).unwrap().subchannel.unwrap();
    assert_eq!((found.data.unwrap().calls_started, found.socket_ref.len()), (2, 1));

    let request = GetSocketRequest { socket_id: found.socket_ref[0].socket_id, summary: false };
    let socket = stub.get_socket.call(&request).unwrap().socket.unwrap();
    let (data, remote) = (socket.data.unwrap(), socket.remote.unwrap().tcpip_address.unwrap());
    assert_eq!((data.streams_started, data.streams_succeeded), (2, 2), "with whatever status");
    assert_eq!((data.messages_sent, data.messages_received), (2, 1));
    assert!(data.last_local_stream_created_timestamp.is_some());
    assert_eq!(data.last_remote_stream_created_timestamp, None);
    assert_eq!((&remote.ip_address[..], remote.port), (&[127, 0, 0, 1][..], other.port.into()));

    let request = GetServerRequest { server_id: server.id as i64 };
    let found = stub.get_server.call(&request).unwrap().server.unwrap();
    assert_eq!(found.data.unwrap().calls_failed, 1);
    let listener = found.listen_socket[0].socket_id;
    let request = GetSocketRequest { socket_id: listener, summary: true };
    let found = stub.get_socket.call(&request).unwrap().socket.unwrap();
    let local = found.local.unwrap().tcpip_address.unwrap();
    assert_eq!((local.port, found.remote), (other.port.into(), None));

    let request = GetServerSocketsRequest { server_id: server.id as i64, ..Default::default() };
    let found = stub.get_server_sockets.call(&request).unwrap();
    assert!(found.end && found.socket_ref.len() == 1);

    let ids = |start_server_id| {
        let request = GetServersRequest { start_server_id, max_results: 0 };
        let found = stub.get_servers.call(&request).unwrap().server;
        found.into_iter().map(|one| one.r#ref.unwrap().server_id).collect::<Vec<_>>()
    };
    let all = ids(0);
    assert!(all.contains(&(server.id as i64)) && all.is_sorted());
    assert!(!ids(server.id as i64 + 1).contains(&(server.id as i64)));
}

#[test]
fn what_is_unknown_is_not_found_and_what_is_negative_is_no_number() {
    let asked = served();
    let by = asked.channel();
    let stub = ChannelzStub::new(&by);
    let answers = |id: i64| {
        let of_server = GetServerSocketsRequest { server_id: id, ..Default::default() };
        [
            stub.get_channel.call(&GetChannelRequest { channel_id: id }).map(drop),
            stub.get_subchannel.call(&GetSubchannelRequest { subchannel_id: id }).map(drop),
            stub.get_server.call(&GetServerRequest { server_id: id }).map(drop),
            stub.get_server_sockets.call(&of_server).map(drop),
            stub.get_socket.call(&GetSocketRequest { socket_id: id, summary: false }).map(drop),
        ]
    };
    let kinds = ["channel", "subchannel", "server", "server", "socket"];
    for (answer, kind) in answers(i64::MAX).into_iter().zip(kinds) {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains(&format!("there is no {kind} {}", i64::MAX)), "{status}");
    }
    for answer in answers(-1) {
        assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument);
    }
    // A number of another kind is none of this one.
    let id = asked.server.stats().id as i64;
    let answer = stub.get_channel.call(&GetChannelRequest { channel_id: id });
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);
    let request = GetTopChannelsRequest { start_channel_id: 0, max_results: -1 };
    let status = stub.get_top_channels.call(&request).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("max_results is -1"), "{status}");
}

#[test]
fn lists_come_by_pages_in_ascending_order_and_say_where_they_end() {
    let asked = served();
    let by = asked.channel();
    let stub = ChannelzStub::new(&by);
    let many: Vec<_> = (0..250).map(|_| channel("127.0.0.1:1")).collect();
    let mut ids = Vec::new();
    let mut start = many[0].stats().id as i64;
    loop {
        let request = GetTopChannelsRequest { start_channel_id: start, max_results: 0 };
        let found = stub.get_top_channels.call(&request).unwrap();
        let page = found.channel.iter().map(|one| one.r#ref.as_ref().unwrap().channel_id);
        ids.extend(page);
        if found.end {
            break;
        }
        assert_eq!(found.channel.len(), 100);
        start = ids.last().unwrap() + 1;
    }
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert!(many.iter().all(|one| ids.contains(&(one.stats().id as i64))));
    let ask = |max_results| {
        let start_channel_id = many[0].stats().id as i64;
        let request = GetTopChannelsRequest { start_channel_id, max_results };
        stub.get_top_channels.call(&request).unwrap()
    };
    let three = ask(3);
    assert_eq!((three.channel.len(), three.end), (3, false));
    assert_eq!(ask(i64::MAX).channel.len(), 100);
}

#[test]
fn connections_of_a_server_come_by_pages_too() {
    let (asked, other) = (served(), Served::new());
    let by = asked.channel();
    let stub = ChannelzStub::new(&by);
    let channels: Vec<_> = (0..5).map(|_| other.channel()).collect();
    channels.iter().for_each(|channel| drop(call(channel, ECHO, "x").unwrap()));
    let (server_id, mut start, mut all) = (other.server.stats().id as i64, 0, Vec::new());
    for (length, last) in [(2, false), (2, false), (1, true)] {
        let request = GetServerSocketsRequest { server_id, start_socket_id: start, max_results: 2 };
        let page = stub.get_server_sockets.call(&request).unwrap();
        assert_eq!((page.socket_ref.len(), page.end), (length, last));
        all.extend(page.socket_ref.iter().map(|socket| socket.socket_id));
        start = all.last().unwrap() + 1;
    }
    assert!(all.is_sorted_by(|a, b| a < b) && all.len() == 5);
}

#[test]
fn it_is_answered_when_all_workers_are_busy() {
    let server = grpc_threads::server(ThreadPool::builder(1).spares(0).build());
    ChannelzServicer::new().thread_pool(ThreadPool::new(1)).add_to(&server).unwrap();
    let served = Served::start(server, "127.0.0.1:0", []);
    let channel = served.channel();
    let mut stream = channel.raw_stream_stream(BIDI).unwrap().timeout(LONG).open();
    stream.send(&Bytes::from_static(b"x")).unwrap();
    stream.recv().unwrap().unwrap();
    let stub = ChannelzStub::new(&channel);
    let request = GetServerRequest { server_id: served.server.stats().id as i64 };
    let found = stub.get_server.timeout(LONG).call(&request).unwrap().server.unwrap();
    assert_eq!(found.data.unwrap().calls_started, 2);
}

// --------------------------------------------------------------------------------------------------------- the pages

/// All pages that a page leads to, by their paths.
fn links(html: &str) -> Vec<String> {
    let parts = html.split("href=\"").skip(1);
    parts.map(|part| part.split_once('"').unwrap().0.to_owned()).collect()
}

#[test]
fn pages_lead_from_channels_and_servers_to_their_sockets() {
    let served = Served::new();
    let channel = served.channel();
    call(&channel, ECHO, "x").unwrap();
    call(&channel, FAIL, "5 no").unwrap_err();
    let (own, server) = (channel.stats(), eventually_counts(&served, (2, 1, 1, 0)));
    let below = &own.subchannels[0];
    let path = |kind: &str, id: u64| format!("/{kind}/{id}");
    let shows = |at: &str, words: &[&str], leads: &[String]| {
        let html = page(at).unwrap_or_else(|| panic!("no page at {at}"));
        for word in words {
            assert!(html.contains(word), "{at}: no {word:?} in {html}");
        }
        for lead in leads {
            assert!(links(&html).contains(lead), "{at}: no way to {lead} in {html}");
        }
    };
    // Others come and go: the overview begins at the first of ours.
    let first = own.id.min(server.id);
    let both = [path("channel", own.id), path("server", server.id)];
    shows(&format!("/?from={first}"), &[&served.target(), "READY"], &both);
    shows(&both[0], &["calls started", "READY"], &[path("subchannel", below.id), "/".into()]);
    let socket = path("socket", below.sockets[0].id);
    let words = ["is connected to ipv4:127.0.0.1:"];
    shows(&path("subchannel", below.id), &words, &[socket.clone(), path("channel", own.id)]);
    shows(&socket, &["a channel here", &served.target(), "messages sent"], &[]);
    let far = stats::server_sockets(server.id, 0, 1).unwrap().items[0].id;
    let listener = path("socket", server.listeners[0].id);
    shows(&both[1], &["listens on", "Connections"], &[path("socket", far), listener.clone()]);
    shows(&path("socket", far), &["its client"], &[]);
    shows(&listener, &["listens on", &served.target()], &[]);
}

#[test]
fn what_peers_say_is_escaped_wherever_it_stands() {
    const EVIL: &str = "<script>alert(1)</script>&";
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.wait_request();
        let debug = [&[0, 0, 0, 0, 0, 0, 0, 2][..], EVIL.as_bytes()].concat();
        peer.frame(GOAWAY, 0, 0, &debug);
        peer.abort();
    });
    call(&channel, ECHO, "x").unwrap_err();
    server.join().unwrap();
    let stats = channel.stats();
    let told =
        |trace: &stats::TraceStats| trace.events.iter().any(|event| event.text.contains(EVIL));
    eventually(LONG, "the trace tells what the peer said", || {
        told(&channel.stats().subchannels[0].trace)
    });
    let pages =
        [format!("/subchannel/{}", stats.subchannels[0].id), format!("/channel/{}", stats.id)];
    for path in &pages {
        let html = page(path).unwrap();
        assert!(!html.contains("<script"), "{html}");
    }
    assert!(page(&pages[0]).unwrap().contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;"));
    // A name of the program's own, as of a socket's file that somebody else has named.
    let folder = std::env::temp_dir().join(format!("channelz <b>{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let name = format!("unix:{}/<i>s&'\"\u{202e}", folder.display());
    let served = Served::new();
    served.server.add_insecure_port(&name).unwrap();
    let html = page(&format!("/server/{}", served.server.stats().id)).unwrap();
    assert!(html.contains("&lt;i&gt;s&amp;&#39;&quot;\u{fffd}"), "{html}");
    assert!(!html.contains("<i>") && !html.contains('\u{202e}'), "{html}");
    drop(served);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn pages_are_answered_over_http() {
    let channel = insecure_channel("127.0.0.1:1").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        for connection in listener.incoming().take(2) {
            answer_page(&connection.unwrap()).unwrap();
        }
    });
    let ask = |path: &str| {
        let mut client = TcpStream::connect(address).unwrap();
        write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut told = String::new();
        client.read_to_string(&mut told).unwrap();
        told
    };
    let told = ask(&format!("/channel/{}", channel.stats().id));
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && told.contains("127.0.0.1:1"), "{told}");
    assert!(told.contains("Content-Security-Policy: default-src 'none'"), "{told}");
    assert!(ask("/socket/0").starts_with("HTTP/1.1 404 "));
    server.join().unwrap();
}
