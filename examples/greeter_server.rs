//! The greeter's server, until it is killed.
//!
//! `cargo run --example greeter_server -- --addr 127.0.0.1:50051`

mod common {
    pub(crate) mod flags;
    pub(crate) mod greeter_service;
    pub(crate) mod helloworld;
}

use std::error::Error;

use common::flags::Flags;
use common::greeter_service::PoliteGreeter;
use common::helloworld::GreeterServer;
use grpc_threads::ThreadPool;

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse(
        "Serves helloworld.Greeter.",
        &[("addr", "HOST:PORT to listen on (127.0.0.1:50051)")],
    );
    let addr = flags.get("addr").unwrap_or("127.0.0.1:50051");

    let server = grpc_threads::server(ThreadPool::new(8));
    server.add_service(GreeterServer::new(PoliteGreeter))?;
    let port = server.add_insecure_port(addr)?;
    server.start()?;
    println!("listening on {addr} (port {port})");
    server.wait_for_termination(None);
    Ok(())
}
