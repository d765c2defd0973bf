//! A pipe within the process: two buffers and their condition variables. Tests may have each direction do what networks do
//! ([`Flow`]): without such rules it costs a look.

mod flow;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::sync::{Condvar, Mutex, MutexGuard};

use super::{Pipe, Waited};
use crate::reactor::{Interest, Job, Mode, OnTimer, Poller, Readiness, Ready, Token, clock};

#[cfg(not(feature = "testing"))]
use flow::Flow;
#[cfg(feature = "testing")]
pub(crate) use flow::{Flow, Rules};

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
    this: Weak<Shared>,
}

/// One end: what it may read, and who is to be told.
#[derive(Default)]
struct End {
    inbound: VecDeque<u8>,
    /// The other end will write no more.
    finished: bool,
    closed: bool,
    /// The connection was reset: nothing follows what has arrived.
    broken: bool,
    kicked: bool,
    watch: Option<Watch>,
    /// What is done to what comes in.
    flow: Option<Box<Flow>>,
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
        let shared =
            Arc::new_cyclic(|this| Shared { state, changed, capacity, this: this.clone() });
        (Self { shared: shared.clone(), side: 0 }, Self { shared, side: 1 })
    }

    /// Two connected ends, and what is done to what comes in at each. To be changed by the [`Meddler`].
    #[cfg(feature = "testing")]
    pub(crate) fn pair_through(flows: [Flow; 2]) -> (Self, Self) {
        let (near, far) = Self::pair();
        let mut ends = near.shared.state.lock();
        for (end, flow) in ends.iter_mut().zip(flows) {
            end.flow = Some(Box::new(flow));
        }
        drop(ends);
        (near, far)
    }

    /// Who changes that.
    #[cfg(feature = "testing")]
    pub(crate) fn meddler(&self) -> Meddler {
        Meddler(Arc::downgrade(&self.shared))
    }
}

impl End {
    /// How many octets can be read.
    fn there(&self) -> usize {
        self.flow.as_ref().map_or(self.inbound.len(), |flow| flow.there())
    }

    /// Behind what can be read is the other's end.
    fn ends(&self) -> bool {
        self.finished && self.flow.as_ref().is_none_or(|flow| flow.is_clear())
    }

    fn readable(&self) -> bool {
        self.there() > 0 || self.ends() || self.closed || self.broken
    }

    /// Moves out what can be read; whether something is left that could be.
    fn read(&mut self, into: &mut [u8]) -> io::Result<(usize, bool)> {
        let most = self.flow.as_ref().map_or(into.len(), |flow| flow.gives(into.len()));
        // Both parts of the ring: after a short read a link takes the pipe for empty, and waits for the next edge.
        let mut read = 0;
        while read < most && !self.inbound.is_empty() {
            read += io::Read::read(&mut self.inbound, &mut into[read..most])?;
        }
        let Some(flow) = &mut self.flow else { return Ok((read, false)) };
        flow.read(read);
        let more = flow.there() > 0;
        // The end as well: its edge may have come during the read, and been taken for more octets.
        Ok((read, more || self.ends() || self.broken))
    }

    /// Takes in what fits into `room` and is let through; whether the connection is cut behind it.
    fn take_in(&mut self, from: &[u8], room: usize) -> (usize, bool) {
        let Some(flow) = &mut self.flow else {
            self.inbound.extend(from.get(..room).unwrap_or_default());
            return (room, false);
        };
        let took = flow.takes(room);
        self.inbound.extend(from.get(..took).unwrap_or_default());
        (took, flow.wrote(took, clock::now()))
    }
}

impl Shared {
    fn ready(&self, ends: &[End; 2], side: usize) -> Interest {
        let (mine, other) = (&ends[side], &ends[1 - side]);
        let over = mine.broken || mine.closed || other.closed;
        let write = other.inbound.len() < self.capacity || over;
        Interest { read: mine.readable(), write }
    }

