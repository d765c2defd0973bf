//! A channel: a target, at most one connection for new calls, and the calls that wait for it.
//!
//! Owns when to connect ([`connectivity`], pure), how ([`dial`]), which link a call gets,
//! the order of calls that queue, and who is told of changes ([`watch`]). Ignores
//! messages, methods and what becomes of a call once it is on a link.
//!
//! **Threads.** None of its own: it is moved on by calls, by the links' events and by the poller's
//! timers. Callbacks run on the notifier.
//!
//! **Locks.** One, the registry's rank: above links and calls, which are never touched under it.
//!
//! § `doc/connectivity-semantics-and-api.md`, `doc/connection-backoff.md`, `doc/naming.md`.

mod aside;
mod backoff;
mod connecting;
mod connectivity;
mod dial;
mod events;
mod idle;
mod notes;
mod options;
mod queue;
mod random;
mod settings;
mod shared;
mod state;
mod stats;
mod target;
mod watch;
mod watcher;
mod why;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::call::client::{
    Auth, CallDetails, ChannelEvent, ClientInterceptor, Core, Defaults, Expiry, Interceptors,
    Source, Template,
};
use crate::call::{Flow, StreamHooks};
use crate::credentials::{AuthMetadataContext, CallCredentials, ChannelCredentials};
use crate::error::{ConfigError, ResultError};
use crate::link::{Link, Terms};
use crate::metadata::Metadata;
use crate::reactor::{Crew, Poller, clock};
use crate::status::{Code, Status};
use crate::tally::Tally;
use crate::wire::headers::RequestTemplate;

use settings::Settings;
use shared::Shared;

pub use connectivity::Connectivity;
pub use options::ChannelBuilder;
pub use stats::{ChannelStats, SubchannelStats};
pub use watch::{ReadyFuture, Subscription};

pub(crate) use dial::Dial;
#[cfg(any(test, feature = "testing"))]
pub(crate) use dial::{Dialing, Outcome};
pub(crate) use stats::{channel, channels, socket, subchannel};

/// A connection to a server, made when it is first needed and made again when it is lost.
///
/// It is one connection: of its calls as many are under way at once as the server lets there be streams on it, 100 for a server of this
/// library ([`max_concurrent_streams`](crate::ServerOptions::max_concurrent_streams)). The next waits, in order, until one ends. So a
/// program that keeps 100 streams open, such as watches, makes no further call on that channel: give long streams channels of their
/// own. [`waits_for`](crate::Call::waits_for), and the text of a deadline, name the wait for a free stream.
///
/// Cheap to clone and usable from any thread. The multi-callables made from it and the calls that
/// run count as handles too: when the last of them is dropped, the channel closes.
///
/// A process made by `fork` makes channels of its own; see [the crate's page](crate#after-fork).
#[derive(Clone)]
pub struct Channel {
    handle: Arc<Handle>,
    /// What stands between its stubs and it.
    interceptors: Arc<Interceptors>,
}

/// What handles and calls hold: the last one closes the channel.
struct Handle {
    shared: Arc<Shared>,
}

/// A channel without encryption, with all options at their defaults.
///
/// `target` is `host:port`, `[ipv6]:port`, `dns:///host:port`, `ipv4:address:port` or
/// `ipv6:[address]:port`; the last two take a list with commas, tried in turn. Without a port it is 443, as
/// everywhere in gRPC, also where there is no TLS. An IPv6 address may have a zone, as in `[fe80::1%eth0]:50051`. There is no
/// `http://` in front of it. A UNIX socket is `unix:/run/my.sock` (also with a relative path, or as `unix:///run/my.sock`) or
/// `unix-abstract:name`; its server is told that it is `localhost`. Nothing is connected yet.
///
/// # Errors
/// When the target cannot be read, or the process cannot start the thread that serves all channels.
pub fn insecure_channel(target: &str) -> Result<Channel, ConfigError> {
    Channel::builder(target).connect_lazily()
}

