//! [`EndHooks`]: the hooks of interceptors for the end of one call. Each is told once, whatever becomes of the others, and of the
//! code between here and there: one that is let go of untold is told then.

use std::mem;

use super::hooks::OnEnd;
use crate::reactor::user;
use crate::status::{Code, Status};

/// See the module. Outermost first.
#[derive(Default)]
pub(crate) struct EndHooks(Vec<OnEnd>);

impl EndHooks {
    /// One more, inside of those that are there.
    pub(crate) fn add(&mut self, hook: Option<OnEnd>) {
        self.0.extend(hook);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells them, the innermost first. A panic of one is told to the log.
    pub(crate) fn tell(mut self, status: &Status) {
        self.tell_all(status);
    }

    fn tell_all(&mut self, status: &Status) {
        for hook in mem::take(&mut self.0).into_iter().rev() {
            let _ = user::run(format_args!("an interceptor's hook for the end"), || hook(status));
        }
    }
}

impl Drop for EndHooks {
    /// On the way out of a panic of the program's code.
    fn drop(&mut self) {
        if !self.0.is_empty() {
            let text = "code of the program panicked before the call had an outcome";
            self.tell_all(&Status::fixed(Code::Internal, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    fn hook(name: &'static str, told: &Sender<(&'static str, Code)>) -> Option<OnEnd> {
        let told = told.clone();
        Some(Box::new(move |status| {
            told.send((name, status.code())).unwrap();
            assert_ne!(name, "bad", "as it should");
        }))
    }

    #[test]
    fn each_is_told_once_whatever_becomes_of_the_others() {
        let (told, heard) = channel();
        let mut hooks = EndHooks::default();
        ["outer", "bad", "inner"].into_iter().for_each(|name| hooks.add(hook(name, &told)));
        hooks.tell(&Status::ok());
        let all: Vec<_> = heard.try_iter().collect();
        assert_eq!(all, [("inner", Code::Ok), ("bad", Code::Ok), ("outer", Code::Ok)]);
    }

    #[test]
    fn they_are_told_where_a_panic_goes_by() {
        let (told, heard) = channel();
        let mut hooks = EndHooks::default();
        ["outer", "bad"].into_iter().for_each(|name| hooks.add(hook(name, &told)));
        let gone = catch_unwind(AssertUnwindSafe(move || {
            let _hooks = hooks;
            panic!("of a listener");
        }));
        assert!(gone.is_err());
        let all: Vec<_> = heard.try_iter().collect();
        assert_eq!(all, [("bad", Code::Internal), ("outer", Code::Internal)]);
    }
}
