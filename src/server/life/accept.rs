//! From a pipe that was let in to a connection that is served, and what a connection asks and tells its server.

use crate::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::core::Core;
use crate::link::{Acceptor, Admit, Link, LinkEvents, Terms};
use crate::net::Pipe;
use crate::reactor::clock;
use crate::server::dispatch::{self, Registry};
use crate::tell;
use crate::wire::headers::RequestHead;

/// Serves a connection.
pub(in crate::server) fn accept(core: &Arc<Core>, registry: &Arc<Registry>, pipe: Arc<dyn Pipe>) {
    let Some(poller) = core.poller() else { return };
    let Some(number) = core.life().expect_link() else { return };
    let acceptor = Arc::new(Connection {
        core: core.clone(),
        registry: registry.clone(),
        pipe: pipe.clone(),
        number,
        gone: AtomicBool::new(false),
    });
    match Link::server(pipe, &core.http2_of_one(), acceptor.clone(), poller) {
        Ok(link) => core.life().add_link(number, &link, &acceptor.gone, clock::now()),
        Err(error) => {
            core.life().link_failed();
            tell::warn!("the connection of {} could not be served: {error}", acceptor.pipe.peer());
        }
    }
}

/// What a link asks and tells its server.
struct Connection {
    core: Arc<Core>,
    registry: Arc<Registry>,
    /// For the log: whose connection it is.
    pipe: Arc<dyn Pipe>,
    number: u64,
    gone: AtomicBool,
}

impl LinkEvents for Connection {
    fn terms(&self) -> Arc<Terms> {
        self.core.terms().clone()
    }

    fn up(&self) {}

    fn draining(&self) {}

    fn room(&self) {}

    fn lost(&self, cause: &str) {
        self.gone.store(true, Ordering::SeqCst);
        self.core.life().remove_link(self.number);
        tell::debug!("the connection of {} is over: {cause}", self.pipe.peer());
    }
}

impl Acceptor for Connection {
    fn admit(&self, head: &RequestHead) -> Admit {
        dispatch::admit(&self.registry, self.core.calls(), head)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::MemoryPipe;
    use crate::reactor::ThreadPool;
    use crate::server::ServerOptions;
    use crate::server::life::Phase;

    /// GOAWAY frames in what a connection's client can read: the last stream of each.
    fn goaways(pipe: &MemoryPipe) -> Vec<u32> {
        let mut octets = vec![0; 1 << 16];
        let read = pipe.try_read(&mut octets).unwrap_or(0);
        let (mut rest, mut found) = (&octets[..read], Vec::new());
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if head[3] == 7 {
                found.push(u32::from_be_bytes(after[..4].try_into().unwrap()));
            }
            rest = &after[len..];
        }
        found
    }

    #[test]
    fn a_connection_that_comes_up_during_a_stop_ends_like_the_others() {
        let (pool, now) = (ThreadPool::new(1), clock::now());
        for grace in [Duration::from_secs(60), Duration::ZERO] {
            let core = Core::new(ServerOptions::default(), Terms::default(), None, Vec::new());
            core.set_poller(pool.poller().unwrap());
            let life = core.life();
            life.start().unwrap();
            let number = life.expect_link().unwrap();
            let (near, far) = MemoryPipe::pair();
            let far: Arc<dyn Pipe> = Arc::new(far);
            let acceptor = Arc::new(Connection {
                core: core.clone(),
                registry: Arc::default(),
                pipe: far.clone(),
                number,
                gone: AtomicBool::new(false),
            });
            life.stop(now, now + grace).carry_out();
            assert_eq!(life.phase(), Phase::Stopping, "one is still to come");
            let poller = core.poller().unwrap();
            let link = Link::server(far, &core.http2_of_one(), acceptor.clone(), poller).unwrap();
            life.add_link(number, &link, &acceptor.gone, now);
            if grace.is_zero() {
                assert_eq!(goaways(&near), [0]);
                assert_eq!(life.phase(), Phase::Stopped);
            } else {
                assert_eq!(goaways(&near), [0x7fff_ffff], "its calls may end");
                assert_eq!(life.phase(), Phase::Stopping);
                life.grace_over(now + grace);
                assert_eq!((goaways(&near).len(), life.phase()), (1, Phase::Stopped));
            }
            assert_eq!(life.expect_link(), None);
        }
        // One that fails is not waited for.
        let core = Core::new(ServerOptions::default(), Terms::default(), None, Vec::new());
        core.life().start().unwrap();
        core.life().expect_link().unwrap();
        core.life().stop(now, now).carry_out();
        core.life().link_failed();
        assert_eq!(core.life().phase(), Phase::Stopped);
    }
}
