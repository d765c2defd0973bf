//! The end of a connection: the last octets, the peer's, and then the socket; and with it the link's timers.

use crate::reactor::clock;

use super::baton::Baton;
use super::pump::{CLOSED, TIMER_LINGER};
use super::state::{Phase, State};
use super::{LINGER, Link};

impl Link {
    /// All is said: our half of the socket is shut, and the peer's is read to its end.
    pub(super) fn linger(&self, state: &mut State) {
        if state.baton != Baton::Free || state.conn.wants_output() {
            // A peer that never reads would keep the link, and its socket, for ever.
            return self.leave_soon(state);
        }
        if self.side.is_client() {
            state.lose(CLOSED);
            self.pipe.shutdown_write();
            return self.shut(state, CLOSED);
        }
        self.await_end(state, CLOSED);
    }

    /// Nothing more is said, and what still comes is dropped.
    pub(super) fn await_end(&self, state: &mut State, why: &str) {
        state.lose(why);
        state.phase = Phase::Lingering;
        self.pipe.shutdown_write();
        self.leave_soon(state);
    }

    /// The socket is closed before long, whatever the peer does.
    pub(super) fn leave_soon(&self, state: &mut State) {
        if state.phase != Phase::Closed {
            let at = clock::now() + LINGER;
            state.leave.set(&self.poller, at, TIMER_LINGER, || Some(self.timer_target()));
        }
    }

    /// Closes the socket. No call of it goes on, and the owner hears of it: of `why`, unless it was lost before.
    pub(super) fn shut(&self, state: &mut State, why: &str) {
        if state.phase == Phase::Closed {
            return;
        }
        state.lose(why);
        state.phase = Phase::Closed;
        state.effects.dropped = state.hold.close();
        for alarm in [&mut state.alarm, &mut state.quiet, &mut state.leave] {
            alarm.withdraw(&self.poller);
        }
        self.pipe.detach();
        self.pipe.close();
    }
}
