//! What is added to a server: [`Service`], a named set of methods; and handlers that
//! choose by themselves, [`GenericRpcHandler`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::handler::RpcMethodHandler;
use crate::metadata::Metadata;

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
    pub(in crate::server) name: String,
    pub(in crate::server) methods: Vec<(String, RpcMethodHandler)>,
    receive_limit: Option<usize>,
    send_limit: Option<usize>,
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
        Self { name: name.into(), methods: Vec::new(), receive_limit: None, send_limit: None }
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
        let Self { name, methods, receive_limit, send_limit } = self;
        methods.into_iter().map(move |(method, mut handler)| {
            handler.receive_limit = handler.receive_limit.or(receive_limit);
            handler.send_limit = handler.send_limit.or(send_limit);
            (format!("/{name}/{method}"), handler)
        })
    }
}

/// What is known of a call when its method is looked up.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HandlerCallDetails<'a> {
    /// The path: `/package.Service/Method`.
    pub method: &'a str,
    /// What the client sent before its messages.
    pub invocation_metadata: &'a Metadata,
}

/// Finds handlers for calls whose methods are not registered by name.
///
/// Asked in the order of adding, after the registered methods; the first that gives a
/// handler wins. Runs on a worker, as handlers do.
pub trait GenericRpcHandler: Send + Sync + 'static {
    /// The handler for this call, or `None` if it is none of this one's.
    fn service(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler>;

    /// All paths this handler knows, if it always gives the same handler for the same
    /// path and no other: the server then looks calls up without asking it, and reads
    /// single requests before it takes a worker. `None`, the default, is "ask me".
    fn method_handlers(&self) -> Option<HashMap<String, RpcMethodHandler>> {
        None
    }
}

impl<T: GenericRpcHandler + ?Sized> GenericRpcHandler for Arc<T> {
    fn service(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
        (**self).service(details)
    }

    fn method_handlers(&self) -> Option<HashMap<String, RpcMethodHandler>> {
        (**self).method_handlers()
    }
}

impl<T: GenericRpcHandler + ?Sized> GenericRpcHandler for Box<T> {
    fn service(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
        (**self).service(details)
    }

    fn method_handlers(&self) -> Option<HashMap<String, RpcMethodHandler>> {
        (**self).method_handlers()
    }
}

/// A [`GenericRpcHandler`] for the methods of one service, with its name.
pub trait ServiceRpcHandler: GenericRpcHandler {
    /// The full name of the service.
    fn service_name(&self) -> &str;
}

/// The methods of one service as a generic handler.
///
/// ```no_run
/// use grpc_threads::{ServicerContext, method_handlers_generic_handler};
/// use grpc_threads::unary_unary_rpc_method_handler;
///
/// let handler = method_handlers_generic_handler("demo.Echo", [(
///     "Say",
///     unary_unary_rpc_method_handler(|text: String, _: &ServicerContext| Ok(text)),
/// )]);
/// ```
pub fn method_handlers_generic_handler<N: Into<String>>(
    service: impl Into<String>,
    method_handlers: impl IntoIterator<Item = (N, RpcMethodHandler)>,
) -> MethodHandlersGenericHandler {
    let name = service.into();
    let methods = method_handlers
        .into_iter()
        .map(|(method, handler)| (format!("/{name}/{}", method.into()), handler))
        .collect();
    MethodHandlersGenericHandler { name, methods }
}

/// What [`method_handlers_generic_handler`] makes.
#[derive(Clone)]
pub struct MethodHandlersGenericHandler {
    name: String,
    methods: HashMap<String, RpcMethodHandler>,
}

impl GenericRpcHandler for MethodHandlersGenericHandler {
    fn service(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
        self.methods.get(details.method).cloned()
    }

    fn method_handlers(&self) -> Option<HashMap<String, RpcMethodHandler>> {
        Some(self.methods.clone())
    }
}

impl ServiceRpcHandler for MethodHandlersGenericHandler {
    fn service_name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for MethodHandlersGenericHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodHandlersGenericHandler")
            .field("service", &self.name)
            .field("methods", &self.methods.keys())
            .finish()
    }
}
