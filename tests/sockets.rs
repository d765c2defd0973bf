//! UNIX sockets and sockets that are given: names, files, peers, and what is wrong with them.

#[path = "support/service.rs"]
mod service;
mod support;

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use grpc_threads::{
    Channel, Code, Server, ServerOptions, Service, Status, ThreadPool, local_channel_credentials,
    local_server_credentials, secure_channel,
};
use service::{ECHO, SUM, Served, channel, unary};
use support::{LONG, eventually};

const WHO: &str = "/test.Test/Who";

/// A folder of a test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("grpc-threads-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> String {
        self.0.join("s").to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server with one more method, which tells the peer as it sees it. It has no port yet.
fn server() -> Server {
    let server = grpc_threads::server(ThreadPool::new(2));
    let who = unary(|_, context| {
        let known = context.auth_context();
        let kind = String::from_utf8_lossy(&known.get("transport_security_type")[0]).into_owned();
        Ok(format!("{} {kind} {:?}", context.peer(), known.peer_process().map(|peer| peer.pid))
            .into())
    });
    server.add_service(Service::new("test.Test").method("Who", who)).unwrap();
    server
}

fn serving(port: &str) -> Served {
    Served::start(server(), port, [])
}

fn call(channel: &Channel) -> Result<Bytes, Status> {
    channel.raw_unary_unary(ECHO).unwrap().timeout(LONG).call(&Bytes::from_static(b"hello"))
}

fn who(channel: &Channel) -> String {
    let who = channel.raw_unary_unary(WHO).unwrap().timeout(LONG).call(&Bytes::new()).unwrap();
    String::from_utf8(who.to_vec()).unwrap()
}

#[test]
fn calls_of_all_kinds_go_over_a_unix_socket() {
    let folder = Folder::new("kinds");
    let path = folder.socket();
    let served = serving(&format!("unix:{path}"));
    assert_eq!(served.port, 1, "as in grpc");
    assert!(served.server.local_addrs().is_empty());
    for target in [format!("unix:{path}"), format!("unix://{path}")] {
        let channel = channel(&target);
        assert_eq!(call(&channel).unwrap(), "hello");
        let sum = channel
            .raw_stream_unary(SUM)
            .unwrap()
            .call((0..100).map(|_| Bytes::from(vec![7; 10_000])));
        assert_eq!(sum.unwrap(), "100 1000000");
        let count = channel
            .raw_unary_stream(service::COUNT)
            .unwrap()
            .call(&Bytes::from_static(b"50 20000"))
            .unwrap();
        assert_eq!(count.map(|message| message.unwrap().len()).sum::<usize>(), 1_000_000);
        let bidi = channel.raw_stream_stream(service::BIDI).unwrap();
        let answers =
            bidi.call((0..10).map(|number: u8| Bytes::from(vec![number]))).map(Result::unwrap);
        assert_eq!(answers.collect::<Vec<_>>().len(), 10);
    }
}

/// § Table 1g, and naming.md.
#[test]
fn both_ends_know_each_other_as_grpc_writes_it() {
    let folder = Folder::new("peers");
    let port = format!("unix:{}", folder.socket());
    let served = serving(&port);
    let own = std::process::id();
    let channel = channel(&port);
    assert_eq!(who(&channel), format!("unix: insecure Some({own})"));
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    let (_, call) = echo.with_call(&Bytes::new()).unwrap();
    assert_eq!(call.peer(), Some(port));
    drop(served);
    let tcp = serving("127.0.0.1:0");
    assert!(who(&tcp.channel()).ends_with("insecure None"));
}

#[test]
fn an_abstract_socket_has_no_file_and_its_name_is_free_again_at_once() {
    let name = format!("unix-abstract:grpc-threads-{}", std::process::id());
    for _ in 0..2 {
        let served = serving(&name);
        assert_eq!(call(&channel(&name)).unwrap(), "hello");
        let taken = server().add_insecure_port(&name).unwrap_err();
        assert_eq!(taken.io_error().kind(), std::io::ErrorKind::AddrInUse);
        served.server.stop(None).wait(LONG).unwrap();
    }
    let error = call(&channel(&name)).unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
}

