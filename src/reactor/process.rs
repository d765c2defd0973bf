//! Whether this is still the process that the library's threads were born in.
//!
//! `fork` copies everything but the threads. A child that makes a channel or starts a server of its own gets threads of its
//! own: [`begin`] finds that the process is another one, and what the library keeps for the whole process starts anew.
//! What the parent had made, its links above all, is left as it is and never dropped: its sockets are the parent's.
//!
//! Deliberately ignores channels and servers that the child has inherited: they are not to be used there.

use crate::sync::atomic::{AtomicU32, Ordering};

use super::{global, notifier, spares, threads};
use crate::sync::process_wide;

process_wide! {
    /// The process that was seen last; 0: none yet.
    static SEEN: Seen = Seen::new();
    /// How often another one was found.
    static GENERATION: AtomicU32 = AtomicU32::new(0);
}

/// To be called before threads are used that might have been born in a parent.
pub(super) fn begin() {
    if SEEN.is_another(std::process::id()) {
        threads::forget();
        global::forget();
        notifier::forget();
        spares::forget();
        GENERATION.fetch_add(1, Ordering::Release);
    }
}

/// Changes when what is kept for the whole process has to start anew.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Acquire)
}

struct Seen(AtomicU32);

impl Seen {
    const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    fn is_another(&self, process: u32) -> bool {
        // The common case writes nothing.
        let before = self.0.load(Ordering::Relaxed);
        before != process && self.0.swap(process, Ordering::AcqRel) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l12_another_process_is_found_once() {
        let seen = Seen::new();
        assert!(!seen.is_another(10), "the first is no other");
        assert!(!seen.is_another(10));
        assert!(seen.is_another(11), "a child");
        assert!(!seen.is_another(11));
        assert!(seen.is_another(12), "a grandchild");
    }
}
