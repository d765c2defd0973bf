//! For h2spec's client suite: one call to the host and port of a URL, whatever comes of it.
//!
//! The channel stays 1.2 s from the start, so that the other side can see what the client does next.
//!
//! `cargo run --example h2spec_client -- http://127.0.0.1:8080/`

mod common {
    pub(crate) mod helloworld;
}

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use common::helloworld::{GreeterStub, HelloRequest};

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().next_back().unwrap_or_default();
    let rest = url.strip_prefix("http://").ok_or("usage: h2spec_client http://HOST:PORT/")?;
    let target = rest.split('/').next().unwrap_or(rest);

    let channel = grpc_threads::insecure_channel(target)?;
    let (done, outcome) = std::sync::mpsc::channel();
    let call = GreeterStub::new(&channel).say_hello.future(&HelloRequest { name: "h2spec".into() });
    call.on_result(move |result| drop(done.send(result)));
    sleep(Duration::from_millis(1200));
    match outcome.try_recv() {
        Ok(Ok(reply)) => println!("{}", reply.message),
        Ok(Err(status)) => println!("{status}"),
        Err(_) => println!("no answer"),
    }
    Ok(())
}
