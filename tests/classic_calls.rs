//! What grpc-python's own tests hold of starting, waiting for and closing calls, in every form over a real server.
//!
//! Answers to its `_metadata_flags_test`, `wait_for_ready_test`, `wait_for_connection_test`, `_resource_exhausted_test`,
//! `_channel_close_test`, `close_channel_test`, `_grpc_shutdown_test` and `_rpc_part_1_test`.
#![allow(clippy::disallowed_methods, reason = "tests have threads and a clock of their own")]

#[path = "support/forms.rs"]
mod forms;
#[path = "support/service.rs"]
mod service;
mod support;

use bytes::Bytes;
use forms::{FORMS, KINDS, handled, run};
use grpc_threads::{CallFuture, CallOptions, Connectivity, GenericRpcHandler, HandlerCallDetails};
use grpc_threads::{Responses, ServerOptions, ServiceRpcHandler};
use service::*;
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use support::frames::Vacant;
use support::{LONG, eventually, within};

/// The four kinds, which all give back what they get once `gate` lets them.
fn all_kinds(gate: &Arc<Gate>) -> [Method; 4] {
    let [one, many, upload, both] = [gate.clone(), gate.clone(), gate.clone(), gate.clone()];
    [
        (
            "One",
            unary(move |request, context| {
                one.pass(context);
                Ok(request)
            }),
        ),
        (
            "Many",
            grpc_threads::unary_stream_rpc_method_handler_with(
                move |request: Bytes, context: &ServicerContext| {
                    many.pass(context);
                    Ok([Ok(request.clone()), Ok::<_, Status>(request)])
                },
                Raw,
                Raw,
            ),
        ),
        (
            "Upload",
            grpc_threads::stream_unary_rpc_method_handler_with(
                move |requests: RequestIterator<Bytes>, context: &ServicerContext| {
                    upload.pass(context);
                    Ok(Bytes::from(requests.collect::<Result<Vec<_>, Status>>()?.concat()))
                },
                Raw,
                Raw,
            ),
        ),
        (
            "Both",
            by_hand(move |stream, context| {
                both.pass(context);
                while let Some(request) = stream.recv()? {
                    stream.send(&request)?;
                }
                Ok(())
            }),
        ),
    ]
}

/// Holds handlers until it is opened, or their calls are over.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn open() -> Arc<Self> {
        let gate = Self::default();
        gate.state.lock().unwrap().0 = true;
        Arc::new(gate)
    }

    fn shut() -> Arc<Self> {
        Arc::default()
    }

    fn pass(self: &Arc<Self>, context: &ServicerContext) {
        let gate = self.clone();
        let over = move || {
            let _state = gate.state.lock().unwrap();
            gate.changed.notify_all();
        };
        // Not told when it is over already; then the loop sees it.
        let _ = context.add_callback(over);
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        while !state.0 && context.is_active() {
            state = self.changed.wait(state).unwrap();
        }
        state.1 -= 1;
        self.changed.notify_all();
    }

    fn set(&self, open: bool) {
        self.state.lock().unwrap().0 = open;
        self.changed.notify_all();
    }

    /// Until so many handlers are in it.
    fn wait_for(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let mut missing = |state: &mut (bool, usize)| state.1 != count;
        let (state, over) = self.changed.wait_timeout_while(state, LONG, &mut missing).unwrap();
        assert!(!over.timed_out(), "{} handlers, not {count}", state.1);
    }
}

fn sent() -> Vec<Bytes> {
    vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]
}

fn due(kind: &str) -> Vec<&'static [u8]> {
    match kind {
        "One" => vec![b"a"],
        "Many" => vec![b"a", b"a"],
        "Upload" => vec![b"ab"],
        _ => vec![b"a", b"b"],
    }
}

