//! The one table of how calls end: whatever happens to a stream becomes a
//! [`Status`] here and nowhere else, and here is decided what may be tried again.
//!
//! Sources: `doc/PROTOCOL-HTTP2.md` ("Errors", "HTTP2 Transport Mapping"),
//! `doc/http-grpc-status-mapping.md`, `doc/statuscodes.md`, gRFC A6.
//!
//! Decisions, where they leave room or peers differ:
//! - **W41**: not exactly one message where one is due: UNIMPLEMENTED, as `doc/statuscodes.md`
//!   says; grpc-go says INTERNAL. A status other than OK wins over a missing message.
//! - **W51**: HTTP 431 is UNKNOWN, as every status that the mapping does not list.
//! - **W52**: an end without trailers is INTERNAL; trailers without `grpc-status` are UNKNOWN.
//! - **W54**: FLOW_CONTROL_ERROR is INTERNAL as the document says (grpc-go: RESOURCE_EXHAUSTED).
//!   STREAM_CLOSED, which has no mapping, is INTERNAL as well.
//! - **W58**: INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, ABORTED,
//!   OUT_OF_RANGE and DATA_LOSS only ever come from the peer's application.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::quoted;
use crate::http2::hpack::Fields;
use crate::http2::types::Reason;
use crate::metadata::Metadata;
use crate::status::{Code, Status};

use super::headers::{FOUND_HERE, ResponseHead, Trailers, parse_trailers};

/// How a stream ended.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// The peer said so: the status, with its trailing metadata.
    Trailers(Status),
    /// The peer's last DATA was its end, and trailers were due. With the `grpc-status` that its head named (W49).
    NoTrailers(Option<Box<str>>),
    /// There is no `grpc-status` that counts, and there will be none: the HTTP status has to do.
    NoStatus {
        /// The HTTP status.
        http: u16,
        /// The content-type, in quotes, where it is not gRPC's.
        content_type: Option<Box<str>>,
        /// The `grpc-status` of a head that did not end the stream (W49).
        early: Option<Box<str>>,
    },
    /// RST_STREAM, theirs or ours.
    Reset {
        /// Its error code.
        reason: Reason,
        /// Whether the peer sent it.
        by_peer: bool,
        /// Why we sent it.
        cause: &'static str,
        /// What the peer's GOAWAY had said before.
        farewell: Option<Arc<Farewell>>,
    },
    /// The peer says that it has not looked at it: safe to try again.
    Unprocessed {
        /// By RST_STREAM; else by GOAWAY.
        refused: bool,
        /// What its GOAWAY said.
        farewell: Option<Arc<Farewell>>,
    },
    /// The connection is gone, for this reason.
    Lost(String),
    /// A second message began where one is due (W41): a client's link has ended it.
    Several,
    /// Decided on this side: cancelled, expired, a message too long.
    Local(Status),
}

impl Ending {
    /// A stream that ended with this block of trailers, after a response's head; `cut`: inside a message (W39).
    ///
    /// The peer knows best why it broke off: its status wins over what we found, unless it says that all is well.
    /// (What we ended the call for before its end, such as a message too long, stands.)
    pub(crate) fn from_trailers(trailers: Trailers, cut: Option<Status>) -> Self {
        match (trailers.status, cut) {
            (Some(status), Some(_)) if !status.is_ok() => Self::Trailers(status),
            (_, Some(cut)) => Self::Local(cut),
            (Some(status), None) => Self::Trailers(status),
            (None, None) => Self::NoStatus { http: 200, content_type: None, early: None },
        }
    }

    /// A stream that ended with its first block.
    ///
    /// § `doc/http-grpc-status-mapping.md`: the mapping is for "cases where [the client] receives a
    /// response without a grpc-status"; where there is one, it wins (W51).
    pub(crate) fn from_trailers_only(head: ResponseHead, fields: &Fields) -> Self {
        match parse_trailers(fields).status {
            Some(status) => Self::Trailers(status),
            None => {
                Self::NoStatus { http: head.http, content_type: head.content_type, early: None }
            }
        }
    }

