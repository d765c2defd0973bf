//! The machine in virtual time.

use super::*;

const MIDDLE: u64 = 0x7fff;

struct Bed {
    machine: Machine,
    now: Instant,
}

impl Bed {
    fn new() -> Self {
        // The origin of virtual time; only differences count.
        Self { machine: Machine::new(Timing::default()), now: crate::reactor::clock::now() }
    }

    fn want(&mut self, lasting: bool) -> Option<Attempt> {
        self.machine.want(lasting, self.now, MIDDLE).map(|connect| connect.attempt)
    }

    fn pass(&mut self, seconds: f64) -> Option<Attempt> {
        self.now += Duration::from_secs_f64(seconds);
        self.machine.timeout(false, self.now, MIDDLE).map(|connect| connect.attempt)
    }

    fn fail(&mut self, attempt: Attempt) {
        assert!(self.machine.failed(attempt, "refused".into()));
    }

    fn up(&mut self, attempt: Attempt) {
        assert!(self.machine.up(attempt));
    }

    fn gone(&mut self, answered: bool) {
        self.machine.gone(answered, "closed".into(), self.now);
    }

    fn state(&self) -> Connectivity {
        self.machine.state()
    }
}

#[test]
fn a_channel_is_idle_until_somebody_asks() {
    let mut bed = Bed::new();
    assert_eq!(bed.state(), Connectivity::Idle);
    assert_eq!(bed.machine.poll_timeout(), None);
    assert!(bed.pass(1e6).is_none());
    assert!(bed.want(false).is_some());
    assert_eq!(bed.state(), Connectivity::Connecting);
    assert!(bed.want(true).is_none(), "one attempt at a time");
}

#[test]
fn up_is_ready_and_forgets_the_failures() {
    let mut bed = Bed::new();
    let first = bed.want(true).unwrap();
    bed.fail(first);
    let second = bed.pass(1.01).unwrap();
    assert!(bed.machine.up(second));
    assert_eq!((bed.state(), bed.machine.cause()), (Connectivity::Ready, ""));
    bed.gone(true);
    assert_eq!((bed.state(), bed.machine.cause()), (Connectivity::Idle, "closed"));
    // K5: only success resets the pause; it is 1 s again now.
    let third = bed.want(true).unwrap();
    bed.fail(third);
    assert!(bed.pass(0.99).is_none());
    assert!(bed.pass(0.02).is_some());
}

#[test]
fn k5_connections_of_no_use_do_not_exceed_the_algorithm() {
    let mut bed = Bed::new();
    let begin = bed.now;
    let mut begun = Vec::new();
    // The peer sends SETTINGS, then breaks the connection; somebody always wants one.
    let mut attempt = bed.want(true);
    while begun.len() < 6 {
        match attempt.take() {
            Some(attempt) => {
                begun.push((bed.now - begin).as_secs_f64());
                bed.up(attempt);
                bed.now += Duration::from_millis(2);
                bed.gone(false);
            }
            None => bed.now = bed.machine.poll_timeout().expect("a pause"),
        }
        attempt = bed.want(true);
        attempt = attempt.or(bed.machine.timeout(true, bed.now, MIDDLE).map(|c| c.attempt));
    }
    // One is replaced at once (W69: no call is lost to it), and pauses grow from there.
    for (found, wanted) in begun.iter().zip([0.0, 0.0, 1.6, 4.16, 8.256, 14.8096]) {
        assert!((found - wanted).abs() < 0.01, "{begun:?}");
    }
}

#[test]
fn k5_a_connection_was_a_success_once_it_has_answered_or_outlived_its_pause() {
    for answered in [true, false] {
        let mut bed = Bed::new();
        for _ in 0..10 {
            let attempt = bed.want(true).expect("at once");
            bed.up(attempt);
            bed.now += Duration::from_secs_f64(if answered { 0.0 } else { 1.01 });
            bed.gone(answered);
            assert_eq!(bed.state(), Connectivity::Idle);
        }
    }
}

#[test]
fn a_connection_of_no_use_is_a_failed_attempt_with_a_cause() {
    let mut bed = Bed::new();
    for state in [Connectivity::Idle, Connectivity::TransientFailure] {
        let attempt = bed.want(false).unwrap();
        bed.up(attempt);
        bed.gone(false);
        assert_eq!((bed.state(), bed.machine.cause()), (state, "closed"));
    }
    assert!(bed.want(false).is_none());
    assert!(bed.pass(1.7).is_none(), "nobody waits");
    assert_eq!(bed.state(), Connectivity::Idle);
    // A success makes up for it.
    let attempt = bed.want(false).unwrap();
    bed.up(attempt);
    bed.gone(true);
    let attempt = bed.want(false).unwrap();
    bed.up(attempt);
    bed.gone(false);
    assert!(bed.want(false).is_some());
}

#[test]
fn k5_attempts_go_on_while_wanted_with_growing_pauses() {
    let mut bed = Bed::new();
    let mut attempt = bed.want(true).unwrap();
    for pause in [1.0, 1.6, 2.56] {
        bed.fail(attempt);
        assert_eq!(bed.state(), Connectivity::TransientFailure);
        assert!(bed.pass(pause - 0.01).is_none());
        attempt = bed.pass(0.02).expect("the pause is over");
    }
}

