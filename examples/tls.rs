//! A server and a client over TLS in one program, and a client that does not trust the server.
//!
//! `cargo run --features tls --example tls`
//!
//! The certificates are this repository's own, for tests. How to make some: the documentation of module
//! `credentials::certificates`.

mod common {
    pub(crate) mod greeter_calls;
    pub(crate) mod greeter_service;
    pub(crate) mod helloworld;
}

use std::error::Error;
use std::time::Duration;

use common::greeter_calls::greet;
use common::greeter_service::PoliteGreeter;
use common::helloworld::{GreeterServer, GreeterStub, HelloRequest};
use grpc_threads::{ThreadPool, secure_channel, ssl_channel_credentials, ssl_server_credentials};

const CA: &[u8] = include_bytes!("../tests/certs/ca.pem");
const OTHER_CA: &[u8] = include_bytes!("../tests/certs/other-ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../tests/certs/server.pem");
const KEY: &[u8] = include_bytes!("../tests/certs/server.key");

fn main() -> Result<(), Box<dyn Error>> {
    let server = grpc_threads::server(ThreadPool::new(4));
    server.add_service(GreeterServer::new(PoliteGreeter))?;
    let credentials = ssl_server_credentials(&[(KEY, CERTIFICATE)], None, false)?;
    let port = server.add_secure_port("127.0.0.1:0", &credentials)?; // 0: any free port
    server.start()?;
    println!("The server listens with TLS on port {port}.\n");

    // The certificate names localhost and 127.0.0.1, so either is good as a target.
    let target = format!("localhost:{port}");
    let channel = secure_channel(&target, &ssl_channel_credentials(Some(CA), None, None)?)?;
    greet(&channel, "you")?;
    channel.close();

    println!("\nA client that trusts another CA:");
    let doubtful = ssl_channel_credentials(Some(OTHER_CA), None, None)?;
    let channel = secure_channel(&target, &doubtful)?;
    let say_hello = GreeterStub::new(&channel).say_hello.timeout(Duration::from_secs(5));
    match say_hello.call(&HelloRequest { name: "you".into() }) {
        Err(status) => println!("  {status}"),
        Ok(_) => return Err("it was served".into()),
    }

    server.stop(Duration::from_secs(1)).wait(Duration::from_secs(5))?;
    println!("\nThe server has stopped.");
    Ok(())
}
