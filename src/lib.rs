//! gRPC on plain threads: a call blocks its thread, a stream of responses is an [`Iterator`], and a server runs its
//! handlers on a pool of threads. No async runtime is needed, and none is underneath.
//!
//! ```
//! use std::time::Duration;
//! use grpc_threads::{Service, ServicerContext, Status, ThreadPool};
//! use grpc_threads::{unary_stream_rpc_method_handler, unary_unary_rpc_method_handler};
//!
//! // A server: methods are closures over prost messages (a `String` is one).
//! let greeter = Service::new("demo.Greeter")
//!     .method(
//!         "Greet",
//!         unary_unary_rpc_method_handler(|name: String, _: &ServicerContext| {
//!             match name.as_str() {
//!                 "" => Err(Status::invalid_argument("a name is needed")),
//!                 name => Ok(format!("Hello, {name}!")),
//!             }
//!         }),
//!     )
//!     .method(
//!         "Count",
//!         unary_stream_rpc_method_handler(|up_to: u32, _: &ServicerContext| {
//!             Ok((1..=up_to).map(Ok::<u32, Status>))
//!         }),
//!     );
//! let server = grpc_threads::server(ThreadPool::new(4));
//! server.add_service(greeter)?;
//! let port = server.add_insecure_port("127.0.0.1:0")?;
//! server.start()?;
//!
//! // A client. It connects at its first call.
//! let channel = grpc_threads::insecure_channel(&format!("127.0.0.1:{port}"))?;
//! let greet = channel.unary_unary::<String, String>("/demo.Greeter/Greet")?;
//! let greeting = greet.timeout(Duration::from_secs(10)).call(&"you".to_owned())?;
//! assert_eq!(greeting, "Hello, you!");
//!
//! let count = channel.unary_stream::<u32, u32>("/demo.Greeter/Count")?;
//! let numbers = count.call(&3)?.collect::<Result<Vec<_>, Status>>()?;
//! assert_eq!(numbers, [1, 2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the feature `codegen`, module `build` makes typed stubs and service traits of `.proto` files.
//!
//! The repository's `docs/guides/` has a page each on streams, deadlines, errors, threads, production, and on coming from Python or
//! tonic. Who knows Python's `grpc` finds each of its names, with its counterpart here, in the repository's `docs/classic.md`.
//!
//! # What waits, and what ends the wait
//!
//! Every wait for a call also ends when the call does: by its status, its deadline, a `cancel` from another thread
//! ([`Call`]), the loss of the connection, or [`Channel::close`]. On a server the last three are the client's cancel, the loss
//! of the connection and the end of [`Server::stop`]'s grace. A call without a deadline may wait as long as its peer lives.
//!
//! | on a client | waits for | ends also |
//! |---|---|---|
//! | [`UnaryUnary::call`], `with_call` | the response; runs the channel's interceptors | not in an interceptor, however long that blocks; `future` does |
//! | [`StreamUnary::call`], `with_call`, `try_call` | room to send, the response; runs your iterator | not in its `next`, however long that blocks; `future` does |
//! | [`Responses`]: `next`, [`recv`](Responses::recv), `collect_all`; [`Duplex::recv`] | the next response, or all | |
//! | [`Responses::recv_timeout`], [`Duplex::recv_timeout`] | the next response | after its timeout |
//! | [`Exchange`]: `next`, [`recv`](Exchange::recv) | the next response; runs your iterator | not in its `next`, however long that blocks; `spawn` does |
//! | [`RequestSender::send`], `done_writing`; [`Duplex::send`], `done_writing` | a connection; room, when `send_buffer` bytes (64 KiB) wait to be sent | |
//! | [`RequestSender::send_timeout`], [`Duplex::send_timeout`] | the same | after its timeout |
//! | [`CallFuture::result`], [`exception`](CallFuture::exception) | the end of the call | after its timeout |
//! | [`AsCompleted`]: `next`, [`next_timeout`](AsCompleted::next_timeout) | the end of the next call | after its timeout |
//! | [`wait`] | the end of one call, or of all | after its timeout |
//! | [`Call::status`], `code`, `details`, `trailing_metadata` | the end of the call | |
//! | [`Call::initial_metadata`] | the head of the response | |
//! | [`Call::wait_for_connection`] | a stream on a connection | after its timeout |
//! | [`Next::call`], in an interceptor | the response | of a future: at the future's end |
//! | [`Channel::wait_ready`], [`ReadyFuture::result`] | a connection | after its timeout; closing; `ReadyFuture::cancel` |
//! | [`Channel::wait_for_state_change`] | another state | after its timeout |
//! | [`Channel::close_within`] | the end of the calls that run | after its grace, which ends them |
//!
//! | on a server | waits for | ends also |
//! |---|---|---|
//! | [`RequestIterator`]: `next`, `recv`; [`ServerStream::recv`], `requests` | the next request, or the half-close | |
//! | [`RequestIterator::recv_timeout`], [`ServerStream::recv_timeout`] | the same | after its timeout |
//! | [`ServerStream::send`], [`ResponseSender::send`], and between the items of a handler's iterator | room, when `send_buffer` bytes (64 KiB) wait to be sent | |
//! | [`ResponseSender::send_timeout`] | the same | after its timeout |
//! | [`InterceptedCall::respond`], `respond_all`, to a method with many responses | room, when `send_buffer` bytes (64 KiB) wait to be sent | |
//! | [`ServerNext::run`], `run_with` | the return of the handler, which it runs | not before that: what the handler waits for ends |
//! | [`Server::add_insecure_port`] of a name (`add_secure_port`, too) | the system's look-up of the name | after the system's own timeout |
//! | [`Server::serve`] | [`Server::stop`] and the end of all calls | |
//! | [`Server::serve_until`] | the return of your `signal`, then the end of all calls | not in `signal`; after its grace, which ends the calls |
//! | [`Server::wait_for_termination`] | [`Server::stop`] and the end of all calls | after its timeout |
//! | [`Stopped::wait`] | the end of all calls and the return of all handlers | after its timeout |
//!
//! Where a call is awaited by a task ([`CallFuture`] is a [`Future`], and
#![cfg_attr(feature = "stream", doc = "[`Responses::into_stream`]")]
#![cfg_attr(not(feature = "stream"), doc = "`Responses::into_stream`, with the feature `stream`,")]
//! gives a `Stream`), no thread waits.
//!
//! Nothing else waits: no `try_…`, `open`, `spawn`, `future`, `flush`, `finish`, `cancel`, `stop` or `close`, no constructor, and no
//! `Drop`; [`UnaryStream::call`] and [`StreamStream::call`] only begin. (A `future` or `spawn` with an iterator of requests runs it on a
//! thread of its own. What waits for a connection waits for what the call's credentials give, too.) Code of yours that one of these
//! runs on its own thread, an interceptor, a hook, a codec or a listener, may take its time: no deadline breaks it off.
//!
//! # Where your code runs
//!
//! | code | thread |
//! |---|---|
//! | handlers, generic handlers, interceptors and codecs of a server, iterators that handlers return | a worker of the [`ThreadPool`], or what an [`Executor`] has |
//! | [`Executor::execute`] | any: whoever reads the server's sockets |
//! | `signal` of [`Server::serve_until`] | the caller's |
//! | a client's codecs, iterators given to `call` | the caller's |
//! | iterators given to `future` and `spawn`, with the codec of their items | one of the library's for each |
//! | [`ClientInterceptor::unary`] | the caller's in `call` and `with_call`; for `future` one of the library's, of which a channel has 64 at most, and as many for each level of futures that they wait for |
//! | [`ClientInterceptor::stream`], the function of [`Channel::with_metadata`] | the caller's: that begins the call; for `future` beside interceptors that go around, where these run |
//! | hooks ([`StreamHooks`]), [`Compressor`]s | where the codec of the message runs, or would: whoever sends it, or takes it |
//! | [`StreamHooks::on_end`] on a client | the notifier; around one response ([`Next::call`]) where the interceptor runs; of a call that was over as it began, the caller's |
//! | [`StreamHooks::on_end`] on a server | the worker, behind the handler; the notifier, where the call goes on without its handler |
//! | fetchers of a secure port's certificates | one of the library's for each port |
//! | dialers of channels ([`ChannelBuilder::dialer`]) | one of the library's for each attempt |
//! | callbacks of [`Server::on_stop`] | that which stops the server, or drops it |
//! | functions of health checks ([`health::ServiceCheck`]) | one of the library's for each check |
//! | plugins of [`CallCredentials`] | the library's, up to 16 for each channel, while there is something to ask |
//! | listeners to a channel's events ([`Channel::listen`]) | the caller's: that sends, that takes, or that is the first to ask for what came; the notifier, where nobody can ask any more |
//! | listeners to a server's events ([`Server::listen`]) | the handler's |
//! | [`Responses::on_ready`], [`ResponseSender::on_ready`], [`Channel::subscribe`], `add_callback` of calls, contexts and senders | the notifier: one for the process, so be quick |
//! | `add_done_callback`, [`CallFuture::on_result`] with its codec | the notifier; of what has ended already, the caller's |
//! | wakers of tasks that await a [`CallFuture`] or responses | any: whoever meets the end of the call, or the response |
//! | a logger of the `log` crate | any: whoever has something to tell, also the threads that serve idle connections |
//!
//! The library's own threads are born when they are needed first: a process's poller with its first channel, built or not yet
//! connected; a pool's with the start of a server on it; the notifier with the first callback. [`thread_count`] tells how many there are.
//!
//! So a logger must not block, nor make calls and wait for them: it would hold up connections that have nothing to do
//! with it. Nor may a waker, which no executor's does, nor [`Executor::execute`]. All others may block, each at the cost of what its thread does. A callback
//! may wait for any call, its own and those that it makes: nothing that ends a call waits for the notifier.
//!
//! The library's threads take no signals (but what their own faults raise, and SIGPROF), so a program gets each of its own
//! in the threads that wait for them. A program that a handler starts inherits that its signals are blocked, also by
//! [`std::process::Command`]: unblock them on that thread before (`nix`'s `SigSet::thread_unblock`), or SIGTERM does not end it. [`graceful_exit`] ends servers by them.
//!
//! None runs under a lock of the library, and none but the logger, wakers and [`Executor::execute`] on the thread that serves idle connections. A panic in a
//! handler ends its call with `UNKNOWN`; one in a callback or a waker is caught and logged, wherever it runs; one in a logger is caught, and costs its line.
//!
//! A call on a server may outlive its handler: [`ServerStream::detach`] takes it along to any thread, the worker is
//! free, and the call runs until [`ServerStream::finish`]. It still counts as running, for
//! [`ServerOptions::maximum_concurrent_rpcs`] and for [`Stopped::wait`].
//!
//! Threads that share a channel wait for each other: one of them reads the connection for all. Give them one scheduling
//! class and much the same priority. A thread with `SCHED_IDLE` or a high `nice` value that reads for the others when the
//! CPUs are busy holds up all of them, for seconds at worst; such threads are better off with a channel of their own.
//!
//! # What the log is told
//!
//! By the `log` crate, under targets that begin with `grpc_threads`; without a logger nothing is written. What a
//! server's clients can bring about at will is at `debug`: at `info` they cannot fill a log.
//!
//! | level | target `grpc_threads::` | what |
//! |---|---|---|
//! | error | `reactor` | a panic in a handler, a codec, a compressor, a callback, a waker, an iterator or an executor; no thread to be had for callbacks; a poller that failed |
//! | error | `server`, `call` | a handler that failed with the code `OK`, or `abort` with it |
//! | warn | `server` | a detached [`ServerStream`] dropped without `finish`; a server that listens nowhere; a connection that could not be served |
//! | warn | `net` | an address of a name that this machine does not have; no descriptor for a connection that comes in, at most once in ten seconds |
//! | warn | `channel` | keepalive that is too often, by our rule or by a server's word |
//! | warn | `credentials` | certificates and roots that are expired, weak or passed over; roots that ask nobody; a renewal that failed |
//! | warn | `net` | a renewal of credentials that does not end |
//! | warn | `reactor` | threads for plugins of call credentials that stay at the same work |
//! | warn | `reactor` | a callback that keeps the others waiting for a second, while it does and afterwards; timers that are late |
//! | warn | `health` | a health check that fails, and did not before |
//! | debug | `channel` | each change of a channel's state with its target and why; to whom it is connected; how each connection ended |
//! | debug | `server` | how each connection ended, such as "does not speak HTTP/2" of a client with TLS |
//! | debug | `server` | who was turned away from a secure port, and why |
//! | debug | `credentials` | certificates that were renewed |
//! | debug | `link`, `server` | a request that is refused before its handler runs |
//! | debug | `call` | trailers that are longer than the client takes, and are cut; a request that could not be decoded |
//! | debug | `net` | each rest of accepting, where descriptors have run out |
//! | debug | `net` | a connection that was gone before it was served |
//!
//! Lines about a call name its method, and those about a call or a connection the peer. A channel tries to connect at the pace of its
//! backoff, and so do its lines come.
//!
//! # After `fork`
//!
//! A child made by `fork` without `exec` has none of the parent's threads. Channels and servers that the child makes itself
//! work there, on threads of its own. Those that it has inherited do not: calls on them write to sockets that are the
//! parent's, or wait for threads that are not there, and dropping or closing them writes to those sockets, too. Leak them ([`std::mem::forget`]), and leave the child by
//! `_exit` or `exec`. As with every library that has threads, fork while none of them is busy, best before the first channel.
//! A child that `exec`s at once needs none of this: every descriptor is closed on exec.

