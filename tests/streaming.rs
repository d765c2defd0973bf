//! Streams of requests, of responses, and both.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use service::*;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use support::frames::{CANCEL, Listener, RST_STREAM};
use support::{LONG, eventually, pattern, within};

fn numbers(count: usize) -> impl Iterator<Item = Bytes> + Send + 'static {
    (0..count).map(|n| Bytes::from(n.to_string()))
}

fn as_numbers(messages: Vec<Bytes>) -> Vec<usize> {
    messages.iter().map(|message| std::str::from_utf8(message).unwrap().parse().unwrap()).collect()
}

#[test]
fn responses_are_an_iterator_in_order() {
    let served = Served::new();
    let count = served.channel().raw_unary_stream(COUNT).unwrap().timeout(LONG);
    let mut responses = count.call(&Bytes::from_static(b"1000 100")).unwrap();
    let mut seen = 0;
    for response in responses.by_ref() {
        assert!(response.unwrap() == pattern(100));
        seen += 1;
    }
    assert_eq!(seen, 1000);
    assert!(responses.next().is_none(), "the iterator is fused");
    assert_eq!(responses.code(), Code::Ok);
}

#[test]
fn large_responses_arrive_whole() {
    let served = Served::new();
    let count = served.channel().raw_unary_stream(COUNT).unwrap().timeout(LONG);
    let (messages, _) =
        count.call(&Bytes::from_static(b"20 1000000")).unwrap().collect_all().unwrap();
    assert_eq!(messages.len(), 20);
    assert!(messages.iter().all(|message| *message == pattern(1_000_000)));
}

/// Rounds of one request and a burst of answers that are fast enough to be held back and sent together: the median
/// of each 25. `flush`: the handler sends them before it waits for the next request.
fn burst_rounds(flush: bool) -> impl FnMut() -> Duration {
    const ANSWERS: usize = 8;
    let burst = by_hand(move |stream, _| {
        while let Some(request) = stream.recv()? {
            for _ in 0..ANSWERS {
                stream.send(&request)?;
            }
            if flush {
                stream.flush();
            }
        }
        Ok(())
    });
    let served = Served::with(2, [("Burst", burst)]);
    let burst = served.channel().raw_stream_stream("/test.Test/Burst").unwrap().timeout(LONG);
    let mut duplex = burst.open();
    let mut round = move || {
        let _running = &served;
        let start = Instant::now();
        duplex.send(&Bytes::from_static(b"on")).unwrap();
        for _ in 0..ANSWERS {
            assert!(duplex.recv().unwrap().is_some());
        }
        start.elapsed()
    };
    move || {
        let mut rounds: Vec<_> = (0..25).map(|_| round()).collect();
        rounds.sort();
        rounds[12]
    }
}

/// A timer sends, some 300 us later, what a handler that suddenly blocks has left behind. A handler that waits for
/// its client's next message must not rely on it.
#[test]
fn what_was_held_back_is_sent_before_a_wait_for_more() {
    let (mut flushed, mut waited) = (burst_rounds(true), burst_rounds(false));
    let late = Duration::from_micros(150);
    let (mut flush, mut wait) = (Duration::MAX, Duration::MAX);
    // A machine that has other things to do is slow, but not all the time. The timer is late in most rounds of each 25.
    eventually(LONG / 2, "rounds wait for the timer", || {
        (flush, wait) = (flush.min(flushed()), wait.min(waited()));
        wait < flush + late
    });
}

#[test]
fn an_empty_stream_is_one() {
    let served = Served::new();
    let channel = served.channel();
    let count = channel.raw_unary_stream(COUNT).unwrap().timeout(LONG);
    assert!(count.call(&Bytes::from_static(b"0 0")).unwrap().next().is_none());
    let sum = channel.raw_stream_unary(SUM).unwrap().timeout(LONG);
    assert_eq!(sum.call(numbers(0)).unwrap(), b"0 0"[..]);
    let bidi = channel.raw_stream_stream(BIDI).unwrap().timeout(LONG);
    assert!(bidi.call(numbers(0)).next().is_none());
}

#[test]
fn requests_are_pulled_on_the_calling_thread_and_may_borrow() {
    let served = Served::new();
    let sum = served.channel().raw_stream_unary(SUM).unwrap().timeout(LONG);
    let me = thread::current().id();
    let words = [String::from("a"), String::from("bc")];
    let requests = words.iter().map(|word| {
        assert_eq!(thread::current().id(), me);
        Bytes::copy_from_slice(word.as_bytes())
    });
    assert_eq!(sum.call(requests).unwrap(), b"2 3"[..]);
}

