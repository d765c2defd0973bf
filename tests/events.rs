//! Events, on both sides of real calls: what each tells, what may be changed, the order, and how calls end by them.
//!
//! Answers to grpclib's `tests/test_events.py` and `tests/test_client_events.py`, `test_server_events.py`.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/around.rs"]
mod around;
#[path = "support/service.rs"]
mod service;
mod support;

use around::{Record, bytes, hooked, passing};
use bytes::Bytes;
use grpc_threads::{
    ChannelEvent, Flow, InterceptedCall, Payload, RecvInitialMetadata, RecvMessage, RecvRequest,
    RecvTrailingMetadata, SendInitialMetadata, SendMessage, SendRequest, SendTrailingMetadata,
    ServerNext, StreamHooks, intercept_channel,
};
use service::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use support::{LONG, eventually, within};

const TELLS: &str = "/test.Test/Tells";

impl Record {
    /// A listener that notes what `say` says, and lets the next be told.
    fn noting<E: 'static>(
        &self,
        say: impl Fn(&mut E) -> String + Send + Sync + 'static,
    ) -> impl Fn(&mut E) -> Result<Flow, Status> + Send + Sync + 'static {
        let record = self.clone();
        move |event| {
            record.note(say(event));
            Ok(Flow::Continue)
        }
    }

    /// Notes all events of a channel by their names.
    fn of_channel(&self, channel: &Channel) {
        channel.listen(self.noting(|_: &mut SendRequest| "SendRequest".into()));
        channel.listen(self.noting(|_: &mut RecvInitialMetadata| "RecvInitialMetadata".into()));
        channel.listen(self.noting(|_: &mut RecvTrailingMetadata| "RecvTrailingMetadata".into()));
        channel.listen(self.noting(|_: &mut SendMessage| "SendMessage".into()));
        channel.listen(self.noting(|_: &mut RecvMessage| "RecvMessage".into()));
    }

    fn of_server(&self, server: &Server) {
        server.listen(self.noting(|_: &mut RecvRequest| "RecvRequest".into()));
        server.listen(self.noting(|_: &mut SendInitialMetadata| "SendInitialMetadata".into()));
        server.listen(self.noting(|_: &mut SendTrailingMetadata| "SendTrailingMetadata".into()));
        server.listen(self.noting(|_: &mut SendMessage| "SendMessage".into()));
        server.listen(self.noting(|_: &mut RecvMessage| "RecvMessage".into()));
    }
}

/// Sends initial and trailing metadata of its own, and what it was sent as a trailer.
fn tells() -> RpcMethodHandler {
    unary(|request, context| {
        context.send_initial_metadata(&Metadata::new().with("first", "handler")?)?;
        let mut trailing = Metadata::new().with("last", "handler")?;
        for (key, value) in context.invocation_metadata().iter() {
            if let (true, Some(value)) = (key.starts_with("sent"), value.as_str()) {
                trailing.append(key, value)?;
            }
        }
        context.set_trailing_metadata(trailing);
        match &request[..] {
            b"fail" => {
                let own = Metadata::new().with("own", "status")?;
                let status = Status::data_loss("as it was told").with_details(&b"why"[..]);
                Err(status.with_metadata(own))
            }
            _ => Ok(request),
        }
    })
}

fn served() -> Served {
    Served::with(4, [("Tells", tells())])
}

/// One call of each kind, for what it gives: its code, its responses, its metadata.
type Outcome = (Code, Vec<Bytes>);

fn unary_call(channel: &Channel) -> Outcome {
    outcome(channel.raw_unary_unary(ECHO).unwrap().call(&bytes("x")).map(|one| vec![one]))
}

fn future_call(channel: &Channel) -> Outcome {
    let mut future = channel.raw_unary_unary(ECHO).unwrap().future(&bytes("x"));
    outcome(future.result(Some(LONG)).map(|one| vec![one]).map_err(Status::from))
}

fn unary_stream(channel: &Channel) -> Outcome {
    let responses = channel.raw_unary_stream(COUNT).unwrap().call(&bytes("2 1"));
    outcome(responses.and_then(|responses| responses.collect()))
}

fn stream_unary(channel: &Channel) -> Outcome {
    let sum = channel.raw_stream_unary(SUM).unwrap();
    outcome(sum.call([bytes("a"), bytes("b")]).map(|one| vec![one]))
}

fn stream_stream(channel: &Channel) -> Outcome {
    let bidi = channel.raw_stream_stream(BIDI).unwrap();
    outcome(bidi.spawn([bytes("a"), bytes("b")]).collect())
}

fn outcome(result: Result<Vec<Bytes>, Status>) -> Outcome {
    result.map_or_else(|status| (status.code(), Vec::new()), |all| (Code::Ok, all))
}

