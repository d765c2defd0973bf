//! Three outcomes, in every way to wait: the wait's own time is over, the call was cancelled from this side, the call failed.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

mod support;

use bytes::Bytes;
use grpc_threads::{Channel, Code, ResultError, Status, insecure_channel};
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use support::frames::{CANCEL, Listener};
use support::{LONG, within};

const SHORT: Duration = Duration::from_millis(30);

/// What ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Nothing: it goes on.
    Nobody,
    /// A `cancel` of one of its handles.
    Us,
    /// A status of the server's: of all things CANCELLED.
    Server,
    /// A reset of the server's: CANCELLED as well.
    Reset,
    /// Its deadline.
    Deadline,
    Close,
}

const ALL: [By; 6] = [By::Nobody, By::Us, By::Server, By::Reset, By::Deadline, By::Close];

/// A call at a peer that does no more than it is told.
struct Rig {
    channel: Channel,
    tell: mpsc::Sender<By>,
    peer: JoinHandle<()>,
}

impl Rig {
    /// With no connection for the call, where that is waited for.
    fn new() -> Self {
        let listener = Listener::new();
        let channel = insecure_channel(&listener.target()).unwrap();
        let (tell, told) = mpsc::channel();
        let peer = thread::spawn(move || {
            let mut peer = listener.accept();
            let request = peer.wait_request();
            match told.recv() {
                Ok(By::Server) => {
                    peer.respond_head(request.stream);
                    peer.respond_trailers(request.stream, 1);
                }
                Ok(By::Reset) => peer.reset(request.stream, CANCEL),
                _ => {}
            }
            peer.drain();
        });
        Self { channel, tell, peer }
    }

    fn end(&self, by: By, call: &grpc_threads::Call) {
        call.wait_for_connection(Some(LONG)).unwrap();
        match by {
            By::Nobody => return,
            By::Us => assert!(call.cancel()),
            By::Server | By::Reset => self.tell.send(by).unwrap(),
            By::Deadline => {}
            By::Close => self.channel.close(),
        }
        assert_ne!(call.code(), Code::Ok);
    }

    fn over(self) {
        drop(self.tell);
        self.channel.close();
        self.peer.join().unwrap();
    }
}

/// The one thing that a wait with a bound of its own may say of a call that ended so.
fn assert_bounded<T: std::fmt::Debug>(way: &str, by: By, outcome: &Result<T, ResultError>) {
    let right = match (by, outcome) {
        (By::Nobody, Err(ResultError::TimedOut)) | (By::Us, Err(ResultError::Cancelled)) => true,
        (By::Server | By::Reset | By::Close, Err(ResultError::Rpc(status))) => {
            status.code() == Code::Cancelled
        }
        (By::Deadline, Err(ResultError::Rpc(status))) => status.code() == Code::DeadlineExceeded,
        _ => false,
    };
    assert!(right, "{way}, ended by {by:?}: {outcome:?}");
}

/// What a wait without one says: a status, and of a cancel the same in every way.
fn assert_status<T: std::fmt::Debug>(way: &str, by: By, outcome: Result<T, Status>) {
    let status = outcome.expect_err(way);
    match by {
        By::Deadline => assert_eq!(status.code(), Code::DeadlineExceeded, "{way}"),
        _ => assert_eq!(status.code(), Code::Cancelled, "{way} by {by:?}"),
    }
    let ours = status.message() == "Locally cancelled by application!";
    assert_eq!(ours, by == By::Us, "{way}, ended by {by:?}: {status}");
}

/// So much time that the call is on its connection by then.
const DUE: Duration = Duration::from_millis(400);

#[test]
fn a_future_tells_the_three_outcomes_apart_in_every_way_to_wait() {
    within(LONG, || {
        for by in ALL {
            let rig = Rig::new();
            let mut method = rig.channel.raw_unary_unary("/t/One").unwrap();
            if by == By::Deadline {
                rig.channel.wait_ready(Some(LONG)).unwrap();
                method = method.timeout(DUE);
            }
            let mut future = method.future(&Bytes::new());
            rig.end(by, &future.handle());
            assert_bounded("result", by, &future.result(Some(SHORT)));
            assert_bounded("result, again", by, &future.result(Some(Duration::ZERO)));
            match (by, future.exception(Some(SHORT))) {
                (By::Server | By::Reset | By::Close | By::Deadline, Ok(Some(status))) => {
                    assert_bounded::<()>("exception", by, &Err(ResultError::Rpc(status)));
                }
                (_, outcome) => assert_bounded("exception", by, &outcome),
            }
            assert_eq!(future.cancelled(), by == By::Us);
            assert_eq!(future.done(), by != By::Nobody);
            let poll = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
            match poll {
                Poll::Ready(outcome) => assert_bounded("await", by, &outcome),
                Poll::Pending => assert_eq!(by, By::Nobody),
            }
            if by != By::Nobody {
                let (tell, told) = mpsc::channel();
                future.on_result(move |result| tell.send(result).unwrap());
                assert_status("on_result", by, told.recv_timeout(LONG).unwrap());
            } else {
                drop(future);
            }
            rig.over();
        }
    });
}

