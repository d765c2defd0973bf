//! What a channel's target means: whom to resolve, and what to call the server (`:authority`).
//!
//! § `doc/naming.md`: `dns:[//authority/]host[:port]`, `ipv4:address[:port][,…]`,
//! `ipv6:address[:port][,…]`; `unix:path`, `unix:///absolute`, `unix-abstract:name`; without a scheme, `dns`. The default port is 443.
//! An IPv6 address may have a zone, which is not sent (RFC 6874 §4).

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::error::{ConfigError, ConfigErrorKind};
use crate::net::Endpoint;
use crate::net::address::{self, split};

/// A target that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    text: String,
    authority: String,
    place: Place,
}

/// Where the servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A name, or a literal, to be resolved anew for each attempt.
    Name { host: String, port: u16 },
    /// Addresses, in the order they are tried.
    Addresses(Vec<SocketAddr>),
    /// A UNIX socket.
    Unix(Endpoint),
}

const DEFAULT_PORT: u16 = 443;

impl Target {
    /// Reads a target.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let (authority, place) = read(text).map_err(|why| {
            ConfigError::new(ConfigErrorKind::Target, format!("channel target {text:?}: {why}"))
        })?;
        Ok(Self { text: text.to_owned(), authority, place })
    }

    /// As the user wrote it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The `:authority` of calls (W5).
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

fn read(text: &str) -> Result<(String, Place), String> {
    if let Some(rest) = text.strip_prefix("dns:") {
        return match rest.strip_prefix("//") {
            None => name(&decoded(rest)),
            Some(rest) => match rest.split_once('/') {
                Some(("", endpoint)) => name(&decoded(endpoint)),
                Some((server, _)) => {
                    Err(format!("asking the name server {server:?} is not supported"))
                }
                None => Err("after dns:// comes a / before the name".into()),
            },
        };
    }
    if let Some(rest) = text.strip_prefix("ipv4:") {
        return addresses(rest, |host, port| {
            let ip = host.parse::<Ipv4Addr>().ok();
            Ok(ip.map(|ip| SocketAddrV4::new(ip, port).into()))
        });
    }
    if let Some(rest) = text.strip_prefix("ipv6:") {
        return addresses(&decoded(rest), |host, port| {
            let found = address::ipv6(host)?;
            Ok(found.map(|(ip, zone)| SocketAddrV6::new(ip, port, 0, zone).into()))
        });
    }
    if let Some(end) = Endpoint::unix(text) {
        // § grpc's resolver for it: there is no host, and this is what proxies and certificates know.
        return Ok(("localhost".into(), Place::Unix(end?)));
    }
    if let Some(why) = address::no_uri(text).or_else(|| no_list(text)) {
        return Err(why);
    }
    name(text)
}

/// What is wrong with several addresses that do not say so; `None`: it is one, or none.
fn no_list(text: &str) -> Option<String> {
    let first = text.split_once(',')?.0;
    let family = match split(first).ok()?.0 {
        host if host.parse::<Ipv4Addr>().is_ok() => "ipv4",
        host if address::without_zone(host).parse::<Ipv6Addr>().is_ok() => "ipv6",
        _ => {
            return Some(
                "of several servers addresses are given: ipv4:10.0.0.1:50051,10.0.0.2:50051".into(),
            );
        }
    };
    Some(format!("a list of addresses begins with its family: \"{family}:{text}\""))
}

/// In a URI the % before a zone is itself encoded (RFC 6874 §2): `[fe80::1%25eth0]`. A lone 25 is the zone.
fn decoded(text: &str) -> Cow<'_, str> {
    match text.contains("%25") && !text.contains("%25]") {
        true => text.replace("%25", "%").into(),
        false => text.into(),
    }
}

fn name(endpoint: &str) -> Result<(String, Place), String> {
    if let Some(why) = address::perhaps_a_port(endpoint) {
        return Err(why);
    }
    let (host, port) = split(endpoint)?;
    if host.is_empty() {
        let port = port.unwrap_or(DEFAULT_PORT);
        return Err(format!("there is no host in it: localhost:{port} is this machine"));
    }
    if port.is_none() && host.bytes().all(|c| c.is_ascii_digit()) {
        return Err(format!("this is a port without its host: localhost:{host} is this machine"));
    }
    let host_alone = address::without_zone(host);
    if let Some(why) = address::no_name(host) {
        return Err(why);
    }
    check_port(port)?;
    let authority = match host.contains(':') {
        true => format!("[{host_alone}]"),
        false => host.to_owned(),
    };
    let authority = match port {
        Some(port) => format!("{authority}:{port}"),
        None => authority,
    };
    Ok((authority, Place::Name { host: host.into(), port: port.unwrap_or(DEFAULT_PORT) }))
}

fn addresses(
    list: &str,
    parse: impl Fn(&str, u16) -> Result<Option<SocketAddr>, String>,
) -> Result<(String, Place), String> {
    let mut found = Vec::new();
    for item in list.split(',') {
        let (host, port) = split(item)?;
        check_port(port)?;
        let address = parse(host, port.unwrap_or(DEFAULT_PORT))?;
        found.push(address.ok_or_else(|| format!("{host:?} is no address of this family"))?);
    }
    let first = found.first().map(|first| SocketAddr::new(first.ip(), first.port()));
    Ok((first.map(|first| first.to_string()).unwrap_or_default(), Place::Addresses(found)))
}

