//! Asks a server how it is, and ends with the exit status that Kubernetes' `exec` probes and shell scripts know from
//! grpc_health_probe:
//!
//! | status | |
//! |---|---|
//! | 0 | the service serves |
//! | 1 | the command line is wrong |
//! | 2 | no connection in time |
//! | 3 | the call failed, or was not answered in time; a service that the server does not know, too |
//! | 4 | the server says that the service does not serve |
//!
//! `cargo run --example health_probe -- --addr=localhost:50051 [--service=demo.Greeter] [--connect-timeout=1s] [--rpc-timeout=1s]`

use std::process::ExitCode;
use std::time::Duration;

use grpc_threads::health::{HealthCheckRequest, HealthStub, ServingStatus};
use grpc_threads::{Code, insecure_channel};

const USAGE: &str =
    "health_probe --addr=HOST:PORT [--service=NAME] [--connect-timeout=1s] [--rpc-timeout=1s]";

struct Wanted {
    target: String,
    service: String,
    connect: Duration,
    call: Duration,
}

/// Why the service is not known to serve: the exit status, and a line.
type Failure = (u8, String);

fn main() -> ExitCode {
    match read(std::env::args().skip(1)).and_then(|wanted| probe(&wanted)) {
        Ok(()) => {
            println!("status: {}", ServingStatus::Serving);
            ExitCode::SUCCESS
        }
        Err((status, line)) => {
            eprintln!("{line}");
            ExitCode::from(status)
        }
    }
}

fn probe(wanted: &Wanted) -> Result<(), Failure> {
    let Wanted { target, service, connect, call } = wanted;
    let channel = insecure_channel(target).map_err(|error| (1, error.to_string()))?;
    channel.wait_ready(Some(*connect)).map_err(|error| (2, format!("no connection: {error}")))?;
    let request = HealthCheckRequest { service: service.clone() };
    let told = HealthStub::new(&channel).check.timeout(*call).call(&request);
    let status = told.map_err(|error| match error.code() {
        Code::Unimplemented => (3, format!("the server has no health service: {error}")),
        Code::DeadlineExceeded => (3, format!("no answer within {call:?}")),
        _ => (3, format!("the call failed: {error}")),
    })?;
    match status.serving_status() {
        ServingStatus::Serving => Ok(()),
        other => Err((4, format!("status: {other}"))),
    }
}

fn read(args: impl Iterator<Item = String>) -> Result<Wanted, Failure> {
    let second = Duration::from_secs(1);
    let (target, service) = (String::new(), String::new());
    let mut wanted = Wanted { target, service, connect: second, call: second };
    for arg in args {
        let (name, value) =
            arg.split_once('=').ok_or_else(|| (1, format!("what is {arg:?}? {USAGE}")))?;
        match name.trim_start_matches('-') {
            "addr" => wanted.target = value.into(),
            "service" => wanted.service = value.into(),
            "connect-timeout" => wanted.connect = duration(value)?,
            "rpc-timeout" => wanted.call = duration(value)?,
            _ => return Err((1, format!("there is no {name}: {USAGE}"))),
        }
    }
    if wanted.target.is_empty() {
        return Err((1, format!("--addr is missing: {USAGE}")));
    }
    Ok(wanted)
}

/// `1s`, `250ms`, `2m`.
fn duration(text: &str) -> Result<Duration, Failure> {
    let wrong = || (1, format!("{text:?} is no duration: 1s, 250ms and 2m are"));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u32 = digits.parse().map_err(|_| wrong())?;
    let unit = match &text[digits.len()..] {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(wrong()),
    };
    Ok(unit * number)
}