#[test]
fn many_requests_one_response() {
    let served = Served::new();
    let sum = served.channel().raw_stream_unary(SUM).unwrap().timeout(LONG);
    let reply = sum.call(std::iter::repeat_n(Bytes::from(pattern(100_000)), 100)).unwrap();
    assert_eq!(reply, b"100 10000000"[..]);
    // Pulled by a thread of the library's.
    let mut future = sum.future(numbers(1000));
    assert_eq!(future.result(Some(LONG)).unwrap(), b"1000 2890"[..]);
}

#[test]
fn a_source_that_fails_is_never_half_closed_as_if_whole() {
    let (begun, begins) = mpsc::channel();
    let (done, ended) = mpsc::channel();
    let handler = grpc_threads::stream_unary_rpc_method_handler_with(
        move |mut requests: RequestIterator<Bytes>, _: &ServicerContext| {
            assert_eq!(requests.next().unwrap()?, b"one"[..]);
            let _ = begun.send(());
            let rest: Result<Vec<_>, _> = requests.collect();
            let _ = done.send(rest.is_ok());
            rest.map(|_| Bytes::new())
        },
        Raw,
        Raw,
    );
    let served = Served::with(2, [("Whole", handler)]);
    let whole = served.channel().raw_stream_unary("/test.Test/Whole").unwrap().timeout(LONG);
    let mut first = true;
    let source = std::iter::from_fn(|| {
        if std::mem::take(&mut first) {
            return Some(Ok(Bytes::from_static(b"one")));
        }
        begins.recv_timeout(LONG).unwrap();
        Some(Err(Status::data_loss("the disk is gone")))
    });
    let status = whole.try_call(source).unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "the disk is gone"));
    let whole = ended.recv_timeout(LONG).unwrap();
    assert!(!whole, "the handler took half a stream for a whole one");
}

#[test]
fn an_exchange_prefers_a_response_and_loses_none() {
    let served = Served::new();
    let bidi = served.channel().raw_stream_stream(BIDI).unwrap().timeout(LONG);
    let messages: Result<Vec<_>, _> = bidi.call(numbers(5000)).collect();
    assert_eq!(as_numbers(messages.unwrap()), (0..5000).collect::<Vec<_>>());
}

#[test]
fn a_spawned_stream_is_pulled_by_the_library() {
    let served = Served::new();
    let bidi = served.channel().raw_stream_stream(BIDI).unwrap().timeout(LONG);
    let (next, pulled) = mpsc::channel::<Bytes>();
    let mut responses = bidi.spawn(pulled);
    for n in 0..10 {
        // The iterator waits for responses: only a thread of its own can do that.
        next.send(Bytes::from(n.to_string())).unwrap();
        assert_eq!(responses.recv().unwrap().unwrap(), n.to_string());
    }
    drop(next);
    assert!(responses.recv().unwrap().is_none());
}

#[test]
fn a_duplex_takes_turns() {
    let served = Served::new();
    let bidi = served.channel().raw_stream_stream(BIDI).unwrap().timeout(LONG);
    let mut duplex = bidi.open();
    for n in 0..100 {
        duplex.send(&Bytes::from(n.to_string())).unwrap();
        assert_eq!(duplex.recv().unwrap().unwrap(), n.to_string());
    }
    assert!(matches!(duplex.try_recv(), Err(ResultError::TimedOut)));
    assert!(matches!(duplex.recv_timeout(Duration::from_millis(5)), Err(ResultError::TimedOut)));
    duplex.done_writing().unwrap();
    assert!(duplex.recv().unwrap().is_none());
    assert_eq!(duplex.code(), Code::Ok);
}

#[test]
fn l24_two_halves_on_two_threads() {
    let served = Served::new();
    let bidi = served.channel().raw_stream_stream(BIDI).unwrap().timeout(LONG);
    let (mut sender, responses) = bidi.open().split();
    let sending = thread::spawn(move || {
        for n in 0..20_000 {
            sender.send(&Bytes::from(n.to_string())).unwrap();
        }
        sender.done_writing().unwrap();
    });
    let messages: Result<Vec<_>, _> = responses.collect();
    assert_eq!(as_numbers(messages.unwrap()), (0..20_000).collect::<Vec<_>>());
    sending.join().unwrap();
}

