//! How a channel is set up: [`ChannelBuilder`].

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::call::client::{ClientInterceptor, Kept};
use crate::compression::{Compression, Compressor, Encodings};
use crate::credentials::ChannelCredentials;
use crate::error::{ConfigError, ConfigErrorKind};
use crate::link::Terms;
use crate::reactor::client_poller;
use crate::tell;

use super::Channel;
use super::dial::{Dial, Dialer, Tcp};
use super::settings::Settings;
use super::target::Target;

/// A day: beyond it an attempt to connect makes no sense, and time arithmetic could overflow.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(24 * 3600);

/// § gRFC A8: "grpc.keepalive_time_ms … the minimum is 10 seconds".
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(10);

/// Sets up a [`Channel`]. Begun with [`Channel::builder`]. A value out of its bounds is a [`ConfigError`] of
/// [`connect_lazily`](Self::connect_lazily), which names both.
///
/// ```
/// use std::time::Duration;
/// use grpc_threads::Channel;
///
/// let channel = Channel::builder("dns:///localhost:50051")
///     .user_agent("my-program/1.0")
///     .connect_timeout(Duration::from_secs(5))
///     .connect_lazily()?;
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[must_use = "a builder does nothing until `connect_lazily`"]
pub struct ChannelBuilder {
    settings: Result<Settings, ConfigError>,
    interceptors: Vec<Arc<dyn ClientInterceptor>>,
    compressors: Vec<Arc<dyn Compressor>>,
    dialer: Option<Dialer>,
}

impl ChannelBuilder {
    pub(super) fn new(target: &str) -> Self {
        Self {
            settings: Target::parse(target).map(Settings::new),
            interceptors: Vec::new(),
            compressors: Vec::new(),
            dialer: None,
        }
    }

    /// Makes the channel. Nothing is connected before the first call, or before somebody asks for it.
    ///
    /// # Errors
    /// When the target or an option is wrong, or the process cannot start the thread that
    /// serves all channels.
    pub fn connect_lazily(self) -> Result<Channel, ConfigError> {
        self.connect_by(None)
    }

    /// Makes the channel; `None`: over TCP, to where the target says.
    /// As [`connect_lazily`](Self::connect_lazily), by connections within the process, which have no TLS.
    #[cfg(feature = "testing")]
    pub(crate) fn connect_in_memory(self, dial: Box<dyn Dial>) -> Result<Channel, ConfigError> {
        if self.settings.as_ref().is_ok_and(Settings::is_secure) {
            let text =
                "credentials of TLS: a connection in memory has none, a port of the server has";
            return Err(ConfigError::new(ConfigErrorKind::Option, text));
        }
        self.connect_by(Some(dial))
    }

    pub(crate) fn connect_by(self, dial: Option<Box<dyn Dial>>) -> Result<Channel, ConfigError> {
        let settings = self.settings?;
        settings.validate()?;
        let encodings = Encodings::new(&self.compressors, settings.accept_compression.as_deref())?;
        encodings.configured(settings.defaults.compression)?;
        let poller = client_poller().map_err(|error| {
            let text = format!("the thread that serves channels cannot be started: {error}");
            ConfigError::new(ConfigErrorKind::State, text)
        })?;
        let security = settings.security()?;
        let target = settings.target.clone();
        let dial = dial.unwrap_or_else(|| Box::new(Tcp::new(target, security, self.dialer)));
        Ok(Channel::new(settings, Terms::new(encodings), dial, poller)
            .intercepted(self.interceptors))
    }

    /// Makes its connections by this function, which is given the target as it was written, and gives a socket that is connected: a
    /// `TcpStream`, a `UnixStream`, or the `OwnedFd` of one. For ways that the library does not know: a proxy, a jump host, a socket that is
    /// there already. Default: the target's addresses are connected to; they are not looked up then.
    ///
    /// It runs on a thread of the library's, one for each attempt, and may block: the channel gives an attempt up after
    /// [`connect_timeout`](Self::connect_timeout), whatever it does. An error, or a panic, is a failed attempt, and the channel's backoff follows.
    /// TLS goes over the socket as over any other.
    ///
    /// ```
    /// use std::net::TcpStream;
    /// use grpc_threads::Channel;
    ///
    /// let channel = Channel::builder("orders.internal:443")
    ///     .dialer(|_target| TcpStream::connect("127.0.0.1:50051"))
    ///     .connect_lazily()?;
    /// # Ok::<(), grpc_threads::ConfigError>(())
    /// ```
    pub fn dialer<S: Into<OwnedFd>>(
        mut self,
        dialer: impl Fn(&str) -> io::Result<S> + Send + Sync + 'static,
    ) -> Self {
        self.dialer = Some(Dialer::new(dialer));
        self
    }