    /// Why a response cannot go on from its head, although it has not ended: it is not
    /// gRPC, or something in it cannot be read. The stream should be reset.
    pub(crate) fn from_head(head: &ResponseHead) -> Option<Self> {
        if let Some(fault) = &head.fault {
            return Some(Self::Local(fault.clone()));
        }
        (head.http != 200 || !head.grpc).then(|| Self::NoStatus {
            http: head.http,
            content_type: head.content_type.clone(),
            early: head.early.clone(),
        })
    }

    /// What the call ended with, for those who know no more than whether this side's deadline has passed.
    pub(crate) fn to_status(&self, deadline_passed: bool) -> Status {
        self.judge(Known { deadline_passed, ..Known::default() })
    }

    /// What the call ended with.
    pub(crate) fn judge(&self, known: Known<'_>) -> Status {
        let deadline_passed = known.deadline_passed;
        match self {
            Self::Lost(_) if known.closed => {
                closed("the call was sent: its server may have acted on it")
            }
            Self::Trailers(status) if deadline_passed && status.code() == Code::Cancelled => {
                late(status)
            }
            Self::Trailers(status) if is_of_both(status.code()) && !found_here(status) => {
                by_peer(status, known.took)
            }
            Self::Trailers(status) | Self::Local(status) => status.clone(),
            Self::Several => cardinality(Due::Response, known.method, true),
            Self::NoTrailers(early) => no_trailers(early.as_deref()),
            Self::NoStatus { http, content_type, early } => {
                let status = no_status(*http, content_type.as_deref(), early.as_deref());
                match known.peer {
                    Some(peer) => status.with_debug(format!("{peer} answered so")),
                    None => status,
                }
            }
            Self::Reset { reason, by_peer, cause, farewell } => {
                let status = reset(*reason, *by_peer, cause, deadline_passed);
                match farewell.as_deref().filter(|_| *by_peer) {
                    Some(farewell) => after_goaway(*reason, &status, farewell),
                    None => status,
                }
            }
            Self::Unprocessed { refused, farewell } => {
                unprocessed(*refused, farewell.as_deref(), known.repeated)
            }
            // W57, and `doc/statuscodes.md`: "Server shutting down", "connection breaks".
            Self::Lost(cause) => Status::unavailable(format!("the connection was lost: {cause}")),
        }
    }

    /// Whether who answered belongs to the verdict: it is no gRPC server, perhaps.
    pub(crate) fn tells_the_peer(&self) -> bool {
        matches!(self, Self::NoStatus { .. })
    }

    /// Whether the peer cannot have acted on the call, so that it may be sent once
    /// more without asking anybody (gRFC A6, "Transparent Retries"; W69). `believed`: a refusal of this one
    /// stream counts as such; there are proxies that refuse what was acted on. A GOAWAY always counts.
    pub(crate) fn retry_safe(&self, believed: bool) -> bool {
        match self {
            Self::Unprocessed { refused, .. } => believed || !refused,
            Self::Reset { reason, by_peer, .. } => {
                believed && *by_peer && *reason == Reason::REFUSED_STREAM
            }
            _ => false,
        }
    }
}

/// What this side knows of a call beside how its stream ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known<'a> {
    /// The path of its method; empty: nobody said.
    pub(crate) method: &'a str,
    /// Who answered. Said where [`Ending::tells_the_peer`] asks for it.
    pub(crate) peer: Option<&'a str>,
    /// The call's own deadline has passed.
    pub(crate) deadline_passed: bool,
    /// How long the call took, of how much time it had when it began. Known of calls with a deadline that failed.
    pub(crate) took: Option<(Duration, Duration)>,
    /// This side has closed the channel: connections that are lost then were given up.
    pub(crate) closed: bool,
    /// It is the second stream of the call: the peer did not take the first.
    pub(crate) repeated: bool,
}

