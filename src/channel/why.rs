//! Why there is no connection, and what is waited for, in words.

use std::time::Duration;

use crate::error::ResultError;
use crate::link::Link;
use crate::reactor::clock;
use crate::status::Status;
use crate::tell;

use super::connectivity::Connectivity;
use super::dial::cannot_connect;
use super::shared::Shared;
use super::target::Target;

/// What is said of one who lets us connect, and no more.
pub(super) const SILENT: &str =
    "takes connections and says nothing: not started, or no HTTP/2 server";

/// That calls wait for a stream is told again after this.
const TOLD_AGAIN: Duration = Duration::from_secs(10);

/// Why there is no connection to one who was connected to, and was not heard in HTTP/2. What it said instead is in `cause`;
/// one who hangs up without a word may be waiting for TLS.
pub(super) fn unspoken(target: &Target, secure: bool, cause: &str) -> String {
    match (secure, cause.starts_with("connection ")) {
        // Its name is right, and it speaks HTTP/2: what it thinks of us comes after the handshake (RFC 8446 §4.4.2.4).
        (true, _) => format!("{target} refuses the connection: {cause}"),
        (false, true) => {
            format!("no word of {target}: {cause} (not an HTTP/2 server, or one with TLS)")
        }
        (false, false) => format!("no HTTP/2 server at {target}: {cause}"),
    }
}

impl Shared {
    /// What a queued call waits for, in words.
    pub(super) fn waiting_for(&self) -> String {
        let inner = self.inner.lock();
        let target = self.settings.target.text();
        match (inner.machine.state(), inner.machine.cause()) {
            (Connectivity::Ready, _) => format!("a free stream on the connection to {target}"),
            (state, _) if inner.is_silent() => {
                format!("the first word of {target}, which is {state}: it {SILENT}")
            }
            (state, "") => format!("a connection to {target}, which is {state}"),
            (state, cause) => {
                let why = cause.strip_prefix(&cannot_connect(target)).unwrap_or(cause);
                let before =
                    if state == Connectivity::TransientFailure { ":" } else { "; last time:" };
                format!("a connection to {target}, which is {state}{before} {why}")
            }
        }
    }

    /// The link takes no more calls for now, and there are some: told to the log, but once in a while only.
    pub(super) fn tell_full(&self, link: &Link) {
        if !tell::hears_debug() {
            return;
        }
        let now = clock::now();
        let mut inner = self.inner.lock();
        let since = inner.crowded.map(|at| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < TOLD_AGAIN) {
            return;
        }
        inner.crowded = Some(now);
        let waiting = inner.queue.len();
        drop(inner);
        tell::debug!(
            "the channel to {}: calls wait for a free stream ({waiting} do), its connection to {} has as many as that takes",
            self.settings.target,
            link.peer()
        );
    }

    /// What is told to those who waited for a connection in vain.
    pub(super) fn not_ready(&self) -> ResultError {
        let text = format!("the wait timed out: there is not yet {}", self.waiting_for());
        ResultError::NotReady(Status::deadline_exceeded(text))
    }
}
