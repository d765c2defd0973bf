//! Stopping a server, closing a channel, and what is left behind: nothing.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::{CallFuture, Termination};
use service::*;
use std::io::Read;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use support::frames::{Frame, GOAWAY, PING, Peer};
use support::leaks::Holdings;
use support::{LONG, alone, eventually, timed, within};

/// A method that begins, says so, and ends when it is let go.
fn gate() -> (RpcMethodHandler, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begun, begins) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let handler = unary(move |_, _| {
        let _ = begun.send(());
        let _ = wait.lock().unwrap().recv_timeout(LONG);
        Ok(Bytes::from_static(b"done"))
    });
    (handler, begins, go)
}

/// A server with one call that runs until it is let go.
fn busy() -> (Served, CallFuture<Bytes>, mpsc::Sender<()>) {
    let (handler, begins, go) = gate();
    let served = Served::with(2, [("Gate", handler)]);
    let gate = served.channel().raw_unary_unary("/test.Test/Gate").unwrap();
    let running = gate.future(&Bytes::new());
    begins.recv_timeout(LONG).unwrap();
    (served, running, go)
}

fn is_cut_short(running: &mut CallFuture<Bytes>) {
    let status = Status::from(running.result(Some(LONG)).unwrap_err());
    assert!(matches!(status.code(), Code::Unavailable | Code::Cancelled), "{status:?}");
}

#[test]
fn stop_with_grace_lets_calls_finish_and_takes_no_more() {
    let _alone = alone();
    let (handler, begins, go) = gate();
    let served = Served::with(2, [("Gate", handler)]);
    let channel = served.channel();
    let mut running = channel.raw_unary_unary("/test.Test/Gate").unwrap().future(&Bytes::new());
    begins.recv_timeout(LONG).unwrap();
    let (took, stopped) = timed(|| served.server.stop(Some(LONG)));
    assert!(took < Duration::from_secs(2), "stop returns at once");
    // Calls that cross the news on the wire are still served (W67).
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    eventually(LONG, "no more calls are taken", || match echo.call(&Bytes::new()) {
        Ok(_) => false,
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            true
        }
    });
    go.send(()).unwrap();
    assert_eq!(running.result(Some(LONG)).unwrap(), b"done"[..]);
    stopped.wait(LONG).unwrap();
}

#[test]
fn stop_without_grace_ends_calls_at_once() {
    let _alone = alone();
    let (served, mut running, go) = busy();
    served.server.stop(None);
    is_cut_short(&mut running);
    go.send(()).unwrap();
}

#[test]
fn l18_a_grace_that_is_over_ends_what_is_left() {
    let _alone = alone();
    let (served, mut running, go) = busy();
    served.server.stop(Some(Duration::from_millis(50)));
    is_cut_short(&mut running);
    go.send(()).unwrap();
}

#[test]
fn the_shortest_grace_wins() {
    let _alone = alone();
    let (served, mut running, go) = busy();
    served.server.stop(Some(LONG * 10));
    served.server.stop(Some(Duration::ZERO));
    is_cut_short(&mut running);
    go.send(()).unwrap();
}

#[test]
fn w67_a_graceful_end_is_told_in_two_steps() {
    let _alone = alone();
    let (handler, begins, go) = gate();
    let served = Served::with(2, [("Gate", handler)]);
    let mut peer = Peer::connect(served.address());
    peer.answers = false;
    let running = peer.request("/test.Test/Gate", b"");
    begins.recv_timeout(LONG).unwrap();
    served.server.stop(Some(LONG));
    let first = peer.wait_kind(GOAWAY);
    assert_eq!((first.last_stream(), first.code()), (0x7fff_ffff, 0));
    let ping = peer.wait_for(|frame| frame.kind == PING);
    // Sent before the client could know: still served.
    let crossing = peer.request(ECHO, b"crossing");
    peer.frame(PING, support::frames::ACK, 0, &ping.payload);
    let second = peer.wait_kind(GOAWAY);
    assert_eq!((second.last_stream(), second.code()), (crossing, 0));
    assert_eq!(peer.wait_end(crossing).messages(), [b"crossing"]);
    go.send(()).unwrap();
    assert_eq!(peer.wait_end(running).messages(), [b"done"]);
    // Then it closes, in order.
    peer.drain();
}

#[test]
fn everybody_who_waits_for_the_end_hears_of_it() {
    let _alone = alone();
    let served = Arc::new(Served::new());
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let served = served.clone();
            thread::spawn(move || served.server.wait_for_termination(None))
        })
        .collect();
    let (took, end) = timed(|| served.server.wait_for_termination(Some(Duration::from_millis(20))));
    assert_eq!(end, Termination::TimedOut);
    assert!(took >= Duration::from_millis(20));
    served.server.stop(None);
    within(LONG, move || {
        waiting
            .into_iter()
            .for_each(|thread| assert_eq!(thread.join().unwrap(), Termination::Terminated))
    });
}

#[test]
fn the_port_is_free_again() {
    let _alone = alone();
    let served = Served::new();
    let port = served.port;
    let channel = served.channel();
    channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).call(&Bytes::new()).unwrap();
    let stopped = served.server.stop(None);
    stopped.wait(LONG).unwrap();
    // As the next server would bind it.
    let again = Served::on(&format!("127.0.0.1:{port}"), 1, []);
    assert_eq!(again.port, port);
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).wait_for_ready(true);
    assert_eq!(echo.call(&Bytes::from_static(b"back")).unwrap(), b"back"[..]);
}

