//! A logger that keeps what it is told. The process has one: the tests of a file share it, and see each other's lines.

use super::LONG;
use std::sync::{Condvar, Mutex};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static MORE: Condvar = Condvar::new();

struct Keep;

impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let (level, target, text) = (record.level(), record.target(), record.args());
        LINES.lock().unwrap().push(format!("{level} {target} {text}"));
        MORE.notify_all();
    }

    fn flush(&self) {}
}

/// From here on lines down to `level` are kept, each as `LEVEL target text`. All tests of a file want the same level.
pub fn listen(level: log::LevelFilter) {
    // Another test may have set it before.
    let _ = log::set_logger(&Keep);
    log::set_max_level(level);
}

/// Whether a line with all these parts comes: the answer may be out before it.
pub fn logged(parts: &[&str]) -> bool {
    let lines = LINES.lock().unwrap();
    let none = |lines: &mut Vec<String>| !lines.iter().any(|line| has(line, parts));
    !MORE.wait_timeout_while(lines, LONG, none).unwrap().1.timed_out()
}

/// How many lines with all these parts have come.
pub fn count(parts: &[&str]) -> usize {
    LINES.lock().unwrap().iter().filter(|line| has(line, parts)).count()
}

/// All that have come.
pub fn lines() -> Vec<String> {
    LINES.lock().unwrap().clone()
}

fn has(line: &str, parts: &[&str]) -> bool {
    parts.iter().all(|part| line.contains(part))
}
