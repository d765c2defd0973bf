//! What a poller has been told of and not passed on yet, and what may go on when there is nothing else.
//!
//! A turn of a poller takes a bounded time, lest the jobs that it found wait for all that came with them: what it does not
//! get to is kept here in order, for whichever thread turns next. Behind it stand the links that have had their turn
//! and not come to an end. Only one of these goes on at a time, and only when nothing else was found, but for one turn of
//! [`PASSED_OVER`]: so peers that send without end share what honest ones leave, however many they are.
//!
//! Pure, guarded by the poller's lock.

use std::collections::VecDeque;
use std::io;
use std::sync::Weak;

use super::face::{OnTimer, Readiness, Token};

/// So many turns in a row leave those waiting who had theirs.
const PASSED_OVER: u32 = 8;

#[derive(Default)]
pub(super) struct Agenda {
    told: VecDeque<(Token, Readiness)>,
    later: VecDeque<Later>,
    passed_over: u32,
    /// The poller's alarm could not be set, and nobody was told.
    failed: Option<io::Error>,
}

/// Who goes on, as a timer would tell it.
pub(super) struct Later {
    pub(super) target: Weak<dyn OnTimer>,
    pub(super) tag: u64,
}

impl Agenda {
    pub(super) fn tell(&mut self, token: Token, readiness: Readiness) {
        self.told.push_back((token, readiness));
    }

    pub(super) fn later(&mut self, target: Weak<dyn OnTimer>, tag: u64) {
        self.later.push_back(Later { target, tag });
    }

    /// Who is told next.
    pub(super) fn next(&mut self) -> Option<(Token, Readiness)> {
        self.told.pop_front()
    }

    /// Who goes on at the end of a turn; `busy`: the turn found something to do.
    pub(super) fn go_on(&mut self, busy: bool) -> Option<Later> {
        if busy && self.passed_over < PASSED_OVER {
            self.passed_over += u32::from(!self.later.is_empty());
            return None;
        }
        self.passed_over = 0;
        self.later.pop_front()
    }

    /// The poller's alarm could not be set.
    pub(super) fn failed(&mut self, error: io::Error) {
        self.failed = Some(error);
    }

    pub(super) fn take_failed(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty() && self.later.is_empty() && self.failed.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::Job;
    use std::sync::Arc;
    use std::time::Instant;

    struct Target;

    impl OnTimer for Target {
        fn fire(&self, _: u64, _: Instant, _: &mut Vec<Job>) {}
    }

    #[test]
    fn who_had_a_turn_goes_on_when_nothing_else_is_there_and_now_and_then() {
        let (mut agenda, target) = (Agenda::default(), Arc::new(Target));
        let target: Arc<dyn OnTimer> = target;
        for tag in 0..3 {
            agenda.later(Arc::downgrade(&target), tag);
        }
        let tag = |later: Option<Later>| later.map(|later| later.tag);
        assert_eq!(tag(agenda.go_on(false)), Some(0));
        for _ in 0..PASSED_OVER {
            assert_eq!(tag(agenda.go_on(true)), None);
        }
        assert_eq!(tag(agenda.go_on(true)), Some(1));
        assert_eq!(tag(agenda.go_on(true)), None);
        assert_eq!(tag(agenda.go_on(false)), Some(2));
        assert!(agenda.is_empty() && agenda.go_on(false).is_none());
    }
}
