//! The cases about compression. How requests come the server looks at; how responses do, a compressor in place of the library's.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression as Level;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use grpc_threads::{CallOptions, Channel, Code, Compression, Compressor};

use crate::Outcome;
use crate::cases::{large_request, patient, require, require_status, require_zeros, stub};
use crate::testing::{
    ResponseParameters, SimpleRequest, StreamingInputCallRequest, StreamingOutputCallRequest,
    TestServiceStub, zeros,
};

const LARGE_RESPONSE: usize = 314_159;

/// The compressed request is called so and is not: the server has to refuse it.
pub(crate) fn client_unary(channel: &Channel) -> Outcome {
    let probe = SimpleRequest { expect_compressed: Some(true), ..large_request() };
    require_status(stub(channel).unary_call.call(&probe), Code::InvalidArgument, None)?;
    client_unary_noprobe(channel)
}

pub(crate) fn client_unary_noprobe(channel: &Channel) -> Outcome {
    for compressed in [true, false] {
        let request = SimpleRequest { expect_compressed: Some(compressed), ..large_request() };
        let compression = if compressed { Compression::Gzip } else { Compression::None };
        let call = stub(channel).unary_call.compression(compression);
        require_zeros(call.call(&request)?.payload, LARGE_RESPONSE)?;
    }
    Ok(())
}

pub(crate) fn client_streaming(channel: &Channel) -> Outcome {
    let probe = [streamed(true, 27_182)];
    require_status(stub(channel).streaming_input_call.call(probe), Code::InvalidArgument, None)?;
    client_streaming_noprobe(channel)
}

pub(crate) fn client_streaming_noprobe(channel: &Channel) -> Outcome {
    let (mut requests, mut reply) = gzipping(channel).streaming_input_call.open();
    requests.send(&streamed(true, 27_182))?;
    requests.disable_next_message_compression();
    requests.send(&streamed(false, 45_904))?;
    requests.done_writing()?;
    let sum = reply.result(None)?.aggregated_payload_size;
    require!(sum == 73_086, "the sum is {sum}, not 73086");
    Ok(())
}

pub(crate) fn server_unary(channel: &Channel) -> Outcome {
    server_unary_with(channel, |_| Ok(()))
}

pub(crate) fn server_unary_checked(channel: &Channel) -> Outcome {
    server_unary_with(channel, require_noted)
}

fn server_unary_with(channel: &Channel, check: fn(bool) -> Outcome) -> Outcome {
    for compressed in [true, false] {
        let request = SimpleRequest { response_compressed: Some(compressed), ..large_request() };
        require_zeros(stub(channel).unary_call.call(&request)?.payload, LARGE_RESPONSE)?;
        check(compressed)?;
    }
    Ok(())
}

pub(crate) fn server_streaming(channel: &Channel) -> Outcome {
    server_streaming_with(channel, |_| Ok(()))
}

pub(crate) fn server_streaming_checked(channel: &Channel) -> Outcome {
    server_streaming_with(channel, require_noted)
}

fn server_streaming_with(channel: &Channel, check: fn(bool) -> Outcome) -> Outcome {
    const WANTED: [(usize, bool); 2] = [(31_415, true), (92_653, false)];
    let wanted = |(size, compressed): (usize, bool)| ResponseParameters {
        size: size as i32,
        compressed: Some(compressed),
        ..ResponseParameters::default()
    };
    let request = StreamingOutputCallRequest {
        response_parameters: WANTED.map(wanted).into(),
        ..StreamingOutputCallRequest::default()
    };
    let mut responses = stub(channel).streaming_output_call.call(&request)?;
    for (size, compressed) in WANTED {
        require_zeros(responses.next().ok_or("a response too few")??.payload, size)?;
        check(compressed)?;
    }
    require!(responses.next().transpose()?.is_none(), "a response too many");
    Ok(())
}

fn gzipping(channel: &Channel) -> TestServiceStub {
    let options: CallOptions = patient().compression(Compression::Gzip);
    TestServiceStub::with_options(channel, options)
}

fn streamed(compressed: bool, size: usize) -> StreamingInputCallRequest {
    StreamingInputCallRequest { payload: zeros(size), expect_compressed: Some(compressed) }
}

/// Messages that came compressed since it was last asked.
static NOTED: AtomicUsize = AtomicUsize::new(0);

fn require_noted(compressed: bool) -> Outcome {
    let came = NOTED.swap(0, Ordering::SeqCst);
    require!(
        came == usize::from(compressed),
        "of a response that was to be {}, {came} came compressed",
        if compressed { "compressed" } else { "as it is" }
    );
    Ok(())
}

/// gzip that notes what comes in it.
pub(crate) struct Noting;

impl Compressor for Noting {
    fn name(&self) -> &str {
        "gzip"
    }

    fn compress(&self, message: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let mut encoder = GzEncoder::new(out, Level::default());
        encoder.write_all(message)?;
        encoder.finish().map(drop)
    }

    fn decompress(&self, packed: &[u8], limit: usize, out: &mut dyn Write) -> io::Result<()> {
        NOTED.fetch_add(1, Ordering::SeqCst);
        // One more than is allowed, so that `out` sees it.
        io::copy(&mut MultiGzDecoder::new(packed).take(limit as u64 + 1), out).map(drop)
    }
}
