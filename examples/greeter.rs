//! A server and a client in one program: a call of each of the four kinds over a real socket.
//!
//! `cargo run --example greeter`

mod common {
    pub(crate) mod greeter_calls;
    pub(crate) mod greeter_service;
    pub(crate) mod helloworld;
}

use std::error::Error;
use std::time::Duration;

use common::greeter_calls::greet;
use common::greeter_service::PoliteGreeter;
use common::helloworld::GreeterServer;
use grpc_threads::ThreadPool;

fn main() -> Result<(), Box<dyn Error>> {
    let server = grpc_threads::server(ThreadPool::new(4));
    server.add_service(GreeterServer::new(PoliteGreeter))?;
    let port = server.add_insecure_port("127.0.0.1:0")?; // 0: any free port
    server.start()?;
    println!("The server listens on port {port}.\n");

    let channel = grpc_threads::insecure_channel(&format!("127.0.0.1:{port}"))?;
    greet(&channel, "you")?;
    channel.close();

    server.stop(Duration::from_secs(1)).wait(Duration::from_secs(5))?;
    println!("\nThe server has stopped.");
    Ok(())
}
