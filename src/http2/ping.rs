//! PING in its three uses: keepalive, round-trip time, and the strikes against peers that
//! ping too much.
//!
//! Owns timers as numbers: what to send and when to give up, out of `now`. Deliberately ignores
//! frames and streams: the connection says what was read, sent and acknowledged.
//! RFC 9113 §6.7; gRPC proposals A8 (client keepalive) and A9 (server keepalive, enforcement).
//! No locks, no threads, no clock.

use std::time::{Duration, Instant};

use crate::deadline::Deadline;

/// Our own PINGs say in their payload what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Is the peer alive?
    Alive,
    /// How long is the way?
    RoundTrip,
    /// Has the peer seen our first GOAWAY (W67)?
    Drain,
}

impl Probe {
    pub(crate) fn payload(self) -> [u8; 8] {
        match self {
            Self::Alive => *b"\0gt-live",
            Self::RoundTrip => *b"\0gt-rtt\0",
            Self::Drain => *b"\0gt-gone",
        }
    }

    pub(crate) fn of(payload: [u8; 8]) -> Option<Self> {
        [Self::Alive, Self::RoundTrip, Self::Drain].into_iter().find(|p| p.payload() == payload)
    }
}

/// When to ask a silent peer whether it lives, and how long to wait for any sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepaliveOptions {
    /// Silence after which a PING is sent; `None`: never.
    pub(crate) time: Option<Duration>,
    /// Silence after that PING which means death.
    pub(crate) timeout: Duration,
    /// Ping without calls too.
    pub(crate) without_calls: bool,
}

/// The keepalive timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    options: KeepaliveOptions,
    last_read: Instant,
    waiting: Waiting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    No,
    Until(Deadline),
}

/// What a tick of the timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    Dead,
}

impl Keepalive {
    pub(crate) fn new(options: KeepaliveOptions, now: Instant) -> Self {
        Self { options, last_read: now, waiting: Waiting::No }
    }

    /// K4: any octet read is life.
    #[inline]
    pub(crate) fn on_read(&mut self, now: Instant) {
        self.last_read = now;
        self.waiting = Waiting::No;
    }

    pub(crate) fn tick(&mut self, now: Instant, active: bool) -> Due {
        match self.waiting {
            Waiting::Until(at) if at.expired(now) => return Due::Dead,
            Waiting::Until(_) => {}
            Waiting::No => {
                if self.next_ping(active).is_some_and(|at| now >= at) {
                    self.waiting = Waiting::Until(Deadline::after(now, self.options.timeout));
                    return Due::Ping;
                }
            }
        }
        Due::Nothing
    }

    pub(crate) fn deadline(&self, active: bool) -> Option<Instant> {
        match self.waiting {
            Waiting::No => self.next_ping(active),
            Waiting::Until(at) => at.instant(),
        }
    }

    /// Whether the peer was asked, and has not said a word since.
    #[cfg(feature = "testing")]
    pub(crate) fn asks(&self) -> bool {
        self.waiting != Waiting::No
    }

    fn next_ping(&self, active: bool) -> Option<Instant> {
        let time = self.options.time.filter(|_| active || self.options.without_calls)?;
        self.last_read.checked_add(time)
    }
}

/// The round-trip time: from SETTINGS to ACK first, then by rare probes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    /// It comes from probes, not from the exchange of SETTINGS.
    probed: bool,
    /// When the outstanding probe was sent.
    sent: Option<Instant>,
    last_probe: Option<Instant>,
    spacing: Duration,
    /// DATA octets received since the last probe.
    data: usize,
    /// A window grew since the last probe.
    grew: bool,
    /// A head or a whole message came since the last probe.
    fresh: bool,
}

