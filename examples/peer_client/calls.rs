//! Messages and streams, deadlines, cancelling, and many calls at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use grpc_threads::{Code, Status};

use super::{Methods, Outcome, Server, between, bytes, check, eventually, failure, pattern, text};

const MIB: usize = 1 << 20;

pub(crate) fn sizes(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    for size in [0, 1, 64 << 10, 4 * MIB] {
        let sent = pattern(size);
        check(&format!("echo of {size}"), peer.unary("Echo").call(&sent)? == sent, true)?;
        let got = peer.unary("Sized").call(&bytes(&size.to_string()))?;
        check(&format!("reply of {size}"), got == sent, true)?;
    }
    let sizes = [0, 1, 64 << 10, 4 * MIB, 0, 16 << 10, (16 << 10) + 1, MIB - 1, 0];
    let replies = peer.both("Chat").spawn(sizes.map(pattern)).collect::<Result<Vec<_>, _>>()?;
    let got: Vec<_> = replies.iter().map(Bytes::len).collect();
    check("sizes of a stream", got, sizes.to_vec())?;
    check("bytes of a stream", replies.iter().all(|got| *got == pattern(got.len())), true)?;
    let got = peer.requests("Collect").call(sizes.map(pattern))?;
    check("collected", text(&got), format!("{} {}", sizes.len(), sizes.iter().sum::<usize>()))
}

pub(crate) fn limits(server: &Server) -> Outcome {
    let exhausted = Code::ResourceExhausted;
    let peer = Methods::of(server)?;
    let too_long = 4 * MIB + 1;
    failure("a long request", peer.unary("Echo").call(&pattern(too_long)), exhausted)?;
    let size = bytes(&too_long.to_string());
    failure("a long reply", peer.unary("Sized").call(&size), exhausted)?;
    let some = [bytes("short"), pattern(too_long), bytes("short")];
    let all = peer.both("Chat").spawn(some).collect::<Result<Vec<_>, _>>();
    failure("a long request of a stream", all, exhausted)?;
    check("afterwards", peer.unary("Echo").call(&bytes("a"))?, bytes("a"))?;

    let short = peer.unary("Echo").max_send_message_size(1000);
    check("just short enough", short.call(&pattern(1000))?, pattern(1000))?;
    failure("too long to send", short.call(&pattern(1001)), exhausted)?;
    let long = peer.unary("Sized").max_receive_message_size(usize::MAX);
    let size = bytes(&(9 * MIB).to_string());
    check("without a limit", long.call(&size)?.len(), 9 * MIB)?;

    let other = server.again(0, &["--max_send=1000"])?;
    let peer = Methods::of(&other)?;
    check("just short enough to answer", peer.unary("Sized").call(&bytes("1000"))?.len(), 1000)?;
    failure("too long to answer", peer.unary("Sized").call(&bytes("1001")), exhausted).map(drop)
}

pub(crate) fn streams(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    let many = || (0..2000).map(|number: u32| bytes(&number.to_string()));
    let size: usize = many().map(|message| message.len()).sum();
    let got = peer.requests("Collect").call(many())?;
    check("many to one", text(&got), format!("2000 {size}"))?;
    let count = peer.replies("FailAfter").header("x-count", "2000")?;
    let (got, _) = count.call(&Bytes::new())?.collect_all()?;
    check("one to many", got, many().collect())?;
    let chat = peer.both("Chat");
    let got = chat.spawn(many()).collect::<Result<Vec<_>, _>>()?;
    check("many to many", got, many().collect())?;
    let got = chat.call(many()).collect::<Result<Vec<_>, _>>()?;
    check("many to many on one thread", got, many().collect())?;
    check("none", chat.spawn([]).count(), 0)?;
    check("none to one", text(&peer.requests("Collect").call([])?), "0 0".to_owned())?;

    let mut duplex = chat.open();
    for message in many().take(200) {
        duplex.send(&message)?;
        check("ping pong", duplex.recv()?, Some(message))?;
    }
    duplex.done_writing()?;
    check("the end", duplex.recv()?, None)
}

/// The server answers while the client still has much to send.
pub(crate) fn early_ok(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    let over = AtomicBool::new(false);
    let endless = std::iter::from_fn(|| (!over.load(Ordering::Relaxed)).then(|| pattern(MIB)));
    let (reply, call) = peer.requests("Early").with_call(endless)?;
    over.store(true, Ordering::Relaxed);
    check("reply", (text(&reply), call.code()), ("early".to_owned(), Code::Ok))
}

