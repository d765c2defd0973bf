//! Mistakes that are no errors are told to the log.

mod support;

use grpc_threads::{ThreadPool, server};
use support::logged;

#[test]
fn a_server_that_listens_nowhere_says_so() {
    logged::listen(log::LevelFilter::Warn);
    let well = server(ThreadPool::new(1));
    well.add_insecure_port("127.0.0.1:0").unwrap();
    well.start().unwrap();
    assert_eq!(logged::count(&["add_insecure_port"]), 0);
    let deaf = server(ThreadPool::new(1));
    deaf.start().unwrap();
    assert_eq!(logged::count(&["listens nowhere: see add_insecure_port"]), 1);
    assert_ne!(deaf.add_insecure_port("127.0.0.1:0").unwrap(), 0, "later is not too late");
}
