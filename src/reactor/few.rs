//! Tests that run out of what a process may have, or that change what it is. Both are the process's: each has one of its
//! own, so that other tests keep theirs.

use std::fs::File;
use std::process::Command;

/// Set in the process that [`alone`] starts.
const INNER: &str = "GRPC_THREADS_TEST_ALONE";
/// Less than the stack of a thread takes, and enough for everything else.
const PIECE: usize = 512 * 1024;

/// Runs `body` in a process that may have 64 descriptors; `name` is the test's that calls it.
pub(crate) fn with_few(name: &str, body: fn()) {
    limited("ulimit -n 64", name, body);
}

/// Runs `body` in a process that may have a GiB of addresses.
pub(crate) fn with_little(name: &str, body: fn()) {
    limited("ulimit -v 1048576", name, body);
}

/// Runs `body` in a process of its own.
pub(crate) fn alone(name: &str, body: fn()) {
    limited(":", name, body);
}

fn limited(limit: &str, name: &str, body: fn()) {
    if std::env::var_os(INNER).is_some() {
        return body();
    }
    let output = Command::new("sh")
        .args(["-c", &format!("{limit} && exec \"$0\" --exact \"$1\" --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INNER, "1")
        .env_remove("RUST_MIN_STACK")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
}

/// All descriptors that are left.
pub(crate) fn hoard() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// So many addresses that no further thread has room for its stack.
pub(crate) fn hoard_room() -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = std::iter::from_fn(|| {
        let mut piece = Vec::new();
        piece.try_reserve_exact(PIECE).ok().map(|()| piece)
    })
    .collect();
    // What runs on needs a little.
    drop(pieces.pop());
    pieces
}
