//! What all parts of one server share: its options, its calls, its poller and its life.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::options::ServerOptions;
use super::phase::Life;
use crate::http2;
#[cfg(feature = "_tls")]
use crate::http2::types::Role;
use crate::link::Terms;
#[cfg(feature = "_tls")]
use crate::reactor::clock;
use crate::reactor::{Executor, Job, OnTimer, Poller};
use crate::server::dispatch::{Calls, Limits};
use crate::server::service::ServerInterceptor;

/// See the module. The server and its connections keep it alive.
pub(in crate::server) struct Core {
    options: ServerOptions,
    http2: http2::Options,
    /// What every connection begins with.
    #[cfg(feature = "_tls")]
    greeting: Arc<[u8]>,
    terms: Arc<Terms>,
    /// Methods hold these, too.
    calls: Arc<Calls>,
    /// Shared with those who wait for the end, who hold nothing else.
    life: Arc<Life>,
    this: Weak<Self>,
}

impl Core {
    pub(in crate::server) fn new(
        options: ServerOptions,
        terms: Terms,
        executor: Option<Arc<dyn Executor>>,
        interceptors: Vec<Arc<dyn ServerInterceptor>>,
    ) -> Arc<Self> {
        let http2 = options.http2();
        let terms = Arc::new(terms);
        let life = Arc::<Life>::default();
        let limits = Limits {
            receive: options.max_receive_message_size,
            send: options.max_send_message_size,
            calls: options.maximum_concurrent_rpcs,
            compression: options.compression,
        };
        let calls = Calls::new(limits, executor, interceptors, life.running().clone());
        Arc::new_cyclic(|this| Self {
            #[cfg(feature = "_tls")]
            greeting: http2::greeting(Role::Server, &http2, clock::now()).into(),
            http2,
            options,
            terms,
            calls,
            life,
            this: this.clone(),
        })
    }

    pub(in crate::server) fn options(&self) -> &ServerOptions {
        &self.options
    }

    #[cfg(feature = "_tls")]
    pub(super) fn greeting(&self) -> Arc<[u8]> {
        self.greeting.clone()
    }

    pub(super) fn http2(&self) -> &http2::Options {
        &self.http2
    }

    /// What is said of compression.
    pub(super) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    pub(in crate::server) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    pub(in crate::server) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// The poller, once the server has been started.
    pub(super) fn poller(&self) -> Option<&Arc<Poller>> {
        self.calls.poller()
    }

    /// The server is being started.
    pub(in crate::server) fn set_poller(&self, poller: Arc<Poller>) {
        self.calls.set_poller(poller);
    }

    /// Looks after the end of a grace.
    pub(in crate::server) fn expect_grace(&self, at: Option<Instant>) {
        if let (Some(at), Some(poller), Some(this)) = (at, self.poller(), self.this.upgrade()) {
            poller.timer(at, this, 0);
        }
    }
}

impl OnTimer for Core {
    /// A grace is over, perhaps.
    fn fire(&self, _tag: u64, now: Instant, _jobs: &mut Vec<Job>) {
        self.life.grace_over(now);
    }
}
