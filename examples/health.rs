//! A server that tells how it is: services that are set, one that is made of checks, a client that watches, and the end, which
//! watchers are told of before it comes.
//!
//! `cargo run --example health` is server and client in one process, and ends by itself. With `--port=50051` it serves until its input
//! ends, for `health_probe` and other clients.

mod common {
    pub(crate) mod flags;
}

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use common::flags::Flags;
use grpc_threads::health::{
    HealthCheckRequest, HealthListRequest, HealthServicer, HealthStub, ServiceCheck, ServiceStatus,
    ServingStatus,
};
use grpc_threads::{Code, ThreadPool, insecure_channel};

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse(
        "Serves grpc.health.v1.",
        &[(
            "port",
            "where to listen on 127.0.0.1 until the input ends; without it: a free port, and a client",
        )],
    );
    let health = HealthServicer::new();
    health.set("demo.Greeter", ServingStatus::Serving);
    health.set("demo.Archive", ServingStatus::NotServing);
    // Told by whoever knows, and run when somebody asks: its status is made of both.
    let upstream = ServiceStatus::new();
    let disk = ServiceCheck::new(|| std::fs::metadata("/tmp").map(|found| found.is_dir()))
        .ttl(Duration::from_secs(60))
        .timeout(Duration::from_secs(2));
    health.add_checks("demo.Proxy", [&upstream]);
    health.add_checks("demo.Proxy", [disk]);
    upstream.set(true);
    health.set("", ServingStatus::Serving);

    let server = grpc_threads::server(ThreadPool::new(2));
    health.add_to(&server)?;
    let port = server.add_insecure_port(&format!("127.0.0.1:{}", flags.value("port", 0u16)))?;
    server.start()?;
    if flags.get("port").is_some() {
        println!("listening on 127.0.0.1:{port}");
        std::io::stdin().read_to_end(&mut Vec::new())?;
        server.stop(Duration::from_secs(10)).wait(Duration::from_secs(20))?;
        return Ok(());
    }

    let stub = HealthStub::new(&insecure_channel(&format!("127.0.0.1:{port}"))?);
    let of = |service: &str| HealthCheckRequest { service: service.into() };
    let mut watch = stub.watch.call(&of("demo.Greeter"))?;
    println!("demo.Greeter: {}", watch.recv()?.ok_or("the watch has ended")?.serving_status());
    health.set("demo.Greeter", ServingStatus::NotServing);
    println!("demo.Greeter: {}", watch.recv()?.ok_or("the watch has ended")?.serving_status());
    println!("demo.Proxy: {}", stub.check.call(&of("demo.Proxy"))?.serving_status());
    for (name, told) in stub.list.call(&HealthListRequest {})?.statuses {
        println!("  {name:?}: {}", told.serving_status());
    }

    let mut overall = stub.watch.call(&of(""))?;
    println!("the server: {}", overall.recv()?.ok_or("the watch has ended")?.serving_status());
    let stopped = server.stop(Duration::from_secs(60));
    println!("the server: {}", overall.recv()?.ok_or("the watch has ended")?.serving_status());
    assert_eq!(overall.recv().map_err(|status| status.code()), Err(Code::Unavailable));
    stopped.wait(Duration::from_secs(10))?;
    println!("and it has ended without waiting for who watches");
    Ok(())
}
