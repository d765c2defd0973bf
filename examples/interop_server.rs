//! The server of the official interop tests.
//!
//! `cargo run --release --example interop_server -- --port=10000`

mod common {
    pub(crate) mod flags;
    pub(crate) mod secure;
    pub(crate) mod testing;
}

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use common::flags::{Flags, fail};
use common::secure;
use common::testing::{
    ECHO_INITIAL, ECHO_TRAILING, EchoStatus, Empty, ResponseParameters, SimpleRequest,
    SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
    StreamingOutputCallRequest, StreamingOutputCallResponse, TestService, TestServiceServer, zeros,
};
use grpc_threads::{
    Code, Compression, Metadata, RequestIterator, ServicerContext, Status, ThreadPool,
};

/// Those about credentials for calls and load reports are left out.
const CASES: &[&str] = &[
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "custom_metadata",
    "concurrent_large_unary",
    "client_compressed_unary",
    "client_compressed_unary_noprobe",
    "server_compressed_unary",
    "server_compressed_unary_unchecked",
    "client_compressed_streaming",
    "client_compressed_streaming_noprobe",
    "server_compressed_streaming",
    "server_compressed_streaming_unchecked",
    "rpc_soak",
    "channel_soak",
];

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let flags = Flags::parse(
        "Serves grpc.testing.TestService on 127.0.0.1.",
        &[
            ("port", "where to listen; 0 for any free port"),
            ("use_tls", "listen with TLS; for programs built with --features tls"),
            ("tls_cert_file", "then the server's certificate, as PEM"),
            ("tls_key_file", "and its key"),
            ("list_cases", "print the cases it is made for"),
        ],
    );
    if flags.is_set("list_cases") {
        println!("{}", CASES.join("\n"));
        return Ok(());
    }
    let port = flags.value("port", 0u16);

    let server = grpc_threads::server(ThreadPool::new(32));
    server.add_service(TestServiceServer::new(Interop))?;
    let address = format!("127.0.0.1:{port}");
    let port = if flags.is_set("use_tls") {
        let file = |name: &str| {
            flags.get(name).unwrap_or_else(|| fail(format_args!("--use_tls without --{name}")))
        };
        secure::listen(&server, &address, (file("tls_cert_file"), file("tls_key_file")))?
    } else {
        server.add_insecure_port(&address)?
    };
    server.start()?;
    println!("listening on 127.0.0.1:{port}");
    server.wait_for_termination(None);
    Ok(())
}

/// All methods but `UnimplementedCall`, which no server has.
struct Interop;

impl TestService for Interop {
    fn empty_call(&self, _: Empty, context: &ServicerContext) -> Result<Empty, Status> {
        echo_metadata(context)?;
        Ok(Empty {})
    }

    fn unary_call(
        &self,
        request: SimpleRequest,
        context: &ServicerContext,
    ) -> Result<SimpleResponse, Status> {
        require_compressed(request.expect_compressed, context)?;
        if request.response_compressed == Some(true) {
            context.set_compression(Compression::Gzip)?;
        }
        echo_metadata(context)?;
        echo_status(request.response_status)?;
        require_known_type(request.response_type)?;
        Ok(SimpleResponse {
            payload: zeros(wanted_size(request.response_size)?),
            ..SimpleResponse::default()
        })
    }

