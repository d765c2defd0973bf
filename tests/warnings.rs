//! Mistakes that are no errors are told to the log.

use grpc_threads::{ThreadPool, server};
use std::sync::Mutex;

/// What the library has logged as a warning.
struct Warnings(Mutex<Vec<String>>);

static WARNINGS: Warnings = Warnings(Mutex::new(Vec::new()));

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

fn told(words: &str) -> usize {
    WARNINGS.0.lock().unwrap().iter().filter(|text| text.contains(words)).count()
}

#[test]
fn a_server_that_listens_nowhere_says_so() {
    log::set_logger(&WARNINGS).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let well = server(ThreadPool::new(1));
    well.add_insecure_port("127.0.0.1:0").unwrap();
    well.start().unwrap();
    assert_eq!(told("add_insecure_port"), 0);
    let deaf = server(ThreadPool::new(1));
    deaf.start().unwrap();
    assert_eq!(told("listens nowhere: see add_insecure_port"), 1);
    assert_ne!(deaf.add_insecure_port("127.0.0.1:0").unwrap(), 0, "later is not too late");
}
