//! The health service, `grpc.health.v1`: what load balancers, Kubernetes and other clients ask a server.
//!
//! ```
//! use grpc_threads::ThreadPool;
//! use grpc_threads::health::{HealthServicer, HealthStub, HealthCheckRequest, ServingStatus};
//!
//! let health = HealthServicer::new();
//! health.set("demo.Greeter", ServingStatus::Serving);
//! let server = grpc_threads::server(ThreadPool::new(2));
//! health.add_to(&server)?;
//! let port = server.add_insecure_port("127.0.0.1:0")?;
//! server.start()?;
//!
//! let channel = grpc_threads::insecure_channel(&format!("127.0.0.1:{port}"))?;
//! let stub = HealthStub::new(&channel);
//! let greeter = HealthCheckRequest { service: "demo.Greeter".into() };
//! assert_eq!(stub.check.call(&greeter)?.serving_status(), ServingStatus::Serving);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Owns the three methods, who is told of which service ([`HealthServicer`]), and what a status is made of
//! ([`ServiceCheck`], [`ServiceStatus`]). Ignores what the services are: nobody registers one here by adding it to a server.
//! Stands on the public API, and on the reactor for the threads and the clock of checks.
//!
//! A `Watch` holds no worker: its handler gives the sender to a list and returns, and whoever brings news sends it. Locks: the names,
//! above a topic's, above its checks'; a watcher's is a leaf. None is held while something is sent.
//!
//! § `grpc.health.v1` (`health.proto`), gRPC's `doc/health-checking.md`, gRFC A17, A90 (`List`); grpclib's checks.

mod check;
mod messages;
mod topic;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

pub use self::check::{Finding, HealthCheck, ServiceCheck, ServiceStatus};
pub use self::messages::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, ServingStatus,
};

use self::topic::{Topic, Watcher};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::{
    Cardinality, Channel, ConfigError, MethodPath, Prost, ResponseSender, SentElsewhere, Server,
    ServerStream, Service, ServicerContext, Status, UnaryStream, UnaryUnary,
    stream_rpc_method_handler, unary_stream_rpc_method_handler,
};

/// The full name of the service.
pub const SERVICE_NAME: &str = "grpc.health.v1.Health";
/// The name that stands for the server as a whole.
pub const OVERALL_HEALTH: &str = "";

/// § gRFC A90: a server may refuse to list more than it likes to; grpc-go's bound.
const LISTED: usize = 100;
/// The longest request: a name and a little more. Who watches a name that is no service has it kept.
const LONGEST_REQUEST: usize = 4 << 10;

/// Knows how services are, and answers those who ask. What Python's `HealthServicer` and grpclib's `Health` are.
///
/// It begins with the server as a whole ([`OVERALL_HEALTH`]) as `SERVING`. Cheap to clone, usable from any thread; the clones are one.
///
/// - `Check` of a service that nobody has told of fails with `NOT_FOUND`. Calls of it run before all others, also
///   where the server is full ([`Service::reserved`]).
/// - `Watch` tells the status at once, `SERVICE_UNKNOWN` for one that nobody has told of, and then every change. It holds no worker.
///   A watcher who is slow is told of the latest status only; a status that is told again is sent once.
/// - `List` tells all services that were told of, up to 100; with more it fails with `RESOURCE_EXHAUSTED`.
///
/// A request is 4 KiB at most.
#[derive(Clone)]
pub struct HealthServicer {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Guards which names there are. Not held while anybody is told anything.
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    topics: HashMap<String, Arc<Topic>>,
    /// The overall status was set, or has checks of its own.
    overall: bool,
    settled: bool,
    over: bool,
}

impl HealthServicer {
    /// The server as a whole is `SERVING`, and there is no service yet.
    #[must_use]
    pub fn new() -> Self {
        let shared = Arc::<Shared>::default();
        let overall = Arc::new(Topic::new(OVERALL_HEALTH.into(), Some(ServingStatus::Serving)));
        shared.names.lock().topics.insert(OVERALL_HEALTH.into(), overall);
        Self { shared }
    }

