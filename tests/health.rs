//! The health service: what it answers, whom it tells, and what it costs the server's workers (nothing).

#![allow(clippy::disallowed_methods, reason = "the test's own threads")]

#[path = "support/service.rs"]
mod service;
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::health::{
    HealthCheck, HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthServicer,
    HealthStub, OVERALL_HEALTH, ServiceCheck, ServiceStatus, ServingStatus,
};
use grpc_threads::{
    Channel, Code, Responses, ResultError, Server, ServerOptions, Status, ThreadPool,
};
use service::{ECHO, channel, echo, unary};
use support::frames::{DATA, Peer};
use support::{LONG, eventually, within};

use ServingStatus::{NotServing, ServiceUnknown, Serving, Unknown};

const A: &str = "test.A";

/// A server with nothing but its health.
struct Healthy {
    health: HealthServicer,
    server: Server,
    channel: Channel,
    port: u16,
}

impl Healthy {
    fn new() -> Self {
        Self::on(grpc_threads::server(ThreadPool::new(1)))
    }

    fn on(server: Server) -> Self {
        let health = HealthServicer::new();
        health.add_to(&server).unwrap();
        let port = server.add_insecure_port("127.0.0.1:0").unwrap();
        server.start().unwrap();
        Self { health, server, port, channel: channel(&format!("127.0.0.1:{port}")) }
    }

    fn stub(&self) -> HealthStub {
        HealthStub::new(&self.channel)
    }

    fn check(&self, service: &str) -> Result<ServingStatus, Status> {
        let call = self.stub().check.timeout(LONG).call(&of(service))?;
        Ok(call.serving_status())
    }

