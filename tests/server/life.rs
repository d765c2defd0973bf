use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::{
    Channel, Code, ConfigErrorKind, Executor, Job, Raw, Rejected, RequestIterator, ServeError,
    Server, ServicerContext, Termination, ThreadPool,
};

use crate::common::{
    Keeper, OK, Pair, RESOURCE_EXHAUSTED, UNAVAILABLE, connect, echo, gate, service, unary,
};
use crate::support::frames::GOAWAY;
use crate::support::{LONG, eventually, timed, within};

/// A server with one call that waits at a gate.
fn busy() -> (Pair, Keeper, u32) {
    let (waiting, keeper) = gate();
    let wait = unary(move |request, _| {
        waiting.pass();
        Ok(request)
    });
    let mut pair = Pair::of(2, service().method("Wait", wait).method("Echo", echo()));
    let stream = pair.peer.request("/test.Test/Wait", b"x");
    keeper.wait();
    (pair, keeper, stream)
}

#[test]
fn ports_bind_at_once_and_say_why_they_cannot() {
    let server = grpc_threads::server(ThreadPool::new(1));
    let one = server.add_insecure_port("127.0.0.1:0").unwrap();
    let two = server.add_insecure_port("localhost:0").unwrap();
    assert!(one != 0 && two != 0 && one != two);
    let taken = server.add_insecure_port(&format!("127.0.0.1:{one}")).unwrap_err();
    assert!(taken.to_string().contains(&one.to_string()), "{taken}");
    assert!(server.add_insecure_port("not an address").is_err());
    let given = TcpListener::bind("127.0.0.1:0").unwrap();
    let three = given.local_addr().unwrap().port();
    assert_eq!(server.add_listener(given).unwrap(), three);
    assert_eq!(server.local_addrs().len(), 3);
    server.add_service(service().method("Echo", echo())).unwrap();
    server.start().unwrap();
    let late = server.add_insecure_port("127.0.0.1:0").unwrap();
    for port in [one, two, three, late] {
        let mut peer = connect(port);
        let stream = peer.request("/test.Test/Echo", b"x");
        assert_eq!(peer.wait_end(stream).status(), OK);
    }
}

#[test]
fn a_server_starts_once() {
    let server = grpc_threads::server(ThreadPool::new(1));
    server.start().unwrap();
    let again = server.start().unwrap_err();
    assert!(matches!(&again, ServeError::Config(error) if error.kind() == ConfigErrorKind::State));
    server.stop(None).wait(LONG).unwrap();
    let again = server.start().unwrap_err();
    assert!(matches!(&again, ServeError::Config(error) if error.kind() == ConfigErrorKind::State));
    assert!(server.add_insecure_port("127.0.0.1:0").is_err());
    assert_eq!(server.wait_for_termination(None), Termination::Terminated);
}

