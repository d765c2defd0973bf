//! Buffers of long messages, and states of zlib, kept for the next.
//!
//! Many allocators give a block of megabytes back to the kernel when it is free, and the kernel fills the next one with zeros,
//! page by page, as it is first touched: for a message of 4 MiB that takes longer than all the copying. (glibc's does so with blocks
//! above a threshold, which grows, up to 32 MiB, with each such block that is freed: later ones lie in its heap, and
//! what is free there may stay with the process.) So the buffers in which
//! long messages were received, or from which they were sent, are kept: a few, for the whole process, until nobody
//! has used them for a second.
//!
//! What zlib remembers while it deflates is 270 KiB, most of which has to be cleared or touched anew in a new one: a few of those are kept,
//! too, as long.
//!
//! Who puts the first one sets a timer on some poller of the process that turns, and that one goes on looking while there
//! are any. A poller that ends hands this on. Where none turns, nothing is kept. So it does not matter which links or
//! servers come and go, and nothing ticks while nothing is kept.
//!
//! Locks: one, a leaf. Nothing is freed, and no timer set, under it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::sync::{plain::Mutex, process_wide};
use bytes::Bytes;

use super::{Job, OnTimer, Poller, clock};
use crate::codec::Codec;
#[cfg(feature = "gzip")]
use crate::compression::{Form, State, States};
use crate::status::Status;

/// Shorter ones the allocator keeps itself.
const LONG: usize = 128 * 1024;
/// So many octets are kept at most.
const MOST: usize = 16 * 1024 * 1024;
/// A message gets no buffer that is so many times as large.
const WASTE: usize = 2;
/// How long they are kept unused.
const UNUSED: Duration = Duration::from_secs(1);

process_wide! {
    static SPARES: Mutex<Spares> = Mutex::new(Spares::new());
}

struct Spares {
    buffers: Vec<Vec<u8>>,
    octets: usize,
    #[cfg(feature = "gzip")]
    states: States,
    /// When one was last taken or put.
    used: Option<Instant>,
    /// Pollers that turn.
    pollers: Vec<Weak<Poller>>,
    /// The one that has a timer for us.
    keeper: Option<Weak<Poller>>,
    /// What the timer is for. Timers hold it weakly.
    look: Option<Arc<Look>>,
}

/// What is freed once the lock is released.
#[derive(Default)]
#[allow(dead_code, reason = "it is only to be dropped")]
struct Unused {
    buffers: Vec<Vec<u8>>,
    #[cfg(feature = "gzip")]
    states: States,
}

/// A timer to be set once the lock is released.
struct Again {
    poller: Arc<Poller>,
    look: Arc<Look>,
    at: Instant,
}

impl Again {
    fn set(self) {
        self.poller.timer(self.at, self.look, 0);
    }
}

/// Looks whether the buffers are still used.
struct Look;

impl OnTimer for Look {
    fn fire(&self, _: u64, now: Instant, _: &mut Vec<Job>) {
        let (unused, again) = SPARES.lock().rest(now);
        drop(unused);
        if let Some(again) = again {
            again.set();
        }
    }
}

/// A poller begins to turn.
pub(super) fn join(poller: &Arc<Poller>) {
    SPARES.lock().pollers.push(Arc::downgrade(poller));
}

/// This process is a child: nobody turns its parent's pollers here, whose timers are the parent's.
pub(super) fn forget() {
    let mut spares = SPARES.lock();
    let before = std::mem::replace(&mut *spares, Spares::new());
    drop(spares);
    drop(before);
}

/// Some poller that turns.
pub(super) fn turning() -> Option<Arc<Poller>> {
    SPARES.lock().pollers.iter().find_map(Weak::upgrade)
}

/// It turns no more: its timers are gone.
pub(super) fn leave(poller: &Arc<Poller>) {
    let (unused, again) = SPARES.lock().leave(poller, clock::now());
    drop(unused);
    if let Some(again) = again {
        again.set();
    }
}

/// An empty buffer for a message of `len` octets, if one is there that fits.
pub(crate) fn take(len: usize) -> Option<Vec<u8>> {
    if len < LONG { None } else { SPARES.lock().take(len, clock::now()) }
}

/// An empty buffer for a message of about `len` octets: one that fits, or one that has nothing reserved, as `len` may be
/// what a user's codec says.
pub(crate) fn buffer(len: usize) -> Vec<u8> {
    take(len).unwrap_or_default()
}

/// Keeps the buffer of what has been sent or read, if it is long and nobody else looks at it.
pub(crate) fn put(octets: Bytes) {
    let Ok(mut buffer) = octets.try_into_mut() else { return };
    // Before it becomes a `Vec` again: what is in it would be moved to the front.
    buffer.clear();
    let buffer = Vec::from(buffer);
    if buffer.capacity() >= LONG {
        let (too_many, again) = SPARES.lock().put(buffer, clock::now());
        drop(too_many);
        if let Some(again) = again {
            again.set();
        }
    }
}