/// The one verdict on a client's call: how its stream ended (`None`: the peer ended its half and said no more),
/// and the initial metadata that had come, which a status other than OK takes along.
pub(crate) fn judge(ending: Option<&Ending>, head: Option<&Metadata>, known: Known<'_>) -> Status {
    let status = ending.unwrap_or(&Ending::NoTrailers(None)).judge(known);
    match head {
        Some(head) if !status.is_ok() && !head.is_empty() => {
            status.with_initial_metadata(head.clone())
        }
        _ => status,
    }
}

/// The one verdict on a client's call that is due exactly one message: [`judge`], and the count of the messages.
///
/// `first` is the message, if one came; `several` says that more than one did. What counts is, in this order: a
/// status other than OK, whoever found it (a second message makes the link end the call with such
/// a one before its trailers are read); no message; more than one. So whoever collects the messages, and whenever,
/// the same input gets the same answer.
pub(crate) fn judge_single<M>(
    ending: Option<&Ending>,
    head: Option<&Metadata>,
    (first, several): (Option<M>, bool),
    known: Known<'_>,
) -> Result<(M, Status), Status> {
    let status = judge(ending, head, known);
    match first {
        _ if !status.is_ok() => Err(status),
        Some(message) if !several => Ok((message, status)),
        first => {
            let wrong = cardinality(Due::Response, known.method, first.is_some());
            Err(match head {
                Some(head) if !head.is_empty() => wrong.with_initial_metadata(head.clone()),
                _ => wrong,
            })
        }
    }
}

/// Which message was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The client's.
    Request,
    /// The server's.
    Response,
}

/// What ends a call of one message each way that got none or `several` (W41). `method` may be empty.
///
/// § `doc/statuscodes.md`: "Too many or too few messages: UNIMPLEMENTED".
pub(crate) fn cardinality(due: Due, method: &str, several: bool) -> Status {
    let (side, message) = match due {
        Due::Request => ("client", "request"),
        Due::Response => ("server", "response"),
    };
    let sent = if several { "more than one message" } else { "no message" };
    let of = if method.is_empty() { "" } else { " of " };
    Status::new(
        Code::Unimplemented,
        format!("the {side} sent {sent} where exactly one is due: the {message}{of}{method}"),
    )
}

/// What ends a call one message of which the codec could not decode: its status, and in front of its text whose codec it
/// was, and which message.
pub(crate) fn undecodable(due: Due, method: &str, by_codec: Status) -> Status {
    let (message, side) = match due {
        Due::Request => ("request", "server"),
        Due::Response => ("response", "client"),
    };
    by_codec.with_prefix(&format!("the {message} of {method}, at the {side}: "))
}

/// What a server says of a call whose time is over (W56). `timeout` is what its client gave it.
pub(crate) fn deadline_exceeded(timeout: Option<Duration>) -> Status {
    let status = Status::fixed(Code::DeadlineExceeded, OVER);
    match timeout {
        Some(timeout) => {
            status.with_debug(format!("by the server's clock: the client's timeout is {timeout:?}"))
        }
        None => status,
    }
}

/// What a client says of its own call whose time is over: `time` is what the call had, `waited` what for.
pub(crate) fn expired_here(time: Option<Duration>, waited: &str) -> Status {
    let after = time.map(|time| format!(" after {time:.1?}")).unwrap_or_default();
    Status::fixed(Code::DeadlineExceeded, OVER)
        .with_debug(format!("by this side's clock{after}, waiting for {waited}"))
}

/// What a client says of a call whose time was over when it began, `since` when, by this option (W4).
pub(crate) fn expired_before(since: Duration, option: &str) -> Status {
    let why = match since < Duration::from_millis(1) {
        true => format!("{option} leaves no time: it had passed when the call began"),
        false => format!("{option} had passed {since:.1?} before the call began"),
    };
    Status::fixed(Code::DeadlineExceeded, OVER).with_debug(why)
}

