//! Two links joined by a pipe: the smallest whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::http2::types::Reason;
use crate::metadata::Metadata;
use crate::net::{MemoryPipe, Waited};
use crate::reactor::{Interest, Job, Readiness, ThreadPool, Work, client_poller};
use crate::status::Status;
use crate::wire::framing::{self, Messages};
use crate::wire::headers::{self, RequestHead, RequestTemplate};
use crate::wire::outcome::Ending;

/// Answers every message of a request with the same message.
struct Echo {
    ended: Mutex<Vec<String>>,
}

struct EchoJob(Incoming);

impl LinkEvents for Echo {
    fn up(&self) {}
    fn draining(&self) {}
    fn room(&self) {}
    fn lost(&self, cause: &str) {
        self.ended.lock().push(cause.to_owned());
    }
}

impl Acceptor for Echo {
    fn admit(&self, head: &RequestHead) -> Admit {
        match head.path.as_str() {
            "/echo/Unary" => {
                Admit::Run { entry: Arc::new(Method), when: When::Complete, limit: 1 << 20 }
            }
            "/echo/Stream" => {
                Admit::Run { entry: Arc::new(Method), when: When::Headers, limit: 1 << 20 }
            }
            _ => Admit::Refuse(Status::unimplemented("no such method")),
        }
    }
}

struct Method;

impl Entry for Method {
    fn job(self: Arc<Self>, incoming: Incoming) -> Job {
        Job::new(Box::new(EchoJob(incoming)), true)
    }
}

impl Work for EchoJob {
    fn run(self: Box<Self>) {
        let stream = &self.0.stream;
        let mut messages = Messages::default();
        let mut head = Vec::new();
        headers::response_head(&mut head, &Metadata::new());
        let mut head = Some(head);
        loop {
            let consumed = messages.consumed();
            let took = stream.take(consumed, &mut messages);
            let mut framed = Vec::new();
            while let Some(message) = messages.next() {
                headers_free_frame(&mut framed, &message.bytes);
            }
            let mut block = Vec::new();
            headers::trailers(&mut block, &Status::new(crate::Code::Ok, ""), &Metadata::new());
            let end = if took.over { End::Trailers(&block, true) } else { End::No };
            if took.over || !framed.is_empty() {
                let data = (!framed.is_empty()).then(|| Bytes::from(framed));
                stream.send(Outgoing { head: head.take().as_deref(), data, end });
            }
            if took.over {
                return;
            }
            stream.wait(Want::Message, None);
        }
    }

    fn reject(self: Box<Self>) {}
}

fn headers_free_frame(out: &mut Vec<u8>, message: &[u8]) {
    out.push(0);
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(message);
}

#[derive(Default)]
struct Channel {
    lost: AtomicUsize,
}

impl LinkEvents for Channel {
    fn up(&self) {}
    fn draining(&self) {}
    fn room(&self) {}
    fn lost(&self, _cause: &str) {
        self.lost.fetch_add(1, Ordering::SeqCst);
    }
}

struct Rig {
    client: Arc<Link>,
    channel: Arc<Channel>,
    server: Arc<Link>,
    _pool: ThreadPool,
}

fn rig() -> Rig {
    let pool = ThreadPool::new(2);
    let (near, far) = MemoryPipe::pair();
    let acceptor = Arc::new(Echo { ended: Mutex::new(Vec::new()) });
    let options = Options::new(Role::Server);
    let server =
        Link::server(Arc::new(far), &options.clone().into(), acceptor, &pool.poller().unwrap())
            .unwrap();
    let channel = Arc::new(Channel::default());
    let client = Link::client(
        Arc::new(near),
        &Arc::new(Options::new(Role::Client)),
        Duration::ZERO,
        channel.clone(),
        &client_poller().unwrap(),
    )
    .unwrap();
    Rig { client, channel, server, _pool: pool }
}

fn block(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    RequestTemplate::new(path, "test", false, None).block(None, None, &Metadata::new(), &mut out);
    out
}

