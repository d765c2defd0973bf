//! What does a call cost over a pair in memory, and over a loopback socket, in one run?
//!
//! `cargo bench --features testing --bench pair`. Both take turns, a batch each, so that a busy machine is busy for both; what
//! is told is the median of the batches, and the fastest.
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use grpc_threads::{
    Channel, Raw, Server, Service, ServicerContext, ThreadPool, insecure_channel, server, testing,
    unary_unary_rpc_method_handler_with,
};

/// Calls at a stretch, and how often.
const BATCH: u32 = 200;
const BATCHES: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let once = std::env::args().any(|argument| argument == "--test");
    let echo = |request: Bytes, _: &ServicerContext| Ok(request);
    let echo = unary_unary_rpc_method_handler_with(echo, Raw, Raw);
    let server: Server = server(ThreadPool::new(2));
    server.add_service(Service::new("bench.Echo").method("Say", echo))?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;
    let in_memory = testing::channel(&server)?;
    let by_socket = insecure_channel(&format!("127.0.0.1:{port}"))?;
    println!("a unary call, in microseconds: median of batches (fastest)");
    for size in [32, 4 << 10, 64 << 10] {
        let request = Bytes::from(vec![b'x'; size]);
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..if once { 1 } else { BATCHES } {
            for (channel, took) in [&by_socket, &in_memory].into_iter().zip(&mut took) {
                took.push(batch(channel, &request)?);
            }
        }
        let [(socket, least), (memory, less)] = took.map(median);
        println!(
            "{size:>6} octets  socket {socket:7.1} ({least:.1})  memory {memory:7.1} ({less:.1})  {:.2} ({:.2})",
            memory / socket,
            less / least
        );
    }
    Ok(())
}

fn batch(channel: &Channel, request: &Bytes) -> Result<Duration, Box<dyn Error>> {
    let say = channel.raw_unary_unary("/bench.Echo/Say")?;
    let began = Instant::now();
    for _ in 0..BATCH {
        say.call(request)?;
    }
    Ok(began.elapsed() / BATCH)
}

/// And the least.
fn median(mut took: Vec<Duration>) -> (f64, f64) {
    took.sort();
    let micros = |at: usize| took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e6);
    (micros(took.len() / 2), micros(0))
}
