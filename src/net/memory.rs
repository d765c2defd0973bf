//! A pipe within the process: two buffers and their condition variables.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::sync::{Condvar, Mutex};

use super::{Pipe, Waited};
use crate::reactor::{Interest, Mode, Poller, Readiness, Ready, Token};

/// What one direction holds before its writer has to wait, by default.
const CAPACITY: usize = 256 * 1024;

/// One end of a connection that never leaves the process.
#[derive(Debug)]
pub(crate) struct MemoryPipe {
    shared: Arc<Shared>,
    side: usize,
}

#[derive(Debug)]
struct Shared {
    /// Guards both directions and both ends' waiting. A leaf.
    state: Mutex<[End; 2]>,
    changed: [Condvar; 2],
    capacity: usize,
}

/// One end: what it may read, and who is to be told.
#[derive(Default)]
struct End {
    inbound: VecDeque<u8>,
    /// The other end will write no more.
    finished: bool,
    closed: bool,
    kicked: bool,
    watch: Option<Watch>,
}

struct Watch {
    poller: Arc<Poller>,
    token: Token,
    mode: Mode,
    armed: Interest,
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("End").field("inbound", &self.inbound.len()).finish_non_exhaustive()
    }
}

impl MemoryPipe {
    /// Two connected ends.
    pub(crate) fn pair() -> (Self, Self) {
        Self::pair_of(CAPACITY)
    }

    /// Two connected ends; each direction holds so many octets.
    pub(crate) fn pair_of(capacity: usize) -> (Self, Self) {
        let (state, changed) = (Mutex::default(), Default::default());
        let shared = Arc::new(Shared { state, changed, capacity });
        (Self { shared: shared.clone(), side: 0 }, Self { shared, side: 1 })
    }

    fn readable(end: &End) -> bool {
        !end.inbound.is_empty() || end.finished || end.closed
    }

    fn ready(&self, ends: &[End; 2], side: usize) -> Interest {
        let other = &ends[1 - side];
        let write = other.inbound.len() < self.shared.capacity || other.closed || ends[side].closed;
        Interest { read: Self::readable(&ends[side]), write }
    }

    /// What `news` at `side` means for whoever watches there: to be told with no lock held.
    fn tell(&self, ends: &mut [End; 2], side: usize, news: Interest) -> Tell<'_> {
        let ready = self.ready(ends, side);
        let post = ends[side].watch.as_mut().and_then(|watch| watch.post(ready, news));
        Tell { waits: &self.shared.changed[side], post }
    }
}

/// Whom to tell once the lock is released: to wake a thread is a system call.
#[must_use]
struct Tell<'a> {
    waits: &'a Condvar,
    post: Option<(Arc<Poller>, Token, Readiness)>,
}

impl Tell<'_> {
    fn now(self) {
        self.waits.notify_all();
        if let Some((poller, token, readiness)) = self.post {
            poller.post(token, readiness);
        }
    }
}

impl Watch {
    fn post(&mut self, ready: Interest, news: Interest) -> Option<(Arc<Poller>, Token, Readiness)> {
        let told = match self.mode {
            Mode::Edge | Mode::Edges => news,
            Mode::OneShot | Mode::Armed(_) => self.armed,
        };
        let (read, write) = (ready.read && told.read, ready.write && told.write);
        if !(read || write) {
            return None;
        }
        self.armed = Interest::default();
        Some((self.poller.clone(), self.token, Readiness { read, write, hangup: false }))
    }
}

const INPUT: Interest = Interest { read: true, write: false };
const ROOM: Interest = Interest { read: false, write: true };
const BOTH: Interest = Interest { read: true, write: true };