    /// What `news` at `side` means for whoever watches there: to be told with no lock held.
    fn tell(self: &Arc<Self>, ends: &mut [End; 2], side: usize, news: Interest) -> Tell<'_> {
        let ready = self.ready(ends, side);
        let post = ends[side].watch.as_mut().and_then(|watch| watch.post(ready, news));
        Tell { post, ..self.late(ends, side) }
    }

    /// Of octets that come later somebody has to be told then. Whoever is there: before the first is attached there is nobody.
    fn late(self: &Arc<Self>, ends: &[End; 2], side: usize) -> Tell<'_> {
        let at = ends[side].flow.as_ref().and_then(|flow| flow.next());
        let timer = at.and_then(|at| {
            let watch = ends.iter().find_map(|end| end.watch.as_ref())?;
            Some((watch.poller.clone(), at))
        });
        Tell { shared: self, side, post: None, timer }
    }

    /// The connection is over, for both sides.
    fn reset(self: &Arc<Self>, mut ends: MutexGuard<'_, [End; 2]>) {
        ends.iter_mut().for_each(|end| end.broken = true);
        let tells = [0, 1].map(|side| self.tell(&mut ends, side, BOTH));
        drop(ends);
        tells.into_iter().for_each(Tell::now);
    }
}

/// Late octets have arrived.
impl OnTimer for Shared {
    fn fire(&self, side: u64, now: Instant, _: &mut Vec<Job>) {
        let mut ends = self.state.lock();
        let side = usize::from(side != 0);
        if let Some(flow) = &mut ends[side].flow {
            flow.arrive(now);
        }
        let Some(this) = self.this.upgrade() else { return };
        let tell = this.tell(&mut ends, side, INPUT);
        drop(ends);
        tell.now();
    }
}

/// Whom to tell once the lock is released: to wake a thread is a system call.
#[must_use]
struct Tell<'a> {
    shared: &'a Arc<Shared>,
    side: usize,
    post: Option<(Arc<Poller>, Token, Readiness)>,
    /// When late octets arrive.
    timer: Option<(Arc<Poller>, Instant)>,
}

