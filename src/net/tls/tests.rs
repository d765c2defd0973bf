//! Handshakes and pipes over memory, the wire cut wherever it can be.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use rustls::HandshakeKind;
use rustls::pki_types::ServerName;

use super::handshake::{Failure, Opening, Progress};
use super::pipe::TlsPipe;
use super::session::Session;
use crate::credentials::{
    ChannelCredentials, ServerCredentials, ServerCredentialsBuilder, ssl_channel_credentials,
    ssl_server_credentials,
};
use crate::net::{Interest, MemoryPipe, Pipe, SocketPipe, Waited};
use crate::reactor::{Job, Mode, Poller, Readiness, Ready, client_poller, clock};
use crate::sync::atomic::{AtomicUsize, Ordering};

const CA: &[u8] = include_bytes!("../../../tests/certs/ca.pem");
const SERVER: &[u8] = include_bytes!("../../../tests/certs/server.pem");
const CLIENT: &[u8] = include_bytes!("../../../tests/certs/client.pem");
const SERVER_KEY: &[u8] = include_bytes!("../../../tests/certs/server.key");

mod early;

const READ: Interest = Interest { read: true, write: false };

/// A pipe that reads and writes so many octets at a time, and says in between that it would block.
#[derive(Debug)]
struct Few {
    inner: MemoryPipe,
    most: usize,
    turn: AtomicUsize,
    /// Octets that were written.
    written: AtomicUsize,
}

impl Few {
    fn pair(most: usize, capacity: usize) -> (Self, Self) {
        let (near, far) = MemoryPipe::pair_of(capacity);
        let few =
            |inner| Self { inner, most, turn: AtomicUsize::new(0), written: AtomicUsize::new(0) };
        (few(near), few(far))
    }

    fn blocks(&self) -> bool {
        self.most < 1000 && self.turn.fetch_add(1, Ordering::Relaxed) % 2 == 1
    }
}

impl Pipe for Few {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        if self.blocks() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = self.most.min(into.len());
        self.inner.try_read(&mut into[..most])
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        if self.blocks() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = self.inner.try_write(&from[..self.most.min(from.len())])?;
        self.written.fetch_add(written, Ordering::Relaxed);
        Ok(written)
    }

    fn wait(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited> {
        self.inner.wait(interest, deadline)
    }

    fn kick(&self) {
        self.inner.kick();
    }

    fn attach(&self, poller: &Arc<Poller>, mode: Mode, ready: Arc<dyn Ready>) -> io::Result<()> {
        self.inner.attach(poller, mode, ready)
    }

    fn arm(&self, interest: Interest) -> io::Result<()> {
        self.inner.arm(interest)
    }

    fn detach(&self) {
        self.inner.detach();
    }

    fn shutdown_write(&self) {
        self.inner.shutdown_write();
    }

    fn close(&self) {
        self.inner.close();
    }

    fn peer(&self) -> String {
        "few:".to_owned()
    }
}

type Pair = (ChannelCredentials, ServerCredentials);

fn credentials() -> Pair {
    let client = ssl_channel_credentials(Some(CA), None, None).unwrap();
    let server = ssl_server_credentials(&[(SERVER_KEY, SERVER)], None, false).unwrap();
    (client, server)
}

fn sessions_of((client, server): &Pair) -> (Session, Session) {
    let name = ServerName::try_from("localhost").unwrap();
    let client = Session::client(client.inside().client_config(), name).unwrap();
    (client, Session::server(server.inside().server_config()).unwrap())
}

fn sessions() -> (Session, Session) {
    sessions_of(&credentials())
}

fn opening(pipe: Few, session: Session) -> Opening<Few> {
    Opening::new(pipe, session, None)
}

/// Both ends after their handshake.
fn shaken(most: usize, capacity: usize) -> (TlsPipe<Few>, TlsPipe<Few>) {
    shake(Few::pair(most, capacity), sessions())
}

fn shake(
    (near, far): (Few, Few),
    (client, server): (Session, Session),
) -> (TlsPipe<Few>, TlsPipe<Few>) {
    shake_greeted((near, far), (client, server), None)
}

