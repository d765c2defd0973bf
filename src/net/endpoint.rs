//! Where an end of a connection is: [`Endpoint`], an address of IP or a name of UNIX sockets, as text and as the system has it.
//!
//! § gRPC's `doc/naming.md`: `unix:path`, `unix:///absolute_path`, `unix-abstract:name`; unix(7).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use socket2::SockAddr;

/// See the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Ip(SocketAddr),
    Unix(UnixName),
}

/// What a UNIX socket is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum UnixName {
    Path(PathBuf),
    /// Of Linux's abstract namespace: no file, and gone with its last holder.
    Abstract(Vec<u8>),
    /// Nothing: what a client's socket is called as a rule.
    Unnamed,
}

/// Where an end of a connection is, or what is listened on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An address of IP and a port.
    Ip(SocketAddr),
    /// The path of a UNIX socket; `unix-abstract:` and the name of one without a file; empty: it has no name, as a client's as a rule.
    /// What cannot be printed is percent-encoded.
    Unix(String),
}

impl From<&Endpoint> for Address {
    fn from(end: &Endpoint) -> Self {
        match end {
            Endpoint::Ip(ip) => Self::Ip(*ip),
            Endpoint::Unix(_) => {
                let text = end.describe();
                Self::Unix(text.strip_prefix("unix:").unwrap_or(&text).to_owned())
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Unix(name) if name.starts_with("unix-abstract:") => f.pad(name),
            Self::Unix(name) => write!(f, "unix:{name}"),
        }
    }
}

/// What fits into `sun_path` with the nought behind it; an abstract name has one in front.
const LONGEST: usize = 107;
/// A control character in a path is nobody's to print.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

impl Endpoint {
    /// As the system has it. `None`: of a family that is not served.
    pub(crate) fn of(address: &SockAddr) -> Option<Self> {
        if let Some(ip) = address.as_socket() {
            return Some(Self::Ip(ip));
        }
        let name = match (address.as_pathname(), address.as_abstract_namespace()) {
            (Some(path), _) => UnixName::Path(path.to_owned()),
            (None, Some(name)) => UnixName::Abstract(name.to_owned()),
            (None, None) if address.is_unix() => UnixName::Unnamed,
            (None, None) => return None,
        };
        Some(Self::Unix(name))
    }

    /// For the system.
    pub(crate) fn to_system(&self) -> io::Result<SockAddr> {
        match self {
            Self::Ip(ip) => Ok((*ip).into()),
            Self::Unix(UnixName::Path(path)) => SockAddr::unix(path),
            Self::Unix(UnixName::Abstract(name)) => {
                let name = [&b"\0"[..], name].concat();
                SockAddr::unix(Path::new(std::ffi::OsStr::from_bytes(&name)))
            }
            Self::Unix(UnixName::Unnamed) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// A UNIX socket, by what stands in a target or a port; `None`: it is not meant.
    pub(crate) fn unix(text: &str) -> Option<Result<Self, String>> {
        if let Some(name) = text.strip_prefix("unix-abstract:") {
            return Some(abstracted(name).map(Self::Unix));
        }
        let path = text.strip_prefix("unix:")?;
        Some(located(path).map(Self::Unix))
    }

    pub(crate) fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Unix(_) => None,
        }
    }

    /// Whether who is there is on this machine, whatever its addresses are.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => super::is_loopback(ip),
            Self::Unix(_) => true,
        }
    }

    /// As Python's `peer()` writes it: brackets and the zone's % of IPv6 percent-encoded; `unix:` of a client's socket.
    pub(crate) fn describe(&self) -> String {
        let escaped = |octets: &[u8]| percent_encode(octets, ESCAPED).to_string();
        match self {
            Self::Ip(SocketAddr::V4(v4)) => format!("ipv4:{v4}"),
            Self::Ip(SocketAddr::V6(v6)) if v6.scope_id() != 0 => {
                format!("ipv6:%5B{}%25{}%5D:{}", v6.ip(), v6.scope_id(), v6.port())
            }
            Self::Ip(SocketAddr::V6(v6)) => format!("ipv6:%5B{}%5D:{}", v6.ip(), v6.port()),
            Self::Unix(UnixName::Path(path)) => match path.to_str() {
                Some(text) if !text.contains(|c: char| c.is_control()) => format!("unix:{text}"),
                _ => format!("unix:{}", escaped(path.as_os_str().as_bytes())),
            },
            Self::Unix(UnixName::Abstract(name)) => match std::str::from_utf8(name) {
                Ok(text) if !text.contains(|c: char| c.is_control()) => {
                    format!("unix-abstract:{text}")
                }
                _ => format!("unix-abstract:{}", escaped(name)),
            },
            Self::Unix(UnixName::Unnamed) => "unix:".into(),
        }
    }
}

