//! What a service's status may be made of: [`ServiceCheck`], a function that is run now and then, and [`ServiceStatus`], which
//! is told.
//!
//! A check is run by whoever asks for it, and its result is good for a while; who asks meanwhile waits for the run under way, or
//! is given the last result. Nothing is run unless somebody asks or watches.
//!
//! Threads: each check's function runs on a thread of its own, which is there while it runs and a second longer; what follows from
//! a result is done there. A timeout is met by the process's poller, and what follows from it is done on the notifier. Locks: one a
//! check, a leaf.

use std::fmt::{self, Display};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::topic::Topic;
use crate::reactor::{Crew, Job, OnTimer, client_poller, clock, notify, user};
use crate::sync::{Mutex, MutexGuard};
use crate::tell;

/// A function that says whether something is well: a database that answers, a disk with room.
///
/// It is run when a `Check` or a `List` asks for a service that has it, and the last result is older than the
/// [`ttl`](Self::ttl); and, while somebody watches such a service, as often as that. Of many who ask at a time one run serves all. It may
/// block: it has a thread of its own, and holds no worker of the server. After the [`timeout`](Self::timeout) it
/// counts as failed, whatever it comes to later; it is not run again before it has returned. A panic is a failure, too.
///
/// To give several services one check, make it a [`HealthCheck`] and clone that.
///
/// § grpclib, `grpclib.health.check.ServiceCheck`.
///
/// ```
/// use std::time::Duration;
/// use grpc_threads::health::{HealthServicer, ServiceCheck};
///
/// let disk = ServiceCheck::new(|| std::fs::metadata("/var/lib").map(|found| found.is_dir()))
///     .ttl(Duration::from_secs(60));
/// let health = HealthServicer::new();
/// health.add_checks("demo.Archive", [disk]);
/// ```
pub struct ServiceCheck {
    run: Box<Run>,
    ttl: Duration,
    timeout: Duration,
}

/// What the function of a [`ServiceCheck`] comes to: made of a `bool`; of an `Option`, where `None` is "cannot say"; and of a
/// `Result`, whose error is "not well", and a line in the log when it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding(Result<Option<bool>, String>);

impl From<bool> for Finding {
    fn from(well: bool) -> Self {
        Self(Ok(Some(well)))
    }
}

impl From<Option<bool>> for Finding {
    fn from(well: Option<bool>) -> Self {
        Self(Ok(well))
    }
}

impl<E: Display> From<Result<bool, E>> for Finding {
    fn from(result: Result<bool, E>) -> Self {
        Self(result.map(Some).map_err(|error| error.to_string()))
    }
}

impl<E: Display> From<Result<(), E>> for Finding {
    fn from(result: Result<(), E>) -> Self {
        Self(result.map(|()| Some(true)).map_err(|error| error.to_string()))
    }
}

type Run = dyn Fn() -> Finding + Send + Sync;
/// Done once there is a result that is good.
pub(super) type Done = Box<dyn FnOnce() + Send>;

struct Check {
    run: Box<Run>,
    /// `None`: it is told, and never run.
    ttl: Option<Duration>,
    timeout: Duration,
    crew: Arc<Crew>,
    state: Mutex<State>,
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    value: Option<bool>,
    /// When the value was found.
    found: Option<Instant>,
    /// The run under way that somebody waits for.
    run: Option<u64>,
    last: u64,
    /// A run whose time has passed, and whose function has not returned.
    stuck: Option<u64>,
    waiting: Vec<Done>,
    /// How many services that have it are watched.
    watched: isize,
    /// A timer for the next run is set.
    due: bool,
    topics: Vec<Weak<Topic>>,
}

/// The timer's tag for the next run. Others are the number of the run whose time is over.
const NEXT: u64 = 0;
/// The least that a ttl or a timeout may be: a check is not to keep a thread busy.
const LEAST: Duration = Duration::from_millis(1);

impl ServiceCheck {
    /// A check by this function, with a ttl of 30 s and a timeout of 10 s.
    #[must_use]
    pub fn new<R: Into<Finding>>(function: impl Fn() -> R + Send + Sync + 'static) -> Self {
        let run: Box<Run> = Box::new(move || function().into());
        Self { run, ttl: Duration::from_secs(30), timeout: Duration::from_secs(10) }
    }

