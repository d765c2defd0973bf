//! Connectivity: which states a channel goes through, and how subscribers are told.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod support;

use bytes::Bytes;
use grpc_threads::{
    Channel, Code, Connectivity, ResultError, Subscription, channel_ready_future, insecure_channel,
};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use support::frames::{Listener, Vacant};
use support::{LONG, logged, timed, within};

const SHORT: Duration = Duration::from_millis(30);
/// Longer than a test takes.
const AGES: Duration = Duration::from_secs(3600);

fn subscribed(channel: &Channel, try_to_connect: bool) -> (Subscription, Receiver<Connectivity>) {
    let (tell, told) = mpsc::channel();
    let subscription = channel.subscribe(move |state| tell.send(state).unwrap(), try_to_connect);
    (subscription, told)
}

fn next(told: &Receiver<Connectivity>) -> Connectivity {
    told.recv_timeout(LONG).expect("a change is told")
}

/// All that is told from here on, to the end.
fn rest(told: &Receiver<Connectivity>) -> Vec<Connectivity> {
    let mut all = Vec::new();
    loop {
        match told.recv_timeout(LONG) {
            Ok(state) => all.push(state),
            Err(mpsc::RecvTimeoutError::Disconnected) => return all,
            Err(error) => panic!("{error} after {all:?}"),
        }
    }
}

#[test]
fn a_server_that_is_reached_and_lost_is_idle_connecting_ready_idle() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let (subscription, told) = subscribed(&channel, false);
    assert_eq!(next(&told), Connectivity::Idle);
    assert_eq!(told.try_recv(), Err(TryRecvError::Empty), "without a wish nothing is connected");
    assert_eq!(channel.state(true), Connectivity::Idle);
    // The peer has not said a word in HTTP/2.
    let mut peer = listener.accept_raw();
    assert_eq!(next(&told), Connectivity::Connecting);
    peer.settings(&[]);
    assert_eq!(next(&told), Connectivity::Ready);
    drop(peer);
    assert_eq!(next(&told), Connectivity::Idle);
    // It stays there: nobody asks for the next.
    assert!(!channel.wait_for_state_change(Connectivity::Idle, Some(SHORT)));
    channel.close();
    assert_eq!(next(&told), Connectivity::Shutdown);
    assert_eq!(channel.state(true), Connectivity::Shutdown);
    drop(subscription);
    assert!(rest(&told).is_empty());
}

#[test]
fn a_server_that_fails_is_idle_connecting_transient_failure_for_the_pause() {
    let listener = Listener::new();
    let builder = Channel::builder(&listener.target());
    let channel = builder.reconnect_backoff(AGES, AGES).connect_lazily().unwrap();
    let (_subscription, told) = subscribed(&channel, true);
    let peer = listener.accept_raw();
    let first = next(&told);
    if first == Connectivity::Idle {
        assert_eq!(next(&told), Connectivity::Connecting);
    } else {
        assert_eq!(first, Connectivity::Connecting, "told late: as one");
    }
    drop(peer);
    assert_eq!(next(&told), Connectivity::TransientFailure);
    assert!(!channel.wait_for_state_change(Connectivity::TransientFailure, Some(SHORT)));
    assert_eq!(channel.state(true), Connectivity::TransientFailure, "a wish waits for the pause");
    // Who comes late is told the state now, and no more.
    let (late, late_told) = subscribed(&channel, false);
    assert_eq!(next(&late_told), Connectivity::TransientFailure);
    drop(channel);
    assert_eq!(next(&late_told), Connectivity::Shutdown, "the last handle closes");
    assert_eq!(next(&told), Connectivity::Shutdown);
    drop(late);
    assert!(rest(&late_told).is_empty());
}

#[test]
fn reset_connect_backoff_ends_the_pause_for_calls_and_subscribers() {
    let vacant = Vacant::new();
    let builder = Channel::builder(&vacant.target());
    let channel = builder.reconnect_backoff(AGES, AGES).connect_lazily().unwrap();
    channel.reset_connect_backoff();
    assert_eq!(channel.state(false), Connectivity::Idle, "nobody has asked for a connection");
    let unary = channel.raw_unary_unary("/test.S/Unary").unwrap();
    assert_eq!(unary.call(&Bytes::new()).unwrap_err().code(), Code::Unavailable);
    assert_eq!(channel.state(false), Connectivity::TransientFailure);
    let mut waits = unary.wait_for_ready(true).future(&Bytes::new());
    let (_subscription, told) = subscribed(&channel, false);
    assert_eq!(next(&told), Connectivity::TransientFailure);
    let listener = vacant.listen();
    assert!(matches!(waits.result(Some(SHORT)), Err(ResultError::TimedOut)), "for the pause");
    let peer = thread::spawn(move || {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        peer.respond(request.stream, b"back");
        peer.drain();
    });
    let (took, answer) = timed(|| {
        channel.reset_connect_backoff();
        waits.result(Some(LONG))
    });
    assert_eq!(answer.unwrap(), "back");
    assert!(took < LONG);
    while next(&told) != Connectivity::Ready {}
    channel.close();
    channel.reset_connect_backoff();
    assert_eq!(channel.state(false), Connectivity::Shutdown);
    peer.join().unwrap();
}

