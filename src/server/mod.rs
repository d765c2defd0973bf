//! Servers: [`Server`], its methods, its ports, and its life.
//!
//! Owns the method registry, admission, [`ServicerContext`], the shapes of handlers, and
//! starting and stopping. Ignores how bytes become requests (`link`) and who
//! calls (`client`, `channel`).
//!
//! Three rooms, whose doors open downwards only (`tests/layering/rooms.rs`); this file is above all of them:
//! - `life`: what lives. Options, ports, connections, start and stop.
//! - `dispatch`: what runs a call. Which method it names, whether it is admitted, its job.
//! - `service`: what users write, and what their handlers see.
//!
//! Threads: handlers, generic handlers and codecs run on the workers of the pool (or in the
//! user's [`Executor`](crate::Executor)); callbacks on the notifier thread; look-ups, deadlines, accepts and
//! the end of a grace on the pool's polling threads. Lock ranks: `life` (registry) →
//! a call's `reply` → the link's; the calls' `deadlines` → the poller's; the registry's `pending` and the `idle` of the
//! running handlers are leaves.

mod builder;
mod dispatch;
#[cfg(any(feature = "testing", all(test, shuttle)))]
mod door;
mod life;
mod service;

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub use self::builder::ServerBuilder;
#[cfg(any(feature = "testing", all(test, shuttle)))]
pub(crate) use self::door::Door;
pub use self::life::{
    ListenerStats, ServeError, ServerOptions, ServerStats, StillRunning, Stopped, Termination,
};
pub use self::service::{
    Cardinality, GenericRpcHandler, HandlerCallDetails, InterceptedCall, IntoService,
    MethodHandlersGenericHandler, RecvRequest, RequestIterator, ResponseSender, RpcMethodHandler,
    SentElsewhere, ServerEvent, ServerInterceptor, ServerNext, ServerStream, Service,
    ServiceRpcHandler, ServicerContext, StreamingFn, StreamingMethod,
    method_handlers_generic_handler, stream_rpc_method_handler, stream_rpc_method_handler_with,
    stream_stream_rpc_method_handler, stream_stream_rpc_method_handler_of,
    stream_stream_rpc_method_handler_with, stream_unary_rpc_method_handler,
    stream_unary_rpc_method_handler_with, unary_stream_rpc_method_handler,
    unary_stream_rpc_method_handler_of, unary_stream_rpc_method_handler_with,
    unary_unary_rpc_method_handler, unary_unary_rpc_method_handler_with,
};

pub(crate) use self::life::{server_numbered, server_socket, server_sockets, servers};

use self::dispatch::{Method, Registry, check_name, check_path};
use self::life::{Core, Guard, OnStop, Phase};
use crate::call::Flow;
use crate::credentials::ServerCredentials;
use crate::deadline::Deadline;
use crate::error::{ConfigError, ConfigErrorKind};
use crate::link::Terms;
use crate::net::BindError;
use crate::reactor::{ThreadPool, clock, user};
use crate::status::Status;
use crate::tell;

/// A server on the workers of `pool`, with default options.
///
/// ```no_run
/// use grpc_threads::{Service, ServicerContext, ThreadPool, unary_unary_rpc_method_handler};
///
/// let echo = Service::new("demo.Echo").method(
///     "Say",
///     unary_unary_rpc_method_handler(|text: String, _: &ServicerContext| Ok(text)),
/// );
/// let server = grpc_threads::server(ThreadPool::new(8));
/// server.add_service(echo)?;
/// server.add_insecure_port("[::]:50051")?;
/// server.start()?;
/// server.wait_for_termination(None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn server(pool: ThreadPool) -> Server {
    let core = Core::new(ServerOptions::default(), Terms::default(), None, Vec::new());
    Server::with(pool, core)
}

