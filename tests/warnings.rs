//! Mistakes that are no errors are told to the log.

mod support;

use bytes::Bytes;
use grpc_threads::{
    GenericRpcHandler, HandlerCallDetails, InterceptedCall, Raw, RpcMethodHandler, Server,
    ServerNext, Service, ServicerContext, ThreadPool, server,
};
use support::logged;

#[test]
fn a_server_that_listens_nowhere_says_so() {
    logged::listen(log::LevelFilter::Warn);
    let well = server(ThreadPool::new(1));
    well.add_insecure_port("127.0.0.1:0").unwrap();
    well.start().unwrap();
    assert_eq!(logged::count(&["add_insecure_port"]), 0);
    let deaf = server(ThreadPool::new(1));
    deaf.start().unwrap();
    assert_eq!(logged::count(&["listens nowhere: see add_insecure_port"]), 1);
    assert_ne!(deaf.add_insecure_port("127.0.0.1:0").unwrap(), 0, "later is not too late");
}

fn echo() -> RpcMethodHandler {
    let echo = |request: Bytes, _: &ServicerContext| Ok(request);
    grpc_threads::unary_unary_rpc_method_handler_with(echo, Raw, Raw)
}

fn call(server: &Server, path: &str) {
    let target = server.local_addrs()[0].to_string();
    let channel = grpc_threads::insecure_channel(&target).unwrap();
    let method = channel.raw_unary_unary(path).unwrap().timeout(support::LONG);
    assert_eq!(method.call(&Bytes::from_static(b"x")).unwrap(), "x");
}

struct Finds;

impl GenericRpcHandler for Finds {
    fn service(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
        let reserved = echo().reserved().thread_pool(ThreadPool::new(1));
        match details.method {
            "/plain.P/Call" => Some(echo()),
            _ => Some(reserved.max_send_message_size(1 << 20)),
        }
    }
}

#[test]
fn what_comes_too_late_of_a_handler_that_is_asked_for_is_told_once() {
    logged::listen(log::LevelFilter::Warn);
    let asked = server(ThreadPool::new(1));
    asked.add_generic_rpc_handlers([Finds]).unwrap();
    asked.add_insecure_port("127.0.0.1:0").unwrap();
    asked.start().unwrap();
    call(&asked, "/plain.P/Call");
    assert_eq!(logged::count(&["/plain.P/Call"]), 0, "it asks for nothing");
    for _ in 0..3 {
        call(&asked, "/late.L/Call");
    }
    let words = [
        "WARN",
        "/late.L/Call",
        "a generic handler has given",
        "reserved, thread_pool, max_send_message_size",
        "method_handlers()",
    ];
    assert_eq!(logged::count(&words), 1, "{:?}", logged::lines());

    // In the place of another: what that has goes, and is no news.
    let pool = ThreadPool::new(1);
    let around = |call: &mut InterceptedCall<'_>, next: ServerNext<'_>| {
        next.run_with(call, echo().reserved())
    };
    let replaced = Server::builder().interceptor(around).build().unwrap();
    let service = Service::new("put.P").method("Same", echo().reserved());
    replaced.add_service(service.method("Other", echo().thread_pool(pool))).unwrap();
    replaced.add_insecure_port("127.0.0.1:0").unwrap();
    replaced.start().unwrap();
    call(&replaced, "/put.P/Same");
    assert_eq!(logged::count(&["/put.P/Same"]), 0, "{:?}", logged::lines());
    call(&replaced, "/put.P/Other");
    let words = ["WARN", "/put.P/Other", "an interceptor or a listener has given", "reserved"];
    assert_eq!(logged::count(&words), 1, "{:?}", logged::lines());
}