#[test]
fn stop_before_start_ends_a_server_too() {
    let server = grpc_threads::server(ThreadPool::new(1));
    assert_eq!(server.wait_for_termination(Duration::ZERO), Termination::TimedOut);
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    server.stop(None).wait(LONG).unwrap();
    assert!(server.start().is_err());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn within_the_grace_calls_end_as_usual_and_no_new_ones_begin() {
    let (mut pair, keeper, stream) = busy();
    let stopped = pair.server.stop(LONG);
    assert!(!stopped.is_done());
    assert_eq!(pair.server.wait_for_termination(Duration::ZERO), Termination::TimedOut);
    eventually(LONG, "the listener is closed", || {
        TcpStream::connect(("127.0.0.1", pair.port)).is_err()
    });
    assert_eq!(stopped.still_running().methods(), [("/test.Test/Wait".to_owned(), 1)]);
    pair.peer.wait_kind(GOAWAY);
    keeper.open.send(()).unwrap();
    assert_eq!(pair.peer.wait_end(stream).status(), OK);
    pair.peer.drain();
    stopped.wait(LONG).unwrap();
    assert!(stopped.is_done());
    assert_eq!(pair.server.wait_for_termination(None), Termination::Terminated);
}

#[test]
fn l18_at_the_end_of_the_grace_calls_are_cut_and_the_handler_is_named() {
    let (mut pair, keeper, _) = busy();
    let stopped = pair.server.stop(Duration::from_millis(20));
    // The connection ends although the handler does not.
    pair.peer.drain();
    assert_eq!(pair.server.wait_for_termination(LONG), Termination::Terminated);
    let left = stopped.wait(Duration::from_millis(1)).unwrap_err();
    assert_eq!(left.methods(), [("/test.Test/Wait".to_owned(), 1)]);
    assert!(left.to_string().contains("/test.Test/Wait"));
    keeper.open.send(()).unwrap();
    stopped.wait(LONG).unwrap();
}

#[test]
fn the_shortest_grace_wins() {
    let (mut pair, keeper, _) = busy();
    let first = pair.server.stop(Duration::from_secs(3_000));
    let second = pair.server.stop(None);
    pair.server.stop(LONG);
    pair.peer.drain();
    assert_eq!(pair.server.wait_for_termination(LONG), Termination::Terminated);
    keeper.open.send(()).unwrap();
    first.wait(LONG).unwrap();
    second.wait(LONG).unwrap();
}

#[test]
fn stopping_wakes_a_handler_that_reads_and_ends_what_it_sees() {
    let (told, tell) = std::sync::mpsc::sync_channel(1);
    let (started, start) = std::sync::mpsc::sync_channel(1);
    let reads = grpc_threads::stream_unary_rpc_method_handler_with(
        move |mut requests: RequestIterator<bytes::Bytes>, context: &ServicerContext| {
            started.send(requests.next().is_some()).unwrap();
            let outcome = requests.collect::<Result<Vec<_>, _>>();
            told.send((outcome.is_err(), context.is_active())).unwrap();
            Ok(bytes::Bytes::new())
        },
        Raw,
        Raw,
    );
    let mut pair = Pair::of(1, service().method("Reads", reads));
    let stream = pair.peer.open("/test.Test/Reads", &[]);
    pair.peer.message(stream, b"", false);
    assert_eq!(start.recv_timeout(LONG), Ok(true));
    let stopped = pair.server.stop(None);
    assert_eq!(tell.recv_timeout(LONG), Ok((true, false)));
    stopped.wait(LONG).unwrap();
}

#[test]
fn dropping_a_server_stops_it_at_once() {
    let (mut pair, keeper, _) = busy();
    let (took, ()) = timed(|| drop(pair.server));
    assert!(took < Duration::from_secs(5));
    pair.peer.drain();
    eventually(LONG, "the listener is closed", || {
        TcpStream::connect(("127.0.0.1", pair.port)).is_err()
    });
    keeper.open.send(()).unwrap();
}

#[test]
fn l21_a_handler_may_stop_its_own_server() {
    let server = std::sync::Arc::new(grpc_threads::server(ThreadPool::new(1)));
    let own = std::sync::Arc::downgrade(&server);
    let stop = unary(move |request, _| {
        own.upgrade().unwrap().stop(LONG);
        Ok(request)
    });
    server.add_service(service().method("Stop", stop)).unwrap();
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    server.start().unwrap();
    let waits = server.clone();
    let waiter = thread::spawn(move || waits.wait_for_termination(LONG));
    let mut peer = connect(port);
    let stream = peer.request("/test.Test/Stop", b"x");
    assert_eq!(peer.wait_end(stream).messages(), [b"x".to_vec()]);
    peer.drain();
    assert_eq!(waiter.join().unwrap(), Termination::Terminated);
}

#[test]
fn serve_binds_starts_and_waits() {
    let server = std::sync::Arc::new(grpc_threads::server(ThreadPool::new(1)));
    let serving = server.clone();
    let thread = thread::spawn(move || serving.serve("127.0.0.1:0"));
    eventually(LONG, "the server listens", || !server.local_addrs().is_empty());
    // Its SETTINGS come once it has started.
    connect(server.local_addrs()[0].port());
    server.stop(None);
    within(LONG, move || thread.join().unwrap().unwrap());
    assert!(grpc_threads::server(ThreadPool::new(1)).serve("nonsense").is_err());
}

#[test]
fn l27_idle_connections_do_not_delay_a_stop() {
    let mut pair = Pair::of(1, service().method("Echo", echo()));
    let mut idle: Vec<_> = (0..200).map(|_| connect(pair.port)).collect();
    assert_eq!(pair.call("Echo", b"").status(), OK);
    let (took, ()) = timed(|| pair.server.stop(None).wait(LONG).unwrap());
    assert!(took < Duration::from_secs(2), "{took:?}");
    for peer in &mut idle {
        peer.drain();
    }
}

#[test]
fn w58_a_job_that_is_dropped_says_why_it_did_not_run() {
    struct Keep(Arc<Mutex<Vec<Job>>>);

    impl Executor for Keep {
        fn execute(&self, job: Job) -> Result<(), Rejected> {
            self.0.lock().unwrap().push(job);
            Ok(())
        }
    }

    let jobs = Arc::<Mutex<Vec<Job>>>::default();
    let server = Server::builder().executor(Keep(jobs.clone())).build().unwrap();
    server.add_service(service().method("Echo", echo())).unwrap();
    let mut pair = Pair::start(server);
    let streams = [0, 1].map(|_| pair.peer.request("/test.Test/Echo", b"x"));
    eventually(LONG, "two jobs were made", || jobs.lock().unwrap().len() == 2);
    jobs.lock().unwrap().pop();
    assert_eq!(pair.peer.wait_end(streams[1]).status(), RESOURCE_EXHAUSTED);
    let stopped = pair.server.stop(LONG);
    jobs.lock().unwrap().clear();
    assert_eq!(pair.peer.wait_end(streams[0]).status(), UNAVAILABLE);
    stopped.wait(LONG).unwrap();
}

#[test]
fn who_waits_for_the_end_keeps_no_service_alive() {
    let captured = Arc::new(());
    let weak = Arc::downgrade(&captured);
    let (waiting, keeper) = gate();
    let wait = unary(move |request, _| {
        let _captured = &captured;
        waiting.pass();
        Ok(request)
    });
    let mut pair = Pair::of(2, service().method("Wait", wait));
    pair.peer.request("/test.Test/Wait", b"x");
    keeper.wait();
    let stopped = pair.server.stop(None);
    drop(pair);
    let named = stopped.still_running();
    assert_eq!(named.methods(), [("/test.Test/Wait".to_owned(), 1)]);
    drop(keeper);
    stopped.wait(LONG).unwrap();
    eventually(LONG, "the service is gone", || weak.upgrade().is_none());
    assert!(stopped.is_done() && stopped.still_running().methods().is_empty());
}

#[test]
fn a_client_of_a_server_that_was_not_started_is_told_so_and_is_served_once_it_is() {
    let server = grpc_threads::server(ThreadPool::new(1));
    server.add_service(service().method("Echo", echo())).unwrap();
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    let channel = Channel::builder(&format!("127.0.0.1:{port}"))
        .connect_timeout(Duration::from_millis(500))
        .reconnect_backoff(Duration::ZERO, Duration::ZERO)
        .connect_lazily()
        .unwrap();
    let echo = channel.raw_unary_unary("/test.Test/Echo").unwrap().timeout(LONG);
    let status = echo.call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    for words in
        ["no connection within 500ms", &format!(":{port} takes connections and says nothing")]
    {
        assert!(status.message().contains(words), "{status}");
    }
    server.start().unwrap();
    echo.wait_for_ready(true).call(&Bytes::new()).unwrap();
}
