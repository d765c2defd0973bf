//! Every form in which a call can be made, of all four kinds, of raw bytes.
//!
//! Not part of `support` itself: `mod forms` with a path.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use bytes::Bytes;
use grpc_threads::{Call, CallOptions, Channel, Status};

/// What came of a call: its responses, how it ended, and its handle where the form gives one.
pub struct Outcome {
    pub responses: Vec<Bytes>,
    pub end: Result<(), Status>,
    pub call: Option<Call>,
}

/// The four kinds, with the form that gives a handle at once.
pub const KINDS: [&str; 4] = ["One", "Many", "Upload", "Both"];

/// All forms: the kind, and how it is called.
pub const FORMS: [(&str, &str); 10] = [
    ("One", "call"),
    ("One", "with_call"),
    ("One", "future"),
    ("Many", "call"),
    ("Upload", "call"),
    ("Upload", "with_call"),
    ("Upload", "future"),
    ("Both", "call"),
    ("Both", "spawn"),
    ("Both", "open"),
];

/// The form of a kind that returns at once and pulls its requests by itself.
pub fn handled(kind: &str) -> &'static str {
    match kind {
        "One" | "Upload" => "future",
        "Many" => "call",
        _ => "spawn",
    }
}

/// Calls `/test.Test/<kind>` to its end. One request where the kind takes one.
pub fn run(
    channel: &Channel,
    options: &CallOptions,
    kind: &str,
    form: &str,
    requests: Vec<Bytes>,
) -> Outcome {
    let path = format!("/test.Test/{kind}");
    let first = requests.first().cloned().unwrap_or_default();
    let single = |got: Result<(Bytes, Option<Call>), Status>| match got {
        Ok((response, call)) => Outcome { responses: vec![response], end: Ok(()), call },
        Err(status) => Outcome { responses: Vec::new(), end: Err(status), call: None },
    };
    match kind {
        "One" => {
            let method = channel.raw_unary_unary(&path).unwrap().options(options);
            match form {
                "call" => single(method.call(&first).map(|response| (response, None))),
                "with_call" => single(method.with_call(&first).map(|(r, call)| (r, Some(call)))),
                _ => {
                    let mut future = method.future(&first);
                    let result = future.result(None).map_err(Status::from);
                    with_handle(single(result.map(|response| (response, None))), future.handle())
                }
            }
        }
        "Many" => {
            let method = channel.raw_unary_stream(&path).unwrap().options(options);
            match method.call(&first) {
                Ok(mut responses) => {
                    let handle = responses.handle();
                    with_handle(drain(&mut responses), handle)
                }
                Err(status) => Outcome { responses: Vec::new(), end: Err(status), call: None },
            }
        }
        "Upload" => {
            let method = channel.raw_stream_unary(&path).unwrap().options(options);
            match form {
                "call" => single(method.call(requests).map(|response| (response, None))),
                "with_call" => single(method.with_call(requests).map(|(r, call)| (r, Some(call)))),
                _ => {
                    let mut future = method.future(requests);
                    let result = future.result(None).map_err(Status::from);
                    with_handle(single(result.map(|response| (response, None))), future.handle())
                }
            }
        }
        _ => {
            let method = channel.raw_stream_stream(&path).unwrap().options(options);
            match form {
                "call" => drain(&mut method.call(requests)),
                "spawn" => {
                    let mut responses = method.spawn(requests);
                    let handle = responses.handle();
                    with_handle(drain(&mut responses), handle)
                }
                _ => {
                    let (mut sender, mut responses) = method.open().split();
                    let handle = responses.handle();
                    for request in &requests {
                        if sender.send(request).is_err() {
                            break;
                        }
                    }
                    // How the call ended, the responses tell.
                    let _ = sender.done_writing();
                    with_handle(drain(&mut responses), handle)
                }
            }
        }
    }
}

fn with_handle(outcome: Outcome, call: Call) -> Outcome {
    Outcome { call: Some(call), ..outcome }
}

fn drain(responses: &mut dyn Iterator<Item = Result<Bytes, Status>>) -> Outcome {
    let mut all = Vec::new();
    for response in responses {
        match response {
            Ok(response) => all.push(response),
            Err(status) => return Outcome { responses: all, end: Err(status), call: None },
        }
    }
    Outcome { responses: all, end: Ok(()), call: None }
}
