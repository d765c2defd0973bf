//! The measured window, the histogram of latencies and the JSON line of the report.

#![allow(clippy::disallowed_methods, reason = "a program for measuring reads the clock itself")]

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Options;

/// Where a run is. The callers read it at every message, the main thread sets it.
#[derive(Default)]
pub(crate) struct Phase(AtomicU8);

impl Phase {
    /// What completes now counts.
    #[inline]
    pub(crate) fn measuring(&self) -> bool {
        self.0.load(Ordering::Relaxed) == MEASURE
    }

    /// The callers are to come to an end.
    #[inline]
    pub(crate) fn stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed) == STOP
    }

    /// Warms up, measures, and stops the callers.
    pub(crate) fn run(&self, options: &Options) -> Window {
        sleep(options.warmup);
        let window = self.measure(options.duration);
        self.0.store(STOP, Ordering::SeqCst);
        window
    }

    /// Opens the measured window, sleeps, and closes it.
    ///
    /// `BEGIN` and `END` on stderr tell the harness when to read what the system says of client
    /// and server. The load goes on a little after `END`, so that all is still there to be read.
    pub(crate) fn measure(&self, duration: Duration) -> Window {
        self.0.store(MEASURE, Ordering::SeqCst);
        let (start, cpu) = (Instant::now(), cpu_seconds());
        eprintln!("BEGIN");
        sleep(duration);
        self.0.store(WARM, Ordering::SeqCst);
        let window =
            Window { seconds: start.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds() - cpu };
        eprintln!("END");
        sleep(Duration::from_millis(40));
        window
    }
}

const WARM: u8 = 0; // also after the measured time
const MEASURE: u8 = 1;
const STOP: u8 = 2;

/// How long was measured, and what CPU time this process used in it.
pub(crate) struct Window {
    seconds: f64,
    cpu_seconds: f64,
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// What one caller, or all of them, got done.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) latency: Histogram,
    pub(crate) rpcs: u64,
    pub(crate) msgs: u64,
    pub(crate) bytes: u64,
    errors: u64,
    first_error: Option<String>,
}

impl Stats {
    pub(crate) fn error(&mut self, error: impl Display) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    pub(crate) fn merge(&mut self, other: Stats) {
        self.latency.merge(&other.latency);
        self.rpcs += other.rpcs;
        self.msgs += other.msgs;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// The line that the harness reads.
    pub(crate) fn report(&self, options: &Options, window: &Window) -> String {
        let seconds = window.seconds.max(1e-9);
        let mut line = String::from("{\"peer\":");
        quote(&mut line, &options.peer);
        line.push_str(",\"mode\":");
        quote(&mut line, &options.mode);
        let mut number = |name: &str, value: f64, digits: usize| {
            let _ = write!(line, ",\"{name}\":{value:.digits$}");
        };
        number("threads", options.threads as f64, 0);
        number("conns", options.conns as f64, 0);
        number("inflight", options.inflight as f64, 0);
        number("req", options.req as f64, 0);
        number("resp", options.resp as f64, 0);
        number("seconds", window.seconds, 6);
        number("rpcs", self.rpcs as f64, 0);
        number("msgs", self.msgs as f64, 0);
        number("bytes", self.bytes as f64, 0);
        number("rps", self.rpcs as f64 / seconds, 2);
        number("msgs_per_s", self.msgs as f64 / seconds, 2);
        number("mb_per_s", self.bytes as f64 / seconds / 1e6, 4);
        number("cpu_client_s", window.cpu_seconds, 6);
        number("errors", self.errors as f64, 0);
        line.push_str(",\"tls\":false,\"lat_us\":");
        self.latency.report(&mut line);
        line.push_str(",\"first_error\":");
        match &self.first_error {
            Some(error) => quote(&mut line, error),
            None => line.push_str("null"),
        }
        line + "}"
    }
}

/// Appends a JSON string, cut to a readable length.
fn quote(line: &mut String, text: &str) {
    line.push('"');
    for c in text.chars().take(300) {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            c if c.is_control() => line.push(' '),
            c => line.push(c),
        }
    }
    line.push('"');
}

/// Counts of nanoseconds, 128 steps to each power of two: no value is off by more than 0.8 %.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; 58 * STEPS], total: 0, max: 0 }
    }
}

const STEPS: usize = 128;

impl Histogram {
    pub(crate) fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[index(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    fn merge(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    fn quantile(&self, q: f64) -> u64 {
        let wanted = ((self.total as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(self.max, value).min(self.max)
    }

    fn report(&self, line: &mut String) {
        if self.total == 0 {
            line.push_str("null");
            return;
        }
        line.push('{');
        for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            let _ = write!(line, "\"{name}\":{:.2},", self.quantile(q) as f64 / 1e3);
        }
        let _ = write!(line, "\"max\":{:.2},\"n\":{}}}", self.max as f64 / 1e3, self.total);
    }
}

/// Below 256 each value has a bucket of its own; above, its top eight bits choose it.
fn index(nanos: u64) -> usize {
    let shift = 56u32.saturating_sub(nanos.leading_zeros());
    shift as usize * STEPS + (nanos >> shift) as usize
}

/// The middle of a bucket.
fn value(index: usize) -> u64 {
    let shift = (index / STEPS).saturating_sub(1);
    (((index - shift * STEPS) as u64) << shift) + (1u64 << shift) / 2
}