#[test]
fn responses_and_requests_tell_the_three_outcomes_apart_in_every_way_to_wait() {
    within(LONG, || {
        for by in ALL {
            let rig = Rig::new();
            let mut method = rig.channel.raw_stream_stream("/t/Many").unwrap();
            if by == By::Deadline {
                rig.channel.wait_ready(Some(LONG)).unwrap();
                method = method.timeout(DUE);
            }
            let mut duplex = method.open();
            rig.end(by, &duplex.handle());
            assert_bounded("duplex.recv_timeout", by, &duplex.recv_timeout(SHORT));
            assert_bounded("duplex.try_recv", by, &duplex.try_recv());
            let (mut sender, mut responses) = duplex.split();
            assert_bounded("recv_timeout", by, &responses.recv_timeout(SHORT));
            assert_bounded("try_recv", by, &responses.try_recv());
            assert_eq!(responses.cancelled(), by == By::Us);
            if by == By::Nobody {
                // Until there is no more room: the peer reads nothing and gives no credit.
                let request = Bytes::from(vec![0; 40_000]);
                while sender.try_send(&request).is_ok() {}
                assert_bounded("try_send", by, &sender.try_send(&request));
                assert_bounded("send_timeout", by, &sender.send_timeout(&request, SHORT));
            } else {
                assert_bounded("try_send", by, &sender.try_send(&Bytes::new()));
                assert_bounded("send_timeout", by, &sender.send_timeout(&Bytes::new(), LONG));
                assert_status("send", by, sender.send(&Bytes::new()));
                assert_status("recv", by, responses.recv());
                assert_status("next", by, responses.next().unwrap());
                assert!(responses.next().is_none());
                assert_status("done_writing", by, sender.done_writing());
            }
            drop(responses);
            rig.over();
        }
    });
}

#[test]
fn a_wait_for_a_connection_tells_the_three_outcomes_apart() {
    for by in [By::Nobody, By::Us, By::Deadline, By::Close] {
        // Its backlog takes the connection; nobody says a word.
        let listener = Listener::new();
        let channel = insecure_channel(&listener.target()).unwrap();
        let method = channel.raw_unary_unary("/t/One").unwrap();
        let method = if by == By::Deadline { method.timeout(SHORT) } else { method };
        let future = method.future(&Bytes::new());
        match by {
            By::Us => assert!(future.cancel()),
            By::Close => channel.close(),
            _ => {}
        }
        let bound = if by == By::Nobody { SHORT } else { LONG };
        assert_bounded("wait_for_connection", by, &future.wait_for_connection(Some(bound)));
    }
}

#[test]
fn a_local_wait_that_is_longer_than_the_deadline_ends_with_that() {
    let rig = Rig::new();
    rig.channel.wait_ready(Some(LONG)).unwrap();
    let method = rig.channel.raw_unary_stream("/t/Many").unwrap().timeout(DUE);
    let mut responses = method.call(&Bytes::new()).unwrap();
    assert_bounded("shorter", By::Nobody, &responses.recv_timeout(SHORT));
    assert_bounded("longer", By::Deadline, &responses.recv_timeout(LONG));
    drop(responses);
    rig.over();
}

#[test]
fn a_sender_that_is_dropped_is_no_cancel_and_a_handle_that_owns_its_call_is_one() {
    let rig = Rig::new();
    let (sender, mut future) = rig.channel.raw_stream_unary("/t/Up").unwrap().open();
    future.wait_for_connection(Some(LONG)).unwrap();
    drop(sender);
    assert!(!future.cancelled());
    let Err(ResultError::Rpc(status)) = future.result(None) else { panic!("let down") };
    assert!(status.message().contains("done_writing"), "{status}");
    let responses = rig.channel.raw_unary_stream("/t/Many").unwrap().call(&Bytes::new()).unwrap();
    let call = responses.handle();
    drop(responses);
    assert!(call.cancelled());
    rig.over();
}

#[test]
fn as_a_status_a_wait_in_vain_a_cancel_and_a_failure_have_codes_of_their_own() {
    let codes = [
        (ResultError::TimedOut, Code::ResourceExhausted),
        (ResultError::Cancelled, Code::Cancelled),
        (ResultError::Taken, Code::Internal),
        (ResultError::Rpc(Status::data_loss("x")), Code::DataLoss),
    ];
    for (error, code) in codes {
        assert_eq!(Status::from(error).code(), code);
    }
}
