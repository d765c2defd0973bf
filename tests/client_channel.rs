//! Channels: connectivity, who is told of it, and closing.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod support;

use bytes::Bytes;
use grpc_threads::{
    Channel, Code, Connectivity, ResultError, channel_ready_future, insecure_channel,
};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use support::frames::{self, Listener, Vacant};
use support::{LONG, within};

/// A channel that tries again soon.
fn hasty(target: &str) -> Channel {
    let (first, longest) = (Duration::from_millis(5), Duration::from_millis(20));
    Channel::builder(target).reconnect_backoff(first, longest).connect_lazily().unwrap()
}

#[test]
fn a_channel_connects_when_asked_and_is_idle_when_the_connection_is_lost() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    within(LONG, move || {
        assert_eq!(channel.state(false), Connectivity::Idle);
        assert!(!channel.wait_for_state_change(Connectivity::Idle, Some(Duration::from_millis(5))));
        assert_eq!(channel.state(true), Connectivity::Idle, "the state before that");
        let peer = listener.accept();
        channel.wait_ready(None).unwrap();
        assert_eq!(channel.state(false), Connectivity::Ready);
        drop(peer);
        assert!(channel.wait_for_state_change(Connectivity::Ready, None));
        assert_eq!(channel.state(false), Connectivity::Idle);
    });
}

#[test]
fn subscribers_are_told_the_state_now_then_each_change_then_shutdown() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    within(LONG, move || {
        let (tell, told) = mpsc::channel();
        let me = thread::current().id();
        let subscription = channel.subscribe(
            move |state| {
                assert_ne!(thread::current().id(), me);
                tell.send(state).unwrap();
            },
            false,
        );
        assert_eq!(told.recv().unwrap(), Connectivity::Idle);
        channel.state(true);
        let peer = listener.accept();
        let next = loop {
            match told.recv().unwrap() {
                Connectivity::Connecting => {}
                state => break state,
            }
        };
        assert_eq!(next, Connectivity::Ready);
        drop(peer);
        assert_eq!(told.recv().unwrap(), Connectivity::Idle);
        channel.close();
        assert_eq!(told.recv().unwrap(), Connectivity::Shutdown);
        drop(subscription);
        assert!(told.recv().is_err(), "its end lets go of the callback");
    });
}

#[test]
fn a_subscription_may_end_itself_and_does_not_hold_the_channel() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    within(LONG, move || {
        let (tell, told) = mpsc::channel();
        let ended = channel.subscribe(move |state| tell.send(state).unwrap(), false);
        assert_eq!(told.recv().unwrap(), Connectivity::Idle);
        ended.unsubscribe();
        let (tell, told) = mpsc::channel();
        let _subscription = channel.subscribe(move |state| tell.send(state).unwrap(), true);
        let mut peer = listener.accept();
        while told.recv().unwrap() != Connectivity::Ready {}
        // The last handle goes: the channel closes.
        drop(channel);
        assert_eq!(told.recv().unwrap(), Connectivity::Shutdown);
        peer.drain();
    });
}

#[test]
fn a_ready_future_waits_for_a_server_that_comes_later() {
    within(LONG, || {
        let vacant = Vacant::new();
        let channel = hasty(&vacant.target());
        let ready = channel_ready_future(&channel);
        assert!(matches!(
            ready.result(Some(Duration::from_millis(30))),
            Err(ResultError::NotReady(_))
        ));
        let (tell, told) = mpsc::channel();
        ready.add_done_callback(move || tell.send(()).unwrap());
        let listener = vacant.listen();
        let server = thread::spawn(move || listener.accept().drain());
        ready.result(None).unwrap();
        told.recv().unwrap();
        assert!(ready.done() && !ready.cancelled());
        channel.close();
        server.join().unwrap();
    });
}

#[test]
fn cancelling_a_ready_future_only_detaches_it() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    within(LONG, move || {
        let mut ready = channel_ready_future(&channel);
        assert!(ready.cancel());
        assert!(!ready.cancel());
        assert!(matches!(ready.result(None), Err(ResultError::Cancelled)));
        let closed = channel_ready_future(&channel);
        channel.close();
        assert!(
            matches!(closed.result(None), Err(ResultError::Rpc(s)) if s.code() == Code::Cancelled)
        );
        assert!(matches!(channel.wait_ready(None), Err(ResultError::Rpc(_))));
    });
}

#[test]
fn calls_that_wait_for_ready_survive_failed_attempts() {
    within(LONG, || {
        let vacant = Vacant::new();
        let channel = hasty(&vacant.target());
        let unary = channel.raw_unary_unary("/t.S/M").unwrap().wait_for_ready(true);
        let mut patient = unary.future(&Bytes::new());
        let wait = patient.result(Some(Duration::from_millis(30)));
        assert!(matches!(wait, Err(ResultError::TimedOut)));
        let hurried = unary.wait_for_ready(false).call(&Bytes::new()).unwrap_err();
        assert_eq!(hurried.code(), Code::Unavailable);
        let listener = vacant.listen();
        let server = thread::spawn(move || {
            let mut peer = listener.accept();
            let request = peer.wait_request();
            peer.respond(request.stream, b"at last");
            peer.drain();
        });
        assert_eq!(patient.result(None).unwrap(), "at last");
        channel.close();
        server.join().unwrap();
    });
}

