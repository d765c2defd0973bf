//! What is watched: [`Topic`], a service's status and who is told of it; and [`Watcher`], one of those.
//!
//! A change is told without any lock held: the topic notes it, hands out who is to hear of it, and each of them looks at
//! the topic again as it sends. So whoever is slow is told of the latest status only, and of two changes at a time the later one is told last.
//!
//! Locks: a topic's, above that of its checks; a watcher's, a leaf. None is held while something is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::check::HealthCheck;
use super::messages::{HealthCheckResponse, ServingStatus};
use crate::sync::Mutex;
use crate::{ResponseSender, ResultError, Status};

/// A service, or a name that somebody watches in case it becomes one.
pub(super) struct Topic {
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None`: nobody has told of such a service.
    status: Option<ServingStatus>,
    /// What the status is made of; none: it was set.
    checks: Vec<HealthCheck>,
    watchers: BTreeMap<u64, Arc<Watcher>>,
    last: u64,
    settled: bool,
    over: bool,
}

impl Topic {
    /// Without a status it is no service yet.
    pub(super) fn new(name: String, status: Option<ServingStatus>) -> Self {
        Self { name, state: Mutex::new(State { status, ..State::default() }) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `None`: it is no service.
    pub(super) fn status(&self) -> Option<ServingStatus> {
        self.state.lock().status
    }

    /// Nobody knows it and nobody watches it.
    pub(super) fn is_nothing(&self) -> bool {
        let state = self.state.lock();
        state.status.is_none() && state.watchers.is_empty()
    }

    pub(super) fn checks(&self) -> Vec<HealthCheck> {
        self.state.lock().checks.clone()
    }

    pub(super) fn watchers(&self) -> usize {
        self.state.lock().watchers.len()
    }

    /// From now on it is this, whatever it was made of before.
    pub(super) fn set(self: &Arc<Self>, status: ServingStatus) {
        self.tell(|state| {
            state.status = Some(status);
            Aside::unwatched(std::mem::take(&mut state.checks))
        });
    }

    /// Its status is made of these, too.
    pub(super) fn add_checks(self: &Arc<Self>, checks: &[HealthCheck]) {
        self.tell(|state| {
            let new = checks.iter().filter(|check| !state.checks.contains(check));
            let new: Vec<_> = new.cloned().collect();
            new.iter().for_each(|check| check.tell_changes(self));
            state.checks.extend(new.iter().cloned());
            state.status = Some(fold(&state.checks));
            Aside { watch: new, unwatch: Vec::new() }
        });
    }

    /// One of its checks has come to something else.
    pub(super) fn look(self: &Arc<Self>) {
        self.tell(|state| {
            if !state.checks.is_empty() {
                state.status = Some(fold(&state.checks));
            }
            Aside::default()
        });
    }

    /// A service serves no more, and nothing changes that. With `over` its watchers' calls end, too.
    pub(super) fn settle(self: &Arc<Self>, over: bool) {
        self.tell(|state| {
            state.status = state.status.map(|_| ServingStatus::NotServing);
            Aside::unwatched(std::mem::take(&mut state.checks))
        });
        let mut state = self.state.lock();
        state.settled = true;
        state.over |= over;
        let watchers = if over { state.watchers.values().cloned().collect() } else { Vec::new() };
        drop(state);
        watchers.iter().for_each(|watcher| watcher.pump(self));
    }

    fn tell(self: &Arc<Self>, change: impl FnOnce(&mut State) -> Aside) {
        let mut state = self.state.lock();
        if state.settled {
            return;
        }
        let before = state.status;
        let aside = change(&mut state);
        let watched = !state.watchers.is_empty();
        let watchers: Vec<_> = match state.status == before {
            true => Vec::new(),
            false => state.watchers.values().cloned().collect(),
        };
        drop(state);
        if watched {
            aside.watch.iter().for_each(HealthCheck::watch);
            aside.unwatch.iter().for_each(HealthCheck::unwatch);
        }
        watchers.iter().for_each(|watcher| watcher.pump(self));
    }

    /// Adds a watcher: its number.
    pub(super) fn enter(&self, watcher: Arc<Watcher>) -> u64 {
        let mut state = self.state.lock();
        let first = state.watchers.is_empty();
        state.last += 1;
        let number = state.last;
        state.watchers.insert(number, watcher);
        let checks = if first { state.checks.clone() } else { Vec::new() };
        drop(state);
        checks.iter().for_each(HealthCheck::watch);
        number
    }

    pub(super) fn leave(&self, number: u64) {
        let mut state = self.state.lock();
        let gone = state.watchers.remove(&number);
        let last = gone.is_some() && state.watchers.is_empty();
        let checks = if last { state.checks.clone() } else { Vec::new() };
        drop(state);
        checks.iter().for_each(HealthCheck::unwatch);
        drop(gone);
    }

    /// What a watcher is to be told now, and whether it is the last.
    fn news(&self) -> (ServingStatus, bool) {
        let state = self.state.lock();
        (state.status.unwrap_or(ServingStatus::ServiceUnknown), state.over)
    }
}

/// What is done once the lock is gone: a check that is watched begins, and one that is let go of is the user's to drop.
#[derive(Default)]
struct Aside {
    watch: Vec<HealthCheck>,
    unwatch: Vec<HealthCheck>,
}

impl Aside {
    fn unwatched(checks: Vec<HealthCheck>) -> Self {
        Self { watch: Vec::new(), unwatch: checks }
    }
}

/// § grpclib, `health/service.py`: nothing is known if no check knows anything; it serves if all say so.
fn fold(checks: &[HealthCheck]) -> ServingStatus {
    let found: Vec<_> = checks.iter().map(HealthCheck::value).collect();
    if !found.is_empty() && found.iter().all(Option::is_none) {
        ServingStatus::Unknown
    } else if found.iter().all(|found| *found == Some(true)) {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

/// One call of `Watch`.
pub(super) struct Watcher {
    state: Mutex<Telling>,
}

struct Telling {
    /// Gone while somebody sends, and for good once the call is over.
    sender: Option<Sender>,
    told: Option<ServingStatus>,
    /// There was news while somebody sent.
    again: bool,
}

impl Watcher {
    /// One that is told nothing before it [begins](Self::begin).
    pub(super) fn new() -> Arc<Self> {
        let state = Mutex::new(Telling { sender: None, told: None, again: false });
        Arc::new(Self { state })
    }

    pub(super) fn begin(self: &Arc<Self>, sender: Sender, topic: &Arc<Topic>) {
        self.state.lock().sender = Some(sender);
        self.pump(topic);
    }

    /// Tells what the topic has come to, unless that was told. Never waits: who cannot be told now is when there is room.
    pub(super) fn pump(self: &Arc<Self>, topic: &Arc<Topic>) {
        while let Some((sender, status, over)) = self.take(topic) {
            let mut sender = sender;
            let result = match status {
                Some(status) => sender.try_send(&status.into()),
                None => Ok(()),
            };
            if over {
                // What was sent goes before it, and it needs no room.
                return sender.finish(Err(Status::unavailable("the server stops")));
            }
            match result {
                Ok(()) => sender.flush(),
                // It is over, and whoever was told of that takes this out of the list.
                Err(ResultError::Rpc(_)) => return,
                Err(_) => self.wait_for_room(&sender, topic),
            }
            let mut state = self.state.lock();
            state.sender = Some(sender);
            if result.is_ok() {
                state.told = status;
            }
            if !state.again {
                return;
            }
        }
    }

    /// The sender, what to send, and whether that is the end; `None`: there is nothing to tell, or another thread is at it.
    fn take(&self, topic: &Topic) -> Option<(Sender, Option<ServingStatus>, bool)> {
        let (status, over) = topic.news();
        let mut state = self.state.lock();
        // Asked first: what is on its way is not what was told last.
        if state.sender.is_none() {
            state.again = true;
            return None;
        }
        let news = (state.told != Some(status)).then_some(status);
        if news.is_none() && !over {
            return None;
        }
        state.again = false;
        Some((state.sender.take()?, news, over))
    }

    fn wait_for_room(self: &Arc<Self>, sender: &Sender, topic: &Arc<Topic>) {
        let (this, topic): (Weak<Self>, Weak<Topic>) =
            (Arc::downgrade(self), Arc::downgrade(topic));
        sender.on_ready(move || {
            if let (Some(this), Some(topic)) = (this.upgrade(), topic.upgrade()) {
                this.pump(&topic);
            }
        });
    }
}

type Sender = ResponseSender<HealthCheckResponse>;