/// What ends a call whose channel was closed. The text is the same for all, as others say it; how far the call was is told beside it.
pub(crate) fn closed(how_far: &'static str) -> Status {
    Status::fixed(Code::Cancelled, "Channel closed!").with_debug(how_far)
}

/// As others say it.
const OVER: &str = "Deadline Exceeded";

/// § `doc/http-grpc-status-mapping.md` (W51).
fn code_of_http(http: u16) -> Code {
    match http {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

fn no_status(http: u16, content_type: Option<&str>, early: Option<&str>) -> Status {
    let text = match (early, content_type) {
        (Some(early), Some(kind)) => format!(
            "no gRPC response: HTTP status {http}, content-type {kind}; {}",
            not_counted(early)
        ),
        (Some(early), None) => {
            format!("no gRPC response: HTTP status {http}, no content-type; {}", not_counted(early))
        }
        (None, Some(kind)) => format!("no grpc-status: HTTP status {http}, content-type {kind}"),
        (None, None) => format!("no grpc-status: HTTP status {http}"),
    };
    Status::new(code_of_http(http), text)
}

fn no_trailers(early: Option<&str>) -> Status {
    match early {
        Some(early) => {
            Status::internal(format!("the response ended without trailers; {}", not_counted(early)))
        }
        // Met behind proxies far more often than a server's mistake.
        None => Status::fixed(
            Code::Internal,
            "the response ended without trailers (a proxy's time limit ends silent streams like this)",
        ),
    }
}

/// W49: "Trailers-Only" is a head that ends its stream.
fn not_counted(early: &str) -> String {
    format!("its head said grpc-status {early}, which counts only where it ends the stream")
}

/// Codes that both sides give for what looks alike: a deadline that passed, a limit. The text says whose it was.
fn is_of_both(code: Code) -> bool {
    matches!(code, Code::DeadlineExceeded | Code::ResourceExhausted)
}

/// What is wrong with the trailers themselves. No peer can say so: it has no say in what is told beside a status.
fn found_here(status: &Status) -> bool {
    status.debug_error_string() == FOUND_HERE
}

fn by_peer(status: &Status, took: Option<(Duration, Duration)>) -> Status {
    let mut told = String::from("the peer said so, by its trailers");
    if let (Code::DeadlineExceeded, Some((took, of))) = (status.code(), took) {
        told.push_str(&format!(", {took:.1?} after the call began, which had {of:.1?}"));
    }
    if !status.debug_error_string().is_empty() {
        told.push_str("; ");
        told.push_str(status.debug_error_string());
    }
    status.clone().with_debug(told)
}

/// A CANCELLED of the peer's after the call's own deadline: its timer and ours race, and the caller is told the one
/// cause of both, however it came.
fn late(status: &Status) -> Status {
    let told = format!("the peer ended the call after its deadline with {status}");
    Status::fixed(Code::DeadlineExceeded, OVER)
        .with_details(Bytes::copy_from_slice(status.details()))
        .with_metadata(status.trailing_metadata().clone())
        .with_debug(told)
}

/// § `doc/PROTOCOL-HTTP2.md`: "REFUSED_STREAM → UNAVAILABLE".
fn unprocessed(refused: bool, farewell: Option<&Farewell>, repeated: bool) -> Status {
    let mut text = String::from("the peer did not take the call on (");
    text.push_str(if refused { "REFUSED_STREAM" } else { "GOAWAY" });
    text.push_str(if repeated { ", tried twice)" } else { ")" });
    Status::unavailable(Farewell::after(text, farewell))
}

/// A reset after a GOAWAY. One without an error, after one with, is the connection's end and not the call's: UNAVAILABLE,
/// as the loss of the connection is, which it forestalls.
fn after_goaway(reason: Reason, status: &Status, farewell: &Farewell) -> Status {
    let with_error = farewell.reason != Reason::NO_ERROR;
    let code = match reason {
        Reason::NO_ERROR if with_error => Code::Unavailable,
        _ => status.code(),
    };
    Status::new(code, Farewell::after(status.message().to_owned(), Some(farewell)))
}

/// What the peer's GOAWAY said.
#[derive(Clone, Debug)]
pub(crate) struct Farewell {
    reason: Reason,
    debug: String,
}

impl Farewell {
    /// Of a GOAWAY's debug data only so much is kept as can be told.
    pub(crate) fn new(reason: Reason, debug: &[u8]) -> Self {
        Self { reason, debug: quoted(debug) }
    }

    /// `text`, and what the GOAWAY said. An end without an error needs no explanation, unless one is given.
    pub(crate) fn after(mut text: String, farewell: Option<&Self>) -> String {
        if let Some(Self { reason, debug }) = farewell {
            if *reason != Reason::NO_ERROR || debug != "\"\"" {
                text.push_str(&format!("; its GOAWAY said {reason} {debug}"));
            }
        }
        text
    }
}

/// § `doc/PROTOCOL-HTTP2.md`, "Errors": "The following mapping from RST_STREAM error codes to GRPC
/// error codes is applied" (W54).
fn code_of_reason(reason: Reason, deadline_passed: bool) -> Code {
    match reason {
        Reason::NO_ERROR
        | Reason::PROTOCOL_ERROR
        | Reason::INTERNAL_ERROR
        | Reason::FLOW_CONTROL_ERROR
        | Reason::SETTINGS_TIMEOUT
        | Reason::STREAM_CLOSED
        | Reason::FRAME_SIZE_ERROR
        | Reason::COMPRESSION_ERROR
        | Reason::CONNECT_ERROR
        | Reason::HTTP_1_1_REQUIRED => Code::Internal,
        Reason::REFUSED_STREAM => Code::Unavailable,
        // The server's timer and ours race; the caller is told the one cause of both.
        Reason::CANCEL if deadline_passed => Code::DeadlineExceeded,
        Reason::CANCEL => Code::Cancelled,
        Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Unknown,
    }
}

fn reset(reason: Reason, by_peer: bool, cause: &str, deadline_passed: bool) -> Status {
    let text = match (by_peer, cause.is_empty()) {
        (true, _) if deadline_passed && reason == Reason::CANCEL => {
            format!("the peer reset the stream after the deadline: {reason}")
        }
        (true, _) if reason == Reason::CANCEL => {
            format!(
                "the peer reset the stream: {reason} (its program dropped or cancelled the call)"
            )
        }
        (true, _) => format!("the peer reset the stream: {reason}"),
        (false, true) => format!("the stream was reset: {reason}"),
        (false, false) => format!("the stream was reset: {reason}, {cause}"),
    };
    Status::new(code_of_reason(reason, deadline_passed), text)
}

#[cfg(test)]
mod tests {
    use super::super::headers::tests::parse_response;
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in list {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn only(list: &[(&str, &str)]) -> Status {
        let list = fields(list);
        Ending::from_trailers_only(parse_response(&list, true), &list).to_status(false)
    }

    fn by_reset(reason: Reason, deadline_passed: bool) -> Code {
        Ending::Reset { reason, by_peer: true, cause: "", farewell: None }
            .to_status(deadline_passed)
            .code()
    }

    #[test]
    fn w50_w51_a_grpc_status_wins_over_the_http_status() {
        for http in ["200", "404", "503"] {
            let status = only(&[(":status", http), ("grpc-status", "9"), ("grpc-message", "m")]);
            assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "m"));
        }
        assert_eq!(only(&[(":status", "200"), ("grpc-status", "77")]).raw_code(), 77);
    }

    #[test]
    fn w51_without_a_grpc_status_the_http_status_decides() {
        let table = [
            ("400", Code::Internal),
            ("401", Code::Unauthenticated),
            ("403", Code::PermissionDenied),
            ("404", Code::Unimplemented),
            ("429", Code::Unavailable),
            ("502", Code::Unavailable),
            ("503", Code::Unavailable),
            ("504", Code::Unavailable),
            ("200", Code::Unknown),
            ("204", Code::Unknown),
            ("301", Code::Unknown),
            ("415", Code::Unknown),
            ("431", Code::Unknown),
            ("500", Code::Unknown),
            ("x", Code::Unknown),
        ];
        for (http, code) in table {
            assert_eq!(only(&[(":status", http)]).code(), code, "{http}");
            let list = fields(&[(":status", http), ("content-type", "text/html")]);
            let ending = Ending::from_head(&parse_response(&list, false)).unwrap();
            assert_eq!(ending.to_status(false).code(), code, "{http}");
        }
    }

    #[test]
    fn w52_an_end_without_trailers_is_internal_and_without_status_unknown() {
        assert_eq!(Ending::NoTrailers(None).to_status(false).code(), Code::Internal);
        let trailers = parse_trailers(&fields(&[("k", "v")]));
        assert_eq!(Ending::from_trailers(trailers, None).to_status(false).code(), Code::Unknown);
    }

    #[test]
    fn w52_a_response_of_another_content_type_is_unknown_and_named() {
        let list = fields(&[(":status", "200"), ("content-type", "text/html")]);
        let status = Ending::from_head(&parse_response(&list, false)).unwrap().to_status(false);
        assert_eq!(status.code(), Code::Unknown);
        assert!(status.message().contains("\"text/html\""), "{status}");
    }

    #[test]
    fn a_good_head_goes_on() {
        let list = fields(&[(":status", "200"), ("content-type", "application/grpc")]);
        assert!(Ending::from_head(&parse_response(&list, false)).is_none());
        let list =
            fields(&[(":status", "200"), ("content-type", "application/grpc"), ("a-bin", "!")]);
        let ending = Ending::from_head(&parse_response(&list, false)).unwrap();
        assert_eq!(ending.to_status(false).code(), Code::Internal);
    }

    #[test]
    fn w54_reset_codes() {
        let table = [
            (Reason::NO_ERROR, Code::Internal),
            (Reason::PROTOCOL_ERROR, Code::Internal),
            (Reason::INTERNAL_ERROR, Code::Internal),
            (Reason::FLOW_CONTROL_ERROR, Code::Internal),
            (Reason::SETTINGS_TIMEOUT, Code::Internal),
            (Reason::STREAM_CLOSED, Code::Internal),
            (Reason::FRAME_SIZE_ERROR, Code::Internal),
            (Reason::REFUSED_STREAM, Code::Unavailable),
            (Reason::CANCEL, Code::Cancelled),
            (Reason::COMPRESSION_ERROR, Code::Internal),
            (Reason::CONNECT_ERROR, Code::Internal),
            (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
            (Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
            (Reason::HTTP_1_1_REQUIRED, Code::Internal),
            (Reason(14), Code::Unknown),
            (Reason(u32::MAX), Code::Unknown),
        ];
        for (reason, code) in table {
            assert_eq!(by_reset(reason, false), code, "{reason}");
            let late = if reason == Reason::CANCEL { Code::DeadlineExceeded } else { code };
            assert_eq!(by_reset(reason, true), late, "{reason}");
        }
    }

    #[test]
    fn w55_w56_what_was_decided_here_or_by_trailers_stands() {
        let expired = Status::deadline_exceeded("late");
        assert_eq!(Ending::Local(expired).to_status(true).message(), "late");
        let ok = Ending::Trailers(Status::ok()).to_status(true);
        assert!(ok.is_ok());
    }

    #[test]
    fn w29_trailers_over_our_limit_are_not_said_to_be_the_peers_verdict() {
        let told = |trailers| Ending::from_trailers(trailers, None).to_status(false);
        let mut many = Fields::new();
        many.overflow();
        let status = told(parse_trailers(&many));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.debug_error_string(), FOUND_HERE);
        let theirs = [("grpc-status", "8"), ("grpc-message", FOUND_HERE)];
        let status = told(parse_trailers(&fields(&theirs)));
        assert!(status.debug_error_string().contains("the peer said so"), "{status:?}");
    }

    #[test]
    fn w54_a_cancelled_after_the_deadline_is_the_deadline_however_it_came() {
        let theirs = Status::cancelled("late")
            .with_details(&b"d"[..])
            .with_metadata(Metadata::new().with("k", "v").unwrap());
        let ending = Ending::Trailers(theirs.clone());
        assert_eq!(ending.to_status(false).code(), Code::Cancelled);
        let status = ending.to_status(true);
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!((status.details(), status.trailing_metadata().len()), (&b"d"[..], 1));
        assert!(status.debug_error_string().contains("CANCELLED: late"), "{status:?}");
        assert_eq!(by_reset(Reason::CANCEL, true), Code::DeadlineExceeded);
        // What this side cancelled, it cancelled.
        assert_eq!(Ending::Local(theirs).to_status(true).code(), Code::Cancelled);
        let other = Ending::Trailers(Status::aborted("a"));
        assert_eq!(other.to_status(true).code(), Code::Aborted);
    }

    #[test]
    fn w39_the_peers_status_wins_over_an_end_inside_a_message_unless_it_is_ok() {
        let cut = Status::internal("cut");
        let end = |list: &[(&str, &str)], cut: Option<&Status>| {
            let trailers = parse_trailers(&fields(list));
            Ending::from_trailers(trailers, cut.cloned()).to_status(false)
        };
        assert_eq!(end(&[("grpc-status", "8")], Some(&cut)).code(), Code::ResourceExhausted);
        assert_eq!(end(&[("grpc-status", "0")], Some(&cut)).message(), "cut");
        assert_eq!(end(&[("k", "v")], Some(&cut)).message(), "cut");
        assert!(end(&[("grpc-status", "0")], None).is_ok());
    }

    #[test]
    fn w57_a_lost_connection_is_unavailable_and_says_why() {
        let status = Ending::Lost("too many pings (ENHANCE_YOUR_CALM)".into()).to_status(false);
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().ends_with("too many pings (ENHANCE_YOUR_CALM)"));
    }

    #[test]
    fn w41_cardinality_is_unimplemented() {
        for (due, words) in
            [(Due::Request, ["client", "request"]), (Due::Response, ["server", "response"])]
        {
            for (several, sent) in [(false, "no message"), (true, "more than one")] {
                let status = cardinality(due, "/a.B/C", several);
                assert_eq!(status.code(), Code::Unimplemented);
                for word in words.into_iter().chain([sent, "/a.B/C"]) {
                    assert!(status.message().contains(word), "{status}");
                }
            }
        }
        assert!(Ending::Several.to_status(false).message().ends_with("the response"));
    }

    #[test]
    fn a_deadline_says_whose_clock_it_was_and_how_long() {
        let told = |status: &Status, words: &[&str]| {
            assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, OVER));
            for word in words {
                assert!(status.to_string().contains(word), "{status}");
            }
        };
        let second = Duration::from_secs(1);
        told(&expired_here(Some(second), "x"), &["this side's clock", "1.0s", "waiting for x"]);
        told(&deadline_exceeded(Some(second)), &["server's clock", "client's timeout is 1s"]);
        told(&expired_before(Duration::ZERO, "timeout"), &["timeout", "when the call began"]);
        told(&expired_before(second, "deadline"), &["deadline", "1.0s before the call began"]);
        let theirs = Ending::Trailers(Status::deadline_exceeded(OVER)).to_status(true);
        told(&theirs, &["the peer said so", "trailers"]);
        let full = Status::resource_exhausted("full").with_debug("more");
        let full = Ending::Trailers(full).to_status(false).to_string();
        assert!(full.contains("full") && full.contains("the peer said so"), "{full}");
        assert!(full.contains("trailers; more"), "{full}");
        let ours = Ending::Local(Status::resource_exhausted("full")).to_status(false);
        assert!(!ours.to_string().contains("peer"), "{ours}");
        let reset =
            Ending::Reset { reason: Reason::CANCEL, by_peer: true, cause: "", farewell: None };
        let words = "the peer reset the stream: CANCEL (its program dropped or cancelled the call)";
        assert_eq!(reset.to_status(false).message(), words);
        let reset = reset.to_status(true);
        assert!(reset.message().contains("the peer reset") && reset.message().contains("deadline"));
    }

    #[test]
    fn w52_an_answer_without_grpc_names_who_gave_it() {
        let ending = Ending::NoStatus { http: 404, content_type: None, early: None };
        assert!(ending.tells_the_peer() && !Ending::Several.tells_the_peer());
        let known = Known { peer: Some("ipv4:10.0.0.1:80"), ..Known::default() };
        let status = judge(Some(&ending), None, known);
        assert!(status.to_string().contains("ipv4:10.0.0.1:80"), "{status}");
    }

    #[test]
    fn w41_one_message_and_ok_is_the_only_good_end_of_a_single_call() {
        let head = Metadata::new().with("k", "v").unwrap();
        let verdict = |ending: Option<&Ending>, messages: (Option<u8>, bool)| {
            judge_single(ending, Some(&head), messages, Known::default())
                .map(|(message, status)| (message, status.code()))
                .map_err(|status| {
                    assert_eq!(status.initial_metadata(), &head);
                    status.code()
                })
        };
        let ok = Ending::Trailers(Status::ok());
        let full = Ending::Trailers(Status::resource_exhausted("full"));
        assert_eq!(verdict(Some(&ok), (Some(7), false)), Ok((7, Code::Ok)));
        assert_eq!(verdict(Some(&ok), (None, false)), Err(Code::Unimplemented));
        assert_eq!(verdict(Some(&ok), (Some(7), true)), Err(Code::Unimplemented));
        for messages in [(None, false), (Some(7), false), (Some(7), true)] {
            assert_eq!(verdict(Some(&full), messages), Err(Code::ResourceExhausted));
            assert_eq!(verdict(None, messages), Err(Code::Internal));
        }
    }

    #[test]
    fn a_connection_that_this_side_closed_is_a_cancelled_call() {
        let known = Known { closed: true, ..Known::default() };
        assert_eq!(Ending::Lost("x".into()).judge(known).code(), Code::Cancelled);
        let status = Ending::Trailers(Status::aborted("a")).judge(known);
        assert_eq!(status.code(), Code::Aborted);
    }

    #[test]
    fn w58_codes_of_applications_are_never_made_here() {
        let applications = [
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::FailedPrecondition,
            Code::Aborted,
            Code::OutOfRange,
            Code::DataLoss,
        ];
        for http in 0..1_000 {
            assert!(!applications.contains(&code_of_http(http)), "{http}");
        }
        for reason in 0..100 {
            assert!(!applications.contains(&code_of_reason(Reason(reason), reason % 2 == 0)));
        }
    }

    #[test]
    fn w69_only_what_was_never_processed_is_safe_to_retry() {
        let reset = |reason, by_peer| {
            Ending::Reset { reason, by_peer, cause: "", farewell: None }.retry_safe(true)
        };
        assert!(Ending::Unprocessed { refused: true, farewell: None }.retry_safe(true));
        assert!(reset(Reason::REFUSED_STREAM, true));
        assert!(!reset(Reason::REFUSED_STREAM, false));
        assert!(!reset(Reason::CANCEL, true));
        assert!(!Ending::Unprocessed { refused: true, farewell: None }.retry_safe(false));
        assert!(Ending::Unprocessed { refused: false, farewell: None }.retry_safe(false));
        assert!(!Ending::Lost(String::new()).retry_safe(true));
        assert!(!Ending::NoTrailers(None).retry_safe(true));
        assert!(!Ending::Local(Status::unavailable("")).retry_safe(true));
        assert!(!Ending::Trailers(Status::unavailable("")).retry_safe(true));
    }
}
