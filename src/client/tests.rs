//! What is left of a call when it has ended, however it ended and whatever is kept of it: nothing but that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use parking_lot::Mutex;

use super::*;
use crate::call::client::Core;
use crate::channel::{Dial, Dialing, Outcome};
use crate::http2::Options;
use crate::http2::types::{Reason, Role};
use crate::link::{
    Acceptor, Admit, End, Entry, Incoming, Link, LinkEvents, Outgoing, Stream, When,
};
use crate::metadata::Metadata;
use crate::net::MemoryPipe;
use crate::reactor::few::{hoard_room, with_little};
use crate::reactor::{Job, Poller, ThreadPool, Work, clock};
use crate::status::{Code, Status};
use crate::wire::headers;

const LONG: Duration = Duration::from_secs(20);

/// A server that does as the path says.
#[derive(Default)]
struct Peer {
    links: Mutex<Vec<Arc<Link>>>,
    open: Arc<Mutex<Vec<Incoming>>>,
}

impl LinkEvents for Peer {
    fn up(&self) {}
    fn draining(&self) {}
    fn room(&self) {}
    fn lost(&self, _cause: &str) {}
}

struct Method(Arc<Mutex<Vec<Incoming>>>);

struct Answer(Incoming, Arc<Mutex<Vec<Incoming>>>);

impl Acceptor for Peer {
    fn admit(&self, _head: &headers::RequestHead) -> Admit {
        let entry = Arc::new(Method(self.open.clone()));
        Admit::Run { entry, when: When::Headers, limit: 1 << 20 }
    }
}

impl Entry for Method {
    fn job(self: Arc<Self>, incoming: Incoming) -> Job {
        Job::new(Box::new(Answer(incoming, self.0.clone())), true)
    }
}

impl Work for Answer {
    fn run(self: Box<Self>) {
        let messages: &[&[u8]] = match self.0.head.path.as_str() {
            "/t/Silent" => return self.1.lock().push(self.0),
            "/t/Fails" => &[],
            "/t/Twice" => &[b"one", b"two"],
            _ => &[b"one"],
        };
        let failed = messages.is_empty();
        let status = if failed { Status::aborted("so") } else { Status::ok() };
        let (mut head, mut trailers, mut data) = (Vec::new(), Vec::new(), Vec::new());
        headers::response_head(&mut head, &Metadata::new());
        headers::trailers(&mut trailers, &status, &Metadata::new());
        for message in messages {
            crate::wire::framing::put_prefix(&mut data, message.len() as u32);
            data.extend_from_slice(message);
        }
        let data = (!failed).then(|| Bytes::from(data));
        let end = End::Trailers(&trailers, true);
        self.0.stream.send(Outgoing { head: Some(&head), data, end });
    }

    fn reject(self: Box<Self>) {}
}

/// Connects to a peer within the process.
struct Within {
    peer: Arc<Peer>,
    pool: ThreadPool,
}

impl Dial for Within {
    fn dial(&self, _: &Arc<Poller>, _: Duration, _: &Dialing, outcome: Outcome) {
        let (near, far) = MemoryPipe::pair();
        let poller = self.pool.poller().unwrap();
        let options = Options::new(Role::Server);
        let link = Link::server(Arc::new(far), &options.clone().into(), self.peer.clone(), &poller)
            .unwrap();
        self.peer.links.lock().push(link);
        outcome(Ok(Arc::new(near)));
    }
}

/// A codec whose decoding fails for those who want that.
#[derive(Clone, Copy)]
struct Fussy;

impl Codec<Bytes> for Fussy {
    fn encode(&self, message: &Bytes, out: &mut dyn BufMut) -> Result<(), Status> {
        out.put_slice(message);
        Ok(())
    }

    fn decode(&self, _bytes: Bytes) -> Result<Bytes, Status> {
        Err(Status::internal("fussy"))
    }
}

fn rig() -> (Channel, Arc<Peer>, ThreadPool) {
    let (peer, pool) = (Arc::<Peer>::default(), ThreadPool::new(1));
    let dial = Within { peer: peer.clone(), pool: pool.clone() };
    let builder = Channel::builder("peer:1");
    (builder.connect_by(Some(Box::new(dial))).unwrap(), peer, pool)
}

/// What ends the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Answer,
    Failure,
    SecondResponse,
    Decoding,
    Deadline,
    Cancel,
    Loss,
    Close,
}

