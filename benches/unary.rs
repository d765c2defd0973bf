//! What does one unary call cost, both sides in one process, over a loopback socket?
//!
//! `cargo bench --bench unary`. Counts the allocations of the calling thread, too.

use divan::{AllocProfiler, Bencher, black_box};
use grpc_threads::{
    Server, Service, ServicerContext, ThreadPool, UnaryUnary, insecure_channel, server,
    unary_unary_rpc_method_handler,
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A server that gives the text back, and a method on a channel to it.
fn echo() -> Result<(Server, UnaryUnary<String, String>), Box<dyn std::error::Error>> {
    let echo = unary_unary_rpc_method_handler(|text: String, _: &ServicerContext| Ok(text));
    let server = server(ThreadPool::new(2));
    server.add_service(Service::new("bench.Echo").method("Say", echo))?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;
    let say = insecure_channel(&format!("127.0.0.1:{port}"))?.unary_unary("/bench.Echo/Say")?;
    Ok((server, say))
}

/// One call at a time.
#[divan::bench(args = [32, 4_096, 65_536])]
fn call(bencher: Bencher, size: usize) {
    let (server, say) = echo().expect("a server on a free port");
    let text = "x".repeat(size);
    bencher.bench_local(|| say.call(black_box(&text)).expect("an echo").len());
    drop(server);
}

/// A deadline and a metadata entry on top.
#[divan::bench]
fn call_with_options(bencher: Bencher) {
    let (server, say) = echo().expect("a server on a free port");
    let say = say.timeout(std::time::Duration::from_secs(60));
    let say = say.header("trace-id", "4711").expect("a good entry");
    let text = "x".repeat(32);
    bencher.bench_local(|| say.call(black_box(&text)).expect("an echo").len());
    drop(server);
}