#[test]
fn the_file_comes_with_the_port_and_goes_with_the_stop() {
    let folder = Folder::new("file");
    let path = folder.socket();
    let port = format!("unix:{path}");
    let served = serving(&port);
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    served.server.stop(None).wait(LONG).unwrap();
    assert!(!fs::exists(&path).unwrap());
    // A server that never starts leaves nothing behind either.
    let idle = server();
    idle.add_insecure_port(&port).unwrap();
    assert!(fs::exists(&path).unwrap());
    drop(idle);
    assert!(!fs::exists(&path).unwrap());
    // What another has put in its place meanwhile is not its to remove.
    let served = serving(&port);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(served);
    assert!(fs::exists(&path).unwrap());
}

#[test]
fn a_file_that_a_dead_server_left_is_taken_away_and_others_are_not() {
    let folder = Folder::new("stale");
    let path = folder.socket();
    let port = format!("unix:{path}");
    // The standard library's listener leaves its file behind.
    drop(UnixListener::bind(&path).unwrap());
    assert!(UnixStream::connect(&path).is_err());
    let served = serving(&port);
    assert_eq!(call(&channel(&port)).unwrap(), "hello");

    let told = |port: &str| server().add_insecure_port(port).unwrap_err().to_string();
    assert!(told(&port).contains("another server listens there"), "{}", told(&port));
    assert_eq!(call(&channel(&port)).unwrap(), "hello", "it is none the worse for that");
    drop(served);

    fs::write(&path, "precious").unwrap();
    assert!(told(&port).contains("no socket"), "{}", told(&port));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(told(&port).contains("no socket"));
    // A link to a socket is no socket.
    let (live, link) = (folder.0.join("live"), folder.0.join("link"));
    drop(UnixListener::bind(&live).unwrap());
    std::os::unix::fs::symlink(&live, &link).unwrap();
    assert!(told(&format!("unix:{}", link.display())).contains("no socket"));
    assert!(fs::symlink_metadata(&live).is_ok());
}

#[test]
fn what_cannot_be_a_socket_is_told() {
    let long = format!("unix:/{}", "x".repeat(200));
    for (port, words) in [
        (long.as_str(), "107 octets at most, and this one 201"),
        ("unix:", "is missing"),
        ("unix:/no/such/folder/s", "No such file"),
        ("unix://relative", "unix:///run"),
    ] {
        let error = server().add_insecure_port(port).unwrap_err();
        assert!(error.to_string().contains(words) && error.address() == port, "{error}");
    }
    let error = grpc_threads::insecure_channel(&long).unwrap_err().to_string();
    assert!(error.contains("107 octets at most"), "{error}");
}

#[test]
fn a_channel_finds_a_server_that_comes_back() {
    let folder = Folder::new("back");
    let port = format!("unix:{}", folder.socket());
    let quick = Duration::from_millis(5);
    let channel = Channel::builder(&port).reconnect_backoff(quick, quick).connect_lazily().unwrap();
    let error = call(&channel).unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains(&port) && error.message().contains("No such file"), "{error}");
    for _ in 0..3 {
        let served = serving(&port);
        eventually(LONG, "it is there", || call(&channel).is_ok());
        served.server.stop(None).wait(LONG).unwrap();
        eventually(LONG, "it is gone", || call(&channel).is_err());
    }
}

#[test]
fn sockets_that_listen_already_are_taken_whatever_they_are() {
    let folder = Folder::new("given");
    let path = folder.socket();
    let server = server();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    assert_eq!(server.add_listener(tcp).unwrap(), address.port());
    let unix = UnixListener::bind(&path).unwrap();
    assert_eq!(server.add_listener(unix).unwrap(), 1);
    let descriptor = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let third = server.add_listener(descriptor).unwrap();
    let served = Served::start(server, "127.0.0.1:0", []);
    for target in [address.to_string(), format!("unix:{path}"), format!("127.0.0.1:{third}")] {
        assert_eq!(call(&channel(&target)).unwrap(), "hello");
    }
    served.server.stop(None).wait(LONG).unwrap();
    assert!(fs::exists(&path).unwrap(), "its file is whose who made it");
}

