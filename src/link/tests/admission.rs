//! Who of a connection's requests runs, waits, or ends before: a link's state, by bytes and in virtual time.

use super::*;
use crate::http2::Batch;
use crate::http2::types::Key;

const LIMIT: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(300);

struct Requests {
    state: State,
    side: Side,
    now: Instant,
    /// Requests that were handed over, in order.
    handed: Vec<Key>,
    /// Frames that the link has written: kind, stream, code.
    written: Vec<(u8, u32, u32)>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// HEADERS of a request, with END_STREAM or without.
fn ask(stream: u32, path: &str, timeout: Option<Duration>, end: bool) -> Vec<u8> {
    let mut out = Vec::new();
    RequestTemplate::new(path, "test", false, None).block(
        timeout,
        None,
        &Metadata::new(),
        &mut out,
    );
    frame(1, 4 | u8::from(end), stream, &out)
}

fn whole(stream: u32) -> Vec<u8> {
    [ask(stream, "/echo/Unary", None, false), frame(0, 1, stream, b"\0\0\0\0\x01x")].concat()
}

fn rst(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &Reason::CANCEL.0.to_be_bytes())
}

impl Requests {
    fn new() -> Self {
        let options = Options {
            max_concurrent_streams: LIMIT,
            request_timeout: PATIENCE,
            ..Options::new(Role::Server)
        };
        let now = clock::now();
        let state = State::new(
            Connection::new(Role::Server, &Arc::new(options.clone()), now),
            false,
            &options,
            &Arc::default(),
        );
        let side = Side::Server(Arc::new(Echo { ended: Mutex::new(Vec::new()) }));
        let mut it = Self { state, side, now, handed: Vec::new(), written: Vec::new() };
        it.says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").says(&frame(4, 0, 0, b""));
        it.says(&frame(4, 1, 0, b""));
        it.written.clear();
        it
    }

    fn says(&mut self, octets: &[u8]) -> &mut Self {
        self.state.input(octets, self.now, &self.side);
        self.look()
    }

    fn later(&mut self, by: Duration) -> &mut Self {
        self.now += by;
        self.state.timeout(self.now, &self.side);
        self.look()
    }

    /// A handler returns: whether the link calls for somebody to let the next run.
    fn done(&mut self, key: Key) -> bool {
        self.state.settle(key);
        drop(self.state.forget(key));
        let calls = self.state.admission.calls();
        if calls {
            self.state.admission.called = false;
            self.state.admit();
        }
        self.look();
        calls
    }

    fn look(&mut self) -> &mut Self {
        let incoming = std::mem::take(&mut self.state.effects.incoming);
        self.handed.extend(incoming.into_iter().map(|(key, _)| key));
        let mut out = Batch::default();
        while self.state.conn.wants_output() {
            self.state.output(&mut out, usize::MAX, self.now);
        }
        let out = out.gather();
        let mut rest = &out[..];
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
            let (payload, after) = after.split_at((number(0) >> 8) as usize);
            let code = payload.last_chunk().map_or(0, |last| u32::from_be_bytes(*last));
            self.written.push((head[3], number(5), code));
            rest = after;
        }
        self
    }

    fn written(&mut self, kind: u8) -> Vec<(u32, u32)> {
        let all = std::mem::take(&mut self.written);
        let of = all.into_iter().filter(|(other, ..)| *other == kind);
        of.map(|(_, stream, code)| (stream, code)).collect()
    }

    fn counts(&self) -> (usize, usize) {
        self.state.admission.counts()
    }

    #[track_caller]
    fn holds_nothing(&self) {
        assert_eq!((self.state.cells.live(), self.state.conn.stats().held), (0, 0));
        assert_eq!((self.state.conn.stats().window_held, self.counts()), (0, (0, 0)));
        assert_eq!(self.state.admission.due(), None);
    }
}

#[test]
fn a1_what_runs_and_what_waits_is_bounded_whatever_is_reset_meanwhile() {
    for path in ["/echo/Unary", "/echo/Stream"] {
        let mut it = Requests::new();
        // Pairs of which every other comes with one read, and handlers that never return.
        for n in 0..4_000 {
            let id = n * 2 + 1;
            let request = ask(id, path, Some(Duration::from_secs(1)), true);
            if n % 2 == 0 {
                it.says(&[request, rst(id)].concat());
            } else {
                it.says(&request).says(&rst(id));
            }
            assert!(it.counts().0 <= LIMIT as usize && it.counts().1 == 0);
            assert!(it.state.cells.live() <= LIMIT as usize);
        }
        assert_eq!(it.handed.len(), LIMIT as usize);
        assert_eq!(it.written(3), [], "no honest client is refused");
        // Those that wait are open on the wire, so they are bounded, too.
        for n in 4_000..4_000 + LIMIT {
            it.says(&ask(n * 2 + 1, path, None, true));
        }
        assert_eq!(it.counts(), (LIMIT as usize, LIMIT as usize));
        it.says(&ask(9_001, path, None, true));
        assert_eq!(it.written(3), [(9_001, Reason::REFUSED_STREAM.0)]);
        assert_eq!(it.counts(), (LIMIT as usize, LIMIT as usize));
    }
}

