//! What may be set on a server, in one struct: [`ServerOptions`].

use std::time::Duration;

use crate::compression::Compression;
use crate::http2::types::Role;
use crate::http2::{AgeOptions, Enforcement, Options, Rate};
use crate::net::Listening;
use crate::tally::TRACE_MEMORY;

/// Settings of a [`Server`](crate::Server). The defaults are safe for a server that strangers can reach. A value out of its
/// bounds is a [`ConfigError`](crate::ConfigError) of [`ServerBuilder::build`](crate::ServerBuilder::build), which names both.
///
/// ```
/// use grpc_threads::ServerOptions;
///
/// let options = ServerOptions::default()
///     .max_receive_message_size(16 << 20)
///     .maximum_concurrent_rpcs(1_000);
/// assert_eq!(options.max_receive_message_size, 16 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The longest request message, in bytes, both as it comes and once it is decompressed; a longer one ends its call with
    /// `RESOURCE_EXHAUSTED` before it is read, or while it is decompressed. Default 4 MiB. A service or a method may
    /// have its own. 0 admits empty messages alone. Each call in progress may hold that much memory.
    pub max_receive_message_size: usize,
    /// The longest response message, in bytes, as it is before it is compressed; a longer one ends its call with
    /// `RESOURCE_EXHAUSTED`. Default: no limit; 0 lets empty ones out alone. A service or a method may have its own.
    pub max_send_message_size: usize,
    /// How many calls may be running or waiting for a worker, in the whole server; one more
    /// ends at once with `RESOURCE_EXHAUSTED`. Default: no limit besides the worker pool's
    /// queue; at least 1. Set it to answer overload with an error rather than with delay.
    pub maximum_concurrent_rpcs: Option<usize>,
    /// How many calls one connection may have open. Default 100, at least 1. Clients queue what is above it. Of one connection no
    /// more handlers run than this, either: where clients give calls up whose handlers go on, their next ones wait until
    /// handlers return, and hold what of them has come.
    pub max_concurrent_streams: u32,
    /// Within what time a request has to be complete whose method takes it whole (unary and unary-stream), from its headers
    /// on. Default 5 minutes, at least 1 ms. One that is not ends with `CANCELLED`, or with `DEADLINE_EXCEEDED` if its own deadline was sooner.
    /// Less frees sooner what unfinished requests hold; more lets slow lines send long messages. `Duration::MAX` is no limit.
    pub request_timeout: Duration,
    /// How many calls of one connection clients may take back before their handlers have done anything about it, at once.
    /// More end the connection with `ENHANCE_YOUR_CALM`. A call whose handler returns after all, or that is answered, does not
    /// count: a client may cancel everything as fast as the server works it off. Default 100 000, at
    /// least 1.
    pub reset_burst: u32,
    /// How many more of these every second, or none (0). Default 100 000, which honest clients do not reach. One costs some 3 µs and never
    /// a handler; less bounds what a hostile connection can cost, at the price of clients that give up much at once.
    pub resets_per_second: u32,
    /// How many mistakes against HTTP/2 a connection may make that end a stream only, and empty frames, at once.
    /// More end the connection with `ENHANCE_YOUR_CALM`. Default 100, at least 1. Honest clients make none.
    pub error_burst: u32,
    /// How many more of these every second, or none (0). Default 10.
    pub errors_per_second: u32,
    /// The longest list of request metadata, in bytes as HTTP/2 counts them (each field is
    /// its name, its value and 32; each part of a `-bin` value with commas is a field). Default 16 KiB, at least 1 KiB. More ends the
    /// call with `RESOURCE_EXHAUSTED`. One field in 64 bytes of it may come, and each call may hold about four times as
    /// much memory.
    pub max_metadata_size: usize,
    /// How much unread request data one connection may hold beyond 128 KiB for each call, in bytes. Default 16 MiB, at
    /// least 64 KiB. Less
    /// bounds memory more tightly and slows large uploads over slow lines. A message that a handler waits for comes
    /// even when others have used it up.
    pub receive_budget: usize,
    /// How much of a call's responses may wait to be sent, in bytes, before its sender waits
    /// ([`ServerStream::send`](crate::ServerStream::send)) or is refused (`try_send`). Default 64 KiB, at least 1. It bounds what each call
    /// holds for a client that does not take it, up to one message more. Raise it for producers that are not to be held up by a client that
    /// pauses; lower it where calls are many, or what waits grows stale.
    pub send_buffer: usize,
    /// How much of its answers one connection may leave untaken, beyond [`send_buffer`](Self::send_buffer) for each call, before its further requests wait
    /// with their handlers not started (all but one), in bytes. Default 16 MiB; 0 is nothing beyond them. What handlers that have started
    /// answer comes on top of it.
    pub send_budget: usize,
    /// How long a request message that is longer than its call's window may come in without progress. Default 20 s, at least
    /// 1 s; [`Duration::MAX`]: for ever. Less than 1 KiB a second is no progress. Then its call is reset, which its client sees as
    /// `RESOURCE_EXHAUSTED`: such messages hold up to twice [`receive_budget`](Self::receive_budget) of a connection's memory.
    /// A call's deadline ends it sooner. Raise it for clients that pause in the middle of a message. It does
    /// not matter to other calls: these pass a message that does not come on within seconds.
    pub message_timeout: Duration,
    /// The server asks a connection that has been silent this long for a sign of life.
    /// Default 2 hours, at least 1 ms. Shorter finds dead clients sooner.
    pub keepalive_time: Duration,
    /// A connection that gives no sign of life within this time is closed. Default 20 s, at least 1 ms.
    pub keepalive_timeout: Duration,
    /// A connection whose client takes nothing for this long, though something waits to be sent to it and its socket is
    /// full, is closed, whatever it sends itself. Default 20 s, at least 100 ms; `Duration::MAX` is never. Longer suits clients that stop
    /// reading for a while; until then they hold what was to be sent to them.
    pub write_timeout: Duration,
    /// A connection that has had no call for so long is ended, gracefully: its client connects anew for its next call, unseen. Default
    /// `Duration::MAX`: never; at least 1 ms. Frees what clients hold that have no more to ask: a descriptor and some 4 KiB each.
    pub max_connection_idle: Duration,
    /// A connection of this age is ended, gracefully, whatever it has: its client makes its next calls on a new one, perhaps of
    /// another server behind the same name, which is what this is for. Up to a tenth more or less, for each connection by chance, so that those that
    /// came together do not all come again together. Default `Duration::MAX`: never; at least 1 ms.
    pub max_connection_age: Duration,
    /// How long the calls of such a connection may take to end; then they are cut, and their clients see `UNAVAILABLE`. Default
    /// `Duration::MAX`: for as long as they like.
    pub max_connection_age_grace: Duration,
    /// How often a client may ask for a sign of life (PING) while it has calls. One that asks sooner has made a mistake, and is forgiven
    /// [`max_ping_strikes`](Self::max_ping_strikes) of them before its connection ends with `ENHANCE_YOUR_CALM` and `too_many_pings`. What is sent to it
    /// clears them. Default 5 minutes, as everywhere in gRPC; zero: as often as it likes. Lower it for clients whose keepalive is shorter.
    pub min_ping_interval: Duration,
    /// See there. Default 2; `u32::MAX` forgives all.
    pub max_ping_strikes: u32,
    /// Whether a client without calls may ask as often as one with calls. Default false: every two hours.
    pub permit_pings_without_calls: bool,
    /// Within what time a client has to have made itself known: by its SETTINGS, and before them by its TLS handshake, each of which may take
    /// so long. Default 20 s; 100 ms to 20 s. Less frees sooner what half-open connections hold.
    pub handshake_timeout: Duration,
    /// How many connections the system keeps for a port until they are accepted. Default: as many as the kernel allows (`net.core.somaxconn`);
    /// at least 1. What does not fit costs its client a second.
    pub listen_backlog: u32,
    /// Whether other sockets may listen on the same addresses and ports (`SO_REUSEPORT`), in this process or in others of the same user, if
    /// they say so as well: the system spreads connections over them. Default false: an address that is taken is an error.
    pub reuse_port: bool,
    /// Whether an address of IPv6 takes IPv6 alone (`IPV6_V6ONLY`). Default false: `[::]` is every address of the machine, of IPv4 too. For
    /// a server that has a port of its own for IPv4 at the same number.
    pub v6only: bool,
    /// How much of a call's requests a client may send before any of it is read, at first, in bytes: the window grows with what is
    /// read, up to 16 MiB. Default 128 KiB; 65 535 to 2³¹-1. Each open call may hold that much memory. More saves a round trip where lines
    /// are long and messages large.
    pub initial_window: u32,
    /// How much all calls of a connection may have on the line at once, in bytes. Default 16 MiB; 65 535 to 2³¹-1. It bounds no
    /// memory: what has come is credited at once. Less slows lines down whose round trip times bandwidth is more.
    pub connection_window: u32,
    /// How long the worker that waits for requests looks for them before it sleeps. Default 0.
    /// Waking a sleeping CPU costs some 35 µs in a virtual machine; up to 50 µs of looking
    /// saves that where calls follow each other closely, at the price of one CPU while they
    /// do. An idle server looks once after each event and then sleeps. At most 1 ms.
    pub busy_poll: Duration,
    /// What responses are compressed by, where the client has announced that it takes it. Default: [`Compression::None`], which says why. A
    /// handler may set another for its call ([`set_compression`](crate::ServicerContext::set_compression)). It costs time on
    /// the handler's thread, up to 20 ns a byte, and saves time on thin lines. One that is neither built in nor
    /// registered with [`ServerBuilder::compressor`](crate::ServerBuilder::compressor) is refused.
    pub compression: Compression,
    /// Which compressions requests may come in, in the order in which clients are told. Default: `None`, all there are, gzip first. A
    /// request in one that is not listed ends with `UNIMPLEMENTED`, before its handler. An empty list: plain messages alone.
    pub accept_compression: Option<Vec<Compression>>,
    /// How many bytes the events may take that the server keeps of itself, for [`ServerStats::trace`](crate::stats::ServerStats::trace) and
    /// channelz. Default 4 KiB; 0 keeps none. The oldest go first; one that is longer is cut.
    pub trace_memory: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_receive_message_size: 4 << 20,
            max_send_message_size: usize::MAX,
            maximum_concurrent_rpcs: None,
            max_concurrent_streams: 100,
            request_timeout: Duration::from_secs(300),
            reset_burst: 100_000,
            resets_per_second: 100_000,
            error_burst: 100,
            errors_per_second: 10,
            max_metadata_size: 16 << 10,
            receive_budget: 16 << 20,
            send_buffer: 64 << 10,
            send_budget: 16 << 20,
            message_timeout: Duration::from_secs(20),
            keepalive_time: Duration::from_secs(7_200),
            keepalive_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(20),
            max_connection_idle: Duration::MAX,
            max_connection_age: Duration::MAX,
            max_connection_age_grace: Duration::MAX,
            min_ping_interval: Duration::from_secs(300),
            max_ping_strikes: 2,
            permit_pings_without_calls: false,
            handshake_timeout: Duration::from_secs(20),
            listen_backlog: u32::MAX,
            reuse_port: false,
            v6only: false,
            initial_window: 128 << 10,
            connection_window: 16 << 20,
            busy_poll: Duration::ZERO,
            compression: Compression::None,
            accept_compression: None,
            trace_memory: TRACE_MEMORY,
        }
    }
}

