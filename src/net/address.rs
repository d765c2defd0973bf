//! Addresses as text: hosts, ports and zones. Looks no names up.
//!
//! A zone (RFC 4007 §11) tells on which interface a link-local address is meant: `fe80::1%eth0`, `fe80::1%2`. It means
//! something on this machine only, so it is never sent: RFC 6874 §4, "a node MUST remove any ZoneID".

use std::net::Ipv6Addr;
use std::os::fd::AsFd;

use socket2::{Domain, Socket, Type};

/// Host and port of `host:port`, `[ipv6]:port`, `host` or `ipv6`; brackets come off.
pub(crate) fn split(endpoint: &str) -> Result<(&str, Option<u16>), String> {
    if let Some(rest) = endpoint.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("a [ has no ]")?;
        return match after.strip_prefix(':') {
            Some(digits) => Ok((host, Some(port(digits)?))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(format!("{after:?} cannot follow the ]")),
        };
    }
    match endpoint.split_once(':') {
        Some((_, rest)) if rest.contains(':') => bare(endpoint),
        Some((host, digits)) => Ok((host, Some(port(digits)?))),
        None => Ok((endpoint, None)),
    }
}

/// What is wrong with an address in which the last of its digits may be meant as a port; `None`: nothing.
pub(crate) fn perhaps_a_port(endpoint: &str) -> Option<String> {
    let (host, digits) = endpoint.rsplit_once(':')?;
    let decimal = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    let both = decimal && host.parse::<Ipv6Addr>().is_ok() && endpoint.parse::<Ipv6Addr>().is_ok();
    both.then(|| {
        format!(
            "an IPv6 address stands in brackets where it may be taken for one with a port: \
             [{endpoint}], or [{host}]:{digits} if that is meant"
        )
    })
}

/// More than one colon and no brackets: an IPv6 address without a port, or a mistake.
fn bare(endpoint: &str) -> Result<(&str, Option<u16>), String> {
    if without_zone(endpoint).parse::<Ipv6Addr>().is_ok() {
        return Ok((endpoint, None));
    }
    let last = endpoint.rsplit_once(':');
    Err(match last.filter(|(host, _)| without_zone(host).parse::<Ipv6Addr>().is_ok()) {
        Some((host, digits)) => {
            format!("an IPv6 address with a port stands in brackets: [{host}]:{digits}")
        }
        None => "there is more than one colon in it, and it is no IPv6 address".into(),
    })
}

fn port(digits: &str) -> Result<u16, String> {
    match digits.parse() {
        Ok(port) if digits.bytes().all(|c| c.is_ascii_digit()) => Ok(port),
        _ => Err(format!("{digits:?} is no port (0 to 65535)")),
    }
}

/// An IPv6 address, and the number of its zone (0: none).
///
/// # Errors
/// A zone that this machine does not have, in words. `Ok(None)`: it is no IPv6 address.
pub(crate) fn ipv6(host: &str) -> Result<Option<(Ipv6Addr, u32)>, String> {
    let Ok(ip) = without_zone(host).parse() else { return Ok(None) };
    let Some((_, zone)) = host.split_once('%') else { return Ok(Some((ip, 0))) };
    let number = zone.parse().ok().or_else(|| interface(zone));
    number.map(|number| Some((ip, number))).ok_or_else(|| format!("no interface {zone:?} here"))
}

/// The number of an interface.
fn interface(name: &str) -> Option<u32> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None).ok()?;
    rustix::net::netdevice::name_to_index(socket.as_fd(), name).ok()
}

/// The address alone.
pub(crate) fn without_zone(host: &str) -> &str {
    // Only an IPv6 address has one; a % in a name is for whoever looks it up to refuse.
    match host.split_once('%') {
        Some((address, _)) if address.contains(':') => address,
        _ => host,
    }
}

/// What is wrong with the name of a host; `None`: it may be one.
pub(crate) fn no_name(host: &str) -> Option<String> {
    let bad = host.chars().find(|c| !c.is_ascii_graphic() || "/@?#\"<>\\".contains(*c))?;
    Some(format!("{bad:?} cannot stand in a host name"))
}

/// What is wrong with an address that looks like a URI; `None`: it does not.
pub(crate) fn no_uri(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let place = rest.trim_start_matches('/').split('/').next().unwrap_or_default();
    Some(match scheme {
        "http" => format!("leave \"http://\" out: {place:?}"),
        "https" => {
            format!("leave \"https://\" out, {place:?}: credentials are what makes it secure")
        }
        "xds" => "xds is not supported: name the server, such as \"example.com:50051\"".into(),
        _ if place.is_empty() => format!("the scheme {scheme:?} is unknown"),
        _ => format!("the scheme {scheme:?} is unknown; {place:?} may be what is meant"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_come_apart() {
        assert_eq!(split("host:80"), Ok(("host", Some(80))));
        assert_eq!(split("host"), Ok(("host", None)));
        assert_eq!(split("[::1]:80"), Ok(("::1", Some(80))));
        assert_eq!(split("[fe80::1%eth0]"), Ok(("fe80::1%eth0", None)));
        assert_eq!(split("fe80::1%2"), Ok(("fe80::1%2", None)));
        let told = |text| split(text).unwrap_err();
        assert!(told("::1:50051").contains("[::1]:50051"));
        assert!(perhaps_a_port("::1:50").unwrap().contains("[::1:50], or [::1]:50 if"));
        for clear in ["::1", "[::1:50]", "::1:a", "1:2:3:4:5:6:7:8", "fe80::1%2", "host:80"] {
            assert_eq!(perhaps_a_port(clear), None, "{clear}");
        }
        assert!(told("localhost:80:90").contains("more than one colon"));
        for bad in ["host:", "host:65536", "host:-1", "host:+1", "[::1", "[::1]x", "[::1]:"] {
            told(bad);
        }
    }

    #[test]
    fn zones_are_numbers_or_interfaces_of_this_machine() {
        let ip: Ipv6Addr = "fe80::1".parse().unwrap();
        assert_eq!(ipv6("fe80::1"), Ok(Some((ip, 0))));
        assert_eq!(ipv6("fe80::1%7"), Ok(Some((ip, 7))));
        let lo = std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap();
        assert_eq!(ipv6("fe80::1%lo"), Ok(Some((ip, lo.trim().parse().unwrap()))));
        assert!(ipv6("fe80::1%no-such-one").unwrap_err().contains("no-such-one"));
        assert_eq!(ipv6("127.0.0.1"), Ok(None));
        assert_eq!(ipv6("a%b"), Ok(None));
        assert_eq!(without_zone("fe80::1%lo"), "fe80::1");
        assert_eq!(without_zone("a%b"), "a%b");
    }
}
