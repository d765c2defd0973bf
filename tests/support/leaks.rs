//! What the process holds: the library's threads by name, and its open descriptors.

use super::eventually;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// How the names of the library's threads begin.
const OURS: &str = "grpc";

/// Counted at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// How many threads have each name.
    pub threads: BTreeMap<String, usize>,
    /// What each descriptor leads to, without the numbers that differ: `socket`, `anon_inode:[eventfd]`, a path.
    pub descriptors: BTreeMap<String, usize>,
}

impl Holdings {
    pub fn now() -> Self {
        Self { threads: threads(), descriptors: descriptors() }
    }

    pub fn thread_count(&self) -> usize {
        self.threads.values().sum()
    }

    /// Fails unless the process comes back to holding no more than this. What a peer or a proxy still closes takes a
    /// moment, so it is asked more than once.
    pub fn assert_no_more(&self) {
        self.assert_no_more_within(Duration::from_secs(10));
    }

    pub fn assert_no_more_within(&self, limit: Duration) {
        let mut last = Vec::new();
        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(limit, "nothing is left over", || {
                last = Self::now().beyond(self);
                last.is_empty()
            });
        }));
        assert!(gone.is_ok(), "left over: {last:?}");
    }

    fn beyond(&self, before: &Self) -> Vec<String> {
        let mut more = Vec::new();
        for (now, then) in
            [(&self.threads, &before.threads), (&self.descriptors, &before.descriptors)]
        {
            for (name, count) in now {
                let had = then.get(name).copied().unwrap_or(0);
                if *count > had {
                    more.push(format!("{name} {had} -> {count}"));
                }
            }
        }
        more
    }
}

fn threads() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task").unwrap().flatten() {
        // A thread may end between the two.
        let Ok(name) = fs::read_to_string(entry.path().join("comm")) else { continue };
        // The test harness starts and ends threads of its own all the time.
        if name.starts_with(OURS) {
            *found.entry(name.trim_end().to_owned()).or_default() += 1;
        }
    }
    found
}

fn descriptors() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if let Ok(to) = fs::read_link(entry.path()) {
            let to = to.to_string_lossy().into_owned();
            // The one that reads this very folder.
            if to.ends_with("/fd") {
                continue;
            }
            let kind = to
                .split_once(":[")
                .map_or(to.as_str(), |(kind, _)| if kind == "anon_inode" { &to } else { kind });
            *found.entry(kind.to_owned()).or_default() += 1;
        }
    }
    found
}

/// Resident memory of the process, in bytes.
pub fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Processor time of the process so far.
pub fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}
