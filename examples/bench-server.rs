//! The server of the load programs: `bench.Bench`, until it is killed.
//!
//! `cargo run --release --example bench-server -- --addr 127.0.0.1:50051`

mod common {
    pub(crate) mod bench;
    pub(crate) mod flags;
    pub(crate) mod secure;
}

use std::error::Error;
use std::iter::repeat_with;
use std::time::Duration;

use common::bench::{Bench, BenchServer, Payload, StreamReq, Summary, payload};
use common::flags::{Flags, fail};
use common::secure;
use grpc_threads::{RequestIterator, Server, ServerOptions, ServicerContext, Status, ThreadPool};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let flags = Flags::parse(
        "Serves bench.Bench.",
        &[
            ("addr", "HOST:PORT to listen on (127.0.0.1:50051)"),
            ("tls", "CERTIFICATE KEY: PEM files to listen with TLS, if built with --features tls"),
            ("workers", "threads that run handlers (16: one for each stream that is held at once)"),
            ("busy-poll", "microseconds to poll for input before sleeping (0)"),
        ],
    );
    let busy_poll = Duration::from_micros(flags.value("busy-poll", 0));
    let server = Server::builder()
        .thread_pool(ThreadPool::new(flags.value("workers", 16)))
        .options(ServerOptions::default().busy_poll(busy_poll))
        .build()?;
    server.add_service(BenchServer::new(Load))?;
    let address = flags.get("addr").unwrap_or("127.0.0.1:50051");
    match flags.get("tls") {
        None => server.add_insecure_port(address)?,
        Some(files) => {
            let files = files.split_once(' ').unwrap_or_else(|| fail("--tls CERTIFICATE KEY"));
            secure::listen(&server, address, files)?
        }
    };
    payload(0, 0); // the pattern is made before the first call
    server.start()?;
    server.wait_for_termination(None);
    Ok(())
}

struct Load;

impl Bench for Load {
    fn unary(&self, request: Payload, _: &ServicerContext) -> Result<Payload, Status> {
        Ok(payload(request.reply_size as usize, 0))
    }

    fn server_stream(
        &self,
        request: StreamReq,
        _: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<Payload, Status>>, Status> {
        Ok(repeat_with(move || Ok(payload(request.size as usize, 0))).take(request.count as usize))
    }

    fn client_stream(
        &self,
        requests: RequestIterator<Payload>,
        _: &ServicerContext,
    ) -> Result<Summary, Status> {
        let mut summary = Summary::default();
        for request in requests {
            summary.count += 1;
            summary.bytes += request?.body.len() as u64;
        }
        Ok(summary)
    }

    fn bidi(
        &self,
        requests: RequestIterator<Payload>,
        _: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<Payload, Status>>, Status> {
        Ok(requests.map(|request| Ok(payload(request?.reply_size as usize, 0))))
    }
}