#[test]
fn sockets_that_cannot_be_served_are_refused_in_words() {
    let connected = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(connected.local_addr().unwrap()).unwrap();
    let (one, _other) = UnixStream::pair().unwrap();
    for (given, words) in [
        (OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap()), "neither TCP nor"),
        (OwnedFd::from(connected), "does not listen"),
        (OwnedFd::from(one), "does not listen"),
        (OwnedFd::from(fs::File::open("/dev/null").unwrap()), "ocket"),
    ] {
        let error = server().add_listener(given).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn local_credentials_go_over_a_unix_socket() {
    let folder = Folder::new("local");
    let port = format!("unix:{}", folder.socket());
    let server = server();
    server.add_secure_port(&port, &local_server_credentials()).unwrap();
    let _served = Served::start(server, "127.0.0.1:0", []);
    let channel = secure_channel(&port, &local_channel_credentials()).unwrap();
    assert_eq!(who(&channel), format!("unix: local Some({})", std::process::id()));
}

#[test]
fn an_address_of_ipv6_takes_ipv6_alone_where_that_is_asked_for() {
    let options = ServerOptions::default().v6only(true);
    let server =
        Server::builder().thread_pool(ThreadPool::new(1)).options(options).build().unwrap();
    // Where there is no IPv6 the error says so, and IPv4 is not taken instead.
    match server.add_insecure_port("[::]:0") {
        Ok(port) => assert!(TcpStream::connect(("127.0.0.1", port)).is_err()),
        Err(error) => assert!(error.to_string().contains("family"), "{error}"),
    }
}

#[test]
fn a_channel_goes_over_sockets_of_the_programs_own() {
    let served = serving("127.0.0.1:0");
    let address = served.address();
    let (told, targets) = mpsc::channel();
    let quick = Duration::from_millis(5);
    let channel = Channel::builder("nowhere.invalid:7")
        .dialer(move |target| {
            told.send(target.to_owned()).unwrap();
            TcpStream::connect(address)
        })
        .reconnect_backoff(quick, quick);
    let channel = channel.connect_lazily().unwrap();
    assert_eq!(call(&channel).unwrap(), "hello");
    assert_eq!(
        targets.try_iter().collect::<Vec<_>>(),
        ["nowhere.invalid:7"],
        "it is not looked up"
    );
    channel.close();

    // A socket that is there already, once; then an error in words, and a panic.
    let folder = Folder::new("dialer");
    let path = folder.socket();
    let unix = serving(&format!("unix:{path}"));
    let there = Mutex::new(vec![UnixStream::connect(&path).unwrap()]);
    let tries = AtomicUsize::new(0);
    let channel = Channel::builder("mine")
        .dialer(move |_| {
            let next = there.lock().unwrap().pop();
            match next {
                Some(socket) => Ok(OwnedFd::from(socket)),
                None if tries.fetch_add(1, Ordering::SeqCst) == 0 => panic!("a dialer's"),
                None => Err(std::io::Error::other("there is no other socket")),
            }
        })
        .reconnect_backoff(quick, quick);
    let channel = channel.connect_lazily().unwrap();
    assert_eq!(call(&channel).unwrap(), "hello");
    assert!(who(&channel).starts_with("unix: "));
    unix.server.stop(None).wait(LONG).unwrap();
    let mut seen = String::new();
    eventually(LONG, "both are told", || {
        seen += &call(&channel).unwrap_err().to_string();
        seen.contains("the dialer panicked") && seen.contains("mine: there is no other socket")
    });
}

#[test]
fn what_a_dialer_gives_that_is_no_connection_is_an_error() {
    let quick = Duration::from_millis(5);
    let of = |make: fn() -> OwnedFd| {
        let channel =
            Channel::builder("mine").dialer(move |_| Ok(make())).reconnect_backoff(quick, quick);
        call(&channel.connect_lazily().unwrap()).unwrap_err()
    };
    for make in [
        || OwnedFd::from(fs::File::open("/dev/null").unwrap()),
        || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap()),
    ] as [fn() -> OwnedFd; 2]
    {
        let error = of(make);
        assert!(error.code() == Code::Unavailable && error.message().contains("mine: "), "{error}");
    }
}