    fn watch(&self, service: &str) -> Responses<HealthCheckResponse> {
        self.stub().watch.call(&of(service)).unwrap()
    }
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

fn next(watch: &mut Responses<HealthCheckResponse>) -> ServingStatus {
    watch.recv_timeout(LONG).unwrap().expect("a watch has no end").serving_status()
}

/// Nothing is on its way: what is told next is what comes next.
fn is_quiet(watch: &mut Responses<HealthCheckResponse>) -> bool {
    matches!(watch.recv_timeout(Duration::from_millis(1)), Err(ResultError::TimedOut))
}

#[test]
fn check_tells_what_was_set_and_not_found_of_others() {
    let here = Healthy::new();
    assert_eq!(here.check(OVERALL_HEALTH).unwrap(), Serving, "from the beginning");
    assert_eq!(here.check(A).unwrap_err().code(), Code::NotFound);
    for status in [Serving, NotServing, Unknown, ServiceUnknown] {
        here.health.set(A, status);
        assert_eq!(here.check(A).unwrap(), status);
        assert_eq!(here.health.status(A), Some(status));
    }
    here.health.set(OVERALL_HEALTH, NotServing);
    assert_eq!(here.check("").unwrap(), NotServing);
    assert!(format!("{:?}", here.health).contains("test.A"));
}

#[test]
fn watch_tells_the_status_at_once_and_then_each_change_of_that_service() {
    let here = Healthy::new();
    here.health.set(A, Serving);
    let (mut a, mut overall, mut again) = (here.watch(A), here.watch(""), here.watch(A));
    assert_eq!((next(&mut a), next(&mut overall), next(&mut again)), (Serving, Serving, Serving));
    here.health.set(A, Serving);
    assert!(is_quiet(&mut a), "it is what it was");
    here.health.set(A, NotServing);
    here.health.set("test.B", NotServing);
    assert_eq!((next(&mut a), next(&mut again)), (NotServing, NotServing));
    here.health.set(OVERALL_HEALTH, NotServing);
    assert_eq!(next(&mut overall), NotServing, "nothing of other services came before");
    here.health.set(A, Serving);
    assert_eq!(next(&mut a), Serving);
}

#[test]
fn a_service_that_is_not_known_yet_is_watched_until_it_is() {
    let here = Healthy::new();
    let mut watch = here.watch(A);
    assert_eq!(next(&mut watch), ServiceUnknown);
    assert_eq!(here.check(A).unwrap_err().code(), Code::NotFound, "to watch it makes it none");
    assert!(!here.stub().list.call(&HealthListRequest {}).unwrap().statuses.contains_key(A));
    here.health.set(A, Serving);
    assert_eq!(next(&mut watch), Serving);
}

#[test]
fn a_watcher_that_has_gone_is_forgotten_and_so_is_a_name_that_is_no_service() {
    let here = Healthy::new();
    let mut watches = [here.watch("no.Service"), here.watch("no.Service"), here.watch(A)];
    watches.iter_mut().for_each(|watch| assert_eq!(next(watch), ServiceUnknown));
    assert_eq!(here.health.watchers(), 3);
    let [first, second, last] = watches;
    first.handle().cancel();
    eventually(LONG, "one is gone", || here.health.watchers() == 2);
    drop((second, last));
    eventually(LONG, "all are gone", || here.health.watchers() == 0);
    here.health.set(A, Serving);
    assert_eq!(next(&mut here.watch(A)), Serving);
}

#[test]
fn watchers_hold_no_worker() {
    let here = Healthy::on(grpc_threads::server(ThreadPool::new(1)));
    let mut watches: Vec<_> = (0..100).map(|_| here.watch(A)).collect();
    watches.iter_mut().for_each(|watch| assert_eq!(next(watch), ServiceUnknown));
    here.channel.close();
    let others = channel(&format!("127.0.0.1:{}", here.port));
    let stub = HealthStub::new(&others);
    assert_eq!(stub.check.timeout(LONG).call(&of("")).unwrap().serving_status(), Serving);
}

/// § Table 3: who does not keep up is told of the latest status only.
#[test]
fn a_slow_watcher_is_told_of_the_latest_status_only() {
    let options = ServerOptions::default().send_buffer(1);
    let pool = ThreadPool::new(1);
    let here = Healthy::on(Server::builder().thread_pool(pool).options(options).build().unwrap());
    here.health.set(A, Serving);
    // INITIAL_WINDOW_SIZE is one message.
    let mut peer = Peer::connect_with(("127.0.0.1", here.port), &[(4, 7)]);
    peer.patience(LONG);
    let stream = peer.request("/grpc.health.v1.Health/Watch", b"\x0a\x06test.A");
    let message = |peer: &mut Peer| peer.wait_for(|frame| frame.kind == DATA).payload;
    let serving = b"\0\0\0\0\x02\x08\x01";
    assert_eq!(message(&mut peer), serving);
    // A few of these go into the buffers, and the others nowhere.
    for _ in 0..1_000 {
        here.health.set(A, NotServing);
        here.health.set(A, Serving);
    }
    here.health.set(A, Unknown);
    peer.window_update(stream, 1 << 20);
    let told = (0..).map(|_| message(&mut peer)).take_while(|told| told != b"\0\0\0\0\0").count();
    assert!(told < 10, "{told} of 2000 before the latest");
    here.health.set(A, Serving);
    assert_eq!(message(&mut peer), serving);
}

#[test]
fn after_a_graceful_shutdown_nothing_serves_and_nothing_is_set() {
    let here = Healthy::new();
    here.health.set(A, Serving);
    let (mut watch, mut unknown) = (here.watch(A), here.watch("no.Service"));
    assert_eq!((next(&mut watch), next(&mut unknown)), (Serving, ServiceUnknown));
    here.health.enter_graceful_shutdown();
    assert_eq!(next(&mut watch), NotServing);
    here.health.set(A, Serving);
    here.health.set("test.Late", Serving);
    here.health.add_checks(A, [ServiceStatus::new()]);
    assert!(is_quiet(&mut watch) && is_quiet(&mut unknown));
    assert_eq!((here.check(A).unwrap(), here.check("").unwrap()), (NotServing, NotServing));
    assert_eq!(here.check("test.Late").unwrap_err().code(), Code::NotFound);
    here.health.enter_graceful_shutdown();
}

#[test]
fn a_server_that_stops_tells_its_watchers_and_does_not_wait_for_them() {
    let here = Healthy::new();
    here.health.set(A, Serving);
    let (mut watch, mut unknown) = (here.watch(A), here.watch("no.Service"));
    assert_eq!((next(&mut watch), next(&mut unknown)), (Serving, ServiceUnknown));
    let stopped = here.server.stop(Duration::from_secs(3_600));
    assert_eq!(next(&mut watch), NotServing);
    for mut watch in [watch, unknown] {
        let end = match watch.recv_timeout(LONG) {
            Err(ResultError::Rpc(status)) => status,
            other => panic!("{other:?}"),
        };
        assert_eq!((end.code(), end.message()), (Code::Unavailable, "the server stops"));
    }
    stopped.wait(LONG).unwrap();
    eventually(LONG, "nobody watches", || here.health.watchers() == 0);
}

#[test]
fn on_stop_is_told_once_before_the_listeners_close_and_at_once_where_that_is_past() {
    let server = grpc_threads::server(ThreadPool::new(1));
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    server.start().unwrap();
    let (told, telling) = mpsc::channel();
    let tell = told.clone();
    server.on_stop(|| panic!("a callback that panics costs nobody anything"));
    server.on_stop(move || {
        tell.send(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).unwrap()
    });
    server.stop(LONG);
    server.stop(None);
    assert_eq!(telling.try_iter().collect::<Vec<_>>(), [true], "still open");
    let tell = told.clone();
    server.on_stop(move || tell.send(false).unwrap());
    assert_eq!(telling.try_recv(), Ok(false));
    let dropped = grpc_threads::server(ThreadPool::new(1));
    dropped.on_stop(move || told.send(true).unwrap());
    drop(dropped);
    assert_eq!(telling.recv(), Ok(true));
}

#[test]
fn a_check_is_answered_where_nothing_else_is() {
    let (entered, inside) = mpsc::channel();
    let entered = Mutex::new(entered);
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let wait = unary(move |request, _| {
        entered.lock().unwrap().send(()).unwrap();
        let _ = gate.lock().unwrap().recv_timeout(LONG);
        Ok(request)
    });
    let options = ServerOptions::default().maximum_concurrent_rpcs(1);
    let server =
        Server::builder().thread_pool(ThreadPool::new(1)).options(options).build().unwrap();
    server
        .add_service(
            grpc_threads::Service::new("test.Test").method("Wait", wait).method("Echo", echo()),
        )
        .unwrap();
    let here = Healthy::on(server);
    let mut waiting =
        here.channel.raw_unary_unary("/test.Test/Wait").unwrap().future(&Bytes::new());
    inside.recv_timeout(LONG).unwrap();
    let refused = here.channel.raw_unary_unary(ECHO).unwrap().call(&Bytes::new()).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "the server is full");
    assert_eq!(here.check("").unwrap(), Serving);
    assert_eq!(next(&mut here.watch("")), Serving);
    drop(open);
    waiting.result(Some(LONG)).unwrap();
}