type Kind = (&'static str, fn(&Channel) -> Outcome, (usize, usize));

/// All kinds of calls, with the numbers of their requests and responses.
const KINDS: [Kind; 5] = [
    ("unary", unary_call, (1, 1)),
    ("future", future_call, (1, 1)),
    ("unary_stream", unary_stream, (1, 2)),
    ("stream_unary", stream_unary, (2, 1)),
    ("stream_stream", stream_stream, (2, 2)),
];

fn count(notes: &[String], name: &str) -> usize {
    notes.iter().filter(|note| *note == name).count()
}

#[test]
fn a_channel_tells_its_five_events_of_all_kinds_of_calls() {
    let served = served();
    for around in [false, true] {
        let record = Record::default();
        let channel = served.channel();
        record.of_channel(&channel);
        let channel = match around {
            true => intercept_channel(&channel, [passing()]),
            false => channel,
        };
        for (kind, call, (requests, responses)) in KINDS {
            let channel = channel.clone();
            assert_eq!(within(LONG, move || call(&channel)).0, Code::Ok, "{kind}");
            let notes = record.take();
            assert_eq!(count(&notes, "SendMessage"), requests, "{kind}: {notes:?}");
            assert_eq!(count(&notes, "RecvMessage"), responses, "{kind}: {notes:?}");
            // Requests and responses may go on at once.
            let order: Vec<_> = notes.iter().filter(|note| *note != "SendMessage").collect();
            let mut expected = vec!["SendRequest", "RecvInitialMetadata"];
            expected.extend(std::iter::repeat_n("RecvMessage", responses));
            expected.push("RecvTrailingMetadata");
            assert_eq!(order, expected, "{kind}");
        }
    }
}

#[test]
fn a_server_tells_its_five_events_of_all_kinds_of_calls() {
    for intercepted in [false, true] {
        let builder = Server::builder().thread_pool(ThreadPool::new(4));
        let passing = |call: &mut InterceptedCall<'_>, next: ServerNext<'_>| next.run(call);
        let builder = if intercepted { builder.interceptor(passing) } else { builder };
        let served = Served::start(builder.build().unwrap(), "127.0.0.1:0", []);
        let record = Record::default();
        record.of_server(&served.server);
        let channel = served.channel();
        for (kind, call, (requests, responses)) in KINDS {
            let channel = channel.clone();
            assert_eq!(within(LONG, move || call(&channel)).0, Code::Ok, "{kind}");
            let notes = record.take();
            assert_eq!(notes.first().map(String::as_str), Some("RecvRequest"), "{kind}: {notes:?}");
            assert_eq!(count(&notes, "RecvMessage"), requests, "{kind}: {notes:?}");
            assert_eq!(count(&notes, "SendMessage"), responses, "{kind}: {notes:?}");
            assert_eq!(count(&notes, "SendInitialMetadata"), 1, "{kind}: {notes:?}");
            assert_eq!(count(&notes, "SendTrailingMetadata"), 1, "{kind}: {notes:?}");
            assert_eq!(notes.last().map(String::as_str), Some("SendTrailingMetadata"), "{kind}");
        }
    }
}

#[test]
fn send_request_says_what_is_called_and_its_metadata_reach_the_server() {
    let served = served();
    let channel = served.channel();
    let (told, was_told) = mpsc::channel();
    let told = Mutex::new(told);
    channel.listen::<SendRequest>(move |event| {
        event.metadata_mut().append("sent-more", "yes")?;
        let facts = (event.method().to_owned(), event.deadline(), event.content_type());
        told.lock().unwrap().send((facts, event.metadata().clone())).unwrap();
        Ok(Flow::Continue)
    });
    let outer = intercept_channel(
        &channel,
        [hooked(|details| {
            details.append("sent-inner", "interceptor")?;
            Ok(StreamHooks::new())
        })],
    );
    let before = Instant::now();
    let method = outer.raw_unary_unary(TELLS).unwrap().timeout(LONG).header("sent", "1").unwrap();
    let (_, call) = method.with_call(&bytes("x")).unwrap();
    let ((path, deadline, content), metadata) = was_told.recv_timeout(LONG).unwrap();
    assert_eq!((path.as_str(), content), (TELLS, "application/grpc"));
    let deadline = deadline.unwrap();
    assert!(deadline >= before + LONG && deadline <= Instant::now() + LONG);
    // Inside of the interceptors: it sees what they have added.
    assert_eq!(metadata.get("sent-inner"), Some("interceptor"));
    for (key, value) in [("sent", "1"), ("sent-inner", "interceptor"), ("sent-more", "yes")] {
        assert_eq!(call.trailing_metadata().get(key), Some(value), "{key}");
    }
    channel.raw_unary_unary(TELLS).unwrap().call(&bytes("x")).unwrap();
    assert_eq!(was_told.recv_timeout(LONG).unwrap().0.1, None);
}

#[test]
fn received_metadata_may_be_changed_before_anybody_sees_them() {
    let served = served();
    let channel = served.channel();
    channel.listen::<RecvInitialMetadata>(|event| {
        assert_eq!((event.method(), event.metadata().get("first")), (TELLS, Some("handler")));
        event.metadata_mut().insert("first", "listener")?;
        Ok(Flow::Continue)
    });
    channel.listen::<RecvTrailingMetadata>(|event| {
        assert_eq!((event.method(), event.metadata().get("last")), (TELLS, Some("handler")));
        let expected = match event.status().is_ok() {
            true => (Code::Ok, "", &b""[..]),
            false => (Code::DataLoss, "as it was told", &b"why"[..]),
        };
        let status = event.status();
        assert_eq!((status.code(), status.message(), status.details()), expected);
        event.metadata_mut().insert("last", "listener")?;
        Ok(Flow::Continue)
    });
    let method = channel.raw_unary_unary(TELLS).unwrap();
    let (_, call) = method.with_call(&bytes("x")).unwrap();
    assert_eq!(call.initial_metadata().get("first"), Some("listener"));
    assert_eq!(call.trailing_metadata().get("last"), Some("listener"));
    let status = method.call(&bytes("fail")).unwrap_err();
    assert_eq!(status.trailing_metadata().get("last"), Some("listener"));
    assert_eq!(status.code(), Code::DataLoss);
    // Of a future: by whatever way it is asked.
    let future = method.future(&bytes("x"));
    assert_eq!(future.initial_metadata().get("first"), Some("listener"));
    assert_eq!(future.handle().trailing_metadata().get("last"), Some("listener"));
    let mut future = method.future(&bytes("fail"));
    let error = Status::from(future.result(Some(LONG)).unwrap_err());
    assert_eq!(error.trailing_metadata().get("last"), Some("listener"));
    let (done, is_done) = mpsc::channel();
    let future = method.future(&bytes("x"));
    future.add_done_callback(move |call| done.send(call.trailing_metadata()).unwrap());
    assert_eq!(is_done.recv_timeout(LONG).unwrap().get("last"), Some("listener"));
}

#[test]
fn many_threads_that_ask_at_once_all_see_what_the_one_run_has_left() {
    let served = served();
    let channel = served.channel();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let (entered, has_entered) = mpsc::channel();
    let (let_go, gate) = mpsc::channel::<()>();
    let (entered, gate) = (Mutex::new(entered), Mutex::new(gate));
    channel.listen::<RecvInitialMetadata>(move |event| {
        counted.fetch_add(1, Ordering::SeqCst);
        entered.lock().unwrap().send(()).unwrap();
        gate.lock().unwrap().recv_timeout(LONG).unwrap();
        event.metadata_mut().append("seen", "yes")?;
        Ok(Flow::Continue)
    });
    let future = channel.raw_unary_unary(TELLS).unwrap().future(&bytes("x"));
    let call = future.handle();
    within(LONG, move || {
        std::thread::scope(|scope| {
            let ask = || {
                let call = call.clone();
                scope.spawn(move || call.initial_metadata().get("seen").map(str::to_owned))
            };
            let first = ask();
            has_entered.recv_timeout(LONG).unwrap();
            let others: Vec<_> = (0..3).map(|_| ask()).collect();
            // It is being told: nobody has an answer yet.
            assert!(others.iter().all(|other| !other.is_finished()));
            let_go.send(()).unwrap();
            for one in others.into_iter().chain([first]) {
                assert_eq!(one.join().unwrap().as_deref(), Some("yes"));
            }
        });
    });
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn of_trailers_only_the_initial_metadata_are_empty_and_the_server_sends_none() {
    let served = served();
    let (of_client, of_server) = (Record::default(), Record::default());
    let channel = served.channel();
    channel.listen(of_client.noting(|event: &mut RecvInitialMetadata| {
        event.metadata_mut().append("made", "up").unwrap();
        format!("initial {}", event.metadata().len() - 1)
    }));
    channel.listen(of_client.noting(|event: &mut RecvTrailingMetadata| {
        format!("trailing {:?} {}", event.status().code(), event.status().message())
    }));
    of_server.of_server(&served.server);
    let fail = channel.raw_unary_unary(FAIL).unwrap();
    assert_eq!(fail.call(&bytes("5 gone")).unwrap_err().code(), Code::NotFound);
    assert_eq!(of_client.take(), ["initial 0", "trailing NotFound gone"]);
    assert_eq!(of_server.take(), ["RecvRequest", "RecvMessage", "SendTrailingMetadata"]);
    let future = fail.future(&bytes("5 gone"));
    assert_eq!(future.initial_metadata().get("made"), Some("up"));
    assert_eq!(future.code(), Code::NotFound);
    assert_eq!(of_client.take(), ["initial 0", "trailing NotFound gone"]);
}

#[test]
fn messages_may_be_changed_on_both_sides_and_other_codecs_are_not_asked() {
    let served = served();
    let mark = |event: &mut SendMessage, mark: &str| {
        assert_ne!(event.method(), "");
        event.set_bytes([event.payload().bytes(), mark.as_bytes()].concat());
        Ok(Flow::Continue)
    };
    let receive = |event: &mut RecvMessage, mark: &str| {
        event.set_bytes([event.payload().bytes(), mark.as_bytes()].concat());
        Ok(Flow::Continue)
    };
    let channel = served.channel();
    channel.listen::<SendMessage>(move |event| mark(event, "1"));
    served.server.listen::<RecvMessage>(move |event| receive(event, "2"));
    served.server.listen::<SendMessage>(move |event| mark(event, "3"));
    channel.listen::<RecvMessage>(move |event| receive(event, "4"));
    assert_eq!(unary_call(&channel), (Code::Ok, vec![bytes("x1234")]));
    assert_eq!(future_call(&channel), (Code::Ok, vec![bytes("x1234")]));
    let (code, all) = stream_stream(&channel);
    assert_eq!((code, all), (Code::Ok, vec![bytes("a1234"), bytes("b1234")]));
    assert_eq!(stream_unary(&channel), (Code::Ok, vec![bytes("2 634")]));
}

#[cfg(feature = "gzip")]
#[test]
fn messages_that_are_compressed_are_told_as_they_were_before() {
    let plain = bytes(&"x".repeat(1000));
    let record = Record::default();
    let gzip = grpc_threads::Compression::Gzip;
    let options = grpc_threads::ServerOptions::default().compression(gzip);
    let builder = Server::builder().thread_pool(ThreadPool::new(2)).options(options);
    let served = Served::start(builder.build().unwrap(), "127.0.0.1:0", []);
    let channel = served.channel();
    let length = |payload: &Payload| payload.bytes().len().to_string();
    channel.listen(record.noting(move |event: &mut SendMessage| length(event.payload())));
    channel.listen(record.noting(move |event: &mut RecvMessage| length(event.payload())));
    served.server.listen(record.noting(move |event: &mut SendMessage| length(event.payload())));
    served.server.listen(record.noting(move |event: &mut RecvMessage| length(event.payload())));
    served.server.listen::<SendInitialMetadata>(|_| Ok(Flow::Continue));
    let echo = channel.raw_unary_unary(ECHO).unwrap().compression(gzip);
    assert_eq!(echo.call(&plain).unwrap(), plain);
    assert_eq!(record.take(), ["1000"; 4]);
    let bidi = channel.raw_stream_stream(BIDI).unwrap().compression(gzip);
    let all: Result<Vec<_>, Status> = bidi.spawn([plain.clone()]).collect();
    assert_eq!(all.unwrap(), [plain]);
    assert_eq!(record.take(), ["1000"; 4]);
}

#[test]
fn a_message_is_decoded_where_a_listener_edits_it() {
    let text =
        grpc_threads::unary_unary_rpc_method_handler(|text: String, _: &ServicerContext| Ok(text));
    let served = Served::with(2, [("Text", text)]);
    let channel = served.channel();
    channel.listen::<SendMessage>(|event| {
        event.edit::<String>(|text| text.push('!'))?;
        Ok(Flow::Continue)
    });
    let method = channel.unary_unary::<String, String>("/test.Test/Text").unwrap();
    assert_eq!(method.call(&"you".to_owned()).unwrap(), "you!");
    served.server.listen::<SendMessage>(|event| {
        event.edit::<String>(|text| text.insert(0, '>'))?;
        Ok(Flow::Continue)
    });
    assert_eq!(method.call(&"you".to_owned()).unwrap(), ">you!");
    // Bytes that are no such message: the error is the call's.
    let raw = channel.raw_unary_unary(ECHO).unwrap();
    assert_eq!(raw.call(&bytes("\u{a}\u{ff}")).unwrap_err().code(), Code::Internal);
}

#[test]
fn recv_request_says_who_calls_and_its_metadata_are_the_handlers() {
    let served = served();
    let (told, was_told) = mpsc::channel();
    let told = Mutex::new(told);
    served.server.listen::<RecvRequest>(move |event| {
        let facts = (
            event.method().to_owned(),
            event.content_type().to_owned(),
            event.user_agent().map(str::to_owned),
            event.peer(),
            event.deadline(),
            event.handler().map(RpcMethodHandler::cardinality),
        );
        told.lock().unwrap().send(facts).unwrap();
        assert_eq!(event.metadata().get("sent-by"), Some("client"));
        event.metadata_mut().insert("sent-by", "listener")?;
        Ok(Flow::Continue)
    });
    let channel = served.channel();
    let method = channel.raw_unary_unary(TELLS).unwrap().header("sent-by", "client").unwrap();
    let (_, call) = method.timeout(LONG).with_call(&bytes("x")).unwrap();
    assert_eq!(call.trailing_metadata().get("sent-by"), Some("listener"));
    let (path, content, agent, peer, deadline, cardinality) = was_told.recv_timeout(LONG).unwrap();
    assert_eq!((path.as_str(), content.as_str()), (TELLS, "application/grpc"));
    assert!(agent.unwrap().starts_with("grpc-rust-threads/"));
    assert!(peer.starts_with("ipv4:127.0.0.1:"), "{peer}");
    assert!(deadline.is_some_and(|at| at <= Instant::now() + LONG));
    assert_eq!(cardinality, Some(Cardinality::UnaryUnary));
}

#[test]
fn recv_request_may_replace_the_handler_or_end_the_call() {
    let served = served();
    served.server.listen::<RecvRequest>(|event| match event.metadata().get("want") {
        Some("other") => {
            event.replace_handler(unary(|_, _| Ok(bytes("another"))));
            Ok(Flow::Continue)
        }
        Some("nothing") => Err(Status::unauthenticated("who are you?")),
        _ => Ok(Flow::Continue),
    });
    let ended = Record::default();
    served
        .server
        .listen(ended.noting(|event: &mut SendTrailingMetadata| event.status().to_string()));
    let channel = served.channel();
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    assert_eq!(echo.call(&bytes("x")).unwrap(), "x");
    assert_eq!(echo.header("want", "other").unwrap().call(&bytes("x")).unwrap(), "another");
    ended.take();
    let nothing = |status: Status| {
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "who are you?"));
    };
    nothing(echo.header("want", "nothing").unwrap().call(&bytes("x")).unwrap_err());
    let bidi = channel.raw_stream_stream(BIDI).unwrap().header("want", "nothing").unwrap();
    nothing(bidi.call([bytes("a")]).recv().unwrap_err());
    assert_eq!(ended.take().len(), 2, "the end of such a call is told as well");
}

