//! Tests that run out of descriptors. The limit is the process's: each has one of its own, so that other tests keep theirs.

use std::fs::File;
use std::process::Command;

/// Set in the process that [`with_few`] starts.
const INNER: &str = "GRPC_THREADS_TEST_FEW_DESCRIPTORS";

/// Runs `body` in a process that may have 64 descriptors; `name` is the test's that calls it.
pub(super) fn with_few(name: &str, body: fn()) {
    if std::env::var_os(INNER).is_some() {
        return body();
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INNER, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// All that are left.
pub(super) fn hoard() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}
