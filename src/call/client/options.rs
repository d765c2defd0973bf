//! What can be said about one call: [`CallOptions`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Auth, Family, Parent};
use crate::compression::Compression;
use crate::credentials::CallCredentials;
use crate::deadline::Deadline;
use crate::error::ConfigError;
use crate::metadata::Metadata;

/// Options of one call, or of all calls that share the value.
///
/// The four multi-callables have these methods too: each gives a copy with one option
/// changed, so that `say_hello.timeout(d).call(&request)` reads in one line. A
/// `CallOptions` is for options that many calls share.
///
/// ```
/// use std::time::Duration;
/// use grpc_threads::CallOptions;
///
/// let patient = CallOptions::new().timeout(Duration::from_secs(30)).wait_for_ready(true);
/// let traced = patient.header("trace-id", "4711")?;
/// assert_eq!(traced.get_metadata().get("trace-id"), Some("4711"));
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    /// What others have said of the two does not count.
    unbounded: bool,
    metadata: Metadata,
    wait_for_ready: Option<bool>,
    retry_refused: Option<bool>,
    max_receive: Option<usize>,
    max_send: Option<usize>,
    compression: Option<Compression>,
    credentials: Option<CallCredentials>,
    /// In a multi-callable: what its calls prove, to whom. With the channel's credentials.
    auth: Option<Arc<Auth>>,
    /// The deadline is that of a timeout whose call has begun.
    timed: bool,
    /// The call on whose behalf these are made.
    parent: Option<Parent>,
}

