//! A server that goes away and comes back, while its channel stays.

use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use grpc_threads::{Code, Status};

use super::{Methods, Outcome, Server, between, bytes, check, eventually, failure};

pub(crate) fn killed_and_back(server: &Server) -> Outcome {
    let mut first = server.again(0, &[])?;
    let peer = Methods::of(&first)?;
    let echo = peer.unary("Echo");
    check("before", echo.call(&bytes("a"))?, bytes("a"))?;
    let mut stream = peer.replies("Hold").call(&Bytes::new())?;
    stream.recv()?;
    let mut call = peer.unary("Wait").future(&bytes("20000"));
    eventually("the call runs", || peer.saw(" begins"))?;
    let began = Instant::now();
    first.kill();
    let result = call.result(None).map_err(Status::from);
    failure("a running call", result, Code::Unavailable)?;
    failure("a running stream", stream.recv(), Code::Unavailable)?;
    between("end of running calls", Duration::ZERO, began.elapsed(), Duration::from_secs(2))?;
    failure("while it is away", echo.call(&bytes("a")), Code::Unavailable)?;
    let patient = echo.wait_for_ready(true);
    let vain = patient.timeout(Duration::from_millis(300)).call(&bytes("a"));
    failure("waiting in vain", vain, Code::DeadlineExceeded)?;
    let mut waiting = patient.future(&bytes("patient"));
    let _second = server.again(first.port, &[])?;
    check("waiting", waiting.result(None)?, bytes("patient"))?;
    check("after", echo.call(&bytes("b"))?, bytes("b"))
}

pub(crate) fn stopped_and_back(server: &Server) -> Outcome {
    let mut first = server.again(0, &[])?;
    let peer = Methods::of(&first)?;
    let echo = peer.unary("Echo");
    check("before", echo.call(&bytes("a"))?, bytes("a"))?;
    let mut call = peer.unary("Wait").future(&bytes("800"));
    eventually("the call runs", || peer.saw(" begins"))?;
    first.stop()?;
    check("a call that was running", call.result(None)?, bytes("waited"))?;
    let _second = server.again(first.port, &[])?;
    check("after", echo.wait_for_ready(true).call(&bytes("b"))?, bytes("b"))
}

/// A channel that is older than its server.
pub(crate) fn wait_for_ready(server: &Server) -> Outcome {
    let mut first = server.again(0, &[])?;
    first.kill();
    let peer = Methods::of(&first)?;
    failure("nobody there", peer.unary("Echo").call(&Bytes::new()), Code::Unavailable)?;
    let mut waiting = peer.unary("Echo").wait_for_ready(true).future(&bytes("patient"));
    let stream = peer.both("Chat").wait_for_ready(true).spawn([bytes("patient")]);
    // In vain: no event tells that a call goes on waiting.
    sleep(Duration::from_millis(200));
    check("waiting", waiting.done(), false)?;
    let _second = server.again(first.port, &[])?;
    check("reply", waiting.result(None)?, bytes("patient"))?;
    check("replies", stream.collect::<Result<Vec<_>, _>>()?, vec![bytes("patient")])
}
