//! Signals are the program's: no thread of the library takes one.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod support;

use bytes::Bytes;
use grpc_threads::{
    Channel, Server, Service, ServicerContext, Status, ThreadPool, insecure_channel, server,
    stream_unary_rpc_method_handler,
};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::mpsc;
use support::{LONG, eventually, within};

/// A server and a channel, and every kind of thread that the library has; they live as long as what is given back.
fn everybody() -> (Server, Channel, mpsc::Sender<Bytes>) {
    let server = server(ThreadPool::new(2));
    let count = |mut requests: grpc_threads::RequestIterator<Bytes>, _: &ServicerContext| {
        Ok::<Bytes, Status>(Bytes::from(requests.by_ref().count().to_string()))
    };
    let service = Service::new("t.S").method("Count", stream_unary_rpc_method_handler(count));
    server.add_service(service).unwrap();
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    server.start().unwrap();
    // A name, for the resolver.
    let channel = insecure_channel(&format!("localhost:{port}")).unwrap();
    let (tell, told) = mpsc::channel();
    let _subscription = channel.subscribe(
        move |state| {
            let _ = tell.send(state);
        },
        true,
    );
    told.recv().unwrap();
    channel.wait_ready(Some(LONG)).unwrap();
    let (items, puller) = mpsc::channel();
    let count = channel.stream_unary::<Bytes, Bytes>("/t.S/Count").unwrap();
    let call = count.future(puller);
    call.on_result(drop);
    items.send(Bytes::new()).unwrap();
    (server, channel, items)
}

/// Which signals each thread of the library's has blocked, as the kernel's mask.
fn masks() -> BTreeMap<String, u64> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let mask = |status: String| {
        let field =
            |name: &str| status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
        let mask = u64::from_str_radix(field("SigBlk:")?, 16).ok()?;
        Some((field("Name:")?.to_owned(), mask))
    };
    statuses.filter_map(mask).filter(|(name, _)| name.starts_with("grpc-")).collect()
}

#[test]
fn every_thread_of_the_library_is_born_with_the_programs_signals_blocked() {
    let mine = SigSet::thread_get_mask().unwrap();
    let held = everybody();
    assert_eq!(SigSet::thread_get_mask().unwrap(), mine, "the caller's mask is as it was");
    let names = ["grpc-poller", "grpc-notifier", "grpc-worker-0", "grpc-worker-1", "grpc-reserve"];
    // A thread gives itself its name.
    eventually(LONG, "all threads have their names", || {
        let found = masks();
        names.iter().all(|name| found.contains_key(*name))
    });
    let found = masks();
    let heard = [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGSYS,
        Signal::SIGABRT,
        Signal::SIGPROF,
        // Nobody can block these.
        Signal::SIGKILL,
        Signal::SIGSTOP,
    ];
    for (name, mask) in &found {
        for signal in Signal::iterator() {
            let blocked = mask >> (signal as i32 - 1) & 1 == 1;
            assert_eq!(blocked, !heard.contains(&signal), "{name}: {signal}");
        }
    }
    drop(held);
}

/// Set in the process that [`a_program_that_waits_for_its_signals_gets_each_of_them`] starts.
const INNER: &str = "GRPC_THREADS_TEST_SIGNALS";
const ROUNDS: usize = 100;

#[test]
fn a_program_that_waits_for_its_signals_gets_each_of_them() {
    if std::env::var_os(INNER).is_some() {
        return wait_for_signals();
    }
    // A signal that finds a thread of the library ends the process. The harness's own threads have it blocked.
    let output = Command::new("env")
        .arg("--block-signal=TERM")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_program_that_waits_for_its_signals_gets_each_of_them", "--nocapture"])
        .env(INNER, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{:?}: {text}", output.status);
}

fn wait_for_signals() {
    let mut term = SigSet::empty();
    term.add(Signal::SIGTERM);
    // As a program does whose channel is made before `main` knows of signals.
    term.thread_unblock().unwrap();
    let _early = everybody();
    term.thread_swap_mask(SigmaskHow::SIG_BLOCK).unwrap();
    within(LONG, move || {
        for _ in 0..ROUNDS {
            kill(Pid::this(), Signal::SIGTERM).unwrap();
            assert_eq!(term.wait().unwrap(), Signal::SIGTERM);
        }
    });
}
