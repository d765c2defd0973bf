//! The cases. Each checks every byte, status and metadata entry that it is about.

use std::time::{Duration, Instant};

use grpc_threads::metadata::Value;
use grpc_threads::{CallOptions, Channel, Code, Metadata, ResultError, Status};

use crate::Outcome;
use crate::testing::{
    ECHO_INITIAL, ECHO_TRAILING, EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest,
    StreamingInputCallRequest, StreamingOutputCallRequest, TestServiceStub,
    UnimplementedServiceStub, zeros,
};

const LARGE_REQUEST: usize = 271_828;
const LARGE_RESPONSE: usize = 314_159;
const REQUEST_SIZES: [usize; 4] = [27_182, 8, 1_828, 45_904];
const RESPONSE_SIZES: [usize; 4] = [31_415, 9, 2_653, 58_979];

/// More than any case takes; a call that hangs says what it waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends the case with a message unless the condition holds.
macro_rules! require {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+).into());
        }
    };
}
pub(crate) use require;

pub(crate) fn empty_unary(channel: &Channel) -> Outcome {
    stub(channel).empty_call.call(&Empty {})?;
    Ok(())
}

pub(crate) fn large_unary(channel: &Channel) -> Outcome {
    let reply = stub(channel).unary_call.call(&large_request())?;
    require_zeros(reply.payload, LARGE_RESPONSE)
}

pub(crate) fn client_streaming(channel: &Channel) -> Outcome {
    let reply = stub(channel).streaming_input_call.call(REQUEST_SIZES.map(|size| {
        StreamingInputCallRequest { payload: zeros(size), ..StreamingInputCallRequest::default() }
    }))?;
    let sum = reply.aggregated_payload_size;
    require!(sum == 74_922, "the sum is {sum}, not 74922");
    Ok(())
}

pub(crate) fn server_streaming(channel: &Channel) -> Outcome {
    let mut responses =
        stub(channel).streaming_output_call.call(&output_request(0, &RESPONSE_SIZES))?;
    for size in RESPONSE_SIZES {
        require_zeros(responses.next().ok_or("a response too few")??.payload, size)?;
    }
    require!(responses.next().transpose()?.is_none(), "a response too many");
    Ok(())
}

pub(crate) fn ping_pong(channel: &Channel) -> Outcome {
    let mut stream = stub(channel).full_duplex_call.open();
    for (request_size, size) in REQUEST_SIZES.into_iter().zip(RESPONSE_SIZES) {
        stream.send(&output_request(request_size, &[size]))?;
        require_zeros(stream.recv()?.ok_or("a response too few")?.payload, size)?;
    }
    stream.done_writing()?;
    require!(stream.recv()?.is_none(), "a response too many");
    Ok(())
}

pub(crate) fn empty_stream(channel: &Channel) -> Outcome {
    let mut stream = stub(channel).full_duplex_call.open();
    stream.done_writing()?;
    require!(stream.recv()?.is_none(), "a response to no request");
    Ok(())
}

pub(crate) fn timeout_on_sleeping_server(channel: &Channel) -> Outcome {
    let start = Instant::now();
    let mut stream = stub(channel).full_duplex_call.timeout(Duration::from_millis(1)).open();
    // Where the deadline is first, `recv` says so as well.
    let _ = stream.send(&output_request(REQUEST_SIZES[0], &[]));
    let outcome = stream.recv();
    let took = start.elapsed();
    require!(took < Duration::from_secs(5), "it took {took:?}");
    require_status(outcome, Code::DeadlineExceeded, None)
}

pub(crate) fn cancel_after_begin(channel: &Channel) -> Outcome {
    let (_requests, mut reply) = stub(channel).streaming_input_call.open();
    reply.cancel();
    let outcome = reply.result(Some(PATIENCE));
    require!(
        !matches!(outcome, Err(ResultError::TimedOut)),
        "it is not over {PATIENCE:?} after it was cancelled"
    );
    require_status(outcome.map_err(Status::from), Code::Cancelled, None)?;
    empty_unary(channel) // the connection must have survived
}

pub(crate) fn cancel_after_first_response(channel: &Channel) -> Outcome {
    let mut stream = stub(channel).full_duplex_call.open();
    stream.send(&output_request(REQUEST_SIZES[0], &RESPONSE_SIZES[..1]))?;
    require_zeros(stream.recv()?.ok_or("no response")?.payload, RESPONSE_SIZES[0])?;
    stream.cancel();
    require_status(stream.recv(), Code::Cancelled, None)?;
    empty_unary(channel)
}

pub(crate) fn status_code_and_message(channel: &Channel) -> Outcome {
    require_echoed_status(channel, "test status message")
}

