//! How many threads of a pool each connection holds, and how many it may.
//!
//! A pool's own workers are for whoever comes first. Beyond them are its spares, which it has only because handlers wait: of
//! these a connection gets no more once it holds more threads than are left. So one whose calls all wait for ever leaves
//! about half of them to others, two leave a quarter, and so on (this is the dynamic threshold of shared buffers, of Choudhury and Hahne).
//!
//! Pure, guarded by the pool's lock.

/// See the module.
pub(super) struct Shares {
    /// For whoever comes first.
    own: usize,
    /// All there may be.
    places: usize,
    running: usize,
    /// By lanes. Most of it is never touched, and so takes no memory.
    held: Vec<u16>,
}

impl Shares {
    pub(super) fn new(own: usize, places: usize) -> Self {
        Self { own, places, running: 0, held: vec![0; usize::from(u16::MAX) + 1] }
    }

    /// Whether a job of this lane may run on the next thread.
    #[inline]
    pub(super) fn admits(&self, lane: u16) -> bool {
        self.running < self.own || self.places <= self.own || self.is_within(lane)
    }

    fn is_within(&self, lane: u16) -> bool {
        let held = self.held.get(usize::from(lane)).map_or(0, |held| usize::from(*held));
        held <= self.places.saturating_sub(self.running)
    }

    /// A job of this lane runs.
    #[inline]
    pub(super) fn begin(&mut self, lane: u16) {
        self.running += 1;
        if let Some(held) = self.held.get_mut(usize::from(lane)) {
            *held = held.saturating_add(1);
        }
    }

    /// And has ended.
    #[inline]
    pub(super) fn end(&mut self, lane: u16) {
        self.running = self.running.saturating_sub(1);
        if let Some(held) = self.held.get_mut(usize::from(lane)) {
            *held = held.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many threads this lane gets that asks for all.
    fn takes(shares: &mut Shares, lane: u16) -> usize {
        let before = shares.running;
        while shares.running < shares.places && shares.admits(lane) {
            shares.begin(lane);
        }
        shares.running - before
    }

    #[test]
    fn of_the_spares_each_leaves_about_half_of_what_it_found() {
        let mut shares = Shares::new(8, 40);
        let taken: Vec<_> = (1..=6).map(|lane| takes(&mut shares, lane)).collect();
        assert_eq!(taken, [21, 10, 5, 3, 1, 0]);
        // What one lets go of is everybody's again, also its own.
        shares.end(1);
        assert!(shares.admits(9) && !shares.admits(1));
        (0..20).for_each(|_| shares.end(1));
        assert!(shares.admits(1));
    }

    #[test]
    fn the_workers_of_its_own_are_for_whoever_comes_first() {
        for (own, places) in [(8, 8), (8, 9), (1, 1), (1, 2), (64, 68)] {
            let mut shares = Shares::new(own, places);
            assert!(takes(&mut shares, 3) >= own, "{own} of {places}");
        }
        assert_eq!(
            takes(&mut Shares::new(1, 2), 3),
            2,
            "a single spare is for a handler that calls its own server"
        );
    }
}
