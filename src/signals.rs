//! A server's end by a signal: [`graceful_exit`], in the two stages of grpclib.
//!
//! Signals are taken where no code runs in between: they are blocked, and one thread of the library reads them from a descriptor
//! (signalfd(2)), so what is done about them may lock and send. Owns that thread and the mask of the thread that asks. Ignores what a
//! server's stop is. Locks: none.
//!
//! § grpclib, `grpclib.utils.graceful_exit`; signal(7).

use std::fmt;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::reactor::{Waiter, clock, helper};
use crate::server::Stopper;
use crate::sync::thread::{ThreadId, current};
use crate::tell;
use crate::{ConfigError, ConfigErrorKind, Server};

/// SIGINT (Ctrl-C) and SIGTERM (what `kill`, systemd and Kubernetes send) end these servers in good order, from here on until what is given
/// back is dropped.
///
/// - The first signal stops them ([`Server::stop`]) with `grace`; health is told by it
///   ([`HealthServicer::add_to`](crate::health::HealthServicer::add_to)). The program goes on: it waits for its servers and returns from
///   `main`, with the status 0 or whichever it likes.
/// - The next one ends the process at once, with 128 + its number: 130 for SIGINT, 143 for SIGTERM.
/// - Where the first comes before one of the servers was started, it ends the process in the same way, so that none starts afterwards.
///
/// Call it at the beginning of `main`, before there are other threads, and keep what it gives: a signal goes to any thread that does not block it,
/// and would end the process there. The library's own threads block all; threads that are started later inherit it, and so do programs: see
/// [the crate's page](crate#where-your-code-runs).
///
/// ```no_run
/// use std::time::Duration;
/// use grpc_threads::{ThreadPool, graceful_exit};
///
/// fn main() -> Result<(), grpc_threads::Status> {
///     let server = grpc_threads::server(ThreadPool::new(8));
///     let _exit = graceful_exit(&[&server], Duration::from_secs(20))?;
///     server.add_insecure_port("[::]:50051")?;
///     server.start()?;
///     server.wait_for_termination(None);
///     Ok(())
/// }
/// ```
///
/// A process of Kubernetes' is ended by force 30 s after SIGTERM, unless its pod says otherwise: the grace is to be shorter.
///
/// # Errors
/// There is a thread that does not block them, which is named; or no thread or descriptor can be had.
pub fn graceful_exit(
    servers: &[&Server],
    grace: impl Into<Option<Duration>>,
) -> Result<GracefulExit, ConfigError> {
    graceful_exit_on(servers, grace, &[Signal::SIGINT as i32, Signal::SIGTERM as i32])
}

/// [`graceful_exit`], on other signals, by their numbers: 1 is SIGHUP, 2 SIGINT, 3 SIGQUIT, 15 SIGTERM.
///
/// # Errors
/// As there; and a number that is no signal, or one that cannot be taken, such as SIGKILL.
pub fn graceful_exit_on(
    servers: &[&Server],
    grace: impl Into<Option<Duration>>,
    signals: &[i32],
) -> Result<GracefulExit, ConfigError> {
    let mut taken = SigSet::empty();
    for number in signals {
        taken.add(takeable(*number)?);
    }
    let before = taken
        .thread_swap_mask(SigmaskHow::SIG_BLOCK)
        .map_err(|error| wrong(format!("the signals could not be blocked: {error}")))?;
    // Dropped where something is wrong with the rest: as if nothing had been.
    let mut exit = GracefulExit { end: None, before, thread: current().id() };
    if let Some(thread) = who_takes(&taken) {
        let text = format!(
            "the thread {thread} takes the signals: graceful_exit comes before other threads are started"
        );
        return Err(wrong(text));
    }
    let failed =
        |error: std::io::Error| wrong(format!("the signals could not be waited for: {error}"));
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let source = SignalFd::with_flags(&taken, flags).map_err(|error| failed(error.into()))?;
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let end = Arc::new(eventfd(0, flags).map_err(|error| failed(error.into()))?);
    let taker = Taker {
        source,
        end: end.clone(),
        servers: servers.iter().map(|server| server.stopper()).collect(),
        grace: grace.into(),
    };
    helper::spawn("signals", Box::new(move || taker.serve()))
        .map_err(|(error, _)| failed(error))?;
    exit.end = Some(end);
    Ok(exit)
}

/// While it is there, signals end its servers: see [`graceful_exit`]. Once it is dropped they do what they did before; one that came in between and was not
/// taken does so then.
#[must_use = "signals do what they did before as soon as it is dropped"]
pub struct GracefulExit {
    /// Ends the thread.
    end: Option<Arc<OwnedFd>>,
    before: SigSet,
    /// Whose mask that is.
    thread: ThreadId,
}

