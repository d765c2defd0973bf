//! Certificates that change while a server is busy: nobody notices but who connects.

use crate::common::*;
use crate::service::*;
use crate::support::{LONG, eventually};
use bytes::Bytes;
use grpc_threads::credentials::{
    Fetched, ServerCertificateConfiguration, dynamic_ssl_server_credentials,
    ssl_server_certificate_configuration,
};
use grpc_threads::{ChannelCredentials, ServerCredentials, ssl_channel_credentials};
use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

/// Connections under load all the time, and threads that make new ones all the time.
const OPEN: usize = 8;
const CONNECTING: usize = 2;
const ROTATIONS: usize = 100;

#[derive(Default)]
struct Tally {
    over: AtomicBool,
    /// Calls that were answered, on each of the open connections and on the new ones.
    on_open: [AtomicUsize; OPEN],
    on_new: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

struct Load {
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Returns when each of the connections has been used.
    fn start(server: &Secure, credentials: &ChannelCredentials) -> Self {
        let tally = Arc::new(Tally::default());
        let new = {
            let (target, credentials) = (server.target(), credentials.clone());
            move || {
                let builder = Channel::builder(&target).credentials(&credentials);
                builder.ssl_target_name_override("localhost").connect_lazily().unwrap()
            }
        };
        let mut threads = Vec::new();
        for at in 0..OPEN {
            let (tally, channel) = (tally.clone(), new());
            threads.push(thread::spawn(move || {
                let peer = channel.raw_unary_unary(PEER).unwrap().timeout(LONG);
                let mut first = None;
                while !tally.over.load(Ordering::Relaxed) {
                    let seen = peer.call(&Bytes::new());
                    // The port that the server saw at first: the connection is still the same.
                    let same =
                        seen.as_ref().is_ok_and(|seen| first.get_or_insert(seen.clone()) == seen);
                    if same {
                        tally.on_open[at].fetch_add(1, Ordering::Relaxed);
                    } else {
                        tally.failed.lock().unwrap().push(format!("{seen:?} after {first:?}"));
                    }
                }
            }));
        }
        for _ in 0..CONNECTING {
            let (tally, new) = (tally.clone(), new.clone());
            threads.push(thread::spawn(move || {
                while !tally.over.load(Ordering::Relaxed) {
                    match call(&new()) {
                        Ok(_) => drop(tally.on_new.fetch_add(1, Ordering::Relaxed)),
                        Err(status) => tally.failed.lock().unwrap().push(status.to_string()),
                    }
                }
            }));
        }
        let used = tally.clone();
        eventually(LONG, "every connection is used", || {
            used.on_open.iter().all(|count| count.load(Ordering::Relaxed) > 0)
        });
        Self { tally, threads }
    }

    /// No call has failed, and calls were made on old connections and new ones.
    fn assert_unharmed(self) {
        self.tally.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let open: Vec<_> = self.tally.on_open.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        let new = self.tally.on_new.load(Ordering::Relaxed);
        println!("calls on open connections: {open:?}, on new ones: {new}");
        let failed = self.tally.failed.lock().unwrap();
        assert_eq!(*failed, [""; 0], "{} failed beside {open:?} and {new}", failed.len());
        assert!(new >= ROTATIONS / 4 && open.iter().all(|count| *count > 1), "{open:?}, {new}");
    }
}

/// The certificate that a new client is shown.
fn shown(server: &Secure) -> Vec<u8> {
    let mut session = raw_session(&["h2"]);
    let mut wire = TcpStream::connect(server.address()).unwrap();
    loop {
        assert!(raw_turn(&mut session, &mut wire, &mut Vec::new()).unwrap());
        if let Some(leaf) = session.peer_leaf() {
            return leaf;
        }
    }
}

#[test]
fn a_fetcher_is_asked_before_each_handshake_and_open_connections_go_on() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mode = Arc::new(AtomicUsize::new(0));
    let other = configuration(WILDCARD_KEY, WILDCARD);
    let (count, does) = (asked.clone(), mode.clone());
    let fetcher = move || -> Fetched {
        count.fetch_add(1, Ordering::SeqCst);
        match does.load(Ordering::SeqCst) {
            0 => Ok(None),
            1 => Ok(Some(other.clone())),
            2 => Err("no more".into()),
            _ => panic!("a fetcher's"),
        }
    };
    let first = configuration(SERVER_KEY, SERVER);
    let server = Secure::with(&dynamic_ssl_server_credentials(first, fetcher, false).unwrap());
    let named = |name: &str| {
        let builder = secure(&server.target()).ssl_target_name_override(name);
        builder.connect_lazily().unwrap()
    };
    let open = named("localhost");
    assert_eq!(call(&open).unwrap(), b"hello"[..]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    mode.store(1, Ordering::SeqCst);
    assert_eq!(call(&named("other.test")).unwrap(), b"hello"[..]);
    assert_eq!(call(&named("localhost")).unwrap_err().code(), Code::Unavailable);
    for fails in [2, 3] {
        mode.store(fails, Ordering::SeqCst);
        assert_eq!(call(&named("other.test")).unwrap(), b"hello"[..]);
    }
    let before = asked.load(Ordering::SeqCst);
    assert_eq!(call(&open).unwrap(), b"hello"[..]);
    assert_eq!((asked.load(Ordering::SeqCst), before >= 5), (before, true));
}

/// What the fetcher of the story gives next, and how often it was asked.
type Next = Arc<(Mutex<Box<dyn Fn() -> Fetched + Send>>, AtomicUsize)>;

/// A server whose fetcher is told what to give.
struct Told {
    server: Secure,
    next: Next,
}

impl Told {
    fn new(first: &ServerCertificateConfiguration, demands: bool) -> Self {
        let next: Next = Arc::new((Mutex::new(Box::new(|| Ok(None))), AtomicUsize::new(0)));
        let told = next.clone();
        let fetcher = move || {
            told.1.fetch_add(1, Ordering::SeqCst);
            (told.0.lock().unwrap())()
        };
        let credentials = dynamic_ssl_server_credentials(first.clone(), fetcher, demands);
        Self { server: Secure::with(&credentials.unwrap()), next }
    }