#[cfg(feature = "runtime")]
mod bounds;
#[cfg(feature = "runtime")]
pub mod codec;
#[cfg(feature = "runtime")]
mod compression;
#[cfg(feature = "runtime")]
mod copy;
#[cfg(feature = "runtime")]
pub mod credentials;
#[cfg(feature = "runtime")]
mod deadline;
#[cfg(feature = "runtime")]
mod error;
#[cfg(feature = "runtime")]
mod message;
#[cfg(feature = "runtime")]
pub mod metadata;
#[cfg(feature = "runtime")]
mod payload;
#[cfg(feature = "runtime")]
mod status;
#[cfg(feature = "runtime")]
mod sync;
#[cfg(feature = "runtime")]
mod tally;
#[cfg(feature = "runtime")]
mod tell;

#[cfg(feature = "runtime")]
pub use call::client::{
    CallDetails, ChannelEvent, ClientInterceptor, Next, RecvInitialMetadata, RecvTrailingMetadata,
    Reply, SendRequest,
};
#[cfg(feature = "runtime")]
pub use call::{
    Emit, Extensions, Flow, RecvMessage, SendInitialMetadata, SendMessage, SendTrailingMetadata,
    StreamHooks,
};
#[cfg(feature = "runtime")]
pub use channel::{
    Channel, ChannelBuilder, Connectivity, ReadyFuture, Subscription, channel_ready_future,
    insecure_channel, intercept_channel, secure_channel,
};
#[cfg(feature = "stream")]
pub use client::ResponseStream;
#[cfg(feature = "runtime")]
pub use client::{
    AsCompleted, Call, CallFuture, CallOptions, Duplex, Exchange, MethodPath, RequestSender,
    Responses, ReturnWhen, StreamStream, StreamUnary, UnaryStream, UnaryUnary, Waited,
    as_completed, wait,
};
#[cfg(feature = "runtime")]
pub use codec::{Codec, Prost, Raw};
#[cfg(feature = "runtime")]
pub use compression::{Compression, Compressor};
#[cfg(feature = "runtime")]
pub use credentials::{
    AuthMetadataContext, AuthMetadataPlugin, AuthMetadataReply, CallCredentials,
    ChannelCredentials, ServerCredentials, access_token_call_credentials,
    composite_call_credentials, composite_channel_credentials, local_channel_credentials,
    local_server_credentials, metadata_call_credentials, metadata_call_credentials_later,
};
#[cfg(feature = "_tls")]
pub use credentials::{ssl_channel_credentials, ssl_server_credentials};
#[cfg(feature = "runtime")]
pub use error::{ConfigError, ConfigErrorKind, ResultError};
#[cfg(feature = "runtime")]
pub use metadata::Metadata;
#[cfg(feature = "runtime")]
pub use net::BindError;
#[cfg(feature = "runtime")]
pub use payload::Payload;
#[cfg(feature = "runtime")]
pub use reactor::{Executor, Job, Rejected, ThreadPool, ThreadPoolBuilder, thread_count};
#[cfg(feature = "runtime")]
pub use status::{Code, Status};

