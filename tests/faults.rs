//! Connections that break, peers that stop, handlers that panic: one ending for each call, nothing hangs, nothing leaks.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use support::frames::{HEADERS, Listener, Peer, RST_STREAM};
use support::leaks::{Holdings, processor_time};
use support::proxy::{Harm, Plan, Proxy};
use support::{LONG, alone, eventually, pattern, timed, within};

/// On loopback the news of a lost connection takes no time; a busy machine takes some.
const SOON: Duration = Duration::from_secs(2);

/// A method that sends one message and then waits for the end of its call.
fn hang(begun: mpsc::Sender<()>) -> RpcMethodHandler {
    by_hand(move |stream, _| {
        stream.send(&Bytes::from_static(b"begun"))?;
        let _ = begun.send(());
        while stream.recv()?.is_some() {}
        Ok(())
    })
}

#[test]
fn l1_a_server_that_dies_ends_its_calls_and_comes_back() {
    let _alone = alone();
    let (begun, begins) = mpsc::channel();
    let served = Served::with(6, [("Hang", hang(begun))]);
    let proxy = Proxy::new(served.address());
    let channel = channel(&proxy.target());
    let hang = channel.raw_stream_stream("/test.Test/Hang").unwrap();
    for harm in [Harm::Reset, Harm::Close] {
        // Mid-stream, and mid-upload on the same connection.
        let mut reading = hang.open();
        let mut uploading = hang.open();
        for duplex in [&mut reading, &mut uploading] {
            assert_eq!(duplex.recv().unwrap().unwrap(), b"begun"[..]);
            begins.recv_timeout(LONG).unwrap();
        }
        let reading = thread::spawn(move || reading.recv().unwrap_err());
        let uploading = thread::spawn(move || {
            let body = Bytes::from(pattern(10_000));
            loop {
                if let Err(status) = uploading.send(&body) {
                    return status;
                }
            }
        });
        proxy.cut(harm);
        let (took, statuses) =
            timed(|| within(LONG, move || [reading.join().unwrap(), uploading.join().unwrap()]));
        assert!(took < SOON, "{harm:?}: it took {took:?}");
        for status in statuses {
            assert_eq!(status.code(), Code::Unavailable, "{harm:?}: {status:?}");
        }
        // The same channel, and no waiting.
        let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).wait_for_ready(true);
        assert_eq!(echo.call(&Bytes::from_static(b"again")).unwrap(), b"again"[..]);
    }
}

#[test]
fn l1_a_server_that_is_gone_for_a_while() {
    let _alone = alone();
    let served = Served::new();
    let port = served.port;
    let channel = served.channel();
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    echo.call(&Bytes::new()).unwrap();
    let stopped = served.server.stop(None);
    stopped.wait(LONG).unwrap();
    drop(served);
    assert_eq!(echo.call(&Bytes::new()).unwrap_err().code(), Code::Unavailable);
    let patient = echo.wait_for_ready(true);
    let waiting = thread::spawn(move || patient.call(&Bytes::from_static(b"there")));
    let served = Served::on(&format!("127.0.0.1:{port}"), 2, []);
    assert_eq!(within(LONG, move || waiting.join().unwrap()).unwrap(), b"there"[..]);
    drop(served);
}

/// How many bytes go up and down in a call.
fn measure(served: &Served, call: impl Fn(&Channel) -> Result<(), Status>) -> (usize, usize) {
    let proxy = Proxy::new(served.address());
    let channel = channel(&proxy.target());
    call(&channel).unwrap();
    proxy.passed()
}

/// Makes the call again and again, each time with a connection that is cut one byte later.
fn cut_everywhere(served: &Served, call: impl Fn(&Channel) -> Result<(), Status>) {
    let (up, down) = measure(served, &call);
    assert!(up > 100 && down > 60, "{up} bytes up and {down} down are no call");
    let proxy = Proxy::new(served.address());
    for harm in [Harm::Close, Harm::Reset, Harm::HalfClose] {
        let ups = (0..=up).map(|at| Plan::up(at, harm));
        let downs = (0..=down).map(|at| Plan::down(at, harm));
        for plan in ups.chain(downs) {
            proxy.next(plan);
            let channel = channel(&proxy.target());
            let (took, outcome) = timed(|| call(&channel));
            assert!(took < LONG / 2, "{plan:?}: it took {took:?}");
            if let Err(status) = outcome {
                // Half a server's answer may also be a broken message, and a server that sees half a request tells so.
                let known = matches!(
                    status.code(),
                    Code::Unavailable | Code::Internal | Code::Cancelled | Code::Unknown
                );
                assert!(known, "{plan:?}: {status:?}");
            }
        }
    }
    // The server has seen it all and is well.
    call(&served.channel()).unwrap();
}