/// How often a channel with the usual backoff connects while a server says SETTINGS, then `last`, each time.
fn connections_to_a_server_that_breaks_them(last: fn(&mut frames::Peer), patient: bool) -> usize {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let address = listener.address();
    let (stop, stopped) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        let mut count = 0;
        loop {
            let mut peer = listener.accept_raw();
            if stopped.try_recv().is_ok() {
                return count;
            }
            count += 1;
            peer.settings(&[]);
            last(&mut peer);
            peer.drain();
        }
    });
    within(LONG, move || {
        let unary = channel.raw_unary_unary("/t.S/M").unwrap().wait_for_ready(patient);
        let end = Instant::now() + Duration::from_millis(500);
        // Some are lost with their connection, as early as that is.
        for _ in 0..100 {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = if patient { left } else { LONG };
            let error = unary.timeout(timeout).call(&Bytes::new()).unwrap_err();
            match error.code() {
                Code::DeadlineExceeded if patient => break,
                code => assert_eq!(code, Code::Unavailable, "{error}"),
            }
        }
    });
    stop.send(()).unwrap();
    drop(std::net::TcpStream::connect(address).unwrap());
    server.join().unwrap()
}

#[test]
fn k5_a_server_that_breaks_each_connection_after_its_settings_is_not_called_without_a_pause() {
    for patient in [true, false] {
        let goaway = |peer: &mut frames::Peer| peer.goaway(0, frames::NO_ERROR);
        let count = connections_to_a_server_that_breaks_them(goaway, patient);
        assert_eq!(count, 2, "one, and one at once in case the first met a restart; {patient}");
        let breach = |peer: &mut frames::Peer| peer.frame(frames::PING, 0, 7, &[0; 8]);
        let count = connections_to_a_server_that_breaks_them(breach, patient);
        assert_eq!(count, 2, "{patient}");
    }
}

/// L9: what another kind of server says is shorter than the head of a frame.
#[test]
fn l9_a_server_of_another_protocol_fails_calls_at_once_and_is_quoted() {
    use std::io::Write;
    for (said, words) in [
        ("SSH-2.0", "\"SSH-2.0\""),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "\"HTTP/1.1 400 Bad Request\""),
        ("\x15\x03\x01\x00\x02\x02\x46", "this is a TLS port"),
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let channel = insecure_channel(&listener.local_addr().unwrap().to_string()).unwrap();
        let (done, finished) = mpsc::channel::<()>();
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.write_all(said.as_bytes()).unwrap();
            // It waits for us to go on.
            let _ = finished.recv();
        });
        let error = within(LONG, move || {
            channel.raw_unary_unary("/t.S/M").unwrap().call(&Bytes::new()).unwrap_err()
        });
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().contains("does not speak HTTP/2; it sent \""), "{error}");
        assert!(error.message().contains(words), "{error}");
        drop(done);
        server.join().unwrap();
    }
}

#[test]
fn close_within_lets_calls_end() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        peer.wait_kind(frames::GOAWAY);
        peer.respond(request.stream, b"last");
        peer.drain();
    });
    within(LONG, move || {
        let unary = channel.raw_unary_unary("/t.S/M").unwrap();
        let mut running = unary.future(&Bytes::new());
        running.wait_for_connection(None).unwrap();
        let closing = {
            let channel = channel.clone();
            thread::spawn(move || channel.close_within(LONG))
        };
        assert_eq!(running.result(None).unwrap(), "last");
        closing.join().unwrap();
        assert_eq!(channel.state(false), Connectivity::Shutdown);
        assert_eq!(unary.call(&Bytes::new()).unwrap_err().code(), Code::Cancelled);
    });
    server.join().unwrap();
}

#[test]
fn close_within_ends_what_takes_too_long() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.drain();
    });
    within(LONG, move || {
        let unary = channel.raw_unary_unary("/t.S/M").unwrap();
        let mut running = unary.future(&Bytes::new());
        running.wait_for_connection(None).unwrap();
        channel.close_within(Duration::from_millis(20));
        let error = running.result(None).unwrap_err();
        assert!(matches!(error, ResultError::Rpc(s) if s.message() == "Channel closed!"));
    });
    server.join().unwrap();
}

#[test]
fn a_running_call_keeps_the_channel_open_when_its_handles_go() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        peer.respond(request.stream, b"still");
        peer.drain();
    });
    within(LONG, move || {
        let mut future = channel.raw_unary_unary("/t.S/M").unwrap().future(&Bytes::new());
        drop(channel);
        assert_eq!(future.result(None).unwrap(), "still");
    });
    // The last handle has gone: the connection was closed, or this would not end.
    server.join().unwrap();
}

#[test]
fn times_without_an_end_are_never_and_break_no_channel() {
    let listener = Listener::new();
    let dead = {
        let place = Listener::new();
        place.target()
    };
    within(LONG, move || {
        // The jitter makes some of them longer: half of the channels would panic.
        let patient = |target: &str| {
            let builder = Channel::builder(target).reconnect_backoff(Duration::MAX, Duration::MAX);
            builder.keepalive(Duration::MAX, Duration::MAX, true).connect_lazily().unwrap()
        };
        for _ in 0..32 {
            let channel = patient(&listener.target());
            assert!(!channel.wait_for_state_change(Connectivity::Idle, Some(Duration::ZERO)));
            channel.state(true);
            let _peer = listener.accept();
            channel.wait_ready(Some(Duration::MAX)).unwrap();
        }
        let channel = patient(&dead);
        let status = channel.unary_unary::<Bytes, Bytes>("/t.S/M").unwrap().call(&Bytes::new());
        assert_eq!(status.unwrap_err().code(), Code::Unavailable);
        assert_eq!(channel.state(true), Connectivity::TransientFailure, "for ever");
    });
}