const ALL: [By; 8] = [
    By::Answer,
    By::Failure,
    By::SecondResponse,
    By::Decoding,
    By::Deadline,
    By::Cancel,
    By::Loss,
    By::Close,
];

impl By {
    fn path(self) -> &'static str {
        match self {
            Self::Answer | Self::Decoding => "/t/Answers",
            Self::Failure => "/t/Fails",
            Self::SecondResponse => "/t/Twice",
            _ => "/t/Silent",
        }
    }

    fn options(self) -> CallOptions {
        let timeout = if self == Self::Deadline { Duration::from_millis(100) } else { LONG };
        CallOptions::new().timeout(timeout)
    }

    fn code(self) -> Code {
        match self {
            Self::Answer => Code::Ok,
            Self::Failure => Code::Aborted,
            Self::SecondResponse => Code::Unimplemented,
            Self::Decoding => Code::Internal,
            Self::Deadline => Code::DeadlineExceeded,
            Self::Cancel | Self::Close => Code::Cancelled,
            Self::Loss => Code::Unavailable,
        }
    }
}

/// What there was of a call.
struct Traces {
    core: Weak<Core>,
    stream: Option<Weak<Stream>>,
    link: Weak<Link>,
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let until = clock::now() + LONG;
    while !done() {
        assert!(clock::now() < until, "never: {what}");
        thread::yield_now();
    }
}

/// Waits until it is on a connection, and looks what there is of it.
fn traces(call: &Call, peer: &Peer) -> Traces {
    let _ = call.wait_for_connection(Some(LONG));
    eventually("a connection", || !peer.links.lock().is_empty());
    let core = call.core();
    let stream = core.stream();
    // Of a call that is over already the stream is gone, as it should be; then so is the link.
    let link = stream.as_ref().map_or_else(Weak::new, |stream| Arc::downgrade(stream.link()));
    Traces {
        core: Arc::downgrade(core),
        stream: stream.map(|stream| Arc::downgrade(&stream)),
        link,
    }
}

fn bring_about(by: By, call: &Call, channel: &Channel, peer: &Peer) {
    match by {
        By::Cancel => drop(call.cancel()),
        By::Close => channel.close(),
        By::Loss => {
            // Not before it has the call, or that would be made anew elsewhere.
            eventually("the peer has the call", || !peer.open.lock().is_empty());
            for link in peer.links.lock().iter() {
                link.close(Reason::NO_ERROR, "gone");
            }
        }
        _ => {}
    }
}

/// The channel is let go of; what is kept of the call keeps neither stream nor link.
fn assert_gone(what: &str, traces: &Traces, channel: Channel, peer: &Peer) {
    let Traces { stream, link, .. } = traces;
    if let Some(stream) = stream {
        eventually(&format!("{what}: the stream goes"), || stream.strong_count() == 0);
    }
    drop(channel);
    eventually(&format!("{what}: the link goes"), || link.strong_count() == 0);
    let _ = peer;
}

#[test]
fn a_future_that_was_let_go_of_leaves_nothing_however_it_ends() {
    for by in ALL {
        for how in ["detach", "on_result", "drop", "kept call", "kept future"] {
            let what = format!("{by:?}, {how}");
            let (channel, peer, _pool) = rig();
            let method = channel.unary_unary_with::<Bytes, Bytes, _>(by.path(), Fussy).unwrap();
            let future = method.options(&by.options()).future(&Bytes::from_static(b"x"));
            drop(method);
            let handle = future.handle();
            let traces = traces(&handle, &peer);
            let (tell, told) = mpsc::channel();
            let mut kept = None;
            match how {
                "detach" => drop(future.detach()),
                "on_result" => {
                    future.on_result(move |result| tell.send(result.map(drop)).unwrap());
                }
                "drop" => drop(future),
                "kept call" => drop(future.detach()),
                _ => kept = Some(future),
            }
            bring_about(by, &handle, &channel, &peer);
            let mut due = by.code();
            if how == "on_result" {
                let result = told.recv_timeout(LONG).unwrap();
                // Whatever comes is not to this codec's taste, and then the call has not ended well.
                if by == By::Answer {
                    due = Code::Internal;
                }
                assert_eq!(result.unwrap_err().code(), due, "{what}");
            }
            let status = handle.status();
            if how != "drop" && by != By::Decoding {
                assert_eq!(status.code(), due, "{what}");
            }
            let handle = Some(handle).filter(|_| how == "kept call");
            assert_gone(&what, &traces, channel, &peer);
            if handle.is_none() && kept.is_none() {
                eventually(&format!("{what}: the call goes"), || traces.core.strong_count() == 0);
            }
        }
    }
}

