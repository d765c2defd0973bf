//! Handlers that choose by themselves: [`GenericRpcHandler`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::handler::RpcMethodHandler;
use crate::metadata::Metadata;

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
///
/// So what a handler says of workers and of messages comes too late for a call that is asked for: [`reserved`](RpcMethodHandler::reserved),
/// [`thread_pool`](RpcMethodHandler::thread_pool) and the limits of messages are not heeded, and a warning in the log says so, once for a
/// server. They are where the paths are known beforehand: of a method that is registered, and of [`method_handlers`](Self::method_handlers).
pub trait GenericRpcHandler: Send + Sync + 'static {
    /// The handler for this call, or `None` if it is none of this one's.
    fn service(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler>;

    /// All paths this handler knows, if it always gives the same handler for the same
    /// path and no other: the server then looks calls up without asking it, reads
    /// single requests before it takes a worker, and heeds all that the handlers ask for. That goes for those added before any that is asked. `None`, the default, is "ask me".
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