    fn give(&self, next: impl Fn() -> Fetched + Send + 'static) {
        *self.next.0.lock().unwrap() = Box::new(next);
    }

    fn open(&self, roots: &[u8], (key, chain): (&[u8], &[u8])) -> Channel {
        let credentials = ssl_channel_credentials(Some(roots), Some(key), Some(chain)).unwrap();
        let target = format!("localhost:{}", self.server.port);
        Channel::builder(&target).credentials(&credentials).connect_lazily().unwrap()
    }

    /// A call of a client of its own. The fetcher is asked for each handshake, and once where all is well.
    #[track_caller]
    fn expect(&self, works: bool, roots: &[u8], identity: (&[u8], &[u8])) {
        let before = self.next.1.load(Ordering::SeqCst);
        let answer = call(&self.open(roots, identity));
        let asked = self.next.1.load(Ordering::SeqCst) - before;
        match answer {
            Ok(_) => assert!(works && asked == 1, "asked {asked} times, and it worked"),
            Err(status) => {
                let as_told = !works && asked >= 1 && status.code() == Code::Unavailable;
                assert!(as_told, "asked {asked} times: {status}");
            }
        }
    }
}

/// Of two issuers; each server trusts clients of the other.
fn either() -> [ServerCertificateConfiguration; 2] {
    [(SERVER_KEY, SERVER, SELF), (SELF_KEY, SELF, CA)].map(|(key, chain, roots)| {
        ssl_server_certificate_configuration(&[(key, chain)], Some(roots)).unwrap()
    })
}

const OF_CA: (&[u8], &[u8]) = (CLIENT_KEY, CLIENT);
const OF_SELF: (&[u8], &[u8]) = (SELF_KEY, SELF);

/// The story that grpc's own test of rotation tells.
#[test]
fn certificates_and_roots_rotate_as_grpcs_own_test_has_it() {
    for demands in [true, false] {
        let [first, second] = either();
        let told = Told::new(&first, demands);
        told.expect(true, CA, OF_SELF);
        told.expect(false, SELF, OF_SELF);
        told.give(|| Err("just for fun".into()));
        told.expect(true, CA, OF_SELF);
        told.give(|| Ok(None));
        told.expect(!demands, CA, OF_CA);
        told.expect(true, CA, OF_SELF);
        let open = [told.open(CA, OF_SELF), told.open(CA, OF_SELF)];
        open.iter().for_each(|channel| assert_eq!(call(channel).unwrap(), b"hello"[..]));
        // The server changes sides.
        told.give(move || Ok(Some(second.clone())));
        told.expect(false, CA, OF_SELF);
        told.give(|| Ok(None));
        told.expect(true, SELF, OF_CA);
        told.expect(!demands, SELF, OF_SELF);
        told.expect(false, CA, OF_SELF);
        let asked = told.next.1.load(Ordering::SeqCst);
        open.iter().for_each(|channel| assert_eq!(call(channel).unwrap(), b"hello"[..]));
        assert_eq!(told.next.1.load(Ordering::SeqCst), asked);
    }
}

#[test]
fn a_configuration_may_be_given_again_and_again() {
    let [first, second] = either();
    let told = Told::new(&first, true);
    for _ in 0..2 {
        for (given, roots, identity) in [(&first, CA, OF_SELF), (&second, SELF, OF_CA)] {
            let given = given.clone();
            told.give(move || Ok(Some(given.clone())));
            told.expect(true, roots, identity);
            told.expect(false, if roots == CA { SELF } else { CA }, identity);
            told.expect(true, roots, identity);
        }
    }
}

#[test]
fn a_hundred_rotations_by_a_fetcher_under_load_fail_no_call() {
    let both = [configuration(SERVER_KEY, SERVER), configuration(RSA_KEY, RSA)];
    let turn = Arc::new(AtomicUsize::new(0));
    let turns = turn.clone();
    // Each handshake, or all that wait at once, finds another certificate than the one before.
    let fetcher = move || Ok(Some(both[turns.fetch_add(1, Ordering::SeqCst) % 2].clone()));
    let first = configuration(RSA_KEY, RSA);
    let server = Secure::with(&dynamic_ssl_server_credentials(first, fetcher, false).unwrap());
    let load = Load::start(&server, &trusting(CA));
    eventually(LONG, "a hundred rotations", || turn.load(Ordering::SeqCst) >= ROTATIONS);
    load.assert_unharmed();
    assert_ne!(shown(&server), shown(&server));
}

#[test]
fn a_hundred_rotations_of_files_on_both_sides_under_load_fail_no_call() {
    listen_to_the_log();
    let folder = Folder::new();
    let both =
        [[SERVER_KEY, SERVER, CLIENT_KEY, CLIENT], [RSA_KEY, RSA, FOR_CLIENTS_KEY, FOR_CLIENTS]];
    let names = ["server.key", "server.pem", "client.key", "client.pem"];
    let rotate = |turn: usize| {
        names.iter().zip(both[turn % 2]).for_each(|(name, octets)| folder.write(name, octets));
    };
    rotate(0);
    let [server_key, server_chain, client_key, client_chain] = names.map(|name| folder.file(name));
    let server = ServerCredentials::builder()
        .pair(server_key, server_chain)
        .require_client_certificates(CA)
        .build()
        .unwrap();
    let client = ChannelCredentials::builder().roots(CA).identity(client_key, client_chain);
    let server = Secure::with(&server);
    let load = Load::start(&server, &client.build().unwrap());
    for turn in 1..ROTATIONS {
        rotate(turn);
        shown(&server);
    }
    // Files are looked at once a second; what they were last is shown in the end.
    eventually(LONG, "the last one is shown", || shown(&server) == der(RSA));
    // One file after the other: a key beside another's certificate is met, and not taken.
    folder.write("server.key", SERVER_KEY);
    folder.write("client.key", CLIENT_KEY);
    let refused = ["WARN", "could not be renewed", "does not belong to the key"];
    eventually(LONG, "the half of an exchange is met on both sides", || {
        assert_eq!(shown(&server), der(RSA));
        let met = |whose| logged::count(&[&[whose][..], &refused].concat()) > 0;
        met("a server's certificates") && met("a channel's credentials")
    });
    rotate(ROTATIONS);
    eventually(LONG, "the next one is shown", || shown(&server) == der(SERVER));
    load.assert_unharmed();
}

/// A folder of its own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("grpc-threads-tls-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, octets: &[u8]) {
        std::fs::write(self.file(name), octets).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_stop_ends_clients_that_wait_for_a_fetcher() {
    let (told, asked) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let (told, gate) = (Mutex::new(told), Mutex::new(gate));
    let stuck = move || {
        told.lock().unwrap().send(()).unwrap();
        let _ = gate.lock().unwrap().recv_timeout(LONG * 2);
        Ok(None)
    };
    let first = configuration(SERVER_KEY, SERVER);
    let server = Secure::with(&dynamic_ssl_server_credentials(first, stuck, false).unwrap());
    let mut waits = TcpStream::connect(server.address()).unwrap();
    waits.set_read_timeout(Some(LONG)).unwrap();
    asked.recv_timeout(LONG).unwrap();
    drop(server);
    assert_eq!(waits.read(&mut [0]).unwrap(), 0, "the server's end of it is closed");
    drop(go);
}