fn framed(message: &[u8]) -> Bytes {
    let mut out = Vec::new();
    headers_free_frame(&mut out, message);
    out.into()
}

fn soon() -> Option<std::time::Instant> {
    Some(clock::now() + Duration::from_secs(10))
}

fn unary(link: &Arc<Link>, message: &[u8]) -> (Vec<Bytes>, Ending) {
    let stream = link
        .open(&block("/echo/Unary"), Some(framed(message)), true, 1 << 20, Replies::One)
        .unwrap();
    assert!(stream.wait(Want::End, soon()), "no answer");
    let mut messages = Messages::default();
    stream.take(0, &mut messages);
    let mut found = Vec::new();
    while let Some(message) = messages.next() {
        found.push(message.bytes);
    }
    (found, stream.ending().unwrap())
}

#[test]
fn a_unary_call_goes_there_and_back() {
    let rig = rig();
    for n in 0..3u8 {
        let (messages, ending) = unary(&rig.client, &[n; 100]);
        assert_eq!(messages, [Bytes::from(vec![n; 100])]);
        assert_eq!(ending.to_status(false).code(), crate::Code::Ok);
    }
    assert_eq!(rig.client.active(), 0);
}

#[test]
fn a_large_message_needs_nobody_to_read_it() {
    let rig = rig();
    let large = vec![5; 1 << 20];
    let (messages, _) = unary(&rig.client, &large);
    assert_eq!(messages[0], large);
}

#[test]
fn many_callers_share_one_link() {
    let rig = rig();
    thread::scope(|scope| {
        for caller in 0..8u8 {
            let client = &rig.client;
            scope.spawn(move || {
                for _ in 0..200 {
                    assert_eq!(unary(client, &[caller; 32]).0, [Bytes::from(vec![caller; 32])]);
                }
            });
        }
    });
    assert_eq!(rig.client.active(), 0);
}

#[test]
fn a_stream_answers_message_by_message() {
    let rig = rig();
    let stream =
        rig.client.open(&block("/echo/Stream"), None, false, 1 << 20, Replies::Many).unwrap();
    let mut messages = Messages::default();
    for n in 0..10u8 {
        stream.send(Outgoing { head: None, data: Some(framed(&[n])), end: End::No });
        assert!(stream.wait(Want::Message, soon()));
        let consumed = messages.consumed();
        stream.take(consumed, &mut messages);
        assert_eq!(messages.next().unwrap().bytes, [n].as_slice());
    }
    stream.send(Outgoing { head: None, data: None, end: End::Half });
    assert!(stream.wait(Want::End, soon()));
    assert_eq!(stream.ending().unwrap().to_status(false).code(), crate::Code::Ok);
}

#[test]
fn w14_an_unknown_method_is_refused_before_anything_runs() {
    let rig = rig();
    let stream = rig
        .client
        .open(&block("/echo/None"), Some(framed(b"")), true, 1 << 20, Replies::One)
        .unwrap();
    assert!(stream.wait(Want::End, soon()));
    let status = stream.ending().unwrap().to_status(false);
    assert_eq!(status.code(), crate::Code::Unimplemented);
    // What reading it took is given back once the connection is quiet, though no stream ends.
    assert!(rig.server.state.lock().watch.looks_for_quiet(), "nobody looks for quiet");
}

#[test]
fn what_a_connections_first_call_took_is_given_back_at_once() {
    // On a machine that stands still for a second it is given back for another reason.
    let at_once = (0..10).any(|_| {
        let rig = rig();
        assert_eq!(unary(&rig.client, b"x").0, [b"x".as_slice()]);
        let until = soon();
        [&rig.client, &rig.server].into_iter().all(|link| {
            loop {
                let state = link.state.lock();
                if state.cells.live() == 0 && state.conn.reserved() == 0 {
                    break state.watch.looks_for_quiet();
                }
                drop(state);
                assert!(Some(clock::now()) < until, "it is kept");
                thread::yield_now();
            }
        })
    });
    assert!(at_once, "not before it was quiet");
}

