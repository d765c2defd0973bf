//! A server that ends in good order when it is told to: Ctrl-C, or `kill`, stops it, calls in progress end, and the program goes on to
//! its last line. A second signal ends it at once.
//!
//! `cargo run --example graceful_exit -- --port=50051`, and Ctrl-C.

mod common {
    pub(crate) mod flags;
}

use std::error::Error;
use std::time::Duration;

use common::flags::Flags;
use grpc_threads::health::HealthServicer;
use grpc_threads::{
    Service, ServicerContext, ThreadPool, graceful_exit, unary_unary_rpc_method_handler,
};

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse(
        "Serves demo.Echo.",
        &[("port", "where to listen on 127.0.0.1; 50051 by default")],
    );
    let server = grpc_threads::server(ThreadPool::new(8));
    // Before there is any other thread, and before the start: a signal that comes too early ends the program.
    let _exit = graceful_exit(&[&server], Duration::from_secs(20))?;

    let echo = unary_unary_rpc_method_handler(|text: String, _: &ServicerContext| Ok(text));
    server.add_service(Service::new("demo.Echo").method("Say", echo))?;
    // Load balancers are told before the end comes.
    HealthServicer::new().add_to(&server)?;
    let port = server.add_insecure_port(&format!("127.0.0.1:{}", flags.value("port", 50051u16)))?;
    server.start()?;
    println!("listening on 127.0.0.1:{port}");

    server.wait_for_termination(None);
    println!("all calls have ended");
    Ok(())
}