/// Runs `cut_everywhere` and fails if anything is left over afterwards: threads, or descriptors.
fn cut_everywhere_and_leave_nothing(call: fn(&Channel) -> Result<(), Status>) {
    let _alone = alone();
    let served = Served::new();
    call(&served.channel()).unwrap();
    let before = Holdings::now();
    within(LONG * 6, move || {
        cut_everywhere(&served, call);
        served
    });
    before.assert_no_more();
}

#[test]
fn l2_a_unary_call_cut_at_every_byte() {
    cut_everywhere_and_leave_nothing(|channel| {
        let echo = channel.raw_unary_unary(ECHO)?.timeout(LONG);
        let reply = echo.call(&Bytes::from_static(b"a message"))?;
        assert_eq!(reply, b"a message"[..], "an answer that is not the whole one");
        Ok(())
    });
}

#[test]
fn l2_a_streaming_call_cut_at_every_byte() {
    cut_everywhere_and_leave_nothing(|channel| {
        let bidi = channel.raw_stream_stream(BIDI)?.timeout(LONG);
        let mut duplex = bidi.open();
        for n in 0..3 {
            duplex.send(&Bytes::from(n.to_string()))?;
            let reply = duplex.recv()?.expect("a stream that is not whole ended well");
            assert_eq!(reply, n.to_string());
        }
        duplex.done_writing()?;
        assert!(duplex.recv()?.is_none());
        Ok(())
    });
}

#[test]
fn l3_one_byte_at_a_time() {
    let _alone = alone();
    let served = Served::new();
    let proxy = Proxy::new(served.address());
    proxy.next(Plan::byte_by_byte());
    let channel = channel(&proxy.target());
    let before = processor_time();
    within(LONG * 2, move || {
        let echo = channel.raw_unary_unary(ECHO).unwrap();
        for size in [0, 1, 20_000] {
            let body = Bytes::from(pattern(size));
            assert!(echo.call(&body).unwrap() == body);
        }
        let bidi = channel.raw_stream_stream(BIDI).unwrap();
        let all: Result<Vec<_>, _> =
            bidi.call((0..50).map(|n| Bytes::from(n.to_string()))).collect();
        assert_eq!(all.unwrap().len(), 50);
        assert_eq!(
            channel
                .raw_unary_unary(FAIL)
                .unwrap()
                .call(&Bytes::from_static(b"5 no"))
                .unwrap_err()
                .message(),
            "no"
        );
    });
    // 40 KiB byte by byte through a proxy of two system calls each; a loop that spins would take the whole time.
    let spent = processor_time() - before;
    assert!(spent < Duration::from_secs(20), "{spent:?} of processor time");
    drop(served);
}

#[test]
fn l4_a_client_that_has_half_closed_still_gets_its_answer() {
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let hold = unary(move |request, _| {
        let _ = held.lock().unwrap().recv_timeout(LONG);
        Ok(request)
    });
    let served = Served::with(2, [("Hold", hold)]);
    let mut peer = Peer::connect(served.address());
    let stream = peer.request("/test.Test/Hold", b"x");
    peer.assert_alive();
    peer.shutdown_write();
    release.send(()).unwrap();
    let mut frames = peer.drain();
    frames.retain(|frame| frame.stream == stream);
    // The answer, or nothing at all; never half of it, and always the end of the connection.
    if !frames.is_empty() {
        assert!(
            frames.last().unwrap().ends_stream() || frames.last().unwrap().kind == RST_STREAM,
            "{frames:?}"
        );
    }
}

#[test]
fn l4_a_server_that_half_closes_ends_the_clients_calls() {
    let listener = Listener::new();
    let channel = channel(&listener.target());
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        peer.wait_request();
        peer.shutdown_write();
        // The client closes its half as well.
        peer.drain();
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let (took, outcome) = timed(|| echo.call(&Bytes::new()));
    assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
    assert!(took < SOON, "{took:?}");
    server.join().unwrap();
}