impl CallOptions {
    /// Nothing said: no deadline, no metadata, fail fast, the channel's limits.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            timeout: None,
            deadline: None,
            unbounded: false,
            metadata: Metadata::new(),
            wait_for_ready: None,
            retry_refused: None,
            max_receive: None,
            max_send: None,
            compression: None,
            credentials: None,
            auth: None,
            timed: false,
            parent: None,
        }
    }

    /// The call ends with `DEADLINE_EXCEEDED` when it has not ended `timeout` after it
    /// began. Zero has always passed; a huge value is no deadline. Default: none.
    #[must_use]
    pub fn timeout(&self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self.clone() }
    }

    /// Like [`timeout`](Self::timeout) with a point in time; of both, the earlier one counts. Default: none.
    #[must_use]
    pub fn deadline(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// The call has no deadline: neither [`timeout`](Self::timeout) nor [`deadline`](Self::deadline) said before counts, here
    /// or in the options that these are put over, such as those of a stub. What is said after it does. For one call that
    /// may take its time where all others may not: nothing but its status, a cancel or the loss of the connection ends it.
    #[must_use]
    pub fn no_timeout(&self) -> Self {
        Self { timeout: None, deadline: None, unbounded: true, ..self.clone() }
    }

    /// Sends this metadata with the call, after what was added before.
    #[must_use]
    pub fn metadata(&self, metadata: &Metadata) -> Self {
        let mut changed = self.clone();
        changed.metadata.extend(metadata);
        changed
    }

    /// Sends one more text entry.
    ///
    /// # Errors
    /// As [`Metadata::append`]: when the key or the value cannot be sent.
    pub fn header(&self, key: &str, value: &str) -> Result<Self, ConfigError> {
        let mut changed = self.clone();
        changed.metadata.append(key, value)?;
        Ok(changed)
    }

    /// Sends one more entry of bytes; the key ends in `-bin`.
    ///
    /// # Errors
    /// As [`Metadata::append_bin`]: when the key cannot be sent.
    pub fn header_bin(&self, key: &str, value: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let mut changed = self.clone();
        changed.metadata.append_bin(key, value)?;
        Ok(changed)
    }

    /// True: while there is no connection the call waits for one, until its deadline.
    /// False, the default: it fails with `UNAVAILABLE` as soon as an attempt to connect has failed.
    #[must_use]
    pub fn wait_for_ready(&self, wait: bool) -> Self {
        Self { wait_for_ready: Some(wait), ..self.clone() }
    }

    /// True: a call that the server refuses is made once more, at once and unseen. False: it ends with `UNAVAILABLE`,
    /// and the caller decides. Default: the channel's, true.
    ///
    /// A server refuses a call with `RST_STREAM(REFUSED_STREAM)`, and promises with it that it has done nothing (RFC 9113
    /// §8.7, gRFC A6). **Proxies may break that promise**: haproxy passes on as `REFUSED_STREAM` whatever reset its server
    /// sent before the response headers, and says the same when the server crashed in the middle of the
    /// call. Behind such a proxy a call may run twice: turn this off for methods that must not. Calls that
    /// a `GOAWAY` says were never looked at are made again in any case: that is safe behind proxies, too.
    #[must_use]
    pub fn retry_refused(&self, retry: bool) -> Self {
        Self { retry_refused: Some(retry), ..self.clone() }
    }

    /// The longest message that is accepted, in bytes, both as it comes and once it is decompressed; a longer one ends the call
    /// with `RESOURCE_EXHAUSTED`; 0 admits empty ones alone. Bounds the memory of one message. Default: the channel's, 4 MiB.
    #[must_use]
    pub fn max_receive_message_size(&self, bytes: usize) -> Self {
        Self { max_receive: Some(bytes), ..self.clone() }
    }

    /// The longest message that is sent, in bytes, as it is before it is compressed; a longer one ends the call with
    /// `RESOURCE_EXHAUSTED` before anything of it is sent; 0 lets empty ones out alone. Default: the channel's, no limit.
    #[must_use]
    pub fn max_send_message_size(&self, bytes: usize) -> Self {
        Self { max_send: Some(bytes), ..self.clone() }
    }

    /// What the call's requests are compressed by; [`Compression::None`]: not at all, whatever the channel does. Default: the
    /// channel's, none. [`Compression`] says when a request goes out as it is all the same, and when not to compress. With a
    /// [`Compression::Custom`] that the channel has no compressor for, the call ends with `INTERNAL` before anything is sent.
    ///
    /// A server that does not take the encoding ends the call with `UNIMPLEMENTED`. It is not made again; where the server has
    /// said what it takes, and this is not among it, later calls of the channel go on plain.
    #[must_use]
    pub fn compression(&self, compression: Compression) -> Self {
        Self { compression: Some(compression), ..self.clone() }
    }

    /// What the call proves to the server, in place of credentials said before; a channel's own are sent in front of them.
    /// Over an insecure channel the call ends with `UNAUTHENTICATED`, before anything is sent. Default: none.
    #[must_use]
    pub fn credentials(&self, credentials: &CallCredentials) -> Self {
        Self { credentials: Some(credentials.clone()), ..self.clone() }
    }

    /// These options, with what `over` says in front: its metadata comes after ours.
    #[must_use]
    pub fn merge(&self, over: &Self) -> Self {
        let mut metadata = self.metadata.clone();
        metadata.extend(&over.metadata);
        let limits = if over.unbounded { (None, None) } else { (self.timeout, self.deadline) };
        Self {
            timeout: over.timeout.or(limits.0),
            deadline: over.deadline.or(limits.1),
            unbounded: self.unbounded || over.unbounded,
            metadata,
            wait_for_ready: over.wait_for_ready.or(self.wait_for_ready),
            retry_refused: over.retry_refused.or(self.retry_refused),
            max_receive: over.max_receive.or(self.max_receive),
            max_send: over.max_send.or(self.max_send),
            compression: over.compression.or(self.compression),
            credentials: over.credentials.as_ref().or(self.credentials.as_ref()).cloned(),
            auth: None,
            timed: if over.deadline.is_some() { over.timed } else { self.timed },
            parent: over.parent.as_ref().or(self.parent.as_ref()).cloned(),
        }
    }

    /// For the calls of one method: `auth` adds what its channel proves.
    pub(crate) fn bound(
        self,
        auth: impl FnOnce(Option<&CallCredentials>) -> Option<Arc<Auth>>,
    ) -> Self {
        Self { auth: auth(self.credentials.as_ref()), ..self }
    }

    /// What the calls of a multi-callable prove.
    pub(crate) fn auth(&self) -> Option<&Arc<Auth>> {
        self.auth.as_ref()
    }

    /// For calls on behalf of another, which end with it.
    pub(crate) fn of(parent: Parent) -> Self {
        Self { parent: Some(parent), ..Self::new() }
    }

    /// What the calls belong to, if to anything.
    pub(crate) fn family(&self) -> Option<&Arc<Family>> {
        self.parent.as_ref().map(|parent| &parent.family)
    }

    /// The metadata said so far.
    #[must_use]
    pub fn get_metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(super) fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// For a call that begins now: the timeout has become a deadline.
    pub(crate) fn begun(&self, now: impl FnOnce() -> Instant) -> Self {
        let deadline = self.start(now).instant();
        let timed = deadline.is_some() && deadline != self.deadline;
        Self { timeout: None, deadline, timed, ..self.clone() }
    }

    /// The deadline of a call that begins now. The clock is asked only when that matters.
    pub(crate) fn start(&self, now: impl FnOnce() -> Instant) -> Deadline {
        let mut deadline = self.deadline.map_or(Deadline::NEVER, Deadline::at);
        if let Some(parent) = &self.parent {
            deadline = Deadline::earliest(deadline, parent.deadline);
        }
        match self.timeout {
            Some(timeout) => Deadline::earliest(deadline, Deadline::after(now(), timeout)),
            None => deadline,
        }
    }

    /// Which of them `deadline` comes from: the name of the option.
    pub(crate) fn limited_by(&self, deadline: Deadline) -> &'static str {
        if self.parent.as_ref().is_some_and(|parent| parent.deadline == deadline) {
            return "the deadline of the call on whose behalf it was made";
        }
        let own = self.deadline.is_some_and(|at| Deadline::at(at) == deadline);
        match (own, self.timed) {
            (true, false) => "the option `deadline`",
            (true, true) => {
                "the option `timeout`, which counts from before the channel's interceptors and listeners,"
            }
            (false, _) => "the option `timeout`",
        }
    }

    pub(crate) fn waits_for_ready(&self, default: bool) -> bool {
        self.wait_for_ready.unwrap_or(default)
    }

    pub(crate) fn retries_refused(&self, default: bool) -> bool {
        self.retry_refused.unwrap_or(default)
    }

    pub(crate) fn receive_limit(&self, default: usize) -> usize {
        self.max_receive.unwrap_or(default)
    }

    pub(crate) fn compressed(&self, default: Compression) -> Compression {
        self.compression.unwrap_or(default)
    }

    pub(crate) fn send_limit(&self, default: usize) -> usize {
        self.max_send.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::clock;

    #[test]
    fn the_earlier_of_timeout_and_deadline_counts() {
        let now = clock::now();
        let soon = now + Duration::from_secs(1);
        let options = CallOptions::new().timeout(Duration::from_secs(5)).deadline(soon);
        assert_eq!(options.start(|| now).instant(), Some(soon));
        assert!(options.limited_by(options.start(|| now)).contains("deadline"));
        let options = CallOptions::new().timeout(Duration::from_secs(1));
        assert!(options.limited_by(options.start(|| now)).contains("timeout"));
        assert_eq!(options.start(|| now).instant(), Some(soon));
    }

    #[test]
    fn w4_zero_has_passed_and_huge_is_never() {
        let now = clock::now();
        assert!(CallOptions::new().timeout(Duration::ZERO).start(|| now).expired(now));
        let huge = CallOptions::new().timeout(Duration::MAX).start(|| now);
        assert!(!huge.expired(now + Duration::from_secs(1 << 30)));
    }

    #[test]
    fn no_timeout_takes_back_what_was_said_before_and_not_what_is_said_after() {
        let now = clock::now();
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let starts = |options: &CallOptions| options.start(|| now).instant();
        let of_stub = CallOptions::new().timeout(second).deadline(now + minute);
        assert_eq!(starts(&of_stub.no_timeout()), None);
        assert_eq!(starts(&of_stub.merge(&CallOptions::new().no_timeout())), None);
        let again = CallOptions::new().no_timeout().timeout(minute);
        assert_eq!(starts(&of_stub.merge(&again)), Some(now + minute), "its own alone");
        // Of three, the middle one says it; what comes under it is taken back all the same.
        let middle = CallOptions::new().no_timeout().merge(&CallOptions::new());
        assert_eq!(starts(&of_stub.merge(&middle)), None);
        assert_eq!(starts(&middle.merge(&CallOptions::new().timeout(second))), Some(now + second));
        assert_eq!(starts(&of_stub.merge(&CallOptions::new())), Some(now + second));
    }

    #[test]
    fn without_a_timeout_the_clock_is_not_asked() {
        let never = CallOptions::new().start(|| panic!("asked for the time"));
        assert_eq!(never.instant(), None);
    }

    #[test]
    fn merging_prefers_the_later_and_keeps_all_metadata() {
        let ours = CallOptions::new().header("a", "1").unwrap().wait_for_ready(true);
        let over = CallOptions::new().header("a", "2").unwrap().max_send_message_size(7);
        let both = ours.merge(&over);
        assert_eq!(both.get_metadata().get_all("a").count(), 2);
        assert!(both.waits_for_ready(false));
        assert!(both.retries_refused(true) && !both.retry_refused(false).retries_refused(true));
        assert_eq!((both.send_limit(9), both.receive_limit(9)), (7, 9));
    }
}
