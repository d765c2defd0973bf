//! The whole library under a model checker: a channel and a server, joined by pipes in memory, with callers that cancel,
//! expire, let go and hang up, under schedules that are drawn at random; each of them again by its number.
//!
//! `tests/model.sh` runs it. What an execution has to come to, whatever the schedule: every call ends, with a status that
//! what was done to it explains; every callback runs once; then no link, call or server is left, no octet of window is
//! lent, and no thread of ours runs. A wait that nothing would end but a timer of a minute is told with what everybody waits for.
//!
//! Threads are shuttle's, and so are all locks and atomics; time is the model's (`sync::model`).

mod callers;
mod explorer;
mod pipes;
mod world;

use std::time::{Duration, Instant};

use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use explorer::Explorer;
use world::Plan;

/// How long to look for faults, in seconds.
const SECONDS: &str = "GRPC_THREADS_MODEL_SECONDS";
/// The first execution, or the only one if [`SECONDS`] is not set.
const SEED: &str = "GRPC_THREADS_MODEL_SEED";
/// Tells what goes on, step by step.
const TRACE: &str = "GRPC_THREADS_MODEL_TRACE";

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long to go on is not the model's time")]
fn every_call_ends_and_nothing_is_left() {
    world::listen_to_logs(std::env::var_os(TRACE).is_some());
    let (seconds, first) = (number(SECONDS), number(SEED));
    let only = seconds.is_none() && first.is_some();
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(5));
    let (mut seed, mut steps) = (first.unwrap_or(1), 0);
    let begun = seed;
    loop {
        steps += execute(seed);
        seed += 1;
        if only || Instant::now() >= until {
            break;
        }
    }
    println!("{} executions, {steps} steps: all calls ended, nothing was left", seed - begun);
}

/// One execution: how many steps it took.
fn execute(seed: u64) -> usize {
    let plan = Plan::new(seed);
    let explorer = Explorer::new(seed);
    let steps = explorer.steps();
    world::begin(format!("execution {seed}: {explorer:?}\n{plan:?}"));
    fail_at_a_panic(seed);
    let mut config = Config::new();
    config.stack_size = 512 * 1024;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(2_000_000);
    config.silence_warnings = true;
    Runner::new(explorer, config).run(move || world::run(&plan));
    drop(std::panic::take_hook());
    steps.get()
}

/// Nothing panics in an execution. The program ends with the first panic: what an execution leaves in the middle of
/// everything cannot be dropped.
fn fail_at_a_panic(seed: u64) {
    std::panic::set_hook(Box::new(move |panic| {
        eprintln!("{}\n{panic}\nagain: {SEED}={seed} tests/model.sh", world::account());
        std::process::exit(101);
    }));
}
