//! Mutual TLS in one program: clients show a certificate, too, and a handler sees whom it serves.
//!
//! `cargo run --features tls --example mutual_tls`
//!
//! The certificates are this repository's own, for tests. How to make some: the documentation of module
//! `credentials::certificates`.

use std::error::Error;
use std::time::Duration;

use grpc_threads::{
    ChannelCredentials, Code, Service, ServicerContext, Status, ThreadPool, secure_channel,
    ssl_channel_credentials, ssl_server_credentials, unary_unary_rpc_method_handler,
};

const CA: &[u8] = include_bytes!("../tests/certs/ca.pem");
const SERVER: &[u8] = include_bytes!("../tests/certs/server.pem");
const SERVER_KEY: &[u8] = include_bytes!("../tests/certs/server.key");
const CLIENT: &[u8] = include_bytes!("../tests/certs/client.pem");
const CLIENT_KEY: &[u8] = include_bytes!("../tests/certs/client.key");

fn main() -> Result<(), Box<dyn Error>> {
    let whoami = Service::new("demo.Identity").method(
        "WhoAmI",
        unary_unary_rpc_method_handler(|_: String, context: &ServicerContext| {
            // The names in the client's certificate, which the handshake has checked.
            let names = context.peer_identities().unwrap_or_default();
            let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name)).collect();
            Ok::<_, Status>(names.join(", "))
        }),
    );
    let server = grpc_threads::server(ThreadPool::new(4));
    server.add_service(whoami)?;
    // `true`: who has no certificate of this CA is not served.
    let credentials = ssl_server_credentials(&[(SERVER_KEY, SERVER)], Some(CA), true)?;
    let port = server.add_secure_port("127.0.0.1:0", &credentials)?; // 0: any free port
    server.start()?;
    let target = format!("localhost:{port}");

    println!("A client with a certificate is known to the handler as:");
    let known = ssl_channel_credentials(Some(CA), Some(CLIENT_KEY), Some(CLIENT))?;
    let names = who_am_i(&target, &known)?;
    println!("  {names}");

    println!("A client without one is refused:");
    let nobody = ssl_channel_credentials(Some(CA), None, None)?;
    match who_am_i(&target, &nobody) {
        Err(status) if status.code() == Code::Unavailable => println!("  {status}"),
        other => return Err(format!("it was not: {other:?}").into()),
    }

    server.stop(Duration::from_secs(1)).wait(Duration::from_secs(5))?;
    Ok(())
}

fn who_am_i(target: &str, credentials: &ChannelCredentials) -> Result<String, Status> {
    let channel = secure_channel(target, credentials)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let whoami = channel
        .unary_unary::<String, String>("/demo.Identity/WhoAmI")
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    whoami.timeout(Duration::from_secs(5)).call(&String::new())
}
