//! What a program has of channels, servers and connections, and what they have counted: as a web page, as the channelz service, and as
//! lines of OpenMetrics.
//!
//! `cargo run --example channelz` is a server, its clients and a look at all of it in one process, and ends by itself. With
//! `-- --pages 8080` it goes on until its input ends (Ctrl-D), with calls all the time: read `http://127.0.0.1:8080/`.

#![allow(clippy::disallowed_methods, reason = "a user's program starts threads")]

mod common {
    pub(crate) mod flags;
}

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::flags::Flags;
use grpc_threads::channelz::{
    ChannelzServicer, ChannelzStub, GetServerRequest, GetTopChannelsRequest, answer_page,
};
use grpc_threads::{
    Channel, Server, Service, ServicerContext, Status, ThreadPool, insecure_channel, stats,
    unary_unary_rpc_method_handler,
};

/// Threads that answer pages: each one request at a time, so one that says nothing holds up no other.
const READERS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse(
        "Shows what a program has of channels, servers and connections.",
        &[("pages", "PORT of 127.0.0.1 for the pages; goes on until the input ends (0: any)")],
    );
    let (server, target) = serve()?;
    // For people of this machine alone: pages tell whom the program talks to.
    let listener = TcpListener::bind(("127.0.0.1", flags.value("pages", 0)))?;
    let pages = listener.local_addr()?;
    for _ in 0..READERS {
        let listener = listener.try_clone()?;
        thread::spawn(move || answer(&listener));
    }
    let channel = insecure_channel(&target)?;
    calls(&channel)?;
    if flags.get("pages").is_some() {
        println!("pages on http://{pages}/");
        return until_the_input_ends(&channel);
    }
    ask(&channel, &server)?;
    print!("{}", metrics());
    println!("{}", read(pages, &format!("/channel/{}", channel.stats().id))?);
    Ok(())
}

/// A server that divides, and tells of itself.
fn serve() -> Result<(Server, String), Box<dyn Error>> {
    let divide = unary_unary_rpc_method_handler(|by: u64, _: &ServicerContext| {
        100u64.checked_div(by).ok_or_else(|| Status::invalid_argument("nothing is divided by 0"))
    });
    let server = grpc_threads::server(ThreadPool::new(4));
    server.add_service(Service::new("demo.Divider").method("Divide", divide))?;
    ChannelzServicer::new().add_to(&server)?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;
    Ok((server, format!("127.0.0.1:{port}")))
}

/// One of four fails.
fn calls(channel: &Channel) -> Result<(), Box<dyn Error>> {
    let divide = channel.unary_unary::<u64, u64>("/demo.Divider/Divide")?;
    for by in 0..4 {
        // Counted, however it ends.
        let _ = divide.call(&by);
    }
    Ok(())
}

fn until_the_input_ends(channel: &Channel) -> Result<(), Box<dyn Error>> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) && calls(channel).is_ok() {
                thread::park_timeout(Duration::from_millis(100));
            }
        });
        let ended = std::io::stdin().read_to_end(&mut Vec::new());
        over.store(true, Ordering::Relaxed);
        ended.map(drop)
    })?;
    Ok(())
}

/// Answers pages, one after the other.
fn answer(listener: &TcpListener) {
    for connection in listener.incoming().flatten() {
        if let Err(error) = answer_page(&connection) {
            eprintln!("a page was not sent: {error}");
        }
    }
}

/// Asks by channelz, as a tool would.
fn ask(channel: &Channel, server: &Server) -> Result<(), Box<dyn Error>> {
    let stub = ChannelzStub::new(channel);
    let channels = stub.get_top_channels.call(&GetTopChannelsRequest::default())?;
    for data in channels.channel.iter().filter_map(|channel| channel.data.as_ref()) {
        println!("channel to {}: {} calls started", data.target, data.calls_started);
    }
    let request = GetServerRequest { server_id: server.stats().id.try_into()? };
    let found = stub.get_server.call(&request)?.server.and_then(|server| server.data);
    let found = found.ok_or("a server without data")?;
    println!("server: {} calls well, {} not", found.calls_succeeded, found.calls_failed);
    Ok(())
}

/// What Prometheus and its like collect. Of a program that serves HTTP anyway this is one more page.
fn metrics() -> String {
    let mut lines = String::new();
    for channel in stats::channels(0, usize::MAX).items {
        let target = channel.target.replace(['\\', '"', '\n'], "_");
        for (result, count) in [("ok", channel.calls.succeeded), ("error", channel.calls.failed)] {
            lines += &format!(
                "grpc_client_calls_total{{target=\"{target}\",result=\"{result}\"}} {count}\n"
            );
        }
    }
    for server in stats::servers(0, usize::MAX).items {
        lines += &format!(
            "grpc_server_connections{{server=\"{}\"}} {}\n",
            server.id, server.connections
        );
        lines += &format!(
            "grpc_server_calls_total{{server=\"{}\"}} {}\n",
            server.id, server.calls.started
        );
    }
    lines + "# EOF\n"
}

/// A page, as a browser gets it: its text without the marks.
fn read(pages: SocketAddr, path: &str) -> Result<String, Box<dyn Error>> {
    let mut browser = TcpStream::connect(pages)?;
    write!(browser, "GET {path} HTTP/1.1\r\nHost: {pages}\r\n\r\n")?;
    let mut told = String::new();
    browser.read_to_string(&mut told)?;
    let (_, html) = told.split_once("<h1>").ok_or("no page")?;
    let parts = html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    let words: Vec<_> = parts.map(str::trim).filter(|part| !part.is_empty()).collect();
    Ok(words.join(" "))
}