    /// Adds the service to a server, and ties it to the server's end: when the server is told to stop
    /// ([`Server::stop`]), every service becomes `NOT_SERVING`, watchers are told so, and their calls end with `UNAVAILABLE`, so that
    /// they do not use up the grace. One servicer may be several servers': the first that stops ends it.
    ///
    /// `add_service(&health)` adds the service alone: then watchers keep a server that stops busy until the end of its grace.
    ///
    /// # Errors
    /// As of [`Server::add_service`].
    pub fn add_to(&self, server: &Server) -> Result<(), ConfigError> {
        server.add_service(self)?;
        let shared = Arc::downgrade(&self.shared);
        server.on_stop(move || {
            if let Some(shared) = shared.upgrade() {
                shared.settle(true);
            }
        });
        Ok(())
    }

    /// A service is like this from now on. Who watches it is told, on this thread, which waits for nobody. Where it had checks it has
    /// them no more. Without effect after [`enter_graceful_shutdown`](Self::enter_graceful_shutdown).
    pub fn set(&self, service: impl Into<String>, status: ServingStatus) {
        if let Some(topic) = self.shared.known(service.into()) {
            topic.set(status);
        }
    }

    /// A service's status is made of these, beside those that it has: `SERVING` if all of them are well, `UNKNOWN` if nothing is known
    /// of any, else `NOT_SERVING`. Without any it is `SERVING`.
    ///
    /// The status of the server as a whole is made of all checks of all services, unless it was set or was given checks
    /// itself.
    ///
    /// ```
    /// use grpc_threads::health::{HealthServicer, OVERALL_HEALTH, ServiceCheck, ServiceStatus, ServingStatus};
    ///
    /// let (health, upstream) = (HealthServicer::new(), ServiceStatus::new());
    /// health.add_checks("demo.Proxy", [&upstream]);
    /// health.add_checks("demo.Proxy", [ServiceCheck::new(|| true)]);
    /// upstream.set(false);
    /// assert_eq!(health.status("demo.Proxy"), Some(ServingStatus::NotServing));
    /// assert_eq!(health.status(OVERALL_HEALTH), Some(ServingStatus::NotServing));
    /// ```
    pub fn add_checks<C: Into<HealthCheck>>(
        &self,
        service: impl Into<String>,
        checks: impl IntoIterator<Item = C>,
    ) {
        let service = service.into();
        let checks: Vec<HealthCheck> = checks.into_iter().map(Into::into).collect();
        let others = service != OVERALL_HEALTH;
        if let Some(topic) = self.shared.known(service) {
            topic.add_checks(&checks);
        }
        if let Some(overall) = self.shared.made_overall().filter(|_| others) {
            overall.add_checks(&checks);
        }
    }

    /// How a service is, as far as is known without a check being run; `None`: nobody has told of it.
    #[must_use]
    pub fn status(&self, service: &str) -> Option<ServingStatus> {
        self.shared.topic(service).and_then(|topic| topic.status())
    }

    /// How many calls of `Watch` there are.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.shared.all().iter().map(|topic| topic.watchers()).sum()
    }

    /// All services become `NOT_SERVING`, which nothing changes any more, and who watches them is told: clients go elsewhere while calls in progress
    /// still end. Python's name. Watches go on; [`add_to`](Self::add_to) has them end when the server is told to stop, and does this, too.
    pub fn enter_graceful_shutdown(&self) {
        self.shared.settle(false);
    }
}

impl Default for HealthServicer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HealthServicer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.shared.all();
        let known = all.iter().filter_map(|topic| Some((topic.name(), topic.status()?)));
        f.debug_map().entries(known).finish()
    }
}

