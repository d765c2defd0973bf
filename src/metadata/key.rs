//! Which metadata keys there may be, and which of them are the library's own.

use crate::error::{ConfigError, ConfigErrorKind};

/// Whether `key` is non-empty and made of `0-9 a-z _ - .` or upper case, which is lowered (W25).
///
/// § `doc/PROTOCOL-HTTP2.md`: "Header-Name → 1*( %x30-39 / %x61-7A / "_" / "-" / "." )".
fn legal(key: &[u8]) -> bool {
    !key.is_empty()
        && key.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// Whether a (lower-case) key belongs to the protocol and never to an application (W26).
///
/// § `doc/PROTOCOL-HTTP2.md`: "Custom-Metadata [...] header names starting with 'grpc-' but not
/// listed here are reserved for future GRPC use and should not be used by applications".
pub(crate) fn reserved(key: &[u8]) -> bool {
    match key {
        b"te" | b"content-type" | b"content-length" | b"host" | b"connection" | b"keep-alive"
        | b"proxy-connection" | b"transfer-encoding" | b"upgrade" | b"user-agent" => true,
        // Protocol names that go through metadata by design: gRFC A6, rich errors, tracing.
        b"grpc-previous-rpc-attempts"
        | b"grpc-retry-pushback-ms"
        | b"grpc-status-details-bin"
        | b"grpc-trace-bin"
        | b"grpc-tags-bin" => false,
        _ => key.starts_with(b"grpc-") || key.starts_with(b":"),
    }
}

/// Whether a key's values are bytes.
pub(crate) fn is_binary(key: &[u8]) -> bool {
    key.ends_with(b"-bin")
}

/// Checks a key an application gives.
pub(super) fn check(key: &str, binary: bool) -> Result<(), ConfigError> {
    let problem = if !legal(key.as_bytes()) {
        "a key is one or more of 0-9 a-z _ - ."
    } else if reserved(key.to_ascii_lowercase().as_bytes()) {
        whose(&key.to_ascii_lowercase())
    } else if is_binary(key.to_ascii_lowercase().as_bytes()) != binary {
        if binary { "a key of bytes ends in -bin" } else { "a key that ends in -bin takes bytes" }
    } else {
        return Ok(());
    };
    Err(ConfigError::new(ConfigErrorKind::Metadata, format!("metadata key {key:?}: {problem}")))
}

/// Why an application cannot set a reserved key, and what it can do instead.
fn whose(key: &str) -> &'static str {
    match key {
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {
            "HTTP/2 forbids it (RFC 9113 \u{a7}8.2.2)"
        }
        "user-agent" => "the library sets it; ChannelBuilder::user_agent adds your program's name",
        "host" => "the library sets :authority instead; see ChannelBuilder::authority",
        "grpc-timeout" => "the library sets it from the timeout or the deadline of a call",
        _ => "this key belongs to the protocol; the library sets it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w25_keys_are_non_empty_and_of_the_legal_characters() {
        for good in ["a", "x-y_z.0", "X-Upper", "0"] {
            assert!(check(good, false).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:b", ":path", "ä", "a\r\nb", "a\0", "a/b"] {
            let error = check(bad, false).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn w26_the_protocols_own_keys_are_refused() {
        for own in [
            "te",
            "content-type",
            "user-agent",
            "grpc-timeout",
            "grpc-encoding",
            "grpc-status",
            "grpc-message",
            "grpc-message-type",
            "grpc-accept-encoding",
            "grpc-anything",
            "connection",
            "host",
            "Content-Type",
            "content-length",
            "transfer-encoding",
        ] {
            assert!(check(own, false).is_err(), "{own}");
        }
        assert!(check("grpc-previous-rpc-attempts", false).is_ok());
        assert!(check("grpc-retry-pushback-ms", false).is_ok());
        assert!(check("grpc-status-details-bin", true).is_ok());
    }

    #[test]
    fn w26_a_refused_key_says_what_to_do_instead() {
        for (key, words) in [
            ("connection", "HTTP/2 forbids it"),
            ("Transfer-Encoding", "HTTP/2 forbids it"),
            ("upgrade", "HTTP/2 forbids it"),
            ("user-agent", "ChannelBuilder::user_agent"),
            ("grpc-timeout", "the timeout or the deadline of a call"),
            ("grpc-status", "the library sets it"),
        ] {
            let error = check(key, false).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn text_and_byte_keys_are_not_mixed() {
        assert!(check("x-bin", false).is_err());
        assert!(check("x-BIN", true).is_ok());
        assert!(check("x", true).is_err());
    }
}
