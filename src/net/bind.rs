//! From the text of an address to sockets that listen: one for each address of a name, all on one port.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::address;
use super::endpoint::{Endpoint, UnixName};
use crate::tell;

/// How to listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listening {
    /// Connections that the system keeps until they are accepted. As many as the kernel allows by default: std's 128 overflows in a
    /// burst, and each overflow costs a client a second.
    pub(crate) backlog: u32,
    /// Others may listen on the same address (SO_REUSEPORT).
    pub(crate) shared: bool,
    /// `[::]` does not take IPv4.
    pub(crate) v6only: bool,
}

impl Default for Listening {
    fn default() -> Self {
        Self { backlog: u32::MAX, shared: false, v6only: false }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: Socket,
    local: Endpoint,
    /// It was bound here, not given.
    own: bool,
    /// The file that was made for it, by its name and by what it is.
    file: Option<(PathBuf, (u64, u64))>,
}

impl Bound {
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Where it listens.
    pub(crate) fn local(&self) -> &Endpoint {
        &self.local
    }

    /// No other process has the socket.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    fn new(socket: Socket, own: bool) -> io::Result<Self> {
        let local = Endpoint::of(&socket.local_addr()?).ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self { socket, local, own, file: None })
    }

    /// Removes its file, unless another has come in its place.
    pub(crate) fn unlink(&self) {
        if let Some((path, file)) = &self.file {
            if identity(path).is_ok_and(|found| found == *file) {
                // Gone already, or not ours to remove any more: there is nobody to tell.
                let _ = fs::remove_file(path);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn own(socket: impl Into<Socket>) -> Self {
        Self::new(socket.into(), true).unwrap()
    }
}

/// One that never opens leaves no file behind.
impl Drop for Bound {
    fn drop(&mut self) {
        self.unlink();
    }
}

/// Which file this is.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// A socket that listens already.
///
/// # Errors
/// It does not listen, or is of no kind that is served here.
pub(crate) fn adopt(given: OwnedFd) -> Result<Bound, BindError> {
    let socket = Socket::from(given);
    let told = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why);
    let look = || {
        let address = socket.local_addr()?;
        if Endpoint::of(&address).is_none() || socket.r#type()? != Type::STREAM {
            return Err(told("it is neither TCP nor a stream of UNIX sockets"));
        }
        if !socket.is_listener()? {
            return Err(told("it does not listen: call listen() first"));
        }
        Ok(())
    };
    match look() {
        Ok(()) => {
            Bound::new(socket, false).map_err(|error| BindError::new("a given socket", error))
        }
        Err(error) => Err(BindError::new("a given socket", error)),
    }
}

/// How often another free port is tried when the one that the first address got is taken on the next one.
const TRIES: usize = 16;

/// An address could not be bound: which, and why.
pub struct BindError {
    address: String,
    source: io::Error,
}

impl BindError {
    pub(crate) fn new(address: impl Into<String>, source: io::Error) -> Self {
        Self { address: address.into(), source }
    }

    /// The address as it was given.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the operating system said. Of a name with several addresses the text also says which one it was said of.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.source
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {:?}: {}", self.address, self.source)
    }
}

/// As `Display`: it is what a `main` that returns the error prints.
impl fmt::Debug for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Binds and listens on every address of a name, all on one port; at least one socket is given. `[::]` takes IPv4, too.
/// SO_REUSEADDR is set, so that a restarted server gets its port back at once; SO_REUSEPORT is not unless it is asked for, so that two
/// servers never share one silently.
///
/// # Errors
/// A bad address, a name without addresses, or what the operating system says of one of them. Of several, those that
/// this machine does not have are only logged: `localhost` is `::1` also where there is no IPv6.
pub(crate) fn bind(text: &str, how: Listening) -> Result<Vec<Bound>, BindError> {
    let fail = |error| BindError::new(text, error);
    if let Some(end) = Endpoint::unix(text) {
        let wrong = |why| fail(io::Error::new(io::ErrorKind::InvalidInput, why));
        let end = end.map_err(wrong)?;
        return bind_unix(&end, how).map(|bound| vec![bound]).map_err(fail);
    }
    let addresses = addresses(text).map_err(fail)?;
    bind_all(&addresses, &|address| bind_one(address, how)).map_err(fail)
}