impl From<&HealthServicer> for Service {
    fn from(health: &HealthServicer) -> Self {
        let (check, list, watch) =
            (health.shared.clone(), health.shared.clone(), health.shared.clone());
        let check = stream_rpc_method_handler(
            Cardinality::UnaryUnary,
            move |stream: &mut ServerStream<HealthCheckRequest, HealthCheckResponse>,
                  _: &ServicerContext| {
                let Some(request) = stream.recv()? else { return Ok(()) };
                check.check(&request.service, stream.detach());
                Ok(())
            },
        );
        let list = stream_rpc_method_handler(
            Cardinality::UnaryUnary,
            move |stream: &mut ServerStream<HealthListRequest, HealthListResponse>,
                  _: &ServicerContext| {
                stream.recv()?;
                list.list(stream.detach());
                Ok(())
            },
        );
        let watch = unary_stream_rpc_method_handler(
            move |request: HealthCheckRequest, context: &ServicerContext| {
                let (sender, responses) = context.response_channel()?;
                watch.watch(request.service, sender);
                Ok::<SentElsewhere<HealthCheckResponse>, _>(responses)
            },
        );
        Service::new(SERVICE_NAME)
            .method("Check", check)
            .method("List", list)
            .method("Watch", watch)
            .max_receive_message_size(LONGEST_REQUEST)
            .reserved()
    }
}

impl From<HealthServicer> for Service {
    fn from(health: HealthServicer) -> Self {
        Self::from(&health)
    }
}

impl Shared {
    /// A name that becomes a service's; `None`: it is too late.
    fn known(&self, service: String) -> Option<Arc<Topic>> {
        let mut names = self.names.lock();
        if names.settled {
            return None;
        }
        names.overall |= service == OVERALL_HEALTH;
        let new = || Arc::new(Topic::new(service.clone(), None));
        Some(names.topics.entry(service.clone()).or_insert_with(new).clone())
    }

    /// The whole server, where its status is made of all checks.
    fn made_overall(&self) -> Option<Arc<Topic>> {
        let names = self.names.lock();
        let own = names.overall || names.settled;
        names.topics.get(OVERALL_HEALTH).filter(|_| !own).cloned()
    }

    fn topic(&self, service: &str) -> Option<Arc<Topic>> {
        self.names.lock().topics.get(service).cloned()
    }

    fn all(&self) -> Vec<Arc<Topic>> {
        self.names.lock().topics.values().cloned().collect()
    }

    fn settle(&self, over: bool) {
        let mut names = self.names.lock();
        names.settled = true;
        names.over |= over;
        drop(names);
        self.all().iter().for_each(|topic| topic.settle(over));
    }

    fn check(
        &self,
        service: &str,
        mut stream: ServerStream<HealthCheckRequest, HealthCheckResponse>,
    ) {
        let known = self.topic(service).filter(|topic| topic.status().is_some());
        let Some(topic) = known else {
            return stream
                .finish(Err(Status::not_found(format!("no service {service:?} is known here"))));
        };
        when_good(topic.checks(), move || {
            let status = topic.status().unwrap_or_default();
            let sent = stream.send(&status.into());
            stream.finish(sent);
        });
    }

    fn list(&self, mut stream: ServerStream<HealthListRequest, HealthListResponse>) {
        let mut known = self.all();
        known.retain(|topic| topic.status().is_some());
        if known.len() > LISTED {
            let text =
                format!("there are {} services, and {LISTED} at most are listed", known.len());
            return stream.finish(Err(Status::resource_exhausted(text)));
        }
        let checks = known.iter().flat_map(|topic| topic.checks()).collect();
        when_good(checks, move || {
            let told = known
                .iter()
                .map(|topic| (topic.name().to_owned(), topic.status().unwrap_or_default().into()));
            let sent = stream.send(&HealthListResponse { statuses: told.collect() });
            stream.finish(sent);
        });
    }

    fn watch(self: &Arc<Self>, service: String, sender: ResponseSender<HealthCheckResponse>) {
        let watcher = Watcher::new();
        let mut names = self.names.lock();
        let new = || Arc::new(Topic::new(service.clone(), None));
        let topic = names.topics.entry(service.clone()).or_insert_with(new).clone();
        // Entered under the lock: a name that nobody watches is forgotten.
        let number = topic.enter(watcher.clone());
        let (settled, over) = (names.settled, names.over);
        drop(names);
        if settled {
            topic.settle(over);
        }
        let leave = {
            let (shared, topic) = (Arc::downgrade(self), Arc::downgrade(&topic));
            move || Self::leave(&shared, &topic, number)
        };
        if sender.add_callback(leave) {
            watcher.begin(sender, &topic);
        } else {
            Self::leave(&Arc::downgrade(self), &Arc::downgrade(&topic), number);
        }
    }