#[test]
fn a90_list_tells_all_services_up_to_a_hundred() {
    let here = Healthy::new();
    here.health.set(A, NotServing);
    let list = |here: &Healthy| here.stub().list.timeout(LONG).call(&HealthListRequest {});
    let told = list(&here).unwrap().statuses;
    let told: Vec<_> =
        told.iter().map(|(name, told)| (name.as_str(), told.serving_status())).collect();
    assert_eq!(told, [("", Serving), (A, NotServing)]);
    (0..98).for_each(|number| here.health.set(format!("test.S{number}"), Serving));
    assert_eq!(list(&here).unwrap().statuses.len(), 100);
    here.health.set("test.OneMore", Serving);
    assert_eq!(list(&here).unwrap_err().code(), Code::ResourceExhausted);
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let here = Healthy::new();
    let error = here.check(&"n".repeat(5_000)).unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
}

/// § grpclib: nothing is known, all is well, or not.
#[test]
fn a_status_is_made_of_all_checks() {
    let here = Healthy::new();
    let checks = [ServiceStatus::new(), ServiceStatus::new()];
    here.health.add_checks(A, &checks);
    for (values, status) in [
        ([None, None], Unknown),
        ([Some(true), None], NotServing),
        ([Some(true), Some(true)], Serving),
        ([Some(true), Some(false)], NotServing),
        ([None, Some(false)], NotServing),
        ([None, None], Unknown),
    ] {
        checks.iter().zip(values).for_each(|(check, value)| check.set(value));
        assert_eq!(here.check(A).unwrap(), status, "{values:?}");
        assert_eq!(here.check(OVERALL_HEALTH).unwrap(), status, "made of all checks");
    }
    here.health.add_checks("test.None", Vec::<ServiceStatus>::new());
    assert_eq!(here.check("test.None").unwrap(), Serving, "without checks");
    here.health.set(OVERALL_HEALTH, Serving);
    checks[0].set(false);
    assert_eq!(here.check(OVERALL_HEALTH).unwrap(), Serving, "it was set");
    here.health.set(A, NotServing);
    checks.iter().for_each(|check| check.set(true));
    assert_eq!(here.check(A).unwrap(), NotServing, "it has its checks no more");
}