#[test]
fn a_handler_may_be_found_for_a_method_that_generic_handlers_do_not_know() {
    struct Nobody;
    impl grpc_threads::GenericRpcHandler for Nobody {
        fn service(&self, _: &grpc_threads::HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
            None
        }
    }
    let served = served();
    let told = Record::default();
    served.server.listen(told.noting(|event: &mut RecvRequest| {
        if event.handler().is_none() {
            event.replace_handler(echo());
        }
        event.method().to_owned()
    }));
    let method = served.channel().raw_unary_unary("/not.Known/Here").unwrap();
    assert_eq!(method.call(&bytes("x")).unwrap_err().code(), Code::Unimplemented);
    assert!(told.take().is_empty(), "it is refused before");
    served.server.add_generic_rpc_handlers([Nobody]).unwrap();
    assert_eq!(method.call(&bytes("x")).unwrap(), "x");
    assert_eq!(told.take(), ["/not.Known/Here"]);
}

#[test]
fn sent_metadata_may_be_changed_on_their_way_out() {
    let served = served();
    served.server.listen::<SendInitialMetadata>(|event| {
        let had = event.metadata().get("first").unwrap_or("nothing").to_owned();
        event.metadata_mut().append("had-first", &had)?;
        Ok(Flow::Continue)
    });
    served.server.listen::<SendTrailingMetadata>(|event| {
        let had = event.metadata().get("last").unwrap_or("nothing").to_owned();
        event.metadata_mut().append("had-last", &had)?;
        let code = format!("{:?}", event.status().code());
        event.metadata_mut().append("code", &code)?;
        event.metadata_mut().remove("last");
        event.metadata_mut().remove("own");
        Ok(Flow::Continue)
    });
    let channel = served.channel();
    let method = channel.raw_unary_unary(TELLS).unwrap();
    let (_, call) = method.with_call(&bytes("x")).unwrap();
    assert_eq!(call.initial_metadata().get("first"), Some("handler"));
    assert_eq!(call.initial_metadata().get("had-first"), Some("handler"));
    let trailing = call.trailing_metadata();
    assert_eq!((trailing.get("had-last"), trailing.get("code")), (Some("handler"), Some("Ok")));
    assert!(!trailing.contains("last"));
    let status = method.call(&bytes("fail")).unwrap_err();
    assert_eq!((status.message(), status.details()), ("as it was told", &b"why"[..]));
    assert_eq!(status.trailing_metadata().get("code"), Some("DataLoss"));
    for key in ["last", "own"] {
        assert!(!status.trailing_metadata().contains(key), "{key}");
    }
    // Implicit heads: of one response, and of many.
    let (_, call) = channel.raw_unary_unary(ECHO).unwrap().with_call(&bytes("x")).unwrap();
    assert_eq!(call.initial_metadata().get("had-first"), Some("nothing"));
    let responses = channel.raw_unary_stream(COUNT).unwrap().call(&bytes("3 1")).unwrap();
    assert_eq!(responses.initial_metadata().get("had-first"), Some("nothing"));
    let (all, trailing) = responses.collect_all().unwrap();
    assert_eq!((all.len(), trailing.get("had-last")), (3, Some("nothing")));
}

