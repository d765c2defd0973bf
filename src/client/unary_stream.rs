//! One request, many responses.

use std::sync::Arc;

use crate::link::Replies;
use crate::status::Status;

use super::options::per_call_options;
use super::stub::Method;
use super::{CallOptions, Responses};

/// A method with one request and many responses, on a channel.
///
/// Cheap to clone, usable from any thread. Its option methods give changed copies.
pub struct UnaryStream<Req, Resp> {
    pub(super) method: Arc<Method<Req, Resp>>,
    options: CallOptions,
}

per_call_options!(UnaryStream);

impl<Req: 'static, Resp: 'static> UnaryStream<Req, Resp> {
    /// Begins the call and returns at once; the responses are received as they are asked for.
    ///
    /// # Errors
    /// When the request cannot be encoded, or is longer than the send limit. How the call
    /// itself ends, the responses tell.
    pub fn call(&self, request: &Req) -> Result<Responses<Resp>, Status> {
        let method = &self.method;
        if let Some(chain) = method.chain() {
            let hooked = method.send_hooked(chain, &self.options, request, Replies::Many)?;
            let responses = Responses::new(hooked.core, method.response.clone(), hooked.limit);
            return Ok(responses.hooked(hooked.responses));
        }
        let core = method.start(&self.options, request, Replies::Many)?;
        let limit = method.receive_limit(&self.options);
        Ok(Responses::new(core, method.response.clone(), limit))
    }
}
