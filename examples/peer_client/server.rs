//! The server's process.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A server that was started here; it does not outlive this.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) command: Vec<String>,
    process: Child,
}

impl Server {
    pub(crate) fn start(command: &[String]) -> Result<Self, Box<dyn Error>> {
        Self::start_with(command, 0, &[])
    }

    /// A server of the same kind, at this port.
    pub(crate) fn again(&self, port: u16, flags: &[&str]) -> Result<Self, Box<dyn Error>> {
        Self::start_with(&self.command, port, flags)
    }

    fn start_with(command: &[String], port: u16, flags: &[&str]) -> Result<Self, Box<dyn Error>> {
        let (program, rest) =
            command.split_first().ok_or("usage: peer_client SERVER-COMMAND...")?;
        let mut process = Command::new(program)
            .args(rest)
            .arg(format!("--port={port}"))
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let mut server = Self { port: 0, command: command.to_vec(), process };
        let port = line.trim_end().strip_prefix("listening on 127.0.0.1:");
        server.port = port.ok_or_else(|| format!("the server said {line:?}"))?.parse()?;
        Ok(server)
    }

    pub(crate) fn kill(&mut self) {
        // Errors mean that it is gone already.
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }

    /// Ends its input and waits until it has ended in order.
    pub(crate) fn stop(&mut self) -> Result<(), Box<dyn Error>> {
        drop(self.process.stdin.take());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            match self.process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(format!("the stopped server ended with {status}").into());
                }
                None => sleep(Duration::from_millis(5)),
            }
        }
        Err("the server does not stop".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