/// For messages to people: an address of IP as it is written everywhere.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Unix(_) => f.pad(&self.describe()),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(ip: SocketAddr) -> Self {
        Self::Ip(ip)
    }
}

fn located(text: &str) -> Result<UnixName, String> {
    let path = match text.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err("after unix:// comes an absolute path: unix:///run/my.sock".into()),
        None => text,
    };
    fits(path, "path")?;
    if path.ends_with('/') {
        return Err("the path of a socket does not end with a slash".into());
    }
    Ok(UnixName::Path(path.into()))
}

fn abstracted(name: &str) -> Result<UnixName, String> {
    // A name may hold noughts; one that is empty would be chosen by the system, and nobody would know it.
    fits(&name.replace('\0', "."), "name")?;
    Ok(UnixName::Abstract(name.into()))
}

fn fits(text: &str, what: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("the {what} of the socket is missing"));
    }
    if text.contains('\0') {
        return Err(format!("a nought cannot stand in the {what} of a socket"));
    }
    match text.len() {
        length if length > LONGEST => Err(format!(
            "the {what} of a UNIX socket has {LONGEST} octets at most, and this one {length}"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Endpoint, String> {
        Endpoint::unix(text).unwrap()
    }

    #[test]
    fn unix_sockets_are_named_as_grpc_names_them() {
        let path = |text: &str| Ok(Endpoint::Unix(UnixName::Path(text.into())));
        assert_eq!(read("unix:/a/b"), path("/a/b"));
        assert_eq!(read("unix:///a/b"), path("/a/b"));
        assert_eq!(read("unix:a/b"), path("a/b"));
        let name = |octets: &[u8]| Ok(Endpoint::Unix(UnixName::Abstract(octets.to_vec())));
        assert_eq!(read("unix-abstract:x"), name(b"x"));
        assert_eq!(read("unix-abstract:a\0b"), name(b"a\0b"));
        assert!(Endpoint::unix("unixes:1").is_none() && Endpoint::unix("localhost:1").is_none());
        for (text, words) in [
            ("unix:", "path of the socket is missing"),
            ("unix-abstract:", "name of the socket is missing"),
            ("unix://a/b", "unix:///run"),
            ("unix:///", "does not end with a slash"),
            ("unix:/a/", "does not end with a slash"),
            ("unix:/a\0b", "nought"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn what_is_too_long_is_told_with_its_length() {
        for prefix in ["unix:", "unix-abstract:"] {
            let fits = read(&format!("{prefix}{}", "x".repeat(107))).unwrap();
            assert_eq!(Endpoint::of(&fits.to_system().unwrap()), Some(fits));
            let why = read(&format!("{prefix}{}", "x".repeat(108))).unwrap_err();
            assert!(why.contains("107 octets at most, and this one 108"), "{why}");
        }
    }

    #[test]
    fn addresses_are_told_as_they_are_written() {
        let told = |end: Endpoint| (Address::from(&end), Address::from(&end).to_string());
        let ip: SocketAddr = "[::1]:80".parse().unwrap();
        assert_eq!(told(ip.into()), (Address::Ip(ip), "[::1]:80".into()));
        let unix = |name: &str| Address::Unix(name.into());
        assert_eq!(told(read("unix:/a/b").unwrap()), (unix("/a/b"), "unix:/a/b".into()));
        let name = "unix-abstract:x";
        assert_eq!(told(read(name).unwrap()), (unix(name), name.into()));
        assert_eq!(told(Endpoint::Unix(UnixName::Unnamed)), (unix(""), "unix:".into()));
    }

    /// § Table 1g.
    #[test]
    fn peers_are_written_as_python_does() {
        let ip = |text: &str| Endpoint::Ip(text.parse().unwrap()).describe();
        assert_eq!(ip("127.0.0.1:80"), "ipv4:127.0.0.1:80");
        assert_eq!(ip("[::1]:80"), "ipv6:%5B::1%5D:80");
        // The same address on two links is two peers.
        assert_eq!(ip("[fe80::1%2]:80"), "ipv6:%5Bfe80::1%252%5D:80");
        assert_ne!(ip("[fe80::1%2]:80"), ip("[fe80::1%3]:80"));
        assert_eq!(Endpoint::Unix(UnixName::Unnamed).describe(), "unix:");
        assert_eq!(read("unix:///a b").unwrap().describe(), "unix:/a b");
        assert_eq!(read("unix:/a\nb").unwrap().describe(), "unix:/a%0Ab");
        assert_eq!(read("unix-abstract:a\0b").unwrap().describe(), "unix-abstract:a%00b");
        assert_eq!(read("unix-abstract:x").unwrap().describe(), "unix-abstract:x");
    }
}
