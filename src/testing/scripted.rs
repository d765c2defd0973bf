//! A server that is the test itself: [`Scripted`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{channel, start};
use crate::channel::Channel;
use crate::codec::{Codec, Prost, Raw};
use crate::deadline::Deadline;
use crate::metadata::Metadata;
use crate::reactor::{ThreadPool, clock};
use crate::server::{
    Cardinality, GenericRpcHandler, HandlerCallDetails, RpcMethodHandler, ServeError, Server,
    ServerStream, ServicerContext, stream_rpc_method_handler_with,
};
use crate::status::Status;
use crate::sync::{Condvar, Mutex};

/// A channel whose calls the test answers by hand: for tests of clients. § Python's `grpc_testing.channel`.
///
/// The code under test gets [`channel`](Self::channel), and makes its calls on a thread of its own, or as futures. The test
/// takes each by the path of its method, looks at what was sent, and plays the server, one step at a time. Calls of every
/// method come here, in the order in which they were made; a method of any kind is answered in the same way. It is a pair underneath: HTTP/2,
/// deadlines and cancellation are the real ones.
///
/// ```
/// use grpc_threads::{Code, Metadata, Status, testing};
///
/// let scripted = testing::Scripted::new()?;
/// let greet = scripted.channel().unary_unary::<String, String>("/demo.Greeter/Greet")?;
/// let mut future = greet.header("token", "4711")?.future(&"you".to_owned());
///
/// let mut call = scripted.take("/demo.Greeter/Greet");
/// assert_eq!(call.metadata().get("token"), Some("4711"));
/// assert_eq!(call.request::<String>()?, Some("you".to_owned()));
/// call.send_initial_metadata(&Metadata::new().with("shard", "7")?)?;
/// call.respond(&"hello".to_owned())?;
/// call.finish(Ok(()));
/// assert_eq!(future.result(None)?, "hello");
///
/// let mut future = greet.future(&"you".to_owned());
/// scripted.take("/demo.Greeter/Greet").finish(Err(Status::not_found("who?")));
/// assert_eq!(Status::from(future.result(None).unwrap_err()).code(), Code::NotFound);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropping it stops its server: calls that are left end with UNAVAILABLE. To call a service's own handlers, use
/// [`pair`](super::pair()).
#[derive(Debug)]
pub struct Scripted {
    channel: Channel,
    server: Server,
    desk: Arc<Desk>,
}

/// Where calls wait to be taken.
struct Desk {
    /// `None`: nobody takes any more; what lay here would hold the server, which holds the desk. A leaf.
    calls: Mutex<Option<VecDeque<ScriptedCall>>>,
    more: Condvar,
}

impl Desk {
    fn put(&self, call: ScriptedCall) {
        let mut calls = self.calls.lock();
        let late = match &mut *calls {
            Some(calls) => {
                calls.push_back(call);
                None
            }
            None => Some(call),
        };
        drop(calls);
        drop(late);
        self.more.notify_all();
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("calls", &self.calls.lock()).finish()
    }
}

/// Gives every call to the desk.
struct Every(Arc<Desk>);

impl GenericRpcHandler for Every {
    fn service(&self, _: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
        let desk = self.0.clone();
        let take = move |stream: &mut ServerStream<Bytes, Bytes>, _: &ServicerContext| {
            desk.put(ScriptedCall { stream: stream.detach() });
            Ok(())
        };
        Some(stream_rpc_method_handler_with(Cardinality::StreamStream, take, Raw, Raw))
    }
}

impl Scripted {
    /// A channel, and a server that has every method and answers none by itself.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn new() -> Result<Self, ServeError> {
        let server = crate::server::server(ThreadPool::new(1));
        let desk = Desk { calls: Mutex::new(Some(VecDeque::new())), more: Condvar::new() };
        let desk = Arc::new(desk);
        server.add_generic_rpc_handlers([Every(desk.clone())])?;
        start(&server)?;
        Ok(Self { channel: channel(&server)?, server, desk })
    }

    /// For the code under test.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The server behind it: more channels to it with [`connect`](super::connect), its stop, its events.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The first call of the method of this path that nobody has taken. Waits until there is one, however long that takes; calls of other
    /// methods stay for others.
    pub fn take(&self, path: &str) -> ScriptedCall {
        let mut calls = self.desk.calls.lock();
        loop {
            if let Some(call) = first(&mut calls, path) {
                return call;
            }
            self.desk.more.wait(&mut calls);
        }
    }

    /// As [`take`](Self::take), waiting at most `timeout`; `None`: no such call has come.
    #[must_use]
    pub fn take_timeout(&self, path: &str, timeout: Duration) -> Option<ScriptedCall> {
        let until = Deadline::after(clock::now(), timeout).instant();
        let Some(until) = until else { return Some(self.take(path)) };
        let mut calls = self.desk.calls.lock();
        loop {
            if let Some(call) = first(&mut calls, path) {
                return Some(call);
            }
            if self.desk.more.wait_until(&mut calls, until).timed_out() {
                return first(&mut calls, path);
            }
        }
    }

    /// As [`take`](Self::take), never waiting; `None`: there is none now.
    #[must_use]
    pub fn try_take(&self, path: &str) -> Option<ScriptedCall> {
        first(&mut self.desk.calls.lock(), path)
    }
}

