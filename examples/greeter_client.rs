//! The greeter's client: a call of each of the four kinds.
//!
//! `cargo run --example greeter_client -- --addr 127.0.0.1:50051 --name you`

mod common {
    pub(crate) mod flags;
    pub(crate) mod greeter_calls;
    pub(crate) mod helloworld;
}

use std::error::Error;

use common::flags::Flags;
use common::greeter_calls::greet;

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse(
        "Calls helloworld.Greeter.",
        &[("addr", "HOST:PORT of the server (127.0.0.1:50051)"), ("name", "whom to greet (you)")],
    );
    let channel = grpc_threads::insecure_channel(flags.get("addr").unwrap_or("127.0.0.1:50051"))?;
    greet(&channel, flags.get("name").unwrap_or("you"))?;
    Ok(())
}
