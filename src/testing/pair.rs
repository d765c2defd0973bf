//! A channel and its server: [`Pair`], and the parts that it is made of.

use crate::channel::{Channel, ChannelBuilder};
use crate::error::ConfigError;
use crate::reactor::ThreadPool;
use crate::server::{IntoService, ServeError, Server, ServerBuilder, Service};

use super::Faults;
use super::dial::InMemory;

/// What the channel of a pair names its server: its `:authority`.
const NAME: &str = "in.memory";
/// Workers of a pair's own pool.
const WORKERS: usize = 4;

/// A started server of `service`, and a channel to it, with no socket between them.
///
/// `service` is a [`Service`], or a generated server; for several, or with options, use
/// [`Pair::builder`]. The server has a pool of four workers, which are gone a moment after the pair is dropped.
///
/// # Errors
/// Names of the service that are none; when no thread can be had.
pub fn pair(service: impl IntoService) -> Result<Pair, ServeError> {
    Pair::builder().service(service).start()
}

/// A channel to `server` in memory, with all options at their defaults. Nothing is connected yet.
///
/// The server may be any: with ports, with more such channels, started now or later ([`Server::start`], or [`start`] for one that
/// listens nowhere). The channel holds nothing of it. Until the server is started, and once it is stopped, an attempt to
/// connect fails at once, as to a port where nobody listens.
///
/// # Errors
/// When the process cannot start the thread that serves all channels.
pub fn channel(server: &Server) -> Result<Channel, ConfigError> {
    connect(server, Channel::builder(NAME))
}

/// As [`channel`], with the options of a builder. Its target is never resolved: it is what the server is told as `:authority`, and
/// what texts of errors name. A [`dialer`](ChannelBuilder::dialer) is not asked, and local credentials are good; TLS is not
/// made in memory.
///
/// # Errors
/// Options that cannot work, credentials of TLS; when the process cannot start the thread that serves all channels.
pub fn connect(server: &Server, builder: ChannelBuilder) -> Result<Channel, ConfigError> {
    builder.connect_in_memory(Box::new(InMemory { door: server.door(), faults: None }))
}

/// Starts a server that need not listen anywhere: as [`Server::start`], without its warning about that.
///
/// # Errors
/// As there.
pub fn start(server: &Server) -> Result<(), ServeError> {
    server.begin().map(drop)
}

/// A server and a channel to it: see [`pair()`].
///
/// Dropping it stops the server at once ([`Server::stop`] with no grace); the channel, of which others may have handles, finds
/// that out, and what it says then is UNAVAILABLE. For a stop with a grace use [`server`](Self::server).
#[derive(Debug)]
pub struct Pair {
    channel: Channel,
    server: Server,
}

impl Pair {
    /// Begins a pair of several services, or with options of either side.
    pub fn builder() -> PairBuilder {
        let server = Server::builder().thread_pool(ThreadPool::new(WORKERS));
        PairBuilder { channel: Channel::builder(NAME), server, services: Vec::new(), faults: None }
    }

    /// The channel. It is connected by its first call.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The server. It runs until it is stopped, or dropped with the pair.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Both, to be kept apart.
    #[must_use]
    pub fn into_parts(self) -> (Channel, Server) {
        (self.channel, self.server)
    }
}

/// Sets up a [`Pair`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct PairBuilder {
    channel: ChannelBuilder,
    server: ServerBuilder,
    services: Vec<Service>,
    faults: Option<Faults>,
}

impl PairBuilder {
    /// One more service: a [`Service`], or a generated server.
    pub fn service(mut self, service: impl IntoService) -> Self {
        self.services.push(service.into_service());
        self
    }

    /// The server's options, pool, interceptors and so on, in place of what was said before. Default: all at their defaults, and
    /// a pool of four workers. Where the builder names no pool, the pool is the server's own default.
    ///
    /// ```
    /// use grpc_threads::{Server, ServerOptions, testing};
    ///
    /// let options = ServerOptions::default().max_concurrent_streams(1);
    /// let pair = testing::Pair::builder().server(Server::builder().options(options)).start()?;
    /// # Ok::<(), grpc_threads::ServeError>(())
    /// ```
    pub fn server(mut self, builder: ServerBuilder) -> Self {
        self.server = builder;
        self
    }

    /// The channel's options, as with [`connect`], in place of what was said before.
    ///
    /// ```
    /// use std::time::Duration;
    /// use grpc_threads::{Channel, testing};
    ///
    /// let second = Duration::from_secs(1);
    /// let channel = Channel::builder("my.server:443").reconnect_backoff(second, second);
    /// let pair = testing::Pair::builder().channel(channel).start()?;
    /// assert_eq!(pair.channel().target(), "my.server:443");
    /// # Ok::<(), grpc_threads::ServeError>(())
    /// ```
    pub fn channel(mut self, builder: ChannelBuilder) -> Self {
        self.channel = builder;
        self
    }

    /// What happens between the two. Default: nothing.
    pub fn faults(mut self, faults: &Faults) -> Self {
        self.faults = Some(faults.clone());
        self
    }

    /// The server, started, and the channel, not yet connected.
    ///
    /// # Errors
    /// Options of either side that cannot work, names of services that are none, credentials of TLS; when no thread can be had.
    pub fn start(self) -> Result<Pair, ServeError> {
        let server = self.server.build()?;
        self.services.into_iter().try_for_each(|service| server.add_service(service))?;
        start(&server)?;
        let channel = match &self.faults {
            Some(faults) => faults.connect(&server, self.channel)?,
            None => connect(&server, self.channel)?,
        };
        Ok(Pair { channel, server })
    }
}