#[test]
fn every_form_fails_at_once_by_default_and_waits_for_ready_when_told() {
    let vacant = Vacant::new();
    let target = vacant.target();
    let pause = Duration::from_millis(10);
    let builder = Channel::builder(&target).reconnect_backoff(pause, pause);
    let channel = builder.connect_lazily().unwrap();
    for (kind, form) in FORMS {
        for options in [CallOptions::new(), CallOptions::new().wait_for_ready(false)] {
            let end = run(&channel, &options, kind, form, sent()).end;
            assert_eq!(end.unwrap_err().code(), Code::Unavailable, "{kind} {form}");
        }
    }
    let options = CallOptions::new().wait_for_ready(true).timeout(LONG);
    let waiting: Vec<_> = FORMS
        .into_iter()
        .map(|(kind, form)| {
            let (channel, options) = (channel.clone(), options.clone());
            thread::spawn(move || (kind, form, run(&channel, &options, kind, form, sent())))
        })
        .collect();
    // An attempt has failed while they wait.
    eventually(LONG, "a failed attempt", || channel.state(false) == Connectivity::TransientFailure);
    let server = grpc_threads::server(ThreadPool::new(4));
    server.add_registered_method_handlers("test.Test", all_kinds(&Gate::open())).unwrap();
    server.add_listener(vacant.into_listener()).unwrap();
    server.start().unwrap();
    for call in waiting {
        let (kind, form, outcome) = call.join().unwrap();
        outcome.end.unwrap_or_else(|status| panic!("{kind} {form}: {status}"));
        assert_eq!(outcome.responses, due(kind), "{kind} {form}");
    }
    channel.close();
}

#[test]
fn a_wait_for_the_connection_costs_no_message() {
    let served = Served::with(4, all_kinds(&Gate::open()));
    let channel = served.channel();
    let wait = |call: grpc_threads::Call| call.wait_for_connection(Some(LONG)).unwrap();
    let mut one = channel.raw_unary_unary("/test.Test/One").unwrap().future(&sent()[0]);
    wait(one.handle());
    assert_eq!(one.result(Some(LONG)).unwrap(), b"a"[..]);
    let many = channel.raw_unary_stream("/test.Test/Many").unwrap().call(&sent()[0]).unwrap();
    wait(many.handle());
    assert_eq!(many.collect_all().unwrap().0, due("Many"));
    let mut upload = channel.raw_stream_unary("/test.Test/Upload").unwrap().future(sent());
    wait(upload.handle());
    assert_eq!(upload.result(Some(LONG)).unwrap(), b"ab"[..]);
    let both = channel.raw_stream_stream("/test.Test/Both").unwrap().spawn(sent());
    wait(both.handle());
    assert_eq!(both.collect_all().unwrap().0, due("Both"));
}

#[test]
fn at_the_limit_calls_of_every_form_are_refused_and_new_ones_run_after_it() {
    let gate = Gate::shut();
    let options = ServerOptions::default().maximum_concurrent_rpcs(2);
    let server = Server::builder().thread_pool(ThreadPool::new(4)).options(options);
    let served = Served::start(server.build().unwrap(), "127.0.0.1:0", all_kinds(&gate));
    let channel = served.channel();
    let one = channel.raw_unary_unary("/test.Test/One").unwrap();
    let options = CallOptions::new().timeout(LONG);
    for round in 0..3 {
        gate.set(false);
        let running = [one.future(&Bytes::new()), one.future(&Bytes::new())];
        gate.wait_for(2);
        for (kind, form) in FORMS {
            let status = run(&channel, &options, kind, form, sent()).end.unwrap_err();
            assert_eq!(status.code(), Code::ResourceExhausted, "{kind} {form}, round {round}");
        }
        gate.set(true);
        for mut call in running {
            assert!(call.result(Some(LONG)).is_ok());
        }
        for (kind, form) in FORMS {
            let outcome = run(&channel, &options, kind, form, sent());
            outcome.end.unwrap_or_else(|status| panic!("{kind} {form}, {round}: {status}"));
        }
    }
}

