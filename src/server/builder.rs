//! Setting up a server: [`ServerBuilder`].

use std::fmt;
use std::sync::Arc;

use super::Server;
use super::life::{Core, ServerOptions};
use super::service::ServerInterceptor;
use crate::compression::{Compressor, Encodings};
use crate::error::ConfigError;
use crate::link::Terms;
use crate::reactor::{Executor, ThreadPool};

/// Sets up a [`Server`]; see [`Server::builder`].
#[derive(Default)]
pub struct ServerBuilder {
    pool: Option<ThreadPool>,
    executor: Option<Arc<dyn Executor>>,
    interceptors: Vec<Arc<dyn ServerInterceptor>>,
    options: ServerOptions,
    compressors: Vec<Arc<dyn Compressor>>,
}

impl ServerBuilder {
    /// The workers that run the handlers. Pools may be shared by servers. Default: a pool of
    /// its own with 10 workers.
    #[must_use]
    pub fn thread_pool(mut self, pool: ThreadPool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Runs the handlers on threads of your own. The thread pool then only reads: one worker
    /// is enough for it, and the default.
    ///
    /// The server, its connections and its calls hold the executor, and the last that lets go drops it: the thread that
    /// drops the server, a worker of the thread pool, or one of the executor's own, whose job was the last. So its `Drop` must
    /// not join its own threads: tell them to end, and join them elsewhere, or not at all. A thread that reads sockets does
    /// not drop it.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.executor = Some(Arc::new(executor));
        self
    }

    /// Puts this around all handlers, inside of those that were given before. Default: none; a server without one pays
    /// nothing for them. With one, calls of unknown methods reach a worker, too, so that it sees them.
    #[must_use]
    pub fn interceptor(mut self, interceptor: impl ServerInterceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// All other settings.
    #[must_use]
    pub fn options(mut self, options: ServerOptions) -> Self {
        self.options = options;
        self
    }

    /// A compression of your own: for requests that come in it, and for responses where
    /// [`Compression::Custom`](crate::Compression::Custom) of its name is asked for. Two of one name are a [`ConfigError`]. The library's
    /// notifier thread drops it.
    #[must_use]
    pub fn compressor(mut self, compressor: impl Compressor) -> Self {
        self.compressors.push(Arc::new(compressor));
        self
    }

    /// The server: no port, no method, not started.
    ///
    /// # Errors
    /// Options that cannot work.
    pub fn build(self) -> Result<Server, ConfigError> {
        self.options.validate()?;
        let accepted = self.options.accept_compression.as_deref();
        let encodings = Encodings::new(&self.compressors, accepted)?;
        encodings.configured(self.options.compression)?;
        let workers = if self.executor.is_some() { 1 } else { 10 };
        let pool = self.pool.unwrap_or_else(|| ThreadPool::new(workers));
        let terms = Terms::new(encodings);
        let core = Core::new(self.options, terms, self.executor, self.interceptors);
        Ok(Server::with(pool, core))
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("pool", &self.pool)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A server with options.
    ///
    /// ```
    /// use grpc_threads::{Server, ServerOptions, ThreadPool};
    ///
    /// let server = Server::builder()
    ///     .thread_pool(ThreadPool::new(4))
    ///     .options(ServerOptions::default().max_receive_message_size(1 << 20))
    ///     .build()?;
    /// # Ok::<(), grpc_threads::ConfigError>(())
    /// ```
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }
}