#[test]
fn l5_a_peer_that_stops_reading_holds_up_only_its_own() {
    let _alone = alone();
    let served = Served::new();
    let proxy = Proxy::new(served.address());
    proxy.next(Plan::up(200_000, Harm::Stall));
    let stuck = channel(&proxy.target());
    let free = served.channel();
    let bidi = stuck.raw_stream_stream(BIDI).unwrap();
    let (mut sender, responses) = bidi.open().split();
    let handle = responses.handle();
    let (waits, waiting) = mpsc::channel();
    let sending = thread::spawn(move || {
        let body = Bytes::from(pattern(100_000));
        loop {
            let _ = waits.send(());
            if let Err(status) = sender.send(&body) {
                return status;
            }
        }
    });
    // It sends until it cannot: then no further word comes.
    while waiting.recv_timeout(Duration::from_millis(300)).is_ok() {}
    let echo = free.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    assert_eq!(echo.call(&Bytes::from_static(b"free")).unwrap(), b"free"[..]);
    let (took, status) = timed(|| {
        handle.cancel();
        within(LONG, move || sending.join().unwrap())
    });
    assert_eq!(status.code(), Code::Cancelled, "{status:?}");
    assert!(took < Duration::from_secs(1), "the cancel took {took:?}");
    drop(responses);
}

#[test]
fn l5_a_client_that_stops_reading_holds_up_only_its_own() {
    let _alone = alone();
    let served = Served::with(2, []);
    // It asks for far more than sockets hold, and never reads.
    let mut silent = Peer::connect_with(
        served.address(),
        &[(support::frames::INITIAL_WINDOW_SIZE, 0x7fff_ffff)],
    );
    silent.window_update(0, 0x7fff_0000);
    for _ in 0..2 {
        silent.request(COUNT, b"1000 1000000");
    }
    // Both workers are busy with it, or wait; the connection of another is served all the same.
    let mut peer = Peer::connect(served.address());
    peer.assert_alive();
    let before = grpc_threads::thread_count();
    silent.abort();
    let stream = peer.request(ECHO, b"x");
    assert_eq!(peer.wait_end(stream).messages(), [b"x"]);
    assert!(grpc_threads::thread_count() <= before);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a bomb went off");
    }
}

#[test]
fn l17_a_panic_ends_its_own_call_only() {
    let _alone = alone();
    let before_head = unary(|_, _| panic!("the secret of the handler"));
    let after_head = by_hand(|stream, _| {
        stream.send(&Bytes::from_static(b"one"))?;
        panic!("after a message")
    });
    let in_iterator = grpc_threads::unary_stream_rpc_method_handler_with(
        |_: Bytes, _: &ServicerContext| {
            Ok((0..3).map(|n| {
                assert!(n < 2, "in the iterator");
                Ok::<_, Status>(Bytes::from_static(b"m"))
            }))
        },
        Raw,
        Raw,
    );
    let in_drop = unary(|request, _| {
        let _bomb = Bomb;
        Ok(request)
    });
    let served = Served::with(
        2,
        [
            ("Before", before_head),
            ("After", after_head),
            ("Iterator", in_iterator),
            ("Drop", in_drop),
        ],
    );
    let channel = served.channel();
    for round in 0..10 {
        for path in ["/test.Test/Before", "/test.Test/Drop"] {
            let status = channel
                .raw_unary_unary(path)
                .unwrap()
                .timeout(LONG)
                .call(&Bytes::new())
                .unwrap_err();
            assert_eq!(status.code(), Code::Unknown, "{round} {path}: {status:?}");
            assert!(!status.message().contains("secret"), "W58: {status:?}");
        }
        for (path, messages) in [("/test.Test/After", 1), ("/test.Test/Iterator", 2)] {
            let mut responses =
                channel.raw_unary_stream(path).unwrap().timeout(LONG).call(&Bytes::new()).unwrap();
            for _ in 0..messages {
                assert!(responses.recv().unwrap().is_some());
            }
            assert_eq!(responses.recv().unwrap_err().code(), Code::Unknown, "{round} {path}");
        }
        let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
        assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), b"x"[..]);
    }
    // Those of tests before this one may still be ending.
    eventually(LONG, "the two workers are still there, and no others", || {
        let threads = Holdings::now().threads;
        threads
            .iter()
            .filter(|(name, _)| name.starts_with("grpc-worker"))
            .map(|(_, count)| count)
            .sum::<usize>()
            == 2
    });
}

