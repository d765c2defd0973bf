//! One thread that waits for many calls at once, and for something else as well: with crossbeam-channel's `select!`.
//!
//! A call does not know channels. But it tells a callback when it has something to take: `on_result` of a call with one
//! response, `on_ready` of a stream of them. What that callback sends, any channel can wait for.

#![allow(clippy::disallowed_methods, reason = "a program has a clock of its own")]

use std::error::Error;
use std::time::{Duration, Instant};

use crossbeam_channel::{never, select, tick, unbounded};
use grpc_threads::{
    ResultError, Service, ServicerContext, Status, ThreadPool, insecure_channel, server,
    unary_stream_rpc_method_handler, unary_unary_rpc_method_handler,
};

fn main() -> Result<(), Box<dyn Error>> {
    let server = server(ThreadPool::new(4));
    server.add_service(numbers())?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;
    let channel = insecure_channel(&format!("127.0.0.1:{port}"))?;

    // Three calls with one response each. Their results come by one channel, each with its number.
    let double = channel.unary_unary::<u32, u32>("/demo.Numbers/Double")?;
    let (send_result, mut results) = unbounded();
    for number in 1..=3 {
        let send = send_result.clone();
        // Nobody may be there to receive it any more: the callback does not mind.
        double.timeout(Duration::from_secs(10)).future(&number).on_result(move |result| {
            let _ = send.send((number, result));
        });
    }
    drop(send_result);

    // Two streams of responses, each told of by its place in the list.
    let count = channel.unary_stream::<u32, u32>("/demo.Numbers/Count")?;
    let (send_ready, ready) = unbounded();
    let mut streams = Vec::new();
    for place in 0..2 {
        let mut responses = count.timeout(Duration::from_secs(10)).call(&5)?;
        let send = send_ready.clone();
        responses.on_ready(move || {
            let _ = send.send(place);
        });
        streams.push(Some(responses));
    }

    let (begin, ticks) = (Instant::now(), tick(Duration::from_secs(1)));
    let mut unary_calls = 3;
    while unary_calls > 0 || streams.iter().any(Option::is_some) {
        select! {
            recv(results) -> result => match result {
                Ok((number, doubled)) => {
                    println!("twice {number} is {}", doubled?);
                    unary_calls -= 1;
                }
                // All senders are gone: a closed channel would be chosen again and again.
                Err(_) => results = never(),
            },
            recv(ready) -> place => {
                let place = place?;
                if let Some(responses) = &mut streams[place] {
                    // All that are there: several may be told as one.
                    loop {
                        match responses.try_recv() {
                            Ok(Some(number)) => println!("stream {place}: {number}"),
                            Err(ResultError::TimedOut) => break,
                            Ok(None) => {
                                println!("stream {place} has ended");
                                streams[place] = None;
                                break;
                            }
                            Err(error) => return Err(error.into()),
                        }
                    }
                }
            },
            recv(ticks) -> _ => println!("still busy after {:?}", begin.elapsed()),
        }
    }
    server.stop(None).wait(Duration::from_secs(2))?;
    Ok(())
}

fn numbers() -> Service {
    Service::new("demo.Numbers")
        .method(
            "Double",
            unary_unary_rpc_method_handler(|number: u32, _: &ServicerContext| {
                number.checked_mul(2).ok_or_else(|| Status::out_of_range("too large to be doubled"))
            }),
        )
        .method(
            "Count",
            unary_stream_rpc_method_handler(|up_to: u32, _: &ServicerContext| {
                Ok((1..=up_to).map(Ok::<u32, Status>))
            }),
        )
}
