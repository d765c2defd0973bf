//! One message of a stream on its way out, and what its failure means for the call.

use super::context::ServicerContext;
use crate::call::{Direction, SendError};
use crate::codec::{Codec, Raw};
use crate::payload::Payload;
use crate::reactor::user;
use crate::status::Status;

/// Sends one message of a stream; waits while too many are queued.
pub(super) fn send_one<Resp: 'static>(
    context: &ServicerContext,
    message: &Resp,
    codec: &dyn Codec<Resp>,
) -> Result<(), Status> {
    let call = context.call();
    if call.is_hooked(Direction::Responses) {
        let all = hooked(context, message, codec)?;
        return all.iter().try_for_each(|response| call.send_payload(response));
    }
    let Some(outbox) = call.outbox() else { return Err(call.ended_status()) };
    let send = || outbox.send(codec, message, call.deadline());
    user::run_or_end(send, || call.response_codec_panicked())
        .map_err(|error| send_failure(context, error))
}

/// Sends one message of a stream if that needs no waiting; false: nothing was taken.
pub(super) fn try_send_one<Resp: 'static>(
    context: &ServicerContext,
    message: &Resp,
    codec: &dyn Codec<Resp>,
) -> Result<bool, Status> {
    let call = context.call();
    let Some(outbox) = call.outbox() else { return Err(call.ended_status()) };
    if call.is_hooked(Direction::Responses) {
        if !outbox.has_room() {
            return Ok(false);
        }
        for one in hooked(context, message, codec)? {
            let put = outbox.put(&Raw, one.bytes());
            put.map_err(|error| send_failure(context, error))?;
        }
        return Ok(true);
    }
    let send = || outbox.try_send(codec, message);
    user::run_or_end(send, || call.response_codec_panicked())
        .map_err(|error| send_failure(context, error))
}

fn send_failure(context: &ServicerContext, error: SendError) -> Status {
    match error {
        SendError::Encode(status) => context.call().failed_by_codec(status),
        SendError::Ended => context.call().ended_status(),
        SendError::TimedOut => {
            context.call().expire();
            context.call().ended_status()
        }
    }
}

/// Encodes a message and has the interceptors' hooks make of it what they like.
fn hooked<Resp: 'static>(
    context: &ServicerContext,
    message: &Resp,
    codec: &dyn Codec<Resp>,
) -> Result<Vec<Payload>, Status> {
    let call = context.call();
    let encode = || Payload::encoded_by(codec, message);
    let payload = user::run_or_end(encode, || call.response_codec_panicked())
        .map_err(|why| call.failed_by_codec(why))?;
    call.pass_response(payload)
}