    /// A watcher's call is over.
    fn leave(this: &Weak<Self>, topic: &Weak<Topic>, number: u64) {
        let (Some(this), Some(topic)) = (this.upgrade(), topic.upgrade()) else { return };
        topic.leave(number);
        let mut names = this.names.lock();
        let same = names.topics.get(topic.name()).is_some_and(|known| Arc::ptr_eq(known, &topic));
        if same && topic.is_nothing() {
            names.topics.remove(topic.name());
        }
    }
}

/// Has `done` run once all of these have a result that is good.
fn when_good(checks: Vec<HealthCheck>, done: impl FnOnce() + Send + 'static) {
    if checks.is_empty() {
        return done();
    }
    let left = Arc::new((AtomicUsize::new(checks.len()), Mutex::new(Some(done))));
    for check in checks {
        let left = left.clone();
        check.ask(Box::new(move || {
            if left.0.fetch_sub(1, Ordering::AcqRel) > 1 {
                return;
            }
            // A statement of its own: the guard must be gone when it is done.
            let done = left.1.lock().take();
            if let Some(done) = done {
                done();
            }
        }));
    }
}

/// Calls `grpc.health.v1.Health`, of this library or of any other.
#[derive(Clone, Debug)]
pub struct HealthStub {
    /// How a service is now. `NOT_FOUND`: the server knows no such service.
    pub check: UnaryUnary<HealthCheckRequest, HealthCheckResponse>,
    /// How all services are now. `UNIMPLEMENTED` of servers that know nothing of it: it came in 2025.
    pub list: UnaryUnary<HealthListRequest, HealthListResponse>,
    /// How a service is, now and whenever that changes.
    pub watch: UnaryStream<HealthCheckRequest, HealthCheckResponse>,
}

impl HealthStub {
    /// The methods, over this channel. Nothing is sent yet.
    #[must_use]
    pub fn new(channel: &Channel) -> Self {
        Self {
            check: channel.unary_unary_at(CHECK, Prost),
            list: channel.unary_unary_at(LIST, Prost),
            watch: channel.unary_stream_at(WATCH, Prost),
        }
    }
}

const CHECK: MethodPath = MethodPath::from_static("/grpc.health.v1.Health/Check");
const LIST: MethodPath = MethodPath::from_static("/grpc.health.v1.Health/List");
const WATCH: MethodPath = MethodPath::from_static("/grpc.health.v1.Health/Watch");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ThreadPool;

    #[test]
    fn a_name_that_nobody_watches_any_more_and_is_no_service_is_not_kept() {
        let (health, server) = (HealthServicer::new(), crate::server(ThreadPool::new(1)));
        health.add_to(&server).unwrap();
        let port = server.add_insecure_port("127.0.0.1:0").unwrap();
        server.start().unwrap();
        let channel = crate::insecure_channel(&format!("127.0.0.1:{port}")).unwrap();
        let names = || health.shared.names.lock().topics.len();
        for (name, kept) in [("no.Service", 1), ("demo.Service", 2)] {
            let mut watch = HealthStub::new(&channel)
                .watch
                .call(&HealthCheckRequest { service: name.into() })
                .unwrap();
            assert_eq!(
                watch.next().unwrap().unwrap().serving_status(),
                ServingStatus::ServiceUnknown
            );
            assert_eq!(names(), 2);
            if kept == 2 {
                health.set(name, ServingStatus::Serving);
            }
            drop(watch);
            // A call of it comes behind the end of the watch, but the notifier may be later.
            while health.watchers() > 0 || names() > kept {
                std::thread::yield_now();
            }
            assert_eq!(names(), kept, "{name}");
        }
    }
}
