//! What the model checker has to know of links: which there are, and whether they rest.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Link;
use crate::http2::Options;
use crate::sync::process_wide;

process_wide! {
    static LINKS: Mutex<Vec<Weak<Link>>> = Mutex::new(Vec::new());
    static LIMITS: Mutex<Option<Limits>> = Mutex::new(None);
}

/// Limits that are far away where links are used, and near here. `None`: as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_provoked: Option<usize>,
    pub(crate) max_unsent: Option<usize>,
}

/// Links are born with these limits from now on.
pub(crate) fn limit(limits: Limits) {
    *LIMITS.lock().unwrap_or_else(PoisonError::into_inner) = Some(limits);
}

pub(super) fn options(options: &Options) -> Options {
    let limits = *LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    let max_provoked = limits.and_then(|limits| limits.max_provoked);
    let max_unsent = limits.and_then(|limits| limits.max_unsent);
    Options {
        max_provoked: max_provoked.unwrap_or(options.max_provoked),
        max_unsent: max_unsent.unwrap_or(options.max_unsent),
        ..options.clone()
    }
}

pub(super) fn born(link: &Arc<Link>) {
    LINKS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(link));
}

/// The links of this execution that live.
pub(crate) fn alive() -> Vec<Arc<Link>> {
    let links = LINKS.lock().unwrap_or_else(PoisonError::into_inner);
    links.iter().filter_map(Weak::upgrade).collect()
}

impl Link {
    /// No stream is left, nothing is to be sent, and no window is lent.
    pub(crate) fn rests(&self) -> bool {
        let state = self.state.lock();
        let stats = state.conn.stats();
        state.cells.live() == 0
            && (stats.active, stats.held, stats.window_held) == (0, 0, 0)
            && !state.conn.wants_output()
    }

    /// Its state in words.
    pub(crate) fn describe(&self) -> String {
        let side = if self.side.is_client() { "client" } else { "server" };
        let Some(state) = self.state.try_lock() else { return format!("{side}: locked") };
        format!(
            "{side}: {:?}, {:?}, {:?}, needs {:?}, lead free {}, others behind it {}, wants output {}, {} cells, \
             {} octets in the tail, {:?}",
            state.phase,
            state.baton,
            state.watch,
            state.need(),
            state.lead.is_free(),
            state.lead.contended(),
            state.conn.wants_output(),
            state.cells.live(),
            state.tail.as_ref().map_or(0, |tail| tail.len()),
            state.conn.stats(),
        )
    }
}
