//! The client of the load programs: keeps up one kind of load, and reports on it as a JSON line.
//!
//! `cargo run --release --example bench-client -- --addr 127.0.0.1:50051 --mode unary --threads 16`

#![allow(
    clippy::disallowed_methods,
    reason = "a program for measuring reads the clock, and a user's program starts threads"
)]

#[path = "../common/bench.rs"]
mod bench;
#[path = "../common/flags.rs"]
mod flags;
mod kit;
mod load;
#[path = "../common/secure.rs"]
mod secure;

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use flags::{Flags, fail};
use grpc_threads::{Channel, ChannelCredentials};
use kit::{Phase, Stats};
use load::Caller;

/// What the command line says; sizes are in bytes.
pub(crate) struct Options {
    pub(crate) addr: String,
    pub(crate) mode: String,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    pub(crate) req: usize,
    pub(crate) resp: usize,
    pub(crate) threads: usize,
    pub(crate) conns: usize,
    pub(crate) inflight: usize,
    pub(crate) count: usize,
    pub(crate) busy_poll: Duration,
    pub(crate) peer: String,
    /// Whom to trust, as PEM, where TLS is wanted.
    pub(crate) tls: Option<Vec<u8>>,
    /// What all channels have in common, where they are to resume each other's sessions.
    pub(crate) shared: Option<ChannelCredentials>,
}

impl Options {
    fn parse() -> Options {
        let flags = Flags::parse(
            "Puts a load on bench.Bench and reports on it.",
            &[
                ("addr", "HOST:PORT of the server (127.0.0.1:50051)"),
                ("mode", "unary, server-stream, client-stream, bidi-pingpong, connect or idle"),
                ("duration", "seconds to measure (2)"),
                ("warmup", "seconds before that (0.5)"),
                ("req", "bytes in a request (32)"),
                ("resp", "bytes in a response (32)"),
                ("threads", "callers (1)"),
                ("conns", "connections that they share (1)"),
                ("inflight", "callers are this many times more (1)"),
                ("count", "messages in a stream (1000)"),
                ("busy-poll", "microseconds to poll for input before sleeping (0)"),
                ("peer", "the name in the report (ours)"),
                ("tls", "PEM file of whom to trust: TLS, if built with --features tls"),
                ("resume", "with --tls: resume the sessions of earlier connections"),
            ],
        );
        let text = |name, default: &str| flags.get(name).unwrap_or(default).to_owned();
        let seconds = |name, default: f64| {
            Duration::try_from_secs_f64(flags.value(name, default))
                .unwrap_or_else(|error| fail(format_args!("--{name}: {error}")))
        };
        let tls = flags.get("tls").map(|file| {
            std::fs::read(file).unwrap_or_else(|error| fail(format_args!("{file}: {error}")))
        });
        let shared = tls.as_deref().filter(|_| flags.is_set("resume")).map(|roots| {
            secure::trusting(Some(roots))
                .unwrap_or_else(|error| fail(format_args!("--tls: {error}")))
        });
        Options {
            addr: text("addr", "127.0.0.1:50051"),
            mode: text("mode", "unary"),
            duration: seconds("duration", 2.0),
            warmup: seconds("warmup", 0.5),
            req: flags.value("req", 32),
            resp: flags.value("resp", 32),
            threads: flags.value("threads", 1),
            conns: flags.value("conns", 1),
            inflight: flags.value("inflight", 1),
            count: flags.value("count", 1000),
            busy_poll: Duration::from_micros(flags.value("busy-poll", 0)),
            peer: text("peer", "ours"),
            tls,
            shared,
        }
    }

    /// A channel of its own connection.
    pub(crate) fn connect(&self) -> Result<Channel, Box<dyn Error + Send + Sync>> {
        let mut channel = Channel::builder(&self.addr).busy_poll(self.busy_poll);
        if let Some(shared) = &self.shared {
            channel = channel.credentials(shared);
        } else if let Some(roots) = &self.tls {
            channel = channel.credentials(&secure::trusting(Some(roots))?);
        }
        Ok(channel.connect_lazily()?)
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let options = Options::parse();
    bench::payload(0, 0); // the pattern is made before the first call
    let report = if options.mode == "idle" { idle(&options)? } else { load(&options)? };
    println!("{report}");
    Ok(())
}

/// Callers that share connections, each a blocking thread.
fn load(options: &Options) -> Result<String, Box<dyn Error + Send + Sync>> {
    let run = match &options.mode[..] {
        "unary" => Caller::unary,
        "server-stream" => Caller::server_stream,
        "client-stream" => Caller::client_stream,
        "bidi-pingpong" => Caller::bidi_pingpong,
        "connect" => Caller::connect,
        other => fail(format_args!("there is no mode {other:?}; see --help")),
    };
    let mut channels = Vec::new();
    for _ in 0..options.conns.max(1) {
        let channel = options.connect()?;
        if options.mode != "connect" {
            load::prove(&channel, options)?;
        }
        channels.push(channel);
    }
    let phase = Phase::default();
    let callers = (options.threads * options.inflight).max(1);
    let mut total = Stats::default();
    let window = thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|i| {
                let mut caller = Caller::new(options, &phase, &channels[i % channels.len()]);
                scope.spawn(move || {
                    if let Err(error) = run(&mut caller) {
                        caller.stats.error(error);
                    }
                    caller.stats
                })
            })
            .collect();
        let window = phase.run(options);
        for thread in threads {
            match thread.join() {
                Ok(stats) => total.merge(stats),
                Err(_) => total.error("a caller has panicked"),
            }
        }
        window
    });
    Ok(total.report(options, &window))
}

/// Connections that do nothing, each proven by a call before.
fn idle(options: &Options) -> Result<String, Box<dyn Error + Send + Sync>> {
    let phase = Phase::default();
    let mut held = Vec::new();
    let mut stats = Stats::default();
    for _ in 0..options.conns {
        let start = Instant::now();
        let channel = options.connect()?;
        match load::prove(&channel, options) {
            Ok(()) => {
                stats.latency.add(start.elapsed());
                held.push(channel);
            }
            Err(error) => stats.error(error),
        }
    }
    stats.rpcs = held.len() as u64;
    let window = phase.measure(options.duration);
    Ok(stats.report(options, &window))
}
