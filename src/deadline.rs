//! When a call has to be over: [`Deadline`], and its text on the wire, `grpc-timeout`.
//!
//! Knows neither the clock nor timers: `now` is always an argument.
//! The text is that of the gRPC document "gRPC over HTTP2"
//! (`doc/PROTOCOL-HTTP2.md`), rule `Timeout`.

use std::time::{Duration, Instant};

/// A point in time after which a call is over, or never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline.
    pub(crate) const NEVER: Self = Self(None);

    /// `timeout` from `now`. Times too far away for the clock are never.
    pub(crate) fn after(now: Instant, timeout: Duration) -> Self {
        Self(now.checked_add(timeout))
    }

    /// This instant.
    pub(crate) fn at(instant: Instant) -> Self {
        Self(Some(instant))
    }

    /// The earlier of two.
    pub(crate) fn earliest(a: Self, b: Self) -> Self {
        match (a.0, b.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (one, other) => Self(one.or(other)),
        }
    }

    /// The instant, if there is one.
    pub(crate) fn instant(self) -> Option<Instant> {
        self.0
    }

    /// What is left, zero when it has passed; `None` is for ever.
    pub(crate) fn remaining(self, now: Instant) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(now))
    }

    /// Whether it has passed.
    pub(crate) fn expired(self, now: Instant) -> bool {
        self.0.is_some_and(|at| at <= now)
    }
}

impl From<Option<Instant>> for Deadline {
    fn from(at: Option<Instant>) -> Self {
        Self(at)
    }
}

/// A `grpc-timeout` that does not follow the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadTimeout;

/// The most that fits the rule's eight digits.
const MAX_VALUE: u128 = 99_999_999;

/// Units with their nanoseconds, the finest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3_600 * 1_000_000_000),
];

/// Appends the text of a timeout: the finest unit that takes at most eight
/// digits, rounded up, so that the peer never gives up before we do (W4).
///
/// A time that is over has no text: whoever calls has failed the call before.
pub(crate) fn encode_timeout(timeout: Duration, out: &mut Vec<u8>) {
    let nanos = timeout.as_nanos();
    let (value, unit) = UNITS
        .into_iter()
        .map(|(unit, size)| (nanos.div_ceil(size), unit))
        .find(|(value, _)| *value <= MAX_VALUE)
        .unwrap_or((MAX_VALUE, b'H'));
    let mut digits = [0; 8];
    let mut at = digits.len();
    let mut rest = value;
    while let Some(digit) = at.checked_sub(1).and_then(|index| digits.get_mut(index)) {
        at -= 1;
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
    out.push(unit);
}

/// Reads the text of a timeout (W15).
///
/// § `doc/PROTOCOL-HTTP2.md`: "TimeoutValue → {positive integer as ASCII string of at most 8 digits}".
/// Zero is let through: the call is then over before it begins.
pub(crate) fn parse_timeout(text: &[u8]) -> Result<Duration, BadTimeout> {
    let (unit, digits) = text.split_last().ok_or(BadTimeout)?;
    if digits.is_empty() || digits.len() > 8 {
        return Err(BadTimeout);
    }
    let mut value = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(BadTimeout);
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    // Eight digits of hours are 3.6e11 seconds: nothing here can overflow.
    match unit {
        b'n' => Ok(Duration::from_nanos(value)),
        b'u' => Ok(Duration::from_micros(value)),
        b'm' => Ok(Duration::from_millis(value)),
        b'S' => Ok(Duration::from_secs(value)),
        b'M' => Ok(Duration::from_secs(value * 60)),
        b'H' => Ok(Duration::from_secs(value * 3_600)),
        _ => Err(BadTimeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(timeout: Duration) -> String {
        let mut out = Vec::new();
        encode_timeout(timeout, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn w4_the_finest_unit_that_fits_eight_digits_rounded_up() {
        assert_eq!(text(Duration::from_nanos(1)), "1n");
        assert_eq!(text(Duration::from_nanos(99_999_999)), "99999999n");
        assert_eq!(text(Duration::from_nanos(100_000_000)), "100000u");
        assert_eq!(text(Duration::from_nanos(100_000_001)), "100001u");
        assert_eq!(text(Duration::from_secs(1)), "1000000u");
        assert_eq!(text(Duration::from_secs(100)), "100000m");
        assert_eq!(text(Duration::new(99_999, 999_000_001)), "100000S");
        assert_eq!(text(Duration::from_secs(100_000_000)), "1666667M");
        assert_eq!(text(Duration::MAX), "99999999H");
        assert_eq!(text(Duration::ZERO), "0n");
    }

    #[test]
    fn w4_what_is_read_is_never_less_and_at_most_a_unit_more() {
        let mut nanos = 1_u64;
        while nanos < 1 << 62 {
            for timeout in [nanos - 1, nanos, nanos + 1].map(Duration::from_nanos) {
                let read = parse_timeout(text(timeout).as_bytes()).unwrap();
                assert!(read >= timeout, "{timeout:?} {read:?}");
                assert!(read - timeout <= timeout / 99_999);
            }
            nanos = nanos * 3 + 7;
        }
    }

    #[test]
    fn w15_malformed_timeouts_are_refused() {
        for bad in [
            "",
            "1",
            "S",
            "1s",
            "1h",
            "123456789S",
            "+1S",
            "-1S",
            " 1S",
            "1 S",
            "1S ",
            "1.5S",
            "0x1S",
            "1SS",
            "\u{661}S",
        ] {
            assert_eq!(parse_timeout(bad.as_bytes()), Err(BadTimeout), "{bad:?}");
        }
    }

    #[test]
    fn w15_units_zero_and_huge_hours() {
        assert_eq!(parse_timeout(b"0n"), Ok(Duration::ZERO));
        assert_eq!(parse_timeout(b"00000001S"), Ok(Duration::from_secs(1)));
        assert_eq!(parse_timeout(b"2u"), Ok(Duration::from_micros(2)));
        assert_eq!(parse_timeout(b"2m"), Ok(Duration::from_millis(2)));
        assert_eq!(parse_timeout(b"2M"), Ok(Duration::from_secs(120)));
        let hours = parse_timeout(b"99999999H").unwrap();
        assert_eq!(hours, Duration::from_secs(99_999_999 * 3_600));
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a starting point; nothing waits")]
    fn deadlines_saturate() {
        let now = Instant::now();
        assert_eq!(Deadline::after(now, Duration::MAX), Deadline::NEVER);
        let soon = Deadline::after(now, Duration::from_secs(1));
        assert_eq!(Deadline::earliest(soon, Deadline::NEVER), soon);
        assert_eq!(Deadline::earliest(Deadline::at(now), soon), Deadline::at(now));
        assert!(Deadline::at(now).expired(now) && !soon.expired(now));
        assert!(!Deadline::NEVER.expired(now));
        assert_eq!(soon.remaining(now), Some(Duration::from_secs(1)));
        assert_eq!(Deadline::at(now).remaining(now + Duration::from_secs(1)), Some(Duration::ZERO));
    }
}