#[test]
fn the_first_added_is_told_first_and_may_keep_it_from_the_others() {
    fn order<E: ChannelEvent>(channel: &Channel, record: &Record, name: &'static str) {
        for at in ["a", "b", "c"] {
            let record = record.clone();
            channel.listen::<E>(move |_| {
                record.note(format!("{name} {at}"));
                Ok(if at == "b" { Flow::Interrupt } else { Flow::Continue })
            });
        }
    }
    let served = served();
    let channel = served.channel();
    let record = Record::default();
    order::<SendRequest>(&channel, &record, "request");
    order::<RecvInitialMetadata>(&channel, &record, "initial");
    order::<RecvTrailingMetadata>(&channel, &record, "trailing");
    unary_call(&channel);
    let expected = ["request a", "request b", "initial a", "initial b", "trailing a", "trailing b"];
    assert_eq!(record.take(), expected);
    // Of the server; what was changed before the interrupt stays.
    for (value, flow) in [("1", Flow::Continue), ("2", Flow::Interrupt), ("3", Flow::Continue)] {
        served.server.listen::<RecvRequest>(move |event| {
            event.metadata_mut().append("sent", value)?;
            Ok(flow)
        });
    }
    let (_, call) = channel.raw_unary_unary(TELLS).unwrap().with_call(&bytes("x")).unwrap();
    let trailing = call.trailing_metadata();
    let values: Vec<_> = trailing.get_all("sent").filter_map(|value| value.as_str()).collect();
    assert_eq!(values, ["1", "2"]);
}