#[test]
fn a_callback_may_end_its_own_subscription_and_begin_another() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let (tell, told) = mpsc::channel();
    let own = Arc::new(Mutex::new(None::<Subscription>));
    let (place, there) = (own.clone(), mpsc::channel());
    let (filled, ready) = there;
    let from_inside = channel.clone();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let others = kept.clone();
    let subscription = channel.subscribe(
        move |state| {
            let () = ready.recv().unwrap();
            place.lock().unwrap().take().unwrap().unsubscribe();
            let tell_too = tell.clone();
            let another = from_inside
                .subscribe(move |state| tell_too.send(("another", state)).unwrap(), true);
            others.lock().unwrap().push(another);
            tell.send(("own", state)).unwrap();
        },
        false,
    );
    *own.lock().unwrap() = Some(subscription);
    filled.send(()).unwrap();
    assert_eq!(told.recv_timeout(LONG).unwrap(), ("own", Connectivity::Idle));
    let mut peer = listener.accept_raw();
    let mut states = Vec::new();
    while states.last() != Some(&Connectivity::Connecting) {
        let (who, state) = told.recv_timeout(LONG).unwrap();
        assert_eq!(who, "another", "its own has ended");
        states.push(state);
    }
    peer.settings(&[]);
    assert_eq!(told.recv_timeout(LONG).unwrap(), ("another", Connectivity::Ready));
    // Nobody is told any more, and all that was captured goes.
    drop(kept.lock().unwrap().pop());
    assert!(matches!(told.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected)));
    channel.close();
}

#[test]
fn each_subscription_is_told_by_itself_and_ends_by_itself() {
    let channel = insecure_channel("127.0.0.1:1").unwrap();
    let (first, first_told) = subscribed(&channel, false);
    let (second, second_told) = subscribed(&channel, false);
    assert_eq!(next(&first_told), Connectivity::Idle);
    assert_eq!(next(&second_told), Connectivity::Idle);
    first.unsubscribe();
    assert!(rest(&first_told).is_empty());
    channel.close();
    assert_eq!(next(&second_told), Connectivity::Shutdown);
    let (late, late_told) = subscribed(&channel, true);
    assert_eq!(next(&late_told), Connectivity::Shutdown, "also who comes after the close");
    drop((second, late));
    assert!(rest(&late_told).is_empty());
}

#[test]
fn a_subscriber_that_panics_is_logged_and_harms_no_other() {
    logged::listen(log::LevelFilter::Error);
    let channel = insecure_channel("127.0.0.1:1").unwrap();
    let _bad = channel.subscribe(|state| panic!("{state}, on purpose"), false);
    let (_good, told) = subscribed(&channel, false);
    assert_eq!(next(&told), Connectivity::Idle);
    channel.close();
    assert_eq!(next(&told), Connectivity::Shutdown);
    for state in ["IDLE", "SHUTDOWN"] {
        assert!(logged::logged(&["a connectivity callback", "panicked", state, "on purpose"]));
    }
}

#[test]
fn a_subscriber_may_wait_for_a_call_and_for_readiness() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let peer = thread::spawn(move || {
        let mut peer = listener.accept();
        let request = peer.wait_request();
        peer.respond(request.stream, b"so");
        peer.drain();
    });
    within(LONG, move || {
        let (tell, told) = mpsc::channel();
        let unary = channel.raw_unary_unary("/test.S/Unary").unwrap();
        let (inside, mut once) = (channel.clone(), Some(tell));
        let _subscription = channel.subscribe(
            move |_| {
                let Some(tell) = once.take() else { return };
                inside.wait_ready(None).unwrap();
                channel_ready_future(&inside).result(None).unwrap();
                tell.send(unary.call(&Bytes::new())).unwrap();
            },
            false,
        );
        assert_eq!(told.recv().unwrap().unwrap(), "so");
        channel.close();
    });
    peer.join().unwrap();
}

#[test]
fn a_ready_future_tells_ready_closed_cancelled_and_a_wait_in_vain_apart() {
    let listener = Listener::new();
    let channel = insecure_channel(&listener.target()).unwrap();
    let me = thread::current().id();
    let mut ready = channel_ready_future(&channel);
    let mut peer = listener.accept_raw();
    let Err(ResultError::NotReady(status)) = ready.result(Some(SHORT)) else { panic!("in vain") };
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(!ready.done() && !ready.cancelled());
    let mut given_up = channel_ready_future(&channel);
    assert!(given_up.cancel());
    assert!(!given_up.cancel(), "once");
    assert!(matches!(given_up.result(None), Err(ResultError::Cancelled)));
    let (tell, told) = mpsc::channel();
    let also = tell.clone();
    ready.add_done_callback(move || also.send(thread::current().id()).unwrap());
    peer.settings(&[]);
    ready.result(Some(LONG)).unwrap();
    assert_ne!(told.recv_timeout(LONG).unwrap(), me, "later: on the notifier");
    ready.add_done_callback(move || tell.send(thread::current().id()).unwrap());
    assert_eq!(told.try_recv().unwrap(), me, "done already: inline");
    assert!(!ready.cancel(), "it has its outcome");
    channel.close();
    let closed = channel_ready_future(&channel).result(Some(LONG));
    let Err(ResultError::Rpc(status)) = closed else { panic!("{closed:?}") };
    assert_eq!((status.code(), status.message()), (Code::Cancelled, "Channel closed!"));
}

#[test]
fn one_call_may_wait_for_ready_while_another_fails_at_once() {
    let vacant = Vacant::new();
    let builder = Channel::builder(&vacant.target());
    let channel = builder.reconnect_backoff(AGES, AGES).connect_lazily().unwrap();
    let unary = channel.raw_unary_unary("/test.S/Unary").unwrap();
    let mut patient = unary.wait_for_ready(true).future(&Bytes::new());
    assert_eq!(unary.call(&Bytes::new()).unwrap_err().code(), Code::Unavailable);
    assert!(matches!(patient.result(Some(SHORT)), Err(ResultError::TimedOut)));
    let late = unary.wait_for_ready(true).timeout(SHORT).call(&Bytes::new()).unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "not longer than its deadline");
    channel.close();
    let Err(ResultError::Rpc(status)) = patient.result(None) else { panic!("closed") };
    assert_eq!(status.message(), "Channel closed!");
}
