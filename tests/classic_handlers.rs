//! What a handler has beside its iterators: waits with a bound, sends that do not wait, a pool with and without a queue; and messages of
//! prost in all kinds of calls.
//!
//! Answers to grpc-python's wishes for a bound at each wait, and to the reader and writer style of grpc.aio.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use grpc_threads::Prost;
use service::*;
use std::sync::{Mutex, mpsc};
use std::time::Duration;
use support::{LONG, eventually, pattern};

const SHORT: Duration = Duration::from_millis(20);
const NONE: Duration = Duration::ZERO;

/// Runs `body` as the handler of a stream both ways, once, and gives the client's side of it.
fn in_a_handler<T: Send + 'static>(
    cardinality: Cardinality,
    body: impl FnOnce(&mut ServerStream<Bytes, Bytes>) -> T + Send + 'static,
) -> (Served, mpsc::Receiver<T>) {
    let (tell, told) = mpsc::channel();
    let body = Mutex::new(Some(body));
    let handler = grpc_threads::stream_rpc_method_handler_with(
        cardinality,
        move |stream: &mut ServerStream<Bytes, Bytes>, _: &ServicerContext| {
            let body = body.lock().unwrap().take().unwrap();
            tell.send(body(stream)).unwrap();
            Ok(())
        },
        Raw,
        Raw,
    );
    (Served::with(2, [("Handler", handler)]), told)
}

fn timed_out<T: std::fmt::Debug>(what: &Result<T, ResultError>) -> bool {
    matches!(what, Err(ResultError::TimedOut))
}

#[test]
fn a_handlers_waits_may_have_a_bound_and_lose_nothing() {
    let (served, told) = in_a_handler(Cardinality::StreamStream, |stream| {
        assert!(timed_out(&stream.recv_timeout(SHORT)));
        assert!(timed_out(&stream.recv_timeout(NONE)));
        assert!(timed_out(&stream.try_recv()));
        // Go on.
        stream.send(&Bytes::new()).unwrap();
        stream.flush();
        assert_eq!(stream.recv_timeout(LONG).unwrap().unwrap(), b"one"[..]);
        eventually(LONG, "the second", || match stream.try_recv() {
            Err(ResultError::TimedOut) => false,
            got => {
                assert_eq!(got.unwrap().unwrap(), b"two"[..]);
                true
            }
        });
        assert!(stream.recv_timeout(LONG).unwrap().is_none());
        assert!(stream.recv_timeout(NONE).unwrap().is_none(), "it stays at its end");
        assert!(stream.try_recv().unwrap().is_none());
    });
    let method = served.channel().raw_stream_stream("/test.Test/Handler").unwrap();
    let mut call = method.timeout(LONG).open();
    call.recv().unwrap().unwrap();
    call.send(&Bytes::from_static(b"one")).unwrap();
    call.send(&Bytes::from_static(b"two")).unwrap();
    call.done_writing().unwrap();
    assert!(call.recv().unwrap().is_none());
    told.recv_timeout(LONG).unwrap();
}

#[test]
fn so_may_those_of_an_iterator_of_requests() {
    let (tell, told) = mpsc::channel();
    let handler = grpc_threads::stream_stream_rpc_method_handler_with(
        move |mut requests: RequestIterator<Bytes>, _: &ServicerContext| {
            let mut seen = vec![timed_out(&requests.recv_timeout(SHORT))];
            seen.push(timed_out(&requests.try_recv()));
            let ready = std::iter::once(Ok::<_, Status>(Bytes::new()));
            let tell = tell.clone();
            Ok(ready.chain(std::iter::from_fn(move || {
                let got = requests.recv_timeout(LONG).unwrap();
                if got.is_none() {
                    tell.send(std::mem::take(&mut seen)).unwrap();
                }
                got.map(Ok)
            })))
        },
        Raw,
        Raw,
    );
    let served = Served::with(2, [("Handler", handler)]);
    let method = served.channel().raw_stream_stream("/test.Test/Handler").unwrap();
    let mut call = method.timeout(LONG).open();
    assert_eq!(call.recv().unwrap().unwrap(), b""[..]);
    call.send(&Bytes::from_static(b"one")).unwrap();
    assert_eq!(call.recv().unwrap().unwrap(), b"one"[..]);
    call.done_writing().unwrap();
    assert!(call.recv().unwrap().is_none());
    assert_eq!(told.recv_timeout(LONG).unwrap(), [true, true]);
}

