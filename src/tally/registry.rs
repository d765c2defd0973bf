//! Lists of what lives: [`Registry`]; and how long lists are read a part at a time: [`Page`].

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::sync::plain::Mutex;

/// Everything of one kind that lives, by its number. It keeps nothing alive; what goes takes itself out.
pub(crate) struct Registry<T> {
    /// A leaf: nothing is asked, and nothing dropped, under it.
    known: Mutex<BTreeMap<u64, Weak<T>>>,
}

impl<T> Registry<T> {
    pub(crate) const fn new() -> Self {
        Self { known: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) fn add(&self, id: u64, new: Weak<T>) {
        self.known.lock().insert(id, new);
    }

    /// It is going.
    pub(crate) fn remove(&self, id: u64) {
        let gone = self.known.lock().remove(&id);
        drop(gone);
    }

    pub(crate) fn find(&self, id: u64) -> Option<Arc<T>> {
        self.known.lock().get(&id).and_then(Weak::upgrade)
    }

    /// All from this number on, in their order. Who is given them holds them, as long as that is.
    pub(crate) fn from(&self, start: u64) -> Vec<Arc<T>> {
        self.known.lock().range(start..).filter_map(|(_, known)| known.upgrade()).collect()
    }
}

/// A part of a long list, by ascending numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// What it has.
    pub items: Vec<T>,
    /// Nothing comes behind it. Else the next page begins with the number after the last one's.
    pub end: bool,
}

/// The first `most` of what is there, in its order, each as `show` has it.
pub(crate) fn page<T, S>(there: Vec<T>, most: usize, show: impl FnMut(&T) -> S) -> Page<S> {
    let end = there.len() <= most;
    Page { items: there.iter().take(most).map(show).collect(), end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_keeps_nothing_alive() {
        let registry = Registry::new();
        let held: Vec<_> = (1..=3u64).map(Arc::new).collect();
        for one in &held {
            registry.add(**one, Arc::downgrade(one));
        }
        let found: Vec<u64> = registry.from(2).iter().map(|one| **one).collect();
        assert_eq!(found, [2, 3]);
        drop(held);
        assert!(registry.from(0).is_empty() && registry.find(1).is_none());
    }

    #[test]
    fn what_has_taken_itself_out_is_gone_though_others_hold_it() {
        let (registry, one) = (Registry::new(), Arc::new(1u64));
        registry.add(1, Arc::downgrade(&one));
        assert!(registry.find(1).is_some());
        registry.remove(1);
        registry.remove(1);
        assert!(registry.find(1).is_none());
    }

    #[test]
    fn the_last_page_says_so() {
        let show = |n: &u64| *n * 10;
        let cut = |most| page(vec![1, 2, 3], most, show);
        assert_eq!(cut(2), Page { items: vec![10, 20], end: false });
        assert_eq!(cut(3), Page { items: vec![10, 20, 30], end: true });
        assert_eq!(cut(0), Page { items: vec![], end: false });
        assert_eq!(page(Vec::<u64>::new(), 0, show), Page { items: vec![], end: true });
    }
}