/// A state of zlib: to deflate, or to inflate.
#[cfg(feature = "gzip")]
pub(crate) fn state(to_deflate: Option<Form>) -> State {
    let kept = SPARES.lock().states.take(to_deflate);
    kept.unwrap_or_else(|| match to_deflate {
        None => State::to_inflate(),
        Some(form) => State::to_deflate(form),
    })
}

/// Keeps a state for the next message.
#[cfg(feature = "gzip")]
pub(crate) fn keep(state: State) {
    let (too_many, again) = SPARES.lock().keep(state, clock::now());
    drop(too_many);
    if let Some(again) = again {
        again.set();
    }
}

/// Decodes a message and keeps its buffer, unless what was decoded still refers to it.
pub(crate) fn decode<T>(codec: &(impl Codec<T> + ?Sized), message: Bytes) -> Result<T, Status> {
    if message.len() < LONG {
        return codec.decode(message);
    }
    let kept = message.clone();
    let decoded = codec.decode(message);
    put(kept);
    decoded
}

impl Spares {
    const fn new() -> Self {
        Self {
            buffers: Vec::new(),
            octets: 0,
            #[cfg(feature = "gzip")]
            states: States::new(),
            used: None,
            pollers: Vec::new(),
            keeper: None,
            look: None,
        }
    }

    fn take(&mut self, len: usize, now: Instant) -> Option<Vec<u8>> {
        let fits =
            |buffer: &Vec<u8>| (len..=len.saturating_mul(WASTE)).contains(&buffer.capacity());
        let place = self.buffers.iter().rposition(fits)?;
        self.used = Some(now);
        let buffer = self.buffers.swap_remove(place);
        self.octets -= buffer.capacity();
        Some(buffer)
    }

    /// Gives back what is too much.
    fn put(&mut self, buffer: Vec<u8>, now: Instant) -> (Option<Vec<u8>>, Option<Again>) {
        if self.octets + buffer.capacity() > MOST {
            return (Some(buffer), None);
        }
        let again = self.have_looked(now);
        if self.keeper.is_none() {
            return (Some(buffer), None);
        }
        self.octets += buffer.capacity();
        self.buffers.push(buffer);
        (None, again)
    }

    /// Gives back what is too much.
    #[cfg(feature = "gzip")]
    fn keep(&mut self, state: State, now: Instant) -> (Option<State>, Option<Again>) {
        let again = self.have_looked(now);
        if self.keeper.is_none() {
            return (Some(state), None);
        }
        (self.states.put(state), again)
    }

    /// Has somebody look after what is kept from now on, if there is anybody.
    fn have_looked(&mut self, now: Instant) -> Option<Again> {
        let again = if self.keeper.is_none() { self.look_again(now + UNUSED) } else { None };
        if self.keeper.is_some() {
            self.used = Some(now);
        }
        again
    }

    /// The timer has come.
    fn rest(&mut self, now: Instant) -> (Unused, Option<Again>) {
        self.keeper = None;
        let unused_at = self.used.map(|used| used + UNUSED).filter(|&at| at > now);
        self.go_on(unused_at)
    }

    fn leave(&mut self, poller: &Arc<Poller>, now: Instant) -> (Unused, Option<Again>) {
        let gone = |other: &Weak<Poller>| {
            other.strong_count() == 0 || std::ptr::eq(other.as_ptr(), Arc::as_ptr(poller))
        };
        self.pollers.retain(|other| !gone(other));
        if !self.keeper.as_ref().is_some_and(gone) {
            return (Unused::default(), None);
        }
        self.keeper = None;
        self.go_on(Some(now + UNUSED))
    }

    /// Looks again at that time, if there is one and a poller to do it. Else nothing is kept.
    fn go_on(&mut self, at: Option<Instant>) -> (Unused, Option<Again>) {
        let again = at.and_then(|at| self.look_again(at));
        if again.is_some() {
            return (Unused::default(), again);
        }
        self.octets = 0;
        let unused = Unused {
            buffers: std::mem::take(&mut self.buffers),
            #[cfg(feature = "gzip")]
            states: std::mem::take(&mut self.states),
        };
        (unused, None)
    }