impl Drop for GracefulExit {
    fn drop(&mut self) {
        if let Some(end) = &self.end {
            // It cannot fail: it is written to once.
            let _ = rustix::io::write(end, &1_u64.to_ne_bytes());
        }
        if current().id() == self.thread {
            let _ = self.before.thread_set_mask();
        }
    }
}

impl fmt::Debug for GracefulExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GracefulExit").finish_non_exhaustive()
    }
}

/// What the thread has.
struct Taker {
    source: SignalFd,
    end: Arc<OwnedFd>,
    servers: Vec<Stopper>,
    grace: Option<Duration>,
}

impl Taker {
    fn serve(&self) {
        let mut told = false;
        while let Some(signal) = self.next() {
            if told || !self.stop(signal) {
                // § grpclib: 128 and the signal's number, as a shell says it of a process that a signal has ended.
                process::exit(128 + signal);
            }
            told = true;
        }
    }

    /// The first stage. False: one of them was not started, and none is to be.
    fn stop(&self, signal: i32) -> bool {
        let grace = self.grace.unwrap_or_default();
        tell::debug!(
            "signal {signal}: {} servers stop, with a grace of {grace:?}",
            self.servers.len()
        );
        let running: Vec<_> = self.servers.iter().map(|server| server.stop(self.grace)).collect();
        running.into_iter().all(|running| running)
    }

    /// The next signal; `None`: nobody wants it any more.
    fn next(&self) -> Option<i32> {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.source.as_fd(), PollFlags::IN),
                PollFd::new(&*self.end, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tell::error!("signals are taken no more: {error}");
                    return None;
                }
            }
            if !fds[1].revents().is_empty() {
                return None;
            }
            if let Ok(Some(info)) = self.source.read_signal() {
                return i32::try_from(info.ssi_signo).ok();
            }
        }
    }
}

fn takeable(number: i32) -> Result<Signal, ConfigError> {
    let signal = Signal::try_from(number).map_err(|_| wrong(format!("{number} is no signal")))?;
    let never = [Signal::SIGKILL, Signal::SIGSTOP];
    // What a thread's own fault raises is not waited for.
    let faults = [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL];
    if never.contains(&signal) || faults.contains(&signal) {
        return Err(wrong(format!("{} cannot be taken", signal.as_str())));
    }
    Ok(signal)
}

/// The name of a thread that does not block all of these.
fn who_takes(signals: &SigSet) -> Option<String> {
    let wanted = signals.iter().fold(0_u64, |mask, signal| mask | 1 << (signal as i32 - 1));
    for _ in 0..LOOKS {
        match look_at_threads(wanted) {
            Threads::Block => return None,
            Threads::Take(name) => return Some(name),
            Threads::Begin => {
                // Nobody gives its permit.
                Waiter::default().park(Some(clock::now() + MOMENT));
            }
        }
    }
    None
}

/// A thread that begins blocks all signals, and soon has its parent's mask instead. After so many looks it is one that
/// blocks them itself.
const LOOKS: usize = 50;
const MOMENT: Duration = Duration::from_millis(1);

/// What no thread can block, and what the library of C keeps for itself.
const NEVER: u64 = 1 << (9 - 1) | 1 << (19 - 1) | 1 << (32 - 1) | 1 << (33 - 1);

/// What the threads of the process do with some signals.
enum Threads {
    /// They block them.
    Block,
    /// One blocks all there are: what it will do is not known yet.
    Begin,
    /// One of this name does not block them.
    Take(String),
}

fn look_at_threads(wanted: u64) -> Threads {
    let mut seen = Threads::Block;
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return seen };
    for thread in threads.flatten() {
        // It may have ended since.
        let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
        let line =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        match line("SigBlk:").and_then(|mask| u64::from_str_radix(mask, 16).ok()) {
            Some(blocked) if blocked & wanted != wanted => {
                return Threads::Take(format!("{:?}", line("Name:").unwrap_or("?")));
            }
            Some(blocked) if blocked | NEVER == u64::MAX => seen = Threads::Begin,
            _ => {}
        }
    }
    seen
}

fn wrong(text: String) -> ConfigError {
    ConfigError::new(ConfigErrorKind::State, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_program_can_wait_for_is_taken() {
        for (number, name) in
            [(1, "SIGHUP"), (2, "SIGINT"), (3, "SIGQUIT"), (10, "SIGUSR1"), (15, "SIGTERM")]
        {
            assert_eq!(takeable(number).unwrap().as_str(), name);
        }
        for number in [9, 19, 11, 7, 0, -1, 65, i32::MAX] {
            let error = takeable(number).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::State, "{error}");
        }
    }
}