    /// Puts this between the stubs of the channel and their calls, inside of those that were given before. Default: none; a
    /// channel without one pays nothing for them.
    pub fn interceptor(mut self, interceptor: impl ClientInterceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// What to trust of the server, and what to show it: the channel is secure. Default: none, plain octets.
    ///
    /// With TLS the server has to show a certificate for the host of the target; for `ipv4:` and `ipv6:` targets, and for a
    /// host that is an address, for the address. It has to speak HTTP/2, and to agree on that (ALPN).
    ///
    /// With [`local_channel_credentials`](crate::credentials::local_channel_credentials) the server has to be on this
    /// machine: addresses other than loopback ones are not connected to. Call credentials that were put together with these
    /// are sent with all calls.
    pub fn credentials(self, credentials: &ChannelCredentials) -> Self {
        self.set(|settings| {
            settings.security = Some(credentials.security().clone());
            settings.call_credentials = credentials.calls().cloned().map(Kept::new);
        })
    }

    /// The name that the server's certificate has to be for, instead of the target's host. It is also the `:authority` of
    /// calls, unless [`authority`](Self::authority) says another. For tests, and for servers behind addresses. Default:
    /// none. Without [`credentials`](Self::credentials) it is a [`ConfigError`].
    ///
    /// § `GRPC_SSL_TARGET_NAME_OVERRIDE_ARG` of gRPC's core.
    #[cfg(feature = "_tls")]
    pub fn ssl_target_name_override(self, name: impl Into<String>) -> Self {
        self.set(|settings| settings.target_name_override = Some(name.into()))
    }

    /// The `:authority` of the calls, instead of the target's host and port. For proxies and tests.
    pub fn authority(self, authority: impl Into<String>) -> Self {
        self.set(|settings| settings.authority = Some(authority.into()))
    }

    /// Your program's name, put in front of the library's in `user-agent`.
    pub fn user_agent(self, name: impl Into<String>) -> Self {
        self.set(|settings| settings.user_agent = Some(name.into()))
    }

    /// How long one attempt to connect may take, from resolving the name to the server's first
    /// word. Default: 20 s; at least 1 ms. More than a day is taken for a day. Shorter ones notice dead addresses sooner.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.timing.attempt = timeout.min(LONGEST_ATTEMPT))
    }

    /// The pause after a first failed attempt to connect, and the longest; it grows by 1.6 for each failure in a row.
    /// Default: 1 s and 120 s, ±20 %. Shorter ones find a server that comes back sooner, and weigh more on one that does not. Zero
    /// is no pause. A `first` above `longest` is taken for that.
    pub fn reconnect_backoff(self, first: Duration, longest: Duration) -> Self {
        self.set(|settings| {
            settings.timing.backoff.first = first;
            settings.timing.backoff.longest = longest;
        })
    }

    /// A connection on which no call was made for so long, and none runs, is closed, and the channel goes to IDLE; the next call makes
    /// another. `None`: never. Default: 30 minutes; at least 1 s. It is looked at by a timer, so up to twice the time may pass. Shorter
    /// ones free the server of clients that are there and do nothing.
    pub fn idle_timeout(self, time: impl Into<Option<Duration>>) -> Self {
        let time = time.into();
        self.set(|settings| settings.idle_timeout = time)
    }

    /// Whether calls that say nothing themselves are made once more when the server refuses them with
    /// `RST_STREAM(REFUSED_STREAM)`. Default: true. Turn it off where a proxy on the way says so of calls that were run, and
    /// methods must not run twice: see [`CallOptions::retry_refused`](crate::CallOptions::retry_refused).
    pub fn retry_refused(self, retry: bool) -> Self {
        self.set(|settings| settings.defaults.retry_refused = retry)
    }

    /// The longest message that is accepted, in bytes, both as it comes and once it is decompressed; a longer one ends its call
    /// with `RESOURCE_EXHAUSTED`. Default: 4 MiB; 0 admits empty ones alone. Bounds the memory of one message.
    pub fn max_receive_message_size(self, bytes: usize) -> Self {
        self.set(|settings| settings.defaults.max_receive = bytes)
    }

