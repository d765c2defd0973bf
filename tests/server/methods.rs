use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use grpc_threads::{
    ConfigErrorKind, Executor, GenericRpcHandler, HandlerCallDetails, Job, Rejected,
    RpcMethodHandler, Server, ServerOptions, Service, ThreadPool, insecure_channel,
    method_handlers_generic_handler,
};

use crate::common::{
    OK, Pair, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNKNOWN, echo, gate, service, unary,
};
use crate::support::frames::{DATA, HEADERS};

fn says(text: &'static str) -> RpcMethodHandler {
    unary(move |_, _| Ok(Bytes::from_static(text.as_bytes())))
}

#[test]
fn w14_an_unknown_method_is_unimplemented_trailers_only() {
    let mut pair = Pair::of(1, service().method("Echo", echo()));
    for path in ["/test.Test/None", "/none.None/Echo", "/test.test/Echo"] {
        let stream = pair.peer.request(path, b"");
        let ended = pair.peer.wait_end(stream);
        assert_eq!((ended.headers.len(), ended.status()), (1, UNIMPLEMENTED), "{path}");
        assert_eq!(ended.head(":status").as_deref(), Some("200"));
    }
}

#[test]
fn w13_no_other_spelling_of_a_path_reaches_a_handler() {
    struct All;
    impl GenericRpcHandler for All {
        fn service(&self, _: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
            Some(says("reached"))
        }
    }
    let server = grpc_threads::server(ThreadPool::new(1));
    server.add_generic_rpc_handlers([All]).unwrap();
    let mut pair = Pair::start(server);
    for path in ["//test.Test/Echo", "/test.Test/Echo/", "/Echo", "/test.Test/", "/", "/a/../c"] {
        let stream = pair.peer.request(path, b"");
        assert_eq!(pair.peer.wait_end(stream).status(), UNIMPLEMENTED, "{path}");
    }
    for path in ["/test.Test/Echo", "/a/b/c"] {
        let stream = pair.peer.request(path, b"");
        assert_eq!(pair.peer.wait_end(stream).status(), OK, "{path}");
    }
}

#[test]
fn w13_a_service_whose_name_holds_slashes_is_called_and_answers() {
    let service = Service::new("v1/test.Test").method("Echo", echo());
    let pair = Pair::of(1, service);
    let channel = insecure_channel(&format!("127.0.0.1:{}", pair.port)).unwrap();
    let call = channel.raw_unary_unary("/v1/test.Test/Echo").unwrap();
    assert_eq!(call.call(&Bytes::from_static(b"x")).unwrap(), "x");
    assert!(channel.raw_unary_unary("/v1/../Echo").is_err());
}

/// Knows methods whose names begin with its text.
struct Prefix(&'static str);

impl GenericRpcHandler for Prefix {
    fn service(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
        assert!(!details.method.ends_with("Panic"), "secret");
        assert!(details.invocation_metadata.get("te").is_none());
        let name = details.method.strip_prefix("/test.Test/")?;
        name.starts_with(self.0).then(|| says(self.0))
    }
}

#[test]
fn registered_methods_win_then_generic_handlers_in_the_order_of_adding() {
    let server = grpc_threads::server(ThreadPool::new(1));
    let table = |name: &'static str, text| {
        method_handlers_generic_handler("test.Test", [(name, says(text))])
    };
    server.add_generic_rpc_handlers([table("A", "table A"), table("AB", "table AB")]).unwrap();
    server.add_generic_rpc_handlers([Prefix("A"), Prefix("AX")]).unwrap();
    server.add_generic_rpc_handlers([table("AC", "too late"), table("C", "table C")]).unwrap();
    server.add_registered_method_handlers("test.Test", [("AB", says("registered"))]).unwrap();
    let mut pair = Pair::start(server);
    for (name, text) in
        [("A", "table A"), ("AB", "registered"), ("AC", "A"), ("AXY", "A"), ("C", "table C")]
    {
        assert_eq!(pair.call(name, b"").messages(), [text.as_bytes()], "{name}");
    }
    assert_eq!(pair.call("None", b"").status(), UNIMPLEMENTED);
    assert_eq!(pair.call("Panic", b"").status(), UNKNOWN);
    // Generic handlers may be added after the start, registered ones may not.
    pair.server.add_generic_rpc_handlers([Prefix("N")]).unwrap();
    assert_eq!(pair.call("None", b"").messages(), [b"N".to_vec()]);
    let late = pair.server.add_service(service().method("Late", echo())).unwrap_err();
    assert_eq!(late.kind(), ConfigErrorKind::State);
    assert!(late.to_string().contains("start(), which was called"), "{late}");
    pair.server.stop(None);
    let generic = pair.server.add_generic_rpc_handlers([Prefix("M")]).unwrap_err();
    let named = pair.server.add_service(service().method("Late", echo())).unwrap_err();
    for late in [generic, named] {
        assert_eq!(late.kind(), ConfigErrorKind::State);
        assert!(late.to_string().contains("too late: the server was stopped"), "{late}");
    }
}