impl RoundTrip {
    pub(crate) fn new() -> Self {
        Self {
            smoothed: None,
            probed: false,
            sent: None,
            last_probe: None,
            spacing: MIN_SPACING,
            data: 0,
            grew: false,
            fresh: false,
        }
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// A rough first guess: the peer may have had other things to do before its ACK.
    pub(crate) fn on_settings(&mut self, rtt: Duration) {
        self.smoothed = Some(rtt);
    }

    /// The peer has sent a head, or a message to its end.
    #[inline]
    pub(crate) fn on_message(&mut self) {
        self.fresh = true;
    }

    /// DATA came in. True: send a probe now.
    ///
    /// K3: only where the peer has just sent us DATA, which clears its strikes, and 64 KiB of it
    /// since the last probe; rarer while nothing changes. And once in a message at most, however long it takes to come:
    /// some peers forgive only when they begin the next one.
    #[inline]
    pub(crate) fn on_data(&mut self, n: usize, now: Instant) -> bool {
        self.data += n;
        if self.data < PROBE_AFTER || self.sent.is_some() || !self.fresh {
            return false;
        }
        if self.last_probe.is_some_and(|at| now.saturating_duration_since(at) < self.spacing) {
            return false;
        }
        if self.last_probe.is_some() {
            let grew = std::mem::take(&mut self.grew);
            self.spacing = if grew { MIN_SPACING } else { (self.spacing * 2).min(MAX_SPACING) };
        }
        self.fresh = false;
        self.sent = Some(now);
        self.last_probe = Some(now);
        self.data = 0;
        true
    }

    pub(crate) fn on_ack(&mut self, now: Instant) {
        let Some(sent) = self.sent.take() else { return };
        let rtt = now.saturating_duration_since(sent);
        self.smoothed = Some(match self.smoothed.filter(|_| self.probed) {
            Some(old) => (old * 7 + rtt) / 8,
            None => rtt,
        });
        self.probed = true;
    }

    pub(crate) fn on_growth(&mut self) {
        self.grew = true;
        self.spacing = MIN_SPACING;
    }
}

/// What a server tolerates of PINGs (gRPC proposal A8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enforcement {
    /// Least time between PINGs; `None`: no enforcement.
    pub(crate) min_interval: Option<Duration>,
    /// PINGs without calls are judged by `min_interval` too, else by two hours.
    pub(crate) without_calls: bool,
    /// How many bad PINGs are forgiven.
    pub(crate) max_strikes: u32,
}

/// The count of bad PINGs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strikes {
    rules: Enforcement,
    last_valid: Option<Instant>,
    strikes: u32,
}

impl Strikes {
    pub(crate) fn new(rules: Enforcement) -> Self {
        Self { rules, last_valid: None, strikes: 0 }
    }

    /// We sent HEADERS or DATA: the clock and the count start anew (K1).
    #[inline]
    pub(crate) fn on_sent(&mut self) {
        self.last_valid = None;
        self.strikes = 0;
    }

    /// A PING came in. False: one too many, the connection has to go.
    #[must_use]
    pub(crate) fn on_ping(&mut self, now: Instant, active: bool) -> bool {
        let Some(min) = self.rules.min_interval else { return true };
        let least = if active || self.rules.without_calls { min } else { WITHOUT_CALLS };
        if self.last_valid.is_some_and(|at| now.saturating_duration_since(at) < least) {
            self.strikes += 1;
            return self.strikes <= self.rules.max_strikes;
        }
        self.last_valid = Some(now);
        true
    }
}