    /// The longest message that is sent, in bytes, as it is before it is compressed; a longer one ends its call with
    /// `RESOURCE_EXHAUSTED`. Default: no limit; 0 lets empty ones out alone.
    pub fn max_send_message_size(self, bytes: usize) -> Self {
        self.set(|settings| settings.defaults.max_send = bytes)
    }

    /// What the requests of calls are compressed by that say nothing themselves. Default: [`Compression::None`], which says why. It costs
    /// time on the caller's thread, up to 20 ns a byte, and saves time on thin lines. One that is not registered is a
    /// [`ConfigError`]. See [`CallOptions::compression`](crate::CallOptions::compression).
    pub fn compression(self, compression: Compression) -> Self {
        self.set(|settings| settings.defaults.compression = compression)
    }

    /// A compression of your own: for responses that come in it, and for requests where
    /// [`Compression::Custom`] of its name is asked for. Two of one name are a [`ConfigError`]. The library's notifier thread drops it.
    pub fn compressor(mut self, compressor: impl Compressor) -> Self {
        self.compressors.push(Arc::new(compressor));
        self
    }

    /// Which compressions servers may answer in, in the order in which they are told. Default: all there are, gzip first. One that is
    /// not listed ends the call that is answered in it with `INTERNAL`. None (`[]`): servers are told `identity`; but grpc-go and
    /// grpcio may compress all the same.
    pub fn accept_compression(self, accepted: impl IntoIterator<Item = Compression>) -> Self {
        let accepted = accepted.into_iter().collect();
        self.set(|settings| settings.accept_compression = Some(accepted))
    }

    /// The longest list of response headers or trailers, in bytes as HTTP/2 counts them: each field is its name, its value and
    /// 32, and each part of a `-bin` value with commas is a field. Default: 16 KiB; at least 1 KiB. The server is told of it.
    /// gRPC servers cut or refuse what is longer; what comes all the same ends its call with `RESOURCE_EXHAUSTED`. Raise it
    /// for long messages or details of statuses. Each call may hold about four times as much memory.
    pub fn max_metadata_size(self, bytes: usize) -> Self {
        self.set(|settings| settings.http2.max_header_list = bytes)
    }

    /// How many bytes all calls of a connection may have received and not yet read, beyond
    /// 128 KiB each. Default: 16 MiB; at least 64 KiB. More fills long fat lines with many streams; this is the channel's largest use of
    /// memory. A reply that somebody waits for comes even when others have used it up.
    pub fn receive_budget(self, bytes: usize) -> Self {
        self.set(|settings| settings.http2.window_budget = bytes)
    }

    /// How many bytes of one call's requests may wait to be sent before their sender waits
    /// ([`RequestSender::send`](crate::RequestSender::send)) or is refused (`try_send`). Default: 64 KiB; at least 1. It bounds what each
    /// call holds for a server that does not take it, up to one message more. Raise it for producers that are not to be held up by a
    /// server that pauses; lower it where calls are many, or what waits grows stale.
    pub fn send_buffer(self, bytes: usize) -> Self {
        self.set(|settings| settings.http2.send_quota = bytes)
    }

    /// How long a reply that is longer than its call's window may come in without progress while other replies of the
    /// connection wait for its room. Default: 20 s, at least 1 s; [`Duration::MAX`]: for ever. Less than 1 KiB a second is no
    /// progress. Then its call ends with `RESOURCE_EXHAUSTED`. A call's deadline ends it sooner. Raise it for servers
    /// that pause in the middle of a message. It does not matter to other calls: these pass a reply that does not come on
    /// within seconds, unless twice [`receive_budget`](Self::receive_budget) is held by such.
    pub fn message_timeout(self, longest: Duration) -> Self {
        self.set(|settings| settings.http2.message_timeout = longest)
    }

    /// How many bytes of one call the server may send ahead, at most; it begins with 128 KiB
    /// and grows with the line. Default: 16 MiB; at least 65 535. More than 2³¹-1, which is HTTP/2's most, is taken for that.
    pub fn max_stream_window(self, bytes: u32) -> Self {
        self.set(|settings| settings.http2.max_window = bytes.min((1 << 31) - 1))
    }

