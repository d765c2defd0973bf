//! One request, one response.

use std::sync::Arc;

use crate::call::client::{Answer, Core, Unary};
use crate::link::Replies;
use crate::reactor::clock;
use crate::status::Status;

use super::options::per_call_options;
use super::stub::Method;
use super::{Call, CallFuture, CallOptions};

/// A method with one request and one response, on a channel.
///
/// Cheap to clone, usable from any thread. Its option methods give changed copies:
///
/// ```no_run
/// use std::time::Duration;
/// # #[derive(Clone, PartialEq, prost::Message)] struct Hello { #[prost(string, tag = "1")] name: String }
///
/// let channel = grpc_threads::insecure_channel("localhost:50051")?;
/// let say_hello = channel.unary_unary::<Hello, Hello>("/helloworld.Greeter/SayHello")?;
/// let reply = say_hello.timeout(Duration::from_secs(1)).call(&Hello { name: "you".into() })?;
/// # Ok::<(), grpc_threads::Status>(())
/// ```
pub struct UnaryUnary<Req, Resp> {
    pub(super) method: Arc<Method<Req, Resp>>,
    options: CallOptions,
}

per_call_options!(UnaryUnary);

impl<Req: 'static, Resp: 'static> UnaryUnary<Req, Resp> {
    /// Makes the call and waits for the response. This thread writes the request, and reads
    /// the connection while it waits. The response, the deadline, the loss of the connection, and
    /// the channel's `close` from another thread end the wait.
    ///
    /// # Errors
    /// The status of a call that failed.
    pub fn call(&self, request: &Req) -> Result<Resp, Status> {
        if let Some(chain) = self.method.chain() {
            let reply = self.method.run_chain(chain, &self.options, request)?;
            return self.method.response.decode(reply.into_payload().into_bytes());
        }
        let message = self.exchange(request)?.message;
        self.method.response.read(message, self.receive_limit())
    }

    /// Like [`call`](Self::call), and gives a handle on the ended call for its metadata.
    ///
    /// # Errors
    /// The status of a call that failed.
    pub fn with_call(&self, request: &Req) -> Result<(Resp, Call), Status> {
        if let Some(chain) = self.method.chain() {
            let reply = self.method.run_chain(chain, &self.options, request)?;
            let (payload, status, head, peer) = reply.into_parts();
            let response = self.method.response.decode(payload.into_bytes())?;
            return Ok((response, Call::new(Core::ended(status, head, peer))));
        }
        let (core, message) = self.exchange(request)?.into_parts();
        let response = self.method.response.read(message, self.receive_limit())?;
        Ok((response, Call::new(core)))
    }

    /// Begins the call and returns at once; no thread waits for the response. A request that
    /// cannot be encoded is told by the future.
    #[must_use = "dropping the future cancels the call"]
    pub fn future(&self, request: &Req) -> CallFuture<Resp> {
        let method = &self.method;
        match method.chain() {
            None => {}
            Some(chain) if chain.has_hooks_only() => {
                return match method.send_hooked(chain, &self.options, request, Replies::One) {
                    Ok(hooked) => method.hooked_future(hooked),
                    Err(status) => method.failed_future(&self.options, status),
                };
            }
            Some(chain) => {
                let core = method.start_chain(chain, &self.options, request);
                return CallFuture::new(core, method.response.clone(), self.receive_limit());
            }
        }
        match method.start(&self.options, request, Replies::One) {
            Ok(core) => CallFuture::new(core, method.response.clone(), self.receive_limit()),
            Err(status) => method.failed_future(&self.options, status),
        }
    }

    fn receive_limit(&self) -> usize {
        self.method.receive_limit(&self.options)
    }

    fn exchange(&self, request: &Req) -> Result<Answer, Status> {
        let method = &*self.method;
        let defaults = method.source.defaults();
        let deadline = self.options.start(clock::now);
        let sends = method.sends(&self.options)?;
        let call = Unary {
            source: &method.source,
            template: &method.template,
            metadata: self.options.get_metadata(),
            deadline,
            limited_by: self.options.limited_by(deadline),
            wait_for_ready: self.options.waits_for_ready(false),
            retry_refused: self.options.retries_refused(defaults.retry_refused),
            receive_limit: self.options.receive_limit(defaults.max_receive),
            encoding: sends.encoding,
            auth: self.options.auth(),
            family: self.options.family(),
        };
        call.run(&|| method.frame(sends, request))
    }
}