const WITHOUT_CALLS: Duration = Duration::from_secs(2 * 3600);
const PROBE_AFTER: usize = 64 * 1024;
const MIN_SPACING: Duration = Duration::from_millis(100);
const MAX_SPACING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::conn::tests::start;

    const SECOND: Duration = Duration::from_secs(1);

    fn keepalive(time: Option<u64>, without_calls: bool) -> Keepalive {
        let time = time.map(Duration::from_secs);
        Keepalive::new(
            KeepaliveOptions { time, timeout: Duration::from_secs(20), without_calls },
            start(),
        )
    }

    #[test]
    fn keepalive_pings_after_silence_and_dies_after_the_timeout() {
        let t = start();
        let mut k = keepalive(Some(10), false);
        assert_eq!(k.deadline(true), Some(t + SECOND * 10));
        assert_eq!(k.tick(t + SECOND * 10 - Duration::from_nanos(1), true), Due::Nothing);
        assert_eq!(k.tick(t + SECOND * 10, true), Due::Ping);
        assert_eq!(k.tick(t + SECOND * 10, true), Due::Nothing, "one PING at a time");
        assert_eq!(k.deadline(true), Some(t + SECOND * 30));
        assert_eq!(k.tick(t + SECOND * 30 - Duration::from_nanos(1), true), Due::Nothing);
        assert_eq!(k.tick(t + SECOND * 30, true), Due::Dead);
    }

    #[test]
    fn k4_any_octet_is_life() {
        let t = start();
        let mut k = keepalive(Some(10), false);
        assert_eq!(k.tick(t + SECOND * 10, true), Due::Ping);
        k.on_read(t + SECOND * 29);
        assert_eq!(k.tick(t + SECOND * 30, true), Due::Nothing);
        assert_eq!(k.deadline(true), Some(t + SECOND * 39));
    }

    #[test]
    fn keepalive_sleeps_without_calls_and_pings_at_once_when_one_starts() {
        let t = start();
        let mut k = keepalive(Some(10), false);
        assert_eq!(k.deadline(false), None);
        assert_eq!(k.tick(t + SECOND * 3600, false), Due::Nothing);
        assert!(k.deadline(true) <= Some(t + SECOND * 3600));
        assert_eq!(k.tick(t + SECOND * 3600, true), Due::Ping);
        assert_eq!(keepalive(None, true).deadline(true), None, "off by default on clients");
        assert_eq!(keepalive(Some(10), true).deadline(false), Some(t + SECOND * 10));
    }

    #[test]
    fn keepalive_times_beyond_the_clock_are_never() {
        let t = start();
        for timeout in [Duration::MAX, Duration::from_secs(u64::MAX)] {
            let time = Some(SECOND * 10);
            let options = KeepaliveOptions { time, timeout, without_calls: true };
            let mut k = Keepalive::new(options, t);
            assert_eq!(k.tick(t + SECOND * 10, true), Due::Ping);
            assert_eq!(k.deadline(true), None);
            assert_eq!(k.tick(t + SECOND * 1_000_000, true), Due::Nothing);
            k.on_read(t + SECOND * 20);
            assert_eq!(k.deadline(true), Some(t + SECOND * 30));
            let never = KeepaliveOptions { time: Some(timeout), ..options };
            assert_eq!(Keepalive::new(never, t).deadline(true), None);
        }
    }

    #[test]
    fn k1_three_strikes_within_five_minutes_but_not_after_data() {
        let rules =
            Enforcement { min_interval: Some(SECOND * 300), without_calls: false, max_strikes: 2 };
        let t = start();
        let mut s = Strikes::new(rules);
        assert!(s.on_ping(t, true), "the first is free");
        assert!(s.on_ping(t + SECOND * 300, true), "exactly the interval");
        assert!(s.on_ping(t + SECOND * 599, true), "one strike");
        assert!(s.on_ping(t + SECOND * 599, true), "two strikes");
        s.on_sent();
        assert!(s.on_ping(t + SECOND * 599, true));
        assert!(s.on_ping(t + SECOND * 599, true));
        assert!(s.on_ping(t + SECOND * 599, true));
        assert!(!s.on_ping(t + SECOND * 599, true));
    }

    #[test]
    fn k1_without_calls_two_hours_are_asked_for() {
        let mut rules =
            Enforcement { min_interval: Some(SECOND * 300), without_calls: false, max_strikes: 0 };
        let t = start();
        let mut s = Strikes::new(rules);
        assert!(s.on_ping(t, false));
        assert!(s.on_ping(t + SECOND * 7200, false));
        assert!(!s.on_ping(t + SECOND * 7200 + SECOND * 7199, false));
        rules.without_calls = true;
        let mut s = Strikes::new(rules);
        assert!(s.on_ping(t, false));
        assert!(s.on_ping(t + SECOND * 300, false));
    }

    #[test]
    fn k3_probes_are_rare_and_never_for_little_data() {
        let t = start();
        let mut r = RoundTrip::new();
        r.on_message();
        assert!(!r.on_data(65_535, t));
        assert!(r.on_data(1, t));
        assert!(!r.on_data(1 << 20, t + SECOND), "one at a time");
        r.on_ack(t + SECOND);
        assert_eq!(r.smoothed(), Some(SECOND));
        let mut probes = 0;
        for ms in 1_000..61_000u64 {
            let now = t + Duration::from_millis(ms);
            r.on_message();
            if r.on_data(1 << 20, now) {
                probes += 1;
                r.on_ack(now);
            }
        }
        assert!((8..=16).contains(&probes), "{probes} in a minute");
    }

    #[test]
    fn k3_one_probe_in_a_message_however_long_it_takes() {
        let t = start();
        let mut r = RoundTrip::new();
        let probes = |r: &mut RoundTrip| {
            let mut sent = 0;
            for s in 0..100 {
                // Windows grow with each: the spacing stays short.
                r.on_growth();
                if r.on_data(1 << 20, t + SECOND * s) {
                    sent += 1;
                    r.on_ack(t + SECOND * s);
                }
            }
            sent
        };
        assert_eq!(probes(&mut r), 0, "no head yet");
        for _ in 0..3 {
            r.on_message();
            assert_eq!(probes(&mut r), 1);
        }
    }

    #[test]
    fn probes_are_known_by_their_payload() {
        for p in [Probe::Alive, Probe::RoundTrip, Probe::Drain] {
            assert_eq!(Probe::of(p.payload()), Some(p));
        }
        assert_eq!(Probe::of([0; 8]), None);
    }
}