#[cfg(feature = "runtime")]
pub use server::{
    Cardinality, GenericRpcHandler, HandlerCallDetails, InterceptedCall, IntoService,
    MethodHandlersGenericHandler, RecvRequest, RequestIterator, ResponseSender, RpcMethodHandler,
    SentElsewhere, ServeError, Server, ServerBuilder, ServerEvent, ServerInterceptor, ServerNext,
    ServerOptions, ServerStream, Service, ServiceRpcHandler, ServicerContext, StillRunning,
    Stopped, StreamingFn, StreamingMethod, Termination, method_handlers_generic_handler, server,
    stream_rpc_method_handler, stream_rpc_method_handler_with, stream_stream_rpc_method_handler,
    stream_stream_rpc_method_handler_of, stream_stream_rpc_method_handler_with,
    stream_unary_rpc_method_handler, stream_unary_rpc_method_handler_with,
    unary_stream_rpc_method_handler, unary_stream_rpc_method_handler_of,
    unary_stream_rpc_method_handler_with, unary_unary_rpc_method_handler,
    unary_unary_rpc_method_handler_with,
};

#[cfg(feature = "runtime")]
mod http2;

#[cfg(feature = "runtime")]
mod wire;

#[cfg(feature = "runtime")]
mod net;
#[cfg(feature = "runtime")]
mod reactor;

