//! What ten thousand watchers of a server's health cost it: memory each, and processor time for a change and for none.
//!
//! `cargo run --release --example health_load -- [--watchers=10000]` starts itself as the server, on a pool of two workers, and
//! watches it over connections of a hundred streams each. Prints a line for each figure; they are the server process's own.

#![allow(clippy::disallowed_methods, reason = "a user's program; it measures time")]

mod common {
    pub(crate) mod flags;
}

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use common::flags::Flags;
use grpc_threads::health::{
    HealthCheckRequest, HealthCheckResponse, HealthServicer, HealthStub, ServingStatus,
};
use grpc_threads::{Responses, Status, ThreadPool, insecure_channel};

/// Streams of one connection: the server's limit, unless it says otherwise.
const EACH: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse(
        "Measures what watchers of a server's health cost it.",
        &[
            ("watchers", "how many there are; 10000 by default"),
            ("quiet", "for how many seconds nothing changes; 3 by default"),
            ("serve", "be the server: what the program starts by itself"),
            (
                "server",
                "another server's command, which prints its port and changes at each line of its input",
            ),
        ],
    );
    if flags.is_set("serve") {
        return serve();
    }
    let server = Serving::start(flags.get("server"))?;
    watch(server, flags.value("watchers", 10_000), flags.value("quiet", 3))
}

/// Each line of input is a change.
fn serve() -> Result<(), Box<dyn Error>> {
    let (health, server) = (HealthServicer::new(), grpc_threads::server(ThreadPool::new(2)));
    health.set("demo.Service", ServingStatus::Serving);
    health.add_to(&server)?;
    println!("{}", server.add_insecure_port("127.0.0.1:0")?);
    server.start()?;
    for (number, line) in std::io::stdin().lines().enumerate() {
        line?;
        let status =
            if number % 2 == 0 { ServingStatus::NotServing } else { ServingStatus::Serving };
        health.set("demo.Service", status);
    }
    Ok(())
}

fn watch(mut server: Serving, watchers: usize, quiet: u64) -> Result<(), Box<dyn Error>> {
    let request = HealthCheckRequest { service: "demo.Service".into() };
    let stubs: Vec<_> = (0..watchers.div_ceil(EACH))
        .map(|_| Ok(HealthStub::new(&insecure_channel(&format!("127.0.0.1:{}", server.port))?)))
        .collect::<Result<_, Box<dyn Error>>>()?;
    for stub in &stubs {
        stub.check.call(&request)?;
    }
    let before = server.memory()?;

    let mut watches = Vec::with_capacity(watchers);
    for number in 0..watchers {
        watches.push(stubs[number / EACH].watch.call(&request)?);
        // Reserved methods have a bound of their own: a thousand calls that no worker has begun with.
        if watches.len() % EACH == 0 {
            hear(&mut watches[number + 1 - EACH..], ServingStatus::Serving)?;
        }
    }
    hear(&mut watches[watchers - watchers % EACH..], ServingStatus::Serving)?;
    let memory = server.memory()?.saturating_sub(before);
    println!(
        "{watchers} watchers over {} connections: {} bytes each",
        stubs.len(),
        memory / watchers
    );

    for status in [ServingStatus::NotServing, ServingStatus::Serving, ServingStatus::NotServing] {
        let (used, began) = (server.processor()?, Instant::now());
        writeln!(server.input, "change")?;
        hear(&mut watches, status)?;
        let took = began.elapsed();
        let used = server.processor()?.saturating_sub(used);
        println!(
            "{status} has reached all in {took:.1?}, at {:.1?} of the server's processor time each",
            used / watchers as u32
        );
    }

    // Threads that have nothing to do any more end after a second, and take their counts along.
    std::thread::sleep(Duration::from_secs(quiet.min(2)));
    let (used, switches) = (server.processor()?, server.switches()?);
    std::thread::sleep(Duration::from_secs(quiet));
    println!(
        "{quiet} s in which nothing changes: {:?} of processor time, {} wakes of a thread",
        server.processor()?.saturating_sub(used),
        server.switches()?.saturating_sub(switches)
    );
    drop(server.input);
    server.child.wait()?;
    Ok(())
}

fn hear(
    watches: &mut [Responses<HealthCheckResponse>],
    status: ServingStatus,
) -> Result<(), Status> {
    for watch in watches {
        let told = watch.recv()?.ok_or_else(|| Status::data_loss("a watch has ended"))?;
        if told.serving_status() != status {
            return Err(Status::data_loss(format!(
                "{} instead of {status}",
                told.serving_status()
            )));
        }
    }
    Ok(())
}

struct Serving {
    child: Child,
    input: ChildStdin,
    port: u16,
}

impl Serving {
    fn start(other: Option<&str>) -> Result<Self, Box<dyn Error>> {
        let mut words = other.unwrap_or_default().split_whitespace();
        let mut command = match words.next() {
            Some(program) => Command::new(program),
            None => Command::new(std::env::current_exe()?),
        };
        let own = other.is_none().then_some("--serve");
        let command = command.args(words.chain(own)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).ok_or("no pipes")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self { port: line.trim().parse()?, child, input })
    }

    fn file(&self, name: &str) -> std::io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id()))
    }

    /// What it has in memory, in bytes.
    fn memory(&self) -> Result<usize, Box<dyn Error>> {
        let pages: usize = self.file("statm")?.split(' ').nth(1).ok_or("no statm")?.parse()?;
        Ok(pages * 4096)
    }

    /// The processor time that it has used.
    fn processor(&self) -> Result<Duration, Box<dyn Error>> {
        let mut used = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
            used += stat.split(' ').next().ok_or("no schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(used))
    }

    /// How often its threads have gone to sleep.
    fn switches(&self) -> Result<u64, Box<dyn Error>> {
        let mut all = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            all += line.ok_or("no status")?.trim().parse::<u64>()?;
        }
        Ok(all)
    }
}
