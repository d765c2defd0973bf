//! Errors with details, over the wire and by their bytes.

#[path = "support/service.rs"]
mod service;
mod support;

use std::time::Duration;

use bytes::Bytes;
use grpc_threads::rpc_status::{
    Any, BadRequest, DebugInfo, Detail, ErrorInfo, FieldViolation, Help, Link, LocalizedMessage,
    PreconditionFailure, PreconditionViolation, QuotaFailure, QuotaViolation, RequestInfo,
    ResourceInfo, RetryInfo, RpcStatus, RpcStatusError, Span,
};
use grpc_threads::{Code, Status};
use prost::Message;
use service::{Served, unary};
use support::LONG;

/// One of each, every field with something in it.
fn all() -> Vec<Detail> {
    let localized = LocalizedMessage { locale: "de-CH".into(), message: "zu spät".into() };
    let violation = FieldViolation {
        field: "a.b[0]".into(),
        description: "is empty".into(),
        reason: "EMPTY".into(),
        localized_message: Some(localized.clone()),
    };
    let quota = QuotaViolation {
        subject: "project:7".into(),
        description: "too much".into(),
        api_service: "x.example".into(),
        quota_metric: "reads".into(),
        quota_id: "reads-per-day".into(),
        quota_dimensions: [("region".into(), "eu".into())].into(),
        quota_value: 10,
        future_quota_value: Some(0),
    };
    let precondition = PreconditionViolation {
        kind: "TOS".into(),
        subject: "example.com".into(),
        description: "not accepted".into(),
    };
    let resource = ResourceInfo {
        resource_type: "table".into(),
        resource_name: "t".into(),
        owner: "user:1".into(),
        description: "gone".into(),
    };
    vec![
        ErrorInfo {
            reason: "R".into(),
            domain: "d".into(),
            metadata: [("k".into(), "v".into())].into(),
        }
        .into(),
        RetryInfo { retry_delay: Some(Duration::from_millis(1_500).into()) }.into(),
        DebugInfo { stack_entries: vec!["f".into(), "g".into()], detail: "d".into() }.into(),
        QuotaFailure { violations: vec![quota] }.into(),
        PreconditionFailure { violations: vec![precondition] }.into(),
        BadRequest { field_violations: vec![violation] }.into(),
        RequestInfo { request_id: "7".into(), serving_data: "x".into() }.into(),
        resource.into(),
        Help {
            links: vec![Link { description: "read".into(), url: "https://example.com".into() }],
        }
        .into(),
        localized.into(),
        Detail::Other(Any {
            type_url: "type.example/of.Others".into(),
            value: Bytes::from_static(b"\xff\0"),
        }),
    ]
}

/// What a client has of a handler's error.
fn told(error: impl Fn() -> Status + Send + Sync + 'static) -> Status {
    let served = Served::with(1, [("Refuse", unary(move |_, _| Err(error())))]);
    let refuse = served.channel().raw_unary_unary("/test.Test/Refuse").unwrap();
    refuse.timeout(LONG).call(&Bytes::new()).unwrap_err()
}

#[test]
fn all_ten_details_and_what_is_unknown_come_over() {
    let status = told(|| Status::out_of_range("süß 100 %").with_rpc_details(all()));
    assert_eq!((status.code(), status.message()), (Code::OutOfRange, "süß 100 %"));
    assert_eq!(status.rpc_details().unwrap(), all());
    let found = RpcStatus::from_status(&status).unwrap().unwrap();
    assert_eq!((found.code, &*found.message, found.details.len()), (11, "süß 100 %", 11));
    assert_eq!(found.find::<RequestInfo>().unwrap().unwrap().request_id, "7");
    assert_eq!(found.to_status().unwrap().details(), status.details());
}

#[test]
fn to_status_and_back() {
    let rich = RpcStatus::new(Code::Aborted, "again").with(&RequestInfo::default());
    let status = rich.to_status().unwrap();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "again"));
    assert_eq!(RpcStatus::from_status(&status).unwrap(), Some(rich));
}

