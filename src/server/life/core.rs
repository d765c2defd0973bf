//! What all parts of one server share: its options, its calls, its poller and its life.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

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
use crate::tally::next_id;

/// See the module. The server and its connections keep it alive.
pub(in crate::server) struct Core {
    options: ServerOptions,
    http2: Arc<http2::Options>,
    /// What every connection begins with.
    #[cfg(feature = "_tls")]
    greeting: Arc<[u8]>,
    terms: Arc<Terms>,
    /// Methods hold these, too.
    calls: Arc<Calls>,
    /// Shared with those who wait for the end, who hold nothing else.
    life: Arc<Life>,
    id: u64,
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
        let life = Arc::new(Life::new(options.trace_memory));
        let limits = Limits {
            receive: options.max_receive_message_size,
            send: options.max_send_message_size,
            calls: options.maximum_concurrent_rpcs,
            compression: options.compression,
        };
        let calls = Calls::new(limits, executor, interceptors, life.running().clone());
        let core = Arc::new_cyclic(|this| Self {
            #[cfg(feature = "_tls")]
            greeting: http2::greeting(Role::Server, &http2, clock::now()).into(),
            http2: http2.into(),
            options,
            terms,
            calls,
            life,
            id: next_id(),
            this: this.clone(),
        });
        core.enlist();
        core
    }

    /// Its number among all that is counted.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(in crate::server) fn options(&self) -> &ServerOptions {
        &self.options
    }

    #[cfg(feature = "_tls")]
    pub(super) fn greeting(&self) -> Arc<[u8]> {
        self.greeting.clone()
    }

    /// For one connection: not all that come together are to grow old together.
    pub(super) fn http2_of_one(&self) -> Arc<http2::Options> {
        let mut own = self.http2.clone();
        if self.http2.age.as_ref().is_some_and(|limits| limits.age.is_some()) {
            let limits = Arc::make_mut(&mut own).age.as_mut();
            if let Some(age) = limits.and_then(|limits| limits.age.as_mut()) {
                *age = about(*age, random());
            }
        }
        own
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

impl Drop for Core {
    fn drop(&mut self) {
        self.strike();
    }
}

impl OnTimer for Core {
    /// A grace is over, perhaps.
    fn fire(&self, _tag: u64, now: Instant, _jobs: &mut Vec<Job>) {
        self.life.grace_over(now);
    }
}

/// § gRFC A9: "a random jitter of +/-10% is added to MAX_CONNECTION_AGE".
fn about(time: Duration, chance: u64) -> Duration {
    let tenth = time / 10;
    let parts = u32::try_from(chance % 2_001).unwrap_or_default();
    time.saturating_sub(tenth).saturating_add((tenth / 1_000).saturating_mul(parts))
}

/// A little randomness, from std's hasher keys: no dependency, nothing secret.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a9_ages_differ_by_a_tenth_at_most() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(about(hour, 0), hour * 9 / 10);
        assert_eq!(about(hour, 1_000), hour);
        assert_eq!(about(hour, 2_000), hour * 11 / 10);
        assert!(about(Duration::MAX, 2_000) > Duration::MAX / 10 * 9, "no overflow");
        let some: std::collections::HashSet<_> = (0..100).map(|_| about(hour, random())).collect();
        assert!(some.len() > 10);
    }
}
