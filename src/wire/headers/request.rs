//! Requests: the block a client sends, and what a server reads of it.

use std::time::Duration;

use crate::compression::{Accepted, Encoding, Encodings};
use crate::deadline::{encode_timeout, parse_timeout};
use crate::error::quoted;
use crate::http2::hpack::Fields;
use crate::http2::hpack::encode::{self, index};
use crate::metadata::{self, Metadata};
use crate::status::{Code, Status};

use super::intake::{Intake, Once, Torn};
use super::path::is_method_path;
use super::{ACCEPT_ENCODING, ENCODING, REQUEST_TOO_LARGE, put, too_large};

/// What is the same in every request of a method, already in the form it is sent in.
#[derive(Debug)]
pub(crate) struct RequestTemplate {
    /// For people.
    path: Box<str>,
    /// The pseudo-headers: nothing may stand before them (W1).
    pseudo: Box<[u8]>,
    /// The other fixed fields. `grpc-timeout` goes between the two (W2).
    fixed: Box<[u8]>,
    /// What both count in a header list.
    list_size: usize,
}

impl RequestTemplate {
    /// § `doc/PROTOCOL-HTTP2.md`: "Request-Headers → Call-Definition *Custom-Metadata".
    pub(crate) fn new(path: &str, authority: &str, https: bool, application: Option<&str>) -> Self {
        let agent = user_agent(application);
        let mut pseudo = Vec::with_capacity(8 + path.len() + authority.len());
        encode::indexed(&mut pseudo, index::METHOD_POST);
        encode::indexed(&mut pseudo, if https { index::SCHEME_HTTPS } else { index::SCHEME_HTTP });
        encode::literal_static_name(&mut pseudo, index::PATH, path.as_bytes());
        encode::literal_static_name(&mut pseudo, index::AUTHORITY, authority.as_bytes());
        let mut fixed = Vec::with_capacity(64 + agent.len());
        encode::literal(&mut fixed, b"te", b"trailers");
        encode::literal_static_name(&mut fixed, index::CONTENT_TYPE, b"application/grpc");
        encode::literal_static_name(&mut fixed, index::USER_AGENT, agent.as_bytes());
        let names = b":method:scheme:path:authoritytecontent-typeuser-agent".len();
        let values = b"POSTtrailersapplication/grpc".len() + if https { 5 } else { 4 };
        let list_size = names + values + path.len() + authority.len() + agent.len() + 7 * 32;
        Self { path: path.into(), pseudo: pseudo.into(), fixed: fixed.into(), list_size }
    }

    /// Says with each request which encodings the client takes: a list of theirs.
    ///
    /// § `doc/PROTOCOL-HTTP2.md`: "Message-Accept-Encoding → "grpc-accept-encoding" Content-Coding *("," Content-Coding)".
    pub(crate) fn announcing(mut self, encodings: &str) -> Self {
        let mut fixed = Vec::from(self.fixed);
        encode::literal(&mut fixed, ACCEPT_ENCODING, encodings.as_bytes());
        self.fixed = fixed.into();
        self.list_size += ACCEPT_ENCODING.len() + encodings.len() + 32;
        self
    }

    /// The path of the method.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Appends the header block of one request. Gives the size that counts against the
    /// peer's SETTINGS_MAX_HEADER_LIST_SIZE (W29).
    ///
    /// Call it as late as possible: `timeout` is what is left now (W4). `encoding`: what messages are compressed by.
    pub(crate) fn block(
        &self,
        timeout: Option<Duration>,
        encoding: Option<&str>,
        metadata: &Metadata,
        out: &mut Vec<u8>,
    ) -> usize {
        let mut size = self.list_size + metadata.list_size();
        out.reserve(self.pseudo.len() + self.fixed.len() + 32 + metadata.list_size());
        out.extend_from_slice(&self.pseudo);
        if let Some(timeout) = timeout {
            let mut text = Vec::with_capacity(9);
            encode_timeout(timeout, &mut text);
            encode::literal(out, b"grpc-timeout", &text);
            size += b"grpc-timeout".len() + text.len() + 32;
        }
        out.extend_from_slice(&self.fixed);
        if let Some(encoding) = encoding {
            encode::literal(out, ENCODING, encoding.as_bytes());
            size += ENCODING.len() + encoding.len() + 32;
        }
        put::metadata(out, metadata, b"");
        size
    }
}

/// § `doc/PROTOCOL-HTTP2.md`, "User Agents": `"grpc-" Language ?("-" Variant) "/" Version`; an
/// application's own name goes in front of it and never replaces it (W3).
fn user_agent(application: Option<&str>) -> String {
    let own = concat!("grpc-rust-threads/", env!("CARGO_PKG_VERSION"));
    let printable =
        |text: &str| -> String { text.chars().filter(|c| matches!(c, ' '..='~')).collect() };
    match application.map(printable).as_deref().map(str::trim) {
        None | Some("") => own.to_string(),
        Some(application) => format!("{application} {own}"),
    }
}

