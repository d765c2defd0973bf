//! Networks that do what networks do: [`Faults`].

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Channel, ChannelBuilder};
use crate::error::ConfigError;
use crate::net::{Flow, Meddler, MemoryPipe, Rules};
use crate::server::Server;
use crate::sync::Mutex;

use super::dial::InMemory;

/// What happens to the octets between a channel and its server in memory; to be changed at any time, from any thread.
///
/// ```
/// use grpc_threads::{Code, Service, ServicerContext, testing, unary_unary_rpc_method_handler};
///
/// let echo = unary_unary_rpc_method_handler(|text: String, _: &ServicerContext| Ok(text));
/// let faults = testing::Faults::new();
/// let pair = testing::Pair::builder()
///     .service(Service::new("demo.Echo").method("Say", echo))
///     .faults(&faults)
///     .start()?;
/// let say = pair.channel().unary_unary::<String, String>("/demo.Echo/Say")?;
/// assert_eq!(say.call(&"hello".to_owned())?, "hello");
///
/// // The answer is on its way, and the connection is gone in the middle of it.
/// faults.to_client().cut_after(5);
/// assert_eq!(say.call(&"hello".to_owned()).unwrap_err().code(), Code::Unavailable);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Cheap to clone; all clones are one. It may be given to several channels, and then holds for the connections of all of them, those
/// that are there and those that come. Without rules octets arrive as ever. No method waits.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Of what comes in at the client's end, and at the server's.
    rules: [Rules; 2],
    /// For the next connection, where there was none to be cut.
    cuts: [Option<usize>; 2],
    connections: Vec<Meddler>,
}

/// One direction of [`Faults`].
#[derive(Clone, Debug)]
pub struct Way {
    faults: Faults,
    side: usize,
}

impl Faults {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the client sends.
    #[must_use]
    pub fn to_server(&self) -> Way {
        Way { faults: self.clone(), side: 1 }
    }

    /// What the server sends.
    #[must_use]
    pub fn to_client(&self) -> Way {
        Way { faults: self.clone(), side: 0 }
    }

    /// Resets the connections that there are: what had not arrived is lost. Both sides find it out as soon as
    /// their threads come to it: a call made before that goes to the old connection, and ends with `UNAVAILABLE`. So a test waits until
    /// the channel has left `READY`, or repeats such a call. The channel makes the next connection for its next call.
    pub fn reset(&self) {
        let all = std::mem::take(&mut self.0.lock().connections);
        all.iter().for_each(Meddler::reset);
    }

    /// As [`testing::connect`](super::connect), through these faults.
    ///
    /// # Errors
    /// As there.
    pub fn connect(
        &self,
        server: &Server,
        builder: ChannelBuilder,
    ) -> Result<Channel, ConfigError> {
        let dial = InMemory { door: server.door(), faults: Some(self.clone()) };
        builder.connect_in_memory(Box::new(dial))
    }

    /// Two ends that these hold for.
    pub(super) fn pipes(&self) -> (MemoryPipe, MemoryPipe) {
        let mut state = self.0.lock();
        let flow = |side: usize| (state.rules[side], state.cuts[side]);
        let flows = [flow(0), flow(1)].map(|(rules, cut)| Flow::new(rules, cut));
        state.cuts = [None; 2];
        let (near, far) = MemoryPipe::pair_through(flows);
        state.connections.push(near.meddler());
        (near, far)
    }

    /// Changes the rules of one side. The lock is held over the connections', which are leaves, or an older rule could come
    /// after a newer.
    fn change(&self, side: usize, change: impl Fn(&mut Rules)) {
        let mut state = self.0.lock();
        change(&mut state.rules[side]);
        let rules = state.rules[side];
        state.connections.retain(|one| one.change(side, |flow| flow.rules = rules));
    }
}

impl Way {
    /// Octets that are sent from now on arrive so much later, by the library's clock (which a [`Clock`](super::Clock) advances), in
    /// their order. Zero, the default, is at once, or with those that are late already.
    pub fn delay(&self, time: Duration) {
        self.faults.change(self.side, |rules| rules.delay = time);
    }

    /// Nothing arrives from now on, not even the end of the connection, as where a firewall has forgotten it. What is sent waits;
    /// 256 KiB of it, and then the sender waits, too.
    pub fn stall(&self) {
        self.faults.change(self.side, |rules| rules.stalled = true);
    }

    /// Undoes [`stall`](Self::stall): what waits arrives.
    pub fn resume(&self) {
        self.faults.change(self.side, |rules| rules.stalled = false);
    }

    /// After so many octets more the connection is reset: these arrive, and nothing behind them, either way. Once, on the connections that
    /// there are; where there is none, on the next one.
    pub fn cut_after(&self, octets: usize) {
        let mut state = self.faults.0.lock();
        state.connections.retain(|one| one.change(self.side, |flow| flow.cut = Some(octets)));
        if state.connections.is_empty() {
            state.cuts[self.side] = Some(octets);
        }
    }

    /// A read gives so many octets at most; 0 counts as 1. `None`, the default: as many as there are.
    pub fn reads_of(&self, most: impl Into<Option<usize>>) {
        let most = most.into();
        self.faults.change(self.side, |rules| rules.read_most = most);
    }

    /// A write takes so many octets at most; 0 counts as 1. `None`, the default: as many as fit.
    pub fn writes_of(&self, most: impl Into<Option<usize>>) {
        let most = most.into();
        self.faults.change(self.side, |rules| rules.write_most = most);
    }
}