/// A channel with these credentials, with all options at their defaults: over TLS, or to this machine alone.
///
/// `target` is as with [`insecure_channel`]; what the server has to prove is told at
/// [`ChannelBuilder::credentials`]. Nothing is connected yet.
///
/// ```no_run
/// use grpc_threads::credentials::local_channel_credentials;
/// use grpc_threads::secure_channel;
///
/// let channel = secure_channel("localhost:50051", &local_channel_credentials())?;
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
///
/// # Errors
/// When the target cannot be read, or names what no certificate can; or the process cannot start the thread that serves all
/// channels.
pub fn secure_channel(
    target: &str,
    credentials: &ChannelCredentials,
) -> Result<Channel, ConfigError> {
    Channel::builder(target).credentials(credentials).connect_lazily()
}

/// Begins to connect, and tells when the channel is ready.
#[must_use = "dropping it stops watching"]
pub fn channel_ready_future(channel: &Channel) -> ReadyFuture {
    ReadyFuture::new(&channel.handle.shared)
}

/// The same channel with these interceptors: the first is the outermost, and all are around those that the channel has
/// already. Both are one channel, with one connection; closing either closes both.
///
/// An interceptor should not hold the channel that it is set on, nor a method of it: neither would ever go, and its connection would stay
/// until [`Channel::close`]. `next.call` needs no channel.
///
/// § grpc-python's `intercept_channel`.
///
/// ```
/// use std::sync::Arc;
/// use grpc_threads::{CallDetails, ClientInterceptor, Status, StreamHooks, intercept_channel};
///
/// struct Noting;
///
/// impl ClientInterceptor for Noting {
///     fn stream(&self, details: &mut CallDetails) -> Result<StreamHooks, Status> {
///         let method = details.method().clone();
///         Ok(StreamHooks::new().on_end(move |status| println!("{method}: {status}")))
///     }
/// }
///
/// let channel = grpc_threads::insecure_channel("localhost:50051")?;
/// let channel = intercept_channel(&channel, [Arc::new(Noting) as _]);
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[must_use]
pub fn intercept_channel(
    channel: &Channel,
    interceptors: impl IntoIterator<Item = Arc<dyn ClientInterceptor>>,
) -> Channel {
    channel.intercepted(interceptors.into_iter().collect())
}

/// [`Channel::with_metadata`]'s.
struct Adding<F>(F);

impl<F> ClientInterceptor for Adding<F>
where
    F: Fn(&CallDetails) -> Result<Metadata, Status> + Send + Sync + 'static,
{
    fn stream(&self, details: &mut CallDetails) -> Result<StreamHooks, Status> {
        let added = (self.0)(details)?;
        details.metadata_mut().extend(&added);
        Ok(StreamHooks::new())
    }

    fn has_hooks_only(&self) -> bool {
        true
    }
}

impl Channel {
    /// Begins a channel with options.
    pub fn builder(target: &str) -> ChannelBuilder {
        ChannelBuilder::new(target)
    }

    fn new(settings: Settings, terms: Terms, dial: Box<dyn Dial>, poller: Arc<Poller>) -> Self {
        let shared = Shared::new(settings, Arc::new(terms), dial, poller);
        let handle = Arc::new(Handle { shared });
        Self { handle, interceptors: Interceptors::none() }
    }

    /// The same channel, whose calls send the metadata that `metadata` gives for each, behind their own. It runs on the thread that
    /// makes the call; a status in place of metadata ends the call with it. A client interceptor in one line.
    ///
    /// ```
    /// use grpc_threads::Metadata;
    ///
    /// let channel = grpc_threads::insecure_channel("localhost:50051")?;
    /// let traced = channel.with_metadata(|_| Ok(Metadata::new().with("trace-id", "4711")?));
    /// # Ok::<(), grpc_threads::ConfigError>(())
    /// ```
    #[must_use]
    pub fn with_metadata(
        &self,
        metadata: impl Fn(&CallDetails) -> Result<Metadata, Status> + Send + Sync + 'static,
    ) -> Self {
        self.intercepted(vec![Arc::new(Adding(metadata))])
    }

    /// These interceptors around those that the channel has.
    fn intercepted(&self, list: Vec<Arc<dyn ClientInterceptor>>) -> Self {
        let interceptors = Interceptors::around(list, &self.interceptors);
        Self { handle: self.handle.clone(), interceptors }
    }

