//! A server that only this machine can reach, by a UNIX socket, and that knows which process calls it.
//!
//! `cargo run --example unix_socket`
//!
//! Who may connect is a matter of the rights of the socket's folder; who does is the kernel's word, so there is no need of a certificate.

use std::error::Error;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::{env, fs, process};

use grpc_threads::{
    Code, Service, ServicerContext, Status, ThreadPool, insecure_channel,
    unary_unary_rpc_method_handler,
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::temp_dir().join(format!("grpc-threads-example-{}", process::id()));
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let port = format!("unix:{}", folder.join("greeter.sock").display());
    let owner = fs::metadata(&folder)?.uid();

    let greet = unary_unary_rpc_method_handler(move |name: String, context: &ServicerContext| {
        let caller = context.auth_context().peer_process();
        let caller = caller.ok_or_else(|| Status::unauthenticated("come by the UNIX socket"))?;
        if caller.uid != owner {
            return Err(Status::permission_denied("this is for its owner's programs"));
        }
        Ok(format!("Hello, {name} of process {}", caller.pid))
    });
    let server = grpc_threads::server(ThreadPool::new(2));
    server.add_service(Service::new("demo.Greeter").method("Greet", greet))?;
    server.add_insecure_port(&port)?;
    // For everybody, by TCP, as a comparison.
    let tcp = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;

    let path = "/demo.Greeter/Greet";
    let greet = insecure_channel(&port)?.unary_unary::<String, String>(path)?;
    let greeting = greet.call(&"you".to_owned())?;
    assert_eq!(greeting, format!("Hello, you of process {}", process::id()));
    println!("{greeting}");

    let greet =
        insecure_channel(&format!("127.0.0.1:{tcp}"))?.unary_unary::<String, String>(path)?;
    let refused = greet.call(&"you".to_owned()).err().ok_or("by TCP nobody is known")?;
    assert_eq!(refused.code(), Code::Unauthenticated);
    println!("{refused}");

    drop(server);
    fs::remove_dir(&folder)?;
    Ok(())
}