fn shake_greeted(
    (near, far): (Few, Few),
    (client, server): (Session, Session),
    greeting: Option<&[u8]>,
) -> (TlsPipe<Few>, TlsPipe<Few>) {
    let mut near = Opening::new(near, client, None);
    let mut far = Opening::new(far, server, greeting.map(Arc::from));
    turns(|| near.advance().unwrap() == Progress::Done || far.advance().unwrap() == Progress::Done);
    let near = near.into_pipe();
    // Its last word would go with what it writes.
    turns(|| {
        near.begin(None);
        far.advance().unwrap() == Progress::Done
    });
    let far = far.into_pipe();
    far.begin(None);
    (near, far)
}

/// Until that is so.
fn turns(mut over: impl FnMut() -> bool) {
    assert!((0..100_000).any(|_| over()), "it does not end");
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8)) as u8).collect()
}

fn blocks<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Writes all of `octets` at one end and reads them at the other, `buffer` at a time.
fn carry(from: &TlsPipe<Few>, to: &TlsPipe<Few>, octets: &[u8], buffer: usize) {
    let (mut rest, mut got, mut idle) = (octets, Vec::new(), 0);
    let mut into = vec![0; buffer];
    while got.len() < octets.len() {
        idle += 1;
        assert!(idle < 1000, "stuck at {} of {}", got.len(), octets.len());
        match from.try_write(rest) {
            Ok(n) => {
                rest = &rest[n..];
                idle = 0;
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        match to.try_read(&mut into) {
            Ok(n) => {
                assert!(n > 0, "the end");
                got.extend_from_slice(&into[..n]);
                idle = 0;
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert!(got == octets);
    // What is left to tell the writer of octets that have come.
    while !rest.is_empty() {
        rest = &rest[from.try_write(rest).unwrap()..];
    }
    assert!(blocks(to.try_read(&mut into)));
}

#[test]
fn octets_come_through_whole_however_the_wire_is_cut() {
    for most in [1, 2, 3, 5, 7, 16, 22, 100, 999, 20_000, usize::MAX] {
        let (near, far) = shaken(most, 256 * 1024);
        for len in [1, 2, 100, 16_384, 16_385, 40_000] {
            let octets = pattern(len);
            carry(&near, &far, &octets, 8192);
            carry(&far, &near, &octets, 65_536);
        }
    }
}

#[test]
fn octets_come_through_whole_whatever_the_reader_has_room_for() {
    let (near, far) = shaken(usize::MAX, 256 * 1024);
    for buffer in [1, 2, 9, 1000, 16_384, 16_385, 262_144] {
        carry(&near, &far, &pattern(50_000), buffer);
    }
}

#[test]
fn a_short_read_leaves_nothing_behind() {
    let (near, far) = shaken(usize::MAX, 1 << 20);
    // Many records, in one write each.
    let mut sent = 0;
    for len in [1, 30_000, 5, 16_384, 9] {
        assert_eq!(near.try_write(&pattern(len)).unwrap(), len);
        sent += len;
    }
    let mut into = vec![0; 1 << 20];
    assert_eq!(far.try_read(&mut into).unwrap(), sent);
    assert!(blocks(far.try_read(&mut into)));
}

#[test]
fn what_a_full_socket_does_not_take_is_sealed_once_and_told_in_proportion() {
    let (near, far) = shaken(usize::MAX, 4096);
    let octets = pattern(200_000);
    let (mut rest, mut got, mut tells) = (&octets[..], Vec::new(), 0);
    let mut into = vec![0; 1024];
    while !rest.is_empty() {
        match near.try_write(rest) {
            Ok(n) => {
                rest = &rest[n..];
                tells += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                let n = far.try_read(&mut into).unwrap_or(0);
                got.extend_from_slice(&into[..n]);
            }
        }
    }
    assert!(tells > 20, "{tells}: a slow socket is told from one that takes nothing");
    while let Ok(n) = far.try_read(&mut into) {
        got.extend_from_slice(&into[..n]);
    }
    assert!(got == octets);
}

#[test]
fn a_batch_goes_out_in_one_write() {
    let (near, far) = shaken(usize::MAX, 1 << 20);
    let turns = |pipe: &TlsPipe<Few>| pipe.inner().written.load(Ordering::Relaxed);
    let before = turns(&near);
    assert_eq!(near.try_write(&pattern(72 * 1024)).unwrap(), 72 * 1024);
    let mut wire = vec![0; 1 << 20];
    let n = far.inner().try_read(&mut wire).unwrap();
    assert_eq!(n, turns(&near) - before);
    assert_eq!(wire[0], 23, "application data");
    assert_eq!(n, 72 * 1024 + 5 * 22, "five records of TLS 1.3");
}

/// Told by a poller.
struct Told(mpsc::Sender<Readiness>);

impl Ready for Told {
    fn ready(&self, readiness: Readiness, _: &mut Vec<Job>) {
        let _ = self.0.send(readiness);
    }
}

fn told(pipe: &TlsPipe<Few>, mode: Mode) -> (Arc<Poller>, mpsc::Receiver<Readiness>, Arc<Told>) {
    let (sender, receiver) = mpsc::channel();
    let (poller, ready) = (Poller::new().unwrap(), Arc::new(Told(sender)));
    pipe.attach(&poller, mode, ready.clone()).unwrap();
    (poller, receiver, ready)
}

/// Turns until somebody is told to read.
fn wants_read(poller: &Poller, told: &mpsc::Receiver<Readiness>) {
    loop {
        poller.turn(&mut Vec::new()).unwrap();
        while let Ok(readiness) = told.try_recv() {
            if readiness.read {
                return;
            }
        }
    }
}

#[test]
fn what_a_small_buffer_leaves_is_told_though_the_socket_is_silent() {
    let (near, far) = shaken(usize::MAX, 1 << 20);
    near.try_write(&pattern(1000)).unwrap();
    let mut into = [0; 400];
    assert_eq!(far.try_read(&mut into).unwrap(), 400);
    // To a leader, who waits.
    let never = clock::now();
    assert!(far.wait(READ, Some(never)).unwrap().readable);
    let both = Interest { read: true, write: true };
    let waited = far.wait(both, None).unwrap();
    assert!(waited.readable && waited.writable, "what else there is counts, too");
    // To the poller of a client.
    let (poller, receiver, _ready) = told(&far, Mode::OneShot);
    far.arm(READ).unwrap();
    wants_read(&poller, &receiver);
    assert_eq!(far.try_read(&mut into).unwrap(), 400);
    far.arm(READ).unwrap();
    wants_read(&poller, &receiver);
    assert_eq!(far.try_read(&mut into).unwrap(), 200);
    assert!(!far.wait(READ, Some(never)).unwrap().readable, "there is nothing left");
}

#[test]
fn what_came_with_the_handshake_is_told_to_a_servers_poller() {
    let ((near, far), (client, server)) = (Few::pair(usize::MAX, 1 << 20), sessions());
    let (mut near, mut far) = (opening(near, client), opening(far, server));
    near.advance().unwrap();
    far.advance().unwrap();
    assert_eq!(near.advance().unwrap(), Progress::Done);
    let near = near.into_pipe();
    near.try_write(b"preface").unwrap();
    assert_eq!(far.advance().unwrap(), Progress::Done);
    let far = far.into_pipe();
    let (poller, receiver, _ready) = told(&far, Mode::Edge);
    far.begin(None);
    wants_read(&poller, &receiver);
    assert_eq!(far.try_read(&mut [0; 100]).unwrap(), 7);
}

#[test]
fn an_end_that_comes_with_octets_is_told_after_them() {
    for mode in [Mode::Edge, Mode::OneShot] {
        let (near, far) = shaken(usize::MAX, 1 << 20);
        let (poller, receiver, _ready) = told(&far, mode);
        near.try_write(b"last").unwrap();
        let closing = |pipe: &TlsPipe<Few>| pipe.say_close_notify();
        closing(&near);
        let mut into = [0; 100];
        assert!(!far.holds());
        assert_eq!(far.try_read(&mut into).unwrap(), 4);
        // The socket itself has no end. Who reads at edges asks.
        assert!(far.holds());
        assert_eq!(poller.timers(), 0, "nobody else is woken for it");
        if mode == Mode::OneShot {
            far.arm(READ).unwrap();
            wants_read(&poller, &receiver);
        }
        assert!(far.wait(READ, Some(clock::now())).unwrap().readable);
        assert_eq!(far.try_read(&mut into).unwrap(), 0);
        assert_eq!(far.try_read(&mut into).unwrap(), 0);
    }
}

#[test]
fn shutting_down_says_so_in_the_session_and_on_the_socket() {
    let (near, far) = shaken(usize::MAX, 1 << 20);
    near.shutdown_write();
    assert_eq!(far.try_read(&mut [0; 100]).unwrap(), 0);
    assert_eq!(far.inner().try_read(&mut [0; 100]).unwrap(), 0);
    far.try_write(b"the other half goes on").unwrap();
    assert_eq!(near.try_read(&mut [0; 100]).unwrap(), 22);
}

#[test]
fn the_last_word_and_close_notify_go_in_one_write() {
    let (word, both) = (7 + 22, (7 + 22) + (2 + 22));
    let (near, far) = shaken(usize::MAX, 1 << 20);
    let written = |pipe: &TlsPipe<Few>| pipe.inner().written.load(Ordering::Relaxed);
    let (before, mut into) = (written(&near), [0; 100]);
    near.last_word();
    assert_eq!(near.try_write(b"goodbye").unwrap(), 7);
    assert_eq!(written(&near) - before, both);
    near.shutdown_write();
    assert_eq!(written(&near) - before, both, "it is said once");
    assert_eq!(far.try_read(&mut into).unwrap(), 7);
    assert!(far.holds());
    assert_eq!(far.try_read(&mut into).unwrap(), 0);
    assert!(near.try_write(b"more").is_err());
    // A full socket takes the one, and the other later.
    let (near, far) = shaken(usize::MAX, 4096);
    let (filled, mut into) = (4096 - word - 1, [0; 5000]);
    assert_eq!(near.try_write(&pattern(filled - 22)).unwrap(), filled - 22);
    let before = written(&near);
    near.last_word();
    assert_eq!(near.try_write(b"goodbye").unwrap(), 7);
    assert_eq!(written(&near) - before, word + 1);
    assert_eq!(far.try_read(&mut into).unwrap(), filled - 22 + 7);
    assert!(!far.holds());
    near.shutdown_write();
    assert_eq!(written(&near) - before, both);
    assert_eq!(far.try_read(&mut into).unwrap(), 0);
}

#[test]
fn keys_change_in_the_middle_of_both_directions() {
    for most in [1, 3, 100, usize::MAX] {
        let (near, far) = shaken(most, 256 * 1024);
        carry(&near, &far, &pattern(100), 1000);
        for _ in 0..3 {
            near.ask_for_new_keys();
            far.ask_for_new_keys();
            carry(&near, &far, &pattern(20_000), 1000);
            carry(&far, &near, &pattern(20_000), 1000);
        }
    }
}

#[test]
fn a_record_that_was_forged_ends_both_ends_and_the_alert_is_named() {
    let (near, far) = shaken(usize::MAX, 1 << 20);
    near.try_write(b"before").unwrap();
    let mut forged = vec![23, 3, 3, 0, 40];
    forged.extend([7; 40]);
    near.inner().try_write(&forged).unwrap();
    let mut into = [0; 100];
    assert_eq!(far.try_read(&mut into).unwrap(), 6, "what came before is good");
    for _ in 0..2 {
        assert_eq!(far.try_read(&mut into).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    let error = near.try_read(&mut into).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    assert!(near.try_write(b"x").is_err());
    assert!(far.try_write(b"x").is_err());
    // Who lingers reads the rest away.
    far.shutdown_write();
    near.inner().try_write(&forged).unwrap();
    assert!(blocks(far.try_read(&mut into)));
    near.inner().shutdown_write();
    assert_eq!(far.try_read(&mut into).unwrap(), 0);
}

#[test]
fn a_second_connection_with_the_same_credentials_resumes_the_session() {
    let credentials = credentials();
    let kinds = [(); 2].map(|()| {
        let (near, far) = shake(Few::pair(usize::MAX, 1 << 20), sessions_of(&credentials));
        // Tickets come after the handshake (RFC 8446 §4.6.1), and are read with the first octets.
        carry(&far, &near, b"settings", 100);
        (near.kind(), far.kind())
    });
    let [full, resumed] = [HandshakeKind::Full, HandshakeKind::Resumed].map(Some);
    assert_eq!(kinds, [(full, full), (resumed, resumed)]);
}

#[test]
fn wire_that_gives_nothing_plain_holds_no_thread_and_is_not_forgotten() {
    // A record in 17 parts: more than are read at a stretch.
    let (near, far) = shaken(1000, 1 << 20);
    let (poller, receiver, _ready) = told(&far, Mode::Edge);
    assert_eq!(near.try_write(&pattern(16_384)).unwrap(), 16_384);
    let mut into = vec![0; 1 << 16];
    assert!(blocks(far.try_read(&mut into)), "others have their turn");
    assert!(far.wait(READ, Some(clock::now())).unwrap().readable);
    wants_read(&poller, &receiver);
    assert_eq!(far.try_read(&mut into).unwrap(), 16_384);
    assert!(!far.wait(READ, Some(clock::now())).unwrap().readable);
}

#[test]
fn an_idle_session_holds_no_octets() {
    let (near, far) = shaken(usize::MAX, 1 << 20);
    carry(&near, &far, &pattern(100_000), 1000);
    carry(&far, &near, &pattern(100_000), 1000);
    assert_eq!((near.held(), far.held()), (0, 0));
}

/// What it comes to when nothing more comes.
fn last(opening: &mut Opening<Few>) -> Result<Progress, Failure> {
    let mut result = opening.advance();
    turns(|| {
        let waits = matches!(result, Ok(Progress::Wants(_)));
        if waits {
            result = opening.advance();
        }
        !waits
    });
    result
}

#[test]
fn a_handshake_that_is_cut_off_anywhere_is_over_on_both_sides() {
    let (mut cut, mut whole) = (0, false);
    while !whole {
        let ((near, far), (client, server)) = (Few::pair(usize::MAX, 1 << 20), sessions());
        let (mut near, mut far) = (opening(near, client), opening(far, server));
        // `cut` octets pass from the client, and all from the server; then both see an end.
        let first = near.advance().unwrap();
        assert!(matches!(first, Progress::Wants(_)));
        let mut wire = vec![0; 1 << 16];
        let n = far.pipe().try_read(&mut wire).unwrap();
        whole = cut >= n;
        near.pipe().try_write(&wire[..cut.min(n)]).unwrap();
        near.pipe().shutdown_write();
        match last(&mut far) {
            Err(Failure::Closed(heard)) => assert_eq!(heard, cut > 0),
            other => panic!("{other:?}"),
        }
        far.pipe().shutdown_write();
        match last(&mut near) {
            Err(Failure::Closed(heard)) => assert!(!heard && !whole),
            // It has an answer to what the server said, and nowhere to put it.
            Ok(Progress::Done) => {
                assert!(whole);
                assert!(near.into_pipe().try_write(b"preface").is_err());
            }
            other => panic!("{other:?}"),
        }
        cut += 1;
    }
}

#[test]
fn other_protocols_are_told_with_what_was_heard() {
    for said in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let ((near, far), (_, server)) = (Few::pair(usize::MAX, 1 << 20), sessions());
        near.try_write(said).unwrap();
        let failure = opening(far, server).advance().unwrap_err();
        let text = failure.to_string();
        assert!(text.contains("does not speak TLS") && text.contains("HTTP/"), "{text}");
    }
    let ((near, far), (client, _)) = (Few::pair(usize::MAX, 1 << 20), sessions());
    far.try_write(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    let failure = last(&mut opening(near, client)).unwrap_err();
    assert!(matches!(failure, Failure::NoTls(_)), "{failure}");
}

#[test]
fn a_writer_that_met_a_reader_waits_for_it_and_not_for_the_socket() {
    let (client, _server) = shaken(usize::MAX, 1 << 20);
    let write = Interest { read: false, write: true };
    let writable = || client.wait(write, Some(clock::now())).unwrap().writable;
    assert!(writable());
    client.reader_sends(true);
    assert!(blocks(client.try_write(b"x")));
    assert!(!writable(), "the socket has room, and would say so again and again");
    client.reader_sends(false);
    assert!(writable());
    assert_eq!(client.try_write(b"x").unwrap(), 1);
}
