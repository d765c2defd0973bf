//! What may be said of a server's connections: how long they live, what they may ask, and how they come in.

#![allow(clippy::disallowed_methods, reason = "the test's own threads")]

#[path = "support/service.rs"]
mod service;
mod support;

use std::collections::HashSet;
use std::io::Read;
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::{Channel, RpcMethodHandler, Server, ServerOptions};
use service::{Served, unary};
use support::frames::{GOAWAY, PING, Peer, SETTINGS, WINDOW_UPDATE};
use support::{LONG, timed};

const PEER: &str = "/test.Test/Peer";

const NEVER: Duration = Duration::MAX;

fn served(options: ServerOptions) -> Served {
    let server = Server::builder().options(options).build().unwrap();
    Served::start(server, "127.0.0.1:0", [("Peer", peer())])
}

/// Answers with whom it is asked by: a name for the connection.
fn peer() -> RpcMethodHandler {
    unary(|_, context| Ok(context.peer().into()))
}

fn ask(channel: &Channel) -> Bytes {
    channel.raw_unary_unary(PEER).unwrap().timeout(LONG).call(&Bytes::new()).unwrap()
}

#[test]
fn a9_old_connections_end_while_calls_go_on_and_none_fails() {
    let age = Duration::from_millis(40);
    let served = served(ServerOptions::default().max_connection_age(age, NEVER));
    let channel = served.channel();
    let seen = Mutex::new(HashSet::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while seen.lock().unwrap().len() < 8 {
                    let peer = ask(&channel);
                    seen.lock().unwrap().insert(peer);
                }
            });
        }
    });
}

#[test]
fn a8_a_server_says_how_often_it_may_be_asked_for_a_sign_of_life() {
    let options = ServerOptions::default;
    let asks = |served: &Served| {
        let mut peer = Peer::connect(("127.0.0.1", served.port));
        peer.patience(LONG);
        (0..20).for_each(|_| peer.ping(*b"are you?"));
        peer
    };
    for patient in
        [options().pings(Duration::ZERO, 0), options().pings(Duration::from_secs(300), u32::MAX)]
    {
        let served = served(patient);
        asks(&served).assert_alive();
    }
    // One after the other, each later than it may be where it has a call.
    let permits = options().pings(Duration::from_millis(1), 0);
    for (permits, lasts) in
        [(permits.clone().permit_pings_without_calls(true), true), (permits, false)]
    {
        let served = served(permits);
        let mut peer = Peer::connect(("127.0.0.1", served.port));
        peer.patience(LONG);
        let mut answers = 0;
        for _ in 0..5 {
            peer.ping(*b"are you?");
            let answer = peer.wait_for(|frame| matches!(frame.kind, PING | GOAWAY));
            answers += usize::from(answer.kind == PING);
            if answer.kind == GOAWAY {
                break;
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        assert_eq!(answers == 5, lasts, "{answers}");
    }
    let strict = served(options());
    let mut peer = asks(&strict);
    let goaway = peer.wait_kind(GOAWAY);
    assert!(goaway.payload.ends_with(b"too_many_pings"), "{goaway:?}");
}

#[test]
fn a15_who_says_nothing_is_let_go_after_the_handshakes_time() {
    let options = ServerOptions::default().handshake_timeout(Duration::from_millis(100));
    let served = served(options);
    let mut socket = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let (took, ()) = timed(|| {
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
    });
    assert!(took >= Duration::from_millis(90), "{took:?}");
    assert!(took < Duration::from_secs(15), "20 s is the default: {took:?}");
}

#[test]
fn windows_are_what_they_were_said_to_be() {
    let served = served(ServerOptions::default().windows(1 << 20, 2 << 20));
    let mut peer = Peer::connect_raw(("127.0.0.1", served.port));
    peer.patience(LONG);
    let settings = peer.wait_for(|frame| frame.kind == SETTINGS);
    let window = settings.payload.chunks(6).find(|one| one[..2] == [0, 4]);
    assert_eq!(window.map(|one| one[2..].to_vec()), Some((1_u32 << 20).to_be_bytes().to_vec()));
    let update = peer.wait_for(|frame| frame.kind == WINDOW_UPDATE);
    let more = (2_u32 << 20) - 65_535;
    assert_eq!((update.stream, &update.payload[..]), (0, &more.to_be_bytes()[..]));
}

#[test]
fn a_port_is_shared_by_those_alone_who_all_say_so() {
    let shares = ServerOptions::default().reuse_port(true).listen_backlog(16);
    let first = served(shares.clone());
    let address = format!("127.0.0.1:{}", first.port);
    let second = Server::builder().options(shares).build().unwrap();
    assert_eq!(second.add_insecure_port(&address).unwrap(), first.port);
    let third = Server::builder().build().unwrap();
    assert!(third.add_insecure_port(&address).is_err(), "it did not say so");
    drop(second);
    ask(&first.channel());

    let alone = served(ServerOptions::default());
    let also = Server::builder().options(ServerOptions::default().reuse_port(true)).build();
    assert!(also.unwrap().add_insecure_port(&format!("127.0.0.1:{}", alone.port)).is_err());
}

#[test]
fn no_call_fails_though_connections_grow_old_before_they_have_answered() {
    let slow = unary(|request, context| {
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let _ = context.add_callback(move || drop(done));
        let _ = ended.recv_timeout(Duration::from_millis(120));
        Ok(request)
    });
    let options = ServerOptions::default().max_connection_age(Duration::from_millis(40), LONG);
    let server =
        Server::builder().thread_pool(grpc_threads::ThreadPool::new(32)).options(options).build();
    let served = Served::start(server.unwrap(), "127.0.0.1:0", [("Slow", slow)]);
    let method = served.channel().raw_unary_unary("/test.Test/Slow").unwrap().timeout(LONG);
    // Each begins on whatever connection there is then: one after the other, not all at once.
    let mut futures = Vec::new();
    let (_never, pause) = std::sync::mpsc::channel::<()>();
    for _ in 0..60 {
        futures.push(method.future(&Bytes::from_static(b"x")));
        let _ = pause.recv_timeout(Duration::from_millis(10));
    }
    for mut future in futures {
        assert_eq!(future.result(Some(LONG)).unwrap(), "x");
    }
}