#[test]
fn nobody_wants_it_idle_after_the_pause() {
    let mut bed = Bed::new();
    let attempt = bed.want(false).unwrap();
    bed.fail(attempt);
    assert!(bed.pass(1.01).is_none());
    assert_eq!(bed.state(), Connectivity::Idle);
    assert_eq!(bed.machine.poll_timeout(), None, "nothing wakes an unused channel");
    // The pause has grown all the same.
    let attempt = bed.want(true).unwrap();
    bed.fail(attempt);
    assert!(bed.pass(1.5).is_none());
    assert!(bed.pass(0.2).is_some());
}

#[test]
fn a_wish_made_during_the_pause_counts() {
    let mut bed = Bed::new();
    let attempt = bed.want(false).unwrap();
    bed.fail(attempt);
    assert!(bed.want(true).is_none());
    assert!(bed.pass(1.01).is_some());
}

#[test]
fn waiting_calls_make_it_try_again() {
    let mut bed = Bed::new();
    let attempt = bed.want(false).unwrap();
    bed.fail(attempt);
    bed.now += Duration::from_secs(2);
    assert!(bed.machine.timeout(true, bed.now, MIDDLE).is_some());
}

#[test]
fn a_reset_ends_the_pause_and_makes_later_ones_short_again() {
    let mut bed = Bed::new();
    let reset = |bed: &mut Bed| bed.machine.reset_backoff(bed.now, MIDDLE);
    assert!(reset(&mut bed).is_none(), "nobody has asked for a connection");
    assert_eq!(bed.state(), Connectivity::Idle);
    let mut attempt = bed.want(true).unwrap();
    for pause in [1.0, 1.6, 2.56] {
        bed.fail(attempt);
        attempt = bed.pass(pause + 0.01).unwrap();
    }
    assert!(reset(&mut bed).is_none(), "one attempt at a time");
    bed.fail(attempt);
    let now = reset(&mut bed).expect("at once").attempt;
    assert_eq!(bed.state(), Connectivity::Connecting);
    bed.fail(now);
    assert!(bed.pass(0.99).is_none());
    let next = bed.pass(0.02).expect("as after a first failure");
    bed.up(next);
    assert!(reset(&mut bed).is_none());
    bed.machine.close();
    assert!(reset(&mut bed).is_none());
    assert_eq!(bed.state(), Connectivity::Shutdown);
}

#[test]
fn an_attempt_has_twenty_seconds() {
    let mut bed = Bed::new();
    bed.want(true).unwrap();
    assert!(bed.pass(19.9).is_none());
    assert_eq!(bed.state(), Connectivity::Connecting);
    assert!(bed.pass(0.2).is_none());
    assert_eq!(bed.state(), Connectivity::TransientFailure);
    assert!(bed.machine.cause().contains("20s"), "{}", bed.machine.cause());
    // The pause counts from the beginning of the attempt, so it is over.
    assert!(bed.pass(0.0).is_some());
}

#[test]
fn reports_of_older_attempts_are_ignored() {
    let mut bed = Bed::new();
    let old = bed.want(true).unwrap();
    bed.fail(old);
    let new = bed.pass(1.01).unwrap();
    assert!(!bed.machine.up(old));
    assert!(!bed.machine.failed(old, "late".into()));
    assert_eq!(bed.state(), Connectivity::Connecting);
    assert!(bed.machine.up(new));
    assert!(!bed.machine.failed(new, "late".into()));
    assert_eq!(bed.state(), Connectivity::Ready);
}

#[test]
fn shutdown_is_the_end() {
    let mut bed = Bed::new();
    let attempt = bed.want(true).unwrap();
    bed.machine.close();
    assert!(!bed.machine.up(attempt));
    assert!(bed.want(true).is_none());
    assert!(bed.pass(1e4).is_none());
    bed.gone(true);
    assert_eq!(bed.state(), Connectivity::Shutdown);
}

#[test]
fn k5_a_hundred_channels_for_an_hour_keep_to_the_algorithm() {
    let mut total = 0;
    for channel in 0..100_u64 {
        let mut bed = Bed::new();
        let mut attempt = bed.want(true);
        let end = bed.now + Duration::from_secs(3600);
        while bed.now < end {
            if let Some(attempt) = attempt.take() {
                total += 1;
                bed.fail(attempt);
            }
            bed.now = bed.machine.poll_timeout().unwrap();
            let random = channel.wrapping_mul(7919).wrapping_add(total * 31);
            attempt = bed.machine.timeout(false, bed.now, random).map(|c| c.attempt);
        }
    }
    // 11 attempts to reach 120 s (about 290 s), then one in about 120 s.
    assert!((3200..4600).contains(&total), "{total}");
}

#[test]
fn a_connection_that_nobody_uses_is_no_failure() {
    let mut bed = Bed::new();
    let first = bed.want(false).unwrap();
    bed.up(first);
    bed.machine.rest();
    assert_eq!((bed.state(), bed.machine.cause()), (Connectivity::Idle, "nobody used it"));
    // At once, though the pause of the first attempt is not over, and it was of no use.
    let second = bed.want(false).unwrap();
    bed.machine.rest();
    assert_eq!(bed.state(), Connectivity::Connecting, "there is none to be given up");
    bed.up(second);
    assert_eq!(bed.state(), Connectivity::Ready);
}