    fn look_again(&mut self, at: Instant) -> Option<Again> {
        let poller = self.pollers.iter().find_map(Weak::upgrade)?;
        self.keeper = Some(Arc::downgrade(&poller));
        let look = self.look.get_or_insert_with(|| Arc::new(Look)).clone();
        Some(Again { poller, look, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::client_poller;

    /// With a poller that nobody turns.
    fn spares() -> (Spares, Arc<Poller>) {
        let poller = Poller::new().unwrap();
        let mut spares = Spares::new();
        spares.pollers.push(Arc::downgrade(&poller));
        (spares, poller)
    }

    fn fits(spares: &mut Spares, len: usize, now: Instant) -> bool {
        spares.put(Vec::with_capacity(len), now).0.is_none()
    }

    #[test]
    fn a_buffer_is_given_to_messages_of_its_size() {
        let now = clock::now();
        let (mut spares, _poller) = spares();
        assert!(fits(&mut spares, LONG * 8, now));
        assert!(spares.take(LONG * 8 + 1, now).is_none(), "too long for it");
        assert!(spares.take(LONG * 4 - 1, now).is_none(), "a waste");
        assert!(spares.take(usize::MAX, now).is_none());
        assert_eq!(spares.take(LONG * 4, now).unwrap().capacity(), LONG * 8);
        assert!(spares.take(LONG * 4, now).is_none(), "it is in use");
    }

    #[test]
    fn no_more_than_a_few_are_kept_and_not_for_ever() {
        let now = clock::now();
        let (mut spares, _poller) = spares();
        let (_, first) = spares.put(Vec::with_capacity(LONG), now);
        assert_eq!(first.unwrap().at, now + UNUSED, "somebody looks after them");
        let kept = 1 + (1..200).filter(|_| fits(&mut spares, LONG, now)).count();
        assert_eq!(kept, MOST / LONG);
        drop(spares.take(LONG, now + UNUSED / 2));
        let (unused, again) = spares.rest(now + UNUSED);
        assert_eq!(
            (unused.buffers.len(), again.unwrap().at),
            (0, now + UNUSED * 3 / 2),
            "still used"
        );
        assert!(spares.put(Vec::with_capacity(LONG), now).1.is_none(), "one looks already");
        let (unused, again) = spares.rest(now + UNUSED * 3 / 2);
        assert!(unused.buffers.len() == kept && again.is_none(), "nothing ticks");
        assert!(fits(&mut spares, MOST, now), "the count begins anew");
    }

    #[test]
    fn whoever_looks_after_them_may_go() {
        let now = clock::now();
        let (mut spares, first) = spares();
        let second = Poller::new().unwrap();
        spares.pollers.push(Arc::downgrade(&second));
        let (_, again) = spares.put(Vec::with_capacity(LONG), now);
        assert!(Arc::ptr_eq(&again.unwrap().poller, &first));
        let (unused, again) = spares.leave(&first, now);
        assert!(unused.buffers.is_empty() && Arc::ptr_eq(&again.unwrap().poller, &second));
        assert!(spares.leave(&first, now).1.is_none(), "once is enough");
        let (unused, again) = spares.leave(&second, now);
        assert!(unused.buffers.len() == 1 && again.is_none(), "nobody is left to free them");
        assert!(!fits(&mut spares, LONG, now), "nor to keep them");
        assert_eq!(spares.octets, 0);
    }

    #[test]
    #[cfg(feature = "gzip")]
    fn states_of_zlib_are_kept_as_long_as_buffers() {
        let now = clock::now();
        let (mut spares, poller) = spares();
        let (too_many, again) = spares.keep(State::to_inflate(), now);
        assert!(too_many.is_none() && again.unwrap().at == now + UNUSED);
        assert!(spares.keep(State::to_deflate(Form::Gzip), now).1.is_none(), "one looks already");
        assert_eq!(spares.states.len(), 2);
        let (unused, again) = spares.rest(now + UNUSED);
        assert!(unused.states.len() == 2 && again.is_none() && spares.states.len() == 0);
        drop(poller);
        assert!(spares.keep(State::to_inflate(), now).0.is_some(), "nobody is there to free it");
    }

    #[test]
    fn what_somebody_still_looks_at_is_not_kept() {
        const LEN: usize = 8_765_432;
        let _turns = client_poller().unwrap();
        let octets = Bytes::from(vec![1; LEN]);
        let slice = octets.slice(5..);
        put(octets);
        assert!(take(LEN).is_none());
        // The last holder's end of it: all of the buffer comes back.
        put(slice);
        assert_eq!(take(LEN).unwrap().capacity(), LEN);
    }

    /// Wakes whoever turns a poller.
    struct Wake;

    impl OnTimer for Wake {
        fn fire(&self, _: u64, _: Instant, _: &mut Vec<Job>) {}
    }

    #[test]
    fn they_are_freed_though_no_link_is_left_to_look() {
        const LEN: usize = 7_654_321;
        let _turns = client_poller().unwrap();
        put(Bytes::from(vec![1; LEN]));
        let keeps = || SPARES.lock().buffers.iter().any(|buffer| buffer.capacity() == LEN);
        assert!(keeps());
        let (poller, wake) = (Poller::new().unwrap(), Arc::new(Wake));
        // Other tests may use theirs meanwhile.
        let end = clock::now() + Duration::from_secs(60);
        while keeps() {
            assert!(clock::now() < end, "kept for ever");
            poller.timer(clock::now() + UNUSED / 10, wake.clone(), 0);
            poller.turn(&mut Vec::new()).unwrap();
        }
    }
}
