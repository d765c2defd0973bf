//! The end of a server, wherever it is asked for: in handlers, in callbacks, on many threads, by drops, and by the end of the process.

#![allow(clippy::disallowed_methods, reason = "the test's own threads")]

#[path = "support/service.rs"]
mod service;
mod support;

use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::{Code, Server, Termination, ThreadPool};
use service::{ECHO, Served, unary};
use support::{LONG, eventually, within};

#[test]
fn a_callback_of_a_call_may_stop_its_server() {
    let own: Arc<Mutex<Option<Arc<Server>>>> = Arc::default();
    let server = own.clone();
    let handler = unary(move |request, context| {
        let server = server.clone();
        assert!(context.add_callback(move || {
            let server = server.lock().unwrap().take().unwrap();
            server.stop(None);
        }));
        Ok(request)
    });
    let served = Served::with(1, [("Once", handler)]);
    *own.lock().unwrap() = Some(served.server.clone());
    let once = served.channel().raw_unary_unary("/test.Test/Once").unwrap();
    let _ = once.timeout(LONG).call(&Bytes::new());
    assert_eq!(served.server.wait_for_termination(LONG), Termination::Terminated);
}

#[test]
fn a_callback_of_a_client_may_stop_the_server_and_close_its_channel() {
    let served = Served::new();
    let (server, channel) = (served.server.clone(), served.channel());
    let (done, told) = mpsc::channel();
    let call = channel.raw_unary_unary(ECHO).unwrap().future(&Bytes::new());
    let own = channel.clone();
    call.add_done_callback(move |_| {
        own.close();
        let stopped = server.stop(LONG);
        done.send(stopped).unwrap();
    });
    let stopped = told.recv_timeout(LONG).unwrap();
    stopped.wait(LONG).unwrap();
}

#[test]
fn a_handler_may_drop_its_own_server() {
    let own: Arc<Mutex<Option<Server>>> = Arc::default();
    let server = own.clone();
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let handler = unary(move |request, context| {
        drop(server.lock().unwrap().take());
        ended.lock().unwrap().send(context.is_active()).unwrap();
        Ok(request)
    });
    let server = grpc_threads::server(ThreadPool::new(1));
    server.add_service(grpc_threads::Service::new("test.Test").method("Drop", handler)).unwrap();
    let port = server.add_insecure_port("127.0.0.1:0").unwrap();
    server.start().unwrap();
    *own.lock().unwrap() = Some(server);
    let channel = service::channel(&format!("127.0.0.1:{port}"));
    let call = channel.raw_unary_unary("/test.Test/Drop").unwrap().timeout(LONG);
    assert_eq!(call.call(&Bytes::new()).unwrap_err().code(), Code::Unavailable);
    assert!(!end.recv_timeout(LONG).unwrap(), "no grace: its call is over");
}

#[test]
fn of_many_stops_at_once_the_shortest_grace_wins_and_all_are_told() {
    let (arrived, inside) = mpsc::channel();
    let arrived = Mutex::new(arrived);
    let handler = unary(move |request, context| {
        let (over, end) = mpsc::channel();
        assert!(context.add_callback(move || over.send(()).unwrap()));
        arrived.lock().unwrap().send(()).unwrap();
        let _ = end.recv_timeout(LONG);
        Ok(request)
    });
    let served = Served::with(1, [("Held", handler)]);
    let held = served.channel().raw_unary_unary("/test.Test/Held").unwrap();
    let mut held = held.future(&Bytes::new());
    inside.recv_timeout(LONG).unwrap();
    let stops: Vec<_> = (0..8)
        .map(|n| {
            let server = served.server.clone();
            // One of them has a short one.
            let grace = if n == 5 { Duration::from_millis(10) } else { LONG * 100 };
            thread::spawn(move || server.stop(grace))
        })
        .collect();
    let stops: Vec<_> = stops.into_iter().map(|stop| stop.join().unwrap()).collect();
    within(LONG, move || {
        stops.iter().for_each(|stopped| stopped.wait(LONG).unwrap());
        assert!(held.result(None).is_err());
    });
    assert_eq!(served.server.wait_for_termination(None), Termination::Terminated);
}

/// A server that is not started, whose `Held` tells that it was called, and answers when it is let.
fn holding() -> (Arc<Server>, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (arrived, inside) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let (arrived, gate) = (Mutex::new(arrived), Mutex::new(gate));
    let handler = unary(move |request, _| {
        arrived.lock().unwrap().send(()).unwrap();
        let _ = gate.lock().unwrap().recv_timeout(LONG);
        Ok(request)
    });
    let server = Arc::new(grpc_threads::server(ThreadPool::new(1)));
    let held = grpc_threads::Service::new("test.Test").method("Held", handler);
    server.add_service(held).unwrap();
    (server, inside, open)
}