/// The addresses of `host:port`, each once.
fn addresses(text: &str) -> io::Result<Vec<SocketAddr>> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    if let Some(why) = address::no_uri(text) {
        return Err(wrong(why));
    }
    let (host, port) = address::split(text).map_err(wrong)?;
    if let Some(why) = no_host(host, port).or_else(|| address::no_name(host)) {
        return Err(wrong(why));
    }
    let Some(port) = port else {
        let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        return Err(wrong(format!(
            "the port is missing: {shown}:50051, or {shown}:0 for a free one"
        )));
    };
    if let Some((ip, zone)) = address::ipv6(host).map_err(wrong)? {
        return Ok(vec![SocketAddrV6::new(ip, port, 0, zone).into()]);
    }
    let mut found = Vec::new();
    for address in (host, port).to_socket_addrs()? {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    Ok(found)
}

/// What to write where the host is missing, or is none; `None`: it may be one.
fn no_host(host: &str, port: Option<u16>) -> Option<String> {
    // A number alone is an address to the system, 0.0.195.131, and never what is meant.
    let number = port.is_none() && !host.is_empty() && host.bytes().all(|c| c.is_ascii_digit());
    let why = match host {
        "" => "the host is missing",
        "*" => "* is no host",
        _ if number => "this is a port without its host",
        _ => return None,
    };
    let port = port.map(|port| port.to_string());
    let port = port.as_deref().unwrap_or(if number { host } else { "50051" });
    Some(format!(
        "{why}: [::]:{port} is every address of this machine, 127.0.0.1:{port} is for its own programs"
    ))
}

type BindOne<'a> = dyn Fn(SocketAddr) -> io::Result<Bound> + 'a;

fn bind_all(addresses: &[SocketAddr], bind_one: &BindOne<'_>) -> io::Result<Vec<Bound>> {
    let mut tries = 1;
    loop {
        match bind_once(addresses, bind_one) {
            // The system chose a port that is taken on another of the addresses.
            Err((error, true)) if tries < TRIES && error.kind() == io::ErrorKind::AddrInUse => {
                tries += 1;
            }
            Err((error, _)) => return Err(error),
            Ok(bound) => return Ok(bound),
        }
    }
}

/// With the error: whether another port may do.
fn bind_once(
    addresses: &[SocketAddr],
    bind_one: &BindOne<'_>,
) -> Result<Vec<Bound>, (io::Error, bool)> {
    let mut bound: Vec<Bound> = Vec::new();
    let mut missing = Vec::new();
    let mut chosen = None;
    for address in addresses {
        let mut wanted = *address;
        if let Some(port) = chosen {
            wanted.set_port(port);
        }
        match bind_one(wanted) {
            Ok(listener) => {
                if wanted.port() == 0 {
                    chosen = listener.local().ip().map(|local| local.port());
                }
                bound.push(listener);
            }
            Err(error) if addresses.len() == 1 => return Err((error, false)),
            Err(error) if is_absent(&error) => missing.push(named(wanted, &error)),
            Err(error) => return Err((named(wanted, &error), chosen.is_some())),
        }
    }
    if bound.is_empty() {
        let none = io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
        return Err((missing.into_iter().next().unwrap_or(none), false));
    }
    for error in missing {
        tell::warn!("not listened on, for this machine does not have it: {error}");
    }
    Ok(bound)
}