#[test]
fn requests_that_wait_run_in_order_when_handlers_return() {
    let mut it = Requests::new();
    for id in [1, 3, 5] {
        it.says(&[whole(id), rst(id)].concat());
    }
    // 7 is complete later than 9, and so is its turn no earlier than its id says; 11 goes on arriving while it waits.
    it.says(&whole(9)).says(&whole(7 + 4)).says(&ask(13, "/echo/Stream", None, false));
    let running = std::mem::take(&mut it.handed);
    assert_eq!(running.len(), 3);
    assert_eq!(it.counts(), (3, 3));
    it.says(&frame(0, 0, 13, b"\0\0\0\0\x01x")).says(&frame(0, 1, 13, b"\0\0\0\0\x01y"));
    assert_eq!(it.handed, []);
    for (key, next) in running.into_iter().zip([9, 11, 13]) {
        assert!(it.done(key), "somebody has to let the next run");
        assert_eq!(it.handed.last().map(|key| key.id), Some(next));
        assert_eq!(it.counts().0, 3);
    }
    let mut messages = Messages::default();
    let last = it.handed[2];
    assert!(it.state.take(last, 0, &mut messages).over);
    let two = [messages.next(), messages.next()].map(|message| message.unwrap().bytes);
    assert_eq!(two, [&b"x"[..], &b"y"[..]]);
    for key in std::mem::take(&mut it.handed) {
        assert!(!it.done(key));
    }
    it.says(b"").holds_nothing();
}

#[test]
fn a_request_that_waits_is_gone_with_its_stream_and_never_runs() {
    let mut it = Requests::new();
    for id in [1, 3, 5] {
        it.says(&[whole(id), rst(id)].concat());
    }
    it.says(&whole(7)).says(&whole(9)).says(&rst(7));
    assert_eq!(it.counts(), (3, 1));
    let first = it.handed[0];
    it.done(first);
    assert_eq!(it.handed.last().map(|key| key.id), Some(9));
    // With the connection.
    it.says(&whole(11));
    it.state.lose("gone");
    assert_eq!(it.counts(), (3, 0));
    for key in std::mem::take(&mut it.handed) {
        it.done(key);
    }
    assert_eq!(it.handed, []);
}

#[test]
fn w56_a_deadline_ends_a_request_that_is_not_complete_or_waits() {
    let told = |it: &mut Requests, id: u32| {
        let ends = it.written(1);
        assert_eq!(ends.iter().map(|(stream, _)| *stream).collect::<Vec<_>>(), [id]);
    };
    let time = Duration::from_millis(100);
    let soon = Some(time);
    // Half a message, granted whole.
    let mut it = Requests::new();
    it.says(&ask(1, "/echo/Unary", soon, false));
    it.says(&frame(0, 0, 1, &[b"\0\0\x0f\0\0", &[7; 10_000][..]].concat()));
    assert!(it.state.conn.stats().window_held > 500_000);
    assert_eq!(it.state.next_timeout(), Some(it.now + time));
    it.later(Duration::from_millis(99));
    assert_eq!(it.written(1), []);
    it.later(Duration::from_millis(1));
    told(&mut it, 1);
    // Everything is free but the slot, which the client has to be told of; and then that, too.
    assert_eq!((it.state.cells.live(), it.state.conn.stats().window_held), (0, 0));
    it.later(Duration::from_millis(100));
    assert_eq!(it.written(3), [(1, Reason::NO_ERROR.0)]);
    it.holds_nothing();
    // One that waits behind handlers.
    for id in [3, 5, 7] {
        it.says(&[whole(id), rst(id)].concat());
    }
    it.says(&ask(9, "/echo/Stream", soon, true)).later(Duration::from_millis(100));
    told(&mut it, 9);
    assert_eq!(it.counts(), (3, 0));
    // One that is complete in time is its handler's affair.
    let first = it.handed[0];
    it.done(first);
    it.says(&ask(11, "/echo/Unary", soon, false)).says(&frame(0, 1, 11, b"\0\0\0\0\x01x"));
    assert_eq!((it.handed.last().map(|key| key.id), it.state.admission.due()), (Some(11), None));
    it.later(Duration::from_secs(1));
    assert_eq!(it.written(1), []);
}

#[test]
fn a_request_that_is_never_completed_ends_at_a_limit_whatever_it_is() {
    let mut it = Requests::new();
    let day = Some(Duration::from_secs(86_400));
    it.says(&ask(1, "/echo/Unary", None, false)).says(&ask(3, "/echo/Unary", day, false));
    let mut html = Vec::new();
    RequestTemplate::new("/echo/Unary", "test", false, None).block(
        None,
        None,
        &Metadata::new(),
        &mut html,
    );
    let kind = html.windows(16).position(|part| part == b"application/grpc").unwrap();
    html[kind + 12..kind + 16].copy_from_slice(b"json");
    it.says(&frame(1, 4, 5, &html));
    it.later(PATIENCE - Duration::from_millis(1));
    assert_eq!(it.written(1), []);
    it.later(Duration::from_millis(1));
    let ended: Vec<_> = it.written(1).iter().map(|(stream, _)| *stream).collect();
    assert_eq!(ended, [1, 3, 5]);
    it.later(Duration::from_millis(100)).holds_nothing();
    // A stream is no request that has to be complete.
    it.says(&ask(7, "/echo/Stream", None, false)).later(PATIENCE * 10);
    assert_eq!((it.written(1), it.counts()), (vec![], (1, 0)));
}
