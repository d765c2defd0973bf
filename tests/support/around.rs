//! Interceptors of closures, and what is noted of calls: for tests of what stands around them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use bytes::Bytes;
use grpc_threads::{CallDetails, ClientInterceptor, Next, Payload, Reply, Status, StreamHooks};
use std::sync::{Arc, Mutex};

type Unary = dyn Fn(CallDetails, Payload, Next<'_>) -> Result<Reply, Status> + Send + Sync;

/// Goes around, by a closure.
struct Around(Box<Unary>);

impl ClientInterceptor for Around {
    fn unary(
        &self,
        details: CallDetails,
        request: Payload,
        next: Next<'_>,
    ) -> Result<Reply, Status> {
        (self.0)(details, request, next)
    }
}

/// Goes around calls with one request and one response.
pub fn around(
    f: impl Fn(CallDetails, Payload, Next<'_>) -> Result<Reply, Status> + Send + Sync + 'static,
) -> Arc<dyn ClientInterceptor> {
    Arc::new(Around(Box::new(f)))
}

/// Goes around, and passes on.
pub fn passing() -> Arc<dyn ClientInterceptor> {
    around(|details, request, next| next.call(details, request))
}

/// Hooks alone, by a closure.
struct Hooked<F>(F);

impl<F> ClientInterceptor for Hooked<F>
where
    F: Fn(&mut CallDetails) -> Result<StreamHooks, Status> + Send + Sync + 'static,
{
    fn stream(&self, details: &mut CallDetails) -> Result<StreamHooks, Status> {
        (self.0)(details)
    }

    fn has_hooks_only(&self) -> bool {
        true
    }
}

/// Has hooks alone.
pub fn hooked(
    f: impl Fn(&mut CallDetails) -> Result<StreamHooks, Status> + Send + Sync + 'static,
) -> Arc<dyn ClientInterceptor> {
    Arc::new(Hooked(f))
}

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn with_suffix(payload: &Payload, suffix: &str) -> Payload {
    Payload::new([payload.bytes(), suffix.as_bytes()].concat())
}

/// What was told, in order. Each test file adds what it listens by.
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<Vec<String>>>);

impl Record {
    pub fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