#[test]
fn what_a_status_is_told_goes_to_who_watches() {
    let here = Healthy::new();
    let upstream = ServiceStatus::default();
    here.health.add_checks(A, [&upstream]);
    let mut watch = here.watch(A);
    assert_eq!(next(&mut watch), Unknown);
    for (value, status) in [(true, Serving), (false, NotServing), (true, Serving)] {
        upstream.set(value);
        upstream.set(value);
        assert_eq!(next(&mut watch), status);
    }
    assert!(is_quiet(&mut watch));
}

/// A status may change while the one before is being sent, and be again what was told before that.
#[test]
fn no_change_is_lost_however_soon_the_next_one_comes() {
    for round in 0..200 {
        let here = Healthy::new();
        let upstream = ServiceStatus::new();
        here.health.add_checks(A, [&upstream]);
        let mut peer = Peer::connect(("127.0.0.1", here.port));
        peer.patience(LONG);
        peer.request("/grpc.health.v1.Health/Watch", b"\x0a\x06test.A");
        let mut expect = |octets: &[u8]| {
            assert_eq!(peer.wait_for(|frame| frame.kind == DATA).payload, octets, "{round}");
        };
        expect(b"\0\0\0\0\0");
        for _ in 0..3 {
            upstream.set(true);
            expect(b"\0\0\0\0\x02\x08\x01");
            upstream.set(false);
            expect(b"\0\0\0\0\x02\x08\x02");
        }
    }
}