#[test]
fn listeners_are_of_the_channel_with_all_its_handles_and_stubs_and_of_later_calls() {
    let served = served();
    let record = Record::default();
    let channel = served.channel();
    let stub = channel.raw_unary_unary(ECHO).unwrap();
    let wrapped = channel.with_metadata(|_| Ok(Metadata::new())).raw_unary_unary(ECHO).unwrap();
    let mut open = channel.raw_stream_stream(BIDI).unwrap().open();
    open.send(&bytes("before")).unwrap();
    assert_eq!(open.recv().unwrap().unwrap(), "before");
    record.of_channel(&channel.clone());
    record.of_server(&served.server);
    open.send(&bytes("after")).unwrap();
    assert_eq!(open.recv().unwrap().unwrap(), "after");
    open.done_writing().unwrap();
    assert!(open.recv().unwrap().is_none());
    assert!(record.take().is_empty(), "it began before");
    for stub in [stub, wrapped] {
        stub.call(&bytes("x")).unwrap();
        assert_eq!(record.take().len(), 10);
    }
    // Another channel to the same server.
    unary_call(&served.channel());
    assert_eq!(record.take().len(), 5);
}

#[test]
fn an_error_of_a_client_listener_ends_the_call_with_it() {
    fn failing<E: ChannelEvent>(served: &Served) {
        let channel = served.channel();
        channel.listen::<E>(|_| Err(Status::data_loss("not good enough")));
        for (kind, call, _) in KINDS {
            let channel = channel.clone();
            let event = std::any::type_name::<E>();
            assert_eq!(within(LONG, move || call(&channel)).0, Code::DataLoss, "{event} {kind}");
        }
    }
    let served = served();
    // Nothing is given to the caller of which a listener says that it is not good.
    let channel = served.channel();
    channel.listen::<RecvInitialMetadata>(|_| Err(Status::data_loss("not good enough")));
    let mut responses = channel.raw_unary_stream(COUNT).unwrap().call(&bytes("2 1")).unwrap();
    assert_eq!(responses.recv().unwrap_err().code(), Code::DataLoss);
    failing::<SendRequest>(&served);
    failing::<SendMessage>(&served);
    failing::<RecvInitialMetadata>(&served);
    failing::<RecvMessage>(&served);
    failing::<RecvTrailingMetadata>(&served);
}