    /// How long a result is good for: 30 s by default, a millisecond at least. While somebody watches, it is run as often as that.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl.max(LEAST);
        self
    }

    /// How long the function may take before it counts as failed: 10 s by default, a millisecond at least.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.max(LEAST);
        self
    }
}

impl fmt::Debug for ServiceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ttl, timeout, .. } = self;
        f.debug_struct("ServiceCheck")
            .field("ttl", ttl)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

/// Something that is told whether it is well, by whoever knows: a connection that comes and goes, a queue that runs full.
///
/// Nothing is known of it until it is told. Cheap to clone: the clones are one.
///
/// § grpclib, `grpclib.health.check.ServiceStatus`.
///
/// ```
/// use grpc_threads::health::{HealthServicer, ServiceStatus};
///
/// let upstream = ServiceStatus::new();
/// let health = HealthServicer::new();
/// health.add_checks("demo.Proxy", [&upstream]);
/// upstream.set(true);
/// ```
#[derive(Clone, Debug)]
pub struct ServiceStatus(HealthCheck);

impl ServiceStatus {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        let nothing: Box<Run> = Box::new(|| None.into());
        Self(HealthCheck::of(nothing, None, LEAST))
    }

    /// It is well, or not, or (`None`) nobody knows. Who watches is told on this thread, and not waited for; if it is what it was,
    /// nobody is.
    pub fn set(&self, well: impl Into<Option<bool>>) {
        let topics = {
            let mut state = self.0.0.state.lock();
            let before = std::mem::replace(&mut state.value, well.into());
            if before == state.value { Vec::new() } else { state.topics() }
        };
        topics.iter().for_each(Topic::look);
    }
}

impl Default for ServiceStatus {
    fn default() -> Self {
        Self::new()
    }
}

/// One of the things that a service's status is made of: a [`ServiceCheck`] or a [`ServiceStatus`].
///
/// Cheap to clone: the clones are one, which several services may have.
#[derive(Clone)]
pub struct HealthCheck(Arc<Check>);

impl From<ServiceCheck> for HealthCheck {
    fn from(ServiceCheck { run, ttl, timeout }: ServiceCheck) -> Self {
        Self::of(run, Some(ttl), timeout)
    }
}

impl From<ServiceStatus> for HealthCheck {
    fn from(status: ServiceStatus) -> Self {
        status.0
    }
}

impl From<&ServiceStatus> for HealthCheck {
    fn from(status: &ServiceStatus) -> Self {
        status.0.clone()
    }
}

impl From<&HealthCheck> for HealthCheck {
    fn from(check: &HealthCheck) -> Self {
        check.clone()
    }
}

/// Which one it is, not what it has come to.
impl PartialEq for HealthCheck {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for HealthCheck {}

impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthCheck").field("value", &self.value()).finish_non_exhaustive()
    }
}

impl HealthCheck {
    fn of(run: Box<Run>, ttl: Option<Duration>, timeout: Duration) -> Self {
        let (crew, state) = (Crew::new("health", 1), Mutex::default());
        Self(Arc::new_cyclic(|this| Check { run, ttl, timeout, crew, state, this: this.clone() }))
    }

    /// What it has come to last.
    pub(super) fn value(&self) -> Option<bool> {
        self.0.state.lock().value
    }

    /// This one has it, and is to hear of changes.
    pub(super) fn tell_changes(&self, topic: &Arc<Topic>) {
        let mut state = self.0.state.lock();
        state.topics.retain(|known| known.strong_count() > 0);
        state.topics.push(Arc::downgrade(topic));
    }

    /// Has `done` run once there is a result that is good: here and now, or once a run is over.
    pub(super) fn ask(&self, done: Done) {
        let now = clock::now();
        let mut state = self.0.state.lock();
        if self.0.is_good(&state, now) {
            drop(state);
            return done();
        }
        state.waiting.push(done);
        self.0.begin(state, now);
    }