#[test]
fn nothing_is_left_of_a_server_and_its_channels() {
    let _alone = alone();
    let once = || {
        let served = Served::new();
        let channels: Vec<_> = (0..5).map(|_| served.channel()).collect();
        for channel in &channels {
            channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).call(&Bytes::new()).unwrap();
        }
        let stopped = served.server.stop(Some(GRACE));
        drop(channels);
        stopped.wait(LONG).unwrap();
    };
    // What belongs to the process is made once.
    once();
    eventually(LONG, "the first round is gone", || TcpListener::bind("127.0.0.1:0").is_ok());
    let before = settled();
    for _ in 0..5 {
        once();
    }
    before.assert_no_more();
}

/// The holdings once they have stopped changing.
fn settled() -> Holdings {
    let mut last = Holdings::now();
    eventually(LONG, "nothing changes", || {
        thread::park_timeout(Duration::from_millis(100));
        let now = Holdings::now();
        let same = now == last;
        last = now;
        same
    });
    last
}

#[test]
fn l27_idle_connections_do_not_keep_a_server() {
    let _alone = alone();
    let served = Served::new();
    let peers: Vec<_> = (0..200).map(|_| Peer::connect(served.address())).collect();
    let (took, _) = timed(|| {
        let stopped = served.server.stop(None);
        stopped.wait(LONG).unwrap();
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
    for mut peer in peers {
        peer.drain();
    }
}

#[test]
fn l21_a_handler_may_stop_its_own_server() {
    let _alone = alone();
    let server: Arc<Mutex<Option<Arc<Server>>>> = Arc::default();
    let own = server.clone();
    let stop = unary(move |_, _| {
        if let Some(server) = &*own.lock().unwrap() {
            server.stop(Some(GRACE));
        }
        Ok(Bytes::from_static(b"stopping"))
    });
    let served = Served::with(2, [("Stop", stop)]);
    *server.lock().unwrap() = Some(served.server.clone());
    let call = served.channel().raw_unary_unary("/test.Test/Stop").unwrap().timeout(LONG);
    assert_eq!(call.call(&Bytes::new()).unwrap(), b"stopping"[..]);
    let waiting = served.server.clone();
    within(LONG, move || waiting.wait_for_termination(None));
    server.lock().unwrap().take();
}

/// What a handler has captured may take long to drop: the other servers of its pool are served meanwhile.
#[test]
fn what_handlers_have_captured_keeps_no_other_server_waiting_while_it_is_dropped() {
    struct Captured(mpsc::Sender<bool>, Mutex<mpsc::Receiver<()>>);
    impl Drop for Captured {
        fn drop(&mut self) {
            let ours = thread::current().name().is_some_and(|name| name.starts_with("grpc-"));
            let _ = self.0.send(ours);
            if ours {
                let _ = self.1.lock().unwrap().recv_timeout(LONG);
            }
        }
    }
    let _alone = alone();
    let pool = ThreadPool::new(1);
    let start = |methods| Served::start(grpc_threads::server(pool.clone()), "127.0.0.1:0", methods);
    let other = start([("Other", unary(|request, _| Ok(request)))]);
    for _ in 0..20 {
        let (dropped, drops) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let captured = Captured(dropped, Mutex::new(wait));
        let served = start([(
            "Held",
            unary(move |request, _| {
                let _held = &captured;
                Ok(request)
            }),
        )]);
        let channel = served.channel();
        channel.raw_unary_unary("/test.Test/Held").unwrap().call(&Bytes::new()).unwrap();
        // The connection goes after the server, and finds out on the pool's threads.
        drop(served);
        drop(channel);
        if drops.recv_timeout(LONG).unwrap() {
            let mut peer = Peer::connect(other.address());
            peer.ping(*b"meanwhil");
            let pong = |frame: &Frame| frame.kind == PING && frame.payload == b"meanwhil"[..];
            while !pong(&peer.read_frame().unwrap()) {}
            go.send(()).unwrap();
        }
    }
}

/// A connection that is over before it is served leaves nothing: no descriptor, whatever thread meets its end.
#[test]
fn connections_that_are_reset_at_once_leave_no_descriptor() {
    let _alone = alone();
    let served = Served::new();
    served.channel().raw_unary_unary(ECHO).unwrap().call(&Bytes::new()).unwrap();
    // A thread gives itself its name, once it runs.
    let named = |all: &Holdings, name: &str| all.threads.keys().any(|own| own.starts_with(name));
    let names =
        ["grpc-worker-0", "grpc-worker-1", "grpc-worker-2", "grpc-worker-3", "grpc-reserve"];
    eventually(LONG, "all its threads run", || {
        let now = Holdings::now();
        names.iter().all(|name| named(&now, name))
    });
    let before = Holdings::now();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..1500 {
                    let mut socket = std::net::TcpStream::connect(served.address()).unwrap();
                    // The server has just said its first word, and is about to watch for ours.
                    socket.read_exact(&mut [0]).unwrap();
                    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
                }
            });
        }
    });
    before.assert_no_more();
}
