//! What a poller does when the clock leaps: its alarm is set anew, and what has become due is waited for.

use std::time::Instant;

use super::super::leap::OnLeap;
use super::Poller;
use super::timers::Timers;

impl OnLeap for Poller {
    fn leapt(&self) {
        let mut timers = self.timers.lock();
        timers.alarm = None;
        let set = timers.set_alarm(&self.kernel);
        drop(timers);
        self.tell_later(set);
    }

    fn catch_up(&self, now: Instant) {
        let mut timers = self.timers.lock();
        while timers.firing > 0 || timers.owes(now) {
            self.fired.wait(&mut timers);
        }
    }
}

impl Timers {
    /// Whether somebody waits for a timer that was due at `now`.
    fn owes(&self, now: Instant) -> bool {
        let due = self.all.iter().take_while(|(timed, _)| timed.at() <= now);
        due.into_iter().any(|(_, timer)| timer.target.strong_count() > 0)
    }
}
