//! How long a thread reads one link at a stretch, and how much at a time.
//!
//! A peer that sends without end must hold neither a poller nor the link's lock, and what it sends may cost a hundred
//! times what its length tells. So a turn has a number of reads and a time, and a peer whose octets take long to work off
//! is read from less at a time. Pure: times are arguments.

use std::time::{Duration, Instant};

/// The read buffer of each thread that reads. Untouched pages cost nothing.
pub(super) const READ_BUFFER: usize = 256 * 1024;
/// What is read at a time from a peer of whom nothing is known, and at the least.
pub(super) const STRIDE: usize = 64 * 1024;
const LEAST_STRIDE: usize = 8 * 1024;
/// So many reads at a stretch: then the thread looks what else there is.
const ROUNDS: usize = 8;
/// And for no longer than this.
const STRETCH: Duration = Duration::from_millis(1);

/// One stretch of reading.
#[derive(Debug)]
pub(super) struct Turn {
    rounds: usize,
    /// When the first of its octets came.
    began: Option<Instant>,
    over: bool,
}

impl Turn {
    pub(super) fn new() -> Self {
        Self { rounds: ROUNDS, began: None, over: false }
    }

    /// Whether to read once more.
    pub(super) fn goes_on(&mut self) -> bool {
        let goes_on = self.rounds > 0 && !self.over;
        self.rounds = self.rounds.saturating_sub(1);
        goes_on
    }

    /// Octets have come. Those of short reads cost time as well, when one edge follows the other.
    pub(super) fn came(&mut self, now: Instant) {
        match self.began {
            None => self.began = Some(now),
            Some(began) => self.over |= now.saturating_duration_since(began) >= STRETCH,
        }
    }

    /// A read of all of `stride` has been worked off: how much to read the next time.
    pub(super) fn full(&mut self, stride: usize, from: Instant, to: Instant) -> usize {
        self.came(to);
        match to.saturating_duration_since(from) {
            took if took > STRETCH / 2 => (stride / 2).max(LEAST_STRIDE),
            took if took < STRETCH / 4 => (stride * 2).min(READ_BUFFER),
            _ => stride,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::clock;

    /// The octets and the time of one turn with a peer whose octets take `each`.
    fn turn(each: Duration, stride: &mut usize) -> (usize, Duration) {
        let start = clock::now();
        let (mut turn, mut octets, mut took) = (Turn::new(), 0, Duration::ZERO);
        while turn.goes_on() {
            let cost = each * u32::try_from(*stride).unwrap();
            octets += *stride;
            turn.came(start + took);
            *stride = turn.full(*stride, start + took, start + took + cost);
            took += cost;
        }
        (octets, took)
    }

    #[test]
    fn a_peer_whose_octets_cost_much_gets_as_much_time_and_no_more() {
        let mut stride = STRIDE;
        for _ in 0..3 {
            turn(Duration::from_nanos(100), &mut stride);
        }
        let (_, took) = turn(Duration::from_nanos(100), &mut stride);
        assert!(took < STRETCH * 2, "{took:?}");
        assert_eq!(stride, LEAST_STRIDE);
    }

    #[test]
    fn short_reads_that_cost_much_end_the_turn_as_well() {
        let (mut turn, mut now, mut reads) = (Turn::new(), clock::now(), 0);
        while turn.goes_on() {
            turn.came(now);
            (now, reads) = (now + STRETCH, reads + 1);
        }
        assert_eq!(reads, 2);
    }

    #[test]
    fn cheap_octets_are_read_by_large_buffers_again() {
        let mut stride = LEAST_STRIDE;
        turn(Duration::from_nanos(0), &mut stride);
        assert_eq!(stride, READ_BUFFER);
        assert_eq!(turn(Duration::from_nanos(0), &mut stride).0, ROUNDS * READ_BUFFER);
    }
}