/// A gRPC server.
///
/// Every method takes `&self`: share it by reference or in an `Arc`. Dropping it stops it
/// at once, as `stop(None)` does, without waiting.
pub struct Server {
    core: Arc<Core>,
    registry: Arc<Registry>,
    /// Kept alive until the server is dropped.
    pool: ThreadPool,
    on_stop: Arc<OnStop>,
}

/// Stops a server from elsewhere, and keeps nothing of it alive.
pub(crate) struct Stopper {
    core: Weak<Core>,
    on_stop: Weak<OnStop>,
}

impl Stopper {
    /// As [`Server::stop`]. False: it was not started, and never will be.
    pub(crate) fn stop(&self, grace: Option<Duration>) -> bool {
        let Some((core, on_stop)) = self.core.upgrade().zip(self.on_stop.upgrade()) else {
            return true;
        };
        let started = core.life().phase() != Phase::New;
        stop(&core, &on_stop, grace);
        started
    }
}

fn stop(core: &Core, on_stop: &OnStop, grace: Option<Duration>) {
    on_stop.tell();
    let now = clock::now();
    let until = now.checked_add(grace.unwrap_or_default());
    // A grace beyond the clock's range ends with the last call.
    let until = until.unwrap_or(now + FOR_EVER);
    core.expect_grace(core.life().stop(now, until).carry_out());
}

impl Server {
    fn with(pool: ThreadPool, core: Arc<Core>) -> Self {
        Self { core, registry: Arc::default(), pool, on_stop: Arc::new(OnStop::new()) }
    }

    /// Adds a service: a [`Service`], or a generated server. All of its methods, or none.
    ///
    /// # Errors
    /// When the server has been started or stopped, a name is not one, or a method is there already.
    pub fn add_service(&self, service: impl IntoService) -> Result<(), ConfigError> {
        let service = service.into_service();
        self.not_stopped(|| format!("{:?} comes", service.name()))?;
        check_name("service", service.name())?;
        service.methods().try_for_each(|name| check_name("method", name))?;
        let entries = service.into_entries();
        let methods = entries.map(|(path, handler)| Method::new(path, handler, self.core.calls()));
        self.registry.register(methods.collect())
    }

    /// Handlers that come after the stop are never asked: a mistake.
    fn not_stopped(&self, what: impl FnOnce() -> String) -> Result<(), ConfigError> {
        match self.core.life().phase() {
            Phase::New | Phase::Running => Ok(()),
            Phase::Stopping | Phase::Stopped => {
                let text = format!("{} too late: the server was stopped", what());
                Err(ConfigError::new(ConfigErrorKind::State, text))
            }
        }
    }

    /// Adds methods by name, which win over generic handlers.
    ///
    /// # Errors
    /// As [`add_service`](Self::add_service).
    pub fn add_registered_method_handlers<N: Into<String>>(
        &self,
        service: &str,
        method_handlers: impl IntoIterator<Item = (N, RpcMethodHandler)>,
    ) -> Result<(), ConfigError> {
        let mut all = Service::new(service);
        for (name, handler) in method_handlers {
            all = all.method(name, handler);
        }
        self.add_service(all)
    }

    /// Adds handlers that find methods by themselves, before or after the start. Handlers
    /// added earlier are asked earlier; registered methods come before all of them.
    ///
    /// # Errors
    /// When a handler that tells its paths tells one that no call can have, and when the server was stopped.
    pub fn add_generic_rpc_handlers<H: GenericRpcHandler>(
        &self,
        handlers: impl IntoIterator<Item = H>,
    ) -> Result<(), ConfigError> {
        self.not_stopped(|| "generic handlers come".to_owned())?;
        let handlers: Vec<_> = handlers.into_iter().map(|h| (h.method_handlers(), h)).collect();
        let tables = handlers.iter().filter_map(|(table, _)| table.as_ref());
        tables.flat_map(|table| table.keys()).try_for_each(|path| check_path(path))?;
        for (table, handler) in handlers {
            match table {
                Some(table) => self.registry.push_table(
                    table
                        .into_iter()
                        .map(|(path, known)| Method::new(path, known, self.core.calls())),
                ),
                None => self.registry.push_handler(Box::new(handler)),
            }
        }
        Ok(())
    }