pub(crate) fn special_status_message(channel: &Channel) -> Outcome {
    require_echoed_status(
        channel,
        "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n",
    )
}

pub(crate) fn unimplemented_method(channel: &Channel) -> Outcome {
    require_status(stub(channel).unimplemented_call.call(&Empty {}), Code::Unimplemented, None)
}

pub(crate) fn unimplemented_service(channel: &Channel) -> Outcome {
    let stub = UnimplementedServiceStub::with_options(channel, patient());
    require_status(stub.unimplemented_call.call(&Empty {}), Code::Unimplemented, None)
}

pub(crate) fn custom_metadata(channel: &Channel) -> Outcome {
    const INITIAL: &str = "test_initial_metadata_value";
    const TRAILING: [u8; 3] = [0xab; 3];
    let require_echo = |initial: &Metadata, trailing: &Metadata| -> Outcome {
        let values: Vec<_> = initial.get_all(ECHO_INITIAL).filter_map(Value::as_str).collect();
        require!(values == [INITIAL], "initial metadata {initial:?}");
        require!(trailing.get_bin(ECHO_TRAILING) == Some(&TRAILING), "trailers {trailing:?}");
        Ok(())
    };
    let sent = Metadata::new().with(ECHO_INITIAL, INITIAL)?.with_bin(ECHO_TRAILING, TRAILING)?;

    let (reply, call) = stub(channel).unary_call.metadata(&sent).with_call(&large_request())?;
    require_zeros(reply.payload, LARGE_RESPONSE)?;
    require_echo(&call.initial_metadata(), &call.trailing_metadata())?;

    let mut stream = stub(channel).full_duplex_call.metadata(&sent).open();
    stream.send(&output_request(LARGE_REQUEST, &[LARGE_RESPONSE]))?;
    require_zeros(stream.recv()?.ok_or("no response")?.payload, LARGE_RESPONSE)?;
    stream.done_writing()?;
    require!(stream.recv()?.is_none(), "a response too many");
    require_echo(&stream.initial_metadata(), &stream.trailing_metadata())
}

pub(crate) fn concurrent_large_unary(channel: &Channel) -> Outcome {
    let unary_call = stub(channel).unary_call;
    let replies: Vec<_> = (0..100).map(|_| unary_call.future(&large_request())).collect();
    for mut reply in replies {
        require_zeros(reply.result(Some(PATIENCE))?.payload, LARGE_RESPONSE)?;
    }
    Ok(())
}

// --- calls and messages ---

pub(crate) fn stub(channel: &Channel) -> TestServiceStub {
    TestServiceStub::with_options(channel, patient())
}

pub(crate) fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

pub(crate) fn large_request() -> SimpleRequest {
    SimpleRequest {
        response_size: LARGE_RESPONSE as i32,
        payload: zeros(LARGE_REQUEST),
        ..SimpleRequest::default()
    }
}

fn output_request(request_size: usize, sizes: &[usize]) -> StreamingOutputCallRequest {
    let wanted =
        |&size: &usize| ResponseParameters { size: size as i32, ..ResponseParameters::default() };
    StreamingOutputCallRequest {
        payload: zeros(request_size),
        response_parameters: sizes.iter().map(wanted).collect(),
        ..StreamingOutputCallRequest::default()
    }
}

// --- checks ---

pub(crate) fn require_zeros(payload: Option<Payload>, size: usize) -> Outcome {
    let body = payload.unwrap_or_default().body;
    require!(body.len() == size, "a payload of {} bytes, not {size}", body.len());
    require!(body.iter().all(|&byte| byte == 0), "a payload that is not all zeros");
    Ok(())
}

pub(crate) fn require_status<T>(
    outcome: Result<T, Status>,
    code: Code,
    message: Option<&str>,
) -> Outcome {
    let Err(status) = outcome else {
        return Err(format!("the call went well; it should have ended with {code}").into());
    };
    require!(status.code() == code, "the status is {status:?}, not {code}");
    if let Some(message) = message {
        require!(status.message() == message, "{:?} is not {message:?}", status.message());
    }
    Ok(())
}

/// Asks for a status, in a unary call and on a stream.
fn require_echoed_status(channel: &Channel, message: &str) -> Outcome {
    let wanted = Some(EchoStatus { code: Code::Unknown as i32, message: message.to_owned() });
    let request = SimpleRequest { response_status: wanted.clone(), ..SimpleRequest::default() };
    require_status(stub(channel).unary_call.call(&request), Code::Unknown, Some(message))?;

    let mut stream = stub(channel).full_duplex_call.open();
    stream.send(&StreamingOutputCallRequest {
        response_status: wanted,
        ..StreamingOutputCallRequest::default()
    })?;
    stream.done_writing()?;
    require_status(stream.recv(), Code::Unknown, Some(message))
}