#[test]
fn an_error_or_a_panic_of_a_server_listener_ends_the_call_with_it() {
    type Listen = fn(&Server, fn() -> Result<Flow, Status>);
    let all: [(&str, Listen); 5] = [
        ("RecvRequest", |server, end| server.listen::<RecvRequest>(move |_| end())),
        ("RecvMessage", |server, end| server.listen::<RecvMessage>(move |_| end())),
        ("SendInitial", |server, end| server.listen::<SendInitialMetadata>(move |_| end())),
        ("SendMessage", |server, end| server.listen::<SendMessage>(move |_| end())),
        ("SendTrailing", |server, end| server.listen::<SendTrailingMetadata>(move |_| end())),
    ];
    for (event, listen) in all {
        for (end, code) in [
            ((|| Err(Status::data_loss("not good enough"))) as fn() -> _, Code::DataLoss),
            (|| panic!("as it was told"), Code::Unknown),
        ] {
            let served = served();
            listen(&served.server, end);
            let channel = served.channel();
            for (kind, call, _) in KINDS {
                let channel = channel.clone();
                assert_eq!(within(LONG, move || call(&channel)).0, code, "{event} {kind}");
            }
            if code == Code::Unknown {
                let echo = channel.raw_unary_unary(ECHO).unwrap().call(&bytes("x")).unwrap_err();
                let bidi = channel.raw_stream_stream(BIDI).unwrap().call([bytes("x")]);
                let bidi = bidi.collect::<Result<Vec<_>, _>>().unwrap_err();
                assert_eq!(echo.message(), "a listener panicked", "{event}");
                assert_eq!(bidi.message(), "a listener panicked", "{event}");
            }
        }
    }
}

#[test]
fn a_panic_of_a_client_listener_reaches_the_caller_and_has_ended_the_call() {
    fn panics<E: ChannelEvent>(served: &Served) {
        let channel = served.channel();
        channel.listen::<E>(|_| panic!("as it was told"));
        for (kind, call, _) in [KINDS[0], KINDS[1], KINDS[2], KINDS[3]] {
            let channel = channel.clone();
            let called = move || {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(&channel))).is_err()
            };
            assert!(within(LONG, called), "{kind}");
        }
        // The others of the channel go on.
        let other = served.channel();
        assert_eq!(unary_call(&other).0, Code::Ok);
    }
    let served = served();
    panics::<SendRequest>(&served);
    panics::<SendMessage>(&served);
    panics::<RecvInitialMetadata>(&served);
    panics::<RecvMessage>(&served);
    panics::<RecvTrailingMetadata>(&served);
    // Whoever asks next is told.
    let channel = served.channel();
    channel.listen::<RecvTrailingMetadata>(|_| panic!("as it was told"));
    let future = channel.raw_unary_unary(ECHO).unwrap().future(&bytes("x"));
    let call = future.handle();
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.status()));
    assert!(asked.is_err());
    assert_eq!((call.code(), call.details().as_str()), (Code::Internal, "a listener panicked"));
}

#[test]
fn of_a_call_that_the_server_has_not_ended_no_trailing_metadata_are_told() {
    let (entered, has_entered) = mpsc::channel();
    let entered = Mutex::new(entered);
    let hangs = by_hand(move |stream, context| {
        context.send_initial_metadata(&Metadata::new())?;
        entered.lock().unwrap().send(()).unwrap();
        while stream.recv()?.is_some() {}
        Ok(())
    });
    let served = Served::with(2, [("Hangs", hangs)]);
    let channel = served.channel();
    let (of_client, of_server) = (Record::default(), Record::default());
    of_client.of_channel(&channel);
    of_server.of_server(&served.server);
    let hangs = channel.raw_stream_stream("/test.Test/Hangs").unwrap();
    // A cancel.
    let open = hangs.open();
    has_entered.recv_timeout(LONG).unwrap();
    let call = open.handle();
    let _ = call.initial_metadata();
    assert!(open.cancel());
    assert_eq!(call.code(), Code::Cancelled);
    drop(open);
    assert_eq!(of_client.take(), ["SendRequest", "RecvInitialMetadata"]);
    // The deadline.
    let open = hangs.timeout(Duration::from_millis(50)).open();
    let call = open.handle();
    assert_eq!(call.code(), Code::DeadlineExceeded);
    drop(open);
    // What the server has said by then depends on whose clock was first.
    assert_eq!(of_client.take()[0], "SendRequest");
    // No connection.
    let nobody = service::channel("127.0.0.1:1");
    of_client.of_channel(&nobody);
    assert_eq!(unary_call(&nobody).0, Code::Unavailable);
    assert_eq!(of_client.take(), ["SendRequest", "SendMessage"]);
    let told = of_server.take();
    assert_eq!(count(&told, "SendTrailingMetadata"), 0, "{told:?}");
}

#[test]
fn calls_that_nobody_looks_at_are_told_all_the_same() {
    let served = served();
    let channel = served.channel();
    let record = Record::default();
    channel.listen(record.noting(|_: &mut RecvInitialMetadata| "initial".into()));
    channel.listen(record.noting(|_: &mut RecvTrailingMetadata| "trailing".into()));
    let told = |what: &str| {
        let mut all = Vec::new();
        eventually(LONG, what, || {
            all.extend(record.take());
            all.len() == 2
        });
        assert_eq!(all, ["initial", "trailing"], "{what}");
    };
    let method = channel.raw_unary_unary(TELLS).unwrap();
    method.future(&bytes("x")).detach();
    told("a future that was detached");
    let (sent, was_sent) = mpsc::channel();
    method.future(&bytes("x")).on_result(move |result| sent.send(result).unwrap());
    assert_eq!(was_sent.recv_timeout(LONG).unwrap().unwrap(), "x");
    told("a future whose result was sent on");
    // A stream whose status has come, and which is dropped unread.
    let responses = channel.raw_unary_stream(COUNT).unwrap().call(&bytes("1 1")).unwrap();
    let (done, is_done) = mpsc::channel();
    assert!(responses.add_callback(move |_| done.send(()).unwrap()));
    is_done.recv_timeout(LONG).unwrap();
    drop(responses);
    told("responses that were dropped");
}

