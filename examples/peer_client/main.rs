//! The client of `tests/peers`: the same cases as in `peers.py`, against a server it starts by itself.
//!
//! `cargo run --example peer_client -- [--cases=A,B] python3 tests/peers/peers.py server`
//!
//! Prints a line for each case; exits 0 if none failed.

#![allow(clippy::disallowed_methods, reason = "a user's program; it measures how long calls take")]

mod answers;
mod calls;
mod outages;
mod server;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use grpc_threads::metadata::Value;
use grpc_threads::{CallOptions, Channel, Code, ConfigError, Metadata, Status, insecure_channel};
use grpc_threads::{Raw, StreamStream, StreamUnary, UnaryStream, UnaryUnary};
use server::Server;

/// What a case comes to: nothing, or what was not as it must be.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

type Case = (&'static str, fn(&Server) -> Outcome);

const CASES: &[Case] = &[
    ("metadata", answers::metadata),
    ("metadata_of_errors", answers::metadata_of_errors),
    ("big_metadata", answers::big_metadata),
    ("status_codes", answers::status_codes),
    ("status_details", answers::status_details),
    ("unimplemented", answers::unimplemented),
    ("handler_raises", answers::handler_raises),
    ("cardinality", answers::cardinality),
    ("who", answers::who),
    ("sizes", calls::sizes),
    ("limits", calls::limits),
    ("streams", calls::streams),
    ("early_ok", calls::early_ok),
    ("deadlines", calls::deadlines),
    ("thousand_calls", calls::thousand_calls),
    ("cancel", calls::cancel),
    ("killed_and_back", outages::killed_and_back),
    ("stopped_and_back", outages::stopped_and_back),
    ("wait_for_ready", outages::wait_for_ready),
];

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let chosen = args.first().and_then(|arg| arg.strip_prefix("--cases=")).map(str::to_owned);
    if chosen.is_some() {
        args.remove(0);
    }
    let chosen: Option<Vec<&str>> = chosen.as_deref().map(|names| names.split(',').collect());
    let wanted = |name: &str| chosen.as_ref().is_none_or(|names| names.contains(&name));
    match run(&args, CASES.iter().filter(|(name, _)| wanted(name))) {
        Ok((run, 0)) if run > 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// How many cases were run, and how many of them failed.
fn run<'a>(
    command: &[String],
    cases: impl Iterator<Item = &'a Case>,
) -> Result<(usize, usize), Box<dyn std::error::Error>> {
    let mut server = Server::start(command)?;
    let (mut run, mut failed) = (0, 0);
    for (name, case) in cases {
        let began = Instant::now();
        run += 1;
        match case(&server) {
            Ok(()) => println!("passed {name} ({:.1} s)", began.elapsed().as_secs_f32()),
            Err(error) => {
                failed += 1;
                println!("FAILED {name}: {error}");
            }
        }
    }
    server.stop()?;
    println!("ours as client: {run} cases, {failed} failed");
    Ok((run, failed))
}

/// All methods, on a channel of its own. Every call ends within 30 s unless it says otherwise.
pub(crate) struct Methods {
    pub(crate) channel: Channel,
}

impl Methods {
    pub(crate) fn of(server: &Server) -> Result<Self, ConfigError> {
        Ok(Self { channel: insecure_channel(&format!("127.0.0.1:{}", server.port))? })
    }

    pub(crate) fn unary(&self, name: &str) -> UnaryUnary<Bytes, Bytes> {
        in_time(self.channel.unary_unary_with(&path(name), Raw), UnaryUnary::options)
    }

    pub(crate) fn replies(&self, name: &str) -> UnaryStream<Bytes, Bytes> {
        in_time(self.channel.unary_stream_with(&path(name), Raw), UnaryStream::options)
    }

    pub(crate) fn requests(&self, name: &str) -> StreamUnary<Bytes, Bytes> {
        in_time(self.channel.stream_unary_with(&path(name), Raw), StreamUnary::options)
    }

    pub(crate) fn both(&self, name: &str) -> StreamStream<Bytes, Bytes> {
        in_time(self.channel.stream_stream_with(&path(name), Raw), StreamStream::options)
    }

    /// Whether the server saw the one call with this token end early, or, with " begins" behind it, run.
    pub(crate) fn saw(&self, token: &str) -> bool {
        self.unary("Seen").call(&bytes(token)).is_ok_and(|reply| text(&reply) == "1")
    }

    /// The address of our end of the connection, as the server sees it.
    pub(crate) fn who(&self) -> Result<String, Status> {
        Ok(text(&self.unary("Who").call(&Bytes::new())?))
    }
}

fn path(name: &str) -> String {
    format!("/peers.Peer/{name}")
}

fn in_time<M>(method: Result<M, ConfigError>, options: fn(&M, &CallOptions) -> M) -> M {
    let method = method.expect("the paths here are well formed");
    options(&method, &CallOptions::new().timeout(Duration::from_secs(30)))
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes whose period is no power of two, so that a piece that is lost or doubled shows.
pub(crate) fn pattern(size: usize) -> Bytes {
    (0..=250).cycle().take(size).collect()
}

pub(crate) fn check<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Outcome {
    if got == wanted {
        return Ok(());
    }
    let short = |value: T| format!("{value:?}").chars().take(400).collect::<String>();
    Err(format!("{what}: got {}, wanted {}", short(got), short(wanted)).into())
}

pub(crate) fn check_that(what: &str, holds: bool) -> Outcome {
    if holds { Ok(()) } else { Err(format!("not so: {what}").into()) }
}

pub(crate) fn between<T: PartialOrd + std::fmt::Debug>(
    what: &str,
    low: T,
    value: T,
    high: T,
) -> Outcome {
    if low <= value && value <= high {
        return Ok(());
    }
    Err(format!("{what}: {value:?} is not within {low:?} and {high:?}").into())
}

pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> Outcome {
    let began = Instant::now();
    while !condition() {
        if began.elapsed() > Duration::from_secs(5) {
            return Err(format!("not within 5 s: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The call must have failed with this code. Gives the status.
pub(crate) fn failure<T: std::fmt::Debug>(
    what: &str,
    result: Result<T, Status>,
    code: Code,
) -> Result<Status, Box<dyn std::error::Error>> {
    match result {
        Err(status) if status.code() == code => Ok(status),
        Err(status) => Err(format!("{what}: got {status:?}, wanted {code}").into()),
        Ok(_) => Err(format!("{what}: succeeded, wanted {code}").into()),
    }
}

/// What is under keys that begin so, with its own order under each key.
pub(crate) fn chosen(metadata: &Metadata, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let entries = metadata.iter().filter(|(key, _)| key.starts_with(prefix));
    let mut chosen: Vec<_> = entries
        .map(|(key, value): (&str, Value<'_>)| (key.to_owned(), value.as_bytes().to_vec()))
        .collect();
    chosen.sort_by(|(one, _), (other, _)| one.cmp(other)); // stable
    chosen
}
