//! What is added to a server: [`Service`], a named set of methods.

use super::handler::RpcMethodHandler;
use crate::reactor::ThreadPool;

/// A service: its full name and its methods. Generated servers turn into one.
///
/// ```no_run
/// use grpc_threads::{Service, ServicerContext, unary_unary_rpc_method_handler};
///
/// let echo = Service::new("demo.Echo").method(
///     "Say",
///     unary_unary_rpc_method_handler(|text: String, _: &ServicerContext| Ok(text)),
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    methods: Vec<(String, RpcMethodHandler)>,
    receive_limit: Option<usize>,
    send_limit: Option<usize>,
    reserved: bool,
    pool: Option<ThreadPool>,
}

/// What [`Server::add_service`](crate::Server::add_service) takes: a [`Service`], and what turns into one, as generated
/// servers do. There is nothing to implement: say `impl From<Mine> for Service`.
///
/// ```compile_fail
/// struct Mine;
///
/// // An implementation is no service yet: of a generated trait `Greeter` it is `GreeterServer::new(Mine)`.
/// grpc_threads::server(grpc_threads::ThreadPool::new(1)).add_service(Mine);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no service",
    label = "neither a `Service` nor what turns into one",
    note = "the implementation of a generated trait `X` is added by `add_service(XServer::new(implementation))`"
)]
pub trait IntoService {
    /// The service.
    fn into_service(self) -> Service;
}

#[diagnostic::do_not_recommend]
impl<S: Into<Service>> IntoService for S {
    fn into_service(self) -> Service {
        self.into()
    }
}

impl Service {
    /// A service with no methods yet. `name` is with its package and without slashes, such as `demo.Echo`; what is no name
    /// is an error of [`Server::add_service`](crate::Server::add_service).
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            methods: Vec::new(),
            receive_limit: None,
            send_limit: None,
            reserved: false,
            pool: None,
        }
    }

    /// Adds a method. `name` is as in the service definition, such as `Say`.
    #[must_use]
    pub fn method(mut self, name: impl Into<String>, handler: RpcMethodHandler) -> Self {
        self.methods.push((name.into(), handler));
        self
    }

    /// The longest request message of the methods that have no limit of their own, in bytes.
    #[must_use]
    pub fn max_receive_message_size(mut self, bytes: usize) -> Self {
        self.receive_limit = Some(bytes);
        self
    }

    /// The longest response message of the methods that have no limit of their own, in bytes.
    #[must_use]
    pub fn max_send_message_size(mut self, bytes: usize) -> Self {
        self.send_limit = Some(bytes);
        self
    }

    /// Has the calls of all its methods run before all others, and also where these are too many: neither the pool's queue nor
    /// [`maximum_concurrent_rpcs`](crate::ServerOptions::maximum_concurrent_rpcs) refuses them, and where all workers are busy they run on
    /// up to four threads beside the pool (a thousand may wait for these). For what has to be answered when nothing else is, such as health and reflection: for handlers
    /// that return at once. How many streams a connection may have open counts for them, too.
    ///
    /// An [`Executor`](crate::Executor) of your own is told by [`Job::is_reserved`](crate::Job::is_reserved).
    #[must_use]
    pub fn reserved(mut self) -> Self {
        self.reserved = true;
        self
    }

    /// Has its methods run by this pool, and not by the server's, which then only reads their requests: a service whose handlers
    /// wait for long is in no other's way. A method may have one of its own. The pool starts with the server, and each call costs a
    /// hand-over to its threads.
    #[must_use]
    pub fn thread_pool(mut self, pool: ThreadPool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of its methods.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(|(name, _)| name.as_str())
    }

    /// Paths and handlers, with the service's limits where a method has none.
    pub(in crate::server) fn into_entries(
        self,
    ) -> impl Iterator<Item = (String, RpcMethodHandler)> {
        let Self { name, methods, receive_limit, send_limit, reserved, pool } = self;
        methods.into_iter().map(move |(method, mut handler)| {
            handler.receive_limit = handler.receive_limit.or(receive_limit);
            handler.send_limit = handler.send_limit.or(send_limit);
            handler.reserved |= reserved;
            handler.pool = handler.pool.or_else(|| pool.clone());
            (format!("/{name}/{method}"), handler)
        })
    }
}
