//! Moving octets from the connection to the socket: who holds the baton sends.

use std::io::{self, IoSlice};
use std::mem;

use crate::http2::{Batch, SLICES};
use crate::reactor::{clock, courtesy, pool, spares};
use crate::sync::{MutexGuard, thread_own};

use super::kept::{KEPT, Kept};
use super::state::State;
use super::{CROWD, Link};

/// What one write turn takes from the connection: a big message delays nobody by more. A message
/// of 64 KiB goes out whole, with its prefix and frame heads.
const TURN: usize = 72 * 1024;

thread_own! {
    static WRITE: Kept<KEPT> = Kept::new();
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
        let mut out = state.tail.take().map(|tail| *tail).unwrap_or_default();
        let mut tail = true;
        // A handler that has not blocked gives one answer: those are corked together, or are alone.
        let crowd = state.cells.live() >= CROWD;
        if crowd && (self.side.is_client() || pool::has_blocked()) {
            state = self.let_others_append(state);
        }
        loop {
            if out.is_empty() && mem::take(&mut tail) {
                // A tail's buffer is as long as it was: to frame into it would be to make it grow each time.
                out = WRITE
                    .reach(|kept| self.batch(kept.exchange(out.into_buffer())))
                    .unwrap_or_default();
            }
            if out.is_empty() {
                state.output(&mut out, TURN, clock::now());
            }
            if out.is_empty() {
                state.baton.release();
                state.rest_after_first();
                WRITE.reach(|kept| kept.put(out.into_buffer()));
                return self.settle(state);
            }
            let last = state.conn.finished() && !state.conn.wants_output();
            drop(state);
            if last {
                self.pipe.last_word();
            }
            let written = self.send(&mut out);
            // Before the lock: it may free much.
            let spare = out.lighten(KEPT);
            if spare.capacity() > 0 {
                WRITE.reach(|kept| kept.put(spare));
            }
            out.take_done().into_iter().for_each(spares::put);
            state = self.state.lock();
            match written {
                Ok(sent) if out.is_empty() => state.conn.sent(sent, None),
                Ok(sent) => {
                    state.conn.sent(sent, Some(clock::now()));
                    if state.baton.stick() {
                        state.tail = Some(Box::new(out));
                        if !self.side.is_client() {
                            // Under the lock, and after the baton: who is told finds it stuck.
                            self.pipe.watch_for_room();
                        }
                        return self.settle(state);
                    }
                }
                Err(_) => return self.cut_off(state),
            }
        }
    }

    fn batch(&self, buffer: Vec<u8>) -> Batch {
        Batch::with(buffer, self.pipe.takes_slices())
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

    /// Sends until nothing is left or the socket is full: so many octets.
    fn send(&self, out: &mut Batch) -> io::Result<usize> {
        let before = out.len();
        while !out.is_empty() {
            match self.send_some(out) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => out.took(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(before - out.len())
    }

    fn send_some(&self, out: &Batch) -> io::Result<usize> {
        if !out.lent() {
            return self.pipe.try_write(out.rest());
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = out.slices(&mut slices);
        self.pipe.try_write_slices(slices.get(..count).unwrap_or_default())
    }

    /// The socket failed for writing. What the peer sent before it went may still be in it: the reader finds the
    /// end. Not every such error is one that a reader meets, so there is an end to that, too. The baton stays
    /// held: nobody writes any more.
    fn cut_off(&self, mut state: MutexGuard<'_, State>) {
        state.conn.cut_off();
        self.leave_soon(&mut state);
        self.settle(state);
    }
}

/// What this thread keeps for writing.
#[cfg(test)]
pub(super) fn kept() -> usize {
    WRITE.reach(Kept::capacity).unwrap_or_default()
}