#[test]
fn a_connection_rests_whose_last_request_ended_by_its_timer() {
    let rig = rig();
    let _half = rig.client.open(&block("/echo/Unary"), None, false, 1 << 20, Replies::One).unwrap();
    let until = soon();
    while rig.server.active() == 0 {
        assert!(Some(clock::now()) < until, "the request does not come");
        thread::yield_now();
    }
    let mut jobs = Vec::new();
    let mut fire = |tag, now| rig.server.fire(tag, now, &mut jobs);
    // Once for what came, once for the quiet since then: nobody looks any more.
    fire(pump::TIMER_QUIET, clock::now());
    fire(pump::TIMER_QUIET, clock::now());
    assert!(!rig.server.state.lock().watch.looks_for_quiet());
    fire(pump::TIMER_CONNECTION, clock::now() + Options::new(Role::Server).request_timeout);
    assert_eq!(rig.server.active(), 0);
    assert!(rig.server.state.lock().watch.looks_for_quiet(), "what it took is never given back");
}

#[test]
fn a_cancel_from_another_thread_ends_a_leaders_wait() {
    let rig = rig();
    let stream =
        rig.client.open(&block("/echo/Stream"), None, false, 1 << 20, Replies::Many).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| stream.wait(Want::End, soon()));
        let cancelled = Ending::Local(Status::cancelled("enough"));
        assert!(stream.finish(cancelled, Reason::CANCEL));
        assert!(waiting.join().unwrap());
    });
    assert_eq!(stream.ending().unwrap().to_status(false).code(), crate::Code::Cancelled);
}

#[test]
fn a_closed_link_loses_its_streams_and_says_so_once() {
    let rig = rig();
    let stream =
        rig.client.open(&block("/echo/Stream"), None, false, 1 << 20, Replies::Many).unwrap();
    rig.client.close(Reason::NO_ERROR, "closed by the test");
    assert!(stream.wait(Want::End, soon()));
    assert_eq!(stream.ending().unwrap().to_status(false).code(), crate::Code::Unavailable);
    assert!(rig.client.open(&block("/echo/Unary"), None, true, 1, Replies::One).is_err());
    assert_eq!(rig.channel.lost.load(Ordering::SeqCst), 1);
}

#[test]
fn the_end_that_comes_with_the_octets_edge_is_read() {
    use crate::net::SocketPipe;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    // Preface, empty SETTINGS, and nothing any more: all there before the poller looks.
    peer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    while far.peek(&mut [0; 64]).unwrap() < 33 {}
    let pool = ThreadPool::new(1);
    let acceptor = Arc::new(Echo { ended: Mutex::new(Vec::new()) });
    let options = Options::new(Role::Server);
    let pipe = Arc::new(SocketPipe::new(far).unwrap());
    let poller = pool.poller().unwrap();
    let _server = Link::server(pipe, &options.clone().into(), acceptor.clone(), &poller).unwrap();
    while acceptor.ended.lock().is_empty() {
        thread::yield_now();
    }
}

/// A socket that is full once, and writable again before its writer can say that it is stuck.
#[derive(Default)]
struct FullOnce {
    ready: Mutex<Option<Arc<dyn Ready>>>,
    refuses: AtomicBool,
    written: AtomicUsize,
    /// Where the slices of vectored writes lay.
    slices: Mutex<Vec<std::ops::Range<usize>>>,
}

impl std::fmt::Debug for FullOnce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FullOnce")
    }
}