    pub(crate) fn interceptors(&self) -> &Arc<Interceptors> {
        &self.interceptors
    }

    /// Has `listener` told of an event of each call that begins from now on: of this channel, by whatever handle on it or
    /// stub of it, old or new. The events are [`SendRequest`], [`RecvInitialMetadata`], [`RecvTrailingMetadata`],
    /// [`SendMessage`] and [`RecvMessage`]; each says when it is told and on which thread. Nobody stops listening.
    ///
    /// Of several for one event the first added is told first, and sees what the server sees, or has sent: the channel's interceptors
    /// are around it. [`Flow::Interrupt`] keeps an event from those behind it; what it has changed of it stays. An error ends
    /// the call with that status. A panic ends it as one in an interceptor's hook does. No lock is held while it
    /// runs, so it may take its time; its call waits for it. It may make calls, of which no listener is told. Where it asks the call's
    /// own handles for what it is being told it finds that as it came. It should not hold the channel, which would not be closed
    /// with its last handle then.
    ///
    /// Costs a call one look where nobody listens. Where somebody does, a call's way is longer, and its messages are copied
    /// once more.
    ///
    /// § grpclib's `listen`.
    ///
    /// ```
    /// use grpc_threads::{Flow, RecvTrailingMetadata, SendRequest};
    ///
    /// let channel = grpc_threads::insecure_channel("localhost:50051")?;
    /// channel.listen::<SendRequest>(|event| {
    ///     event.metadata_mut().append("trace-id", "4711")?;
    ///     Ok(Flow::Continue)
    /// });
    /// channel.listen::<RecvTrailingMetadata>(|event| {
    ///     println!("{}: {:?}", event.method(), event.status().code());
    ///     Ok(Flow::Continue)
    /// });
    /// # Ok::<(), grpc_threads::ConfigError>(())
    /// ```
    ///
    /// [`SendRequest`]: crate::SendRequest
    /// [`RecvInitialMetadata`]: crate::RecvInitialMetadata
    /// [`RecvTrailingMetadata`]: crate::RecvTrailingMetadata
    /// [`SendMessage`]: crate::SendMessage
    /// [`RecvMessage`]: crate::RecvMessage
    pub fn listen<E: ChannelEvent>(
        &self,
        listener: impl Fn(&mut E) -> Result<Flow, Status> + Send + Sync + 'static,
    ) {
        self.interceptors.events().listen(listener);
    }

    /// The state of the connection now. `try_to_connect`: if there is none, one is begun,
    /// and attempts go on until there is one; what is returned is the state before that. Never waits.
    pub fn state(&self, try_to_connect: bool) -> Connectivity {
        let state = self.handle.shared.state();
        if try_to_connect {
            self.handle.shared.want();
        }
        state
    }

    /// Waits until the state is another than `last`: true. False: `timeout` has passed. `None`: no bound,
    /// but [`close`](Self::close) from another thread changes the state too.
    #[must_use = "false: the time is over, and the state is still the same"]
    pub fn wait_for_state_change(&self, last: Connectivity, timeout: Option<Duration>) -> bool {
        let until = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        self.handle.shared.wait(until, |state| state != last).is_some()
    }

    /// Begins to connect if need be, again if the connection is lost meanwhile, and waits until there is one, `timeout` has
    /// passed, or the channel is closed from another thread.
    ///
    /// # Errors
    /// [`ResultError::NotReady`] when `timeout` has passed: it says the channel's state, and why the last attempt failed.
    /// [`ResultError::Rpc`] with CANCELLED when the channel is closed.
    pub fn wait_ready(&self, timeout: Option<Duration>) -> Result<(), ResultError> {
        let shared = &self.handle.shared;
        let until = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        match shared.wait_ready(until) {
            None => Err(shared.not_ready()),
            Some(Connectivity::Ready) if !shared.closed() => Ok(()),
            Some(_) => Err(ResultError::Rpc(Status::fixed(Code::Cancelled, "Channel closed!"))),
        }
    }

