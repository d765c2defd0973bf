//! A service that is watched: two hundred streams stay open on a pool of four workers, and other calls are answered meanwhile.
//!
//! `cargo run --example watch` is server and watchers in one process, and ends by itself. No worker is held by a watcher: the
//! handler gives its sender to a list and returns, and whoever has news sends it to all of them.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use grpc_threads::{
    ResponseSender, Service, ServicerContext, Status, ThreadPool, UnaryStream,
    unary_stream_rpc_method_handler, unary_unary_rpc_method_handler,
};

const WATCHERS: usize = 200;

/// Who is to be told. Its own lock is held over nothing that waits.
#[derive(Clone, Default)]
struct Station {
    watchers: Arc<Mutex<Vec<ResponseSender<String>>>>,
}

impl Station {
    fn service(&self) -> Service {
        let station = self.clone();
        let watch =
            unary_stream_rpc_method_handler(move |_city: String, context: &ServicerContext| {
                let (sender, responses) = context.response_channel()?;
                station.with(|watchers| watchers.push(sender));
                Ok(responses)
            });
        let station = self.clone();
        let report = unary_unary_rpc_method_handler(move |news: String, _: &ServicerContext| {
            Ok(station.tell(&news))
        });
        Service::new("demo.Weather").method("Watch", watch).method("Report", report)
    }

    /// Tells everybody: how many were told. Who has gone, or does not keep up, is let go; nobody is waited for.
    fn tell(&self, news: &String) -> u64 {
        self.with(|watchers| {
            watchers.retain_mut(|watcher| watcher.try_send(news).is_ok());
            watchers.len() as u64
        })
    }

    /// Ends all streams, well.
    fn close(&self) {
        for watcher in self.with(std::mem::take) {
            watcher.finish(Ok(()));
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<ResponseSender<String>>) -> T) -> T {
        act(&mut self.watchers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let station = Station::default();
    let pool = ThreadPool::new(4);
    let server = grpc_threads::server(pool.clone());
    server.add_service(station.service())?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;

    // A connection has room for a hundred calls.
    let target = format!("127.0.0.1:{port}");
    let channels = [(); 4].map(|()| grpc_threads::insecure_channel(&target));
    let mut watchers = Vec::new();
    for number in 0..WATCHERS {
        let channel = channels[number % channels.len()].as_ref().map_err(Clone::clone)?;
        let watch: UnaryStream<String, String> = channel.unary_stream("/demo.Weather/Watch")?;
        watchers.push(watch.call(&"Oslo".to_owned())?);
    }

    let channel = grpc_threads::insecure_channel(&target)?;
    let report = channel.unary_unary::<String, u64>("/demo.Weather/Report")?;
    while report.call(&"are you there?".to_owned())? < WATCHERS as u64 {}
    let told = report.call(&"it rains".to_owned())?;
    println!("{told} watchers are told, and {} workers serve them", pool.workers());

    station.close();
    let mut heard = 0;
    for watcher in watchers {
        let last = watcher.last().ok_or_else(|| Status::data_loss("nothing was heard"))??;
        heard += usize::from(last == "it rains");
    }
    println!("{heard} watchers heard it");
    Ok(())
}
