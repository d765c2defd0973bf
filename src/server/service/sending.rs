//! One message of a stream on its way out, and what its failure means for the call.

use super::context::ServicerContext;
use crate::call::SendError;
use crate::codec::Codec;
use crate::reactor::user;
use crate::status::Status;

/// Sends one message of a stream; waits while too many are queued.
pub(super) fn send_one<Resp: 'static>(
    context: &ServicerContext,
    message: &Resp,
    codec: &dyn Codec<Resp>,
) -> Result<(), Status> {
    let call = context.call();
    let Some(outbox) = call.outbox() else { return Err(call.ended_status()) };
    let send = || outbox.send(codec, message, call.deadline());
    user::run_or_end(send, || call.response_codec_panicked())
        .map_err(|error| send_failure(context, error))
}

pub(super) fn send_failure(context: &ServicerContext, error: SendError) -> Status {
    match error {
        SendError::Encode(status) => status,
        SendError::Ended => context.call().ended_status(),
        SendError::TimedOut => {
            context.call().expire();
            context.call().ended_status()
        }
    }
}
