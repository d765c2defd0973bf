//! What grpc-python's own tests hold of endings and messages, in all four kinds of calls over a real server.
//!
//! Answers to its `_metadata_code_details_test`, `_abort_test`, `_early_ok_test`, `_empty_message_test` and
//! `_message_reassembly_test`.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/forms.rs"]
mod forms;
#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use forms::{FORMS, KINDS, handled, run};
use grpc_threads::CallOptions;
use service::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{LONG, pattern, within};

type How = fn(&ServicerContext) -> Result<(), Status>;

/// The four kinds, each of which ends as `how` says, after whatever it has read.
fn all_kinds(how: How) -> [Method; 4] {
    [
        (
            "One",
            unary(move |request, context| {
                begins(context)?;
                how(context).map(|()| request)
            }),
        ),
        (
            "Many",
            grpc_threads::unary_stream_rpc_method_handler_with(
                move |request: Bytes, context: &ServicerContext| {
                    begins(context)?;
                    let context = context.clone();
                    let last = std::iter::once_with(move || how(&context));
                    let last = last.filter_map(|end| end.err().map(Err));
                    Ok([Ok(request.clone()), Ok(request)].into_iter().chain(last))
                },
                Raw,
                Raw,
            ),
        ),
        (
            "Upload",
            grpc_threads::stream_unary_rpc_method_handler_with(
                move |requests: RequestIterator<Bytes>, context: &ServicerContext| {
                    begins(context)?;
                    let all = requests.collect::<Result<Vec<_>, Status>>()?.concat();
                    how(context).map(|()| Bytes::from(all))
                },
                Raw,
                Raw,
            ),
        ),
        (
            "Both",
            by_hand(move |stream, context| {
                begins(context)?;
                while let Some(request) = stream.recv()? {
                    stream.send(&request)?;
                }
                how(context)
            }),
        ),
    ]
}

/// What every handler here says before its first message.
fn begins(context: &ServicerContext) -> Result<(), Status> {
    context.send_initial_metadata(&Metadata::new().with("first", "1")?)?;
    context.set_trailing_metadata(Metadata::new().with("last", "2")?);
    Ok(())
}

#[test]
fn metadata_code_and_details_come_whatever_the_kind_and_however_it_ends() {
    let ways: [(&str, How, Code, &str); 7] = [
        ("ends well", |_| Ok(()), Code::Ok, ""),
        (
            "sets details alone",
            |context| {
                context.set_details("words");
                Ok(())
            },
            Code::Ok,
            "words",
        ),
        ("fails", |_| Err(Status::not_found("gone")), Code::NotFound, "gone"),
        ("aborts", |context| Err(context.abort(Code::DataLoss, "gone")), Code::DataLoss, "gone"),
        (
            "sets a code",
            |context| {
                context.set_code(Code::OutOfRange);
                context.set_details("gone");
                Ok(())
            },
            Code::OutOfRange,
            "gone",
        ),
        (
            "sets a code and panics",
            |context| {
                context.set_code(Code::Aborted);
                context.set_details("gone");
                panic!("told to nobody");
            },
            Code::Aborted,
            "gone",
        ),
        ("panics", |_| panic!("told to nobody"), Code::Unknown, "handler panicked"),
    ];
    for (name, how, code, details) in ways {
        let served = Served::with(4, all_kinds(how));
        let channel = served.channel();
        for kind in KINDS {
            let sent = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
            let options = CallOptions::new().timeout(LONG);
            let outcome = run(&channel, &options, kind, handled(kind), sent);
            let call = outcome.call.unwrap();
            assert_eq!((call.code(), &*call.details()), (code, details), "{kind} {name}");
            assert_eq!(call.initial_metadata().get("first"), Some("1"), "{kind} {name}");
            assert_eq!(call.trailing_metadata().get("last"), Some("2"), "{kind} {name}");
            // What was sent before the end has come; a single response comes with OK alone.
            let single = matches!(kind, "One" | "Upload");
            let due = if single { usize::from(code == Code::Ok) } else { 2 };
            assert_eq!(outcome.responses.len(), due, "{kind} {name}");
            match outcome.end {
                Ok(()) => assert_eq!(code, Code::Ok, "{kind} {name}"),
                Err(status) => {
                    assert_eq!(status.code(), code, "{kind} {name}");
                    assert_eq!(status.trailing_metadata().get("last"), Some("2"));
                    assert_eq!(status.initial_metadata().get("first"), Some("1"));
                }
            }
        }
    }
}

