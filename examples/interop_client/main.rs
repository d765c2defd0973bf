//! The client of the official interop tests: runs one case, exits 0 if it passed.
//!
//! `cargo run --release --example interop_client -- --server_port=10000 --test_case=ping_pong`

#![allow(
    clippy::disallowed_methods,
    reason = "a user's program; the soak cases measure how long a call takes"
)]

mod cases;
mod compressed;
#[path = "../common/flags.rs"]
mod flags;
#[path = "../common/secure.rs"]
mod secure;
#[path = "../common/testing.rs"]
mod testing;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use flags::{Flags, fail};
use grpc_threads::{Channel, ChannelBuilder};

/// What a case comes to: nothing, or what was not as it must be.
pub(crate) type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

type Case = (&'static str, fn(&Channel) -> Outcome);

/// Those about credentials for calls and load reports are left out; the soak cases follow.
const CASES: &[Case] = &[
    ("empty_unary", cases::empty_unary),
    ("large_unary", cases::large_unary),
    ("client_streaming", cases::client_streaming),
    ("server_streaming", cases::server_streaming),
    ("ping_pong", cases::ping_pong),
    ("empty_stream", cases::empty_stream),
    ("timeout_on_sleeping_server", cases::timeout_on_sleeping_server),
    ("cancel_after_begin", cases::cancel_after_begin),
    ("cancel_after_first_response", cases::cancel_after_first_response),
    ("status_code_and_message", cases::status_code_and_message),
    ("special_status_message", cases::special_status_message),
    ("unimplemented_method", cases::unimplemented_method),
    ("unimplemented_service", cases::unimplemented_service),
    ("custom_metadata", cases::custom_metadata),
    ("concurrent_large_unary", cases::concurrent_large_unary),
    ("client_compressed_unary", compressed::client_unary),
    ("client_compressed_unary_noprobe", compressed::client_unary_noprobe),
    ("client_compressed_streaming", compressed::client_streaming),
    ("client_compressed_streaming_noprobe", compressed::client_streaming_noprobe),
    ("server_compressed_unary_unchecked", compressed::server_unary),
    ("server_compressed_streaming_unchecked", compressed::server_streaming),
];
/// Those that look at how responses come: on a channel of their own.
const CHECKED: &[Case] = &[
    ("server_compressed_unary", compressed::server_unary_checked),
    ("server_compressed_streaming", compressed::server_streaming_checked),
];
const RPC_SOAK: &str = "rpc_soak";
const CHANNEL_SOAK: &str = "channel_soak";

fn main() -> ExitCode {
    let flags = Flags::parse(
        "Runs one case of the official interop tests.",
        &[
            ("server_host", "where the server is (127.0.0.1)"),
            ("server_port", "and on which port"),
            ("test_case", "which case to run"),
            ("list_cases", "print the cases there are"),
            ("use_tls", "connect with TLS; for programs built with --features tls"),
            ("use_test_ca", "then trust --ca_file, and not the system's roots"),
            ("ca_file", "certificates of those to trust, as PEM"),
            ("server_host_override", "the name that is in the server's certificate"),
            ("soak_iterations", "calls in a soak case (10)"),
            ("soak_max_failures", "how many of them may fail or be slow (0)"),
            ("soak_per_iteration_max_acceptable_latency_ms", "what is slow (1000)"),
            ("soak_overall_timeout_seconds", "time for all of them (10)"),
        ],
    );
    if flags.is_set("list_cases") {
        CASES.iter().chain(CHECKED).for_each(|(name, _)| println!("{name}"));
        println!("{RPC_SOAK}\n{CHANNEL_SOAK}");
        return ExitCode::SUCCESS;
    }
    let case = flags.get("test_case").unwrap_or_else(|| fail("--test_case is missing"));
    match run(case, &flags) {
        Ok(()) => {
            println!("{case}: passed");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}\n{case}: FAILED");
            ExitCode::FAILURE
        }
    }
}

fn run(case: &str, flags: &Flags) -> Outcome {
    let called = |(name, _): &&Case| *name == case;
    let (known, checked) = (CASES.iter().find(called), CHECKED.iter().find(called));
    match (case, known.or(checked)) {
        (_, Some((_, run))) if checked.is_some() => {
            run(&builder(flags)?.compressor(compressed::Noting).connect_lazily()?)
        }
        (_, Some((_, run))) => run(&connect(flags)?),
        (RPC_SOAK, _) => {
            let channel = connect(flags)?;
            soak(flags, || cases::large_unary(&channel))
        }
        (CHANNEL_SOAK, _) => soak(flags, || {
            let channel = connect(flags)?;
            cases::large_unary(&channel)?;
            channel.close();
            Ok(())
        }),
        _ => fail(format_args!("there is no case {case}; see --list_cases")),
    }
}

fn connect(flags: &Flags) -> Result<Channel, Box<dyn Error + Send + Sync>> {
    Ok(builder(flags)?.connect_lazily()?)
}

fn builder(flags: &Flags) -> Result<ChannelBuilder, Box<dyn Error + Send + Sync>> {
    let host = flags.get("server_host").unwrap_or("127.0.0.1");
    let port = flags.get("server_port").unwrap_or_else(|| fail("--server_port is missing"));
    let mut channel = Channel::builder(&format!("{host}:{port}"));
    if flags.is_set("use_tls") {
        let roots = flags.is_set("use_test_ca").then(|| {
            let file = flags.get("ca_file").unwrap_or_else(|| fail("--ca_file is missing"));
            std::fs::read(file).unwrap_or_else(|error| fail(format_args!("{file}: {error}")))
        });
        channel = channel.credentials(&secure::trusting(roots.as_deref())?);
        if let Some(name) = flags.get("server_host_override") {
            channel = secure::call_it(channel, name);
        }
    }
    Ok(channel)
}

/// Many times the same, of which only so many may fail or be slow.
fn soak(flags: &Flags, mut once: impl FnMut() -> Outcome) -> Outcome {
    let iterations = flags.value("soak_iterations", 10u32);
    let slow = flags.value("soak_per_iteration_max_acceptable_latency_ms", 1000);
    let slow = Duration::from_millis(slow);
    let time = Duration::from_secs(flags.value("soak_overall_timeout_seconds", 10));
    let begun = Instant::now();
    let mut failures = Vec::new();
    for i in 0..iterations {
        if begun.elapsed() > time {
            return Err(format!("only {i} of {iterations} iterations in {time:?}").into());
        }
        let start = Instant::now();
        if let Err(error) = once() {
            failures.push(format!("iteration {i}: {error}"));
        } else if start.elapsed() > slow {
            failures.push(format!("iteration {i} took {:?}", start.elapsed()));
        }
    }
    if failures.len() > flags.value("soak_max_failures", 0) {
        return Err(failures.join("\n").into());
    }
    Ok(())
}