#[test]
fn names_are_checked_and_services_are_added_whole_or_not_at_all() {
    let server = grpc_threads::server(ThreadPool::new(1));
    server.add_service(service().method("A", echo())).unwrap();
    let twice = service().method("B", echo()).method("A", echo());
    assert_eq!(server.add_service(twice).unwrap_err().kind(), ConfigErrorKind::Method);
    server.add_service(service().method("B", echo())).unwrap();
    for bad in ["", "A/B", "/A"] {
        let error = server.add_service(service().method(bad, echo())).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Method, "{bad}");
    }
    let table = method_handlers_generic_handler("test.Test", [("A/", echo())]);
    assert!(server.add_generic_rpc_handlers([table]).is_err());
    let same = service().method("C", echo()).method("C", echo());
    assert!(server.add_service(same).is_err());
    assert!(
        Server::builder()
            .options(ServerOptions::default().max_concurrent_streams(0))
            .build()
            .is_err()
    );
}

#[test]
fn calls_above_the_limit_are_refused_at_once() {
    let (waiting, keeper) = gate();
    let wait = unary(move |request, _| {
        waiting.pass();
        Ok(request)
    });
    let options = ServerOptions::default().maximum_concurrent_rpcs(2);
    let mut pair = Pair::with(1, options, service().method("Wait", wait));
    let running = pair.peer.request("/test.Test/Wait", b"");
    keeper.wait();
    let queued = pair.peer.request("/test.Test/Wait", b"");
    let ended = pair.call("Wait", b"");
    assert_eq!((ended.headers.len(), ended.status()), (1, RESOURCE_EXHAUSTED));
    let told = ended.trailer("grpc-message").unwrap_or_default();
    assert!(told.contains("the server's maximum_concurrent_rpcs"), "{told}");
    // UNIMPLEMENTED is decided first.
    assert_eq!(pair.call("None", b"").status(), UNIMPLEMENTED);
    keeper.open.send(()).unwrap();
    keeper.open.send(()).unwrap();
    assert_eq!(pair.peer.wait_end(running).status(), OK);
    assert_eq!(pair.peer.wait_end(queued).status(), OK);
    keeper.open.send(()).unwrap();
    assert_eq!(pair.call("Wait", b"").status(), OK);
}

#[test]
fn w10_w12_what_is_no_grpc_gets_a_plain_answer_after_its_end() {
    let mut pair = Pair::of(1, service().method("Echo", echo()));
    for (method, kind, status) in [
        ("POST", "application/json", "415"),
        ("POST", "application/grpcfoo", "415"),
        ("GET", "application/grpc", "405"),
        ("GET", "text/html", "405"),
    ] {
        let fields = [
            (":method", method),
            (":scheme", "http"),
            (":path", "/test.Test/Echo"),
            (":authority", "test"),
            ("content-type", kind),
        ];
        let stream = pair.peer.open_with(&fields, false);
        pair.peer.assert_alive();
        pair.peer.data(stream, b"some body", true);
        let ended = pair.peer.wait_end(stream);
        let seen = ended.head(":status");
        assert!(
            seen.as_deref() == Some(status) || (method == "GET" && seen.as_deref() == Some("415")),
            "{method} {kind} {seen:?}"
        );
        assert!(ended.body.len() >= 5, "H1: a body of at least 5 bytes");
        assert_eq!(ended.reset, None);
    }
    let _ = (DATA, HEADERS);
    assert_eq!(pair.call("Echo", b"").status(), OK);
}

#[test]
fn a_server_that_looks_before_it_sleeps_answers_the_same() {
    let options = ServerOptions::default().busy_poll(std::time::Duration::from_micros(50));
    let mut pair = Pair::with(2, options, service().method("Echo", echo()));
    for n in 0..100_u8 {
        assert_eq!(pair.call("Echo", &[n]).messages(), [vec![n]]);
    }
}

/// Each job on a thread of its own, or none at all.
struct Threads(Arc<AtomicBool>);

impl Executor for Threads {
    fn execute(&self, job: Job) -> Result<(), Rejected> {
        if self.0.load(Ordering::SeqCst) {
            return Err(Rejected);
        }
        thread::Builder::new().name("own".into()).spawn(move || job.run()).map_err(|_| Rejected)?;
        Ok(())
    }
}

#[test]
fn handlers_may_run_on_threads_of_the_users_own() {
    let full = Arc::new(AtomicBool::new(false));
    let server = Server::builder().executor(Threads(full.clone())).build().unwrap();
    let name =
        unary(|_, _| Ok(Bytes::from(thread::current().name().unwrap_or_default().to_owned())));
    server.add_service(service().method("Name", name)).unwrap();
    let mut pair = Pair::start(server);
    assert_eq!(pair.call("Name", b"").messages(), [b"own".to_vec()]);
    full.store(true, Ordering::SeqCst);
    assert_eq!(pair.call("Name", b"").status(), RESOURCE_EXHAUSTED);
    full.store(false, Ordering::SeqCst);
    assert_eq!(pair.call("Name", b"").status(), OK);
}
