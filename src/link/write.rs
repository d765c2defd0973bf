//! Moving octets from the connection to the socket: who holds the baton sends.

use std::cell::RefCell;
use std::io;

use crate::reactor::{clock, courtesy, pool, spares};
use crate::sync::{MutexGuard, thread_own};

use super::pump::TIMER_LINGER;
use super::state::State;
use super::{CROWD, LINGER, Link};

/// What one write turn takes from the connection: a big message delays nobody by more. A message
/// of 64 KiB goes out whole, with its prefix and frame heads.
const TURN: usize = 72 * 1024;

thread_own! {
    static WRITE: RefCell<Vec<u8>> = RefCell::new(Vec::new());
}

impl Link {
    /// Sends what is pending, unless somebody is at it or this thread may cork.
    pub(super) fn flush_or_cork<'a>(&'a self, state: MutexGuard<'a, State>) {
        if state.conn.wants_output() && pool::defer(|| self.this.upgrade()) {
            return self.settle(state);
        }
        self.flush_now(state);
    }

    /// Sends what is pending, unless somebody is at it or the socket is full.
    pub(super) fn flush_now<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        if state.conn.wants_output() && state.baton.take() {
            self.write(state);
        } else {
            self.settle(state);
        }
    }

    /// The socket is writable: goes on where a full socket stopped somebody.
    pub(super) fn resume_writing(&self) {
        let mut state = self.state.lock();
        if state.baton.resume() {
            self.write(state);
        }
    }

    /// Writes until nothing is left or the socket is full. The caller holds the baton.
    fn write<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        // Taken out, not borrowed: telling the channel may come back to a link on this thread.
        let mut out = WRITE.reach(RefCell::take).unwrap_or_default();
        out.clear();
        out.append(&mut state.tail);
        // A handler that has not blocked gives one answer: those are corked together, or are alone.
        let crowd = state.cells.live() >= CROWD;
        if crowd && (self.side.is_client() || pool::has_blocked()) {
            state = self.let_others_append(state);
        }
        loop {
            let framed = match out.is_empty() {
                true => state.output(&mut out, TURN, clock::now()),
                false => Vec::new(),
            };
            if out.is_empty() {
                state.baton.release();
                WRITE.reach(|kept| kept.replace(out));
                return self.settle(state);
            }
            let last = state.conn.finished() && !state.conn.wants_output();
            drop(state);
            framed.into_iter().for_each(spares::put);
            if last {
                self.pipe.last_word();
            }
            let written = self.send(&out);
            state = self.state.lock();
            match written {
                Ok(sent) if sent == out.len() => {
                    state.conn.sent(sent, None);
                    out.clear();
                }
                Ok(sent) => {
                    state.conn.sent(sent, Some(clock::now()));
                    if state.baton.stick() {
                        state.tail.extend_from_slice(&out[sent..]);
                        if !self.side.is_client() {
                            // Under the lock, and after the baton: who is told finds it stuck.
                            self.pipe.watch_for_room();
                        }
                        WRITE.reach(|kept| kept.replace(out));
                        return self.settle(state);
                    }
                    out.drain(..sent);
                }
                Err(_) => return self.cut_off(state),
            }
        }
    }

    /// Lets callers that are ready to run append their requests, so that one system call takes them all.
    fn let_others_append<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let now = clock::now();
        if !courtesy::pays(now) {
            return state;
        }
        drop(state);
        courtesy::yield_cpu(now);
        self.state.lock()
    }

    fn send(&self, octets: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(rest) = octets.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.pipe.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// The socket failed for writing. What the peer sent before it went may still be in it: the reader finds the
    /// end. Not every such error is one that a reader meets, so there is an end to that, too. The baton stays
    /// held: nobody writes any more.
    fn cut_off(&self, mut state: MutexGuard<'_, State>) {
        state.conn.cut_off();
        if !std::mem::replace(&mut state.leaving, true) {
            self.poller.timer(clock::now() + LINGER, self.timer_target(), TIMER_LINGER);
        }
        self.settle(state);
    }
}