#[test]
fn a_bounded_wait_of_a_handler_tells_a_wait_in_vain_from_the_end_of_its_call() {
    let (at, arrived) = mpsc::channel();
    let (served, told) = in_a_handler(Cardinality::StreamUnary, move |stream| {
        assert!(timed_out(&stream.try_recv()));
        at.send(()).unwrap();
        let ended = stream.recv_timeout(LONG);
        let again = stream.try_recv();
        (ended, again, stream.context().cancelled())
    });
    let method = served.channel().raw_stream_unary("/test.Test/Handler").unwrap();
    let (_sender, future) = method.open();
    arrived.recv_timeout(LONG).unwrap();
    assert!(future.cancel());
    let (ended, again, cancelled) = told.recv_timeout(LONG).unwrap();
    let Err(ResultError::Rpc(status)) = ended else { panic!("{ended:?}") };
    assert_eq!(status.code(), Code::Cancelled, "{status}");
    assert!(matches!(again, Ok(None)), "told once: {again:?}");
    assert!(cancelled);
}

#[test]
fn of_a_single_request_a_bounded_wait_gives_one_and_then_the_end() {
    let (served, told) = in_a_handler(Cardinality::UnaryUnary, |stream| {
        assert_eq!(stream.recv_timeout(LONG).unwrap().unwrap(), b"one"[..]);
        assert!(stream.recv_timeout(LONG).unwrap().is_none());
        assert!(stream.try_recv().unwrap().is_none());
        stream.send(&Bytes::from_static(b"two")).unwrap();
        let again = stream.send(&Bytes::new()).unwrap_err();
        assert_eq!(again.code(), Code::Internal, "one response");
    });
    let method = served.channel().raw_unary_unary("/test.Test/Handler").unwrap().timeout(LONG);
    assert_eq!(method.call(&Bytes::from_static(b"one")).unwrap(), b"two"[..]);
    told.recv_timeout(LONG).unwrap();
}

#[test]
fn a_handler_may_send_as_far_as_there_is_room_and_is_never_held_up() {
    let (served, told) = in_a_handler(Cardinality::StreamStream, |stream| {
        let message = Bytes::from(pattern(16 << 10));
        let mut sent = 0;
        let full = loop {
            match stream.try_send(&message) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 100_000, "there is an end to the room");
        };
        assert!(matches!(full, ResultError::TimedOut), "{full}");
        // The client is told to read on.
        assert!(stream.recv().unwrap().is_none());
        eventually(LONG, "room again", || stream.try_send(&message).is_ok());
        sent + 1
    });
    let method = served.channel().raw_stream_stream("/test.Test/Handler").unwrap();
    let mut call = method.timeout(LONG).open();
    let first = call.recv().unwrap().unwrap();
    call.done_writing().unwrap();
    let mut read = 1;
    while let Some(message) = call.recv().unwrap() {
        assert_eq!(message, first);
        read += 1;
    }
    assert_eq!(told.recv_timeout(LONG).unwrap(), read);
}

#[test]
fn a_pool_says_how_busy_it_is_and_refuses_what_finds_no_room() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let waits = unary(move |request, _| {
        let _ = gone.lock().unwrap().recv();
        Ok(request)
    });
    let pool = ThreadPool::with_queue(1, 1);
    let server = grpc_threads::server(pool.clone());
    let served = Served::start(server, "127.0.0.1:0", [("Waits", waits)]);
    assert_eq!((pool.workers(), pool.running(), pool.queued()), (1, 0, 0));
    let channel = served.channel();
    let waits = channel.raw_unary_unary("/test.Test/Waits").unwrap().timeout(LONG);
    let mut first = waits.future(&Bytes::new());
    eventually(LONG, "the first runs", || pool.running() == 1);
    let mut second = waits.future(&Bytes::new());
    eventually(LONG, "the second waits", || pool.queued() == 1);
    let refused = waits.call(&Bytes::new()).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("no free worker"), "{refused}");
    go.send(()).unwrap();
    first.result(Some(LONG)).unwrap();
    go.send(()).unwrap();
    second.result(Some(LONG)).unwrap();
    eventually(LONG, "all is done", || pool.running() == 0 && pool.queued() == 0);
    go.send(()).unwrap();
    waits.call(&Bytes::new()).unwrap();
}

