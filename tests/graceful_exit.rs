//! The end of a server by signals: each case in a process of its own, which is sent real ones.
//!
//! Without the usual harness: its threads would take the signals, and there is to be a `main` that is the first thread.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio, exit};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use grpc_threads::health::{HealthCheckRequest, HealthServicer, HealthStub};
use grpc_threads::{Code, Server, Service, ThreadPool, graceful_exit, graceful_exit_on};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use service::{ECHO, channel, echo, unary};
use support::{LONG, eventually};

/// Names the case in the process that is started.
const CASE: &str = "GRPC_THREADS_TEST_SIGNALS";

fn main() {
    if let Ok(case) = std::env::var(CASE) {
        let (_, child, _) = CASES.iter().find(|(name, ..)| *name == case).unwrap();
        return child();
    }
    // The arguments of the usual harness: a filter, and flags that mean nothing here.
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    if std::env::args().any(|arg| arg == "--list") {
        CASES.iter().for_each(|(name, ..)| println!("{name}: test"));
        return;
    }
    let mut failed = 0;
    for (name, _, parent) in CASES.iter().filter(|(name, ..)| name.contains(&filter)) {
        let result = std::panic::catch_unwind(|| parent(Process::start(name)));
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        failed += usize::from(result.is_err());
    }
    exit(if failed == 0 { 0 } else { 101 });
}