#[test]
fn an_abort_with_a_status_brings_its_metadata_and_details_and_keeps_what_was_set() {
    let aborts: How = |context| {
        context.set_trailing_metadata(Metadata::new().with("set", "1")?);
        let status = Status::failed_precondition("not now")
            .with_metadata(Metadata::new().with("own", "2")?)
            .with_details(&b"rich"[..]);
        Err(context.abort_with_status(status))
    };
    let swallows: How = |context| {
        let _ = context.abort_with_status(Status::failed_precondition("not now"));
        Ok(())
    };
    // Python's abort with OK: UNKNOWN, without its text.
    let ok: How = |context| Err(context.abort_with_status(Status::ok()));
    for (how, code, message) in [
        (aborts, Code::FailedPrecondition, "not now"),
        (swallows, Code::FailedPrecondition, "not now"),
        (ok, Code::Unknown, ""),
    ] {
        let served = Served::with(2, all_kinds(how));
        let channel = served.channel();
        for kind in KINDS {
            let options = CallOptions::new().timeout(LONG);
            let outcome = run(&channel, &options, kind, handled(kind), vec![Bytes::new()]);
            let status = outcome.end.unwrap_err();
            assert_eq!((status.code(), status.message()), (code, message), "{kind}");
            if how as usize == aborts as usize {
                assert_eq!(status.details(), b"rich", "{kind}");
                assert_eq!(status.trailing_metadata().get("set"), Some("1"), "{kind}");
                assert_eq!(status.trailing_metadata().get("own"), Some("2"), "{kind}");
            }
        }
    }
}

#[test]
fn the_latest_of_abort_and_error_is_what_the_client_is_told() {
    // Python: an abort in the place of another wins, since it is what leaves the handler.
    let replaced = unary(|_, context| {
        let _ = context.abort(Code::Aborted, "first");
        Err(context.abort(Code::DataLoss, "second"))
    });
    let returned = unary(|_, context| {
        let _ = context.abort(Code::Aborted, "first");
        Err(Status::not_found("returned"))
    });
    let served = Served::with(2, [("Replaced", replaced), ("Returned", returned)]);
    for (method, code, message) in
        [("Replaced", Code::DataLoss, "second"), ("Returned", Code::NotFound, "returned")]
    {
        let method = served.channel().raw_unary_unary(&format!("/test.Test/{method}")).unwrap();
        let status = method.timeout(LONG).call(&Bytes::new()).unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
}

/// Cannot decode what begins with `d`, nor encode what begins with `e`.
struct Choosy;

impl grpc_threads::Codec<Bytes> for Choosy {
    fn encode(&self, message: &Bytes, out: &mut dyn bytes::BufMut) -> Result<(), Status> {
        if message.starts_with(b"e") {
            return Err(Status::internal("not to be written"));
        }
        out.put_slice(message);
        Ok(())
    }

    fn decode(&self, bytes: Bytes) -> Result<Bytes, Status> {
        match bytes.starts_with(b"d") {
            true => Err(Status::internal("not to be read")),
            false => Ok(bytes),
        }
    }
}

#[test]
fn w39_a_codec_that_fails_at_the_server_ends_its_call_as_it_says_after_what_came_before() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = |runs: &Arc<AtomicUsize>| {
        let runs = runs.clone();
        move || {
            runs.fetch_add(1, Ordering::SeqCst);
        }
    };
    let (one, many, upload) = (count(&runs), count(&runs), count(&runs));
    let served = Served::with(
        4,
        [
            (
                "One",
                grpc_threads::unary_unary_rpc_method_handler_with(
                    move |request: Bytes, _: &ServicerContext| {
                        one();
                        Ok(request)
                    },
                    Choosy,
                    Choosy,
                ),
            ),
            (
                "Many",
                grpc_threads::unary_stream_rpc_method_handler_with(
                    move |request: Bytes, _: &ServicerContext| {
                        many();
                        Ok([Ok::<_, Status>(Bytes::from_static(b"good")), Ok(request)])
                    },
                    Choosy,
                    Choosy,
                ),
            ),
            (
                "Upload",
                grpc_threads::stream_unary_rpc_method_handler_with(
                    move |requests: RequestIterator<Bytes>, _: &ServicerContext| {
                        let last = requests.last().unwrap_or_else(|| Ok(Bytes::new()))?;
                        upload();
                        Ok(last)
                    },
                    Choosy,
                    Choosy,
                ),
            ),
            (
                "Both",
                grpc_threads::stream_stream_rpc_method_handler_with(
                    |requests: RequestIterator<Bytes>, _: &ServicerContext| Ok(requests),
                    Choosy,
                    Choosy,
                ),
            ),
        ],
    );
    let channel = served.channel();
    for (bad, words, ran) in [(&b"d"[..], "not to be read", 0), (b"e", "not to be written", 3)] {
        runs.store(0, Ordering::SeqCst);
        for kind in KINDS {
            let single = matches!(kind, "One" | "Many");
            let mut sent = vec![Bytes::from_static(b"good"), Bytes::copy_from_slice(bad)];
            if single {
                drop(sent.remove(0));
            }
            let options = CallOptions::new().timeout(LONG);
            let outcome = run(&channel, &options, kind, handled(kind), sent);
            let status = outcome.end.unwrap_err();
            assert_eq!(status.code(), Code::Internal, "{kind}");
            assert!(status.message().ends_with(words), "{kind}: {status}");
            let before = usize::from(kind == "Both" || kind == "Many" && bad == b"e");
            assert_eq!(outcome.responses.len(), before, "{kind}");
        }
        assert_eq!(runs.load(Ordering::SeqCst), ran, "handlers that saw a message");
    }
}