impl Pipe for MemoryPipe {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut ends = self.shared.state.lock();
        let mine = &mut ends[self.side];
        if mine.closed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if mine.inbound.is_empty() {
            return if mine.finished { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let was_full = mine.inbound.len() >= self.shared.capacity;
        // Both parts of the ring: after a short read a link takes the pipe for empty, and waits for the next edge.
        let mut read = 0;
        while read < into.len() && !mine.inbound.is_empty() {
            read += io::Read::read(&mut mine.inbound, &mut into[read..])?;
        }
        if was_full {
            let tell = self.tell(&mut ends, 1 - self.side, ROOM);
            drop(ends);
            tell.now();
        }
        Ok(read)
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        let mut ends = self.shared.state.lock();
        let other = &mut ends[1 - self.side];
        if other.closed || other.finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = self.shared.capacity.saturating_sub(other.inbound.len()).min(from.len());
        if room == 0 && !from.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        other.inbound.extend(from.get(..room).unwrap_or_default());
        let tell = self.tell(&mut ends, 1 - self.side, INPUT);
        drop(ends);
        tell.now();
        Ok(room)
    }

    fn takes_slices(&self) -> bool {
        true
    }

    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited> {
        let mut ends = self.shared.state.lock();
        loop {
            let ready = self.ready(&ends, self.side);
            let waited = Waited {
                readable: ready.read && interest.read,
                writable: ready.write && interest.write,
                kicked: std::mem::take(&mut ends[self.side].kicked),
            };
            if waited != Waited::default() {
                return Ok(waited);
            }
            let changed = &self.shared.changed[self.side];
            match deadline {
                None => changed.wait(&mut ends),
                Some(at) => {
                    if changed.wait_until(&mut ends, at).timed_out() {
                        return Ok(waited);
                    }
                }
            }
        }
    }

    fn kick(&self) {
        self.shared.state.lock()[self.side].kicked = true;
        self.shared.changed[self.side].notify_all();
    }

    fn attach(&self, poller: &Arc<Poller>, mode: Mode, ready: Arc<dyn Ready>) -> io::Result<()> {
        let token = poller.reserve(ready);
        let mut ends = self.shared.state.lock();
        let armed = Interest::default();
        ends[self.side].watch = Some(Watch { poller: poller.clone(), token, mode, armed });
        let tell = self.tell(&mut ends, self.side, BOTH);
        drop(ends);
        tell.now();
        Ok(())
    }

    fn arm(&self, interest: Interest) -> io::Result<()> {
        let mut ends = self.shared.state.lock();
        if let Some(watch) = &mut ends[self.side].watch {
            watch.armed = interest;
            let tell = self.tell(&mut ends, self.side, interest);
            drop(ends);
            tell.now();
        }
        Ok(())
    }

    fn detach(&self) {
        let watch = self.shared.state.lock()[self.side].watch.take();
        if let Some(watch) = watch {
            watch.poller.release(watch.token);
        }
    }

    fn shutdown_write(&self) {
        let mut ends = self.shared.state.lock();
        ends[1 - self.side].finished = true;
        let tell = self.tell(&mut ends, 1 - self.side, INPUT);
        drop(ends);
        tell.now();
    }

    fn close(&self) {
        let mut ends = self.shared.state.lock();
        ends[self.side].closed = true;
        ends[1 - self.side].finished = true;
        let theirs = self.tell(&mut ends, 1 - self.side, BOTH);
        let mine = self.tell(&mut ends, self.side, BOTH);
        drop(ends);
        theirs.now();
        mine.now();
    }

    fn peer(&self) -> String {
        "memory:".to_owned()
    }

    fn is_local(&self) -> bool {
        true
    }
}

impl Drop for MemoryPipe {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "threads of the tests' own")]
mod tests {
    use super::*;