#[test]
fn a_task_that_awaits_a_call_has_its_events() {
    let served = served();
    let channel = served.channel();
    channel.listen::<RecvTrailingMetadata>(|_| Err(Status::data_loss("not good enough")));
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let code = within(LONG, move || {
        let mut future = std::pin::pin!(channel.raw_unary_unary(ECHO).unwrap().future(&bytes("x")));
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let mut context = std::task::Context::from_waker(&waker);
        loop {
            match future.as_mut().poll(&mut context) {
                std::task::Poll::Ready(result) => break Status::from(result.unwrap_err()).code(),
                std::task::Poll::Pending => std::thread::park(),
            }
        }
    });
    assert_eq!(code, Code::DataLoss);
}

#[test]
fn server_listeners_are_outside_of_the_interceptors() {
    let interceptor = |call: &mut InterceptedCall<'_>, next: ServerNext<'_>| {
        assert_eq!(call.context().invocation_metadata().get("sent"), Some("listener"));
        call.add_hooks(
            StreamHooks::new()
                .map_request(|one| Ok(Payload::new([one.bytes(), &b"b"[..]].concat())))
                .map_response(|one| Ok(Payload::new([one.bytes(), &b"c"[..]].concat()))),
        );
        let outcome = next.run(call);
        call.context().set_trailing_metadata(Metadata::new().with("last", "interceptor")?);
        outcome
    };
    let builder = Server::builder().thread_pool(ThreadPool::new(2)).interceptor(interceptor);
    let served = Served::start(builder.build().unwrap(), "127.0.0.1:0", []);
    served.server.listen::<RecvRequest>(|event| {
        event.metadata_mut().insert("sent", "listener")?;
        Ok(Flow::Continue)
    });
    served.server.listen::<RecvMessage>(|event| {
        event.set_bytes([event.payload().bytes(), &b"a"[..]].concat());
        Ok(Flow::Continue)
    });
    served.server.listen::<SendMessage>(|event| {
        event.set_bytes([event.payload().bytes(), &b"d"[..]].concat());
        Ok(Flow::Continue)
    });
    served.server.listen::<SendTrailingMetadata>(|event| {
        assert_eq!(event.metadata().get("last"), Some("interceptor"));
        Ok(Flow::Continue)
    });
    assert_eq!(unary_call(&served.channel()), (Code::Ok, vec![bytes("xabcd")]));
    let (code, all) = stream_stream(&served.channel());
    assert_eq!((code, all), (Code::Ok, vec![bytes("aabcd"), bytes("babcd")]));
}

#[test]
fn a_stream_that_was_detached_has_its_end_told_where_it_ends() {
    let (detached, has_detached) = mpsc::channel();
    let detached = Mutex::new(detached);
    let leaves = by_hand(move |stream, _| {
        detached.lock().unwrap().send(stream.detach()).unwrap();
        Ok(())
    });
    let served = Served::with(1, [("Leaves", leaves)]);
    let record = Record::default();
    served.server.listen(record.noting(|_: &mut SendInitialMetadata| "initial".into()));
    served.server.listen(record.noting(|event: &mut SendTrailingMetadata| {
        event.metadata_mut().append("told", "yes").unwrap();
        format!("{:?}", std::thread::current().id())
    }));
    let channel = served.channel();
    let mut responses = channel.raw_stream_stream("/test.Test/Leaves").unwrap().spawn([]);
    let mut stream = has_detached.recv_timeout(LONG).unwrap();
    // The one worker is free again, so the handler has returned.
    assert_eq!(unary_call(&channel).0, Code::Ok);
    assert_eq!(record.take().len(), 2, "the other call's");
    stream.send(&bytes("late")).unwrap();
    stream.finish(Ok(()));
    assert_eq!(responses.recv().unwrap().unwrap(), "late");
    assert!(responses.recv().unwrap().is_none());
    assert_eq!(responses.trailing_metadata().get("told"), Some("yes"));
    let here = format!("{:?}", std::thread::current().id());
    assert_eq!(record.take(), ["initial".to_owned(), here]);
}

#[test]
fn the_end_is_told_once_whatever_else_ends_the_call_meanwhile() {
    let (pulled, was_pulled) = mpsc::channel();
    let pulled = Mutex::new(pulled);
    let leaves_its_requests = grpc_threads::stream_stream_rpc_method_handler_with(
        move |requests: RequestIterator<Bytes>, _: &ServicerContext| {
            let pulled = pulled.lock().unwrap().clone();
            std::thread::spawn(move || {
                let pull = std::panic::AssertUnwindSafe(|| requests.count());
                pulled.send(std::panic::catch_unwind(pull).is_err()).unwrap();
            });
            Ok(std::iter::empty::<Result<Bytes, Status>>())
        },
        Raw,
        Raw,
    );
    let served = Served::with(2, [("Leaves", leaves_its_requests)]);
    let (entered, has_entered) = mpsc::channel();
    let (let_go, gate) = mpsc::channel::<()>();
    let (entered, gate) = (Mutex::new(entered), Mutex::new(gate));
    served.server.listen::<SendTrailingMetadata>(move |_| {
        entered.lock().unwrap().send(()).unwrap();
        gate.lock().unwrap().recv_timeout(LONG).unwrap();
        Ok(Flow::Continue)
    });
    served.server.listen::<RecvMessage>(|_| panic!("as it was told"));
    let channel = served.channel();
    let mut open = channel.raw_stream_stream("/test.Test/Leaves").unwrap().open();
    has_entered.recv_timeout(LONG).unwrap();
    open.send(&bytes("x")).unwrap();
    assert!(was_pulled.recv_timeout(LONG).unwrap(), "the panic is that of who pulls");
    let call = open.handle();
    assert_eq!(within(LONG, move || call.code()), Code::Unknown);
    let_go.send(()).unwrap();
    served.server.stop(None).wait(LONG).unwrap();
    assert!(has_entered.try_recv().is_err(), "it was told twice");
}