pub(crate) fn deadlines(server: &Server) -> Outcome {
    let (short, late) = (Duration::from_millis(300), Code::DeadlineExceeded);
    let soon = Duration::from_millis(290)..Duration::from_secs(2);
    let peer = Methods::of(server)?;
    peer.who()?;
    let began = Instant::now();
    let wait = peer.unary("Wait").header("x-token", "late")?.timeout(short);
    failure("a slow reply", wait.call(&bytes("8000")), late)?;
    between("end of a slow reply", soon.start, began.elapsed(), soon.end)?;
    eventually("the server sees the end of a unary call", || peer.saw("late"))?;

    let began = Instant::now();
    let hold = peer.replies("Hold").header("x-token", "late stream")?.timeout(short);
    let mut stream = hold.call(&Bytes::new())?;
    check("first", stream.recv()?, Some(bytes("holding")))?;
    failure("a slow stream", stream.recv(), late)?;
    between("end of a slow stream", soon.start, began.elapsed(), soon.end)?;
    eventually("the server sees the end of a stream", || peer.saw("late stream"))?;

    let mut future = peer.unary("Wait").timeout(short).future(&bytes("8000"));
    failure("a slow future", future.result(None).map_err(Status::from), late)?;
    let echo = peer.unary("Echo");
    failure("no time at all", echo.timeout(Duration::ZERO).call(&Bytes::new()), late)?;
    let endless = peer.channel.raw_unary_unary("/peers.Peer/Remaining")?;
    check("without a deadline", text(&endless.call(&Bytes::new())?), "none".to_owned())?;
    for seconds in [5, 100, 100_000] {
        let asked = peer.unary("Remaining").timeout(Duration::from_secs(seconds));
        let left: u64 = text(&asked.call(&Bytes::new())?).parse()?;
        between("time remaining", seconds * 1000 - 3000, left, seconds * 1000)?;
    }
    let wait = peer.unary("Wait").timeout(Duration::from_secs(5));
    check("just in time", wait.call(&bytes("100"))?, bytes("waited"))
}

pub(crate) fn thousand_calls(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    let echo = peer.unary("Echo");
    let request = |number: usize| bytes(&number.to_string());
    let mut calls: Vec<_> = (0..1000).map(|number| echo.future(&request(number))).collect();
    for (number, call) in calls.iter_mut().enumerate() {
        check("futures", call.result(None)?, request(number))?;
    }
    let chat = peer.both("Chat");
    let streams: Vec<_> = (0..200).map(|number| (number, chat.spawn([request(number)]))).collect();
    for (number, stream) in streams {
        check("streams", stream.collect::<Result<Vec<_>, _>>()?, vec![request(number)])?;
    }
    let wait = peer.unary("Wait");
    let mut calls: Vec<_> = (0..300).map(|_| wait.future(&bytes("50"))).collect();
    for call in &mut calls {
        check("slow ones", call.result(None)?, bytes("waited"))?;
    }
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..100)
            .map(|number| scope.spawn(move || (number, echo_ten(server, number))))
            .collect();
        callers.into_iter().try_for_each(|caller| match caller.join() {
            Ok((_, None)) => Ok(()),
            Ok((number, Some(error))) => Err(format!("thread {number}: {error}").into()),
            Err(_) => Err("a thread panicked".into()),
        })
    })
}

/// Ten calls on a channel that lives no longer.
fn echo_ten(server: &Server, number: usize) -> Option<String> {
    let call = || -> Outcome {
        let peer = Methods::of(server)?;
        let message = bytes(&number.to_string());
        (0..10).try_for_each(|_| check("echo", peer.unary("Echo").call(&message)?, message.clone()))
    };
    call().err().map(|error| error.to_string())
}

pub(crate) fn cancel(server: &Server) -> Outcome {
    let peer = Methods::of(server)?;
    let before = peer.who()?;
    let wait = peer.unary("Wait").header("x-token", "unary")?;
    let mut call = wait.future(&bytes("20000"));
    eventually("the call runs", || peer.saw("unary begins"))?;
    check("cancel", call.cancel(), true)?;
    check("cancelled", call.cancelled(), true)?;
    check("code", call.exception(None).map(|_| Code::Ok).unwrap_or(call.code()), Code::Cancelled)?;
    eventually("the server sees the cancel", || peer.saw("unary"))?;

    let mut stream = peer.replies("Hold").header("x-token", "stream")?.call(&Bytes::new())?;
    check("first", stream.recv()?, Some(bytes("holding")))?;
    stream.cancel();
    failure("the stream", stream.recv(), Code::Cancelled)?;
    eventually("the server sees the cancel of a stream", || peer.saw("stream"))?;

    let mut stream = peer.replies("Hold").header("x-token", "drop")?.call(&Bytes::new())?;
    check("first", stream.recv()?, Some(bytes("holding")))?;
    drop(stream);
    eventually("the server sees that a stream was dropped", || peer.saw("drop"))?;

    let result = peer.unary("Cancel").call(&Bytes::new());
    failure("cancelled by the server", result, Code::Cancelled)?;
    check("still the same connection", peer.who()?, before)
}
