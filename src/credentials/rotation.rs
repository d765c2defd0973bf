//! What becomes of credentials while they are in use: the value that handshakes take now, and how the next one comes.
//!
//! A value is fixed, made of files that may change, or given by a fetcher of the user's. Renewing reads files or runs user
//! code, so it may block, and so it is two steps: [`Rotating::is_due`], which only compares times, and
//! [`Rotating::renew`], to be run as a job, away from pollers. No thread waits for the next change. A renewal
//! that fails leaves what was there; one that began earlier than another does not undo that one.
//!
//! One lock, held for the exchange of pointers only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::error::ConfigError;
use crate::sync::Mutex;
use crate::tell;

/// A value that handshakes take, and where the next one comes from.
pub(super) struct Rotating<C> {
    what: &'static str,
    state: Mutex<State<C>>,
    origin: Origin<C>,
}

enum Origin<C> {
    Fixed,
    Files { paths: Vec<PathBuf>, make: Box<Make<C>> },
    Fetched(Box<Fetch<C>>),
}

type Make<C> = dyn Fn() -> Result<C, ConfigError> + Send + Sync;
/// Gives the next value, or `None` for the one that is there; a text that says what failed.
type Fetch<C> = dyn Fn() -> Result<Option<Arc<C>>, String> + Send + Sync;

struct State<C> {
    current: Arc<C>,
    /// Renewals begun, and the number of the one that `current` is of.
    begun: u64,
    applied: u64,
    /// Files: not to be looked at before.
    next_look: Option<Instant>,
    /// Files: what they were when they were last read; `None` in it is a file that could not be seen.
    stamps: Vec<Option<Stamp>>,
    /// Files: they were read again after they had last been seen to change. A clock with coarse steps gives two writes one
    /// time, so what was read in the moment of a change is read once more.
    settled: bool,
    /// The text of the last failure, told to the log once.
    failing: Option<String>,
}

/// What changes when a file does, or another takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl<C: 'static> Rotating<C> {
    /// A value that stays. `what` it is, for the log.
    pub(super) fn fixed(what: &'static str, value: Arc<C>) -> Self {
        Self { what, state: Mutex::new(State::new(value, Vec::new())), origin: Origin::Fixed }
    }

    /// A value that `make` makes of these files, and makes again when they have changed.
    pub(super) fn of_files(
        what: &'static str,
        paths: Vec<PathBuf>,
        make: impl Fn() -> Result<C, ConfigError> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let stamps = look(&paths);
        let value = Arc::new(make()?);
        if paths.is_empty() {
            return Ok(Self::fixed(what, value));
        }
        let origin = Origin::Files { paths, make: Box::new(make) };
        Ok(Self { what, state: Mutex::new(State::new(value, stamps)), origin })
    }

    /// A value that `fetch` is asked for anew before each use.
    pub(super) fn fetched(
        what: &'static str,
        first: Arc<C>,
        fetch: impl Fn() -> Result<Option<Arc<C>>, String> + Send + Sync + 'static,
    ) -> Self {
        let origin = Origin::Fetched(Box::new(fetch));
        Self { what, state: Mutex::new(State::new(first, Vec::new())), origin }
    }

    pub(super) fn current(&self) -> Arc<C> {
        Arc::clone(&self.state.lock().current)
    }

    /// Whether the value has to be renewed before it is used. Does not block.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        match self.origin {
            Origin::Fixed => false,
            Origin::Fetched(_) => true,
            Origin::Files { .. } => self.state.lock().next_look.is_none_or(|at| at <= now),
        }
    }

    /// Renews the value where that is due. Reads files, or runs the user's fetcher on this thread; a panic of that comes
    /// out of here, and leaves the value as it was.
    pub(super) fn renew(&self, now: Instant) {
        match &self.origin {
            Origin::Fixed => {}
            Origin::Fetched(fetch) => {
                let number = self.state.lock().begin();
                let fetched = fetch();
                self.finish(number, fetched);
            }
            Origin::Files { paths, make } => self.renew_files(now, paths, make),
        }
    }

    fn renew_files(&self, now: Instant, paths: &[PathBuf], make: &Make<C>) {
        let number = {
            let mut state = self.state.lock();
            if state.next_look.is_some_and(|at| now < at) {
                return; // another handshake looks, or has just done so
            }
            state.next_look = now.checked_add(BETWEEN_LOOKS);
            state.begin()
        };
        // Looked at before they are read: what changes between is seen next time.
        let stamps = look(paths);
        {
            let mut state = self.state.lock();
            let changed = state.stamps != stamps;
            if !changed && state.settled {
                return;
            }
            state.settled = !changed;
            state.stamps = stamps;
        }
        let made = make();
        self.finish(number, made.map(|value| Some(Arc::new(value))).map_err(|e| e.to_string()));
    }

    fn finish(&self, number: u64, made: Result<Option<Arc<C>>, String>) {
        let told = self.state.lock().finish(number, made);
        let what = self.what;
        match told {
            // What was replaced is dropped here, with no lock held.
            Told::Nothing(old) => drop(old),
            Told::Renewed(old) => {
                drop(old);
                tell::debug!("{what} were renewed");
            }
            Told::Failed(why) => {
                tell::warn!("{what} could not be renewed, the old ones stay: {why}")
            }
        }
    }
}

enum Told<C> {
    Nothing(Option<Arc<C>>),
    Renewed(Arc<C>),
    Failed(String),
}

impl<C> State<C> {
    fn new(current: Arc<C>, stamps: Vec<Option<Stamp>>) -> Self {
        Self {
            current,
            begun: 0,
            applied: 0,
            next_look: None,
            stamps,
            settled: false,
            failing: None,
        }
    }

    fn begin(&mut self) -> u64 {
        self.begun = self.begun.wrapping_add(1);
        self.begun
    }

    fn finish(&mut self, number: u64, made: Result<Option<Arc<C>>, String>) -> Told<C> {
        match made {
            Err(why) if self.failing.as_ref() == Some(&why) => Told::Nothing(None),
            Err(why) => {
                self.failing = Some(why.clone());
                Told::Failed(why)
            }
            Ok(value) => {
                self.failing = None;
                match value {
                    Some(value) if number < self.applied || Arc::ptr_eq(&value, &self.current) => {
                        Told::Nothing(Some(value))
                    }
                    Some(value) => {
                        self.applied = number;
                        Told::Renewed(std::mem::replace(&mut self.current, value))
                    }
                    None => Told::Nothing(None),
                }
            }
        }
    }
}

fn look(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        // Follows links: it is those that are exchanged where secrets are mounted.
        let found = fs::metadata(path).ok()?;
        let modified = found.modified().ok();
        Some(Stamp { modified, length: found.len(), inode: found.ino() })
    };
    paths.iter().map(stamp).collect()
}

/// Files are not looked at more often.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
