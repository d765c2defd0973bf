//! A service of raw octets with a method of each kind, and pairs of it.
#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use grpc_threads::testing::{self, Pair};
use grpc_threads::{
    Raw, RequestIterator, RpcMethodHandler, Service, ServicerContext, Status,
    stream_stream_rpc_method_handler_with, stream_unary_rpc_method_handler_with,
    unary_stream_rpc_method_handler_with, unary_unary_rpc_method_handler_with,
};

pub(crate) const ECHO: &str = "/test.Test/Echo";
pub(crate) const COUNT: &str = "/test.Test/Count";
pub(crate) const SUM: &str = "/test.Test/Sum";
pub(crate) const BIDI: &str = "/test.Test/Bidi";

static ASKED: AtomicUsize = AtomicUsize::new(0);

/// How often Echo was asked, in this process.
pub(crate) fn asked() -> usize {
    ASKED.load(Ordering::SeqCst)
}

pub(crate) fn unary(
    behaviour: impl Fn(Bytes, &ServicerContext) -> Result<Bytes, Status> + Send + Sync + 'static,
) -> RpcMethodHandler {
    unary_unary_rpc_method_handler_with(behaviour, Raw, Raw)
}

/// Echo; Count, which gives as many messages as the request has octets; Sum, of the requests' octets; Bidi, an echo.
pub(crate) fn service() -> Service {
    let count = |request: Bytes, _: &ServicerContext| {
        Ok((0..request.len()).map(|n| Ok::<_, Status>(Bytes::from(vec![n as u8]))))
    };
    let sum = |requests: RequestIterator<Bytes>, _: &ServicerContext| {
        let octets = requests.map(|request| Ok(request?.len())).sum::<Result<usize, Status>>()?;
        Ok(Bytes::from(octets.to_string()))
    };
    let bidi = |requests: RequestIterator<Bytes>, _: &ServicerContext| Ok(requests);
    Service::new("test.Test")
        .method(
            "Echo",
            unary(|request, _| {
                ASKED.fetch_add(1, Ordering::SeqCst);
                Ok(request)
            }),
        )
        .method("Count", unary_stream_rpc_method_handler_with(count, Raw, Raw))
        .method("Sum", stream_unary_rpc_method_handler_with(sum, Raw, Raw))
        .method("Bidi", stream_stream_rpc_method_handler_with(bidi, Raw, Raw))
}

pub(crate) fn pair() -> Pair {
    testing::pair(service()).expect("a pair")
}

/// A pair of the service with one method more.
pub(crate) fn pair_with(name: &str, method: RpcMethodHandler) -> Pair {
    testing::pair(service().method(name, method)).expect("a pair")
}