    /// A service that has it is watched, the first time or again.
    pub(super) fn watch(&self) {
        self.0.state.lock().watched += 1;
        self.0.follow(clock::now());
    }

    /// It is watched no more.
    pub(super) fn unwatch(&self) {
        self.0.state.lock().watched -= 1;
    }
}

impl State {
    fn topics(&self) -> Vec<Arc<Topic>> {
        self.topics.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Check {
    fn is_good(&self, state: &State, now: Instant) -> bool {
        // One that is told is never run.
        let Some(ttl) = self.ttl else { return true };
        state.found.is_some_and(|found| now.saturating_duration_since(found) < ttl)
    }

    /// Begins a run, unless there is one.
    fn begin(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        if state.run.is_some() {
            return;
        }
        state.last += 1;
        let number = state.last;
        state.run = Some(number);
        let stuck = state.stuck.is_some();
        drop(state);
        let Some(this) = self.this.upgrade() else { return };
        if stuck {
            return this
                .conclude(number, Finding(Err("its last run has not come to an end".into())));
        }
        let timer = client_poller();
        if let (Ok(poller), Some(at)) = (&timer, now.checked_add(self.timeout)) {
            poller.timer(at, this.clone(), number);
        }
        let work = {
            let this = this.clone();
            move || {
                let finding = user::run(format_args!("a health check"), || (this.run)());
                let finding = finding.unwrap_or_else(|_| Finding(Err("it panicked".into())));
                this.conclude(number, finding);
            }
        };
        if let Err(error) = self.crew.enter(Box::new(work)) {
            this.conclude(number, Finding(Err(format!("it could not be run: {error}"))));
        }
    }

    /// A run has come to this, if that is not too late.
    fn conclude(&self, number: u64, Finding(result): Finding) {
        let mut state = self.state.lock();
        if state.stuck == Some(number) {
            state.stuck = None;
        }
        if state.run != Some(number) {
            return;
        }
        self.note(state, result);
    }

    /// A run's time is over: its function goes on.
    fn expire(&self, number: u64) {
        let mut state = self.state.lock();
        if state.run != Some(number) {
            return;
        }
        state.stuck = Some(number);
        let late = format!("it has not come to an end after {:?}", self.timeout);
        self.note(state, Err(late));
    }

    fn note(&self, mut state: MutexGuard<'_, State>, result: Result<Option<bool>, String>) {
        let now = clock::now();
        state.run = None;
        state.found = Some(now);
        let value = result.as_ref().map_or(Some(false), |value| *value);
        let changed = std::mem::replace(&mut state.value, value) != value;
        let topics = if changed { state.topics() } else { Vec::new() };
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        if let Err(why) = result.as_ref().map_err(|why| why.as_str()) {
            if changed {
                tell::warn!("a health check fails: {why}");
            }
        }
        topics.iter().for_each(Topic::look);
        waiting.into_iter().for_each(|done| done());
        self.follow(now);
    }

    /// While somebody watches: runs it if that is due, or sets a timer for when it will be.
    fn follow(&self, now: Instant) {
        let mut state = self.state.lock();
        let Some(ttl) = self.ttl else { return };
        if state.watched <= 0 || state.due || state.run.is_some() {
            return;
        }
        if !self.is_good(&state, now) {
            return self.begin(state, now);
        }
        let at = state.found.and_then(|found| found.checked_add(ttl));
        let (Some(at), Some(this)) = (at, self.this.upgrade()) else { return };
        state.due = true;
        drop(state);
        // One that cannot be had now is set when somebody asks or watches next.
        match client_poller() {
            Ok(poller) => poller.timer(at, this, NEXT),
            Err(_) => self.state.lock().due = false,
        }
    }
}

impl OnTimer for Check {
    fn fire(&self, tag: u64, now: Instant, _jobs: &mut Vec<Job>) {
        let Some(this) = self.this.upgrade() else { return };
        if tag == NEXT {
            self.state.lock().due = false;
        }
        // What follows sends, starts a thread, or is the user's: nothing for a thread that serves everybody.
        notify(Box::new(move || match tag {
            NEXT => this.follow(now),
            number => this.expire(number),
        }));
    }
}