/// The sub-type of `application/grpc` that a request names and its response repeats (W10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Subtype {
    /// `application/grpc`.
    #[default]
    Plain,
    /// `application/grpc+proto`.
    Proto,
}

impl Subtype {
    /// The whole content-type.
    pub(crate) fn content_type(self) -> &'static [u8] {
        match self {
            Self::Plain => b"application/grpc",
            Self::Proto => b"application/grpc+proto",
        }
    }
}

/// What a request says before its messages.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    /// `/package.Service/Method`; has passed [`is_method_path`].
    pub(crate) path: String,
    /// Whom the client wanted to reach; empty if it did not say.
    pub(crate) authority: String,
    /// How much time the client gives, from now on; never zero.
    pub(crate) timeout: Option<Duration>,
    /// To be repeated in the response.
    pub(crate) subtype: Subtype,
    /// What its messages may be compressed by.
    pub(crate) encoding: Encoding,
    /// What the answer may be compressed by.
    pub(crate) accepts: Accepted,
    /// The metadata, `user-agent` among it.
    pub(crate) metadata: Metadata,
}

/// Why a request is turned down before anybody sees it, and how.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    http: u16,
    status: Option<Status>,
    body: &'static str,
}

impl Refusal {
    fn plain(http: u16, body: &'static str) -> Self {
        Self { http, status: None, body }
    }

    fn grpc(status: Status) -> Self {
        Self { http: 200, status: Some(status), body: "" }
    }

    /// The HTTP status of the answer.
    pub(crate) fn http(&self) -> u16 {
        self.http
    }

    /// What to answer trailers-only; `None` when the request is no gRPC: then the answer is
    /// [`plain_response`](super::plain_response) and [`body`](Self::body).
    pub(crate) fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    /// The text after a plain answer; may be empty.
    pub(crate) fn body(&self) -> &'static str {
        self.body
    }
}

/// Reads a request's fields, which the connection has found well-formed (W10 to W19).
pub(crate) fn parse_request(
    fields: &Fields,
    encodings: &Encodings,
) -> Result<RequestHead, Refusal> {
    if fields.overflowed() {
        return Err(Refusal::grpc(too_large(REQUEST_TOO_LARGE)));
    }
    let raw = Raw::sort(fields, Some(encodings));
    let subtype = raw.is_grpc()?;
    let path = std::str::from_utf8(raw.path).ok().filter(|path| is_method_path(path.as_bytes()));
    let Some(path) = path else {
        return Err(Refusal::grpc(Status::unimplemented(format!(
            "malformed method path {}",
            quoted(raw.path)
        ))));
    };
    let encoding = raw.encoding(encodings)?;
    let timeout = raw.timeout()?;
    // Last, as it is what costs.
    let metadata = metadata_of(fields)?;
    // § `doc/PROTOCOL-HTTP2.md`: ":authority"; `host` alone stands in for it, beside it it is
    // dropped (gRFC A41, W16).
    let authority = raw.authority.or(raw.host).unwrap_or_default();
    Ok(RequestHead {
        path: path.to_owned(),
        authority: String::from_utf8_lossy(authority).into_owned(),
        timeout,
        subtype,
        encoding,
        accepts: raw.accepts,
        metadata,
    })
}

/// A request that is turned down, for the log: what it asked for, and why it is.
pub(crate) fn told(fields: &Fields, refusal: &Refusal) -> String {
    let raw = Raw::sort(fields, None);
    let path = quoted(raw.path);
    if let Some(status) = refusal.status() {
        return format!("{path}: {status}");
    }
    let kind = match raw.content_type.get() {
        Ok(Some(kind)) => quoted(kind),
        Ok(None) => "none".into(),
        Err(Torn) => "twice, and different".into(),
    };
    format!("{} {path}, content-type {kind}: HTTP {}", quoted(raw.method), refusal.http())
}

/// The metadata of a request that is one, `user-agent` among it.
fn metadata_of(fields: &Fields) -> Result<Metadata, Refusal> {
    let mut intake = Intake::new(fields, REQUEST_TOO_LARGE);
    for (name, value) in fields.iter() {
        if name == b"user-agent" || !metadata::reserved(name) {
            intake.take(name, value);
        }
    }
    let (metadata, fault) = intake.finish();
    fault.map_or(Ok(metadata), |fault| Err(Refusal::grpc(fault)))
}

/// A request's own fields, without the metadata.
#[derive(Default)]
struct Raw<'a> {
    method: &'a [u8],
    path: &'a [u8],
    authority: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    content_type: Once<'a>,
    timeout: Once<'a>,
    encoding: Once<'a>,
    accepts: Accepted,
}