    /// Ends the pause after a failed attempt to connect: the next begins now, and later pauses are as after a first failure.
    /// For programs that learn that the network has come back; a channel that is not in `TransientFailure` does nothing at once.
    /// Never waits.
    ///
    /// § `doc/connection-backoff.md`; `grpc-go`'s `ResetConnectBackoff`.
    pub fn reset_connect_backoff(&self) {
        self.handle.shared.reset_backoff();
    }

    /// Tells `callback` the state now and each change from now on, on the library's notifier
    /// thread. Changes that follow each other quickly may be told as one. A closed channel tells `Shutdown`.
    /// `try_to_connect` is as with [`state`](Self::state). A callback that blocks holds up all others.
    pub fn subscribe(
        &self,
        callback: impl FnMut(Connectivity) + Send + 'static,
        try_to_connect: bool,
    ) -> Subscription {
        Subscription::new(&self.handle.shared, Box::new(callback), try_to_connect)
    }

    /// Closes the channel for all its handles: calls that run end with CANCELLED ("Channel
    /// closed!"), and so does every new one. Never waits; may be called again, and from any thread.
    pub fn close(&self) {
        self.handle.shared.close();
    }

    /// Closes the channel, but lets calls that run go on for up to `grace`. New calls and calls
    /// without a connection end with CANCELLED at once. Waits until the last call has ended, or for `grace`;
    /// a stream that nobody reads takes all of it.
    pub fn close_within(&self, grace: Duration) {
        self.handle.shared.close_within(grace);
    }

    /// The target, as it was given.
    #[must_use]
    pub fn target(&self) -> &str {
        self.handle.shared.settings.target.text()
    }

    /// How it is, what it has counted, and its connections. Never waits for anything but the locks of the channel and its
    /// connections, each of which is held for moments. The counts cost calls two additions to what they touch anyway.
    ///
    /// ```
    /// let channel = grpc_threads::insecure_channel("localhost:50051")?;
    /// let stats = channel.stats();
    /// assert_eq!((stats.calls.started, stats.calls.running()), (0, 0));
    /// # Ok::<(), grpc_threads::ConfigError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> ChannelStats {
        self.handle.shared.stats()
    }

    pub(crate) fn source(&self) -> Arc<dyn Source> {
        self.handle.clone()
    }
}

impl Source for Handle {
    fn link(&self) -> Option<Arc<Link>> {
        self.shared.link()
    }

    fn queue(&self, call: Arc<Core>) {
        self.shared.queue(call);
    }

    fn requeue(&self, call: Arc<Core>) {
        self.shared.requeue(call);
    }

    fn pump(&self) {
        self.shared.pump();
    }

    fn set_aside(&self, call: Arc<Core>) {
        self.shared.set_aside(call);
    }

    fn come_back(&self, call: &Core) {
        self.shared.come_back(call);
    }

    fn crew(&self) -> &Arc<Crew> {
        &self.shared.crew
    }

    fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    fn template(&self, path: &str) -> Template {
        let settings = &self.shared.settings;
        let (authority, https) = (settings.authority(), settings.is_secure());
        let agent = settings.user_agent.as_deref();
        let announced = self.shared.terms.encodings().announced();
        Arc::new(RequestTemplate::new(path, authority, https, agent).announcing(announced))
    }

    fn auth(&self, path: &str, own: Option<&CallCredentials>) -> Option<Arc<Auth>> {
        let settings = &self.shared.settings;
        let channel = settings.call_credentials();
        if channel.is_none() && own.is_none() {
            return None;
        }
        let context = AuthMetadataContext::new(settings.authority(), path);
        Some(Arc::new(Auth::new(channel, own, context, settings.is_private())))
    }

    fn forget(&self, call: &Core) {
        self.shared.forget(call);
    }

    fn closed(&self) -> bool {
        self.shared.closed()
    }

    fn waiting_for(&self) -> String {
        self.shared.waiting_for()
    }

    fn expiry(&self) -> &Arc<Expiry> {
        &self.shared.expiry
    }

    fn defaults(&self) -> &Defaults {
        &self.shared.defaults
    }

    fn terms(&self) -> &Arc<Terms> {
        &self.shared.terms
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("target", &self.target())
            .field("state", &self.handle.shared.state())
            .finish_non_exhaustive()
    }
}