/// A check whose runs are counted.
fn counted(
    result: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> (ServiceCheck, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    (ServiceCheck::new(move || result(count.fetch_add(1, Ordering::SeqCst))), runs)
}

#[test]
fn a_check_is_run_when_somebody_asks_and_its_result_is_good_for_a_while() {
    let here = Healthy::new();
    let (check, runs) = counted(|_| true);
    here.health.add_checks(A, [check]);
    assert_eq!(here.health.status(A), Some(Unknown), "nobody has asked");
    for _ in 0..10 {
        assert_eq!(here.check(A).unwrap(), Serving);
        here.stub().list.timeout(LONG).call(&HealthListRequest {}).unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let (check, runs) = counted(|run| run == 0);
    here.health.add_checks("test.B", [check.ttl(Duration::ZERO)]);
    assert_eq!(here.check("test.B").unwrap(), Serving);
    eventually(LONG, "it is run again", || here.check("test.B").unwrap() == NotServing);
    assert!(runs.load(Ordering::SeqCst) >= 2);
}

#[test]
fn who_asks_during_a_run_shares_it_and_no_worker_waits() {
    let here = Healthy::new();
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (check, runs) = counted(move |_| gate.lock().unwrap().recv_timeout(LONG).is_err());
    here.health.add_checks(A, [check.timeout(LONG * 2)]);
    let asked: Vec<_> = (0..20).map(|_| here.stub().check.future(&of(A))).collect();
    here.health.set("test.B", Serving);
    assert_eq!(here.check("test.B").unwrap(), Serving, "the one worker is free");
    assert!(asked.iter().all(|call| !call.done()));
    drop(open);
    for mut call in asked {
        assert_eq!(call.result(Some(LONG)).unwrap().serving_status(), Serving);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn a_check_that_fails_panics_or_takes_too_long_is_not_well() {
    let here = Healthy::new();
    here.health.add_checks("test.Error", [ServiceCheck::new(|| Err::<bool, _>("a disk is full"))]);
    here.health.add_checks("test.Unit", [ServiceCheck::new(|| Ok::<(), String>(()))]);
    here.health.add_checks("test.Panic", [ServiceCheck::new(|| -> bool { panic!("a check's") })]);
    here.health.add_checks("test.Unsure", [ServiceCheck::new(|| None)]);
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (slow, runs) = counted(move |_| gate.lock().unwrap().recv_timeout(LONG).is_err());
    let moment = Duration::from_millis(1);
    here.health.add_checks("test.Slow", [slow.timeout(moment).ttl(moment)]);
    for (name, status) in [
        ("Error", NotServing),
        ("Unit", Serving),
        ("Panic", NotServing),
        ("Unsure", Unknown),
        ("Slow", NotServing),
    ] {
        assert_eq!(here.check(&format!("test.{name}")).unwrap(), status, "{name}");
    }
    for _ in 0..10 {
        assert_eq!(here.check("test.Slow").unwrap(), NotServing);
        thread::yield_now();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1, "it is not run twice at a time");
    drop(open);
    eventually(LONG, "it has returned, and is run again", || {
        here.check("test.Slow").unwrap() == Serving
    });
}

#[test]
fn a_check_is_run_again_only_while_somebody_watches() {
    let here = Healthy::new();
    let (check, runs) = counted(|run| run % 2 == 0);
    let check = HealthCheck::from(check.ttl(Duration::from_millis(2)));
    here.health.add_checks(A, [&check]);
    here.health.add_checks("test.B", [&check]);
    let (mut watch, mut other) = (here.watch(A), here.watch("test.B"));
    let first = next(&mut watch);
    assert!(matches!(first, Unknown | Serving | NotServing));
    let seen = [next(&mut watch), next(&mut watch), next(&mut watch)];
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "only changes: {seen:?}");
    next(&mut other);
    drop((watch, other));
    eventually(LONG, "nobody watches", || here.health.watchers() == 0);
    // A run may be under way, and a timer set; then there is none.
    let count = || runs.load(Ordering::SeqCst);
    eventually(LONG, "it is run no more", || {
        let before = count();
        thread::park_timeout(Duration::from_millis(20));
        count() == before
    });
}

/// § grpc/grpc#43403: setting a status must not wait for, nor deadlock with, those who come, go, and set it, too.
#[test]
fn statuses_are_set_on_many_threads_while_watchers_come_and_go() {
    within(LONG * 3, || {
        let here = Arc::new(Healthy::new());
        let setting: Vec<_> = (0..4)
            .map(|_| {
                let health = here.health.clone();
                thread::spawn(move || {
                    for round in 0..500 {
                        health.set(A, if round % 2 == 0 { Serving } else { NotServing });
                    }
                })
            })
            .collect();
        for _ in 0..50 {
            let mut watches = [here.watch(A), here.watch(A)];
            for watch in &mut watches {
                next(watch);
            }
        }
        let mut last = here.watch(A);
        setting.into_iter().for_each(|thread| thread.join().unwrap());
        here.health.set(A, Unknown);
        while next(&mut last) != Unknown {}
        here.health.set(A, Serving);
        assert_eq!(next(&mut last), Serving);
    });
}
