//! The clock that tests advance: [`Clock`].

use std::fmt;
use std::time::{Duration, Instant};

use crate::reactor::{clock, leap};
use crate::sync::{Condvar, Mutex, process_wide};

process_wide! {
    /// Guards whether somebody has the clock. Held for a look only.
    static TAKEN: Mutex<bool> = Mutex::new(false);
    static GIVEN_BACK: Condvar = Condvar::new();
}

/// The library's clock, in the hands of a test: an hour's deadline passes in no time.
///
/// ```standalone_crate
/// use std::time::Duration;
/// use grpc_threads::{Code, Service, ServicerContext, Status, testing, unary_unary_rpc_method_handler};
///
/// let clock = testing::Clock::take();
/// let never = unary_unary_rpc_method_handler(|_: (), context: &ServicerContext| {
///     while context.is_active() {
///         std::thread::yield_now();
///     }
///     Ok::<(), Status>(())
/// });
/// let pair = testing::pair(Service::new("demo.Slow").method("Wait", never))?;
/// pair.channel().wait_ready(None)?;
/// let wait = pair.channel().unary_unary::<(), ()>("/demo.Slow/Wait")?;
/// let mut call = wait.timeout(Duration::from_secs(3600)).future(&());
/// clock.advance(Duration::from_secs(3600));
/// let status = Status::from(call.result(None).unwrap_err());
/// assert_eq!(status.code(), Code::DeadlineExceeded);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// All that the library does by time goes by this clock, over sockets as in memory: deadlines on both sides, the grace of a stop
/// and of [`close_within`](crate::Channel::close_within), keepalive, the pause between attempts to connect and the time that one
/// may take, idle and old connections, stalled peers, checks of health, the life of certificates in memory.
///
/// It goes on by itself, as the system's does, and is ahead of that by what it was advanced. It never goes back: what it was
/// advanced it stays when this is dropped. So nothing depends on how fast the machine is: choose times that are long, and
/// advance by them.
///
/// **It is the process's.** There is one at a time; [`take`](Self::take) waits for the other. But a test that does not ask for it, and
/// runs in the same process meanwhile, sees its own deadlines pass. Put tests that take it into a program of their own (a
/// file of `tests/`), where all take it.
pub struct Clock(());

impl Clock {
    /// Takes the clock. Waits, however long it takes, until another that was taken in this process has been dropped.
    #[must_use]
    pub fn take() -> Self {
        let mut taken = TAKEN.lock();
        while *taken {
            GIVEN_BACK.wait(&mut taken);
        }
        *taken = true;
        Self(())
    }

    /// Advances the clock at one stroke. Returns when every timer of the library has fired that is due by then: each once, as after
    /// a sleep of the machine. What follows from that on other threads (a call that ends, a ping on its way) may still be under
    /// way; wait for it as for anything, such as by the call's result. For what comes in stages, a ping and then the end of
    /// the wait for its answer, advance in stages.
    ///
    /// An answer to a ping that is on its way is waited for before, for a tenth of a second of real time at most: so a peer that lives is not
    /// taken for dead, and one that does not costs each stroke so much.
    ///
    /// A connection that is being made counts it, too, of the 20 s that it may take: wait with
    /// [`wait_ready`](crate::Channel::wait_ready), or for a handler that was called, before the first stroke.
    ///
    /// A wait with a timeout of its own, such as `result(timeout)`, may end by it, too: where one thread advances, let the others wait
    /// without one.
    ///
    /// Waits for the threads that serve connections, which wait for nobody. Not to be called by a logger or a task's waker, which they may run.
    /// Together a clock goes a hundred years, and no further.
    pub fn advance(&self, by: Duration) {
        leap::leap(by);
    }

    /// Now. What [`CallOptions::deadline`](crate::CallOptions::deadline) is told where there is a clock of this kind: `Instant::now()` is
    /// behind it.
    #[must_use]
    pub fn now(&self) -> Instant {
        clock::now()
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        *TAKEN.lock() = false;
        GIVEN_BACK.notify_one();
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish()
    }
}