#[test]
fn streams_of_no_messages_are_streams() {
    let served = Served::with(4, all_kinds(|_| Ok(())));
    let channel = served.channel();
    for (kind, form) in FORMS.into_iter().filter(|(kind, _)| matches!(*kind, "Upload" | "Both")) {
        let outcome = run(&channel, &CallOptions::new().timeout(LONG), kind, form, Vec::new());
        outcome.end.unwrap();
        let due = if kind == "Upload" { vec![Bytes::new()] } else { Vec::new() };
        assert_eq!(outcome.responses, due, "{kind} {form}");
    }
}

#[test]
fn messages_of_length_zero_go_through_in_every_form() {
    let served = Served::with(4, all_kinds(|_| Ok(())));
    let channel = served.channel();
    for (kind, form) in FORMS {
        let sent = vec![Bytes::new(); 2];
        let outcome = run(&channel, &CallOptions::new().timeout(LONG), kind, form, sent);
        outcome.end.unwrap();
        let due = if matches!(kind, "One" | "Upload") { 1 } else { 2 };
        assert_eq!(outcome.responses, vec![Bytes::new(); due], "{kind} {form}");
    }
}

#[test]
fn messages_of_every_size_come_back_in_their_order() {
    const MIB: usize = 1 << 20;
    let served = Served::with(4, all_kinds(|_| Ok(())));
    let channel = served.channel();
    let sizes = [0, 1, (16 << 10) + 1, MIB - 1, 0, MIB, 3 * MIB, 1];
    let sent: Vec<Bytes> = sizes.iter().map(|size| pattern(*size).into()).collect();
    for form in ["call", "spawn", "open"] {
        let (sent, channel) = (sent.clone(), channel.clone());
        within(LONG, move || {
            let options = CallOptions::new().timeout(LONG);
            // `open` sends all before it reads: as many as fit into the windows of both sides.
            let sent = if form == "open" { sent[..4].to_vec() } else { sent };
            let outcome = run(&channel, &options, "Both", form, sent.clone());
            outcome.end.unwrap();
            assert!(outcome.responses == sent, "{form}");
        });
    }
}

#[test]
fn w55_an_early_ok_ends_well_whatever_was_sent_and_what_is_answered() {
    // "Both" reads `reads` requests, sends `count` responses of `size` bytes, and is done.
    for reads in [0, 2] {
        for (count, size) in [(0, 0), (2, 0), (2, 32), (40, 32), (2, 3 << 20)] {
            let early = by_hand(move |stream, _| {
                for _ in 0..reads {
                    stream.recv()?;
                }
                let response = Bytes::from(pattern(size));
                (0..count).try_for_each(|_| stream.send(&response))
            });
            let served = Served::with(2, [("Both", early)]);
            for (sent, of) in [(0, 0), (2, 32), (200, 32), (3, 3 << 20)] {
                let channel = served.channel();
                let outcome = within(LONG, move || {
                    let requests = vec![Bytes::from(pattern(of)); sent];
                    let options = CallOptions::new().timeout(LONG);
                    run(&channel, &options, "Both", "spawn", requests)
                });
                let what = format!("read {reads}, answered {count} x {size}, sent {sent} x {of}");
                assert_eq!(outcome.end.map_err(|status| status.to_string()), Ok(()), "{what}");
                assert_eq!(outcome.responses.len(), count, "{what}");
                assert!(outcome.responses.iter().all(|one| one.len() == size), "{what}");
            }
        }
    }
}