#[test]
fn l19_a_handler_that_reads_nothing_ends_an_upload() {
    let _alone = alone();
    let refuse = by_hand(|_, _| Err(Status::permission_denied("not you")));
    let served = Served::with(2, [("Refuse", refuse)]);
    let upload = served.channel().raw_stream_unary("/test.Test/Refuse").unwrap();
    // 1 GiB, if anybody took it.
    let body = Bytes::from(pattern(1 << 20));
    let pulled = Arc::new(AtomicUsize::new(0));
    let counting = pulled.clone();
    let requests = std::iter::repeat_n(body, 1024).inspect(move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
    });
    let status = within(LONG, move || upload.call(requests)).unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "not you"), "W55");
    assert!(
        pulled.load(Ordering::Relaxed) < 200,
        "{} MiB were sent to nobody",
        pulled.load(Ordering::Relaxed)
    );
    let echo = served.channel().raw_unary_unary(ECHO).unwrap().timeout(LONG);
    assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), b"x"[..]);
}

#[test]
fn l22_dropping_a_channel_with_live_calls_hangs_nobody() {
    let _alone = alone();
    let (begun, begins) = mpsc::channel();
    let served = Served::with(4, [("Hang", hang(begun))]);
    let channel = served.channel();
    let mut duplex = channel.raw_stream_stream("/test.Test/Hang").unwrap().open();
    assert_eq!(duplex.recv().unwrap().unwrap(), b"begun"[..]);
    begins.recv_timeout(LONG).unwrap();
    let (took, ()) = timed(|| drop(channel));
    assert!(took < SOON);
    // Its calls finish, or are cancelled; they do not wait for ever.
    let outcome = within(LONG, move || {
        let _ = duplex.done_writing();
        duplex.recv()
    });
    match outcome {
        Ok(message) => assert!(message.is_none()),
        Err(status) => assert_eq!(status.code(), Code::Cancelled, "{status:?}"),
    }
}

#[test]
fn l22_dropping_a_server_stops_it() {
    let _alone = alone();
    let (begun, begins) = mpsc::channel();
    let served = Served::with(4, [("Hang", hang(begun))]);
    let mut duplex = served.channel().raw_stream_stream("/test.Test/Hang").unwrap().open();
    assert_eq!(duplex.recv().unwrap().unwrap(), b"begun"[..]);
    begins.recv_timeout(LONG).unwrap();
    let address = served.address();
    drop(served);
    assert!(within(LONG, move || duplex.recv()).is_err());
    eventually(LONG, "the port is closed", || std::net::TcpStream::connect(address).is_err());
}

#[test]
fn l21_a_handler_may_call_its_own_server() {
    let target: Arc<std::sync::OnceLock<String>> = Arc::default();
    let to = target.clone();
    let own = unary(move |request, _| {
        let echo = channel(to.get().unwrap()).raw_unary_unary(ECHO)?.timeout(LONG);
        echo.call(&request)
    });
    let served = Served::with(4, [("Own", own)]);
    target.set(served.target()).unwrap();
    let own = served.channel().raw_unary_unary("/test.Test/Own").unwrap().timeout(LONG);
    assert_eq!(own.call(&Bytes::from_static(b"x")).unwrap(), b"x"[..]);
}

#[test]
fn a_20_times_restarted_connection_leaks_nothing() {
    let _alone = alone();
    let served = Served::new();
    let proxy = Proxy::new(served.address());
    let channel = channel(&proxy.target());
    let echo = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).wait_for_ready(true);
    let mut before = Holdings::now();
    for round in 0..22 {
        if round == 2 {
            // What is made with first use has been used.
            before = Holdings::now();
        }
        proxy.cut(Harm::Reset);
        // A call that was already on its way may be lost with its connection; it is never something else.
        while let Err(status) = echo.call(&Bytes::from_static(b"x")) {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        }
    }
    // The last connection may hold a descriptor that the one of the second round had no need of.
    drop((echo, channel));
    before.assert_no_more();
    let mut peer = Peer::connect(served.address());
    let stream = peer.request(ECHO, b"x");
    assert_eq!(peer.wait_for(|frame| frame.kind == HEADERS).stream, stream);
}
