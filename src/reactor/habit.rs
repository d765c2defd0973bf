//! Whether a thread that waits for a peer on this machine looks for what comes before it sleeps, when nobody has asked for that.
//!
//! To wake a thread whose CPU has fallen asleep takes some 30 µs, on either side of each call; what it waits for takes less
//! where one caller and one server do nothing else. So a thread learns from its own waits. After one that was short it
//! looks through the next, for [`LOOK`] at most, yielding between looks. One in vain costs it the right to the next, the
//! next two, four, and so on; a long one ends it. So a call that takes a millisecond costs nothing more, and an idle process
//! nothing at all. Beside a thread that computes nobody looks ([`courtesy`]), and neither does
//! anybody for a peer elsewhere: these are further away than a sleep.
//!
//! Pure but for each thread's own [`Habit`].

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::{clock, courtesy};
use crate::sync::thread_own;

/// For how long a wait is looked through.
const LOOK: Duration = Duration::from_micros(50);
/// And so many times at most; under the model checker, whose clock may stand still, a few.
const LOOKS: u32 = if cfg!(shuttle) { 2 } else { 100 };
/// A wait is short that takes no longer, with the waking of both sides.
const SHORT: Duration = Duration::from_micros(150);
/// At most 2 to this power waits are slept through after a look in vain.
const MOST: u32 = 6;

thread_own! {
    static HABIT: Cell<Habit> = Cell::new(Habit::NEW);
    /// Something has come from a peer on this machine, which has few calls: a crowd's next word comes by itself.
    static HEARD: Cell<bool> = Cell::new(false);
}

/// This thread has read what a peer sent. `alone`: one on this machine, with few calls.
pub(crate) fn heard(alone: bool) {
    HEARD.reach(|heard| heard.set(alone));
}

/// What a thread has learnt of its waits.
#[derive(Clone, Copy, Debug, Default)]
struct Habit {
    /// The last one was short.
    short: bool,
    /// Looks in vain, one after the other.
    vain: u32,
    /// Waits to be slept through.
    skip: u32,
}

impl Habit {
    const NEW: Self = Self { short: false, vain: 0, skip: 0 };

    /// Whether the wait that begins now is looked through.
    fn looks(&mut self) -> bool {
        let looks = self.short && self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        looks
    }

    /// A wait is over. `looked`: whether its look found what it was for, if there was one.
    fn learn(&mut self, took: Duration, looked: Option<bool>) {
        self.short = took <= SHORT;
        match looked {
            Some(true) => (self.vain, self.skip) = (0, 0),
            Some(false) => {
                self.skip = 1 << self.vain;
                self.vain = (self.vain + 1).min(MOST);
            }
            None => {}
        }
    }
}

/// One wait of this thread for a peer on this machine.
#[derive(Debug)]
pub(crate) struct Wait {
    began: Instant,
    last: Instant,
    looks: u32,
    looked: Option<bool>,
}

impl Wait {
    /// It begins.
    pub(crate) fn begin() -> Self {
        let now = clock::now();
        let mut habit = HABIT.reach(Cell::get).unwrap_or_default();
        let looked = (habit.looks() && courtesy::pays(now)).then_some(false);
        HABIT.reach(|kept| kept.set(habit));
        Self { began: now, last: now, looks: 0, looked }
    }

    /// Whether there is one more look at what has come.
    pub(crate) fn looks(&self) -> bool {
        self.looked.is_some()
            && self.looks < LOOKS
            && self.last.saturating_duration_since(self.began) < LOOK
            && courtesy::pays(self.last)
    }

    /// Before that look, with no lock held: lets others run between two.
    pub(crate) fn give_way(&mut self) {
        if self.looks > 0 {
            self.last = courtesy::yield_cpu(self.last);
        }
        self.looks += 1;
    }

    /// The last look has found it.
    pub(crate) fn found(&mut self) {
        self.looked = self.looked.map(|_| true);
    }

    /// It is over.
    pub(crate) fn end(self) {
        let mut habit = HABIT.reach(Cell::get).unwrap_or_default();
        habit.learn(clock::now().saturating_duration_since(self.began), self.looked);
        HABIT.reach(|kept| kept.set(habit));
    }

    /// As [`end`](Self::end), of one that many peers end. If what came was no word of one peer on this machine, the next is not
    /// looked through. `alone`: it was one's word.
    pub(super) fn end_if(self, alone: bool) {
        let heard = HEARD.reach(|heard| heard.replace(false)).unwrap_or_default();
        if alone && heard {
            self.end();
        } else {
            HABIT.reach(|kept| kept.set(Habit { short: false, ..kept.get() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    /// Which of so many waits are looked through, whose answers take `takes`.
    fn looked(habit: &mut Habit, waits: u32, takes: Duration) -> Vec<u32> {
        let mut looked = Vec::new();
        for wait in 0..waits {
            let looks = habit.looks().then_some(takes <= LOOK);
            looked.extend(looks.map(|_| wait));
            habit.learn(takes, looks);
        }
        looked
    }

    #[test]
    fn who_is_answered_at_once_looks_from_the_second_wait_on() {
        assert_eq!(looked(&mut Habit::default(), 5, 20 * US), [1, 2, 3, 4]);
    }

    #[test]
    fn who_waits_for_long_never_looks_but_once() {
        let mut habit = Habit::default();
        assert_eq!(looked(&mut habit, 100, 1_000 * US), []);
        looked(&mut habit, 2, 20 * US);
        assert_eq!(looked(&mut habit, 100, 1_000 * US), [0]);
    }

    #[test]
    fn looks_in_vain_become_rare() {
        let mut habit = Habit::default();
        let all = looked(&mut habit, 300, 100 * US);
        assert_eq!(all, [1, 3, 6, 11, 20, 37, 70, 135, 200, 265]);
        // And as frequent as ever after one that was not.
        let again = looked(&mut habit, 80, 20 * US);
        assert!(again.len() > 10, "{again:?}");
        assert_eq!(looked(&mut habit, 3, 20 * US), [0, 1, 2]);
    }
}
