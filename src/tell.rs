//! The lines of the log, and where a panic ends.
//!
//! The program's logger is code of the user's, as is all that a line shows. It may panic, and what stands behind the line
//! has to be done all the same: a link that is over has to be told of, or whoever waits for its end waits for ever.
//! So this is the one place that names the `log` crate (`tell::error!`, `warn!` and `debug!`): what a line does
//! wrong ends here and costs that line alone. A line that nobody wants to hear costs a look at one number; its arguments
//! are not evaluated.
//!
//! No lock is held where a line is told, for a logger may come back into the library.
//!
//! Here is also the one `catch_unwind` ([`contain`]), which contains the `Drop` of what was thrown as well.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `code`; a panic of it ends here.
pub(crate) fn contain<R>(code: impl FnOnce() -> R) -> Result<R, Thrown> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|thrown| Thrown(Some(thrown)))
}

/// What a panic has thrown. To drop it may throw again: that ends here, too.
#[derive(Debug)]
pub(crate) struct Thrown(Option<Box<dyn Any + Send>>);

impl Thrown {
    /// Its text, where it has one.
    pub(crate) fn text(&self) -> &str {
        let Some(thrown) = &self.0 else { return NO_TEXT };
        let text = thrown.downcast_ref::<&str>().copied();
        text.or_else(|| thrown.downcast_ref::<String>().map(String::as_str)).unwrap_or(NO_TEXT)
    }
}

impl Drop for Thrown {
    fn drop(&mut self) {
        let thrown = self.0.take();
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(thrown))) {
            // What throws whenever it is dropped would never come to an end.
            mem::forget(again);
        }
    }
}

/// Whether lines of this level are told at all. Asks the logger nothing.
#[inline]
pub(crate) fn hears(level: log::Level) -> bool {
    level <= log::STATIC_MAX_LEVEL && level <= log::max_level()
}

/// Whether it is worth noting what a line of [`debug!`] would say.
#[inline]
pub(crate) fn hears_debug() -> bool {
    hears(log::Level::Debug)
}

/// Tells one line. Nothing is said of a panic: there is nobody else to tell.
#[cold]
pub(crate) fn tell(line: &dyn Fn()) {
    drop(contain(line));
}

/// One line. Its target is the module that it stands in.
macro_rules! line {
    ($level:ident, $($text:tt)+) => {
        if $crate::tell::hears(::log::Level::$level) {
            $crate::tell::tell(&|| {
                if ::log::log_enabled!(::log::Level::$level) {
                    ::log::log!(::log::Level::$level, $($text)+);
                }
            });
        }
    };
}

macro_rules! error {
    ($($text:tt)+) => { $crate::tell::line!(Error, $($text)+) };
}

/// A name of its own: an attribute is called `warn`.
macro_rules! warning {
    ($($text:tt)+) => { $crate::tell::line!(Warn, $($text)+) };
}

macro_rules! debug {
    ($($text:tt)+) => { $crate::tell::line!(Debug, $($text)+) };
}

pub(crate) use {debug, error, line, warning as warn};

const NO_TEXT: &str = "(no text)";

#[cfg(test)]
mod tests {
    use std::panic::{panic_any, resume_unwind};

    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new(Bomb));
        }
    }

    #[test]
    fn a_panic_ends_here_and_so_does_the_drop_of_what_it_threw() {
        assert_eq!(contain(|| 7).unwrap(), 7);
        let text = |code: fn()| contain(code).unwrap_err().text().to_owned();
        assert_eq!(text(|| panic!("it")), "it");
        assert_eq!(text(|| panic!("it is {}", 7)), "it is 7");
        assert_eq!(text(|| panic_any(7_u8)), NO_TEXT);
        assert_eq!(text(|| resume_unwind(Box::new(Bomb))), NO_TEXT);
    }

    #[test]
    fn a_line_that_nobody_hears_evaluates_nothing() {
        // No logger and no level is set among the unit tests.
        let evaluated = std::cell::Cell::new(false);
        if !hears_debug() {
            debug!("{}", evaluated.replace(true));
        }
        assert!(!evaluated.get());
        tell(&|| panic!("a logger that panics"));
        tell(&|| resume_unwind(Box::new(Bomb)));
    }
}