#[test]
fn messages_of_prost_need_no_codec_in_any_kind_of_call() {
    let many =
        grpc_threads::unary_stream_rpc_method_handler(|name: String, _: &ServicerContext| {
            Ok([Ok::<_, Status>(name.clone()), Ok(name)])
        });
    let upload = grpc_threads::stream_unary_rpc_method_handler(
        |names: RequestIterator<String>, _: &ServicerContext| {
            Ok(names.collect::<Result<Vec<_>, Status>>()?.join(" "))
        },
    );
    let both = grpc_threads::stream_stream_rpc_method_handler(
        |names: RequestIterator<String>, _: &ServicerContext| {
            Ok(names.map(|name| name.map(|name| name.to_uppercase())))
        },
    );
    let served = Served::with(2, [("Many", many), ("Upload", upload), ("Both", both)]);
    let channel = served.channel();
    let names = || ["a".to_owned(), "b".to_owned()];
    let many = channel.unary_stream::<String, String>("/test.Test/Many").unwrap();
    assert_eq!(many.call(&names()[0]).unwrap().collect_all().unwrap().0, ["a", "a"]);
    let many = channel.unary_stream_with::<String, String, _>("/test.Test/Many", Prost).unwrap();
    assert_eq!(many.call(&names()[1]).unwrap().collect_all().unwrap().0, ["b", "b"]);
    let upload = channel.stream_unary::<String, String>("/test.Test/Upload").unwrap();
    assert_eq!(upload.call(names()).unwrap(), "a b");
    let upload = channel.stream_unary_with::<String, String, _>("/test.Test/Upload", Prost);
    assert_eq!(upload.unwrap().call(names()).unwrap(), "a b");
    let both = channel.stream_stream::<String, String>("/test.Test/Both").unwrap();
    assert_eq!(both.call(names()).collect::<Result<Vec<_>, _>>().unwrap(), ["A", "B"]);
    let both = channel.stream_stream_with::<String, String, _>("/test.Test/Both", Prost).unwrap();
    assert_eq!(both.spawn(names()).collect_all().unwrap().0, ["A", "B"]);
}

#[test]
fn the_name_of_a_program_comes_before_the_librarys() {
    let named = unary(|_, context| {
        let name = context.invocation_metadata().get("user-agent").unwrap_or_default().to_owned();
        Ok(Bytes::from(name))
    });
    let served = Served::with(1, [("Named", named)]);
    let builder = Channel::builder(&served.target()).user_agent("mine/1.0");
    let channel = builder.connect_lazily().unwrap();
    let method = channel.raw_unary_unary("/test.Test/Named").unwrap().timeout(LONG);
    let name = method.call(&Bytes::new()).unwrap();
    let name = std::str::from_utf8(&name).unwrap();
    assert!(name.starts_with("mine/1.0 grpc-"), "{name}");
}

#[test]
fn how_a_call_stands_may_be_asked_without_waiting() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let waits = unary(move |_, _| {
        let _ = gone.lock().unwrap().recv();
        Err(Status::aborted("no"))
    });
    let served = Served::with(1, [("Waits", waits)]);
    let future =
        served.channel().raw_unary_unary("/test.Test/Waits").unwrap().future(&Bytes::new());
    let call = future.handle();
    assert!(call.try_status().is_none());
    go.send(()).unwrap();
    eventually(LONG, "its end", || call.done());
    assert_eq!(call.try_status().unwrap().code(), Code::Aborted);
}