    /// Has `listener` told of an event of each call that begins from now on. The events are [`RecvRequest`],
    /// [`SendInitialMetadata`], [`SendTrailingMetadata`], [`RecvMessage`] and [`SendMessage`]; each says when it is told and on
    /// which thread: never on one that reads sockets. May be called at any time, also after the start. Nobody stops listening.
    ///
    /// Of several for one event the first added is told first. They are outside of all interceptors: they see what the client has sent,
    /// and what it is sent. [`Flow::Interrupt`] keeps an event from those behind it; what it has changed of it stays. An error ends
    /// the call with that status. A panic ends it as one in an interceptor does, with UNKNOWN, and is logged. No
    /// lock is held while it runs, so it may take its time; its call waits for it, and so does a worker.
    ///
    /// Costs a call one look where nobody listens. Where somebody does, a call's way is that through an interceptor.
    ///
    /// § grpclib's `listen`.
    ///
    /// ```
    /// use grpc_threads::{Flow, RecvRequest, SendTrailingMetadata, ThreadPool};
    ///
    /// let server = grpc_threads::server(ThreadPool::new(4));
    /// server.listen::<RecvRequest>(|event| {
    ///     println!("{} from {}", event.method(), event.peer());
    ///     Ok(Flow::Continue)
    /// });
    /// server.listen::<SendTrailingMetadata>(|event| {
    ///     event.metadata_mut().append("served-by", "shard-7")?;
    ///     Ok(Flow::Continue)
    /// });
    /// ```
    ///
    /// [`SendInitialMetadata`]: crate::SendInitialMetadata
    /// [`SendTrailingMetadata`]: crate::SendTrailingMetadata
    /// [`RecvMessage`]: crate::RecvMessage
    /// [`SendMessage`]: crate::SendMessage
    pub fn listen<E: ServerEvent>(
        &self,
        listener: impl Fn(&mut E) -> Result<Flow, Status> + Send + Sync + 'static,
    ) {
        self.core.calls().events().listen(listener);
    }

    /// Listens on `address`, such as `[::]:50051`, `127.0.0.1:0`, `localhost:50051` or `[fe80::1%eth0]:50051`: the
    /// port, which tells what 0 became. Binds now and accepts once started; may
    /// be called several times, also after the start. A name is looked up by the system, on this
    /// thread, for as long as that takes; an address waits for nothing.
    ///
    /// A name listens on all its addresses, on one port. `[::]` is every address of the machine, of IPv4 too; where there
    /// is no IPv6 it is `0.0.0.0`.
    ///
    /// `unix:/run/my.sock`, also with a relative path or as `unix:///run/my.sock`, is a UNIX socket, and `unix-abstract:name` one
    /// without a file; their "port" is 1, as in grpc. A file that a server left behind that ended without removing it is taken away; the
    /// server removes its own when it stops. Who may connect is a matter of the file's and its folder's rights.
    ///
    /// # Errors
    /// An address that cannot be read, such as one without a port; a file that another server listens on, or that is no socket; what could not be bound, and what the system said. Of
    /// a name with several addresses, one that this machine does not have is left out, with a warning in the log; any
    /// other that cannot be bound is the error, and none is kept.
    pub fn add_insecure_port(&self, address: &str) -> Result<u16, BindError> {
        life::bind(address, Guard::None, &self.core, &self.registry)
    }

    /// As [`add_insecure_port`](Self::add_insecure_port), for clients of these credentials. With TLS they have to come by
    /// it, and to agree on HTTP/2 (ALPN); with
    /// [`local_server_credentials`](crate::credentials::local_server_credentials) from this machine. A server may have ports
    /// of all kinds.
    ///
    /// A handshake takes no worker, and may take 20 s.
    ///
    /// # Errors
    /// As with [`add_insecure_port`](Self::add_insecure_port).
    pub fn add_secure_port(
        &self,
        address: &str,
        credentials: &ServerCredentials,
    ) -> Result<u16, BindError> {
        life::bind(address, Guard::of(credentials), &self.core, &self.registry)
    }