    fn streaming_output_call(
        &self,
        request: StreamingOutputCallRequest,
        context: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<StreamingOutputCallResponse, Status>>, Status> {
        // The head says one thing for all of them.
        let asked = |one: &ResponseParameters| one.compressed == Some(true);
        if request.response_parameters.iter().any(asked) {
            context.set_compression(Compression::Gzip)?;
        }
        echo_metadata(context)?;
        answer(request, Some(context))
    }

    fn streaming_input_call(
        &self,
        requests: RequestIterator<StreamingInputCallRequest>,
        context: &ServicerContext,
    ) -> Result<StreamingInputCallResponse, Status> {
        echo_metadata(context)?;
        let mut total = 0;
        for request in requests {
            let request = request?;
            require_compressed(request.expect_compressed, context)?;
            total += request.payload.map_or(0, |payload| payload.body.len());
        }
        let total = i32::try_from(total).map_err(|_| Status::out_of_range("more than 2 GiB"))?;
        Ok(StreamingInputCallResponse { aggregated_payload_size: total })
    }

    /// Each request is answered before the next is received.
    fn full_duplex_call(
        &self,
        requests: RequestIterator<StreamingOutputCallRequest>,
        context: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<StreamingOutputCallResponse, Status>>, Status> {
        echo_metadata(context)?;
        Ok(answers(requests))
    }

    /// No response before the client has closed its side.
    fn half_duplex_call(
        &self,
        requests: RequestIterator<StreamingOutputCallRequest>,
        context: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<StreamingOutputCallResponse, Status>>, Status> {
        echo_metadata(context)?;
        let all = requests.collect::<Result<Vec<_>, Status>>()?;
        Ok(answers(all.into_iter().map(Ok)))
    }
}

fn answers(
    requests: impl Iterator<Item = Result<StreamingOutputCallRequest, Status>>,
) -> impl Iterator<Item = Result<StreamingOutputCallResponse, Status>> {
    // Of each request an iterator of its responses, or of the one error that ends the call.
    requests.flat_map(|request| {
        let answered = request.and_then(|request| answer(request, None));
        let (responses, error) = match answered {
            Ok(responses) => (Some(responses), None),
            Err(status) => (None, Some(Err(status))),
        };
        responses.into_iter().flatten().chain(error)
    })
}

/// The responses that a request asks for, each after its pause; those that are not to be compressed are not, in `context`.
fn answer(
    request: StreamingOutputCallRequest,
    context: Option<&ServicerContext>,
) -> Result<impl Iterator<Item = Result<StreamingOutputCallResponse, Status>>, Status> {
    echo_status(request.response_status)?;
    require_known_type(request.response_type)?;
    Ok(request.response_parameters.into_iter().map(
        move |ResponseParameters { size, interval_us, compressed }| {
            if let (Some(false), Some(context)) = (compressed, context) {
                context.disable_next_message_compression();
            }
            sleep(Duration::from_micros(u64::try_from(interval_us).unwrap_or(0)));
            Ok(StreamingOutputCallResponse { payload: zeros(wanted_size(size)?) })
        },
    ))
}

/// Gives back the two entries the tests know, one before the response and one after it.
fn echo_metadata(context: &ServicerContext) -> Result<(), Status> {
    let received = context.invocation_metadata();
    if let Some(value) = received.get(ECHO_INITIAL) {
        context.send_initial_metadata(&Metadata::new().with(ECHO_INITIAL, value)?)?;
    }
    if let Some(value) = received.get_bin(ECHO_TRAILING) {
        context.set_trailing_metadata(Metadata::new().with_bin(ECHO_TRAILING, value)?);
    }
    Ok(())
}

/// Ends the call with the status that the request wishes for, if it does.
fn echo_status(wanted: Option<EchoStatus>) -> Result<(), Status> {
    match wanted {
        Some(EchoStatus { code, message }) if code != 0 => {
            Err(Status::new(Code::from_i32(code), message))
        }
        _ => Ok(()),
    }
}

/// Whether a request came as its sender says.
fn require_compressed(expected: Option<bool>, context: &ServicerContext) -> Result<(), Status> {
    match (expected, context.request_was_compressed()) {
        (Some(true), false) => Err(Status::invalid_argument("the request came uncompressed")),
        (Some(false), true) => Err(Status::invalid_argument("the request came compressed")),
        _ => Ok(()),
    }
}

fn require_known_type(payload_type: i32) -> Result<(), Status> {
    match payload_type {
        0 => Ok(()),
        other => Err(Status::invalid_argument(format!("unknown payload type {other}"))),
    }
}

/// The request comes from anybody: its wish for memory has a bound.
fn wanted_size(size: i32) -> Result<usize, Status> {
    match usize::try_from(size) {
        Ok(size) if size <= 64 << 20 => Ok(size),
        _ => Err(Status::invalid_argument(format!("a payload of {size} bytes"))),
    }
}