/// Nobody listens on port 0: it stands for a free one where a server is set up.
fn check_port(port: Option<u16>) -> Result<(), String> {
    match port {
        Some(0) => Err("nobody listens on port 0: use the port that add_insecure_port gave".into()),
        _ => Ok(()),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, authority: &str, host: &str, port: u16) {
        let target = Target::parse(text).unwrap();
        assert_eq!(target.authority(), authority, "{text}");
        assert_eq!(target.place(), &Place::Name { host: host.into(), port }, "{text}");
    }

    #[test]
    fn w5_names_with_and_without_scheme() {
        named("localhost:50051", "localhost:50051", "localhost", 50051);
        named("dns:///localhost:50051", "localhost:50051", "localhost", 50051);
        named("dns:localhost:50051", "localhost:50051", "localhost", 50051);
        named("example.org", "example.org", "example.org", 443);
        named("127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", 80);
        named("[::1]:80", "[::1]:80", "::1", 80);
        named("[::1]", "[::1]", "::1", 443);
        named("::1", "[::1]", "::1", 443);
    }

    #[test]
    fn unix_sockets_are_localhost_to_their_server() {
        for text in ["unix:/a", "unix:///a", "unix:a", "unix-abstract:a"] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.authority(), "localhost");
            assert_eq!(target.place(), &Place::Unix(Endpoint::unix(text).unwrap().unwrap()));
        }
    }

    #[test]
    fn addresses_in_order() {
        let target = Target::parse("ipv4:127.0.0.1:1,127.0.0.2").unwrap();
        let expected = ["127.0.0.1:1", "127.0.0.2:443"].map(|a| a.parse().unwrap());
        assert_eq!(target.place(), &Place::Addresses(expected.to_vec()));
        assert_eq!(target.authority(), "127.0.0.1:1");
        let target = Target::parse("ipv6:[::1]:7").unwrap();
        assert_eq!(target.place(), &Place::Addresses(vec!["[::1]:7".parse().unwrap()]));
    }

    #[test]
    fn a_zone_is_used_and_never_sent() {
        named("[fe80::1%d0]:80", "[fe80::1]:80", "fe80::1%d0", 80);
        named("dns:///[fe80::1%25d0]:80", "[fe80::1]:80", "fe80::1%d0", 80);
        named("fe80::1%2", "[fe80::1]", "fe80::1%2", 443);
        for (text, zone) in [
            ("ipv6:[fe80::1%7]:80", 7),
            ("ipv6:[fe80::1%257]:80", 7),
            ("ipv6:[fe80::1%25]:80", 25),
            ("ipv6:[fe80::1]:80", 0),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.authority(), "[fe80::1]:80", "{text}");
            let address = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, zone);
            assert_eq!(target.place(), &Place::Addresses(vec![address.into()]), "{text}");
        }
        let lo = Target::parse("ipv6:[::1%lo]:80").unwrap();
        assert_eq!(lo.authority(), "[::1]:80");
        let error = Target::parse("ipv6:[::1%no-such-one]:80").unwrap_err();
        assert!(error.to_string().contains("no-such-one"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        for (text, words) in [
            ("::1:50051", "[::1]:50051"),
            ("http://h:1", "leave \"http://\" out: \"h:1\""),
            ("https://h:1/x", "leave \"https://\" out, \"h:1\": credentials"),
            ("grpc://h:1", "\"h:1\" may be what is meant"),
            ("xds:///service", "xds is not supported: name the server, such as"),
            ("consul:///h:1", "\"h:1\" may be what is meant"),
            ("http:///", "leave \"http://\" out"),
            ("10.0.0.1:1,10.0.0.2:1", "\"ipv4:10.0.0.1:1,10.0.0.2:1\""),
            ("[::1]:1,[::2]:1", "\"ipv6:[::1]:1,[::2]:1\""),
            ("a:1,b:1", "addresses are given: ipv4:"),
            (":50051", "no host in it: localhost:50051"),
            ("50051", "a port without its host: localhost:50051"),
            ("h:1:2", "more than one colon"),
            ("::1:50", "[::1]:50"),
            ("dns:::1:50", "[::1]:50"),
            ("h:0", "port 0: use the port that add_insecure_port gave"),
            ("ipv4:127.0.0.1:0", "port 0: use the port that add_insecure_port gave"),
            ("a b:1", "' ' cannot stand in a host name"),
        ] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for text in [
            "",
            ":80",
            "host:",
            "host:65536",
            "host:-1",
            "host:+1",
            "a b:1",
            "http://x:1",
            "dns://x",
            "dns://8.8.8.8/x:1",
            "ipv4:::1",
            "ipv4:host:1",
            "ipv4:",
            "ipv6:127.0.0.1:1",
            "unix:",
            "unix://x",
            "unix-abstract:",
            "[::1",
            "[::1]x",
            "a/b:1",
            "ä:1",
            "host:1\n",
        ] {
            let error = Target::parse(text).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::Target);
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}