    /// Accepts on a socket that listens already: a `TcpListener`, a `UnixListener`, or the `OwnedFd` of one, such as one inherited from a
    /// supervisor (systemd's socket activation; crates such as `listenfd` hand its descriptors over). It is closed with the server; its file,
    /// where it has one, stays.
    ///
    /// # Errors
    /// It does not listen, is neither TCP nor a stream of UNIX sockets, or the system refuses to use it.
    pub fn add_listener(&self, listener: impl Into<OwnedFd>) -> Result<u16, BindError> {
        life::adopt(listener.into(), Guard::None, &self.core, &self.registry)
    }

    /// As [`add_listener`](Self::add_listener), for clients of these credentials.
    ///
    /// # Errors
    /// As there.
    pub fn add_secure_listener(
        &self,
        listener: impl Into<OwnedFd>,
        credentials: &ServerCredentials,
    ) -> Result<u16, BindError> {
        life::adopt(listener.into(), Guard::of(credentials), &self.core, &self.registry)
    }

    /// The addresses that are listened on; a UNIX socket is none.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.core
            .life()
            .ports()
            .iter()
            .flat_map(|port| port.local_addrs().collect::<Vec<_>>())
            .collect()
    }

    /// Begins to accept calls. Does not block. Before it, clients that have found a bound port are connected by the system and
    /// get no answer: their calls wait, up to their deadlines, and their attempts to connect fail with `UNAVAILABLE` after
    /// the client's own time for one: 20 s for a [`Channel`](crate::Channel), whose text says that it "takes connections and says
    /// nothing". A server without an address to listen on starts too, since one may be
    /// added later; that is logged as a warning.
    ///
    /// # Errors
    /// On a second call, and after [`stop`](Self::stop); when no thread can be had.
    pub fn start(&self) -> Result<(), ServeError> {
        if !self.begin()? {
            tell::warn!("a server was started that listens nowhere: see add_insecure_port");
        }
        Ok(())
    }

    /// As [`start`](Self::start): whether it listens anywhere.
    pub(crate) fn begin(&self) -> Result<bool, ServeError> {
        let poller = self.pool.poller().map_err(ServeError::Io)?;
        poller.set_busy_poll(self.core.options().busy_poll);
        self.core.set_poller(poller);
        let ports = self.core.life().start()?;
        self.registry.seal();
        for pool in self.registry.own_pools() {
            pool.poller().map_err(ServeError::Io)?;
        }
        for port in &ports {
            life::open(port, &self.core, &self.registry)?;
        }
        Ok(!ports.is_empty())
    }

    /// Listens on `address`, starts and waits until the server is stopped from another thread.
    ///
    /// # Errors
    /// What [`add_insecure_port`](Self::add_insecure_port) and [`start`](Self::start) say.
    pub fn serve(&self, address: &str) -> Result<(), ServeError> {
        self.core.life().may_start()?;
        self.add_insecure_port(address)?;
        self.start()?;
        self.wait_for_termination(None);
        Ok(())
    }

    /// Listens on `address`, starts, runs `signal` on this thread for as long as that takes, and then stops: calls in progress have
    /// `grace` to end (see [`stop`](Self::stop)), which is waited for. What `signal` waits for is its own affair: a channel that another thread
    /// sends on, a pipe that a signal handler writes to, a line on standard input.
    ///
    /// The handle given back tells which handlers have not returned though their calls are over, and waits for them if it is asked to. A
    /// server that another thread stops meanwhile ends `signal` no sooner.
    ///
    /// A panic of `signal` stops the server in the same way, with the grace, and goes on to the caller then.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), grpc_threads::Status> {
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use grpc_threads::ThreadPool;
    ///
    /// let (stop, stopped) = mpsc::channel::<()>();
    /// let server = grpc_threads::server(ThreadPool::new(8));
    /// // `stop` goes to whoever ends the program: it sends, or is dropped.
    /// # drop(stop);
    /// let signal = || {
    ///     let _ = stopped.recv();
    /// };
    /// let ended = server.serve_until("[::]:50051", signal, Duration::from_secs(30))?;
    /// ended.wait(Duration::from_secs(1))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What [`add_insecure_port`](Self::add_insecure_port) and [`start`](Self::start) say; `signal` was not run then.
    pub fn serve_until(
        &self,
        address: &str,
        signal: impl FnOnce(),
        grace: impl Into<Option<Duration>>,
    ) -> Result<Stopped, ServeError> {
        self.core.life().may_start()?;
        self.add_insecure_port(address)?;
        self.start()?;
        let grace = grace.into();
        let end = || {
            let stopped = self.stop(grace);
            self.wait_for_termination(None);
            stopped
        };
        user::run_or_end(signal, || drop(end()));
        Ok(end())
    }

    /// Has `callback` run when the server is told to stop, by the first [`stop`](Self::stop) or by its drop, before its listeners close: for
    /// what is to be told to clients while calls still end, such as health. It runs on the thread that stops it, which waits for it, so be quick;
    /// a panic in it is logged. Of a server that was told to already, it runs here and now.
    pub fn on_stop(&self, callback: impl FnOnce() + Send + 'static) {
        self.on_stop.add(Box::new(callback));
    }

    /// Stops the server, without blocking. Listeners close at once and no new call is taken;
    /// calls in progress have `grace` to end, then they are cancelled: their clients see
    /// `UNAVAILABLE`. `None` is no grace.
    ///
    /// Called again, the shortest grace wins. May be called in a handler. The handle given
    /// back waits for the end; dropping it changes nothing, and it may outlive the server, of which it holds nothing.
    /// Dropping the server during a grace ends the grace.
    pub fn stop(&self, grace: impl Into<Option<Duration>>) -> Stopped {
        stop(&self.core, &self.on_stop, grace.into());
        Stopped::new(self.core.life(), &self.registry)
    }

    pub(crate) fn stopper(&self) -> Stopper {
        Stopper { core: Arc::downgrade(&self.core), on_stop: Arc::downgrade(&self.on_stop) }
    }

    /// How it is, and what it has counted. Never waits for anything but the locks of the server and its connections, each of which
    /// is held for moments; the time grows with the connections, some microseconds for a hundred. The counts cost calls next to nothing.
    ///
    /// ```
    /// use grpc_threads::ThreadPool;
    ///
    /// let server = grpc_threads::server(ThreadPool::new(4));
    /// let stats = server.stats();
    /// assert_eq!((stats.calls.started, stats.connections, stats.handlers), (0, 0, 0));
    /// ```
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.core.stats()
    }

    /// Waits until the server has stopped: every call is over, handlers that ignore
    /// cancellation may still run (see [`Stopped::wait`]). Blocks until then, or for
    /// `timeout`; any number of threads may wait, also before the start.
    pub fn wait_for_termination(&self, timeout: impl Into<Option<Duration>>) -> Termination {
        let timeout = timeout.into();
        let deadline = timeout.map_or(Deadline::NEVER, |time| Deadline::after(clock::now(), time));
        if self.core.life().wait(deadline) {
            Termination::Terminated
        } else {
            Termination::TimedOut
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(None);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("phase", &self.core.life().phase())
            .field("addresses", &self.local_addrs())
            .field("active", &self.core.life().running().active())
            .finish_non_exhaustive()
    }
}

/// Some 136 years, for a grace that lies beyond the clock.
const FOR_EVER: Duration = Duration::from_secs(1 << 32);