fn first(calls: &mut Option<VecDeque<ScriptedCall>>, path: &str) -> Option<ScriptedCall> {
    let calls = calls.as_mut()?;
    let at = calls.iter().position(|call| call.method() == path)?;
    calls.remove(at)
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _ = self.server.stop(None);
        let left = self.desk.calls.lock().take();
        drop(left);
    }
}

/// A call that the test answers: see [`Scripted`].
///
/// Dropping it without [`finish`](Self::finish) cancels the call, with a warning in the log.
#[derive(Debug)]
pub struct ScriptedCall {
    stream: ServerStream<Bytes, Bytes>,
}

impl ScriptedCall {
    /// The path: `/package.Service/Method`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.stream.context().method()
    }

    /// What the client has sent before its messages.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        self.stream.context().invocation_metadata()
    }

    /// All else that a handler knows of its call: deadline, peer, compression.
    #[must_use]
    pub fn context(&self) -> &ServicerContext {
        self.stream.context()
    }

    /// The next request; `None` when the client has said that there are no more. Waits for either, or for the end of the call.
    ///
    /// # Errors
    /// How the call ended; `INTERNAL` for bytes that make no such message.
    pub fn request<M>(&mut self) -> Result<Option<M>, Status>
    where
        Prost: Codec<M>,
    {
        self.request_bytes()?.map(|bytes| Prost.decode(bytes)).transpose()
    }

    /// As [`request`](Self::request), as it came.
    ///
    /// # Errors
    /// How the call ended.
    pub fn request_bytes(&mut self) -> Result<Option<Bytes>, Status> {
        self.stream.recv()
    }

    /// Sends the initial metadata, once, before the first response. Without it the first response, or the end, brings an empty
    /// one.
    ///
    /// # Errors
    /// It was sent before, or the call is over.
    pub fn send_initial_metadata(&self, metadata: &Metadata) -> Result<(), Status> {
        self.stream.context().send_initial_metadata(metadata)
    }

    /// Sends a response. As many as the test wants: a client that expects one says so.
    ///
    /// # Errors
    /// How the call ended; what cannot be encoded.
    pub fn respond<M>(&mut self, response: &M) -> Result<(), Status>
    where
        Prost: Codec<M>,
    {
        let mut bytes = Vec::with_capacity(Prost.size_hint(response));
        Prost.encode(response, &mut bytes)?;
        self.respond_bytes(&bytes.into())
    }

    /// As [`respond`](Self::respond), these bytes as they are.
    ///
    /// # Errors
    /// How the call ended.
    pub fn respond_bytes(&mut self, response: &Bytes) -> Result<(), Status> {
        self.stream.send(response)?;
        self.stream.flush();
        Ok(())
    }

    /// What is sent behind the last response, with the status.
    pub fn set_trailing_metadata(&self, metadata: Metadata) {
        self.stream.context().set_trailing_metadata(metadata);
    }

    /// Ends the call: with OK, or with a status.
    pub fn finish(self, outcome: Result<(), Status>) {
        self.stream.finish(outcome);
    }

    /// Whether the call has ended otherwise: by the client's cancel or its deadline, or by a connection that was lost.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.stream.context().cancelled()
    }

    /// Waits until that is so, however long it takes. It is true at once of a call that is over.
    pub fn wait_cancelled(&self) {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let told = over.clone();
        let waits = self.stream.context().add_callback(move || {
            *told.0.lock() = true;
            told.1.notify_all();
        });
        let mut done = over.0.lock();
        while waits && !*done {
            over.1.wait(&mut done);
        }
    }
}
