//! The shelf alone, on this thread.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[derive(Default)]
struct Link(AtomicUsize);

impl Flush for Link {
    fn flush(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        // A flush may meet the shelf's lock: links note themselves under theirs.
        let _ = super::shelf().map(|shelf| shelf.corked.lock().answers);
    }
}

fn shelf() -> Arc<Shelf> {
    let shelf = Arc::new(Shelf::default());
    install(&shelf);
    set(true);
    shelf
}

#[test]
fn a_link_is_flushed_once_for_many_answers_and_not_kept() {
    let _shelf = shelf();
    let (one, two) = (Arc::new(Link::default()), Arc::new(Link::default()));
    for _ in 0..3 {
        assert!(note(|| Some(one.clone())).is_some());
        assert!(note(|| Some(two.clone())).is_some());
    }
    flush_all();
    flush_all();
    assert_eq!((one.0.load(Ordering::SeqCst), two.0.load(Ordering::SeqCst)), (1, 1));
    assert_eq!((Arc::strong_count(&one), Arc::strong_count(&two)), (1, 1));
}

#[test]
fn enough_answers_are_due_fewer_are_not() {
    let shelf = shelf();
    let link = Arc::new(Link::default());
    for _ in 1..ANSWERS {
        shelf.note(link.clone());
    }
    // As if they had just been noted, however slow this machine is.
    shelf.corked.lock().since = clock::now().checked_add(Duration::from_secs(60));
    flush_if_due();
    assert_eq!(link.0.load(Ordering::SeqCst), 0);
    shelf.note(link.clone());
    flush_if_due();
    assert_eq!(link.0.load(Ordering::SeqCst), 1);
}

#[test]
fn late_answers_are_due() {
    let shelf = shelf();
    let link = Arc::new(Link::default());
    shelf.note(link.clone());
    shelf.corked.lock().since = clock::now().checked_sub(LATE);
    flush_if_due();
    assert_eq!(link.0.load(Ordering::SeqCst), 1);
}

#[test]
fn another_thread_flushes_only_what_is_old() {
    let shelf = shelf();
    let link = Arc::new(Link::default());
    let before = clock::now();
    shelf.note(link.clone());
    assert!(shelf.flush_older(before.checked_sub(LATE).unwrap()), "something is left");
    assert!(!shelf.flush_older(clock::now()));
    assert_eq!(link.0.load(Ordering::SeqCst), 1);
}