#[cfg(feature = "runtime")]
mod link;

#[cfg(feature = "runtime")]
mod call;

#[cfg(feature = "runtime")]
mod channel;
#[cfg(feature = "runtime")]
mod client;
#[cfg(feature = "runtime")]
mod server;

#[cfg(feature = "runtime")]
pub mod channelz;
#[cfg(feature = "runtime")]
pub mod health;
#[cfg(feature = "runtime")]
pub mod reflection;
#[cfg(feature = "runtime")]
pub mod rpc_status;
#[cfg(feature = "runtime")]
mod signals;
#[cfg(feature = "runtime")]
pub mod stats;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "runtime")]
pub use signals::{GracefulExit, graceful_exit, graceful_exit_on};

#[cfg(feature = "_internals")]
#[doc(hidden)]
pub mod _bench;

#[cfg(all(test, shuttle))]
mod model;

/// The `prost` that this crate was built with, so that a program need not depend on it: generated code uses it with
/// `Builder::prost_path("::grpc_threads::prost")`.
#[cfg(feature = "derive")]
pub use prost;

#[cfg(feature = "codegen")]
pub mod build;
#[cfg(feature = "codegen")]
mod codegen;

/// Includes the code that module `build` generated for a package: `include_proto!("helloworld")`.
///
/// For code in a build script's `OUT_DIR`; of code elsewhere, use `include!`. Files without a package are in `"_"`.
#[cfg(feature = "runtime")]
#[macro_export]
macro_rules! include_proto {
    ($package:tt) => {
        include!(concat!(
            env!("OUT_DIR", "this crate has no build.rs that has run: see grpc_threads::build"),
            "/",
            $package,
            ".rs"
        ));
    };
}

/// The guides' programs run.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../docs/guides/from-python.md")]
    pub struct FromPython;
    #[doc = include_str!("../docs/guides/from-tonic.md")]
    pub struct FromTonic;
    #[doc = include_str!("../docs/guides/streams.md")]
    pub struct Streams;
    #[doc = include_str!("../docs/guides/deadlines.md")]
    pub struct Deadlines;
    #[doc = include_str!("../docs/guides/errors.md")]
    pub struct Errors;
    #[doc = include_str!("../docs/guides/threads.md")]
    pub struct Threads;
    #[doc = include_str!("../docs/guides/production.md")]
    pub struct Production;
    #[cfg(feature = "testing")]
    #[doc = include_str!("../docs/guides/testing.md")]
    pub struct Testing;
}

/// The README's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
