//! A server that tells what it has, and a client that asks it: services, their methods, and the files that describe them.
//!
//! `cargo run --example reflection` is both in one process. With `--port=50051` it serves until its input ends, for tools such as
//! `grpcurl -plaintext localhost:50051 list` and `buf curl`.

mod common {
    pub(crate) mod flags;
    pub(crate) mod greeter_service;
    pub(crate) mod helloworld;
}

use std::error::Error;
use std::io::Read;

use common::flags::Flags;
use common::greeter_service::PoliteGreeter;
use common::helloworld::{FILE_DESCRIPTOR_SET, GreeterServer};
use grpc_threads::reflection::{DescriptorDatabase, ServerReflection};
use grpc_threads::{ThreadPool, insecure_channel};

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse(
        "Serves helloworld.Greeter and reflection.",
        &[(
            "port",
            "where to listen on 127.0.0.1 until the input ends; without it: a free port, and a client",
        )],
    );
    let server = grpc_threads::server(ThreadPool::new(8));
    server.add_service(GreeterServer::new(PoliteGreeter))?;
    ServerReflection::new([FILE_DESCRIPTOR_SET])?.add_to(&server)?;
    let port = server.add_insecure_port(&format!("127.0.0.1:{}", flags.value("port", 0u16)))?;
    server.start()?;
    if flags.get("port").is_some() {
        println!("listening on 127.0.0.1:{port}");
        std::io::stdin().read_to_end(&mut Vec::new())?;
        return Ok(());
    }

    let database = DescriptorDatabase::new(&insecure_channel(&format!("127.0.0.1:{port}"))?);
    for service in database.services()? {
        let set = database.descriptor_set(&service)?;
        println!("{service}, described by {} bytes", set.len());
    }
    Ok(())
}
