//! The calls that wait for a connection or a stream, first come first served. Pure.
//!
//! A call that ends elsewhere is taken out by name: thousands of deadlines that pass together may not keep the channel's
//! lock for a search each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Each call stands in it once.
pub(super) struct Queue<T> {
    /// By the order in which they are served.
    order: BTreeMap<Place, Arc<T>>,
    /// Where each stands, by the address of what it points to: the queue keeps it from becoming another's.
    places: HashMap<usize, Place>,
    /// The numbers given last, at the back and at the front.
    back: i64,
    front: i64,
}

/// Repeated calls come first, by their order among themselves; then the others, by number.
type Place = (u64, i64);
const NEW: u64 = u64::MAX;

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { order: BTreeMap::new(), places: HashMap::new(), back: 0, front: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn push_back(&mut self, call: Arc<T>) {
        self.back += 1;
        self.put((NEW, self.back), call);
    }

    /// In front of all that are new. `repeated`: it was sent before, as the so-manieth: those stand first.
    pub(super) fn put_back(&mut self, call: Arc<T>, repeated: Option<u32>) {
        self.front -= 1;
        self.put((repeated.map_or(NEW, u64::from), self.front), call);
    }

    pub(super) fn pop_front(&mut self) -> Option<Arc<T>> {
        let (_, call) = self.order.pop_first()?;
        self.places.remove(&Self::address(&call));
        if self.order.is_empty() {
            // Of a crowd that has gone nothing stays.
            self.places = HashMap::new();
        }
        Some(call)
    }

    /// Takes out one that is to be served no more.
    pub(super) fn remove(&mut self, call: &T) -> Option<Arc<T>> {
        let place = self.places.remove(&Self::address(call))?;
        self.order.remove(&place)
    }

    /// Takes out all that `which` names, in their order.
    pub(super) fn take(&mut self, which: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let all = std::mem::replace(self, Self::new());
        let (taken, left): (Vec<_>, Vec<_>) = all.order.into_values().partition(|call| which(call));
        left.into_iter().for_each(|call| self.push_back(call));
        taken
    }

    fn put(&mut self, place: Place, call: Arc<T>) {
        if let Some(before) = self.places.insert(Self::address(&call), place) {
            self.order.remove(&before);
        }
        self.order.insert(place, call);
    }

    fn address(call: &T) -> usize {
        std::ptr::from_ref(call).addr()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn served(queue: &mut Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop_front()).map(|call| *call).collect()
    }

    #[test]
    fn l26_first_come_first_served_and_those_that_end_leave_no_hole() {
        let mut queue = Queue::new();
        let calls: Vec<_> = (0..6).map(Arc::new).collect();
        calls.iter().for_each(|call| queue.push_back(call.clone()));
        assert_eq!(queue.pop_front().as_deref(), Some(&0));
        queue.put_back(calls[0].clone(), None);
        assert_eq!(queue.remove(&calls[3]).as_deref(), Some(&3));
        assert_eq!(queue.remove(&calls[3]), None, "once");
        assert_eq!(queue.len(), 5);
        assert_eq!(served(&mut queue), [0, 1, 2, 4, 5]);
        assert!(queue.is_empty() && queue.places.is_empty());
    }

    #[test]
    fn w69_repeated_calls_stand_in_front_in_the_order_of_their_streams() {
        let mut queue = Queue::new();
        [8, 9].iter().for_each(|n| queue.push_back(Arc::new(*n)));
        for place in [5, 3, 7, 1] {
            queue.put_back(Arc::new(place), Some(place));
        }
        queue.put_back(Arc::new(100), None);
        assert_eq!(served(&mut queue), [1, 3, 5, 7, 100, 8, 9]);
    }

    #[test]
    fn a_call_stands_in_it_once() {
        let mut queue = Queue::new();
        let calls: Vec<_> = (0..2).map(Arc::new).collect();
        for call in [&calls[0], &calls[1], &calls[0]] {
            queue.push_back(call.clone());
        }
        assert_eq!(served(&mut queue), [1, 0]);
    }

    #[test]
    fn some_are_taken_out_in_order_and_the_others_keep_theirs() {
        let mut queue = Queue::new();
        (0..10).for_each(|n| queue.push_back(Arc::new(n)));
        let odd: Vec<_> = queue.take(|n| n % 2 == 1).iter().map(|call| **call).collect();
        assert_eq!(odd, [1, 3, 5, 7, 9]);
        assert_eq!(served(&mut queue), [0, 2, 4, 6, 8]);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "what is measured is the search")]
    fn a_crowd_that_ends_at_once_is_forgotten_without_a_search() {
        let calls: Vec<_> = (0..200_000).map(Arc::new).collect();
        let mut queue = Queue::new();
        let began = Instant::now();
        calls.iter().for_each(|call| queue.push_back(call.clone()));
        // A machine that has other things to do is slow in both.
        let most = Duration::from_secs(5).max(began.elapsed() * 50);
        let began = Instant::now();
        // The last first: a search from the front would look at 2 * 10^10.
        for call in calls.iter().rev() {
            assert!(queue.remove(call).is_some());
            assert!(began.elapsed() < most, "{} are left", queue.len());
        }
    }
}
