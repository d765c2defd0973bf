//! The kinds of load. What completes while it is measured counts.

use std::cell::Cell;
use std::error::Error;
use std::thread::sleep;
use std::time::{Duration, Instant};

use grpc_threads::Channel;

use crate::Options;
use crate::bench::{BenchStub, Payload, StreamReq, Summary, payload};
use crate::kit::{Phase, Stats};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// One thread's work and what came of it.
pub(crate) struct Caller<'a> {
    options: &'a Options,
    phase: &'a Phase,
    stub: BenchStub,
    pub(crate) stats: Stats,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(options: &'a Options, phase: &'a Phase, channel: &'a Channel) -> Self {
        Caller { options, phase, stub: BenchStub::new(channel), stats: Stats::default() }
    }

    /// One call after the other.
    pub(crate) fn unary(&mut self) -> Outcome {
        let unary = self.stub.unary.clone();
        let request = payload(self.options.req, self.options.resp);
        self.repeat(|options| check(&unary.call(&request)?, options.resp))
    }

    /// A new channel for each call.
    pub(crate) fn connect(&mut self) -> Outcome {
        self.repeat(|options| {
            let channel = options.connect()?;
            prove(&channel, options)?;
            channel.close();
            Ok(())
        })
    }

    /// Whole streams of responses.
    pub(crate) fn server_stream(&mut self) -> Outcome {
        let Options { count, resp, .. } = *self.options;
        let server_stream = self.stub.server_stream.clone();
        let request = StreamReq { count: u32::try_from(count)?, size: u32::try_from(resp)? };
        while !self.phase.stopped() {
            let start = Instant::now();
            let mut received = 0;
            for message in server_stream.call(&request)? {
                check(&message?, resp)?;
                received += 1;
                if self.phase.measuring() {
                    self.stats.msgs += 1;
                    self.stats.bytes += resp as u64;
                } else if self.phase.stopped() {
                    return Ok(());
                }
            }
            if received != count {
                return Err(format!("a stream of {received} messages").into());
            }
            self.completed(start);
        }
        Ok(())
    }

    /// Whole streams of requests.
    pub(crate) fn client_stream(&mut self) -> Outcome {
        let Options { count, req, .. } = *self.options;
        let client_stream = self.stub.client_stream.clone();
        let (phase, measured) = (self.phase, Cell::new(0));
        while !phase.stopped() {
            let start = Instant::now();
            let sent = Cell::new(0);
            let requests = (0..count).take_while(|_| !phase.stopped()).map(|_| {
                sent.set(sent.get() + 1);
                measured.set(measured.get() + u64::from(phase.measuring()));
                payload(req, 0)
            });
            let summary = client_stream.call(requests)?;
            if summary.count != sent.get() || summary.bytes != sent.get() * req as u64 {
                let Summary { count, bytes } = summary;
                return Err(format!("{count} messages of {bytes} bytes came to the server").into());
            }
            self.completed(start);
        }
        self.stats.msgs = measured.get();
        self.stats.bytes = measured.get() * req as u64;
        Ok(())
    }

    /// A message and its answer, over and over, on one stream.
    pub(crate) fn bidi_pingpong(&mut self) -> Outcome {
        let Options { req, resp, .. } = *self.options;
        let mut stream = self.stub.bidi.open();
        let request = payload(req, resp);
        self.stats.rpcs = 1;
        while !self.phase.stopped() {
            let start = Instant::now();
            stream.send(&request)?;
            check(&stream.recv()?.ok_or("the stream has ended early")?, resp)?;
            if self.phase.measuring() {
                self.stats.latency.add(start.elapsed());
                self.stats.msgs += 1;
                self.stats.bytes += (req + resp) as u64;
            }
        }
        stream.done_writing()?;
        match stream.recv()? {
            None => Ok(()),
            Some(_) => Err("a message too many".into()),
        }
    }

    /// Calls of which each is an `rpc`; after a failure it tries again.
    fn repeat(&mut self, mut call: impl FnMut(&Options) -> Outcome) -> Outcome {
        while !self.phase.stopped() {
            let start = Instant::now();
            match call(self.options) {
                Ok(()) => self.completed(start),
                Err(error) => {
                    self.stats.error(error);
                    sleep(Duration::from_millis(10));
                }
            }
        }
        self.stats.msgs = self.stats.rpcs;
        self.stats.bytes = self.stats.rpcs * (self.options.req + self.options.resp) as u64;
        Ok(())
    }

    #[inline]
    fn completed(&mut self, start: Instant) {
        if self.phase.measuring() {
            self.stats.latency.add(start.elapsed());
            self.stats.rpcs += 1;
        }
    }
}

/// One call, to see that the channel is connected.
pub(crate) fn prove(channel: &Channel, options: &Options) -> Outcome {
    check(&BenchStub::new(channel).unary.call(&payload(options.req, options.resp))?, options.resp)
}

#[inline]
fn check(reply: &Payload, size: usize) -> Outcome {
    if reply.body.len() == size {
        Ok(())
    } else {
        Err(format!("a reply of {} bytes in place of {size}", reply.body.len()).into())
    }
}