impl<'a> Raw<'a> {
    /// Pseudo-headers and `host` come once: the connection has seen to it.
    fn sort(fields: &'a Fields, encodings: Option<&Encodings>) -> Self {
        let mut raw = Self::default();
        for (name, value) in fields.iter() {
            match name {
                b":method" => raw.method = value,
                b":path" => raw.path = value,
                b":authority" => raw.authority = Some(value),
                b"host" => raw.host = Some(value),
                b"content-type" => raw.content_type.set(value),
                b"grpc-timeout" => raw.timeout.set(value),
                ENCODING => raw.encoding.set(value),
                ACCEPT_ENCODING => {
                    let lists = encodings.map(|encodings| encodings.accepted(value));
                    raw.accepts = raw.accepts.join(lists.unwrap_or_default());
                }
                _ => {}
            }
        }
        raw
    }

    /// What is said to be compressed by what we do not have is refused, whether any message is: before the handler (W18).
    fn encoding(&self, encodings: &Encodings) -> Result<Encoding, Refusal> {
        let refused = |name: &str| Err(Refusal::grpc(bad_encoding(name, encodings)));
        match self.encoding.get() {
            Ok(None) => Ok(Encoding::IDENTITY),
            Ok(Some(name)) => match encodings.find(name) {
                Some(encoding) => Ok(encoding),
                None => refused(&quoted(name)),
            },
            Err(Torn) => refused("that is said twice, and differs,"),
        }
    }

    /// § `doc/PROTOCOL-HTTP2.md`: "If Content-Type does not begin with "application/grpc", gRPC servers
    /// SHOULD respond with HTTP status of 415 (Unsupported Media Type)" (W10, W11, W12).
    fn is_grpc(&self) -> Result<Subtype, Refusal> {
        // A HEAD request's answer has no content (RFC 9110 §9.3.2).
        let text = |body| if self.method == b"HEAD" { "" } else { body };
        // Two that differ are none: a proxy may have gone by the other.
        let subtype = self.content_type.get().ok().flatten().and_then(subtype);
        match subtype {
            None | Some(Sub::Other) => Err(Refusal::plain(
                415,
                text(
                    "This is a gRPC server: content-type has to be application/grpc or application/grpc+proto.\n",
                ),
            )),
            Some(_) if self.method != b"POST" => Err(Refusal::plain(
                405,
                text("This is a gRPC server: the method has to be POST.\n"),
            )),
            Some(Sub::Known(subtype)) => Ok(subtype),
        }
    }

    fn timeout(&self) -> Result<Option<Duration>, Refusal> {
        let Ok(text) = self.timeout.get() else {
            let text = "several grpc-timeout fields that differ";
            return Err(Refusal::grpc(Status::fixed(Code::Internal, text)));
        };
        let Some(text) = text else { return Ok(None) };
        match parse_timeout(text) {
            // W15: over before it began; no handler needs to learn of it.
            Ok(Duration::ZERO) => Err(Refusal::grpc(Status::fixed(
                Code::DeadlineExceeded,
                "the request came with no time left",
            ))),
            Ok(timeout) => Ok(Some(timeout)),
            Err(_) => Err(Refusal::grpc(Status::internal(format!(
                "malformed grpc-timeout {}",
                quoted(text)
            )))),
        }
    }
}

/// § `doc/compression.md`: "If a client message is compressed by an algorithm that is not supported
/// by a server, the message will result in an UNIMPLEMENTED error status on the server. The server
/// will include a grpc-accept-encoding header in the response" (W18).
fn bad_encoding(name: &str, encodings: &Encodings) -> Status {
    let (mut accepted, own) = (Metadata::new(), encodings.announced());
    // Not under a -bin key, so this cannot fail.
    let _ = accepted.append_received(ACCEPT_ENCODING, own.as_bytes());
    let text = format!("grpc-encoding {name} is not supported by the server, which takes {own}");
    Status::unimplemented(text).with_metadata(accepted)
}

/// A content-type of gRPC.
enum Sub {
    Known(Subtype),
    Other,
}

/// `application/grpc`, or that followed by `+` or `;`; `None` for anything else (W10).
fn subtype(content_type: &[u8]) -> Option<Sub> {
    let (base, rest) = content_type.split_at_checked(b"application/grpc".len())?;
    if !base.eq_ignore_ascii_case(b"application/grpc") {
        return None;
    }
    let end = rest.iter().position(|octet| *octet == b';').unwrap_or(rest.len());
    match rest.get(..end).unwrap_or_default().trim_ascii_end() {
        b"" => Some(Sub::Known(Subtype::Plain)),
        sub if sub.eq_ignore_ascii_case(b"+proto") => Some(Sub::Known(Subtype::Proto)),
        [b'+', ..] => Some(Sub::Other),
        _ => None,
    }
}

/// Whether a response's content-type is gRPC's, whatever the sub-type.
pub(super) fn is_grpc(content_type: &[u8]) -> bool {
    subtype(content_type).is_some()
}

#[cfg(test)]
pub(crate) mod tests;
