//! What does one unary call cost, both sides in one process?
//!
//! `cargo bench --features _internals --bench unary`. Over a loopback socket, and over a pipe in memory: the
//! difference is the system's. Counts the allocations of the calling thread, too.

use std::error::Error;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use grpc_threads::{
    Channel, Server, Service, ServicerContext, ThreadPool, UnaryUnary, insecure_channel, server,
    testing, unary_unary_rpc_method_handler,
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A server that gives the text back.
fn echo() -> Result<Server, Box<dyn Error>> {
    let echo = unary_unary_rpc_method_handler(|text: String, _: &ServicerContext| Ok(text));
    let server = server(ThreadPool::new(2));
    server.add_service(Service::new("bench.Echo").method("Say", echo))?;
    Ok(server)
}

fn say(channel: &Channel) -> Result<UnaryUnary<String, String>, Box<dyn Error>> {
    Ok(channel.unary_unary("/bench.Echo/Say")?)
}

/// The method over a loopback socket.
fn by_socket() -> Result<(Server, UnaryUnary<String, String>), Box<dyn Error>> {
    let server = echo()?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;
    let say = say(&insecure_channel(&format!("127.0.0.1:{port}"))?)?;
    Ok((server, say))
}

/// The method over a pipe in memory.
fn in_memory() -> Result<(Server, UnaryUnary<String, String>), Box<dyn Error>> {
    let server = echo()?;
    testing::start(&server)?;
    let say = say(&testing::channel(&server)?)?;
    Ok((server, say))
}

/// One call at a time.
#[divan::bench(args = [32, 4_096, 65_536])]
fn call(bencher: Bencher, size: usize) {
    let (server, say) = by_socket().expect("a server on a free port");
    let text = "x".repeat(size);
    bencher.bench_local(|| say.call(black_box(&text)).expect("an echo").len());
    drop(server);
}

/// The same without the system's network.
#[divan::bench(args = [32, 4_096, 65_536])]
fn call_in_memory(bencher: Bencher, size: usize) {
    let (server, say) = in_memory().expect("a server");
    let text = "x".repeat(size);
    bencher.bench_local(|| say.call(black_box(&text)).expect("an echo").len());
    drop(server);
}

/// A deadline and a metadata entry on top.
#[divan::bench]
fn call_with_options(bencher: Bencher) {
    let (server, say) = by_socket().expect("a server on a free port");
    let say = say.timeout(Duration::from_secs(60));
    let say = say.header("trace-id", "4711").expect("a good entry");
    let text = "x".repeat(32);
    bencher.bench_local(|| say.call(black_box(&text)).expect("an echo").len());
    drop(server);
}
