//! A unit of handler work, and who runs it.

/// One unit of work of a server: running a method's handler for one call.
///
/// A job that is dropped without having run answers its call with
/// RESOURCE_EXHAUSTED (UNAVAILABLE once its server was told to stop), so that an executor may simply
/// drop what it cannot take.
pub struct Job {
    work: Option<Box<dyn Work>>,
    short: bool,
    /// About how long it runs, in nanoseconds.
    expected: u32,
    /// Whose it is: jobs of different lanes take turns.
    lane: u16,
    reserved: bool,
}

/// What is expected of a job of which no more is known.
const SHORT_NS: u32 = 50_000;
const LONG_NS: u32 = 1_000_000;

/// What a job does, and what it does instead when nobody runs it.
pub(crate) trait Work: Send {
    fn run(self: Box<Self>);
    fn reject(self: Box<Self>);
}

impl Job {
    /// `short`: it is known to end within microseconds, so that answers may wait for it.
    pub(crate) fn new(work: Box<dyn Work>, short: bool) -> Self {
        let expected = if short { SHORT_NS } else { LONG_NS };
        Self { work: Some(work), short, expected, lane: 0, reserved: false }
    }

    /// A short job that has taken about so many nanoseconds lately.
    pub(crate) fn expecting(mut self, nanos: u32) -> Self {
        if self.short {
            self.expected = nanos;
        }
        self
    }

    /// A job of this lane, which is a connection.
    pub(crate) fn of(mut self, lane: u16) -> Self {
        self.lane = lane;
        self
    }

    /// Before all others, and also where these are too many.
    pub(crate) fn reserved(mut self, reserved: bool) -> Self {
        self.reserved = reserved;
        self
    }

    /// Whether its method is [reserved](crate::RpcMethodHandler::reserved): an executor runs it before others, and also when it is full.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.reserved
    }

    pub(crate) fn lane(&self) -> u16 {
        self.lane
    }

    pub(crate) fn expected(&self) -> u32 {
        self.expected
    }

    /// Runs the handler on the current thread, until it has answered. A panic of the
    /// handler is caught inside and answers the call.
    pub fn run(mut self) {
        if let Some(work) = self.work.take() {
            work.run();
        }
    }

    pub(crate) fn is_short(&self) -> bool {
        self.short
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            work.reject();
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("short", &self.short).finish_non_exhaustive()
    }
}

/// Runs a server's jobs: a [`ThreadPool`](crate::ThreadPool), or your own.
pub trait Executor: Send + Sync + 'static {
    /// Takes a job to run it on another thread, soon. Must not run it on the calling
    /// thread, which reads the server's sockets, and must not block.
    ///
    /// # Errors
    /// [`Rejected`] when it takes no more; the call is answered with RESOURCE_EXHAUSTED.
    fn execute(&self, job: Job) -> Result<(), Rejected>;
}

/// An executor takes no more jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected;

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the executor takes no more jobs")
    }
}

impl std::error::Error for Rejected {}
