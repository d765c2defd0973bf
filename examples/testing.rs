//! How a service and a client of it are tested: in memory, by a clock that leaps, over a network that fails, and with the
//! server's part played by hand.
//!
//! `cargo run --example testing --features testing`; it ends by itself.

#![allow(clippy::disallowed_methods, reason = "a program of its own, with its own threads")]

use std::error::Error;
use std::time::{Duration, Instant};

use grpc_threads::testing::{Clock, Faults, Pair, Scripted};
use grpc_threads::{
    Channel, Code, Service, ServicerContext, Status, unary_unary_rpc_method_handler,
};

const HOUR: Duration = Duration::from_secs(3_600);
const GREET: &str = "/demo.Greeter/Greet";

/// The service under test: it knows everybody but one, for whom it waits.
fn service() -> Service {
    let greet = unary_unary_rpc_method_handler(|name: String, context: &ServicerContext| {
        while name == "godot" && context.is_active() {
            std::thread::yield_now();
        }
        Ok(format!("hello, {name}"))
    });
    Service::new("demo.Greeter").method("Greet", greet)
}

/// The client under test.
fn greeting(channel: &Channel, name: &str) -> Result<String, Status> {
    let greet = channel.unary_unary::<String, String>(GREET)?.timeout(HOUR);
    match greet.call(&name.to_owned()) {
        Err(status) if status.code() == Code::DeadlineExceeded => Ok("he did not come".into()),
        answer => answer,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (clock, faults, began) = (Clock::take(), Faults::new(), Instant::now());
    let pair = Pair::builder().service(service()).faults(&faults).start()?;
    println!("in memory: {}", greeting(pair.channel(), "you")?);

    // An hour passes at once: for the caller, and for the handler.
    let channel = pair.channel().clone();
    let waits = std::thread::spawn(move || greeting(&channel, "godot"));
    while !waits.is_finished() {
        clock.advance(HOUR);
        std::thread::yield_now();
    }
    let waited = waits.join().map_err(|_| "the caller panicked")??;
    println!("after an hour, which took {:?}: {waited}", began.elapsed());

    // The answer is cut in the middle.
    faults.to_client().cut_after(5);
    let lost = greeting(pair.channel(), "you").err().ok_or("it was cut")?;
    println!("with a cut: {lost}");

    // No server at all: the test answers.
    let scripted = Scripted::new()?;
    let channel = scripted.channel().clone();
    let asks = std::thread::spawn(move || greeting(&channel, "you"));
    let mut call = scripted.take(GREET);
    let name = call.request::<String>()?.unwrap_or_default();
    call.respond(&format!("who is {name}?"))?;
    call.finish(Ok(()));
    println!("by hand: {}", asks.join().map_err(|_| "the caller panicked")??);
    Ok(())
}