/// A call that is inside when the signal comes ends well, and `thread`, which serves, with it.
fn has_its_grace<R>(
    server: &Server,
    thread: &thread::JoinHandle<R>,
    stop: &mpsc::Sender<()>,
    (inside, open): (mpsc::Receiver<()>, mpsc::Sender<()>),
) {
    eventually(LONG, "it listens", || !server.local_addrs().is_empty());
    let channel = service::channel(&server.local_addrs()[0].to_string());
    let held = channel.raw_unary_unary("/test.Test/Held").unwrap().timeout(LONG);
    let mut held = held.future(&Bytes::from_static(b"x"));
    inside.recv_timeout(LONG).unwrap();
    stop.send(()).unwrap();
    eventually(LONG, "it takes no more", || server.local_addrs().is_empty());
    assert!(!thread.is_finished(), "a call has its grace");
    open.send(()).unwrap();
    assert_eq!(held.result(Some(LONG)).unwrap(), "x");
}

#[test]
fn serve_until_serves_until_it_is_told_and_gives_calls_their_grace() {
    let (server, inside, open) = holding();
    assert!(server.serve_until("nonsense", || unreachable!("it did not start"), None).is_err());
    let (stop, signal) = mpsc::channel::<()>();
    let serving = server.clone();
    let thread = thread::spawn(move || {
        serving.serve_until(
            "127.0.0.1:0",
            || {
                let _ = signal.recv_timeout(LONG);
            },
            LONG,
        )
    });
    has_its_grace(&server, &thread, &stop, (inside, open));
    let ended = within(LONG, move || thread.join().unwrap().unwrap());
    ended.wait(LONG).unwrap();
}

#[test]
fn a_signal_that_panics_stops_the_server_with_its_grace_and_its_panic_goes_on() {
    let (server, inside, open) = holding();
    let (stop, signal) = mpsc::channel::<()>();
    let serving = server.clone();
    let thread = thread::spawn(move || {
        let panics = || {
            let _ = signal.recv_timeout(LONG);
            panic!("the signal's own");
        };
        serving.serve_until("127.0.0.1:0", panics, LONG).map(drop)
    });
    has_its_grace(&server, &thread, &stop, (inside, open));
    let thrown = within(LONG, move || thread.join().unwrap_err());
    assert_eq!(thrown.downcast_ref(), Some(&"the signal's own"));
    assert_eq!(server.wait_for_termination(Duration::ZERO), Termination::Terminated);
}

/// Set in the process that is to end.
const INNER: &str = "GRPC_THREADS_TEST_ENDS";

#[test]
fn a_process_ends_though_a_server_runs_and_its_handlers_and_callbacks_do_not_return() {
    if std::env::var_os(INNER).is_some() {
        let (arrived, inside) = mpsc::channel();
        let callbacks = arrived.clone();
        let arrived = Mutex::new(arrived);
        let handler = unary(move |request, _| {
            arrived.lock().unwrap().send(()).unwrap();
            loop {
                if request.len() > 1 {
                    return Ok(request);
                }
                thread::park();
            }
        });
        let served = Served::with(2, [("Held", handler)]);
        let channel = served.channel();
        let held = channel.raw_unary_unary("/test.Test/Held").unwrap().future(&Bytes::new());
        let echo = channel.raw_unary_unary(ECHO).unwrap().future(&Bytes::new());
        echo.add_done_callback(move |_| {
            callbacks.send(()).unwrap();
            loop {
                thread::park();
            }
        });
        inside.recv_timeout(LONG).unwrap();
        inside.recv_timeout(LONG).unwrap();
        // Nothing is stopped, closed or dropped.
        std::mem::forget((served, channel, held, echo));
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", thread::current().name().unwrap()])
        .env(INNER, "1")
        .spawn()
        .unwrap();
    let mut status = None;
    eventually(LONG * 2, "the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success());
}

#[test]
fn serving_twice_is_an_error_and_binds_nothing() {
    let served = Served::new();
    let before = served.server.local_addrs();
    for _ in 0..2 {
        assert!(served.server.serve("127.0.0.1:0").is_err());
        assert!(served.server.serve_until("127.0.0.1:0", || (), None).is_err());
    }
    assert_eq!(served.server.local_addrs(), before);
}
