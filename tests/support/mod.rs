//! What the integration tests stand on: a peer that writes HTTP/2 by hand, a proxy that breaks connections at a given
//! byte, a service to call, and a look at the process's threads and descriptors.
//!
//! Nothing here uses the library's own HTTP/2 or HPACK: a mistake in them must not be able to hide here.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

pub mod dice;
pub mod frames;
pub mod hpack;
pub mod leaks;
pub mod logged;
pub mod proxy;

use std::sync::{Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes, however busy the machine is; shorter than anybody's patience.
pub const LONG: Duration = Duration::from_secs(20);

/// Runs `body` on a thread of its own, and fails when it has not ended after `limit`: a test of something that used to
/// hang must end even when it hangs again.
pub fn within<T: Send + 'static>(limit: Duration, body: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let thread = thread::Builder::new().name("within".into()).spawn(move || done.send(body()));
    let thread = thread.expect("a test can start a thread");
    match result.recv_timeout(limit) {
        Ok(value) => {
            thread.join().expect("the body has ended").expect("the result was received");
            value
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still not done after {limit:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("a body that ends sends"),
        },
    }
}

/// Waits until `condition` holds; fails after `limit`, saying `what`.
pub fn eventually(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Tests that look at the whole process (threads, descriptors) or at the clock run one at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How long `body` took, and what it gave.
pub fn timed<T>(body: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = body();
    (start.elapsed(), value)
}

/// Bytes of which each says where it is, so that a lost, doubled or moved piece is seen.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}