/// The same error, which says of which address it is.
fn named(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

/// This machine has no such address, or none of this family.
fn is_absent(error: &io::Error) -> bool {
    is(error, Errno::AFNOSUPPORT) || is(error, Errno::ADDRNOTAVAIL)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn bind_one(address: SocketAddr, how: Listening) -> io::Result<Bound> {
    bind_with(address, how, &|domain| Socket::new(domain, Type::STREAM, Some(Protocol::TCP)))
}

fn bind_with(
    address: SocketAddr,
    how: Listening,
    socket: &dyn Fn(Domain) -> io::Result<Socket>,
) -> io::Result<Bound> {
    let any = address.is_ipv6() && address.ip().is_unspecified();
    let socket = match socket(Domain::for_address(address)) {
        // `[::]` means every address; without IPv6 (`ipv6.disable=1`) these are those of IPv4.
        Err(error) if any && !how.v6only && is(&error, Errno::AFNOSUPPORT) => {
            let every = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
            return bind_with(every, how, socket);
        }
        socket => socket?,
    };
    if any || (address.is_ipv6() && how.v6only) {
        socket.set_only_v6(how.v6only)?;
    }
    socket.set_reuse_address(true)?;
    if how.shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(how.backlog).unwrap_or(i32::MAX))?;
    Bound::new(socket, true)
}

/// Binds a UNIX socket. A file that a server has left behind that ended without removing it is taken away; one of a server that listens, or that
/// is no socket, is an error.
fn bind_unix(end: &Endpoint, how: Listening) -> io::Result<Bound> {
    let address = end.to_system()?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let path = match end {
        Endpoint::Unix(UnixName::Path(path)) => Some(path),
        _ => None,
    };
    match (socket.bind(&address), path) {
        (Err(error), Some(path)) if is(&error, Errno::ADDRINUSE) => {
            remove_stale(path)?;
            socket.bind(&address)?;
        }
        (result, _) => result?,
    }
    let file = path.map(|path| Ok::<_, io::Error>((path.clone(), identity(path)?))).transpose()?;
    let bound = Bound { socket, local: end.clone(), own: true, file };
    bound.socket.listen(i32::try_from(how.backlog).unwrap_or(i32::MAX))?;
    Ok(bound)
}

/// Removes the file of a socket that nobody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    let told = |why: &str| io::Error::new(io::ErrorKind::AddrInUse, why);
    // What a link leads to is not looked at: the system does not bind through one either.
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(told("there is a file of that name, which is no socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&socket2::SockAddr::unix(path)?) {
        Err(error) if is(&error, Errno::CONNREFUSED) => fs::remove_file(path),
        // A full queue is somebody's who listens, too; and who may not look is not to remove it.
        _ => Err(told("another server listens there")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_port_in_use_names_the_address_and_the_reason() {
        let first = bind("127.0.0.1:0", Listening::default()).unwrap();
        let address = first[0].local().to_string();
        let error = bind(&address, Listening::default()).unwrap_err();
        assert_eq!(error.address(), address);
        assert_eq!(error.io_error().kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address), "{error}");
    }

    #[test]
    fn nonsense_is_an_error_that_says_what_would_be_right() {
        for (address, words) in [
            ("", "host is missing"),
            (":50059", "[::]:50059"),
            (":50059", "127.0.0.1:50059"),
            ("50059", "without its host: [::]:50059"),
            ("50059", "127.0.0.1:50059"),
            ("*:50059", "* is no host: [::]:50059"),
            ("*", "[::]:50051"),
            ("nowhere", "nowhere:50051"),
            ("127.0.0.1", "port is missing: 127.0.0.1:50051"),
            ("::1", "[::1]:50051"),
            ("::1:50051", "[::1]:50051"),
            ("http://127.0.0.1:80", "leave \"http://\" out: \"127.0.0.1:80\""),
            ("https://[::]:443/", "credentials are what makes it secure"),
            ("tcp://h:1", "\"tcp\""),
            (" 127.0.0.1:80", "' ' cannot stand in a host name"),
            ("unix:", "path of the socket is missing"),
            ("unix-abstract:", "name of the socket is missing"),
            ("unix:/no/such/folder/x", "No such file"),
            ("unix:/proc/x", ""),
            ("127.0.0.1:99999", "99999"),
            ("[fe80::1%no-such-one]:0", "no-such-one"),
            ("no-such-host.invalid:1", ""),
        ] {
            let error = bind(address, Listening::default()).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(&format!("{address:?}")), "{error}");
        }
    }

    #[test]
    fn the_unspecified_address_of_ipv6_takes_ipv4() {
        let listeners = bind("[::]:0", Listening::default()).unwrap();
        let port = listeners[0].local().ip().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }

    #[test]
    fn without_ipv6_the_unspecified_address_is_that_of_ipv4() {
        let no_ipv6 = |domain| match domain {
            Domain::IPV6 => Err(io::Error::from(Errno::AFNOSUPPORT)),
            domain => Socket::new(domain, Type::STREAM, Some(Protocol::TCP)),
        };
        let listener =
            bind_with("[::]:0".parse().unwrap(), Listening::default(), &no_ipv6).unwrap();
        let local = listener.local().ip().unwrap();
        assert!(local.is_ipv4() && local.ip().is_unspecified());
        TcpStream::connect(("127.0.0.1", local.port())).unwrap();
        let error =
            bind_with("[::1]:0".parse().unwrap(), Listening::default(), &no_ipv6).unwrap_err();
        assert!(is(&error, Errno::AFNOSUPPORT), "an address that was meant is not replaced");
    }

    fn sockets(texts: &[&str], port: u16) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), port)).collect()
    }

    #[test]
    fn every_address_of_a_name_listens_on_one_port() {
        let hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
        let bound =
            bind_all(&sockets(&hosts, 0), &|address| bind_one(address, Listening::default()))
                .unwrap();
        let port = bound[0].local().ip().unwrap().port();
        for (listener, address) in bound.iter().zip(sockets(&hosts, port)) {
            assert_eq!(listener.local().ip(), Some(address));
            TcpStream::connect(address).unwrap();
        }
        assert_eq!(bound.len(), hosts.len());
    }

    #[test]
    fn an_address_of_a_name_that_cannot_be_bound_is_named_and_none_is_kept() {
        let taken = bind("127.0.0.2:0", Listening::default()).unwrap();
        let port = taken[0].local().ip().unwrap().port();
        for hosts in [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]] {
            let error = bind_all(&sockets(&hosts, port), &|address| {
                bind_one(address, Listening::default())
            })
            .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&format!("127.0.0.2:{port}")), "{error}");
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "half of it is closed again");
        }
    }

    #[test]
    fn a_free_port_is_free_on_all_addresses() {
        // The first two that are chosen turn out to be taken on the second address.
        let times = std::cell::Cell::new(0);
        let bind_later = |address: SocketAddr| {
            if address.to_string().starts_with("127.0.0.2") && times.replace(times.get() + 1) < 2 {
                return Err(io::Error::from(Errno::ADDRINUSE));
            }
            bind_one(address, Listening::default())
        };
        let bound = bind_all(&sockets(&["127.0.0.1", "127.0.0.2"], 0), &bind_later).unwrap();
        let ports: Vec<_> = bound.iter().map(|one| one.local().ip().unwrap().port()).collect();
        assert_eq!((ports.len(), ports[0]), (2, ports[1]));
    }

    #[test]
    fn addresses_that_this_machine_lacks_are_left_out_unless_all_are() {
        let lacking = |address: SocketAddr| match address {
            SocketAddr::V6(_) => Err(io::Error::from(Errno::AFNOSUPPORT)),
            SocketAddr::V4(v4) if v4.ip().octets()[3] > 1 => {
                Err(io::Error::from(Errno::ADDRNOTAVAIL))
            }
            address => bind_one(address, Listening::default()),
        };
        let hosts = ["::1", "127.0.0.2", "127.0.0.1"];
        let bound = bind_all(&sockets(&hosts, 0), &lacking).unwrap();
        assert_eq!(bound.len(), 1);
        let error = bind_all(&sockets(&["127.0.0.2", "127.0.0.3"], 0), &lacking).unwrap_err();
        assert!(error.to_string().contains("127.0.0.2"), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert_eq!(
            bind_all(&[], &|address| bind_one(address, Listening::default())).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_zone_is_taken_as_a_number_or_a_name() {
        for text in ["[::1%1]:0", "[::1%lo]:0"] {
            assert_eq!(addresses(text).unwrap().len(), 1, "{text}");
        }
        let SocketAddr::V6(found) = addresses("[fe80::1%3]:9").unwrap()[0] else { panic!() };
        assert_eq!((found.scope_id(), found.port()), (3, 9));
    }
}