    /// Asks a silent server whether it lives after `time`, and gives the
    /// connection up after `timeout` without an answer. Default: never asks; 20 s, at least 1 ms. `without_calls`: also while no call runs.
    ///
    /// Less than 10 s is taken for 10 s, and logged. Servers end connections that ask too often, by default
    /// more than once in 5 minutes: a server that says so (`too_many_pings`) doubles the time for the channel's next
    /// connections, which is logged, too.
    pub fn keepalive(self, time: Duration, timeout: Duration, without_calls: bool) -> Self {
        self.set(|settings| {
            if time < SHORTEST_KEEPALIVE {
                tell::warn!("keepalive after {time:?} is too often: it is {SHORTEST_KEEPALIVE:?}");
            }
            settings.http2.keepalive.time = Some(time.max(SHORTEST_KEEPALIVE));
            settings.http2.keepalive.timeout = timeout;
            settings.http2.keepalive.without_calls = without_calls;
        })
    }

    /// Gives a connection up whose server takes nothing for this long, though something waits to be sent to it and the
    /// socket is full, whatever the server sends itself. Default: 20 s; at least 100 ms; `Duration::MAX` is never.
    /// Longer suits servers that stop reading for a while; until then calls wait, up to their deadlines.
    pub fn write_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.http2.write_timeout = timeout)
    }

    /// How long a lone waiting call looks at the socket before it sleeps. Default: zero. Up to 50 µs saves
    /// the time a sleeping CPU takes to wake, at the price of keeping it busy. At most 1 ms: more is a [`ConfigError`].
    pub fn busy_poll(self, time: Duration) -> Self {
        self.set(|settings| settings.busy_poll = time)
    }

    /// How many bytes the events may take that the channel keeps of itself, and as many those of its subchannel, for
    /// [`ChannelStats::trace`](crate::stats::ChannelStats::trace) and channelz. Default: 4 KiB; 0 keeps none. The oldest go first; one that is
    /// longer is cut. More shows more of the past of a channel whose connections come and go.
    ///
    /// § `grpc.max_channel_trace_event_memory_per_node`.
    pub fn trace_memory(self, bytes: usize) -> Self {
        self.set(|settings| settings.trace_memory = bytes)
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        if let Ok(settings) = &mut self.settings {
            change(settings);
        }
        self
    }
}

impl fmt::Debug for ChannelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelBuilder").field("settings", &self.settings).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_when_it_is_built() {
        let kind = |builder: ChannelBuilder| builder.connect_lazily().unwrap_err().kind();
        assert_eq!(kind(ChannelBuilder::new("")), ConfigErrorKind::Target);
        assert_eq!(kind(ChannelBuilder::new("h:1").authority("a\nb")), ConfigErrorKind::Option);
        assert_eq!(kind(ChannelBuilder::new("h:1").user_agent("")), ConfigErrorKind::Option);
    }

    #[test]
    fn an_option_out_of_its_bounds_is_named_with_them() {
        let told = |builder: ChannelBuilder| {
            let error = builder.connect_lazily().unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::Option);
            error.to_string()
        };
        let builder = || ChannelBuilder::new("h:1");
        for (builder, words) in [
            (
                builder().connect_timeout(Duration::ZERO),
                "connect_timeout is 0ns, and has to be at least",
            ),
            (builder().receive_budget(0), "receive_budget is 0, and has to be at least 65536"),
            (builder().send_buffer(0), "send_buffer is 0, and has to be at least 1"),
            (
                builder().max_stream_window(0),
                "max_stream_window is 0, and has to be at least 65535",
            ),
            (
                builder().write_timeout(Duration::ZERO),
                "write_timeout is 0ns, and has to be at least 100ms",
            ),
            (
                builder().busy_poll(Duration::from_millis(2)),
                "busy_poll is 2ms, and has to be at most 1ms",
            ),
            (builder().busy_poll(Duration::MAX), "busy_poll"),
            (
                builder().max_metadata_size(1_023),
                "max_metadata_size is 1023, and has to be at least 1024",
            ),
            (
                builder().keepalive(Duration::MAX, Duration::ZERO, true),
                "keepalive (its timeout) is 0ns",
            ),
            (builder().message_timeout(Duration::from_millis(999)), "message_timeout is 999ms"),
            (builder().idle_timeout(Duration::from_millis(999)), "idle_timeout is 999ms"),
        ] {
            let told = told(builder);
            assert!(told.contains(words), "{told}");
        }
        let least = builder().max_receive_message_size(0).max_send_message_size(0);
        let least = least.reconnect_backoff(Duration::ZERO, Duration::ZERO);
        assert!(least.max_stream_window(u32::MAX).connect_lazily().is_ok(), "these have a meaning");
    }
}