impl Tell<'_> {
    fn now(self) {
        self.shared.changed[self.side].notify_all();
        if let Some((poller, token, readiness)) = self.post {
            poller.post(token, readiness);
        }
        if let Some((poller, at)) = self.timer {
            poller.timer(at, self.shared.clone(), self.side as u64);
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
        if mine.there() == 0 {
            return match (mine.broken, mine.ends()) {
                (true, _) => Err(io::ErrorKind::ConnectionReset.into()),
                (false, true) => Ok(0),
                (false, false) => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let was_full = mine.inbound.len() >= self.shared.capacity;
        let (read, more) = mine.read(into)?;
        if was_full || more {
            let theirs = was_full.then(|| self.shared.tell(&mut ends, 1 - self.side, ROOM));
            let mine = more.then(|| self.shared.tell(&mut ends, self.side, INPUT));
            drop(ends);
            theirs.into_iter().chain(mine).for_each(Tell::now);
        }
        Ok(read)
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        let mut ends = self.shared.state.lock();
        let other = &mut ends[1 - self.side];
        if other.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if other.closed || other.finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = self.shared.capacity.saturating_sub(other.inbound.len()).min(from.len());
        if room == 0 && !from.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (took, cut) = other.take_in(from, room);
        if cut {
            self.shared.reset(ends);
            return Ok(took);
        }
        let tell = self.shared.tell(&mut ends, 1 - self.side, INPUT);
        drop(ends);
        tell.now();
        Ok(took)
    }

    fn takes_slices(&self) -> bool {
        true
    }

    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited> {
        let mut ends = self.shared.state.lock();
        loop {
            let ready = self.shared.ready(&ends, self.side);
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
        if token.is_none() {
            // Its pool has ended: nobody would hear of anything.
            return Err(io::ErrorKind::NotConnected.into());
        }
        let mut ends = self.shared.state.lock();
        let armed = Interest::default();
        ends[self.side].watch = Some(Watch { poller: poller.clone(), token, mode, armed });
        let mine = self.shared.tell(&mut ends, self.side, BOTH);
        let theirs = self.shared.late(&ends, 1 - self.side);
        drop(ends);
        mine.now();
        theirs.now();
        Ok(())
    }

    fn arm(&self, interest: Interest) -> io::Result<()> {
        let mut ends = self.shared.state.lock();
        if let Some(watch) = &mut ends[self.side].watch {
            watch.armed = interest;
            let tell = self.shared.tell(&mut ends, self.side, interest);
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
        let tell = self.shared.tell(&mut ends, 1 - self.side, INPUT);
        drop(ends);
        tell.now();
    }

    fn close(&self) {
        let mut ends = self.shared.state.lock();
        ends[self.side].closed = true;
        ends[1 - self.side].finished = true;
        let theirs = self.shared.tell(&mut ends, 1 - self.side, BOTH);
        let mine = self.shared.tell(&mut ends, self.side, BOTH);
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

/// Changes what is done to a connection's octets, and keeps nothing of it alive.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub(crate) struct Meddler(Weak<Shared>);

#[cfg(feature = "testing")]
impl Meddler {
    /// Of what comes in at `side`: 0 is the first end. False: the connection is gone.
    pub(crate) fn change(&self, side: usize, change: impl FnOnce(&mut Flow)) -> bool {
        let Some(shared) = self.0.upgrade() else { return false };
        let mut ends = shared.state.lock();
        // What one end has sent before it closed is still on its way.
        if ends.iter().all(|end| end.closed) || ends.iter().any(|end| end.broken) {
            return false;
        }
        let Some(flow) = &mut ends[side].flow else { return false };
        change(flow);
        if flow.cut == Some(0) {
            shared.reset(ends);
            return true;
        }
        let tell = shared.tell(&mut ends, side, INPUT);
        drop(ends);
        tell.now();
        true
    }

    /// Ends it, as a network does.
    pub(crate) fn reset(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.reset(shared.state.lock());
        }
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
    #[cfg(feature = "testing")]
    fn an_end_behind_a_short_read_is_told_though_its_edge_has_gone_by() {
        let poller = Poller::new().unwrap();
        let short = Rules { read_most: Some(2), ..Rules::default() };
        let (near, far) = MemoryPipe::pair_through([Flow::default(), Flow::new(short, None)]);
        let told = Arc::new(Told::default());
        far.attach(&poller, Mode::Edge, told.clone()).unwrap();
        near.try_write(b"ab").unwrap();
        near.shutdown_write();
        assert!(told.after_a_turn(&poller).iter().any(|ready| ready.read));
        let mut buffer = [0; 8];
        assert_eq!(far.try_read(&mut buffer).unwrap(), 2);
        assert!(told.after_a_turn(&poller).iter().any(|ready| ready.read), "the end is missed");
        assert_eq!(far.try_read(&mut buffer).unwrap(), 0);
    }

    #[test]
    #[cfg(feature = "testing")]
    fn what_one_end_has_sent_before_it_closed_can_still_be_let_through() {
        let stalled = Rules { stalled: true, ..Rules::default() };
        let (near, far) = MemoryPipe::pair_through([Flow::default(), Flow::new(stalled, None)]);
        let meddler = far.meddler();
        near.try_write(b"ab").unwrap();
        near.close();
        assert!(meddler.change(1, |flow| flow.rules.stalled = false));
        let mut buffer = [0; 8];
        assert_eq!(far.try_read(&mut buffer).unwrap(), 2);
        assert_eq!(far.try_read(&mut buffer).unwrap(), 0);
        far.close();
        assert!(!meddler.change(1, |_| ()), "both have gone");
    }

    #[test]
    #[cfg(feature = "testing")]
    fn a_pool_that_has_ended_is_no_pool_to_be_attached_to() {
        let poller = Poller::new().unwrap();
        poller.close();
        let (_near, far) = MemoryPipe::pair();
        assert!(far.attach(&poller, Mode::Edge, Arc::new(Told::default())).is_err());
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