#[test]
fn a_stream_that_was_let_go_of_leaves_nothing_however_it_ends() {
    for by in ALL {
        for how in ["drop", "kept call", "kept sender", "kept both", "blocked puller"] {
            let what = format!("{by:?}, {how}");
            let (channel, peer, _pool) = rig();
            let plain = channel.stream_stream_with::<Bytes, Bytes, _>(by.path(), Fussy).unwrap();
            let method = plain.options(&by.options());
            drop(plain);
            let (go, wait) = mpsc::channel::<()>();
            let (begun, pulled) = mpsc::channel();
            let (sender, mut responses) = if how == "blocked puller" {
                let blocked = std::iter::from_fn(move || {
                    begun.send(()).unwrap();
                    wait.recv().ok().map(|()| Bytes::new())
                });
                (None, method.spawn(blocked))
            } else {
                let (mut sender, responses) = method.open().split();
                sender.send(&Bytes::from_static(b"x")).ok();
                (Some(sender), responses)
            };
            drop(method);
            let handle = responses.handle();
            let traces = traces(&handle, &peer);
            if how == "blocked puller" {
                pulled.recv_timeout(LONG).unwrap();
            }
            bring_about(by, &handle, &channel, &peer);
            // The codec fails at the first response: an end of its own.
            while let Ok(Some(_)) = responses.recv() {}
            let status = handle.status();
            if !matches!(by, By::Answer | By::SecondResponse) {
                assert_eq!(status.code(), by.code(), "{what}");
            }
            let keeps = (
                (how == "kept sender" || how == "kept both").then_some(sender),
                (how == "kept both").then_some(responses),
                (how == "kept call").then_some(handle),
            );
            assert_gone(&what, &traces, channel, &peer);
            drop(go);
            drop(keeps);
            eventually(&format!("{what}: the call goes"), || traces.core.strong_count() == 0);
        }
    }
}

#[test]
fn what_the_owner_of_a_stream_has_not_read_waits_for_it_after_the_end() {
    let (channel, peer, _pool) = rig();
    let method = channel.raw_unary_stream("/t/Twice").unwrap();
    let mut responses = method.call(&Bytes::new()).unwrap();
    let handle = responses.handle();
    let traces = traces(&handle, &peer);
    assert_eq!(handle.code(), Code::Ok);
    assert_eq!(responses.recv().unwrap().unwrap(), "one");
    assert_eq!(responses.recv().unwrap().unwrap(), "two");
    assert_eq!(responses.recv().unwrap(), None);
    drop(method);
    assert_gone("read to its end", &traces, channel, &peer);
}

#[test]
fn a_call_that_a_callback_begins_within_a_callback_may_be_waited_for() {
    let (channel, peer, _pool) = rig();
    let method = channel.raw_unary_unary("/t/Answers").unwrap();
    let (tell, told) = mpsc::channel();
    let other = method.clone();
    method.future(&Bytes::new()).on_result(move |_| {
        let future = other.timeout(LONG).future(&Bytes::new());
        let by_status = future.handle().code();
        let mut future = other.timeout(LONG).future(&Bytes::new());
        tell.send((by_status, future.result(Some(LONG)).is_ok())).unwrap();
    });
    assert_eq!(told.recv_timeout(LONG).unwrap(), (Code::Ok, true));
    drop(peer);
}