#[test]
fn open_gives_a_sender_and_a_future() {
    let served = Served::new();
    let sum = served.channel().raw_stream_unary(SUM).unwrap().timeout(LONG);
    let (mut sender, mut reply) = sum.open();
    for message in numbers(10) {
        sender.send(&message).unwrap();
    }
    assert!(!reply.done());
    sender.done_writing().unwrap();
    assert_eq!(reply.result(Some(LONG)).unwrap(), b"10 10"[..]);
    assert!(matches!(reply.result(Some(LONG)), Err(ResultError::Taken)));
}

#[test]
fn a_sender_dropped_before_it_is_done_cancels() {
    let listener = Listener::new();
    let sum = channel(&listener.target()).raw_stream_unary(SUM).unwrap().timeout(LONG);
    let server = thread::spawn(move || {
        let mut peer = listener.accept();
        let stream = peer.wait_request().stream;
        let frame = peer.wait_for(|frame| frame.kind == RST_STREAM || frame.ends_stream());
        assert_eq!((frame.kind, frame.stream), (RST_STREAM, stream));
        assert_eq!(frame.code(), CANCEL);
    });
    let (mut sender, mut reply) = sum.open();
    sender.send(&Bytes::from_static(b"half")).unwrap();
    drop(sender);
    let outcome = reply.result(Some(LONG)).map_err(Status::from).unwrap_err();
    assert_eq!(outcome.code(), Code::Cancelled, "{outcome:?}");
    server.join().unwrap();
}

#[test]
fn a_handler_may_go_on_from_another_thread() {
    let detached = by_hand(|stream, _| {
        let mut stream = stream.detach();
        thread::spawn(move || {
            while let Ok(Some(request)) = stream.recv() {
                if stream.send(&request).is_err() {
                    break;
                }
            }
            stream.finish(Ok(()));
        });
        Ok(())
    });
    let served = Served::with(2, [("Detached", detached)]);
    let bidi = served.channel().raw_stream_stream("/test.Test/Detached").unwrap().timeout(LONG);
    // More of them at once than there are workers.
    let mut streams: Vec<_> = (0..10).map(|_| bidi.open()).collect();
    for stream in &mut streams {
        stream.send(&Bytes::from_static(b"x")).unwrap();
    }
    for stream in &mut streams {
        assert_eq!(stream.recv().unwrap().unwrap(), b"x"[..]);
        stream.done_writing().unwrap();
        assert!(stream.recv().unwrap().is_none());
    }
}

#[test]
fn small_messages_are_not_held_back_for_a_producer_that_pauses() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let paused = by_hand(move |stream, _| {
        for n in 0..200u32 {
            stream.send(&Bytes::from(n.to_string()))?;
        }
        // Says nothing more until the client has seen all of it.
        let _ = wait.lock().unwrap().recv_timeout(LONG);
        Ok(())
    });
    let served = Served::with(2, [("Paused", paused)]);
    let call = served.channel().raw_stream_stream("/test.Test/Paused").unwrap().timeout(LONG);
    let mut duplex = call.open();
    duplex.done_writing().unwrap();
    within(LONG, move || {
        for n in 0..200u32 {
            assert_eq!(duplex.recv().unwrap().unwrap(), n.to_string());
        }
        go.send(()).unwrap();
        assert!(duplex.recv().unwrap().is_none());
    });
    drop(served);
}

/// A stream that was detached from a handler may be handed on by the same word.
#[test]
fn a_stream_that_is_detached_twice_goes_on() {
    let handed_on = by_hand(|stream, _| {
        let mut first = stream.detach();
        let mut second = first.detach();
        drop(first);
        std::thread::spawn(move || {
            second.send(&Bytes::from_static(b"on")).unwrap();
            second.finish(Ok(()));
        });
        Ok(())
    });
    let served = Served::with(1, [("HandedOn", handed_on)]);
    let call = served.channel().raw_stream_stream("/test.Test/HandedOn").unwrap().timeout(LONG);
    let mut responses = call.call(Vec::<Bytes>::new());
    assert_eq!(responses.next().unwrap().unwrap(), b"on"[..]);
    assert!(responses.next().is_none());
}
