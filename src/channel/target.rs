//! What a channel's target means: whom to resolve, and what to call the server (`:authority`).
//!
//! § `doc/naming.md`: `dns:[//authority/]host[:port]`, `ipv4:address[:port][,…]`,
//! `ipv6:address[:port][,…]`; without a scheme, `dns`. The default port is 443.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::{ConfigError, ConfigErrorKind};

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
            None => name(rest),
            Some(rest) => match rest.split_once('/') {
                Some(("", endpoint)) => name(endpoint),
                Some((server, _)) => {
                    Err(format!("asking the name server {server:?} is not supported"))
                }
                None => Err("after dns:// comes a / before the name".into()),
            },
        };
    }
    if let Some(rest) = text.strip_prefix("ipv4:") {
        return addresses(rest, |host| host.parse::<Ipv4Addr>().ok().map(IpAddr::V4));
    }
    if let Some(rest) = text.strip_prefix("ipv6:") {
        return addresses(rest, |host| host.parse::<Ipv6Addr>().ok().map(IpAddr::V6));
    }
    if text.starts_with("unix:") || text.starts_with("unix-abstract:") {
        return Err("unix sockets are not supported yet".into());
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("the scheme {scheme:?} is unknown; there are dns, ipv4 and ipv6"));
    }
    name(text)
}

fn name(endpoint: &str) -> Result<(String, Place), String> {
    let (host, port) = split(endpoint)?;
    if host.is_empty() {
        return Err("there is no host in it".into());
    }
    if let Some(bad) = host.chars().find(|c| !c.is_ascii_graphic() || "/@?#\"<>\\".contains(*c)) {
        return Err(format!("{bad:?} cannot stand in a host name"));
    }
    let authority = match host.contains(':') {
        true => format!("[{host}]"),
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
    parse: impl Fn(&str) -> Option<IpAddr>,
) -> Result<(String, Place), String> {
    let mut found = Vec::new();
    for item in list.split(',') {
        let (host, port) = split(item)?;
        let ip = parse(host).ok_or_else(|| format!("{host:?} is no address of this family"))?;
        found.push(SocketAddr::new(ip, port.unwrap_or(DEFAULT_PORT)));
    }
    let authority = found.first().map(SocketAddr::to_string).unwrap_or_default();
    Ok((authority, Place::Addresses(found)))
}

/// Host and port; brackets around IPv6 come off.
fn split(endpoint: &str) -> Result<(&str, Option<u16>), String> {
    if let Some(rest) = endpoint.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("a [ has no ]")?;
        return match after.strip_prefix(':') {
            Some(digits) => Ok((host, Some(port(digits)?))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(format!("{after:?} cannot follow the ]")),
        };
    }
    match endpoint.split_once(':') {
        // More than one colon: a bare IPv6 address.
        Some((_, rest)) if rest.contains(':') => Ok((endpoint, None)),
        Some((host, digits)) => Ok((host, Some(port(digits)?))),
        None => Ok((endpoint, None)),
    }
}

fn port(digits: &str) -> Result<u16, String> {
    match digits.parse() {
        Ok(port) if digits.bytes().all(|c| c.is_ascii_digit()) => Ok(port),
        _ => Err(format!("{digits:?} is no port (0 to 65535)")),
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
    fn addresses_in_order() {
        let target = Target::parse("ipv4:127.0.0.1:1,127.0.0.2").unwrap();
        let expected = ["127.0.0.1:1", "127.0.0.2:443"].map(|a| a.parse().unwrap());
        assert_eq!(target.place(), &Place::Addresses(expected.to_vec()));
        assert_eq!(target.authority(), "127.0.0.1:1");
        let target = Target::parse("ipv6:[::1]:7").unwrap();
        assert_eq!(target.place(), &Place::Addresses(vec!["[::1]:7".parse().unwrap()]));
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
            "unix:/x",
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