impl ServerOptions {
    /// Sets [`max_receive_message_size`](Self::max_receive_message_size).
    #[must_use]
    pub fn max_receive_message_size(mut self, bytes: usize) -> Self {
        self.max_receive_message_size = bytes;
        self
    }

    /// Sets [`max_send_message_size`](Self::max_send_message_size).
    #[must_use]
    pub fn max_send_message_size(mut self, bytes: usize) -> Self {
        self.max_send_message_size = bytes;
        self
    }

    /// Sets [`maximum_concurrent_rpcs`](Self::maximum_concurrent_rpcs).
    #[must_use]
    pub fn maximum_concurrent_rpcs(mut self, calls: impl Into<Option<usize>>) -> Self {
        self.maximum_concurrent_rpcs = calls.into();
        self
    }

    /// Sets [`max_concurrent_streams`](Self::max_concurrent_streams).
    #[must_use]
    pub fn max_concurrent_streams(mut self, streams: u32) -> Self {
        self.max_concurrent_streams = streams;
        self
    }

    /// Sets [`request_timeout`](Self::request_timeout).
    #[must_use]
    pub fn request_timeout(mut self, time: Duration) -> Self {
        self.request_timeout = time;
        self
    }

    /// Sets [`reset_burst`](Self::reset_burst) and [`resets_per_second`](Self::resets_per_second).
    #[must_use]
    pub fn resets(mut self, burst: u32, per_second: u32) -> Self {
        self.reset_burst = burst;
        self.resets_per_second = per_second;
        self
    }

