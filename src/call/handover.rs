//! [`Handover`]: whether a call's answer was asked to come from elsewhere, which its handler may do once, and before it returns.
//!
//! One atomic: who asks and the handler's return may meet on two threads, and one of them is first.

use crate::sync::atomic::{AtomicU8, Ordering};

/// See the module.
#[derive(Default)]
pub(crate) struct Handover(AtomicU8);

/// Why it is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Somebody has it.
    Asked,
    /// The handler has returned without it.
    Returned,
}

impl Handover {
    /// Asks for it. One who asks has it.
    pub(crate) fn ask(&self) -> Result<(), Refused> {
        let free = |state| (state == 0).then_some(ASKED);
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, free) {
            Ok(_) => Ok(()),
            Err(state) if state & ASKED != 0 => Err(Refused::Asked),
            Err(_) => Err(Refused::Returned),
        }
    }

    /// The handler has returned: whether somebody has it. From now on nobody else gets it.
    pub(crate) fn returned(&self) -> bool {
        self.0.fetch_or(RETURNED, Ordering::AcqRel) & ASKED != 0
    }
}

const ASKED: u8 = 1;
const RETURNED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_and_only_before_the_handler_has_returned() {
        let handover = Handover::default();
        assert_eq!((handover.ask(), handover.ask()), (Ok(()), Err(Refused::Asked)));
        assert!(handover.returned() && handover.returned());
        assert_eq!(handover.ask(), Err(Refused::Asked));

        let handover = Handover::default();
        assert!(!handover.returned());
        assert_eq!(handover.ask(), Err(Refused::Returned));
        assert!(!handover.returned(), "who was refused has not got it");
    }
}