#[test]
fn a_status_without_details_has_none() {
    for status in [Status::ok(), Status::not_found("nothing"), told(|| Status::aborted("plain"))] {
        assert_eq!(RpcStatus::from_status(&status), Ok(None));
        assert_eq!(status.rpc_details(), Ok(Vec::new()));
    }
}

/// § Table 3: `ValueError` there, and UNKNOWN on the wire.
#[test]
fn a_code_that_is_none_is_refused_and_is_unknown_where_a_handler_gives_it() {
    for code in [-1, 17, 42] {
        let rich = RpcStatus { code, ..RpcStatus::default() };
        assert_eq!(rich.to_status().unwrap_err(), RpcStatusError::InvalidCode(code));
    }
    let status = told(|| match (RpcStatus { code: 628, ..RpcStatus::default() }).to_status() {
        Ok(status) => status,
        Err(error) => error.into(),
    });
    assert_eq!(status.code(), Code::Unknown);
    assert!(status.details().is_empty() && status.message().contains("628"), "{status}");
}

#[test]
fn what_does_not_fit_its_status_is_told() {
    let carried = RpcStatus::new(Code::NotFound, "text").encode_to_vec();
    let of = |status: Status| RpcStatus::from_status(&status.with_details(carried.clone()));
    assert!(of(Status::not_found("text")).unwrap().is_some());
    assert_eq!(of(Status::aborted("text")), Err(RpcStatusError::CodeMismatch(10, 5)));
    let other = RpcStatusError::MessageMismatch("other".into(), "text".into());
    assert_eq!(of(Status::not_found("other")), Err(other));
    for (text, words) in [
        (RpcStatusError::CodeMismatch(10, 5).to_string(), "code is 10, and 5"),
        (RpcStatusError::MessageMismatch("a".into(), "b".into()).to_string(), "\"a\", and \"b\""),
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn garbage_is_an_error_and_no_panic() {
    for garbage in [&b"\xff\xff\xff"[..], b"\x08", b"\x1a\x7f\x0a", b"\x12\x01\xff", b"not proto"] {
        let status = told(move || Status::internal("m").with_details(Bytes::from_static(garbage)));
        assert_eq!(status.details(), garbage, "the bytes are there");
        let found = status.rpc_details();
        assert!(matches!(found, Err(RpcStatusError::Undecodable(_))), "{found:?}");
    }
    // The status is well, and a detail in it is not: it is kept as it came.
    let broken = Any {
        type_url: "type.googleapis.com/google.rpc.Help".into(),
        value: Bytes::from_static(b"\x0a\x7f"),
    };
    let status = Status::internal("m").with_rpc_details([Detail::Other(broken.clone())]);
    assert_eq!(status.rpc_details().unwrap(), [Detail::Other(broken.clone())]);
    assert_eq!(broken.unpack::<Help>().unwrap().unwrap_err().code(), Code::Internal);
    assert!(broken.unpack::<ErrorInfo>().is_none());
}

#[test]
fn a_types_name_stands_behind_the_last_slash() {
    for url in ["google.rpc.Link/google.rpc.Help", "google.rpc.Help", "a/b/google.rpc.Help"] {
        let any = Any { type_url: url.into(), value: Bytes::new() };
        assert_eq!(any.unpack::<Help>().unwrap().unwrap(), Help::default(), "{url}");
    }
}

#[test]
fn times_are_those_of_the_standard_library() {
    for time in [Duration::ZERO, Duration::from_millis(1_500), Duration::from_secs(315_576_000_000)]
    {
        assert_eq!(Duration::from(&Span::from(time)), time);
    }
    assert_eq!(Span::from(Duration::MAX).seconds, 315_576_000_000);
    for wrong in [
        Span { seconds: -1, nanos: 0 },
        Span { seconds: 0, nanos: -1 },
        Span { seconds: 1, nanos: i32::MAX },
    ] {
        assert_eq!(Duration::from(&wrong), Duration::ZERO);
    }
}