    /// Sets [`error_burst`](Self::error_burst) and [`errors_per_second`](Self::errors_per_second).
    #[must_use]
    pub fn errors(mut self, burst: u32, per_second: u32) -> Self {
        self.error_burst = burst;
        self.errors_per_second = per_second;
        self
    }

    /// Sets [`max_metadata_size`](Self::max_metadata_size).
    #[must_use]
    pub fn max_metadata_size(mut self, bytes: usize) -> Self {
        self.max_metadata_size = bytes;
        self
    }

    /// Sets [`receive_budget`](Self::receive_budget).
    #[must_use]
    pub fn receive_budget(mut self, bytes: usize) -> Self {
        self.receive_budget = bytes;
        self
    }

    /// Sets [`send_buffer`](Self::send_buffer).
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = bytes;
        self
    }

    /// Sets [`send_budget`](Self::send_budget).
    #[must_use]
    pub fn send_budget(mut self, bytes: usize) -> Self {
        self.send_budget = bytes;
        self
    }

    /// Sets [`message_timeout`](Self::message_timeout).
    #[must_use]
    pub fn message_timeout(mut self, longest: Duration) -> Self {
        self.message_timeout = longest;
        self
    }

    /// Sets [`keepalive_time`](Self::keepalive_time) and
    /// [`keepalive_timeout`](Self::keepalive_timeout).
    #[must_use]
    pub fn keepalive(mut self, time: Duration, timeout: Duration) -> Self {
        self.keepalive_time = time;
        self.keepalive_timeout = timeout;
        self
    }

    /// Sets [`write_timeout`](Self::write_timeout).
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets [`max_connection_idle`](Self::max_connection_idle).
    #[must_use]
    pub fn max_connection_idle(mut self, time: Duration) -> Self {
        self.max_connection_idle = time;
        self
    }

    /// Sets [`max_connection_age`](Self::max_connection_age) and
    /// [`max_connection_age_grace`](Self::max_connection_age_grace).
    #[must_use]
    pub fn max_connection_age(mut self, age: Duration, grace: Duration) -> Self {
        self.max_connection_age = age;
        self.max_connection_age_grace = grace;
        self
    }

    /// Sets [`min_ping_interval`](Self::min_ping_interval) and [`max_ping_strikes`](Self::max_ping_strikes).
    #[must_use]
    pub fn pings(mut self, min_interval: Duration, strikes: u32) -> Self {
        self.min_ping_interval = min_interval;
        self.max_ping_strikes = strikes;
        self
    }

    /// Sets [`permit_pings_without_calls`](Self::permit_pings_without_calls).
    #[must_use]
    pub fn permit_pings_without_calls(mut self, permit: bool) -> Self {
        self.permit_pings_without_calls = permit;
        self
    }

    /// Sets [`handshake_timeout`](Self::handshake_timeout).
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets [`listen_backlog`](Self::listen_backlog).
    #[must_use]
    pub fn listen_backlog(mut self, connections: u32) -> Self {
        self.listen_backlog = connections;
        self
    }

    /// Sets [`reuse_port`](Self::reuse_port).
    #[must_use]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Sets [`v6only`](Self::v6only).
    #[must_use]
    pub fn v6only(mut self, only: bool) -> Self {
        self.v6only = only;
        self
    }

    /// Sets [`initial_window`](Self::initial_window) and [`connection_window`](Self::connection_window).
    #[must_use]
    pub fn windows(mut self, of_a_call: u32, of_a_connection: u32) -> Self {
        self.initial_window = of_a_call;
        self.connection_window = of_a_connection;
        self
    }

    /// Sets [`busy_poll`](Self::busy_poll).
    #[must_use]
    pub fn busy_poll(mut self, longest: Duration) -> Self {
        self.busy_poll = longest;
        self
    }

    /// Sets [`compression`](Self::compression).
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets [`accept_compression`](Self::accept_compression).
    #[must_use]
    pub fn accept_compression(mut self, accepted: impl IntoIterator<Item = Compression>) -> Self {
        self.accept_compression = Some(accepted.into_iter().collect());
        self
    }

    /// Sets [`trace_memory`](Self::trace_memory).
    #[must_use]
    pub fn trace_memory(mut self, bytes: usize) -> Self {
        self.trace_memory = bytes;
        self
    }

    /// What of it concerns a connection.
    pub(super) fn http2(&self) -> Options {
        let mut options = Options::new(Role::Server);
        options.max_concurrent_streams = self.max_concurrent_streams;
        options.request_timeout = self.request_timeout;
        options.peer_resets = Rate { burst: self.reset_burst, per_second: self.resets_per_second };
        options.glitches = Rate { burst: self.error_burst, per_second: self.errors_per_second };
        options.max_header_list = self.max_metadata_size;
        options.window_budget = self.receive_budget;
        options.message_timeout = self.message_timeout;
        options.keepalive.time = Some(self.keepalive_time);
        options.keepalive.timeout = self.keepalive_timeout;
        options.send_quota = self.send_buffer;
        options.max_unsent = (self.max_concurrent_streams as usize)
            .saturating_mul(self.send_buffer)
            .saturating_add(self.send_budget);
        options.write_timeout = self.write_timeout;
        let finite = |time: Duration| (time != Duration::MAX).then_some(time);
        let age = AgeOptions {
            idle: finite(self.max_connection_idle),
            age: finite(self.max_connection_age),
            grace: finite(self.max_connection_age_grace),
        };
        options.age = (age != AgeOptions::default()).then(|| Box::new(age));
        options.enforcement = Enforcement {
            min_interval: Some(self.min_ping_interval).filter(|least| !least.is_zero()),
            without_calls: self.permit_pings_without_calls,
            max_strikes: self.max_ping_strikes,
        };
        options.handshake_timeout = self.handshake_timeout;
        options.initial_window = self.initial_window;
        options.max_window = options.max_window.max(self.initial_window);
        options.connection_window = self.connection_window;
        options
    }

    /// How it listens.
    pub(super) fn listening(&self) -> Listening {
        Listening { backlog: self.listen_backlog, shared: self.reuse_port, v6only: self.v6only }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ConfigErrorKind;

    #[test]
    fn the_defaults_are_valid_and_impossible_values_are_named() {
        assert!(ServerOptions::default().validate().is_ok());
        let none = ServerOptions::default().max_receive_message_size(0).max_send_message_size(0);
        let least = none.send_budget(0).message_timeout(Duration::MAX);
        assert!(least.resets(1, 0).errors(1, 0).validate().is_ok(), "0 has a meaning there");
        for (options, name) in [
            (ServerOptions::default().max_concurrent_streams(0), "max_concurrent_streams"),
            (ServerOptions::default().maximum_concurrent_rpcs(0), "maximum_concurrent_rpcs"),
            (ServerOptions::default().max_metadata_size(10), "max_metadata_size"),
            (ServerOptions::default().receive_budget(10), "receive_budget"),
            (ServerOptions::default().send_buffer(0), "send_buffer"),
            (ServerOptions::default().write_timeout(Duration::ZERO), "write_timeout"),
            (ServerOptions::default().request_timeout(Duration::ZERO), "request_timeout"),
            (ServerOptions::default().resets(0, 100), "reset_burst"),
            (ServerOptions::default().errors(0, 100), "error_burst"),
            (ServerOptions::default().message_timeout(Duration::ZERO), "message_timeout"),
            (ServerOptions::default().max_connection_idle(Duration::ZERO), "max_connection_idle"),
            (
                ServerOptions::default().max_connection_age(Duration::ZERO, Duration::ZERO),
                "max_connection_age",
            ),
            (ServerOptions::default().handshake_timeout(Duration::ZERO), "handshake_timeout"),
            (ServerOptions::default().handshake_timeout(Duration::MAX), "handshake_timeout"),
            (ServerOptions::default().listen_backlog(0), "listen_backlog"),
            (ServerOptions::default().windows(65_534, 1 << 20), "initial_window"),
            (ServerOptions::default().windows(1 << 31, 1 << 20), "initial_window"),
            (ServerOptions::default().windows(1 << 20, 0), "connection_window"),
            (ServerOptions::default().busy_poll(Duration::from_secs(1)), "busy_poll"),
            (ServerOptions::default().busy_poll(Duration::MAX), "busy_poll"),
            (ServerOptions::default().keepalive(Duration::ZERO, Duration::MAX), "keepalive_time"),
            (
                ServerOptions::default().keepalive(Duration::MAX, Duration::ZERO),
                "keepalive_timeout",
            ),
        ] {
            let error = options.validate().unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::Option);
            let told = error.to_string();
            assert!(told.starts_with(&format!("option {name} is ")), "{told}");
            assert!(told.contains("has to be "), "{told}");
        }
    }
}