impl Pipe for FullOnce {
    fn try_read(&self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        if self.refuses.swap(false, Ordering::SeqCst) {
            let ready = self.ready.lock().clone();
            if let Some(ready) = ready {
                ready.ready(Readiness { write: true, ..Readiness::default() }, &mut Vec::new());
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.written.fetch_add(from.len(), Ordering::SeqCst);
        Ok(from.len())
    }

    fn takes_slices(&self) -> bool {
        true
    }

    fn try_write_slices(&self, from: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let places = from.iter().map(|slice| addresses(slice));
        self.slices.lock().extend(places);
        Ok(from.iter().map(|slice| slice.len()).sum())
    }

    fn wait(&self, _: Interest, _: Option<Instant>) -> io::Result<Waited> {
        Ok(Waited::default())
    }

    fn kick(&self) {}

    fn attach(&self, _: &Arc<Poller>, _: Mode, ready: Arc<dyn Ready>) -> io::Result<()> {
        *self.ready.lock() = Some(ready);
        Ok(())
    }

    fn arm(&self, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn detach(&self) {
        let _ = self.ready.lock().take();
    }

    fn shutdown_write(&self) {}

    fn close(&self) {}

    fn peer(&self) -> String {
        "nobody".to_owned()
    }
}

#[test]
fn an_edge_between_a_full_socket_and_the_stuck_baton_is_not_lost() {
    let pool = ThreadPool::new(1);
    let acceptor = Arc::new(Echo { ended: Mutex::new(Vec::new()) });
    let pipe = Arc::new(FullOnce::default());
    let poller = pool.poller().unwrap();
    let options = Options::new(Role::Server);
    let server = Link::server(pipe.clone(), &options.clone().into(), acceptor, &poller).unwrap();
    let before = pipe.written.load(Ordering::SeqCst);
    pipe.refuses.store(true, Ordering::SeqCst);
    server.drain();
    assert!(pipe.written.load(Ordering::SeqCst) > before, "the GOAWAY waits for a second edge");
    pipe.detach();
}

fn addresses(octets: &[u8]) -> std::ops::Range<usize> {
    let first = octets.as_ptr() as usize;
    first..first + octets.len()
}

/// A message is copied by its codec, into its own buffer, and by nobody after that.
#[test]
fn a_long_message_is_sent_from_where_it_was_framed() {
    const LEN: usize = 60_000;
    let pipe = Arc::new(FullOnce::default());
    let poller = client_poller().unwrap();
    let (options, channel) = (Options::new(Role::Client), Arc::new(Channel::default()));
    let client =
        Link::client(pipe.clone(), &options.clone().into(), Duration::ZERO, channel, &poller)
            .unwrap();
    let late = || Status::new(crate::Code::DeadlineExceeded, "late");
    let (request, body) = (block("/echo/Unary"), framed(&[7; LEN]));
    let message = addresses(&body);
    let soon = Some(clock::now() + Duration::from_millis(20));
    drop(client.exchange(&request, body, 100, soon, late));
    let slices = pipe.slices.lock();
    let lent = slices.iter().filter(|at| message.contains(&at.start)).map(ExactSizeIterator::len);
    assert_eq!(lent.sum::<usize>(), LEN + framing::PREFIX);
    pipe.detach();
}

#[test]
fn the_reset_of_a_unary_call_that_has_expired_goes_out() {
    let pipe = Arc::new(FullOnce::default());
    let poller = client_poller().unwrap();
    let (options, channel) = (Options::new(Role::Client), Arc::new(Channel::default()));
    let client =
        Link::client(pipe.clone(), &options.clone().into(), Duration::ZERO, channel, &poller)
            .unwrap();
    let expired = || Status::new(crate::Code::DeadlineExceeded, "late");
    let request = block("/echo/Unary");
    let exchanged = client.exchange(&request, framed(b""), 100, Some(clock::now()), expired);
    let Ok(Exchanged { ending: Some(ending), .. }) = exchanged else { panic!("no end") };
    assert_eq!(ending.to_status(true).code(), crate::Code::DeadlineExceeded);
    assert!(!client.state.lock().conn.wants_output(), "it would stop others' credit, too");
    pipe.detach();
}

mod admission;
mod credit;
mod faults;