#[test]
fn channel_listeners_are_inside_of_the_interceptors() {
    let served = served();
    let channel = served.channel();
    channel.listen::<SendMessage>(|event| {
        event.set_bytes([event.payload().bytes(), &b"b"[..]].concat());
        Ok(Flow::Continue)
    });
    channel.listen::<RecvMessage>(|event| {
        event.set_bytes([event.payload().bytes(), &b"c"[..]].concat());
        Ok(Flow::Continue)
    });
    channel.listen::<RecvTrailingMetadata>(|event| {
        event.metadata_mut().append("seen", "listener")?;
        Ok(Flow::Continue)
    });
    let (ended, has_ended) = mpsc::channel();
    let ended = Mutex::new(ended);
    let interceptor = hooked(move |_| {
        let ended = ended.lock().unwrap().clone();
        Ok(StreamHooks::new()
            .map_request(|one| Ok(Payload::new([one.bytes(), &b"a"[..]].concat())))
            .map_response(|one| Ok(Payload::new([one.bytes(), &b"d"[..]].concat())))
            .on_end(move |status| ended.send(status.trailing_metadata().clone()).unwrap()))
    });
    let channel = intercept_channel(&channel, [Arc::new(interceptor) as _]);
    for (kind, call, _) in [KINDS[0], KINDS[1], KINDS[4]] {
        let (code, all) = call(&channel);
        assert_eq!((code, &all[0][1..]), (Code::Ok, &b"abcd"[..]), "{kind}");
        let trailing = has_ended.recv_timeout(LONG).unwrap();
        assert_eq!(trailing.get("seen"), Some("listener"), "{kind}");
    }
}

#[test]
fn a_call_that_is_listened_to_ends_as_any_other() {
    let (entered, has_entered) = mpsc::channel();
    let entered = Mutex::new(entered);
    let hangs = unary(move |_, context| {
        let (gone, is_gone) = mpsc::channel();
        assert!(context.add_callback(move || gone.send(()).unwrap()));
        entered.lock().unwrap().send(()).unwrap();
        let _ = is_gone.recv_timeout(LONG);
        Ok(Bytes::new())
    });
    let served = Served::with(2, [("Hangs", hangs)]);
    let channel = served.channel();
    Record::default().of_channel(&channel);
    let hangs = channel.raw_unary_unary("/test.Test/Hangs").unwrap();
    let method = hangs.timeout(Duration::from_millis(50));
    let status = within(LONG, move || method.call(&bytes("x")).unwrap_err());
    assert_eq!(status.code(), Code::DeadlineExceeded);
    // Whether it has come as far as the handler: the deadline knows.
    let _ = has_entered.try_recv();
    let waits = std::thread::spawn(move || hangs.call(&bytes("x")).unwrap_err());
    has_entered.recv_timeout(LONG).unwrap();
    channel.close();
    assert_eq!(waits.join().unwrap().code(), Code::Cancelled);
}

#[test]
fn no_lock_is_held_a_listener_may_make_calls_and_listen() {
    let served = served();
    let (channel, other) = (served.channel(), served.channel());
    let record = Record::default();
    let (inner, more) = (record.clone(), channel.clone());
    channel.listen::<RecvTrailingMetadata>(move |_| {
        assert_eq!(unary_call(&other).0, Code::Ok);
        let inner = inner.clone();
        more.listen(inner.noting(|_: &mut SendRequest| "added".into()));
        Ok(Flow::Continue)
    });
    let first = channel.clone();
    assert_eq!(within(LONG, move || unary_call(&first)).0, Code::Ok);
    assert!(record.take().is_empty());
    assert_eq!(within(LONG, move || unary_call(&channel)).0, Code::Ok);
    assert_eq!(record.take(), ["added"]);
}

#[test]
fn a_listener_that_calls_its_own_channel_is_not_told_of_that() {
    let served = Served::new();
    let channel = served.channel();
    let (told, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let token = channel.raw_unary_unary(ECHO).unwrap().timeout(LONG);
    let (counted, answered) = (told.clone(), count.clone());
    channel.listen::<SendRequest>(move |event| {
        counted.fetch_add(1, Ordering::SeqCst);
        let token = token.call(&Bytes::from_static(b"token"))?;
        event.metadata_mut().append("token", std::str::from_utf8(&token).unwrap())?;
        answered.fetch_add(1, Ordering::SeqCst);
        Ok(Flow::Continue)
    });
    let echo = channel.raw_unary_unary(ECHO).unwrap();
    assert_eq!(echo.call(&Bytes::from_static(b"x")).unwrap(), "x");
    assert_eq!(echo.future(&Bytes::from_static(b"y")).result(Some(LONG)).unwrap(), "y");
    assert_eq!((told.load(Ordering::SeqCst), count.load(Ordering::SeqCst)), (2, 2));
}

#[test]
fn a_listener_that_asks_its_own_call_does_not_wait_for_itself() {
    let served = Served::new();
    let channel = served.channel();
    let (give, given) = mpsc::channel::<grpc_threads::Call>();
    let given = Mutex::new(given);
    let (told, asked) = mpsc::channel();
    channel.listen::<RecvTrailingMetadata>(move |_| {
        let call = given.lock().unwrap().recv_timeout(LONG).unwrap();
        told.send((call.status().code(), call.initial_metadata().is_empty())).unwrap();
        Ok(Flow::Continue)
    });
    let mut future = channel.raw_unary_unary(ECHO).unwrap().future(&Bytes::from_static(b"x"));
    give.send(future.handle()).unwrap();
    assert_eq!(future.result(Some(LONG)).unwrap(), "x");
    assert_eq!(asked.recv_timeout(LONG).unwrap().0, Code::Ok);
}