    #[test]
    fn octets_arrive_and_the_end_is_seen() {
        let (near, far) = MemoryPipe::pair();
        assert_eq!(near.try_write(b"hello").unwrap(), 5);
        near.shutdown_write();
        let mut buffer = [0; 8];
        assert_eq!(far.try_read(&mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"hello");
        assert_eq!(far.try_read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_full_pipe_takes_no_more_until_it_is_read() {
        let (near, far) = MemoryPipe::pair();
        let chunk = vec![1; CAPACITY];
        assert_eq!(near.try_write(&chunk).unwrap(), CAPACITY);
        assert_eq!(near.try_write(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let mut sink = vec![0; 10];
        assert_eq!(far.try_read(&mut sink).unwrap(), 10);
        assert!(near.wait(BOTH, None).unwrap().writable);
    }

    #[test]
    fn a_short_read_leaves_nothing_behind() {
        let (near, far) = MemoryPipe::pair_of(64);
        let mut buffer = [0; 256];
        // Whatever the ring's room is, its end is met in the middle of some of these.
        for n in 1..64 {
            assert_eq!(near.try_write(&[1; 40][..n.min(40)]).unwrap(), n.min(40));
            let first = far.try_read(&mut buffer[..n.min(40) - n.min(40) / 3]).unwrap();
            let more = near.try_write(&[2; 24]).unwrap();
            assert_eq!(far.try_read(&mut buffer).unwrap(), n.min(40) - first + more);
            assert_eq!(far.try_read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_kick_is_never_lost() {
        let (near, _far) = MemoryPipe::pair();
        near.kick();
        let waited = near.wait(Interest { read: true, write: false }, None).unwrap();
        assert!(waited.kicked);
    }

    /// Counts what it is told of each kind.
    #[derive(Default)]
    struct Told(Mutex<Vec<Readiness>>);

    impl Ready for Told {
        fn ready(&self, readiness: Readiness, _: &mut Vec<crate::reactor::Job>) {
            self.0.lock().push(readiness);
        }
    }

    impl Told {
        fn after_a_turn(&self, poller: &Poller) -> Vec<Readiness> {
            // So that a turn with nothing to tell ends, too.
            poller.kick();
            poller.turn(&mut Vec::new()).unwrap();
            std::mem::take(&mut self.0.lock())
        }
    }

    #[test]
    fn a_poller_is_told_of_each_edge_and_of_what_was_there_before() {
        let poller = Poller::new().unwrap();
        let (near, far) = MemoryPipe::pair();
        near.try_write(b"early").unwrap();
        let told = Arc::new(Told::default());
        far.attach(&poller, Mode::Edge, told.clone()).unwrap();
        assert!(told.after_a_turn(&poller).iter().any(|ready| ready.read && ready.write));
        assert!(told.after_a_turn(&poller).is_empty());
        near.try_write(b"late").unwrap();
        assert!(told.after_a_turn(&poller).iter().any(|ready| ready.read));
        near.close();
        assert!(told.after_a_turn(&poller).iter().any(|ready| ready.read));
        far.detach();
        assert_eq!(Arc::strong_count(&told), 1);
    }

    #[test]
    fn a_one_shot_is_told_what_it_armed_and_once() {
        let poller = Poller::new().unwrap();
        let (near, far) = MemoryPipe::pair();
        let told = Arc::new(Told::default());
        far.attach(&poller, Mode::OneShot, told.clone()).unwrap();
        near.try_write(b"x").unwrap();
        assert!(told.after_a_turn(&poller).is_empty());
        let read = Interest { read: true, write: false };
        far.arm(read).unwrap();
        near.try_write(b"y").unwrap();
        assert_eq!(told.after_a_turn(&poller).len(), 1);
        near.try_write(b"z").unwrap();
        assert!(told.after_a_turn(&poller).is_empty());
    }

    #[test]
    fn a_write_ends_the_wait_of_another_thread() {
        let (near, far) = MemoryPipe::pair();
        let waiting = std::thread::spawn(move || {
            let waited = far.wait(Interest { read: true, write: false }, None).unwrap();
            assert!(waited.readable);
        });
        near.try_write(b"x").unwrap();
        waiting.join().unwrap();
    }
}