type Futures = (CallFuture<Bytes>, CallFuture<Bytes>);
type Streams = (Responses<Bytes>, Responses<Bytes>);

/// A call of each kind.
fn begin_all(channel: &Channel) -> (Futures, Streams) {
    let one = channel.raw_unary_unary("/test.Test/One").unwrap().future(&sent()[0]);
    let many = channel.raw_unary_stream("/test.Test/Many").unwrap().call(&sent()[0]).unwrap();
    let upload = channel.raw_stream_unary("/test.Test/Upload").unwrap().future(sent());
    let both = channel.raw_stream_stream("/test.Test/Both").unwrap().spawn(sent());
    ((one, upload), (many, both))
}

#[test]
fn calls_that_nobody_looks_at_hold_up_no_end() {
    let gate = Gate::shut();
    let served = Served::with(8, all_kinds(&gate));
    let channel = served.channel();
    let ((one, upload), (many, both)) = begin_all(&channel);
    gate.wait_for(4);
    within(LONG, move || {
        let stopped = served.server.stop(None);
        stopped.wait(LONG).unwrap();
        drop((served, channel));
        for call in [one.handle(), many.handle(), upload.handle(), both.handle()] {
            assert_ne!(call.code(), Code::Ok);
        }
    });
}

#[test]
fn many_threads_may_close_a_channel_at_once_and_its_calls_are_cancelled() {
    let gate = Gate::shut();
    let served = Served::with(8, all_kinds(&gate));
    let (channel, other) = (served.channel(), served.channel());
    let handles: Vec<_> = KINDS
        .into_iter()
        .map(|kind| {
            let channel = channel.clone();
            let options = CallOptions::new();
            thread::spawn(move || run(&channel, &options, kind, handled(kind), sent()))
        })
        .collect();
    let one = other.raw_unary_unary("/test.Test/One").unwrap().timeout(LONG);
    let mut beside = one.future(&sent()[0]);
    gate.wait_for(5);
    let (tell, told) = mpsc::channel();
    let quick = channel.raw_unary_unary("/test.Test/One").unwrap().future(&Bytes::new());
    quick.add_done_callback(move |_| {
        tell.send(()).unwrap();
        panic!("a callback at the close");
    });
    let together = Arc::new(Barrier::new(16));
    let closers: Vec<_> = (0..16)
        .map(|_| {
            let (channel, together) = (channel.clone(), together.clone());
            thread::spawn(move || {
                together.wait();
                channel.close();
            })
        })
        .collect();
    for closer in closers {
        closer.join().unwrap();
    }
    told.recv_timeout(LONG).unwrap();
    for call in handles {
        let call = call.join().unwrap().call.unwrap();
        assert_eq!((call.code(), &*call.details()), (Code::Cancelled, "Channel closed!"));
    }
    // Another channel to the same server has nothing to do with it.
    assert!(!beside.done());
    gate.set(true);
    assert!(beside.result(Some(LONG)).is_ok());
}

#[test]
fn channels_that_are_watched_may_be_closed_again_and_again() {
    let served = Served::new();
    for _ in 0..50 {
        let channel = served.channel();
        let (tell, told) = mpsc::channel();
        let subscription = channel.subscribe(move |state| tell.send(state).unwrap(), true);
        channel.close();
        channel.close();
        let last = std::iter::from_fn(|| told.recv_timeout(LONG).ok())
            .find(|state| *state == Connectivity::Shutdown);
        assert_eq!(last, Some(Connectivity::Shutdown));
        drop(subscription);
    }
}