/// Its name, what the child does, and what its parent sees of it.
type Case = (&'static str, fn(), fn(Process));

const CASES: [Case; 9] = [
    ("the_first_signal_stops_and_the_program_ends_as_it_likes", serve, |mut child| {
        child.line("listening");
        child.send(Signal::SIGTERM);
        child.line("ended");
        assert_eq!(child.end().code(), Some(0));
    }),
    ("sigint_does_the_same", serve, |mut child| {
        child.line("listening");
        child.send(Signal::SIGINT);
        child.line("ended");
        assert_eq!(child.end().code(), Some(0));
    }),
    ("calls_in_progress_end_within_the_grace", serve, |mut child| {
        let port = child.line("listening");
        let channel = channel(&format!("127.0.0.1:{port}"));
        let mut call = channel.raw_unary_unary("/test.Test/Wait").unwrap().future(&Bytes::new());
        child.line("called");
        child.send(Signal::SIGTERM);
        child.line("stopping");
        let echo = channel.raw_unary_unary(ECHO).unwrap();
        let refused =
            || echo.call(&Bytes::new()).is_err_and(|error| error.code() == Code::Unavailable);
        eventually(LONG, "no new call is taken", refused);
        child.tell();
        assert_eq!(call.result(Some(LONG)).unwrap(), "waited");
        child.line("ended");
        assert_eq!(child.end().code(), Some(0));
    }),
    ("a_second_signal_ends_the_process_with_its_number", serve, |mut child| {
        let port = child.line("listening");
        let channel = channel(&format!("127.0.0.1:{port}"));
        let _call = channel.raw_unary_unary("/test.Test/Wait").unwrap().future(&Bytes::new());
        child.line("called");
        child.send(Signal::SIGTERM);
        child.line("stopping");
        child.send(Signal::SIGINT);
        assert_eq!(child.end().code(), Some(130));
    }),
    ("a_signal_before_the_start_ends_the_process_and_nothing_starts", not_started, |mut child| {
        child.line("not started");
        child.send(Signal::SIGTERM);
        assert_eq!(child.end().code(), Some(143));
    }),
    ("all_servers_stop_and_health_is_told", two_servers, |mut child| {
        let port = child.line("listening");
        let health = HealthStub::new(&channel(&format!("127.0.0.1:{port}")));
        let mut watch = health.watch.call(&HealthCheckRequest::default()).unwrap();
        let next = |watch: &mut grpc_threads::Responses<_>| {
            watch
                .recv_timeout(LONG)
                .map(|told: Option<grpc_threads::health::HealthCheckResponse>| told.unwrap().status)
        };
        assert_eq!(next(&mut watch).unwrap(), 1);
        child.send(Signal::SIGTERM);
        assert_eq!(next(&mut watch).unwrap(), 2);
        next(&mut watch).unwrap_err();
        child.line("ended");
        assert_eq!(child.end().code(), Some(0));
    }),
    ("once_it_is_dropped_signals_do_what_they_did", dropped, |mut child| {
        child.line("dropped");
        child.send(Signal::SIGTERM);
        assert_eq!(child.end().signal(), Some(15));
    }),
    ("other_signals_may_be_chosen", other_signals, |mut child| {
        child.line("listening");
        child.send(Signal::SIGHUP);
        child.line("ended");
        child.send(Signal::SIGTERM);
        assert_eq!(child.end().signal(), Some(15), "that one was not chosen");
    }),
    ("a_thread_that_would_take_them_is_named", earlier_thread, |mut child| {
        child.line("as it should be");
        assert_eq!(child.end().code(), Some(0));
    }),
];

fn server(entered: mpsc::Sender<()>, go: mpsc::Receiver<()>) -> Server {
    let server = grpc_threads::server(ThreadPool::new(2));
    let (entered, go) = (Mutex::new(entered), Mutex::new(go));
    let wait = unary(move |_, _| {
        entered.lock().unwrap().send(()).unwrap();
        let _ = go.lock().unwrap().recv_timeout(LONG);
        Ok(Bytes::from_static(b"waited"))
    });
    server
        .add_service(Service::new("test.Test").method("Echo", echo()).method("Wait", wait))
        .unwrap();
    server.on_stop(|| println!("stopping"));
    server
}

/// Serves until it is told to stop. A line of input lets the handler go that waits.
fn serve() {
    let ((entered, arrived), (go, gate)) = (mpsc::channel(), mpsc::channel());
    let server = server(entered, gate);
    let exit = graceful_exit(&[&server], LONG).unwrap();
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    server.start().unwrap();
    // These inherit that signals are not theirs.
    std::thread::spawn(move || arrived.iter().for_each(|()| println!("called")));
    std::thread::spawn(move || std::io::stdin().lines().for_each(|_| go.send(()).unwrap()));
    println!("listening {port}");
    server.wait_for_termination(None);
    println!("ended");
    drop(exit);
}

fn not_started() {
    let server = grpc_threads::server(ThreadPool::new(1));
    let _exit = graceful_exit(&[&server], LONG).unwrap();
    server.add_insecure_port("127.0.0.1:0").unwrap();
    println!("not started");
    server.wait_for_termination(None);
    std::thread::park_timeout(LONG);
}

fn two_servers() {
    let servers =
        [grpc_threads::server(ThreadPool::new(1)), grpc_threads::server(ThreadPool::new(1))];
    let _exit = graceful_exit(&[&servers[0], &servers[1]], LONG).unwrap();
    let health = HealthServicer::new();
    let mut last = 0;
    for server in &servers {
        health.add_to(server).unwrap();
        last = server.add_insecure_port("127.0.0.1:0").unwrap();
        server.start().unwrap();
    }
    println!("listening {last}");
    for server in &servers {
        server.wait_for_termination(None);
    }
    println!("ended");
}

fn dropped() {
    let server = grpc_threads::server(ThreadPool::new(1));
    server.start().unwrap();
    drop(graceful_exit(&[&server], None).unwrap());
    println!("dropped");
    std::thread::park_timeout(LONG);
}

fn other_signals() {
    let server = grpc_threads::server(ThreadPool::new(1));
    for (number, words) in [
        (9, "SIGKILL cannot be taken"),
        (11, "SIGSEGV cannot"),
        (0, "0 is no signal"),
        (1_000, "no signal"),
    ] {
        let error = graceful_exit_on(&[&server], None, &[number]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let _exit = graceful_exit_on(&[&server], None, &[1]).unwrap();
    server.add_insecure_port("127.0.0.1:0").unwrap();
    server.start().unwrap();
    println!("listening");
    server.wait_for_termination(None);
    println!("ended");
    std::thread::park_timeout(LONG);
}

fn earlier_thread() {
    let ((end, wait), (runs, running)) = (mpsc::channel::<()>(), mpsc::channel());
    let early = std::thread::Builder::new().name("too-early".into());
    let early = early.spawn(move || {
        // Before it runs the C library keeps all signals from it.
        runs.send(()).unwrap();
        let _ = wait.recv();
    });
    let early = early.unwrap();
    running.recv().unwrap();
    let server = grpc_threads::server(ThreadPool::new(1));
    let error = graceful_exit(&[&server], None).unwrap_err();
    assert_eq!(error.kind(), grpc_threads::ConfigErrorKind::State);
    assert!(error.to_string().contains("\"too-early\""), "{error}");
    drop(end);
    early.join().unwrap();
    // As if nothing had been: it can be done now.
    let _exit = graceful_exit(&[&server], None).unwrap();
    println!("as it should be");
}

/// A case that runs. Killed if it is still there when its test is over.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(case: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let command = command.env(CASE, case).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for a line that begins so: what follows.
    fn line(&mut self, wanted: &str) -> String {
        for line in &mut self.lines {
            let line = line.unwrap();
            if let Some(rest) = line.strip_prefix(wanted) {
                return rest.trim().to_owned();
            }
        }
        panic!("it ended without {wanted:?}");
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    fn tell(&mut self) {
        use std::io::Write;
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < LONG, "it does not end");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
