//! Words that every part of HTTP/2 shares: which stream, which side, which
//! error code. Values only: nothing here reads or writes bytes.

use std::fmt;

/// One stream of one connection.
///
/// The slot is the stream's place in the connection's store and is used again;
/// the id is not, so an old key never names a new stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    /// Place in the connection's store of streams.
    pub(crate) slot: u32,
    /// The stream identifier on the wire.
    pub(crate) id: u32,
}

/// Which end of a connection this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Opens streams with odd identifiers.
    Client,
    /// Answers them. It never pushes, so it opens none.
    Server,
}

/// An error code of RST_STREAM and GOAWAY (RFC 9113 §7).
///
/// Any value may come in: "Unknown or unsupported error codes MUST NOT trigger
/// any special behavior" (§7), so this is a number and not an enum.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Reason(pub(crate) u32);

impl Reason {
    /// Graceful end, not an error.
    pub(crate) const NO_ERROR: Self = Self(0x0);
    /// A rule of the protocol was broken.
    pub(crate) const PROTOCOL_ERROR: Self = Self(0x1);
    /// Something unexpected on the sender's own side.
    pub(crate) const INTERNAL_ERROR: Self = Self(0x2);
    /// More data than the window allowed.
    pub(crate) const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// SETTINGS were not acknowledged in time.
    pub(crate) const SETTINGS_TIMEOUT: Self = Self(0x4);
    /// A frame for a stream whose sender had closed it.
    pub(crate) const STREAM_CLOSED: Self = Self(0x5);
    /// A frame of a length that is not allowed.
    pub(crate) const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// Refused before any processing: safe to try again.
    pub(crate) const REFUSED_STREAM: Self = Self(0x7);
    /// No longer wanted.
    pub(crate) const CANCEL: Self = Self(0x8);
    /// The field compression state is lost.
    pub(crate) const COMPRESSION_ERROR: Self = Self(0x9);
    /// A CONNECT tunnel failed.
    pub(crate) const CONNECT_ERROR: Self = Self(0xa);
    /// Behaviour that costs too much.
    pub(crate) const ENHANCE_YOUR_CALM: Self = Self(0xb);
    /// The transport is not secure enough.
    pub(crate) const INADEQUATE_SECURITY: Self = Self(0xc);
    /// HTTP/1.1 is wanted instead.
    pub(crate) const HTTP_1_1_REQUIRED: Self = Self(0xd);

    /// The name in RFC 9113 §7, or `UNKNOWN_ERROR` for a code it does not list.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NO_ERROR => "NO_ERROR",
            Self::PROTOCOL_ERROR => "PROTOCOL_ERROR",
            Self::INTERNAL_ERROR => "INTERNAL_ERROR",
            Self::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
            Self::SETTINGS_TIMEOUT => "SETTINGS_TIMEOUT",
            Self::STREAM_CLOSED => "STREAM_CLOSED",
            Self::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
            Self::REFUSED_STREAM => "REFUSED_STREAM",
            Self::CANCEL => "CANCEL",
            Self::COMPRESSION_ERROR => "COMPRESSION_ERROR",
            Self::CONNECT_ERROR => "CONNECT_ERROR",
            Self::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
            Self::INADEQUATE_SECURITY => "INADEQUATE_SECURITY",
            Self::HTTP_1_1_REQUIRED => "HTTP_1_1_REQUIRED",
            _ => "UNKNOWN_ERROR",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "UNKNOWN_ERROR" => write!(f, "UNKNOWN_ERROR (0x{:x})", self.0),
            name => f.write_str(name),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_the_numbers_and_names_of_the_rfc() {
        let names = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        for (code, name) in (0u32..).zip(names) {
            assert_eq!(Reason(code).name(), name);
            assert_eq!(Reason(code).to_string(), name);
        }
        assert_eq!(Reason(14).to_string(), "UNKNOWN_ERROR (0xe)");
        assert_eq!(Reason(u32::MAX).name(), "UNKNOWN_ERROR");
    }
}