#[test]
fn one_callback_that_panics_does_not_silence_the_others_of_its_call() {
    let (channel, peer, _pool) = rig();
    let future = channel.raw_unary_unary("/t/Silent").unwrap().future(&Bytes::new());
    let handle = future.handle();
    let (tell, told) = mpsc::channel();
    let first = tell.clone();
    let _ = handle.add_callback(move |_| {
        first.send(1).unwrap();
        panic!("the first callback");
    });
    let second = tell.clone();
    future.add_done_callback(move |_| {
        second.send(2).unwrap();
        std::panic::panic_any(7);
    });
    future.on_result(move |_| tell.send(3).unwrap());
    handle.cancel();
    assert_eq!((0..3).map(|_| told.recv_timeout(LONG).unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    drop(peer);
}

#[test]
fn a_loop_of_retries_on_calls_that_have_ended_does_not_grow_the_stack() {
    fn again(method: UnaryUnary<Bytes, Bytes>, left: usize, done: mpsc::Sender<()>) {
        if left == 0 {
            return done.send(()).unwrap();
        }
        let next = method.clone();
        method.future(&Bytes::new()).on_result(move |_| again(next, left - 1, done));
    }
    let (channel, _peer, _pool) = rig();
    channel.close();
    let (done, told) = mpsc::channel();
    again(channel.raw_unary_unary("/t/Silent").unwrap(), 50_000, done);
    told.recv_timeout(LONG).unwrap();
}

/// Panics at the message "panic", in the middle of it.
#[derive(Clone, Copy)]
struct Jumpy;

impl Codec<Bytes> for Jumpy {
    fn encode(&self, message: &Bytes, out: &mut dyn BufMut) -> Result<(), Status> {
        out.put_slice(message);
        assert!(message != "panic", "as it was asked to");
        Ok(())
    }

    fn decode(&self, bytes: Bytes) -> Result<Bytes, Status> {
        assert!(bytes != "one", "as it was asked to");
        Ok(bytes)
    }
}

#[test]
fn a_codec_that_panics_ends_its_call_and_sends_no_half_a_message() {
    let (channel, peer, _pool) = rig();
    let method = channel.stream_stream_with::<Bytes, Bytes, _>("/t/Silent", Jumpy).unwrap();
    let (mut sender, responses) = method.open().split();
    sender.send(&Bytes::from_static(b"one")).unwrap();
    let sent = catch_unwind(AssertUnwindSafe(|| sender.send(&Bytes::from_static(b"panic"))));
    assert!(sent.is_err(), "the caller is told by its own panic");
    assert_eq!(responses.code(), Code::Internal);
    assert_eq!(sender.send(&Bytes::from_static(b"two")).unwrap_err().code(), Code::Internal);
    drop(peer);
}

#[test]
fn a_codec_that_panics_at_a_response_tells_the_callback() {
    let (channel, _peer, _pool) = rig();
    let method = channel.unary_unary_with::<Bytes, Bytes, _>("/t/Answers", Jumpy).unwrap();
    let (tell, told) = mpsc::channel();
    method.future(&Bytes::new()).on_result(move |result| tell.send(result).unwrap());
    assert_eq!(told.recv_timeout(LONG).unwrap().unwrap_err().code(), Code::Internal);
}

/// An iterator of the user's, which tells when it is dropped.
struct Told(mpsc::Sender<()>);

impl Iterator for Told {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        None
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// `what` says why a call did not begin to send its requests, and ended.
fn no_thread(what: &Status) {
    assert_eq!(what.code(), Code::ResourceExhausted, "{what:?}");
    assert!(what.message().contains("no thread could be started"), "{what:?}");
}

#[test]
fn w58_requests_that_no_thread_can_pull_end_their_call_as_out_of_resources() {
    let name =
        "client::tests::w58_requests_that_no_thread_can_pull_end_their_call_as_out_of_resources";
    with_little(name, || {
        let (channel, peer, _pool) = rig();
        let one = channel.raw_stream_unary("/t/Answers").unwrap().timeout(LONG);
        // What answers at once may have ended the call before.
        let silent = channel.raw_stream_unary("/t/Silent").unwrap().timeout(LONG);
        let many = channel.raw_stream_stream("/t/Silent").unwrap().timeout(LONG);
        assert_eq!(one.call([]).unwrap(), Bytes::from("one"), "all threads of ours are born");
        let (sender, dropped) = mpsc::channel();
        let iterator = || Told(sender.clone());

        let room = hoard_room();
        let single = silent.future(iterator()).result(None).unwrap_err();
        let stream = many.spawn(iterator()).next().unwrap().unwrap_err();
        assert_eq!(dropped.try_iter().count(), 2, "nobody keeps the iterators");
        drop(room);

        no_thread(&single.into());
        no_thread(&stream);
        assert_eq!(one.future(iterator()).result(Some(LONG)).unwrap(), Bytes::from("one"));
        assert!(peer.open.lock().iter().all(|call| call.stream.ended()));
    });
}
