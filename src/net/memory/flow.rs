//! What tests have a pipe in memory do to the octets of one direction: [`Flow`]. Pure: `now` is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is done to every connection, one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How much later octets arrive.
    pub(crate) delay: Duration,
    /// Nothing arrives, not even the end.
    pub(crate) stalled: bool,
    /// So many octets a read gives at most.
    pub(crate) read_most: Option<usize>,
    /// So many octets a write takes at most.
    pub(crate) write_most: Option<usize>,
}

/// The octets of one direction on their way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    pub(crate) rules: Rules,
    /// After so many octets more the connection is reset.
    pub(crate) cut: Option<usize>,
    /// That can be read.
    arrived: usize,
    /// When how many more arrive, in order.
    late: VecDeque<(Instant, usize)>,
}

impl Flow {
    pub(crate) fn new(rules: Rules, cut: Option<usize>) -> Self {
        Self { rules, cut, ..Self::default() }
    }

    /// How many octets can be read.
    pub(super) fn there(&self) -> usize {
        if self.rules.stalled { 0 } else { self.arrived }
    }

    /// Whether the end would be seen behind what can be read.
    pub(super) fn is_clear(&self) -> bool {
        !self.rules.stalled && self.late.is_empty()
    }

    /// Of `n` octets, how many go in at once.
    pub(super) fn takes(&self, n: usize) -> usize {
        let most = self.rules.write_most.unwrap_or(usize::MAX).max(1);
        n.min(most).min(self.cut.unwrap_or(usize::MAX))
    }

    /// So many were written. True: that was the last before the cut.
    pub(super) fn wrote(&mut self, n: usize, now: Instant) -> bool {
        let at = now.checked_add(self.rules.delay).filter(|_| !self.rules.delay.is_zero());
        // What was late before stays in front.
        match at.or_else(|| self.late.back().map(|(at, _)| *at)) {
            Some(at) if n > 0 => self.late.push_back((at, n)),
            _ => self.arrived += n,
        }
        self.cut = self.cut.map(|left| left.saturating_sub(n));
        self.cut == Some(0)
    }

    /// So many were read.
    pub(super) fn read(&mut self, n: usize) {
        self.arrived = self.arrived.saturating_sub(n);
    }

    /// How many a read gives of `n`.
    pub(super) fn gives(&self, n: usize) -> usize {
        n.min(self.there()).min(self.rules.read_most.unwrap_or(usize::MAX).max(1))
    }

    /// What is due has arrived.
    pub(super) fn arrive(&mut self, now: Instant) {
        while self.next().is_some_and(|at| at <= now) {
            self.arrived += self.late.pop_front().map_or(0, |(_, n)| n);
        }
    }

    /// When the next octets arrive.
    pub(super) fn next(&self) -> Option<Instant> {
        self.late.front().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::clock;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn late_octets_arrive_in_order_also_when_later_ones_are_not_late() {
        let now = clock::now();
        let mut flow = Flow::new(Rules { delay: 5 * MS, ..Rules::default() }, None);
        assert!(!flow.wrote(3, now));
        flow.rules.delay = Duration::ZERO;
        flow.wrote(4, now);
        assert_eq!((flow.there(), flow.is_clear(), flow.next()), (0, false, Some(now + 5 * MS)));
        flow.arrive(now + 4 * MS);
        assert_eq!(flow.there(), 0);
        flow.arrive(now + 5 * MS);
        assert_eq!((flow.there(), flow.is_clear(), flow.next()), (7, true, None));
        flow.wrote(1, now + 6 * MS);
        flow.read(2);
        assert_eq!(flow.there(), 6);
    }

    #[test]
    fn reads_and_writes_are_short_and_never_nothing() {
        let now = clock::now();
        let rules = Rules { read_most: Some(3), write_most: Some(0), ..Rules::default() };
        let mut flow = Flow::new(rules, None);
        assert_eq!(flow.takes(10), 1, "or nobody would ever go on");
        flow.wrote(10, now);
        assert_eq!((flow.gives(100), flow.gives(2)), (3, 2));
        flow.rules.stalled = true;
        assert_eq!((flow.gives(100), flow.is_clear()), (0, false));
    }

    #[test]
    fn a_cut_comes_behind_its_octets_and_once() {
        let now = clock::now();
        let mut flow = Flow::new(Rules::default(), Some(5));
        assert_eq!(flow.takes(10), 5);
        assert!(!flow.wrote(3, now));
        assert_eq!(flow.takes(10), 2);
        assert!(flow.wrote(2, now));
        assert_eq!(flow.there(), 5);
    }
}
