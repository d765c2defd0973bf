//! A program ends when its `main` does, whatever of the library is still at work: each case in a process of its own.
//!
//! Answers to grpc-python's `_exit_test`, `_interpreter_exit_test` and `_server_shutdown_test`.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::mem::forget;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};
use support::LONG;

/// Names the case in the process that [`each_case_ends_its_process`] starts.
const CASE: &str = "GRPC_THREADS_TEST_EXIT";

/// Says that the case is where it should end.
const READY: &str = "ready to end";

const CASES: [(&str, fn()); 9] = [
    ("a server that was not started", || {
        forget(grpc_threads::server(ThreadPool::new(2)));
    }),
    ("a server that runs", || forget(Served::new())),
    ("a server in its grace", || {
        let served = Served::with(2, [("Hangs", hangs())]);
        forget(call_one(&served.channel()));
        forget(served.server.stop(LONG));
        forget(served);
    }),
    ("a hundred servers", || (0..100).for_each(|_| forget(Served::new()))),
    ("a server that is dropped while it is called", || {
        let served = Served::with(2, [("Hangs", hangs())]);
        forget(call_one(&served.channel()));
        drop(served);
    }),
    ("a channel that is watched and has nobody to talk to", || {
        let vacant = support::frames::Vacant::new();
        let channel = channel(&vacant.target());
        forget((channel.subscribe(|_| (), true), channel, vacant));
    }),
    ("calls of all kinds", || {
        let served = Served::with(8, [("Hangs", hangs())]);
        let channel = served.channel();
        forget(call_one(&channel));
        let count = channel.raw_unary_stream(COUNT).unwrap();
        let mut many = count.call(&Bytes::from_static(b"1000000 1000")).unwrap();
        many.next().unwrap().unwrap();
        let (sender, future) = channel.raw_stream_unary(SUM).unwrap().open();
        let endless = channel.raw_stream_stream(BIDI).unwrap();
        let mut pulled = endless.spawn(std::iter::repeat_with(|| Bytes::from_static(b"x")));
        pulled.next().unwrap().unwrap();
        forget((many, sender, future, pulled, channel, served));
    }),
    ("a thread that waits for a call", || {
        let served = Served::with(2, [("Hangs", hangs())]);
        let mut call = call_one(&served.channel());
        std::thread::spawn(move || call.result(None));
        forget(served);
    }),
    ("callbacks that wait", || {
        let served = Served::new();
        let future = served.channel().raw_unary_unary(ECHO).unwrap().future(&Bytes::new());
        let (tell, told) = std::sync::mpsc::channel();
        future.add_done_callback(move |_| {
            tell.send(()).unwrap();
            for_ever();
        });
        told.recv_timeout(LONG).unwrap();
        forget((future, served));
    }),
];

fn for_ever() {
    let (never, state) = (Condvar::new(), Mutex::new(()));
    let _waited = never.wait_while(state.lock().unwrap(), |()| true);
}

/// Never returns, whatever becomes of its call.
fn hangs() -> RpcMethodHandler {
    unary(|request, _| {
        for_ever();
        Ok(request)
    })
}

/// A call on its connection, whose handler does not return.
fn call_one(channel: &Channel) -> grpc_threads::CallFuture<Bytes> {
    let future = channel.raw_unary_unary("/test.Test/Hangs").unwrap().future(&Bytes::new());
    future.wait_for_connection(Some(LONG)).unwrap();
    future
}

#[test]
fn each_case_ends_its_process() {
    if let Some(case) = std::env::var_os(CASE) {
        let case = CASES.iter().find(|(name, _)| case == *name).unwrap();
        case.1();
        println!("{READY}");
        return;
    }
    for (name, _) in CASES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "each_case_ends_its_process", "--nocapture"])
            .env(CASE, name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let due = Instant::now() + LONG;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > due {
                child.kill().unwrap();
                panic!("{name}: the process stays");
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(READY), "{name}: {text}");
    }
}