#[test]
fn a_call_that_has_ended_answers_every_question_and_goes_on_doing_so() {
    let served = Served::with(4, all_kinds(&Gate::open()));
    let channel = served.channel();
    let local = channel.target().to_owned();
    for kind in KINDS {
        let options = CallOptions::new().timeout(LONG);
        let call = run(&channel, &options, kind, handled(kind), sent()).call.unwrap();
        for _ in 0..2 {
            assert!(call.done() && !call.is_active() && !call.cancelled(), "{kind}");
            assert!(!call.cancel(), "{kind}: too late");
            assert_eq!(call.code(), Code::Ok, "{kind}");
            assert_eq!(call.details(), "", "{kind}");
            assert_eq!(call.debug_error_string(), "", "{kind}");
            assert!(!call.add_callback(|_| panic!("it was told that it will not run")));
            assert_eq!(call.peer(), Some(format!("ipv4:{local}")), "{kind}");
            assert!(call.initial_metadata().is_empty() && call.trailing_metadata().is_empty());
            assert!(call.time_remaining().is_some(), "{kind}: it has a deadline");
        }
        let call = run(&channel, &CallOptions::new(), kind, handled(kind), sent()).call.unwrap();
        assert_eq!(call.time_remaining(), None, "{kind}: it has none");
    }
}

#[test]
fn a_cancelled_call_of_each_kind_says_so_in_the_words_of_grpc() {
    let gate = Gate::shut();
    let served = Served::with(4, all_kinds(&gate));
    let channel = served.channel();
    let ((one, upload), (many, both)) = begin_all(&channel);
    gate.wait_for(4);
    for call in [one.handle(), many.handle(), upload.handle(), both.handle()] {
        assert!(call.is_active() && !call.done() && !call.cancelled());
        assert_eq!((call.cancel(), call.cancel()), (true, false));
        assert!(call.done() && call.cancelled());
        assert_eq!(call.code(), Code::Cancelled);
        assert_eq!(call.details(), "Locally cancelled by application!");
        assert!(call.initial_metadata().is_empty() && call.trailing_metadata().is_empty());
    }
    // Their handlers are told.
    gate.wait_for(0);
}

#[test]
fn a_handler_that_knows_its_service_is_asked_by_path_and_by_metadata() {
    struct Own;

    impl GenericRpcHandler for Own {
        fn service(&self, details: &HandlerCallDetails<'_>) -> Option<RpcMethodHandler> {
            let told = details.invocation_metadata.get("who")?.to_owned();
            let known = details.method == "/own.Service/Who";
            known.then(|| unary(move |_, _| Ok(Bytes::from(told.clone()))))
        }
    }

    impl ServiceRpcHandler for Own {
        fn service_name(&self) -> &str {
            "own.Service"
        }
    }

    assert_eq!(Own.service_name(), "own.Service");
    let served = Served::new();
    // After the start.
    served.server.add_generic_rpc_handlers([Own]).unwrap();
    let method = |path: &str| served.channel().raw_unary_unary(path).unwrap().timeout(LONG);
    let who = method("/own.Service/Who");
    assert_eq!(who.header("who", "me").unwrap().call(&Bytes::new()).unwrap(), b"me"[..]);
    assert_eq!(who.call(&Bytes::new()).unwrap_err().code(), Code::Unimplemented);
    let other = method("/own.Service/Other").header("who", "me").unwrap();
    assert_eq!(other.call(&Bytes::new()).unwrap_err().code(), Code::Unimplemented);
}

#[test]
fn what_is_registered_after_the_start_is_an_error_and_changes_nothing() {
    let served = Served::new();
    let late =
        |server: &Server| server.add_registered_method_handlers("late.S", [("Echo", echo())]);
    let error = late(&served.server).unwrap_err();
    assert_eq!(error.kind(), grpc_threads::ConfigErrorKind::State, "{error}");
    let method = served.channel().raw_unary_unary("/late.S/Echo").unwrap().timeout(LONG);
    assert_eq!(method.call(&Bytes::new()).unwrap_err().code(), Code::Unimplemented);
}

