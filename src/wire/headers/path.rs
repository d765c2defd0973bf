//! Which paths name a method.
//!
//! § `doc/PROTOCOL-HTTP2.md`: "Path → ":path" "/" Service-Name "/" {method name}". A service's name may hold slashes, as it may
//! with grpc-go, which parts the path at its last one, and with C-core, which compares whole paths: the method is what
//! stands behind the last. Both sides of ours go by [`is_method_path`], so none calls what the other refuses.

/// Whether a path names a method: `/service/method`, in the one form in which all who look at it see the same (W13).
///
/// No part is empty, and none is `.` or `..`, which whoever normalizes a path takes out (RFC 3986 §5.2.4). An escape is there
/// for what cannot stand for itself: spaces, and octets that are no ASCII. `%2F` or `%41` would be another spelling.
pub(crate) const fn is_method_path(path: &[u8]) -> bool {
    let mut left = path;
    let mut parts = 0;
    while let [b'/', rest @ ..] = left {
        match behind_part(rest) {
            Some(behind) => left = behind,
            None => return false,
        }
        parts += 1;
    }
    left.is_empty() && parts > 1
}

/// What follows the part that this begins with. `None`: it cannot stand in a path.
const fn behind_part(path: &[u8]) -> Option<&[u8]> {
    if matches!(
        path,
        [] | [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..]
    ) {
        return None;
    }
    let mut left = path;
    loop {
        left = match left {
            [] | [b'/', ..] => return Some(left),
            [b'%', high, low, rest @ ..] if is_escape(*high, *low) => rest,
            [b'%' | b'?' | b'#', ..] => return None,
            [octet, rest @ ..] if octet.is_ascii_graphic() => rest,
            _ => return None,
        };
    }
}

/// § RFC 3986 §2.1: "producers […] should use uppercase hexadecimal digits": the other case would be another spelling, too.
const fn is_escape(high: u8, low: u8) -> bool {
    let hex = matches!(low, b'0'..=b'9' | b'A'..=b'F');
    hex && (matches!(high, b'8'..=b'9' | b'A'..=b'F') || (high == b'2' && low == b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w13_a_path_has_one_spelling_and_parts_at_its_last_slash() {
        for good in [
            "/s/m",
            "/pkg.v1.Service/Method",
            "/a/svc/m",
            "/a/b/c/d",
            "/S/%20",
            "/S/%C3%A4",
            "/.a/..b",
            "/a/...",
            "/S/m.",
            "/S/~!$&'()*+,;=:@[]",
        ] {
            assert!(is_method_path(good.as_bytes()), "{good}");
        }
        for bad in [
            "/a/../b",
            "/../m",
            "/a/..",
            "/a/.",
            "/./m",
            "/a//b",
            "/a/b/",
            "//a/b",
            "/a/%2F",
            "/a/%2fb",
            "/a/%41",
            "/a/%c3%a4",
            "/a/%00",
            "/a/%25",
            "/a/%",
            "/a/%2",
            "/a/%2/b",
            "/a/%C3%A",
        ] {
            assert!(!is_method_path(bad.as_bytes()), "{bad}");
        }
    }
}