#[test]
fn no_kind_of_call_that_has_ended_in_the_queue_runs_its_handler() {
    let gate = Gate::shut();
    let (tell, told) = mpsc::channel();
    let [one, many, upload, both] = [tell.clone(), tell.clone(), tell.clone(), tell];
    let quick: [Method; 4] = [
        (
            "QuickOne",
            unary(move |request, _| {
                one.send("One").unwrap();
                Ok(request)
            }),
        ),
        (
            "QuickMany",
            grpc_threads::unary_stream_rpc_method_handler_with(
                move |request: Bytes, _: &ServicerContext| {
                    many.send("Many").unwrap();
                    Ok([Ok::<_, Status>(request)])
                },
                Raw,
                Raw,
            ),
        ),
        (
            "QuickUpload",
            grpc_threads::stream_unary_rpc_method_handler_with(
                move |_: RequestIterator<Bytes>, _: &ServicerContext| {
                    upload.send("Upload").unwrap();
                    Ok(Bytes::new())
                },
                Raw,
                Raw,
            ),
        ),
        (
            "QuickBoth",
            by_hand(move |_, _| {
                both.send("Both").unwrap();
                Ok(())
            }),
        ),
    ];
    let served = Served::with(1, all_kinds(&gate).into_iter().chain(quick));
    let channel = served.channel();
    let mut first = channel.raw_unary_unary("/test.Test/One").unwrap().future(&Bytes::new());
    gate.wait_for(1);
    let one = channel.raw_unary_unary("/test.Test/QuickOne").unwrap().future(&Bytes::new());
    let many = channel.raw_unary_stream("/test.Test/QuickMany").unwrap();
    let many = many.call(&Bytes::new()).unwrap();
    let (sender, upload) = channel.raw_stream_unary("/test.Test/QuickUpload").unwrap().open();
    let both = channel.raw_stream_stream("/test.Test/QuickBoth").unwrap().open();
    for call in [one.handle(), many.handle(), upload.handle(), both.handle()] {
        call.wait_for_connection(Some(LONG)).unwrap();
        assert!(call.cancel());
    }
    drop(sender);
    // Answered without a worker, and behind the resets: they have been seen.
    let none = channel.raw_unary_unary("/test.Test/None").unwrap();
    assert_eq!(none.call(&Bytes::new()).unwrap_err().code(), Code::Unimplemented);
    gate.set(true);
    first.result(Some(LONG)).unwrap();
    // The one worker has been past them when it answers this.
    channel.raw_unary_unary(ECHO).unwrap().call(&Bytes::new()).unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_handler_on_an_insecure_port_is_told_that_nothing_is_known_of_its_client() {
    let told = unary(|_, context| {
        let known = context.auth_context();
        assert_eq!(context.peer_identity_key(), None);
        assert_eq!(context.peer_identities(), None);
        let all = known.iter().map(|(key, values)| format!("{key}={:?};", values[0]));
        Ok(Bytes::from(all.collect::<String>()))
    });
    let served = Served::with(1, [("Told", told)]);
    let method = served.channel().raw_unary_unary("/test.Test/Told").unwrap().timeout(LONG);
    let text = method.call(&Bytes::new()).unwrap();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.contains(r#"transport_security_type=b"insecure";"#), "{text}");
    assert!(text.contains(r#"security_level=b"TSI_SECURITY_NONE";"#), "{text}");
}

#[test]
fn calls_within_calls_need_no_more_than_their_deadlines() {
    // A deadline goes on to a call that a handler makes when the handler says so.
    let inner = Served::with(2, all_kinds(&Gate::shut()));
    let target = inner.target();
    let outer = unary(move |request, context| {
        let one = channel(&target).raw_unary_unary("/test.Test/One").unwrap();
        let left = context.time_remaining().ok_or_else(|| Status::internal("no deadline"))?;
        one.timeout(left).call(&request)
    });
    let outer = Served::with(2, [("Outer", outer)]);
    let method = outer.channel().raw_unary_unary("/test.Test/Outer").unwrap();
    let status = method.timeout(Duration::from_millis(200)).call(&Bytes::new()).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}
